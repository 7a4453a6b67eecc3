import Testing

@testable import Edge

@Suite struct OpenAIChatTests {
  private static func event(_ data: String) -> ModelEvent {
    let area = ByteArea(Array(data.utf8))
    return Dialect.readEvent(
      .openAIChat, UnsafeBufferPointer(start: area.base, count: area.count), JSONDocument(capacity: 1))
  }

  private static func answer(_ text: String) -> ModelEvent {
    let area = ByteArea(Array(text.utf8))
    return Dialect.readAnswer(.openAIChat, area.base, area.count, JSONDocument(capacity: 1))
  }

  private static func usage(_ text: String) -> Usage { event("{\"choices\":[],\"usage\":\(text)}").usage }

  // MARK: events

  @Test func kinds() throws {
    func kinds(_ name: String) throws -> [ModelEvent.Kind] { try Transcripts.data(name).map { Self.event($0).kind } }
    #expect(try kinds("text.sse") == [ModelEvent.Kind](repeating: .part, count: 11) + [.end])
    #expect(try kinds("text-usage.sse").suffix(3) == [.part, .usageOnly, .end])
    #expect(try kinds("error.sse") == [.part, .part, .error])
    #expect(try kinds("azure.sse") == [.part, .part, .part, .part, .part, .usageOnly, .end])
    #expect(try kinds("usage-running.sse") == [.part, .part, .part, .part, .end])
  }

