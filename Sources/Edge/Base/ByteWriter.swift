// Appends bytes to memory of a fixed size. Heads, chunk lines and replies are written through it into a worker's
// scratch area; it never allocates. A text that does not fit sets `overflowed` and writes nothing more, so that a
// writer checks once, at the end.

import Glibc

/// Copies bytes that do not overlap. Fields of heads are short: up to 32 bytes are two moves that may cover each other.
@inline(__always)
func copyBytes(_ target: BytePointer, _ source: UnsafePointer<UInt8>, _ count: Int) {
  let (to, from) = (UnsafeMutableRawPointer(target), UnsafeRawPointer(source))
  @inline(__always) func move<Word: BitwiseCopyable>(_ word: Word.Type, _ width: Int) {
    let first = from.loadUnaligned(as: word)
    let last = from.loadUnaligned(fromByteOffset: count &- width, as: word)
    to.storeBytes(of: first, as: word)
    to.storeBytes(of: last, toByteOffset: count &- width, as: word)
  }
  if count > 32 {
    memcpy(to, from, count)
  } else if count > 16 {
    move(SIMD16<UInt8>.self, 16)
  } else if count >= 8 {
    move(UInt64.self, 8)
  } else if count >= 4 {
    move(UInt32.self, 4)
  } else {
    for index in 0..<count { target[index] = source[index] }
  }
}

/// A cursor over memory owned by somebody else.
struct ByteWriter: BitwiseCopyable {
  let base: BytePointer
  let capacity: Int
  private(set) var count = 0
  private(set) var overflowed = false
  /// Where writing ends: the capacity, or before everything once something did not fit.
  private var limit: Int

  init(base: BytePointer, capacity: Int) {
    self.base = base
    self.capacity = capacity
    limit = capacity
  }

  /// Where the next byte goes.
  var end: BytePointer { base + count }
  var room: Int { capacity - count }

  @inline(__always)
  private mutating func reserve(_ bytes: Int) -> Bool {
    if bytes <= limit &- count { return true }
    overflowed = true
    limit = -1
    return false
  }

  mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
    guard reserve(length) else { return }
    copyBytes(base + count, bytes, length)
    count &+= length
  }

  @inline(__always)
  mutating func append(_ bytes: StaticBytes) { append(bytes.start, bytes.count) }

  @inline(__always)
  mutating func append(_ text: StaticString) {
    // The length of a literal is known to the compiler, which copies it with a few moves.
    let length = text.utf8CodeUnitCount
    guard reserve(length) else { return }
    memcpy(base + count, text.utf8Start, length)
    count &+= length
  }

  @inline(__always)
  mutating func append(byte: UInt8) {
    guard reserve(1) else { return }
    base[count] = byte
    count += 1
  }

  @inline(__always)
  mutating func appendLineEnd() {
    guard reserve(2) else { return }
    UnsafeMutableRawPointer(base + count).storeBytes(of: UInt16(littleEndian: 0x0a0d), as: UInt16.self)
    count += 2
  }

  /// A number in decimal.
  mutating func append(decimal value: UInt64) {
    if value < 10_000 {
      append(small: UInt32(truncatingIfNeeded: value))
      return
    }
    var digits = 5
    var bound: UInt64 = 100_000
    while digits < 20, value >= bound {
      digits += 1
      let (next, overflow) = bound.multipliedReportingOverflow(by: 10)
      if overflow { break }
      bound = next
    }
    guard reserve(digits) else { return }
    var rest = value
    var index = count + digits
    repeat {
      index -= 1
      base[index] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
      rest /= 10
    } while index > count
    count += digits
  }

  /// Most numbers in heads: at most four digits.
  @inline(__always)
  private mutating func append(small value: UInt32) {
    let digits = value < 10 ? 1 : value < 100 ? 2 : value < 1_000 ? 3 : 4
    guard reserve(digits) else { return }
    let place = base + count
    let (high, low) = (value / 100, value % 100)
    switch digits {
    case 1: place[0] = UInt8(truncatingIfNeeded: value) &+ 0x30
    case 2: ByteWriter.put(low, place)
    case 3:
      place[0] = UInt8(truncatingIfNeeded: high) &+ 0x30
      ByteWriter.put(low, place + 1)
    default:
      ByteWriter.put(high, place)
      ByteWriter.put(low, place + 2)
    }
    count &+= digits
  }

  /// Two digits.
  @inline(__always)
  private static func put(_ value: UInt32, _ place: BytePointer) {
    place[0] = UInt8(truncatingIfNeeded: value / 10) &+ 0x30
    place[1] = UInt8(truncatingIfNeeded: value % 10) &+ 0x30
  }

  /// A number in decimal, with leading zeros up to `width` digits.
  mutating func append(decimal value: UInt64, width: Int) {
    guard reserve(width) else { return }
    var rest = value
    for index in stride(from: count + width - 1, through: count, by: -1) {
      base[index] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
      rest /= 10
    }
    count += width
  }

  /// A number in lower-case hexadecimal without leading zeros.
  mutating func append(hex value: UInt64) {
    let digits = max(1, (64 - value.leadingZeroBitCount + 3) / 4)
    guard reserve(digits) else { return }
    for index in 0..<digits {
      let nibble = UInt8(truncatingIfNeeded: value >> UInt64(4 * (digits - 1 - index))) & 15
      base[count + index] = nibble < 10 ? nibble &+ 0x30 : nibble &+ 0x57
    }
    count += digits
  }

  /// Takes back everything behind the first `bytes`, an overflow too.
  mutating func rewind(to bytes: Int) {
    count = min(bytes, count)
    overflowed = false
    limit = capacity
  }

  /// Counts bytes that were put at `end` by other means.
  mutating func advance(_ bytes: Int) {
    guard reserve(bytes) else { return }
    count += bytes
  }

  /// A text that is not a literal. Its own name, so that a literal never becomes a String on the request path.
  mutating func append(string text: String) {
    var copy = text
    copy.withUTF8 { bytes in
      if let start = bytes.baseAddress { append(start, bytes.count) }
    }
  }

  /// A text inside a JSON string: quotes, backslashes and control bytes escaped, bytes that are no UTF-8 replaced.
  mutating func append(jsonEscaped bytes: UnsafePointer<UInt8>, _ length: Int) {
    var index = 0
    while index < length {
      let byte = bytes[index]
      if byte < 0x80 {
        append(jsonEscaped: byte)
        index += 1
        continue
      }
      let width = utf8Width(bytes + index, length - index)
      if width == 0 {
        append("\\ufffd")
        index += 1
      } else {
        append(bytes + index, width)
        index += width
      }
    }
  }

  private mutating func append(jsonEscaped byte: UInt8) {
    switch byte {
    case 0x22: append("\\\"")
    case 0x5c: append("\\\\")
    case 0x0a: append("\\n")
    case 0x0d: append("\\r")
    case 0x09: append("\\t")
    case 0x20...0x7e: append(byte: byte)
    default:
      append("\\u00")
      append(byte: 0x30 + (byte >> 4))
      let low = byte & 15
      append(byte: low < 10 ? 0x30 + low : 0x57 + low)
    }
  }
}

/// The length of the well-formed UTF-8 sequence that begins with a byte above 0x7f, or 0 (Unicode 15, table 3-7).
func utf8Width(_ bytes: UnsafePointer<UInt8>, _ room: Int) -> Int {
  func continues(_ index: Int) -> Bool { index < room && bytes[index] & 0xc0 == 0x80 }
  switch bytes[0] {
  case 0xc2...0xdf: return continues(1) ? 2 : 0
  case 0xe0...0xef:
    guard continues(1), continues(2) else { return 0 }
    if bytes[0] == 0xe0 && bytes[1] < 0xa0 || bytes[0] == 0xed && bytes[1] > 0x9f { return 0 }
    return 3
  case 0xf0...0xf4:
    guard continues(1), continues(2), continues(3) else { return 0 }
    if bytes[0] == 0xf0 && bytes[1] < 0x90 || bytes[0] == 0xf4 && bytes[1] > 0x8f { return 0 }
    return 4
  default: return 0
  }
}
