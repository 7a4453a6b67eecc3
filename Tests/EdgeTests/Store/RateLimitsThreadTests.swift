import Synchronization
import Testing

@testable import Edge

@Suite struct RateLimitsThreadTests {
  private static let threads = 4

  /// A box that threads fill at their own place.
  private final class Answers<Answer: Sendable>: Sendable {
    let lists = Locked<[[Answer]]>(Array(repeating: [], count: RateLimitsThreadTests.threads))

    func put(_ answers: [Answer], _ thread: Int) { lists.withLock { $0[thread] = answers } }

    var all: [Answer] { lists.withLock { Array($0.joined()) } }
  }

  private func onAll(_ body: @escaping @Sendable (Int) -> Void) {
    onThreads((0..<RateLimitsThreadTests.threads).map { thread in { body(thread) } })
  }

  @Test(
    arguments: [
      .window(count: 1_000, nanoseconds: LimitRule.intervalMax), .window(count: 7, nanoseconds: LimitRule.intervalMax),
      .rate(count: 1, nanoseconds: LimitRule.intervalMax, burst: 1_000),
    ] as [LimitRule], [1, 3, 50])
  func exactSum(rule: LimitRule, keys: Int) throws {
    let limits = RateLimits()
    let handle = try limits.claim(name: "x", rule: rule)
    let granted = Answers<Int>()
    let perThread = keys == 50 && rule.most > 100 ? 30_000 : 4_000
    onAll { thread in
      var random = SeededGenerator(seed: UInt64(thread))
      var mine = [Int](repeating: 0, count: keys)
      for _ in 0..<perThread {
        let key = random.below(keys)
        if limits.take(handle, key, now: Clock.monotonicNow()).isGranted { mine[key] += 1 }
      }
      granted.put(mine, thread)
    }
    let lists = granted.lists.withLock { $0 }
    for key in 0..<keys { #expect(lists.reduce(0) { $0 + $1[key] } == rule.most) }
    #expect(limits.fullCount == 0)
  }

  /// What one take saw: the clock before and after it.
  private struct Seen: Sendable {
    let before: UInt64
    let after: UInt64
    let isGranted: Bool
  }

  /// A clock that goes on with each reading, and windows that end all the time. Whatever moment each take happened at,
  /// it lies between its two readings: no stretch of a window's length can hold more than the limit, and whoever was
  /// refused had enough others around.
  @Test(arguments: [(1, 40), (5, 100), (64, 300)]) func everyWindow(count: Int, ticks: Int) throws {
    let tick: UInt64 = 10_000
    let length = UInt64(ticks) * tick
    let limits = RateLimits()
    let handle = try limits.claim(name: "x", rule: .window(count: count, nanoseconds: max(1_000_000, length)))
    let window = max(1_000_000, length)
    let clock = Atomic<UInt64>(1 << 40)
    let answers = Answers<Seen>()
    onAll { thread in
      var mine: [Seen] = []
      for _ in 0..<8_000 {
        let before = clock.wrappingAdd(tick, ordering: .acquiringAndReleasing).newValue
        let isGranted = limits.take(handle, 1, now: before).isGranted
        mine.append(Seen(before: before, after: clock.load(ordering: .acquiring), isGranted: isGranted))
      }
      answers.put(mine, thread)
    }
    let all = answers.all
    let granted = all.filter(\.isGranted).sorted { $0.before < $1.before }
    #expect(granted.count >= count)
    for (index, first) in granted.enumerated() {
      let end = first.before + window
      var inside = 0
      for other in granted[index...] {
        if other.before >= end { break }
        if other.after < end { inside += 1 }
      }
      if inside > count { Issue.record("\(inside) in the window from \(first.before)") }
    }
    let begins = granted.map(\.before)
    let ends = granted.map(\.after).sorted()
    for refused in all where !refused.isGranted {
      // Those that may have been let in within a window before this one: begun by its end, not ended before.
      let around = place(of: refused.after + 1, in: begins) - place(of: refused.before - window + 1, in: ends)
      if around < count { Issue.record("refused at \(refused.before) with \(around) around") }
    }
  }

  /// How many of the sorted numbers are smaller.
  private func place(of number: UInt64, in sorted: [UInt64]) -> Int {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < number { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// One set, twice as many keys as places: threads give one another's places away while they take.
  @Test func placesChangeHands() throws {
    let limits = RateLimits(entriesMax: LimitTable.ways)
    let handle = try limits.claim(name: "x", rule: .window(count: 3, nanoseconds: 1_000_000))
    let clock = Atomic<UInt64>(1 << 40)
    let answers = Answers<(key: Int, seen: Seen)>()
    let full = Atomic<Int>(0)
    onAll { thread in
      var random = SeededGenerator(seed: UInt64(thread))
      var mine: [(key: Int, seen: Seen)] = []
      for _ in 0..<8_000 {
        let key = random.below(32)
        let before = clock.wrappingAdd(20_000, ordering: .acquiringAndReleasing).newValue
        let verdict = limits.take(handle, key, now: before)
        if verdict == .full { full.wrappingAdd(1, ordering: .relaxed) }
        let after = clock.load(ordering: .acquiring)
        mine.append((key, Seen(before: before, after: after, isGranted: verdict.isGranted)))
      }
      answers.put(mine, thread)
    }
    let granted = answers.all.filter(\.seen.isGranted).sorted { $0.seen.before < $1.seen.before }
    #expect(granted.count > 1_000)
    #expect(limits.fullCount == full.load(ordering: .relaxed))
    for key in 0..<32 {
      let own = granted.filter { $0.key == key }.map(\.seen)
      for index in own.indices.dropLast(3)
      where own[index...].prefix(4).allSatisfy({ $0.after < own[index].before + 1_000_000 }) {
        Issue.record("four of key \(key) from \(own[index].before)")
      }
    }
  }

  @Test func claimsComeAndGo() throws {
    let limits = RateLimits()
    let kept = try limits.claim(name: "kept", rule: .window(count: 50, nanoseconds: LimitRule.intervalMax))
    let granted = Atomic<Int>(0)
    onAll { thread in
      for round in 0..<300 {
        let rule = LimitRule.window(count: 50, nanoseconds: LimitRule.intervalMax)
        guard let again = try? limits.claim(name: "kept", rule: rule),
          let shared = try? limits.claim(name: "shared \(round % 3)", rule: rule)
        else {
          Issue.record("no claim")
          return
        }
        if limits.take(again, 1, now: Clock.monotonicNow()).isGranted { granted.wrappingAdd(1, ordering: .relaxed) }
        if limits.take(shared, thread, now: Clock.monotonicNow()) == .full { Issue.record("full") }
        limits.release(again)
        limits.release(shared)
      }
    }
    #expect(granted.load(ordering: .relaxed) == 50)
    #expect(limits.limitCount == 1)
    limits.release(kept)
    #expect(limits.limitCount == 0)
  }
}
