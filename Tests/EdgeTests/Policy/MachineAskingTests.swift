// Asking policies: how a call may end, what lives how long, waiting and going on, what the end of an exchange is to
// them, and what is logged of those that fail.

import Testing

@testable import Edge

@Suite("Policy machine: asking") struct MachineAskingTests {
  // MARK: Ends

  static let ends: [(PolicyPhase, String, PolicyOutcome, String)] = [
    (.onRequest, "", .passed, ""), (.onRequest, "return", .passed, ""), (.onRequest, "return nil", .passed, ""),
    (
      .onRequest, "return true", .failed,
      "on_request returned a value; return nothing, or call edge.refuse or edge.reply"
    ),
    (
      .onRequest, "return false", .failed,
      "on_request returned a value; return nothing, or call edge.refuse or edge.reply"
    ),
    (
      .onRequest, "return edge.json.null", .failed,
      "on_request returned a value; return nothing, or call edge.refuse or edge.reply"
    ),
    (
      .onRequest, "return function() end", .failed,
      "on_request returned a value; return nothing, or call edge.refuse or edge.reply"
    ),
    (
      .onLog, "return 1", .failed,
      "on_log returned a value; return nothing, or call edge.refuse or edge.reply"
    ),
    (.onLog, "", .passed, ""), (.onMessage, "", .passed, ""), (.onMessage, "return nil", .passed, ""),
    (.onMessage, "return true", .failed, "on_message returned a value; return nothing, or call edge.refuse"),
    (.onMessage, "edge.refuse('FORBIDDEN')", .answered, ""),
    (.onMessage, "pcall(edge.refuse, 'FORBIDDEN') error('not stopped')", .answered, ""),
    (
      .onMessage, "edge.reply{}", .failed,
      "edge.reply has a meaning in on_request, on_response and handle only; on_message has edge.refuse"
    ),
    (.onMessage, "error('own words')", .failed, "own words"),
    (.handle, "", .failed, "handle returned without an answer; call edge.reply"),
    (.handle, "return 1", .failed, "handle returned without an answer; call edge.reply"),
    (.handle, "edge.reply{}", .answered, ""), (.handle, "edge.refuse('FORBIDDEN')", .answered, ""),
    (.onRequest, "edge.reply{}", .answered, ""), (.onRequest, "edge.refuse('FORBIDDEN')", .answered, ""),
    (.onRequest, "pcall(edge.refuse, 'FORBIDDEN') error('not stopped')", .answered, ""),
    (.onRequest, "coroutine.wrap(function() edge.refuse('FORBIDDEN') end)() error('on')", .answered, ""),
    (
      .onLog, "edge.refuse('FORBIDDEN')", .failed,
      "edge.refuse has no meaning in on_log"
    ),
    (.onLog, "edge.reply{}", .failed, "edge.reply has a meaning in on_request, on_response and handle only"),
    (.onRequest, "error('own words')", .failed, "own words"), (.onRequest, "error('bare', 0)", .failed, "bare"),
    (.onRequest, "error({})", .failed, "error object is a table value"),
    (.onRequest, "error()", .failed, "error object is a nil value"),
    (.onRequest, "error(edge.json.null)", .failed, "error object is a userdata value"),
    (.onRequest, "local t; t.x = 1", .failed, "attempt to index a nil value (local 't')"),
    (.onRequest, "req.nothing()", .failed, "req has no field 'nothing'"),
    (.onRequest, "return req[1]", .failed, "req has no such field (a number)"),
    (
      .onRequest, "table.sort({2, 1}, function() edge.refuse('FORBIDDEN') end)", .failed,
      "cannot answer here: the caller cannot be suspended"
    ),
    (
      .onRequest, "table.sort({2, 1}, function() edge.http.fetch{service = 'users', path = '/'} end)", .failed,
      "cannot wait here: the caller cannot be suspended"
    ),
    (.onRequest, "while true do end", .failed, "took about … ms of CPU time"),
    (
      .onRequest, "while true do pcall(function() while true do end end) end", .failed,
      "took about … ms of CPU time"
    ),
  ]

