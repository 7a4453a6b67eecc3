import Foundation
import Testing

@testable import Edge

/// The golden transcripts, and what is written down of them.
enum AnthropicTranscripts {
  static let folder = Fixture.repository + "/Tests/Golden/anthropic-messages"

  static func bytes(_ name: String) throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)") else {
      throw Transcripts.NoFile(name: name)
    }
    return Array(data)
  }

  static let streams = names(".sse")
  static let answers = names(".json")

  private static func names(_ ending: String) -> [String] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return all.filter { $0.hasSuffix(ending) }.sorted()
  }

  /// The data of each event.
  static func data(_ name: String) throws -> [String] {
    String(decoding: try bytes(name), as: UTF8.self).components(separatedBy: "\n\n").filter { !$0.isEmpty }
      .map { event in event.split(separator: "\n").last.map { String($0.dropFirst(6)) } ?? "" }
  }

  /// Compares with a file, or writes it anew.
  static func expect(_ text: String, is name: String, _ place: SourceLocation = #_sourceLocation) throws {
    let path = "\(folder)/\(name)"
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try FileManager.default.createDirectory(
        atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }
    #expect(text == String(decoding: try bytes(name), as: UTF8.self), sourceLocation: place)
  }

  // MARK: how facts and parts are written down

  static func text(_ event: ModelEvent) -> String {
    var text = "\(event.kind)"
    if event.isOpening { text += " opening" }
    if event.contentBytes > 0 { text += " content=\(event.contentBytes)" }
    if event.finishes { text += " finishes" }
    let usage = event.usage
    if usage.source == .reported {
      text +=
        " \(event.usageReach)(in=\(usage.inputTokens) cached=\(usage.cachedTokens) written=\(usage.cacheWriteTokens)"
        + " out=\(usage.outputTokens) reasoning=\(usage.reasoningTokens))"
    }
    return text
  }

  static func text(_ text: ModelText) -> String {
    let bytes = String(
      decoding: UnsafeBufferPointer(start: text.bytes.start, count: text.bytes.count), as: UTF8.self)
    switch text.form {
    case .none: return "-"
    case .string: return "\"\(bytes)\""
    case .value: return bytes
    }
  }

  static func text(_ part: ModelPart) -> String {
    var words = ["\(part.kind)"]
    switch part.kind {
    case .toolCall, .arguments: words.append("#\(part.index)")
    case .finish: words.append("\(part.reason)")
    case .error: words.append("\(part.code)")
    default: break
    }
    for (name, value) in [("id", part.id), ("name", part.name), ("type", part.mediaType), ("more", part.more)]
    where !value.isNone {
      words.append("\(name)=\(text(value))")
    }
    if part.flag { words.append("flag") }
    if !part.text.isNone { words.append(text(part.text)) }
    return words.joined(separator: " ")
  }
}

@Suite struct AnthropicMessagesTranscriptTests {
  /// An identity that is the same each time.
  static let identity = AnswerIdentity(
    attempt: ULID(high: 1, low: 2), model: StaticBytes("claude-3-opus"), created: 1_700_000_000, asksUsage: true)

  @Test func thereAreSome() {
    #expect(AnthropicTranscripts.streams.count > 9 && AnthropicTranscripts.answers.count > 4)
  }

  /// What streams and answers become, and what is written of them again.
  @Test(arguments: AnthropicTranscripts.streams)
  func everyStream(_ name: String) throws {
    var read = ""
    let room = ByteArea([UInt8](repeating: 0, count: 64 << 10))
    var writer = ByteWriter(base: room.base, capacity: room.count)
    var writing = StreamWriting()
    var usage = Usage()
    for data in try AnthropicTranscripts.data(name) {
      let area = ByteArea(Array(data.utf8))
      let document = JSONDocument(capacity: 1)
      let parts = ModelParts()
      let event = Dialect.readEvent(
        .anthropicMessages, UnsafeBufferPointer(start: area.base, count: area.count), document)
      read += AnthropicTranscripts.text(event) + "\n"
      Dialect.readParts(.anthropicMessages, of: event, document, into: parts)
      for part in parts.parts { read += "  " + AnthropicTranscripts.text(part) + "\n" }
      switch event.usageReach {
      case _ where event.usage.source == .none: break
      case .whole, .input: usage = event.usage
      case .output:
        usage.outputTokens = event.usage.outputTokens
        usage.reasoningTokens = event.usage.reasoningTokens
      }
      #expect(Dialect.writeEvents(.anthropicMessages, parts, Self.identity, usage, &writing, to: &writer))
    }
    #expect(!writer.overflowed)
    try AnthropicTranscripts.expect(read, is: "read/\(name).txt")
    try AnthropicTranscripts.expect(
      String(decoding: room.slice(0..<writer.count), as: UTF8.self), is: "written/\(name)")
  }

