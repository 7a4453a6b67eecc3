import Foundation
import Testing

@testable import Edge

@Suite struct MeteredStreamTests {
  private static func take(
    _ bytes: [UInt8], cutAt cuts: [Int] = [], strips: Bool = false, last: Bool = false
  ) -> StreamOutcome { StreamTaking.take(bytes, cutAt: cuts, strips: strips, last: last) }

  private static func text(_ bytes: [UInt8]) -> String { StreamTaking.text(bytes) }

  static func usage(
    _ input: Int64, _ output: Int64, cached: Int64 = 0, written: Int64 = 0, reasoning: Int64 = 0
  ) -> Usage { StreamTaking.usage(input, output, cached: cached, written: written, reasoning: reasoning) }

  struct Expected: Sendable {
    var name: String
    var usage = Usage()
    var contentBytes: Int64
    var sawEnd = true
    var sawError = false
    /// Events at the end that wait, and how many of them are stripped.
    var held = 1
    var stripped = 0
  }

  static let expected: [Expected] = [
    Expected(name: "text.sse", contentBytes: 32),
    Expected(
      name: "text-usage.sse", usage: usage(79, 14, cached: 64, written: 8, reasoning: 3), contentBytes: 32, held: 2,
      stripped: 1),
    Expected(name: "tools-parallel.sse", usage: usage(149, 60), contentBytes: 121, held: 2, stripped: 1),
    Expected(name: "tools-same-index.sse", usage: usage(83, 46), contentBytes: 65, held: 2, stripped: 1),
    Expected(name: "tool-no-arguments.sse", contentBytes: 8),
    Expected(name: "shapes.sse", usage: usage(21, 9), contentBytes: 43, held: 2),
    Expected(name: "refusal.sse", usage: usage(79, 12), contentBytes: 44, held: 2, stripped: 1),
    Expected(name: "error.sse", contentBytes: 3, sawEnd: false, sawError: true, held: 0),
    Expected(name: "azure.sse", usage: usage(14, 80, reasoning: 64), contentBytes: 16, held: 2, stripped: 1),
    Expected(name: "usage-running.sse", usage: usage(9, 2), contentBytes: 7, held: 2),
    Expected(name: "reasoning.sse", usage: usage(17, 9, reasoning: 5), contentBytes: 16, held: 2),
  ]

  @Test func everyTranscriptIsExpected() throws {
    #expect(try Transcripts.names(".sse") == Self.expected.map(\.name).sorted())
  }

  @Test(arguments: expected) func inOnePiece(_ expected: Expected) throws {
    let bytes = try Transcripts.bytes(expected.name)
    let events = Self.text(bytes).components(separatedBy: "\n\n").dropLast().map { $0 + "\n\n" }
    let plain = Self.take(bytes)
    #expect(plain.all == bytes)
    #expect(Self.text(plain.held) == events.suffix(expected.held).joined())
    #expect(plain.usage == expected.usage)
    #expect(plain.contentBytes == expected.contentBytes)
    #expect(plain.sawEnd == expected.sawEnd && plain.sawError == expected.sawError && !plain.isFault)
    let stripped = Self.take(bytes, strips: true)
    #expect(stripped.passed == plain.passed)
    #expect(Self.text(stripped.held) == events.suffix(expected.held).dropFirst(expected.stripped).joined())
    #expect(stripped.usage == expected.usage)
  }

  /// Cut at one place, every one in turn.
  @Test(arguments: ["error.sse", "usage-running.sse", "tool-no-arguments.sse"]) func inTwoPieces(_ name: String) throws
  {
    let bytes = try Transcripts.bytes(name)
    let whole = Self.take(bytes, strips: true)
    for cut in 0...bytes.count where Self.take(bytes, cutAt: [cut], strips: true) != whole {
      Issue.record("differs when cut at \(cut)")
    }
  }

  /// Cut at many places at once, so that every place is among them with few passes.
  @Test(arguments: expected) func atEverySplit(_ expected: Expected) throws {
    let bytes = try Transcripts.bytes(expected.name)
    for strips in [false, true] {
      let whole = Self.take(bytes, strips: strips)
      for first in 0..<61 {
        let cuts = Array(stride(from: first, to: bytes.count, by: 61))
        if Self.take(bytes, cutAt: cuts, strips: strips) != whole { Issue.record("differs when cut from \(first) on") }
      }
    }
  }

