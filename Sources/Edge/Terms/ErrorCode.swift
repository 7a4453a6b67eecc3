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
  /// `error.type` and `error.code` of OpenAI's formats, `error.type` of Anthropic's.
  let openAIType: StaticString
  let openAICode: StaticString
  let anthropicType: StaticString

  private init(
    _ code: ErrorCode, _ name: StaticString, _ status: UInt16, _ reason: StaticString, _ message: StaticString,
    _ openAIType: StaticString, _ openAICode: StaticString, _ anthropicType: StaticString
  ) {
    self.code = code
    self.name = name
    self.status = status
    self.reason = reason
    self.message = message
    self.openAIType = openAIType
    self.openAICode = openAICode
    self.anthropicType = anthropicType
  }

  /// The same request will be refused again, so clients that repeat by themselves are told not to
  /// (`x-should-retry: false`).
  var isTerminal: Bool { status == 402 || status == 403 }

  /// In the order of `ErrorCode`.
  static let table: [ErrorRow] = [
    ErrorRow(
      .unauthorized, "UNAUTHORIZED", 401, "Unauthorized",
      "No valid credential was sent; send a bearer token or an API key.", "authentication_error", "unauthorized",
      "authentication_error"),
    ErrorRow(
      .invalidAPIKey, "INVALID_API_KEY", 401, "Unauthorized",
      "The API key is not valid; check it or ask for a new one.", "invalid_request_error", "invalid_api_key",
      "authentication_error"),
    ErrorRow(
      .sessionExpired, "SESSION_EXPIRED", 401, "Unauthorized", "The session has expired; sign in again.",
      "authentication_error", "session_expired", "authentication_error"),
    ErrorRow(
      .insufficientCredits, "INSUFFICIENT_CREDITS", 402, "Payment Required",
      "The balance does not cover this request; add credits.", "insufficient_quota", "insufficient_quota",
      "billing_error"),
    ErrorRow(
      .forbidden, "FORBIDDEN", 403, "Forbidden", "The credential does not allow this; ask for the permission.",
      "permission_error", "forbidden", "permission_error"),
    ErrorRow(
      .securityViolation, "SECURITY_VIOLATION", 403, "Forbidden", "The request breaks a security rule.",
      "permission_error", "security_violation", "permission_error"),
    ErrorRow(
      .notFound, "NOT_FOUND", 404, "Not Found", "Nothing is served at this path; check the URL.",
      "invalid_request_error", "not_found", "not_found_error"),
    ErrorRow(
      .modelNotFound, "MODEL_NOT_FOUND", 404, "Not Found", "No provider offers this model; list the models.",
      "invalid_request_error", "model_not_found", "not_found_error"),
    ErrorRow(
      .methodNotAllowed, "METHOD_NOT_ALLOWED", 405, "Method Not Allowed",
      "This path does not take this method; see Allow.", "invalid_request_error", "method_not_allowed",
      "invalid_request_error"),
    ErrorRow(
      .requestTimeout, "REQUEST_TIMEOUT", 408, "Request Timeout", "The request did not arrive in time; send it again.",
      "invalid_request_error", "request_timeout", "timeout_error"),
    ErrorRow(
      .conflict, "CONFLICT", 409, "Conflict", "The request conflicts with what was done before.",
      "invalid_request_error", "conflict", "invalid_request_error"),
    ErrorRow(
      .messageTooLarge, "MESSAGE_TOO_LARGE", 413, "Content Too Large", "The body is larger than this route takes.",
      "invalid_request_error", "message_too_large", "request_too_large"),
    ErrorRow(
      .rangeNotSatisfiable, "RANGE_NOT_SATISFIABLE", 416, "Range Not Satisfiable",
      "The range lies outside of the content.", "invalid_request_error", "range_not_satisfiable",
      "invalid_request_error"),
    ErrorRow(
      .misdirectedRequest, "MISDIRECTED_REQUEST", 421, "Misdirected Request",
      "This connection does not serve that host; open another.", "invalid_request_error", "misdirected_request",
      "invalid_request_error"),
    ErrorRow(
      .contentRejected, "CONTENT_REJECTED", 422, "Unprocessable Content", "The content was rejected.",
      "invalid_request_error", "content_rejected", "invalid_request_error"),
    ErrorRow(
      .upgradeRequired, "UPGRADE_REQUIRED", 426, "Upgrade Required", "This path speaks WebSocket; send an upgrade.",
      "invalid_request_error", "upgrade_required", "invalid_request_error"),
    ErrorRow(
      .rateLimitExceeded, "RATE_LIMIT_EXCEEDED", 429, "Too Many Requests", "Too many requests; wait and try again.",
      "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    ErrorRow(
      .headersTooLarge, "HEADERS_TOO_LARGE", 431, "Request Header Fields Too Large",
      "The request line and headers are too long or too many; send fewer.", "invalid_request_error",
      "headers_too_large", "invalid_request_error"),
    ErrorRow(
      .invalidRequest, "INVALID_REQUEST", 400, "Bad Request", "The request is malformed.", "invalid_request_error",
      "invalid_request", "invalid_request_error"),
    ErrorRow(
      .invalidMessageFormat, "INVALID_MESSAGE_FORMAT", 400, "Bad Request", "The message is not of the known form.",
      "invalid_request_error", "invalid_message_format", "invalid_request_error"),
    ErrorRow(
      .invalidProtocolVersion, "INVALID_PROTOCOL_VERSION", 400, "Bad Request",
      "This protocol version is not spoken here.", "invalid_request_error", "invalid_protocol_version",
      "invalid_request_error"),
    ErrorRow(
      .invalidMessageID, "INVALID_MESSAGE_ID", 400, "Bad Request", "The message id is not valid or in use.",
      "invalid_request_error", "invalid_message_id", "invalid_request_error"),
    ErrorRow(
      .toolExecutionFailed, "TOOL_EXECUTION_FAILED", 400, "Bad Request", "The tool failed.", "invalid_request_error",
      "tool_execution_failed", "invalid_request_error"),
    ErrorRow(
      .expectationFailed, "INVALID_REQUEST", 417, "Expectation Failed",
      "Only the expectation 100-continue is known here.", "invalid_request_error", "invalid_request",
      "invalid_request_error"),
    ErrorRow(
      .versionNotSupported, "INVALID_REQUEST", 505, "HTTP Version Not Supported",
      "Only HTTP/1.0 and HTTP/1.1 are spoken here.", "invalid_request_error", "invalid_request", "invalid_request_error"
    ),
    ErrorRow(
      .cancelled, "CANCELLED", 499, "Client Closed Request", "The client cancelled the request.",
      "invalid_request_error", "cancelled", "invalid_request_error"),
    ErrorRow(
      .policyError, "POLICY_ERROR", 500, "Internal Server Error", "A policy failed; report the request id.",
      "server_error", "policy_error", "api_error"),
    ErrorRow(
      .internalError, "INTERNAL_ERROR", 500, "Internal Server Error", "Edge failed; report the request id.",
      "server_error", "internal_error", "api_error"),
    ErrorRow(
      .processSpawnFailed, "PROCESS_SPAWN_FAILED", 500, "Internal Server Error", "The program could not be started.",
      "server_error", "process_spawn_failed", "api_error"),
    ErrorRow(
      .notImplemented, "NOT_IMPLEMENTED", 501, "Not Implemented", "This is not implemented.", "server_error",
      "not_implemented", "api_error"),
    ErrorRow(
      .providerError, "PROVIDER_ERROR", 502, "Bad Gateway", "The service behind Edge gave no valid answer; try again.",
      "server_error", "provider_error", "api_error"),
    ErrorRow(
      .allProvidersFailed, "ALL_PROVIDERS_FAILED", 502, "Bad Gateway", "Every provider failed; try again later.",
      "server_error", "all_providers_failed", "api_error"),
    ErrorRow(
      .serviceUnavailable, "SERVICE_UNAVAILABLE", 503, "Service Unavailable",
      "The service behind Edge cannot be reached; try again shortly.", "server_error", "service_unavailable",
      "overloaded_error"),
    ErrorRow(
      .queueFull, "QUEUE_FULL", 503, "Service Unavailable", "Too many requests are waiting; try again shortly.",
      "server_error", "queue_full", "overloaded_error"),
    ErrorRow(
      .timeout, "TIMEOUT", 504, "Gateway Timeout", "The service behind Edge did not answer in time; try again.",
      "server_error", "timeout", "timeout_error"),
  ]
}
