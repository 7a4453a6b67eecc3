// `on_retry`: what it is told about an attempt that has failed, and how it may end.

import Testing

@testable import Edge

@Suite("Policy machine: retrying") struct RetryingTests {
  private func bench(_ code: String) throws -> PolicyBench {
    let bench = try PolicyBench("return {on_retry = function(attempt, ctx)\n\(code)\nend}")
    bench.machine.host.view = nil
    bench.machine.host.attempt = PolicyAttempt(
      provider: StaticBytes("openai"), model: StaticBytes("gpt-4"), code: .rateLimitExceeded, status: 429, number: 2,
      next: PolicyCandidate(
        place: 1, name: StaticBytes("claude"), model: StaticBytes("claude-3-opus"), estimate: Amount(units: 15),
        priority: 2, load: 3, isEquivalent: true, isNamed: false))
    return bench
  }

  private func user(_ bench: PolicyBench) -> String? {
    bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func whatItIsTold() throws {
    let bench = try bench(
      """
      local next, parts = attempt.next, {}
      for _, name in ipairs{"provider", "model", "code", "status", "number"} do
        parts[#parts + 1] = tostring(attempt[name])
      end
      for _, name in ipairs{"provider", "model", "estimate", "priority", "load", "equivalent", "named"} do
        parts[#parts + 1] = tostring(next[name])
      end
      ctx.user = table.concat(parts, " ")
      """)
    #expect(bench.ask(.onRetry) == .passed)
    #expect(user(bench) == "openai gpt-4 RATE_LIMIT_EXCEEDED 429 2 claude claude-3-opus 15 2 3 true false")
  }

  static let ends: [(String, PolicyOutcome, String)] = [
    ("", .passed, ""), ("return nil", .passed, ""), ("attempt.next = nil", .passed, ""),
    ("edge.refuse(attempt.code)", .answered, ""),
    ("return attempt.next", .failed, "on_retry returned a value; return nothing, or call edge.refuse"),
    ("return true", .failed, "on_retry returned a value; return nothing, or call edge.refuse"),
    ("return {}", .failed, "on_retry returned a value; return nothing, or call edge.refuse"),
    ("edge.reply{}", .failed, "edge.reply has a meaning in on_request, on_response and handle only"),
    ("edge.credit.hold('ann', 1)", .failed, "edge.credit.hold has a meaning in on_select only"),
    (
      "edge.price.estimate()", .failed,
      "edge.price.estimate has a meaning in on_request, on_message and handle only"
    ),
    ("error('own words')", .failed, "own words"),
  ]

  @Test(arguments: ends) func ways(_ code: String, _ outcome: PolicyOutcome, _ failure: String) throws {
    let bench = try bench(code)
    #expect(bench.ask(.onRetry) == outcome)
    #expect(bench.failure == failure)
    #expect((bench.verdict.code == .rateLimitExceeded) == (outcome == .answered))
  }

  @Test func itMayWait() throws {
    let bench = try bench(
      "ctx.user = tostring(edge.http.fetch{service = 'users', path = '/'}.status) .. attempt.number")
    #expect(bench.ask(.onRetry) == .waiting)
    let answer = FetchAnswer(status: 204, headers: [], body: [])
    #expect(bench.resume(.fetched(service: "users", .answered(answer)), .onRetry) == .passed)
    #expect(user(bench) == "2042")
  }

  /// Balances may be asked for; without a ledger no other provider is asked.
  @Test func theLedgerMayBeAsked() throws {
    let bench = try bench("edge.credit.balance('ann')")
    #expect(bench.ask(.onRetry) == .waiting)
    #expect(bench.resume(.ledger(.unavailable), .onRetry) == .answered)
    #expect(bench.verdict.code == .serviceUnavailable)
  }

  /// Nobody asks so, and it must not read what is not there.
  @Test func withoutAnAttempt() throws {
    let bench = try bench("ctx.user = type(attempt)")
    bench.machine.host.attempt = nil
    #expect(bench.ask(.onRetry) == .passed)
    #expect(user(bench) == "nil")
  }
}
