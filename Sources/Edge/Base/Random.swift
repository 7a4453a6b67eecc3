// Randomness for identifiers and jitter, one generator per worker. Nothing secret is made from it.
// A worker owns its generator; nothing here is shared or locked.

import CLinux
import Glibc

/// xoshiro256** (Blackman and Vigna, 2018), seeded by the kernel.
struct Random: BitwiseCopyable {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  init() {
    var seed: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    let wanted = MemoryLayout.size(ofValue: seed)
    let filled = withUnsafeMutableBytes(of: &seed) { getrandom($0.baseAddress, wanted, 0) }
    precondition(filled == wanted, "the kernel gave no random bytes")
    state = seed
    if state == (0, 0, 0, 0) { state.0 = 1 }
  }

  mutating func next() -> UInt64 {
    @inline(__always) func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { value &<< by | value &>> (64 &- by) }
    let result = rotate(state.1 &* 5, 7) &* 9
    let shifted = state.1 &<< 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotate(state.3, 45)
    return result
  }
}