  @Test(arguments: ends)
  func ways(_ phase: PolicyPhase, _ code: String, _ outcome: PolicyOutcome, _ failure: String) throws {
    let bench = try PolicyBench("return {\(phase.rawValue) = function(req, ctx)\n\(code)\nend}")
    if phase == .onLog { bench.machine.host.view = nil }
    #expect(bench.ask(phase) == outcome)
    #expect(bench.failure.replacing(/\d+(?= ms)/, with: "…") == failure)
    #expect((bench.verdict.code == .forbidden) == code.contains("FORBIDDEN") || outcome == .failed)
    // The machine goes on as if nothing had been.
    #expect(bench.coroutine == -1)
    bench.endContext()
    #expect(bench.ask(phase) == outcome)
  }

  /// A worker that is idle collects what some hundred calls have left, and then not for as many.
  @Test func restsOnceInAWhile() throws {
    let bench = try PolicyBench("return {on_request = function(req, ctx) ctx.list = {req.path, {}} end}")
    for _ in 1...3 {
      #expect(!bench.machine.isTired)
      var calls = 0
      while !bench.machine.isTired, calls < 1_000_000 {
        #expect(bench.ask() == .passed)
        bench.endContext()
        calls += 1
      }
      #expect(calls >= Limits.scriptRestCalls && calls < 1_000_000)
      let before = bench.machine.lua.memoryUsed
      bench.machine.rest()
      #expect(bench.machine.lua.memoryUsed < before)
    }
  }

  @Test func codeIsCountedOverTheWholeExchange() throws {
    let bench = try PolicyBench("return {on_request = function() while true do end end, on_log = function() end}")
    var outcomes: [PolicyOutcome] = []
    for _ in 0..<8 { outcomes.append(bench.ask()) }
    #expect(outcomes.allSatisfy { $0 == .failed })
    #expect(bench.ask(.onLog) == .failed, "no time is left for it")
    #expect(bench.failure.contains(/^took about \d+ ms of CPU time/))
    bench.machine.note(summary(.policyError), &bench.context)
    #expect(bench.ask(.onLog) == .passed, "what has ended is always told")
    bench.endContext()
    #expect(bench.ask(.onLog) == .passed, "another exchange has its own")
  }

  // MARK: Contexts

  @Test func theContextLivesAsLongAsTheExchange() throws {
    let bench = try PolicyBench(
      yaml: "policies: {a: {script: a.lua}, b: {script: b.lua}}\n",
      scripts: [
        "a.lua": "return {on_request = function(_, ctx) ctx.list = {1, edge.time.now} ctx.user = 'ann' end}",
        "b.lua": """
        return {handle = function(_, ctx)
          edge.reply{body = tostring(ctx.user) .. type(ctx.list and ctx.list[2]) .. tostring(ctx.late)}
        end, on_log = function(ctx) ctx.late = (ctx.late or 0) + 1 end}
        """,
      ])
    func body() -> String {
      #expect(bench.ask(.handle, policy: 1) == .answered)
      return bench.body
    }
    bench.ask(.onRequest, policy: 0)
    let first = bench.context
    #expect(first >= 0)
    #expect(body() == "annfunctionnil")
    bench.ask(.onLog, policy: 1)
    bench.ask(.onLog, policy: 1)
    #expect(body() == "annfunction2" && bench.context == first)
    bench.endContext()
    #expect(bench.context == -1)
    #expect(body() == "nilnilnil", "nothing is left for the next one")
  }

  @Test func contextsAreApart() throws {
    let bench = try PolicyBench(
      "return {on_request = function(req, ctx) ctx.n = (ctx.n or 0) + 1 ctx.user = tostring(ctx.n) end}")
    var contexts: [Int32] = [-1, -1, -1]
    for round in 1...3 {
      for index in 0..<3 {
        bench.context = contexts[index]
        bench.ask()
        contexts[index] = bench.context
        #expect(bench.machine.user(contexts[index]).map { String(decoding: $0, as: UTF8.self) } == "\(round)")
      }
    }
    #expect(Set(contexts).count == 3)
  }

