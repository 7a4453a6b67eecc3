// Messages on WebSockets: what policies see of them, what they may ask, how they decide.

import LuaBridge
import Testing

@testable import Edge

@Suite("Messages") struct MessageAPITests {
  /// A policy that runs the code for a message, and shows in `ctx.user` what it returns.
  private func bench(
    _ code: String, permission: StaticString = "", client: String = "203.0.113.9", start: String = ""
  ) throws -> PolicyBench {
    let bench = try PolicyBench(
      """
      \(PolicyBench.shown)
      local state, p = {}, {}
      function p.init() \(start) end
      function p.on_message(msg, ctx)
        local function run() \(code)
        end
        ctx.user = show(run())
      end
      return p
      """)
    bench.machine.host.view = nil
    let host = bench.machine.host
    host.message = MessageView(
      body: StaticBytes("{\"id\":\"m-1\"}"), messageID: StaticBytes("m-1"), type: StaticBytes("completion"),
      client: try #require(SocketAddress(numeric: client, port: 50_000)), id: host.requestID,
      listener: StaticBytes("main"),
      route: PolicyRoute(
        name: StaticBytes("platform"), permission: StaticBytes(permission),
        parameters: RouteParameters([], arena: Arena())))
    return bench
  }

  private func user(_ bench: PolicyBench) -> String {
    bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } ?? "nobody"
  }

  /// What the code returns, shown; or how it failed.
  private func run(_ code: String, permission: StaticString = "", client: String = "203.0.113.9") throws -> String {
    let bench = try bench(code, permission: permission, client: client)
    let outcome = bench.ask(.onMessage)
    return outcome == .passed ? user(bench) : "\(outcome): \(bench.failure)"
  }

  // MARK: Fields

  static let fields: [(String, String)] = [
    ("msg.id", "'the-request-id'"), ("msg.message_id", "'m-1'"), ("msg.type", "'completion'"),
    ("msg.body", "'{\"id\":\"m-1\"}'"), ("msg.address", "'203.0.113.9'"), ("msg.network", "'203.0.113.9'"),
    ("msg.route", "'platform'"), ("msg.permission", "nil"), ("msg.listener", "'main'"),
    ("edge.json.decode(msg.body).id", "'m-1'"), ("type(msg)", "'userdata'"),
    ("msg.path", "failed: msg has no field 'path'"), ("msg.credential", "failed: msg has no field 'credential'"),
    ("msg[1]", "failed: msg has no such field (a number)"),
  ]

  @Test(arguments: fields) func areRead(_ code: String, _ expected: String) throws {
    #expect(try run("return \(code)") == expected)
  }

  @Test func moreFields() throws {
    #expect(try run("return msg.permission", permission: "services:use") == "'services:use'")
    #expect(try run("return msg.address", client: "2001:db8::1:2") == "'2001:db8::1:2'")
    #expect(try run("return msg.network", client: "2001:db8:1:2:3::4") == "'2001:db8:1:2::'")
    #expect(try run("msg.id = 'x'") == "failed: msg is read-only: 'id' cannot be set")
  }

  /// A script that keeps `msg` sees the message that it is asked about, and none when it is asked about none.
  @Test func isTheMessageAtHand() throws {
    let bench = try bench("state.kept = state.kept or msg return state.kept.type")
    #expect(bench.ask(.onMessage) == .passed && user(bench) == "'completion'")
    bench.machine.host.message = nil
    #expect(bench.ask(.onMessage) == .failed)
    #expect(bench.failure == "the message can be read in on_message only")
  }

  /// There is no request any more: what upgrades say does not reach the messages.
  @Test func requestsCannotBeRead() throws {
    let bench = try PolicyBench(
      """
      local kept, credential
      return {
        on_request = function(req) kept, credential = req, req.credential end,
        on_message = function(msg, ctx)
          local _, first = pcall(function() return kept.path end)
          local _, second = pcall(function() return kept.headers.cookie end)
          ctx.user = first .. "|" .. second .. "|" .. select(2, edge.jwt.verify(credential))
        end,
      }
      """)
    try bench.show(PolicyBench.head("/", ["x-api-key: a", "cookie: b"]))
    #expect(bench.ask() == .passed)
    bench.machine.host.view = nil
    #expect(bench.ask(.onMessage) == .passed)
    let parts = user(bench).components(separatedBy: "|")
    #expect(parts.count == 3 && parts[2] == "no credential")
    for part in parts.prefix(2) { #expect(part.hasSuffix("the request can be read in on_request and handle only")) }
  }

  // MARK: What decides works

  @Test func limitsAndSharedState() throws {
    let bench = try bench(
      "edge.kv.add('n', 1) return (state.limit:take(msg.network)) , edge.kv.get('n')",
      start: "state.limit = edge.limit.define('m', {limit = '1 per 1m'})")
    #expect(bench.ask(.onMessage) == .passed && user(bench) == "true")
    #expect(bench.ask(.onMessage) == .passed && user(bench) == "false")
    #expect(try run("return edge.permission.allows({'admin'}, 'x:y')") == "true")
  }

  @Test func refusals() throws {
    let bench = try bench("edge.refuse('RATE_LIMIT_EXCEEDED', {retry_after = 3, message = 'Slow down.', a = 1})")
    #expect(bench.ask(.onMessage) == .answered)
    #expect(bench.verdict.code == .rateLimitExceeded && bench.verdict.retryAfterSeconds == 3)
    #expect(bench.message == "Slow down." && bench.details == "{\"a\":1}")
  }

  @Test func estimates() throws {
    let bench = try bench("return edge.price.estimate()")
    #expect(bench.ask(.onMessage) == .passed && user(bench) == "nil", "it costs nothing")
    bench.machine.host.price = .known(Amount(units: 30))
    #expect(bench.ask(.onMessage) == .passed && user(bench) == "30")
    bench.machine.host.price = .refused(.modelNotFound, message: StaticBytes("No such model."))
    #expect(bench.ask(.onMessage) == .answered)
    #expect(bench.verdict.code == .modelNotFound && bench.message == "No such model.")
  }

  @Test func creditsAreHeldLater() throws {
    #expect(
      try run("return edge.credit.hold('ann', 1)") == "failed: edge.credit.hold has a meaning in on_select only")
  }

  // MARK: Waiting

  @Test func theLedgerIsAwaited() throws {
    let bench = try bench("return (select(3, edge.credit.balance('ann')))")
    #expect(bench.ask(.onMessage) == .waiting)
    guard case .ledger(.balance(account: "ann"))? = bench.machine.host.operation else {
      Issue.record("no balance is asked for")
      return
    }
    let account = AccountBalance(balance: Amount(units: 70), held: Amount(units: 30))
    #expect(bench.resume(.ledger(.balance(account)), .onMessage) == .passed)
    #expect(user(bench) == "40")
    #expect(bench.ask(.onMessage) == .waiting)
    #expect(bench.resume(.ledger(.unavailable), .onMessage) == .answered)
    #expect(bench.verdict.code == .serviceUnavailable)
  }

  @Test func fetchesAreAwaited() throws {
    let bench = try bench("return edge.http.fetch{service = 'users', path = '/' .. msg.type}.body .. msg.message_id")
    #expect(bench.ask(.onMessage) == .waiting)
    #expect(bench.fetch?.path == "/completion")
    let answer = FetchAnswer(status: 200, headers: [], body: Array("yes ".utf8))
    #expect(bench.resume(.fetched(service: "users", .answered(answer)), .onMessage) == .passed)
    #expect(user(bench) == "'yes m-1'", "the message can be read when the answer is there")
  }

  // MARK: Where it is asked for

  /// Only routes of WebSockets ask for it.
  @Test func aPolicyForMessagesOnlyIsForWebSockets() throws {
    let yaml =
      "\(PolicyBench.services)policies: {p: {script: p.lua}}\nroutes: {r: {path: /r, service: users, policies: [p]}}\n"
    let loaded = try PolicyBench.load(yaml, ["p.lua": "return {on_message = function() end}"])
    let stores = try PolicyStores()
    func faults(_ snapshot: Snapshot) throws -> Int {
      let tools = PolicyTools(snapshot, limits: stores.limits, keyValues: stores.keyValues, log: nil)
      let clock = try #require(LuaClock())
      defer { clock.end() }
      do throws(PolicyFaults) { _ = try PolicyMachine(snapshot, tools, clock: clock) } catch { return error.list.count }
      return 0
    }
    #expect(try faults(loaded.snapshot) == 1)
    let read = loaded.snapshot
    var route = read.routes[0]
    route.socket = SocketSettings()
    let opened = Snapshot(
      server: read.server, limits: read.limits, listeners: read.listeners, services: read.services, routes: [route],
      log: read.log, auth: read.auth, roles: read.roles, policies: read.policies, scripts: read.scripts,
      trustFiles: read.trustFiles, contentHash: read.contentHash)
    #expect(try faults(opened) == 0)
  }
}
