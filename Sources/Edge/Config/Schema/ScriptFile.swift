// A script that was read with the configuration, and places in it.
//
// Owns: the pairing of a script's bytes with the name messages give it, and which paths name a script.
// Called by: the script reader, which makes it, and whoever compiles the script and reports what is wrong with it.
// Never: looks inside the script.

import YAML

/// A Lua file.
struct ScriptFile: Sendable, Equatable {
  /// The file with its lines.
  let source: SourceFile
  /// Over its bytes, see ContentHash.
  let contentHash: UInt64

  /// The path as messages show it.
  var path: String { source.path }
  /// The text, not necessarily UTF-8.
  var bytes: [UInt8] { source.map.bytes }

  /// A script whose bytes have been read.
  init(path: String, bytes: [UInt8], contentHash: UInt64) {
    source = SourceFile(path: path, bytes: bytes)
    self.contentHash = contentHash
  }

  /// Equal bytes under one path.
  static func == (left: ScriptFile, right: ScriptFile) -> Bool {
    left.path == right.path && left.contentHash == right.contentHash && left.bytes == right.bytes
  }

  /// The place of a line (from 1) and a column (from 1, in bytes): the word that begins there, or without a column
  /// all of the line but its indentation. Lines and columns beyond the text are drawn back into it.
  func place(line: Int, column: Int? = nil) -> SourcePlace {
    let range = source.map.range(ofLine: min(max(line, 1), source.map.lineCount))
    if let column { return place(offset: min(range.lowerBound + max(column, 1) - 1, range.upperBound)) }
    let bytes = source.map.bytes
    let start = range.first { bytes[$0] != 0x20 && bytes[$0] != 0x09 } ?? range.lowerBound
    let end = range.last { bytes[$0] != 0x20 && bytes[$0] != 0x09 }.map { $0 + 1 } ?? start
    return source.place(from: start, to: end)
  }

  /// The place of the word, or the one character, at a byte offset.
  func place(offset: Int) -> SourcePlace {
    let bytes = source.map.bytes
    let start = min(max(offset, 0), bytes.count)
    var end = start
    while end < bytes.count, ScriptFile.isWord(bytes[end]) { end += 1 }
    if end == start, end < bytes.count, bytes[end] != 0x0A, bytes[end] != 0x0D { end += 1 }
    return source.place(from: start, to: end)
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x5F
  }
}

/// Paths of scripts within the folder of scripts.
enum ScriptPath {
  /// How they end.
  static let ending = ".lua"

  /// Reads a path that stays within its folder.
  static func read(_ text: String) throws(ValueComplaint) -> String {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard !text.hasPrefix("/"), !parts.contains("..") else {
      throw ValueComplaint(
        "'\(text)' leads out of the folder of scripts", hint: "name a file within 'server.policies'")
    }
    guard !parts.contains(""), !parts.contains(".") else {
      throw ValueComplaint("'\(text)' is no plain path such as auth.lua or team/auth.lua")
    }
    guard text.hasSuffix(ending), parts.last != ".lua" else {
      throw ValueComplaint("'\(text)' does not end in \(ending)")
    }
    return text
  }
}
