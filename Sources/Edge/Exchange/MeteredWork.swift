// What an exchange that costs something knows beyond others: what is asked of which model, what is held for it, how
// much of its answer has come. Plain bytes beside the exchange's slot, so that plain traffic does not carry it around.
// Owned by the driver, which fills and empties it.

/// How the answer of a provider goes to the client.
enum MeteredAnswer: UInt8 {
  /// There is none yet, or it is not metered.
  case none
  /// As a whole, when it is all there.
  case whole
  /// Event by event.
  case stream
}

/// How far the charge has got.
enum SettlementState: UInt8 {
  case open
  /// With the ledger, and not written yet.
  case sent
  case written
}

/// What is to be done when the events of a piece are told.
enum EventsRest: UInt8 {
  /// More is awaited, unless the answer's content is over.
  case more
  /// The answer's framing is broken behind them.
  case fault
  /// They are the last.
  case last
}

/// Why an attempt gave no answer.
struct AttemptFailure: BitwiseCopyable {
  /// What the client is told if nobody else answers.
  var code = ErrorCode.providerError
  var cause = EndCause.upstreamError
  /// For the log.
  var reason: StaticString = ""
  /// What the provider answered; 0: nothing.
  var status: UInt16 = 0
}

/// Money and models of one exchange.
struct MeteredWork: BitwiseCopyable {
  // MARK: What is asked

  var request = ModelRequest()
  /// The body was read: there is a request, or a refusal.
  var isRead = false
  /// Why the request cannot be served; nil: it can.
  var fault: DialectFault?
  /// Row of the model; -1: none.
  var model: Int32 = -1
  /// Rows of those that may answer, the best first, and which of them is asked.
  var candidates: InlineArray<16, Int32> = .init(repeating: -1)
  var candidateCount: Int32 = 0
  var current: Int32 = 0
  /// The provider that the client has named; -1: none.
  var named: Int32 = -1
  /// What the cheapest of them would hold, the route's own price included.
  var estimate = Amount.zero

  /// A policy has left no candidate.
  var isRefusedByChoice = false

  // MARK: Attempts

  /// The last one that failed, whose it was, and how many have.
  var failure = AttemptFailure()
  var failed: Int32 = -1
  var failures: Int32 = 0
  /// All that failed were too many requests; the shortest time after which one of them wants to be asked again.
  var isLimited = true
  var retryAfterSeconds: UInt64 = 0
  /// The request's head stands at the beginning of the connection's input, for as long as another one may be asked.
  var headBytes: Int32 = 0
  /// The provider's count of running requests has this one.
  var isCounted = false
  /// The tokens that the hold of the one that is asked stands for.
  var tokens = Estimate(inputTokens: 0, outputTokens: 0)
  /// The content as it was written for the one that is asked; none: it goes as it came, or has gone.
  var body = Body.none

  // MARK: What it costs

  /// What is set aside, and where.
  var account: AccountHandle?
  var held = Amount.zero
  /// The request was handed to a provider or service.
  var isDispatched = false
  /// How far the charge has got, and when the answer's end waits for it no longer (milliseconds).
  var settlement = SettlementState.open
  var settleDeadline: UInt64 = 0

  // MARK: The answer

  /// How it goes to the client.
  var kind = MeteredAnswer.none
  var stream = MeteredStream()
  /// What a whole answer says.
  var event = ModelEvent()
  /// Of a stream: the beginning of an event that is not whole. Else the whole answer.
  var answer = Body.none
  /// Of a stream: whole events as the client will get them. The opening waits for something that is worth sending, the
  /// end for the ledger.
  var waiting = Body.none
  /// The time until there is something to tell has begun.
  var isOpeningTimed = false
  /// Until when what follows the end is read (milliseconds); 0: the provider has not said that it is over.
  var endDeadline: UInt64 = 0
  /// When the provider wants to be asked again, as its answer's head says; 0: it does not.
  var providerRetrySeconds: UInt64 = 0
  /// Bytes of the answer that the client's connection has.
  var sentBytes = 0
  /// The client has a part of the answer.
  var hasBegun = false
  /// It is a whole one, and all there.
  var isWhole = false

  // MARK: Where policies judge it

  /// Of a stream: whole events as the client will get them, which policies have not let pass.
  var unjudged = Body.none
  /// The first so many bytes of them, or of a whole answer, are judged already.
  var judgedBytes = 0
  /// The last piece of the events, and what is to be done when it is told.
  var judged = MeteredPiece()
  var judgedRest = EventsRest.more
  /// The client does not get the answer, or no more of it, because policies say so: it pays as if it had left.
  var isRejected = false

  // MARK: On a WebSocket

  /// Calls of tools in a stream, for the end of the answer.
  var calls = Body.none
  /// Why the model has stopped, of an answer that was told as a whole.
  var reason: FinishReason?
  /// What the client is told in the place of the answer's end.
  var brokenOff: ErrorCode?
  /// Another answer is on its way in pieces; the end of this one waits for its turn.
  var awaitsTurn = false

  /// Gives all memory back.
  mutating func giveBack(_ pool: inout BufferPool, _ budget: BodyBudget) {
    body.giveBack(&pool, budget)
    answer.giveBack(&pool, budget)
    waiting.giveBack(&pool, budget)
    unjudged.giveBack(&pool, budget)
    calls.giveBack(&pool, budget)
  }
}
