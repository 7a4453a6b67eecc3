import Foundation
import Testing

@testable import Edge

struct BuiltinTests {
  private let counters = Counters(workers: 2)

  private func facts(
    _ metrics: Metrics, isDraining: Bool = false, models: StaticBytes = .empty, uptimeSeconds: UInt64 = 12
  ) -> BuiltinFacts {
    BuiltinFacts(
      counters: counters, metrics: metrics, wall: metrics.startWall + uptimeSeconds * 1_000_000_000 + 5,
      isDraining: isDraining, generation: 7, models: models)
  }

  /// What the row of a built-in answers, called as workers do.
  private func answer(_ name: BuiltinName, _ facts: BuiltinFacts) throws -> (reply: BuiltinReply, body: String) {
    let place = try #require(BuiltinName.allCases.firstIndex(of: name))
    let row = AdminTable.builtins.rows[place]
    var reply = BuiltinReply()
    let outcome = written(capacity: Limits.replyBodyBytes) { reply = row(&$0, facts) }
    #expect(!outcome.overflowed)
    return (reply, outcome.text)
  }

  private func object(_ text: String) throws -> NSDictionary {
    try #require(try JSONSerialization.jsonObject(with: Data(raw(text))) as? NSDictionary)
  }

  /// A WebSocket of a user is opened, and ends, as the worker counts it.
  private func open(_ metrics: Metrics, _ user: String, _ role: String) {
    metrics.noteSessionOpened(worker: 0)
    raw(user).withUnsafeBufferPointer { user in
      raw(role).withUnsafeBufferPointer { metrics.users.joined(user: user, role: $0) }
    }
  }

  private func close(_ metrics: Metrics, _ user: String, _ role: String) {
    metrics.noteSessionClosed(.client, worker: 0)
    raw(user).withUnsafeBufferPointer { user in
      raw(role).withUnsafeBufferPointer { metrics.users.left(user: user, role: $0) }
    }
  }

  private func timestamp(_ facts: BuiltinFacts) -> String { text { $0.append(timestamp: facts.wall) } }

