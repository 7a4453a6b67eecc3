// What a WebSocket keeps of the context of its upgrade, as bytes: plain entries, so that the machine of any later
// generation can begin a context with them.
//
//   facts   how many entries, then each: name (length, bytes), value
//   value   one byte that says which, and what belongs to it: 8 bytes of an integer or of a float, a string (length,
//           bytes), a list (how many members, then each: no lists)
//
// Lengths and counts are written seven bits at a time, the lowest first. Called by: the machine. Never: holds anything
// that belongs to a machine.

import Glibc
import LuaBridge

/// Facts between flat values and bytes.
enum SessionFacts {
  fileprivate enum Tag: UInt8 {
    case no, yes, integer, number, string, list, emptyTable
  }

  /// Flat values that facts may have: each takes a byte at least, the map around them included.
  static let valuesMax = Limits.sessionFactsBytes

  /// Writes a flat map of names with plain values and lists of these; false when that is more than a WebSocket keeps.
  static func write(_ values: FlatValues, to writer: inout ByteWriter) -> Bool {
    guard values.count > 0, values.values[0].luaKind == .map else { return false }
    var facts = FactsWriter(values: values, writer: writer)
    facts.appendLength(Int(values.values[0].count))
    for _ in 0..<values.values[0].count {
      facts.appendText()
      facts.appendValue()
    }
    writer = facts.writer
    return facts.fits
  }

  /// Reads facts as a flat map into `area`, which has room for `valuesMax`; strings point into the bytes. Returns how
  /// many values that are; nil: they are no facts.
  static func read(
    _ bytes: UnsafeBufferPointer<UInt8>, into area: UnsafeMutableBufferPointer<LuaValue>
  ) -> Int? {
    guard area.count >= valuesMax, bytes.count <= Limits.sessionFactsBytes else { return nil }
    var facts = FactsReader(bytes: bytes, area: area)
    guard let count = facts.length() else { return nil }
    facts.put(.map(count))
    for _ in 0..<count {
      guard let name = facts.text() else { return nil }
      facts.put(.string(name))
      guard facts.readValue(inList: false) else { return nil }
    }
    return facts.position == bytes.count ? facts.count : nil
  }
}

/// Walks flat values while it writes them.
private struct FactsWriter {
  let values: FlatValues
  var writer: ByteWriter
  var place = 1
  /// Everything so far was what facts may be, and not too long.
  var fits = true

  mutating func appendLength(_ length: Int) {
    var rest = UInt64(length)
    while rest >= 0x80 {
      append(byte: UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(byte: UInt8(truncatingIfNeeded: rest))
  }

  private mutating func append(byte: UInt8) {
    fits = fits && writer.count < Limits.sessionFactsBytes
    if fits { writer.append(byte: byte) }
  }

  private mutating func append(_ tag: SessionFacts.Tag) { append(byte: tag.rawValue) }

  /// The next value, which must be a string.
  mutating func appendText() {
    guard fits, place < values.count, let text = values.string(at: place) else {
      fits = false
      return
    }
    place += 1
    appendLength(text.count)
    fits = fits && text.count <= Limits.sessionFactsBytes - writer.count
    if fits, let start = text.baseAddress { writer.append(start, text.count) }
  }

  /// The next value with its members.
  mutating func appendValue() {
    guard fits, place < values.count else {
      fits = false
      return
    }
    let value = values.values[place]
    switch value.luaKind {
    case .string:
      append(.string)
      appendText()
      return
    case .boolean: append(value.booleanValue ? .yes : .no)
    case .integer: append(.integer, UInt64(bitPattern: Int64(value.integerValue)))
    case .number: append(.number, value.numberValue.bitPattern)
    case .map where value.count == 0: append(.emptyTable)
    case .list:
      append(.list)
      appendLength(Int(value.count))
      place += 1
      for _ in 0..<value.count where fits { appendValue() }
      return
    default: fits = false
    }
    place += 1
  }

  private mutating func append(_ tag: SessionFacts.Tag, _ bits: UInt64) {
    append(tag)
    for shift in stride(from: 0, to: 64, by: 8) { append(byte: UInt8(truncatingIfNeeded: bits >> UInt64(shift))) }
  }
}

/// Walks bytes while it lays them out flat.
private struct FactsReader {
  let bytes: UnsafeBufferPointer<UInt8>
  let area: UnsafeMutableBufferPointer<LuaValue>
  var position = 0
  var count = 0

  mutating func put(_ value: LuaValue) {
    area[count] = value
    count += 1
  }

  private mutating func byte() -> UInt8? {
    guard position < bytes.count else { return nil }
    position += 1
    return bytes[position - 1]
  }

  /// A length or a count: of what still follows, so never more than there are bytes.
  mutating func length() -> Int? {
    var length = 0
    for shift in [0, 7] {
      guard let byte = byte() else { return nil }
      length |= Int(byte & 0x7f) << shift
      if byte & 0x80 == 0 { return length <= bytes.count - position ? length : nil }
    }
    return nil
  }

  mutating func text() -> UnsafeBufferPointer<UInt8>? {
    guard let length = length() else { return nil }
    position += length
    return UnsafeBufferPointer(rebasing: bytes[(position - length)..<position])
  }

  mutating func readValue(inList: Bool) -> Bool {
    guard let tag = byte().flatMap(SessionFacts.Tag.init(rawValue:)) else { return false }
    switch tag {
    case .no: put(.boolean(false))
    case .yes: put(.boolean(true))
    case .integer:
      guard let bits = bits() else { return false }
      put(.integer(Int(Int64(bitPattern: bits))))
    case .number:
      guard let bits = bits() else { return false }
      put(.number(Double(bitPattern: bits)))
    case .string:
      guard let text = text() else { return false }
      put(.string(text))
    case .emptyTable:
      if inList { return false }
      put(.map(0))
    case .list:
      guard !inList, let members = length() else { return false }
      put(.list(members))
      for _ in 0..<members where !readValue(inList: true) { return false }
    }
    return true
  }

  private mutating func bits() -> UInt64? {
    guard bytes.count - position >= 8 else { return nil }
    var bits: UInt64 = 0
    for index in 0..<8 { bits |= UInt64(bytes[position + index]) << UInt64(8 * index) }
    position += 8
    return bits
  }
}
