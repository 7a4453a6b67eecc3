// What JSON strings say: escapes resolved, compared, copied. And the check of UTF-8, with a fast way over plain bytes.
//
// Called by: JSONDocument's look-ups and whoever takes a string out of a document. The strings were checked when the
// text was read, so nothing here can fail.

import Glibc

/// How many bytes from here on stand for themselves in a JSON string: ASCII but control bytes, quotes and backslashes.
@inline(__always)
func plainJSONBytes(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let highs: UInt64 = 0x8080_8080_8080_8080
  let raw = UnsafeRawPointer(bytes)
  var index = 0
  while index &+ 8 <= count {
    let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
    let quote = word ^ (ones &* 0x22)
    let backslash = word ^ (ones &* 0x5c)
    // The lowest flag of each is exact; flags above it may come from a borrow.
    let flags =
      ((word &- ones &* 0x20) & ~word | (quote &- ones) & ~quote | (backslash &- ones) & ~backslash | word) & highs
    if flags != 0 { return index &+ flags.trailingZeroBitCount >> 3 }
    index &+= 8
  }
  while index < count {
    let byte = bytes[index]
    if byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5c { break }
    index &+= 1
  }
  return index
}

/// Whether bytes are well-formed UTF-8.
func isUTF8(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  let raw = UnsafeRawPointer(bytes)
  var index = 0
  while index < count {
    while index &+ 8 <= count,
      raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
    { index &+= 8 }
    if index == count { return true }
    let width = bytes[index] < 0x80 ? 1 : utf8Width(bytes + index, count - index)
    if width == 0 { return false }
    index &+= width
  }
  return true
}

/// The value of a hexadecimal digit.
@inline(__always)
func hexadecimalDigit(_ byte: UInt8) -> UInt32? {
  if byte &- 0x30 < 10 { return UInt32(byte &- 0x30) }
  let folded = byte | 0x20
  return folded &- 0x61 < 6 ? UInt32(folded &- 0x61 &+ 10) : nil
}

/// The bytes that a string says, one by one, escapes resolved.
struct JSONStringBytes: Sequence, IteratorProtocol {
  private var cursor: UnsafePointer<UInt8>
  private let end: UnsafePointer<UInt8>
  /// The rest of the character that an escape stood for; the next byte is the lowest.
  private var pending: UInt32 = 0
  private var pendingCount = 0

  /// `content` is what stands between the quotes.
  init(content: UnsafeBufferPointer<UInt8>) {
    let start = content.baseAddress ?? StaticBytes.empty.start
    cursor = start
    end = start + content.count
  }

  mutating func next() -> UInt8? {
    if pendingCount == 0 {
      if cursor == end { return nil }
      if cursor.pointee != 0x5c {
        defer { cursor += 1 }
        return cursor.pointee
      }
      let escape = Self.escape(cursor)
      cursor += escape.width
      (pending, pendingCount) = Self.utf8(escape.scalar)
    }
    defer {
      pending >>= 8
      pendingCount -= 1
    }
    return UInt8(truncatingIfNeeded: pending)
  }

  /// The character for which the escape stands that begins here, and how many bytes it takes.
  static func escape(_ place: UnsafePointer<UInt8>) -> (scalar: UInt32, width: Int) {
    switch place[1] {
    case 0x62: return (0x08, 2)
    case 0x66: return (0x0c, 2)
    case 0x6e: return (0x0a, 2)
    case 0x72: return (0x0d, 2)
    case 0x74: return (0x09, 2)
    case 0x75:
      let unit = unit(place + 2)
      if unit & 0xf800 != 0xd800 { return (unit, 6) }
      return (0x10000 + (unit & 0x3ff) << 10 + self.unit(place + 8) & 0x3ff, 12)
    default: return (UInt32(place[1]), 2)
    }
  }

  private static func unit(_ digits: UnsafePointer<UInt8>) -> UInt32 {
    (0..<4).reduce(0) { $0 << 4 | (hexadecimalDigit(digits[$1]) ?? 0) }
  }

  /// A character's UTF-8, its first byte lowest, and how many bytes that are.
  static func utf8(_ scalar: UInt32) -> (bytes: UInt32, count: Int) {
    func tail(_ shift: UInt32) -> UInt32 { 0x80 | scalar >> shift & 0x3f }
    if scalar < 0x80 { return (scalar, 1) }
    if scalar < 0x800 { return (0xc0 | scalar >> 6 | tail(0) << 8, 2) }
    if scalar < 0x10000 { return (0xe0 | scalar >> 12 | tail(6) << 8 | tail(0) << 16, 3) }
    return (0xf0 | scalar >> 18 | tail(12) << 8 | tail(6) << 16 | tail(0) << 24, 4)
  }
}

extension JSONDocument {
  /// What stands between the quotes of a string, escapes as they are. For a string without escapes that is what it
  /// says.
  func content(_ index: Int) -> UnsafeBufferPointer<UInt8> {
    let node = self[index]
    assert(node.kind == .string)
    return UnsafeBufferPointer(start: text + Int(node.start) + 1, count: Int(node.count) - 2)
  }

  /// Whether a node is a string that says exactly these bytes.
  func isString(_ index: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let node = self[index]
    if node.kind != .string { return false }
    if !node.flag {
      return Int(node.count) == count + 2 && equalBytes(text + Int(node.start) + 1, bytes, count)
    }
    var matched = 0
    for byte in JSONStringBytes(content: content(index)) {
      if matched == count || bytes[matched] != byte { return false }
      matched += 1
    }
    return matched == count
  }

  /// Whether a node is a string that says this.
  func isString(_ index: Int, _ text: StaticString) -> Bool {
    isString(index, text.utf8Start, text.utf8CodeUnitCount)
  }

  /// Whether a node is a string that says this, whatever the case of its letters; `text` is in lower case.
  func isString(_ index: Int, folded text: StaticString) -> Bool {
    if self[index].kind != .string { return false }
    var matched = 0
    for byte in JSONStringBytes(content: content(index)) {
      if matched == text.utf8CodeUnitCount || text.utf8Start[matched] != foldCase(byte) { return false }
      matched += 1
    }
    return matched == text.utf8CodeUnitCount
  }

  /// Whether two strings say the same.
  func areSame(_ left: Int, _ right: Int) -> Bool {
    if self[left].flag {
      return JSONStringBytes(content: content(left)).elementsEqual(JSONStringBytes(content: content(right)))
    }
    let plain = content(left)
    return isString(right, plain.baseAddress ?? text, plain.count)
  }
}

extension ByteWriter {
  /// What a string of a document says. It never takes more bytes than the string's text.
  mutating func append(unescaped string: Int, of document: JSONDocument) {
    append(unescaped: document.content(string))
  }

  /// What a string says, of which `content` stands between the quotes.
  mutating func append(unescaped content: UnsafeBufferPointer<UInt8>) {
    guard var cursor = content.baseAddress else { return }
    let end = cursor + content.count
    while cursor < end {
      guard let found = memchr(cursor, 0x5c, end - cursor) else { break }
      let place = UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
      append(cursor, place - cursor)
      let escape = JSONStringBytes.escape(place)
      var (bytes, count) = JSONStringBytes.utf8(escape.scalar)
      while count > 0 {
        append(byte: UInt8(truncatingIfNeeded: bytes))
        bytes >>= 8
        count -= 1
      }
      cursor = place + escape.width
    }
    append(cursor, end - cursor)
  }
}
