// Texts of others as a terminal may show them: what it would obey is written out, and columns are counted.
// Which characters are harmless, and how wide they are, stands in TerminalText.swift.
//
// Called by: the verbs that print what a running Edge says. Never: writes anything itself.

extension TerminalText {
  /// Control characters, and those that turn the writing direction or break lines, as `\x1b` and `\u{202e}`.
  static func shown(_ text: String, keepsLines: Bool = false) -> String {
    if text.unicodeScalars.allSatisfy({ isHarmless($0) }) { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
      if isHarmless(scalar) || keepsLines && scalar == "\n" {
        shown.unicodeScalars.append(scalar)
      } else if scalar == "\n" {
        shown += "\\n"
      } else if scalar.value < 0x100 {
        shown += "\\x" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
      } else {
        shown += "\\u{" + String(scalar.value, radix: 16) + "}"
      }
    }
    return shown
  }

  /// The columns that a text takes; wide characters take two.
  static func width(_ text: String) -> Int { text.unicodeScalars.reduce(0) { $0 + width($1) } }

  /// At most so many columns; what was cut ends in `…`.
  static func cut(_ text: String, _ columns: Int) -> String {
    if width(text) <= columns { return text }
    var kept = ""
    var used = 1
    for character in text {
      used += width(String(character))
      if used > columns { break }
      kept.append(character)
    }
    return columns > 0 ? kept + "…" : ""
  }

  /// Cut or filled to exactly so many columns.
  static func padded(_ text: String, _ columns: Int, atRight: Bool = false) -> String {
    let kept = cut(text, columns)
    let blanks = String(repeating: " ", count: max(0, columns - width(kept)))
    return atRight ? blanks + kept : kept + blanks
  }

  /// `1 error`, `2 errors`.
  static func count(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }
}
