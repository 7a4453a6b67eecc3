// Rules of rate limits as configuration and scripts write them: "100 per 1m".
//
// Owns: which rules exist, their bounds, and reading them. Called where limits are defined, never per request.
// Never: rounds a rule; what cannot be kept exactly is refused with a message that says what to write instead.

/// What is wrong with a limit, in words for whoever wrote it.
struct LimitError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong and what is expected, without a final stop.
  let message: String

  /// An error from its text.
  init(_ message: String) { self.message = message }

  var description: String { message }
}

/// How much one key may take, and how fast.
enum LimitRule: Sendable, Equatable {
  /// At most `count` in any stretch of time of this length, and as many when offered.
  case window(count: Int, nanoseconds: UInt64)
  /// `count` in this time, evenly spread, with up to `burst` at once after a pause.
  case rate(count: Int, nanoseconds: UInt64, burst: Int)

  /// A window keeps the moment of each one it let in.
  static let windowCountMax = 10_000
  static let rateCountMax = 1_000_000_000
  static let burstMax = 1_000_000
  static let intervalMin: UInt64 = 1_000_000
  static let intervalMax: UInt64 = 30 * 86_400 * 1_000_000_000

  /// Reads `limit`: "100 per 1m" is a window.
  init(limit text: String) throws(LimitError) {
    let (count, nanoseconds) = try LimitRule.read(text, example: "100 per 1m")
    guard count >= 1 else { throw LimitError("'\(text)' lets nothing in: a window counts 1 to 10000") }
    guard count <= LimitRule.windowCountMax else {
      throw LimitError(
        "'\(text)' is too many for a window, which counts 1 to 10000: "
          + "give it as `rate` with a `burst` instead of `limit`")
    }
    self = .window(count: count, nanoseconds: nanoseconds)
  }

  /// Reads `rate`, "10 per 1s", and its burst; nil is what the rate gives in a second, rounded up, at least 1.
  init(rate text: String, burst: Int?) throws(LimitError) {
    let (count, nanoseconds) = try LimitRule.read(text, example: "10 per 1s")
    guard count >= 1 else { throw LimitError("'\(text)' lets nothing in: a rate is 1 to 1000000000 per interval") }
    guard count <= LimitRule.rateCountMax else {
      throw LimitError("'\(text)' is too fast: a rate is 1 to 1000000000 per interval")
    }
    if let burst, !(1...LimitRule.burstMax).contains(burst) {
      throw LimitError("a burst of \(burst) is out of bounds: 1 to 1000000")
    }
    // At most 10^9 times 10^9: fits 64 bits.
    let perSecond = (UInt64(count) * 1_000_000_000 + nanoseconds - 1) / nanoseconds
    let usual = min(perSecond, UInt64(LimitRule.burstMax))
    self = .rate(count: count, nanoseconds: nanoseconds, burst: burst ?? Int(usual))
  }

  /// Whether the numbers are within the bounds; a rule that was read always is.
  var isWithinBounds: Bool {
    let intervals = LimitRule.intervalMin...LimitRule.intervalMax
    switch self {
    case .window(let count, let nanoseconds):
      return (1...LimitRule.windowCountMax).contains(count) && intervals.contains(nanoseconds)
    case .rate(let count, let nanoseconds, let burst):
      return (1...LimitRule.rateCountMax).contains(count) && intervals.contains(nanoseconds)
        && (1...LimitRule.burstMax).contains(burst)
    }
  }

  // MARK: Reading

  private static let units: [(suffix: String, nanoseconds: UInt64)] = [
    ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
  ]

  private static func read(
    _ text: String, example: String
  ) throws(LimitError) -> (count: Int, nanoseconds: UInt64) {
    let words = text.split(separator: " ", omittingEmptySubsequences: true)
    guard words.count == 3, words[1] == "per", isNumber(words[0]) else {
      throw LimitError("'\(text)' is not a limit: write a number, 'per' and an interval, such as '\(example)'")
    }
    // What does not fit is above every bound.
    let count = Int(words[0]) ?? Int.max
    return (count, try interval(words[2], of: text))
  }

  /// Digits without a leading zero.
  private static func isNumber(_ word: Substring) -> Bool {
    !word.isEmpty && word.utf8.allSatisfy { (0x30...0x39).contains($0) } && (word == "0" || word.first != "0")
  }

  private static func interval(_ word: Substring, of text: String) throws(LimitError) -> UInt64 {
    let suffix = word.drop { ("0"..."9").contains($0) }
    let digits = word[..<suffix.startIndex]
    guard isNumber(digits), let unit = units.first(where: { $0.suffix == suffix }) else {
      throw LimitError(
        "'\(text)': '\(word)' is not an interval: write a number and one of ms, s, m, h, d, such as '1m'")
    }
    let (nanoseconds, overflow) = (UInt64(digits) ?? .max).multipliedReportingOverflow(by: unit.nanoseconds)
    guard !overflow, (intervalMin...intervalMax).contains(nanoseconds) else {
      throw LimitError("'\(text)': the interval '\(word)' is out of bounds: 1ms to 30d")
    }
    return nanoseconds
  }
}