  static let users: [(String, String?)] = [
    ("'ann'", "ann"), ("''", ""), ("'a\\0b'", "a\0b"), ("nil", nil), ("5", nil), ("{}", nil), ("true", nil),
    ("setmetatable({}, {__tostring = function() return 'ann' end})", nil),
  ]

  @Test(arguments: users) func whoIsCalling(_ value: String, _ expected: String?) throws {
    let bench = try PolicyBench("return {on_request = function(req, ctx) ctx.user = \(value) end}")
    #expect(bench.machine.user(bench.context) == nil, "nobody has been asked")
    bench.ask()
    #expect(bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } == expected)
  }

  // MARK: Waiting

  private static let asking = """
    local function ask(path) return edge.http.fetch{service = "users", path = path} end
    return {on_request = function(req, ctx)
      ctx.seen = req.path
      local first = ask("/1")
      ctx.first = first.status
      req.headers["x-first"] = first.body
      local fine, second = pcall(ask, "/2")
      req.headers["x-second"] = fine and second.body or second
      edge.refuse("CONFLICT", {first = ctx.first, path = ctx.seen})
    end}
    """

  private func answer(_ body: String, status: UInt16 = 200) -> OperationAnswer {
    .fetched(service: "users", .answered(FetchAnswer(status: status, headers: [], body: Array(body.utf8))))
  }

  @Test func policiesWaitAndGoOn() throws {
    let bench = try PolicyBench(MachineAskingTests.asking)
    #expect(bench.ask() == .waiting)
    #expect(bench.coroutine >= 0 && bench.fetch?.path == "/1")
    #expect(bench.resume(answer("one", status: 404)) == .waiting)
    #expect(bench.fetch?.path == "/2" && bench.edits == ["x-first: one"])
    #expect(bench.resume(.fetched(service: "users", .failed(.upstreamTimeout))) == .answered)
    #expect(bench.coroutine == -1 && bench.verdict.code == .conflict)
    #expect(bench.edits == ["x-first: one", "x-second: p.lua:1: no answer from 'users': upstream_timeout"])
    #expect(bench.fetch == nil, "nothing is left to be done")
  }

  @Test func policiesThatWaitDoNotHoldUpOthers() throws {
    let bench = try PolicyBench(MachineAskingTests.asking)
    var waiting: [(context: Int32, coroutine: Int32)] = []
    for _ in 0..<20 {
      bench.context = -1
      bench.coroutine = -1
      #expect(bench.ask() == .waiting)
      waiting.append((bench.context, bench.coroutine))
    }
    #expect(Set(waiting.map(\.context)).count == 20 && Set(waiting.map(\.coroutine)).count == 20)
    for (index, place) in waiting.enumerated().reversed() {
      (bench.context, bench.coroutine) = place
      #expect(bench.resume(answer("", status: UInt16(200 + index))) == .waiting)
      #expect(bench.resume(answer("")) == .answered)
      #expect(bench.details?.contains("\"first\":\(200 + index)") == true)
      bench.endContext()
    }
  }

  @Test func anAnswerThatNobodyNeedsIsNotWaitedFor() throws {
    let bench = try PolicyBench(MachineAskingTests.asking)
    for _ in 0..<100 {
      #expect(bench.ask() == .waiting)
      #expect(bench.coroutine == 0, "the place is used again")
      bench.machine.abandon(coroutine: &bench.coroutine)
      #expect(bench.coroutine == -1)
      bench.machine.abandon(coroutine: &bench.coroutine)
      bench.endContext()
    }
  }

  @Test func aFailureThatNobodyCatchesIsThePolicys() throws {
    let bench = try PolicyBench(MachineAskingTests.asking)
    for cause in EndCause.allCases {
      bench.ask()
      #expect(bench.resume(.fetched(service: "users", .failed(cause))) == .failed)
      #expect(bench.failure == "no answer from 'users': \(cause.name)")
      bench.endContext()
    }
  }

