// Every bound that is not configuration, and how the bounds relate. What an operator may set stands in the rows of
// Config/Sections; what is here protects Edge itself and changes only with the code it protects.

/// Fixed bounds of the data plane. Sizes in bytes unless the name says otherwise.
enum Limits {
  /// What one read takes from a socket, and what one connection may move in a turn of the loop.
  static let readBytes = 64 << 10
  /// Room left in front of what is read, for the size line of the chunk it may leave as.
  static let readHeadroom = 32
  /// The largest request or response head that configuration may allow; header offsets are 16 bits wide.
  static let headBytesMax = 60 << 10
  /// The most fields that configuration may allow in a head.
  static let headFieldsMax = 256
  /// What Edge itself may add to a head while writing it anew.
  static let headAddedBytes = 4 << 10
  /// Unsent bytes at which the other side is no longer read; it is read again at half.
  static let unsentHigh = 32 << 10
  static let unsentLow = 16 << 10
  /// A body of known length goes through a pipe, unseen, while at least this much of it is to come.
  static let splicedBytesMin = 128 << 10
  /// How wide a pipe is made: what Linux allows by default (fs.pipe-max-size). A narrower one is used where there is no
  /// other, but not below `pipeBytesMin`, where copying is cheaper.
  static let pipeBytes = 1 << 20
  static let pipeBytesMin = 64 << 10
  /// Pipes of a worker; fewer where descriptors are few.
  static let pipesMax = 256
  /// Tokens in Connection fields of one head.
  static let connectionTokensMax = 32
  /// Chunk extensions and trailers: read, checked, dropped.
  static let chunkExtensionBytesMax = 64
  static let trailerBytesMax = 8 << 10
  /// Interim (1xx) responses in front of one final response.
  static let interimResponsesMax = 8
  /// Distinct endpoints tried when connections fail.
  static let connectAttemptsMax = 3
  /// The longest request that is kept until its response begins, to be sent again if its connection was stale.
  static let replayBytes = 64 << 10
  /// What a fetch may send, and what it may bring: in one piece of memory.
  static let fetchBodyBytesMax = 64 << 10
  static let fetchAnswerBytesMax = 256 << 10
  /// What a script may put in front of that: the path with its query, one field and all of them.
  static let fetchPathBytes = 8 << 10
  static let fetchFieldBytes = 4 << 10
  static let fetchFieldsBytes = 8 << 10
  /// How long an address that did not take a connection is left out while its name has others.
  static let avoidAddressMilliseconds: UInt64 = 10_000
  /// How long the same failure of an endpoint is not logged again.
  static let reportMilliseconds: UInt64 = 10_000
  /// Endpoints and services of all living generations together.
  static let endpointsMax = 1 << 16
  static let servicesMax = 1 << 13
  /// How long a start or a reload waits for names that are new to it.
  static let resolveWaitMilliseconds = 2_000
  /// New connections taken per wake, so that a storm of them does not starve those that are open.
  static let acceptsPerWake = 4
  /// Connections taken from a listener's queue when the worker stops; no queue is longer by default (somaxconn).
  static let acceptsAtDrain = 1 << 14
  /// Events taken from the kernel at once.
  static let eventsPerTurn = 256
  /// After a reply that ends the connection: how long and how much is still read so that the reply is not lost to a
  /// reset.
  static let lingerMilliseconds = 2_000
  static let lingerBytes = 256 << 10
  /// How long a client that has agreed on TLS while its connection is about to end may take to ask something.
  static let firstRequestMilliseconds = 1_000
  /// How long failed handshakes of clients are only counted after one was logged.
  static let handshakeReportMilliseconds: UInt64 = 10_000
  /// Waiting time after the process ran out of file descriptors.
  static let acceptPauseMilliseconds = 100
  /// Text of path and host kept for the log.
  static let recordPathBytes = 256
  static let recordHostBytes = 96
  /// The name of the caller kept for the log.
  static let recordPrincipalBytes = 256
  /// The longest method; longer ones are refused.
  static let methodBytesMax = 32
  /// A request id of a trusted peer that is kept.
  static let requestIDBytes = 64
  /// Messages that may wait in a worker's inbox.
  static let inboxMessages = 1 << 12
  /// Records that may wait for the log writer, per worker.
  static let logRecords = 1 << 10
  /// Threads that look up names, so that as many dead ones less one hold up nobody.
  static let lookupThreads = 4
  /// The rest after a first failed lookup; each further one doubles it, up to the refresh interval.
  static let lookupRetryMilliseconds: UInt64 = 5_000
  static let lookupRetryDoublingsMax = 6
  /// How long a lookup that runs is awaited at the end.
  static let lookupEndMilliseconds = 100
  /// Scripts: the memory of a machine, the longest string (and any other single piece), and the CPU time of a slice and
  /// of an exchange in ticks of the thread's timer, 2 ms or what the kernel makes of it (4 ms at 250 Hz). At two ticks
  /// a slice is watched, and stopped when it does much more; at five in any case (CLua's clock). With two, one request
  /// in a hundred that never ends adds some 5 ms to the p99 of others; five for all would add three times as much.
  static let scriptMemoryBytes = 32 << 20
  static let scriptStringBytes = 2 << 20
  static let scriptSliceTicks = 2
  static let scriptExchangeTicks = 5
  /// How often the policies of an exchange may wait, for services and the ledger; as often again in `on_log`.
  static let scriptExchangeWaits = 64
  /// So many calls of scripts lie at least between two collections of an idle worker, and so many more that each has
  /// paid for no more than this.
  static let scriptRestCalls = 1_024
  static let scriptRestNanoseconds: UInt64 = 10_000
  /// When one script has taken this long of a turn, the policies of others wait for the next.
  static let scriptTurnNanoseconds: UInt64 = 3_000_000
  /// Lines that one call of a script may write into the log.
  static let scriptLogLines = 100
  /// The same for loading a script and for its `init`: off the loops, but a start must not hang.
  static let scriptLoadTicks = 250
  /// The longest permission that a script asks for, and for how many roles at once.
  static let permissionBytes = 1 << 10
  static let askedRolesMax = 256
  /// What a policy may say in an error beyond its code, and in the fields of an answer.
  static let errorDetailBytes = 16 << 10
  static let errorMessageBytes = 1 << 10
  static let replyFieldBytes = 8 << 10
  /// The longest answer of a handler: with its head it waits in one buffer for a client that does not take it.
  static let replyBodyBytes = 192 << 10
  /// How often a request whose content has no room looks for some.
  static let bodyRoomMilliseconds: UInt64 = 50
  /// Content that is read as a whole comes at least this many bytes a millisecond once `timeouts.body` is over.
  static let slowBodyBytes: UInt64 = 16
  /// The longest answer of a model that is not streamed.
  static let modelAnswerBytesMax = 32 << 20
  /// What one read of a stream may become in another dialect.
  static let translatedBytesMax = 1 << 20
  /// Lines a second and worker about providers that failed.
  static let failureLinesMax = 100
  /// How long the end of an answer waits for the ledger.
  static let settleMilliseconds: UInt64 = 10_000
  /// How long the end of a stream's connection is awaited once the stream has said that it is over.
  static let streamEndMilliseconds: UInt64 = 1_000
  /// The longest id that a client on a WebSocket gives a request.
  static let messageIDBytes = 128
  /// An address as text, without a port.
  static let addressTextBytes = 48
  /// What a WebSocket keeps of the facts that policies have set when it was opened.
  static let sessionFactsBytes = 4 << 10
  /// Control frames that a client may send on a WebSocket in a second.
  static let controlFramesMax = 100
  /// How long the client's answer to the end of a WebSocket is awaited.
  static let closeMilliseconds: UInt64 = 5_000
  /// Towards a service, and back, a frame on a WebSocket passes as it is when it is no longer than this, head and all;
  /// of a longer one what has come passes as a fragment.
  static let heldFrameBytes = 16 << 10
  /// WebSockets that are moved to a new generation in one turn of the loop.
  static let sessionsMovedPerTurn = 256
  /// The longest host name (RFC 1035 section 2.3.4) with a colon and a port.
  static let hostBytesMax = 253 + 6

  /// The widest scratch area: a head written anew with a whole read behind it.
  static let scratchBytes = headBytesMax + headAddedBytes + readBytes + 2 * readHeadroom
}
