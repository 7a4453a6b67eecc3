// Writes the streams of this dialect from the parts of another one: a chunk for each part that says something.
//
// Called by: the table of dialects.
// Never: keeps anything but StreamWriting between calls. There `block` is `.toolCall` as long as the last call has no
// arguments: clients read them as JSON, so a call that ends without any gets an empty object.

extension OpenAIChat {
  /// Writes whole events of a stream.
  static func writeEvents(
    _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage, _ writing: inout StreamWriting,
    to writer: inout ByteWriter
  ) -> Bool {
    for part in parts.parts where !writing.toldEnd {
      switch part.kind {
      case .start: begin(identity, &writing, to: &writer)
      case .text: say("content", part.text, identity, &writing, to: &writer)
      case .refusal: say("refusal", part.text, identity, &writing, to: &writer)
      case .reasoning: say("reasoning_content", part.text, identity, &writing, to: &writer)
      case .toolCall: beginCall(part, identity, &writing, to: &writer)
      case .arguments:
        if writing.calls == 0 || part.index != writing.call { return false }
        say(arguments: part.text, identity, &writing, to: &writer)
      case .finish: finish(part.reason, identity, &writing, to: &writer)
      case .end:
        finish(writing.calls > 0 ? .toolCalls : .stop, identity, &writing, to: &writer)
        if identity.asksUsage { tell(usage, identity, to: &writer) }
        writer.append("data: [DONE]\n\n")
        writing.toldEnd = true
      case .error:
        writer.append("data: ")
        appendError(part, to: &writer)
        writer.append("\n\n")
        writing.toldEnd = true
      // What is told last counts, so it is said at the end.
      case .usage, .ping: break
      case .instruction, .user, .assistant, .image, .file, .toolResult, .toolResultEnd, .tool, .unsayable: return false
      }
    }
    return true
  }

  // MARK: chunks

  /// Up to where the delta says something.
  private static func openChunk(_ identity: AnswerIdentity, to writer: inout ByteWriter) {
    writer.append("data: ")
    append("chat.completion.chunk", identity, to: &writer)
    writer.append("\"choices\":[{\"index\":0,\"delta\":{")
  }

  private static func closeChunk(_ reason: FinishReason? = nil, to writer: inout ByteWriter) {
    writer.append("},\"logprobs\":null,\"finish_reason\":")
    if let reason { writer.append(json: name(reason)) } else { writer.appendNull() }
    writer.append("}]}\n\n")
  }

  /// The first chunk says who speaks.
  private static func begin(_ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter) {
    if writing.hasStarted { return }
    writing.hasStarted = true
    openChunk(identity, to: &writer)
    writer.append("\"role\":\"assistant\",\"content\":\"\"")
    closeChunk(to: &writer)
  }

  private static func say(
    _ key: StaticString, _ text: ModelText, _ identity: AnswerIdentity, _ writing: inout StreamWriting,
    to writer: inout ByteWriter
  ) {
    if text.isEmpty { return }
    begin(identity, &writing, to: &writer)
    endCall(identity, &writing, to: &writer)
    openChunk(identity, to: &writer)
    writer.append(jsonKey: key)
    writer.append(string: text)
    closeChunk(to: &writer)
  }

  private static func beginCall(
    _ part: ModelPart, _ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    begin(identity, &writing, to: &writer)
    endCall(identity, &writing, to: &writer)
    openChunk(identity, to: &writer)
    writer.append("\"tool_calls\":[{\"index\":")
    writer.append(json: Int64(writing.calls))
    writer.append(byte: 0x2c)
    appendCall(part, writing.calls, identity, to: &writer)
    writer.append(string: part.text)
    writer.append("}}]")
    closeChunk(to: &writer)
    writing.block = part.text.isEmpty ? .toolCall : .none
    writing.calls &+= 1
    writing.call = part.index
  }

  private static func say(
    arguments text: ModelText, _ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    if text.isEmpty { return }
    writing.block = .none
    openChunk(identity, to: &writer)
    writer.append("\"tool_calls\":[{\"index\":")
    writer.append(json: Int64(writing.calls - 1))
    writer.append(",\"function\":{\"arguments\":")
    writer.append(string: text)
    writer.append("}}]")
    closeChunk(to: &writer)
  }

  private static func endCall(_ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter) {
    guard writing.block == .toolCall else { return }
    say(arguments: ModelText(literal: "{}"), identity, &writing, to: &writer)
  }

  private static func finish(
    _ reason: FinishReason, _ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    if writing.toldFinish { return }
    begin(identity, &writing, to: &writer)
    endCall(identity, &writing, to: &writer)
    writing.toldFinish = true
    openChunk(identity, to: &writer)
    closeChunk(reason, to: &writer)
  }

  /// The usage, for clients that asked for it.
  private static func tell(_ usage: Usage, _ identity: AnswerIdentity, to writer: inout ByteWriter) {
    if usage.source == .none { return }
    writer.append("data: ")
    append("chat.completion.chunk", identity, to: &writer)
    writer.append("\"choices\":[]")
    append(usage, to: &writer)
    writer.append("}\n\n")
  }

  /// The provider's own words, where it has any.
  private static func appendError(_ part: ModelPart, to writer: inout ByteWriter) {
    let row = part.code.row
    writer.append("{\"error\":{\"message\":")
    if part.text.isEmpty { writer.append(json: row.message) } else { writer.append(string: part.text) }
    appendErrorRest(row, nil, nil, to: &writer)
  }
}
