// The text that `edge explain` prints: titles, and below each rows whose columns line up.
//
// Called by: the parts of the verb `explain`. Never: prints, or lets a terminal obey what stands in a request.

/// A text that grows.
struct ExplainPage {
  private var parts: [String] = []
  /// Something refuses the request.
  var isRefused = false

  private static let indent = "  "
  /// A cell that is wider pushes its own row only.
  private static let columnMax = 44

  /// All of it, without a line end.
  var text: String { parts.joined(separator: "\n") }

  /// Begins a part.
  mutating func title(_ title: String) {
    if !parts.isEmpty { parts.append("") }
    parts.append(ExplainPage.shown(title))
  }

  /// A line of its own.
  mutating func line(_ text: String) { parts.append(ExplainPage.indent + ExplainPage.shown(text)) }

  /// Rows in columns.
  mutating func rows(_ rows: [[String]]) {
    let shown = rows.map { $0.map { ExplainPage.shown($0) } }
    var widths: [Int] = []
    for row in shown {
      for (column, cell) in row.enumerated() {
        if column == widths.count { widths.append(0) }
        // What ends its row needs no room.
        let isLast = row[(column + 1)...].allSatisfy(\.isEmpty)
        if !isLast, cell.count <= ExplainPage.columnMax { widths[column] = max(widths[column], cell.count) }
      }
    }
    for row in shown {
      var text = ExplainPage.indent
      for (column, cell) in row.enumerated() {
        text += cell + String(repeating: " ", count: max(0, widths[column] - cell.count) + 2)
      }
      while text.last == " " { text.removeLast() }
      parts.append(text)
    }
  }

  /// A refusal, with what the client gets.
  mutating func refusal(_ code: ErrorCode, _ message: String, details: String? = nil) {
    isRefused = true
    line(ExplainPage.text(of: code, message, details: details))
  }

  /// `404 NOT_FOUND: …`
  static func text(of code: ErrorCode, _ message: String, details: String? = nil) -> String {
    let row = code.row
    return "\(row.status) \(row.name): \(message)" + (details.map { " \($0)" } ?? "")
  }

  /// What a writer of bytes writes, as a text.
  static func written(capacity: Int, _ write: (inout ByteWriter) -> Void) -> String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { area in
      guard let base = area.baseAddress else { return "" }
      var writer = ByteWriter(base: base, capacity: capacity)
      write(&writer)
      return String(decoding: area[0..<writer.count], as: UTF8.self)
    }
  }

  private static let cellMax = 400

  /// Without what a terminal would obey: control characters, and those that turn the writing direction.
  static func shown(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(cellMax) {
      switch scalar.value {
      case 0..<0x20, 0x7f..<0xa0, 0x200e...0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: scalars.append("?")
      default: scalars.append(scalar)
      }
    }
    return String(scalars) + (text.unicodeScalars.count > cellMax ? "…" : "")
  }
}
