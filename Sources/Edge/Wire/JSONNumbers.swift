// The numbers of JSON texts: whole ones exactly, others as the nearest double.
//
// Called by: whoever takes a number out of a document. The literal was checked when the text was read.
// Never: depends on the locale, which Edge never sets.

import Glibc

/// A number as exactly as it can be held.
enum JSONNumber: Equatable {
  /// The literal has neither fraction nor exponent and fits.
  case integer(Int64)
  case double(Double)
}

extension JSONDocument {
  /// The value of a number; nil for other nodes and for numbers beyond all doubles, which a text may hold.
  func number(_ index: Int) -> JSONNumber? {
    if let whole = integer(index) { return .integer(whole) }
    if let double = double(index) { return .double(double) }
    return nil
  }

  /// The value of a number without fraction and exponent that fits.
  func integer(_ index: Int) -> Int64? {
    let node = self[index]
    guard node.isWhole, node.count <= 20 else { return nil }
    let digits = text + Int(node.start)
    let isNegative = digits[0] == 0x2d
    // Downwards, for there is one more number below zero than above.
    var value: Int64 = 0
    for place in (isNegative ? 1 : 0)..<Int(node.count) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (next, underflow) = tens.subtractingReportingOverflow(Int64(digits[place] &- 0x30))
      if overflow || underflow { return nil }
      value = next
    }
    if isNegative { return value }
    return value == .min ? nil : -value
  }

  /// The double nearest to a number; nil when that would be infinite.
  func double(_ index: Int) -> Double? {
    let node = self[index]
    guard node.kind == .number else { return nil }
    let literal = text + Int(node.start)
    let count = Int(node.count)
    if let short = shortDouble(literal, count) { return short }
    let value = withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { area -> Double in
      guard let base = area.baseAddress else { return .nan }
      memcpy(base, literal, count)
      base[count] = 0
      return strtod(base, nil)
    }
    return value.isFinite ? value : nil
  }

  /// Most literals are an integer that a double holds, times or divided by a power of ten that a double holds: one
  /// rounding, so the nearest double.
  private func shortDouble(_ literal: UnsafePointer<UInt8>, _ count: Int) -> Double? {
    var index = literal[0] == 0x2d ? 1 : 0
    var digits: UInt64 = 0
    var exponent = 0
    var isBehindDot = false
    while index < count {
      let byte = literal[index]
      if byte == 0x2e {
        isBehindDot = true
      } else if byte &- 0x30 < 10 {
        if digits >= 1 << 53 / 10 { return nil }
        digits = digits * 10 + UInt64(byte &- 0x30)
        if isBehindDot { exponent -= 1 }
      } else {
        break
      }
      index += 1
    }
    if index < count {
      index += 1
      let isNegative = literal[index] == 0x2d
      if literal[index] == 0x2d || literal[index] == 0x2b { index += 1 }
      if count - index > 3 { return nil }
      var given = 0
      while index < count {
        given = given * 10 + Int(literal[index] &- 0x30)
        index += 1
      }
      exponent += isNegative ? -given : given
    }
    guard exponent.magnitude <= 22 else { return nil }
    var power = 1.0
    for _ in 0..<exponent.magnitude { power *= 10 }
    let value = exponent < 0 ? Double(digits) / power : Double(digits) * power
    return literal[0] == 0x2d ? -value : value
  }
}
