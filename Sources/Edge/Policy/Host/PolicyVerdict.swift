// What a policy decided about a request: refuse it with a row of the error table, or answer it. The texts stand in
// memory of the machine that decided and are valid until it runs again.

/// The end that a policy gave an exchange.
struct PolicyVerdict: BitwiseCopyable {
  /// Refusals: what the client is told.
  var code: ErrorCode?
  /// Refusals: in the place of the code's own message.
  var message: UnsafeBufferPointer<UInt8>?
  /// Refusals: seconds, at least 1; 0: nothing is said.
  var retryAfterSeconds: UInt64 = 0
  /// Refusals: a JSON object.
  var details: UnsafeBufferPointer<UInt8>?
  /// Answers: the fields say how the answer may be kept.
  var saysCaching = false
  var status: UInt16 = 200
  /// Answers: lines of a head, each with its end, Content-Type among them.
  var fields = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
  var body = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
}
