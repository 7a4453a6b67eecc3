// Turns a record into its line: one JSON object, keys in a fixed order. Query strings and credentials are not in a
// record, so they cannot be in a line; a credential in a path is masked.

extension ByteWriter {
  /// The access line of an exchange, with its line end.
  mutating func append(accessLine record: ExchangeRecord, text: UnsafePointer<UInt8>) {
    append("{\"time\":\"")
    append(timestamp: record.startWall)
    append("\",\"level\":\"info\",\"event\":\"exchange\",\"requestId\":\"")
    append(jsonEscaped: text + RecordText.requestIDOffset, Int(record.requestIDCount))
    append("\",\"worker\":")
    append(decimal: UInt64(record.worker))
    if record.origin != .client { append(originOf: record, text) }
    append(key: "listener", record.listener)
    append(",\"client\":\"")
    append(host: record.client)
    append("\"")
    if record.peerCount > 0 {
      append(key: "peer", StaticBytes(start: text + RecordText.peerOffset, count: Int(record.peerCount)))
    }
    append(
      key: "method",
      record.methodCount == 0
        ? StaticBytes(record.method.name)
        : StaticBytes(start: text + RecordText.methodOffset, count: Int(record.methodCount)))
    append(key: "host", StaticBytes(start: text + RecordText.hostOffset, count: Int(record.hostCount)))
    append(",\"path\":\"")
    append(jsonConcealed: text + RecordText.pathOffset, Int(record.pathCount))
    append("\"")
    append(key: "route", record.route)
    if record.principalCount > 0 {
      append(
        key: "principal", StaticBytes(start: text + RecordText.principalOffset, count: Int(record.principalCount)))
    }
    append(key: "service", record.service)
    append(key: "endpoint", record.endpoint)
    append(",\"status\":")
    append(decimal: UInt64(record.status))
    append(key: "cause", StaticBytes(record.cause.name))
    if record.policy.count > 0 { append(key: "policy", record.policy) }
    append(key: "attempts", UInt64(record.attempts))
    append(key: "replays", UInt64(record.replays))
    append(key: "requestBytes", record.requestBytes)
    append(key: "responseBytes", record.responseBytes)
    append(",\"duration\":")
    append(milliseconds: record.end &- record.start)
    append(",\"upstreamDuration\":")
    append(milliseconds: record.answered > record.sent ? record.answered - record.sent : 0)
    if record.isMetered { append(meteredPartOf: record) }
    append(key: "generation", UInt64(record.generation))
    append("}\n")
  }

  /// Exchanges that are no requests of HTTP clients say what they began with: a message says what the client calls it,
  /// a child which exchange it is part of.
  private mutating func append(originOf record: ExchangeRecord, _ text: UnsafePointer<UInt8>) {
    append(key: "origin", StaticBytes(record.origin.name))
    switch record.origin {
    case .message:
      append(
        key: "messageId", StaticBytes(start: text + RecordText.messageOffset, count: Int(record.messageCount)))
    case .child:
      append(",\"parent\":\"")
      append(record.parent)
      append(byte: 0x22)
    case .client, .background: break
    }
  }

  /// What was bought. Parts that never came to be are empty or 0, so that such lines have the same keys; only a
  /// shortfall is rare enough to stand there when it is one.
  private mutating func append(meteredPartOf record: ExchangeRecord) {
    append(key: "provider", record.provider)
    append(key: "model", record.model)
    append(",\"attempt\":\"")
    if record.attempt != ULID(high: 0, low: 0) { append(record.attempt) }
    append(byte: 0x22)
    append(key: "fallbacks", UInt64(record.fallbacks))
    if record.fallbacks > 0 { append(failedPartOf: record) }
    append(record.streams ? ",\"stream\":true" : ",\"stream\":false" as StaticString)
    append(",\"usage\":{\"source\":\"")
    append(record.usage.source.word)
    append("\"")
    append(key: "inputTokens", tokens: record.usage.inputTokens)
    append(key: "cachedTokens", tokens: record.usage.cachedTokens)
    append(key: "cacheWriteTokens", tokens: record.usage.cacheWriteTokens)
    append(key: "outputTokens", tokens: record.usage.outputTokens)
    append(key: "reasoningTokens", tokens: record.usage.reasoningTokens)
    append("},\"credits\":")
    append(record.charge)
    if record.shortfall > .zero {
      append(",\"shortfall\":")
      append(record.shortfall)
    }
    append(",\"firstByte\":")
    append(milliseconds: record.firstByte > record.start ? record.firstByte - record.start : 0)
  }

  /// Whom others have answered for.
  private mutating func append(failedPartOf record: ExchangeRecord) {
    append(",\"failed\":{\"provider\":\"")
    append(jsonEscaped: record.failedProvider.start, record.failedProvider.count)
    append("\",\"code\":\"")
    append(record.failedCode.row.name)
    append("\"")
    append(key: "status", UInt64(record.failedStatus))
    append("}")
  }

  /// What a provider says about tokens is its own affair; a line has no negative ones.
  private mutating func append(key: StaticString, tokens: Int64) { append(key: key, UInt64(max(0, tokens))) }

  private mutating func append(key: StaticString, _ text: StaticBytes) {
    append(",\"")
    append(key)
    append("\":\"")
    append(jsonEscaped: text.start, text.count)
    append("\"")
  }

  private mutating func append(key: StaticString, _ number: UInt64) {
    append(",\"")
    append(key)
    append("\":")
    append(decimal: number)
  }

  /// Nanoseconds as milliseconds with three decimals.
  private mutating func append(milliseconds nanoseconds: UInt64) {
    append(decimal: nanoseconds / 1_000_000)
    append(byte: 0x2e)
    append(decimal: nanoseconds / 1_000 % 1_000, width: 3)
  }
}

extension UsageSource {
  /// As the log writes it.
  fileprivate var word: StaticString {
    switch self {
    case .none: "none"
    case .reported: "reported"
    case .estimated: "estimated"
    }
  }
}
