// Text whose length is not known before it is written: JSON for a script, the body of a reply. One piece of memory that
// grows and is used again.

import Glibc

/// Memory for one text at a time.
final class TextArea {
  private var memory: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  private let bytesMax: Int
  /// What is kept for the next text; a larger piece goes back to the allocator.
  private static let keptBytes = 64 << 10
  private static let firstBytes = 4 << 10

  init(bytesMax: Int) {
    self.bytesMax = bytesMax
    capacity = TextArea.firstBytes
    memory = .allocate(capacity: capacity)
  }

  deinit { memory.deallocate() }

  /// Lets `body` write, again with more room as long as it overflows; nil when the text is longer than it may be. The
  /// text stays until the next one is written.
  func write(_ body: (inout ByteWriter) -> Void) -> UnsafeBufferPointer<UInt8>? {
    if capacity > TextArea.keptBytes { replace(TextArea.keptBytes) }
    while true {
      var writer = ByteWriter(base: memory, capacity: capacity)
      body(&writer)
      if !writer.overflowed { return UnsafeBufferPointer(start: memory, count: writer.count) }
      if capacity >= bytesMax { return nil }
      replace(min(capacity * 4, bytesMax))
    }
  }

  private func replace(_ bytes: Int) {
    memory.deallocate()
    capacity = bytes
    memory = .allocate(capacity: capacity)
  }
}
