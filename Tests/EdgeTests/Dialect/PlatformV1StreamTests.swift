import Foundation
import Testing

@testable import Edge

/// Chunks of streamed answers, and what is kept of them for the end.
@Suite struct PlatformV1StreamTests {
  private static func chunk(_ rest: String) -> String { "{\"id\":\"req-123\",\"type\":\"chunk\",\"data\":\(rest)}" }

  private static func delta(_ index: Int, _ id: String, _ name: String, _ arguments: String) -> String {
    chunk(
      "\"\",\"toolCallDelta\":{\"index\":\(index),\"id\":\"\(id)\",\"type\":\"function\",\"function\":"
        + "{\"name\":\"\(name)\",\"arguments\":\"\(arguments)\"}}")
  }

  private static func delta(_ index: Int, _ arguments: String) -> String {
    chunk("\"\",\"toolCallDelta\":{\"index\":\(index),\"function\":{\"arguments\":\"\(arguments)\"}}")
  }

  private static func member(_ id: String, _ name: String, _ arguments: String) -> String {
    "{\"id\":\"\(id)\",\"type\":\"function\",\"function\":{\"name\":\"\(name)\",\"arguments\":\"\(arguments)\"}}"
  }

  private static func toolCalls(_ kept: [UInt8]) -> String {
    let area = ByteArea(kept)
    return Platform.text { writer in
      PlatformV1.appendToolCalls(kept: StaticBytes(start: area.base, count: area.count), to: &writer)
    }
  }

  // MARK: texts

