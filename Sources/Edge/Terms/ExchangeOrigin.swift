// What an exchange began with: a closed set that the driver, the log and later the ledger share.
// Later origins (a stream of HTTP/2) are further cases.

/// What started an exchange.
enum ExchangeOrigin: UInt8 {
  /// A client's request.
  case client
  /// A message on a client's WebSocket.
  case message
  /// Another exchange, for its own work; it ends with that one at the latest.
  case child
  /// Nobody waits at a client's connection: a job of the control thread.
  case background

  /// As the log writes it.
  var name: StaticString {
    switch self {
    case .client: "client"
    case .message: "message"
    case .child: "child"
    case .background: "background"
    }
  }
}
