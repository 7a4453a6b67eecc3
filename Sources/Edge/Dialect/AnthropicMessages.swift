// Anthropic's messages (`POST /v1/messages`): requests, whole answers, events of a stream, errors.
//
// Owns: where the format has what all dialects share; what is metered. Requests are read in
// AnthropicMessagesRequest.swift, translated in AnthropicMessagesRequests.swift and AnthropicMessagesWriting.swift;
// answers are translated in AnthropicMessagesAnswers.swift and AnthropicMessagesStream.swift.
// Called by: the table of dialects.
// Never: trusts an answer. What it does not understand passes on as a part of which nothing is known.

import Glibc

/// The dialect `anthropic-messages`.
enum AnthropicMessages {
  static let path: StaticString = "/messages"
  static let keyField: (name: StaticString, prefix: StaticString) = ("x-api-key", "")
  static let requestIDField: StaticString = "request-id"
  static let versionLine: (name: StaticString, line: StaticString) = (
    "anthropic-version", "anthropic-version: 2023-06-01\r\n"
  )

  /// The edits of a body on its way to a provider: only the model's name. Streams tell their usage unasked.
  static func splices(_ request: ModelRequest, upstreamModel: StaticBytes?) -> BodySplices {
    var splices = BodySplices()
    if let upstreamModel, !request.model.isNone {
      splices.add(start: Int(request.model.start), count: Int(request.model.count), upstreamModel)
    }
    return splices
  }

  // MARK: events

  /// What an event is for, by the `type` in its data; the name on the `event:` line says the same.
  enum EventType {
    case messageStart, blockStart, blockDelta, messageDelta, messageStop, ping, error, other

    /// Of the event that the document has read.
    static func of(_ document: JSONDocument) -> EventType {
      guard document.count > 0 else { return .other }
      switch document.value(of: "type", in: 0) {
      case .found(let type): return named(document, type)
      case .duplicate: return .other
      case .missing:
        guard case .found(let error) = document.value(of: "error", in: 0) else { return .other }
        return document.kind(error) == .null ? .other : .error
      }
    }

    private static func named(_ document: JSONDocument, _ type: Int) -> EventType {
      if document.isString(type, "content_block_delta") { return .blockDelta }
      if document.isString(type, "content_block_start") { return .blockStart }
      if document.isString(type, "message_start") { return .messageStart }
      if document.isString(type, "message_delta") { return .messageDelta }
      if document.isString(type, "message_stop") { return .messageStop }
      if document.isString(type, "ping") { return .ping }
      return document.isString(type, "error") ? .error : .other
    }
  }

  /// What the data of one event says. Anything that is not understood is a part.
  static func readEvent(_ data: UnsafeBufferPointer<UInt8>, _ document: JSONDocument) -> ModelEvent {
    var event = ModelEvent()
    guard let start = data.baseAddress else {
      document.reset()
      return event
    }
    do throws(JSONFault) {
      try document.read(start, data.count, nodesMax: ModelLimits.eventNodesMax)
    } catch {
      return event
    }
    switch EventType.of(document) {
    case .messageStart: readStart(document, &event)
    case .blockStart:
      guard case .found(let block) = document.value(of: "content_block", in: 0) else { break }
      event.contentBytes = blockBytes(document, block)
      event.isOpening = event.contentBytes == 0 && isText(document, block)
    case .blockDelta:
      if case .found(let delta) = document.value(of: "delta", in: 0) {
        event.contentBytes = deltaBytes(document, delta)
      }
    case .messageDelta: readMessageDelta(document, &event)
    case .messageStop: event.kind = .end
    case .ping: event.isOpening = true
    case .error:
      event.kind = .error
      event.errorCode = errorCode(document)
    case .other: break
    }
    return event
  }