  @Test func content() throws {
    func bytes(_ name: String) throws -> [Int64] { try Transcripts.data(name).map { Self.event($0).contentBytes } }
    #expect(try bytes("text.sse") == [0, 5, 1, 4, 4, 2, 5, 4, 6, 1, 0, 0])
    #expect(try bytes("tool-no-arguments.sse") == [0, 4, 4, 0, 0, 0])
    #expect(try bytes("refusal.sse").reduce(0, +) == 44)
    // 用户说, and 你好 with a line feed: what the escapes stand for.
    #expect(try bytes("reasoning.sse") == [0, 9, 7, 0, 0])
    #expect(
      Self.event("{\"choices\":[{\"delta\":{\"content\":7,\"role\":\"assistant\",\"reasoning\":\"abc\"}}]}")
        .contentBytes == 3)
    #expect(
      Self.event("{\"choices\":[{\"delta\":{\"content\":\"ab\"}},{\"delta\":{\"content\":\"c\"}}]}").contentBytes == 3)
  }

  @Test func finishes() throws {
    let finishes = try Transcripts.data("text.sse").map { Self.event($0).finishes }
    #expect(finishes == [Bool](repeating: false, count: 10) + [true, false])
    let some = "{\"finish_reason\":\"stop\"},{\"finish_reason\":null},{\"finish_reason\":\"length\"}"
    #expect(Self.event("{\"choices\":[\(some),{\"finish_reason\":\"\"},{\"finish_reason\":7}]}").choicesFinished == 2)
  }

  static let unknown = [
    "", "x", "{", "[]", "7", "null", "\"[DONE]\"", "{}", "{\"choices\":7}",
    "{\"choices\":[7,null]}",
    "{\"choices\":{},\"usage\":{}}", "{\"usage\":{\"x\":1}}", "{\"choices\":[],\"choices\":[],\"usage\":{}}",
    "{\"error\":null}",
    "{\"choices\":[{\"delta\":[]}]}",
    "{\"choices\":[{\"delta\":{\"tool_calls\":[7,{\"function\":[]}]}}]}",
    "\u{feff}{}", "[DON",
  ]

  @Test(arguments: unknown) func whatIsUnknownIsAPart(_ data: String) { #expect(Self.event(data) == ModelEvent()) }

  static let openings: [(String, Bool)] = [
    ("{\"choices\":[]}", true), ("{\"choices\":[],\"usage\":null}", true), ("{\"choices\":[],\"usage\":7}", true),
    ("{\"choices\":[],\"usage\":{}}", false), ("{\"choices\":[{\"delta\":{}}]}", true),
    ("{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}}]}", true),
    ("{\"choices\":[{\"delta\":{\"role\":\"assistant\"}},{\"delta\":{\"content\":\"a\"}}]}", false),
    ("{\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\"}]}", false),
    ("{\"choices\":[{\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"\"}]}", true),
    ("{\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}", false), ("{\"choices\":[{\"delta\":{\"x\":1}}]}", false),
    ("{\"choices\":[{\"index\":0}]}", false), ("{}", false), ("[DONE]", false), ("x", false),
    ("{\"choices\":[],\"error\":{}}", false), ("{\"choices\":[],\"usage\":{},\"usage\":{}}", true),
    ("{\"choices\":[{\"delta\":{\"role\":\"assistant\"}}],\"usage\":{\"prompt_tokens\":1}}", true),
  ]

  /// Until the first piece of an answer, another provider may still be asked.
  @Test(arguments: openings) func opens(_ data: String, _ isOpening: Bool) {
    #expect(Self.event(data).isOpening == isOpening)
  }

  @Test func ends() {
    #expect(Self.event("[DONE]").kind == .end)
    #expect(Self.event("[DONE] ").kind == .end)
    #expect(Self.event("[DONE]x").kind == .part && Self.event("[DONE").kind == .part)
  }

  @Test func usageBesideChoices() {
    let choice = "{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}"
    let event = Self.event("{\"choices\":[\(choice)],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}")
    #expect(event.kind == .part && event.finishes && event.contentBytes == 1)
    #expect(event.usage == MeteredStreamTests.usage(1, 2))
  }

  static let reported: [(String, ErrorCode)] = [
    ("\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"", .rateLimitExceeded),
    ("\"type\":\"rate_limit_error\",\"code\":null", .rateLimitExceeded),
    ("\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"", .invalidRequest),
    ("\"type\":\"invalid_request_error\",\"code\":\"model_not_found\"", .modelNotFound),
    ("\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"", .providerError),
    ("\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"", .providerError),
    ("\"code\":400", .invalidRequest), ("\"code\":413", .messageTooLarge), ("\"code\":422", .contentRejected),
    ("\"code\":404", .modelNotFound), ("\"code\":429", .rateLimitExceeded), ("\"code\":500", .providerError),
    ("\"code\":200", .providerError), ("\"code\":-1", .providerError), ("\"code\":99999999", .providerError),
    ("\"type\":\"server_error\"", .providerError),
  ]

  @Test(arguments: reported) func whichErrorItIs(_ fields: String, _ code: ErrorCode) {
    #expect(Self.event("{\"error\":{\"message\":\"m\",\(fields)}}").errorCode == code)
  }

  // MARK: usage

  @Test func zeroIsReported() {
    #expect(Self.usage("{\"prompt_tokens\":0,\"completion_tokens\":0}") == Usage(source: .reported))
    for (usage, reach) in [
      ("\"prompt_tokens\":0,\"completion_tokens\":0", .whole), ("\"prompt_tokens\":5", .input),
      ("\"prompt_tokens\":5,\"completion_tokens\":null", .input), ("\"completion_tokens\":5", .output),
    ] as [(String, UsageReach)] {
      #expect(Self.event("{\"choices\":[],\"usage\":{\(usage)}}").usageReach == reach)
    }
    #expect(Self.usage("{\"prompt_tokens\":5}") == MeteredStreamTests.usage(5, 0))
    #expect(Self.usage("{\"prompt_tokens\":null,\"completion_tokens\":5}") == MeteredStreamTests.usage(0, 5))
  }

  static let unreported = [
    "{}", "{\"total_tokens\":5}", "{\"prompt_tokens\":null}", "{\"prompt_tokens\":-1,\"completion_tokens\":2}",
    "{\"prompt_tokens\":1,\"completion_tokens\":2.5}", "{\"prompt_tokens\":\"1\",\"completion_tokens\":2}",
    "{\"prompt_tokens\":1,\"prompt_tokens\":2,\"completion_tokens\":2}", "{\"prompt_tokens\":99999999999999999999}",
  ]

  @Test(arguments: unreported) func nonsenseIsNotReported(_ text: String) {
    #expect(Self.usage(text) == Usage())
    // It still is what the client did not ask for.
    #expect(Self.event("{\"choices\":[],\"usage\":\(text)}").kind == .usageOnly)
  }

  @Test func partsAreClamped() {
    let usage = Self.usage(
      """
      {"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":8},
      "completion_tokens_details":{"reasoning_tokens":9}}
      """)
    #expect(usage == MeteredStreamTests.usage(10, 5, cached: 8, written: 2, reasoning: 5))
    let odd = Self.usage(
      """
      {"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":-1,"cache_write_tokens":1.5},
      "completion_tokens_details":null}
      """)
    #expect(odd == MeteredStreamTests.usage(10, 5))
  }

  // MARK: answers

  @Test func wholeAnswers() throws {
    func read(_ name: String) throws -> ModelEvent {
      Self.answer(String(decoding: try Transcripts.bytes(name), as: UTF8.self))
    }
    let text = try read("answer-text.json")
    #expect(text.kind == .part && text.contentBytes == 48 && text.usage == MeteredStreamTests.usage(14, 37))
    let tools = try read("answer-tools.json")
    #expect(tools.contentBytes == 5 + 19 && tools.usage == MeteredStreamTests.usage(512, 132, cached: 256))
    #expect(try read("error-401.json").kind == .error)
  }

  @Test func answersWithoutUsage() {
    let event = Self.answer("{\"choices\":[{\"message\":{\"content\":\"abc\"}}],\"usage\":null}")
    #expect(event.kind == .part && event.contentBytes == 3 && event.usage == Usage())
    #expect(Self.answer("{\"choices\":[]}").kind == .part)
  }

  @Test(arguments: [
    "", "<html>", "[]", "{}", "7", "{\"choices\":7}", "{\"choices\":[", "{\"error\":\"x\",\"choices\":[]}",
  ])
  func whatIsNoAnswer(_ text: String) { #expect(Self.answer(text).kind == .error) }

  @Test func anAnswerTooLargeToRead() {
    let text = "{\"choices\":[" + String(repeating: "1,", count: ModelLimits.answerNodesMax) + "1]}"
    let event = Self.answer(text)
    #expect(event.kind == .part && event.contentBytes == Int64(text.utf8.count) && event.usage == Usage())
  }

  // MARK: errors and statuses

  private static func error(
    _ code: ErrorCode, _ message: StaticString, _ details: StaticString? = nil, param: StaticString? = nil
  ) -> String {
    let area = ByteArea([UInt8](repeating: 0, count: 1_024))
    var writer = ByteWriter(base: area.base, capacity: area.count)
    Dialect.appendError(
      .openAIChat, code.row, param: param, message: StaticBytes(message), details: details.map { StaticBytes($0) },
      requestID: .empty, to: &writer)
    return String(decoding: area.slice(0..<writer.count), as: UTF8.self)
  }

  @Test func errors() {
    #expect(
      Self.error(.modelNotFound, "No \"x\".")
        == "{\"error\":{\"message\":\"No \\\"x\\\".\",\"type\":\"invalid_request_error\",\"param\":null,"
        + "\"code\":\"model_not_found\"}}")
    #expect(
      Self.error(.modelNotFound, "No x.", param: "model")
        == "{\"error\":{\"message\":\"No x.\",\"type\":\"invalid_request_error\",\"param\":\"model\","
        + "\"code\":\"model_not_found\"}}")
    #expect(
      Self.error(.insufficientCredits, "", "{\"required\":1.5}")
        == "{\"error\":{\"message\":\"The balance does not cover this request; add credits.\","
        + "\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\","
        + "\"details\":{\"required\":1.5}}}"
    )
  }

  @Test func statuses() {
    for status in [200, 201, 206, 299] as [UInt16] { #expect(ProviderStatus(status: status) == .answers) }
    for status in [400, 413, 422] as [UInt16] { #expect(ProviderStatus(status: status) == .refuses) }
    #expect(ProviderStatus(status: 404) == .fails(.modelNotFound))
    #expect(ProviderStatus(status: 429) == .fails(.rateLimitExceeded))
    for status in [301, 401, 402, 403, 405, 408, 409, 500, 502, 503, 529] as [UInt16] {
      #expect(ProviderStatus(status: status) == .fails(.providerError))
      #expect(!ProviderStatus(status: status).passes)
    }
    #expect(ProviderStatus(status: 200).passes && ProviderStatus(status: 400).passes)
  }

  @Test func whereAndHowProvidersAreAsked() {
    for dialect in DialectName.allCases {
      #expect(Dialect.path(dialect).description.hasPrefix("/"))
      #expect(Dialect.keyField(dialect).name.description == Dialect.keyField(dialect).name.description.lowercased())
    }
    #expect(Dialect.path(.openAIChat).description == "/chat/completions")
    #expect(Dialect.keyField(.openAIChat).prefix.description == "Bearer ")
  }
}
