// Money: credits in fixed point (product contract, section 7). Amounts are counted in billionths of a credit and are
// added with a check; JSON has them as a plain decimal number.
// Called by: pricing, the ledger, policies, the log.

/// So many billionths of a credit.
struct Amount: BitwiseCopyable, Comparable, Hashable, Sendable {
  /// 1e-9 credit each.
  var units: Int64

  static let zero = Amount(units: 0)
  /// One credit.
  static let unitsPerCredit: Int64 = 1_000_000_000
  /// Digits behind the point.
  static let places = 9

  init(units: Int64) { self.units = units }

  static func < (left: Amount, right: Amount) -> Bool { left.units < right.units }

  /// nil when the sum is beyond what an amount can be.
  func adding(_ other: Amount) -> Amount? {
    let (sum, overflow) = units.addingReportingOverflow(other.units)
    return overflow ? nil : Amount(units: sum)
  }

  /// nil when the difference is beyond what an amount can be.
  func subtracting(_ other: Amount) -> Amount? {
    let (difference, overflow) = units.subtractingReportingOverflow(other.units)
    return overflow ? nil : Amount(units: difference)
  }
}

/// A decimal text read exactly: digits, at most one point, no sign, no exponent.
enum DecimalText {
  /// The number times ten to the power of `places`; nil when the text is no such number, has more digits behind the
  /// point than that (zeros at the end do not count), or is too large.
  static func units(_ text: UnsafeBufferPointer<UInt8>, places: Int) -> Int64? {
    var value: Int64 = 0
    var digits = 0
    var behind = -1
    for byte in text {
      if byte == 0x2e {
        if behind >= 0 || digits == 0 { return nil }
        behind = 0
        continue
      }
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      digits += 1
      if behind == places {
        if byte != 0x30 { return nil }
        continue
      }
      if behind >= 0 { behind += 1 }
      let (tenfold, first) = value.multipliedReportingOverflow(by: 10)
      let (sum, second) = tenfold.addingReportingOverflow(Int64(byte - 0x30))
      if first || second { return nil }
      value = sum
    }
    // A point needs digits on both sides.
    if digits == 0 || text.last == 0x2e { return nil }
    var missing = places - max(0, behind)
    while missing > 0 {
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      if overflow { return nil }
      value = tenfold
      missing -= 1
    }
    return value
  }

  /// The same of a number of JSON, which may have an exponent. nil for an exponent that leaves fewer digits than the
  /// text has, even if those are zeros.
  static func units(json number: UnsafeBufferPointer<UInt8>, places: Int) -> Int64? {
    guard let mark = number.firstIndex(where: { $0 | 0x20 == 0x65 }) else { return units(number, places: places) }
    guard let exponent = Int(String(decoding: number[(mark + 1)...], as: UTF8.self)),
      (-places...exponentMax).contains(exponent)
    else { return nil }
    return units(UnsafeBufferPointer(rebasing: number[..<mark]), places: places + exponent)
  }

  /// No Int64 has more digits.
  private static let exponentMax = 18

  /// The same of a String.
  static func units(_ text: String, places: Int) -> Int64? {
    var text = text
    return text.withUTF8 { units($0, places: places) }
  }
}

extension ByteWriter {
  /// A plain decimal number without zeros at its end: `12.5`, `0.000000001`, `-3`.
  mutating func append(_ amount: Amount) {
    if amount.units < 0 { append(byte: 0x2d) }
    let magnitude = amount.units.magnitude
    let unit = UInt64(Amount.unitsPerCredit)
    append(decimal: magnitude / unit)
    var rest = magnitude % unit
    if rest == 0 { return }
    var width = Amount.places
    while rest % 10 == 0 {
      rest /= 10
      width -= 1
    }
    append(byte: 0x2e)
    append(decimal: rest, width: width)
  }
}

extension Amount {
  /// As JSON has it, for messages and logs.
  var text: String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { area in
      guard let base = area.baseAddress else { return "" }
      var writer = ByteWriter(base: base, capacity: 32)
      writer.append(self)
      return String(decoding: area[0..<writer.count], as: UTF8.self)
    }
  }
}
