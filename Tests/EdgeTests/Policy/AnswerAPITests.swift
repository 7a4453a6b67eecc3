// `on_response`: what policies see of an answer, what they may set of it, how they decide.

import LuaBridge
import Testing

@testable import Edge

@Suite("Answers that are judged") struct AnswerAPITests {
  /// A policy that runs the code, and shows in `ctx.user` what it returns.
  private func bench(_ code: String, _ fields: [String] = ["server: origin", "x-a: 1", "x-a: 2"]) throws -> PolicyBench
  {
    let bench = try PolicyBench(
      """
      \(PolicyBench.shown)
      local state, p = {}, {}
      function p.on_response(res, ctx)
        local function run() \(code)
        end
        ctx.user = show(run())
      end
      return p
      """)
    try bench.showAnswer(fields)
    return bench
  }

  private func user(_ bench: PolicyBench) -> String {
    bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } ?? "nobody"
  }

  static let fields: [(String, String)] = [
    ("res.status", "201"), ("res.service", "'users'"), ("res.provider", "'openai'"), ("res.model", "'gpt-4'"),
    ("res.id", "'the-request-id'"), ("res.route", "'the-route'"), ("res.headers['X-A']", "'1, 2'"),
    ("res.headers.server", "'origin'"), ("res.headers.none", "nil"), ("type(res)", "'userdata'"),
    ("res.body", "failed: res has no field 'body'"), ("res.path", "failed: res has no field 'path'"),
    ("(function() res.status = 200 end)()", "failed: res is read-only: 'status' cannot be set"),
  ]

  @Test(arguments: fields) func areRead(_ code: String, _ expected: String) throws {
    let bench = try bench("return \(code)")
    let outcome = bench.ask(.onResponse)
    #expect((outcome == .passed ? user(bench) : "\(outcome): \(bench.failure)") == expected)
  }

  @Test func nothingWhereNobodyHasAnswered() throws {
    let bench = try bench("return (res.service or 'no') .. (res.provider or 'no') .. (res.model or 'no')")
    bench.machine.host.answer?.service = .empty
    bench.machine.host.answer?.provider = .empty
    bench.machine.host.answer?.model = .empty
    #expect(bench.ask(.onResponse) == .passed && user(bench) == "'nonono'")
  }

  @Test func fieldsAreSet() throws {
    let bench = try bench(
      "res.headers.server = nil res.headers['X-B'] = 'c' return (res.headers.server or 'none') .. res.headers['x-b']")
    #expect(bench.ask(.onResponse) == .passed && user(bench) == "'nonec'")
    #expect(bench.edits == ["-server", "x-b: c"])
  }

  static let refused: [(String, String)] = [
    ("['content-length'] = '1'", "'content-length' is written by Edge itself"),
    ("['Transfer-Encoding'] = nil", "'Transfer-Encoding' is written by Edge itself"),
    ("connection = 'close'", "'connection' is written by Edge itself"),
    ("['x-request-id'] = 'a'", "'x-request-id' is written by Edge itself"),
    ("date = nil", "'date' is written by Edge itself"), ("via = 'a'", "'via' is written by Edge itself"),
    ("['Edge-Provider'] = nil", "'Edge-Provider' is written by Edge itself"),
    ("['edge-demo'] = 'x'", "'edge-demo' is written by Edge itself"),
    ("['a b'] = 'c'", "the name of a header must be a token such as \"x-user-id\""),
    ("a = 1", "the value of a header must be a string, or nil to remove it"),
    ("a = 'b\\r\\nc: d'", "the value of a header must have no line ends and at most 4 KiB"),
    ("a = 'b\\0'", "the value of a header must have no line ends and at most 4 KiB"),
    ("a = ('x'):rep(4097)", "the value of a header must have no line ends and at most 4 KiB"),
  ]

  @Test(arguments: refused) func whatCannotBeSet(_ edit: String, _ failure: String) throws {
    let name = edit.hasPrefix("[") ? edit : ".\(edit)"
    let bench = try bench("res.headers\(name)")
    #expect(bench.ask(.onResponse) == .failed)
    #expect(bench.failure == failure && bench.edits == [])
  }

  static let ends: [(String, PolicyOutcome, String)] = [
    ("edge.refuse('FORBIDDEN')", .answered, ""), ("edge.reply{status = 202}", .answered, ""),
    ("edge.credit.hold('ann', 1)", .failed, "edge.credit.hold has a meaning in on_select only"),
    ("edge.price.estimate()", .failed, "edge.price.estimate has a meaning in on_request, on_message and handle only"),
  ]

  @Test(arguments: ends) func ways(_ code: String, _ outcome: PolicyOutcome, _ failure: String) throws {
    let bench = try bench(code)
    #expect(bench.ask(.onResponse) == outcome && bench.failure == failure)
    let returns = try PolicyBench("return {on_response = function() return 1 end}")
    #expect(returns.ask(.onResponse) == .failed)
    #expect(
      returns.failure == "on_response returned a value; return nothing, or call edge.refuse or edge.reply")
  }

  /// A script that keeps `res` sees the answer that it is asked about, and none when it is asked about none.
  @Test func isTheAnswerAtHand() throws {
    let bench = try bench("state.kept = state.kept or res return state.kept.status")
    #expect(bench.ask(.onResponse) == .passed && user(bench) == "201")
    try bench.showAnswer(status: 404)
    #expect(bench.ask(.onResponse) == .passed && user(bench) == "404")
    bench.machine.host.answer = nil
    #expect(bench.ask(.onResponse) == .failed)
    #expect(bench.failure == "the answer can be read in on_response only")
  }

  @Test func answersAreAwaited() throws {
    let bench = try bench("return edge.http.fetch{service = 'users', path = '/'}.body .. res.status")
    #expect(bench.ask(.onResponse) == .waiting)
    let answer = FetchAnswer(status: 200, headers: [], body: Array("yes ".utf8))
    #expect(bench.resume(.fetched(service: "users", .answered(answer)), .onResponse) == .passed)
    #expect(user(bench) == "'yes 201'")
    #expect(bench.ask(.onResponse) == .waiting)
    #expect(bench.resume(.fetched(service: "users", .failed(.upstreamTimeout)), .onResponse) == .failed)
  }

  // MARK: Pieces

  /// A policy that judges pieces, as above.
  private func judge(_ code: String) throws -> PolicyBench {
    let bench = try PolicyBench(
      """
      \(PolicyBench.shown)
      return {on_chunk = function(chunk, ctx)
        local function run() \(code)
        end
        ctx.user = show(run())
      end}
      """)
    try bench.showAnswer()
    return bench
  }

  static let pieces: [(String, String)] = [
    ("chunk.data", "'some text'"), ("chunk.number", "2"), ("chunk.last", "true"), ("chunk.status", "201"),
    ("chunk.streamed", "false"), ("chunk.headers", "failed: chunk has no field 'headers'"),
    ("(function() chunk.data = 'x' end)()", "failed: chunk is read-only: 'data' cannot be set"),
    ("edge.refuse('FORBIDDEN')", "answered: "), ("error('own words')", "failed: own words"),
    (
      "edge.reply{}",
      "failed: edge.reply has a meaning in on_request, on_response and handle only; on_chunk has edge.refuse"
    ),
  ]

  @Test(arguments: pieces) func ofAnAnswer(_ code: String, _ expected: String) throws {
    let bench = try judge("return \(code)")
    let outcome = bench.ask(.onChunk)
    #expect((outcome == .passed ? user(bench) : "\(outcome): \(bench.failure)") == expected)
    bench.machine.host.chunk = nil
    #expect(bench.ask(.onChunk) == (code.hasPrefix("edge.refuse") ? .answered : .failed))
  }

  /// However many pieces an answer has, none is short of time because of those before it.
  @Test func eachPieceHasItsTime() throws {
    let bench = try judge("local s = 0 for i = 1, 20000 do s = s + i end return chunk.number")
    for _ in 0..<200 { try #require(bench.ask(.onChunk) == .passed, "\(bench.failure)") }
    let returns = try PolicyBench("return {on_chunk = function() return 1 end}")
    #expect(returns.ask(.onChunk) == .failed)
    #expect(returns.failure == "on_chunk returned a value; return nothing, or call edge.refuse")
  }

  // MARK: Where it is asked for

  @Test func aPolicyForAnswersOnlyNeedsSomebodyWhoAnswers() throws {
    let scripts = [
      "p.lua": "return {on_response = function() end}",
      "h.lua": "return {handle = function() edge.reply{} end}",
    ]
    func findings(_ target: String) throws -> [String] {
      try PolicyBench.findings(
        "\(PolicyBench.services)policies: {p: {script: p.lua}, h: {script: h.lua}}\n"
          + "routes: {r: {path: /r, \(target), policies: [p]}}\n", scripts)
    }
    #expect(try findings("service: users") == [])
    #expect(try findings("handler: h").first?.contains("has nothing to say to a request") == true)
  }
}
