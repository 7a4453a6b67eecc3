import Testing

@testable import Edge

@Suite struct AnthropicMessagesPartsTests {
  /// Parts, and the memory in which their texts stand.
  private final class Said {
    let parts = ModelParts()
    private var areas: [ByteArea] = []

    func text(_ text: String, _ form: ModelText.Form = .string) -> ModelText {
      let area = ByteArea(Array(text.utf8))
      areas.append(area)
      return ModelText(form: form, bytes: StaticBytes(start: area.base, count: area.count))
    }

    @discardableResult
    func add(
      _ kind: ModelPart.Kind, _ said: String? = nil, id: String? = nil, name: String? = nil, type: String? = nil,
      more: String? = nil, index: Int32 = 0, flag: Bool = false, form: ModelText.Form = .string,
      reason: FinishReason = .stop
    ) -> Said {
      var part = ModelPart(kind)
      if let said { part.text = text(said, form) }
      if let id { part.id = text(id) }
      if let name { part.name = text(name) }
      if let type { part.mediaType = text(type) }
      if let more { part.more = text(more, .value) }
      part.index = index
      part.flag = flag
      part.reason = reason
      parts.add(part)
      return self
    }
  }

  // MARK: requests, written

  private static func request(
    _ said: Said, wanted: Int64 = -1, streams: Bool = false
  ) -> (text: String, param: String?) {
    let plan = RequestPlan(
      model: StaticBytes("claude-3"), streams: streams, outputTokensMax: wanted, modelTokensMax: 4_096)
    let area = ByteArea([UInt8](repeating: 0, count: 16 << 10))
    var writer = ByteWriter(base: area.base, capacity: area.count)
    do throws(DialectFault) {
      try Dialect.writeRequest(.anthropicMessages, said.parts, plan, JSONDocument(capacity: 1), to: &writer)
    } catch {
      return ("", error.param?.description)
    }
    #expect(!writer.overflowed)
    let text = String(decoding: area.slice(0..<writer.count), as: UTF8.self)
    // Whoever reads it, Edge itself would take it.
    #expect((try? Dialect.read(.anthropicMessages, area.base, writer.count, JSONDocument())) != nil)
    return (text, nil)
  }

  private static func messages(_ said: Said) -> String {
    let text = request(said).text
    let start = "{\"model\":\"claude-3\",\"max_tokens\":4096,\"messages\":"
    return text.hasPrefix(start) ? String(text.dropFirst(start.count).dropLast()) : text
  }

