// `edge.credit` and `edge.price`: amounts, what is asked of the ledger and what scripts get for its answers, what waits
// for the body.

import Testing

@testable import Edge

extension PolicyBench {
  /// What the ledger is asked.
  fileprivate var asked: LedgerRequest? {
    guard case .ledger(let request)? = machine.host.operation else { return nil }
    return request
  }

  /// What code returns when the ledger has answered, or a string when it asked for something else.
  fileprivate func run(_ code: String, _ request: LedgerRequest, _ answer: LedgerAnswer) throws -> String {
    let outcome = try start(code)
    guard outcome == .waiting else { return outcome == .answered ? body : "\(outcome): \(failure)" }
    guard asked == request else { return "\(asked.map { "\($0)" } ?? "nothing")" }
    return resume(.ledger(answer), .handle) == .answered ? body : failure
  }
}

@Suite("edge: credit and price") struct CreditAPITests {
  // MARK: Amounts

  static let amounts: [(String, String)] = [
    ("0", "0"), ("12", "12000000000"), ("'12.5'", "12500000000"), ("'12'", "12000000000"), ("'0.000000001'", "1"),
    ("'012.50'", "12500000000"), ("'9223372036.854775807'", "9223372036854775807"),
    ("9223372036", "9223372036000000000"), ("edge.credit.decimal(12500000000)", "12500000000"),
    ("edge.credit.decimal(0)", "0"), ("edge.credit.decimal(math.maxinteger)", "9223372036854775807"),
  ]

  @Test(arguments: amounts) func amountsAreExact(_ value: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.credit.amount(\(value))") == expected)
    #expect(try bench.run("return math.type(edge.credit.amount(\(value)))") == "'integer'")
  }

  private static let byText =
    "a text of an amount has digits, at most one point and nine places, such as \"12.5\""
  private static let byNumber =
    "a number of credits is whole and not negative, or a text of at most nine places such as \"12.5\""
  private static let byType = "an amount is a whole number of credits, a decimal, or a text such as \"12.5\""

  static let noAmounts: [(String, String)] = [
    ("''", byText), ("'.5'", byText), ("'5.'", byText), ("'1e3'", byText), ("'-1'", byText), ("'+1'", byText),
    ("' 1'", byText), ("'1,5'", byText), ("'0.0000000001'", byText), ("'9223372036.854775808'", byText),
    ("'1.2.3'", byText), ("'\\xff'", byText), ("-1", byNumber), ("-0.5", byNumber), ("0/0", byNumber),
    ("1/0", byNumber), ("-1/0", byNumber), ("0.1 + 0.2", byNumber), ("12.5", byNumber), ("12.0", byNumber),
    ("1e9", byNumber), ("999999999.999999999", byNumber), ("1000000000.000000001", byNumber), ("1e300", byNumber),
    ("edge.credit.decimal(-1)", byNumber), ("9223372037", "the amount is too large"),
    ("math.maxinteger", "the amount is too large"), ("", byType), ("nil", byType), ("true", byType), ("{}", byType),
    ("edge.json.null", byType), ("req", byType),
  ]

  @Test(arguments: noAmounts) func whatIsNoAmount(_ value: String, _ problem: String) throws {
    #expect(try PolicyBench.runner().run("return edge.credit.amount(\(value))") == "nil, '\(problem)'")
  }

  /// What a number of JSON says, digit by digit; nil: it is no amount.
  static let numbers: [(String, String?)] = [
    ("0", "0"), ("1.0", "1000000000"), ("12.5", "12500000000"), ("0.1", "100000000"), ("1e-9", "1"),
    ("1.5E+3", "1500000000000"),
    ("2.5e-1", "250000000"), ("123456789.123456789", "123456789123456789"),
    ("999999999.999999999", "999999999999999999"), ("1000000000.000000001", "1000000000000000001"),
    ("9223372036.854775807", "9223372036854775807"), ("0.30000000000000000", "300000000"),
    ("1e9", "1000000000000000000"),
    ("0e18", "0"), ("9223372036.854775808", nil), ("0.0000000001", nil), ("0.30000000000000004", nil), ("1e-10", nil),
    ("-0.5", nil), ("-1", nil), ("1e400", nil), ("1e18", nil), ("0.1e99999999999999999999", nil), ("-1e-400", nil),
    ("99999999999999999999", nil),
  ]

