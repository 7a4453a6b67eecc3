// The life of an exchange, without I/O: events in, actions out. The driver tells it what happened and does what it
// says. Once a response is on its way the relay moves the bytes and reports only beginnings and ends.
//
//              forward            connected                responseHead
//   deciding ──────────▶ connecting ─────────▶ requesting ──────────────▶ duplex
//      │                   │   ▲ │                 │ requestEnded            │ requestEnded
//      │ reply             └───┘ │ no endpoint     ▼        responseHead     ▼
//      │               connectFailed            awaiting ──────────────▶ responding
//      ▼                         ▼                 │ failed, timed out       │ responseEnded
//   flushing ◀───────────────────┴─────────────────┘                         ▼
//      │ flushed                                                          flushing
//      ▼                                            deciding ⇄ suspended: a policy waits, or the body is awaited
//    ended                                          awaiting, responding ─▶ settling ─▶ flushing: the end of an answer
//              that was charged waits for the ledger
//              connecting … responding ─▶ settling: an answer on a WebSocket breaks off, or its client cancels it
//              connecting, requesting, awaiting ─▶ deciding: a provider has failed, another one may be asked
//              awaiting ─▶ ended: a service has agreed to a WebSocket
//              (from every state: the client goes, somebody stops it; wentStale leads from requesting and awaiting back
//              to connecting)

/// Where an exchange is.
enum ExchangeState: UInt8, CaseIterable {
  /// The head is complete; nothing is decided yet.
  case deciding
  /// A policy waits for an answer before it decides, or the request's body must be there first.
  case suspended
  /// An endpoint is chosen; its connection is not there yet.
  case connecting
  /// The head is sent, the request's body is not complete; no response head yet.
  case requesting
  /// The whole request is sent; no response head yet.
  case awaiting
  /// The response has begun before the request was complete.
  case duplex
  /// The whole request is sent and the response is on its way.
  case responding
  /// The answer is whole; its end waits until the ledger has what it costs.
  case settling
  /// The last bytes for the client are in the connection's buffer.
  case flushing
  case ended
}

/// What a timer of the exchange was for.
enum ExchangeTimer: UInt8, CaseIterable {
  /// The client sends its body too slowly.
  case body
  /// The client does not take the response.
  case send
  /// The service does not send a response head.
  case head
  /// The service does not go on with its response.
  case idle
}

/// The machine of one exchange.
struct ExchangeMachine: BitwiseCopyable, Equatable {
  private(set) var state = ExchangeState.deciding

  init() {}

  /// For tests: a machine that has come this far.
  init(state: ExchangeState) { self.state = state }

