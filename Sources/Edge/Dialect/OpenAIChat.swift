// OpenAI's chat completions (`POST /v1/chat/completions`): requests, whole answers, events of a stream, errors.
//
// Owns: where the format has what all dialects share. Requests are read in OpenAIChatRequest.swift.
// Called by: the table of dialects.
// Never: trusts an answer. What it does not understand passes on as a part of which nothing is known.

import Glibc

/// The dialect `openai-chat`.
enum OpenAIChat {
  static let path: StaticString = "/chat/completions"
  static let keyField: (name: StaticString, prefix: StaticString) = ("authorization", "Bearer ")

  // MARK: edits

  /// The edits of a body on its way to a provider. A stream whose client did not ask for usage is made to report it.
  static func splices(_ request: ModelRequest, upstreamModel: StaticBytes?) -> BodySplices {
    var splices = BodySplices()
    if let upstreamModel, !request.model.isNone {
      splices.add(start: Int(request.model.start), count: Int(request.model.count), upstreamModel)
    }
    guard request.streams, !request.asksUsage else { return splices }
    let value = request.includeUsage
    if request.streamOptions.isNone {
      splices.add(
        start: Int(request.insertion), count: 0, StaticBytes("\"stream_options\":{\"include_usage\":true},"))
    } else if value.isNone {
      let options = request.streamOptions
      splices.add(start: Int(options.start), count: Int(options.count), StaticBytes("{\"include_usage\":true}"))
    } else {
      let replacement: StaticString = value.count == 0 ? "\"include_usage\":true," : "true"
      splices.add(start: Int(value.start), count: Int(value.count), StaticBytes(replacement))
    }
    return splices
  }

  // MARK: answers

  /// What the data of one event says. Anything that is not understood is a part.
  static func readEvent(_ data: UnsafeBufferPointer<UInt8>, _ document: JSONDocument) -> ModelEvent {
    var event = ModelEvent()
    let mark = StaticBytes("[DONE]")
    guard let start = data.baseAddress else {
      document.reset()
      return event
    }
    if data.count >= mark.count, equalBytes(start, mark.start, mark.count),
      data[mark.count...].allSatisfy({ $0 == 0x20 })
    {
      event.kind = .end
      return event
    }
    do throws(JSONFault) {
      try document.read(start, data.count, nodesMax: ModelLimits.eventNodesMax)
    } catch {
      return event
    }
    if isError(document) {
      event.kind = .error
      event.errorCode = error(document).code
      return event
    }
    if case .found(let usage) = document.value(of: "usage", in: 0), document.kind(usage) == .map {
      readUsage(document, usage, into: &event)
      event.kind = .usageOnly
    }
    guard case .found(let choices) = document.value(of: "choices", in: 0) else {
      event.kind = .part
      return event
    }
    event.isOpening = document.kind(choices) == .list && (event.kind == .part || document[choices].members > 0)
    for choice in document.elements(of: choices) {
      event.kind = .part
      event.isOpening = event.isOpening && saysNothing(document, choice)
      if case .found(let delta) = document.value(of: "delta", in: choice) {
        event.contentBytes += contentBytes(document, delta)
      }
      if case .found(let reason) = document.value(of: "finish_reason", in: choice), document.kind(reason) == .string,
        !document.isString(reason, "")
      {
        event.choicesFinished += 1
      }
    }
    if document.kind(choices) != .list { event.kind = .part }
    return event
  }

  /// What a whole answer says. One that is no answer at all is an error; one that is too large to be read is a part
  /// with as much content as it has bytes. The document is free again afterwards.
  static func readAnswer(_ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument) -> ModelEvent {
    defer { document.reset() }
    if let unread = document.readAnswer(body, count) { return unread }
    var event = ModelEvent()
    event.kind = .error
    if isError(document) {
      event.errorCode = error(document).code
      return event
    }
    if case .found(let usage) = document.value(of: "usage", in: 0), document.kind(usage) == .map {
      readUsage(document, usage, into: &event)
    }
    guard case .found(let choices) = document.value(of: "choices", in: 0), document.kind(choices) == .list else {
      return event
    }
    event.kind = .part
    event.choicesFinished = 1
    for choice in document.elements(of: choices) {
      if case .found(let message) = document.value(of: "message", in: choice) {
        event.contentBytes += contentBytes(document, message)
      }
    }
    return event
  }

  /// Whether a choice of a stream says no more than who speaks: then the answer has not really begun.
  private static func saysNothing(_ document: JSONDocument, _ choice: Int) -> Bool {
    // There are servers that say an empty reason for as long as there is none.
    if case .found(let reason) = document.value(of: "finish_reason", in: choice), document.kind(reason) != .null,
      !document.isString(reason, "")
    {
      return false
    }
    guard case .found(let delta) = document.value(of: "delta", in: choice), document.kind(delta) == .map else {
      return false
    }
    return document.pairs(of: delta).allSatisfy { key, value in
      document.kind(value) == .null || document.isString(key, "role") || document.isString(value, "")
    }
  }

  private static func isError(_ document: JSONDocument) -> Bool {
    guard case .found(let error) = document.value(of: "error", in: 0) else { return false }
    return document.kind(error) != .null
  }

