// The parts of the demo provider that need no connection: the cut into tokens, the deadlines, the reading of questions.

import Testing

@testable import Edge

struct DemoPartsTests {
  // MARK: tokens

  @Test func tokensAreWordsAndPunctuation() {
    let table: [(text: String, tokens: [String])] = [
      ("", []), (" ", [" "]), ("a", ["a"]), ("Hello, world!", ["Hello", ",", " world", "!"]),
      ("it's  x_1\n", ["it", "'", "s", "  x_1\n"]), ("…“ünï” 🙂", ["…“ünï”", " 🙂"]), ("({[a]})", ["({[", "a", "]})"]),
    ]
    for row in table {
      let text = Array(row.text.utf8)
      #expect(DemoTokens.split(text).map { String(decoding: $0, as: UTF8.self) } == row.tokens)
      #expect(DemoTokens.count(text) == row.tokens.count)
    }
  }

  @Test func wordsAreFound() {
    for text in ["tool", "a Tool.", "TOOL!", "my\ttool "] { #expect(DemoTokens.holds("tool", in: Array(text.utf8))) }
    for text in ["", "tools", "atool", "to ol"] { #expect(!DemoTokens.holds("tool", in: Array(text.utf8))) }
  }

  // MARK: deadlines

  @Test func deadlinesComeInOrder() {
    var generator = SeededGenerator(seed: 11)
    var timers = DemoTimers()
    var model: [Int: UInt64] = [:]
    var now: UInt64 = 0
    for _ in 0..<5_000 {
      let slot = generator.below(40)
      switch generator.below(4) {
      case 0:
        timers.arm(slot, nil)
        model[slot] = nil
      case 1:
        now += UInt64(generator.below(20))
        var last: UInt64 = 0
        while let slot = timers.nextExpired(now) {
          let deadline = model.removeValue(forKey: slot) ?? .max
          #expect(deadline <= now && deadline >= last)
          last = deadline
        }
        #expect(model.values.allSatisfy { $0 > now })
      default:
        let deadline = now + UInt64(generator.below(100))
        timers.arm(slot, deadline)
        model[slot] = deadline
      }
      let next = model.values.min().map { $0 <= now ? 0 : Int32($0 - now) }
      #expect(timers.wait(now) == next ?? -1)
    }
  }

  // MARK: questions

  @Test func wrongQuestions() {
    let table: [(body: String, parameter: String?, code: String?)] = [
      ("", nil, nil), ("{", nil, nil), ("[]", nil, nil), ("{}", nil, nil), ("{\"model\":null}", nil, nil),
      ("{\"model\":7}", "model", "invalid_type"), ("{\"model\":\"a\",\"model\":\"b\"}", "model", nil),
      ("{\"model\":\"a\"}", "messages", "missing_required_parameter"),
      ("{\"model\":\"a\",\"messages\":{}}", "messages", "invalid_type"),
      ("{\"model\":\"a\",\"messages\":[]}", "messages", "empty_array"),
      ("{\"model\":\"a\",\"messages\":[1]}", "messages[0]", "invalid_type"),
      ("{\"model\":\"a\",\"messages\":[{}]}", "messages[0].role", "missing_required_parameter"),
      ("{\"model\":\"a\",\"messages\":[{\"role\":\"me\"}]}", "messages[0].role", "invalid_value"),
      ("{\"model\":\"a\",\"messages\":[{\"role\":1}]}", "messages[0].role", "invalid_value"),
      (
        "{\"model\":\"a\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "missing_required_parameter"
      ),
      ("{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":1}]}", "messages[0].content", "invalid_type"),
      (
        "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", "messages[0].content",
        "invalid_type"
      ),
      (asked("x", "\"stream\":1,"), "stream", "invalid_type"),
      (asked("x", "\"stream_options\":{},"), "stream_options", nil),
      (asked("x", "\"stream\":true,\"stream_options\":1,"), "stream_options", "invalid_type"),
      (
        asked("x", "\"stream\":true,\"stream_options\":{\"include_usage\":\"yes\"},"),
        "stream_options.include_usage", "invalid_type"
      ),
      (asked("x", "\"n\":0,"), "n", "integer_below_min_value"),
      (asked("x", "\"n\":129,"), "n", "integer_above_max_value"),
      (asked("x", "\"n\":1.5,"), "n", "invalid_type"),
      (asked("x", "\"max_tokens\":0,"), "max_tokens", "integer_below_min_value"),
      (asked("x", "\"max_completion_tokens\":\"1\","), "max_completion_tokens", "invalid_type"),
      (asked("x", "\"stop\":1,"), "stop", "invalid_type"), (asked("x", "\"stop\":\"\","), "stop", "invalid_value"),
      (asked("x", "\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"],"), "stop", "array_above_max_length"),
      (asked("x", "\"tools\":{},"), "tools", "invalid_type"),
      (asked("x", "\"tools\":[1],"), "tools[0].function", "invalid_type"),
      (asked("x", "\"tools\":[{\"function\":{}}],"), "tools[0].function.name", "missing_required_parameter"),
      (asked("x", "\"tool_choice\":\"any\","), "tool_choice", "invalid_value"),
      (asked("x", "\"tool_choice\":{},"), "tool_choice", "invalid_value"),
      (asked("x", "\"tool_choice\":{\"function\":{\"name\":\"f\"}},"), "tool_choice", "invalid_value"),
    ]
    for row in table {
      let problem = #expect(throws: DemoProblem.self, "\(row.body)") {
        try DemoQuestion.read(Array(row.body.utf8), .openAI, with: JSONDocument())
      }
      #expect(problem?.status == 400 && problem?.type.description == "invalid_request_error")
      #expect(problem?.parameter == row.parameter && problem?.code?.description == row.code, "\(row.body)")
    }
  }

  @Test func argumentsComeFromTheSchema() throws {
    let table: [(schema: String, arguments: String)] = [
      ("null", "{}"), ("7", "{}"), ("{}", "{}"), ("{\"type\":\"object\",\"properties\":{}}", "{}"),
      ("{\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{}}}", "{\"a\":1,\"b\":\"demo\"}"),
      ("{\"properties\":{\"a\":{\"type\":[\"boolean\",\"null\"]},\"b\":true}}", "{\"a\":true,\"b\":\"demo\"}"),
      ("{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"const\":2}}}", "{\"a\":null,\"b\":2}"),
      ("{\"properties\":{\"a\":{\"enum\":[\"x\",\"y\"]},\"b\":{\"enum\":[]}}}", "{\"a\":\"x\",\"b\":\"demo\"}"),
      (
        "{\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"b\":{\"type\":\"array\"}}}",
        "{\"a\":[1],\"b\":[]}"
      ),
      (
        "{\"properties\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\\u0022\":{\"type\":\"string\"}}}}}",
        "{\"a\":{\"b\\u0022\":\"demo\"}}"
      ),
    ]
    for row in table {
      let tools = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":\(row.schema)}}],"
      let question = try DemoQuestion.read(Array(asked("tool", tools).utf8), .openAI, with: JSONDocument())
      #expect(question.calls == [DemoCall(name: raw("f"), arguments: raw(row.arguments))])
    }
  }

  // MARK: the command

  @Test func wrongOptionsAreRefused() {
    for words in [["--port", "x"], ["--port=65536"], ["--gap", "-1"], ["--gap=60001"], ["--speed"], ["--port"]] {
      #expect(CommandTable.run(["demo-provider"] + words) == ExitCode.usage)
    }
    #expect(CommandTable.run(["demo-provider", "--help"]) == ExitCode.success)
  }
}