  /// The first event: an empty message, and what went in.
  private static func readStart(_ document: JSONDocument, _ event: inout ModelEvent) {
    guard case .found(let message) = document.value(of: "message", in: 0) else { return }
    event.isOpening = true
    if case .found(let content) = document.value(of: "content", in: message), document[content].members > 0 {
      event.isOpening = false
      for block in document.elements(of: content) { event.contentBytes += blockBytes(document, block) }
    }
    if case .found(let usage) = document.value(of: "usage", in: message) {
      readUsage(document, usage, into: &event)
      // Of the output that is the beginning.
      if event.usageReach == .output { event.usage = Usage() }
      event.usageReach = .input
    }
  }

  /// Why the model stops, and what was used so far. Older servers say only what came out.
  private static func readMessageDelta(_ document: JSONDocument, _ event: inout ModelEvent) {
    if case .found(let delta) = document.value(of: "delta", in: 0),
      case .found(let reason) = document.value(of: "stop_reason", in: delta), document.kind(reason) == .string
    {
      event.choicesFinished = 1
    }
    if case .found(let usage) = document.value(of: "usage", in: 0) { readUsage(document, usage, into: &event) }
  }

  private static func isText(_ document: JSONDocument, _ block: Int) -> Bool {
    guard case .found(let type) = document.value(of: "type", in: block) else { return false }
    return document.isString(type, "text")
  }

  // MARK: whole answers

  /// What a whole answer says. One that is no answer at all is an error; one that is too large to be read is a part
  /// with as much content as it has bytes. The document is free again afterwards.
  static func readAnswer(_ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument) -> ModelEvent {
    defer { document.reset() }
    if let unread = document.readAnswer(body, count) { return unread }
    var event = ModelEvent()
    event.kind = .error
    if EventType.of(document) == .error {
      event.errorCode = errorCode(document)
      return event
    }
    if case .found(let usage) = document.value(of: "usage", in: 0), document.kind(usage) == .map {
      readUsage(document, usage, into: &event)
    }
    guard case .found(let content) = document.value(of: "content", in: 0), document.kind(content) == .list else {
      return event
    }
    event.kind = .part
    event.choicesFinished = 1
    for block in document.elements(of: content) { event.contentBytes += blockBytes(document, block) }
    return event
  }

  // MARK: errors of the provider

  /// Anthropic blames the request where the operator's account is empty.
  static func blamesOperator(_ message: ModelText) -> Bool {
    let mark: StaticString = "Your credit balance"
    return message.form == .string && message.bytes.count >= mark.utf8CodeUnitCount
      && equalBytes(message.bytes.start, mark.utf8Start, mark.utf8CodeUnitCount)
  }

  // MARK: content

  /// The bytes of what a block says to the client; in a stream that is what it begins with.
  private static func blockBytes(_ document: JSONDocument, _ block: Int) -> Int64 {
    guard case .found(let type) = document.value(of: "type", in: block) else { return 0 }
    if document.isString(type, "text") { return stringBytes(document, "text", block) }
    if document.isString(type, "thinking") {
      return stringBytes(document, "thinking", block) + stringBytes(document, "signature", block)
    }
    // What the client cannot read was thought all the same.
    if document.isString(type, "redacted_thinking") { return stringBytes(document, "data", block) }
    guard document.isString(type, "tool_use") || document.isString(type, "server_tool_use") else { return 0 }
    var bytes = stringBytes(document, "name", block)
    if case .found(let input) = document.value(of: "input", in: block), document[input].members > 0 {
      bytes += Int64(document[input].count)
    }
    return bytes
  }

  private static func deltaBytes(_ document: JSONDocument, _ delta: Int) -> Int64 {
    guard case .found(let type) = document.value(of: "type", in: delta) else { return 0 }
    if document.isString(type, "text_delta") { return stringBytes(document, "text", delta) }
    if document.isString(type, "thinking_delta") { return stringBytes(document, "thinking", delta) }
    if document.isString(type, "signature_delta") { return stringBytes(document, "signature", delta) }
    if document.isString(type, "input_json_delta") { return stringBytes(document, "partial_json", delta) }
    return 0
  }