  @Test(arguments: numbers) func numbersOfJSONAreExact(_ number: String, _ expected: String?) throws {
    let bench = try PolicyBench.runner()
    for name in ["decode", "try_decode"] {
      let amount = try bench.run(
        "return (edge.credit.amount(edge.json.\(name)('{\"a\":[\(number)]}', 'decimals').a[1]))")
      #expect(amount == expected ?? "nil")
    }
    // Without the word nothing with a fraction is an amount.
    guard number.contains(where: { ".eE".contains($0) }) else { return }
    #expect(
      try bench.run("return edge.credit.amount(edge.json.decode('\(number)'))")
        == "nil, '\(CreditAPITests.byNumber)'")
  }

  static let decimals: [(String, String)] = [
    ("0", "0"), ("1", "0.000000001"), ("12500000000", "12.5"), ("-30000000", "-0.03"), ("1e9 // 1", "1"),
    ("math.maxinteger", "9223372036.854775807"), ("math.mininteger", "-9223372036.854775808"),
  ]

  @Test(arguments: decimals) func decimalsAreWrittenPlain(_ amount: String, _ text: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return tostring(edge.credit.decimal(\(amount)))") == "'\(text)'")
    #expect(
      try bench.run("local d = edge.credit.decimal(\(amount)) return edge.json.encode({a = {d}, b = d})")
        .contains("[\(text)]"))
    #expect(try bench.run("return edge.json.encode(edge.credit.decimal(\(amount)))") == "'\(text)'")
    #expect(try bench.start("edge.reply{json = {v = edge.credit.decimal(\(amount))}}") == .answered)
    #expect(bench.body == "{\"v\":\(text)}")
    #expect(
      try bench.start("edge.refuse('INSUFFICIENT_CREDITS', {required = edge.credit.decimal(\(amount))})") == .answered)
    #expect(bench.details == "{\"required\":\(text)}")
    #expect(
      try bench.start("edge.http.fetch{service = 'users', path = '/', json = edge.credit.decimal(\(amount))}")
        == .waiting)
    #expect(bench.fetch.map { String(decoding: $0.body, as: UTF8.self) } == text)
  }

  /// Nothing but JSON takes them.
  static let refusals: [(String, String)] = [
    ("edge.kv.set('k', d)", "error: edge.kv keeps strings; encode the value first"),
    ("edge.kv.set(d, 'v')", "error: edge.kv.set takes a key: a string of 1 to 256 bytes"),
    (
      "return edge.permission.allows({d}, 'a:b')",
      "error: edge.permission.allows takes roles: one name, or a list of at most 256"
    ),
    (
      "return edge.permission.allows(d, 'a:b')",
      "error: edge.permission.allows takes roles: one name, or a list of at most 256"
    ),
    ("edge.reply(d)", "error: edge.reply needs a table such as {status=200, json={ok=true}}"),
    ("edge.reply{status = d}", "error: the status of edge.reply must be a whole number from 200 to 599"),
    ("edge.reply{body = d}", "error: the body of edge.reply must be a string"),
    ("edge.reply{headers = d}", "error: the headers of edge.reply must be a table from names to strings"),
    ("edge.refuse('FORBIDDEN', {retry_after = d})", "error: 'retry_after' of edge.refuse is a number of seconds"),
    ("edge.refuse('FORBIDDEN', d)", "error: the details of edge.refuse must be a table"),
    ("edge.http.fetch{service = d, path = '/'}", "error: 'service' of edge.http.fetch must be a string"),
    ("edge.credit.hold(d, 1)", "error: \(byName("hold"))"),
    ("edge.credit.decimal(d)", "error: edge.credit.decimal takes a whole number of billionths"),
    ("edge.json.encode({d, req})", "error: \(noJSON)"), ("edge.json.encode(req.credential)", "error: \(noJSON)"),
    ("edge.json.encode({[d] = 1})", "error: \(noJSON)"), ("d.x = 1", "error: decimal is read-only: 'x' cannot be set"),
  ]
  private static let noJSON =
    "the value has no JSON: it holds functions, has keys of other kinds, or is too large or deep"

  @Test(arguments: refusals) func decimalsAreForJSON(_ code: String, _ expected: String) throws {
    let fields = ["authorization: Bearer x"]
    #expect(try PolicyBench.runner().run("local d = edge.credit.decimal(5) \(code)", "/", fields) == expected)
  }

  // MARK: Arguments

  private static func byName(_ function: String) -> String {
    "edge.credit.\(function) takes an account: a name of 1 to 256 bytes of UTF-8, such as ctx.user"
  }

  static let accounts = ["", "nil", "''", "5", "{}", "('x'):rep(257)", "'\\xff'", "req"]

  @Test(arguments: accounts) func whatIsNoAccount(_ value: String) throws {
    let bench = try PolicyBench.runner()
    for name in ["balance", "hold", "history", "grant"] {
      #expect(try bench.run("edge.credit.\(name)(\(value))") == "error: \(CreditAPITests.byName(name))")
    }
  }

  private static let byAmount =
    "an amount is a whole number of billionths from 0 on; edge.credit.amount makes one"

  static let wrong: [(String, String)] = [
    ("edge.credit.hold('ann', 1)", "edge.credit.hold has a meaning in on_select only"),
    ("edge.credit.grant('ann', 0, {by = 'root'})", "a grant is above 0; \(byAmount)"),
    ("edge.credit.grant('ann', -1, {by = 'root'})", "a grant is above 0; \(byAmount)"),
    ("edge.credit.grant('ann', 1.5, {by = 'root'})", "a grant is above 0; \(byAmount)"),
    ("edge.credit.grant('ann', '1', {by = 'root'})", "a grant is above 0; \(byAmount)"),
    ("edge.credit.grant('ann', 1)", "the table of edge.credit.grant must have names for keys"),
    ("edge.credit.grant('ann', 1, {})", "'by' of edge.credit.grant says who grants: UTF-8 of 1 to 256 bytes"),
    (
      "edge.credit.grant('ann', 1, {by = 'root', keys = 'k'})",
      "edge.credit.grant does not know 'keys'; it takes by, key and reason"
    ),
    (
      "edge.credit.grant('ann', 1, {by = 'root', key = ('k'):rep(257)})",
      "'key' of edge.credit.grant is UTF-8 of 1 to 256 bytes"
    ),
    ("edge.credit.grant('ann', 1, {by = 'root', key = 5})", "'key' of edge.credit.grant is UTF-8 of 1 to 256 bytes"),
    (
      "edge.credit.grant('ann', 1, {by = 'root', reason = '\\xff'})",
      "'reason' of edge.credit.grant is UTF-8 of 1 to 1,024 bytes"
    ),
    ("edge.credit.history('ann', 5)", "the table of edge.credit.history must have names for keys"),
    ("edge.credit.history('ann', {after = 1})", "edge.credit.history does not know 'after'; it takes before and limit"),
    ("edge.credit.history('ann', {limit = 0})", "'limit' of edge.credit.history is a whole number from 1 to 200"),
    ("edge.credit.history('ann', {limit = 201})", "'limit' of edge.credit.history is a whole number from 1 to 200"),
    ("edge.credit.history('ann', {limit = '5'})", "'limit' of edge.credit.history is a whole number from 1 to 200"),
    (
      "edge.credit.history('ann', {before = 0})", "'before' of edge.credit.history is what the call before has returned"
    ),
    (
      "edge.credit.history('ann', {before = 1.5})",
      "'before' of edge.credit.history is what the call before has returned"
    ),
    (
      "table.sort({2, 1}, function() edge.credit.balance('ann') end)",
      "cannot wait here: the caller cannot be suspended"
    ),
  ]

  @Test(arguments: wrong) func wrongArguments(_ code: String, _ problem: String) throws {
    #expect(try PolicyBench.runner().run(code) == "error: \(problem)")
  }

  @Test(arguments: ["balance('a')", "hold('a', 1)", "history('a')", "grant('a', 1, {by = 'b'})"])
  func initCannotWait(_ code: String) throws {
    #expect(
      try PolicyBench.start("edge.credit.\(code)")
        == "error: edge.credit may wait for the ledger, and init cannot wait")
  }

  // MARK: Answers

  @Test func balances() throws {
    let bench = try PolicyBench.runner()
    let account = AccountBalance(balance: Amount(units: 10), held: Amount(units: 4))
    let code = "return edge.credit.balance('ann')"
    #expect(try bench.run(code, .balance(account: "ann"), .balance(account)) == "10, 4, 6")
    let overdrawn = AccountBalance(balance: Amount(units: 1), held: Amount(units: 4))
    #expect(try bench.run(code, .balance(account: "ann"), .balance(overdrawn)) == "1, 4, 0")
  }

  @Test func history() throws {
    let bench = try PolicyBench.runner()
    var settled = LedgerEntry(
      place: 7, transaction: "T7", kind: .settlement, amount: Amount(units: -30), balance: Amount(units: 70),
      wall: PolicyBench.wall)
    settled.requestID = "r"
    settled.provider = "openai"
    settled.model = "gpt-4"
    settled.shortfall = Amount(units: 2)
    settled.usage = Usage(source: .estimated, inputTokens: 8, outputTokens: 5, reasoningTokens: 1)
    var granted = LedgerEntry(
      place: 3, transaction: "T3", kind: .grant, amount: Amount(units: 100), balance: Amount(units: 100),
      wall: 1_500_000_000)
    granted.reason = "welcome"
    let shown =
      "{amount: -30, balance: 70, kind: 'settlement', model: 'gpt-4', provider: 'openai', request: 'r', shortfall: 2, "
      + "time: 1700000000.5, transaction: 'T7', usage: {cacheWriteTokens: 0, cachedTokens: 0, inputTokens: 8, "
      + "outputTokens: 5, reasoningTokens: 1, source: 'estimated'}}"
    let second = "{amount: 100, balance: 100, kind: 'grant', reason: 'welcome', time: 1.5, transaction: 'T3'}"
    #expect(
      try bench.run(
        "return edge.credit.history('ann', {before = 9, limit = 2})",
        .history(account: "ann", before: 9, limit: 2), .history([settled, granted], next: 3))
        == "[\(shown), \(second)], 3")
    for code in ["return edge.credit.history('ann')", "return edge.credit.history('ann', {})"] {
      #expect(
        try bench.run(code, .history(account: "ann", before: 0, limit: 50), .history([], next: 0)) == "{}, nil")
    }
  }

  /// What no token can call a user.
  @Test(arguments: ["' ann'", "'ann '", "'a\\nb'", "'a\\0'", "'\\u{9f}'", "'\\127'"])
  func nobodyIsCalledSo(_ user: String) throws {
    #expect(
      try PolicyBench.runner().run("return edge.credit.grant(\(user), 5, {by = 'root'})") == "nil, 'account'")
  }

  @Test func grants() throws {
    let bench = try PolicyBench.runner()
    let code = "return edge.credit.grant('ann', 5, {by = 'root', key = 'k', reason = 'why'})"
    let request = LedgerRequest.grant(account: "ann", Amount(units: 5), by: "root", key: "k", reason: "why")
    let granted = LedgerAnswer.granted(transaction: "T", balance: Amount(units: 9))
    #expect(try bench.run(code, request, granted) == "{balance: 9, transaction: 'T'}")
    #expect(try bench.run(code, request, .conflict) == "nil, 'conflict'")
    #expect(try bench.run(code, request, .overflow) == "nil, 'overflow'")
    #expect(
      try bench.run(
        "return edge.credit.grant('ann', 5.0, {by = 'root'})",
        .grant(account: "ann", Amount(units: 5), by: "root", key: nil, reason: nil), granted)
        == "{balance: 9, transaction: 'T'}")
  }

  /// What may still be refused is, whatever the script would catch; what has ended gets an error.
  @Test func withoutALedger() throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.start("pcall(edge.credit.balance, 'ann') edge.reply{}") == .waiting)
    #expect(bench.resume(.ledger(.unavailable), .handle) == .answered)
    #expect(bench.verdict.code == .serviceUnavailable && bench.coroutine == -1)
    #expect(bench.message == "The ledger of credits cannot be reached; try again shortly.")
    let late = try PolicyBench("return {on_log = function() edge.credit.balance('ann') end}")
    #expect(late.ask(.onLog) == .waiting)
    #expect(late.resume(.ledger(.unavailable), .onLog) == .failed)
    #expect(late.failure == "the ledger of credits cannot be reached")
  }

  // MARK: The price and the body

  private static let asking = """
    return {on_request = function(req, ctx)
      ctx.first = edge.price.estimate()
      ctx.user = tostring(ctx.first) .. " " .. tostring(req.body) .. " " .. tostring(edge.price.estimate())
    end}
    """

  private func user(_ bench: PolicyBench) -> String? {
    bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) }
  }

  private func withBody(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    Array(text.utf8).withUnsafeBufferPointer(body)
  }

  @Test func estimatesThatAreKnown() throws {
    let bench = try PolicyBench(CreditAPITests.asking)
    #expect(bench.ask() == .passed)
    #expect(user(bench) == "nil nil nil")
    bench.endContext()
    withBody("{}") { body in
      bench.machine.host.price = .known(Amount(units: 5))
      bench.machine.host.body = .known(body)
      #expect(bench.ask() == .passed)
      #expect(user(bench) == "5 {} 5")
    }
  }

  @Test func estimatesThatWaitForTheBody() throws {
    let bench = try PolicyBench(CreditAPITests.asking)
    bench.machine.host.price = .needsBody
    bench.machine.host.body = .needsBody
    #expect(bench.ask() == .waiting)
    guard case .body? = bench.machine.host.operation else {
      Issue.record("the body is not asked for")
      return
    }
    withBody("{\"a\":1}") { body in
      bench.machine.host.price = .known(Amount(units: 5))
      bench.machine.host.body = .known(body)
      #expect(bench.resume(.body) == .passed)
    }
    #expect(user(bench) == "5 {\"a\":1} 5")
  }

  @Test func bodiesThatAreAskedFor() throws {
    let bench = try PolicyBench.runner()
    bench.machine.host.body = .needsBody
    #expect(try bench.start("return req.body, edge.price.estimate()") == .waiting)
    withBody("a\0b") { body in
      bench.machine.host.body = .known(body)
      #expect(bench.resume(.body, .handle) == .answered)
    }
    #expect(bench.body == "'a\0b', nil")
    bench.machine.host.body = .needsBody
    #expect(try bench.start("return req.body") == .waiting)
    bench.machine.host.body = .none
    #expect(bench.resume(.body, .handle) == .answered)
    #expect(bench.body == "nil")
    bench.machine.host.body = .needsBody
    #expect(try bench.start("return req.body") == .waiting)
    #expect(bench.resume(.body, .handle) == .answered)
    #expect(bench.body == "error: the body was not read")
  }

  /// Whether it is known at once or after the wait, no catch goes on behind it.
  @Test(arguments: [false, true]) func requestsThatNobodyServes(_ waits: Bool) throws {
    let bench = try PolicyBench("return {on_request = function() pcall(edge.price.estimate) error('not stopped') end}")
    let refused = PriceQuestion.refused(.modelNotFound, message: StaticBytes("No such model."))
    bench.machine.host.price = waits ? .needsBody : refused
    if waits {
      #expect(bench.ask() == .waiting)
      bench.machine.host.price = refused
      #expect(bench.resume(.body) == .answered)
    } else {
      #expect(bench.ask() == .answered)
    }
    #expect(bench.coroutine == -1 && bench.verdict.code == .modelNotFound && bench.message == "No such model.")
    bench.machine.host.price = .refused(.invalidRequest, message: .empty)
    #expect(bench.ask() == .answered && bench.message == nil, "the code has its own")
  }

  @Test func estimatesAreForRequests() throws {
    let problem = "edge.price.estimate has a meaning in on_request, on_message and handle only"
    #expect(try PolicyBench.start("edge.price.estimate()") == "error: \(problem)")
    for phase in [PolicyPhase.onSelect, .onLog] {
      let bench = try PolicyBench("return {\(phase.rawValue) = function() edge.price.estimate() end}")
      #expect(bench.ask(phase) == .failed && bench.failure == problem)
    }
  }

  /// Each coroutine gets what it waits for, whatever the others wait for.
  @Test func waitsAreKeptApart() throws {
    let bench = try PolicyBench(CreditAPITests.asking)
    var waiting: [(context: Int32, coroutine: Int32)] = []
    for _ in 0..<4 {
      bench.machine.host.price = .needsBody
      bench.machine.host.body = .needsBody
      bench.context = -1
      bench.coroutine = -1
      #expect(bench.ask() == .waiting)
      waiting.append((bench.context, bench.coroutine))
    }
    withBody("b") { body in
      for (index, place) in waiting.enumerated().reversed() {
        (bench.context, bench.coroutine) = place
        bench.machine.host.price = .known(Amount(units: Int64(index)))
        bench.machine.host.body = .needsBody
        #expect(bench.resume(.body) == .waiting, "now for the body itself")
        waiting[index] = (bench.context, bench.coroutine)
      }
      for (index, place) in waiting.enumerated() {
        (bench.context, bench.coroutine) = place
        bench.machine.host.price = .known(Amount(units: Int64(index)))
        bench.machine.host.body = .known(body)
        #expect(bench.resume(.body) == .passed)
        #expect(user(bench) == "\(index) b \(index)")
        bench.endContext()
      }
    }
  }
}
