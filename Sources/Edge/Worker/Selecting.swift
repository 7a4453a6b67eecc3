// The driver lets a request that costs something find out who answers it and what is set aside for it: the model that
// the content names, the providers that offer it, the policies' choice among them, and their hold. Without a hold
// nothing goes anywhere.
//
//   policies passed ─▶ startSelecting ─▶ content ─▶ readModelRequest ─▶ askSelectors (on_select) ─▶ selected

import Glibc

extension Worker {
  /// Money and models of an exchange.
  @inline(__always)
  func work(of exchange: Int32) -> UnsafeMutablePointer<MeteredWork> { works + Int(exchange) }

  /// Who is asked, for which model.
  @inline(__always)
  func candidate(_ exchange: Int32) -> CandidateRow {
    let work = work(of: exchange)
    return rows(of: exchange).models.candidates[Int(work.pointee.candidates[Int(work.pointee.current)])]
  }

  /// Who is asked.
  @inline(__always)
  func provider(_ exchange: Int32) -> ProviderRow {
    rows(of: exchange).models.providers[Int(candidate(exchange).provider)]
  }

  // MARK: What policies may know

  /// What is known of the content. Where it came in one piece with its head and was passed over, there was none.
  func bodyQuestion(_ exchange: Int32) -> BodyQuestion {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.request.isEnded else { return .needsBody }
    guard let base = slot.pointee.content.base else { return .none }
    return .known(UnsafeBufferPointer(start: base, count: slot.pointee.content.count))
  }

  /// Whether all of the content came with the head.
  func isHere(_ request: ArrivedRequest) -> Bool {
    guard case .length(let length) = request.head.framing else { return false }
    return UInt64(request.count - request.head.count) >= length
  }

