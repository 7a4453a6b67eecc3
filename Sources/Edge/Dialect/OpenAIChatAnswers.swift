// Answers of this dialect in the words of all, whole and streamed: read into parts, and written from them.
//
// Called by: the table of dialects.
// Never: trusts what is read; of several choices only the first is an answer.

extension OpenAIChat {
  // MARK: reading

  /// What an event says that was just read.
  static func readParts(of event: ModelEvent, _ document: JSONDocument, into parts: ModelParts) {
    if event.kind == .end {
      parts.add(ModelPart(.end))
      return
    }
    guard document.count > 0 else { return }
    if event.kind == .error {
      parts.add(error(document))
      return
    }
    if let choice = firstChoice(document) {
      if case .found(let delta) = document.value(of: "delta", in: choice) {
        if case .found(let role) = document.value(of: "role", in: delta), document.kind(role) == .string {
          parts.add(ModelPart(.start))
        }
        readSaid(document, delta, into: parts)
        if case .found(let calls) = document.value(of: "tool_calls", in: delta) {
          readCalls(document, calls, ofStream: true, into: parts)
        }
      }
      readFinish(document, choice, into: parts)
    }
    // Some servers tell in every chunk what was used so far; that is not the usage yet.
    if event.usage.source != .none, event.finishes || event.kind == .usageOnly { parts.add(ModelPart(.usage)) }
  }

  /// What a whole answer says.
  static func readParts(
    answer body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument, into parts: ModelParts
  ) {
    defer { document.reset() }
    guard (try? document.read(body, count, nodesMax: ModelLimits.answerNodesMax)) != nil else { return }
    parts.add(ModelPart(.start))
    if let choice = firstChoice(document) {
      if case .found(let message) = document.value(of: "message", in: choice) {
        readSaid(document, message, into: parts)
        if case .found(let calls) = document.value(of: "tool_calls", in: message) {
          readCalls(document, calls, ofStream: false, into: parts)
        }
      }
      readFinish(document, choice, into: parts)
    }
    if case .found(let usage) = document.value(of: "usage", in: 0), document.kind(usage) == .map {
      parts.add(ModelPart(.usage))
    }
  }

  private static func firstChoice(_ document: JSONDocument) -> Int? {
    guard case .found(let choices) = document.value(of: "choices", in: 0) else { return nil }
    return document.elements(of: choices).first { choice in
      guard case .found(let index) = document.value(of: "index", in: choice), document.kind(index) != .null else {
        return document.kind(choice) == .map
      }
      return document.integer(index) == 0
    }
  }

  /// The texts of a message or of a piece of one, as far as they say anything. Servers have two names for what a model
  /// thinks; some write both.
  private static func readSaid(_ document: JSONDocument, _ message: Int, into parts: ModelParts) {
    var reasoning = document.modelString(of: "reasoning_content", in: message)
    if reasoning.isEmpty { reasoning = document.modelString(of: "reasoning", in: message) }
    if !reasoning.isEmpty { parts.add(ModelPart(.reasoning, text: reasoning)) }
    switch document.value(of: "content", in: message) {
    case .missing: break
    case .duplicate: parts.add(ModelPart(.unsayable))
    case .found(let content): readContent(document, content, into: parts)
    }
    let refusal = document.modelString(of: "refusal", in: message)
    if !refusal.isEmpty { parts.add(ModelPart(.refusal, text: refusal)) }
  }

  /// A text, or a list of pieces, as some servers write it.
  private static func readContent(_ document: JSONDocument, _ content: Int, into parts: ModelParts) {
    switch document.kind(content) {
    case .null: break
    case .string: add(.text, document.modelText(content), to: parts)
    case .list: for piece in document.elements(of: content) { readPiece(document, piece, into: parts) }
    default: parts.add(ModelPart(.unsayable))
    }
  }

  private static func readPiece(_ document: JSONDocument, _ piece: Int, into parts: ModelParts) {
    let type = document.modelString(of: "type", in: piece)
    if type.says("text") {
      add(.text, document.saidString(of: "text", in: piece), to: parts)
    } else if type.says("refusal") {
      add(.refusal, document.saidString(of: "refusal", in: piece), to: parts)
    } else if type.says("thinking"), case .found(let thoughts) = document.value(of: "thinking", in: piece) {
      for thought in document.elements(of: thoughts) {
        add(.reasoning, document.modelString(of: "text", in: thought), to: parts)
      }
    } else if !type.says("reference") {
      parts.add(ModelPart(.unsayable))
    }
  }

