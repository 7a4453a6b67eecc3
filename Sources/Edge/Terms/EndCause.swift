// Why an exchange ended: a closed set that the log, the metrics and later the settlement of credits share.
// The exchange's machine decides it; nobody invents another word for it.

/// The end of an exchange.
enum EndCause: UInt8, CaseIterable {
  /// The whole response was handed to the client's socket.
  case completed
  /// Edge answered by itself with an error that the request caused: no route, a limit, a policy.
  case refused
  /// The client closed or reset its connection first.
  case clientLeft
  /// The client's bytes broke the protocol.
  case clientError
  /// The client did not send or did not read in time.
  case clientTimeout
  /// The service answered with something that is no HTTP, or closed before a whole response head.
  case upstreamError
  /// The service did not answer, or not go on, in time.
  case upstreamTimeout
  /// The service closed in the middle of a response.
  case upstreamCut
  /// No endpoint could be reached.
  case unavailable
  /// The exchange it was for has ended, or nobody waits for it any more.
  case cancelled
  /// Edge was stopped and the time to finish was over.
  case drain
  /// A policy failed, so the request was refused.
  case policyError
  /// Edge itself was wrong.
  case internalError

  /// As the log writes it.
  var name: StaticString {
    switch self {
    case .completed: "completed"
    case .refused: "refused"
    case .clientLeft: "client_left"
    case .clientError: "client_error"
    case .clientTimeout: "client_timeout"
    case .upstreamError: "upstream_error"
    case .upstreamTimeout: "upstream_timeout"
    case .upstreamCut: "upstream_cut"
    case .unavailable: "unavailable"
    case .cancelled: "cancelled"
    case .drain: "drain"
    case .policyError: "policy_error"
    case .internalError: "internal_error"
    }
  }
}
