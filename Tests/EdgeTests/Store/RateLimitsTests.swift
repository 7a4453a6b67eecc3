import Testing

@testable import Edge

extension RateLimits {
  func take(_ handle: LimitHandle, _ key: Int, now: UInt64) -> LimitVerdict {
    let bytes = Array("key-\(key)".utf8)
    return take(handle, key: bytes, count: bytes.count, now: now)
  }
}

extension LimitRule {
  /// How many at once.
  var most: Int {
    switch self {
    case .window(let count, _): return count
    case .rate(_, _, let burst): return burst
    }
  }

  /// How long until so many are there again.
  var length: UInt64 {
    switch self {
    case .window(_, let nanoseconds): return nanoseconds
    case .rate(let count, let nanoseconds, let burst): return max(8, nanoseconds * UInt64(burst) / UInt64(count))
    }
  }
}

extension LimitVerdict {
  var isGranted: Bool { if case .granted = self { true } else { false } }
}

@Suite struct RateLimitsTests {
  private static let millisecond: UInt64 = 1_000_000
  /// A day after the machine's start, so that nothing is near zero.
  private static let morning: UInt64 = 86_400_000_000_000

  // MARK: Against the model

  static let rules: [LimitRule] = [
    .window(count: 1, nanoseconds: millisecond), .window(count: 2, nanoseconds: millisecond),
    .window(count: 3, nanoseconds: millisecond + 1), .window(count: 17, nanoseconds: 3 * millisecond),
    .rate(count: 1, nanoseconds: millisecond, burst: 1), .rate(count: 3, nanoseconds: millisecond, burst: 1),
    .rate(count: 7, nanoseconds: millisecond, burst: 5), .rate(count: 999_983, nanoseconds: millisecond, burst: 40),
    .rate(count: 1_000_000_000, nanoseconds: millisecond, burst: 3),
  ]

  /// A moment that tends to be on or beside one that matters, with several takes in the time that one costs.
  private func next(
    _ random: inout SeededGenerator, after now: UInt64, rule: LimitRule, keys: Int, retry: UInt64?
  ) -> UInt64 {
    let cost = max(1, rule.length / UInt64(rule.most))
    let stretch = Int(cost) / keys / 4 + 2
    switch random.below(100) {
    case 0 where random.below(8) == 0: return now + rule.length * 3
    case 1 where random.below(8) == 0: return now + rule.length
    case 2 where random.below(8) == 0: return now + rule.length - 1
    case 3..<20: return now + (retry ?? 0)
    case 20..<37: return now + (retry ?? 1) - 1
    // Another thread's older reading.
    case 37..<50: return now - UInt64(random.below(stretch * 2))
    case 50..<65: return now
    default: return now + UInt64(random.below(stretch))
    }
  }

  /// All keys stand in one set of 16 places, so entries are given away all the time, but never one that counts.
  @Test(arguments: rules, [1, 5, 40]) func everyAnswer(rule: LimitRule, keys: Int) throws {
    let limits = RateLimits(entriesMax: LimitTable.ways)
    let handle = try limits.claim(name: "x", rule: rule)
    var model = LimitModel(rule)
    var random = SeededGenerator(seed: UInt64(keys))
    var now = RateLimitsTests.morning
    var retry: UInt64?
    var key = 0
    var counts = (granted: 0, refused: 0, full: 0)
    for step in 0..<3_000 {
      // By turns one key is asked for more than the others, and all alike, with no leaps in time.
      let isAlike = step % 1_000 >= 400
      if isAlike { retry = nil }
      now = next(&random, after: now, rule: rule, keys: keys, retry: retry)
      if retry == nil || random.below(2) == 0 { key = !isAlike && random.below(2) == 0 ? 0 : random.below(keys) }
      let time = max(now, model.latest)
      let others = (0..<keys).count { $0 != key && model.counts($0, at: time) }
      let isFull = !model.counts(key, at: time) && others >= LimitTable.ways
      let verdict = limits.take(handle, key, now: now)
      retry = nil
      if isFull {
        #expect(verdict == .full, "step \(step)")
        // The moment counts nevertheless.
        model = after(model, now)
        counts.full += 1
        continue
      }
      let expected = model.take(key, now: now)
      guard verdict == expected else {
        Issue.record("step \(step), key \(key), now \(now): \(verdict), expected \(expected)")
        return
      }
      if case .refused(let wait) = verdict {
        retry = wait
        counts.refused += 1
      } else {
        counts.granted += 1
      }
    }
    #expect(counts.granted > 200 && counts.refused > 100, "\(counts)")
    #expect(limits.fullCount == counts.full && (counts.full > 0) == (keys > LimitTable.ways), "\(counts)")
  }

