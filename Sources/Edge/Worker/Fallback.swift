// The driver and providers that fail: while the client has nothing of an answer, the next candidate may give one. What
// it may cost is held first, and policies may object.
//
//   attemptFailed ─▶ nextCandidate ─▶ settleFailed ─▶ askRetriers (on_retry) ─▶ askProvider ◀─ askFirst
//        │ nobody is left                                │ refused
//        ▼                                               ▼
//     the error                                       its error

import Glibc

extension Worker {
  /// Whether another candidate may be asked when this one fails.
  func mayFallBack(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    return work.pointee.current + 1 < work.pointee.candidateCount
  }

  /// Whether the attempt that was made last has failed, so that nothing of it was for the client.
  func hasFailed(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    return work.pointee.failed == work.pointee.current
  }

  /// The provider gave no answer of which the client has anything.
  func attemptFailed(_ exchange: Int32, _ code: ErrorCode, _ cause: EndCause, _ reason: StaticString) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    guard work.pointee.settlement == .open else {
      // It was paid for; nobody else is asked.
      if slot.pointee.origin == .message {
        breakOff(exchange, code, cause)
      } else {
        perform(exchange, slot.pointee.machine.upstreamFailed())
      }
      return
    }
    perform(exchange, slot.pointee.machine.attemptFailed())
    countEnded(exchange)
    let failure = AttemptFailure(code: code, cause: cause, reason: reason, status: slot.pointee.upstreamStatus)
    work.pointee.failure = failure
    work.pointee.failed = work.pointee.current
    work.pointee.failures += 1
    noteLimit(exchange, code)
    guard let next = nextCandidate(exchange) else {
      noteFailure(exchange, next: .empty)
      failForGood(exchange)
      return
    }
    noteFailure(exchange, next: next.name)
    settleFailed(exchange)
    guard let request = readAgain(exchange) else {
      dropHead(exchange)
      slot.pointee.keepsServer = false
      refuse(exchange, .internalError, .internalError)
      return
    }
    // From here on the head is where any request's is that waits.
    work.pointee.headBytes = 0
    slot.pointee.policyStep = 0
    slot.pointee.policyPhase = .onRetry
    askPolicies(exchange, request)
  }

  /// Too many requests everywhere is something that the client can wait for.
  private func noteLimit(_ exchange: Int32, _ code: ErrorCode) {
    let work = work(of: exchange)
    guard code == .rateLimitExceeded else {
      work.pointee.isLimited = false
      return
    }
    let seconds = work.pointee.providerRetrySeconds
    let shortest = work.pointee.retryAfterSeconds
    if seconds > 0 { work.pointee.retryAfterSeconds = shortest == 0 ? seconds : min(shortest, seconds) }
  }

  /// Moves on to the next candidate that the account can pay for; nil: there is none, and the turn stays.
  private func nextCandidate(_ exchange: Int32) -> ProviderRow? {
    let work = work(of: exchange)
    let models = rows(of: exchange).models
    for place in (work.pointee.current + 1)..<max(work.pointee.current + 1, work.pointee.candidateCount) {
      let row = models.candidates[Int(work.pointee.candidates[Int(place)])]
      guard coverHold(exchange, row.model) else { continue }
      work.pointee.current = place
      return models.providers[Int(row.provider)]
    }
    return nil
  }

  /// Sees to it that as much is held as an answer of this model may cost; false when the account does not cover it.
  private func coverHold(_ exchange: Int32, _ model: Int32) -> Bool {
    let work = work(of: exchange)
    guard let wanted = wantedHold(exchange, model), let account = work.pointee.account else { return false }
    let more = Amount(units: max(0, wanted.units - work.pointee.held.units))
    if more == .zero { return true }
    guard shared.ledger.raise(account, by: more) else { return false }
    work.pointee.held = Amount(units: work.pointee.held.units + more.units)
    return true
  }

  /// Asks the first of the candidates that the account can pay for: a policy may have ordered them anew behind the one
  /// that held.
  func askFirst(_ exchange: Int32, _ request: ArrivedRequest) {
    if coverHold(exchange, candidate(exchange).model) || nextCandidate(exchange) != nil {
      askProvider(exchange, request)
    } else {
      discardEarlyBody(exchange, request)
      refuse(exchange, .insufficientCredits, .refused)
    }
  }

  /// Nobody is left to be asked.
  private func failForGood(_ exchange: Int32) {
    let work = work(of: exchange)
    let failure = work.pointee.failure
    let isAlone = work.pointee.failures == 1
    replyDetail.retryAfterSeconds =
      isAlone ? work.pointee.providerRetrySeconds : work.pointee.isLimited ? work.pointee.retryAfterSeconds : 0
    refuse(exchange, isAlone ? failure.code : .allProvidersFailed, failure.cause)
  }

  /// The candidate's dialect cannot say what is asked for.
  func passOver(_ exchange: Int32, _ request: ArrivedRequest, _ fault: DialectFault) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if nextCandidate(exchange) != nil {
      if work.pointee.failures == 0 {
        askProvider(exchange, request)
      } else {
        // Whoever has agreed to the one that was passed over has not agreed to this one.
        slot.pointee.policyStep = 0
        askPolicies(exchange, request)
      }
      return
    }
    discardEarlyBody(exchange, request)
    if work.pointee.failures > 0 {
      failForGood(exchange)
    } else {
      work.pointee.fault = fault
      refuse(exchange, fault.code, .refused)
    }
  }

  /// Asks the policies whether another provider shall be asked. The request is shown already.
  func askRetriers(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    while slot.pointee.policyStep < row.policyCount {
      let machine = machine(of: exchange)
      machine.host.attempt = policyAttempt(exchange)
      let outcome = machine.start(
        .onRetry, policy: Int(policy(exchange)), context: &slot.pointee.policyContext,
        coroutine: &slot.pointee.policyCoroutine)
      guard goOn(exchange, outcome, request) else { return }
    }
    hideRequest(exchange)
    askProvider(exchange, request)
  }

  private func policyAttempt(_ exchange: Int32) -> PolicyAttempt {
    let work = work(of: exchange)
    let models = rows(of: exchange).models
    let failed = models.candidates[Int(work.pointee.candidates[Int(work.pointee.failed)])]
    return PolicyAttempt(
      provider: models.providers[Int(failed.provider)].name, model: models.models[Int(failed.model)].name,
      code: work.pointee.failure.code, status: work.pointee.failure.status, number: work.pointee.failures,
      next: policyCandidate(exchange, work.pointee.current))
  }

  // MARK: What stays of an attempt

  /// The attempt has its entry in the ledger, which is for nothing; what is held stays for the next.
  private func settleFailed(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let failure = work.pointee.failure
    let models = rows(of: exchange).models
    let failed = models.candidates[Int(work.pointee.candidates[Int(work.pointee.failed)])]
    let provider = models.providers[Int(failed.provider)]
    metrics.noteFallback(provider.metric, worker: index)
    slot.pointee.record.fallbacks &+= 1
    slot.pointee.record.failedProvider = provider.name
    slot.pointee.record.failedCode = failure.code
    slot.pointee.record.failedStatus = failure.status
    guard work.pointee.isDispatched, let account = work.pointee.account else { return }
    // What follows is another attempt, even if nobody is asked any more.
    work.pointee.isDispatched = false
    var use = ModelUse()
    (use.provider, use.pair, use.outcome) = (provider.metric, failed.pair, .failed)
    metrics.noteModelUse(use, worker: index)
    let record = slot.pointee.record
    let settlement = Settlement(
      exchange: record.id, attempt: record.attempt, account: account, held: nil, charge: .zero, usage: Usage(),
      cause: failure.cause, requestID: requestID(of: exchange), route: record.route, provider: record.provider,
      model: record.model, wall: clock.wall)
    _ = shared.ledger.settle(
      settlement, exchange: Handle(index: exchange, serial: slot.pointee.serial), inbox: nil)
  }

  /// The log says of each failed attempt why; of very many in a second, not of all.
  private func noteFailure(_ exchange: Int32, next: StaticBytes) {
    let second = clock.wall / 1_000_000_000
    if second != failureSecond { (failureSecond, failureLines) = (second, 0) }
    failureLines += 1
    if failureLines > Limits.failureLinesMax { return }
    let record = exchanges.slots[Int(exchange)].record
    let failure = work(of: exchange).pointee.failure
    shared.log.line(
      .warn, "provider_failed",
      [
        ("requestId", .bytes(requestID(of: exchange))), ("route", .bytes(record.route)),
        ("provider", .bytes(record.provider)), ("model", .bytes(record.model)),
        ("attempt", .text(work(of: exchange).pointee.isDispatched ? record.attempt.text : "")),
        ("code", .text(failure.code.row.name.description)), ("status", .number(Int(failure.status))),
        ("reason", .text(failure.reason.description)), ("next", .bytes(next)),
      ])
  }

  /// The provider is answering one more.
  func countRunning(_ exchange: Int32) {
    metrics.noteProviderBegan(provider(exchange).metric, worker: index)
    work(of: exchange).pointee.isCounted = true
  }

  /// It is not any more.
  func countEnded(_ exchange: Int32) {
    let work = work(of: exchange)
    guard work.pointee.isCounted else { return }
    work.pointee.isCounted = false
    metrics.noteProviderEnded(provider(exchange).metric, worker: index)
  }

  // MARK: What is kept for another attempt

  /// From here on the client has a part of the answer, or nobody else is asked: what was kept for that goes. A provider
  /// may answer before it has the whole request; then the content stays until the exchange ends.
  func commitAnswer(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.contentSent == sentContent(exchange).count {
      slot.pointee.content.giveBack(&buffers, shared.bodies)
      work(of: exchange).pointee.body.giveBack(&buffers, shared.bodies)
      slot.pointee.contentSent = 0
    }
    dropHead(exchange)
  }

  /// The request's head leaves the connection's input; what follows it there is the next request.
  func dropHead(_ exchange: Int32) {
    let work = work(of: exchange)
    let server = exchanges.slots[Int(exchange)].server
    let count = Int(work.pointee.headBytes)
    work.pointee.headBytes = 0
    guard count > 0, server >= 0, let block = connections.slots[Int(server)].input.block else { return }
    let input = connections.slots[Int(server)].input
    keepRest(server, block + Int(input.start), count, input.count)
  }
}
