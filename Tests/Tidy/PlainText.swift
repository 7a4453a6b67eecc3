// What no tracked file may hold, whatever its language.

import Foundation

enum PlainText {
  static let rule = "text"

  static func isVerbatim(_ path: String) -> Bool {
    House.verbatim.contains { $0.hasSuffix("/") ? path.hasPrefix($0) : path == $0 }
  }

  static func findings(_ file: TextFile) -> [Finding] {
    if isVerbatim(file.path) { return [] }
    return name(file.path) + whitespace(file) + words(file)
  }

  /// Files over the limit, by path.
  static func findings(sizes: [String: Int]) -> [Finding] {
    sizes.filter { $0.value > House.fileBytes }.sorted { $0.key < $1.key }.map {
      Finding(rule: "size", path: $0.key, line: 1, message: "\($0.value) bytes, at most \(House.fileBytes)")
    }
  }

  private static func name(_ path: String) -> [Finding] {
    guard let word = Banned.emptyWord(in: path) else { return [] }
    return [Finding(rule: rule, path: path, line: 1, message: "\(word) in a file's name says nothing about it")]
  }

  private static func whitespace(_ file: TextFile) -> [Finding] {
    var found: [Finding] = []
    for (index, line) in file.lines.enumerated() {
      let last = line.utf8.last
      if last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") || last == UInt8(ascii: "\r") {
        found.append(Finding(rule: rule, path: file.path, line: index + 1, message: "white space at the line's end"))
      }
      if file.ending == "swift" && line.utf8.contains(UInt8(ascii: "\t")) {
        found.append(Finding(rule: rule, path: file.path, line: index + 1, message: "a tab; two spaces indent"))
      }
    }
    if !file.text.isEmpty && file.text.utf8.last != UInt8(ascii: "\n") {
      let message = "no newline at the file's end"
      found.append(Finding(rule: rule, path: file.path, line: file.lines.count, message: message))
    }
    return found
  }

  /// Lines are looked at only for what the file holds somewhere.
  private static func words(_ file: TextFile) -> [Finding] {
    let text = file.text.lowercased()
    let rules = wordRules.filter { text.contains($0.needle) }
    if rules.isEmpty { return [] }
    return file.lines.enumerated().flatMap { index, line in
      rules.filter { $0.isFound(String(line)) }.map {
        Finding(rule: rule, path: file.path, line: index + 1, message: $0.message)
      }
    }
  }

  private struct WordRule: Sendable {
    /// Stands in every line that the rule complains about, in lower case.
    var needle: String
    var message: String
    var isFound: @Sendable (String) -> Bool
  }

  private static let wordRules: [WordRule] =
    House.marks.map { mark in
      WordRule(needle: mark.lowercased(), message: "\(mark): finish it, or leave it out") { holds($0, word: mark) }
    }
    + ["issue" + " #", "issues" + " #"].map { words in
      WordRule(needle: words, message: "speaks of a tracker; say what the thing is") { $0.lowercased().contains(words) }
    }
    + House.registries.map { host in
      WordRule(needle: host, message: "names the registry \(host)") { $0.lowercased().contains(host) }
    }
    + House.machineFolders.map { folder in
      WordRule(needle: "/" + folder, message: "holds a path of one machine, /\(folder)") { holdsPath($0, folder) }
    }
    + [WordRule(needle: "git" + ".", message: "names a git host") { holdsGitHost($0.lowercased()) }]

  private static func isWordPart(_ byte: UInt8?) -> Bool {
    guard let byte else { return false }
    let folded = byte | 0x20
    return (folded >= UInt8(ascii: "a") && folded <= UInt8(ascii: "z"))
      || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")) || byte == UInt8(ascii: "_")
  }

  /// Where a text stands in a line, with the bytes before and behind it.
  private static func places(_ wanted: String, in line: String) -> [(before: UInt8?, rest: Substring)] {
    var places: [(UInt8?, Substring)] = []
    var rest = line[...]
    while let range = rest.range(of: wanted) {
      let before = range.lowerBound == line.startIndex ? nil : line.utf8[line.utf8.index(before: range.lowerBound)]
      places.append((before, line[range.upperBound...]))
      rest = line[range.upperBound...]
    }
    return places
  }

  private static func holds(_ line: String, word: String) -> Bool {
    places(word, in: line).contains { !isWordPart($0.before) && !isWordPart($0.rest.utf8.first) }
  }

  /// A host name whose first label is `git`, with at least two more.
  private static func holdsGitHost(_ line: String) -> Bool {
    places("git" + ".", in: line).contains { before, rest in
      if isWordPart(before) || before == UInt8(ascii: ".") || before == UInt8(ascii: "-") { return false }
      let host = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." }
      let labels = host.split(separator: ".")
      return labels.count >= 2 && labels[1].count >= 2
    }
  }

  /// An absolute path into a folder of the machine; `/x/home` and `https://host/home` are not.
  private static func holdsPath(_ line: String, _ folder: String) -> Bool {
    places("/" + folder, in: line).contains { before, rest in
      let isInner = isWordPart(before) || [".", "/", "*", "}", "-", "$"].contains { before == $0.utf8.first }
      return !isInner && !isWordPart(rest.utf8.first) && rest.utf8.first != UInt8(ascii: "-")
    }
  }
}