  private func after(_ model: LimitModel, _ now: UInt64) -> LimitModel {
    var model = model
    // A key that is never asked for otherwise.
    _ = model.take(-1, now: now)
    return model
  }

  // MARK: By hand

  @Test func windowAtItsEdges() throws {
    let limits = RateLimits()
    let handle = try limits.claim(name: "x", rule: LimitRule(limit: "3 per 1ms"))
    let start = RateLimitsTests.morning
    #expect(limits.take(handle, 1, now: start) == .granted(remaining: 2))
    #expect(limits.take(handle, 1, now: start) == .granted(remaining: 1))
    #expect(limits.take(handle, 1, now: start + 400_000) == .granted(remaining: 0))
    #expect(limits.take(handle, 1, now: start + 400_000) == .refused(retryAfterNanoseconds: 600_000))
    #expect(limits.take(handle, 1, now: start + 999_999) == .refused(retryAfterNanoseconds: 1))
    #expect(limits.take(handle, 1, now: start + 1_000_000) == .granted(remaining: 1))
    #expect(limits.take(handle, 1, now: start + 1_000_000) == .granted(remaining: 0))
    #expect(limits.take(handle, 1, now: start + 1_000_001) == .refused(retryAfterNanoseconds: 399_999))
    #expect(limits.take(handle, 2, now: start + 1_000_001) == .granted(remaining: 2))
    // All are past: as if it had never been used.
    #expect(limits.take(handle, 1, now: start + 2_000_000) == .granted(remaining: 2))
  }

  @Test func rateSpreadsEvenly() throws {
    let limits = RateLimits()
    let handle = try limits.claim(name: "x", rule: LimitRule(rate: "3 per 1s", burst: 2))
    let start = RateLimitsTests.morning
    #expect(limits.take(handle, 1, now: start) == .granted(remaining: 1))
    #expect(limits.take(handle, 1, now: start) == .granted(remaining: 0))
    // A third of a second is no whole number of nanoseconds.
    #expect(limits.take(handle, 1, now: start) == .refused(retryAfterNanoseconds: 333_333_334))
    #expect(limits.take(handle, 1, now: start + 333_333_333) == .refused(retryAfterNanoseconds: 1))
    #expect(limits.take(handle, 1, now: start + 333_333_334) == .granted(remaining: 0))
    #expect(limits.take(handle, 1, now: start + 333_333_334) == .refused(retryAfterNanoseconds: 333_333_333))
    // Three in each second, for ever: nothing is lost to rounding.
    for second in 1...1_000 as ClosedRange<UInt64> {
      let now = start + second * 1_000_000_000
      #expect(limits.take(handle, 2, now: now).isGranted)
      #expect(limits.take(handle, 2, now: now + 333_333_334).isGranted)
      #expect(limits.take(handle, 2, now: now + 666_666_667).isGranted)
    }
    // What came a fraction of a nanosecond late is not made up for.
    #expect(limits.take(handle, 2, now: start + 1_000_666_666_667) == .refused(retryAfterNanoseconds: 1))
    #expect(limits.take(handle, 2, now: start + 1_000_666_666_668) == .granted(remaining: 0))
    #expect(!limits.take(handle, 2, now: start + 1_000_666_666_668).isGranted)
  }

