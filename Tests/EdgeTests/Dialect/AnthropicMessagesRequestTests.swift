import Testing

@testable import Edge

@Suite struct AnthropicMessagesRequestTests {
  /// A body that is read, and what it says.
  private struct Sample {
    let area: ByteArea
    let request: ModelRequest

    init(_ text: String) throws(DialectFault) {
      area = ByteArea(Array(text.utf8))
      request = try Dialect.read(.anthropicMessages, area.base, area.count, JSONDocument(capacity: 1))
    }

    func text(_ range: BodyRange) -> String? {
      if range.isNone { return nil }
      return String(decoding: area.slice(Int(range.start)..<Int(range.start + range.count)), as: UTF8.self)
    }

    func edited(_ model: StaticString?) -> String {
      let splices = Dialect.splices(.anthropicMessages, request, upstreamModel: model.map { StaticBytes($0) })
      let copy = ByteArea([UInt8](repeating: 0, count: splices.editedCount(area.count)))
      var writer = ByteWriter(base: copy.base, capacity: copy.count)
      splices.copy(area.base, area.count, to: &writer)
      #expect(!writer.overflowed && writer.count == copy.count)
      return String(decoding: copy.bytes, as: UTF8.self)
    }
  }

  private static let messages = "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

  /// A body with these fields beside the least that a request has.
  private static func body(_ fields: String) -> String {
    "{\"model\":\"claude\",\"max_tokens\":9,\(messages)\(fields.isEmpty ? "" : ",")\(fields)}"
  }

  /// A body whose only message has these blocks.
  private static func body(blocks: String) -> String {
    "{\"model\":\"claude\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[\(blocks)]}]}"
  }

  private static func fault(_ text: String) -> DialectFault? {
    do throws(DialectFault) {
      _ = try Sample(text)
      return nil
    } catch {
      return error
    }
  }

  @Test func theLeast() throws {
    let text = " " + Self.body("")
    let sample = try Sample(text)
    var expected = ModelRequest()
    expected.model = BodyRange(start: 11, count: 6)
    expected.insertion = 2
    expected.asksUsage = true
    expected.outputTokensMax = 9
    expected.bodyBytes = Int64(text.utf8.count)
    #expect(sample.request == expected)
    #expect(sample.edited(nil) == text)
    #expect(sample.edited("claude-3-opus-20240229") == text.replacing("claude", with: "claude-3-opus-20240229"))
  }

  @Test func aStreamIsNotEdited() throws {
    let text = Self.body("\"stream\":true")
    let sample = try Sample(text)
    #expect(sample.request.streams && sample.edited(nil) == text)
    #expect(try !Sample(Self.body("\"stream\":null")).request.streams)
  }

  @Test func providerOfAName() throws {
    for (name, provider) in [("claude", nil), ("anthropic/claude", "anthropic"), ("a/b/c", "a")] {
      let sample = try Sample("{\"model\":\"\(name)\",\"max_tokens\":0,\(Self.messages)}")
      #expect(sample.text(sample.request.model) == name)
      #expect(sample.text(sample.request.provider) == provider)
      #expect(sample.request.outputTokensMax == 0)
    }
  }

  @Test func pictures() throws {
    let data =
      "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAABBBB\"}}"
    let place = "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y.png\"}}"
    let result = "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[\(data)]}"
    let pages = "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[\(data)]}}"
    let sample = try Sample(Self.body(blocks: "\(data),\(place),\(result),\(pages)"))
    #expect(sample.request.images == 4 && sample.request.pictureBytes == 24)
  }

