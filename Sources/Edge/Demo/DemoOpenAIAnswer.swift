// Answers in OpenAI's wire: a whole completion, and the frames of a streamed one.
//
//   role ─▶ token ─▶ token … ─▶ finish · usage · [DONE]
//
// Called by: the reply and the stream. Never: knows what an answer is made of beyond its pieces.

extension DemoText {
  /// The members that a whole answer and every chunk of a stream have, up to the list of choices.
  fileprivate mutating func append(preambleOf answer: DemoAnswer, object: StaticString) {
    append("{\"id\":\"chatcmpl-")
    append(hex: answer.identity.high, width: 16)
    append(hex: answer.identity.low, width: 13)
    append("\",\"object\":\"")
    append(object)
    append("\",\"created\":")
    append(decimal: Int(answer.identity.wall / 1_000_000_000))
    append(",\"model\":")
    append(json: answer.question.model)
    append(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_de300de300\",\"choices\":[")
  }

  /// The value of `usage`.
  fileprivate mutating func append(openAIUsageOf answer: DemoAnswer) {
    append("{\"prompt_tokens\":")
    append(decimal: answer.question.promptTokens)
    append(",\"completion_tokens\":")
    append(decimal: answer.completionTokens)
    append(",\"total_tokens\":")
    append(decimal: answer.question.promptTokens + answer.completionTokens)
    append(",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}")
    append(",\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,")
    append("\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}")
  }

  /// A whole answer.
  mutating func append(openAI answer: DemoAnswer) {
    append(preambleOf: answer, object: "chat.completion")
    for choice in 0..<answer.question.choices {
      append(choice > 0 ? "," : "")
      append("{\"index\":")
      append(decimal: choice)
      append(",\"message\":{\"role\":\"assistant\",\"content\":")
      if answer.callsTools { append(openAICallsOf: answer, choice: choice) } else { append(json: answer.words) }
      append(",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"")
      append(answer.finish.openAIName)
      append("\"}")
    }
    append("],\"usage\":")
    append(openAIUsageOf: answer)
    append("}")
  }

  private mutating func append(openAICallsOf answer: DemoAnswer, choice: Int) {
    append("null,\"tool_calls\":[")
    for (place, call) in answer.calls.enumerated() {
      append(place > 0 ? ",{\"id\":\"" : "{\"id\":\"")
      answer.identity.appendCall("call_", place, choice: choice, to: &self)
      append("\",\"type\":\"function\",\"function\":{\"name\":")
      append(json: call.name)
      append(",\"arguments\":")
      append(json: call.arguments)
      append("}}")
    }
    append("]")
  }
}

extension DemoFinish {
  fileprivate var openAIName: StaticString {
    switch self {
    case .said, .stopped: "stop"
    case .length: "length"
    case .calls: "tool_calls"
    }
  }
}

/// The frames of a stream.
struct DemoOpenAIFrames: DemoFrames {
  private let answer: DemoAnswer
  private let preamble: DemoText

  init(_ answer: DemoAnswer) {
    self.answer = answer
    var text = DemoText()
    text.append("data: ")
    text.append(preambleOf: answer, object: "chat.completion.chunk")
    preamble = text
  }

  func writeOpening(_ write: (DemoText) -> Void) {
    writeChoices(write) { text, _ in
      text.append("{\"role\":\"assistant\",\"content\":")
      text.append(answer.callsTools ? "null" : "\"\"")
      text.append(",\"refusal\":null}")
    }
  }

  func writePiece(_ place: Int, _ write: (DemoText) -> Void) {
    let piece = answer[place]
    writeChoices(write) { text, choice in append(piece, choice: choice, to: &text) }
  }

  func writeProblem(_ problem: DemoProblem, _ write: (DemoText) -> Void) {
    var frame = DemoText()
    frame.append("data: ")
    frame.append(problem.body(.openAI, answer.identity).bytes)
    frame.append("\n\n")
    write(frame)
  }

  func writeEnd(_ write: (DemoText) -> Void) {
    writeChoices(write, finish: answer.finish) { text, _ in text.append("{}") }
    if answer.question.wantsUsage {
      var frame = preamble
      frame.append("],\"usage\":")
      frame.append(openAIUsageOf: answer)
      frame.append("}\n\n")
      write(frame)
    }
    var done = DemoText()
    done.append("data: [DONE]\n\n")
    write(done)
  }

  func writeLost(_ write: (DemoText) -> Void) { write(frame(0) { $0.append("{\"content\":\" lost\"}") }) }

  private func append(_ piece: DemoPiece, choice: Int, to text: inout DemoText) {
    switch piece {
    case .text(let token):
      text.append("{\"content\":")
      text.append(json: Array(token))
      text.append("}")
    case .call(let call, let name):
      text.append("{\"tool_calls\":[{\"index\":")
      text.append(decimal: call)
      text.append(",\"id\":\"")
      answer.identity.appendCall("call_", call, choice: choice, to: &text)
      text.append("\",\"type\":\"function\",\"function\":{\"name\":")
      text.append(json: name)
      text.append(",\"arguments\":\"\"}}]}")
    case .arguments(let call, let token):
      text.append("{\"tool_calls\":[{\"index\":")
      text.append(decimal: call)
      text.append(",\"function\":{\"arguments\":")
      text.append(json: Array(token))
      text.append("}}]}")
    }
  }

  /// A frame for each choice.
  private func writeChoices(
    _ write: (DemoText) -> Void, finish: DemoFinish? = nil, _ delta: (inout DemoText, Int) -> Void
  ) {
    for choice in 0..<answer.question.choices { write(frame(choice, finish: finish) { delta(&$0, choice) }) }
  }

  private func frame(_ choice: Int, finish: DemoFinish? = nil, _ delta: (inout DemoText) -> Void) -> DemoText {
    var frame = preamble
    frame.append("{\"index\":")
    frame.append(decimal: choice)
    frame.append(",\"delta\":")
    delta(&frame)
    frame.append(",\"logprobs\":null,\"finish_reason\":")
    if let finish { frame.append(json: finish.openAIName.description) } else { frame.append("null") }
    frame.append("}]")
    if answer.question.wantsUsage { frame.append(",\"usage\":null") }
    frame.append("}\n\n")
    return frame
  }
}
