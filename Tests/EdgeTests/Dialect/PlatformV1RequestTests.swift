import Foundation
import Testing

@testable import Edge

/// What requests on WebSockets ask for.
@Suite struct PlatformV1RequestTests {
  /// A message that is read, and what it says.
  private struct Sample {
    let area: ByteArea
    let request: ModelRequest

    init(_ text: String) throws(DialectFault) {
      area = ByteArea(Array(text.utf8))
      request = try Dialect.read(.platformV1, area.base, area.count, JSONDocument(capacity: 1))
    }

    func text(_ range: BodyRange) -> String? {
      if range.isNone { return nil }
      return String(decoding: area.slice(Int(range.start)..<Int(range.start + range.count)), as: UTF8.self)
    }
  }

  private static let messages = "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

  /// A message with these fields beside the least that a request has.
  private static func message(_ fields: String) -> String {
    "{\"id\":\"a\",\"type\":\"chat\",\"model\":\"gpt-4\",\(messages)\(fields.isEmpty ? "" : ",")\(fields)}"
  }

  /// Why a message is refused, when it is read or when it is translated.
  private static func refusal(_ text: String, translated: Bool = false) -> DialectFault? {
    do throws(DialectFault) {
      let sample = try Sample(text)
      if translated { _ = try Speaking.request(.platformV1, sample.area) }
      return nil
    } catch {
      return error
    }
  }

  private static func lines(_ text: String) throws(DialectFault) -> String {
    let area = ByteArea(Array(text.utf8))
    let parts = try Speaking.request(.platformV1, area)
    return PartText.text(parts.parts) + PartText.settings(parts.settings)
  }

  // MARK: what Edge must know

  @Test func theLeast() throws {
    let text = " " + Self.message("")
    let sample = try Sample(text)
    var expected = ModelRequest()
    expected.model = BodyRange(start: 34, count: 5)
    expected.insertion = 2
    expected.bodyBytes = Int64(text.utf8.count)
    expected.asksUsage = true
    #expect(sample.request == expected)
    #expect(sample.text(sample.request.model) == "gpt-4")
    #expect(Dialect.splices(.platformV1, sample.request, upstreamModel: StaticBytes("x")).isEmpty)
  }

  @Test func whatIsSaid() throws {
    let sample = try Sample(Self.message("\"stream\":true,\"maxTokens\":7,\"provider\":\"claude\""))
    #expect(sample.request.streams && sample.request.outputTokensMax == 7)
    #expect(sample.text(sample.request.named) == "claude" && sample.request.provider.isNone)
    for spelling in ["maxTokens", "max_tokens", "max_completion_tokens", "maxCompletionTokens", "max\\u0054okens"] {
      #expect(try Sample(Self.message("\"\(spelling)\":0")).request.outputTokensMax == 0)
    }
    let named = try Sample("{\"type\":\"completion\",\"model\":\"openai/gpt-4\",\"prompt\":\"x\",\"messages\":null}")
    #expect(named.text(named.request.model) == "openai/gpt-4" && named.text(named.request.provider) == "openai")
    #expect(named.request.named.isNone)
  }

  /// What is null is as if it were not there; auto leaves the choice to Edge.
  @Test func nothingSaid() throws {
    let keys = [
      "provider", "prompt", "stream", "maxTokens", "temperature", "topP", "stop", "user", "reasoningEffort", "tools",
      "toolChoice", "parallelToolCalls", "responseFormat", "n", "serviceTier", "modalities", "audio",
      "webSearchOptions", "models", "plugins", "bestOf", "prediction",
    ]
    let bare = try Sample(Self.message(""))
    let nulls = Self.message(keys.map { "\"\($0)\":null" }.joined(separator: ","))
    var request = try Sample(nulls).request
    #expect(request.bodyBytes == Int64(nulls.utf8.count))
    request.bodyBytes = bare.request.bodyBytes
    #expect(request == bare.request)
    #expect(try Self.lines(nulls) == Self.lines(Self.message("")))
    for fields in ["\"provider\":\"auto\"", "\"provider\":\"\\u0061uto\""] {
      #expect(try Sample(Self.message(fields)).request.named.isNone)
    }
    let harmless =
      "\"n\":1,\"serviceTier\":\"auto\",\"modalities\":[\"text\"],\"N\":7,\"service_Tier\":\"x\",\"Model\":\"x\""
    #expect(try Sample(Self.message(harmless)).request.choices == 1)
    #expect(try Sample(Self.message("\"service_tier\":\"default\"")).request.model == bare.request.model)
  }

