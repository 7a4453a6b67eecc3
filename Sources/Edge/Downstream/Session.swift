// A WebSocket: what must be known of it between messages, as plain bytes, and how it ends. Messages are exchanges of
// their own; the driver runs them and tells the machine here when the last one is over.
//
//             mustEnd                lastEnded, timedOut
//   open ───────────────▶ ending ───────────────────────▶ closing ─────────────────▶ ended
//     │                      │                               ▲   peerClosed, timedOut   ▲
//     └──────────────────────┴─── brokenOff ─────────────────┘                          │
//     └──────────────────────┴─── faulted, peerClosed, lost ────────────────────────────┘
//
//   ending: no new requests, those in flight go on     closing: a close frame was sent, the peer's is awaited

/// Where a WebSocket is.
enum SessionState: UInt8, CaseIterable {
  case open, ending, closing, ended
}

/// What the driver must do: in this order.
struct SessionActions: BitwiseCopyable, Equatable {
  /// Every request in flight ends.
  var cancels = false
  /// Sends a close frame that says why.
  var closes = false
  /// Sends the peer's close frame back.
  var echoes = false
  /// The connection ends when what waits for it is sent.
  var ends = false

  static let nothing = SessionActions()
}

/// What becomes of a message.
enum SessionAnswer: Equatable {
  case accept
  /// No new requests are taken.
  case refuse(SessionEnd)
  /// The WebSocket is closed already.
  case drop
}

/// The life of a WebSocket, without I/O.
struct SessionMachine: BitwiseCopyable, Equatable {
  /// Where it is.
  private(set) var state = SessionState.open
  /// Why it ends, once that is known.
  private(set) var reason = SessionEnd.client

  init() {}

  /// For tests: a machine that has come this far.
  init(state: SessionState, reason: SessionEnd) {
    self.state = state
    self.reason = reason
  }

  /// A message has come.
  func answer() -> SessionAnswer {
    switch state {
    case .open: .accept
    case .ending: .refuse(reason)
    case .closing, .ended: .drop
    }
  }

  /// It ends when its requests have; `isBusy`: there are some.
  mutating func mustEnd(_ why: SessionEnd, isBusy: Bool) -> SessionActions {
    switch state {
    case .open:
      reason = why
      state = isBusy ? .ending : .closing
      return isBusy ? .nothing : SessionActions(closes: true)
    case .ending, .closing, .ended: return .nothing
    }
  }

  /// The last request in flight is over.
  mutating func lastEnded() -> SessionActions {
    switch state {
    case .ending:
      state = .closing
      return SessionActions(closes: true)
    case .open, .closing, .ended: return .nothing
    }
  }

  /// It cannot go on: a peer that does not answer, an end that waits no longer.
  mutating func brokenOff(_ why: SessionEnd) -> SessionActions {
    switch state {
    case .open, .ending:
      reason = why
      state = .closing
      return SessionActions(cancels: true, closes: true)
    case .closing, .ended: return .nothing
    }
  }

  /// The peer has broken a rule: nothing that it sends can be read any more (RFC 6455 section 7.1.7).
  mutating func faulted(_ why: SessionEnd) -> SessionActions {
    switch state {
    case .open, .ending:
      reason = why
      state = .ended
      return SessionActions(cancels: true, closes: true, ends: true)
    case .closing:
      state = .ended
      return SessionActions(ends: true)
    case .ended: return .nothing
    }
  }

  /// The peer has sent its close frame.
  mutating func peerClosed() -> SessionActions {
    switch state {
    case .open, .ending:
      reason = .client
      state = .ended
      return SessionActions(cancels: true, echoes: true, ends: true)
    case .closing:
      state = .ended
      return SessionActions(ends: true)
    case .ended: return .nothing
    }
  }

  /// The time for requests in flight, or for the peer's close frame, is over.
  mutating func timedOut() -> SessionActions {
    switch state {
    case .ending:
      state = .closing
      return SessionActions(cancels: true, closes: true)
    case .closing:
      state = .ended
      return SessionActions(ends: true)
    case .open, .ended: return .nothing
    }
  }

  /// The connection is gone; true when that is how it ends.
  mutating func lost() -> Bool {
    defer { state = .ended }
    switch state {
    case .open, .ending:
      reason = .client
      return true
    case .closing, .ended: return false
    }
  }
}

extension SessionEnd {
  /// What the peer is told (RFC 6455 section 7.4.1).
  var closeCode: CloseCode {
    switch self {
    case .client: .normal
    case .protocolError: .protocolError
    case .tooLarge: .tooLarge
    case .idle, .drain: .goingAway
    case .expired: .sessionExpired
    case .reload: .restart
    case .slow, .limit: .policyViolation
    case .internalError: .tryLater
    case .service: .internalError
    }
  }
}

