// What a request of a test costs and what there is to pay for it: the body, the estimate, the candidates, the attempt
// that has failed, the accounts.
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
    var priority: Int32 = 0
    var load = 0
    var isEquivalent = false
    var isNamed = false

    func row(_ place: Int, _ arena: Arena) -> PolicyCandidate {
      PolicyCandidate(
        place: Int32(place), name: arena.text(name), model: arena.text(model), estimate: estimate, priority: priority,
        load: load, isEquivalent: isEquivalent, isNamed: isNamed)
    }
  }

  private struct Attempt {
    let provider: String
    let model: String
    let code: ErrorCode
    let status: UInt16
    let number: Int32
    let next: Candidate
  }

  /// Accounts that have this from now on.
  let credits: [(account: String, balance: Amount)]
  /// False: whatever the ledger is asked, it cannot be reached.
  let hasLedger: Bool
  private let body: [UInt8]?
  private let estimate: Estimate
  private let candidates: [Candidate]
  private let attempt: Attempt?

  /// Reads what a request's table says about it.
  init(_ given: GivenTable, phase: PolicyPhase) throws(TestFault) {
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
    attempt = phase == .onRetry ? try TestStakes.attempt(given["attempt"]) : nil
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
    let code = try code(refusal.text("refused") ?? "", "'refused' of 'estimate'")
    return .refused(code, message: try refusal.text("message") ?? "")
  }

  private static func code(_ name: String, _ title: String) throws(TestFault) -> ErrorCode {
    let code = Array(name.utf8).withUnsafeBufferPointer { $0.isEmpty ? nil : ErrorCode(name: $0) }
    guard let code else { throw TestFault(text: "\(title): '\(name)' is no error code") }
    return code
  }

  private static func candidate(_ value: TestValue) throws(TestFault) -> Candidate {
    let known = ["provider", "model", "service", "estimate", "priority", "load", "equivalent", "named"]
    let given = try GivenTable(value, "a candidate", known: known)
    let estimate = try given.amount("estimate") ?? .zero
    switch (try given.text("service"), try given.text("provider"), try given.text("model")) {
    case (let service?, nil, nil): return Candidate(name: service, model: "", estimate: estimate)
    case (nil, let provider?, let model?) where !model.isEmpty:
      return Candidate(
        name: provider, model: model, estimate: estimate, priority: Int32(try whole(given, "priority") ?? 1),
        load: try whole(given, "load") ?? 0, isEquivalent: try given.boolean("equivalent") ?? false,
        isNamed: try given.boolean("named") ?? false)
    default: throw TestFault(text: "a candidate has a provider and a model, or a service")
    }
  }

  private static func attempt(_ value: TestValue) throws(TestFault) -> Attempt {
    let given = try GivenTable(
      value, "the attempt", known: ["provider", "model", "code", "status", "number", "next"])
    guard let provider = try given.text("provider"), let model = try given.text("model"), given["next"] != .nothing
    else { throw TestFault(text: "'attempt' of the request has a provider, a model and who is 'next'") }
    let next = try candidate(given["next"])
    if next.model.isEmpty { throw TestFault(text: "'next' of the attempt is a provider with a model") }
    return Attempt(
      provider: provider, model: model, code: try code(given.text("code") ?? "PROVIDER_ERROR", "'code' of the attempt"),
      status: UInt16(try whole(given, "status", most: 599) ?? 0), number: Int32(try whole(given, "number") ?? 1),
      next: next)
  }

  private static func whole(_ given: GivenTable, _ name: String, most: Int = 1_000_000) throws(TestFault) -> Int? {
    guard let number = try given.number(name) else { return nil }
    guard number == number.rounded(), number <= Double(most) else {
      throw TestFault(text: "'\(name)' must be a whole number up to \(most)")
    }
    return Int(number)
  }

  /// Puts it into the host; what stands in the body is not read yet.
  func bring(to host: PolicyHost, _ arena: Arena) {
    host.hold = nil
    host.body = body == nil ? .none : .needsBody
    host.price = if case .free = estimate { .free } else { .needsBody }
    host.candidates = candidates.enumerated().map { place, candidate in candidate.row(place, arena) }
    host.attempt = attempt.map { attempt in
      PolicyAttempt(
        provider: arena.text(attempt.provider), model: arena.text(attempt.model), code: attempt.code,
        status: attempt.status, number: attempt.number, next: attempt.next.row(0, arena))
    }
  }

  /// The whole message, for `on_message`.
  func message(_ arena: Arena) -> StaticBytes {
    body.map { StaticBytes(start: arena.copy($0), count: $0.count) } ?? StaticBytes("{}")
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