  @Test(arguments: expected, ["\n", "\r\n", "\r"]) func byteByByte(_ expected: Expected, _ lineEnd: String) throws {
    let text = Self.text(try Transcripts.bytes(expected.name)).split(separator: "\n", omittingEmptySubsequences: false)
    let bytes = Array(text.joined(separator: lineEnd).utf8)
    for strips in [false, true] {
      let whole = Self.take(bytes, strips: strips)
      #expect(whole.usage == expected.usage && whole.contentBytes == expected.contentBytes)
      #expect(strips || whole.all == bytes)
      #expect(Self.take(bytes, cutAt: Array(0..<bytes.count), strips: strips) == whole)
      #expect(Self.take(bytes, cutAt: Array(stride(from: 0, to: bytes.count, by: 7)), strips: strips) == whole)
    }
  }

  // MARK: Anthropic's dialect

  static let anthropic = StreamSample.all.filter { $0.dialect == .anthropicMessages }

  private static let usages: [String: Usage] = [
    "cache.sse": usage(3_084, 5, cached: 1_024, written: 2_048), "error.sse": usage(11, 1),
    "error-first.sse": usage(11, 1), "max-tokens.sse": usage(9, 4), "refusal.sse": usage(20, 120, reasoning: 67),
    "server-tool.sse": usage(50, 20), "text.sse": usage(11, 6), "thinking.sse": usage(52, 75, reasoning: 48),
    "tool-no-arguments.sse": usage(340, 44), "tools-parallel.sse": usage(472, 118),
    "usage-late.sse": usage(19, 6, cached: 3, written: 4, reasoning: 2),
  ]

  @Test(arguments: anthropic) func anthropicInOnePiece(_ sample: StreamSample) throws {
    let whole = StreamTaking.take(sample.bytes, dialect: sample.dialect)
    let said = Self.text(sample.bytes)
    let name = try #require(sample.name.split(separator: "/").last.map(String.init))
    #expect(whole.usage == Self.usages[name] && !whole.isFault)
    #expect(whole.isRefused == (name == "error-first.sse") && whole.sawError == name.hasPrefix("error"))
    #expect(whole.usageIsOpen == whole.sawError && whole.sawEnd != whole.sawError)
    if whole.isRefused {
      #expect(Self.text(whole.rest).hasPrefix("event: error\n") && said.hasSuffix(Self.text(whole.rest)))
    } else {
      #expect(whole.all == sample.bytes && whole.rest.isEmpty)
    }
    // The reason and the usage come with one event.
    let end = said.range(of: "event: message_delta").map { String(said[$0.lowerBound...]) } ?? ""
    #expect(Self.text(whole.held) == end)
    // No event says nothing but the usage.
    #expect(StreamTaking.take(sample.bytes, dialect: sample.dialect, strips: true) == whole)
  }

  @Test(arguments: anthropic, ["\n", "\r\n", "\r"]) func anthropicAtEverySplit(
    _ sample: StreamSample, _ lineEnd: String
  ) {
    let lines = Self.text(sample.bytes).split(separator: "\n", omittingEmptySubsequences: false)
    let bytes = Array(lines.joined(separator: lineEnd).utf8)
    let whole = StreamTaking.take(bytes, dialect: sample.dialect)
    func isSame(_ cuts: [Int]) -> Bool {
      var cut = StreamTaking.take(bytes, cutAt: cuts, dialect: sample.dialect)
      if whole.isRefused { cut.rest = whole.rest }
      return cut == whole
    }
    for first in 0..<61 {
      #expect(isSame(Array(stride(from: first, to: bytes.count, by: 61))), "cut from \(first) on")
    }
    #expect(isSame(Array(0..<bytes.count)))
  }

  private static let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"

