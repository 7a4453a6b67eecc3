// What an exchange brings to its policies beside its head: what it costs, what was set aside for it, its body and who
// could answer it. The host holds them for as long as a policy of that exchange runs.
//
// Called by: whoever runs policies, which puts them into the host before each run and takes them out after it, and the
// functions of `edge.credit`, `edge.price` and `req`. Never: outlives the exchange.

/// What the running exchange holds.
struct HeldCredits: BitwiseCopyable, Equatable {
  let account: AccountHandle
  let amount: Amount
}

/// What `edge.price.estimate` may say.
enum PriceQuestion: BitwiseCopyable {
  /// The route costs nothing.
  case free
  /// The body must be read first.
  case needsBody
  /// What the cheapest candidate would hold, the route's own price included.
  case known(Amount)
  /// The request cannot be served: what the client is told.
  case refused(ErrorCode, message: StaticBytes)
}

/// What `req.body` may say.
enum BodyQuestion: BitwiseCopyable {
  /// There is none, or none that scripts may read.
  case none
  /// It must be read first.
  case needsBody
  case known(UnsafeBufferPointer<UInt8>)
}

/// Somebody who could answer: a provider that offers the model, or the route's own service.
struct PolicyCandidate: BitwiseCopyable {
  /// Where whoever runs the policies finds it again.
  let place: Int32
  let name: StaticBytes
  /// Providers: what is asked for. Empty for a service.
  let model: StaticBytes
  /// What would be held for it.
  let estimate: Amount
  /// Providers: their priority, and how many requests they are answering now, over the whole process.
  var priority: Int32 = 0
  var load: Int = 0
  /// The model is not the one that was asked for, but an equivalent of it.
  var isEquivalent = false
  /// The client has named this provider.
  var isNamed = false

  var isService: Bool { model.count == 0 }
}

/// An attempt that has failed, and who is asked next.
struct PolicyAttempt: BitwiseCopyable {
  let provider: StaticBytes
  let model: StaticBytes
  /// What the client would be told.
  let code: ErrorCode
  /// What the provider answered; 0: nothing.
  let status: UInt16
  /// 1 for the first attempt of the exchange.
  let number: Int32
  let next: PolicyCandidate
}

/// Which function of a script waits, as far as its answer depends on that.
enum PolicyWait: BitwiseCopyable {
  case nothing
  /// `req.body`
  case body
  /// `edge.price.estimate`
  case estimate
  /// `edge.credit.hold`
  case hold(Amount)
}
