import Testing

@testable import Edge

@Suite struct OpenAIChatRequestTests {
  /// A body that is read, and what it says.
  private struct Sample {
    let area: ByteArea
    let request: ModelRequest

    init(_ text: String) throws(DialectFault) {
      area = ByteArea(Array(text.utf8))
      request = try Dialect.read(.openAIChat, area.base, area.count, JSONDocument(capacity: 1))
    }

    func text(_ range: BodyRange) -> String? {
      if range.isNone { return nil }
      return String(decoding: area.slice(Int(range.start)..<Int(range.start + range.count)), as: UTF8.self)
    }

    func edited(_ model: StaticString?) -> String {
      let splices = Dialect.splices(.openAIChat, request, upstreamModel: model.map { StaticBytes($0) })
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
    "{\"model\":\"gpt-4\",\(messages)\(fields.isEmpty ? "" : ",")\(fields)}"
  }

  private static func fault(_ text: String) -> (param: String?, code: ErrorCode, error: String)? {
    do throws(DialectFault) {
      _ = try Sample(text)
      return nil
    } catch {
      let area = ByteArea([UInt8](repeating: 0, count: 1_024))
      var writer = ByteWriter(base: area.base, capacity: area.count)
      Dialect.appendError(.openAIChat, error, requestID: .empty, to: &writer)
      return (error.param?.description, error.code, String(decoding: area.slice(0..<writer.count), as: UTF8.self))
    }
  }

  @Test func theLeast() throws {
    let text = " " + Self.body("")
    let sample = try Sample(text)
    var expected = ModelRequest()
    expected.model = BodyRange(start: 11, count: 5)
    expected.insertion = 2
    expected.bodyBytes = Int64(text.utf8.count)
    #expect(sample.request == expected)
    #expect(sample.text(sample.request.model) == "gpt-4")
    #expect(sample.edited(nil) == text)
    #expect(sample.edited("gpt-4-0613") == text.replacing("gpt-4", with: "gpt-4-0613"))
  }

  @Test func numbers() throws {
    let sample = try Sample(Self.body("\"max_tokens\":5,\"n\":3,\"max_completion_tokens\":7,\"stream\":true"))
    #expect(sample.request.outputTokensMax == 7 && sample.request.choices == 3 && sample.request.streams)
    #expect(try Sample(Self.body("\"max_tokens\":9,\"max_completion_tokens\":7")).request.outputTokensMax == 9)
    #expect(try Sample(Self.body("\"max_tokens\":0")).request.outputTokensMax == 0)
    let nulls = try Sample(Self.body("\"max_tokens\":null,\"max_completion_tokens\":null,\"n\":null,\"stream\":null"))
    #expect(nulls.request.outputTokensMax == -1 && nulls.request.choices == 1 && !nulls.request.streams)
  }

  @Test func providerOfAName() throws {
    for (name, provider) in [("gpt-4", nil), ("openai/gpt-4", "openai"), ("a/b/c", "a"), ("/x", ""), ("x/", "x")] {
      let sample = try Sample("{\"model\":\"\(name)\",\(Self.messages)}")
      #expect(sample.text(sample.request.model) == name)
      #expect(sample.text(sample.request.provider) == provider)
    }
  }

  @Test func pictures() throws {
    let text = """
      {"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},
      {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
      {"type":"image_url","image_url":{"url":"https://x/y.png"}}]},
      {"role":"assistant","content":null},7,
      {"role":"user","content":[{"type":"image_url","image_url":"data:image/x"}]}]}
      """
    let sample = try Sample(text)
    #expect(sample.request.images == 3)
    #expect(sample.request.pictureBytes == 26 + 12)
  }