  /// Some providers say in front of the answer, or with every part, what was used so far.
  @Test func anEarlyUsageHoldsNothing() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"
    let part = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
    let kept = Self.take(Array((usage + part + usage + part).utf8))
    #expect(Self.text(kept.passed) == usage + part + usage + part && kept.held.isEmpty)
    let stripped = Self.take(Array((usage + part + usage + part + Self.finish + usage).utf8), strips: true)
    #expect(Self.text(stripped.passed) == part + part + Self.finish && stripped.held.isEmpty)
    #expect(stripped.usage == Self.usage(1, 2))
  }

  /// Where several answers were asked for, one may end while others go on; what is told then is not the last.
  @Test func oneChoiceEndsBeforeAnother() {
    func chunk(_ index: Int, _ reason: String, _ out: Int) -> String {
      "data: {\"choices\":[{\"index\":\(index),\"delta\":{\"content\":\"x\"},\"finish_reason\":\(reason)}],"
        + "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":\(out)}}\n\n"
    }
    let running = [chunk(0, "null", 1), chunk(0, "\"stop\"", 1), chunk(1, "null", 2)].joined()
    let open = StreamTaking.take(Array(running.utf8), choices: 2)
    #expect(Self.text(open.passed) == running && open.usageIsOpen && open.usage == Self.usage(1, 2))
    let last = chunk(1, "\"stop\"", 3)
    let ended = StreamTaking.take(Array((running + last + "data: [DONE]\n\n").utf8), choices: 2)
    #expect(Self.text(ended.passed) == running && Self.text(ended.held) == last + "data: [DONE]\n\n")
    #expect(!ended.usageIsOpen && ended.usage == Self.usage(1, 3))
    // A provider that gives fewer ends all the same.
    let fewer = StreamTaking.take(Array((running + "data: [DONE]\n\n").utf8), choices: 3)
    #expect(Self.text(fewer.passed) == running && Self.text(fewer.held) == "data: [DONE]\n\n" && !fewer.usageIsOpen)
  }

  @Test func onceHeldEverythingIsHeld() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"
    let more = ": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
    let bytes = Array((more + Self.finish + usage + more + "data: [DONE]\n\n" + more + "data: {").utf8)
    let kept = Self.take(bytes)
    #expect(Self.text(kept.passed) == more + Self.finish)
    #expect(Self.text(kept.held) == usage + more + "data: [DONE]\n\n")
    #expect(Self.text(kept.rest) == "data: {")
    let stripped = Self.take(bytes, strips: true)
    #expect(Self.text(stripped.held) == more + "data: [DONE]\n\n")
    #expect(stripped.rest == kept.rest)
    for cut in 0...bytes.count { #expect(Self.take(bytes, cutAt: [cut], strips: true) == stripped) }
  }

  /// It may be told and charged already; a usage that was not told before is what it still may say.
  @Test func nothingCountsBehindTheEnd() {
    func usage(_ output: Int) -> String {
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":\(output)}}\n\n"
    }
    let content = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
    let late = ": ping\n\n" + content + "data: {\"error\":{\"message\":\"m\"}}\n\n"
    for told in ["", usage(5)] {
      let whole = content + Self.finish + told + "data: [DONE]\n\n"
      let plain = Self.take(Array(whole.utf8))
      #expect(Self.take(Array((whole + late).utf8)) == plain)
      let more = Self.take(Array((whole + usage(7) + usage(9)).utf8))
      #expect(Self.text(more.held) == Self.text(plain.held) + (told.isEmpty ? usage(7) : ""))
      #expect(more.usage == Self.usage(10, told.isEmpty ? 7 : 5))
    }
  }

  /// What was told before the last of the content is not the last word.
  @Test func usageIsOpenUntilItCoversTheContent() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}\n\n"
    let content = "data: {\"choices\":[{\"delta\":{\"content\":\"xyz\"}}]}\n\n"
    let both = content.replacing("}]}", with: "}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}")
    let end = Self.finish + "data: [DONE]\n\n"
    for open in [usage + content + end, content + usage + content + Self.finish, both + content + end] {
      #expect(Self.take(Array(open.utf8)).usageIsOpen, "\(open)")
    }
    for whole in [content + usage + end, content + both + end, usage + content + Self.finish + usage] {
      #expect(!Self.take(Array(whole.utf8)).usageIsOpen, "\(whole)")
    }
  }

  @Test func dataInSeveralLinesIsRead() {
    let text =
      "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1,\ndata:\"completion_tokens\":2}}\n\n"
      + "data: [DONE]\n\n"
    let whole = Self.take(Array(text.utf8), strips: true)
    #expect(whole.usage == Self.usage(1, 2))
    #expect(Self.text(whole.held) == "data: [DONE]\n\n")
    #expect(Self.text(Self.take(Array(text.utf8)).all) == text)
  }

  @Test func anUnfinishedLastEventIsReadAtTheEnd() throws {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}"
    for (end, isKept) in [("", false), ("\n", false), ("\n\ndata: [DONE]", true), ("\r\n\r\ndata: [DONE]\r", true)] {
      let bytes = Array((Self.finish + usage + end).utf8)
      let open = Self.take(bytes, last: true)
      #expect(open.usage == Self.usage(1, 2) && open.rest.isEmpty && Self.text(open.held) == usage + end)
      #expect(open.sawEnd == isKept)
      let stripped = Self.take(bytes, strips: true, last: true)
      #expect(stripped.held.isEmpty != isKept)
      for cut in 0...bytes.count { #expect(Self.take(bytes, cutAt: [cut], strips: true, last: true) == stripped) }
    }
    #expect(Self.take(Array("data: {}\n\n".utf8), last: true).all == Array("data: {}\n\n".utf8))
  }

  @Test func eventsAreBounded() {
    let most = MeteredStream.eventBytesMax
    let event = Array("data: ".utf8) + [UInt8](repeating: 0x78, count: most - 8) + Array("\n\n".utf8)
    #expect(Self.take(event).passed == event)
    #expect(!Self.take(Array(event.dropLast())).isFault)
    let first = Array("data: 1\n\n".utf8)
    let long = first + Array("data: xyz".utf8) + event.dropFirst(6)
    let fault = Self.take(long)
    #expect(fault.isFault && fault.passed == first)
    #expect(Self.take(long, cutAt: [1000]).isFault)
    // Not yet whole, and already too long.
    #expect(Self.take(Array(long.dropLast())).isFault)
  }

  @Test func whatIsHeldIsBounded() {
    let event = Array(": ".utf8) + [UInt8](repeating: 0x78, count: 60_000) + Array("\n\n".utf8)
    let end = Array(Self.settled.utf8)
    #expect(!Self.take(end + event + event).isFault)
    #expect(Self.take(end + event + event + event + event + event).isFault)
    #expect(!Self.take(event + event + event + event + event + end).isFault)
  }

  // MARK: The beginning

  private static let ping = ": ping\n\n"
  /// With it the usage is told, and all that follows waits.
  private static let settled = finish.replacing("}]}", with: "}],\"usage\":{\"prompt_tokens\":1}}")
  private static let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
  private static let empty = "data: {\"choices\":[]}\n\n"
  private static let part = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
  private static let usageOnly = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"
  private static let error = "data: {\"error\":{\"message\":\"x\"}}\n\n"
  private static let done = "data: [DONE]\n\n"

  /// Takes one event after the other.
  private static func take(
    events: [String], strips: Bool = false, last: Bool = false, times: [UInt64] = []
  )
    -> StreamOutcome
  {
    var cuts: [Int] = []
    for event in events { cuts.append((cuts.last ?? 0) + event.utf8.count) }
    let bytes = Array(events.joined().utf8)
    return StreamTaking.take(bytes, cutAt: cuts.dropLast(), strips: strips, last: last, times: times)
  }

  /// The same however the bytes are cut, at each two places.
  private static func isSame(_ text: String, strips: Bool = false, last: Bool = false) -> Bool {
    let bytes = Array(text.utf8)
    var whole = take(bytes, strips: strips, last: last)
    for first in 0...bytes.count {
      for second in first...bytes.count {
        var cut = take(bytes, cutAt: [first, second], strips: strips, last: last)
        if cut.isRefused, whole.isRefused { (cut.rest, whole.rest) = ([], []) }
        if cut != whole { return false }
      }
    }
    return true
  }

  @Test func anOpeningIsHeld() {
    let opening = [Self.ping, Self.role, "\n", Self.empty, Self.role]
    let open = Self.take(events: opening)
    #expect(open.isOpening && !open.hasPassed && open.openings == 0)
    #expect(open.passed.isEmpty && Self.text(open.held) == opening.joined())
    let answered = Self.take(events: opening + [Self.part])
    #expect(!answered.isOpening && answered.hasPassed && answered.openings == 1)
    #expect(Self.text(answered.passed) == opening.joined() + Self.part && answered.held.isEmpty)
    #expect(Self.isSame(Self.ping + Self.role + Self.part + Self.ping))
    // What is no opening may pass at once.
    #expect(Self.text(Self.take(events: [Self.part]).passed) == Self.part)
    #expect(Self.text(Self.take(events: ["data: nonsense\n\n"]).passed) == "data: nonsense\n\n")
  }

  /// A stream that is over before anything of it passed has nothing to wait for but the settlement.
  @Test func anOpeningThatEndsIsHeldForTheSettlement() {
    for (end, late) in [(Self.done, ""), (Self.settled, Self.ping)] {
      let ended = Self.take(events: [Self.role, end, Self.ping])
      #expect(ended.passed.isEmpty && !ended.hasPassed && !ended.isOpening)
      #expect(Self.text(ended.held) == Self.role + end + late)
    }
    // Too late for another provider: the answer is settled.
    let failed = Self.take(events: [Self.role, Self.settled, Self.error])
    #expect(failed.sawError && !failed.isRefused && Self.text(failed.held) == Self.role + Self.settled + Self.error)
    let over = Self.take(events: [Self.role, Self.done, Self.error])
    #expect(!over.sawError && !over.isRefused && Self.text(over.held) == Self.role + Self.done)
    #expect(Self.isSame(Self.role + Self.done))
  }

  @Test func anErrorBeforeTheAnswerRefuses() {
    for opening in [[], [Self.ping], [Self.role, Self.empty]] {
      let refused = Self.take(events: opening + [Self.error, Self.part])
      #expect(refused.isRefused && refused.sawError && !refused.isFault && refused.passed.isEmpty)
      #expect(Self.text(refused.rest) == Self.error)
      let whole = Self.take(Array((opening + [Self.error, Self.part]).joined().utf8))
      #expect(whole.isRefused && whole.openings == 0 && Self.text(whole.rest) == Self.error + Self.part)
    }
    #expect(Self.isSame(Self.role + Self.error))
    let bare = String(Self.error.dropLast(2))
    #expect(!Self.take(events: [Self.role, bare]).isRefused)
    #expect(Self.take(events: [Self.role, bare], last: true).isRefused)
    #expect(Self.isSame(bare, last: true))
  }

  @Test func anErrorWithinTheAnswerPasses() {
    for said in [Self.part, Self.usageOnly, Self.finish, "data: nonsense\n\n"] {
      let failed = Self.take(events: [Self.role, said, Self.error])
      #expect(!failed.isRefused && failed.sawError && Self.text(failed.passed) == Self.role + said + Self.error)
    }
  }

  /// What is taken out gives the client nothing, but with what was held before it has something.
  @Test func whatIsTakenOutEndsTheOpening() {
    let opened = Self.take(events: [Self.role, Self.usageOnly], strips: true)
    #expect(opened.openings == 1 && opened.hasPassed && Self.text(opened.passed) == Self.role && opened.held.isEmpty)
    let nothing = Self.take(events: [Self.usageOnly], strips: true)
    #expect(!nothing.isOpening && !nothing.hasPassed && nothing.openings == 0)
    #expect(Self.take(events: [Self.usageOnly, Self.error], strips: true).isRefused)
    let later = Self.take(events: [Self.usageOnly, Self.role, Self.part], strips: true)
    #expect(Self.text(later.passed) == Self.role + Self.part && later.openings == 1)
    #expect(Self.isSame(Self.usageOnly + Self.ping + Self.usageOnly, strips: true))
  }

  @Test func theOpeningIsBoundedInBytes() {
    let half = ":" + String(repeating: "x", count: MeteredStream.openingBytesMax / 2 - 3) + "\n\n"
    let less = ":" + String(repeating: "x", count: MeteredStream.openingBytesMax / 2 - 4) + "\n\n"
    #expect(Self.take(events: [half, half]).passed.isEmpty)
    #expect(Self.text(Self.take(events: [half, half, Self.ping]).passed) == half + half + Self.ping)
    #expect(Self.take(events: [half, less, "\n"]).passed.isEmpty)
    #expect(Self.text(Self.take(events: [half, less, "\n", "\n"]).passed) == half + less + "\n\n")
    #expect(Self.take(events: [half, half, Self.error]).isRefused)
    // However the lines end: the second byte of a line end may come later.
    let bytes = Array((half + less + Self.ping + Self.ping).replacing("\n", with: "\r\n").utf8)
    let whole = Self.take(bytes)
    #expect(whole.passed == bytes)
    for cut in stride(from: bytes.count - 40, through: bytes.count, by: 1) {
      #expect(Self.take(bytes, cutAt: [cut]).passed == bytes)
    }
  }

  @Test func theOpeningIsBoundedInTime() {
    let start: UInt64 = 5_000_000
    let most = start + MeteredStream.openingMilliseconds
    let events = [Self.ping, Self.role, Self.ping]
    #expect(Self.take(events: events, times: [start, start, most - 1]).passed.isEmpty)
    let late = Self.take(events: events, times: [start, start, most])
    #expect(Self.text(late.passed) == events.joined() && late.openings == 1)
    // From the first whole event on.
    #expect(Self.take(events: [": pi", "ng\n\n", Self.role], times: [start, start + 1, most]).passed.isEmpty)
    let refused = Self.take(events: [Self.role, Self.error], times: [start, most])
    #expect(refused.isRefused && refused.passed.isEmpty)
  }

  /// What opens a stream does not count against what may be held behind it.
  @Test func whatOpenedIsHeldNoLonger() {
    let long = ":" + String(repeating: "x", count: 200_000) + "\n\n"
    let held = Self.take(events: [long, Self.part, Self.settled, long])
    #expect(!held.isFault && Self.text(held.passed) == long + Self.part)
    #expect(Self.take(events: [long, Self.settled, long]).isFault)
    #expect(Self.take(events: [long, Self.part, Self.settled, long, long]).isFault)
  }

  @Test func isPlain() {
    #expect(_isPOD(MeteredStream.self))
    #expect(_isPOD(MeteredPiece.self))
  }
}