  /// What is known of the price.
  func priceQuestion(_ exchange: Int32, _ request: ArrivedRequest) -> PriceQuestion {
    let slot = exchanges.slots + Int(exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    // On a WebSocket each message costs, not its opening.
    if slot.pointee.upgrades { return .free }
    guard row.dialect != nil else { return row.price.map { .known($0) } ?? .free }
    guard slot.pointee.request.isEnded else { return .needsBody }
    readModelRequest(exchange, request)
    let work = work(of: exchange)
    if let fault = work.pointee.fault { return .refused(fault.code, message: StaticBytes(fault.message)) }
    return .known(work.pointee.estimate)
  }

  // MARK: The request for a model

  /// Reads the content once.
  func readModelRequest(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let work = beginWork(exchange)
    let rows = rows(of: exchange)
    guard !work.pointee.isRead, let dialect = rows.routeRows[Int(slot.pointee.route)].dialect else { return }
    work.pointee.isRead = true
    guard let base = slot.pointee.content.base else {
      refuseModel(exchange, .invalidRequest, "The request has no body; send JSON with 'model' and 'messages'.")
      return
    }
    do throws(DialectFault) {
      work.pointee.request = try Dialect.read(dialect, base, slot.pointee.content.count, document)
    } catch {
      work.pointee.fault = error
      return
    }
    findModel(exchange, request)
    if work.pointee.fault == nil { refuseBetas(exchange, dialect, request) }
    if work.pointee.fault == nil { estimate(exchange) }
  }

  private func refuseModel(
    _ exchange: Int32, _ code: ErrorCode, _ message: StaticString, _ parameter: StaticString? = nil
  ) {
    work(of: exchange).pointee.fault = DialectFault(code: code, param: parameter, message: message)
  }

  /// Finds the model and who can answer for it. `provider/model` or the field `edge-provider` names one of them, who is
  /// asked alone or, where the route says so, first.
  private func findModel(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let models = rows(of: exchange).models
    guard let base = slot.pointee.content.base else { return }
    var name = UnsafePointer(base + Int(work.pointee.request.model.start))
    var count = Int(work.pointee.request.model.count)
    var named: Int32 = -1
    let prefix = work.pointee.request.provider
    if !prefix.isNone, models.model(name, count) < 0 {
      named = models.provider(base + Int(prefix.start), Int(prefix.count))
      if named >= 0 {
        name += Int(prefix.count) + 1
        count -= Int(prefix.count) + 1
      }
    }
    let written = work.pointee.request.named
    if !written.isNone {
      let given = models.provider(base + Int(written.start), Int(written.count))
      if given < 0 || named >= 0 && named != given {
        refuseModel(
          exchange, .invalidRequest, "This names no provider that can be used; leave it out or send auto.", "provider")
        return
      }
      named = given
    }
    if let field = providerField(request) {
      let given = models.provider(field.start, field.count)
      if given < 0 || named >= 0 && named != given {
        refuseModel(
          exchange, .invalidRequest, "The header edge-provider names no provider that can be used; leave it out.")
        return
      }
      named = given
    }
    work.pointee.named = named
    work.pointee.model = models.model(name, count)
    guard work.pointee.model >= 0 else {
      refuseModel(exchange, .modelNotFound, "No provider offers this model; GET /v1/models lists them.", "model")
      return
    }
    let row = models.models[Int(work.pointee.model)]
    slot.pointee.record.model = row.name
    work.pointee.candidateCount = 0
    if named >= 0 { addCandidates(exchange, row) { $0.provider == named && !$0.isEquivalent } }
    if named >= 0, work.pointee.candidateCount == 0 {
      refuseModel(exchange, .modelNotFound, "The named provider does not offer this model.", "model")
      return
    }
    if named < 0 || rows(of: exchange).routeRows[Int(slot.pointee.route)].fallsBackFromNamed {
      addCandidates(exchange, row) { named < 0 || $0.provider != named || $0.isEquivalent }
    }
    if work.pointee.candidateCount == 0 {
      refuseModel(exchange, .serviceUnavailable, "No provider of this model can be used at the moment.")
    }
  }

  /// Adds those of a model's candidates that may be asked.
  private func addCandidates(_ exchange: Int32, _ row: ModelRow, where mayAnswer: (CandidateRow) -> Bool) {
    let work = work(of: exchange)
    let models = rows(of: exchange).models
    for place in row.firstCandidate..<(row.firstCandidate + row.candidateCount)
    where mayAnswer(models.candidates[Int(place)]) {
      work.pointee.candidates[Int(work.pointee.candidateCount)] = place
      work.pointee.candidateCount += 1
    }
  }

  /// Some of what can be asked for in a header changes the price. What is longer than the model gives out is not held
  /// for, and a long input is not where the model has no price for one.
  private func refuseBetas(_ exchange: Int32, _ dialect: DialectName, _ request: ArrivedRequest) {
    guard dialect == .anthropicMessages else { return }
    let hasLong = rows(of: exchange).models.models[Int(work(of: exchange).pointee.model)].price.longInputTokens > 0
    if request.received.hasBeta("output-") || !hasLong && request.received.hasBeta("context-1m") {
      refuseModel(
        exchange, .invalidRequest, "This beta has no price here; leave it out of the header anthropic-beta.")
    }
  }

  private func providerField(_ request: ArrivedRequest) -> (start: UnsafePointer<UInt8>, count: Int)? {
    let table = request.received.table
    for index in 0..<table.count {
      let field = table.fields[index]
      guard equalLowered(request.received.bytes + Int(field.name.start), Int(field.name.count), "edge-provider") else {
        continue
      }
      return (request.received.bytes + Int(field.value.start), Int(field.value.count))
    }
    return nil
  }

  /// What the cheapest of those that could answer would hold. Who would cost more than can be counted is none of them.
  private func estimate(_ exchange: Int32) {
    let work = work(of: exchange)
    let models = rows(of: exchange).models
    var cheapest: Amount?
    var kept: Int32 = 0
    for place in 0..<Int(work.pointee.candidateCount) {
      let candidate = work.pointee.candidates[place]
      guard let held = wantedHold(exchange, models.candidates[Int(candidate)].model) else { continue }
      work.pointee.candidates[Int(kept)] = candidate
      kept += 1
      cheapest = min(cheapest ?? held, held)
    }
    work.pointee.candidateCount = kept
    guard let cheapest else {
      refuseModel(exchange, .invalidRequest, "What is asked for would cost more than can be counted; ask for less.")
      return
    }
    work.pointee.estimate = cheapest
  }

  /// What must be held for an answer of this model: what it may cost at the most, and the route's own price; nil: more
  /// than can be counted.
  func wantedHold(_ exchange: Int32, _ model: Int32) -> Amount? {
    let rows = rows(of: exchange)
    let row = rows.models.models[Int(model)]
    let estimate = Estimate(
      work(of: exchange).pointee.request, outputTokensMax: Int(row.outputTokensMax), imageTokens: Int(row.imageTokens))
    let flat = rows.routeRows[Int(exchanges.slots[Int(exchange)].route)].price ?? .zero
    return Pricing.hold(row.price, estimate)?.adding(flat)
  }

  // MARK: Selecting

  /// The policies have let a request pass that costs something.
  func startSelecting(_ exchange: Int32, _ arrived: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    var request = arrived
    let work = beginWork(exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    if row.dialect != nil {
      switch collect(exchange, &request) {
      case .refused: return
      case .incomplete:
        guard stay(exchange, request) else {
          slot.pointee.keepsServer = false
          refuse(exchange, .serviceUnavailable, .unavailable)
          return
        }
        awaitContent(exchange, answers: false)
        return
      case .complete: break
      }
      readModelRequest(exchange, request)
      if let fault = work.pointee.fault {
        discardEarlyBody(exchange, request)
        refuse(exchange, fault.code, .refused)
        return
      }
    } else {
      work.pointee.estimate = row.price ?? .zero
    }
    // Asking shows the request anew, and with it what policies have set for the service.
    let edits = machine(of: exchange).host.edits
    guard edits.isEmpty || buffers.append(&slot.pointee.edits, edits.base, edits.count) else {
      discardEarlyBody(exchange, request)
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    slot.pointee.selects = true
    slot.pointee.policyStep = 0
    slot.pointee.policyPhase = .onSelect
    askPolicies(exchange, request)
  }

  /// Asks the policies who shall answer, and lets them hold credits. The request is shown already.
  func askSelectors(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    while slot.pointee.policyStep < row.policyCount, !work(of: exchange).pointee.isRefusedByChoice {
      let machine = machine(of: exchange)
      describeCandidates(exchange, machine.host)
      let outcome = machine.start(
        .onSelect, policy: Int(policy(exchange)), context: &slot.pointee.policyContext,
        coroutine: &slot.pointee.policyCoroutine)
      if outcome == .passed { takeSelection(exchange) }
      guard goOn(exchange, outcome, request) else { return }
    }
    hideRequest(exchange)
    selected(exchange, request)
  }

  /// Puts those who could answer in the machine's reach.
  func describeCandidates(_ exchange: Int32, _ host: PolicyHost) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let rows = rows(of: exchange)
    let row = rows.routeRows[Int(slot.pointee.route)]
    host.candidates.removeAll(keepingCapacity: true)
    if row.dialect == nil {
      let name = rows.services.services[Int(row.service)].name
      host.candidates.append(PolicyCandidate(place: 0, name: name, model: .empty, estimate: work.pointee.estimate))
      return
    }
    for place in 0..<work.pointee.candidateCount { host.candidates.append(policyCandidate(exchange, place)) }
  }

  /// One of those that could answer, as policies see it.
  func policyCandidate(_ exchange: Int32, _ place: Int32) -> PolicyCandidate {
    let work = work(of: exchange)
    let models = rows(of: exchange).models
    let row = models.candidates[Int(work.pointee.candidates[Int(place)])]
    let provider = models.providers[Int(row.provider)]
    return PolicyCandidate(
      place: place, name: provider.name, model: models.models[Int(row.model)].name,
      estimate: wantedHold(exchange, row.model) ?? .zero, priority: provider.priority,
      load: metrics.providerLoad(provider.metric), isEquivalent: row.isEquivalent,
      isNamed: row.provider == work.pointee.named && !row.isEquivalent)
  }

  /// Takes over the order that a policy has chosen.
  func takeSelection(_ exchange: Int32) {
    let host = machine(of: exchange).host
    let work = work(of: exchange)
    work.pointee.isRefusedByChoice = host.candidates.isEmpty
    // Of a service there is one, and no more to choose.
    if work.pointee.candidateCount == 0 { return }
    let before = work.pointee.candidates
    for index in 0..<host.candidates.count {
      work.pointee.candidates[index] = before[Int(host.candidates[index].place)]
    }
    work.pointee.candidateCount = Int32(host.candidates.count)
  }

  /// All policies have chosen.
  private func selected(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    if work.pointee.isRefusedByChoice {
      discardEarlyBody(exchange, request)
      replyDetail.message = StaticBytes("The policies have left no one who could answer; try again later.")
      refuse(exchange, .serviceUnavailable, .refused)
      return
    }
    guard work.pointee.account != nil else {
      noteMissingHold(exchange)
      discardEarlyBody(exchange, request)
      refuse(exchange, .policyError, .policyError)
      return
    }
    if row.dialect == nil {
      lead(exchange, request, machine(of: exchange).host.edits)
    } else {
      askFirst(exchange, request)
    }
  }

  /// Nothing is sent anywhere without a hold; that there is none is a mistake in the configuration.
  private func noteMissingHold(_ exchange: Int32) {
    guard clock.milliseconds >= holdReportAgain else { return }
    holdReportAgain = clock.milliseconds + Limits.reportMilliseconds
    let record = exchanges.slots[Int(exchange)].record
    shared.log.line(
      .error, "hold_missing",
      [
        ("requestId", .bytes(requestID(of: exchange))), ("route", .bytes(record.route)),
        ("reason", .text("no policy of the route has held credits in on_select; name 'credits' in its policies")),
      ])
  }
}
