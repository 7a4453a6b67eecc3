// Why a request for a model is refused before anybody is asked.
// Thrown by dialects when they read a request; the driver answers with it in the client's own format.

/// What is wrong with a request, and with which of its parameters.
struct DialectFault: Error, BitwiseCopyable {
  var code = ErrorCode.invalidRequest
  /// As the client wrote it; nil when it is the whole body.
  var param: StaticString?
  /// Says what to do next; needs no escaping in JSON.
  var message: StaticString
  /// Of a body that is no JSON: what is wrong, at which byte.
  var reason: StaticString = ""
  var offset = -1
}

extension ByteWriter {
  /// The message of a refused request.
  mutating func append(_ fault: DialectFault) {
    append(fault.message)
    guard fault.offset >= 0 else { return }
    append(": ")
    append(fault.reason)
    append(" at byte ")
    append(decimal: UInt64(fault.offset))
    append(".")
  }
}
