import Foundation
import Testing

@testable import Edge

/// The messages with which answers end, and errors.
@Suite struct PlatformV1AnswerTests {
  private static func written(_ parts: [ModelPart]) -> String? {
    let all = ModelParts()
    for part in parts { all.add(part) }
    return Speaking.written(.platformV1, answer: all, Usage(), Platform.identity)
  }

  private static func reason(_ parts: [ModelPart]) -> FinishReason {
    let all = ModelParts()
    for part in parts { all.add(part) }
    return PlatformV1.finishReason(all)
  }

  // MARK: whole answers

  @Test func contents() {
    #expect(Self.written([ModelPart(.start)]) == "{\"data\":\"\"}")
    #expect(Self.written([Platform.said(.text, "a"), Platform.said(.text, "\\n")]) == "{\"data\":\"a\\n\"}")
    #expect(Self.written([Platform.said(.refusal, "No.")]) == "{\"data\":\"No.\"}")
    #expect(
      Self.written([Platform.said(.reasoning, "h"), Platform.said(.text, "a"), Platform.said(.reasoning, "m")])
        == "{\"data\":\"a\",\"reasoning\":\"hm\"}")
    #expect(Self.written([Platform.said(.text, "a"), ModelPart(.error)]) == nil)
  }

  @Test func calls() {
    var object = Platform.call(1, "c1", "g")
    let text = ByteArea(Array("{\"x\":\"\\n\"}".utf8))
    object.text = ModelText(form: .value, bytes: StaticBytes(start: text.base, count: text.count))
    let written = Self.written([Platform.call(0, "c0", "f"), object])
    #expect(
      written == """
        {"data":"","toolCalls":[{"id":"c0","type":"function","function":{"name":"f","arguments":"{}"}},\
        {"id":"c1","type":"function","function":{"name":"g","arguments":"{\\"x\\":\\"\\\\n\\"}"}}]}
        """)
  }

  @Test func reasons() {
    #expect(Self.reason([Platform.said(.text, "a")]) == .stop)
    #expect(Self.reason([Platform.call(0, "c", "f")]) == .toolCalls)
    #expect(Self.reason([Platform.said(.text, "a"), Platform.finish(.length)]) == .length)
    #expect(Self.reason([Platform.said(.refusal, "No."), Platform.finish(.stop)]) == .contentFilter)
    #expect(Self.reason([Platform.said(.refusal, ""), Platform.finish(.stop)]) == .stop)
  }

  // MARK: the end

  private static let usage = Usage(source: .reported, inputTokens: 10, outputTokens: 15)

  @Test func theEndOfAStream() {
    #expect(
      Platform.done(Platform.outcome(Self.usage, reason: .stop)) == """
        {"id":"req-123","type":"done","usage":{"promptTokens":10,"completionTokens":15,"totalTokens":25,\
        "credits":0.0123},"metadata":{"model":"the-model","provider":"openai","latency":421,\
        "requestId":"01K0REQUEST","finishReason":"stop"},"timestamp":"2025-10-03T16:00:00.042Z"}
        """)
  }

  @Test func whatIsToldOnlyWhereItIs() throws {
    var usage = Usage(source: .estimated, inputTokens: 10, cachedTokens: 4, outputTokens: 15, reasoningTokens: 3)
    var outcome = Platform.outcome(usage, reason: nil)
    outcome.isDemo = true
    outcome.model = StaticBytes("a\"b")
    let message = try #require(Platform.object(Platform.done(outcome, type: "completion")))
    let told = try #require(message["usage"] as? [String: Any])
    #expect(message["type"] as? String == "completion" && message["data"] == nil && message["toolCalls"] == nil)
    #expect(told["cachedTokens"] as? Int == 4 && told["reasoningTokens"] as? Int == 3)
    #expect(told["estimated"] as? Bool == true)
    let metadata = try #require(message["metadata"] as? [String: Any])
    #expect(metadata["demo"] as? Bool == true && metadata["finishReason"] == nil)
    #expect(metadata["model"] as? String == "a\"b")
    // Sums stay whole numbers, and amounts plain ones.
    usage = Usage(source: .reported, inputTokens: .max, outputTokens: 1)
    outcome = Platform.outcome(usage, reason: .pause)
    outcome.credits = Amount(units: 1)
    let text = Platform.done(outcome)
    #expect(text.contains("\"totalTokens\":9223372036854775807,\"credits\":0.000000001}"))
    #expect(text.contains("\"finishReason\":\"stop\""))
  }

  @Test func everyReasonHasItsName() {
    let names: [(FinishReason, String)] = [
      (.stop, "stop"), (.length, "length"), (.toolCalls, "tool_calls"), (.contentFilter, "content_filter"),
    ]
    for (reason, name) in names {
      #expect(Platform.done(Platform.outcome(Self.usage, reason: reason)).contains("\"finishReason\":\"\(name)\""))
    }
  }

  /// The answers that stand in the first descriptions of the protocol: every field is there, with what it said.
  @Test func answersOfTheSeeds() throws {
    let data = "{\"data\":\"Hello! I'm doing well, thank you for asking.\"}"
    let message = try #require(
      Platform.object(Platform.done(Platform.outcome(Self.usage, reason: .stop), content: data)))
    #expect(message["id"] as? String == "req-123" && message["type"] as? String == "done")
    #expect(message["data"] as? String == "Hello! I'm doing well, thank you for asking.")
    let usage = try #require(message["usage"] as? [String: Any])
    #expect(usage["promptTokens"] as? Int == 10 && usage["completionTokens"] as? Int == 15)
    #expect(usage["totalTokens"] as? Int == 25 && usage["credits"] as? Double == 0.0123)
    let metadata = try #require(message["metadata"] as? [String: Any])
    #expect(metadata["model"] is String && metadata["provider"] is String && metadata["latency"] is Int)
    #expect((message["timestamp"] as? String)?.count == "2025-10-03T16:00:00.000Z".count)
  }

  // MARK: errors

  private static func text(_ error: PlatformError) -> String {
    Platform.text { PlatformV1.appendError(error, to: &$0) }
  }

  @Test func errors() {
    let wall: UInt64 = 1_759_507_200_000_000_000
    var error = PlatformError(id: StaticBytes("req-123"), row: ErrorCode.insufficientCredits.row, wall: wall)
    error.message = StaticBytes("Insufficient credits for this request")
    #expect(
      Self.text(error) == """
        {"id":"req-123","type":"error","error":{"code":"INSUFFICIENT_CREDITS",\
        "message":"Insufficient credits for this request"},"timestamp":"2025-10-03T16:00:00.000Z"}
        """)
    error.requestID = StaticBytes("01K0REQUEST")
    error.retryAfterSeconds = 7
    error.details = StaticBytes("{\"id\":[1,\"x\"]}")
    error.charged = Platform.outcome(Self.usage, reason: nil)
    error.id = nil
    #expect(
      Self.text(error) == """
        {"id":null,"type":"error","error":{"code":"INSUFFICIENT_CREDITS",\
        "message":"Insufficient credits for this request","requestId":"01K0REQUEST","retryAfter":7,\
        "details":{"id":[1,"x"]}},"usage":{"promptTokens":10,"completionTokens":15,"totalTokens":25,\
        "credits":0.0123},"timestamp":"2025-10-03T16:00:00.000Z"}
        """)
  }

  @Test func everyRow() throws {
    for code in ErrorCode.allCases {
      let message = try #require(Platform.object(Self.text(PlatformError(row: code.row))))
      let error = try #require(message["error"] as? [String: Any])
      #expect(message["id"] is NSNull && message["type"] as? String == "error" && message["timestamp"] == nil)
      #expect(error["code"] as? String == code.row.name.description)
      #expect(error["message"] as? String == code.row.message.description && error.count == 2)
    }
  }

  /// Whatever bytes a message has, the error is JSON.
  @Test func anyMessage() throws {
    for first in UInt8.min...UInt8.max {
      for bytes in [[first], [first, 0x80], [0x61, first, 0x22], [first, first, first, first]] {
        let area = ByteArea(bytes)
        var error = PlatformError(row: ErrorCode.policyError.row)
        error.message = StaticBytes(start: area.base, count: area.count)
        #expect(Speaking.isJSON(Self.text(error)), "\(bytes)")
      }
    }
  }

  /// The table of dialects says the same, with what it knows.
  @Test func byTheTable() {
    let row = ErrorCode.forbidden.row
    let error = Platform.text { writer in
      Dialect.appendError(
        .platformV1, row, message: StaticBytes("No."), details: StaticBytes("{}"), requestID: StaticBytes("r"),
        to: &writer)
    }
    #expect(
      error == """
        {"id":null,"type":"error","error":{"code":"FORBIDDEN","message":"No.","requestId":"r","details":{}}}
        """)
    let fault = DialectFault(param: "stop", message: "This must be a string.")
    let refused = Platform.text { Dialect.appendError(.platformV1, fault, requestID: .empty, to: &$0) }
    #expect(
      refused == """
        {"id":null,"type":"error","error":{"code":"INVALID_REQUEST","message":"stop: This must be a string."}}
        """)
  }

  /// Everything fits, or the writer tells.
  @Test func tooLittleRoom() {
    let outcome = Platform.outcome(Self.usage, reason: .stop)
    let whole = Platform.done(outcome).utf8.count
    for room in 0...whole {
      let page = ByteArea([], tail: whole)
      var writer = ByteWriter(base: page.base, capacity: room)
      PlatformV1.appendDoneStart(outcome, type: StaticBytes("done"), to: &writer)
      PlatformV1.appendDoneEnd(outcome, to: &writer)
      #expect(writer.overflowed == (room < whole))
    }
  }
}
