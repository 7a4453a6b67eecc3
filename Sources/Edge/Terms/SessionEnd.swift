// Why a WebSocket of a client ended: a closed set that the log and the metrics share.
// Whoever ends the session decides it; nobody invents another word for it.

/// The end of a WebSocket.
enum SessionEnd: UInt8, CaseIterable {
  /// The client closed it, or its connection broke.
  case client
  /// The client broke the rules of WebSockets.
  case protocolError
  /// A message was longer than the route takes.
  case tooLarge
  /// The client did not answer a ping.
  case idle
  /// What the client has shown who it is with is no longer good.
  case expired
  /// Edge was stopped.
  case drain
  /// A reload changed its route, and the route wants that to end it.
  case reload
  /// The client took nothing of what waited for it.
  case slow
  /// The client sent too many control frames.
  case limit
  /// Edge itself was wrong.
  case internalError
  /// The service behind it closed it, its connection broke, or it broke the rules.
  case service

  /// As the log and the label have it.
  var name: StaticString {
    switch self {
    case .client: "client"
    case .protocolError: "protocol"
    case .tooLarge: "too_large"
    case .idle: "idle"
    case .expired: "expired"
    case .drain: "drain"
    case .reload: "reload"
    case .slow: "slow"
    case .limit: "limit"
    case .internalError: "error"
    case .service: "service"
    }
  }
}
