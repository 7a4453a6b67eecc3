// JSON written piece by piece into memory of a fixed size.
//
// Owns: how numbers, strings and words look. What stands where is the caller's: it writes brackets, colons and commas.
// Called by: whoever makes a JSON text without a tree of values.
// Never: writes what is no JSON; what would be none is replaced.

import Glibc

extension ByteWriter {
  mutating func append(json value: Bool) { append(value ? "true" : "false" as StaticString) }

  mutating func appendNull() { append("null") }

  mutating func append(json number: Int64) {
    if number < 0 { append(byte: 0x2d) }
    append(decimal: number.magnitude)
  }

  /// The shortest literal from which the same number is read; whole numbers without a fraction. What is no number in
  /// JSON (infinite or none) becomes null, as JavaScript has it, and the answer is false.
  @discardableResult
  mutating func append(json number: Double) -> Bool {
    guard number.isFinite else {
      appendNull()
      return false
    }
    let magnitude = number.magnitude
    if number.sign == .minus { append(byte: 0x2d) }
    if magnitude < 0x1p53, magnitude == magnitude.rounded(.towardZero) {
      append(decimal: UInt64(magnitude))
      return true
    }
    if append(shortDecimal: magnitude) { return true }
    append(string: magnitude.description)
    return true
  }

  /// Numbers with few digits behind the dot, without making a String. The fewest digits for which digits ÷ 10ⁿ gives
  /// the number back: both are exact, so a reader that rounds once finds the same.
  private mutating func append(shortDecimal number: Double) -> Bool {
    guard number >= 1e-3, number < 1e9 else { return false }
    var power = 1.0
    for places in 1...6 {
      power *= 10
      let digits = (number * power).rounded()
      guard digits < 0x1p53 else { return false }
      if digits / power == number {
        let whole = UInt64(digits)
        let divisor = UInt64(power)
        append(decimal: whole / divisor)
        append(byte: 0x2e)
        append(decimal: whole % divisor, width: places)
        return true
      }
    }
    return false
  }

  /// A string with its quotes. Bytes that are no UTF-8 become U+FFFD; who must refuse them asks `isUTF8` first.
  mutating func append(json bytes: UnsafePointer<UInt8>, _ count: Int) {
    append(byte: 0x22)
    var index = 0
    while index < count {
      let plain = plainJSONBytes(bytes + index, count - index)
      append(bytes + index, plain)
      index += plain
      if index == count { break }
      let width = bytes[index] < 0x80 ? 1 : max(1, utf8Width(bytes + index, count - index))
      append(jsonEscaped: bytes + index, width)
      index += width
    }
    append(byte: 0x22)
  }

  /// A literal as a string with its quotes.
  mutating func append(json text: StaticString) { append(json: text.utf8Start, text.utf8CodeUnitCount) }

  /// A key with its quotes and the colon.
  mutating func append(jsonKey key: StaticString) {
    append(json: key)
    append(byte: 0x3a)
  }

  /// A comma, unless this is the first member.
  mutating func separate(_ isFirst: inout Bool) {
    if !isFirst { append(byte: 0x2c) }
    isFirst = false
  }
}