  @Test(arguments: AnthropicTranscripts.answers)
  func everyAnswer(_ name: String) throws {
    let area = ByteArea(try AnthropicTranscripts.bytes(name))
    let document = JSONDocument(capacity: 1)
    let event = Dialect.readAnswer(.anthropicMessages, area.base, area.count, document)
    var read = AnthropicTranscripts.text(event) + "\n"
    if event.kind == .error {
      read += "  " + AnthropicTranscripts.text(Dialect.readError(.anthropicMessages, area.base, area.count, document))
      try AnthropicTranscripts.expect(read + "\n", is: "read/\(name).txt")
      return
    }
    let parts = ModelParts()
    Dialect.readParts(.anthropicMessages, answer: area.base, area.count, document, into: parts)
    for part in parts.parts { read += "  " + AnthropicTranscripts.text(part) + "\n" }
    try AnthropicTranscripts.expect(read, is: "read/\(name).txt")
    let room = ByteArea([UInt8](repeating: 0, count: 16 << 10))
    var writer = ByteWriter(base: room.base, capacity: room.count)
    #expect(
      Dialect.writeAnswer(.anthropicMessages, parts, Self.identity, event.usage, document, to: &writer))
    #expect(!writer.overflowed)
    try AnthropicTranscripts.expect(
      String(decoding: room.slice(0..<writer.count), as: UTF8.self), is: "written/\(name)")
    // What is written says the same when it is read.
    let again = Dialect.readAnswer(.anthropicMessages, room.base, writer.count, document)
    #expect(again.kind == .part && again.finishes && again.usage == event.usage)
  }

  /// Everything fits, or nothing crashes: the writer tells.
  @Test func tooLittleRoom() throws {
    let area = ByteArea(try AnthropicTranscripts.bytes("answer-tools.json"))
    let document = JSONDocument(capacity: 1)
    let usage = Dialect.readAnswer(.anthropicMessages, area.base, area.count, document).usage
    let parts = ModelParts()
    Dialect.readParts(.anthropicMessages, answer: area.base, area.count, document, into: parts)
    let whole = try AnthropicTranscripts.bytes("written/answer-tools.json").count
    for capacity in 0...whole {
      let room = ByteArea([UInt8](repeating: 0, count: capacity))
      var writer = ByteWriter(base: room.base, capacity: capacity)
      #expect(Dialect.writeAnswer(.anthropicMessages, parts, Self.identity, usage, document, to: &writer))
      #expect(writer.overflowed == (capacity < whole))
    }
  }

  // MARK: hostile input

  /// A text with one or two changes: a value of another type, a byte, something cut out or doubled.
  private static func mutated(_ text: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var bytes = text
    for _ in 0..<Int.random(in: 1...2, using: &random) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &random)
      let end = min(bytes.count, place + 20)
      switch Int.random(in: 0..<8, using: &random) {
      case 0: bytes[place] = Array("{}[]\",:0-.eu\\ ntf\u{7f}".utf8).randomElement(using: &random) ?? 0
      case 1: bytes.removeSubrange(place..<end)
      case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
      case 3: bytes[place] ^= 1
      default:
        guard let colon = bytes[place...].firstIndex(of: 0x3a), colon + 2 < bytes.count,
          let last = bytes[(colon + 2)...].firstIndex(where: { $0 == 0x22 || $0 == 0x2c || $0 == 0x7d })
        else { continue }
        let value = ["7", "null", "[]", "{}", "\"x\"", "true", "-1", "[7]", "{\"type\":\"text\"}"]
        let text = value.randomElement(using: &random) ?? ""
        bytes.replaceSubrange(colon + 1..<(bytes[last] == 0x22 ? last + 1 : last), with: Array(text.utf8))
      }
    }
    return bytes
  }

  /// Whatever a provider sends, it is read and written without a crash, and what is written is whole.
  @Test func mutatedEvents() throws {
    var random = SeededGenerator(seed: 1)
    let document = JSONDocument(capacity: 1)
    let parts = ModelParts()
    let room = ByteArea([UInt8](repeating: 0, count: 8 << 10))
    var said = 0
    for name in AnthropicTranscripts.streams {
      for data in try AnthropicTranscripts.data(name) {
        for _ in 0..<40 {
          let area = ByteArea(Self.mutated(Array(data.utf8), &random))
          let event = Dialect.readEvent(
            .anthropicMessages, UnsafeBufferPointer(start: area.base, count: area.count), document)
          parts.reset()
          Dialect.readParts(.anthropicMessages, of: event, document, into: parts)
          said += parts.parts.count
          var writer = ByteWriter(base: room.base, capacity: room.count)
          var writing = StreamWriting()
          let isSaid = Dialect.writeEvents(
            .anthropicMessages, parts, Self.identity, event.usage, &writing, to: &writer)
          #expect(!writer.overflowed)
          guard isSaid, writer.count > 0 else { continue }
          for line in String(decoding: room.slice(0..<writer.count), as: UTF8.self).split(separator: "\n")
          where line.hasPrefix("data: ") {
            let written = ByteArea(Array(line.dropFirst(6).utf8))
            #expect(throws: Never.self) { try document.read(written.base, written.count) }
          }
        }
      }
    }
    #expect(said > 500)
  }

  /// The same for whole answers, and for requests, which may be refused.
  @Test func mutatedBodies() throws {
    var random = SeededGenerator(seed: 2)
    let document = JSONDocument(capacity: 1)
    let parts = ModelParts()
    let room = ByteArea([UInt8](repeating: 0, count: 8 << 10))
    let request = """
      {"model":"m","max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":[{"type":"tool_use","id":"c","name":"n","input":{"x":"\\u00e9"}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":[{"type":"text","text":"r"}]},
      {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}],
      "tools":[{"name":"n","input_schema":{"type":"object"}}],
      "tool_choice":{"type":"any"},"temperature":0.5,"stop_sequences":["x"]}
      """
    var texts = try AnthropicTranscripts.answers.map { try AnthropicTranscripts.bytes($0) }
    texts.append(Array(request.utf8))
    var taken = 0
    for text in texts {
      for _ in 0..<400 {
        let area = ByteArea(Self.mutated(text, &random))
        let event = Dialect.readAnswer(.anthropicMessages, area.base, area.count, document)
        parts.reset()
        Dialect.readParts(.anthropicMessages, answer: area.base, area.count, document, into: parts)
        var writer = ByteWriter(base: room.base, capacity: room.count)
        if Dialect.writeAnswer(.anthropicMessages, parts, Self.identity, event.usage, document, to: &writer) {
          #expect(throws: Never.self) { try document.read(room.base, writer.count) }
        }
        _ = Dialect.readError(.anthropicMessages, area.base, area.count, document)
        if takes(area, document, parts, room) { taken += 1 }
      }
    }
    #expect(taken > 20)
  }

  /// Whether a request is taken and can be written again.
  private func takes(_ area: ByteArea, _ document: JSONDocument, _ parts: ModelParts, _ room: ByteArea) -> Bool {
    parts.reset()
    do throws(DialectFault) {
      let request = try Dialect.read(.anthropicMessages, area.base, area.count, document)
      try Dialect.readRequest(.anthropicMessages, area.base, area.count, document, into: parts)
      let plan = RequestPlan(
        model: StaticBytes("m"), streams: request.streams, outputTokensMax: request.outputTokensMax,
        modelTokensMax: 100)
      var writer = ByteWriter(base: room.base, capacity: room.count)
      try Dialect.writeRequest(.anthropicMessages, parts, plan, document, to: &writer)
      let again = try Dialect.read(.anthropicMessages, room.base, writer.count, document)
      return again.outputTokensMax == min(100, request.outputTokensMax)
    } catch {
      return false
    }
  }
}
