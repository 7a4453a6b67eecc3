// A streamed answer: a frame with the role, one frame for each token, one with the reason for the end, and the end.
//
//   role ─▶ token ─▶ token … ─▶ finish · usage · [DONE]
//            │
//            ├─▶ half a frame (demo-cut)
//            └─▶ error frame (demo-error)
//
// Called by: the loop, once per gap. Never: knows a socket or a clock.

/// What a step of a stream leaves to do.
enum DemoStep {
  case more
  case ended
  /// The connection must end here, in the middle.
  case cut
}

/// The rest of a stream.
struct DemoStream {
  let answer: DemoAnswer
  /// HTTP/1.0 does not know chunks; there the connection's end is the end.
  let isChunked: Bool
  private let preamble: DemoText
  /// Steps made.
  private var place = 0

  init(_ answer: DemoAnswer, isChunked: Bool) {
    self.answer = answer
    self.isChunked = isChunked
    var text = DemoText()
    text.append("data: ")
    text.append(preambleOf: answer, object: "chat.completion.chunk")
    preamble = text
  }

  /// Whether there is a rest before the next step.
  var hasGap: Bool { answer.question.behaviour != .max && place > 0 }

  /// Writes what comes next.
  mutating func step(into output: inout DemoText) -> DemoStep {
    defer { place += 1 }
    switch answer.question.behaviour {
    case .cut where place == min(5, answer.count + 1):
      cut(&output)
      return .cut
    case .error where place == min(2, answer.count + 1):
      var frame = DemoText()
      let problem = DemoProblem(message: "The demo provider fails here, as this model does.", type: "server_error")
      frame.append("data: ")
      frame.append(problem.body.bytes)
      frame.append("\n\n")
      write(frame, to: &output)
      end(&output)
      return .ended
    default: break
    }
    if place == 0 {
      writeChoices(to: &output) { text, _ in
        text.append("{\"role\":\"assistant\",\"content\":")
        text.append(answer.callsTools ? "null" : "\"\"")
        text.append(",\"refusal\":null}")
      }
      return .more
    }
    if place <= answer.count {
      let piece = answer[place - 1]
      writeChoices(to: &output) { text, choice in append(piece, choice: choice, to: &text) }
    }
    if place < answer.count || isInterrupted { return .more }
    finish(&output)
    return .ended
  }

  /// The model breaks off: its last token is not followed by an end at once.
  private var isInterrupted: Bool { answer.question.behaviour == .cut || answer.question.behaviour == .error }

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
      answer.identity.appendCall(call, choice: choice, to: &text)
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

  // MARK: frames

  /// A frame for each choice.
  private func writeChoices(
    to output: inout DemoText, finish: StaticString? = nil, _ delta: (inout DemoText, Int) -> Void
  ) {
    for choice in 0..<answer.question.choices {
      write(frame(choice, finish: finish) { delta(&$0, choice) }, to: &output)
    }
  }

  private func frame(_ choice: Int, finish: StaticString? = nil, _ delta: (inout DemoText) -> Void) -> DemoText {
    var frame = preamble
    frame.append("{\"index\":")
    frame.append(decimal: choice)
    frame.append(",\"delta\":")
    delta(&frame)
    frame.append(",\"logprobs\":null,\"finish_reason\":")
    if let finish { frame.append(json: finish.description) } else { frame.append("null") }
    frame.append("}]")
    if answer.question.wantsUsage { frame.append(",\"usage\":null") }
    frame.append("}\n\n")
    return frame
  }

  private func finish(_ output: inout DemoText) {
    writeChoices(to: &output, finish: answer.finish) { text, _ in text.append("{}") }
    if answer.question.wantsUsage {
      var frame = preamble
      frame.append("],\"usage\":")
      frame.append(usageOf: answer)
      frame.append("}\n\n")
      write(frame, to: &output)
    }
    var done = DemoText()
    done.append("data: [DONE]\n\n")
    write(done, to: &output)
    end(&output)
  }

  private func cut(_ output: inout DemoText) {
    let whole = frame(0) { $0.append("{\"content\":\" lost\"}") }
    if isChunked {
      output.append(chunkSize: whole.count)
    }
    output.append(whole.bytes[..<(whole.count / 2)])
  }

  private func write(_ frame: DemoText, to output: inout DemoText) {
    if isChunked { output.append(chunkSize: frame.count) }
    output.append(frame.bytes)
    if isChunked { output.append("\r\n") }
  }

  private func end(_ output: inout DemoText) { if isChunked { output.append("0\r\n\r\n") } }
}

extension DemoText {
  fileprivate mutating func append(chunkSize: Int) {
    append(string: String(chunkSize, radix: 16))
    append("\r\n")
  }
}