  /// A text that says nothing is no part.
  private static func add(_ kind: ModelPart.Kind, _ text: ModelText?, to parts: ModelParts) {
    guard let text else { return parts.add(ModelPart(.unsayable)) }
    if !text.isEmpty { parts.add(ModelPart(kind, text: text)) }
  }

  /// Calls of functions. In a stream the first piece of a call has its name; what has none belongs to one before.
  private static func readCalls(_ document: JSONDocument, _ calls: Int, ofStream: Bool, into parts: ModelParts) {
    if document.kind(calls) != .list, document.kind(calls) != .null { parts.add(ModelPart(.unsayable)) }
    var place: Int32 = 0
    for call in document.elements(of: calls) {
      defer { place &+= 1 }
      guard case .found(let function) = document.value(of: "function", in: call) else {
        // A call of another kind; a piece of a stream may say nothing yet.
        if !ofStream || document.value(of: "custom", in: call) != .missing { parts.add(ModelPart(.unsayable)) }
        continue
      }
      guard let name = document.saidString(of: "name", in: function), ofStream || !name.isEmpty,
        let text = arguments(document, function)
      else {
        parts.add(ModelPart(.unsayable))
        continue
      }
      var part = ModelPart(name.isEmpty ? .arguments : .toolCall, text: text)
      part.id = document.modelString(of: "id", in: call)
      part.name = name
      part.index = place
      if ofStream, case .found(let index) = document.value(of: "index", in: call), let number = document.integer(index)
      {
        part.index = Int32(truncatingIfNeeded: number)
      }
      parts.add(part)
    }
  }

  /// A string that holds an object; some servers give the object itself. nil: it is something else.
  private static func arguments(_ document: JSONDocument, _ function: Int) -> ModelText? {
    if case .found(let arguments) = document.value(of: "arguments", in: function), document.kind(arguments) == .map {
      return document.modelText(arguments)
    }
    return document.saidString(of: "arguments", in: function)
  }

  private static func readFinish(_ document: JSONDocument, _ choice: Int, into parts: ModelParts) {
    let reason = document.modelString(of: "finish_reason", in: choice)
    if reason.isEmpty { return }
    var part = ModelPart(.finish)
    if reason.says("length") {
      part.reason = .length
    } else if reason.says("tool_calls") || reason.says("function_call") {
      part.reason = .toolCalls
    } else if reason.says("content_filter") {
      part.reason = .contentFilter
    }
    parts.add(part)
  }

  // MARK: errors

  /// What a provider says about its own error.
  static func readError(_ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument) -> ModelText {
    guard (try? document.read(body, count, nodesMax: ModelLimits.eventNodesMax)) != nil else { return .none }
    return error(document).text
  }

  /// `{"error":{"message"}}`, alone or as the first of a list; `{"error":"text"}` and `{"message"}` of other servers.
  static func error(_ document: JSONDocument) -> ModelPart {
    var part = ModelPart(.error)
    let root = document.elements(of: 0).first { _ in true } ?? 0
    guard case .found(let error) = document.value(of: "error", in: root), document.kind(error) != .null else {
      part.text = document.modelString(of: "message", in: root)
      return part
    }
    if document.kind(error) == .string {
      part.text = document.modelText(error)
      return part
    }
    let code = document.modelString(of: "code", in: error)
    let type = document.modelString(of: "type", in: error)
    // What the provider says about Edge's own account is not the client's business.
    if accountWords.contains(where: { code.says($0) || type.says($0) }) { return part }
    part.text = document.modelString(of: "message", in: error)
    if let found = codes.first(where: { code.says($0.word) || type.says($0.word) }) {
      part.code = found.code
    } else if case .found(let value) = document.value(of: "code", in: error), let status = document.integer(value) {
      // Other servers say in the place of the word what the status would have been.
      part.code = ProviderStatus.code(of: UInt16(clamping: status))
      if (401...403).contains(status) { part.text = .none }
    }
    return part
  }

  /// What the words of an error mean, the narrow ones first.
  private static let codes: [(word: StaticString, code: ErrorCode)] = [
    ("rate_limit_exceeded", .rateLimitExceeded), ("rate_limit_error", .rateLimitExceeded),
    ("model_not_found", .modelNotFound), ("not_found_error", .modelNotFound),
    ("invalid_request_error", .invalidRequest),
  ]

  private static let accountWords: [StaticString] = [
    "invalid_api_key", "authentication_error", "permission_error", "insufficient_quota", "billing_hard_limit_reached",
    "account_deactivated",
  ]

  // MARK: writing whole answers

