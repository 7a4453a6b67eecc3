// Bodies that must be read as a whole: one contiguous piece of memory each, counted against a budget that all workers
// share. Small ones stand in a block of the worker's pool, larger ones in pages of their own, which grow by moving
// pages instead of bytes.
//
// Called by: the driver. Never: waits; who finds the budget used up decides what that means.

import CLinux
import Glibc
import Synchronization

/// What bodies may take of memory together.
final class BodyBudget: Sendable {
  private let used = Atomic<Int>(0)
  private let limit: Atomic<Int>

  init(bytes: Int) { limit = Atomic(bytes) }

  /// A reload may change it; what is taken stays taken.
  func setLimit(_ bytes: Int) { limit.store(bytes, ordering: .relaxed) }

  var usedBytes: Int { used.load(ordering: .relaxed) }
  var limitBytes: Int { limit.load(ordering: .relaxed) }

  /// False when that many more would pass the limit.
  func take(_ bytes: Int) -> Bool {
    let (_, after) = used.add(bytes, ordering: .relaxed)
    if after <= limit.load(ordering: .relaxed) { return true }
    used.subtract(bytes, ordering: .relaxed)
    return false
  }

  func giveBack(_ bytes: Int) { used.subtract(bytes, ordering: .relaxed) }
}

/// Why a body has no room.
enum BodyRoom {
  case granted
  /// The budget is used up, or the system's memory.
  case refused
}

/// A body, as far as it has come.
struct Body: BitwiseCopyable, @unchecked Sendable {  // the memory belongs to one worker
  private(set) var base: BytePointer?
  private(set) var capacity = 0
  private(set) var count = 0

  static let none = Body()

  /// Beyond this, pages of their own; up to here a block of the pool.
  private static let pooledBytes = 64 << 10
  private static let pageBytes = 4 << 10

  /// Makes room for `wanted` bytes in all.
  mutating func makeRoom(_ wanted: Int, _ pool: inout BufferPool, _ budget: BodyBudget) -> BodyRoom {
    if wanted <= capacity { return .granted }
    let size = wanted <= Body.pooledBytes ? wanted : (wanted + Body.pageBytes - 1) & ~(Body.pageBytes - 1)
    if size <= Body.pooledBytes {
      guard let buffer = pool.borrow(bytes: size), let block = buffer.block else { return .refused }
      return replace(with: block, Int(buffer.capacity), &pool, budget)
    }
    if capacity > Body.pooledBytes, let base {
      guard budget.take(size - capacity) else { return .refused }
      guard let moved = edge_grow_map(base, capacity, size), moved != MAP_FAILED else {
        budget.giveBack(size - capacity)
        return .refused
      }
      self.base = moved.assumingMemoryBound(to: UInt8.self)
      capacity = size
      return .granted
    }
    guard let memory = Pages.map(bytes: size) else { return .refused }
    return replace(with: memory.bindMemory(to: UInt8.self, capacity: size), size, &pool, budget)
  }

  private mutating func replace(
    with memory: BytePointer, _ size: Int, _ pool: inout BufferPool, _ budget: BodyBudget
  ) -> BodyRoom {
    var wider = Body(base: memory, capacity: size, count: count)
    guard budget.take(size) else {
      wider.free(&pool)
      return .refused
    }
    if let base { memcpy(memory, base, count) }
    giveBack(&pool, budget)
    self = wider
    return .granted
  }

  /// Adds a copy of the bytes, doubling the memory when there is no room.
  mutating func append(
    _ bytes: UnsafePointer<UInt8>, _ length: Int, _ pool: inout BufferPool, _ budget: BodyBudget
  ) -> BodyRoom {
    if count + length > capacity {
      let wanted = max(count + length, 2 * capacity)
      if makeRoom(wanted, &pool, budget) == .refused, makeRoom(count + length, &pool, budget) == .refused {
        return .refused
      }
    }
    if let base { memcpy(base + count, bytes, length) }
    count += length
    return .granted
  }

  /// Takes `length` bytes out at `offset` and keeps that many behind them; what follows is dropped.
  mutating func remove(_ length: Int, at offset: Int, keeping rest: Int) {
    guard let base, offset + length + rest <= capacity else { return }
    memmove(base + offset, base + offset + length, rest)
    count = offset + rest
  }

  /// What was written into the room behind `count` belongs to the body now.
  mutating func advance(_ bytes: Int) { count = min(capacity, count + bytes) }

  mutating func giveBack(_ pool: inout BufferPool, _ budget: BodyBudget) {
    if capacity > 0 { budget.giveBack(capacity) }
    free(&pool)
  }

  private mutating func free(_ pool: inout BufferPool) {
    guard let base else { return }
    if capacity > Body.pooledBytes {
      Pages.unmap(base, bytes: capacity)
    } else {
      var buffer = Buffer(block: base, capacity: Int32(capacity))
      pool.giveBack(&buffer)
    }
    self = .none
  }
}
