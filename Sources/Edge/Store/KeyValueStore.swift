// The process-wide store behind `edge.kv`: small values by key, with an end, gone at a restart.
//
// Owns: 64 shards, each behind a lock that is held for a search, a copy and a look at a few slots; and one bound for
// all bytes. What has expired is never seen again; its memory comes back a few slots with each call, and all of it
// before a value is refused for want of room. Called by every worker. Never: grows a table, or calls out under a lock.

import Glibc
import Synchronization

/// Why a value was not kept.
enum KeyValueError: Error, Sendable, Equatable {
  /// The key is longer than 256 bytes.
  case keyTooLong
  /// The value is longer than 64 KiB.
  case valueTooLong
  /// The store has no room, even without what has expired.
  case full
  /// `add` met a value that is no whole number of 64 bits.
  case notANumber
  /// The sum would not fit 64 bits.
  case overflow
}

/// One for the process. Every `now` is the monotonic clock in nanoseconds.
final class KeyValueStore: Sendable {
  static let keyBytesMax = 256
  static let valueBytesMax = 64 << 10
  static let bytesMax = 16 << 20

  private static let shardCount = 64
  /// Slots that a call looks at beside its own, and how many at a time when room is wanted.
  private static let sweptPerCall = 4
  private static let sweptAtOnce = 16

  private let shards: [Locked<KeyValueShard>]
  // Each shard's part is used under its lock.
  private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
  private let memoryBytes: Int
  private let hash = KeyedHash64()
  private let bytes = Atomic<Int>(0)
  private let bytesMax: Int

