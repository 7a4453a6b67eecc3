// Writes in the platform's own dialect what is no chunk: whole answers, the message with which an answer ends, errors.
// A message is put together from pieces that need nothing between them:
//
//   not streamed:  appendDoneStart · what writeAnswer wrote · appendDoneEnd
//   streamed:      appendDoneStart · appendToolCalls · appendDoneEnd
//
// Called by: the table of dialects and the driver, which frames these messages.

/// What an answer says beside its content.
struct PlatformOutcome: BitwiseCopyable {
  /// The client's id of the request.
  var id = StaticBytes.empty
  var usage = Usage()
  /// What the request has cost.
  var credits = Amount.zero
  var model = StaticBytes.empty
  var provider = StaticBytes.empty
  var latencyMilliseconds: UInt64 = 0
  var requestID = StaticBytes.empty
  /// Why the model has stopped; nil: it is not said.
  var reason: FinishReason?
  var isDemo = false
  /// Nanoseconds since 1970.
  var wall: UInt64 = 0
}

/// What an error says.
struct PlatformError: BitwiseCopyable {
  /// nil: the message had none that could be used.
  var id: StaticBytes?
  var row: ErrorRow
  /// Plain text, whatever its bytes; empty: that of the row.
  var message = StaticBytes.empty
  /// A JSON object; nil: none.
  var details: StaticBytes?
  /// 0: nothing is said about it.
  var retryAfterSeconds: UInt64 = 0
  /// Empty: there is none.
  var requestID = StaticBytes.empty
  /// Output had begun, or is charged: usage and credits are told.
  var charged: PlatformOutcome?
  /// Nanoseconds since 1970; 0: no time is said.
  var wall: UInt64 = 0
}

extension PlatformV1 {
  // MARK: content

  /// What a whole answer says: `{"data":"…","toolCalls":[…]}`, with `"reasoning":"…"` between them where the model
  /// thought aloud. Its members stand in the message that ends the answer. False when it is none.
  static func writeAnswer(_ parts: ModelParts, _ identity: AnswerIdentity, to writer: inout ByteWriter) -> Bool {
    let said = parts.parts
    if said.contains(where: { $0.kind == .error || $0.kind == .unsayable }) { return false }
    writer.append("{\"data\":\"")
    for part in said where part.kind == .text || part.kind == .refusal { writer.append(inside: part.text) }
    writer.append(byte: 0x22)
    if said.contains(where: { $0.kind == .reasoning && !$0.text.isEmpty }) {
      writer.append(",\"reasoning\":\"")
      for part in said where part.kind == .reasoning { writer.append(inside: part.text) }
      writer.append(byte: 0x22)
    }
    var number: Int32 = 0
    for part in said where part.kind == .toolCall {
      writer.append(number == 0 ? ",\"toolCalls\":[{" : ",{" as StaticString)
      OpenAIChat.appendCall(part, number, identity, to: &writer)
      writer.append(string: part.text.isEmpty ? ModelText(literal: "{}") : part.text)
      writer.append("}}")
      number += 1
    }
    writer.append(number > 0 ? "]}" : "}" as StaticString)
    return true
  }

  /// Why a whole answer has ended.
  static func finishReason(_ parts: ModelParts) -> FinishReason {
    let said = parts.parts
    // Nothing else says that the model will not answer.
    if said.contains(where: { $0.kind == .refusal && !$0.text.isEmpty }) { return .contentFilter }
    return said.last { $0.kind == .finish }?.reason ?? (said.contains { $0.kind == .toolCall } ? .toolCalls : .stop)
  }

  // MARK: the end

  /// `{"id":"…","type":"…"`: what stands before the content of an answer that ends. The type needs no escapes.
  static func appendDoneStart(_ outcome: PlatformOutcome, type: StaticBytes, to writer: inout ByteWriter) {
    writer.append("{\"id\":\"")
    writer.append(outcome.id)
    writer.append("\",\"type\":\"")
    writer.append(type)
    writer.append(byte: 0x22)
  }

  /// What stands behind its content, from a comma up to the end of the message.
  static func appendDoneEnd(_ outcome: PlatformOutcome, to writer: inout ByteWriter) {
    appendUsage(outcome, to: &writer)
    writer.append(",\"metadata\":{\"model\":")
    writer.append(json: outcome.model.start, outcome.model.count)
    writer.append(",\"provider\":")
    writer.append(json: outcome.provider.start, outcome.provider.count)
    writer.append(",\"latency\":")
    writer.append(decimal: outcome.latencyMilliseconds)
    writer.append(",\"requestId\":")
    writer.append(json: outcome.requestID.start, outcome.requestID.count)
    if let reason = outcome.reason {
      writer.append(",\"finishReason\":")
      writer.append(json: OpenAIChat.name(reason))
    }
    if outcome.isDemo { writer.append(",\"demo\":true") }
    writer.append("}")
    appendEnd(outcome.wall, to: &writer)
  }

  /// `,"usage":{…}`
  private static func appendUsage(_ outcome: PlatformOutcome, to writer: inout ByteWriter) {
    let usage = outcome.usage
    writer.append(",\"usage\":{\"promptTokens\":")
    writer.append(json: usage.inputTokens)
    writer.append(",\"completionTokens\":")
    writer.append(json: usage.outputTokens)
    writer.append(",\"totalTokens\":")
    let (total, overflow) = usage.inputTokens.addingReportingOverflow(usage.outputTokens)
    writer.append(json: overflow ? .max : total)
    if usage.cachedTokens > 0 {
      writer.append(",\"cachedTokens\":")
      writer.append(json: usage.cachedTokens)
    }
    if usage.reasoningTokens > 0 {
      writer.append(",\"reasoningTokens\":")
      writer.append(json: usage.reasoningTokens)
    }
    if usage.source == .estimated { writer.append(",\"estimated\":true") }
    writer.append(",\"credits\":")
    writer.append(outcome.credits)
    writer.append("}")
  }

  private static func appendEnd(_ wall: UInt64, to writer: inout ByteWriter) {
    if wall > 0 {
      writer.append(",\"timestamp\":\"")
      writer.append(timestamp: wall)
      writer.append(byte: 0x22)
    }
    writer.append("}")
  }

  // MARK: errors

  /// A whole error message.
  static func appendError(_ error: PlatformError, to writer: inout ByteWriter) {
    writer.append("{\"id\":")
    if let id = error.id { writer.append(json: id.start, id.count) } else { writer.appendNull() }
    writer.append(",\"type\":\"error\",\"error\":{\"code\":")
    writer.append(json: error.row.name)
    writer.append(",\"message\":")
    if error.message.count > 0 {
      writer.append(json: error.message.start, error.message.count)
    } else {
      writer.append(json: error.row.message)
    }
    if error.requestID.count > 0 {
      writer.append(",\"requestId\":")
      writer.append(json: error.requestID.start, error.requestID.count)
    }
    if error.retryAfterSeconds > 0 {
      writer.append(",\"retryAfter\":")
      writer.append(decimal: error.retryAfterSeconds)
    }
    if let details = error.details {
      writer.append(",\"details\":")
      writer.append(details)
    }
    writer.append("}")
    if let charged = error.charged { appendUsage(charged, to: &writer) }
    appendEnd(error.wall, to: &writer)
  }
}