  static let edits: [(String, String)] = [
    (
      "{\"model\":\"m\",\"stream\":true",
      "{\"stream_options\":{\"include_usage\":true},\"model\":\"M2\",\"stream\":true"
    ),
    (
      "{\"stream\":true,\"stream_options\":null,\"model\":\"m\"",
      "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"M2\""
    ),
    (
      "{\"stream\":true,\"stream_options\":{ },\"model\":\"m\"",
      "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"M2\""
    ),
    (
      "{\"model\":\"m\",\"stream_options\":{ \"include_obfuscation\":false},\"stream\":true",
      "{\"model\":\"M2\",\"stream_options\":{\"include_usage\":true, \"include_obfuscation\":false},\"stream\":true"
    ),
    (
      "{\"model\":\"m\",\"stream_options\":{\"include_usage\": false },\"stream\":true",
      "{\"model\":\"M2\",\"stream_options\":{\"include_usage\": true },\"stream\":true"
    ),
    (
      "{\"model\":\"m\",\"stream_options\":{\"x\":1,\"include\\u005fusage\":null},\"stream\":true",
      "{\"model\":\"M2\",\"stream_options\":{\"x\":1,\"include\\u005fusage\":true},\"stream\":true"
    ),
    (
      "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true},\"stream\":true",
      "{\"model\":\"M2\",\"stream_options\":{\"include_usage\":true},\"stream\":true"
    ),
    (
      "{\"model\":\"m\",\"stream_options\":{\"include_usage\":false},\"stream\":false",
      "{\"model\":\"M2\",\"stream_options\":{\"include_usage\":false},\"stream\":false"
    ),
  ]

  @Test(arguments: edits) func everyStreamReportsItsUsage(_ start: String, _ edited: String) throws {
    let sample = try Sample(start + "," + Self.messages + "}")
    let text = sample.edited("M2")
    #expect(text == edited + "," + Self.messages + "}")
    let again = try Sample(text)
    #expect(again.request.asksUsage == (again.request.streams || start.contains("usage\":true")))
    #expect(sample.request.asksUsage == start.contains("usage\":true"))
  }

  static let refusals: [(String, String)] = [
    ("\"model\":\"x\"", "model"), ("\"m\\u006fdel\":\"x\"", "model"), ("\"stream\":true,\"stream\":true", "stream"),
    ("\"stream_options\":null,\"stream_options\":null", "stream_options"),
    ("\"max_tokens\":1,\"max_tokens\":2", "max_tokens"),
    ("\"max_completion_tokens\":1,\"max_completion_tokens\":2", "max_completion_tokens"), ("\"n\":1,\"n\":1", "n"),
    ("\"messages\":[]", "messages"), ("\"service_tier\":null,\"service_tier\":\"flex\"", "service_tier"),
    ("\"modalities\":null,\"modalities\":null", "modalities"), ("\"audio\":null,\"audio\":null", "audio"),
    ("\"tools\":[],\"tools\":[]", "tools"), ("\"functions\":[],\"functions\":[]", "functions"),
    ("\"web_search_options\":null,\"web_search_options\":null", "web_search_options"),
    ("\"stream_options\":{\"include_usage\":true,\"include_usage\":true}", "stream_options.include_usage"),
    ("\"stream\":1", "stream"), ("\"stream\":\"true\"", "stream"), ("\"stream_options\":[]", "stream_options"),
    ("\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage"), ("\"max_tokens\":-1", "max_tokens"),
    ("\"max_tokens\":1.5", "max_tokens"), ("\"max_tokens\":\"5\"", "max_tokens"), ("\"max_tokens\":1e3", "max_tokens"),
    ("\"max_completion_tokens\":99999999999999999999", "max_completion_tokens"), ("\"n\":0", "n"), ("\"n\":129", "n"),
    ("\"n\":1.0", "n"), ("\"service_tier\":\"flex\"", "service_tier"),
    ("\"service_tier\":\"priority\"", "service_tier"),
    ("\"service_tier\":5", "service_tier"), ("\"modalities\":[\"text\",\"audio\"]", "modalities"),
    ("\"modalities\":\"audio\"", "modalities"), ("\"audio\":{\"voice\":\"alloy\"}", "audio"),
    ("\"web_search_options\":{}", "web_search_options"), ("\"tools\":[{\"type\":\"web_search\"}]", "tools"),
    ("\"tools\":[{\"type\":\"function\"},{}]", "tools"), ("\"tools\":{}", "tools"),
    ("\"tools\":[{\"type\":\"web_search\",\"type\":\"function\"}]", "tools"),
  ]

