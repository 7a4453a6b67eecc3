// Responses that Edge writes itself: errors and built-in endpoints.
// Called by the driver, which sends the bytes; nothing here knows a connection.

import Glibc

/// The facts of a reply that do not depend on its body.
struct ReplyContext: BitwiseCopyable {
  var requestID: UnsafePointer<UInt8>
  var requestIDCount: Int
  var wall: UInt64
  /// `wall` as a Date field has it.
  var date: StaticBytes
  var connection: WrittenConnection
  /// The request was HEAD: the head says how long the body would be, and there is none.
  var isToHead: Bool
  /// Methods for an Allow field; 0: no such field.
  var allowed: UInt16 = 0
  /// For a Retry-After field; 0: no such field.
  var retryAfterSeconds: UInt64 = 0
  /// The answer asks for a credential (RFC 6750 section 3).
  var challenges = false
  /// The client looks for the request's id in this field too.
  var requestIDField: StaticString?
  /// Lines of a head, each with its end, and whether one of them is Cache-Control.
  var saysCaching = false
  var fields = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
}

/// The beginning of a reply.
struct ReplyHead: BitwiseCopyable {
  var status: UInt16
  var reason: StaticString
  /// nil: the context's fields say it.
  var contentType: StaticString?

  /// The phrase for a status that a handler chose; nobody reads it, so only the common ones have one.
  static func reason(of status: UInt16) -> StaticString {
    switch status {
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 409: "Conflict"
    case 429: "Too Many Requests"
    case 500: "Internal Server Error"
    case 503: "Service Unavailable"
    default: ""
    }
  }
}

/// What an error says beside its code.
struct ErrorTexts: BitwiseCopyable {
  var message: StaticBytes
  /// 0: nothing is said.
  var retryAfterSeconds: UInt64 = 0
  /// A JSON object.
  var details: StaticBytes?
}

/// What a built-in endpoint answers.
struct BuiltinReply: BitwiseCopyable {
  var status: UInt16 = 200
  var reason: StaticString = "OK"
  var contentType: StaticString = "application/json"
}

/// A built-in endpoint: writes its body and says what the head shall say. Not for the request path of services. When
/// the body does not fit, the writer has overflowed: then it is called once more with `Limits.replyBodyBytes`, which is
/// enough for all of them.
typealias BuiltinBody = @Sendable (inout ByteWriter, BuiltinFacts) -> BuiltinReply

/// What a built-in endpoint may tell.
struct BuiltinFacts: Sendable {
  let counters: Counters
  let metrics: Metrics
  let wall: UInt64
  /// The worker that answers takes no new connections.
  let isDraining: Bool
  /// The number of the generation that answers.
  let generation: UInt32
  /// What `ModelList` made for that generation: the list, or the model that is asked for; empty: it has no models.
  let models: StaticBytes
  /// What the control thread says; only for operators.
  var process: ControlBoard?
  /// The reload that was asked for.
  var reload: ReloadReport?
}

/// What operators can ask for, on `admin.sock` and on listeners with `admin`.
struct AdminEndpoint: Sendable {
  /// GET or POST.
  let method: Method
  let path: String
  /// The answer waits until the configuration was loaded anew.
  var reloads = false
  let write: BuiltinBody
}

/// The rows that `Command` hands to the workers.
struct BuiltinTable: Sendable {
  /// One per `BuiltinName`, in its order.
  let rows: [BuiltinBody]
  /// For operators. A route leads to them by their place behind `rows`.
  var admin: [AdminEndpoint] = []

  /// What a route's number leads to.
  func body(_ index: Int) -> BuiltinBody { index < rows.count ? rows[index] : admin[index - rows.count].write }

  /// Whether that waits for a reload.
  func reloads(_ index: Int) -> Bool { index >= rows.count && admin[index - rows.count].reloads }
}

extension ByteWriter {
  /// The head of a reply; the body follows unless the request was HEAD.
  mutating func appendReply(_ head: ReplyHead, bodyCount: Int, _ context: ReplyContext) {
    append("HTTP/1.1 ")
    append(decimal: UInt64(head.status), width: 3)
    append(byte: 0x20)
    append(head.reason)
    append("\r\ndate: ")
    append(context.date)
    appendLineEnd()
    if let contentType = head.contentType {
      append("content-type: ")
      append(contentType)
      appendLineEnd()
    }
    if let fields = context.fields.baseAddress { append(fields, context.fields.count) }
    // Neither has content, and a length would be about something else (RFC 9110 section 8.6).
    if head.status != 204, head.status != 304 {
      append("content-length: ")
      append(decimal: UInt64(bodyCount))
      appendLineEnd()
    }
    if context.allowed != 0 { appendAllow(context.allowed) }
    if context.retryAfterSeconds != 0 {
      append("retry-after: ")
      append(decimal: context.retryAfterSeconds)
      appendLineEnd()
    }
    if context.challenges { append("www-authenticate: Bearer\r\n") }
    append(context.connection)
    if !context.saysCaching { append("cache-control: no-store\r\n") }
    if let name = context.requestIDField {
      append(name)
      append(": ")
      append(context.requestID, context.requestIDCount)
      appendLineEnd()
    }
    append("x-request-id: ")
    append(context.requestID, context.requestIDCount)
    append("\r\n\r\n")
  }

  private mutating func appendAllow(_ methods: UInt16) {
    append("allow: ")
    var isFirst = true
    for method in Method.allCases where method != .other && methods & method.bit != 0 {
      if !isFirst { append(", ") }
      isFirst = false
      append(method.name)
    }
    appendLineEnd()
  }

  /// The body of an error: `{"error":{code, message, requestId, retryAfter?, details?}, "timestamp"}`.
  mutating func appendErrorBody(_ row: ErrorRow, _ texts: ErrorTexts, _ context: ReplyContext) {
    append("{\"error\":{\"code\":\"")
    append(row.name)
    append("\",\"message\":\"")
    append(jsonEscaped: texts.message.start, texts.message.count)
    append("\",\"requestId\":\"")
    append(context.requestID, context.requestIDCount)
    append(byte: 0x22)
    if texts.retryAfterSeconds != 0 {
      append(",\"retryAfter\":")
      append(decimal: texts.retryAfterSeconds)
    }
    if let details = texts.details {
      append(",\"details\":")
      append(details)
    }
    append("},\"timestamp\":\"")
    append(timestamp: context.wall)
    append("\"}")
  }
}
