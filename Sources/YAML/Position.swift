// A place in a source text and the map from byte offsets to lines and columns.
//
// Owns: the meaning of "line" and "column" in every message about a configuration file.
// Called by: the parser for each node, and by whoever prints a message under an offending line.
// Never: reads files or knows YAML grammar.

/// A place in a source text.
public struct Position: Sendable, Hashable, Comparable {
  /// Line number, from 1. Lines end at LF, CR LF or a lone CR.
  public let line: Int
  /// Column in Unicode scalars, from 1.
  public let column: Int
  /// Offset in bytes from the start of the file (a byte order mark counts).
  public let offset: Int

  /// A position from its three parts; the caller vouches that they belong together.
  public init(line: Int, column: Int, offset: Int) {
    self.line = line
    self.column = column
    self.offset = offset
  }

  /// Order in the text.
  public static func < (left: Position, right: Position) -> Bool { left.offset < right.offset }
}

/// The lines of one source text.
public struct SourceMap: Sendable {
  /// The whole text, as read.
  public let bytes: [UInt8]
  private let lineStarts: [Int]
  /// Byte offset of every 128th scalar, or empty when the text is ASCII and no table is needed.
  private let scalarOffsets: [Int]
  /// Number of the first scalar of each line, or empty like `scalarOffsets`.
  private let lineScalars: [Int]
  private static let stride = 128

  /// Indexes `bytes`, which need not be valid UTF-8: a stray byte counts as one column.
  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
    var starts = [0]
    var ascii = true
    for index in bytes.indices {
      let byte = bytes[index]
      if byte >= 0x80 { ascii = false }
      let next = index + 1
      if byte == 0x0A || (byte == 0x0D && !(next < bytes.count && bytes[next] == 0x0A)) { starts.append(next) }
    }
    lineStarts = starts
    var offsets: [Int] = []
    var firsts: [Int] = []
    if !ascii {
      var scalars = 0
      for index in SourceMap.textStart(bytes)..<bytes.count where !SourceMap.continues(bytes[index]) {
        while firsts.count < starts.count, starts[firsts.count] <= index { firsts.append(scalars) }
        if scalars % SourceMap.stride == 0 { offsets.append(index) }
        scalars += 1
      }
      while firsts.count < starts.count { firsts.append(scalars) }
    }
    scalarOffsets = offsets
    lineScalars = firsts
  }

  /// 3 when `bytes` begin with a UTF-8 byte order mark, else 0.
  static func textStart(_ bytes: [UInt8]) -> Int {
    bytes.count >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF ? 3 : 0
  }

  private static func continues(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

  /// The byte offset of the scalar number `index` (from 0, a byte order mark not counted), clamped to the text.
  func offset(ofScalar index: Int) -> Int {
    if scalarOffsets.isEmpty { return min(index + SourceMap.textStart(bytes), bytes.count) }
    let slot = index / SourceMap.stride
    guard slot < scalarOffsets.count else { return bytes.count }
    var offset = scalarOffsets[slot]
    var left = index % SourceMap.stride
    while left > 0, offset < bytes.count {
      offset += 1
      while offset < bytes.count, SourceMap.continues(bytes[offset]) { offset += 1 }
      left -= 1
    }
    return offset
  }

  /// The position of the scalar number `index`, in constant time but for the search of the line.
  func position(ofScalar index: Int) -> Position {
    let offset = offset(ofScalar: index)
    let line = line(at: offset)
    let first = lineScalars.isEmpty ? lineStarts[line] : lineScalars[line]
    return Position(line: line + 1, column: max(0, index - first) + 1, offset: offset)
  }

  /// The position of a byte offset, clamped to the text. Takes time in the length of the line.
  public func position(at offset: Int) -> Position {
    let clamped = max(0, min(offset, bytes.count))
    let line = line(at: clamped)
    let start = line == 0 ? min(SourceMap.textStart(bytes), clamped) : lineStarts[line]
    var column = 1
    for index in start..<max(start, clamped) where !SourceMap.continues(bytes[index]) { column += 1 }
    return Position(line: line + 1, column: column, offset: clamped)
  }

  /// The line, from 0, that holds a byte offset.
  private func line(at offset: Int) -> Int {
    var low = 0
    var high = lineStarts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if lineStarts[middle] <= offset { low = middle } else { high = middle }
    }
    return low
  }

  /// How many lines there are, at least one; a line end at the end of the text begins another.
  public var lineCount: Int { lineStarts.count }

  /// The bytes of a line (numbered from 1) without its ending; empty, at the end of the text, beyond the last one.
  public func range(ofLine line: Int) -> Range<Int> {
    guard line >= 1, line <= lineStarts.count else { return bytes.count..<bytes.count }
    var start = lineStarts[line - 1]
    if line == 1 { start = SourceMap.textStart(bytes) }
    var end = line < lineStarts.count ? lineStarts[line] : bytes.count
    while end > start, bytes[end - 1] == 0x0A || bytes[end - 1] == 0x0D { end -= 1 }
    return start..<max(start, end)
  }

  /// The text of a line (numbered from 1) without its ending; empty beyond the last one. Bytes that are not UTF-8
  /// come out as U+FFFD.
  public func text(ofLine line: Int) -> String { String(decoding: bytes[range(ofLine: line)], as: UTF8.self) }
}
