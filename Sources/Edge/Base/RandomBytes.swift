// Randomness that nobody can guess, straight from the kernel, fetched many words at a time.
// Each worker has its own; nothing here is shared or locked. For identifiers and jitter there is `Random`, which is
// cheaper and can be guessed.

import CLinux
import Glibc

/// Words of the kernel's random numbers.
struct RandomBytes {
  private static let words = 256

  private let area: UnsafeMutablePointer<UInt32>
  private var left = 0

  init(arena: Arena) { area = arena.allocate(UInt32.self, count: RandomBytes.words) }

  /// A word that was never given out.
  @inline(__always)
  mutating func next() -> UInt32 {
    if left == 0 { refill() }
    left &-= 1
    return area[left]
  }

  private mutating func refill() {
    let wanted = RandomBytes.words * MemoryLayout<UInt32>.size
    var filled = 0
    while filled < wanted {
      let count = getrandom(UnsafeMutableRawPointer(area) + filled, wanted - filled, 0)
      if count > 0 { filled += count }
      // A signal may have come; there is no other reason once the machine has started.
    }
    left = RandomBytes.words
  }
}