  /// The bytes of what a message or a piece of one says to the client.
  private static func contentBytes(_ document: JSONDocument, _ message: Int) -> Int64 {
    var bytes: Int64 = 0
    for (key, value) in document.pairs(of: message) {
      switch document.kind(value) {
      case .string:
        if document.isString(key, "content") || document.isString(key, "refusal")
          || document.isString(key, "reasoning") || document.isString(key, "reasoning_content")
        {
          bytes += document.textBytes(value)
        }
      case .list:
        if document.isString(key, "content") { bytes += piecesBytes(document, value) }
        guard document.isString(key, "tool_calls") else { continue }
        for call in document.elements(of: value) {
          for (key, value) in document.pairs(of: call)
          where document.isString(key, "function") || document.isString(key, "custom") {
            bytes += callBytes(document, value)
          }
        }
      case .map:
        if document.isString(key, "function_call") { bytes += callBytes(document, value) }
      default: break
      }
    }
    return bytes
  }

  /// Of a content that is a list: its texts, and what was thought, which is such a list itself.
  private static func piecesBytes(_ document: JSONDocument, _ list: Int) -> Int64 {
    var bytes: Int64 = 0
    for piece in document.elements(of: list) {
      for (key, value) in document.pairs(of: piece) {
        if document.isString(key, "thinking") {
          bytes += piecesBytes(document, value)
        } else if document.kind(value) == .string, document.isString(key, "text") || document.isString(key, "refusal") {
          bytes += document.textBytes(value)
        }
      }
    }
    return bytes
  }

  /// Of a call's name and arguments, or of the input of a custom tool.
  private static func callBytes(_ document: JSONDocument, _ call: Int) -> Int64 {
    var bytes: Int64 = 0
    for (key, value) in document.pairs(of: call) {
      if document.kind(value) == .map, document.isString(key, "arguments") { bytes += Int64(document[value].count) }
      guard document.kind(value) == .string else { continue }
      if document.isString(key, "name") || document.isString(key, "arguments") || document.isString(key, "input") {
        bytes += document.textBytes(value)
      }
    }
    return bytes
  }

  // MARK: usage

  /// The tokens of a `usage` map. Nothing is reported when neither whole is there, or one of them makes no sense.
  private static func readUsage(_ document: JSONDocument, _ map: Int, into event: inout ModelEvent) {
    var usage = Usage()
    switch (document.tokens("prompt_tokens", in: map), document.tokens("completion_tokens", in: map)) {
    case (.number(let input), .number(let output)): (usage.inputTokens, usage.outputTokens) = (input, output)
    case (.number(let input), .absent): (usage.inputTokens, event.usageReach) = (input, .input)
    case (.absent, .number(let output)): (usage.outputTokens, event.usageReach) = (output, .output)
    default: return
    }
    usage.source = .reported
    if case .found(let details) = document.value(of: "prompt_tokens_details", in: map) {
      usage.cachedTokens = part(document, "cached_tokens", details, of: usage.inputTokens)
      usage.cacheWriteTokens = part(
        document, "cache_write_tokens", details, of: usage.inputTokens - usage.cachedTokens)
    }
    if case .found(let details) = document.value(of: "completion_tokens_details", in: map) {
      usage.reasoningTokens = part(document, "reasoning_tokens", details, of: usage.outputTokens)
    }
    event.usage = usage
  }

  private static func part(_ document: JSONDocument, _ key: StaticString, _ map: Int, of whole: Int64) -> Int64 {
    guard case .number(let number) = document.tokens(key, in: map) else { return 0 }
    return min(number, whole)
  }

  // MARK: errors

  /// `{"error":{"message","type","param","code"}}`. An empty message is that of the row.
  static func appendError(
    _ row: ErrorRow, param: StaticString? = nil, message: StaticBytes, details: StaticBytes? = nil,
    to writer: inout ByteWriter
  ) {
    writer.append("{\"error\":{\"message\":")
    if message.count == 0 {
      writer.append(json: row.message)
    } else {
      writer.append(json: message.start, message.count)
    }
    appendErrorRest(row, param, details, to: &writer)
  }

  /// The same for a request that could not be read.
  static func appendError(_ fault: DialectFault, to writer: inout ByteWriter) {
    writer.append("{\"error\":{\"message\":\"")
    writer.append(fault)
    writer.append(byte: 0x22)
    appendErrorRest(fault.code.row, fault.param, nil, to: &writer)
  }

  static func appendErrorRest(
    _ row: ErrorRow, _ param: StaticString?, _ details: StaticBytes?, to writer: inout ByteWriter
  ) {
    writer.append(",\"type\":")
    writer.append(json: row.openAIType)
    writer.append(",\"param\":")
    if let param { writer.append(json: param) } else { writer.appendNull() }
    writer.append(",\"code\":")
    writer.append(json: row.openAICode)
    if let details {
      // OpenAI has no such key, and its clients keep keys that they do not know.
      writer.append(",\"details\":")
      writer.append(details)
    }
    writer.append("}}")
  }
}