  @Test(
    arguments: [
      .window(count: 1, nanoseconds: LimitRule.intervalMax), .window(count: 10_000, nanoseconds: LimitRule.intervalMax),
      .rate(count: 1, nanoseconds: LimitRule.intervalMax, burst: LimitRule.burstMax),
      .rate(count: LimitRule.rateCountMax, nanoseconds: LimitRule.intervalMin, burst: LimitRule.burstMax),
      .rate(count: LimitRule.rateCountMax, nanoseconds: LimitRule.intervalMax, burst: 1),
      .rate(count: 1, nanoseconds: LimitRule.intervalMin, burst: 1),
    ] as [LimitRule])
  func extremes(rule: LimitRule) throws {
    let limits = RateLimits()
    let handle = try limits.claim(name: "x", rule: rule)
    let expected = min(rule.most, 10_000)
    #expect(limits.take(handle, 1, now: 0) == .granted(remaining: rule.most - 1))
    // At the end of time, by readings from its begin and its end.
    for index in 0..<expected {
      let verdict = limits.take(handle, 2, now: index == 0 ? .max : 0)
      if !verdict.isGranted { Issue.record("take \(index): \(verdict)") }
    }
    if expected == rule.most {
      for now in [0, 1, .max - 1, .max] as [UInt64] {
        guard case .refused(let wait) = limits.take(handle, 2, now: now) else {
          Issue.record("one more at \(now)")
          continue
        }
        #expect(wait >= 1)
      }
    }
  }

  // MARK: Memory

  @Test(
    arguments: [
      (.window(count: 1, nanoseconds: 1_000_000), 65_536), (.window(count: 100, nanoseconds: 1_000_000), 65_536),
      (.window(count: 1_000, nanoseconds: 1_000_000), 8_352), (.window(count: 10_000, nanoseconds: 1_000_000), 832),
      (.rate(count: 1, nanoseconds: 1_000_000, burst: 1_000_000), 65_536),
    ] as [(LimitRule, Int)])
  func sizes(rule: LimitRule, keys: Int) throws {
    let table = try #require(LimitTable(rule: rule))
    defer { table.unmap() }
    #expect(table.capacity == keys)
    #expect(table.mappedBytes <= 64 << 20)
  }

