// Swift that this project does not write: traps on input, unexplained unsafety, printing, names that say nothing.

enum Banned {
  static let rule = "banned"

  static func findings(_ file: SwiftFile) -> [Finding] {
    forces(file) + calls(file) + names(file) + unexplained(file)
  }

  private static func finding(_ file: SwiftFile, _ line: Int, _ message: String) -> Finding {
    Finding(rule: rule, path: file.path, line: line, message: message)
  }

  /// The text of a line, for the message and for rows of the exception table.
  private static func code(_ file: SwiftFile, _ line: Int) -> String {
    guard line >= 1, line <= file.file.lines.count else { return "" }
    return file.file.lines[line - 1].trimmingPrefix { $0 == " " }.description
  }

  private static func forces(_ file: SwiftFile) -> [Finding] {
    file.tokens.indices.compactMap { index in
      let token = file.tokens[index]
      guard token.kind == .unwrap else { return nil }
      // `func !(…)` and `init!` would be declared so; both are refused as well.
      let before = index > 0 ? file.tokens[index - 1] : token
      let what = before.isKeyword("try") ? "try!" : before.isKeyword("as") ? "as!" : "a forced unwrap"
      return finding(file, token.line, "\(what) traps on what it did not expect: \(code(file, token.line))")
    }
  }

  private static func calls(_ file: SwiftFile) -> [Finding] {
    let mayPrint = House.printing.contains { file.path.hasPrefix($0) }
    return file.tokens.indices.compactMap { index in
      let token = file.tokens[index]
      guard token.kind == .word, index + 1 < file.tokens.count, file.tokens[index + 1].isSymbol("("),
        index == 0 || !(file.tokens[index - 1].isSymbol(".") || file.tokens[index - 1].isKeyword("func"))
      else { return nil }
      if House.traps.contains(token.text) {
        return finding(file, token.line, "\(token.text) ends the process: \(code(file, token.line))")
      }
      if House.printers.contains(token.text) && !mayPrint {
        return finding(file, token.line, "\(token.text) is for \(House.printing.joined(separator: ", ")) only")
      }
      return nil
    }
  }

  private static func names(_ file: SwiftFile) -> [Finding] {
    file.declarations.compactMap { declared in
      guard declared.kind != .extends, let word = emptyWord(in: declared.name) else { return nil }
      return finding(file, declared.line, "\(declared.name): \(word) says nothing about what it owns")
    }
  }

  /// The first part of a name, in any case style, that the table bans.
  static func emptyWord(in name: String) -> String? {
    var words: [[Character]] = [[]]
    for character in name {
      guard character.isLetter else {
        words.append([])
        continue
      }
      var word = words.removeLast()
      if let last = word.last, last.isUppercase != character.isUppercase {
        // `aB` opens a word at B; in `ABc` the B that looked like the acronym's end opens one.
        let opening = character.isUppercase ? [] : [word.removeLast()]
        if !word.isEmpty { words.append(word) }
        word = opening
      }
      words.append(word + [character])
    }
    return words.map { String($0) }.first { House.emptyWords.contains($0.lowercased()) }
  }

  /// Where the compiler's checks are switched off, a comment on the line or right above it says why that is safe.
  private static func unexplained(_ file: SwiftFile) -> [Finding] {
    var found: [Finding] = []
    for (index, token) in file.tokens.enumerated() {
      let isUnchecked = token.kind == .attribute && token.text == "@unchecked"
      let isUnsafe =
        token.isKeyword("nonisolated") && index + 2 < file.tokens.count && file.tokens[index + 1].isSymbol("(")
        && file.tokens[index + 2].isKeyword("unsafe")
      guard isUnchecked || isUnsafe else { continue }
      let isExplained = file.comments.contains {
        ($0.line == token.line || $0.lastLine == token.line - 1) && $0.words.count >= 3
      }
      if isExplained { continue }
      let what = isUnchecked ? "@unchecked" : "nonisolated(unsafe)"
      found.append(finding(file, token.line, "\(what) without a comment here or right above that says why it is safe"))
    }
    return found
  }
}
