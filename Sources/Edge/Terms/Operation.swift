// What a policy asks for and must wait for. The body of an `edge.*` function either answers at once or yields one of
// these; whoever runs the policy performs it: the worker's driver, or the tests of policies with what they pretend.

/// A request of a policy that takes time.
enum Operation: Sendable {
  /// A request to a configured service.
  case fetch(FetchRequest)
  /// Something of the ledger.
  case ledger(LedgerRequest)
  /// The whole body of the request.
  case body
}

/// What came of an operation.
enum OperationAnswer: Sendable {
  /// From the service of this name.
  case fetched(service: String, FetchOutcome)
  case ledger(LedgerAnswer)
  /// The body is there: whoever waited for it, or for what stands in it, goes on.
  case body
}
