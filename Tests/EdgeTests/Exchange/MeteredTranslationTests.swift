import Foundation
import Testing

@testable import Edge

@Suite struct MeteredTranslationTests {
  private static func text(_ bytes: [UInt8]) -> String { StreamTaking.text(bytes) }

  private static func translate(
    _ text: String, cutAt cuts: [Int] = [], from: DialectName, asksUsage: Bool = true, last: Bool = false,
    room: Int = 1 << 16
  ) -> StreamOutcome {
    StreamTaking.translate(Array(text.utf8), cutAt: cuts, from: from, asksUsage: asksUsage, last: last, room: room)
  }

  /// Event by event through the dialects alone; nil when it cannot be said.
  private static func direct(_ text: String, _ from: DialectName, asksUsage: Bool) -> String? {
    let document = JSONDocument()
    let parts = ModelParts()
    var writing = StreamWriting()
    var usage = Usage()
    var contentBytes: Int64 = 0
    var written = ""
    for event in text.components(separatedBy: "\n\n") where !event.isEmpty {
      parts.reset()
      let lines = event.components(separatedBy: "\n").filter { $0.hasPrefix("data: ") }.map { $0.dropFirst(6) }
      let data = ByteArea(Array(lines.joined(separator: "\n").utf8))
      if lines.isEmpty {
        parts.add(ModelPart(.ping))
      } else {
        let said = Dialect.readEvent(from, UnsafeBufferPointer(start: data.base, count: data.count), document)
        contentBytes += said.contentBytes
        if said.kind == .end, usage.source == .none {
          // The end tells what is charged.
          usage = Usage(source: .estimated, inputTokens: 55)
          usage.outputTokens = Estimate.outputTokens(contentBytes: contentBytes)
        }
        if said.usage.source == .reported {
          let input = usage
          usage = said.usage
          if said.usageReach == .output {
            (usage.inputTokens, usage.cachedTokens) = (input.inputTokens, input.cachedTokens)
            usage.cacheWriteTokens = input.cacheWriteTokens
          }
        }
        Dialect.readParts(from, of: said, document, into: parts)
      }
      let output = ByteArea([UInt8](repeating: 0, count: 1 << 16))
      var writer = ByteWriter(base: output.base, capacity: output.count)
      let identity = StreamTaking.identity(asksUsage: asksUsage)
      guard Dialect.writeEvents(StreamTaking.other(from), parts, identity, usage, &writing, to: &writer) else {
        return nil
      }
      written += StreamTaking.text(output.slice(0..<writer.count))
    }
    return written
  }

  // MARK: Transcripts

  @Test func thereAreTranscripts() {
    for (dialect, _) in StreamSample.folders {
      #expect(StreamSample.all.contains { $0.dialect == dialect && !$0.bytes.isEmpty })
    }
  }

  @Test(arguments: StreamSample.all, [true, false]) func inOnePiece(_ sample: StreamSample, _ asksUsage: Bool) {
    let text = Self.text(sample.bytes)
    let outcome = StreamTaking.translate(sample.bytes, from: sample.dialect, asksUsage: asksUsage)
    let expected = Self.direct(text, sample.dialect, asksUsage: asksUsage)
    #expect(outcome.isFault == (expected == nil))
    guard let expected, !outcome.isRefused else { return }
    #expect(Self.text(outcome.passed + outcome.held) == expected && outcome.rest.isEmpty)
    // What is seen does not depend on who reads it.
    let taken = StreamTaking.take(sample.bytes, dialect: sample.dialect)
    #expect(outcome.usage == taken.usage && outcome.contentBytes == taken.contentBytes)
    #expect(outcome.sawEnd == taken.sawEnd && outcome.sawError == taken.sawError)
    #expect(outcome.held.isEmpty == taken.held.isEmpty)
  }

  private static func differs(
    _ sample: StreamSample, _ whole: StreamOutcome, _ cuts: [Int], room: Int = 1 << 16
  ) -> Bool {
    var cut = StreamTaking.translate(sample.bytes, cutAt: cuts, from: sample.dialect, room: room)
    var whole = whole
    if whole.isRefused || whole.isFault { (cut.rest, whole.rest) = ([], []) }
    return cut != whole
  }

