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
  /// Byte ranges that messages show as asterisks, in the order of the text and apart from each other.
  let hidden: [Range<Int>]

  /// Of a longer line, messages see only this many bytes around a place.
  private static let nearBytes = 2_048

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
    var apart: [Range<Int>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
      if let last = apart.last, range.lowerBound <= last.upperBound {
        apart[apart.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        apart.append(range)
      }
    }
    return SourceFile(path: path, map: map, isSecret: isSecret, hidden: apart)
  }

  /// The same file, of which messages show no line.
  func hidingAll() -> SourceFile { SourceFile(path: path, map: map, isSecret: true, hidden: []) }

  /// Whether a part of the text is hidden.
  func isHidden(_ range: Range<Int>) -> Bool {
    let next = firstHidden(endingBehind: range.lowerBound)
    return next < hidden.count && hidden[next].lowerBound < max(range.upperBound, range.lowerBound + 1)
  }

  /// The scalars around a place, at most its line, those of hidden ranges replaced by asterisks; and how many of them
  /// stand before the place.
  func shown(around place: Position) -> (text: [Unicode.Scalar], column: Int) {
    let line = map.range(ofLine: place.line)
    let bytes = map.bytes
    let middle = min(max(place.offset, line.lowerBound), line.upperBound)
    var low = max(line.lowerBound, middle - SourceFile.nearBytes)
    var high = min(line.upperBound, middle + SourceFile.nearBytes)
    while low > line.lowerBound, bytes[low] & 0xC0 == 0x80 { low -= 1 }
    while high < line.upperBound, bytes[high] & 0xC0 == 0x80 { high += 1 }
    var next = firstHidden(endingBehind: low)
    var offset = low
    let text = String(decoding: bytes[low..<high], as: UTF8.self).unicodeScalars.map { scalar in
      defer { offset += UTF8.width(scalar) }
      while next < hidden.count, hidden[next].upperBound <= offset { next += 1 }
      return next < hidden.count && hidden[next].lowerBound <= offset ? "*" : scalar
    }
    return (text, bytes[low..<middle].reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) })
  }

  private func firstHidden(endingBehind offset: Int) -> Int {
    var (low, high) = (0, hidden.count)
    while low < high {
      let middle = (low + high) / 2
      if hidden[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
    }
    return low
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
