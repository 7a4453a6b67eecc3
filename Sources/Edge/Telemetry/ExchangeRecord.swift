// The facts of one exchange as plain bytes: filled while it runs, copied to the log ring when it ends, turned into
// text by the log writer. Names stand in memory of the generation they come from.

/// What the access log tells about an exchange.
struct ExchangeRecord: BitwiseCopyable {
  var id = ULID(high: 0, low: 0)
  var origin = ExchangeOrigin.client
  /// The exchange that a child is part of.
  var parent = ULID(high: 0, low: 0)
  /// Who asks.
  var client = SocketAddress()
  var listener = StaticBytes.empty
  var route = StaticBytes.empty
  var service = StaticBytes.empty
  var endpoint = StaticBytes.empty
  var method = Method.other
  var cause = EndCause.completed
  var status: UInt16 = 0
  var attempts: UInt8 = 0
  /// 1 when the request was sent again because its idle connection turned out to be dead.
  var replays: UInt8 = 0
  var worker: UInt8 = 0
  var generation: UInt32 = 0
  var requestBytes: UInt64 = 0
  var responseBytes: UInt64 = 0
  /// Wall nanoseconds of the first byte of the head's last read.
  var startWall: UInt64 = 0
  /// Monotonic nanoseconds.
  var start: UInt64 = 0
  /// When the request was handed to the service, and when its response head came; 0: never.
  var sent: UInt64 = 0
  var answered: UInt64 = 0
  var end: UInt64 = 0
  /// Lengths in the text that goes with the record: path, host, request id, and a method
  /// that `method` has no name for.
  var pathCount: UInt16 = 0
  var hostCount: UInt16 = 0
  var requestIDCount: UInt16 = 0
  var methodCount: UInt16 = 0
  /// Who was calling, as the policies say.
  var principalCount: UInt16 = 0
  /// What the client on a WebSocket calls its request.
  var messageCount: UInt16 = 0
  /// Whose connection it is, where a trusted proxy stands in between; else nothing.
  var peerCount: UInt16 = 0
  /// The policy that refused, or failed.
  var policy = StaticBytes.empty
  /// It has a price; what follows is about that, and told only then.
  var isMetered = false
  /// Who was asked last and for which model, by their names in the configuration; empty: nobody, or no model.
  var provider = StaticBytes.empty
  var model = StaticBytes.empty
  /// What the ledger knows it by; 0: nothing was dispatched.
  var attempt = ULID(high: 0, low: 0)
  /// Attempts that failed and after which another provider was asked; the last of them: who, what the client would have
  /// been told, and what was answered (0: nothing).
  var fallbacks: UInt8 = 0
  var failedProvider = StaticBytes.empty
  var failedCode = ErrorCode.providerError
  var failedStatus: UInt16 = 0
  /// The answer was asked for as a stream.
  var streams = false
  var usage = Usage()
  /// What the account paid, and what it could not cover.
  var charge = Amount.zero
  var shortfall = Amount.zero
  /// Monotonic nanoseconds of the first byte of the answer's body that went to the client; 0: never.
  var firstByte: UInt64 = 0
}

/// The text of a record: seven areas of fixed size.
enum RecordText {
  static let pathOffset = 0
  static let hostOffset = Limits.recordPathBytes
  static let requestIDOffset = hostOffset + Limits.recordHostBytes
  static let methodOffset = requestIDOffset + Limits.requestIDBytes
  static let principalOffset = methodOffset + Limits.methodBytesMax
  static let messageOffset = principalOffset + Limits.recordPrincipalBytes
  /// What opens a WebSocket to a service is no message: the key that the service was asked with, 16 bytes.
  static let upgradeKeyOffset = messageOffset
  static let peerOffset = messageOffset + Limits.messageIDBytes
  static let bytes = peerOffset + Limits.addressTextBytes
}

/// A cell of the log ring.
struct LogCell: BitwiseCopyable {
  var record = ExchangeRecord()
  var text: InlineArray<880, UInt8> = .init(repeating: 0)

  static let textOffset = MemoryLayout<LogCell>.offset(of: \LogCell.text) ?? MemoryLayout<ExchangeRecord>.stride
}
