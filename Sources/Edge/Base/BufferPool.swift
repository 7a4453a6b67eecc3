// Buffers for what cannot be passed on at once: a partial head, pipelined requests, bytes a peer is not ready to
// take. A connection borrows one while it has such bytes and gives it back when it has none, so idle connections own
// nothing.

import Glibc

/// Bytes `start..<end` of a block borrowed from a `BufferPool`. All zero means: no block.
struct Buffer: BitwiseCopyable, @unchecked Sendable {  // the block belongs to one worker
  var block: BytePointer?
  var capacity: Int32 = 0
  var start: Int32 = 0
  var end: Int32 = 0

  static let none = Buffer(block: nil)

  var count: Int { Int(end - start) }
  var isEmpty: Bool { end == start }
}

/// Free blocks of one worker, by size class. Not shared between threads.
struct BufferPool {
  /// Blocks of 4 KiB, 8 KiB … 1 MiB.
  private static let smallest = 12
  private static let classes = 9
  /// Free memory kept per class; what comes back beyond it goes to the allocator.
  private static let keptBytes = 1 << 20
  static let largest = 1 << (smallest + classes - 1)

  private var free: InlineArray<9, UnsafeMutableRawPointer?> = .init(repeating: nil)
  private var kept: InlineArray<9, Int32> = .init(repeating: 0)
  /// Bytes in borrowed blocks.
  private(set) var borrowedBytes = 0

  private static func classIndex(bytes: Int) -> Int {
    let bits = bytes <= 1 ? 0 : Int.bitWidth - (bytes - 1).leadingZeroBitCount
    return max(0, bits - smallest)
  }

  /// An empty buffer for at least `bytes`; nil above 1 MiB.
  mutating func borrow(bytes: Int) -> Buffer? {
    let index = BufferPool.classIndex(bytes: bytes)
    guard index < BufferPool.classes else { return nil }
    let size = 1 << (index + BufferPool.smallest)
    if let block = free[index] {
      borrowedBytes += size
      free[index] = block.load(as: UnsafeMutableRawPointer?.self)
      kept[index] -= 1
      return Buffer(block: block.assumingMemoryBound(to: UInt8.self), capacity: Int32(size))
    }
    guard let memory = malloc(size) else { return nil }
    borrowedBytes += size
    return Buffer(block: memory.bindMemory(to: UInt8.self, capacity: size), capacity: Int32(size))
  }

  /// Takes the block back and leaves `buffer` without one.
  mutating func giveBack(_ buffer: inout Buffer) {
    guard let block = buffer.block else { return }
    let index = BufferPool.classIndex(bytes: Int(buffer.capacity))
    borrowedBytes -= Int(buffer.capacity)
    buffer = .none
    let size = 1 << (index + BufferPool.smallest)
    if Int(kept[index]) * size >= BufferPool.keptBytes {
      Glibc.free(block)
      return
    }
    UnsafeMutableRawPointer(block).storeBytes(of: free[index], as: UnsafeMutableRawPointer?.self)
    free[index] = UnsafeMutableRawPointer(block)
    kept[index] += 1
  }

  /// Frees what is kept; what is borrowed must have come back before.
  mutating func removeAll() {
    for index in 0..<BufferPool.classes {
      while let block = free[index] {
        free[index] = block.load(as: UnsafeMutableRawPointer?.self)
        Glibc.free(block)
      }
      kept[index] = 0
    }
  }

  /// Makes room for `bytes` more behind what the buffer holds: in place, by moving to the front, or in a wider block.
  /// False when that would pass the largest class.
  mutating func makeRoom(_ buffer: inout Buffer, bytes: Int) -> Bool {
    if Int(buffer.capacity - buffer.end) >= bytes, buffer.block != nil { return true }
    let count = buffer.count
    if let block = buffer.block, Int(buffer.capacity) - count >= bytes {
      memmove(block, block + Int(buffer.start), count)
      buffer.start = 0
      buffer.end = Int32(count)
      return true
    }
    guard var wider = borrow(bytes: count + bytes), let target = wider.block else { return false }
    if let block = buffer.block { memcpy(target, block + Int(buffer.start), count) }
    wider.end = Int32(count)
    giveBack(&buffer)
    buffer = wider
    return true
  }

  /// Appends a copy of the bytes; false when they do not fit in the largest class.
  mutating func append(_ buffer: inout Buffer, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    if count == 0 { return true }
    guard makeRoom(&buffer, bytes: count), let block = buffer.block else { return false }
    memcpy(block + Int(buffer.end), bytes, count)
    buffer.end += Int32(count)
    return true
  }
}
