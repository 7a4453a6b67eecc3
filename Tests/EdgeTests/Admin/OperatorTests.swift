// What operators are answered: the status, and the report of a reload.

import Foundation
import Testing

@testable import Edge

struct OperatorTests {
  private let counters = Counters(workers: 2)
  private let board = ControlBoard()

  private func facts(_ metrics: Metrics) -> BuiltinFacts {
    BuiltinFacts(
      counters: counters, metrics: metrics, wall: metrics.startWall + 61_000_000_000, isDraining: false, generation: 7,
      models: .empty, process: board)
  }

  private func answer(
    _ path: String, _ metrics: Metrics
  ) throws -> (reply: BuiltinReply, body: NSDictionary, text: String) {
    let row = try #require(AdminTable.admin.first { $0.path == path })
    var reply = BuiltinReply()
    var facts = facts(metrics)
    facts.reload = board.current.reload
    let outcome = written(capacity: Limits.replyBodyBytes) { reply = row.write(&$0, facts) }
    #expect(!outcome.overflowed)
    let object = try JSONSerialization.jsonObject(with: Data(raw(outcome.text)))
    return (reply, try #require(object as? NSDictionary), outcome.text)
  }

  private func say(_ outcome: ReloadOutcome, _ fill: (inout ReloadReport) -> Void = { _ in }) {
    var report = ReloadReport(outcome: outcome, generation: 3, wall: 1_700_000_000_123_456_789)
    report.milliseconds = 12
    fill(&report)
    board.update { $0.reload = report }
  }

  @Test func eachRowIsReachedByItsPath() {
    #expect(AdminTable.admin.map { "\($0.method.name) \($0.path)" } == ["GET /status", "POST /reload", "GET /metrics"])
    #expect(AdminTable.admin.map(\.reloads) == [false, true, false])
    let table = AdminTable.builtins
    #expect((0..<table.rows.count).allSatisfy { !table.reloads($0) } && table.reloads(table.rows.count + 1))
  }

  @Test func anEmptyStatus() throws {
    let metrics = try #require(Metrics(workers: 2))
    let (reply, body, text) = try answer("/status", metrics)
    #expect(reply.status == 200)
    #expect(body["pid"] as? Int == Int(getpid()) && body["uptime"] as? Int == 61 && body["generation"] as? Int == 7)
    #expect(body["state"] as? String == "serving" && body["reload"] is NSNull)
    // Clients may read it in this order.
    let keys = ["version", "pid", "config", "generations", "listeners", "exchanges", "ledger", "restart", "reload"]
    let places = keys.compactMap { text.range(of: "\"\($0)\":")?.lowerBound }
    #expect(places.count == keys.count && places == places.sorted())
  }

  @Test func aFullStatus() throws {
    let metrics = try #require(Metrics(workers: 2))
    counters.addShared(9, to: .serverConnections, worker: 0)
    counters.add(2, to: .runningExchanges, worker: 1)
    counters.add(40, to: .exchanges, worker: 0)
    metrics.figures.set(.ledgerFailing, 1)
    metrics.figures.set(.bodyMemoryBytes, 5)
    metrics.figures.set(.bodyMemoryBytesMax, 50)
    metrics.figures.add(3, to: .reloadsFailed)
    board.update { state in
      state.config = "/etc/\"edge\"/routes.yaml"
      state.isDevelopment = true
      state.isDraining = true
      state.workers = 2
      state.generations = [
        LiveGeneration(number: 4, place: 3, since: 1_700_000_000_000_000_000, running: 12),
        LiveGeneration(number: 7, place: 0, since: 1_700_000_001_000_000_000),
      ]
      state.listeners = [
        ServedListener(name: "main", address: "[::1]:3003", serves: .routes, isSecure: true),
        ServedListener(name: "ops", address: "127.0.0.1:3005", serves: .admin),
      ]
      state.restart = ["server.workers", "server.var"]
    }
    say(.unchanged)
    let (_, body, _) = try answer("/status", metrics)
    let expected: [String: Any] = [
      "config": "/etc/\"edge\"/routes.yaml", "development": true, "state": "draining", "workers": 2,
      "generations": [
        ["number": 4, "since": "2023-11-14T22:13:20.000Z", "running": 12],
        ["number": 7, "since": "2023-11-14T22:13:21.000Z", "running": 0],
      ],
      "listeners": [
        ["name": "main", "address": "[::1]:3003", "serves": "routes", "tls": true],
        ["name": "ops", "address": "127.0.0.1:3005", "serves": "admin", "tls": false],
      ],
      "connections": 9, "exchanges": ["running": 2, "total": 40], "ledger": ["failing": true, "queue": 0],
      "bodies": ["bytes": 5, "max": 50], "reloads": ["done": 0, "unchanged": 0, "failed": 3, "refused": 0],
      "restart": ["server.workers", "server.var"],
    ]
    for (key, value) in expected {
      #expect(try #require(body[key] as? NSObject) == value as? NSObject, "\(key)")
    }
  }

  @Test(arguments: [
    (ReloadOutcome.reloaded, 200), (.unchanged, 200), (.failed, 422), (.refused, 409),
  ]) func statuses(_ outcome: ReloadOutcome, _ status: Int) throws {
    say(outcome)
    let (reply, body, _) = try answer("/reload", try #require(Metrics(workers: 1)))
    #expect(Int(reply.status) == status && body["outcome"] as? String == outcome.rawValue)
    #expect(body["reason"] == nil)
  }

  @Test func aReport() throws {
    say(.failed) { report in
      report.reason = "routes.yaml has errors"
      report.errors = ["routes.yaml:1:1: error: \u{1b}[31m \"x\"\n  a\n  ^"]
      report.warnings = ["careful"]
      report.changes = [
        ConfigChange(kind: .added, path: "routes.chat"),
        ConfigChange(kind: .changed, path: "models.m.price", before: "0.03", after: nil),
      ]
    }
    let (_, body, _) = try answer("/reload", try #require(Metrics(workers: 1)))
    let expected: NSDictionary = [
      "outcome": "failed", "generation": 3, "time": "2023-11-14T22:13:20.123Z", "milliseconds": 12,
      "reason": "routes.yaml has errors", "errors": ["routes.yaml:1:1: error: \u{1b}[31m \"x\"\n  a\n  ^"],
      "warnings": ["careful"],
      "changes": [
        ["kind": "added", "path": "routes.chat"], ["kind": "changed", "path": "models.m.price", "before": "0.03"],
      ],
      "more": 0,
    ]
    #expect(body == expected)
  }

  /// However much there is, the answer has room for it, and what is left out is counted.
  @Test func whatIsTooMuch() throws {
    let metrics = try #require(Metrics(workers: 1))
    let long = String(repeating: "\u{1}", count: 10_000)
    say(.failed) { report in
      report.errors = Array(repeating: long, count: 100)
      report.warnings = Array(repeating: String(repeating: "x", count: 1_000), count: 100)
      report.changes = (0..<60_000).map {
        ConfigChange(kind: .changed, path: "routes.r\($0).path", before: long, after: "\($0)")
      }
    }
    for path in ["/reload", "/status"] {
      let (_, answer, _) = try answer(path, metrics)
      let body = path == "/status" ? try #require(answer["reload"] as? NSDictionary) : answer
      let told = try ["errors", "warnings", "changes"].map { try #require(body[$0] as? NSArray).count }
      #expect(told.reduce(0, +) + (body["more"] as? Int ?? 0) == 60_200)
      #expect(told.allSatisfy { $0 < 100 } && told[1] > 40 && told[2] > 10, "\(told)")
    }
  }
}