  @Test func pictures() throws {
    let text = try Golden.text("\(Platform.folder)/requests/pictures.json")
    let sample = try Sample(text)
    #expect(sample.request.images == 2 && sample.request.pictureBytes == 34)
  }

  static let refusals: [(String, String)] = [
    ("\"model\":\"x\"", "model"), ("\"m\\u006fdel\":\"x\"", "model"), ("\"stream\":true,\"stream\":true", "stream"),
    ("\"id\":\"a\"", "id"), ("\"messages\":[]", "messages"),
    ("\"prompt\":\"x\"", "prompt"), ("\"prompt\":null,\"prompt\":\"x\"", "prompt"), ("\"prompt\":7", "prompt"),
    ("\"prompt\":\"\"", "prompt"),
    ("\"maxTokens\":1,\"max_tokens\":1", "max_tokens"), ("\"max_tokens\":1,\"maxTokens\":null", "maxTokens"),
    ("\"max_tokens\":1,\"max_completion_tokens\":1", "max_completion_tokens"), ("\"topP\":1,\"top_p\":1", "top_p"),
    ("\"tool_choice\":null,\"toolChoice\":\"auto\"", "toolChoice"), ("\"user\":\"a\",\"user\":\"a\"", "user"),
    ("\"parallelToolCalls\":true,\"parallel_tool_calls\":true", "parallel_tool_calls"),
    ("\"responseFormat\":null,\"response_format\":null", "response_format"),
    ("\"reasoningEffort\":\"low\",\"reasoning_effort\":\"low\"", "reasoning_effort"),
    ("\"temperature\":1,\"temperature\":1", "temperature"), ("\"stop\":\"a\",\"stop\":\"b\"", "stop"),
    ("\"provider\":null,\"provider\":\"claude\"", "provider"), ("\"provider\":7", "provider"),
    ("\"provider\":\"\"", "provider"), ("\"provider\":\"cl\\u0061ude\"", "provider"),
    ("\"stream\":1", "stream"), ("\"stream\":\"true\"", "stream"), ("\"maxTokens\":-1", "maxTokens"),
    ("\"maxTokens\":1.5", "maxTokens"), ("\"max_tokens\":\"5\"", "max_tokens"), ("\"maxTokens\":1e3", "maxTokens"),
    ("\"maxTokens\":99999999999999999999", "maxTokens"), ("\"n\":2", "n"), ("\"n\":0", "n"), ("\"n\":\"1\"", "n"),
    ("\"service_tier\":\"flex\"", "service_tier"), ("\"serviceTier\":\"priority\"", "serviceTier"),
    ("\"serviceTier\":null,\"service_tier\":null", "service_tier"),
    ("\"modalities\":[\"text\",\"audio\"]", "modalities"), ("\"modalities\":\"text\"", "modalities"),
    ("\"audio\":{}", "audio"), ("\"web_search_options\":{}", "web_search_options"),
    ("\"webSearchOptions\":{}", "webSearchOptions"), ("\"models\":[\"x\"]", "models"), ("\"plugins\":[]", "plugins"),
    ("\"best_of\":2", "best_of"), ("\"bestOf\":2", "bestOf"), ("\"prediction\":{}", "prediction"),
    ("\"tools\":{}", "tools"), ("\"tools\":[{\"type\":\"web_search\"}]", "tools"),
    ("\"tools\":[{\"type\":\"custom\"}]", "tools"), ("\"tools\":[{\"type\":\"function\"},{}]", "tools"),
    ("\"tools\":[{\"type\":\"web_search\",\"type\":\"function\"}]", "tools"),
  ]

  @Test(arguments: refusals) func refused(_ fields: String, _ param: String) {
    let fault = Self.refusal(Self.message(fields))
    #expect(fault?.param?.description == param && fault?.code == .invalidRequest)
    #expect(fault?.message.description.hasSuffix(".") == true)
  }

