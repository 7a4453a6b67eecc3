// Answers of Anthropic's messages in the words of all: events and whole answers read into parts, whole answers written
// from them. Streams are written in AnthropicMessagesStream.swift.
//
// Called by: the table of dialects.
// Never: trusts what is read. What has no twin, as signatures and citations, is no part.

extension AnthropicMessages {
  // MARK: events

  /// What an event says that was just read.
  static func readParts(of event: ModelEvent, _ document: JSONDocument, into parts: ModelParts) {
    if event.kind == .end {
      parts.add(ModelPart(.end))
      return
    }
    switch EventType.of(document) {
    case .messageStart:
      parts.add(ModelPart(.start))
      if case .found(let message) = document.value(of: "message", in: 0),
        case .found(let content) = document.value(of: "content", in: message)
      {
        var index: Int32 = 0
        for block in document.elements(of: content) {
          addBlock(block, index, document, to: parts)
          index &+= 1
        }
      }
    case .blockStart:
      if case .found(let block) = document.value(of: "content_block", in: 0) {
        addBlock(block, index(document), document, to: parts)
      }
    case .blockDelta:
      if case .found(let delta) = document.value(of: "delta", in: 0) { addDelta(delta, document, to: parts) }
    case .messageDelta:
      if case .found(let delta) = document.value(of: "delta", in: 0) { addFinish(delta, document, to: parts) }
      if event.usage.source == .reported { parts.add(ModelPart(.usage)) }
    case .ping: parts.add(ModelPart(.ping))
    case .error: addError(document, to: parts)
    case .messageStop, .other: break
    }
  }

  /// The number of the block that an event is about.
  private static func index(_ document: JSONDocument) -> Int32 {
    guard case .found(let index) = document.value(of: "index", in: 0), let number = document.integer(index) else {
      return 0
    }
    return Int32(clamping: number)
  }

  private static func addDelta(_ delta: Int, _ document: JSONDocument, to parts: ModelParts) {
    guard case .found(let type) = document.value(of: "type", in: delta) else { return }
    if document.isString(type, "text_delta") {
      add(.text, document.saidString(of: "text", in: delta), to: parts)
    } else if document.isString(type, "thinking_delta") {
      add(.reasoning, document.modelString(of: "thinking", in: delta), to: parts)
    } else if document.isString(type, "input_json_delta") {
      guard let text = document.saidString(of: "partial_json", in: delta) else {
        return parts.add(ModelPart(.unsayable))
      }
      if text.isEmpty { return }
      var part = ModelPart(.arguments, text: text)
      part.index = index(document)
      parts.add(part)
    }
  }

  /// A text that says nothing is no part.
  private static func add(_ kind: ModelPart.Kind, _ text: ModelText?, to parts: ModelParts) {
    guard let text else { return parts.add(ModelPart(.unsayable)) }
    if !text.isEmpty { parts.add(ModelPart(kind, text: text)) }
  }

  /// A block, whole or as it begins in a stream. What the provider's own tools do has no twin.
  private static func addBlock(_ block: Int, _ index: Int32, _ document: JSONDocument, to parts: ModelParts) {
    guard case .found(let type) = document.value(of: "type", in: block) else { return }
    if document.isString(type, "text") {
      add(.text, document.saidString(of: "text", in: block), to: parts)
    } else if document.isString(type, "thinking") {
      add(.reasoning, document.modelString(of: "thinking", in: block), to: parts)
    } else if document.isString(type, "tool_use") {
      var part = ModelPart(.toolCall)
      part.index = index
      part.id = document.modelString(of: "id", in: block)
      part.name = document.modelString(of: "name", in: block)
      if case .found(let input) = document.value(of: "input", in: block), document.kind(input) == .map {
        // In a stream it is empty, and what it holds follows in pieces.
        if document[input].members > 0 { part.text = document.modelText(input) }
      } else if let input = document.saidString(of: "input", in: block) {
        part.text = input
      } else {
        return parts.add(ModelPart(.unsayable))
      }
      parts.add(part)
    }
  }

  private static func addFinish(_ map: Int, _ document: JSONDocument, to parts: ModelParts) {
    guard case .found(let reason) = document.value(of: "stop_reason", in: map), document.kind(reason) == .string else {
      return
    }
    var part = ModelPart(.finish)
    if document.isString(reason, "tool_use") {
      part.reason = .toolCalls
    } else if document.isString(reason, "max_tokens") || document.isString(reason, "model_context_window_exceeded") {
      part.reason = .length
    } else if document.isString(reason, "refusal") {
      part.reason = .contentFilter
    } else if document.isString(reason, "pause_turn") {
      part.reason = .pause
    }
    parts.add(part)
  }

  /// What the provider says about Edge's own account is not the client's business.
  private static func addError(_ document: JSONDocument, to parts: ModelParts) {
    var part = ModelPart(.error)
    if case .found(let error) = document.value(of: "error", in: 0) {
      let type = document.modelString(of: "type", in: error)
      part.code = code(type)
      if !type.says("authentication_error"), !type.says("permission_error"), !type.says("billing_error") {
        part.text = document.modelString(of: "message", in: error)
      }
    }
    parts.add(part)
  }