  @Test(arguments: refusals) func refused(_ fields: String, _ param: String) {
    let fault = Self.fault(Self.body(fields))
    #expect(fault?.param == param)
    #expect(fault?.code == .invalidRequest)
    #expect(
      fault?.error.hasSuffix("\"type\":\"invalid_request_error\",\"param\":\"\(param)\",\"code\":\"invalid_request\"}}")
        == true)
  }

  static let passing = [
    "\"service_tier\":null", "\"service_tier\":\"auto\"", "\"service_tier\":\"default\"", "\"modalities\":[\"text\"]",
    "\"modalities\":null", "\"audio\":null", "\"web_search_options\":null", "\"tools\":null", "\"tools\":[]",
    "\"tools\":[{\"type\":\"function\",\"function\":{}},{\"type\":\"custom\"}]", "\"functions\":[]", "\"x\":1,\"x\":2",
    "\"n\":128", "\"n\":1", "\"stream_options\":{\"include_usage\":null}", "\"temperature\":1e400",
  ]

  @Test(arguments: passing) func passes(_ fields: String) { #expect(Self.fault(Self.body(fields)) == nil) }

  static let broken: [(String, String?)] = [
    ("[]", nil), ("7", nil), ("{}", "model"), ("{\(messages)}", "model"), ("{\"model\":\"\",\(messages)}", "model"),
    ("{\"model\":null,\(messages)}", "model"), ("{\"model\":\"a\\/b\",\(messages)}", "model"),
    ("{\"model\":\"\(String(repeating: "m", count: 257))\",\(messages)}", "model"), ("{\"model\":\"m\"}", "messages"),
    ("{\"model\":\"m\",\"messages\":[]}", "messages"), ("{\"model\":\"m\",\"messages\":null}", "messages"),
    ("{\"model\":\"m\",\"messages\":\"hi\"}", "messages"),
    ("{\"model\":\"m\",\"messages\":[{\"content\":\"a\",\"content\":[]}]}", "messages"),
    ("{\"model\":\"m\",\"messages\":[{\"content\":[{\"type\":\"input_audio\"}]}]}", "messages"),
    ("{\"model\":\"m\",\"messages\":[{\"content\":[{\"type\":\"text\",\"type\":\"image_url\"}]}]}", "messages"),
    ("{\"model\":\"m\",\"messages\":[{\"audio\":{\"id\":\"a\"}}]}", "messages"),
    ("{\"model\":\"m\",\"messages\":[{\"audio\":null,\"audio\":{}}]}", "messages"),
    (
      "{\"model\":\"m\",\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":\"\",\"image_url\":\"\"}]}]}",
      "messages"
    ),
  ]

  @Test(arguments: broken) func isBroken(_ text: String, _ param: String?) {
    let fault = Self.fault(text)
    #expect(fault != nil)
    #expect(fault?.param == param && fault?.code == .invalidRequest)
  }

  @Test func noJSON() {
    #expect(
      Self.fault("{\"model\":}")?.error
        == "{\"error\":{\"message\":\"The body is not valid JSON: unexpected character at byte 9.\","
        + "\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_request\"}}")
    #expect(Self.fault("")?.error.contains("the text ends too early at byte 0.") == true)
    #expect(
      Self.fault(Self.body("\"x\":" + String(repeating: "[", count: 200)))?.error.contains("nested too deeply") == true)
  }

  @Test func tooManyValues() {
    let many = "[" + String(repeating: "1,", count: ModelLimits.requestNodesMax) + "1]"
    #expect(Self.fault(Self.body("\"x\":" + many))?.code == .messageTooLarge)
  }

  @Test func aNameOfTheMostBytes() throws {
    let name = String(repeating: "m", count: 256)
    #expect(try Sample("{\"model\":\"\(name)\",\(Self.messages)}").request.model.count == 256)
  }

  @Test func isPlain() {
    #expect(_isPOD(ModelRequest.self))
    #expect(_isPOD(ModelEvent.self))
  }
}
