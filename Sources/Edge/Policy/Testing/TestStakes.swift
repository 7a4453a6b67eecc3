// What a request of a test costs and what there is to pay for it: the body, the estimate, the candidates, the accounts.
//
// Called by: the policy under test. Never: has a price of its own; a test says what something costs.

/// The parts of a request about its body and its price.
struct TestStakes {
  /// What the request asks of its estimate.
  private enum Estimate {
    case free
    case known(Amount)
    case refused(ErrorCode, message: String)
  }

  private struct Candidate {
    let name: String
    let model: String
    let estimate: Amount
  }

  /// Accounts that have this from now on.
  let credits: [(account: String, balance: Amount)]
  /// False: whatever the ledger is asked, it cannot be reached.
  let hasLedger: Bool
  private let body: [UInt8]?
  private let estimate: Estimate
  private let candidates: [Candidate]

  /// Reads what a request's table says about it.
  init(_ given: GivenTable) throws(TestFault) {
    credits = try given.accounts("credits")
    switch try given.text("ledger") {
    case nil: hasLedger = true
    case "unavailable": hasLedger = false
    case let other?: throw TestFault(text: "'ledger' of the request can be \"unavailable\", found \"\(other)\"")
    }
    body = try TestStakes.body(given)
    estimate = try TestStakes.estimate(given)
    var candidates: [Candidate] = []
    for value in try given.list("candidates") { candidates.append(try TestStakes.candidate(value)) }
    self.candidates = candidates
  }

  private static func body(_ given: GivenTable) throws(TestFault) -> [UInt8]? {
    if given["json"] == .nothing {
      if case .text(let bytes) = given["body"] { return bytes }
      if given["body"] == .nothing { return nil }
      throw TestFault(text: "'body' of the request must be a string")
    }
    if given["body"] != .nothing { throw TestFault(text: "a request has json or body, not both") }
    guard let text = FlatArea().json(given["json"]) else { throw TestFault(text: "'json' of the request is no JSON") }
    return text
  }

  private static func estimate(_ given: GivenTable) throws(TestFault) -> Estimate {
    guard case .map = given["estimate"] else { return try given.amount("estimate").map { .known($0) } ?? .free }
    let refusal = try GivenTable(given["estimate"], "'estimate'", known: ["refused", "message"])
    let name = try refusal.text("refused") ?? ""
    let code = Array(name.utf8).withUnsafeBufferPointer { $0.isEmpty ? nil : ErrorCode(name: $0) }
    guard let code else { throw TestFault(text: "'refused' of 'estimate': '\(name)' is no error code") }
    return .refused(code, message: try refusal.text("message") ?? "")
  }

  private static func candidate(_ value: TestValue) throws(TestFault) -> Candidate {
    let given = try GivenTable(value, "a candidate", known: ["provider", "model", "service", "estimate"])
    let estimate = try given.amount("estimate") ?? .zero
    switch (try given.text("service"), try given.text("provider"), try given.text("model")) {
    case (let service?, nil, nil): return Candidate(name: service, model: "", estimate: estimate)
    case (nil, let provider?, let model?) where !model.isEmpty:
      return Candidate(name: provider, model: model, estimate: estimate)
    default: throw TestFault(text: "a candidate has a provider and a model, or a service")
    }
  }

  /// Puts it into the host; what stands in the body is not read yet.
  func bring(to host: PolicyHost, _ arena: Arena) {
    host.hold = nil
    host.body = body == nil ? .none : .needsBody
    host.price = if case .free = estimate { .free } else { .needsBody }
    host.candidates = candidates.enumerated().map { place, candidate in
      PolicyCandidate(
        place: Int32(place), name: arena.text(candidate.name), model: arena.text(candidate.model),
        estimate: candidate.estimate)
    }
  }

  /// The body was read.
  func bringBody(to host: PolicyHost, _ arena: Arena) {
    if let body { host.body = .known(UnsafeBufferPointer(start: arena.copy(body), count: body.count)) }
    switch estimate {
    case .free: host.price = .free
    case .known(let amount): host.price = .known(amount)
    case .refused(let code, let message): host.price = .refused(code, message: arena.text(message))
    }
  }
}

extension TestCharge {
  /// Reads what a test says of earlier work.
  init(_ value: TestValue) throws(TestFault) {
    let given = try GivenTable(
      value, "a charge", known: ["account", "credits", "shortfall", "request", "provider", "model", "usage"])
    guard let account = try given.text("account"), let credits = try given.amount("credits") else {
      throw TestFault(text: "a charge has an account and credits")
    }
    let parts = ["source", "inputTokens", "cachedTokens", "cacheWriteTokens", "outputTokens", "reasoningTokens"]
    let tokens = try GivenTable(given["usage"], "'usage' of a charge", known: parts)
    func count(_ name: String) throws(TestFault) -> Int64 { Int64(try tokens.number(name) ?? 0) }
    var usage = Usage()
    if given["usage"] != .nothing {
      usage.source = try tokens.text("source") == "estimated" ? .estimated : .reported
      usage.inputTokens = try count("inputTokens")
      usage.cachedTokens = try count("cachedTokens")
      usage.cacheWriteTokens = try count("cacheWriteTokens")
      usage.outputTokens = try count("outputTokens")
      usage.reasoningTokens = try count("reasoningTokens")
    }
    self.init(
      account: account, credits: credits, shortfall: try given.amount("shortfall") ?? .zero,
      requestID: try given.text("request") ?? "", provider: try given.text("provider") ?? "",
      model: try given.text("model") ?? "", usage: usage)
  }
}