  /// A store whose entries, with what they cost beside keys and values, stay within the bytes; nil when the kernel has
  /// no address space for its tables.
  init?(bytesMax: Int = KeyValueStore.bytesMax) {
    self.bytesMax = bytesMax
    // Half as many slots again as the smallest entries that the bytes allow, then up to a power of two.
    let least = KeyValueSlot.cost(keyCount: 0, valueCount: 0)
    let wanted = max(64, bytesMax / least / KeyValueStore.shardCount * 3 / 2)
    let capacity = 1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount)
    memoryBytes = KeyValueStore.shardCount * capacity * MemoryLayout<KeyValueSlot>.stride
    guard let memory = Pages.map(bytes: memoryBytes) else { return nil }
    self.memory = memory
    // Zeroed pages are empty slots: an empty one's end is never looked at.
    let slots = memory.bindMemory(to: KeyValueSlot.self, capacity: KeyValueStore.shardCount * capacity)
    shards = (0..<KeyValueStore.shardCount).map {
      Locked(KeyValueShard(slots: slots + $0 * capacity, capacity: capacity))
    }
  }

  deinit {
    for shard in shards {
      shard.withLock { for index in 0..<$0.capacity { $0.slots[index].block?.deallocate() } }
    }
    Pages.unmap(memory, bytes: memoryBytes)
  }

  /// What all entries count for now, expired ones too as long as their memory is held.
  var usedBytes: Int { bytes.load(ordering: .relaxed) }

  // MARK: Reading

  /// Copies a key's value to the buffer, as far as it goes, and returns its whole length; nil when there is none.
  func read(
    _ key: UnsafePointer<UInt8>, _ count: Int, into buffer: UnsafeMutableRawBufferPointer, now: UInt64
  ) -> Int? {
    guard count <= KeyValueStore.keyBytesMax else { return nil }
    let hash = self.hashed(key, count)
    return shard(hash).withLock { shard in
      sweep(&shard, now)
      let index = shard.find(hash, key, count)
      guard index >= 0, shard.slots[index].expires > now, let block = shard.slots[index].block else { return nil }
      let length = Int(shard.slots[index].valueCount)
      let copied = min(length, buffer.count)
      if copied > 0, let start = buffer.baseAddress { memcpy(start, block + count, copied) }
      return length
    }
  }

  // MARK: Writing

  private enum Placing {
    /// What the block of the entry before is, if there was one.
    case placed(BytePointer?)
    case noRoom
  }

  /// Keeps a value, for this long (nil: for good), in place of the one before.
  func set(
    _ key: UnsafePointer<UInt8>, _ count: Int, to value: UnsafePointer<UInt8>, _ valueCount: Int,
    ttlNanoseconds: UInt64?, now: UInt64
  ) throws(KeyValueError) {
    guard count <= KeyValueStore.keyBytesMax else { throw .keyTooLong }
    guard valueCount <= KeyValueStore.valueBytesMax else { throw .valueTooLong }
    let hash = self.hashed(key, count)
    let slot = KeyValueStore.slot(hash, key, count, value, valueCount, KeyValueStore.end(ttlNanoseconds, now))
    for attempt in 0..<2 {
      if attempt > 0 { reclaim(now) }
      let placing = shard(hash).withLock { shard in
        sweep(&shard, now)
        return place(slot, key, in: &shard)
      }
      if case .placed(let before) = placing {
        before?.deallocate()
        return
      }
    }
    slot.block?.deallocate()
    throw .full
  }

  /// Adds to a key's number and returns the sum. A key without a value begins at 0, and then for this long (nil: for
  /// good); a number that is there keeps its end.
  func add(
    _ key: UnsafePointer<UInt8>, _ count: Int, _ number: Int64, ttlNanoseconds: UInt64?, now: UInt64
  ) throws(KeyValueError) -> Int64 {
    guard count <= KeyValueStore.keyBytesMax else { throw .keyTooLong }
    let hash = self.hashed(key, count)
    let expires = KeyValueStore.end(ttlNanoseconds, now)
    for attempt in 0..<2 {
      if attempt > 0 { reclaim(now) }
      let outcome: Result<Int64, KeyValueError> = shard(hash).withLock { shard in
        sweep(&shard, now)
        let index = shard.find(hash, key, count)
        if index >= 0, shard.slots[index].expires > now {
          return KeyValueStore.add(number, to: shard.slots + index)
        }
        let slot = KeyValueStore.slot(hash, key, count, number, expires)
        guard case .placed(let before) = place(slot, key, in: &shard) else {
          slot.block?.deallocate()
          return .failure(.full)
        }
        before?.deallocate()
        return .success(number)
      }
      if case .failure(.full) = outcome { continue }
      return try outcome.get()
    }
    throw .full
  }

  /// Forgets a key; false when it had no value.
  @discardableResult
  func delete(_ key: UnsafePointer<UInt8>, _ count: Int, now: UInt64) -> Bool {
    guard count <= KeyValueStore.keyBytesMax else { return false }
    let hash = self.hashed(key, count)
    let gone: KeyValueSlot? = shard(hash).withLock { shard in
      sweep(&shard, now)
      let index = shard.find(hash, key, count)
      guard index >= 0 else { return nil }
      let slot = shard.slots[index]
      shard.remove(index)
      return slot
    }
    guard let gone else { return false }
    gone.block?.deallocate()
    bytes.wrappingSubtract(gone.cost, ordering: .relaxed)
    return gone.expires > now
  }

  // MARK: Room

  /// Stands the slot in its shard, whose lock is held.
  private func place(_ slot: KeyValueSlot, _ key: UnsafePointer<UInt8>, in shard: inout KeyValueShard) -> Placing {
    let index = shard.find(slot.hash, key, Int(slot.keyCount))
    let before = index >= 0 ? shard.slots[index] : KeyValueSlot()
    if index < 0, shard.isCrowded { return .noRoom }
    guard charge(slot.cost - (index >= 0 ? before.cost : 0)) else { return .noRoom }
    if index >= 0 {
      shard.replace(index, with: slot)
    } else {
      shard.insert(slot)
    }
    return .placed(before.block)
  }

  /// Counts more bytes, or fewer, unless they would be too many.
  private func charge(_ more: Int) -> Bool {
    let total = bytes.wrappingAdd(more, ordering: .relaxed).newValue
    if more <= 0 || total <= bytesMax { return true }
    bytes.wrappingSubtract(more, ordering: .relaxed)
    return false
  }

  @inline(__always)
  private func sweep(_ shard: inout KeyValueShard, _ now: UInt64) {
    let freed = shard.sweep(slots: KeyValueStore.sweptPerCall, now: now)
    if freed > 0 { bytes.wrappingSubtract(freed, ordering: .relaxed) }
  }

  /// Frees whatever has expired anywhere, a few slots under a lock at a time. A shard that knows it has nothing to free
  /// costs one look.
  private func reclaim(_ now: UInt64) {
    for shard in shards {
      // A round may have begun anywhere, so two lead to a complete one; each freed entry is one step more.
      var steps = 3 * shard.withLock { $0.capacity }
      while steps > 0 {
        let isDone = shard.withLock { shard in
          let freed = shard.sweep(slots: KeyValueStore.sweptAtOnce, now: now)
          if freed > 0 { bytes.wrappingSubtract(freed, ordering: .relaxed) }
          return shard.earliest > now
        }
        if isDone { break }
        steps -= KeyValueStore.sweptAtOnce
      }
    }
  }

  // MARK: Parts

  private func hashed(_ key: UnsafePointer<UInt8>, _ count: Int) -> UInt64 { max(1, hash.value(key, count)) }

  /// The shard by the hash's upper bits; its slots go by the lower ones.
  private func shard(_ hash: UInt64) -> Locked<KeyValueShard> { shards[Int(hash >> 58)] }

  private static func end(_ ttlNanoseconds: UInt64?, _ now: UInt64) -> UInt64 {
    guard let ttlNanoseconds else { return .max }
    let (end, overflow) = now.addingReportingOverflow(ttlNanoseconds)
    return overflow ? .max : end
  }

  /// An entry with a block of its own.
  private static func slot(
    _ hash: UInt64, _ key: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int,
    _ expires: UInt64
  ) -> KeyValueSlot {
    let block = BytePointer.allocate(capacity: count + max(valueCount, KeyValueSlot.valueRoomMin))
    memcpy(block, key, count)
    memcpy(block + count, value, valueCount)
    return KeyValueSlot(
      hash: hash, expires: expires, block: block, valueCount: UInt32(valueCount), keyCount: UInt16(count))
  }

  /// An entry whose value is a number in decimal.
  private static func slot(
    _ hash: UInt64, _ key: UnsafePointer<UInt8>, _ count: Int, _ number: Int64, _ expires: UInt64
  ) -> KeyValueSlot {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    return withUnsafeMutableBytes(of: &digits) { room in
      let text = room.bindMemory(to: UInt8.self)
      guard let start = text.baseAddress else { return KeyValueSlot() }
      let length = write(number, start)
      return slot(hash, key, count, start, length, expires)
    }
  }

  private static func add(
    _ number: Int64, to slot: UnsafeMutablePointer<KeyValueSlot>
  ) -> Result<Int64, KeyValueError> {
    guard let block = slot.pointee.block else { return .failure(.notANumber) }
    let value = block + Int(slot.pointee.keyCount)
    guard let before = parse(value, Int(slot.pointee.valueCount)) else { return .failure(.notANumber) }
    let (sum, overflow) = before.addingReportingOverflow(number)
    if overflow { return .failure(.overflow) }
    slot.pointee.valueCount = UInt32(write(sum, value))
    return .success(sum)
  }

  /// Writes a number in decimal, at most 20 bytes; returns how many.
  private static func write(_ number: Int64, _ start: BytePointer) -> Int {
    var writer = ByteWriter(base: start, capacity: KeyValueSlot.valueRoomMin)
    if number < 0 { writer.append(byte: 0x2d) }
    writer.append(decimal: number.magnitude)
    return writer.count
  }

  /// A number in decimal, with a minus or without a sign; nil when it is none, or does not fit 64 bits.
  private static func parse(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int64? {
    let isNegative = count > 0 && bytes[0] == 0x2d
    let first = isNegative ? 1 : 0
    guard count > first, count <= KeyValueSlot.valueRoomMin else { return nil }
    var number: Int64 = 0
    for index in first..<count {
      let digit = Int64(bytes[index]) - 0x30
      guard (0...9).contains(digit) else { return nil }
      let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
      let (next, second) = tens.addingReportingOverflow(isNegative ? -digit : digit)
      if overflow || second { return nil }
      number = next
    }
    return number
  }
}
