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
  /// Rows of the providers that may answer, the best first.
  var candidates: InlineArray<8, Int32> = .init(repeating: -1)
  var candidateCount: Int32 = 0
  /// What each of them would hold, the route's own price included.
  var estimate = Amount.zero
  /// The tokens that this stands for.
  var tokens = Estimate(inputTokens: 0, outputTokens: 0)

  /// A policy has left no candidate.
  var isRefusedByChoice = false

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
  /// Of a stream: whole events that wait for the ledger, then an event that is not whole. Else the whole answer.
  var answer = Body.none
  var heldBytes = 0
  /// Bytes of the answer that the client's connection has.
  var sentBytes = 0
  /// The client has a part of the answer.
  var hasBegun = false
  /// The provider has said all; of a stream, that it is over.
  var isWhole = false
}
