// What a WebSocket keeps of the context of its upgrade: the form of it, from one machine to another, and what is too
// much.

import LuaBridge
import Testing

@testable import Edge

@Suite("Facts of WebSockets") struct SessionFactsTests {
  /// Fills its context by the code of a test, shows another's.
  private func bench(_ code: String, log: Log? = nil) throws -> PolicyBench {
    let bench = try PolicyBench(
      """
      \(PolicyBench.shown)
      return {
        on_request = function(req, ctx) \(code)
        end,
        on_message = function(msg, ctx) edge.refuse("CONFLICT", {message = show(ctx)}) end,
      }
      """, log: log)
    // How long a call takes is not what such tests are about.
    bench.machine.lua.allow(sliceTicks: 10_000, exchangeTicks: 10_000)
    return bench
  }

  private func facts(_ bench: PolicyBench) throws -> [UInt8]? {
    #expect(bench.ask() == .passed, "\(bench.failure)")
    return bench.machine.facts(bench.context).map { Array($0) }
  }

  /// What the policies of a message find.
  private func found(_ facts: [UInt8], _ bench: PolicyBench) throws -> String {
    bench.endContext()
    bench.context = facts.withUnsafeBufferPointer { bench.machine.makeContext($0) }
    try #require(bench.context >= 0)
    #expect(bench.ask(.onMessage) == .answered)
    return bench.message ?? ""
  }

  static let kept: [(String, String)] = [
    ("", "{}"), ("ctx.user = 'ann' ctx.roles = {'user', 'admin'}", "{roles: ['user', 'admin'], user: 'ann'}"),
    ("ctx.a = true ctx.b = false", "{a: true, b: false}"),
    (
      "ctx.a = 0 ctx.b = -1 ctx.c = math.maxinteger ctx.d = math.mininteger ctx.e = 255",
      "{a: 0, b: -1, c: 9223372036854775807, d: -9223372036854775808, e: 255}"
    ),
    ("ctx.a = 1.0 ctx.b = -0.0 ctx.c = 1e308 ctx.d = 5e-324", "{a: 1.0, b: -0.0, c: 1e+308, d: 4.9406564584125e-324}"),
    ("ctx.a = 1/0 ctx.b = -1/0 ctx.c = ctx.a + ctx.b", "{a: inf, b: -inf, c: -nan}"),
    ("ctx.a = '' ctx.b = {}  ctx.c = {''}", "{a: '', b: {}, c: ['']}"),
    ("ctx.a = edge.json.array{} ctx.b = {1, 2.5, 'x', true, false}", "{a: {}, b: [1, 2.5, 'x', true, false]}"),
    ("ctx[''] = 1 ctx['a.b'] = 2 ctx['\u{e9}\\n'] = 3", "{: 1, a.b: 2, \u{e9}\n: 3}"),
    (
      "ctx.text = ('x'):rep(127) .. '|' .. ('y'):rep(200)",
      "{text: '\(String(repeating: "x", count: 127))|\(String(repeating: "y", count: 200))'}"
    ),
    ("ctx[('n'):rep(300)] = 1", "{\(String(repeating: "n", count: 300)): 1}"),
    // Left behind.
    ("ctx.a = {b = 1} ctx.c = {{}} ctx.d = {1, {2}} ctx.e = type ctx.f = req ctx.h = 1", "{h: 1}"),
    ("ctx.a = edge.json.null ctx.b = edge.credit.decimal(5) ctx.c = {ctx.b} ctx.d = {1, nil, 3}", "{}"),
    ("ctx[1] = 'x' ctx[2.5] = 'y' ctx[true] = 'z' ctx[ctx] = ctx", "{}"),
    ("ctx.a = ctx ctx.b = {ctx} ctx.c = coroutine.create(type)", "{}"),
  ]

  @Test(arguments: kept) func fromOneMachineToAnother(_ code: String, _ expected: String) throws {
    let (first, second) = (try bench(code), try bench(""))
    let facts = try #require(try facts(first))
    #expect(try found(facts, second) == expected)
    #expect(try found(facts, second) == expected, "each message begins with them anew")
    // And from there on to a third generation.
    let again = try #require(second.machine.facts(second.context).map { Array($0) })
    #expect(try found(again, try bench("")) == expected)
    #expect(again.count == facts.count)
  }

  @Test func nobodyWasAsked() throws {
    let bench = try bench("ctx.a = 1")
    #expect(bench.machine.facts(-1)?.count == 0)
    #expect(try found([], bench) == "{}")
  }

  @Test func theForm() throws {
    #expect(try facts(try bench("")) == [0])
    #expect(try facts(try bench("ctx.ab = 'c'")) == [1, 2, 0x61, 0x62, 4, 1, 0x63])
    #expect(try facts(try bench("ctx.a = {true, false, 258}")) == [1, 1, 0x61, 5, 3, 1, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0])
    #expect(try facts(try bench("ctx.a = 1.0")) == [1, 1, 0x61, 3, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f])
    let long = try #require(try facts(try bench("ctx.a = ('x'):rep(300)")))
    #expect(long.prefix(6) == [1, 1, 0x61, 4, 0xac, 0x02] && long.count == 306)
  }

  // MARK: Limits

