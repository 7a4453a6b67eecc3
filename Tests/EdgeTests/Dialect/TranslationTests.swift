import Foundation
import Testing

@testable import Edge

/// Every dialect of providers against every other one: what is said stays the same, and what it looks like stands in
/// golden files.
@Suite struct TranslationTests {
  /// One dialect on one side and another one on the other.
  struct Pair: CustomTestStringConvertible, Sendable {
    var from: DialectName
    var to: DialectName

    var testDescription: String { "\(from.rawValue) to \(to.rawValue)" }
  }

  static let dialects: [DialectName] = [.openAIChat, .anthropicMessages]
  static let pairs = dialects.flatMap { from in dialects.filter { $0 != from }.map { Pair(from: from, to: $0) } }

  // MARK: requests

  /// The names and texts of requests in a dialect.
  private static func sources(_ dialect: DialectName) throws -> [(name: String, text: String)] {
    let folder = dialect == .openAIChat ? "openai-chat/requests" : "translated/requests"
    return try Golden.names(folder, ".json").map { ("\($0.dropLast(5))", try Golden.text("\(folder)/\($0)")) }
  }

  @Test(arguments: pairs) func requests(_ pair: Pair) throws {
    for (name, text) in try Self.sources(pair.from) {
      let area = ByteArea(Array(text.utf8))
      let asked = try Dialect.read(pair.from, area.base, area.count, JSONDocument(capacity: 1))
      let parts = try Speaking.request(pair.from, area)
      let plan = Speaking.plan(streams: asked.streams, tokens: asked.outputTokensMax)
      let written = try Speaking.written(pair.to, request: parts, plan)
      try Golden.check("translated/requests/\(name).\(pair.to.rawValue)", try Speaking.pretty(written))
      let there = ByteArea(Array(written.utf8))
      let request = try Dialect.read(pair.to, there.base, there.count, JSONDocument(capacity: 1))
      #expect(request.streams == asked.streams && request.images == asked.images)
      #expect(request.outputTokensMax == asked.outputTokensMax || asked.outputTokensMax < 0)
      // And back again: nothing was lost on the way.
      let translated = try Speaking.request(pair.to, there)
      #expect(SaidText.request(translated) == SaidText.request(parts), "\(name)")
      let back = ByteArea(Array(try Speaking.written(pair.from, request: translated, plan).utf8))
      let again = try Speaking.request(pair.from, back)
      #expect(SaidText.request(again) == SaidText.request(parts), "\(name)")
      #expect(again.settings.toolChoice == parts.settings.toolChoice || !Self.hasTools(parts))
      #expect(again.settings.isSerial == parts.settings.isSerial || !Self.hasTools(parts))
      #expect(SaidText.plain(again.settings.user) == SaidText.plain(parts.settings.user))
      #expect(SaidText.plain(again.settings.effort) == SaidText.plain(parts.settings.effort))
      #expect(
        SaidText.json(SaidText.plain(again.settings.schema)) == SaidText.json(SaidText.plain(parts.settings.schema)))
    }
  }

  private static func hasTools(_ parts: ModelParts) -> Bool { parts.parts.contains { $0.kind == .tool } }

  /// Any value in any place: a fault, or a request that can be read there.
  @Test(arguments: pairs) func anyRequest(_ pair: Pair) throws {
    for (_, text) in try Self.sources(pair.from) {
      for spoiled in Spoiled.texts(text) {
        let area = ByteArea(Array(spoiled.utf8))
        guard (try? Dialect.read(pair.from, area.base, area.count, JSONDocument(capacity: 1))) != nil,
          let parts = try? Speaking.request(pair.from, area),
          let written = try? Speaking.written(pair.to, request: parts)
        else { continue }
        #expect(Speaking.isJSON(written), "\(spoiled)")
      }
    }
  }

  // MARK: streams

  private static func transcripts(_ dialect: DialectName) throws -> [(name: String, data: [String])] {
    try Golden.names(dialect.rawValue, ".sse").map {
      ("\($0.dropLast(4))", StreamScript.data(try Golden.text("\(dialect.rawValue)/\($0)")))
    }
  }

  @Test(arguments: pairs) func streams(_ pair: Pair) throws {
    for (name, data) in try Self.transcripts(pair.from) {
      let script = StreamScript(pair.from, data)
      let written = try #require(script.written(pair.to), "\(name)")
      try Golden.check("translated/\(pair.from.rawValue)/\(name).\(pair.to.rawValue)", written)
      let there = StreamScript(pair.to, StreamScript.data(written))
      var said = SaidText.answer(script.parts)
      // A stream that ends without a reason gets the one that it looks like.
      if said.hasEnded, said.reason == nil { said.reason = said.calls.isEmpty ? .stop : .toolCalls }
      #expect(SaidText.answer(there.parts) == said, "\(name)")
      if said.hasEnded, script.usage.source == .reported { #expect(there.usage == script.usage, "\(name)") }
      // How the bytes came makes no difference.
      for group in [1, 2, 3, 5, 1_000] {
        let grouped = script.written(pair.to, group: group, usage: script.usage)
        #expect(grouped == script.written(pair.to, group: 1, usage: script.usage), "\(name) \(group)")
      }
    }
  }

  /// Any value in any place of any event: nothing, or events that can be read.
  @Test(arguments: pairs) func anyEvent(_ pair: Pair) throws {
    for (_, data) in try Self.transcripts(pair.from) {
      for event in Set(data.prefix(8)) {
        for spoiled in Spoiled.texts(event) {
          guard let written = StreamScript(pair.from, [spoiled]).written(pair.to) else { continue }
          for data in StreamScript.data(written) where data != "[DONE]" { #expect(Speaking.isJSON(data), "\(spoiled)") }
        }
      }
    }
  }

  // MARK: whole answers

  private static func answer(_ dialect: DialectName, _ area: ByteArea) -> (parts: ModelParts, usage: Usage) {
    let document = JSONDocument(capacity: 1)
    let event = Dialect.readAnswer(dialect, area.base, area.count, document)
    let parts = ModelParts()
    Dialect.readParts(dialect, answer: area.base, area.count, document, into: parts)
    return (parts, event.usage)
  }

  @Test(arguments: pairs) func answers(_ pair: Pair) throws {
    for name in try Golden.names(pair.from.rawValue, ".json") where name.hasPrefix("answer") {
      let area = ByteArea(Array(try Golden.text("\(pair.from.rawValue)/\(name)").utf8))
      let here = Self.answer(pair.from, area)
      let written = try #require(Speaking.written(pair.to, answer: here.parts, here.usage))
      let path = "translated/\(pair.from.rawValue)/\(name.dropLast(5)).\(pair.to.rawValue)"
      try Golden.check(path, try Speaking.pretty(written))
      let there = ByteArea(Array(written.utf8))
      let again = Self.answer(pair.to, there)
      #expect(SaidText.answer(again.parts.parts) == SaidText.answer(here.parts.parts), "\(name)")
      #expect(again.usage == here.usage, "\(name)")
    }
  }

  /// Arguments that are no object, and everything else that a server may get wrong.
  @Test(arguments: pairs) func anyAnswer(_ pair: Pair) throws {
    for name in try Golden.names(pair.from.rawValue, ".json") where name.hasPrefix("answer") {
      for spoiled in Spoiled.texts(try Golden.text("\(pair.from.rawValue)/\(name)")) {
        let area = ByteArea(Array(spoiled.utf8))
        let here = Self.answer(pair.from, area)
        guard let written = Speaking.written(pair.to, answer: here.parts, here.usage) else { continue }
        #expect(Speaking.isJSON(written), "\(spoiled)")
      }
    }
  }
}
