// The tracked files of this repository, read once for all rules, and what a rule says about them.

import Foundation
import Testing

/// One thing a rule complains about.
struct Finding: Equatable, Sendable, CustomStringConvertible {
  var rule: String
  /// Relative to the repository's root.
  var path: String
  /// Counted from 1.
  var line: Int
  var message: String

  var description: String { "\(path):\(line): \(rule): \(message)" }
}

/// A tracked text file.
struct TextFile: Sendable {
  var path: String
  var text: String
  /// Without line ends; a last newline opens no line.
  var lines: [Substring]

  init(path: String, text: String) {
    self.path = path
    self.text = text
    // By bytes: `\r\n` is one character.
    lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Substring($0) }
    if lines.last?.isEmpty == true { lines.removeLast() }
  }

  /// The ending after the last dot of the file's name, or the name when there is none.
  var ending: String { path.split(separator: "/").last?.split(separator: ".").last.map(String.init) ?? path }
}

/// A tracked Swift file with its code read.
struct SwiftFile: Sendable {
  var file: TextFile
  var tokens: [Token]
  var comments: [SourceComment]
  var declarations: [Declaration]

  var path: String { file.path }
  var isSource: Bool { path.hasPrefix("Sources/") }

  init(_ file: TextFile) {
    self.file = file
    let lexer = Lexer(file.text)
    tokens = lexer.tokens
    comments = lexer.comments
    declarations = Outline(lexer.tokens).declarations
  }

  init(_ path: String, _ text: String) { self.init(TextFile(path: path, text: text)) }
}

/// Everything the repository tracks, new files that are not ignored included.
struct Checkout: Sendable {
  struct Failure: Error, CustomStringConvertible { var description: String }

  var texts: [TextFile] = []
  var swift: [SwiftFile] = []
  /// Size in bytes of every file, text or not.
  var sizes: [String: Int] = [:]

  /// Read on first use; every test of the run shares it.
  static let shared = Result { try Checkout(root: root) }

  static var root: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  }

  init(root: URL) throws {
    for path in try Self.tracked(root) {
      // A file removed but still in the index is gone, not a fault.
      guard let data = try? Data(contentsOf: root.appendingPathComponent(path)) else { continue }
      sizes[path] = data.count
      if data.prefix(8_192).contains(0) { continue }
      let file = TextFile(path: path, text: String(decoding: data, as: UTF8.self))
      texts.append(file)
      if path.hasSuffix(".swift") { swift.append(SwiftFile(file)) }
    }
    guard !swift.isEmpty else { throw Failure(description: "no Swift file is tracked under \(root.path)") }
  }

  private static func tracked(_ root: URL) throws -> [String] {
    // Not Foundation's Process: it leaks a weak reference, which the leak check of the test run reports. The tests may
    // run as another user than the one who cloned, hence safe.directory.
    let quoted = "'" + root.path.replacingOccurrences(of: "'", with: "'\\''") + "'"
    let command = "git -c safe.directory='*' -C \(quoted) ls-files -z --cached --others --exclude-standard"
    guard let output = popen(command, "r") else { throw Failure(description: "no process for git ls-files") }
    var data: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&buffer, 1, buffer.count, output), count > 0 { data += buffer[..<count] }
    guard pclose(output) == 0 else {
      throw Failure(description: "git ls-files failed: the tidy rules read the tracked files of a git checkout")
    }
    return data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.sorted()
  }
}

/// Records each finding that no row of the exception table covers as an issue of the running test.
func report(_ findings: [Finding]) {
  for finding in findings where !House.exceptions.contains(where: { $0.covers(finding) }) {
    Issue.record(Comment(rawValue: finding.description))
  }
}
