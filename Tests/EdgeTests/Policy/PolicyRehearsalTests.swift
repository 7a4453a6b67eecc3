// Policies asked beforehand: in order, with one context, until one of them does not let the request pass.

import LuaBridge
import Testing

@testable import Edge

@Suite struct PolicyRehearsalTests {
  private static let scripts = [
    "who": "return {on_request = function(req, ctx) ctx.user, ctx.roles = 'ann', {'a', 'b'} end}",
    "pay": """
    return {
      on_request = function(req, ctx)
        if edge.price.estimate() then edge.credit.balance(ctx.user) end
      end,
      on_select = function(candidates, ctx) edge.credit.hold(ctx.user, candidates[1].estimate) end,
    }
    """,
    "turn": "return {on_select = function(c) return {c[2], c[1]} end}",
    "stop": "return {on_request = function(req) edge.refuse('FORBIDDEN', {why = req.path}) end}",
    "ask": "return {on_request = function() edge.http.fetch{service = 'app', path = '/secret?token=x'} end}",
    "broken": "return {on_request = function() error('no', 0) end}",
    "open": "return {init = function() end, on_request = function() end}",
  ]

  private func rehearse(
    _ names: [String], price: PriceQuestion = .free, body: BodyQuestion = .none,
    _ check: (PolicyRehearsal, [RehearsedStep], [String]) throws -> Void
  ) throws {
    let folder = try Fixture.Folder()
    for (name, script) in Self.scripts { try folder.write("policies/\(name).lua", script) }
    let all = Self.scripts.keys.sorted()
    let rows = all.map { name in
      "  \(name): {script: \(name).lua\(name == "open" ? ", settings: {x: \"${env:NOWHERE}\"}" : "")}"
    }
    try folder.write(
      "routes.yaml",
      """
      version: 1
      listeners: {main: {bind: "127.0.0.1:0"}}
      services: {app: {endpoints: "http://127.0.0.1:1"}}
      policies:
      \(rows.joined(separator: "\n"))
      routes: {app: {path: /*, service: app, policies: [who]}}

      """)
    let outcome = folder.load(placeholders: true)
    let snapshot = try #require(outcome.snapshot, "\(folder.rendered(outcome))")
    let clock = try #require(LuaClock())
    defer { clock.end() }
    let rehearsal = try PolicyRehearsal(snapshot, clock: clock, wall: Clock.wallNow())
    defer { rehearsal.end() }
    let wire = try WireRequest(method: "GET", target: "/p?q", host: "h", fields: [], limits: HeadLimits())
    let view = RequestView(
      received: wire.received, method: wire.method, target: wire.target, host: wire.host,
      client: SocketAddress(), id: PolicyRehearsal.requestID, listener: StaticBytes("main"),
      route: PolicyRoute(
        name: StaticBytes("app"), permission: .empty, parameters: RouteParameters([], arena: wire.arena)))
    let places = try names.map { name in try #require(snapshot.policies.firstIndex { $0.name == name }) }
    let steps = rehearsal.ask(places, about: view, RehearsedStakes(price: price, body: body))
    try check(rehearsal, steps, steps.map { snapshot.policies[$0.policy].name })
  }

  @Test func oneAfterTheOther() throws {
    try rehearse(["who", "turn", "pay"], price: .known(Amount(units: 5))) { rehearsal, steps, names in
      #expect(names == ["who", "pay"], "who has no such phase is not asked")
      #expect(steps.map(\.outcome) == [.passed, .passed])
      #expect(steps[0].user == "ann" && steps[0].roles == ["a", "b"])
      #expect(steps[1].user == nil, "it was known before")
      let candidates = ["x", "y"].enumerated().map { place, _ in
        PolicyCandidate(
          place: Int32(place), name: StaticBytes(place == 0 ? "x" : "y"), model: StaticBytes("m"),
          estimate: Amount(units: Int64(10 + place)))
      }
      // The places are those of the names in order: ask, broken, open, pay, stop, turn, who.
      let chosen = rehearsal.select([5, 3], among: candidates, view: nil, message: nil, RehearsedStakes())
      #expect(chosen.map(\.outcome) == [.passed, .passed])
      #expect(rehearsal.order == [1, 0])
      #expect(chosen[1].held == Amount(units: 11))
      #expect(rehearsal.holds)
    }
  }

  @Test func whatEndsIt() throws {
    try rehearse(["who", "stop", "broken"]) { _, steps, names in
      #expect(names == ["who", "stop"])
      guard case .refused(let code, _, let details) = steps[1].outcome else {
        Issue.record("\(steps[1])")
        return
      }
      #expect(code == .forbidden && details == "{\"why\":\"/p\"}")
    }
    try rehearse(["ask", "who"]) { _, steps, _ in
      #expect(steps.map(\.outcome) == [.asks(.get, service: "app", path: "/secret")], "nothing is sent")
    }
    try rehearse(["broken", "who"]) { _, steps, _ in #expect(steps.map(\.outcome) == [.failed("no")]) }
    try rehearse(["open", "who"]) { _, steps, _ in #expect(steps.map(\.outcome) == [.isOpen]) }
    try rehearse(["who", "pay"], price: .needsBody) { _, steps, _ in #expect(steps.last?.outcome == .needsBody) }
  }
}