  static let refusals: [(String, String)] = [
    ("\"model\":\"x\"", "model"), ("\"m\\u006fdel\":\"x\"", "model"), ("\"stream\":true,\"stream\":true", "stream"),
    ("\"max_tokens\":1", "max_tokens"), ("\"messages\":[]", "messages"), ("\"Messages\":[]", "messages"),
    ("\"MAX_TOKENS\":1", "max_tokens"), ("\"Fallbacks\":null", "fallbacks"),
    ("\"system\":\"a\",\"system\":\"b\"", "system"), ("\"tools\":[],\"tools\":[]", "tools"),
    ("\"speed\":null,\"speed\":\"fast\"", "speed"), ("\"stream\":1", "stream"), ("\"stream\":\"true\"", "stream"),
    ("\"service_tier\":\"priority\"", "service_tier"), ("\"service_tier\":5", "service_tier"),
    ("\"speed\":\"fast\"", "speed"), ("\"speed\":{}", "speed"), ("\"inference_geo\":\"us\"", "inference_geo"),
    ("\"container\":\"c\"", "container"), ("\"container\":{}", "container"),
    ("\"mcp_servers\":[{\"url\":\"https://x\"}]", "mcp_servers"),
    ("\"fallbacks\":[{\"model\":\"x\"}]", "fallbacks"), ("\"fallbacks\":\"default\"", "fallbacks"),
    ("\"fallback_credit_token\":\"x\"", "fallback_credit_token"), ("\"billing_policy\":{}", "billing_policy"),
    ("\"thread\":{}", "thread"), ("\"compaction\":{}", "compaction"), ("\"models\":[\"x\"]", "models"),
    ("\"plugins\":[{}]", "plugins"), ("\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}", "cache_control"),
    ("\"cache_control\":7", "cache_control"), ("\"cache_control\":{\"ttl\":\"5m\",\"ttl\":\"1h\"}", "cache_control"),
    ("\"context_management\":7", "context_management"), ("\"context_management\":{\"edits\":7}", "context_management"),
    ("\"context_management\":{\"edits\":[{\"type\":\"compact_20260112\"}]}", "context_management"),
    ("\"context_management\":{\"edits\":[],\"edits\":[]}", "context_management"), ("\"system\":7", "system"),
    ("\"system\":[7]", "system"), ("\"system\":[{\"type\":\"image\"}]", "system"),
    ("\"system\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"ttl\":\"1h\"}}]", "system"),
    ("\"tools\":{}", "tools"), ("\"tools\":[7]", "tools"), ("\"tools\":[{\"type\":\"web_search_20250305\"}]", "tools"),
    ("\"tools\":[{\"type\":\"code_execution_20250825\"}]", "tools"), ("\"tools\":[{\"type\":\"bash_\"}]", "tools"),
    ("\"tools\":[{\"type\":\"bash_code_execution_20250825\"}]", "tools"), ("\"tools\":[{\"type\":7}]", "tools"),
    ("\"tools\":[{\"type\":\"custom\",\"type\":\"web_fetch_20250910\"}]", "tools"),
    ("\"tools\":[{\"name\":\"a\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1\\u0068\"}}]", "tools"),
    ("\"tools\":[{\"name\":\"a\",\"cache_control\":null,\"cache_control\":{\"ttl\":\"1h\"}}]", "tools"),
  ]

  @Test(arguments: refusals) func refused(_ fields: String, _ param: String) {
    let fault = Self.fault(Self.body(fields))
    #expect(fault?.param?.description == param && fault?.code == .invalidRequest)
  }

