// Exact decimals in a configuration: prices and credits.
//
// Owns: which texts are decimals, and what is said about those that are not.
// Called by: value reading and printers.
// Never: makes a floating-point number of one; YAML's own reading of `0.03` is not used.

/// Reads and writes decimals as whole numbers of their last place.
enum DecimalValue {
  /// The number times ten to the power of `places`; the bounds are whole numbers, both included.
  static func read(
    _ input: ScalarInput, places: Int, within bounds: ClosedRange<Int>
  ) throws(ValueComplaint) -> Int {
    let text = input.text
    guard let (whole, fraction) = parts(text) else {
      throw ValueComplaint("'\(text)' is not a decimal", hint: hint(text))
    }
    guard input.resolves || input.isFree else {
      throw ValueComplaint("'\(text)' in quotes is text, not a decimal", hint: "remove the quotes")
    }
    guard whole == "0" || whole.first != "0" else {
      let digits = whole.drop { $0 == "0" }
      let rest = fraction.map { ".\($0)" } ?? ""
      throw ValueComplaint("'\(text)' begins with a zero", hint: "write \(digits.isEmpty ? "0" : digits)\(rest)")
    }
    var digits = fraction ?? ""
    while digits.last == "0" { digits.removeLast() }
    guard digits.utf8.count <= places else {
      throw ValueComplaint("'\(text)' has more than \(places) digits behind the point")
    }
    guard let value = DecimalText.units(text, places: places),
      value >= units(bounds.lowerBound, places: places), value <= units(bounds.upperBound, places: places)
    else {
      throw ValueComplaint("'\(text)' is out of bounds: \(bounds.lowerBound) to \(bounds.upperBound)")
    }
    return Int(value)
  }

  /// A whole number, which a bound of a row is, in units of the last place.
  static func units(_ whole: Int, places: Int) -> Int { (0..<places).reduce(whole) { units, _ in units * 10 } }

  /// The decimal without zeros at its end.
  static func text(_ value: Int, places: Int) -> String {
    let scale = units(1, places: places)
    var digits = String(value % scale)
    if digits == "0" { return String(value / scale) }
    digits = String(repeating: "0", count: places - digits.utf8.count) + digits
    while digits.hasSuffix("0") { digits.removeLast() }
    return "\(value / scale).\(digits)"
  }

  /// The digits before and behind the point; nil when it is no decimal.
  private static func parts(_ text: String) -> (whole: Substring, fraction: Substring?)? {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let isNumber = parts.allSatisfy { part in !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    guard isNumber, let whole = parts.first else { return nil }
    return (whole, parts.count == 2 ? parts[1] : nil)
  }

  private static func hint(_ text: String) -> String {
    let nearby = text.replacing(",", with: ".").replacing("_", with: "")
    let padded = nearby.hasPrefix(".") ? "0" + nearby : nearby
    if parts(padded) != nil { return "did you mean '\(padded)'?" }
    return "write digits with at most one point, such as 0.03"
  }
}
