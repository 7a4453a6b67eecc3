// A file that was read, and places in it.
//
// Owns: the pairing of a text with the name a message gives it.
// Called by: everything in Config that reports a problem.
// Never: reads the file; see ConfigFile.swift.

import YAML

/// One configuration file in memory.
final class SourceFile: Sendable {
  /// The path as messages show it.
  let path: String
  /// The text and its lines.
  let map: SourceMap
  /// True when messages must not repeat its lines, which hold secrets.
  let isSecret: Bool
  /// Byte ranges that messages show as asterisks.
  let hidden: [Range<Int>]

  /// A file whose bytes have been read.
  convenience init(path: String, bytes: [UInt8], isSecret: Bool = false) {
    self.init(path: path, map: SourceMap(bytes), isSecret: isSecret, hidden: [])
  }

  private init(path: String, map: SourceMap, isSecret: Bool, hidden: [Range<Int>]) {
    self.path = path
    self.map = map
    self.isSecret = isSecret
    self.hidden = hidden
  }

  /// The same file, of which messages do not show some ranges.
  func hiding(_ ranges: [Range<Int>]) -> SourceFile {
    SourceFile(path: path, map: map, isSecret: isSecret, hidden: ranges)
  }

  /// The same file, of which messages show no line.
  func hidingAll() -> SourceFile { SourceFile(path: path, map: map, isSecret: true, hidden: []) }

  /// The scalars of a line, those of hidden ranges replaced by asterisks.
  func shown(line: Int) -> [Unicode.Scalar] {
    let range = map.range(ofLine: line)
    let inside = hidden.filter { $0.overlaps(range) }
    var offset = range.lowerBound
    return map.text(ofLine: line).unicodeScalars.map { scalar in
      defer { offset += UTF8.width(scalar) }
      return inside.contains { $0.contains(offset) } ? "*" : scalar
    }
  }

  /// The place between two byte offsets.
  func place(from start: Int, to end: Int) -> SourcePlace {
    SourcePlace(source: self, start: map.position(at: start), end: map.position(at: end))
  }

  /// The place of a node.
  func place(of node: Node) -> SourcePlace { SourcePlace(source: self, start: node.start, end: node.end) }
}

/// A stretch of a file.
struct SourcePlace: Sendable, Equatable {
  /// The file.
  let source: SourceFile
  /// First character.
  let start: Position
  /// Just after the last one.
  let end: Position

  /// `file:line:column`.
  var label: String { "\(source.path):\(start.line):\(start.column)" }

  /// Equal stretches of the same object in memory.
  static func == (left: SourcePlace, right: SourcePlace) -> Bool {
    left.source === right.source && left.start == right.start && left.end == right.end
  }
}