  static let passing = [
    "\"service_tier\":null", "\"service_tier\":\"auto\"", "\"service_tier\":\"standard_only\"", "\"speed\":null",
    "\"speed\":\"standard\"", "\"inference_geo\":\"global\"", "\"inference_geo\":null", "\"container\":null",
    "\"mcp_servers\":[]", "\"fallbacks\":null", "\"cache_control\":null",
    "\"cache_control\":{\"type\":\"ephemeral\"}", "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"}",
    "\"context_management\":null", "\"context_management\":{}",
    "\"context_management\":{\"edits\":[{\"type\":\"clear_tool_uses_20250919\"}]}", "\"system\":\"a\"",
    "\"system\":null",
    "\"system\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}}]", "\"tools\":null",
    "\"tools\":[{\"name\":\"a\",\"input_schema\":{\"properties\":{\"cache_control\":{\"ttl\":\"1h\"}}}}]",
    "\"tools\":[{\"type\":null,\"name\":\"a\"},{\"type\":\"custom\"},{\"type\":\"bash_20250124\"}]",
    "\"tools\":[{\"type\":\"text_editor_20250728\"},{\"type\":\"computer_20250124\"},{\"type\":\"memory_20250818\"}]",
    "\"tools\":[{\"type\":\"computer_toolset_20260801\"},{\"type\":\"browser_toolset_20260801\"}]", "\"x\":1,\"x\":2",
    "\"temperature\":1e400", "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}",
  ]

  @Test(arguments: passing) func passes(_ fields: String) { #expect(Self.fault(Self.body(fields)) == nil) }

  static let refusedBlocks = [
    "7", "null", "{}", "{\"type\":7}", "{\"type\":\"text\",\"type\":\"text\"}", "{\"type\":\"container_upload\"}",
    "{\"type\":\"video\"}", "{\"type\":\"compaction\"}", "{\"type\":\"tool_addition\"}", "{\"type\":\"image\"}",
    "{\"type\":\"image\",\"source\":7}", "{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}",
    "{\"type\":\"image\",\"source\":{\"type\":\"base64\"}}",
    "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":7}}",
    "{\"type\":\"image\",\"source\":{\"type\":\"url\"},\"source\":{\"type\":\"file\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://x\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"type\":\"url\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"container_upload\"}]}}",
    "{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}",
    "{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\",\"cache_control\":{\"ttl\":\"1h\"}}]}",
    "{\"type\":\"tool_result\",\"content\":[],\"content\":[{\"type\":\"container_upload\"}]}",
    "{\"type\":\"tool_result\",\"content\":[{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"x\"}}]}",
    "{\"type\":\"web_fetch_tool_result\",\"content\":{\"type\":\"web_fetch_result\",\"content\":{\"type\":\"document\","
      + "\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}}}",
  ]

  @Test(arguments: refusedBlocks) func refusedBlock(_ block: String) {
    let fault = Self.fault(Self.body(blocks: "{\"type\":\"text\",\"text\":\"a\"},\(block)"))
    #expect(fault?.param?.description == "messages" && fault?.code == .invalidRequest)
  }

  static let passingBlocks = [
    "{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"}}",
    "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"b\",\"input\":{\"cache_control\":{\"ttl\":\"1h\"}}}",
    "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"b\"}",
    "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"tool_reference\",\"tool_name\":\"b\"}]}",
    "{\"type\":\"thinking\",\"thinking\":\"a\",\"signature\":\"b\"}", "{\"type\":\"redacted_thinking\",\"data\":\"a\"}",
    "{\"type\":\"server_tool_use\",\"id\":\"a\",\"name\":\"web_search\",\"input\":{}}",
    "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"web_search_result\"}]}",
    "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"a\",\"content\":{\"error_code\":\"unavailable\"}}",
    "{\"type\":\"search_result\",\"source\":\"a\",\"title\":\"b\",\"content\":[{\"type\":\"text\",\"text\":\"c\"}]}",
    "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"AAAA\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"a\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":\"a\"}}",
  ]

  @Test(arguments: passingBlocks) func passingBlock(_ block: String) {
    #expect(Self.fault(Self.body(blocks: block)) == nil)
  }

  static let broken: [(String, String?)] = [
    ("[]", nil), ("7", nil), ("{}", "model"), ("{\"max_tokens\":1,\(messages)}", "model"),
    ("{\"model\":\"\",\"max_tokens\":1,\(messages)}", "model"),
    ("{\"model\":7,\"max_tokens\":1,\(messages)}", "model"),
    ("{\"model\":\"a\\/b\",\"max_tokens\":1,\(messages)}", "model"),
    ("{\"model\":\"\(String(repeating: "m", count: 257))\",\"max_tokens\":1,\(messages)}", "model"),
    ("{\"model\":\"m\",\"max_tokens\":1}", "messages"), ("{\"model\":\"m\",\(messages)}", "max_tokens"),
    ("{\"model\":\"m\",\"max_tokens\":null,\(messages)}", "max_tokens"),
    ("{\"model\":\"m\",\"max_tokens\":-1,\(messages)}", "max_tokens"),
    ("{\"model\":\"m\",\"max_tokens\":1.5,\(messages)}", "max_tokens"),
    ("{\"model\":\"m\",\"max_tokens\":\"5\",\(messages)}", "max_tokens"),
    ("{\"model\":\"m\",\"max_tokens\":99999999999999999999,\(messages)}", "max_tokens"),
    ("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[]}", "messages"),
    ("{\"model\":\"m\",\"max_tokens\":1,\"messages\":\"hi\"}", "messages"),
    ("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"content\":\"a\",\"content\":[]}]}", "messages"),
    ("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"content\":{\"type\":\"text\"}}]}", "messages"),
  ]

  @Test(arguments: broken) func isBroken(_ text: String, _ param: String?) {
    let fault = Self.fault(text)
    #expect(fault?.code == .invalidRequest && fault?.param?.description == param)
  }

  @Test func noJSON() {
    #expect(Self.fault("{\"model\":}")?.reason.description == "unexpected character")
    #expect(Self.fault("")?.reason.description == "the text ends too early")
    let deep = String(repeating: "[", count: 200)
    #expect(Self.fault(Self.body("\"x\":" + deep))?.reason.description == "nested too deeply")
  }

  /// As deep as the reader of JSON lets them be.
  @Test func blocksInBlocks() {
    let levels = 47
    let text =
      String(repeating: "{\"type\":\"tool_result\",\"content\":[", count: levels) + "{\"type\":\"text\"}"
      + String(repeating: "]}", count: levels)
    #expect(Self.fault(Self.body(blocks: text)) == nil)
    #expect(Self.fault(Self.body(blocks: text.replacing("\"text\"", with: "\"video\"")))?.param != nil)
  }

  @Test func tooManyValues() {
    let many = "[" + String(repeating: "1,", count: ModelLimits.requestNodesMax) + "1]"
    #expect(Self.fault(Self.body("\"x\":" + many))?.code == .messageTooLarge)
  }

  @Test func aNameOfTheMostBytes() throws {
    let name = String(repeating: "m", count: 256)
    #expect(try Sample("{\"model\":\"\(name)\",\"max_tokens\":1,\(Self.messages)}").request.model.count == 256)
  }
}