/// The slot of a WebSocket. Between messages it holds no buffer but what it knows of its client.
struct Session: SlabSlot {
  var serial: UInt32
  var nextFree: Int32 = -1
  var machine = SessionMachine()
  var connection: Int32 = -1
  /// Who has opened it, whoever's connection it is.
  var client = SocketAddress()
  /// The route that it was opened by, as a row of the generation with this number, and what stands behind that row.
  var route: Int32 = -1
  var generation: UInt32 = 0
  var routeHash: UInt64 = 0
  var reader: WebSocketReader
  /// What has come of a message that is not whole, and when it began (milliseconds).
  var message = Body.none
  var messageSince: UInt64 = 0
  /// There was no room for it: the rest of it is read and forgotten.
  var dropsMessage = false
  /// What the peer is told, of no message, when the long answer that is on its way is over.
  var owed: ErrorCode?
  /// The route's name, the path, the user, the role and the facts, behind each other.
  var memory: UnsafeMutablePointer<UInt8>?
  var nameCount: Int32 = 0
  var pathCount: Int32 = 0
  var userCount: Int32 = 0
  var roleCount: Int32 = 0
  var factsCount: Int32 = 0
  /// The exchanges of its messages, and how many there are.
  var firstMessage: Int32 = -1
  var inFlight: Int32 = 0
  /// Who of them goes on first when the peer takes more; -1: the first.
  var turn: Int32 = -1
  /// The one whose answer is on its way in pieces; -1: none.
  var sender: Int32 = -1
  /// What is due when, in milliseconds; `TimerWheel.never`: nothing is.
  var pingMilliseconds: UInt64 = 0
  var requestsMax: Int32 = 0
  var pingAt = TimerWheel.never
  var expiresAt = TimerWheel.never
  /// Of `ending`, `closing` and `ended`.
  var endsAt = TimerWheel.never
  /// When the peer must have taken something.
  var sendsUntil = TimerWheel.never
  var awaitsPong = false
  /// What the peer is told in the place of what its end usually means; nil: that.
  var closeCode: CloseCode?
  /// The second in which control frames were counted last, and how many.
  var controlSecond: UInt64 = 0
  var controlFrames: Int32 = 0

  /// A fresh one. `memory` belongs to it from now on.
  init(serial: UInt32, socket: SocketRow, memory: UnsafeMutablePointer<UInt8>) {
    self.serial = serial
    self.memory = memory
    pingMilliseconds = socket.pingMilliseconds
    requestsMax = socket.requestsMax
    reader = WebSocketReader(expectsMask: true, messageBytesMax: Int(socket.messageBytesMax))
  }

  var name: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: memory, count: Int(nameCount)) }
  var path: UnsafeBufferPointer<UInt8> { part(nameCount, pathCount) }
  var user: UnsafeBufferPointer<UInt8> { part(nameCount + pathCount, userCount) }
  var role: UnsafeBufferPointer<UInt8> { part(nameCount + pathCount + userCount, roleCount) }
  var facts: UnsafeBufferPointer<UInt8> { part(nameCount + pathCount + userCount + roleCount, factsCount) }

  private func part(_ start: Int32, _ count: Int32) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: memory.map { $0 + Int(start) }, count: Int(count))
  }
}

/// What a route says about its WebSockets, as workers need it.
struct SocketRow: BitwiseCopyable {
  var takesQueryToken = false
  var messageBytesMax: Int32 = 1 << 20
  var requestsMax: Int32 = 32
  var pingMilliseconds: UInt64 = 30_000
  /// The `type` of an answer that was not streamed.
  var wholeAnswerType = StaticBytes("done")
  var onReload = SessionReload.keep
  /// In lower case; none: pages of any origin may open one.
  var origins: UnsafePointer<StaticBytes>?
  var originCount = 0

  init() {}

  /// The row of a route; its texts stand in the arena.
  init(_ settings: SocketSettings, arena: Arena) {
    takesQueryToken = settings.takesQueryToken
    messageBytesMax = Int32(clamping: settings.messageBytesMax)
    requestsMax = Int32(clamping: settings.requestsMax)
    pingMilliseconds = UInt64(settings.pingMilliseconds)
    wholeAnswerType = arena.text(settings.wholeAnswerType)
    onReload = settings.onReload
    originCount = settings.origins.count
    if originCount > 0 { origins = UnsafePointer(arena.copy(settings.origins.map { arena.text($0) })) }
  }

  /// Whether a page of this origin may open one; who names no origin is no browser.
  func allows(_ origin: UnsafeBufferPointer<UInt8>?) -> Bool {
    guard let origins, let origin else { return true }
    guard let start = origin.baseAddress else { return false }
    return (0..<originCount).contains { index in
      origins[index].count == origin.count && equalLowered(start, origins[index].start, origin.count)
    }
  }
}
