import Foundation
import Testing

@testable import Edge

@Suite struct OpenAIChatStreamTests {
  /// What a client sees of a stream: of each event its choice, or the whole of one that has none.
  private static func said(_ parts: [ModelPart], _ usage: Usage = Usage(), asksUsage: Bool = true) -> [String]? {
    let all = ModelParts()
    for part in parts { all.add(part) }
    var identity = Speaking.identity
    identity.asksUsage = asksUsage
    var writing = StreamWriting()
    guard let text = StreamScript.write(.openAIChat, all, identity, usage, &writing) else { return nil }
    let head = """
      {"id":"chatcmpl-01J8T5CY4TQKFF04HMASW9NF6Y","object":"chat.completion.chunk","created":1730000000,\
      "model":"the-model","choices":[
      """
    return StreamScript.data(text).map { data in
      guard data.hasPrefix(head) else { return data }
      return String(data.dropFirst(head.count).dropLast(2))
        .replacing("{\"index\":0,\"delta\":", with: "").replacing(
          ",\"logprobs\":null,\"finish_reason\":null}", with: "")
    }
  }

  private static let start = "{\"role\":\"assistant\",\"content\":\"\"}"

  private static func text(_ text: StaticString, _ kind: ModelPart.Kind = .text) -> ModelPart {
    ModelPart(kind, text: ModelText(literal: text))
  }

  private static func call(
    _ index: Int32, _ id: StaticString, _ name: StaticString, _ arguments: ModelText = .none
  ) -> ModelPart {
    var part = ModelPart(.toolCall, text: arguments)
    part.index = index
    part.id = ModelText(literal: id)
    part.name = ModelText(literal: name)
    return part
  }

  private static func arguments(_ index: Int32, _ text: StaticString) -> ModelPart {
    var part = Self.text(text, .arguments)
    part.index = index
    return part
  }

  private static func finish(_ reason: FinishReason) -> ModelPart {
    var part = ModelPart(.finish)
    part.reason = reason
    return part
  }

  private static func end(_ reason: String) -> String { "{},\"logprobs\":null,\"finish_reason\":\"\(reason)\"}" }

