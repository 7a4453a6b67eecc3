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
}

/// What a built-in endpoint answers.
struct BuiltinReply: BitwiseCopyable {
  var status: UInt16 = 200
  var reason: StaticString = "OK"
  var contentType: StaticString = "application/json"
}

/// A built-in endpoint: writes its body and says what the head shall say. Not for the request path of services.
typealias BuiltinBody = @Sendable (inout ByteWriter, BuiltinFacts) -> BuiltinReply

/// What a built-in endpoint may tell.
struct BuiltinFacts: Sendable {
  let counters: Counters
  let wall: UInt64
}

/// The rows that `Command` hands to the workers: one per `BuiltinName`, in its order.
struct BuiltinTable: Sendable {
  let rows: [BuiltinBody]
}

extension ByteWriter {
  /// A whole reply.
  mutating func appendReply(
    status: UInt16, reason: StaticString, contentType: StaticString, body: UnsafePointer<UInt8>, bodyCount: Int,
    _ context: ReplyContext
  ) {
    append("HTTP/1.1 ")
    append(decimal: UInt64(status), width: 3)
    append(byte: 0x20)
    append(reason)
    append("\r\ndate: ")
    append(context.date)
    append("\r\ncontent-type: ")
    append(contentType)
    append("\r\ncontent-length: ")
    append(decimal: UInt64(bodyCount))
    appendLineEnd()
    if context.allowed != 0 { appendAllow(context.allowed) }
    append(context.connection)
    append("cache-control: no-store\r\nx-request-id: ")
    append(context.requestID, context.requestIDCount)
    append("\r\n\r\n")
    if !context.isToHead { append(body, bodyCount) }
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

  /// The body of an error: `{"error":{code, message, requestId}, "timestamp"}`.
  mutating func appendErrorBody(_ row: ErrorRow, message: StaticString, _ context: ReplyContext) {
    append("{\"error\":{\"code\":\"")
    append(row.name)
    append("\",\"message\":\"")
    append(message)
    append("\",\"requestId\":\"")
    append(context.requestID, context.requestIDCount)
    append("\"},\"timestamp\":\"")
    append(timestamp: context.wall)
    append("\"}")
  }
}