  @Test func everyNameHasItsRow() throws {
    let facts = facts(try #require(Metrics(workers: 1)))
    #expect(AdminTable.builtins.rows.count == BuiltinName.allCases.count)
    let bodies = try Set(BuiltinName.allCases.map { try answer($0, facts).body.prefix(20) })
    #expect(bodies.count == BuiltinName.allCases.count)
  }

  @Test func health() throws {
    let metrics = try #require(Metrics(workers: 2))
    let facts = facts(metrics)
    // Connections are WebSockets, not what requests come on.
    counters.addShared(9, to: .serverConnections, worker: 0)
    counters.add(2, to: .runningExchanges, worker: 1)
    metrics.users.know(roles: ["user", "admin"])
    for (user, role) in [("ann", "admin"), ("bob", "user"), ("ann", "pilot"), ("bob", "user")] {
      open(metrics, user, role)
    }
    open(metrics, "eve", "user")
    close(metrics, "eve", "user")
    let (reply, body) = try answer(.health, facts)
    #expect(reply.status == 200 && "\(reply.contentType)" == "application/json")
    let expected: NSDictionary = [
      "status": "OK", "timestamp": timestamp(facts), "version": "\(Version.text)",
      "connections": [
        "totalConnections": 4, "totalUsers": 2, "totalPendingRequests": 1,
        "connectionsByRole": ["user": 2, "admin": 1, "other": 1],
      ],
    ]
    #expect(try object(body) == expected)
  }

  @Test func stats() throws {
    let metrics = try #require(Metrics(workers: 2))
    let facts = facts(metrics)
    counters.addShared(9, to: .serverConnections, worker: 1)
    counters.add(1, to: .runningExchanges, worker: 0)
    counters.add(40, to: .exchanges, worker: 0)
    counters.add(2, to: .exchanges, worker: 1)
    metrics.noteCharge(Amount(units: 2_500_000_000), shortfall: .zero, worker: 1)
    metrics.figures.set(.ledgerQueue, 4)
    var expected: [String: Any] = [
      "totalConnections": 0, "totalUsers": 0, "totalPendingRequests": 0, "connectionsByRole": [String: Int](),
      "timestamp": timestamp(facts), "version": "\(Version.text)", "uptime": 12, "generation": 7, "exchanges": 42,
      "creditsCharged": 2.5, "ledger": ["failing": false, "queue": 4],
    ]
    #expect(try object(answer(.stats, facts).body) == expected as NSDictionary)
    metrics.figures.set(.ledgerFailing, 1)
    expected["ledger"] = ["failing": true, "queue": 4]
    #expect(try object(answer(.stats, facts).body) == expected as NSDictionary)
    open(metrics, "ann", "nobody")
    expected["totalConnections"] = 1
    expected["totalUsers"] = 1
    expected["connectionsByRole"] = ["other": 1]
    #expect(try object(answer(.stats, facts).body) == expected as NSDictionary)
  }

  /// A clock that was set back does not make a time before the start.
  @Test func uptimeIsNeverNegative() throws {
    let metrics = try #require(Metrics(workers: 1))
    let facts = BuiltinFacts(
      counters: counters, metrics: metrics, wall: metrics.startWall - 1, isDraining: false, generation: 1,
      models: .empty)
    #expect(try object(answer(.stats, facts).body)["uptime"] as? Int == 0)
  }

  @Test func ready() throws {
    let metrics = try #require(Metrics(workers: 1))
    let (yes, body) = try answer(.ready, facts(metrics))
    #expect(yes.status == 200 && body == #"{"status":"ready"}"#)
    let (no, draining) = try answer(.ready, facts(metrics, isDraining: true))
    #expect(no.status == 503 && "\(no.reason)" == "Service Unavailable" && draining == #"{"status":"draining"}"#)
  }

  @Test func metrics() throws {
    let metrics = try #require(Metrics(workers: 1))
    counters.addShared(9, to: .serverConnections, worker: 0)
    let (reply, body) = try answer(.metrics, facts(metrics))
    #expect(reply.status == 200 && "\(reply.contentType)" == "text/plain; version=0.0.4; charset=utf-8")
    #expect(try Exposition004(body)["edge_connections"] == 9)
  }

  /// A worker's scratch area is too small for many names: the first call says so, the second has room.
  @Test func metricsOfManyNames() throws {
    let metrics = try #require(Metrics(workers: 1))
    for number in 0..<100 { metrics.note(metrics.names.claim(.route, "route-\(number)")) }
    let facts = facts(metrics)
    #expect(written(capacity: Limits.readBytes) { _ = MetricsEndpoint.write(&$0, facts) }.overflowed)
    let told = try Exposition004(try answer(.metrics, facts).body)
    #expect(told["edge_metric_series_left_out"] == 0)
    #expect(told["edge_exchange_duration_seconds_count", ["route": "route-99"]] == 1)
  }

  @Test func models() throws {
    let metrics = try #require(Metrics(workers: 1))
    let none: NSDictionary = [
      "object": "list", "data": [Any](), "has_more": false, "first_id": NSNull(), "last_id": NSNull(),
    ]
    #expect(try object(answer(.models, facts(metrics)).body) == none)
    let arena = Arena()
    let list = ModelList.write([ListedModel(name: "gpt-4", provider: "openai", created: 5)], into: arena)
    let expected: NSDictionary = [
      "object": "list",
      "data": [
        [
          "id": "gpt-4", "object": "model", "created": 5, "owned_by": "openai", "type": "model",
          "display_name": "gpt-4", "created_at": "1970-01-01T00:00:05.000Z",
        ] as NSDictionary
      ],
      "has_more": false, "first_id": "gpt-4", "last_id": "gpt-4",
    ]
    let (reply, body) = try answer(.models, facts(metrics, models: list.text))
    #expect(reply.status == 200 && "\(reply.contentType)" == "application/json")
    #expect(try object(body) == expected)
  }
}
