// Credits as scripts and tests write them: texts and numbers of credits become exact amounts, or nothing.
//
// Called by: `edge.credit` and the tests of policies. Never: rounds; a number that is not exactly an amount is none.

import LuaBridge

extension Amount {
  /// Why a value is no amount.
  enum Fault: Error {
    case type, text, number, size

    var text: StaticString {
      switch self {
      case .type: "an amount is a number of credits, or a text such as \"12.5\""
      case .text: "a text of an amount has digits, at most one point and nine places, such as \"12.5\""
      case .number: "a number of credits is not negative and has at most 15 digits, nine of them behind the point"
      case .size: "the amount is too large"
      }
    }
  }

  /// So many whole credits.
  init(credits: Int) throws(Fault) {
    if credits < 0 { throw .number }
    let (units, overflow) = Int64(credits).multipliedReportingOverflow(by: Amount.unitsPerCredit)
    if overflow { throw .size }
    self.init(units: units)
  }

  /// So many credits, as the shortest decimal number says it from which the same number is read.
  init(credits: Double) throws(Fault) {
    guard credits.isFinite, credits >= 0 else { throw .number }
    // `d.ddde±x`, or without an exponent.
    var digits: UInt64 = 0
    var count = 0
    var places = 0
    var isBehind = false
    let parts = credits.magnitude.description.split(separator: "e")
    for byte in parts[0].utf8 {
      if byte == 0x2e {
        isBehind = true
        continue
      }
      if count > 0 || byte != 0x30 { count += 1 }
      // A double says no more than 17 digits; what is longer is zeros in front of the point.
      if count > 18 { throw .size }
      digits = digits * 10 + UInt64(byte - 0x30)
      if isBehind { places += 1 }
    }
    if parts.count > 1 { places -= Int(parts[1]) ?? 0 }
    while digits > 0, digits % 10 == 0 {
      digits /= 10
      places -= 1
      count -= 1
    }
    if digits == 0 {
      self = .zero
      return
    }
    if count > 15 || places > Amount.places { throw .number }
    for _ in places..<Amount.places {
      let (tenfold, overflow) = digits.multipliedReportingOverflow(by: 10)
      if overflow { throw .size }
      digits = tenfold
    }
    guard let units = Int64(exactly: digits) else { throw .size }
    self.init(units: units)
  }

  /// As many credits as a text of digits says.
  init(credits text: UnsafeBufferPointer<UInt8>) throws(Fault) {
    guard let units = DecimalText.units(text, places: Amount.places) else { throw .text }
    self.init(units: units)
  }
}
