// Small readings of text that several value types share.
//
// Owns: blanks, plain digits and lists of choices.
// Called by: units, addresses, references and the `.env` reader.
// Never: is used where requests flow.

/// Text functions of the configuration.
enum ConfigText {
  /// "a, b or c".
  static func choices(_ words: [String]) -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " or " + last
  }

  /// The text without blanks and tabs around it.
  static func trimmed(_ text: some StringProtocol) -> String {
    var rest = Substring(text)
    while let first = rest.first, first == " " || first == "\t" { rest = rest.dropFirst() }
    while let last = rest.last, last == " " || last == "\t" { rest = rest.dropLast() }
    return String(rest)
  }

  /// A decimal integer of at most 18 plain digits without leading zeros, or nil.
  static func plainInteger(_ text: some StringProtocol) -> Int? {
    guard !text.isEmpty, text.utf8.count <= 18, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    guard text == "0" || !text.hasPrefix("0") else { return nil }
    return Int(text)
  }
}
