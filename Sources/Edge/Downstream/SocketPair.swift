// A WebSocket between a client and a service: how it ends, what must be known of it, and what routes say about such.
// Bytes do not pass the machine; the driver moves them and tells it of closes, faults and lost connections.
//
//            closed(client), finished(client)                  closed, faulted, lost(service)
//   open ───────────────────────────────────▶ clientClosing ─────────────────────────────────▶ ended
//     │  the same of the service: serviceClosing, then of the client                             ▲
//     │                                          │ lost(client)                                   │
//     │  faulted, lost(client)                   ▼                 closed, faulted, lost(service) │
//     ├───────────────────────────────────▶ awaitingService ──────────────────────────────────────┤
//     │  the same of the service: awaitingClient ▲                                                │
//     │  mustEnd                                 │ closed, faulted, lost of one of them           │
//     ├───────────────────────────────────▶ bothClosing                                           │
//     └── mustEnd of a tunnel; timedOut of all but open ──────────────────────────────────────────┘
//
//   clientClosing: the client's close frame went on, the service's is awaited. bothClosing: Edge has closed to both.
//   awaiting…: nothing is to do with the other side any more.

/// The sides of a WebSocket that goes through Edge.
enum PairSide: UInt8, CaseIterable {
  case client, service

  /// The one across.
  var other: PairSide { self == .client ? .service : .client }
}

/// Where such a WebSocket is.
enum PairState: UInt8, CaseIterable {
  case open, clientClosing, serviceClosing, bothClosing, awaitingClient, awaitingService, ended
}

/// What the driver must do: in this order.
struct PairActions: BitwiseCopyable, Equatable {
  /// A side is sent a close frame with this code.
  var toClient: CloseCode?
  var toService: CloseCode?
  /// The sending side of a connection ends when what waits for it is sent.
  var finishesClient = false
  var finishesService = false
  /// A connection ends when what waits for it is sent.
  var endsClient = false
  var endsService = false

  static let nothing = PairActions()
  static let endsBoth = PairActions(endsClient: true, endsService: true)
}

/// The life of a WebSocket between two, without I/O. Of a tunnel nothing is read: `finished` stands for `closed`.
struct PairMachine: BitwiseCopyable, Equatable {
  /// Where it is.
  private(set) var state = PairState.open
  /// Why it ends, once that is known.
  private(set) var reason = SessionEnd.client
  let isTunnel: Bool

  init(isTunnel: Bool) { self.isTunnel = isTunnel }

  /// For tests: a machine that has come this far.
  init(state: PairState, isTunnel: Bool = false, reason: SessionEnd = .client) {
    self.state = state
    self.isTunnel = isTunnel
    self.reason = reason
  }

  /// What a side sends goes on to the other.
  func passes(_ side: PairSide) -> Bool {
    switch state {
    case .open: true
    case .clientClosing: side == .service
    case .serviceClosing: side == .client
    case .bothClosing, .awaitingClient, .awaitingService, .ended: false
    }
  }

  /// What a side sends is read: it passes, or its close frame is awaited.
  func reads(_ side: PairSide) -> Bool {
    switch state {
    case .open, .clientClosing, .serviceClosing, .ended: passes(side)
    case .bothClosing: true
    case .awaitingClient: side == .client
    case .awaitingService: side == .service
    }
  }

  /// A side has sent its close frame, which has gone on if it passes.
  mutating func closed(_ side: PairSide) -> PairActions {
    switch state {
    case .open:
      reason = side == .client ? .client : .service
      state = side == .client ? .clientClosing : .serviceClosing
      return .nothing
    case .clientClosing, .serviceClosing:
      if !passes(side) { return .nothing }
      state = .ended
      return .endsBoth
    case .bothClosing, .awaitingClient, .awaitingService: return answered(side, isThere: true)
    case .ended: return .nothing
    }
  }

  /// A side of a tunnel sends nothing more.
  mutating func finished(_ side: PairSide) -> PairActions {
    switch state {
    case .open:
      reason = side == .client ? .client : .service
      state = side == .client ? .clientClosing : .serviceClosing
      return PairActions(finishesClient: side == .service, finishesService: side == .client)
    case .clientClosing, .serviceClosing:
      if !passes(side) { return .nothing }
      state = .ended
      return .endsBoth
    case .bothClosing, .awaitingClient, .awaitingService, .ended: return .nothing
    }
  }

  /// A side has broken a rule: it is told so, and nothing more of it is read (RFC 6455 section 7.1.7).
  mutating func faulted(_ side: PairSide, _ code: CloseCode, _ why: SessionEnd) -> PairActions {
    let told =
      side == .client
      ? PairActions(toClient: code, toService: .goingAway, endsClient: true)
      : PairActions(toClient: .internalError, toService: code, endsService: true)
    switch state {
    case .open:
      reason = side == .client ? why : .service
      state = side == .client ? .awaitingService : .awaitingClient
      return told
    case .clientClosing, .serviceClosing:
      if !passes(side) { return .nothing }
      state = .ended
      // The other one waits for an answer to its close frame.
      return PairActions(
        toClient: told.toClient, toService: told.toService, endsClient: true, endsService: true)
    case .bothClosing, .awaitingClient, .awaitingService: return answered(side, isThere: true)
    case .ended: return .nothing
    }
  }