  /// Cut at many places at once, so that every place is among them with few passes.
  @Test(arguments: StreamSample.all) func atEverySplit(_ sample: StreamSample) {
    let whole = StreamTaking.translate(sample.bytes, from: sample.dialect)
    for first in 0..<61 {
      let cuts = Array(stride(from: first, to: sample.bytes.count, by: 61))
      if Self.differs(sample, whole, cuts) { Issue.record("differs when cut from \(first) on") }
    }
  }

  @Test(arguments: StreamSample.all, ["\n", "\r\n", "\r"]) func byteByByte(_ sample: StreamSample, _ lineEnd: String) {
    let lines = Self.text(sample.bytes).split(separator: "\n", omittingEmptySubsequences: false)
    var other = sample
    other.bytes = Array(lines.joined(separator: lineEnd).utf8)
    let whole = StreamTaking.translate(sample.bytes, from: sample.dialect)
    if Self.differs(other, whole, []) { Issue.record("differs in one piece") }
    if Self.differs(other, whole, Array(0..<other.bytes.count)) { Issue.record("differs byte by byte") }
  }

  /// However little room there is, as long as one event has room.
  @Test(arguments: StreamSample.all) func withLittleRoom(_ sample: StreamSample) {
    let whole = StreamTaking.translate(sample.bytes, from: sample.dialect)
    var least = 1 << 10
    while Self.differs(sample, whole, [], room: least), least < 1 << 14 { least += 16 }
    for room in stride(from: least, to: 2 * least, by: 37) {
      if Self.differs(sample, whole, [], room: room) { Issue.record("differs with room for \(room)") }
      if Self.differs(sample, whole, [sample.bytes.count / 2], room: room) { Issue.record("differs in two pieces") }
    }
    #expect(least < 1 << 14)
  }

  // MARK: From Anthropic's dialect

  private static func event(_ type: String, _ rest: String = "") -> String {
    "event: \(type)\ndata: {\"type\":\"\(type)\"\(rest)}\n\n"
  }

  private static func delta(_ text: String) -> String {
    event("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\(text)\"}")
  }

