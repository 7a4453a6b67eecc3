import Foundation
import Testing

@testable import Edge

@Suite struct MeteredStreamTests {
  /// What the client gets, when, and what is known in the end.
  struct Outcome: Equatable {
    var passed: [UInt8] = []
    var held: [UInt8] = []
    var rest: [UInt8] = []
    var usage = Usage()
    var contentBytes: Int64 = 0
    var sawEnd = false
    var sawError = false
    var isFault = false

    var all: [UInt8] { passed + held + rest }
  }

  /// Takes a stream in pieces that end at these places.
  static func take(_ bytes: [UInt8], cutAt cuts: [Int] = [], strips: Bool = false, last: Bool = false) -> Outcome {
    var outcome = Outcome()
    var stream = MeteredStream()
    let document = JSONDocument()
    var start = 0
    let ends = cuts + [bytes.count]
    for (step, end) in ends.enumerated() {
      let area = ByteArea(outcome.rest + bytes[start..<end])
      start = end
      let piece =
        last && step == ends.count - 1
        ? stream.takeLast(area.base, area.count, dialect: .openAIChat, stripsUsage: strips, document)
        : stream.take(area.base, area.count, dialect: .openAIChat, stripsUsage: strips, document)
      let held = piece.passCount + piece.heldCount
      if piece.passCount > 0, !outcome.held.isEmpty { Issue.record("passes behind what is held") }
      outcome.passed += area.slice(0..<piece.passCount)
      outcome.held += area.slice(piece.passCount..<held)
      outcome.rest = area.slice(held..<held + piece.restCount)
      if piece.isFault { outcome.isFault = true }
    }
    outcome.usage = stream.usage
    outcome.contentBytes = stream.contentBytes
    (outcome.sawEnd, outcome.sawError) = (stream.sawEnd, stream.sawError)
    return outcome
  }

  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  static func usage(
    _ input: Int64, _ output: Int64, cached: Int64 = 0, written: Int64 = 0, reasoning: Int64 = 0
  ) -> Usage {
    Usage(
      source: .reported, inputTokens: input, cachedTokens: cached, cacheWriteTokens: written, outputTokens: output,
      reasoningTokens: reasoning)
  }

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
    Expected(name: "tool-no-arguments.sse", contentBytes: 8),
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

  @Test func onceHeldEverythingIsHeld() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"
    let more = ": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
    let bytes = Array((more + Self.finish + usage + more + "data: [DONE]\n\n" + more + "data: {").utf8)
    let kept = Self.take(bytes)
    #expect(Self.text(kept.passed) == more + Self.finish)
    #expect(Self.text(kept.held) == usage + more + "data: [DONE]\n\n" + more)
    #expect(Self.text(kept.rest) == "data: {")
    let stripped = Self.take(bytes, strips: true)
    #expect(Self.text(stripped.held) == more + "data: [DONE]\n\n" + more)
    #expect(stripped.rest == kept.rest)
    for cut in 0...bytes.count { #expect(Self.take(bytes, cutAt: [cut], strips: true) == stripped) }
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
    let end = Array("data: [DONE]\n\n".utf8)
    #expect(!Self.take(end + event + event).isFault)
    #expect(Self.take(end + event + event + event + event + event).isFault)
    #expect(!Self.take(event + event + event + event + event + end).isFault)
  }

  @Test func isPlain() {
    #expect(_isPOD(MeteredStream.self))
    #expect(_isPOD(MeteredPiece.self))
  }
}
