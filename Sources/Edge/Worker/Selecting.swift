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
    let row = route(of: exchange)
    // On a WebSocket each message costs, not its opening, unless nobody reads its messages.
    if slot.pointee.upgrades, row.pointee.isSocket { return .free }
    guard row.pointee.dialect != nil else { return row.pointee.price.map { .known($0) } ?? .free }
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
    guard !work.pointee.isRead, let dialect = rows(of: exchange).routeRows[Int(slot.pointee.route)].dialect else {
      return
    }
    work.pointee.isRead = true
    guard let base = slot.pointee.content.base else {
      work.pointee.fault = DialectFault(
        message: "The request has no body; send JSON with 'model' and 'messages'.")
      return
    }
    let selection = selection(of: exchange)
    let content = StaticBytes(start: UnsafePointer(base), count: slot.pointee.content.count)
    selection.read(dialect, content, request.received, document, into: &work.pointee)
    if work.pointee.model >= 0 {
      slot.pointee.record.model = selection.models.models[Int(work.pointee.model)].name
    }
  }

  /// What decides about the models of an exchange's route.
  @inline(__always)
  private func selection(of exchange: Int32) -> ModelSelection {
    let rows = rows(of: exchange)
    let row = rows.routeRows[Int(exchanges.slots[Int(exchange)].route)]
    return ModelSelection(
      models: rows.models, fallsBackFromNamed: row.fallsBackFromNamed, flatPrice: row.price ?? .zero)
  }

  /// What must be held for an answer of this model; nil: more than can be counted.
  func wantedHold(_ exchange: Int32, _ model: Int32) -> Amount? {
    selection(of: exchange).wantedHold(work(of: exchange).pointee.request, model)
  }

  // MARK: Selecting

  /// The policies have let a request pass that costs something; they still see it.
  func startSelecting(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let row = route(of: exchange)
    if row.pointee.dialect != nil {
      hideRequest(exchange)
      startSelectingModel(exchange, request)
      return
    }
    beginWork(exchange).pointee.estimate = row.pointee.price ?? .zero
    slot.pointee.selects = true
    slot.pointee.policyStep = 0
    slot.pointee.policyPhase = .onSelect
    askSelectors(exchange, request)
  }

  /// The same where the content says what it costs.
  private func startSelectingModel(_ exchange: Int32, _ arrived: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    var request = arrived
    let work = beginWork(exchange)
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
    // Asking shows the request anew, and with it what policies have set for the service.
    let edits = withMachine(of: exchange) { $0.host.edits }
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
    let row = route(of: exchange)
    while slot.pointee.policyStep < row.pointee.policyCount, !work(of: exchange).pointee.isRefusedByChoice {
      let policy = Int(policy(exchange))
      // Who has no part in it is not told, and changes nothing.
      guard withMachine(of: exchange, { $0.has(.onSelect, policy: policy) }) else {
        slot.pointee.policyStep += 1
        continue
      }
      let outcome = withMachine(of: exchange) { machine in
        describeCandidates(exchange, machine.host)
        return machine.start(
          .onSelect, policy: policy, context: &slot.pointee.policyContext, coroutine: &slot.pointee.policyCoroutine)
      }
      if outcome == .passed { takeSelection(exchange) }
      guard goOn(exchange, outcome, request) else { return }
    }
    hideRequest(exchange)
    selected(exchange, request)
  }

  /// Puts those who could answer in the machine's reach.
  func describeCandidates(_ exchange: Int32, _ host: PolicyHost) {
    let work = work(of: exchange)
    let row = route(of: exchange)
    host.candidates.removeAll(keepingCapacity: true)
    if row.pointee.dialect == nil {
      let name = rows(of: exchange).services.services[Int(row.pointee.service)].name
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
      isNamed: ModelSelection.isNamed(row, work.pointee.named))
  }

  /// Takes over the order that a policy has chosen.
  func takeSelection(_ exchange: Int32) {
    let work = work(of: exchange)
    withMachine(of: exchange) { machine in
      work.pointee.isRefusedByChoice = machine.host.candidates.isEmpty
      // Of a service there is one, and no more to choose.
      if work.pointee.candidateCount == 0 { return }
      let before = work.pointee.candidates
      for index in 0..<machine.host.candidates.count {
        work.pointee.candidates[index] = before[Int(machine.host.candidates[index].place)]
      }
      work.pointee.candidateCount = Int32(machine.host.candidates.count)
    }
  }

  /// All policies have chosen.
  private func selected(_ exchange: Int32, _ request: ArrivedRequest) {
    let work = work(of: exchange)
    let row = route(of: exchange)
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
    if row.pointee.dialect == nil {
      lead(exchange, request, withMachine(of: exchange) { $0.host.edits })
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
