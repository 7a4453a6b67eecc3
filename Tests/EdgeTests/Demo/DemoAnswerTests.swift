// What the demo provider answers: bodies and heads in full, over loopback.
// What differs from run to run is replaced first; everything else is compared byte for byte.

import Testing

@testable import Edge

@Suite(.timeLimit(.minutes(1))) struct DemoAnswerTests {
  private static let tail =
    "\\nI am the demo provider: no model has thought about this. Whoever asks the same gets the same, "
    + "word for word, and can count the tokens."
  private static let details =
    "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
    + "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
    + "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"

  private func whole(_ choices: String, _ usage: (Int, Int), model: String = "gpt-4") -> String {
    "{\"id\":\"CHAT\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"\(model)\","
      + "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_de300de300\",\"choices\":[\(choices)],"
      + "\"usage\":{\"prompt_tokens\":\(usage.0),\"completion_tokens\":\(usage.1),"
      + "\"total_tokens\":\(usage.0 + usage.1),\(Self.details)}"
  }

  private func choice(_ index: Int, _ content: String, _ finish: String = "stop", calls: String = "") -> String {
    "{\"index\":\(index),\"message\":{\"role\":\"assistant\",\"content\":\(content)\(calls),\"refusal\":null,"
      + "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"\(finish)\"}"
  }

  private func chunk(_ choices: String, usage: String = "", model: String = "gpt-4") -> String {
    "{\"id\":\"CHAT\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"\(model)\","
      + "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_de300de300\",\"choices\":[\(choices)]\(usage)}"
  }

  private func delta(_ index: Int, _ delta: String, _ finish: String = "null") -> String {
    "{\"index\":\(index),\"delta\":\(delta),\"logprobs\":null,\"finish_reason\":\(finish)}"
  }

  // MARK: whole answers

  @Test func wholeAnswer() throws {
    try withDemo { demo in
      let heard = try DemoClient(demo).ask(asked("Hello, world"))
      #expect(heard.status == 200 && !heard.isCut)
      #expect(steady(heard.body) == whole(choice(0, "\"You said: Hello, world\(Self.tail)\""), (3, 37)))
      #expect(heard.fields["content-type"] == "application/json")
      #expect(heard.fields["x-request-id"]?.wholeMatch(of: /req_[0-9a-f]{32}/) != nil)
      #expect(heard.fields["date"]?.hasSuffix(" GMT") == true)
      #expect(heard.fields["openai-version"] == "2020-10-01")
      #expect(heard.fields["openai-processing-ms"].flatMap { Int($0) } != nil)
      #expect(heard.fields["x-ratelimit-limit-requests"] == "10000")
      #expect(heard.fields["x-ratelimit-remaining-requests"] == "9999")
      #expect(heard.fields["x-ratelimit-remaining-tokens"] == "1999997")
      #expect(heard.fields["x-ratelimit-reset-requests"] == "6ms")
      #expect(heard.fields["retry-after"] == nil && heard.fields["connection"] == nil)
    }
  }

  @Test func severalChoicesAndAllMessagesCount() throws {
    try withDemo { demo in
      let body =
        "{\"n\":2,\"max_completion_tokens\":4,\"max_tokens\":9,\"model\":\"x/y\",\"messages\":["
        + "{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"one\"},"
        + "{\"role\":\"assistant\",\"content\":null},"
        + "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"two \\u00fc\"},{\"type\":\"image_url\"},"
        + "{\"type\":\"text\",\"text\":\"three\"}]}]}"
      let heard = try DemoClient(demo).ask(body)
      let choices = (0...1).map { choice($0, "\"You said: two\"", "length") }.joined(separator: ",")
      #expect(steady(heard.body) == whole(choices, (7, 8), model: "x/y"))
    }
  }

  @Test func answersEndWhereTheyMust() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      for stop in ["\": H\"", "[\"demo\",\": H\"]"] {
        let heard = try client.ask(asked("Hi", "\"stop\":\(stop),"))
        #expect(steady(heard.body) == whole(choice(0, "\"You said\""), (1, 2)))
      }
    }
  }

  @Test func modelsHealthAndNothingElse() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      let models = try client.fetch("GET", "/v1/models?limit=3")
      #expect(
        models.status == 200 && models.body.hasPrefix("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-3.5-turbo\","))
      for model in ["gpt-4-turbo", "claude-3-opus", "demo-max", "demo-529"] {
        #expect(models.body.contains("{\"id\":\"\(model)\",\"object\":\"model\",\"created\":1700000000,"))
      }
      #expect(try client.fetch("GET", "/health").body == "{\"status\":\"ok\"}")
      #expect(try client.fetch("HEAD", "/health").fields["content-length"] == "15")
      for (method, path) in [("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("BREW", "/"), ("HEAD", "/x")] {
        let heard = try client.fetch(method, path)
        #expect(heard.status == 404)
        let body =
          "{\"error\":{\"message\":\"There is no \(method) \(path) here.\",\"type\":\"invalid_request_error\","
          + "\"param\":null,\"code\":null}}"
        #expect(heard.body == (method == "HEAD" ? "" : body))
      }
    }
  }

  // MARK: streams

  @Test(arguments: [0, 1]) func stream(gap: Int) throws {
    try withDemo(gap: gap) { demo in
      let client = try DemoClient(demo)
      let heard = try client.ask(
        asked("Hi", "\"stream\":true,\"max_tokens\":4,\"stream_options\":{\"include_usage\":true},"))
      #expect(heard.status == 200 && !heard.isCut)
      #expect(heard.fields["content-type"] == "text/event-stream; charset=utf-8")
      #expect(heard.fields["x-request-id"]?.hasPrefix("req_") == true)
      #expect(heard.fields["content-length"] == nil)
      let role = delta(0, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}")
      let tokens = ["You", " said", ":", " Hi"].map { delta(0, "{\"content\":\"\($0)\"}") }
      let none = ",\"usage\":null"
      var expected = ([role] + tokens + [delta(0, "{}", "\"length\"")]).map { chunk($0, usage: none) }
      expected.append(
        chunk("", usage: ",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":4,\"total_tokens\":5,\(Self.details)"))
      #expect(heard.frames.map(steady) == expected + ["[DONE]"])
      #expect(heard.chunks.count == heard.frames.count, "a chunk for each frame")
      #expect(try client.fetch("GET", "/health").status == 200, "the connection goes on")
    }
  }

  @Test func streamWithoutUsageSaysTheSameAsAWholeAnswer() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      let heard = try client.ask(asked("a \\\"quoted\\\" ünï 🙂 line\\nend ", "\"stream\":true,\"n\":2,"))
      #expect(!heard.body.contains("usage") && heard.frames.last == "[DONE]")
      for index in 0...1 {
        let words = heard.frames.compactMap { frame -> Substring? in
          guard frame.contains("\"choices\":[{\"index\":\(index),") else { return nil }
          return frame.firstMatch(of: /"delta":\{"content":"(.*)"\},"logprobs"/)?.1
        }
        #expect(words.joined() == "You said: a \\\"quoted\\\" ünï 🙂 line\\nend \(Self.tail)")
      }
      #expect(heard.frames.filter { $0.contains("\"finish_reason\":\"stop\"") }.count == 2)
    }
  }

  // MARK: tools

  private static let weather =
    "{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    + "\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"wet\":{\"type\":\"boolean\"}}}}}"
  private static let clock = "{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}"
  private static let tools = "\"tools\":[\(weather),\(clock)],"
  private static let arguments = "{\\\"city\\\":\\\"demo\\\",\\\"days\\\":1,\\\"wet\\\":true}"

  private func call(_ index: Int, _ name: String, _ arguments: String) -> String {
    "{\"id\":\"CALL0000000\(index)\",\"type\":\"function\",\"function\":{\"name\":\"\(name)\","
      + "\"arguments\":\"\(arguments)\"}}"
  }

  private func calls(_ calls: String...) -> String { ",\"tool_calls\":[\(calls.joined(separator: ","))]" }

  @Test func wholeToolCalls() throws {
    let first = calls(call(0, "weather", Self.arguments))
    let both = calls(call(0, "weather", Self.arguments), call(1, "clock", "{}"))
    let table: [(words: String, model: String, members: String, calls: String?, tokens: Int)] = [
      ("Take a tool!", "gpt-4", "", first, 14),
      ("Take your Tools.", "gpt-4", "", both, 16),
      ("Take your tools.", "gpt-4", "\"parallel_tool_calls\":false,", first, 14),
      ("Just talk", "gpt-4", "\"tool_choice\":\"required\",", first, 14),
      ("Just talk", "demo-tools", "\"tool_choice\":\"auto\",", first, 14),
      (
        "Just talk", "gpt-4", "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"clock\"}},",
        calls(call(0, "clock", "{}")), 2
      ),
      ("Take a tool", "demo-tools", "\"tool_choice\":\"none\",", nil, 0),
      ("A toolbox", "gpt-4", "", nil, 0),
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for row in table {
        let heard = try client.ask(asked(row.words, model: row.model, Self.tools + row.members))
        guard let calls = row.calls else {
          #expect(heard.body.contains("\"content\":\"You said: \(row.words)"), "\(row)")
          continue
        }
        let tokens = DemoTokens.count(Array(row.words.utf8))
        #expect(
          steady(heard.body)
            == whole(choice(0, "null", "tool_calls", calls: calls), (tokens, row.tokens), model: row.model))
      }
    }
  }

  @Test func streamedToolCalls() throws {
    try withDemo { demo in
      let heard = try DemoClient(demo).ask(asked("tools", Self.tools + "\"stream\":true,"))
      func begin(_ index: Int, _ name: String) -> String {
        "{\"tool_calls\":[{\"index\":\(index),\"id\":\"CALL0000000\(index)\",\"type\":\"function\","
          + "\"function\":{\"name\":\"\(name)\",\"arguments\":\"\"}}]}"
      }
      func piece(_ index: Int, _ text: String) -> String {
        "{\"tool_calls\":[{\"index\":\(index),\"function\":{\"arguments\":\"\(text)\"}}]}"
      }
      let pieces = ["{\\\"", "city", "\\\":\\\"", "demo", "\\\",\\\"", "days", "\\\":", "1", ",\\\"", "wet", "\\\":"]
      let expected =
        ["{\"role\":\"assistant\",\"content\":null,\"refusal\":null}", begin(0, "weather")]
        + (pieces + ["true", "}"]).map { piece(0, $0) } + [begin(1, "clock"), piece(1, "{}")]
      #expect(
        heard.frames.map(steady)
          == expected.map { chunk(delta(0, $0)) } + [chunk(delta(0, "{}", "\"tool_calls\"")), "[DONE]"])
    }
  }

  @Test func toolsResultIsQuoted() throws {
    let messages =
      "\"messages\":[{\"role\":\"user\",\"content\":\"tool\"},{\"role\":\"assistant\",\"content\":null,"
      + "\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"weather\","
      + "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"17 °C\"}]"
    try withDemo { demo in
      let heard = try DemoClient(demo).ask("{\"model\":\"demo-tools\",\(Self.tools)\(messages)}")
      #expect(heard.body.contains("\"content\":\"The tool answered: 17 °C\\nThat is"))
      #expect(heard.body.contains("\"finish_reason\":\"stop\"") && heard.body.contains("\"prompt_tokens\":3,"))
    }
  }

  // MARK: models that do something else

  @Test func failingModels() throws {
    let table: [(model: String, status: Int, type: String, code: String)] = [
      ("demo-429", 429, "requests", "\"rate_limit_exceeded\""), ("demo-500", 500, "server_error", "null"),
      ("demo-529", 529, "overloaded_error", "\"overloaded\""), ("demo-error", 500, "server_error", "null"),
      ("unknown", 404, "invalid_request_error", "\"model_not_found\""),
      ("unknown-2", 404, "invalid_request_error", "\"model_not_found\""),
    ]
    try withDemo { demo in
      let client = try DemoClient(demo)
      for row in table {
        for stream in ["", "\"stream\":true,"] where row.model != "demo-error" || stream.isEmpty {
          let heard = try client.ask(asked("Hi", model: row.model, stream))
          #expect(heard.status == row.status)
          #expect(
            heard.body.hasSuffix("\"type\":\"\(row.type)\",\"param\":null,\"code\":\(row.code)}}"), "\(heard.body)")
          #expect(heard.fields["retry-after"] == (row.status == 429 ? "2" : nil))
          #expect(heard.fields["x-ratelimit-remaining-requests"] == (row.status == 429 ? "0" : "9999"))
        }
      }
    }
  }

  @Test func maxSaysExactlyAsMuch() throws {
    let table = [("", 256), ("\"max_tokens\":1,", 1), ("\"max_completion_tokens\":3000,", 3_000)]
    try withDemo(gap: 60_000) { demo in
      let client = try DemoClient(demo)
      for (members, count) in table {
        let whole = try client.ask(asked("tool", model: "demo-max", members + "\"tools\":[\(Self.clock)],"))
        #expect(whole.body.contains("\"completion_tokens\":\(count),"))
        #expect(whole.body.contains("\"finish_reason\":\"length\""))
        let stream = try client.ask(asked("Hi", model: "demo-max", members + "\"stream\":true,"))
        #expect(stream.frames.filter { $0.contains("\"delta\":{\"content\":") }.count == count)
        #expect(stream.frames.last == "[DONE]")
      }
      let refused = try client.ask(asked("Hi", model: "demo-max", "\"n\":2,\"max_tokens\":65537,"))
      #expect(refused.status == 400)
    }
  }

  @Test func cutAnswersEndInTheMiddle() throws {
    try withDemo { demo in
      let stream = try DemoClient(demo).ask(asked("Hi", model: "demo-cut", "\"stream\":true,"))
      #expect(stream.status == 200 && stream.isCut && stream.chunks.count == 5)
      #expect(stream.body.hasSuffix("\n\n") == false, "half of the sixth has come")
      let short = try DemoClient(demo).ask(asked("Hi", model: "demo-cut", "\"stream\":true,\"max_tokens\":1,"))
      #expect(short.isCut && short.chunks.count == 2)
      let whole = try DemoClient(demo).ask(asked("Hi", model: "demo-cut"))
      #expect(whole.status == 200 && whole.isCut)
      #expect(whole.body.utf8.count == whole.fields["content-length"].flatMap { Int($0) }.map { $0 / 2 })
    }
  }

  @Test func errorInsideOfAStream() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      let heard = try client.ask(asked("Hi", model: "demo-error", "\"stream\":true,"))
      #expect(heard.status == 200 && !heard.isCut && heard.frames.count == 3)
      #expect(heard.frames.prefix(2).allSatisfy { $0.contains("chat.completion.chunk") })
      #expect(heard.frames.last?.hasPrefix("{\"error\":{\"message\":") == true)
      #expect(try client.fetch("GET", "/health").status == 200)
    }
  }

  @Test func slowAnswers() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      try client.send(DemoClient.request(asked("Hi", model: "demo-slow")))
      let other = try DemoClient(demo)
      #expect(try other.fetch("GET", "/health").status == 200, "nobody waits for it")
      let heard = try client.answer()
      #expect(heard.status == 200 && heard.body.contains("You said: Hi"))
      #expect((heard.fields["openai-processing-ms"].flatMap { Int($0) } ?? 0) >= 1_000)
      #expect(try client.fetch("GET", "/health").status == 200)
    }
  }
}
