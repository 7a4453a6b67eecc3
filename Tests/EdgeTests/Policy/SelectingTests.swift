// `on_select`: what it is given, what it may return, and the hold that only it can ask for.

import Testing

@testable import Edge

@Suite("Policy machine: selecting") struct SelectingTests {
  private func bench(_ code: String) throws -> PolicyBench {
    let bench = try PolicyBench("return {on_select = function(candidates, ctx)\n\(code)\nend}")
    bench.machine.host.view = nil
    bench.machine.host.candidates = [
      candidate(3, "openai", "gpt-4", 30), candidate(5, "other", "gpt-4", 20), candidate(8, "other", "big", 10),
    ]
    return bench
  }

  private func candidate(_ place: Int32, _ name: StaticString, _ model: StaticString, _ units: Int64) -> PolicyCandidate
  {
    PolicyCandidate(
      place: place, name: StaticBytes(name), model: StaticBytes(model), estimate: Amount(units: units))
  }

  private func places(_ bench: PolicyBench) -> [Int32] { bench.machine.host.candidates.map(\.place) }

  @Test func candidatesAreTables() throws {
    let bench = try bench("ctx.user = edge.json.encode(candidates[1]) .. #candidates")
    #expect(bench.ask(.onSelect) == .passed)
    let text = bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } ?? ""
    #expect(text.hasSuffix("}3"))
    let parts = [
      "\"provider\":\"openai\"", "\"model\":\"gpt-4\"", "\"estimate\":30", "\"priority\":0", "\"load\":0",
      "\"equivalent\":false", "\"named\":false",
    ]
    for part in parts { #expect(text.contains(part)) }
    bench.machine.host.candidates = [candidate(0, "pictures", "", 7)]
    bench.endContext()
    #expect(bench.ask(.onSelect) == .passed)
    let service = bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } ?? ""
    #expect(service.contains("\"service\":\"pictures\"") && !service.contains("provider"))
  }

  @Test func whatElseIsKnownOfCandidates() throws {
    let bench = try bench(
      "local c = candidates[2] "
        + "ctx.user = table.concat({c.priority, c.load, tostring(c.equivalent), tostring(c.named)}, ' ')")
    var other = candidate(5, "other", "gpt-4", 20)
    (other.priority, other.load, other.isEquivalent, other.isNamed) = (7, 42, true, true)
    bench.machine.host.candidates[1] = other
    #expect(bench.ask(.onSelect) == .passed)
    #expect(user(bench) == "7 42 true true")
  }

  private static let other = "on_select returned something else than nothing or a list of its candidates"
  private static let stranger = "on_select returned somebody who is none of its candidates"

  static let orders: [(String, [Int32], String)] = [
    ("", [3, 5, 8], ""), ("return", [3, 5, 8], ""), ("return nil", [3, 5, 8], ""),
    ("return candidates", [3, 5, 8], ""),
    ("return {candidates[3], candidates[1]}", [8, 3], ""), ("table.remove(candidates, 1)", [3, 5, 8], ""),
    ("table.remove(candidates, 1) return candidates", [5, 8], ""),
    ("candidates[1].estimate = 0 return {candidates[1]}", [3], ""),
    ("table.sort(candidates, function(a, b) return a.estimate < b.estimate end) return candidates", [8, 5, 3], ""),
    ("return {{provider = 'other', model = 'big'}}", [8], ""),
    ("return {}", [], ""), ("return edge.json.array{}", [], ""),
    ("return true", [], other), ("return 'openai'", [], other), ("return candidates[1]", [], other),
    ("return {tostring}", [], other), ("return {'openai'}", [], stranger),
    ("return {{provider = 'other'}}", [], stranger),
    ("return {{provider = 'nobody', model = 'gpt-4'}}", [], stranger),
    ("return {{service = 'openai'}}", [], stranger), ("return {edge.credit.decimal(1)}", [], stranger),
    ("return {candidates[1], candidates[1]}", [], "on_select returned a candidate twice"),
    ("edge.reply{}", [], "edge.reply has a meaning in on_request, on_response and handle only"),
    ("return tostring", [], other),
  ]

  @Test(arguments: orders) func whatIsReturned(_ code: String, _ order: [Int32], _ problem: String) throws {
    let bench = try bench(code)
    #expect(bench.ask(.onSelect) == (problem.isEmpty ? .passed : .failed))
    #expect(bench.failure == problem)
    #expect(places(bench) == (problem.isEmpty ? order : [3, 5, 8]))
    for candidate in bench.machine.host.candidates where candidate.place == 3 {
      #expect(candidate.estimate.units == 30, "what it costs is not for scripts to say")
    }
  }

  @Test func itMayRefuse() throws {
    let bench = try bench("edge.refuse('INSUFFICIENT_CREDITS', {required = candidates[1].estimate})")
    #expect(bench.ask(.onSelect) == .answered)
    #expect(bench.verdict.code == .insufficientCredits && bench.details == "{\"required\":30}")
  }

  // MARK: Holding

  private static let holding =
    "ctx.held, ctx.left = edge.credit.hold('ann', candidates[1].estimate) "
    + "ctx.user = tostring(ctx.held) .. ' ' .. tostring(ctx.left)"

  private func user(_ bench: PolicyBench) -> String? {
    bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func holdsThatAreGranted() throws {
    let bench = try bench(SelectingTests.holding)
    #expect(bench.ask(.onSelect) == .waiting)
    guard case .ledger(.hold(account: "ann", Amount(units: 30)))? = bench.machine.host.operation else {
      Issue.record("no hold is asked for")
      return
    }
    #expect(bench.machine.host.hold == nil)
    let account = AccountHandle(index: 4, serial: 9)
    let answer = LedgerAnswer.hold(.granted(account, available: Amount(units: 70)))
    #expect(bench.resume(.ledger(answer), .onSelect) == .passed)
    #expect(user(bench) == "true 70")
    #expect(bench.machine.host.hold == HeldCredits(account: account, amount: Amount(units: 30)))
    #expect(bench.ask(.onSelect) == .failed)
    #expect(bench.failure == "edge.credit.hold holds once for each exchange")
  }

  @Test func holdsThatAreNot() throws {
    let bench = try bench(SelectingTests.holding)
    #expect(bench.ask(.onSelect) == .waiting)
    #expect(bench.resume(.ledger(.hold(.refused(available: Amount(units: 29)))), .onSelect) == .passed)
    #expect(user(bench) == "false 29" && bench.machine.host.hold == nil)
    for answer in [LedgerAnswer.hold(.unavailable), .hold(.pending), .unavailable] {
      #expect(bench.ask(.onSelect) == .waiting)
      #expect(bench.resume(.ledger(answer), .onSelect) == .answered)
      #expect(bench.verdict.code == .serviceUnavailable && bench.machine.host.hold == nil)
    }
  }

  @Test(arguments: ["-1", "1.5", "'1'", "nil", "2^63"]) func amountsThatCannotBeHeld(_ amount: String) throws {
    let bench = try bench("edge.credit.hold('ann', \(amount))")
    #expect(bench.ask(.onSelect) == .failed)
    #expect(
      bench.failure == "an amount is a whole number of billionths from 0 on; edge.credit.amount makes one")
  }

  /// Each exchange gets what it asked for, in whatever order the ledger answers.
  @Test func holdsAreKeptApart() throws {
    let bench = try bench(SelectingTests.holding)
    var waiting: [(context: Int32, coroutine: Int32)] = []
    for units in 0..<8 {
      bench.machine.host.candidates = [candidate(0, "a", "m", Int64(units))]
      (bench.context, bench.coroutine) = (-1, -1)
      #expect(bench.ask(.onSelect) == .waiting)
      waiting.append((bench.context, bench.coroutine))
    }
    for (units, place) in waiting.enumerated().reversed() {
      (bench.context, bench.coroutine) = place
      bench.machine.host.hold = nil
      let account = AccountHandle(index: Int32(units), serial: 1)
      let answer = LedgerAnswer.hold(.granted(account, available: .zero))
      #expect(bench.resume(.ledger(answer), .onSelect) == .passed)
      #expect(bench.machine.host.hold == HeldCredits(account: account, amount: Amount(units: Int64(units))))
    }
  }
}
