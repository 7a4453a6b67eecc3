// What the demo provider answers by Anthropic's wire: bodies and heads in full, over loopback.
// What differs from run to run is replaced first; everything else is compared byte for byte.

import Foundation
import Testing

@testable import Edge

@Suite(.timeLimit(.minutes(1))) struct DemoAnthropicTests {
  private static let tail =
    "\\nI am the demo provider: no model has thought about this. Whoever asks the same gets the same, "
    + "word for word, and can count the tokens."

  private func usage(_ input: Int, _ output: Int) -> String {
    "{\"input_tokens\":\(input),\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
      + "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},"
      + "\"output_tokens\":\(output),\"service_tier\":\"standard\"}"
  }

  private func message(
    _ content: String, _ stop: String, sequence: String = "null", _ tokens: (Int, Int), model: String = "claude-3-opus"
  ) -> String {
    "{\"id\":\"MSG\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"\(model)\",\"content\":[\(content)],"
      + "\"stop_reason\":\(stop),\"stop_sequence\":\(sequence),\"usage\":\(usage(tokens.0, tokens.1))}"
  }

  private func text(_ words: String) -> String { "{\"type\":\"text\",\"text\":\"\(words)\"}" }

  private func question(_ words: String, model: String = "claude-3-opus", _ members: String = "") -> String {
    asked(words, model: model, members + (members.contains("\"max_tokens\"") ? "" : "\"max_tokens\":1000,"))
  }

  // MARK: whole answers

  @Test func wholeAnswer() throws {
    try withDemo { demo in
      let heard = try DemoClient(demo).askMessage(question("Hello, world"))
      #expect(heard.status == 200 && !heard.isCut)
      #expect(steady(heard.body) == message(text("You said: Hello, world\(Self.tail)"), "\"end_turn\"", (3, 37)))
      #expect(heard.fields["content-type"] == "application/json")
      #expect(heard.fields["request-id"]?.wholeMatch(of: /req_[0-9a-f]{32}/) != nil)
      #expect(heard.fields["x-request-id"] == nil && heard.fields["openai-version"] == nil)
      #expect(heard.fields["anthropic-organization-id"] == "demo")
      #expect(heard.fields["anthropic-ratelimit-requests-limit"] == "10000")
      #expect(heard.fields["anthropic-ratelimit-requests-remaining"] == "9999")
      #expect(heard.fields["anthropic-ratelimit-tokens-remaining"] == "1999997")
      #expect(heard.fields["anthropic-ratelimit-input-tokens-remaining"] == "1599997")
      #expect(heard.fields["anthropic-ratelimit-output-tokens-remaining"] == "400000")
      let reset = heard.fields["anthropic-ratelimit-tokens-reset"]
      #expect(reset?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
      #expect(heard.fields["retry-after"] == nil && heard.fields["connection"] == nil)
    }
  }

  @Test func allThatIsSaidCounts() throws {
    let body =
      "{\"model\":\"any\",\"max_tokens\":4,\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\","
      + "\"cache_control\":{\"type\":\"ephemeral\"}}],\"temperature\":0.5,\"metadata\":{\"user_id\":\"u\"},"
      + "\"messages\":[{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"well\"},"
      + "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"two \\u00fc\"},"
      + "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AA==\"}},"
      + "{\"type\":\"text\",\"text\":\"three\"}]}]}"
    try withDemo { demo in
      let heard = try DemoClient(demo).askMessage(body)
      #expect(steady(heard.body) == message(text("You said: two"), "\"max_tokens\"", (8, 4), model: "any"))
    }
  }

  @Test func nothingButTheCacheIsWarmed() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      for model in ["claude-3-opus", "demo-max"] {
        let whole = try client.askMessage(question("Hi", model: model, "\"max_tokens\":0,"))
        #expect(steady(whole.body) == message("", "\"max_tokens\"", (1, 0), model: model))
        let stream = try client.askMessage(question("Hi", model: model, "\"max_tokens\":0,\"stream\":true,"))
        #expect(try stream.events().count == 3, "start, delta, stop")
      }
    }
  }

  @Test func answersEndWhereTheyMust() throws {
    let table: [(stops: String, words: String, stop: String, sequence: String, tokens: Int)] = [
      ("[\"no such\",\"said\"]", "You ", "\"stop_sequence\"", "\"said\"", 1),
      ("[\"demo\",\" Hi\\nI\"]", "You said:", "\"stop_sequence\"", "\" Hi\\nI\"", 3),
      ("[]", "You said: Hi\(Self.tail)", "\"end_turn\"", "null", 35),
      ("null", "You said: Hi\(Self.tail)", "\"end_turn\"", "null", 35),
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for row in table {
        let whole = try client.askMessage(question("Hi", "\"stop_sequences\":\(row.stops),"))
        #expect(steady(whole.body) == message(text(row.words), row.stop, sequence: row.sequence, (1, row.tokens)))
        let stream = try client.askMessage(question("Hi", "\"stream\":true,\"stop_sequences\":\(row.stops),"))
        let end = "\"delta\":{\"stop_reason\":\(row.stop),\"stop_sequence\":\(row.sequence)}"
        #expect(try stream.events().contains { $0.contains(end) }, "\(stream.body)")
      }
      let first = try client.askMessage(question("Hi", "\"max_tokens\":1,\"stop_sequences\":[\"demo\"],"))
      #expect(steady(first.body) == message(text("You"), "\"max_tokens\"", (1, 1)))
    }
  }

  // MARK: streams

  @Test(arguments: [0, 1]) func stream(gap: Int) throws {
    try withDemo(gap: gap) { demo in
      let client = try DemoClient(demo)
      let heard = try client.askMessage(question("Hi", "\"stream\":true,\"max_tokens\":4,"))
      #expect(heard.status == 200 && !heard.isCut)
      #expect(heard.fields["content-type"] == "text/event-stream; charset=utf-8")
      #expect(heard.fields["request-id"]?.hasPrefix("req_") == true)
      let tokens = ["You", " said", ":", " Hi"].map { token in
        "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\(token)\"}}"
      }
      let expected =
        [
          "{\"type\":\"message_start\",\"message\":\(message("", "null", (1, 1)))}",
          "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":\(text(""))}", "{\"type\":\"ping\"}",
        ] + tokens + ends("max_tokens", block: 0, (1, 4))
      #expect(try heard.events().map(steady) == expected)
      #expect(heard.chunks.count == expected.count, "a chunk for each event")
      #expect(try client.fetch("GET", "/health").status == 200, "the connection goes on")
    }
  }

  private func ends(_ reason: String, block: Int, _ tokens: (Int, Int)) -> [String] {
    [
      "{\"type\":\"content_block_stop\",\"index\":\(block)}",
      "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"\(reason)\",\"stop_sequence\":null},"
        + "\"usage\":{\"input_tokens\":\(tokens.0),\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
        + "\"output_tokens\":\(tokens.1)}}", "{\"type\":\"message_stop\"}",
    ]
  }

  // MARK: tools

  private static let tools =
    "\"tools\":[{\"name\":\"weather\",\"input_schema\":{\"type\":\"object\",\"properties\":{"
    + "\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}},"
    + "{\"type\":\"custom\",\"name\":\"clock\",\"input_schema\":{\"type\":\"object\"}}],"

  private func call(_ index: Int, _ name: String, _ input: String) -> String {
    "{\"type\":\"tool_use\",\"id\":\"TOOL0000000\(index)\",\"name\":\"\(name)\",\"input\":\(input)}"
  }

  @Test func wholeToolCalls() throws {
    let first = call(0, "weather", "{\"city\":\"demo\",\"days\":1}")
    let clock = call(0, "clock", "{}")
    let both = first + "," + call(1, "clock", "{}")
    let table: [(words: String, model: String, choice: String, calls: String?, tokens: Int)] = [
      ("Take a tool!", "claude-3-opus", "", first, 10), ("Take your Tools.", "claude-3-opus", "", both, 12),
      ("Take your tools.", "any", "{\"type\":\"auto\",\"disable_parallel_tool_use\":true}", first, 10),
      ("Just talk", "any", "{\"type\":\"any\"}", first, 10),
      ("Your tools", "any", "{\"type\":\"any\"}", both, 12),
      ("Just talk", "demo-tools", "{\"type\":\"auto\"}", first, 10),
      ("Just talk", "any", "{\"type\":\"tool\",\"name\":\"clock\"}", clock, 2),
      ("Take a tool", "demo-tools", "{\"type\":\"none\"}", nil, 0), ("A toolbox", "any", "", nil, 0),
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for row in table {
        let choice = row.choice.isEmpty ? "" : "\"tool_choice\":\(row.choice),"
        let heard = try client.askMessage(question(row.words, model: row.model, Self.tools + choice))
        guard let calls = row.calls else {
          #expect(heard.body.contains("\"text\":\"You said: \(row.words)"), "\(row)")
          continue
        }
        let tokens = DemoTokens.count(Array(row.words.utf8))
        #expect(steady(heard.body) == message(calls, "\"tool_use\"", (tokens, row.tokens), model: row.model))
      }
      let cut = try client.askMessage(question("tools", Self.tools + "\"max_tokens\":5,"))
      #expect(steady(cut.body) == message(call(0, "weather", "{}"), "\"max_tokens\"", (1, 5)))
    }
  }

  @Test func streamedToolCalls() throws {
    func begin(_ index: Int, _ name: String) -> String {
      "{\"type\":\"content_block_start\",\"index\":\(index),\"content_block\":\(call(index, name, "{}"))}"
    }
    func piece(_ index: Int, _ text: String) -> String {
      "{\"type\":\"content_block_delta\",\"index\":\(index),\"delta\":{\"type\":\"input_json_delta\","
        + "\"partial_json\":\"\(text)\"}}"
    }
    let pieces = ["", "{\\\"", "city", "\\\":\\\"", "demo", "\\\",\\\"", "days", "\\\":", "1", "}"]
    let expected =
      [
        "{\"type\":\"message_start\",\"message\":\(message("", "null", (1, 1)))}", begin(0, "weather"),
        "{\"type\":\"ping\"}",
      ] + pieces.map { piece(0, $0) } + [
        "{\"type\":\"content_block_stop\",\"index\":0}", begin(1, "clock"), piece(1, ""), piece(1, "{}"),
      ] + ends("tool_use", block: 1, (1, 12))
    try withDemo { demo in
      let heard = try DemoClient(demo).askMessage(question("tools", Self.tools + "\"stream\":true,"))
      #expect(try heard.events().map(steady) == expected)
    }
  }

  @Test func toolsResultIsQuoted() throws {
    let turns =
      "{\"role\":\"user\",\"content\":\"tool\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
      + "\"text\":\"Well.\"},{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{}}]},"
    let results = [
      "\"17 °C\"", "[{\"type\":\"text\",\"text\":\"17 °C\"},{\"type\":\"image\",\"source\":{}}]",
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for result in results {
        for (more, words) in [
          ("", "The tool answered: 17 °C"), (",{\"type\":\"text\",\"text\":\"Go\"}", "You said: Go"),
        ] {
          let heard = try client.askMessage(
            "{\"model\":\"any\",\"max_tokens\":99,\(Self.tools)\"messages\":[\(turns){\"role\":\"user\","
              + "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"is_error\":false,"
              + "\"content\":\(result)}\(more)]}]}")
          #expect(heard.body.contains("\"text\":\"\(words)\\n"), "\(heard.body)")
          #expect(heard.body.contains("\"stop_reason\":\"end_turn\""))
          #expect(heard.body.contains("\"input_tokens\":\(more.isEmpty ? 5 : 6),"))
        }
      }
    }
  }

  // MARK: models that do something else

  private func problem(_ type: String, _ message: String) -> String {
    "{\"type\":\"error\",\"error\":{\"type\":\"\(type)\",\"message\":\"\(message)\"},\"request_id\":\"REQ\"}"
  }

  @Test func failingModels() throws {
    let table: [(model: String, status: Int, body: String)] = [
      ("demo-429", 429, problem("rate_limit_error", "Too many requests for this model; ask again in 2 s.")),
      ("demo-500", 500, problem("api_error", "The demo provider failed, as this model does.")),
      ("demo-529", 529, problem("overloaded_error", "The demo provider is overloaded, as this model is.")),
      ("demo-error", 500, problem("api_error", "The demo provider failed, as this model does.")),
      ("unknown-2", 404, problem("not_found_error", "model: unknown-2")),
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for row in table {
        for stream in ["", "\"stream\":true,"] where row.model != "demo-error" || stream.isEmpty {
          let heard = try client.askMessage(question("Hi", model: row.model, stream))
          #expect(heard.status == row.status && steady(heard.body) == row.body)
          #expect(heard.fields["request-id"].map { heard.body.contains("\"request_id\":\"\($0)\"") } == true)
          #expect(heard.fields["retry-after"] == (row.status == 429 ? "2" : nil))
          #expect(heard.fields["anthropic-ratelimit-tokens-remaining"] == (row.status == 429 ? "0" : "2000000"))
        }
      }
    }
  }

  @Test func maxSaysExactlyAsMuch() throws {
    try withDemo(gap: 60_000) { demo in
      let client = try DemoClient(demo)
      let whole = try client.askMessage(question("tool", model: "demo-max", "\"max_tokens\":3000," + Self.tools))
      #expect(whole.body.contains("\"output_tokens\":3000,") && whole.body.contains("\"max_tokens\""))
      let stream = try client.askMessage(question("Hi", model: "demo-max", "\"max_tokens\":300,\"stream\":true,"))
      #expect(try stream.events().filter { $0.contains("\"text_delta\"") }.count == 300)
      #expect(try client.askMessage(question("Hi", model: "demo-max", "\"max_tokens\":131073,")).status == 400)
    }
  }

  @Test func cutsAndErrorsInsideOfStreams() throws {
    try withDemo { demo in
      let cut = try DemoClient(demo).askMessage(question("Hi", model: "demo-cut", "\"stream\":true,"))
      #expect(cut.status == 200 && cut.isCut && !cut.body.hasSuffix("\n\n"))
      #expect(cut.chunks.count == 7, "three to begin with, and four tokens")
      let whole = try DemoClient(demo).askMessage(question("Hi", model: "demo-cut"))
      #expect(whole.isCut && whole.body.utf8.count == whole.fields["content-length"].flatMap { Int($0) }.map { $0 / 2 })
      let client = try DemoClient(demo)
      let heard = try client.askMessage(question("Hi", model: "demo-error", "\"stream\":true,"))
      #expect(heard.status == 200 && !heard.isCut)
      let events = try heard.events().map(steady)
      #expect(events.count == 5)
      #expect(events.last == problem("api_error", "The demo provider fails here, as this model does."))
      #expect(try client.fetch("GET", "/health").status == 200)
    }
  }

  @Test func slowAndSilentModels() throws {
    try withDemo { demo in
      let silent = try DemoClient(demo)
      try silent.send(DemoClient.message(question("Hi", model: "demo-hang")))
      let start = Clock.monotonicNow()
      let heard = try DemoClient(demo).askMessage(question("Hi", model: "demo-slow"))
      #expect(heard.status == 200 && heard.body.contains("You said: Hi"))
      #expect(Clock.monotonicNow() - start >= 1_000_000_000)
      #expect(silent.isSilent)
    }
  }

  // MARK: refusals

  @Test func versionIsNeeded() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      try client.send(DemoClient.message(question("Hi"), fields: ""))
      let heard = try client.answer()
      #expect(heard.status == 400)
      #expect(steady(heard.body) == problem("invalid_request_error", "anthropic-version: The header is required"))
      #expect(heard.fields["request-id"]?.hasPrefix("req_") == true)
      let nothing = try client.fetch("GET", "/v1/messages")
      #expect(nothing.status == 404)
      #expect(steady(nothing.body) == problem("not_found_error", "There is no GET /v1/messages here."))
      try client.send(
        "POST /v1/messages HTTP/1.1\r\nhost: demo\r\nanthropic-version: 2023-06-01\r\ncontent-length: 8388609\r\n\r\n")
      let long = try client.answer()
      #expect(long.status == 413 && long.body.contains("\"type\":\"request_too_large\""))
    }
  }

  @Test func wrongQuestions() throws {
    func turns(_ turns: String) -> String { "{\"model\":\"a\",\"max_tokens\":9,\"messages\":[\(turns)]}" }
    func said(_ content: String, role: String = "user") -> String {
      turns("{\"role\":\"\(role)\",\"content\":\(content)}")
    }
    func tool(_ members: String) -> String { question("x", "\"tools\":[{\(members)}],") }
    let called =
      "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}]}"
    let result = "{\"type\":\"tool_result\",\"tool_use_id\":\"t\"}"
    let table: [(body: String, message: String)] = [
      ("", "The body is no JSON"), ("[]", "The body must be"), ("{}", "model: Field required"),
      ("{\"model\":7}", "model: Input should be"),
      (asked("x"), "max_tokens: Field required"), (question("x", "\"max_tokens\":-1,"), "max_tokens: "),
      (question("x", "\"max_tokens\":\"1\","), "max_tokens: Input should be"),
      (question("x", "\"n\":1,"), "n: Extra inputs"), (question("x", "\"stream\":1,"), "stream: "),
      (question("x", "\"temperature\":1.5,"), "temperature: "), (question("x", "\"top_p\":\"1\","), "top_p: "),
      (question("x", "\"stop_sequences\":\"a\","), "stop_sequences: "),
      (question("x", "\"stop_sequences\":[\" \"],"), "stop_sequences: "),
      (question("x", "\"stop_sequences\":[1],"), "stop_sequences: "),
      (question("x", "\"system\":7,"), "system: "), (question("x", "\"system\":[1],"), "system: "),
      ("{\"model\":\"a\",\"max_tokens\":9}", "messages: Field required"), (turns(""), "messages: "),
      (turns("1"), "messages.0: "), (turns("{\"content\":\"x\"}"), "messages.0.role: Field required"),
      (said("\"x\"", role: "tool"), "messages.0.role: "), (said("\"\""), "messages.0.content: "),
      (said("[]"), "messages.0.content: "), (said("7"), "messages.0.content: "),
      (said("[\"x\"]"), "messages.0.content.0: "), (said("[{}]"), "messages.0.content.0.type: Field required"),
      (said("[{\"type\":\"text\"}]"), "messages.0.content.0.text: Field required"),
      (said("[{\"type\":\"text\",\"text\":\"\"}]"), "messages.0.content.0: "),
      (said("[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}]"), "messages.0.content.0: "),
      (
        said("[{\"type\":\"tool_use\",\"id\":\"a b\",\"name\":\"f\",\"input\":{}}]", role: "assistant"),
        "messages.0.content.0.id: "
      ),
      (
        said("[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":\"{}\"}]", role: "assistant"),
        "messages.0.content.0.input: "
      ),
      (said("[\(result)]"), "messages.0.content.0: A result must"), (turns(called), "messages: A call"),
      (turns("\(called),{\"role\":\"user\",\"content\":\"x\"}"), "messages.1: "),
      (
        turns("\(called),{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},\(result)]}"),
        "messages.1.content.1: "
      ),
      (turns("\(called),{\"role\":\"user\",\"content\":[\(result),\(result)]}"), "messages.1.content.1: "),
      (question("x", "\"tools\":{},"), "tools: "), (question("x", "\"tools\":[1],"), "tools.0: "),
      (tool(""), "tools.0.name: Field required"), (tool("\"name\":\"a b\""), "tools.0.name: "),
      (tool("\"name\":\"f\""), "tools.0.input_schema: Field required"),
      (tool("\"name\":\"f\",\"input_schema\":{}"), "tools.0.input_schema.type: Field required"),
      (tool("\"name\":\"f\",\"input_schema\":{\"type\":\"string\"}"), "tools.0.input_schema.type: "),
      (question("x", "\"tool_choice\":{\"type\":\"auto\"},"), "tool_choice: "),
      (question("x", "\(Self.tools)\"tool_choice\":\"auto\","), "tool_choice: "),
      (question("x", "\(Self.tools)\"tool_choice\":{\"type\":\"required\"},"), "tool_choice.type: "),
      (question("x", "\(Self.tools)\"tool_choice\":{\"type\":\"tool\"},"), "tool_choice.name: Field required"),
      (question("x", "\(Self.tools)\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"},"), "tool_choice: "),
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for row in table {
        let heard = try client.askMessage(row.body)
        #expect(heard.status == 400, "\(row.body)")
        let start = "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"\(row.message)"
        #expect(heard.body.hasPrefix(start), "\(row.body): \(heard.body)")
      }
      let own = tool("\"type\":\"bash_20250124\",\"name\":\"bash\"")
      #expect(try client.askMessage(own).status == 200)
    }
  }
}