  /// Writes a whole answer.
  static func writeAnswer(
    _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage, _ document: JSONDocument,
    to writer: inout ByteWriter
  ) -> Bool {
    let said = parts.parts
    if said.contains(where: { $0.kind == .error || $0.kind == .unsayable }) { return false }
    let hasCalls = said.contains { $0.kind == .toolCall }
    append("chat.completion", identity, to: &writer)
    writer.append("\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":")
    appendJoined(.text, of: said, orNull: hasCalls || said.contains { $0.kind == .refusal }, to: &writer)
    writer.append(",\"refusal\":")
    appendJoined(.refusal, of: said, orNull: true, to: &writer)
    if said.contains(where: { $0.kind == .reasoning && !$0.text.isEmpty }) {
      writer.append(",\"reasoning_content\":")
      appendJoined(.reasoning, of: said, orNull: true, to: &writer)
    }
    if hasCalls { appendCalls(said, identity, to: &writer) }
    writer.append("},\"logprobs\":null,\"finish_reason\":")
    writer.append(json: name(said.last { $0.kind == .finish }?.reason ?? (hasCalls ? .toolCalls : .stop)))
    writer.append("}]")
    if usage.source != .none { append(usage, to: &writer) }
    writer.append("}")
    return true
  }

  /// All texts of a kind as one string.
  private static func appendJoined(
    _ kind: ModelPart.Kind, of parts: [ModelPart], orNull: Bool, to writer: inout ByteWriter
  ) {
    if orNull, !parts.contains(where: { $0.kind == kind && !$0.text.isEmpty }) {
      writer.appendNull()
      return
    }
    writer.append(byte: 0x22)
    for part in parts where part.kind == kind { writer.append(inside: part.text) }
    writer.append(byte: 0x22)
  }

  private static func appendCalls(_ parts: [ModelPart], _ identity: AnswerIdentity, to writer: inout ByteWriter) {
    writer.append(",\"tool_calls\":[")
    var number: Int32 = 0
    for part in parts where part.kind == .toolCall {
      if number > 0 { writer.append(byte: 0x2c) }
      writer.append("{")
      appendCall(part, number, identity, to: &writer)
      writer.append(string: part.text.isEmpty ? ModelText(literal: "{}") : part.text)
      writer.append("}}")
      number += 1
    }
    writer.append("]")
  }

  /// `{"id":"chatcmpl-…","object":…,"created":…,"model":…,`
  static func append(_ object: StaticString, _ identity: AnswerIdentity, to writer: inout ByteWriter) {
    writer.append("{\"id\":\"chatcmpl-")
    writer.append(identity.attempt)
    writer.append("\",\"object\":\"")
    writer.append(object)
    writer.append("\",\"created\":")
    writer.append(decimal: identity.created)
    writer.append(",\"model\":\"")
    writer.append(identity.model)
    writer.append("\",")
  }

  /// The call `number` of an answer, up to the value of its arguments. A call without an id gets one: it is what the
  /// tool's result will name.
  static func appendCall(
    _ part: ModelPart, _ number: Int32, _ identity: AnswerIdentity, to writer: inout ByteWriter
  ) {
    writer.append("\"id\":")
    if part.id.isEmpty {
      writer.append("\"call_")
      writer.append(identity.attempt)
      writer.append(decimal: UInt64(max(0, number)))
      writer.append(byte: 0x22)
    } else {
      writer.append(string: part.id)
    }
    writer.append(",\"type\":\"function\",\"function\":{\"name\":")
    writer.append(string: part.name)
    writer.append(",\"arguments\":")
  }

  /// `,"usage":{…}`
  static func append(_ usage: Usage, to writer: inout ByteWriter) {
    writer.append(",\"usage\":{\"prompt_tokens\":")
    writer.append(json: usage.inputTokens)
    writer.append(",\"completion_tokens\":")
    writer.append(json: usage.outputTokens)
    writer.append(",\"total_tokens\":")
    writer.append(json: usage.inputTokens.addingReportingOverflow(usage.outputTokens).partialValue)
    writer.append(",\"prompt_tokens_details\":{\"cached_tokens\":")
    writer.append(json: usage.cachedTokens)
    writer.append(",\"cache_write_tokens\":")
    writer.append(json: usage.cacheWriteTokens)
    writer.append("},\"completion_tokens_details\":{\"reasoning_tokens\":")
    writer.append(json: usage.reasoningTokens)
    writer.append("}}")
  }

  /// Why a model stops. What another dialect calls a pause is an end here: there is no way to ask on.
  static func name(_ reason: FinishReason) -> StaticString {
    switch reason {
    case .stop, .pause: "stop"
    case .length: "length"
    case .toolCalls: "tool_calls"
    case .contentFilter: "content_filter"
    }
  }
}
