import Testing

@testable import Edge

@Suite struct LimitRuleTests {
  @Test(
    arguments: [
      ("100 per 1m", 100, 60_000_000_000), ("10 per 1s", 10, 1_000_000_000), ("5 per 500ms", 5, 500_000_000),
      ("1000 per 24h", 1_000, 86_400_000_000_000), ("1 per 30d", 1, 2_592_000_000_000_000), ("1 per 1ms", 1, 1_000_000),
      ("10000 per 1d", 10_000, 86_400_000_000_000), ("  7  per  2m ", 7, 120_000_000_000),
    ] as [(String, Int, UInt64)])
  func windows(text: String, count: Int, nanoseconds: UInt64) throws {
    #expect(try LimitRule(limit: text) == .window(count: count, nanoseconds: nanoseconds))
    #expect(try LimitRule(limit: text).isWithinBounds)
  }

  @Test(
    arguments: [
      ("10 per 1s", nil, 10, 1_000_000_000, 10), ("10 per 1s", 20, 10, 1_000_000_000, 20),
      ("100 per 1m", nil, 100, 60_000_000_000, 2), ("1 per 1d", nil, 1, 86_400_000_000_000, 1),
      ("61 per 1m", nil, 61, 60_000_000_000, 2), ("60 per 1m", nil, 60, 60_000_000_000, 1),
      ("5 per 1ms", nil, 5, 1_000_000, 5_000), ("1000000000 per 1ms", nil, 1_000_000_000, 1_000_000, 1_000_000),
      ("1 per 1s", 1, 1, 1_000_000_000, 1), ("1 per 1s", 1_000_000, 1, 1_000_000_000, 1_000_000),
    ] as [(String, Int?, Int, UInt64, Int)])
  func rates(text: String, burst: Int?, count: Int, nanoseconds: UInt64, expected: Int) throws {
    let rule = try LimitRule(rate: text, burst: burst)
    #expect(rule == .rate(count: count, nanoseconds: nanoseconds, burst: expected))
    #expect(rule.isWithinBounds)
  }

  private static let shape = " is not a limit: write a number, 'per' and an interval, such as "
  private static let interval = " is not an interval: write a number and one of ms, s, m, h, d, such as '1m'"

  @Test(arguments: [
    ("", "''\(shape)'100 per 1m'"), ("100", "'100'\(shape)'100 per 1m'"), ("100/1m", "'100/1m'\(shape)'100 per 1m'"),
    ("100 each 1m", "'100 each 1m'\(shape)'100 per 1m'"), ("-1 per 1m", "'-1 per 1m'\(shape)'100 per 1m'"),
    ("01 per 1m", "'01 per 1m'\(shape)'100 per 1m'"), ("1.5 per 1m", "'1.5 per 1m'\(shape)'100 per 1m'"),
    ("1 per 1m x", "'1 per 1m x'\(shape)'100 per 1m'"), ("٣ per 1m", "'٣ per 1m'\(shape)'100 per 1m'"),
    ("1 per minute", "'1 per minute': 'minute'\(interval)"), ("1 per m", "'1 per m': 'm'\(interval)"),
    ("1 per 1", "'1 per 1': '1'\(interval)"), ("1 per 1M", "'1 per 1M': '1M'\(interval)"),
    ("1 per 0m", "'1 per 0m': the interval '0m' is out of bounds: 1ms to 30d"),
    ("1 per 31d", "'1 per 31d': the interval '31d' is out of bounds: 1ms to 30d"),
    ("1 per 2592001s", "'1 per 2592001s': the interval '2592001s' is out of bounds: 1ms to 30d"),
    (
      "1 per 99999999999999999999d",
      "'1 per 99999999999999999999d': the interval '99999999999999999999d' is out of bounds: 1ms to 30d"
    ),
    ("0 per 1m", "'0 per 1m' lets nothing in: a window counts 1 to 10000"),
    (
      "10001 per 1m",
      "'10001 per 1m' is too many for a window, which counts 1 to 10000: "
        + "give it as `rate` with a `burst` instead of `limit`"
    ),
    (
      "99999999999999999999 per 1m",
      "'99999999999999999999 per 1m' is too many for a window, which counts 1 to 10000: "
        + "give it as `rate` with a `burst` instead of `limit`"
    ),
  ])
  func refusedWindows(text: String, message: String) {
    #expect(throws: LimitError(message)) { try LimitRule(limit: text) }
  }

  @Test(
    arguments: [
      ("10 each 1s", nil, "'10 each 1s'\(shape)'10 per 1s'"),
      ("0 per 1s", nil, "'0 per 1s' lets nothing in: a rate is 1 to 1000000000 per interval"),
      ("1000000001 per 1s", nil, "'1000000001 per 1s' is too fast: a rate is 1 to 1000000000 per interval"),
      ("1 per 1s", 0, "a burst of 0 is out of bounds: 1 to 1000000"),
      ("1 per 1s", -1, "a burst of -1 is out of bounds: 1 to 1000000"),
      ("1 per 1s", 1_000_001, "a burst of 1000001 is out of bounds: 1 to 1000000"),
    ] as [(String, Int?, String)])
  func refusedRates(text: String, burst: Int?, message: String) {
    #expect(throws: LimitError(message)) { try LimitRule(rate: text, burst: burst) }
  }
}
