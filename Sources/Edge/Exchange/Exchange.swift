// The slot of an exchange: what must be known from a request's head to its log line, as plain bytes. The driver owns
// the slots; the relay and the machine work on the parts that are theirs.

/// One request with its response.
struct Exchange: SlabSlot {
  var serial: UInt32
  var nextFree: Int32
  var machine: ExchangeMachine
  var origin: ExchangeOrigin
  /// The client's connection; of a fetch, or of a message on a WebSocket, the slot that holds its deadline.
  var server: Int32
  /// The WebSocket that it opens, or on which it is a message; -1: none.
  var session: Int32
  /// It opens a WebSocket, if nobody objects.
  var upgrades: Bool
  /// The connection to the service, or -1.
  var client: Int32
  /// The place of the generation that it began on and ends on.
  var generation: UInt8
  var route: Int32
  /// -1: Edge answers by itself.
  var service: Int32
  /// Endpoints tried, and the place in the service's list where the next try begins.
  var attempts: UInt8
  var nextEndpoint: Int32
  /// The row of the endpoint that is tried or used.
  var endpoint: Int32
  /// Facts of the head that later steps need.
  var isVersion10: Bool
  /// The request was HEAD: whatever the response says, it has no body.
  var isToHead: Bool
  /// The client's connection may serve another request after this one.
  var keepsServer: Bool
  /// The client itself asked for the connection to end with this response.
  var clientCloses: Bool
  /// The client waits for `100 Continue` before it sends its body.
  var awaitsContinue: Bool
  /// A client that closes its sending side still waits for the answer.
  var toleratesFin: Bool
  /// The service keeps its connection after this response.
  var keepsClient: Bool
  /// The method may be sent twice (RFC 9110 section 9.2.2).
  var isRepeatable: Bool
  /// It was sent again after an idle connection turned out to be dead; that is done once.
  var wasReplayed: Bool
  /// The service takes no more of the request; what it answered is still read.
  var stoppedUpload: Bool
  /// What the TLS connection had received when the request was sent on it.
  var receivedBefore: UInt64
  /// Interim responses that were dropped.
  var interimResponses: UInt8
  /// Pieces of the answer that policies have judged.
  var chunks: UInt32
  var request: BodyReader
  var response: BodyReader
  var requestFraming: WrittenFraming
  var responseFraming: WrittenFraming
  /// Bytes of the request's body that may still come.
  var bodyAllowance: UInt64
  /// The request as it will be sent, while no connection has taken it or while it may have to be sent again.
  var held: Buffer
  /// Fetches: the ticket of whoever waits, retained.
  var fetch: UnsafeMutableRawPointer?
  /// Fetches: the answer's head as it came, then its content. Others: the piece of an answer that a policy judges, as
  /// the client will get it, behind the head if it is the first.
  var answer: Buffer
  var answerHeadCount: Int32
  var answerBytesMax: Int32
  /// Where in the piece that is judged its content stands.
  var judged: BodyRange
  /// The exchange that it is part of, the list of those that are part of this one, and its neighbours in the list of
  /// its parent or of its WebSocket; -1: none.
  var parent: Int32
  var firstChild: Int32
  var nextSibling: Int32
  var previousSibling: Int32
  /// Policies: the table they share and the coroutine of the one that waits; -1: none.
  var policyContext: Int32
  var policyCoroutine: Int32
  /// Which of the route's policies runs, in which phase.
  var policyStep: Int32
  var policyPhase: PolicyPhase
  /// How often a policy has waited: what answers an older wait is dropped.
  var policyWaits: UInt32
  /// Fields that policies have set, while one of them waits, or until the answer's head is written.
  var edits: Buffer
  /// Policies want to judge the answer's head, and have not yet.
  var judgesHead: Bool
  /// They want to judge each piece of its content.
  var judgesChunks: Bool
  /// A policy that judges the answer waits, or has to wait for its turn: neither side is read meanwhile.
  var isJudging: Bool
  /// It costs something: there is a `MeteredWork` for it.
  var hasWork: Bool
  /// What the service or provider has answered; 0: nothing yet.
  var upstreamStatus: UInt16
  /// A provider answers it, and the answer is metered.
  var isMetered: Bool
  /// The policies have let it pass; what it costs is being held.
  var selects: Bool
  /// The request's content, where somebody needs the whole of it, and how much of it was sent on.
  var content: Body
  var contentSent: Int
  /// It goes out behind the head, and not in one piece with it.
  var contentFollows: Bool
  /// Messages: where in the content its `type` stands.
  var messageType: BodyRange
  /// The content is being read while the exchange is suspended.
  var collects: Bool
  /// Somebody has asked for the content: it is taken out of what comes.
  var isCollected: Bool
  /// It waits for room, until when (milliseconds) at the latest; 0: it has not waited since content came last.
  var awaitsRoom: Bool
  var roomDeadline: UInt64
  /// Since when it is being read (milliseconds).
  var collectingSince: UInt64
  /// A policy waits for the content; else the driver itself does.
  var answersBody: Bool
  var record: ExchangeRecord
}