  /// The connection of a side is gone.
  mutating func lost(_ side: PairSide, _ why: SessionEnd? = nil) -> PairActions {
    let told =
      isTunnel
      ? .nothing
      : side == .client ? PairActions(toService: .internalError) : PairActions(toClient: .internalError)
    switch state {
    case .open:
      reason = why ?? (side == .client ? .client : .service)
      if isTunnel { return end() }
      state = side == .client ? .awaitingService : .awaitingClient
      return told
    case .clientClosing, .serviceClosing:
      if passes(side) || isTunnel {
        state = .ended
        return PairActions(
          toClient: told.toClient, toService: told.toService, endsClient: true, endsService: true)
      }
      // It has said its end before.
      state = side == .client ? .awaitingService : .awaitingClient
      return .nothing
    case .bothClosing, .awaitingClient, .awaitingService: return answered(side, isThere: false)
    case .ended: return .nothing
    }
  }

  /// It cannot go on, for a reason that is neither side's.
  mutating func mustEnd(_ why: SessionEnd) -> PairActions {
    switch state {
    case .open:
      reason = why
      if isTunnel { return end() }
      state = .bothClosing
      return PairActions(toClient: why.closeCode, toService: why == .reload ? .restart : .goingAway)
    case .clientClosing, .serviceClosing: return isTunnel ? end() : .nothing
    case .bothClosing, .awaitingClient, .awaitingService, .ended: return .nothing
    }
  }

  /// A close frame was awaited for too long, or the rest of a tunnel.
  mutating func timedOut() -> PairActions {
    switch state {
    case .clientClosing where !isTunnel:
      state = .ended
      return PairActions(toClient: .internalError, endsClient: true, endsService: true)
    case .serviceClosing where !isTunnel:
      state = .ended
      return PairActions(toService: .internalError, endsClient: true, endsService: true)
    case .clientClosing, .serviceClosing, .bothClosing, .awaitingClient, .awaitingService: return end()
    case .open, .ended: return .nothing
    }
  }

  private mutating func end() -> PairActions {
    state = .ended
    return .endsBoth
  }

  /// A side that was told to close has done so, or is not there any more.
  private mutating func answered(_ side: PairSide, isThere: Bool) -> PairActions {
    if !reads(side) { return .nothing }
    state = state == .bothClosing ? (side == .client ? .awaitingService : .awaitingClient) : .ended
    if !isThere { return .nothing }
    return PairActions(endsClient: side == .client, endsService: side == .service)
  }
}

/// What a route says about WebSockets to its service, as workers need it.
struct ServiceSocketRow: BitwiseCopyable {
  var treatment = SocketTreatment.refuse
  var messageBytesMax = Int.max
  var idleMilliseconds: UInt64 = 3_600_000

  init() {}

  /// The row of a route.
  init(_ settings: ServiceSocketSettings) {
    treatment = settings.treatment
    messageBytesMax = settings.messageBytesMax ?? .max
    idleMilliseconds = UInt64(settings.idleMilliseconds)
  }
}

/// What is known of one side.
struct PairEnd: BitwiseCopyable {
  /// Its connection; -1: it is gone, or ends by itself.
  var connection: Int32
  /// How far its frames have gone on.
  var frames: WebSocketRewriter
  /// Its connection, or its sending side, ends when what waits for it is sent.
  var ends = false
  var finishes = false
  /// Since when a frame of it is on its way that goes on when it is whole (milliseconds); 0: there is none.
  var partialSince: UInt64 = 0
  /// When it must have taken something.
  var sendsUntil = TimerWheel.never
}

/// The slot of a WebSocket between a client and a service. It holds no buffer.
struct SocketPair: SlabSlot {
  var serial: UInt32
  var nextFree: Int32 = -1
  var machine: PairMachine
  var client: PairEnd
  var service: PairEnd
  /// The route that it was opened by: its name as a number, the generation that it was looked up in, and what stood
  /// behind it there.
  var route: UInt64 = 0
  var routeHash: UInt64 = 0
  var generation: UInt32 = 0
  var userCount: UInt16 = 0
  var roleCount: UInt16 = 0
  /// The user and the role, behind each other; nil: there are none.
  var memory: UnsafeMutablePointer<UInt8>?
  /// When a byte has come last, and how long none may (milliseconds).
  var stamp: UInt64 = 0
  var idleMilliseconds: UInt64
  /// When what the client has shown who it is with is no longer good.
  var expiresAt = TimerWheel.never
  /// When a drain of its route is over, or, once it ends, the waiting for close frames; whether that has begun.
  var endsAt = TimerWheel.never
  var isEnding = false

  /// A fresh one between two connections.
  init(serial: UInt32, row: ServiceSocketRow, client: Int32, service: Int32) {
    self.serial = serial
    machine = PairMachine(isTunnel: row.treatment == .tunnel)
    self.client = PairEnd(
      connection: client, frames: WebSocketRewriter(isMasked: true, messageBytesMax: row.messageBytesMax))
    self.service = PairEnd(connection: service, frames: WebSocketRewriter(isMasked: false))
    idleMilliseconds = row.idleMilliseconds
  }

  var user: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: memory, count: Int(userCount)) }
  var role: UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: memory.map { $0 + Int(userCount) }, count: Int(roleCount))
  }

  /// One of its sides.
  subscript(side: PairSide) -> PairEnd {
    @inline(__always) get { side == .client ? client : service }
    @inline(__always) _modify {
      if side == .client { yield &client } else { yield &service }
    }
  }
}
