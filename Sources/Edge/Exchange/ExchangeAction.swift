// What the machine tells the driver to do. At most three at once, in order, as plain bytes: a transition allocates
// nothing.

/// One thing to do. The driver knows the exchange it is about.
enum ExchangeAction: UInt8 {
  case none
  /// Get a connection to an endpoint not tried yet and send the request on it.
  case dial
  /// Answer the client with the error of `ExchangeActions.error`.
  case reply
  /// The connection to the service is free for the next exchange.
  case releaseUpstream
  /// The connection to the service cannot be used again.
  case closeUpstream
  /// What the client got is incomplete: close so that it can tell.
  case cutDownstream
  /// The exchange is over: write its record, go on with the server connection or close it.
  case finish
}

/// The outcome of a transition.
struct ExchangeActions: BitwiseCopyable, Equatable {
  private(set) var first = ExchangeAction.none
  private(set) var second = ExchangeAction.none
  private(set) var third = ExchangeAction.none
  /// What `reply` says.
  var error: ErrorCode?
  /// Why the exchange ends, when this transition decides it.
  var cause: EndCause?

  static let nothing = ExchangeActions()

  init(
    _ first: ExchangeAction = .none, _ second: ExchangeAction = .none, _ third: ExchangeAction = .none,
    error: ErrorCode? = nil, cause: EndCause? = nil
  ) {
    self.first = first
    self.second = second
    self.third = third
    self.error = error
    self.cause = cause
  }
}