  static let wholes: [(String, String?, ErrorCode)] = [
    ("", nil, .invalidRequest), ("[]", nil, .invalidRequest),
    ("{\"model\":\"x\",\(messages)}", "type", .invalidMessageFormat),
    ("{\"type\":\"chat\",\"type\":\"chat\",\"model\":\"x\",\(messages)}", "type", .invalidMessageFormat),
    ("{\"type\":\"cancel\",\"model\":\"x\",\(messages)}", "type", .invalidMessageFormat),
    ("{\"type\":\"embedding\",\"model\":\"x\",\"input\":\"a\"}", "type", .notImplemented),
    ("{\"type\":\"embedding\",\"model\":7,\"model\":8}", "type", .notImplemented),
    ("{\"type\":\"chat\",\(messages)}", "model", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":null,\(messages)}", "model", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":7,\(messages)}", "model", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"\",\(messages)}", "model", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"gpt\\u002d4\",\(messages)}", "model", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"x\"}", "messages", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"x\",\"messages\":null,\"prompt\":null}", "messages", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"x\",\"messages\":[]}", "messages", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"x\",\"messages\":{}}", "messages", .invalidRequest),
    ("{\"type\":\"chat\",\"model\":\"x\",\"messages\":\"hi\"}", "messages", .invalidRequest),
    (
      "{\"type\":\"chat\",\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]}",
      "messages", .invalidRequest
    ),
    (
      "{\"type\":\"chat\",\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}]}",
      "messages", .invalidRequest
    ),
  ]

  @Test(arguments: wholes) func refusedAsAWhole(_ text: String, _ param: String?, _ code: ErrorCode) {
    let fault = Self.refusal(text)
    #expect(fault?.param?.description == param && fault?.code == code)
  }

  // MARK: what is asked