  /// Which error the event or answer is that the document has read.
  static func errorCode(_ document: JSONDocument) -> ErrorCode {
    guard case .found(let error) = document.value(of: "error", in: 0) else { return .providerError }
    return code(document.modelString(of: "type", in: error))
  }

  private static func code(_ type: ModelText) -> ErrorCode {
    if type.says("overloaded_error") { return .serviceUnavailable }
    if type.says("rate_limit_error") { return .rateLimitExceeded }
    if type.says("invalid_request_error") { return .invalidRequest }
    if type.says("request_too_large") { return .messageTooLarge }
    if type.says("not_found_error") { return .modelNotFound }
    if type.says("timeout_error") { return .timeout }
    return .providerError
  }

  // MARK: whole answers

  /// What a whole answer says.
  static func readParts(
    answer body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument, into parts: ModelParts
  ) {
    defer { document.reset() }
    guard (try? document.read(body, count, nodesMax: ModelLimits.answerNodesMax)) != nil else { return }
    parts.add(ModelPart(.start))
    if case .found(let content) = document.value(of: "content", in: 0) {
      var index: Int32 = 0
      for block in document.elements(of: content) {
        addBlock(block, index, document, to: parts)
        index &+= 1
      }
    }
    addFinish(0, document, to: parts)
    if case .found(let usage) = document.value(of: "usage", in: 0), document.kind(usage) == .map {
      parts.add(ModelPart(.usage))
    }
  }

  /// Writes a whole answer. False when a call's arguments are no object, or something in it cannot be said.
  static func writeAnswer(
    _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage, _ document: JSONDocument,
    to writer: inout ByteWriter
  ) -> Bool {
    appendMessageStart(identity, to: &writer)
    var reason: FinishReason?
    var calls: Int32 = 0
    var refuses = false
    var isFirst = true
    for part in parts.parts {
      switch part.kind {
      case .text, .refusal:
        if part.text.isEmpty { continue }
        if part.kind == .refusal { refuses = true }
        writer.separate(&isFirst)
        appendText(part.text, to: &writer)
      case .toolCall:
        writer.separate(&isFirst)
        appendCall(part, identity, calls, to: &writer)
        guard writer.append(object: part.text, document) else { return false }
        writer.append(byte: 0x7d)
        calls &+= 1
      case .finish: reason = part.reason
      case .unsayable: return false
      default: break
      }
    }
    writer.append("],\"stop_reason\":")
    writer.append(json: stopReason(refuses ? .contentFilter : reason, calls))
    writer.append(",\"stop_sequence\":null,\"usage\":")
    appendUsage(usage, to: &writer)
    writer.append(byte: 0x7d)
    return true
  }

  // MARK: what streams have too

  /// A message up to its content.
  static func appendMessageStart(_ identity: AnswerIdentity, to writer: inout ByteWriter) {
    writer.append("{\"id\":\"msg_")
    writer.append(identity.attempt)
    writer.append("\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"")
    writer.append(identity.model)
    writer.append("\",\"content\":[")
  }

  /// The call of a tool, up to its input.
  static func appendCall(
    _ part: ModelPart, _ identity: AnswerIdentity, _ number: Int32, to writer: inout ByteWriter
  ) {
    writer.append("{\"type\":\"tool_use\",\"id\":")
    if part.id.isEmpty {
      writer.append("\"toolu_")
      writer.append(identity.attempt)
      writer.append(decimal: UInt64(number.magnitude))
      writer.append(byte: 0x22)
    } else {
      writer.append(string: part.id)
    }
    writer.append(",\"name\":")
    writer.append(string: part.name)
    writer.append(",\"input\":")
  }

  /// Others say of a call that was demanded by its name that the model just stopped.
  static func stopReason(_ reason: FinishReason?, _ calls: Int32) -> StaticString {
    switch reason {
    case nil, .stop: calls > 0 ? "tool_use" : "end_turn"
    case .length: "max_tokens"
    case .toolCalls: "tool_use"
    case .contentFilter: "refusal"
    case .pause: "pause_turn"
    }
  }

  /// What went in and did neither come from the cache nor go there stands for itself in this format.
  static func appendUsage(_ usage: Usage, to writer: inout ByteWriter) {
    let plain = max(0, usage.inputTokens - usage.cachedTokens - usage.cacheWriteTokens)
    writer.append("{\"input_tokens\":")
    writer.append(json: plain)
    writer.append(",\"cache_creation_input_tokens\":")
    writer.append(json: usage.cacheWriteTokens)
    writer.append(",\"cache_read_input_tokens\":")
    writer.append(json: usage.cachedTokens)
    writer.append(",\"output_tokens\":")
    writer.append(json: usage.outputTokens)
    if usage.reasoningTokens > 0 {
      writer.append(",\"output_tokens_details\":{\"thinking_tokens\":")
      writer.append(json: usage.reasoningTokens)
      writer.append(byte: 0x7d)
    }
    writer.append(byte: 0x7d)
  }
}
