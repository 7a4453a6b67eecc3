// `edge.limit`: rules that are read and refused, takes over time, who counts together. The clock stands still until a
// test moves it.

import Testing

@testable import Edge

@Suite("edge: limit") struct LimitAPITests {
  private static let second: UInt64 = 1_000_000_000

  private func bench(_ rule: String, stores: PolicyStores? = nil) throws -> PolicyBench {
    let bench = try PolicyBench.runner(start: "state.limit = edge.limit.define('l', \(rule))", stores: stores)
    bench.machine.host.stoppedNanoseconds = 1_000 * LimitAPITests.second
    return bench
  }

  private func pass(_ seconds: Double, _ bench: PolicyBench) {
    bench.machine.host.stoppedNanoseconds? += UInt64(seconds * 1e9)
  }

  private let take = "return state.limit:take('k')"

  // MARK: Rules

  static let good = [
    "{limit = '1 per 1s'}", "{limit = '10000 per 30d'}", "{rate = '10 per 1s'}", "{rate = '10 per 1s', burst = 5}",
    "{rate = '1 per 1h', burst = 1}", "{rate = '1 per 1h', burst = 3.0}", "{rate = '1 per 1ms', burst = 1000000}",
    "{limit = ' 5  per  1m '}",
  ]

  @Test(arguments: good) func rules(_ rule: String) throws {
    #expect(try bench(rule).run("local granted = state.limit:take('k') return state.limit, granted") == "handle, true")
  }

  private static let hint = "write a number, 'per' and an interval, such as '100 per 1m'"

  static let bad: [(String, String)] = [
    ("'l'", "a limit needs a table such as {limit=\"100 per 1m\"}"),
    ("'l', '5 per 1s'", "a limit needs a table such as {limit=\"100 per 1m\"}"),
    ("'l', nil", "a limit needs a table such as {limit=\"100 per 1m\"}"),
    ("", "a limit needs a name of at most 128 bytes"),
    ("'', {limit = '5 per 1s'}", "a limit needs a name of at most 128 bytes"),
    ("5, {limit = '5 per 1s'}", "a limit needs a name of at most 128 bytes"),
    ("('l'):rep(129), {limit = '5 per 1s'}", "a limit needs a name of at most 128 bytes"),
    ("{limit = '5 per 1s'}", "a limit needs a name of at most 128 bytes"),
    ("'l', {}", "a limit needs 'limit' (100 per 1m) or 'rate' (10 per 1s)"),
    ("'l', {burst = 5}", "a limit needs 'limit' (100 per 1m) or 'rate' (10 per 1s)"),
    ("'l', {'5 per 1s'}", "the table of edge.limit.define must have names for keys"),
    ("'l', {limits = '5 per 1s'}", "a limit does not know 'limits'; it takes limit, or rate and burst"),
    ("'l', {limit = '5 per 1s', x = 1}", "a limit does not know 'x'; it takes limit, or rate and burst"),
    ("'l', {limit = '5 per 1s', rate = '5 per 1s'}", "a limit has 'limit' or 'rate', not both"),
    ("'l', {limit = '5 per 1s', burst = 5}", "'burst' goes with 'rate', not with 'limit'"),
    ("'l', {limit = '5 per 1s', burst = false}", "'burst' goes with 'rate', not with 'limit'"),
    ("'l', {rate = '5 per 1s', burst = '5'}", "'burst' must be a whole number"),
    ("'l', {rate = '5 per 1s', burst = {}}", "'burst' must be a whole number"),
    ("'l', {rate = '5 per 1s', burst = 0}", "a burst of 0 is out of bounds: 1 to 1000000"),
    ("'l', {rate = '5 per 1s', burst = -2}", "a burst of -2 is out of bounds: 1 to 1000000"),
    ("'l', {rate = '5 per 1s', burst = 1000001}", "a burst of 1000001 is out of bounds: 1 to 1000000"),
    ("'l', {limit = tostring}", "a table contains a function, a coroutine or an object of Edge"),
    ("'l', {limit = '5'}", "'5' is not a limit: \(hint)"), ("'l', {limit = ''}", "'' is not a limit: \(hint)"),
    ("'l', {limit = '0 per 1s'}", "'0 per 1s' lets nothing in: a window counts 1 to 10000"),
    (
      "'l', {limit = '10001 per 1s'}",
      "'10001 per 1s' is too many for a window, which counts 1 to 10000: "
        + "give it as `rate` with a `burst` instead of `limit`"
    ),
    ("'l', {limit = '5 per 0s'}", "'5 per 0s': the interval '0s' is out of bounds: 1ms to 30d"),
    ("'l', {limit = '5 per 31d'}", "'5 per 31d': the interval '31d' is out of bounds: 1ms to 30d"),
    (
      "'l', {limit = '5 per minute'}",
      "'5 per minute': 'minute' is not an interval: write a number and one of ms, s, m, h, d, such as '1m'"
    ),
    ("'l', {rate = '0 per 1s'}", "'0 per 1s' lets nothing in: a rate is 1 to 1000000000 per interval"),
  ]

