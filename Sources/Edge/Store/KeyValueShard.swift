// One of the key-value store's parts: an open hash table of fixed size, and the sweeping of what has expired.
//
// Every call happens under the shard's lock and touches a bounded number of slots. Keys and values stand in blocks of
// their own; what a call takes out it hands back, so that the caller frees it after the lock. Called by KeyValueStore
// only. It never looks at a clock and knows nothing of the other shards.

import Glibc

/// Where an entry stands: hash, end, and a block that holds the key and behind it the value.
struct KeyValueSlot: BitwiseCopyable {
  /// 0: nobody stands here.
  var hash: UInt64 = 0
  /// The first moment at which the entry is gone; .max: never.
  var expires: UInt64 = .max
  var block: BytePointer?
  var valueCount: UInt32 = 0
  var keyCount: UInt16 = 0

  /// What the entry counts for against the store's bound.
  var cost: Int { KeyValueSlot.cost(keyCount: Int(keyCount), valueCount: Int(valueCount)) }

  /// Two slots (the table is at most half full when bytes are), the allocator's share, the key and the value.
  static func cost(keyCount: Int, valueCount: Int) -> Int {
    overheadBytes + keyCount + max(valueCount, valueRoomMin)
  }

  static let overheadBytes = 96
  /// Room that every block has, so that a number can be counted on where it stands.
  static let valueRoomMin = 20
}

/// The slots of a shard. Trivial: the store owns the memory.
struct KeyValueShard {
  let slots: UnsafeMutablePointer<KeyValueSlot>
  private let mask: Int
  private(set) var used = 0
  private var cursor = 0
  /// No entry ends before this: what the last complete round of sweeping saw, and everything since.
  private(set) var earliest = UInt64.max
  private var earliestOfRound = UInt64.max

  init(slots: UnsafeMutablePointer<KeyValueSlot>, capacity: Int) {
    self.slots = slots
    mask = capacity - 1
  }

  var capacity: Int { mask + 1 }

  /// Long runs of taken slots begin beyond this.
  var isCrowded: Bool { used * 8 >= capacity * 7 }

  /// The slot of a key, expired or not; -1 when it has none.
  func find(_ hash: UInt64, _ key: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var index = Int(truncatingIfNeeded: hash) & mask
    while slots[index].hash != 0 {
      let slot = slots[index]
      if slot.hash == hash, Int(slot.keyCount) == count, let block = slot.block, equalBytes(block, key, count) {
        return index
      }
      index = (index + 1) & mask
    }
    return -1
  }

  /// Puts an entry whose key has no slot; the shard must not be crowded.
  mutating func insert(_ slot: KeyValueSlot) {
    var index = Int(truncatingIfNeeded: slot.hash) & mask
    while slots[index].hash != 0 { index = (index + 1) & mask }
    slots[index] = slot
    used += 1
    note(slot.expires)
  }

  /// Puts an entry in the place of an older one with its key.
  mutating func replace(_ index: Int, with slot: KeyValueSlot) {
    slots[index] = slot
    note(slot.expires)
  }

  /// Takes an entry out. The ones behind it move up, so that no search ends before its key.
  mutating func remove(_ index: Int) {
    var hole = index
    var next = index
    while true {
      next = (next + 1) & mask
      let slot = slots[next]
      if slot.hash == 0 { break }
      let home = Int(truncatingIfNeeded: slot.hash) & mask
      if (next - home) & mask >= (next - hole) & mask {
        slots[hole] = slot
        // It may have moved from before the cursor's eyes to behind its back.
        note(slot.expires)
        hole = next
      }
    }
    slots[hole] = KeyValueSlot()
    used -= 1
  }

  private mutating func note(_ expires: UInt64) {
    earliest = min(earliest, expires)
    earliestOfRound = min(earliestOfRound, expires)
  }

  /// Looks at a few slots more and frees the blocks of those that have expired; returns what they counted for.
  mutating func sweep(slots steps: Int, now: UInt64) -> Int {
    guard earliest <= now else { return 0 }
    var freed = 0
    for _ in 0..<steps {
      let slot = slots[cursor]
      if slot.hash != 0, slot.expires <= now {
        freed += slot.cost
        slot.block?.deallocate()
        remove(cursor)
        // Another entry may have moved here: look again.
        continue
      }
      if slot.hash != 0 { earliestOfRound = min(earliestOfRound, slot.expires) }
      cursor = (cursor + 1) & mask
      if cursor == 0 {
        earliest = earliestOfRound
        earliestOfRound = .max
      }
    }
    return freed
  }
}
