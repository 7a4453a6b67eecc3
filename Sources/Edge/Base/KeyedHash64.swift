// A keyed hash of bytes that clients choose: without the key nobody can make keys collide. Tables that are shared by
// all clients use it to place their entries. It is not for signatures, and its values never leave the process.

import CLinux
import Glibc

/// SipHash-1-3 (Aumasson and Bernstein, 2012) with a key of 128 bits.
struct KeyedHash64: BitwiseCopyable, Sendable {
  private let first: UInt64
  private let second: UInt64

  /// A fixed key.
  init(key first: UInt64, _ second: UInt64) {
    self.first = first
    self.second = second
  }

  /// A key of the kernel's making.
  init() {
    var key: (UInt64, UInt64) = (0, 0)
    let wanted = MemoryLayout.size(ofValue: key)
    let filled = withUnsafeMutableBytes(of: &key) { getrandom($0.baseAddress, wanted, 0) }
    precondition(filled == wanted, "the kernel gave no random bytes")
    self.init(key: key.0, key.1)
  }

  /// The hash of `count` bytes.
  func value(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    var state = SipState(first, second)
    state.absorb(bytes, count)
    return state.finish()
  }

  /// Begins the hash of several texts.
  func texts() -> KeyedTexts { KeyedTexts(state: SipState(first, second)) }
}

/// The hash of several texts in their order. Where one ends and the next begins counts: each has its length in front.
struct KeyedTexts: BitwiseCopyable {
  fileprivate var state: SipState
  private var count: UInt64 = 0

  fileprivate init(state: SipState) { self.state = state }

  /// The next text.
  @inline(__always)
  mutating func add(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
    state.absorb(UInt64(byteCount))
    state.absorb(bytes, byteCount)
    count += 1
  }

  /// The hash; how many texts there were counts, too.
  @inline(__always)
  func value() -> UInt64 {
    var state = state
    state.absorb(count)
    return state.finish()
  }
}

/// The four words of SipHash.
private struct SipState: BitwiseCopyable {
  private var a, b, c, d: UInt64

  init(_ first: UInt64, _ second: UInt64) {
    a = first ^ 0x736f_6d65_7073_6575
    b = second ^ 0x646f_7261_6e64_6f6d
    c = first ^ 0x6c79_6765_6e65_7261
    d = second ^ 0x7465_6462_7974_6573
  }

  @inline(__always)
  private static func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { value &<< by | value &>> (64 &- by) }

  @inline(__always)
  private mutating func round() {
    a = a &+ b
    b = SipState.rotate(b, 13) ^ a
    a = SipState.rotate(a, 32)
    c = c &+ d
    d = SipState.rotate(d, 16) ^ c
    a = a &+ d
    d = SipState.rotate(d, 21) ^ a
    c = c &+ b
    b = SipState.rotate(b, 17) ^ c
    c = SipState.rotate(c, 32)
  }

  @inline(__always)
  mutating func absorb(_ word: UInt64) {
    d ^= word
    round()
    a ^= word
  }

  /// Bytes as words, the last one with what is left over and the low byte of the length.
  @inline(__always)
  mutating func absorb(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    let raw = UnsafeRawPointer(bytes)
    let whole = count & ~7
    var offset = 0
    while offset < whole {
      absorb(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
      offset &+= 8
    }
    // The two reads of what is left over overlap where it has less than they could take.
    let rest = count &- whole
    var last = UInt64(truncatingIfNeeded: count) << 56
    if rest >= 4 {
      last |= UInt64(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: whole, as: UInt32.self)))
      let high = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self))
      last |= UInt64(high) &<< UInt64(8 &* (rest &- 4))
    } else if rest > 0 {
      last |= UInt64(bytes[whole])
      last |= UInt64(bytes[whole &+ rest / 2]) &<< UInt64(8 &* (rest / 2))
      last |= UInt64(bytes[count &- 1]) &<< UInt64(8 &* (rest &- 1))
    }
    absorb(last)
  }

  @inline(__always)
  mutating func finish() -> UInt64 {
    c ^= 0xff
    round()
    round()
    round()
    return a ^ b ^ c ^ d
  }
}