  private static let start = event(
    "message_start", ",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}")
  private static let blockStart = event(
    "content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
  private static let ping = event("ping")
  private static let finish = event(
    "message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}")
  private static let stop = event("message_stop")
  private static let error = event("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}")

  @Test func whatOpensIsHeldUntilSomethingIsSaid() {
    let opening = Self.start + Self.ping + Self.blockStart + Self.ping
    let open = Self.translate(opening, from: .anthropicMessages)
    #expect(open.isOpening && open.passed.isEmpty && Self.text(open.held).contains("\"role\":\"assistant\""))
    #expect(open.usageIsOpen && open.usage == StreamTaking.usage(7, 1))
    let said = Self.translate(opening + Self.delta("hi"), from: .anthropicMessages)
    #expect(said.openings == 1 && said.held.isEmpty)
    #expect(Self.text(said.passed).hasPrefix(Self.text(open.held)) && Self.text(said.passed).contains("\"hi\""))
    #expect(said.usageIsOpen && said.usage == StreamTaking.usage(7, 1))
    let cut = opening.utf8.count
    #expect(Self.translate(opening + Self.delta("hi"), cutAt: [cut], from: .anthropicMessages).passed == said.passed)
  }

  @Test func theEndWaits() {
    let said = Self.start + Self.delta("hi")
    let before = Self.translate(said, from: .anthropicMessages)
    for asksUsage in [true, false] {
      let ended = Self.translate(said + Self.finish + Self.stop, from: .anthropicMessages, asksUsage: asksUsage)
      #expect(ended.passed == before.passed && ended.sawEnd && !ended.usageIsOpen)
      #expect(ended.usage == StreamTaking.usage(7, 5))
      let held = Self.text(ended.held)
      #expect(held.contains("\"finish_reason\":\"stop\"") && held.hasSuffix("data: [DONE]\n\n"))
      #expect(held.contains("\"usage\"") == asksUsage)
    }
  }

  /// A provider that closes its connection where others say that the stream is over.
  @Test func aMissingEndIsWritten() {
    let said = Self.start + Self.delta("hi") + Self.finish
    let bare = Self.translate(said, from: .anthropicMessages)
    #expect(!bare.sawEnd && !Self.text(bare.held).contains("[DONE]"))
    let whole = Self.translate(said + Self.stop, from: .anthropicMessages)
    let count = said.utf8.count
    for cuts in [[], [count], [count - 3], [3, count]] {
      let closed = Self.translate(said, cutAt: cuts, from: .anthropicMessages, last: true)
      #expect(closed.sawEnd && closed.passed == whole.passed && closed.held == whole.held)
      let ended = Self.translate(said + Self.stop, cutAt: cuts, from: .anthropicMessages, last: true)
      #expect(ended.held == whole.held)
    }
    // What was cut off is not made whole.
    let cutOff = Self.translate(Self.start + Self.delta("hi"), from: .anthropicMessages, last: true)
    #expect(!cutOff.sawEnd && cutOff.held.isEmpty && !Self.text(cutOff.passed).contains("[DONE]"))
    let failed = Self.translate(said + Self.error, from: .anthropicMessages, last: true)
    #expect(!failed.sawEnd && !Self.text(failed.held).contains("[DONE]"))
    let unended = String((said + Self.stop).dropLast(2))
    #expect(Self.translate(unended, from: .anthropicMessages, last: true).held == whole.held)
  }

  @Test func errors() {
    let refused = Self.translate(Self.start + Self.blockStart + Self.error, from: .anthropicMessages)
    #expect(refused.isRefused && refused.sawError && refused.passed.isEmpty)
    #expect(Self.text(refused.rest) == Self.error)
    let failed = Self.translate(Self.start + Self.delta("hi") + Self.error, from: .anthropicMessages)
    #expect(!failed.isRefused && failed.sawError && Self.text(failed.passed).contains("\"busy\""))
    let bare = String(Self.error.dropLast())
    #expect(!Self.translate(Self.start + bare, from: .anthropicMessages).isRefused)
    #expect(Self.translate(Self.start + bare, from: .anthropicMessages, last: true).isRefused)
  }

  /// Every pair of places in a stream that has a bit of everything.
  @Test func atEveryTwoPlaces() {
    let short = Self.start + ": x\r\n\r\n" + Self.delta("hi").replacing("\n", with: "\r")
    let bytes = Array(short.utf8)
    let whole = StreamTaking.translate(bytes, from: .anthropicMessages, last: false)
    #expect(Self.text(whole.passed).contains("\"hi\"") && whole.rest.isEmpty)
    for first in stride(from: 0, through: bytes.count, by: 1) {
      for second in stride(from: first, through: bytes.count, by: 3) {
        let cut = StreamTaking.translate(
          bytes, cutAt: [first, second], from: .anthropicMessages, last: false)
        if cut.passed != whole.passed || cut.held != whole.held || cut.rest != whole.rest || cut.isFault {
          Issue.record("differs when cut at \(first) and \(second)")
        }
      }
    }
  }

  // MARK: From OpenAI's dialect

  private static func chunk(_ delta: String, _ rest: String = "") -> String {
    "data: {\"choices\":[{\"index\":0,\"delta\":{\(delta)}\(rest)}]}\n\n"
  }

  private static let role = chunk("\"role\":\"assistant\",\"content\":\"\"")
  private static let word = chunk("\"content\":\"hi\"")
  private static let done = "data: [DONE]\n\n"

  @Test func commentsBecomePings() {
    let quiet = Self.translate(": x\n\n" + Self.role, from: .openAIChat)
    #expect(!Self.text(quiet.held).contains("ping"))
    let loud = Self.translate(Self.role + ": x\n\n\nevent: y\n\n" + Self.word, from: .openAIChat)
    #expect(Self.text(loud.passed).components(separatedBy: "event: ping\n").count == 2)
  }

  @Test func dataInSeveralLinesIsSaid() {
    let lines = Self.role + Self.word.replacing("\"delta\":", with: "\ndata: \"delta\":\ndata:")
    let whole = Self.translate(Self.role + Self.word, from: .openAIChat)
    for cut in 0...lines.utf8.count {
      let cut = Self.translate(lines, cutAt: [cut], from: .openAIChat)
      #expect(cut.passed == whole.passed)
    }
    // As long as it can be read: what was not read cannot be said.
    let padding = String(repeating: " ", count: MeteredStream.joinedBytesMax)
    let long = lines.replacing("\"delta\":", with: "\"delta\":" + padding)
    let fault = Self.translate(Self.word + long, from: .openAIChat)
    #expect(fault.isFault && !fault.isRefused && fault.passed == Self.translate(Self.word, from: .openAIChat).passed)
  }

  /// What cannot be said cuts the answer, and nothing of it is written.
  @Test func whatCannotBeSaidIsAFault() {
    func call(_ index: Int, _ name: String?, _ arguments: String) -> String {
      let head =
        name.map { "\"id\":\"c\(index)\",\"type\":\"function\"," + "\"function\":{\"name\":\"\($0)\"," }
        ?? "\"function\":{"
      return "{\"index\":\(index),\(head)\"arguments\":\"\(arguments)\"}}"
    }
    let calls = Self.role + Self.chunk("\"tool_calls\":[\(call(0, "a", "x")),\(call(1, "b", "y"))]")
    let whole = Self.translate(calls, from: .openAIChat)
    #expect(!whole.isFault && Self.text(whole.passed).contains("tool_use"))
    let back = Self.chunk("\"content\":\"never\",\"tool_calls\":[\(call(0, nil, "z"))]")
    let fault = Self.translate(calls + back + Self.word, from: .openAIChat)
    #expect(fault.isFault && fault.passed == whole.passed && fault.held.isEmpty)
    #expect(Self.text(fault.rest) == back + Self.word)
    // Before anything passed another provider may still answer.
    let first = Self.translate(
      Self.role + Self.chunk("\"tool_calls\":[\(call(0, "a", "")),\(call(1, "b", "")),\(call(0, nil, "z"))]"),
      from: .openAIChat)
    #expect(first.isFault && !first.hasPassed && first.passed.isEmpty)
  }

  @Test func eventsAreBounded() {
    let most = MeteredStream.eventBytesMax
    let text = String(repeating: "x", count: most - Self.chunk("\"content\":\"\"").utf8.count)
    let long = Self.chunk("\"content\":\"\(text)\"")
    let said = Self.translate(long, from: .openAIChat, room: 2 * most)
    #expect(!said.isFault && Self.text(said.passed).contains(text) && said.contentBytes == Int64(text.utf8.count))
    let before = Self.translate(Self.word, from: .openAIChat)
    let longer = Self.chunk("\"content\":\"xx\(text)\"")
    for bytes in [Self.word + longer, Self.word + longer.dropLast()] {
      let fault = Self.translate(bytes, cutAt: [1000], from: .openAIChat, room: 2 * most)
      #expect(fault.isFault && fault.passed == before.passed)
    }
    // An event that does not fit is left over whole; the relay may give it more room.
    let full = Self.translate(Self.word + long, from: .openAIChat, room: 1 << 16)
    #expect(full.isFault && full.passed == before.passed && Self.text(full.rest) == long)
    // Many events at once may be longer than one may be.
    let words = String(repeating: Self.word, count: most / Self.word.utf8.count + 500)
    let many = Self.translate(words, from: .openAIChat)
    #expect(!many.isFault && many.passed == Self.translate(words, from: .openAIChat, room: 4 << 20).passed)
  }

  @Test func whatIsHeldIsBounded() {
    let finish = Self.chunk("", ",\"finish_reason\":\"stop\"")
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"
    let ended = Self.translate(Self.word + finish + usage + Self.done, from: .openAIChat)
    #expect(Self.text(ended.held).hasSuffix(Self.text(Array("data: {\"type\":\"message_stop\"}\n\n".utf8))))
    let pings = String(repeating: ": x\n\n", count: 8_000)
    #expect(Self.translate(Self.word + finish + usage + pings, from: .openAIChat, room: 1 << 20).isFault)
    #expect(!Self.translate(Self.word + pings + finish + usage, from: .openAIChat, room: 1 << 20).isFault)
  }

  // MARK: Usage

  /// What is told last counts, and is told once, at the end; without it that is the estimate, and it waits.
  @Test func theEndTellsWhatIsCharged() {
    let twice = Self.translate(
      [
        Self.start, Self.delta("hi"), Self.told("\"output_tokens\":5", "\"end_turn\""),
        Self.told("\"input_tokens\":12,\"output_tokens\":9"), Self.stop,
      ].joined(), from: .anthropicMessages)
    let told = Self.text(twice.held)
    #expect(told.contains("\"prompt_tokens\":12,\"completion_tokens\":9"))
    #expect(told.components(separatedBy: "prompt_tokens\"").count == 2 && told.hasSuffix("data: [DONE]\n\n"))
    let finish = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    func usage(_ text: String) -> String { "data: {\"choices\":[],\"usage\":{\(text)}}\n\n" }
    for (used, input, output) in [
      ("", 55, 1), ("\"prompt_tokens\":7", 7, 1), ("\"completion_tokens\":5", 55, 5),
      ("\"prompt_tokens\":7,\"completion_tokens\":5", 7, 5),
    ] {
      let text = Self.word + finish + (used.isEmpty ? "" : usage(used)) + Self.done
      let open = Self.text(Self.translate(text, from: .openAIChat).held)
      #expect(open.contains("message_stop") == (input == 7 && output == 5), "it may still follow")
      for behind in ["", usage("\"prompt_tokens\":20,\"completion_tokens\":3")] {
        let ended = Self.text(Self.translate(text + behind, from: .openAIChat, last: true).held)
        let isLate = !behind.isEmpty && !open.contains("message_stop")
        #expect(ended.contains("\"input_tokens\":\(isLate ? 20 : input),"), "\(used) \(behind)")
        #expect(ended.contains("\"output_tokens\":\(isLate ? 3 : output)}"), "\(used) \(behind)")
        #expect(ended.components(separatedBy: "event: message_stop").count == 2)
      }
    }
  }

  private static func usages(_ events: [String]) -> StreamOutcome {
    StreamTaking.take(Array(events.joined().utf8), dialect: .anthropicMessages)
  }

  private static func told(_ usage: String, _ reason: String = "null") -> String {
    event("message_delta", ",\"delta\":{\"stop_reason\":\(reason)},\"usage\":{\(usage)}")
  }

  @Test func usagesAreMerged() {
    let begun = Self.event(
      "message_start",
      ",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":20,"
        + "\"cache_creation_input_tokens\":3,\"output_tokens\":1}}")
    let open = Self.usages([begun, Self.delta("hi")])
    #expect(open.usageIsOpen && open.usage == StreamTaking.usage(30, 1, cached: 20, written: 3))
    let running = Self.usages([
      begun, Self.told("\"output_tokens\":4,\"output_tokens_details\":{\"thinking_tokens\":2}"),
    ])
    // More may come out, and not be told any more.
    #expect(running.usageIsOpen)
    #expect(running.usage == StreamTaking.usage(30, 4, cached: 20, written: 3, reasoning: 2))
    let twice = Self.usages([begun, Self.told("\"output_tokens\":4"), Self.told("\"output_tokens\":9", "\"end_turn\"")])
    #expect(twice.usage == StreamTaking.usage(30, 9, cached: 20, written: 3) && !twice.usageIsOpen)
    // What is not said again, or as less, still holds.
    let whole = Self.usages([begun, Self.told("\"input_tokens\":8,\"output_tokens\":9", "\"end_turn\"")])
    #expect(whole.usage == StreamTaking.usage(30, 9, cached: 20, written: 3) && !whole.usageIsOpen)
    // Said late, the beginning takes nothing back.
    let late = Self.usages([Self.told("\"input_tokens\":8,\"output_tokens\":9"), begun])
    #expect(late.usage == StreamTaking.usage(30, 9, cached: 20, written: 3) && late.usageIsOpen)
    // What came out alone is a half; the beginning's number of it alone is nothing.
    let output = Self.usages([Self.delta("hi"), Self.told("\"output_tokens\":9", "\"end_turn\""), Self.stop])
    #expect(output.usage == StreamTaking.usage(0, 9) && !output.usageIsOpen && output.sawEnd)
    let nothing = Self.usages([
      Self.event("message_start", ",\"message\":{\"content\":[],\"usage\":{\"output_tokens\":1}}"), Self.stop,
    ])
    #expect(nothing.usage == Usage())
    // A stream that ends without having told it.
    let untold = Self.usages([
      begun, Self.delta("hi"), Self.event("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}"), Self.stop,
    ])
    #expect(untold.usageIsOpen && untold.sawEnd)
  }
}
