// A streamed answer: an opening, one step for each token, and the end, in frames of either wire.
//
//   opening ─▶ token ─▶ token … ─▶ end
//               │
//               ├─▶ half a frame (demo-cut)
//               └─▶ error frame (demo-error)
//
// Called by: the loop, once per gap. Never: knows a socket or a clock.

/// What a step of a stream leaves to do.
enum DemoStep {
  case more
  case ended
  /// The connection must end here, in the middle.
  case cut
}

/// How a wire says the parts of a stream; each function writes whole frames.
protocol DemoFrames {
  func writeOpening(_ write: (DemoText) -> Void)
  func writePiece(_ place: Int, _ write: (DemoText) -> Void)
  func writeProblem(_ problem: DemoProblem, _ write: (DemoText) -> Void)
  func writeEnd(_ write: (DemoText) -> Void)
  /// One frame that is sent by half.
  func writeLost(_ write: (DemoText) -> Void)
}

/// The rest of a stream.
struct DemoStream {
  let answer: DemoAnswer
  /// HTTP/1.0 does not know chunks; there the connection's end is the end.
  let isChunked: Bool
  private let frames: any DemoFrames
  /// Steps made.
  private var place = 0

  init(_ answer: DemoAnswer, isChunked: Bool) {
    self.answer = answer
    self.isChunked = isChunked
    switch answer.question.wire {
    case .openAI: frames = DemoOpenAIFrames(answer)
    case .anthropic: frames = DemoAnthropicFrames(answer: answer)
    }
  }

  /// Whether there is a rest before the next step.
  var hasGap: Bool { answer.question.behaviour != .max && place > 0 }

  /// Writes what comes next.
  mutating func step(into output: inout DemoText) -> DemoStep {
    defer { place += 1 }
    switch answer.question.behaviour {
    case .cut where place == min(5, answer.count + 1):
      frames.writeLost { cut($0, &output) }
      return .cut
    case .error where place == min(2, answer.count + 1):
      let problem = DemoProblem(
        status: 500, message: "The demo provider fails here, as this model does.", type: "server_error")
      frames.writeProblem(problem) { write($0, to: &output) }
      end(&output)
      return .ended
    default: break
    }
    if place == 0 {
      frames.writeOpening { write($0, to: &output) }
      return .more
    }
    if place <= answer.count { frames.writePiece(place - 1) { write($0, to: &output) } }
    if place < answer.count || isInterrupted { return .more }
    frames.writeEnd { write($0, to: &output) }
    end(&output)
    return .ended
  }

  /// The model breaks off: its last token is not followed by an end at once.
  private var isInterrupted: Bool { answer.question.behaviour == .cut || answer.question.behaviour == .error }

  // MARK: chunks

  private func cut(_ frame: DemoText, _ output: inout DemoText) {
    if isChunked { output.append(chunkSize: frame.count) }
    output.append(frame.bytes[..<(frame.count / 2)])
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
