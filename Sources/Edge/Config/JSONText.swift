// JSON as indented text, for the schema.
//
// Owns: the writing of a small JSON tree with keys in given order.
// Called by: SchemaPrinter.
// Never: is used where requests flow.

/// A JSON value to be written.
indirect enum JSONText: Sendable {
  /// Text, escaped when written.
  case string(String)
  /// A whole number.
  case integer(Int)
  /// true or false.
  case boolean(Bool)
  /// Members in order.
  case array([JSONText])
  /// Pairs in order; the caller keeps keys distinct.
  case object([(key: String, value: JSONText)])

  /// The text, indented by two blanks a level, without a line end at the end.
  func render(indent: Int = 0) -> String {
    let inner = String(repeating: " ", count: indent + 2)
    let outer = String(repeating: " ", count: indent)
    switch self {
    case .string(let text): return JSONText.quoted(text)
    case .integer(let value): return String(value)
    case .boolean(let value): return String(value)
    case .array(let members):
      if members.isEmpty { return "[]" }
      let isFlat = members.allSatisfy { $0.isSimple }
      if isFlat { return "[" + members.map { $0.render() }.joined(separator: ", ") + "]" }
      return "[\n" + members.map { inner + $0.render(indent: indent + 2) }.joined(separator: ",\n") + "\n\(outer)]"
    case .object(let pairs):
      if pairs.isEmpty { return "{}" }
      let lines = pairs.map { inner + JSONText.quoted($0.key) + ": " + $0.value.render(indent: indent + 2) }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(outer)}"
    }
  }

  private var isSimple: Bool {
    switch self {
    case .string, .integer, .boolean: true
    case .array, .object: false
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      default:
        if scalar.value < 0x20 {
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
