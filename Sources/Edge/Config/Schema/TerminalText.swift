// What a terminal makes of a text.
//
// Owns: which characters a message may hold, and how wide they are.
// Called by: messages about configuration and the printer of resolved ones.
// Never: knows what the text says.

/// Text that goes to a terminal.
enum TerminalText {
  /// A terminal must not obey what a file says: no control characters, none that turn the writing direction, none that
  /// nobody sees.
  static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value >= 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: return false
    default: return true
    }
  }

  /// The text with a question mark in the place of what is not harmless.
  static func tamed(_ text: String) -> String {
    if text.unicodeScalars.allSatisfy(isHarmless) { return text }
    var shown = String.UnicodeScalarView()
    shown.append(contentsOf: text.unicodeScalars.map { isHarmless($0) ? $0 : "?" })
    return String(shown)
  }

  /// How many columns a character takes.
  static func width(_ scalar: Unicode.Scalar) -> Int {
    if scalar.value < 0x300 { return 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: break
    }
    if scalar.properties.isEmojiPresentation { return 2 }
    return wide.contains { $0.contains(scalar.value) } ? 2 : 1
  }

  /// The wide and full-width blocks of UAX 11.
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
    0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x20000...0x3FFFD,
  ]
}