  /// The route leads to a service.
  mutating func forward() -> ExchangeActions {
    switch state {
    case .deciding:
      state = .connecting
      return ExchangeActions(.dial)
    case .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// A policy waits for an answer.
  mutating func suspended() -> ExchangeActions {
    switch state {
    case .deciding:
      state = .suspended
      return .nothing
    case .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// The answer is there; the policies go on.
  mutating func resumed() -> ExchangeActions {
    switch state {
    case .suspended:
      state = .deciding
      return .nothing
    case .deciding, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// Edge answers by itself; the driver has written the answer.
  mutating func replied(_ cause: EndCause) -> ExchangeActions {
    switch state {
    case .deciding:
      state = .flushing
      return ExchangeActions(cause: cause)
    case .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// The head is refused before anything was sent anywhere.
  mutating func refused(_ error: ErrorCode, _ cause: EndCause) -> ExchangeActions {
    switch state {
    case .deciding:
      state = .flushing
      return ExchangeActions(.reply, error: error, cause: cause)
    case .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// There is a connection and the request's beginning was handed to it.
  mutating func connected(requestEnded: Bool) -> ExchangeActions {
    switch state {
    case .connecting:
      state = requestEnded ? .awaiting : .requesting
      return .nothing
    case .deciding, .suspended, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// No connection to the chosen endpoint. `mayRetry`: another one has not been tried.
  mutating func connectFailed(mayRetry: Bool) -> ExchangeActions {
    switch state {
    case .connecting:
      if mayRetry { return ExchangeActions(.closeUpstream, .dial) }
      state = .flushing
      return ExchangeActions(.closeUpstream, .reply, error: .serviceUnavailable, cause: .unavailable)
    case .deciding, .suspended, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// The last byte of the request was handed to the service's connection.
  mutating func requestEnded() -> ExchangeActions {
    switch state {
    case .requesting: state = .awaiting
    case .duplex: state = .responding
    case .deciding, .suspended, .connecting, .awaiting, .responding, .settling, .flushing, .ended: return bug(#function)
    }
    return .nothing
  }

  /// The final response's head is on its way to the client.
  mutating func responseBegan() -> ExchangeActions {
    switch state {
    case .requesting: state = .duplex
    case .awaiting: state = .responding
    case .deciding, .suspended, .connecting, .duplex, .responding, .settling, .flushing, .ended: return bug(#function)
    }
    return .nothing
  }

  /// The service has agreed to a WebSocket: its connection and the client's belong to that from now on.
  mutating func upgraded() -> ExchangeActions {
    switch state {
    case .awaiting:
      state = .ended
      return ExchangeActions(.finish, cause: .completed)
    case .deciding, .suspended, .connecting, .requesting, .duplex, .responding, .settling, .flushing, .ended:
      return bug(#function)
    }
  }

  /// The response is whole. `reusable`: the service keeps the connection and nothing follows the response on it.
  mutating func responseEnded(reusable: Bool) -> ExchangeActions {
    switch state {
    case .duplex:
      // The rest of the request has no reader any more.
      state = .flushing
      return ExchangeActions(.closeUpstream, cause: .completed)
    case .responding:
      state = .flushing
      return ExchangeActions(reusable ? .releaseUpstream : .closeUpstream, cause: .completed)
    case .deciding, .suspended, .connecting, .requesting, .awaiting, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The answer is whole, and what it costs must be written before the client sees its end.
  mutating func answerEnded(reusable: Bool) -> ExchangeActions {
    switch state {
    case .awaiting, .responding:
      state = .settling
      return ExchangeActions(reusable ? .releaseUpstream : .closeUpstream)
    case .requesting, .duplex:
      state = .settling
      return ExchangeActions(.closeUpstream)
    case .deciding, .suspended, .connecting, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The answer ends before it is whole, and the client can be told so: what came of it is settled first.
  mutating func brokenOff(_ cause: EndCause) -> ExchangeActions {
    switch state {
    case .connecting, .requesting, .awaiting, .duplex, .responding:
      state = .settling
      return ExchangeActions(.closeUpstream, cause: cause)
    case .deciding, .suspended, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The ledger has it; the driver sends the end of the answer, or says why it has none.
  mutating func settled(_ cause: EndCause = .completed) -> ExchangeActions {
    switch state {
    case .settling:
      state = .flushing
      return ExchangeActions(cause: cause)
    case .deciding, .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .flushing, .ended:
      return bug(#function)
    }
  }

  /// The ledger did not write it in time. `hasBegun`: the client has a part of the answer.
  mutating func settleFailed(hasBegun: Bool) -> ExchangeActions {
    switch state {
    case .settling:
      if hasBegun {
        state = .ended
        return ExchangeActions(.cutDownstream, .finish, cause: .unavailable)
      }
      state = .flushing
      return ExchangeActions(.reply, error: .serviceUnavailable, cause: .unavailable)
    case .deciding, .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .flushing, .ended:
      return bug(#function)
    }
  }

  /// The provider answers with an error of its own, which the client gets in Edge's words.
  mutating func answerRefused(_ error: ErrorCode) -> ExchangeActions {
    switch state {
    case .requesting, .awaiting:
      state = .flushing
      return ExchangeActions(.closeUpstream, .reply, error: error, cause: .upstreamError)
    case .deciding, .suspended, .connecting, .duplex, .responding, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// A policy does not let the answer pass. `error`: what the client gets instead; nil: the driver has an answer of the
  /// policy's own. A client that has a part of the answer sees it end.
  mutating func answerRejected(_ error: ErrorCode?, _ cause: EndCause) -> ExchangeActions {
    switch state {
    case .requesting, .awaiting:
      state = .flushing
      return ExchangeActions(.closeUpstream, error == nil ? .none : .reply, error: error, cause: cause)
    case .duplex, .responding:
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: cause)
    case .deciding, .suspended, .connecting, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The provider gave no answer of which the client has anything; the driver finds out whether to ask another one.
  mutating func attemptFailed() -> ExchangeActions {
    switch state {
    case .connecting, .requesting, .awaiting:
      state = .deciding
      return ExchangeActions(.closeUpstream)
    case .deciding, .suspended, .duplex, .responding, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The client's socket has taken everything.
  mutating func flushed() -> ExchangeActions {
    switch state {
    case .flushing:
      state = .ended
      return ExchangeActions(.finish)
    case .deciding, .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .ended:
      return bug(#function)
    }
  }

  /// The service's connection broke, ended too early or spoke nonsense.
  mutating func upstreamFailed() -> ExchangeActions {
    switch state {
    case .requesting, .awaiting:
      state = .flushing
      return ExchangeActions(.closeUpstream, .reply, error: .providerError, cause: .upstreamError)
    case .duplex, .responding:
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: .upstreamCut)
    case .deciding, .suspended, .connecting, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The connection had been idle and was dead before the service saw the request. What was sent of it is sent again.
  mutating func wentStale() -> ExchangeActions {
    switch state {
    case .requesting, .awaiting:
      state = .connecting
      return ExchangeActions(.closeUpstream, .dial)
    case .deciding, .suspended, .connecting, .duplex, .responding, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The client wants no answer any more, but to be told that it gets none.
  mutating func cancelled() -> ExchangeActions {
    switch state {
    case .suspended:
      state = .flushing
      return ExchangeActions(.reply, error: .cancelled, cause: .cancelled)
    case .connecting, .requesting, .awaiting, .duplex, .responding: return brokenOff(.cancelled)
    // The answer is there.
    case .settling, .flushing: return .nothing
    case .deciding, .ended: return bug(#function)
    }
  }

  /// The client's body broke the framing rules (clientError), passed the limit (refused) or found no room
  /// (unavailable).
  mutating func requestBroken(_ error: ErrorCode, _ cause: EndCause) -> ExchangeActions {
    switch state {
    case .suspended:
      state = .flushing
      return ExchangeActions(.reply, error: error, cause: cause)
    case .requesting:
      state = .flushing
      return ExchangeActions(.closeUpstream, .reply, error: error, cause: cause)
    case .duplex:
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: cause)
    case .deciding, .connecting, .awaiting, .responding, .settling, .flushing, .ended: return bug(#function)
    }
  }

  /// The client closed or reset its connection.
  mutating func clientLeft() -> ExchangeActions {
    switch state {
    case .connecting, .requesting, .awaiting, .duplex, .responding:
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: .clientLeft)
    case .deciding, .suspended, .settling, .flushing:
      state = .ended
      return ExchangeActions(.cutDownstream, .finish, cause: .clientLeft)
    case .ended: return bug(#function)
    }
  }

  /// Something did not happen in time. Connecting has its own event, `connectFailed`.
  mutating func timedOut(_ timer: ExchangeTimer) -> ExchangeActions {
    switch (state, timer) {
    case (.requesting, .body):
      state = .flushing
      return ExchangeActions(.closeUpstream, .reply, error: .requestTimeout, cause: .clientTimeout)
    case (.requesting, .head), (.awaiting, .head):
      state = .flushing
      return ExchangeActions(.closeUpstream, .reply, error: .timeout, cause: .upstreamTimeout)
    case (.requesting, .send), (.duplex, .body), (.duplex, .send), (.responding, .send):
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: .clientTimeout)
    case (.duplex, .idle), (.responding, .idle):
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: .upstreamTimeout)
    case (.suspended, .body):
      state = .flushing
      return ExchangeActions(.reply, error: .requestTimeout, cause: .clientTimeout)
    case (.flushing, .send), (.settling, .send):
      state = .ended
      return ExchangeActions(.cutDownstream, .finish, cause: .clientTimeout)
    // A timer that was set for what has happened meanwhile.
    case (.deciding, _), (.suspended, _), (.connecting, _), (.requesting, _), (.awaiting, _), (.duplex, .head),
      (.responding, _),
      (.settling, _), (.flushing, _):
      return .nothing
    case (.ended, _): return bug(#function)
    }
  }

  /// Somebody else ends it: the worker stops and the time to finish is over, a fetch is cancelled or too late.
  mutating func stopped(_ cause: EndCause) -> ExchangeActions {
    switch state {
    case .connecting, .requesting, .awaiting, .duplex, .responding:
      state = .ended
      return ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: cause)
    case .deciding, .suspended, .settling, .flushing:
      state = .ended
      return ExchangeActions(.cutDownstream, .finish, cause: cause)
    case .ended: return bug(#function)
    }
  }

  /// The driver told of something that cannot happen here: its fault, not a peer's. Tests stop at it; in production
  /// one exchange ends and the others go on.
  private mutating func bug(_ event: StaticString) -> ExchangeActions {
    assertionFailure("an exchange in state \(state) was told \(event)")
    if state == .ended { return .nothing }
    let hasClient = state != .deciding && state != .suspended && state != .settling && state != .flushing
    state = .ended
    return ExchangeActions(hasClient ? .closeUpstream : .none, .cutDownstream, .finish, cause: .internalError)
  }
}
