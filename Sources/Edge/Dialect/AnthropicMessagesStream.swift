// Writes the events of a stream of Anthropic's messages from the parts of another dialect's: opens and closes blocks,
// one at a time, and tells the end once: why, and what was used.
//
// Called by: the table of dialects, for every piece of a translated stream. How far it came stands in StreamWriting.
// Never: allocates, or holds anything back but arguments whose call has no name yet.

extension AnthropicMessages {
  /// Writes whole events of a stream. False when a piece belongs to a call that is over, or to one
  /// that never got a name.
  static func writeEvents(
    _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage, _ writing: inout StreamWriting,
    to writer: inout ByteWriter
  ) -> Bool {
    for part in parts.parts where !writing.toldEnd {
      guard write(part, identity, usage, &writing, to: &writer) else { return false }
    }
    return true
  }

  private static func write(
    _ part: ModelPart, _ identity: AnswerIdentity, _ usage: Usage, _ writing: inout StreamWriting,
    to writer: inout ByteWriter
  ) -> Bool {
    switch part.kind {
    case .start: start(identity, usage, &writing, to: &writer)
    case .text, .refusal:
      if part.text.isEmpty { return true }
      start(identity, usage, &writing, to: &writer)
      if part.kind == .refusal { writing.reason = .contentFilter }
      appendTextDelta(part.text, &writing, to: &writer)
    case .toolCall:
      start(identity, usage, &writing, to: &writer)
      return write(call: part, identity, &writing, to: &writer)
    case .arguments:
      if part.text.isEmpty { return true }
      return write(arguments: part, &writing, to: &writer)
    case .finish:
      if writing.earlyCount > 0 { return false }
      if writing.reason != .contentFilter { writing.reason = part.reason }
    case .end:
      finish(identity, usage, &writing, to: &writer)
      writer.append("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
      writing.toldEnd = true
    case .error:
      append(error: part, to: &writer)
      writing.toldEnd = true
    case .ping:
      if writing.hasStarted { writer.append("event: ping\ndata: {\"type\":\"ping\"}\n\n") }
    case .reasoning: if !part.text.isEmpty { sign(identity, usage, &writing, to: &writer) }
    case .unsayable: return false
    // What is told last counts, so it is said at the end.
    case .usage, .instruction, .user, .assistant, .image, .file, .toolResult, .toolResultEnd, .tool: break
    }
    return true
  }

  // MARK: the message

  /// Its first event, once.
  private static func start(
    _ identity: AnswerIdentity, _ usage: Usage, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    if writing.hasStarted { return }
    writing.hasStarted = true
    writer.append("event: message_start\ndata: {\"type\":\"message_start\",\"message\":")
    appendMessageStart(identity, to: &writer)
    writer.append("],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":")
    var input = usage
    input.outputTokens = 0
    input.reasoningTokens = 0
    appendUsage(input, to: &writer)
    writer.append("}}\n\n")
  }

  /// What a model of another dialect thinks has no signature and cannot be told, but it may take minutes: pings show
  /// that it lives.
  private static func sign(
    _ identity: AnswerIdentity, _ usage: Usage, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    start(identity, usage, &writing, to: &writer)
    guard writing.now &- writing.signed >= signMilliseconds else { return }
    writing.signed = writing.now
    writer.append("event: ping\ndata: {\"type\":\"ping\"}\n\n")
  }

  /// At the least between two signs of a model that thinks.
  private static let signMilliseconds: UInt64 = 5_000

  /// Why the model stopped and what was used.
  private static func finish(
    _ identity: AnswerIdentity, _ usage: Usage, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    start(identity, usage, &writing, to: &writer)
    close(&writing, to: &writer)
    writer.append("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":")
    writer.append(json: stopReason(writing.reason, writing.calls))
    writer.append(",\"stop_sequence\":null},\"usage\":")
    appendUsage(usage, to: &writer)
    writer.append("}\n\n")
  }

  private static func append(error part: ModelPart, to writer: inout ByteWriter) {
    let row = part.code.row
    writer.append("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":")
    writer.append(json: row.anthropicType)
    writer.append(",\"message\":")
    if part.text.isEmpty {
      writer.append(json: row.message)
    } else {
      writer.append(string: part.text)
    }
    writer.append("}}\n\n")
  }

  // MARK: blocks

  private static func close(_ writing: inout StreamWriting, to writer: inout ByteWriter) {
    if writing.block == .none { return }
    writer.append("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":")
    writer.append(json: Int64(writing.blocks &- 1))
    writer.append("}\n\n")
    writing.block = .none
  }

  /// Up to the block itself.
  private static func open(
    _ block: StreamWriting.Block, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    close(&writing, to: &writer)
    writer.append("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":")
    writer.append(json: Int64(writing.blocks))
    writer.append(",\"content_block\":")
    writing.block = block
    writing.blocks &+= 1
  }

  private static func appendDeltaStart(_ writing: StreamWriting, to writer: inout ByteWriter) {
    writer.append("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":")
    writer.append(json: Int64(writing.blocks &- 1))
    writer.append(",\"delta\":{\"type\":")
  }

  private static func appendTextDelta(
    _ text: ModelText, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) {
    if writing.block != .text {
      open(.text, &writing, to: &writer)
      writer.append("{\"type\":\"text\",\"text\":\"\"}}\n\n")
    }
    appendDeltaStart(writing, to: &writer)
    writer.append("\"text_delta\",\"text\":")
    writer.append(string: text)
    writer.append("}}\n\n")
  }

  private static func appendArguments(_ text: ModelText, _ writing: StreamWriting, to writer: inout ByteWriter) {
    if text.isEmpty { return }
    appendDeltaStart(writing, to: &writer)
    writer.append("\"input_json_delta\",\"partial_json\":")
    writer.append(string: text)
    writer.append("}}\n\n")
  }

  // MARK: calls

  /// A call, or more of one: there are providers that say the name later than the first piece.
  private static func write(
    call part: ModelPart, _ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) -> Bool {
    let piece = part.name.isEmpty ? .continues : writing.piece(of: part)
    if piece == .unsayable { return false }
    if piece == .continues { return part.text.isEmpty || write(arguments: part, &writing, to: &writer) }
    open(.toolCall, &writing, to: &writer)
    appendCall(part, identity, writing.calls, to: &writer)
    writer.append("{}}}\n\n")
    writing.begin(call: part)
    appendEarly(&writing, to: &writer)
    appendArguments(part.text, writing, to: &writer)
    return true
  }

  private static func write(
    arguments part: ModelPart, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) -> Bool {
    if writing.calls > 0, part.index == writing.call {
      guard writing.block == .toolCall else { return false }
      writing.hasArguments = true
      appendArguments(part.text, writing, to: &writer)
      return true
    }
    // A call that was begun before the last one is closed.
    if writing.calls > 0, part.index < writing.call { return false }
    return writing.keep(early: part.text)
  }

  private static func appendEarly(_ writing: inout StreamWriting, to writer: inout ByteWriter) {
    if writing.earlyCount == 0 { return }
    appendDeltaStart(writing, to: &writer)
    writer.append("\"input_json_delta\",\"partial_json\":\"")
    for index in 0..<Int(writing.earlyCount) { writer.append(byte: writing.early[index]) }
    writer.append("\"}}\n\n")
    writing.earlyCount = 0
  }
}