  /// Exactly what is allowed, and a byte more. An entry of `a` with a long text takes six bytes beside the text.
  @Test func fourKibibytes() throws {
    let room = Limits.sessionFactsBytes - 6
    #expect(try facts(try bench("ctx.a = ('x'):rep(\(room))"))?.count == Limits.sessionFactsBytes)
    #expect(try facts(try bench("ctx.a = ('x'):rep(\(room + 1))")) == nil)
    #expect(try facts(try bench("ctx.a = ('x'):rep(100000)")) == nil)
    #expect(try facts(try bench("ctx[('x'):rep(5000)] = 1")) == nil)
    #expect(try facts(try bench("for i = 1, 5000 do ctx['k' .. i] = true end")) == nil)
    #expect(try facts(try bench("local t = {} for i = 1, \(room) do t[i] = true end ctx.a = t"))?.count == 4_096)
    #expect(try facts(try bench("local t = {} for i = 1, \(room + 1) do t[i] = true end ctx.a = t")) == nil)
    #expect(try facts(try bench("local t = {} for i = 1, 100000 do t[i] = true end ctx.a = t")) == nil)
  }

  /// What is left behind does not count.
  @Test func whatIsLeftBehindTakesNoRoom() throws {
    let bench = try bench(
      "ctx.a = {('x'):rep(9000), type} ctx.b = {c = ('x'):rep(9000)} for i = 1, 9000 do ctx[i] = 'x' end ctx.d = 1")
    #expect(try found(try #require(try facts(bench)), bench) == "{d: 1}")
  }

  @Test func tooMuchIsLogged() throws {
    let file = try LogFile()
    let bench = try bench("ctx.a = ('x'):rep(5000)", log: file.log)
    #expect(try facts(bench) == nil)
    #expect(bench.failure == "what ctx holds for the messages of a WebSocket passes 4 KiB")
    let line = try #require(try file.lines().first { $0["event"] as? String == "policy_error" })
    #expect(line["requestId"] as? String == "the-request-id" && line["phase"] as? String == "on_request")
    #expect(line["message"] as? String == bench.failure && line["policy"] == nil)
  }

  // MARK: What is none

  /// Bytes that nobody has written so: no context, and never a crash.
  @Test func otherBytes() throws {
    let bench = try bench("ctx.a = 'text' ctx.b = {1, 2.5, true} ctx.c = {} ctx.d = -5")
    let facts = try #require(try facts(bench))
    func made(_ bytes: [UInt8]) -> Bool {
      var context = bytes.withUnsafeBufferPointer { bench.machine.makeContext($0) }
      defer { bench.machine.endContext(&context) }
      return context >= 0
    }
    for count in 1..<facts.count { #expect(!made(Array(facts[..<count])), "cut after \(count)") }
    #expect(!made(facts + [0]) && made(facts))
    for bytes: [UInt8] in [
      [1], [0x80], [0x80, 0x80, 0], [0xff, 0x7f], [1, 1, 0x61, 7], [1, 1, 0x61, 5, 1, 5, 0], [1, 1, 0x61, 5, 1, 6],
      [1, 5, 0x61], [1, 1, 0x61, 4, 2, 0x62], [1, 1, 0x61, 2, 1, 2, 3], [1, 0x80],
    ] { #expect(!made(bytes), "\(bytes)") }
    #expect(!made([UInt8](repeating: 0, count: Limits.sessionFactsBytes + 1)))
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      var bytes = facts
      for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255) }
      _ = made(bytes)
    }
    #expect(try found(facts, bench).hasPrefix("{a: 'text'"))
  }

  // MARK: Single facts

  static let ends: [(String, Int64?)] = [
    ("", nil), ("ctx.expires = nil", nil), ("ctx.expires = 1700000000", 1_700_000_000),
    ("ctx.expires = 1700000000.9", 1_700_000_000), ("ctx.expires = 0", 0), ("ctx.expires = -5", 0),
    ("ctx.expires = 1/0", 1_000_000_000_000_000_000), ("ctx.expires = -1/0", 0), ("ctx.expires = 0/0", 0),
    ("ctx.expires = math.maxinteger", 1_000_000_000_000_000_000), ("ctx.expires = '1700000000'", 0),
    ("ctx.expires = true", 0), ("ctx.expires = {1}", 0), ("ctx.expires = type", 0),
  ]

  @Test(arguments: ends) func credentialsEnd(_ code: String, _ expected: Int64?) throws {
    let bench = try bench(code)
    #expect(bench.machine.expires(bench.context) == nil, "nobody was asked")
    bench.ask()
    #expect(bench.machine.expires(bench.context) == expected)
  }

  static let roles: [(String, String?)] = [
    ("", nil), ("ctx.roles = {'admin', 'user'}", "admin"), ("ctx.roles = 'user'", "user"), ("ctx.roles = {}", nil),
    ("ctx.roles = {1, 'user'}", nil), ("ctx.roles = 5", nil), ("ctx.roles = {a = 'user'}", nil),
    ("ctx.roles = {''}", ""), ("ctx.roles = type", nil),
  ]

  @Test(arguments: roles) func theFirstRole(_ code: String, _ expected: String?) throws {
    let bench = try bench(code)
    #expect(bench.machine.role(bench.context) == nil, "nobody was asked")
    bench.ask()
    #expect(bench.machine.role(bench.context).map { String(decoding: $0, as: UTF8.self) } == expected)
  }
}