  static let askedRefusals: [(String, String)] = [
    ("\"temperature\":\"1\"", "temperature"), ("\"topP\":[]", "topP"), ("\"top_p\":[]", "topP"),
    ("\"stop\":7", "stop"), ("\"stop\":[\"a\",7]", "stop"), ("\"user\":7", "user"),
    ("\"reasoningEffort\":{}", "reasoningEffort"), ("\"toolChoice\":\"any\"", "toolChoice"),
    ("\"tool_choice\":{\"type\":\"function\"}", "toolChoice"), ("\"toolChoice\":7", "toolChoice"),
    ("\"toolChoice\":{\"type\":\"function\",\"function\":{}}", "toolChoice"),
    ("\"responseFormat\":{\"type\":\"yaml\"}", "responseFormat"), ("\"response_format\":7", "responseFormat"),
    ("\"responseFormat\":{\"type\":\"json_schema\"}", "responseFormat"),
    ("\"responseFormat\":{\"type\":\"json_schema\",\"jsonSchema\":{},\"json_schema\":{}}", "responseFormat"),
    ("\"tools\":[{\"type\":\"function\"}]", "tools"), ("\"tools\":[{\"type\":\"function\",\"function\":{}}]", "tools"),
    ("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":[]}}]", "tools"),
  ]

  @Test(arguments: askedRefusals) func refusedWhereItIsTranslated(_ fields: String, _ param: String) {
    #expect(Self.refusal(Self.message(fields)) == nil)
    let fault = Self.refusal(Self.message(fields), translated: true)
    #expect(fault?.param?.description == param && fault?.code == .invalidRequest)
    #expect(fault?.message.description.hasSuffix(".") == true)
    // No provider gets a request as it is here.
    #expect(fault?.message.description.contains("openai-chat") == false)
  }

  static let badMessages = [
    "7", "{}", "{\"role\":\"user\"}", "{\"role\":\"user\",\"content\":7}", "{\"role\":\"boss\",\"content\":\"a\"}",
    "{\"role\":\"user\",\"content\":\"a\",\"role\":\"user\"}", "{\"role\":\"tool\",\"content\":\"a\"}",
    "{\"role\":\"tool\",\"toolCallId\":\"a\",\"tool_call_id\":\"a\",\"content\":\"a\"}",
    "{\"role\":\"tool\",\"toolCallId\":7,\"content\":\"a\"}",
    "{\"role\":\"assistant\",\"toolCalls\":[],\"tool_calls\":[]}", "{\"role\":\"assistant\",\"toolCalls\":{}}",
    "{\"role\":\"assistant\",\"toolCalls\":[{\"type\":\"custom\"}]}",
    "{\"role\":\"assistant\",\"toolCalls\":[{\"id\":\"a\",\"function\":{\"arguments\":\"{}\"}}]}",
    "{\"role\":\"assistant\",\"toolCalls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}",
    "{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}",
    "{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"ftp://a\"}]}",
    "{\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"https://a\"}]}",
  ]

  @Test(arguments: badMessages) func badMessage(_ message: String) {
    let fault = Self.refusal(
      "{\"type\":\"chat\",\"model\":\"m\",\"messages\":[\(message)]}", translated: true)
    #expect(fault?.param?.description == "messages")
    #expect(fault?.message.description.contains("openai-chat") == false)
    #expect(fault?.message.description.contains("tool_call") == false)
  }

  /// A prompt is one message of the user.
  @Test func prompts() throws {
    let head = "{\"type\":\"completion\",\"model\":\"m\","
    let prompt = try Self.lines(head + "\"prompt\":\"a\\\"b\"}")
    #expect(prompt == (try Self.lines(head + "\"messages\":[{\"role\":\"user\",\"content\":\"a\\\"b\"}]}")))
    #expect(prompt == "user\ntext text=\"a\\\"b\"\n")
  }

  /// A client of OpenAI's words is understood as well.
  @Test func bothSpellingsSayTheSame() throws {
    for name in ["tools", "settings"] {
      let text = try Golden.text("\(Platform.folder)/requests/\(name).json")
      var snake = text
      for (camel, other) in [
        ("toolCalls", "tool_calls"), ("toolCallId", "tool_call_id"), ("toolChoice", "tool_choice"),
        ("parallelToolCalls", "parallel_tool_calls"), ("maxTokens", "max_tokens"), ("topP", "top_p"),
        ("reasoningEffort", "reasoning_effort"), ("responseFormat", "response_format"), ("jsonSchema", "json_schema"),
      ] {
        snake = snake.replacing("\"\(camel)\":", with: "\"\(other)\":")
      }
      #expect(snake != text)
      let lines = try Self.lines(text)
      #expect(try Self.lines(snake) == lines && lines.contains("settings"))
      #expect(try Sample(snake).request.outputTokensMax == Sample(text).request.outputTokensMax)
    }
  }

  @Test(arguments: [DialectName.openAIChat, .anthropicMessages]) func whatProvidersAreSent(_ to: DialectName) throws {
    for file in try Golden.names("\(Platform.folder)/requests", ".json") {
      let sample = try Sample(try Golden.text("\(Platform.folder)/requests/\(file)"))
      let parts = try Speaking.request(.platformV1, sample.area)
      let plan = Speaking.plan(streams: sample.request.streams, tokens: sample.request.outputTokensMax)
      let written = try Speaking.written(to, request: parts, plan)
      let name = "\(file.dropLast(5))"
      try Golden.check("\(Platform.folder)/requests/\(name).\(to.rawValue)", try Speaking.pretty(written))
      // It is read there as the same request.
      let there = ByteArea(Array(written.utf8))
      let request = try Dialect.read(to, there.base, there.count, JSONDocument(capacity: 1))
      #expect(request.streams == sample.request.streams && request.images == sample.request.images)
      #expect(SaidText.request(try Speaking.request(to, there)) == SaidText.request(parts), "\(name)")
    }
  }

  /// Any value in any place: a fault, or a request that providers can read.
  @Test func anyRequest() throws {
    var said = 0
    for file in try Golden.names("\(Platform.folder)/requests", ".json") {
      for spoiled in Spoiled.texts(try Golden.text("\(Platform.folder)/requests/\(file)")) {
        let bytes = ByteArea(Array(spoiled.utf8))
        let (message, fault) = PlatformV1.readMessage(bytes.base, bytes.count, JSONDocument(capacity: 1))
        #expect((message.kind == .broken) == (fault != nil))
        guard let sample = try? Sample(spoiled), let parts = try? Speaking.request(.platformV1, sample.area) else {
          continue
        }
        for dialect in [DialectName.openAIChat, .anthropicMessages] {
          guard let written = try? Speaking.written(dialect, request: parts) else { continue }
          said += 1
          #expect(Speaking.isJSON(written), "\(spoiled)")
        }
      }
    }
    #expect(said > 300)
  }
}
