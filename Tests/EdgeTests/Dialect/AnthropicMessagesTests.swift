import Testing

@testable import Edge

@Suite struct AnthropicMessagesTests {
  private static func event(_ data: String) -> ModelEvent {
    let area = ByteArea(Array(data.utf8))
    return Dialect.readEvent(
      .anthropicMessages, UnsafeBufferPointer(start: area.base, count: area.count), JSONDocument(capacity: 1))
  }

  private static func answer(_ text: String) -> ModelEvent {
    let area = ByteArea(Array(text.utf8))
    return Dialect.readAnswer(.anthropicMessages, area.base, area.count, JSONDocument(capacity: 1))
  }

  private static func start(_ usage: String) -> ModelEvent {
    event("{\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":\(usage)}}")
  }

  private static func delta(_ usage: String) -> ModelEvent {
    event("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":\(usage)}")
  }

  private static func usage(
    _ input: Int64, _ output: Int64, cached: Int64 = 0, written: Int64 = 0, reasoning: Int64 = 0
  ) -> Usage {
    Usage(
      source: .reported, inputTokens: input, cachedTokens: cached, cacheWriteTokens: written, outputTokens: output,
      reasoningTokens: reasoning)
  }

  // MARK: events

  static let unknown = [
    "", "x", "{", "[]", "7", "null", "\"ping\"", "{}", "{\"type\":7}", "{\"type\":null}", "{\"type\":\"Ping\"}",
    "{\"type\":\"message_stop\",\"type\":\"ping\"}", "{\"type\":\"content_block_stop\",\"index\":0}",
    "{\"type\":\"content_block_start\"}", "{\"type\":\"content_block_start\",\"content_block\":[]}",
    "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"image\"}}",
    "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}",
    "{\"type\":\"content_block_delta\"}", "{\"type\":\"content_block_delta\",\"delta\":7}",
    "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":7}}",
    "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\",\"text\":\"b\"}}",
    "{\"type\":\"message_start\"}", "{\"type\":\"message_start\",\"message\":{},\"message\":{}}", "{\"error\":null}",
    "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "[DONE]", "\u{feff}{\"type\":\"ping\"}",
  ]

  @Test(arguments: unknown) func whatIsUnknownIsAPart(_ data: String) { #expect(Self.event(data) == ModelEvent()) }

  @Test func openings() {
    #expect(Self.event("{\"type\":\"ping\"}").isOpening)
    #expect(Self.event("{\"t\\u0079pe\":\"pin\\u0067\"}").isOpening)
    #expect(Self.start("{\"input_tokens\":1}").isOpening)
    #expect(Self.event("{\"type\":\"message_start\",\"message\":{}}").isOpening)
    #expect(
      !Self.event("{\"type\":\"message_start\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}}")
        .isOpening)
    let block = "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
    #expect(Self.event("\(block)\"text\",\"text\":\"\"}}").isOpening)
    #expect(Self.event("\(block)\"text\"}}").isOpening)
    let begun = Self.event("\(block)\"text\",\"text\":\"ab\"}}")
    #expect(!begun.isOpening && begun.contentBytes == 2)
    let call = Self.event("\(block)\"tool_use\",\"name\":\"look\",\"input\":{}}}")
    #expect(!call.isOpening && call.contentBytes == 4)
    #expect(Self.event("\(block)\"tool_use\",\"name\":\"look\",\"input\":{\"a\":1}}}").contentBytes == 11)
  }

  @Test func content() {
    func bytes(_ delta: String) -> Int64 {
      Self.event("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\(delta)}}").contentBytes
    }
    #expect(bytes("\"text_delta\",\"text\":\"h\\u00e9\\n\"") == 4)
    #expect(bytes("\"thinking_delta\",\"thinking\":\"hmm\"") == 3)
    #expect(bytes("\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"") == 4)
    // What was thought and is not shown.
    #expect(bytes("\"signature_delta\",\"signature\":\"abc\"") == 3)
    let block = "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
    #expect(Self.event("\(block)\"redacted_thinking\",\"data\":\"abcd\"}}").contentBytes == 4)
  }

  @Test func ends() {
    #expect(Self.event("{\"type\":\"message_stop\"}").kind == .end)
    #expect(Self.event("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}").kind == .error)
    #expect(Self.event("{\"type\":\"error\"}").kind == .error)
    #expect(Self.event("{\"error\":{\"message\":\"x\"}}").kind == .error)
    #expect(Self.delta("{}").finishes)
    #expect(!Self.event("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null}}").finishes)
  }

  static let reported: [(String, ErrorCode)] = [
    ("rate_limit_error", .rateLimitExceeded), ("invalid_request_error", .invalidRequest),
    ("request_too_large", .messageTooLarge), ("not_found_error", .modelNotFound), ("api_error", .providerError),
    ("authentication_error", .providerError),
  ]

  @Test(arguments: reported) func whichErrorItIs(_ type: String, _ code: ErrorCode) {
    #expect(Self.event("{\"type\":\"error\",\"error\":{\"type\":\"\(type)\"}}").errorCode == code)
  }

  // MARK: usage

  @Test func howFarAUsageReaches() {
    let first = Self.start("{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":1}")
    #expect(first.usage == Self.usage(15, 1, cached: 5) && first.usageReach == .input)
    let old = Self.delta("{\"output_tokens\":7}")
    #expect(old.usage == Self.usage(0, 7) && old.usageReach == .output)
    let null = Self.delta("{\"input_tokens\":null,\"output_tokens\":7}")
    #expect(null.usage == Self.usage(0, 7) && null.usageReach == .output)
    let new = Self.delta(
      "{\"input_tokens\":10,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":5,\"output_tokens\":7}")
    #expect(new.usage == Self.usage(18, 7, cached: 5, written: 3) && new.usageReach == .whole)
    let zero = Self.delta("{\"input_tokens\":0,\"output_tokens\":0}")
    #expect(zero.usage == Self.usage(0, 0) && zero.usageReach == .whole)
    let input = Self.delta("{\"input_tokens\":10,\"output_tokens\":null}")
    #expect(input.usage == Self.usage(10, 0) && input.usageReach == .input)
    #expect(Self.start("{\"output_tokens\":1}").usage == Usage(), "of what comes out that is only the beginning")
  }

  static let unreported = [
    "{}", "null", "7", "[]", "{\"input_tokens\":null}", "{\"cache_read_input_tokens\":5}",
    "{\"input_tokens\":-1,\"output_tokens\":2}", "{\"input_tokens\":1,\"output_tokens\":2.5}",
    "{\"input_tokens\":\"1\",\"output_tokens\":2}", "{\"input_tokens\":1,\"input_tokens\":2,\"output_tokens\":2}",
    "{\"input_tokens\":99999999999999999999}", "{\"input_tokens\":1,\"cache_read_input_tokens\":-1}",
    "{\"input_tokens\":1,\"cache_creation_input_tokens\":1.5}",
    "{\"input_tokens\":9223372036854775807,\"cache_read_input_tokens\":1,\"output_tokens\":1}",
    "{\"input_tokens\":1,\"cache_read_input_tokens\":9223372036854775806,\"cache_creation_input_tokens\":1}",
  ]

  @Test(arguments: unreported) func nonsenseIsNotReported(_ text: String) {
    #expect(Self.start(text).usage == Usage())
    #expect(Self.delta(text).usage == Usage())
  }

  @Test func thinkingIsWithinTheOutput() {
    let details = "\"output_tokens_details\":"
    #expect(
      Self.delta("{\"input_tokens\":1,\"output_tokens\":5,\(details){\"thinking_tokens\":9}}").usage
        == Self.usage(1, 5, reasoning: 5))
    for odd in ["null", "7", "{\"thinking_tokens\":-1}", "{\"thinking_tokens\":1,\"thinking_tokens\":1}"] {
      #expect(Self.delta("{\"input_tokens\":1,\"output_tokens\":5,\(details)\(odd)}").usage == Self.usage(1, 5))
    }
  }

  // MARK: answers

  @Test func answersWithoutUsage() {
    let event = Self.answer("{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"abc\"}],\"usage\":null}")
    #expect(event.kind == .part && event.finishes && event.contentBytes == 3 && event.usage == Usage())
    #expect(Self.answer("{\"content\":[7,null,{\"type\":7}]}").kind == .part)
  }

  @Test(arguments: [
    "", "<html>", "[]", "{}", "7", "{\"content\":7}", "{\"content\":\"a\"}", "{\"content\":[", "{\"type\":\"error\"}",
    "{\"type\":\"error\",\"content\":[]}", "{\"error\":{\"message\":\"x\"},\"content\":[]}",
    "{\"content\":[],\"content\":[]}",
  ])
  func whatIsNoAnswer(_ text: String) { #expect(Self.answer(text).kind == .error) }

  @Test func anAnswerTooLargeToRead() {
    let text = "{\"content\":[" + String(repeating: "1,", count: ModelLimits.answerNodesMax) + "1]}"
    let event = Self.answer(text)
    #expect(event.kind == .part && event.contentBytes == Int64(text.utf8.count) && event.usage == Usage())
    let parts = ModelParts()
    let area = ByteArea(Array(text.utf8))
    Dialect.readParts(.anthropicMessages, answer: area.base, area.count, JSONDocument(), into: parts)
    #expect(parts.parts.isEmpty)
  }

  @Test func deepNesting() {
    let deep = String(repeating: "[", count: 99) + String(repeating: "]", count: 99)
    #expect(Self.event("{\"type\":\"ping\",\"x\":\(deep)}").isOpening)
    #expect(Self.event("{\"type\":\"ping\",\"x\":[\(deep)]}") == ModelEvent())
    let answer = "{\"content\":[[\(deep)]]}"
    #expect(Self.answer(answer).contentBytes == Int64(answer.utf8.count))
  }

  // MARK: parts of hostile events

  /// What an event says about parts, when the document has read another one before.
  private static func parts(_ data: String) -> [String] {
    let document = JSONDocument(capacity: 1)
    let before = ByteArea(Array("{\"type\":\"ping\"}".utf8))
    _ = Dialect.readEvent(
      .anthropicMessages, UnsafeBufferPointer(start: before.base, count: before.count), document)
    let area = ByteArea(Array(data.utf8))
    let bytes =
      data.isEmpty
      ? UnsafeBufferPointer<UInt8>(start: nil, count: 0) : UnsafeBufferPointer(start: area.base, count: area.count)
    let parts = ModelParts()
    let event = Dialect.readEvent(.anthropicMessages, bytes, document)
    Dialect.readParts(.anthropicMessages, of: event, document, into: parts)
    return parts.parts.map { AnthropicTranscripts.text($0) }
  }

  @Test(arguments: unknown) func whatIsUnknownHasFewParts(_ data: String) {
    // A text that is none is the answer's all the same: without it another dialect says something else.
    let odd = data.contains("text_delta") ? ["unsayable"] : []
    #expect(Self.parts(data) == (data.hasPrefix("{\"type\":\"message_start\"") ? ["start"] : odd))
  }

  @Test func partsOfOddEvents() {
    #expect(
      Self.parts(
        "{\"type\":\"content_block_start\",\"index\":99999999999,\"content_block\":{\"type\":\"tool_use\",\"id\":7,"
          + "\"name\":null,\"input\":\"{}\"}}") == ["toolCall #2147483647 \"{}\""])
    #expect(
      Self.parts("{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"input\":[1]}}")
        == ["unsayable"])
    #expect(
      Self.parts(
        "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\","
          + "\"name\":\"b\",\"input\":{\"c\":1}}}") == ["toolCall #1 id=\"a\" name=\"b\" {\"c\":1}"])
    #expect(
      Self.parts(
        "{\"type\":\"content_block_delta\",\"index\":\"x\",\"delta\":{\"type\":\"input_json_delta\","
          + "\"partial_json\":\"{\"}}") == ["arguments #0 \"{\""])
    #expect(
      Self.parts("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"later\"},\"usage\":{\"output_tokens\":1}}")
        == ["finish stop", "usage"])
    #expect(Self.parts("{\"type\":\"error\",\"error\":7}") == ["error providerError"])
    #expect(
      Self.parts("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"our key\"}}")
        == ["error providerError"])
  }

  // MARK: errors

  private static func error(
    _ code: ErrorCode, _ message: StaticString, _ details: StaticString?, _ id: StaticString
  ) -> String {
    written { writer in
      Dialect.appendError(
        .anthropicMessages, code.row, message: StaticBytes(message), details: details.map { StaticBytes($0) },
        requestID: StaticBytes(id), to: &writer)
    }.text
  }

  @Test func errors() {
    #expect(
      Self.error(.modelNotFound, "No \"x\".", nil, "01A")
        == "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"No \\\"x\\\".\"},"
        + "\"request_id\":\"01A\"}")
    #expect(
      Self.error(.insufficientCredits, "", "{\"required\":1.5}", "")
        == "{\"type\":\"error\",\"error\":{\"type\":\"billing_error\","
        + "\"message\":\"The balance does not cover this request; add credits.\",\"details\":{\"required\":1.5}}}")
    let fault = DialectFault(param: "max_tokens", message: "Say how many.")
    #expect(
      written { Dialect.appendError(.anthropicMessages, fault, requestID: StaticBytes("01A"), to: &$0) }.text
        == "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
        + "\"message\":\"max_tokens: Say how many.\"},\"request_id\":\"01A\"}")
  }

  @Test func whatAProviderSaysAboutItsError() {
    func said(_ text: String) -> String {
      let area = ByteArea(Array(text.utf8))
      return AnthropicTranscripts.text(
        Dialect.readError(.anthropicMessages, area.base, area.count, JSONDocument(capacity: 1)))
    }
    #expect(said("{\"type\":\"error\",\"error\":{\"message\":\"too \\\"long\\\"\"}}") == "\"too \\\"long\\\"\"")
    for text in [
      "", "<html>", "[]", "{\"error\":\"x\"}", "{\"error\":{\"message\":7}}", "{\"error\":{\"message\":\"\"}}",
    ] {
      #expect(said(text) == "-")
    }
  }

  @Test func whereAndHowProvidersAreAsked() {
    #expect(Dialect.path(.anthropicMessages).description == "/messages")
    #expect(Dialect.keyField(.anthropicMessages).name.description == "x-api-key")
    #expect(Dialect.keyField(.anthropicMessages).prefix.description.isEmpty)
    #expect(Dialect.versionLine(.anthropicMessages)?.line.description == "anthropic-version: 2023-06-01\r\n")
    #expect(Dialect.requestIDField(.anthropicMessages)?.description == "request-id")
  }
}
