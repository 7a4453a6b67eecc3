// Swift source as tokens and comments: just enough to tell code from text.
//
// String literals become one empty token and what stands inside `\( )` is read as code, so a rule never trips over
// words in a message and never misses code in an interpolation. It never judges; the rules do.

/// One piece of code.
struct Token: Equatable, Sendable {
  enum Kind: Sendable {
    case word, attribute, directive, number, string, symbol
    /// A `!` bound to what stands before it: a forced unwrap, `try!`, `as!` or an implicitly unwrapped type.
    case unwrap
  }

  var kind: Kind
  /// Words without backticks, attributes with their `@`, directives with their `#`, symbols one character each.
  var text: String
  /// Counted from 1.
  var line: Int
  /// Written in backticks, so never a keyword.
  var isQuoted = false

  func isSymbol(_ character: String) -> Bool { kind == .symbol && text == character }
  func isKeyword(_ word: String) -> Bool { kind == .word && !isQuoted && text == word }
}

/// One `//` line or one `/* */` block.
struct SourceComment: Equatable, Sendable {
  var line: Int
  var lastLine: Int
  /// With its slashes.
  var text: String

  var isDocumentation: Bool {
    (text.hasPrefix("///") && !text.hasPrefix("////")) || (text.hasPrefix("/**") && !text.hasPrefix("/***"))
  }

  /// The words it says, without slashes and stars.
  var words: [Substring] {
    text.split { !($0.isLetter || $0.isNumber || $0 == "'" || $0 == "_") }
  }
}

/// Reads one file. Malformed source gives some tokens, never a trap: the compiler is the judge of syntax.
struct Lexer {
  private let bytes: [UInt8]
  private var at = 0
  private var line = 1
  private(set) var tokens: [Token] = []
  private(set) var comments: [SourceComment] = []

  init(_ source: String) {
    bytes = Array(source.utf8)
    readCode(untilParenthesis: false)
  }

  private func peek(_ distance: Int = 0) -> UInt8 {
    let index = at + distance
    return index >= 0 && index < bytes.count ? bytes[index] : 0
  }

  private func starts(_ text: StaticString, at offset: Int = 0) -> Bool {
    let count = text.utf8CodeUnitCount
    guard at + offset + count <= bytes.count else { return false }
    return text.withUTF8Buffer { wanted in
      for index in 0..<count where bytes[at + offset + index] != wanted[index] { return false }
      return true
    }
  }

  private func text(from start: Int) -> String { String(decoding: bytes[start..<at], as: UTF8.self) }

  private mutating func append(_ kind: Token.Kind, _ text: String, line: Int, isQuoted: Bool = false) {
    tokens.append(Token(kind: kind, text: text, line: line, isQuoted: isQuoted))
  }

  /// Reads to the end, or past the `)` that ends an interpolation.
  private mutating func readCode(untilParenthesis: Bool) {
    var depth = 0
    while at < bytes.count {
      let byte = peek()
      if byte == .newline {
        line += 1
        at += 1
      } else if byte <= 0x20 {
        at += 1
      } else if starts("//") {
        readLineComment()
      } else if starts("/*") {
        readBlockComment()
      } else if byte == .quote || (byte == .pound && startsRawString()) {
        readString()
      } else if startsRegex() {
        readRegex()
      } else if byte.isWordStart {
        readWord()
      } else if byte.isDigit {
        readNumber()
      } else {
        if byte == .open { depth += 1 }
        if byte == .close {
          depth -= 1
          if untilParenthesis && depth < 0 { return }
        }
        readSymbol()
      }
    }
  }

  private mutating func readLineComment() {
    let start = at
    while at < bytes.count, peek() != .newline { at += 1 }
    comments.append(SourceComment(line: line, lastLine: line, text: text(from: start)))
  }

  private mutating func readBlockComment() {
    let start = at
    let first = line
    var depth = 0
    while at < bytes.count {
      if starts("/*") {
        depth += 1
        at += 2
      } else if starts("*/") {
        depth -= 1
        at += 2
        if depth == 0 { break }
      } else {
        if peek() == .newline { line += 1 }
        at += 1
      }
    }
    comments.append(SourceComment(line: first, lastLine: line, text: text(from: start)))
  }

  private mutating func readWord() {
    let start = at
    let first = peek()
    if first == .backtick {
      at += 1
      while at < bytes.count, peek() != .backtick, peek() != .newline { at += 1 }
      let name = String(decoding: bytes[(start + 1)..<at], as: UTF8.self)
      if peek() == .backtick { at += 1 }
      append(.word, name, line: line, isQuoted: true)
      return
    }
    at += 1
    while peek().isWordPart { at += 1 }
    let kind: Token.Kind = first == .at ? .attribute : first == .pound ? .directive : .word
    append(kind, text(from: start), line: line)
  }