  /// What the string of a key says.
  private static func stringBytes(_ document: JSONDocument, _ key: StaticString, _ map: Int) -> Int64 {
    guard case .found(let string) = document.value(of: key, in: map), document.kind(string) == .string else { return 0 }
    return document.textBytes(string)
  }

  // MARK: usage

  /// The tokens of a `usage` map. What was read from the cache and written to it stands beside the input there, so all
  /// three are what went in. Nothing is reported when none is there, or one of them makes no sense.
  private static func readUsage(_ document: JSONDocument, _ map: Int, into event: inout ModelEvent) {
    let input = document.tokens("input_tokens", in: map)
    let output = document.tokens("output_tokens", in: map)
    switch (input, output) {
    case (.absent, .absent): return
    case (.absent, _): event.usageReach = .output
    case (_, .absent): event.usageReach = .input
    default: event.usageReach = .whole
    }
    guard let plain = input.added, let out = output.added,
      let cached = document.tokens("cache_read_input_tokens", in: map).added,
      let written = document.tokens("cache_creation_input_tokens", in: map).added
    else { return }
    let (partly, overflow) = plain.addingReportingOverflow(cached)
    let (whole, overflows) = partly.addingReportingOverflow(written)
    if overflow || overflows { return }
    var usage = Usage()
    usage.source = .reported
    usage.inputTokens = whole
    usage.cachedTokens = cached
    usage.cacheWriteTokens = written
    usage.outputTokens = out
    if case .found(let details) = document.value(of: "output_tokens_details", in: map),
      case .number(let thinking) = document.tokens("thinking_tokens", in: details)
    {
      usage.reasoningTokens = min(thinking, out)
    }
    event.usage = usage
  }

  // MARK: errors

  /// `{"type":"error","error":{"type","message"},"request_id"}`. An empty message is that of the row.
  static func appendError(
    _ row: ErrorRow, message: StaticBytes, details: StaticBytes?, requestID: StaticBytes, to writer: inout ByteWriter
  ) {
    appendErrorStart(row, to: &writer)
    if message.count == 0 {
      writer.append(json: row.message)
    } else {
      writer.append(json: message.start, message.count)
    }
    if let details {
      // Anthropic has no such key here, and its clients keep keys that they do not know.
      writer.append(",\"details\":")
      writer.append(details)
    }
    appendErrorEnd(requestID, to: &writer)
  }

  /// The same for a request that could not be read. The format has no place for the parameter but the message.
  static func appendError(_ fault: DialectFault, requestID: StaticBytes, to writer: inout ByteWriter) {
    appendErrorStart(fault.code.row, to: &writer)
    writer.append(byte: 0x22)
    if let param = fault.param {
      writer.append(param)
      writer.append(": ")
    }
    writer.append(fault)
    writer.append(byte: 0x22)
    appendErrorEnd(requestID, to: &writer)
  }

  /// Up to the message.
  private static func appendErrorStart(_ row: ErrorRow, to writer: inout ByteWriter) {
    writer.append("{\"type\":\"error\",\"error\":{\"type\":")
    writer.append(json: row.anthropicType)
    writer.append(",\"message\":")
  }

  private static func appendErrorEnd(_ requestID: StaticBytes, to writer: inout ByteWriter) {
    writer.append(byte: 0x7d)
    if requestID.count > 0 {
      writer.append(",\"request_id\":")
      writer.append(json: requestID.start, requestID.count)
    }
    writer.append(byte: 0x7d)
  }

  /// What the provider says about its own error.
  static func readError(_ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument) -> ModelText {
    do throws(JSONFault) {
      try document.read(body, count, nodesMax: ModelLimits.eventNodesMax)
    } catch {
      return .none
    }
    guard case .found(let error) = document.value(of: "error", in: 0) else { return .none }
    let message = document.modelString(of: "message", in: error)
    return message.isEmpty ? .none : message
  }
}