  @Test func texts() {
    let said = Self.said([
      ModelPart(.start), ModelPart(.start), ModelPart(.ping), Self.text(""), Self.text("a\\n"),
      Self.text("hm", .reasoning),
      Self.text("no", .refusal), Self.finish(.stop), Self.finish(.length), ModelPart(.end), Self.text("late"),
    ])
    #expect(
      said == [
        Self.start, "{\"content\":\"a\\n\"}", "{\"reasoning_content\":\"hm\"}", "{\"refusal\":\"no\"}",
        Self.end("stop"),
        "[DONE]",
      ])
  }

  @Test func reasons() {
    let names: [FinishReason: String] = [
      .stop: "stop", .length: "length", .toolCalls: "tool_calls", .contentFilter: "content_filter", .pause: "stop",
    ]
    for reason in FinishReason.allCases {
      #expect(Self.said([Self.finish(reason)]) == [Self.start, Self.end(names[reason] ?? "")])
    }
    // Who says no reason has ended as it seems.
    #expect(Self.said([ModelPart(.end)]) == [Self.start, Self.end("stop"), "[DONE]"])
    let call = Self.call(0, "a", "f", ModelText(literal: "{}"))
    #expect(Self.said([call, ModelPart(.end)])?.suffix(2) == [Self.end("tool_calls"), "[DONE]"])
  }

  /// The numbers are those of this answer, whatever the provider counts; a call without arguments gets an empty object.
  @Test func calls() {
    let value = ModelText(form: .value, bytes: StaticBytes("{\"a\": \"b\"}"))
    let said = Self.said([
      Self.text("x"), Self.call(1, "id1", "f"), Self.arguments(1, ""), Self.arguments(1, "{\\\"a\\\":"),
      Self.arguments(1, "1}"), Self.call(2, "id2", "g"), Self.call(5, "", "h", value), Self.call(6, "id4", "i"),
      Self.finish(.toolCalls),
    ])
    func begun(_ index: Int, _ id: String, _ name: String, _ arguments: String) -> String {
      "{\"tool_calls\":[{\"index\":\(index),\"id\":\"\(id)\",\"type\":\"function\",\"function\":{\"name\":\"\(name)\","
        + "\"arguments\":\"\(arguments)\"}}]}"
    }
    func more(_ index: Int, _ arguments: String) -> String {
      "{\"tool_calls\":[{\"index\":\(index),\"function\":{\"arguments\":\"\(arguments)\"}}]}"
    }
    #expect(
      said == [
        Self.start, "{\"content\":\"x\"}", begun(0, "id1", "f", ""), more(0, "{\\\"a\\\":"), more(0, "1}"),
        begun(1, "id2", "g", ""), more(1, "{}"),
        begun(2, "call_01J8T5CY4TQKFF04HMASW9NF6Y2", "h", "{\\\"a\\\": \\\"b\\\"}"), begun(3, "id4", "i", ""),
        more(3, "{}"), Self.end("tool_calls"),
      ])
  }

  @Test func whatCannotBeSaid() {
    #expect(Self.said([Self.arguments(0, "{}")]) == nil)
    #expect(Self.said([Self.call(0, "a", "f"), Self.call(1, "b", "g"), Self.arguments(0, "{}")]) == nil)
    #expect(Self.said([ModelPart(.user)]) == nil)
  }

  @Test func usage() {
    let usage = MeteredStreamTests.usage(10, 5, cached: 2, written: 1, reasoning: 3)
    let told = """
      {"id":"chatcmpl-01J8T5CY4TQKFF04HMASW9NF6Y","object":"chat.completion.chunk","created":1730000000,\
      "model":"the-model","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,\
      "prompt_tokens_details":{"cached_tokens":2,"cache_write_tokens":1},\
      "completion_tokens_details":{"reasoning_tokens":3}}}
      """
    func count(_ parts: [ModelPart], _ usage: Usage, asksUsage: Bool = true) -> Int? {
      Self.said(parts, usage, asksUsage: asksUsage)?.count { $0.contains("prompt_tokens") }
    }
    let finish = Self.finish(.stop)
    #expect(count([ModelPart(.usage)], usage) == 0)
    #expect(count([finish, ModelPart(.usage), ModelPart(.usage), ModelPart(.end)], usage) == 1)
    #expect(count([ModelPart(.usage), finish, ModelPart(.end)], usage) == 1)
    #expect(count([finish, ModelPart(.usage), ModelPart(.end)], usage, asksUsage: false) == 0)
    #expect(count([finish, ModelPart(.end)], Usage()) == 0)
    let all = ModelParts()
    for part in [finish, ModelPart(.usage), ModelPart(.end)] { all.add(part) }
    var writing = StreamWriting()
    let text = StreamScript.write(.openAIChat, all, Speaking.identity, usage, &writing)
    #expect(text.map { StreamScript.data($0).dropLast().last } == told)
  }

  @Test func errors() {
    var limit = Self.text("Slow \\\"down\\\".", .error)
    limit.code = .rateLimitExceeded
    #expect(
      Self.said([Self.text("a"), limit, ModelPart(.end)])?.last
        == "{\"error\":{\"message\":\"Slow \\\"down\\\".\",\"type\":\"rate_limit_error\",\"param\":null,"
        + "\"code\":\"rate_limit_exceeded\"}}")
    let plain = Self.said([ModelPart(.error)])
    #expect(plain?.count == 1 && plain?[0].contains(ErrorCode.providerError.row.message.description) == true)
  }

  @Test func wholeAnswers() throws {
    func answer(_ parts: [ModelPart], _ usage: Usage = Usage()) throws -> String {
      let all = ModelParts()
      for part in parts { all.add(part) }
      let text = try #require(Speaking.written(.openAIChat, answer: all, usage))
      #expect(Speaking.isJSON(text))
      return text
    }
    let text = try answer([ModelPart(.start), Self.text("a"), Self.text("b"), Self.text("hm", .reasoning)])
    #expect(
      text == """
        {"id":"chatcmpl-01J8T5CY4TQKFF04HMASW9NF6Y","object":"chat.completion","created":1730000000,\
        "model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null,\
        "reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop"}]}
        """)
    #expect(try answer([]).contains("\"content\":\"\",\"refusal\":null}"))
    #expect(try answer([Self.text("no", .refusal)]).contains("\"content\":null,\"refusal\":\"no\"}"))
    let calls = try answer([Self.call(3, "", "f"), Self.call(4, "x", "g", ModelText(literal: "{}"))])
    #expect(calls.contains("\"content\":null") && calls.contains("\"finish_reason\":\"tool_calls\""))
    #expect(calls.contains("\"id\":\"call_01J8T5CY4TQKFF04HMASW9NF6Y0\""))
    #expect(calls.contains("\"name\":\"f\",\"arguments\":\"{}\"}}"))
    #expect(try answer([], MeteredStreamTests.usage(1, 2)).contains("\"usage\":{\"prompt_tokens\":1,"))
    let failed = ModelParts()
    failed.add(ModelPart(.error))
    #expect(Speaking.written(.openAIChat, answer: failed, Usage()) == nil)
  }
}
