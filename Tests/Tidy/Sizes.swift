// How long a file, a function and a line may be, in Swift and in the project's scripts.

import Foundation

enum Sizes {
  static let rule = "size"

  static func findings(_ file: TextFile) -> [Finding] {
    guard House.sizedEndings.contains(file.ending), !PlainText.isVerbatim(file.path) else { return [] }
    var found: [Finding] = []
    if file.lines.count > House.fileLines {
      let message = "\(file.lines.count) lines, at most \(House.fileLines)"
      found.append(Finding(rule: rule, path: file.path, line: 1, message: message))
    }
    for (index, line) in file.lines.enumerated() where line.utf8.count > House.columns {
      let columns = line.unicodeScalars.count
      guard columns > House.columns else { continue }
      let message = "\(columns) columns, at most \(House.columns)"
      found.append(Finding(rule: rule, path: file.path, line: index + 1, message: message))
    }
    let bodies = scriptFunctions(file)
    return found + bodies.compactMap { tooLong(file.path, name: $0.name, line: $0.line, lastLine: $0.lastLine) }
  }

  static func findings(_ file: SwiftFile) -> [Finding] {
    file.declarations.filter(\.isBody).compactMap {
      tooLong(file.path, name: $0.name, line: $0.line, lastLine: $0.lastLine)
    }
  }

  private static func tooLong(_ path: String, name: String, line: Int, lastLine: Int) -> Finding? {
    let count = lastLine - line + 1
    guard count > House.functionLines else { return nil }
    let message = "\(name) has \(count) lines, at most \(House.functionLines)"
    return Finding(rule: rule, path: path, line: line, message: message)
  }

  // MARK: scripts

  struct Function: Equatable {
    var name: String
    var line: Int
    var lastLine: Int
  }

  /// Functions of Lua, Python and shell files, found by their indentation.
  static func scriptFunctions(_ file: TextFile) -> [Function] {
    guard let language = languages[file.ending] else { return [] }
    var found: [Function] = []
    for (index, line) in file.lines.enumerated() {
      guard let name = language.name(line) else { continue }
      let indent = indentation(line)
      var last = index
      for (offset, body) in file.lines[(index + 1)...].enumerated() where !body.allSatisfy(\.isWhitespace) {
        if indentation(body) <= indent && !body.drop(while: \.isWhitespace).hasPrefix(")") {
          if language.closesOnOwnLine { last = index + 1 + offset }
          break
        }
        last = index + 1 + offset
      }
      found.append(Function(name: name, line: index + 1, lastLine: last + 1))
    }
    return found
  }

  private struct Language: Sendable {
    /// The name of the function that a line opens over several lines.
    var name: @Sendable (Substring) -> String?
    /// Whether `end` or `}` stands on a line of its own, at the opening line's indentation.
    var closesOnOwnLine: Bool
  }

  private static let languages: [String: Language] = [
    "py": Language(
      name: { line in
        let words = line.split { " (:".contains($0) }
        let start = words.first == "async" ? 1 : 0
        return words.count > start + 1 && words[start] == "def" ? String(words[start + 1]) : nil
      }, closesOnOwnLine: false),
    "lua": Language(
      name: { line in
        let text = line.prefix { $0 != "-" }
        let words = text.split { !($0.isLetter || $0.isNumber || "_.:".contains($0)) }
        guard let keyword = words.firstIndex(of: "function"), words.last != "end" else { return nil }
        if keyword + 1 < words.count, text.contains("function " + words[keyword + 1] + "(") {
          return String(words[keyword + 1])
        }
        return words.first { $0 != "local" && $0 != "return" && $0 != "function" }.map(String.init) ?? "function"
      }, closesOnOwnLine: true),
    "sh": Language(
      name: { line in
        guard line.hasSuffix("{"), let paren = line.range(of: "()") else { return nil }
        return line[..<paren.lowerBound].split(separator: " ").last.map(String.init)
      }, closesOnOwnLine: true),
  ]

  private static func indentation(_ line: Substring) -> Int { line.prefix { $0 == " " || $0 == "\t" }.count }
}
