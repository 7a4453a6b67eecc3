import Foundation
import Testing

@testable import Edge

/// Parts as lines, for golden files and messages of tests.
enum PartText {
  static func text(_ parts: [ModelPart]) -> String { parts.map { line($0) + "\n" }.joined() }

  static func line(_ part: ModelPart) -> String {
    var line = "\(part.kind)"
    if part.kind == .toolCall || part.kind == .arguments { line += " #\(part.index)" }
    if part.kind == .finish { line += " \(part.reason)" }
    if part.kind == .error { line += " \(part.code)" }
    if part.flag { line += " flag" }
    line += field("id", part.id) + field("name", part.name) + field("type", part.mediaType)
    return line + field("text", part.text) + field("more", part.more)
  }

  static func settings(_ settings: ModelSettings) -> String {
    var lines: [String] = []
    for (name, text) in [
      ("temperature", settings.temperature), ("topP", settings.topP), ("stop", settings.stop),
      ("user", settings.user), ("schemaName", settings.schemaName), ("schema", settings.schema),
      ("effort", settings.effort),
    ] where !text.isNone {
      lines.append(field(name, text))
    }
    if settings.toolChoice != .unsaid {
      lines.append(" toolChoice=\(settings.toolChoice)" + field("toolName", settings.toolName))
    }
    if settings.isSerial { lines.append(" isSerial") }
    return lines.map { "settings\($0)\n" }.joined()
  }

  private static func field(_ name: String, _ text: ModelText) -> String {
    let bytes = String(decoding: text.content, as: UTF8.self)
    switch text.form {
    case .none: return ""
    case .string: return " \(name)=\"\(bytes)\""
    case .value: return " \(name)=\(bytes)"
    }
  }
}

/// Files that hold what a test expects; EDGE_REWRITE_GOLDENS=1 writes them anew, and a person reads the difference.
enum Golden {
  static let folder = Fixture.repository + "/Tests/Golden"

  static func text(_ path: String) throws -> String { try String(contentsOfFile: "\(folder)/\(path)", encoding: .utf8) }

  static func names(_ path: String, _ ending: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(path)").filter { $0.hasSuffix(ending) }.sorted()
  }

  static func check(_ path: String, _ text: String, _ place: SourceLocation = #_sourceLocation) throws {
    let file = URL(fileURLWithPath: "\(folder)/\(path)")
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: true, encoding: .utf8)
      return
    }
    let expected = try self.text(path)
    #expect(text == expected, "\(path)\n\(LineDiff.text(expected, text))", sourceLocation: place)
  }
}

/// Room to write to, of which nothing is filled first.
final class Page {
  private let memory = BytePointer.allocate(capacity: 1 << 17)

  deinit { memory.deallocate() }

  var writer: ByteWriter { ByteWriter(base: memory, capacity: 1 << 17) }

  /// What was written; nil when it did not fit.
  func text(_ writer: ByteWriter) -> String? {
    if writer.overflowed { return nil }
    return String(decoding: UnsafeBufferPointer(start: memory, count: writer.count), as: UTF8.self)
  }
}

/// What dialects read and write, for tests.
enum Speaking {
  static let identity = AnswerIdentity(
    attempt: ULID(high: 0x0192_3456_789a_bcde, low: 0xf012_3456_789a_bcde), model: StaticBytes("the-model"),
    created: 1_730_000_000, asksUsage: true)

  static func plan(streams: Bool = false, tokens: Int64 = -1) -> RequestPlan {
    RequestPlan(model: StaticBytes("the-model"), streams: streams, outputTokensMax: tokens, modelTokensMax: 4_096)
  }

  /// A request as parts; the area holds what they say.
  static func request(
    _ dialect: DialectName, _ area: ByteArea, _ document: JSONDocument = JSONDocument(capacity: 1)
  ) throws(DialectFault) -> ModelParts {
    let parts = ModelParts()
    try Dialect.readRequest(dialect, area.base, area.count, document, into: parts)
    return parts
  }

  static func written(
    _ dialect: DialectName, request parts: ModelParts, _ plan: RequestPlan = plan()
  ) throws(DialectFault) -> String {
    let page = Page()
    var writer = page.writer
    try Dialect.writeRequest(dialect, parts, plan, JSONDocument(capacity: 1), to: &writer)
    return page.text(writer) ?? "no room"
  }

  /// A whole answer in another dialect; nil when that cannot say it.
  static func written(
    _ dialect: DialectName, answer parts: ModelParts, _ usage: Usage, _ identity: AnswerIdentity = identity
  ) -> String? {
    let page = Page()
    var writer = page.writer
    let isSaid = Dialect.writeAnswer(dialect, parts, identity, usage, JSONDocument(capacity: 1), to: &writer)
    return isSaid ? page.text(writer) : nil
  }

  /// Whether a text is JSON.
  static func isJSON(_ text: String) -> Bool {
    let area = ByteArea(Array(text.utf8))
    return (try? JSONDocument(capacity: 1).read(area.base, area.count)) != nil
  }

  /// A text with its line ends, for golden files.
  static func pretty(_ text: String) throws -> String {
    let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
    let options: JSONSerialization.WritingOptions = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try JSONSerialization.data(withJSONObject: value, options: options), as: UTF8.self) + "\n"
  }
}

/// Every text that a JSON text becomes when one of its values is replaced by another one.
enum Spoiled {
  static let values = [
    "null", "true", "7", "-1.5e9", "\"x\"", "\"\"", "[]", "{}", "[[7]]", "{\"type\":7}", "\"\\ud83d\\ude00\"",
  ]

  static func texts(_ text: String) -> [String] {
    let bytes = Array(text.utf8)
    let area = ByteArea(bytes)
    let document = JSONDocument(capacity: 1)
    guard (try? document.read(area.base, area.count)) != nil else { return [] }
    var texts: [String] = []
    func visit(_ index: Int) {
      let node = document[index]
      for value in values {
        let end = Int(node.start + node.count)
        texts.append(
          String(decoding: bytes[..<Int(node.start)] + Array(value.utf8) + bytes[end...], as: UTF8.self))
      }
      for (_, value) in document.pairs(of: index) { visit(value) }
      for value in document.elements(of: index) { visit(value) }
    }
    visit(0)
    return texts
  }
}
