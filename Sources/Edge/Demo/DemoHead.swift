// The heads of the demo provider's answers, with the fields that OpenAI and Anthropic send.
//
// Called by: the loop, when an answer is ready. Never: reads or writes a socket.

/// How a body is framed.
enum DemoFraming {
  case length(Int)
  case stream(isChunked: Bool)
}

extension DemoText {
  /// The head of an answer; `now` is monotonic milliseconds.
  mutating func append(
    head status: UInt16, _ framing: DemoFraming, of request: DemoRequest, promptTokens: Int, now: UInt64,
    _ identity: DemoIdentity
  ) {
    append("HTTP/1.1 ")
    append(decimal: Int(status))
    append(" ")
    append(DemoText.reason(status))
    append("\r\ndate: ")
    append(date: identity.wall)
    switch framing {
    case .length(let length):
      append("\r\ncontent-type: application/json\r\ncontent-length: ")
      append(decimal: length)
    case .stream(let isChunked):
      append("\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache")
      if isChunked { append("\r\ntransfer-encoding: chunked") }
    }
    if !request.keepAlive { append("\r\nconnection: close") }
    let isLimited = status == 429
    switch request.wire {
    case .openAI:
      append("\r\nx-request-id: ")
      identity.appendRequest(to: &self)
      append("\r\nopenai-organization: demo\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: ")
      append(decimal: Int(now - request.since))
      append(openAILimits: isLimited, promptTokens)
    case .anthropic:
      append("\r\nrequest-id: ")
      identity.appendRequest(to: &self)
      append("\r\nanthropic-organization-id: demo")
      append(anthropicLimits: isLimited, promptTokens, identity.wall)
    }
    if isLimited { append("\r\nretry-after: 2") }
    append("\r\n\r\n")
  }

  private mutating func append(openAILimits isLimited: Bool, _ promptTokens: Int) {
    append("\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000")
    append("\r\nx-ratelimit-remaining-requests: ")
    append(isLimited ? "0" : "9999")
    append("\r\nx-ratelimit-remaining-tokens: ")
    append(decimal: isLimited ? 0 : max(0, 2_000_000 - promptTokens))
    append(isLimited ? "\r\nx-ratelimit-reset-requests: 2s" : "\r\nx-ratelimit-reset-requests: 6ms")
    append(isLimited ? "\r\nx-ratelimit-reset-tokens: 2s" : "\r\nx-ratelimit-reset-tokens: 0s")
  }

  /// Anthropic says a time where OpenAI says how long.
  private mutating func append(anthropicLimits isLimited: Bool, _ promptTokens: Int, _ wall: UInt64) {
    let reset = wall + (isLimited ? 2_000_000_000 : 0)
    let rows: [(name: StaticString, limit: Int, used: Int)] = [
      ("requests", 10_000, 1), ("tokens", 2_000_000, promptTokens), ("input-tokens", 1_600_000, promptTokens),
      ("output-tokens", 400_000, 0),
    ]
    for row in rows {
      append(limit: row.name, "-limit: ")
      append(decimal: row.limit)
      append(limit: row.name, "-remaining: ")
      append(decimal: isLimited ? 0 : max(0, row.limit - row.used))
      append(limit: row.name, "-reset: ")
      append(timestamp: reset)
    }
  }

  private mutating func append(limit name: StaticString, _ member: StaticString) {
    append("\r\nanthropic-ratelimit-")
    append(name)
    append(member)
  }

  private static func reason(_ status: UInt16) -> StaticString {
    switch status {
    case 200: "OK"
    case 400: "Bad Request"
    case 404: "Not Found"
    case 413: "Content Too Large"
    case 417: "Expectation Failed"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 505: "HTTP Version Not Supported"
    case 529: "Overloaded"
    default: ""
    }
  }
}