  @Test func theLeast() {
    let said = Said().add(.user).add(.text, "h\\u00e9 \\\"x\\\"")
    let content = "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"h\\u00e9 \\\"x\\\"\"}]}]"
    #expect(Self.request(said).text == "{\"model\":\"claude-3\",\"max_tokens\":4096,\(content)}")
    #expect(
      Self.request(said, wanted: 5, streams: true).text
        == "{\"model\":\"claude-3\",\"max_tokens\":5,\(content),\"stream\":true}")
    #expect(Self.request(said, wanted: 5_000).text.hasPrefix("{\"model\":\"claude-3\",\"max_tokens\":4096,"))
    #expect(Self.request(said, wanted: 0).text.hasPrefix("{\"model\":\"claude-3\",\"max_tokens\":0,"))
  }

  @Test func everythingInItsOrder() {
    let said = Said().add(.user).add(.text, "a").add(.instruction, "one").add(.instruction, "").add(.instruction, "two")
      .add(.tool, "looks", name: "look", more: "{\"type\":\"object\"}", flag: true).add(.tool, name: "wait")
      .add(.tool, name: "go", more: "{ }")
    said.parts.settings.temperature = said.text("1.5", .value)
    said.parts.settings.topP = said.text("0.90", .value)
    said.parts.settings.stop = said.text("END")
    said.parts.settings.toolChoice = .named
    said.parts.settings.toolName = said.text("look")
    said.parts.settings.isSerial = true
    said.parts.settings.user = said.text("u1")
    said.parts.settings.effort = said.text("high")
    said.parts.settings.schema = said.text("{\"type\":\"object\"}", .value)
    let none = "{\"type\":\"object\",\"properties\":{}}"
    #expect(
      Self.request(said, streams: true).text
        == "{\"model\":\"claude-3\",\"max_tokens\":4096,"
        + "\"system\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":\"two\"}],"
        + "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],"
        + "\"tools\":[{\"name\":\"look\",\"description\":\"looks\",\"input_schema\":{\"type\":\"object\"},"
        + "\"strict\":true},"
        + "{\"name\":\"wait\",\"input_schema\":\(none)},{\"name\":\"go\",\"input_schema\":\(none)}],"
        + "\"tool_choice\":{\"type\":\"tool\",\"name\":\"look\",\"disable_parallel_tool_use\":true},"
        + "\"stop_sequences\":[\"END\"],\"temperature\":1,\"top_p\":0.90,\"metadata\":{\"user_id\":\"u1\"},"
        + "\"output_config\":{\"effort\":\"high\",\"format\":{\"type\":\"json_schema\","
        + "\"schema\":{\"type\":\"object\"}}},"
        + "\"stream\":true}")
  }

  @Test func settings() {
    func ending(_ change: (Said, inout ModelSettings) -> Void) -> String {
      let said = Said().add(.user).add(.text, "a").add(.tool, name: "t")
      change(said, &said.parts.settings)
      let text = Self.request(said).text
      return String(text[(text.range(of: "}}}]")?.upperBound ?? text.startIndex)...])
    }
    #expect(ending { _, _ in } == "}")
    #expect(ending { said, it in it.temperature = said.text("0.70", .value) } == ",\"temperature\":0.70}")
    #expect(ending { said, it in it.temperature = said.text("1", .value) } == ",\"temperature\":1}")
    #expect(ending { said, it in it.temperature = said.text("2e0", .value) } == ",\"temperature\":1}")
    #expect(
      ending { said, it in it.stop = said.text("[\"a\", \"b\"]", .value) } == ",\"stop_sequences\":[\"a\", \"b\"]}")
    let serial = ",\"disable_parallel_tool_use\":true}}"
    #expect(ending { _, it in it.isSerial = true } == ",\"tool_choice\":{\"type\":\"auto\"\(serial)")
    #expect(ending { _, it in it.toolChoice = .auto } == ",\"tool_choice\":{\"type\":\"auto\"}}")
    #expect(ending { _, it in it.toolChoice = .required } == ",\"tool_choice\":{\"type\":\"any\"}}")
    #expect(
      ending { _, it in
        it.toolChoice = .none
        it.isSerial = true
      } == ",\"tool_choice\":{\"type\":\"none\"}}")
    let without = Said().add(.user).add(.text, "a")
    without.parts.settings.toolChoice = .auto
    without.parts.settings.isSerial = true
    #expect(!Self.request(without).text.contains("tool_choice"))
  }

  private static func say(_ text: String) -> String { "{\"type\":\"text\",\"text\":\"\(text)\"}" }

  @Test func turnsThatFollowEachOtherAreJoined() {
    let said = Said().add(.user).add(.text, "a").add(.assistant).add(.text, "").add(.user).add(.text, "b")
      .add(.assistant).add(.reasoning, "hm").add(.text, "c").add(.assistant).add(.refusal, "no").add(.user)
    #expect(
      Self.messages(said)
        == "[{\"role\":\"user\",\"content\":[\(Self.say("a")),\(Self.say("b"))]},"
        + "{\"role\":\"assistant\",\"content\":[\(Self.say("c")),\(Self.say("no"))]}]")
  }

  @Test func resultsOfTools() {
    let said = Said().add(.user).add(.text, "a").add(.assistant)
      .add(.toolCall, "{\\\"city\\\": \\\"Z\\u00fcrich\\\"}", id: "c1", name: "look")
      .add(.toolCall, "", id: "c2", name: "wait").add(.toolCall, "{\"n\":1}", id: "c3", name: "go", form: .value)
      .add(.user).add(.toolResult, id: "c1").add(.text, "r1").add(.image, "AAAA", type: "image/png").add(.toolResultEnd)
      .add(.user).add(.text, "look").add(.toolResult, id: "c2", flag: true).add(.toolResultEnd)
    let use = "{\"type\":\"tool_use\",\"id\":"
    let image = "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}}"
    #expect(
      Self.messages(said)
        == "[{\"role\":\"user\",\"content\":[\(Self.say("a"))]},{\"role\":\"assistant\",\"content\":["
        + "\(use)\"c1\",\"name\":\"look\",\"input\":{\"city\": \"Zürich\"}},"
        + "\(use)\"c2\",\"name\":\"wait\",\"input\":{}},\(use)\"c3\",\"name\":\"go\",\"input\":{\"n\":1}}]},"
        + "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\","
        + "\"content\":[\(Self.say("r1")),\(image)]},"
        + "{\"type\":\"tool_result\",\"tool_use_id\":\"c2\",\"is_error\":true},\(Self.say("look"))]}]")
  }

  @Test func picturesAndFiles() {
    let said = Said().add(.user).add(.image, "https://x/y.png", flag: true)
      .add(.file, "JVBE", name: "a.pdf", type: "application/pdf")
    #expect(
      Self.messages(said)
        == "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"url\","
        + "\"url\":\"https://x/y.png\"}},{\"type\":\"document\",\"source\":{\"type\":\"base64\","
        + "\"media_type\":\"application/pdf\",\"data\":\"JVBE\"},"
        + "\"title\":\"a.pdf\"}]}]")
  }

  @Test func whatCannotBeSaid() {
    let user = { Said().add(.user).add(.text, "a") }
    #expect(Self.request(Said()).param == "messages")
    #expect(Self.request(Said().add(.instruction, "a").add(.user).add(.text, "")).param == "messages")
    #expect(Self.request(user().add(.file, "AAAA", type: "text/plain")).param == "messages")
    for arguments in ["[]", "7", "{", "{} {}", "{\\\"a\\\"}", "x"] {
      #expect(
        Self.request(user().add(.assistant).add(.toolCall, arguments, id: "c", name: "n")).param == "messages")
    }
    #expect(Self.request(user().add(.assistant).add(.toolCall, "{}", name: "n")).param == "messages")
    #expect(Self.request(user().add(.tool, name: "n", more: "[]")).param == "tools")
  }

  // MARK: requests, read

  private static func read(_ fields: String) -> (parts: [String], settings: ModelSettings, param: String?) {
    let text = "{\"model\":\"m\",\"max_tokens\":9\(fields.isEmpty ? "" : ",")\(fields)}"
    let area = ByteArea(Array(text.utf8))
    let parts = ModelParts()
    do throws(DialectFault) {
      try Dialect.readRequest(.anthropicMessages, area.base, area.count, JSONDocument(capacity: 1), into: parts)
    } catch {
      return ([], ModelSettings(), error.param?.description ?? "")
    }
    var lines = parts.parts.map { AnthropicTranscripts.text($0) }
    let settings = parts.settings
    for (name, value) in [
      ("temperature", settings.temperature), ("top_p", settings.topP), ("stop", settings.stop),
      ("tool", settings.toolName), ("user", settings.user), ("schema", settings.schema), ("effort", settings.effort),
    ] where !value.isNone { lines.append("\(name): \(AnthropicTranscripts.text(value))") }
    return (lines, settings, nil)
  }

  @Test func conversations() {
    let said = Self.read(
      """
      "messages":[{"role":"user","content":"a"},{"role":"system","content":"mid"},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"b"},
      {"type":"tool_use","id":"c1","name":"look","input":{"x": [1]}},
      {"type":"tool_use","id":"c2","name":"go","input":{}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","is_error":true,"content":[
      {"type":"text","text":"r"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
      {"type":"tool_result","tool_use_id":"c2","content":"s"},{"type":"tool_result","tool_use_id":"c3"},
      {"type":"text","text":""},{"type":"image","source":{"type":"url","url":"https://x"}},
      {"type":"document","title":"t","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},
      {"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}},
      {"type":"document","source":{"type":"content","content":[{"type":"text","text":"e"}]}}]}],
      "system":[{"type":"text","text":"one"},{"type":"text","text":""},{"type":"text","text":"two"}],
      "tools":[{"name":"look","description":"l","input_schema":{"type":"object"},"strict":true},
      {"type":"custom","name":"go"}]
      """)
    #expect(
      said.parts == [
        "instruction \"one\"", "instruction \"two\"", "tool name=\"look\" more={\"type\":\"object\"} flag \"l\"",
        "tool name=\"go\"", "user", "text \"a\"", "instruction \"mid\"", "assistant", "text \"b\"",
        "toolCall #0 id=\"c1\" name=\"look\" {\"x\": [1]}", "toolCall #1 id=\"c2\" name=\"go\" {}", "user",
        "toolResult id=\"c1\" flag", "text \"r\"", "image type=\"image/png\" \"AAAA\"", "toolResultEnd",
        "toolResult id=\"c2\"", "text \"s\"", "toolResultEnd", "toolResult id=\"c3\"", "toolResultEnd",
        "image flag \"https://x\"", "file name=\"t\" type=\"application/pdf\" \"JVBE\"", "text \"d\"", "text \"e\"",
      ])
  }

  @Test func settingsRead() {
    let said = Self.read(
      """
      "system":"s","temperature":0.5,"top_p":1,"top_k":5,"stop_sequences":["a","b"],"metadata":{"user_id":"u"},
      "tool_choice":{"type":"tool","name":"look","disable_parallel_tool_use":true},"thinking":{"type":"adaptive"},
      "output_config":{"effort":"low","format":{"type":"json_schema","schema":{"a":1}}},"service_tier":"auto"
      """)
    #expect(
      said.parts == [
        "instruction \"s\"", "temperature: 0.5", "top_p: 1", "stop: [\"a\",\"b\"]", "tool: \"look\"", "user: \"u\"",
        "schema: {\"a\":1}", "effort: \"low\"",
      ])
    #expect(said.settings.toolChoice == .named && said.settings.isSerial)
    for (type, choice) in [("auto", ToolChoice.auto), ("any", .required), ("none", .none)] {
      #expect(Self.read("\"tool_choice\":{\"type\":\"\(type)\"}").settings.toolChoice == choice)
    }
    let nulls = Self.read(
      "\"temperature\":null,\"stop_sequences\":[],\"metadata\":{\"user_id\":null},\"tools\":null,\"tool_choice\":null,"
        + "\"output_config\":{\"effort\":null,\"format\":null},\"system\":null")
    #expect(nulls.parts.isEmpty && nulls.param == nil && nulls.settings.toolChoice == .unsaid)
  }

  static let faults: [(String, String)] = [
    ("\"temperature\":\"1\"", "temperature"), ("\"top_p\":[]", "top_p"), ("\"stop_sequences\":\"a\"", "stop_sequences"),
    ("\"stop_sequences\":[1]", "stop_sequences"), ("\"temperature\":1,\"temperature\":2", "temperature"),
    ("\"metadata\":{\"user_id\":7}", "metadata"), ("\"tool_choice\":\"auto\"", "tool_choice"),
    ("\"tool_choice\":{\"type\":\"tool\"}", "tool_choice"), ("\"tool_choice\":{\"type\":\"x\"}", "tool_choice"),
    ("\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":1}", "tool_choice"),
    ("\"output_config\":{\"effort\":7}", "output_config"), ("\"output_config\":{\"format\":{}}", "output_config"),
    ("\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":7}}", "output_config"),
    ("\"system\":7", "system"), ("\"system\":[{\"type\":\"text\"}]", "system"),
    ("\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"}]", "tools"), ("\"tools\":[{}]", "tools"),
    ("\"tools\":[{\"name\":\"a\",\"input_schema\":7}]", "tools"),
    ("\"tools\":[{\"name\":\"a\",\"description\":7}]", "tools"),
  ]

  @Test(arguments: faults) func faulty(_ fields: String, _ param: String) {
    #expect(Self.read(fields).param == param)
  }

  static let faultyMessages = [
    "7", "{}", "{\"role\":\"user\"}", "{\"content\":\"a\"}", "{\"role\":\"tool\",\"content\":\"a\"}",
    "{\"role\":7,\"content\":\"a\"}", "{\"role\":\"user\",\"role\":\"user\",\"content\":\"a\"}",
    "{\"role\":\"user\",\"content\":7}", "{\"role\":\"user\",\"content\":[7]}", "{\"role\":\"user\",\"content\":[{}]}",
    "{\"role\":\"system\",\"content\":[{\"type\":\"image\"}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":7}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"b\",\"input\":{}}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"search_result\",\"content\":[]}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":7}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":["
      + "{\"type\":\"document\","
      + "\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"A\"}}]}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"A\"}}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"x\"}}]}",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"x\"}}]}",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"server_tool_use\",\"id\":\"a\",\"name\":\"b\",\"input\":{}}]}",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"name\":\"b\",\"input\":{}}]}",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"b\",\"input\":\"{}\"}]}",
  ]

  @Test(arguments: faultyMessages) func faultyMessage(_ message: String) {
    #expect(Self.read("\"messages\":[\(message)]").param == "messages")
  }

  @Test func bodiesThatAreNone() {
    for text in ["", "[]", "{", "7"] {
      let area = ByteArea(Array(text.utf8))
      let parts = ModelParts()
      #expect(throws: DialectFault.self) {
        try Dialect.readRequest(.anthropicMessages, area.base, area.count, JSONDocument(capacity: 1), into: parts)
      }
    }
  }

  // MARK: streams, written

  /// What one call after the other writes, as `name data` without what is the same in all; nil: it cannot be said.
  private static func stream(_ steps: [Said], usage: Usage = AnthropicMessagesPartsTests.used) -> [String]? {
    let area = ByteArea([UInt8](repeating: 0, count: 16 << 10))
    var writer = ByteWriter(base: area.base, capacity: area.count)
    var writing = StreamWriting()
    for said in steps {
      let identity = AnthropicMessagesTranscriptTests.identity
      guard Dialect.writeEvents(.anthropicMessages, said.parts, identity, usage, &writing, to: &writer) else {
        return nil
      }
    }
    #expect(!writer.overflowed)
    return String(decoding: area.slice(0..<writer.count), as: UTF8.self).split(separator: "\n\n").map { event in
      let lines = event.split(separator: "\n")
      let name = lines[0].dropFirst(7)
      let start = "data: {\"type\":\"\(name)\""
      #expect(lines.count == 2 && lines[0].hasPrefix("event: ") && lines[1].hasPrefix(start))
      return "\(name)\(lines[1].dropFirst(start.count))"
    }
  }

  private static let used = Usage(
    source: .reported, inputTokens: 20, cachedTokens: 5, cacheWriteTokens: 3, outputTokens: 7, reasoningTokens: 2)
  private static let start =
    "message_start,\"message\":{\"id\":\"msg_0000000000000G000000000002\",\"type\":\"message\",\"role\":\"assistant\","
    + "\"model\":\"claude-3-opus\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
    + "\"input_tokens\":12,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":5,\"output_tokens\":0}}}"

  private static func end(_ reason: String) -> [String] {
    [
      "message_delta,\"delta\":{\"stop_reason\":\"\(reason)\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":12,"
        + "\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":5,\"output_tokens\":7,"
        + "\"output_tokens_details\":{\"thinking_tokens\":2}}}", "message_stop}",
    ]
  }

  private static func open(_ index: Int) -> String {
    "content_block_start,\"index\":\(index),\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"
  }
  private static func open(_ index: Int, _ id: String, _ name: String) -> String {
    "content_block_start,\"index\":\(index),\"content_block\":{\"type\":\"tool_use\",\"id\":\"\(id)\","
      + "\"name\":\"\(name)\",\"input\":{}}}"
  }
  private static func text(_ index: Int, _ text: String) -> String {
    "content_block_delta,\"index\":\(index),\"delta\":{\"type\":\"text_delta\",\"text\":\"\(text)\"}}"
  }
  private static func arguments(_ index: Int, _ text: String) -> String {
    "content_block_delta,\"index\":\(index),\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\(text)\"}}"
  }
  private static func close(_ index: Int) -> String { "content_block_stop,\"index\":\(index)}" }

  @Test func aText() {
    let steps = [
      Said().add(.ping), Said().add(.start), Said().add(.text, "Good\\n"), Said().add(.ping).add(.text, ""),
      Said().add(.reasoning, "hm"), Said().add(.text, " day"), Said().add(.finish), Said().add(.usage),
      Said().add(.end).add(.end).add(.text, "x"),
    ]
    #expect(
      Self.stream(steps)
        == [
          Self.start, Self.open(0), Self.text(0, "Good\\n"), "ping}", Self.text(0, " day"), Self.close(0),
        ] + Self.end("end_turn"))
  }

  @Test func anEndWithoutAnything() {
    #expect(Self.stream([Said().add(.end)]) == [Self.start] + Self.end("end_turn"))
    #expect(Self.stream([Said()]) == [])
    // A usage before the end is only kept.
    #expect(
      Self.stream([
        Said().add(.usage).add(.text, "a").add(.usage), Said().add(.finish, reason: .length), Said().add(.end),
      ])
        == [Self.start, Self.open(0), Self.text(0, "a"), Self.close(0)] + Self.end("max_tokens"))
  }

  @Test func reasons() {
    for (reason, word) in [
      (FinishReason.stop, "end_turn"), (.length, "max_tokens"), (.toolCalls, "tool_use"), (.contentFilter, "refusal"),
      (.pause, "pause_turn"),
    ] {
      #expect(
        Self.stream([Said().add(.finish, reason: reason).add(.usage), Said().add(.end)]) == [Self.start]
          + Self.end(word))
    }
    let refused = Said().add(.refusal, "no").add(.finish).add(.usage).add(.end)
    #expect(
      Self.stream([refused])
        == [Self.start, Self.open(0), Self.text(0, "no"), Self.close(0)] + Self.end("refusal"))
  }

  @Test func calls() {
    let steps = [
      Said().add(.text, "a"), Said().add(.toolCall, id: "c1", name: "look", index: 0),
      Said().add(.arguments, "{\\\"x\\\"", index: 0).add(.arguments, ":1}", index: 0),
      Said().add(.toolCall, "{}", name: "go", index: 1),
      // Some providers say the name with each piece.
      Said().add(.toolCall, " ", id: "c2", name: "go", index: 1), Said().add(.toolCall, index: 1),
      Said().add(.text, "b").add(.finish).add(.end),
    ]
    #expect(
      Self.stream(steps)
        == [
          Self.start, Self.open(0), Self.text(0, "a"), Self.close(0), Self.open(1, "c1", "look"),
          Self.arguments(1, "{\\\"x\\\""), Self.arguments(1, ":1}"), Self.close(1),
          Self.open(2, "toolu_0000000000000G0000000000021", "go"), Self.arguments(2, "{}"), Self.arguments(2, " "),
          Self.close(2), Self.open(3), Self.text(3, "b"), Self.close(3),
        ] + Self.end("tool_use"))
  }

  /// Providers that give all calls the same number, with ids or without; and a name that comes in two pieces.
  @Test func callsOfOneNumber() {
    let same = [
      Said().add(.toolCall, "{}", id: "a", name: "f"), Said().add(.toolCall, "{", id: "b", name: "f"),
      Said().add(.toolCall, id: "b", name: "f").add(.arguments, "}", id: "b"), Said().add(.end),
    ]
    #expect(
      Self.stream(same)
        == [
          Self.start, Self.open(0, "a", "f"), Self.arguments(0, "{}"), Self.close(0), Self.open(1, "b", "f"),
          Self.arguments(1, "{"), Self.arguments(1, "}"), Self.close(1),
        ] + Self.end("tool_use"))
    let unnamed = [Said().add(.toolCall, name: "f").add(.arguments, "{}"), Said().add(.toolCall, "{}", name: "g")]
    #expect(Self.stream(unnamed)?.filter { $0.contains("tool_use") }.count == 2)
    for (first, second) in [(nil, nil), ("a", "a"), ("a", nil)] as [(String?, String?)] {
      let halves = Said().add(.toolCall, id: first, name: "get_").add(.toolCall, id: second, name: "weather")
      #expect(Self.stream([halves]) == nil)
    }
  }

  /// A model that thinks is not silent, but no client needs to hear of each word.
  @Test func thinking() {
    let area = ByteArea([UInt8](repeating: 0, count: 16 << 10))
    var writer = ByteWriter(base: area.base, capacity: area.count)
    var writing = StreamWriting()
    var pings: [Int] = []
    for now in [1_000_000, 1_000_001, 1_004_999, 1_005_000, 1_009_999, 1_010_000] as [UInt64] {
      writing.now = now
      let start = writer.count
      let thought = Said().add(.reasoning, "hm").add(.reasoning, "")
      let identity = AnthropicMessagesTranscriptTests.identity
      #expect(Dialect.writeEvents(.anthropicMessages, thought.parts, identity, Self.used, &writing, to: &writer))
      let text = String(decoding: area.slice(start..<writer.count), as: UTF8.self)
      #expect(text.contains("message_start") == (start == 0))
      pings.append(text.components(separatedBy: "event: ping\n").count - 1)
    }
    #expect(pings == [1, 0, 0, 1, 0, 1])
  }

  @Test func argumentsBeforeTheName() {
    let early = [
      Said().add(.arguments, "{\\\"a", index: 0).add(.toolCall, "\\\":", index: 0),
      Said().add(.toolCall, "1}", id: "c1", name: "look", index: 0),
    ]
    #expect(
      Self.stream(early + [Said().add(.end)])
        == [
          Self.start, Self.open(0, "c1", "look"), Self.arguments(0, "{\\\"a\\\":"), Self.arguments(0, "1}"),
          Self.close(0),
        ] + Self.end("tool_use"))
    let half = String(repeating: "x", count: 128)
    let full = [Said().add(.arguments, half), Said().add(.arguments, half)]
    #expect(Self.stream(full) == [])
    #expect(Self.stream(full + [Said().add(.arguments, "x")]) == nil)
    #expect(Self.stream(full + [Said().add(.finish)]) == nil)
  }

  @Test func whatCannotBeSaidInAStream() {
    let two = Said().add(.toolCall, id: "a", name: "a", index: 0).add(.toolCall, id: "b", name: "b", index: 1)
    #expect(Self.stream([two, Said().add(.arguments, "{}", index: 1)]) != nil)
    #expect(Self.stream([two, Said().add(.arguments, "{}", index: 0)]) == nil)
    #expect(Self.stream([two, Said().add(.text, "x").add(.arguments, "{}", index: 1)]) == nil)
    // What follows the reason to stop is told; the reason and the usage stand at the end, once.
    let over = Said().add(.text, "a").add(.finish).add(.usage)
    #expect(Self.stream([Said().add(.text, "a").add(.unsayable)]) == nil)
    let late = Self.stream([over, Said().add(.text, "b"), Said().add(.finish), Said().add(.usage), Said().add(.end)])
    #expect(late == Self.stream([Said().add(.text, "a").add(.text, "b").add(.finish).add(.end)]))
  }

  @Test func errors() {
    let said = Said().add(.error, "too \\\"much\\\"")
    said.parts.changeLast { $0.code = .rateLimitExceeded }
    #expect(
      Self.stream([Said().add(.text, "a"), said, Said().add(.end)])?.last
        == "error,\"error\":{\"type\":\"rate_limit_error\",\"message\":\"too \\\"much\\\"\"}}")
    #expect(
      Self.stream([Said().add(.error)]) == [
        "error,\"error\":{\"type\":\"api_error\",\"message\":\""
          + "The service behind Edge gave no valid answer; try again.\"}}"
      ])
  }

  // MARK: whole answers, written

  private static func answer(_ said: Said) -> String? {
    let area = ByteArea([UInt8](repeating: 0, count: 16 << 10))
    var writer = ByteWriter(base: area.base, capacity: area.count)
    let identity = AnthropicMessagesTranscriptTests.identity
    guard Dialect.writeAnswer(.anthropicMessages, said.parts, identity, used, JSONDocument(capacity: 1), to: &writer)
    else { return nil }
    let event = Dialect.readAnswer(.anthropicMessages, area.base, writer.count, JSONDocument())
    #expect(event.kind == .part && event.usage == used)
    let text = String(decoding: area.slice(0..<writer.count), as: UTF8.self)
    guard let from = text.range(of: "\"content\":"), let to = text.range(of: ",\"stop_sequence\"") else { return text }
    return String(text[from.upperBound..<to.lowerBound])
  }

  @Test func wholeAnswers() {
    #expect(Self.answer(Said().add(.start).add(.finish)) == "[],\"stop_reason\":\"end_turn\"")
    #expect(
      Self.answer(Said().add(.reasoning, "hm").add(.text, "a\\n").add(.finish, reason: .length))
        == "[\(Self.say("a\\n"))],\"stop_reason\":\"max_tokens\"")
    #expect(
      Self.answer(Said().add(.refusal, "no").add(.finish)) == "[\(Self.say("no"))],\"stop_reason\":\"refusal\"")
    #expect(
      Self.answer(
        Said().add(.toolCall, "{\\\"a\\\":\\\"\\u20ac\\\"}", id: "c1", name: "look").add(.toolCall, name: "go").add(
          .finish))
        == "[{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"look\",\"input\":{\"a\":\"€\"}},{\"type\":\"tool_use\","
        + "\"id\":\"toolu_0000000000000G0000000000021\",\"name\":\"go\",\"input\":{}}],\"stop_reason\":\"tool_use\"")
    #expect(Self.answer(Said().add(.toolCall, "{\\\"a\\\":", id: "c1", name: "look")) == nil)
    #expect(Self.answer(Said().add(.toolCall, "[1]", id: "c1", name: "look")) == nil)
    #expect(Self.answer(Said().add(.text, "a").add(.unsayable)) == nil)
  }
}