  @Test func fullAndFreeAgain() throws {
    let limits = RateLimits(entriesMax: LimitTable.ways)
    let handle = try limits.claim(name: "x", rule: LimitRule(limit: "2 per 1ms"))
    let start = RateLimitsTests.morning
    for key in 0..<16 { #expect(limits.take(handle, key, now: start + UInt64(key)).isGranted) }
    #expect(limits.take(handle, 16, now: start + 20) == .full)
    #expect(limits.take(handle, 16, now: start + 999_999) == .full)
    #expect(limits.fullCount == 2)
    // Those inside go on, and whoever takes again stays.
    #expect(limits.take(handle, 0, now: start + 999_999) == .granted(remaining: 0))
    #expect(limits.take(handle, 16, now: start + 1_000_000) == .full)
    #expect(limits.take(handle, 16, now: start + 1_000_001) == .granted(remaining: 1))
    #expect(limits.take(handle, 17, now: start + 1_000_001) == .full)
    #expect(limits.take(handle, 0, now: start + 1_000_001) == .granted(remaining: 0))
    #expect(limits.fullCount == 4)
  }

  @Test func fullAndFreeAgainByRate() throws {
    let limits = RateLimits(entriesMax: LimitTable.ways)
    let handle = try limits.claim(name: "x", rule: LimitRule(rate: "1 per 1ms", burst: 2))
    let start = RateLimitsTests.morning
    for key in 0..<16 { #expect(limits.take(handle, key, now: start + UInt64(key)).isGranted) }
    #expect(limits.take(handle, 0, now: start + 16) == .granted(remaining: 0))
    #expect(limits.take(handle, 16, now: start + 1_000_000) == .full)
    #expect(limits.take(handle, 16, now: start + 1_000_001) == .granted(remaining: 1))
    #expect(limits.take(handle, 17, now: start + 1_000_001) == .full)
    #expect(limits.take(handle, 0, now: start + 1_000_001) == .granted(remaining: 0))
    #expect(limits.fullCount == 2)
  }

  /// Many more keys than the smallest share of the table has places, and all are counted on their own.
  @Test func thousandsOfKeys() throws {
    let limits = RateLimits(hash: KeyedHash64(key: 1, 2))
    let handle = try limits.claim(name: "x", rule: LimitRule(limit: "2 per 1d"))
    for _ in 0..<2 {
      for key in 0..<6_000 where !limits.take(handle, key, now: RateLimitsTests.morning).isGranted {
        Issue.record("key \(key)")
      }
    }
    for key in 0..<6_000 where limits.take(handle, key, now: RateLimitsTests.morning).isGranted {
      Issue.record("key \(key), one more")
    }
    #expect(limits.fullCount == 0)
  }

  // MARK: Claims

  @Test func sameRuleSameState() throws {
    let limits = RateLimits()
    let rule = try LimitRule(limit: "1 per 1d")
    let now = RateLimitsTests.morning
    let first = try limits.claim(name: "x", rule: rule)
    #expect(limits.take(first, 1, now: now).isGranted)
    let second = try limits.claim(name: "x", rule: rule)
    #expect(second == first)
    limits.release(first)
    #expect(!limits.take(second, 1, now: now).isGranted)
    // Another name, or another rule, is another limit beside it.
    let other = try limits.claim(name: "y", rule: rule)
    let changed = try limits.claim(name: "x", rule: LimitRule(limit: "2 per 1d"))
    #expect(limits.limitCount == 3)
    #expect(limits.take(other, 1, now: now) == .granted(remaining: 0))
    #expect(limits.take(changed, 1, now: now) == .granted(remaining: 1))
    #expect(!limits.take(second, 1, now: now).isGranted)
    limits.release(second)
    #expect(limits.limitCount == 2)
    #expect(limits.take(second, 1, now: now) == .full)
    #expect(limits.take(changed, 1, now: now) == .granted(remaining: 0))
    // Nobody kept it: it begins anew.
    let again = try limits.claim(name: "x", rule: rule)
    #expect(limits.take(again, 1, now: now).isGranted)
    for handle in [again, changed, other] { limits.release(handle) }
    #expect(limits.limitCount == 0)
    // Once too often does no harm.
    limits.release(other)
    #expect(limits.take(LimitHandle(index: -1), 1, now: now) == .full)
    #expect(limits.take(LimitHandle(index: 1_024), 1, now: now) == .full)
  }

  @Test func asManyAsThereMayBe() throws {
    let limits = RateLimits()
    let rule = try LimitRule(limit: "1 per 1d")
    let handles = try (0..<1_024).map { try limits.claim(name: "limit \($0)", rule: rule) }
    #expect(Set(handles.map(\.index)).count == 1_024)
    let message = "limit 'more': 1024 limits exist already, the most there may be"
    #expect(throws: LimitError(message)) { try limits.claim(name: "more", rule: rule) }
    #expect(try limits.claim(name: "limit 7", rule: rule) == handles[7])
    limits.release(handles[500])
    #expect(try limits.claim(name: "more", rule: rule) == handles[500])
  }

  @Test(
    arguments: [
      .window(count: 0, nanoseconds: 1_000_000), .window(count: 10_001, nanoseconds: 1_000_000),
      .window(count: 1, nanoseconds: 0), .rate(count: 0, nanoseconds: 1_000_000, burst: 1),
      .rate(count: 1, nanoseconds: 1_000_000, burst: 0), .rate(count: 1, nanoseconds: .max, burst: 1),
    ] as [LimitRule])
  func rulesThatNobodyRead(rule: LimitRule) {
    #expect(throws: LimitError("limit 'x': the rule is out of bounds")) {
      try RateLimits().claim(name: "x", rule: rule)
    }
  }
}
