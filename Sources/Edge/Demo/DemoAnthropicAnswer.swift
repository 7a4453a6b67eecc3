// Answers in Anthropic's wire: a whole message, and the events of a streamed one.
//
//   message_start ─▶ block start · ping · delta ─▶ delta … ─▶ block stop · message_delta · message_stop
//
// Called by: the reply and the stream. Never: knows what an answer is made of beyond its pieces.

extension DemoText {
  /// The members of a message, up to its content.
  fileprivate mutating func append(messageOf answer: DemoAnswer) {
    append("{\"id\":\"msg_")
    append(hex: answer.identity.high, width: 16)
    append(hex: answer.identity.low, width: 8)
    append("\",\"type\":\"message\",\"role\":\"assistant\",\"model\":")
    append(json: answer.question.model)
    append(",\"content\":[")
  }

  /// The value of `usage`; only a message's own has the details.
  fileprivate mutating func append(anthropicUsageOf answer: DemoAnswer, outputTokens: Int, isWhole: Bool) {
    append("{\"input_tokens\":")
    append(decimal: answer.question.promptTokens)
    append(",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,")
    if isWhole {
      append("\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},")
    }
    append("\"output_tokens\":")
    append(decimal: outputTokens)
    append(isWhole ? ",\"service_tier\":\"standard\"}" : "}")
  }

  fileprivate mutating func append(stopOf answer: DemoAnswer) {
    append("\"stop_reason\":\"")
    append(answer.finish.anthropicName)
    append("\",\"stop_sequence\":")
    if case .stopped(let stop) = answer.finish { append(json: stop) } else { append("null") }
  }

  /// A block that calls a tool, up to its input.
  fileprivate mutating func append(toolUse call: Int, _ name: [UInt8], of answer: DemoAnswer) {
    append("{\"type\":\"tool_use\",\"id\":\"")
    answer.identity.appendCall("toolu_", call, to: &self)
    append("\",\"name\":")
    append(json: name)
    append(",\"input\":")
  }

  /// A whole answer.
  mutating func append(anthropic answer: DemoAnswer) {
    append(messageOf: answer)
    for (place, call) in answer.calls.enumerated() {
      append(place > 0 ? "," : "")
      append(toolUse: place, call.name, of: answer)
      // An object must be one: what was cut inside of it is left out.
      if call.arguments == answer.question.calls[place].arguments { append(call.arguments) } else { append("{}") }
      append("}")
    }
    let words = answer.words
    if !words.isEmpty {
      append("{\"type\":\"text\",\"text\":")
      append(json: words)
      append("}")
    }
    append("],")
    append(stopOf: answer)
    append(",\"usage\":")
    append(anthropicUsageOf: answer, outputTokens: answer.completionTokens, isWhole: true)
    append("}")
  }
}

extension DemoFinish {
  fileprivate var anthropicName: StaticString {
    switch self {
    case .said: "end_turn"
    case .stopped: "stop_sequence"
    case .length: "max_tokens"
    case .calls: "tool_use"
    }
  }
}

/// The events of a stream: all text is one block, each call is one of its own.
struct DemoAnthropicFrames: DemoFrames {
  private static let text: StaticString = "\"text_delta\",\"text\":"
  private static let input: StaticString = "\"input_json_delta\",\"partial_json\":"

  let answer: DemoAnswer

  func writeOpening(_ write: (DemoText) -> Void) {
    writeEvent("message_start", write) { text in
      text.append(",\"message\":")
      text.append(messageOf: answer)
      text.append("],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":")
      text.append(anthropicUsageOf: answer, outputTokens: min(1, answer.completionTokens), isWhole: true)
      text.append("}")
    }
  }

  func writePiece(_ place: Int, _ write: (DemoText) -> Void) {
    switch answer[place] {
    case .text(let token):
      if place == 0 {
        writeBlock(0, write) { $0.append("{\"type\":\"text\",\"text\":\"\"}") }
        writePing(write)
      }
      writeDelta(0, DemoAnthropicFrames.text, Array(token), write)
    case .call(let call, let name):
      if call > 0 { writeStop(call - 1, write) }
      writeBlock(call, write) { text in
        text.append(toolUse: call, name, of: answer)
        text.append("{}}")
      }
      if call == 0 { writePing(write) }
      writeDelta(call, DemoAnthropicFrames.input, [], write)
    case .arguments(let call, let token): writeDelta(call, DemoAnthropicFrames.input, Array(token), write)
    }
  }

  func writeProblem(_ problem: DemoProblem, _ write: (DemoText) -> Void) {
    var frame = DemoText()
    frame.append("event: error\ndata: ")
    frame.append(problem.body(.anthropic, answer.identity).bytes)
    frame.append("\n\n")
    write(frame)
  }

  func writeEnd(_ write: (DemoText) -> Void) {
    if answer.count > 0 { writeStop(block(of: answer[answer.count - 1]), write) }
    writeEvent("message_delta", write) { text in
      text.append(",\"delta\":{")
      text.append(stopOf: answer)
      text.append("},\"usage\":")
      text.append(anthropicUsageOf: answer, outputTokens: answer.completionTokens, isWhole: false)
    }
    writeEvent("message_stop", write) { _ in }
  }

  func writeLost(_ write: (DemoText) -> Void) { writeDelta(0, DemoAnthropicFrames.text, Array(" lost".utf8), write) }

  private func block(of piece: DemoPiece) -> Int {
    switch piece {
    case .text: 0
    case .call(let call, _), .arguments(let call, _): call
    }
  }

  // MARK: events

  /// An event; `members` writes what stands behind its type.
  private func writeEvent(_ name: StaticString, _ write: (DemoText) -> Void, _ members: (inout DemoText) -> Void) {
    var frame = DemoText()
    frame.append("event: ")
    frame.append(name)
    frame.append("\ndata: {\"type\":\"")
    frame.append(name)
    frame.append("\"")
    members(&frame)
    frame.append("}\n\n")
    write(frame)
  }

  private func writePing(_ write: (DemoText) -> Void) { writeEvent("ping", write) { _ in } }

  private func writeBlock(_ index: Int, _ write: (DemoText) -> Void, _ block: (inout DemoText) -> Void) {
    writeEvent("content_block_start", write) { text in
      text.append(",\"index\":")
      text.append(decimal: index)
      text.append(",\"content_block\":")
      block(&text)
    }
  }

  private func writeStop(_ index: Int, _ write: (DemoText) -> Void) {
    writeEvent("content_block_stop", write) { text in
      text.append(",\"index\":")
      text.append(decimal: index)
    }
  }

  /// `type` is everything of the delta in front of the token.
  private func writeDelta(_ index: Int, _ type: StaticString, _ token: [UInt8], _ write: (DemoText) -> Void) {
    writeEvent("content_block_delta", write) { text in
      text.append(",\"index\":")
      text.append(decimal: index)
      text.append(",\"delta\":{\"type\":")
      text.append(type)
      text.append(json: token)
      text.append("}")
    }
  }
}
