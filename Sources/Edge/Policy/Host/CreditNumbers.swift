// Credits as scripts and tests write them: texts and whole numbers of credits become exact amounts, or nothing.
//
// Called by: `edge.credit` and the tests of policies. Never: rounds, or takes a double: of what it was read from it may
// have lost digits already.

import LuaBridge

extension Amount {
  /// Why a value is no amount.
  enum Fault: Error {
    case type, text, number, size

    var text: StaticString {
      switch self {
      case .type: "an amount is a whole number of credits, a decimal, or a text such as \"12.5\""
      case .text: "a text of an amount has digits, at most one point and nine places, such as \"12.5\""
      case .number: "a number of credits is whole and not negative, or a text of at most nine places such as \"12.5\""
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

  /// As many credits as a text of digits says.
  init(credits text: UnsafeBufferPointer<UInt8>) throws(Fault) {
    guard let units = DecimalText.units(text, places: Amount.places) else { throw .text }
    self.init(units: units)
  }
}
