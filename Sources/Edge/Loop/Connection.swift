// The slot of a socket: what the loop knows of it, and the few numbers by which the floors above find their own
// state. Plain bytes in a slab. An idle connection is this slot and nothing else.

/// Whose socket it is and what it is doing.
enum ConnectionRole: UInt8 {
  case free
  /// Accepted: TLS is to be agreed on, or is being.
  case serverHandshaking
  /// Accepted: between exchanges, or before the first.
  case serverIdle
  /// Accepted: part of a head has come.
  case serverHead
  /// Accepted: an exchange is running on it.
  case serverExchange
  /// Accepted: a WebSocket.
  case serverSession
  /// Accepted: the client's end of a WebSocket to a service.
  case serverPair
  /// Accepted: all was written, the client's remaining bytes are read and dropped.
  case serverLingering
  /// Opened by Edge: not connected yet.
  case clientConnecting
  /// Opened by Edge: connected, TLS is being agreed on.
  case clientHandshaking
  /// Opened by Edge: serving an exchange.
  case clientExchange
  /// Opened by Edge: kept for the next exchange.
  case clientIdle
  /// Opened by Edge: the service's end of a WebSocket.
  case clientPair
  /// Opened by Edge: all was written, the service's remaining bytes are read and dropped.
  case clientLingering
  /// No socket: stands where the client's connection would, for an exchange that no client asked for.
  case fetchDeadline
  /// No socket: the same for a message on a WebSocket.
  case messageDeadline

  /// A client's connection, accepted by Edge.
  var isServer: Bool {
    switch self {
    case .serverHandshaking, .serverIdle, .serverHead, .serverExchange, .serverSession, .serverPair, .serverLingering:
      true
    case .free, .clientConnecting, .clientHandshaking, .clientExchange, .clientIdle, .clientPair, .clientLingering,
      .fetchDeadline, .messageDeadline:
      false
    }
  }
}

/// One socket.
struct Connection: SlabSlot {
  var serial: UInt32
  var nextFree: Int32
  var fd: Int32
  var role: ConnectionRole
  /// The kernel said so and no read or write has said otherwise since.
  var isReadable: Bool
  var isWritable: Bool
  /// The peer closed its sending side, or the connection broke.
  var peerEnded: Bool
  var isBroken: Bool
  /// Waits on the worker's ready list for its next share of a turn.
  var isReady: Bool
  /// Reads are paused because the other side has too much unsent.
  var isPaused: Bool
  /// Server connections: an exchange has ended on it before. Client connections: it served one before this.
  var wasUsed: Bool
  /// Server connections: the place of its listener, or `ListenerBoard.none` when that is gone.
  var listener: UInt8
  /// The exchange that runs on it, or -1.
  var exchange: Int32
  /// The WebSocket that it is, or the pair whose end it is, or -1.
  var session: Int32
  /// Client connections: the endpoint it leads to, by its stable place.
  var endpoint: Int32
  /// Neighbours in the endpoint's list of idle connections.
  var idleNext: Int32
  var idlePrevious: Int32
  /// Bytes that came and are not used yet: a partial head, pipelined requests.
  var input: Buffer
  /// Bytes to be sent as soon as the peer takes them.
  var output: Buffer
  /// What is to be sent behind `output`, where it was not copied.
  var pipe: Pipe
  /// How far `input` was searched for the end of a line; of a pair, how much of it was looked at.
  var scanned: Int32
  var timer: TimerLink
  /// Bytes read and dropped while lingering.
  var lingered: Int32
  var address: SocketAddress
  /// nil: plain.
  var tls: TLSStream?

  /// Bytes that the peer has not taken yet.
  var unsent: Int { output.count + Int(pipe.count) }
  /// So much is unsent that the other side is not read.
  var isFull: Bool { output.count > Limits.unsentHigh || pipe.count > 0 }
  /// So little is unsent that the other side is read again.
  var hasRoom: Bool { output.count <= Limits.unsentLow && pipe.count == 0 }
}

/// The part of a slot that the timer wheel uses.
struct TimerLink: BitwiseCopyable {
  /// Monotonic milliseconds; `TimerWheel.never` when nothing is due.
  var deadline: UInt64
  /// The tick in whose list the slot hangs, or `TimerWheel.unlinked`.
  var tick: UInt64
  var next: Int32
  var previous: Int32
}
