import Foundation
import Testing

@testable import Edge

@Suite struct OpenAIChatPartsTests {
  private static let folder = "openai-chat"

  // MARK: requests

  private static func refusal(_ text: String) -> DialectFault? {
    let area = ByteArea(Array(text.utf8))
    do throws(DialectFault) {
      _ = try Speaking.request(.openAIChat, area)
      return nil
    } catch {
      return error
    }
  }

  @Test func requestsAsParts() throws {
    for name in try Golden.names("\(Self.folder)/requests", ".json") {
      let text = try Golden.text("\(Self.folder)/requests/\(name)")
      let area = ByteArea(Array(text.utf8))
      _ = try Dialect.read(.openAIChat, area.base, area.count, JSONDocument(capacity: 1))
      let parts = try Speaking.request(.openAIChat, area)
      let stem = "\(Self.folder)/requests/" + name.dropLast(5)
      try Golden.check("\(stem).parts", PartText.text(parts.parts) + PartText.settings(parts.settings))
      let written = try Speaking.written(.openAIChat, request: parts, Speaking.plan(streams: true, tokens: 30))
      try Golden.check("\(stem).written", try Speaking.pretty(written))
      // What is written says the same, and is accepted.
      let again = ByteArea(Array(written.utf8))
      let request = try Dialect.read(.openAIChat, again.base, again.count, JSONDocument(capacity: 1))
      #expect(request.asksUsage && request.streams && request.outputTokensMax == 30)
      let copy = try Speaking.request(.openAIChat, again)
      let rewritten = try Speaking.written(.openAIChat, request: copy, Speaking.plan(streams: true, tokens: 30))
      #expect(rewritten == written)
    }
  }

  @Test func keysAreInOneOrder() throws {
    let area = ByteArea(Array(try Golden.text("\(Self.folder)/requests/settings.json").utf8))
    let written = try Speaking.written(.openAIChat, request: try Speaking.request(.openAIChat, area))
    #expect(written.hasPrefix("{\"model\":\"the-model\",\"messages\":[{\"role\":\"system\",\"content\":\"Be"))
    #expect(written.contains("\"}],\"temperature\":1.5,\"top_p\":0.25,\"stop\":[\"END\"],\"response_format\":"))
    #expect(!written.contains("stream") && !written.contains("max_completion_tokens"))
    // Without tools nobody may say how to choose.
    #expect(!written.contains("tool_choice") && !written.contains("parallel_tool_calls"))
  }

