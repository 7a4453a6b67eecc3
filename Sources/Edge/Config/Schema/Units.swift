// Durations and sizes with units.
//
// Owns: which units exist, and the reading and writing of quantities in both directions.
// Called by: value reading, expectations and printers.
// Never: accepts a number without a unit, except 0.

/// A problem with one value, before its place is known.
struct ValueComplaint: Error, Sendable, Equatable {
  /// What is wrong, without a final stop.
  let message: String
  /// What to do, if that can be said.
  let hint: String?

  /// A complaint from its parts.
  init(_ message: String, hint: String? = nil) {
    self.message = message
    self.hint = hint
  }
}

/// A family of units.
struct QuantityUnit: Sendable {
  /// What is measured, with its article.
  let noun: String
  /// Suffix and factor, smallest first.
  let steps: [(suffix: String, factor: Int)]
  /// Wrong suffixes (lower case) and the right ones.
  private let slips: [String: String]

  /// Milliseconds.
  static let duration = QuantityUnit(
    noun: "a duration", steps: [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)],
    slips: [
      "msec": "ms", "millis": "ms", "milliseconds": "ms", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
      "min": "m", "mins": "m", "minute": "m", "minutes": "m", "hour": "h", "hours": "h", "hr": "h",
    ])

  /// Bytes.
  static let size = QuantityUnit(
    noun: "a size", steps: [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
    slips: [
      "b": "B", "byte": "B", "bytes": "B", "k": "KiB", "kb": "KiB", "kib": "KiB", "m": "MiB", "mb": "MiB",
      "mib": "MiB", "g": "GiB", "gb": "GiB", "gib": "GiB",
    ])

  /// Reads a quantity within bounds, in milliseconds or bytes.
  func read(_ text: String, within bounds: ClosedRange<Int>) throws(ValueComplaint) -> Int {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let suffix = text.dropFirst(digits.count)
    guard !digits.isEmpty else { throw ValueComplaint("'\(text)' is not \(noun)", hint: example) }
    guard digits == "0" || digits.first != "0" else {
      throw ValueComplaint("'\(text)' begins with a zero", hint: hint(digits.drop { $0 == "0" }, suffix))
    }
    guard let count = Int(digits) else { throw ValueComplaint("'\(text)' is too large") }
    if suffix.isEmpty && count != 0 {
      throw ValueComplaint("'\(text)' has no unit", hint: "write \(choices(digits))")
    }
    var factor = 1
    if !suffix.isEmpty {
      guard let step = steps.first(where: { $0.suffix == suffix }) else {
        throw ValueComplaint("'\(text)' is not \(noun)", hint: hint(digits, suffix))
      }
      factor = step.factor
    }
    let (value, overflow) = count.multipliedReportingOverflow(by: factor)
    guard !overflow, bounds.contains(value) else {
      throw ValueComplaint(
        "'\(text)' is out of bounds: \(self.text(bounds))")
    }
    return value
  }

  /// A quantity with the largest unit that divides it.
  func text(_ value: Int) -> String {
    if value == 0 { return "0" }
    let step = steps.last { value % $0.factor == 0 } ?? steps[0]
    return "\(value / step.factor)\(step.suffix)"
  }

  /// "1ms to 24h".
  func text(_ bounds: ClosedRange<Int>) -> String { "\(text(bounds.lowerBound)) to \(text(bounds.upperBound))" }

  private var example: String {
    "write a number and a unit: \(steps.map(\.suffix).joined(separator: ", "))"
  }

  private func choices(_ digits: Substring) -> String {
    ConfigText.choices(steps.map { "\(digits)\($0.suffix)" })
  }

  private func hint(_ digits: Substring, _ suffix: Substring) -> String {
    let word = ConfigText.trimmed(suffix).lowercased()
    let known = steps.first { $0.suffix == ConfigText.trimmed(suffix) || $0.suffix == word && word != "m" }
    if let right = known?.suffix ?? slips[word] {
      return "did you mean '\(digits.isEmpty ? "0" : digits)\(right)'?"
    }
    return example
  }
}
