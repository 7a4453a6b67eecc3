// The one table of error codes (product contract, section 6.7). Every surface answers with a row of it; the reference
// page and the checks read the same rows.

/// What went wrong, as the client is told.
enum ErrorCode: UInt8, CaseIterable {
  case unauthorized, invalidAPIKey, sessionExpired, insufficientCredits, forbidden, securityViolation, notFound
  case modelNotFound, methodNotAllowed, requestTimeout, conflict, messageTooLarge, rangeNotSatisfiable
  case misdirectedRequest, contentRejected, upgradeRequired, rateLimitExceeded, headersTooLarge, invalidRequest
  case invalidMessageFormat, invalidProtocolVersion, invalidMessageID, toolExecutionFailed, expectationFailed,
    versionNotSupported, cancelled
  case policyError, internalError, processSpawnFailed, notImplemented, providerError, allProvidersFailed
  case serviceUnavailable, queueFull, timeout

  /// The row of this code.
  var row: ErrorRow { ErrorRow.table[Int(rawValue)] }
}

/// One error code: its name on the wire, its HTTP status and what the client reads when nothing closer is known.
struct ErrorRow: Sendable {
  let code: ErrorCode
  let name: StaticString
  let status: UInt16
  let reason: StaticString
  let message: StaticString

  private init(
    _ code: ErrorCode, _ name: StaticString, _ status: UInt16, _ reason: StaticString, _ message: StaticString
  ) {
    self.code = code
    self.name = name
    self.status = status
    self.reason = reason
    self.message = message
  }

  /// In the order of `ErrorCode`.
  static let table: [ErrorRow] = [
    ErrorRow(
      .unauthorized, "UNAUTHORIZED", 401, "Unauthorized",
      "No valid credential was sent; send a bearer token or an API key."),
    ErrorRow(
      .invalidAPIKey, "INVALID_API_KEY", 401, "Unauthorized", "The API key is not valid; check it or ask for a new one."
    ),
    ErrorRow(.sessionExpired, "SESSION_EXPIRED", 401, "Unauthorized", "The session has expired; sign in again."),
    ErrorRow(
      .insufficientCredits, "INSUFFICIENT_CREDITS", 402, "Payment Required",
      "The balance does not cover this request; add credits."),
    ErrorRow(.forbidden, "FORBIDDEN", 403, "Forbidden", "The credential does not allow this; ask for the permission."),
    ErrorRow(.securityViolation, "SECURITY_VIOLATION", 403, "Forbidden", "The request breaks a security rule."),
    ErrorRow(.notFound, "NOT_FOUND", 404, "Not Found", "Nothing is served at this path; check the URL."),
    ErrorRow(.modelNotFound, "MODEL_NOT_FOUND", 404, "Not Found", "No provider offers this model; list the models."),
    ErrorRow(
      .methodNotAllowed, "METHOD_NOT_ALLOWED", 405, "Method Not Allowed",
      "This path does not take this method; see Allow."),
    ErrorRow(
      .requestTimeout, "REQUEST_TIMEOUT", 408, "Request Timeout", "The request did not arrive in time; send it again."),
    ErrorRow(.conflict, "CONFLICT", 409, "Conflict", "The request conflicts with what was done before."),
    ErrorRow(
      .messageTooLarge, "MESSAGE_TOO_LARGE", 413, "Content Too Large", "The body is larger than this route takes."),
    ErrorRow(
      .rangeNotSatisfiable, "RANGE_NOT_SATISFIABLE", 416, "Range Not Satisfiable",
      "The range lies outside of the content."),
    ErrorRow(
      .misdirectedRequest, "MISDIRECTED_REQUEST", 421, "Misdirected Request",
      "This connection does not serve that host; open another."),
    ErrorRow(.contentRejected, "CONTENT_REJECTED", 422, "Unprocessable Content", "The content was rejected."),
    ErrorRow(
      .upgradeRequired, "UPGRADE_REQUIRED", 426, "Upgrade Required", "This path speaks WebSocket; send an upgrade."),
    ErrorRow(
      .rateLimitExceeded, "RATE_LIMIT_EXCEEDED", 429, "Too Many Requests", "Too many requests; wait and try again."),
    ErrorRow(
      .headersTooLarge, "HEADERS_TOO_LARGE", 431, "Request Header Fields Too Large",
      "The request line and headers are too long or too many; send fewer."),
    ErrorRow(.invalidRequest, "INVALID_REQUEST", 400, "Bad Request", "The request is malformed."),
    ErrorRow(
      .invalidMessageFormat, "INVALID_MESSAGE_FORMAT", 400, "Bad Request", "The message is not of the known form."),
    ErrorRow(
      .invalidProtocolVersion, "INVALID_PROTOCOL_VERSION", 400, "Bad Request",
      "This protocol version is not spoken here."),
    ErrorRow(.invalidMessageID, "INVALID_MESSAGE_ID", 400, "Bad Request", "The message id is not valid or in use."),
    ErrorRow(.toolExecutionFailed, "TOOL_EXECUTION_FAILED", 400, "Bad Request", "The tool failed."),
    ErrorRow(
      .expectationFailed, "INVALID_REQUEST", 417, "Expectation Failed",
      "Only the expectation 100-continue is known here."),
    ErrorRow(
      .versionNotSupported, "INVALID_REQUEST", 505, "HTTP Version Not Supported",
      "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    ErrorRow(.cancelled, "CANCELLED", 499, "Client Closed Request", "The client cancelled the request."),
    ErrorRow(.policyError, "POLICY_ERROR", 500, "Internal Server Error", "A policy failed; report the request id."),
    ErrorRow(.internalError, "INTERNAL_ERROR", 500, "Internal Server Error", "Edge failed; report the request id."),
    ErrorRow(
      .processSpawnFailed, "PROCESS_SPAWN_FAILED", 500, "Internal Server Error", "The program could not be started."),
    ErrorRow(.notImplemented, "NOT_IMPLEMENTED", 501, "Not Implemented", "This is not implemented."),
    ErrorRow(
      .providerError, "PROVIDER_ERROR", 502, "Bad Gateway", "The service behind Edge gave no valid answer; try again."),
    ErrorRow(
      .allProvidersFailed, "ALL_PROVIDERS_FAILED", 502, "Bad Gateway", "Every provider failed; try again later."),
    ErrorRow(
      .serviceUnavailable, "SERVICE_UNAVAILABLE", 503, "Service Unavailable",
      "The service behind Edge cannot be reached; try again shortly."),
    ErrorRow(.queueFull, "QUEUE_FULL", 503, "Service Unavailable", "Too many requests are waiting; try again shortly."),
    ErrorRow(
      .timeout, "TIMEOUT", 504, "Gateway Timeout", "The service behind Edge did not answer in time; try again."),
  ]
}