  private mutating func readNumber() {
    let start = at
    let isMember = tokens.last?.isSymbol(".") ?? false
    while peek().isWordPart || (peek() == .dot && peek(1).isDigit && !isMember) { at += 1 }
    append(.number, text(from: start), line: line)
  }

  private mutating func readSymbol() {
    let kind: Token.Kind = isUnwrap() ? .unwrap : .symbol
    let start = at
    at += 1
    append(kind, text(from: start), line: line)
  }

  /// The language's own rule: a `!` with nothing but code on its left is postfix, whatever follows.
  private func isUnwrap() -> Bool {
    guard peek() == .bang else { return false }
    let before = peek(-1)
    if peek(1) == .equals && peek(2) != .equals { return false }
    if before == .bang { return tokens.last?.kind == .unwrap }
    if before == .greater { return !peek(1).isWordStart && peek(1) != .open }
    return before.isWordPart || [.close, .closeBracket, .closeBrace, .quote, .backtick].contains(before)
  }

  // MARK: literals

  private func startsRawString() -> Bool {
    var hashes = 0
    while peek(hashes) == .pound { hashes += 1 }
    return peek(hashes) == .quote
  }

  private mutating func readString() {
    var hashes = 0
    while peek() == .pound {
      hashes += 1
      at += 1
    }
    let quotes = starts("\"\"\"") ? 3 : 1
    at += quotes
    append(.string, "", line: line)
    while at < bytes.count {
      if peek() == .newline {
        if quotes == 1 { return }
        line += 1
        at += 1
      } else if peek() == .backslash && isRun(of: .pound, count: hashes, from: 1) {
        at += 1 + hashes
        if peek() == .open { readInterpolation() } else { skipEscaped() }
      } else if isRun(of: .quote, count: quotes, from: 0) && isRun(of: .pound, count: hashes, from: quotes) {
        at += quotes + hashes
        return
      } else {
        at += 1
      }
    }
  }

  private mutating func skipEscaped() {
    if peek() == .newline { line += 1 }
    at += 1
  }

  private mutating func readInterpolation() {
    append(.symbol, "(", line: line)
    at += 1
    readCode(untilParenthesis: true)
    append(.symbol, ")", line: line)
    at += 1
  }

  private func isRun(of byte: UInt8, count: Int, from distance: Int) -> Bool {
    for index in 0..<count where peek(distance + index) != byte { return false }
    return true
  }

  /// `/…/` where no operand stands before it, and `#/…/#`.
  private func startsRegex() -> Bool {
    if starts("#/") { return true }
    guard peek() == .slash, peek(1) > 0x20, peek(1) != .slash else { return false }
    if let last = tokens.last {
      let opens = last.kind == .symbol && !")]}.".contains(last.text)
      let leads = ["return", "in", "try", "await", "throw", "case"].contains { last.isKeyword($0) }
      guard opens || leads else { return false }
    }
    var distance = 1
    while peek(distance) != 0 && peek(distance) != .newline {
      if peek(distance) == .slash { return peek(distance - 1) != 0x20 }
      distance += peek(distance) == .backslash ? 2 : 1
    }
    return false
  }

  private mutating func readRegex() {
    append(.string, "", line: line)
    let hashes = peek() == .pound ? 1 : 0
    at += 1 + hashes
    while at < bytes.count {
      if peek() == .backslash {
        at += 2
      } else if peek() == .slash && isRun(of: .pound, count: hashes, from: 1) {
        at += 1 + hashes
        return
      } else {
        if peek() == .newline { line += 1 }
        at += 1
      }
    }
  }
}

extension UInt8 {
  fileprivate static let newline = UInt8(ascii: "\n")
  fileprivate static let quote = UInt8(ascii: "\"")
  fileprivate static let backslash = UInt8(ascii: "\\")
  fileprivate static let backtick = UInt8(ascii: "`")
  fileprivate static let pound = UInt8(ascii: "#")
  fileprivate static let at = UInt8(ascii: "@")
  fileprivate static let slash = UInt8(ascii: "/")
  fileprivate static let bang = UInt8(ascii: "!")
  fileprivate static let equals = UInt8(ascii: "=")
  fileprivate static let greater = UInt8(ascii: ">")
  fileprivate static let dot = UInt8(ascii: ".")
  fileprivate static let open = UInt8(ascii: "(")
  fileprivate static let close = UInt8(ascii: ")")
  fileprivate static let closeBracket = UInt8(ascii: "]")
  fileprivate static let closeBrace = UInt8(ascii: "}")

  fileprivate var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }

  fileprivate var isWordPart: Bool {
    let folded = self | 0x20
    return (folded >= UInt8(ascii: "a") && folded <= UInt8(ascii: "z")) || isDigit || self == UInt8(ascii: "_")
      || self == UInt8(ascii: "$") || self >= 0x80
  }

  fileprivate var isWordStart: Bool {
    (isWordPart && !isDigit) || self == .backtick || self == .at || self == .pound
  }
}
