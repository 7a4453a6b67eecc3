import Foundation
import Testing

@testable import Edge

/// A transcript of any dialect.
struct StreamSample: Sendable, CustomTestStringConvertible {
  var dialect: DialectName
  var name: String
  var bytes: [UInt8]
  var testDescription: String { name }

  static let folders: [(DialectName, String)] = [
    (.openAIChat, "openai-chat"), (.anthropicMessages, "anthropic-messages"),
  ]

  static let all: [StreamSample] = folders.flatMap { dialect, name in
    let folder = Fixture.repository + "/Tests/Golden/" + name
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasSuffix(".sse") }.sorted().map { file in
      let bytes = FileManager.default.contents(atPath: "\(folder)/\(file)") ?? Data()
      return StreamSample(dialect: dialect, name: "\(name)/\(file)", bytes: Array(bytes))
    }
  }
}

/// What the client gets, when, and what is known in the end.
struct StreamOutcome: Equatable {
  var passed: [UInt8] = []
  var held: [UInt8] = []
  var rest: [UInt8] = []
  var usage = Usage()
  var usageIsOpen = false
  var contentBytes: Int64 = 0
  var sawEnd = false
  var sawError = false
  var isOpening = true
  var hasPassed = false
  var isFault = false
  var isRefused = false
  /// In how many pieces the answer of the client began.
  var openings = 0
  /// What is kept for the end, and why the model has stopped.
  var kept: [UInt8] = []
  var reason: FinishReason?

  var all: [UInt8] { passed + held + rest }

  mutating func note(_ stream: MeteredStream) {
    (usage, usageIsOpen, contentBytes) = (stream.usage, stream.usageIsOpen, stream.contentBytes)
    (sawEnd, sawError) = (stream.sawEnd, stream.sawError)
    (isOpening, hasPassed) = (stream.isOpening, stream.hasPassed)
    reason = stream.finishReason
  }

  /// Does with a piece what the relay does; false when the answer is over with it.
  mutating func take(_ piece: MeteredPiece, _ output: ByteArea, at start: Int) -> Bool {
    if piece.isRefused {
      if piece.opens || piece.passCount > 0 || !passed.isEmpty { Issue.record("refused behind what has passed") }
      held = []
      isRefused = true
      return false
    }
    if piece.opens {
      if !passed.isEmpty { Issue.record("opens twice") }
      openings += 1
      passed = held
      held = []
    }
    if piece.passCount > 0, !held.isEmpty { Issue.record("passes behind what is held") }
    let behind = start + piece.passCount
    passed += output.slice(start..<behind)
    held += output.slice(behind..<behind + piece.heldCount)
    if piece.isFault { isFault = true }
    return !isFault
  }
}

/// A relay that takes a stream in pieces.
enum StreamTaking {
  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  static func usage(
    _ input: Int64, _ output: Int64, cached: Int64 = 0, written: Int64 = 0, reasoning: Int64 = 0
  ) -> Usage {
    Usage(
      source: .reported, inputTokens: input, cachedTokens: cached, cacheWriteTokens: written, outputTokens: output,
      reasoningTokens: reasoning)
  }

  /// Takes a stream in pieces that end at these places, the first at the first of these times.
  static func take(
    _ bytes: [UInt8], cutAt cuts: [Int] = [], dialect: DialectName = .openAIChat, strips: Bool = false,
    last: Bool = false, times: [UInt64] = [], choices: Int64 = 1
  ) -> StreamOutcome {
    var outcome = StreamOutcome()
    var stream = MeteredStream(choices: choices)
    let document = JSONDocument()
    var start = 0
    let ends = cuts + [bytes.count]
    for (step, end) in ends.enumerated() {
      let area = ByteArea(outcome.rest + bytes[start..<end])
      start = end
      let piece = stream.take(
        area.base, area.count, dialect: dialect, stripsUsage: strips, isLast: last && step == ends.count - 1,
        now: step < times.count ? times[step] : times.last ?? 0, document)
      outcome.rest = area.slice(area.count - piece.restCount..<area.count)
      if !outcome.take(piece, area, at: 0) { break }
    }
    outcome.note(stream)
    return outcome
  }

  static let model = StaticBytes("demo-model")

  static func identity(asksUsage: Bool) -> AnswerIdentity {
    AnswerIdentity(
      attempt: ULID(high: 1, low: 2), model: model, created: 1_700_000_000, message: StaticBytes("req-123"),
      asksUsage: asksUsage, inputTokens: 55)
  }

  static func other(_ dialect: DialectName) -> DialectName {
    switch dialect {
    case .openAIChat: .anthropicMessages
    case .anthropicMessages, .platformV1: .openAIChat
    }
  }

  /// The same for a client of the other dialect, or of the one that is given, whose writer has so much room behind a
  /// few bytes that are not its own.
  static func translate(
    _ bytes: [UInt8], cutAt cuts: [Int] = [], from: DialectName, to: DialectName? = nil, asksUsage: Bool = true,
    last: Bool = true, room: Int = 1 << 16
  ) -> StreamOutcome {
    var outcome = StreamOutcome()
    var stream = MeteredStream()
    let document = JSONDocument()
    let parts = ModelParts()
    let output = ByteArea([], tail: room + 3)
    var start = 0
    let ends = cuts + [bytes.count]
    for (step, end) in ends.enumerated() {
      var area = ByteArea(outcome.rest + bytes[start..<end])
      start = end
      var goesOn = true
      while goesOn {
        var writer = ByteWriter(base: output.base, capacity: room + 3)
        writer.append("abc")
        let piece = stream.translate(
          area.base, area.count, from: from, to: to ?? other(from), identity: identity(asksUsage: asksUsage),
          isLast: last && step == ends.count - 1, now: 0, document, parts, to: &writer)
        if writer.overflowed || !piece.isRefused && writer.count != 3 + piece.passCount + piece.heldCount {
          Issue.record("the writer holds something else")
        }
        outcome.kept += parts.kept
        outcome.rest = area.slice(area.count - piece.restCount..<area.count)
        goesOn = outcome.take(piece, output, at: 3) && piece.isFull
        if goesOn { area = ByteArea(outcome.rest) }
        if goesOn, piece.passCount + piece.heldCount == 0 {
          // One event needs more room than there is.
          outcome.isFault = true
          goesOn = false
        }
      }
      if outcome.isFault || outcome.isRefused { break }
    }
    outcome.note(stream)
    return outcome
  }
}
