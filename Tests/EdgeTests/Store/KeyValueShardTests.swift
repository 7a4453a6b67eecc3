import Testing

@testable import Edge

@Suite struct KeyValueShardTests {
  private static let capacity = 32

  /// A shard of few slots, where keys are made to want the same ones.
  private final class Stand {
    var shard: KeyValueShard
    private let slots: UnsafeMutablePointer<KeyValueSlot>

    init() {
      slots = .allocate(capacity: capacity)
      slots.initialize(repeating: KeyValueSlot(), count: capacity)
      shard = KeyValueShard(slots: slots, capacity: capacity)
    }

    deinit {
      for index in 0..<capacity { slots[index].block?.deallocate() }
      slots.deallocate()
    }

    /// The key is one byte, the value another.
    func find(_ key: UInt8) -> Int { shard.find(Stand.hash(key), [key], 1) }

    static func hash(_ key: UInt8) -> UInt64 { UInt64(key % 5) * 7 + 1 }

    static func slot(_ key: UInt8, _ value: UInt8, _ expires: UInt64) -> KeyValueSlot {
      let block = BytePointer.allocate(capacity: 21)
      block[0] = key
      block[1] = value
      return KeyValueSlot(hash: hash(key), expires: expires, block: block, valueCount: 1, keyCount: 1)
    }
  }

  /// Searches end at an empty slot, so what stands behind a removed entry must have moved up.
  @Test(arguments: 1...20 as ClosedRange<UInt64>) func likeADictionary(seed: UInt64) throws {
    let stand = Stand()
    var model: [UInt8: (value: UInt8, expires: UInt64)] = [:]
    var random = SeededGenerator(seed: seed)
    var now: UInt64 = 1
    for step in 0..<1_500 {
      let key = UInt8(random.below(40))
      let value = UInt8(random.below(256))
      let index = stand.find(key)
      switch random.below(4) {
      case 0 where index >= 0:
        stand.shard.slots[index].block?.deallocate()
        stand.shard.remove(index)
        model[key] = nil
      case 1:
        now += UInt64(random.below(3))
        _ = stand.shard.sweep(slots: random.below(12), now: now)
        // What was swept has expired.
        for (key, entry) in model where stand.find(key) < 0 {
          #expect(entry.expires <= now, "step \(step)")
          model[key] = nil
        }
      default:
        let expires = random.below(3) == 0 ? .max : now + UInt64(random.below(40))
        let slot = Stand.slot(key, value, expires)
        if index >= 0 {
          stand.shard.slots[index].block?.deallocate()
          stand.shard.replace(index, with: slot)
        } else if !stand.shard.isCrowded {
          stand.shard.insert(slot)
        } else {
          slot.block?.deallocate()
          continue
        }
        model[key] = (value, expires)
      }
      #expect(stand.shard.used == model.count)
      for (key, entry) in model {
        let index = stand.find(key)
        guard index >= 0, stand.shard.slots[index].block?[1] == entry.value else {
          Issue.record("step \(step): key \(key) is lost")
          return
        }
      }
      // Nothing ends before the shard says so: or else it would not be swept.
      let first = model.values.map(\.expires).min() ?? .max
      #expect(stand.shard.earliest <= first, "step \(step)")
    }
  }

  @Test func aShardWithNothingToSweepSaysSo() {
    let stand = Stand()
    for key in 0..<10 as Range<UInt8> { stand.shard.insert(Stand.slot(key, 0, 100)) }
    stand.shard.insert(Stand.slot(10, 0, 200))
    #expect(stand.shard.sweep(slots: 1_000, now: 99) == 0)
    let cost = KeyValueSlot.cost(keyCount: 1, valueCount: 1)
    var freed = 0
    for _ in 0..<20 where stand.shard.earliest <= 100 { freed += stand.shard.sweep(slots: 8, now: 100) }
    #expect(freed == 10 * cost)
    #expect(stand.shard.earliest == 200)
    #expect(stand.shard.used == 1)
  }
}