  @Test func texts() {
    let written = Platform.write([
      [ModelPart(.start)], [Platform.said(.text, "a\\n\\\"b\\\""), Platform.said(.text, "")],
      [Platform.said(.reasoning, "hm"), Platform.said(.text, "c")], [ModelPart(.ping)],
      [Platform.finish(.length), ModelPart(.usage)], [ModelPart(.end)],
    ])
    #expect(
      written.frames == [
        Self.chunk("\"a\\n\\\"b\\\"\""), Self.chunk("\"\",\"reasoning\":\"hm\""), Self.chunk("\"c\""),
      ])
    #expect(written.writing.reason == .length && written.writing.toldEnd && written.kept.isEmpty)
    #expect(Self.toolCalls(written.kept).isEmpty)
  }

  /// A refusal is what the client reads, and why the answer ends.
  @Test func refusals() {
    let written = Platform.write([[Platform.said(.refusal, "No."), Platform.finish(.stop), ModelPart(.end)]])
    #expect(written.frames == [Self.chunk("\"No.\"")] && written.writing.reason == .contentFilter)
  }

  /// A stream that ends without a reason gets the one that it looks like.
  @Test func untoldReasons() {
    #expect(Platform.write([[Platform.said(.text, "a"), ModelPart(.end)]]).writing.reason == .stop)
    #expect(Platform.write([[Platform.call(0, "c", "f"), ModelPart(.end)]]).writing.reason == .toolCalls)
    let cut = Platform.write([[Platform.said(.text, "a")]])
    #expect(cut.writing.reason == nil && !cut.writing.toldEnd)
  }

  /// What comes behind an error or the end is not told, and neither are they.
  @Test func afterTheEnd() {
    for last in [ModelPart.Kind.end, .error] {
      let written = Platform.write([[ModelPart(last), Platform.said(.text, "a")], [Platform.said(.text, "b")]])
      #expect(written.frames.isEmpty && written.isSaid && written.writing.toldEnd)
    }
    #expect(!Platform.write([[ModelPart(.user)]]).isSaid)
  }

  /// Lengths in each of the three forms that a frame has.
  @Test func longTexts() {
    let bare = Self.chunk("\"\"").utf8.count
    for count in [1, 125 - bare, 126 - bare, 65_535 - bare, 65_536 - bare, 70_000] {
      let text = ByteArea([UInt8](repeating: 0x78, count: count))
      let part = ModelPart(
        .text, text: ModelText(form: .string, bytes: StaticBytes(start: text.base, count: text.count)))
      let written = Platform.write([[part]])
      #expect(written.frames == [Self.chunk("\"\(String(repeating: "x", count: count))\"")])
    }
  }

  // MARK: calls

  @Test func calls() {
    let written = Platform.write([
      [Platform.said(.text, "a"), Platform.call(0, "c0", "f")], [Platform.arguments(0, "{\\\"x\\\":")],
      [Platform.arguments(0, ""), Platform.arguments(0, "1}")], [Platform.call(1, "c1", "g", "{}")],
      [Platform.finish(.toolCalls)], [ModelPart(.end)],
    ])
    #expect(
      written.frames == [
        Self.chunk("\"a\""), Self.delta(0, "c0", "f", ""), Self.delta(0, "{\\\"x\\\":"), Self.delta(0, "1}"),
        Self.delta(1, "c1", "g", "{}"),
      ])
    let members = [Self.member("c0", "f", "{\\\"x\\\":1}"), Self.member("c1", "g", "{}")]
    #expect(Self.toolCalls(written.kept) == ",\"toolCalls\":[\(members.joined(separator: ","))]")
    #expect(written.writing.reason == .toolCalls)
  }

  /// Calls without arguments have an empty object, told when something else begins or the answer ends.
  @Test func callsWithoutArguments() {
    let calls = [Platform.call(0, "c0", "f"), Platform.call(3, "c1", "g"), Platform.call(7, "c2", "h")]
    let members = [Self.member("c0", "f", "{}"), Self.member("c1", "g", "{}"), Self.member("c2", "h", "{}")]
    for last in [Platform.finish(.toolCalls), ModelPart(.end), Platform.said(.text, "a")] {
      let written = Platform.write([calls, [last]])
      #expect(
        written.frames.prefix(6) == [
          Self.delta(0, "c0", "f", ""), Self.delta(0, "{}"), Self.delta(1, "c1", "g", ""), Self.delta(1, "{}"),
          Self.delta(2, "c2", "h", ""), Self.delta(2, "{}"),
        ])
      #expect(written.frames.count == (last.kind == .text ? 7 : 6))
      #expect(Self.toolCalls(written.kept) == ",\"toolCalls\":[\(members.joined(separator: ","))]")
    }
    // A stream that just stops is told whole as well.
    let open = Platform.write([calls])
    #expect(open.frames.count == 5)
    #expect(Self.toolCalls(open.kept) == ",\"toolCalls\":[\(members.joined(separator: ","))]")
    // Arguments may say the very words that mark an open call.
    let quoted = Platform.write([[Platform.call(0, "c", "f", "\\\"arguments\\\":\\\"")]])
    #expect(Self.toolCalls(quoted.kept) == ",\"toolCalls\":[\(Self.member("c", "f", "\\\"arguments\\\":\\\""))]")
  }

  /// A call without an id gets one that is the same each time.
  @Test func callsWithoutIDs() {
    let written = Platform.write([[Platform.call(0, "", "f", "{}"), Platform.call(1, "", "g", "{}")]])
    let attempt = "068T5CWY4TQKFF028T5CWY4TPY"
    let ids = written.frames.compactMap { frame in
      ((Platform.object(frame)?["toolCallDelta"] as? [String: Any])?["id"]) as? String
    }
    #expect(ids.count == 2 && ids.allSatisfy { $0.hasPrefix("call_") && $0.utf8.count == 5 + attempt.utf8.count + 1 })
    #expect(Set(ids).count == 2 && ids.allSatisfy { Self.toolCalls(written.kept).contains($0) })
  }

  /// Providers that repeat the name with each piece, and those that give every call the same number.
  @Test func repeatedNames() {
    let again = Platform.write([
      [Platform.call(0, "c0", "f", "{")], [Platform.call(0, "c0", "f", "}")], [Platform.call(0, "", "f", "")],
    ])
    #expect(again.frames == [Self.delta(0, "c0", "f", "{"), Self.delta(0, "}")])
    #expect(Self.toolCalls(again.kept) == ",\"toolCalls\":[\(Self.member("c0", "f", "{}"))]")
    let same = Platform.write([[Platform.call(0, "c0", "f", "{}")], [Platform.call(0, "c1", "f", "{}")]])
    #expect(same.frames == [Self.delta(0, "c0", "f", "{}"), Self.delta(1, "c1", "f", "{}")])
  }

  @Test func argumentsBeforeTheName() {
    let written = Platform.write([
      [Platform.arguments(0, "{\\\"x\\\"")], [Platform.call(0, "c0", "f", ":1")], [Platform.arguments(0, "}")],
      [Platform.arguments(1, "{}")], [Platform.call(1, "c1", "g")], [Platform.finish(.toolCalls)],
    ])
    #expect(
      written.frames == [
        Self.delta(0, "c0", "f", "{\\\"x\\\":1"), Self.delta(0, "}"), Self.delta(1, "c1", "g", "{}"),
      ])
    let members = [Self.member("c0", "f", "{\\\"x\\\":1}"), Self.member("c1", "g", "{}")]
    #expect(Self.toolCalls(written.kept) == ",\"toolCalls\":[\(members.joined(separator: ","))]")
  }

  /// What belongs to a call that is over cannot be said any more, nor what never gets a name.
  @Test func whatCannotBeSaid() {
    let two = [Platform.call(0, "c0", "f", "{"), Platform.call(1, "c1", "g", "{")]
    #expect(!Platform.write([two, [Platform.arguments(0, "}")]]).isSaid)
    #expect(Platform.write([two, [Platform.arguments(0, "")]]).isSaid)
    #expect(!Platform.write([[Platform.arguments(0, "{}"), Platform.finish(.toolCalls)]]).isSaid)
    #expect(!Platform.write([[Platform.arguments(0, "{}"), ModelPart(.end)]]).isSaid)
    #expect(!Platform.write([[Platform.finish(.stop), Platform.call(0, "c", "f")]]).isSaid)
    #expect(!Platform.write([two, [Platform.finish(.stop), Platform.arguments(1, "}")]]).isSaid)
    let page = ByteArea([UInt8](repeating: 0x20, count: 300))
    var much = Platform.arguments(0, "")
    much.text = ModelText(form: .string, bytes: StaticBytes(start: page.base, count: page.count))
    #expect(!Platform.write([[much]]).isSaid)
  }

  // MARK: transcripts

  /// What a client gets of a transcript, and the message that ends it.
  private static func frames(_ sample: StreamSample) throws -> String {
    let outcome = StreamTaking.translate(sample.bytes, from: sample.dialect, to: .platformV1)
    let frames = try #require(Platform.texts(outcome.passed + outcome.held))
    var lines = frames
    if outcome.sawEnd {
      lines.append(
        Platform.done(Platform.outcome(outcome.usage, reason: outcome.reason), kept: outcome.kept))
    }
    return lines.map { $0 + "\n" }.joined()
  }

  @Test(arguments: StreamSample.all) func everyTranscript(_ sample: StreamSample) throws {
    let text = try Self.frames(sample)
    try Golden.check("\(Platform.folder)/" + sample.name.replacing(".sse", with: ".frames"), text)
    // The client reads the same answer that a client of the provider's own dialect reads.
    var answer = SaidText.Answer()
    var calls: [(head: String, arguments: String)] = []
    for line in text.split(separator: "\n") {
      let message = try #require(Platform.object(String(line)))
      #expect(message["id"] as? String == "req-123")
      if message["type"] as? String == "done" {
        answer.hasEnded = true
        let metadata = message["metadata"] as? [String: Any]
        answer.reason = FinishReason.allCases.first {
          OpenAIChat.name($0).description == metadata?["finishReason"] as? String
        }
        let told = (message["toolCalls"] as? [[String: Any]] ?? []).map { call in Self.call(call) }
        #expect(told == calls.map { "\($0.head) \(SaidText.json($0.arguments))" })
        continue
      }
      answer.text += try #require(message["data"] as? String)
      guard let delta = message["toolCallDelta"] as? [String: Any], let function = delta["function"] as? [String: Any]
      else { continue }
      if let name = function["name"] as? String { calls.append(("\(delta["id"] ?? "") \(name)", "")) }
      #expect(delta["index"] as? Int == calls.count - 1)
      calls[calls.count - 1].arguments += function["arguments"] as? String ?? ""
    }
    answer.calls = calls.map { "\($0.head) \(SaidText.json($0.arguments))" }
    let script = StreamScript(sample.dialect, StreamScript.data(StreamTaking.text(sample.bytes)))
    var said = SaidText.answer(script.parts)
    if said.hasEnded, said.reason == nil { said.reason = said.calls.isEmpty ? .stop : .toolCalls }
    if !said.hasEnded { said.reason = nil }
    said.hasFailed = false
    #expect(answer == said)
  }

  private static func call(_ call: [String: Any]) -> String {
    let function = call["function"] as? [String: Any] ?? [:]
    let arguments = function["arguments"] as? String ?? ""
    return "\(call["id"] ?? "") \(function["name"] ?? "") \(SaidText.json(arguments))"
  }

  private static func differs(
    _ sample: StreamSample, _ whole: StreamOutcome, _ cuts: [Int], room: Int = 1 << 16
  ) -> Bool {
    var cut = StreamTaking.translate(sample.bytes, cutAt: cuts, from: sample.dialect, to: .platformV1, room: room)
    var whole = whole
    if whole.isRefused || whole.isFault { (cut.rest, whole.rest) = ([], []) }
    return cut != whole
  }

  /// Wherever the bytes are cut, the client gets the same frames and the same is kept. Cut at many places at once, so
  /// that every place is among them with few passes.
  @Test(arguments: StreamSample.all) func atEverySplit(_ sample: StreamSample) {
    let whole = StreamTaking.translate(sample.bytes, from: sample.dialect, to: .platformV1)
    for first in 0..<61 {
      let cuts = Array(stride(from: first, to: sample.bytes.count, by: 61))
      if Self.differs(sample, whole, cuts) { Issue.record("differs when cut from \(first) on") }
    }
    if Self.differs(sample, whole, Array(0..<sample.bytes.count)) { Issue.record("differs byte by byte") }
  }

  /// However little room there is, as long as one event has room; what did not fit is not kept twice.
  @Test(arguments: StreamSample.all) func withLittleRoom(_ sample: StreamSample) {
    let whole = StreamTaking.translate(sample.bytes, from: sample.dialect, to: .platformV1)
    var least = 64
    while Self.differs(sample, whole, [], room: least), least < 1 << 14 { least += 16 }
    for room in stride(from: least, to: 2 * least, by: 7) {
      if Self.differs(sample, whole, [], room: room) { Issue.record("differs with room for \(room)") }
    }
    #expect(least < 1 << 12)
  }

  /// Any value in any place of any event: nothing, or frames with messages in them.
  @Test(arguments: [DialectName.openAIChat, .anthropicMessages]) func anyEvent(_ dialect: DialectName) throws {
    var said = 0
    for sample in StreamSample.all where sample.dialect == dialect {
      for event in Set(StreamScript.data(StreamTaking.text(sample.bytes)).prefix(8)) {
        for spoiled in Spoiled.texts(event) {
          let script = StreamScript(dialect, [spoiled])
          let written = Platform.write([script.parts])
          guard written.isSaid else { continue }
          said += written.frames.count
          for frame in written.frames { #expect(Speaking.isJSON(frame), "\(spoiled)") }
          let done = Platform.done(Platform.outcome(script.usage, reason: written.writing.reason), kept: written.kept)
          #expect(Speaking.isJSON(done), "\(spoiled)")
        }
      }
    }
    #expect(said > 100)
  }

  // MARK: the metered stream

  private static func chunk(of delta: String) -> String {
    "data: {\"choices\":[{\"index\":0,\"delta\":{\(delta)}}]}\n\n"
  }

  /// What an event has kept is forgotten with it, when the event cannot be said.
  @Test func keptOfAnEventThatIsGivenUp() {
    func call(_ index: Int, _ head: String, _ arguments: String) -> String {
      let name = head.isEmpty ? "" : "\"name\":\"f\","
      return "{\"index\":\(index),\(head)\"function\":{\(name)\"arguments\":\"\(arguments)\"}}"
    }
    let good = Self.chunk(of: "\"tool_calls\":[\(call(0, "\"id\":\"a\",", "x"))]")
    let bad = Self.chunk(of: "\"tool_calls\":[\(call(1, "\"id\":\"b\",", "y")),\(call(0, "", "z"))]")
    let fault = StreamTaking.translate(Array((good + bad).utf8), from: .openAIChat, to: .platformV1, last: false)
    let before = StreamTaking.translate(Array(good.utf8), from: .openAIChat, to: .platformV1, last: false)
    #expect(fault.isFault && fault.kept == before.kept && fault.passed == before.passed && !before.kept.isEmpty)
    #expect(StreamTaking.text(fault.rest) == bad)
  }

  /// What was kept of another stream is gone.
  @Test func keptOfAnotherStream() {
    let parts = ModelParts()
    let text = ByteArea(Array("left over".utf8))
    parts.keep(text.base, text.count)
    var stream = MeteredStream()
    var writer = ByteWriter(base: text.base, capacity: text.count)
    _ = stream.translate(
      text.base, 0, from: .openAIChat, to: .platformV1, identity: Platform.identity, isLast: false, now: 0,
      JSONDocument(), parts, to: &writer)
    #expect(parts.kept.isEmpty)
  }

  /// A provider that fails before anything was said may be followed by another one; later the driver says so.
  @Test func errors() {
    let error = "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n"
    let first = StreamTaking.translate(Array(error.utf8), from: .openAIChat, to: .platformV1)
    #expect(first.isRefused && first.passed.isEmpty && first.held.isEmpty)
    let word = Self.chunk(of: "\"content\":\"hi\"")
    let later = StreamTaking.translate(Array((word + error).utf8), from: .openAIChat, to: .platformV1)
    #expect(!later.isRefused && later.sawError && !later.sawEnd)
    #expect(Platform.texts(later.passed + later.held) == [Self.chunk("\"hi\"")])
  }

  // MARK: whole answers

  private static func answer(_ dialect: DialectName, _ area: ByteArea) -> (parts: ModelParts, usage: Usage) {
    let document = JSONDocument(capacity: 1)
    let event = Dialect.readAnswer(dialect, area.base, area.count, document)
    let parts = ModelParts()
    Dialect.readParts(dialect, answer: area.base, area.count, document, into: parts)
    return (parts, event.usage)
  }

  @Test(arguments: [DialectName.openAIChat, .anthropicMessages]) func answers(_ dialect: DialectName) throws {
    for name in try Golden.names(dialect.rawValue, ".json") where name.hasPrefix("answer") {
      let area = ByteArea(Array(try Golden.text("\(dialect.rawValue)/\(name)").utf8))
      let here = Self.answer(dialect, area)
      let content = try #require(Speaking.written(.platformV1, answer: here.parts, here.usage, Platform.identity))
      let outcome = Platform.outcome(here.usage, reason: PlatformV1.finishReason(here.parts))
      let text = Platform.done(outcome, content: content)
      try Golden.check("\(Platform.folder)/\(dialect.rawValue)/\(name.dropLast(5)).done", try Speaking.pretty(text))
      let message = try #require(Platform.object(text))
      let said = SaidText.answer(here.parts.parts)
      #expect(message["data"] as? String == said.text)
      #expect((message["toolCalls"] as? [[String: Any]] ?? []).map(Self.call) == said.calls)
    }
  }

  @Test(arguments: [DialectName.openAIChat, .anthropicMessages]) func anyAnswer(_ dialect: DialectName) throws {
    for name in try Golden.names(dialect.rawValue, ".json") where name.hasPrefix("answer") {
      for spoiled in Spoiled.texts(try Golden.text("\(dialect.rawValue)/\(name)")) {
        let area = ByteArea(Array(spoiled.utf8))
        let here = Self.answer(dialect, area)
        guard let content = Speaking.written(.platformV1, answer: here.parts, here.usage, Platform.identity) else {
          continue
        }
        let outcome = Platform.outcome(here.usage, reason: PlatformV1.finishReason(here.parts))
        #expect(Speaking.isJSON(Platform.done(outcome, content: content)), "\(spoiled)")
      }
    }
  }
}
