// The settlement matrix: what an attempt costs, from how far it came, what was reported and why it ended.
//
//   how far              usage reported   no usage reported
//   not dispatched       released, no entry
//   refused, failed      0                0
//   no answer            –                the client's end: input estimate; any other: 0
//   answer, nothing in   by usage         an error in it, or the provider's end: 0; else input estimate
//   answer, content      by usage         input estimate + content bytes ÷ 4, at most the hold
//
// Where only a half was reported, what went in or what came out, it counts in place of its estimate; what came out is
// at least what was reported of it. The rest is as if nothing were reported.
// A flat price is charged beside that when there was an answer, or the client left before it.
// Called by: the driver, once per attempt. Never: does anything but compute.

/// How far an attempt came.
enum AttemptProgress: UInt8, BitwiseCopyable {
  /// No byte of it was sent to anybody.
  case notDispatched
  /// It was sent, and no head came back.
  case dispatched
  /// The provider or service answered with an error, or with something that is no answer.
  case failed
  /// An answer began.
  case answered

  /// Of a service with a price for each request: only its own errors are for nothing.
  init(serviceStatus: UInt16) { self = serviceStatus < 500 ? .answered : .failed }
}

/// What the settlement must know of an attempt.
struct AttemptFacts: BitwiseCopyable {
  var progress = AttemptProgress.notDispatched
  /// What the provider said; `.none` when it said nothing.
  var usage = Usage()
  /// Of what came out, that is only the beginning, or nothing.
  var usageIsOpen = false
  /// It does not say what went in.
  var inputIsOpen = false
  /// Bytes of content that came out.
  var contentBytes: Int64 = 0
  /// The provider said in the middle of its answer that it failed.
  var sawError = false
  var cause = EndCause.completed
  var estimate = Estimate(inputTokens: 0, outputTokens: 0)
  /// What was set aside, the flat price included.
  var held = Amount.zero
}

/// What came of an attempt.
struct AttemptCost: BitwiseCopyable, Equatable {
  /// It has an entry in the ledger; otherwise the hold is only given back.
  var isEntered: Bool
  var usage = Usage()
  var charge = Amount.zero
}

/// The matrix.
enum SettlementRule {
  /// What an attempt costs. `price` is the model's, nil where there is none; `flat` is the route's price of each
  /// request. A charge by usage may be above the hold; an estimate never is.
  static func settle(_ facts: AttemptFacts, price: ModelPrice?, flat: Amount = .zero) -> AttemptCost {
    if facts.progress == .notDispatched { return AttemptCost(isEntered: false) }
    var cost = AttemptCost(isEntered: true)
    let isOwed = facts.progress == .answered || facts.progress == .dispatched && isClients(facts.cause)
    guard isOwed else { return cost }
    if let price {
      cost.usage = usage(facts)
      let most = Amount(units: max(0, facts.held.units - flat.units))
      // What cannot be computed was never held for; the hold is all that there is.
      let exact = Pricing.charge(price, cost.usage) ?? most
      cost.charge = cost.usage.source == .estimated ? min(exact, most) : exact
    }
    cost.charge = cost.charge.adding(flat) ?? cost.charge
    return cost
  }

  /// The usage that an answered attempt, or one whose client left, is charged for.
  static func usage(_ facts: AttemptFacts) -> Usage {
    let isReported = facts.usage.source == .reported
    if isReported, !facts.usageIsOpen, !facts.inputIsOpen { return facts.usage }
    if facts.progress == .answered, facts.contentBytes == 0, facts.sawError || isProviders(facts.cause) {
      return Usage()
    }
    var usage = facts.usage
    usage.source = .estimated
    if !isReported || facts.inputIsOpen {
      usage.inputTokens = facts.estimate.inputTokens
      (usage.cachedTokens, usage.cacheWriteTokens) = (0, 0)
    }
    if !isReported || facts.usageIsOpen {
      usage.outputTokens = max(usage.outputTokens, Estimate.outputTokens(contentBytes: facts.contentBytes))
    }
    return usage
  }

  /// The client's side ended it.
  private static func isClients(_ cause: EndCause) -> Bool {
    switch cause {
    case .clientLeft, .clientError, .clientTimeout, .cancelled: true
    case .completed, .refused, .upstreamError, .upstreamTimeout, .upstreamCut, .unavailable, .drain, .policyError,
      .internalError:
      false
    }
  }

  /// The provider's side, or Edge's own fault, ended it.
  private static func isProviders(_ cause: EndCause) -> Bool {
    switch cause {
    case .upstreamError, .upstreamTimeout, .upstreamCut, .unavailable, .policyError, .internalError: true
    case .completed, .refused, .clientLeft, .clientError, .clientTimeout, .cancelled, .drain: false
    }
  }
}