  /// Pictures in what a tool has given stand behind all messages of tools; the tool's own can hold texts only.
  @Test func picturesOfTools() throws {
    let parts = ModelParts()
    func add(_ kind: ModelPart.Kind, _ text: StaticString? = nil, id: StaticString? = nil) {
      var part = ModelPart(kind, text: text.map { ModelText(literal: $0) } ?? .none)
      part.id = id.map { ModelText(literal: $0) } ?? .none
      if kind == .image { part.mediaType = ModelText(literal: "image/png") }
      parts.add(part)
    }
    add(.user)
    add(.text, "first")
    add(.toolResult, id: "a")
    add(.text, "one")
    add(.image, "QUJD")
    add(.toolResultEnd)
    add(.toolResult, id: "b")
    add(.toolResultEnd)
    add(.text, "last")
    add(.assistant)
    add(.reasoning, "hm")
    let written = try Speaking.written(.openAIChat, request: parts)
    #expect(
      written == """
        {"model":"the-model","messages":[{"role":"tool","tool_call_id":"a","content":"one"},\
        {"role":"tool","tool_call_id":"b","content":""},\
        {"role":"user","content":[{"type":"text","text":"first"},\
        {"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}},{"type":"text","text":"last"}]}]}
        """)
  }

  static let refusals: [(String, String)] = [
    ("\"n\":2", "n"), ("\"logprobs\":true", "logprobs"), ("\"top_logprobs\":2", "top_logprobs"),
    ("\"functions\":[{}]", "functions"), ("\"functions\":{}", "functions"),
    ("\"function_call\":\"auto\"", "function_call"), ("\"audio\":{}", "audio"), ("\"moderation\":{}", "moderation"),
    ("\"response_format\":{\"type\":\"yaml\"}", "response_format"), ("\"response_format\":7", "response_format"),
    ("\"response_format\":{\"type\":\"json_schema\"}", "response_format"),
    ("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":[]}}", "response_format"),
    ("\"tools\":[{\"type\":\"custom\"}]", "tools"), ("\"tools\":[{\"type\":\"function\"}]", "tools"),
    ("\"tools\":[{\"type\":\"function\",\"function\":{}}]", "tools"),
    ("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":[]}}]", "tools"),
    ("\"tool_choice\":\"any\"", "tool_choice"), ("\"tool_choice\":{\"type\":\"function\"}", "tool_choice"),
    ("\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{}}", "tool_choice"),
    ("\"tool_choice\":{\"type\":\"function\",\"function\":{}}", "tool_choice"),
    ("\"temperature\":\"1\"", "temperature"),
    ("\"temperature\":1,\"temperature\":2", "temperature"), ("\"top_p\":[]", "top_p"), ("\"stop\":7", "stop"),
    ("\"stop\":[\"a\",7]", "stop"), ("\"user\":7", "user"), ("\"reasoning_effort\":{}", "reasoning_effort"),
  ]

  /// What no other dialect can say, and what is wrong in places that only a translation reads.
  @Test(arguments: refusals) func refused(_ fields: String, _ param: String) {
    let fault = Self.refusal("{\"model\":\"m\",\"messages\":[],\(fields)}")
    #expect(fault?.param?.description == param && fault?.code == .invalidRequest)
    #expect(fault?.message.description.hasSuffix(".") == true)
  }

  static let badMessages = [
    "7", "{}", "{\"role\":\"user\"}", "{\"role\":\"user\",\"content\":null}", "{\"role\":\"user\",\"content\":7}",
    "{\"role\":\"user\",\"content\":\"a\",\"role\":\"user\"}", "{\"role\":\"boss\",\"content\":\"a\"}",
    "{\"role\":\"function\",\"name\":\"f\",\"content\":\"a\"}", "{\"role\":\"user\",\"content\":[7]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":7}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,abc\"}}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"ftp://a\"}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_data\":\"JVBE\"}}]}",
    "{\"role\":\"user\",\"content\":[{\"type\":\"video\"}]}", "{\"role\":\"tool\",\"content\":\"a\"}",
    "{\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"https://a\"}]}",
    "{\"role\":\"assistant\",\"tool_calls\":{}}", "{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"custom\"}]}",
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{}}}]}",
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"arguments\":\"{}\"}}]}",
    "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}",
    "{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}",
    "{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}",
  ]

  @Test(arguments: badMessages) func badMessage(_ message: String) {
    let fault = Self.refusal("{\"model\":\"m\",\"messages\":[\(message)]}")
    #expect(fault?.param?.description == "messages")
  }

  /// Any value in any place: a fault, or a request that can be written.
  @Test func anyValueAnywhere() throws {
    for name in ["settings.json", "pictures.json", "tools.json"] {
      for text in Spoiled.texts(try Golden.text("\(Self.folder)/requests/\(name)")) {
        let area = ByteArea(Array(text.utf8))
        guard let parts = try? Speaking.request(.openAIChat, area) else { continue }
        let written = try Speaking.written(.openAIChat, request: parts)
        #expect(Speaking.isJSON(written), "\(text)")
      }
    }
  }

  @Test func aRequestWithoutRoom() throws {
    let area = ByteArea(Array(try Golden.text("\(Self.folder)/requests/tools.json").utf8))
    let parts = try Speaking.request(.openAIChat, area)
    let whole = try Speaking.written(.openAIChat, request: parts).utf8.count
    for room in stride(from: 0, to: whole, by: 7) {
      let target = ByteArea([UInt8](repeating: 0, count: room))
      var writer = ByteWriter(base: target.base, capacity: room)
      try Dialect.writeRequest(.openAIChat, parts, Speaking.plan(), JSONDocument(capacity: 1), to: &writer)
      #expect(writer.overflowed)
    }
  }

  // MARK: answers

  @Test func streamsAsParts() throws {
    for name in try Transcripts.names(".sse") {
      let script = StreamScript(.openAIChat, try Transcripts.data(name))
      let lines = script.steps.map { step in
        "# \(step.event.kind)\(step.event.isOpening ? " opening" : "")\n" + PartText.text(step.parts)
      }
      let stem = name.dropLast(4)
      try Golden.check("\(Self.folder)/parts/\(stem).parts", lines.joined())
      let written = try #require(script.written(.openAIChat))
      try Golden.check("\(Self.folder)/parts/\(stem).written", written)
      for data in StreamScript.data(written) where data != "[DONE]" { #expect(Speaking.isJSON(data)) }
      for group in [2, 3, 100] { #expect(script.written(.openAIChat, group: group) == written, "\(name) \(group)") }
    }
  }

  @Test func answersAsParts() throws {
    for name in ["answer-text.json", "answer-tools.json"] {
      let area = ByteArea(try Transcripts.bytes(name))
      let document = JSONDocument(capacity: 1)
      let event = Dialect.readAnswer(.openAIChat, area.base, area.count, document)
      let parts = ModelParts()
      Dialect.readParts(.openAIChat, answer: area.base, area.count, document, into: parts)
      let stem = name.dropLast(5)
      try Golden.check("\(Self.folder)/parts/\(stem).parts", PartText.text(parts.parts))
      let written = try #require(Speaking.written(.openAIChat, answer: parts, event.usage))
      try Golden.check("\(Self.folder)/parts/\(stem).written", try Speaking.pretty(written))
    }
  }

  @Test func anyValueAnywhereInAnswers() throws {
    for name in try Transcripts.names(".sse") {
      for text in Set(try Transcripts.data(name).prefix(5)) {
        for spoiled in Spoiled.texts(text) {
          let script = StreamScript(.openAIChat, [spoiled])
          guard let written = script.written(.openAIChat) else { continue }
          for data in StreamScript.data(written) { #expect(Speaking.isJSON(data), "\(spoiled)") }
        }
      }
    }
    for name in ["answer-text.json", "answer-tools.json"] {
      for spoiled in Spoiled.texts(String(decoding: try Transcripts.bytes(name), as: UTF8.self)) {
        let area = ByteArea(Array(spoiled.utf8))
        let document = JSONDocument(capacity: 1)
        let event = Dialect.readAnswer(.openAIChat, area.base, area.count, document)
        let parts = ModelParts()
        Dialect.readParts(.openAIChat, answer: area.base, area.count, document, into: parts)
        guard let written = Speaking.written(.openAIChat, answer: parts, event.usage) else { continue }
        #expect(Speaking.isJSON(written), "\(spoiled)")
      }
    }
  }

  @Test(
    arguments: [
      ("{\"error\":{\"message\":\"a \\u00e4\"}}", "a \\u00e4"), ("{\"error\":\"b\"}", "b"),
      ("{\"message\":\"c\"}", "c"),
      ("[{\"error\":{\"message\":\"d\"}}]", "d"), ("{\"error\":{\"message\":7}}", nil), ("{\"error\":[]}", nil),
      ("<html>", nil), ("", nil), ("[]", nil), ("7", nil), ("{\"error\":null}", nil),
    ] as [(String, String?)])
  func errorsOfProviders(_ body: String, _ message: String?) {
    let area = ByteArea(Array(body.utf8))
    let text = Dialect.readError(.openAIChat, area.base, area.count, JSONDocument(capacity: 1))
    #expect(text.isNone ? message == nil : String(decoding: text.content, as: UTF8.self) == message)
  }
}
