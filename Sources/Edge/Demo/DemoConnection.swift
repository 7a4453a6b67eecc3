// A connection of the demo provider: what has come, what goes out, and how far its request is.
//
//   head ─▶ body ─▶ (waiting ─▶) streaming ─▶ head …
//    │       │         hanging       │
//    ▼       ▼                       ▼
//   closing ─▶ lingering           closing
//
// Called by: the loop, which owns the socket. Never: parses or answers anything itself.

/// How far a connection is.
enum DemoPhase {
  /// Before or in a head.
  case head
  case body
  /// The answer is due later.
  case waiting
  /// There will be no answer.
  case hanging
  case streaming
  /// Nothing follows what is still to be sent.
  case closing
  /// All is sent; what the client still sends is read away, so that it does not reset what it was told.
  case lingering
}

/// The state of one connection.
final class DemoConnection {
  let socket: Int32
  /// Where it stands in the loop's table; the serial tells it from earlier ones there.
  let handle: Handle
  var phase = DemoPhase.head
  /// Bytes that came and were not looked at.
  var input: [UInt8] = []
  /// False while the input is part of a head that was looked at and is not complete.
  var hasUntriedInput = false
  /// The body so far.
  var body: [UInt8] = []
  var reader = BodyReader(.none)
  var request = DemoRequest()
  var output = DemoText()
  var stream: DemoStream?
  /// What is answered when the wait is over.
  var question: DemoQuestion?
  /// When the stream goes on, or the wait is over.
  var due: UInt64 = 0
  /// When the connection is given up; moves with everything that comes or goes.
  var progress: UInt64 = 0
  var mayRead = true
  var mayWrite = true
  /// The client has said all it will.
  var peerEnded = false
  /// A refusal: there may be input that nobody will read.
  var lingers = false
  var lingered = 0
  /// It stands in the list of those that go on in the next turn.
  var isQueued = false

  init(socket: Int32, handle: Handle, now: UInt64) {
    self.socket = socket
    self.handle = handle
    progress = now
  }

  var slot: Int { Int(handle.index) }
  var isBlocked: Bool { output.count >= DemoBounds.unsentHigh }

  /// Whether more input has a place.
  var wantsInput: Bool { phase != .closing && input.count < DemoBounds.inputHigh }

  /// When something must happen although nothing comes; nil when the connection waits for its client alone.
  var deadline: UInt64? {
    switch phase {
    case .lingering: return progress + DemoBounds.linger
    case .waiting: return due
    case .streaming where !isBlocked: return due
    case .hanging: return nil
    case .head where input.isEmpty && output.count == 0: return progress + DemoBounds.idle
    default: return progress + DemoBounds.stalled
    }
  }

  /// Forgets what was read of the input. An idle connection keeps little memory.
  func removeInput(_ taken: Int) {
    if taken < input.count { return input.removeFirst(taken) }
    input.removeAll(keepingCapacity: input.capacity <= DemoBounds.keptBytes)
  }

  /// A request is over: the connection is as it was before it, but for what has come meanwhile.
  func finishRequest() {
    stream = nil
    question = nil
    phase = request.keepAlive ? .head : .closing
  }

  /// Nothing more is said but this.
  func close(lingering: Bool) {
    stream = nil
    phase = .closing
    lingers = lingering
  }
}