  @Test(arguments: bad) func rulesThatAreRefused(_ arguments: String, _ message: String) throws {
    let code = "return edge.limit.define(\(arguments))"
    #expect(try PolicyBench.start(code) == "error: " + message)
  }

  /// A mistake shows when the configuration is loaded, or not at all.
  @Test func onlyInInit() throws {
    let bench = try PolicyBench.runner()
    #expect(
      try bench.run("return edge.limit.define('l', {limit = '5 per 1s'})")
        == "error: limits are defined in init, so that mistakes show at once")
    let top = try PolicyBench(
      "local l = edge.limit.define('l', {limit = '1 per 1s'})\n"
        + "return {handle = function() edge.reply{body = tostring(l:take('k'))} end}")
    #expect(top.ask(.handle) == .answered && top.body == "true")
  }

  // MARK: Taking

  @Test func windows() throws {
    let bench = try bench("{limit = '3 per 10s'}")
    #expect(try bench.run(take) == "true, 2")
    pass(4, bench)
    #expect(try bench.run(take) == "true, 1")
    #expect(try bench.run(take) == "true, 0")
    #expect(try bench.run(take) == "false, 6.0")
    pass(5.75, bench)
    #expect(try bench.run(take) == "false, 0.25")
    pass(0.25, bench)
    #expect(try bench.run(take) == "true, 0")
    #expect(try bench.run(take) == "false, 4.0")
    pass(100, bench)
    #expect(try bench.run(take) == "true, 2")
  }

  @Test func rates() throws {
    let bench = try bench("{rate = '2 per 1s', burst = 3}")
    #expect(try bench.run("return state.limit:take('k'), state.limit:take('k')") == "true, true, 1")
    #expect(try bench.run(take) == "true, 0")
    #expect(try bench.run(take) == "false, 0.5")
    pass(0.25, bench)
    #expect(try bench.run(take) == "false, 0.25")
    pass(0.25, bench)
    #expect(try bench.run(take) == "true, 0")
    pass(100, bench)
    #expect(try bench.run(take) == "true, 2")
  }

  /// One second's worth when no burst is given.
  @Test func usualBursts() throws {
    #expect(try bench("{rate = '5 per 1s'}").run(take) == "true, 4")
    #expect(try bench("{rate = '5 per 1m'}").run(take) == "true, 0")
  }

  @Test func keysCountForThemselves() throws {
    let bench = try bench("{limit = '1 per 10s'}")
    for key in ["'a'", "'b'", "''", "'a\\0b'", "'a\\0c'", "('x'):rep(100000)", "'\\xff'"] {
      #expect(try bench.run("return state.limit:take(\(key))") == "true, 0")
      #expect(try bench.run("return state.limit:take(\(key))") == "false, 10.0")
    }
  }

  static let misused: [(String, String)] = [
    ("state.limit:take()", "a limit counts for a key, which must be a string"),
    ("state.limit:take(nil)", "a limit counts for a key, which must be a string"),
    ("state.limit:take(5)", "a limit counts for a key, which must be a string"),
    ("state.limit:take({})", "a limit counts for a key, which must be a string"),
    ("state.limit.take('k')", "take is a method: write limit:take(key)"),
    ("state.limit.take()", "take is a method: write limit:take(key)"),
    ("state.limit.take({}, 'k')", "take is a method: write limit:take(key)"),
    ("state.limit.take(req.credential, 'k')", "take is a method: write limit:take(key)"),
    ("state.limit.take(req, 'k')", "take is a method: write limit:take(key)"),
    ("state.limit.take(edge.json.null, 'k')", "take is a method: write limit:take(key)"),
  ]

  @Test(arguments: misused) func takesThatAreRefused(_ code: String, _ message: String) throws {
    let bench = try bench("{limit = '1 per 1s'}")
    #expect(try bench.run("return \(code)", "/", ["x-api-key: a"]) == "error: " + message)
    #expect(try bench.run(take) == "true, 0", "nothing was counted")
  }

  @Test func handlesCannotBeChanged() throws {
    let bench = try bench("{limit = '1 per 1s'}")
    #expect(try bench.run("state.limit.take = nil") == "error: limit is read-only: 'take' cannot be set")
    #expect(try bench.run("return state.limit.index, getmetatable(state.limit)") == "nil, false")
    #expect(try bench.run("setmetatable(state.limit, {})").hasPrefix("error: "))
  }

  /// Where nobody can say whether it would be granted it is not; the log says so now and then.
  @Test func tablesMayBeFull() throws {
    let stores = try PolicyStores()
    let file = try LogFile()
    let bench = try PolicyBench.runner(
      start: "state.limit = edge.limit.define('l', {limit = '10000 per 30d'})", stores: stores, log: file.log)
    bench.machine.host.stoppedNanoseconds = 1_000 * LimitAPITests.second
    // 64 MiB in windows of 10,000 stamps of eight bytes.
    let code = """
      for i = 1, 20 do
        local granted, wait = state.limit:take(state.base .. ' ' .. i)
        if not granted then state.refused = state.base .. ' ' .. i return wait end
      end
      """
    var result = ""
    for base in 0..<1_000 where result.isEmpty {
      result = try bench.run("state.base = \(base) \(code)")
    }
    #expect(result == "1.0")
    for (seconds, count) in [(0.0, 2), (9.5, 3), (0.5, 4), (1, 5)] {
      pass(seconds, bench)
      #expect(try bench.run("return state.limit:take(state.refused)") == "false, 1.0")
      #expect(stores.limits.fullCount == count)
    }
    let lines = try file.lines()
    #expect(lines.count == 2)
    for line in lines {
      #expect(line["event"] as? String == "limit_full" && line["level"] as? String == "warn")
      #expect(line["policy"] as? String == "p" && line["requestId"] as? String == "the-request-id")
    }
  }

  // MARK: Who counts together

  @Test func machinesOfOneProcessCountTogether() throws {
    let stores = try PolicyStores()
    let (one, two) = (
      try bench("{limit = '2 per 10s'}", stores: stores), try bench("{limit = '2 per 10s'}", stores: stores)
    )
    let other = try bench("{limit = '3 per 10s'}", stores: stores)
    #expect(stores.limits.limitCount == 2)
    #expect(try one.run(take) == "true, 1" && two.run(take) == "true, 0" && one.run(take) == "false, 10.0")
    #expect(try other.run(take) == "true, 2", "another rule is another limit")
    #expect(try bench("{limit = '2 per 10s'}").run(take) == "true, 1", "another process")
  }

  /// Limits live as long as a machine has them; what was counted survives in the next one that is there in time.
  @Test func limitsGoWithTheirMachines() throws {
    let stores = try PolicyStores()
    var one: PolicyBench? = try bench("{limit = '2 per 10s'}", stores: stores)
    #expect(try one?.run(take) == "true, 1")
    var two: PolicyBench? = try bench("{limit = '2 per 10s'}", stores: stores)
    one = nil
    #expect(try two?.run(take) == "true, 0" && stores.limits.limitCount == 1)
    two = nil
    #expect(stores.limits.limitCount == 0)
    #expect(try bench("{limit = '2 per 10s'}", stores: stores).run(take) == "true, 1")
  }

  @Test func whatAFailedStartDefinedIsReleased() throws {
    let stores = try PolicyStores()
    #expect(throws: PolicyFaults.self) {
      _ = try PolicyBench(
        "return {init = function() edge.limit.define('l', {limit = '1 per 1s'}) error('no') end}", stores: stores)
    }
    #expect(stores.limits.limitCount == 0)
  }

  /// Policies of one script have limits of their own, and so have the names of one policy.
  @Test func policiesCountForThemselves() throws {
    let script = """
      local first, second, again
      return {
        init = function(settings)
          first = edge.limit.define("first", settings)
          second = edge.limit.define("second", settings)
          again = edge.limit.define("first", settings)
        end,
        handle = function()
          local function left(limit) return select(2, limit:take("k")) end
          edge.reply{json = {left(first), left(second), left(again)}}
        end,
      }
      """
    let stores = try PolicyStores()
    let bench = try PolicyBench(
      yaml:
        "policies:\n  a: {script: s.lua, settings: {limit: 9 per 1h}}\n"
        + "  b: {script: s.lua, settings: {limit: 9 per 1h}}\n",
      scripts: ["s.lua": script], stores: stores)
    #expect(stores.limits.limitCount == 4)
    for policy in [0, 1] {
      #expect(bench.ask(.handle, policy: policy) == .answered)
      #expect(bench.body == "[8,8,7]")
    }
  }
}
