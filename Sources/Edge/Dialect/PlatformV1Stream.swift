// Writes the chunks of a streamed answer in the platform's own dialect, each as one text frame. How an answer ends is
// not written here: only the driver knows what it has cost. So the calls of tools, which are told again at the end, are
// kept beside the chunks.
//
// Called by: the table of dialects, for every piece of a stream. How far it came stands in StreamWriting.
// Never: holds anything back but arguments whose call has no name yet.

extension PlatformV1 {
  /// Writes whole frames. False when a piece belongs to a call that is over, or to one that never got a name.
  ///
  /// What must be told again at the end is added to `parts.kept`; all of that in the order of the stream is what
  /// `appendToolCalls` takes.
  static func writeEvents(
    _ parts: ModelParts, _ identity: AnswerIdentity, _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) -> Bool {
    for part in parts.parts where !writing.toldEnd {
      guard write(part, identity, &writing, parts, to: &writer) else { return false }
    }
    return true
  }

  private static func write(
    _ part: ModelPart, _ identity: AnswerIdentity, _ writing: inout StreamWriting, _ parts: ModelParts,
    to writer: inout ByteWriter
  ) -> Bool {
    switch part.kind {
    case .start: writing.hasStarted = true
    case .text, .refusal, .reasoning:
      if part.text.isEmpty { return true }
      endCall(identity, &writing, parts, to: &writer)
      // Nothing else says that the model will not answer.
      if part.kind == .refusal { writing.reason = .contentFilter }
      say(part, identity, to: &writer)
    case .toolCall: return write(call: part, identity, &writing, parts, to: &writer)
    case .arguments:
      return part.text.isEmpty || write(arguments: part, identity, &writing, parts, to: &writer)
    case .finish:
      if writing.earlyCount > 0 { return false }
      endCall(identity, &writing, parts, to: &writer)
      if writing.reason != .contentFilter { writing.reason = part.reason }
      writing.toldFinish = true
    case .end:
      if writing.earlyCount > 0 { return false }
      endCall(identity, &writing, parts, to: &writer)
      if writing.reason == nil { writing.reason = writing.calls > 0 ? .toolCalls : .stop }
      writing.toldEnd = true
    case .error: writing.toldEnd = true
    case .usage, .ping: break
    case .instruction, .user, .assistant, .image, .file, .toolResult, .toolResultEnd, .tool, .unsayable: return false
    }
    return true
  }

  // MARK: chunks

  /// Up to the value of `data`. Gives where the chunk begins.
  private static func openChunk(_ identity: AnswerIdentity, to writer: inout ByteWriter) -> Int {
    let start = writer.count
    writer.append("{\"id\":\"")
    writer.append(identity.message)
    writer.append("\",\"type\":\"chunk\",\"data\":")
    return start
  }

  /// Makes a chunk a frame. Where there is no room, the writer has overflowed, and who called finds that.
  private static func closeChunk(from start: Int, to writer: inout ByteWriter) {
    writer.append("}")
    if !writer.overflowed { _ = writer.frameText(from: start) }
  }

  private static func say(_ part: ModelPart, _ identity: AnswerIdentity, to writer: inout ByteWriter) {
    let start = openChunk(identity, to: &writer)
    if part.kind == .reasoning { writer.append("\"\",\"reasoning\":") }
    writer.append(string: part.text)
    closeChunk(from: start, to: &writer)
  }

  // MARK: calls

  /// A call, or more of one: there are providers that say the name later than the first piece.
  private static func write(
    call part: ModelPart, _ identity: AnswerIdentity, _ writing: inout StreamWriting, _ parts: ModelParts,
    to writer: inout ByteWriter
  ) -> Bool {
    let piece = part.name.isEmpty ? .continues : writing.piece(of: part)
    if piece == .unsayable { return false }
    if piece == .continues {
      return part.text.isEmpty || write(arguments: part, identity, &writing, parts, to: &writer)
    }
    if writing.toldFinish { return false }
    endCall(identity, &writing, parts, to: &writer)
    let start = openChunk(identity, to: &writer)
    appendCallIndex(writing.calls, to: &writer)
    let call = writer.count
    OpenAIChat.appendCall(part, writing.calls, identity, to: &writer)
    writer.append(byte: 0x22)
    for index in 0..<Int(writing.earlyCount) { writer.append(byte: writing.early[index]) }
    writer.append(inside: part.text)
    if !writer.overflowed {
      // The end of the call before.
      if writing.calls > 0 { keep(literal: "\"}},", parts) }
      keep(literal: "{", parts)
      parts.keep(writer.base + call, writer.count - call)
    }
    writer.append("\"}}")
    closeChunk(from: start, to: &writer)
    writing.begin(call: part)
    writing.block = writing.hasArguments ? .none : .toolCall
    writing.earlyCount = 0
    return true
  }

  private static func write(
    arguments part: ModelPart, _ identity: AnswerIdentity, _ writing: inout StreamWriting, _ parts: ModelParts,
    to writer: inout ByteWriter
  ) -> Bool {
    if writing.toldFinish { return false }
    if writing.calls > 0, part.index == writing.call {
      say(arguments: part.text, identity, &writing, parts, to: &writer)
      return true
    }
    // A call that was begun before the last one is closed.
    if writing.calls > 0, part.index < writing.call { return false }
    return writing.keep(early: part.text)
  }

  private static func say(
    arguments text: ModelText, _ identity: AnswerIdentity, _ writing: inout StreamWriting, _ parts: ModelParts,
    to writer: inout ByteWriter
  ) {
    writing.block = .none
    writing.hasArguments = true
    let start = openChunk(identity, to: &writer)
    appendCallIndex(writing.calls &- 1, to: &writer)
    writer.append("\"function\":{\"arguments\":\"")
    let piece = writer.count
    writer.append(inside: text)
    if !writer.overflowed { parts.keep(writer.base + piece, writer.count - piece) }
    writer.append("\"}}")
    closeChunk(from: start, to: &writer)
  }

  /// The arguments of a call that has none are an object, as those of all others.
  private static func endCall(
    _ identity: AnswerIdentity, _ writing: inout StreamWriting, _ parts: ModelParts, to writer: inout ByteWriter
  ) {
    guard writing.block == .toolCall else { return }
    say(arguments: ModelText(literal: "{}"), identity, &writing, parts, to: &writer)
  }

  private static func appendCallIndex(_ index: Int32, to writer: inout ByteWriter) {
    writer.append("\"\",\"toolCallDelta\":{\"index\":")
    writer.append(json: Int64(index))
    writer.append(byte: 0x2c)
  }

  private static func keep(literal text: StaticString, _ parts: ModelParts) {
    parts.keep(text.utf8Start, text.utf8CodeUnitCount)
  }

  // MARK: what was kept

  /// `,"toolCalls":[…]` for the message that ends a stream, or nothing. `kept` is all that `writeEvents` has kept,
  /// in its order.
  static func appendToolCalls(kept: StaticBytes, to writer: inout ByteWriter) {
    if kept.count == 0 { return }
    writer.append(",\"toolCalls\":[")
    writer.append(kept)
    // The last call is open. Within arguments there is no bare quote, so these bytes say that it has none.
    let open = StaticBytes("\"arguments\":\"")
    if kept.count >= open.count, equalBytes(kept.start + kept.count - open.count, open.start, open.count) {
      writer.append("{}")
    }
    writer.append("\"}}]")
  }
}
