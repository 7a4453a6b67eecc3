import Testing

@testable import Edge

/// A wheel beside a plain list of deadlines.
private final class WheelModel {
  let arena = Arena()
  let slab: Slab<Connection>
  var wheel: TimerWheel
  var deadlines: [UInt64?]
  var now: UInt64

  init(count: Int, now: UInt64) throws {
    slab = try #require(Slab<Connection>(capacity: count))
    self.now = now
    wheel = TimerWheel(arena: arena, slots: slab.slots, now: now)
    deadlines = [UInt64?](repeating: nil, count: count)
    for index in 0..<count { wheel.reset(Int32(index)) }
  }

  deinit { slab.unmap() }

  func arm(_ index: Int, _ deadline: UInt64) {
    wheel.arm(Int32(index), deadline)
    // A deadline that has passed is due from now on.
    deadlines[index] = deadline == TimerWheel.never ? nil : max(deadline, now)
  }

  func nextExpired(_ time: UInt64) -> Int32 { wheel.nextExpired(time) }
  func wait(_ time: UInt64) -> Int32 { wheel.wait(time) }

  func remove(_ index: Int) {
    wheel.remove(Int32(index))
    wheel.reset(Int32(index))
    deadlines[index] = nil
  }

  /// Takes what is due and compares: nothing early, nothing later than two ticks of 16 ms, no deadline slept past.
  func check() {
    while true {
      let index = Int(wheel.nextExpired(now))
      if index < 0 { break }
      guard let deadline = deadlines[index] else {
        Issue.record("slot \(index) expired without a deadline at \(now)")
        continue
      }
      if deadline > now { Issue.record("slot \(index) expired \(deadline - now) ms early") }
      deadlines[index] = nil
    }
    guard let first = deadlines.compactMap({ $0 }).min() else { return }
    if now >= first + 32 { Issue.record("a deadline is \(now - first) ms late") }
    let wait = wheel.wait(now)
    if wait < 0 || now + UInt64(wait) > first + 16 { Issue.record("waits \(wait) ms at \(now) for \(first)") }
  }
}

struct TimerWheelTests {
  @Test func meetsOneDeadline() throws {
    let model = try WheelModel(count: 1, now: 1_000)
    #expect(model.wait(1_000) == -1)
    model.arm(0, 1_100)
    #expect(model.nextExpired(1_099) == -1)
    #expect(model.nextExpired(1_132) == 0)
    #expect(model.nextExpired(1_132) == -1)
    #expect(model.wait(1_132) == -1)
  }

  @Test func aPassedDeadlineIsMetWithinATick() throws {
    let model = try WheelModel(count: 2, now: 10_000)
    #expect(model.nextExpired(10_000) == -1)
    model.arm(0, 5)
    model.arm(1, 10_000)
    model.now = 10_016
    model.check()
    #expect(model.deadlines == [nil, nil])
  }

  @Test func movingLaterMovingEarlierClearing() throws {
    let model = try WheelModel(count: 1, now: 0)
    model.arm(0, 100)
    model.arm(0, 5_000)
    #expect(model.nextExpired(4_000) == -1)
    model.arm(0, 4_100)
    #expect(model.nextExpired(4_132) == 0)
    model.arm(0, 4_200)
    model.arm(0, TimerWheel.never)
    #expect(model.nextExpired(60_000) == -1)
    #expect(model.wait(60_000) == -1)
  }

  /// Beyond the reach of the wheel (1,024 ticks of 16 ms) a slot is looked at again on the way.
  @Test(arguments: [16_000, 16_383, 16_384, 16_400, 32_768, 3_600_000] as [UInt64])
  func farDeadlines(_ delay: UInt64) throws {
    let model = try WheelModel(count: 1, now: 12_345)
    model.arm(0, 12_345 + delay)
    while model.deadlines[0] != nil, model.now < 12_345 + delay + 64 {
      model.now += UInt64(max(1, model.wait(model.now)))
      model.check()
    }
    #expect(model.deadlines[0] == nil)
    #expect(model.now >= 12_345 + delay)
  }

  @Test func aLongSleepLosesNothing() throws {
    let model = try WheelModel(count: 50, now: 0)
    for index in 0..<50 { model.arm(index, UInt64(index) * 1_000) }
    model.now = 10_000_000
    model.check()
    #expect(model.deadlines.allSatisfy { $0 == nil })
    model.arm(3, 10_000_010)
    model.now = 10_000_042
    model.check()
    #expect(model.deadlines[3] == nil)
  }

  @Test(arguments: [5, 6, 7, 8]) func agreesWithAPlainList(_ seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let model = try WheelModel(count: 64, now: UInt64(random.below(1_000_000)))
    for _ in 0..<20_000 {
      let index = random.below(64)
      switch random.below(12) {
      case 0: model.remove(index)
      case 1: model.arm(index, TimerWheel.never)
      case 2: model.arm(index, model.now + UInt64(random.below(60_000)))
      case 3: model.arm(index, model.now - min(model.now, UInt64(random.below(100))))
      case 4...7: model.arm(index, model.now + UInt64(random.below(2_000)))
      case 8: model.now += UInt64(random.below(random.below(50) == 0 ? 40_000 : 200))
      case 9: model.now += UInt64(max(0, model.wait(model.now)))
      default: model.now += UInt64(random.below(20))
      }
      model.check()
    }
  }
}
