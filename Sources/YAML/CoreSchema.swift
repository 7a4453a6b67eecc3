// Readings of a scalar under the YAML 1.2 core schema.
//
// Owns: which texts are null, boolean, integer or float. `yes`, `on` and friends are strings, as 1.2 has it.
// Called by: readers that want a type.
// Never: guesses; a quoted scalar is a string whatever it says, unless a tag stands before it.

/// A scalar's value under the core schema.
public enum CoreValue: Sendable, Equatable {
  /// Nothing: empty, `~`, `null`, `Null`, `NULL`.
  case null
  /// `true`, `True`, `TRUE` and their opposites.
  case boolean(Bool)
  /// Decimal, `0o17` or `0x1F`.
  case integer(Int)
  /// A decimal number with a fraction or exponent, `.inf` or `.nan`.
  case float(Double)
  /// Anything else.
  case text(String)
}

/// The outcome of reading a scalar as an integer.
public enum IntegerReading: Sendable, Equatable {
  /// It is this integer.
  case value(Int)
  /// It begins with a zero that YAML 1.1 readers take for octal: nobody can tell which number is meant.
  case leadingZero
  /// It is an integer beyond 64 bits.
  case outOfRange
  /// It is something else.
  case none
}

extension Scalar {
  /// True when the text is subject to type resolution: written bare and without a `!!str` tag, or tagged otherwise.
  public var resolves: Bool {
    switch tag {
    case .str: false
    case .null, .bool, .int, .float: true
    case nil: style == .plain
    }
  }

  /// True for the core schema's null.
  public var isNull: Bool {
    guard resolves, tag == nil || tag == .null else { return false }
    return text.isEmpty || text == "~" || text == "null" || text == "Null" || text == "NULL"
  }

  /// The boolean this scalar is, or nil.
  public var boolean: Bool? {
    guard resolves, tag == nil || tag == .bool else { return nil }
    switch text {
    case "true", "True", "TRUE": return true
    case "false", "False", "FALSE": return false
    default: return nil
    }
  }

  /// The integer this scalar is; leading zeros are told apart, never read.
  public var integer: IntegerReading {
    guard resolves, tag == nil || tag == .int else { return .none }
    return Scalar.integer(from: text)
  }

  /// The floating-point number this scalar is (an integer counts too), or nil.
  public var float: Double? {
    guard resolves, tag == nil || tag == .float else { return nil }
    return Scalar.float(from: text)
  }

  /// The value under the core schema. An integer with leading zeros is decimal, as 1.2 has it; one beyond 64 bits is
  /// a float.
  public var core: CoreValue {
    if isNull { return .null }
    if let boolean { return .boolean(boolean) }
    switch integer {
    case .value(let value): return .integer(value)
    case .leadingZero: if let value = Int(text) { return .integer(value) }
    case .outOfRange, .none: break
    }
    if let float { return .float(float) }
    return .text(text)
  }

  /// Reads a text as an integer, whatever its style.
  public static func integer(from text: String) -> IntegerReading {
    var digits = Substring(text)
    if text.hasPrefix("0x") || text.hasPrefix("0o") {
      let radix = text.hasPrefix("0x") ? 16 : 8
      digits = digits.dropFirst(2)
      guard !digits.isEmpty, digits.utf8.allSatisfy({ isDigit($0, radix: radix) }) else { return .none }
      return Int(digits, radix: radix).map { .value($0) } ?? .outOfRange
    }
    if let first = digits.first, first == "-" || first == "+" { digits = digits.dropFirst() }
    guard !digits.isEmpty, digits.utf8.allSatisfy({ isDigit($0, radix: 10) }) else { return .none }
    if digits.utf8.count > 1, digits.first == "0" { return .leadingZero }
    return Int(text).map { .value($0) } ?? .outOfRange
  }

  private static func isDigit(_ byte: UInt8, radix: Int) -> Bool {
    switch byte {
    case 0x30...0x37: true
    case 0x38, 0x39: radix >= 10
    case 0x41...0x46, 0x61...0x66: radix == 16
    default: false
    }
  }

  private static func float(from text: String) -> Double? {
    switch text {
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .infinity
    case "-.inf", "-.Inf", "-.INF": return -.infinity
    case ".nan", ".NaN", ".NAN": return .nan
    default: break
    }
    var rest = Substring(text)
    if let first = rest.first, first == "-" || first == "+" { rest = rest.dropFirst() }
    let whole = rest.prefix { $0.isASCII && $0.isNumber }
    rest = rest.dropFirst(whole.count)
    var fraction: Substring = ""
    if rest.first == "." {
      fraction = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
      rest = rest.dropFirst(1 + fraction.count)
    }
    guard !whole.isEmpty || !fraction.isEmpty else { return nil }
    if let mark = rest.first, mark == "e" || mark == "E" {
      rest = rest.dropFirst()
      if let sign = rest.first, sign == "-" || sign == "+" { rest = rest.dropFirst() }
      guard !rest.isEmpty, rest.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
      rest = ""
    }
    guard rest.isEmpty else { return nil }
    // The standard library wants a digit on both sides of the point.
    let sign = text.hasPrefix("-") ? "-" : ""
    let exponent = text.drop { $0 != "e" && $0 != "E" }
    return Double(sign + (whole.isEmpty ? "0" : whole) + "." + (fraction.isEmpty ? "0" : fraction) + exponent)
  }
}
