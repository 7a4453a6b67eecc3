// Raw memory for what lives as long as a worker or a generation. Slabs, rings and scratch areas take whole pages from
// the kernel: untouched pages cost nothing, so capacities can be generous while the resident set stays small.

import CLinux
import Glibc

/// A pointer to bytes that somebody owns and may change.
typealias BytePointer = UnsafeMutablePointer<UInt8>

/// Zeroed pages straight from the kernel, never moved.
enum Pages {
  /// `bytes` of zeroed, page-aligned memory that becomes resident page by page as it is touched; nil when the kernel
  /// refuses.
  static func map(bytes: Int) -> UnsafeMutableRawPointer? {
    let protection = PROT_READ | PROT_WRITE
    let flags = Int32(MAP_PRIVATE) | Int32(MAP_ANONYMOUS) | Int32(MAP_NORESERVE)
    guard let memory = mmap(nil, bytes, protection, flags, -1, 0), memory != MAP_FAILED else { return nil }
    return memory
  }

  /// Gives back what `map` returned.
  static func unmap(_ memory: UnsafeMutableRawPointer, bytes: Int) { _ = munmap(memory, bytes) }
}

/// Bytes owned elsewhere (a generation's arena, a static string) that outlive every holder of this value.
struct StaticBytes: BitwiseCopyable, @unchecked Sendable {  // the bytes never change
  let start: UnsafePointer<UInt8>
  let count: Int

  init(start: UnsafePointer<UInt8>, count: Int) {
    self.start = start
    self.count = count
  }

  /// The bytes of a literal.
  init(_ text: StaticString) {
    start = text.utf8Start
    count = text.utf8CodeUnitCount
  }

  static let empty = StaticBytes("")

  /// A copy, for what leaves the worker.
  var text: String { String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self) }
}

/// A bump allocator: everything a generation's tables point to stands in one and is freed with it.
final class Arena {
  private var blocks: [UnsafeMutableRawPointer] = []
  private var cursor: UnsafeMutableRawPointer?
  private var room = 0
  private static let blockBytes = 64 << 10

  deinit { for block in blocks { free(block) } }

  /// `count` uninitialised values of a trivial type; never nil, for the process ends when memory does.
  func allocate<T: BitwiseCopyable>(_ type: T.Type, count: Int) -> UnsafeMutablePointer<T> {
    let bytes = max(1, MemoryLayout<T>.stride * count)
    let alignment = max(16, MemoryLayout<T>.alignment)
    let padded = (bytes + alignment - 1) & ~(alignment - 1)
    let start: UnsafeMutableRawPointer
    if let cursor, padded <= room {
      start = cursor
    } else {
      room = max(padded, Arena.blockBytes)
      start = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
      blocks.append(start)
    }
    cursor = start + padded
    room -= padded
    return start.bindMemory(to: T.self, capacity: max(1, count))
  }

  /// The elements copied to memory that lives as long as the arena.
  func copy<T: BitwiseCopyable>(_ elements: [T]) -> UnsafeMutablePointer<T> {
    let memory = allocate(T.self, count: elements.count)
    for (index, element) in elements.enumerated() { memory[index] = element }
    return memory
  }

  /// The UTF-8 bytes of a text.
  func text(_ text: String) -> StaticBytes {
    let bytes = Array(text.utf8)
    return StaticBytes(start: UnsafePointer(copy(bytes)), count: bytes.count)
  }
}
