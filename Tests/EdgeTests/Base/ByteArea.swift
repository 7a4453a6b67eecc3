import Foundation

@testable import Edge

/// Memory of exactly the size asked for, so that the address sanitizer sees any access beside it.
final class ByteArea {
  let base: BytePointer
  let count: Int
  private let memory: BytePointer

  /// A copy of the bytes, with room in front of and behind it.
  init(_ bytes: [UInt8], headroom: Int = 0, tail: Int = 0, fill: UInt8 = 0xee) {
    memory = .allocate(capacity: max(1, headroom + bytes.count + tail))
    memory.initialize(repeating: fill, count: headroom + bytes.count + tail)
    base = memory + headroom
    count = bytes.count
    for (index, byte) in bytes.enumerated() { base[index] = byte }
  }

  deinit { memory.deallocate() }

  var bytes: [UInt8] { slice(0..<count) }

  func slice(_ range: Range<Int>) -> [UInt8] {
    Array(UnsafeBufferPointer(start: base + range.lowerBound, count: range.count))
  }
}

/// A text in which every character stands for one byte (Latin-1), so that vectors can hold any byte.
func raw(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

/// The text of bytes, read as `raw` writes them.
func latin(_ bytes: [UInt8]) -> String { String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })) }

/// What a writer wrote into an area of exactly `capacity` bytes.
func written(capacity: Int = 4_096, _ body: (inout ByteWriter) -> Void) -> (text: String, overflowed: Bool) {
  let area = ByteArea([UInt8](repeating: 0xee, count: capacity))
  var writer = ByteWriter(base: area.base, capacity: capacity)
  body(&writer)
  return (latin(area.slice(0..<writer.count)), writer.overflowed)
}

/// The text that a writer wrote.
func text(_ body: (inout ByteWriter) -> Void) -> String { written(body).text }

extension StaticBytes {
  var text: String { latin(Array(UnsafeBufferPointer(start: start, count: count))) }
}

/// A known sequence of numbers (SplitMix64): a failing case is the same on every run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

  /// The bytes in pieces of random sizes, none empty.
  mutating func cut(_ bytes: [UInt8], longest: Int) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + 1 + below(longest))
      pieces.append(Array(bytes[start..<end]))
      start = end
    }
    return pieces
  }
}

/// Every way to feed bytes that the tests use: whole, byte by byte, and cut in two at every place.
func feeds(_ bytes: [UInt8]) -> [[[UInt8]]] {
  var feeds = [[bytes], bytes.map { [$0] }]
  for place in stride(from: 1, to: bytes.count, by: 1) {
    feeds.append([Array(bytes[..<place]), Array(bytes[place...])])
  }
  return feeds
}