  @Test func theLastPhaseMayWaitToo() throws {
    let bench = try PolicyBench(
      "return {on_log = function(ctx) ctx.user = edge.http.fetch{service = 'users', path = '/'}.body end}")
    bench.machine.host.view = nil
    #expect(bench.ask(.onLog) == .waiting)
    #expect(bench.resume(answer("told"), .onLog) == .passed)
    #expect(bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } == "told")
  }

  // MARK: The end of an exchange

  private func summary(_ cause: EndCause, nanoseconds: UInt64 = 1_500_000, bytes: UInt64 = 7) -> ExchangeSummary {
    ExchangeSummary(
      status: 503, cause: cause, durationNanoseconds: nanoseconds, requestBytes: bytes, responseBytes: bytes &+ 1)
  }

  @Test(arguments: EndCause.allCases) func factsOfTheEnd(_ cause: EndCause) throws {
    let bench = try PolicyBench.runner()
    bench.machine.note(summary(cause), &bench.context)
    #expect(bench.ask(.onLog) == .passed)
    #expect(
      bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) }
        == "{cause: '\(cause.name)', duration: 1.5, request_bytes: 7, response_bytes: 8, status: 503}")
  }

  @Test func factsStandBesideWhatPoliciesLeft() throws {
    let bench = try PolicyBench(
      "return {on_request = function(req, ctx) ctx.status = 'mine' ctx.own = 5 end, "
        + "on_log = function(ctx) ctx.user = ctx.status .. ' ' .. ctx.own .. ' ' .. math.type(ctx.status) end}")
    bench.ask()
    let context = bench.context
    bench.machine.note(summary(.completed, nanoseconds: .max, bytes: .max - 1), &bench.context)
    #expect(bench.context == context)
    #expect(bench.ask(.onLog) == .passed)
    #expect(bench.machine.user(context).map { String(decoding: $0, as: UTF8.self) } == "503 5 integer")
  }

  // MARK: The log

  @Test func failuresAreLogged() throws {
    let file = try LogFile()
    let bench = try PolicyBench(
      "local function inner() error('deep \\n\"trouble\"') end\nreturn {on_request = function() inner() end, "
        + "handle = function() end}", log: file.log)
    bench.ask()
    bench.ask(.handle)
    let lines = try file.lines()
    #expect(lines.count == 2)
    for (line, phase) in zip(lines, ["on_request", "handle"]) {
      #expect(line["event"] as? String == "policy_error" && line["level"] as? String == "error")
      #expect(line["requestId"] as? String == "the-request-id" && line["policy"] as? String == "p")
      #expect(line["phase"] as? String == phase)
    }
    #expect(lines[0]["message"] as? String == "p.lua:1: deep  \"trouble\"")
    let trace = try #require(lines[0]["traceback"] as? String)
    #expect(trace.contains("p.lua:1: in ") && trace.contains("p.lua:2: in "))
    #expect(lines[1]["message"] as? String == "handle returned without an answer; call edge.reply")
    #expect(lines[1]["traceback"] == nil)
  }

  /// A hundred lines in a second, then none until the next one.
  @Test func brokenPoliciesDoNotFillTheDisk() throws {
    let file = try LogFile()
    let bench = try PolicyBench("return {on_request = function(req, ctx) error(req.path) end}", log: file.log)
    for round in 0..<3 {
      try bench.show(PolicyBench.head("/\(round)"))
      for _ in 0..<(round == 1 ? 20 : 130) {
        #expect(bench.ask() == .failed)
        bench.endContext()
      }
      bench.machine.host.wallNanoseconds += 1_000_000_000
    }
    let messages = try file.lines().compactMap { $0["message"] as? String }
    #expect((0..<3).map { round in messages.count { $0 == "p.lua:1: /\(round)" } } == [100, 20, 100])
  }
}
