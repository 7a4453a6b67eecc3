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
    if work.pointee.fault == nil { estimate(exchange) }
  }

  private func refuseModel(
    _ exchange: Int32, _ code: ErrorCode, _ message: StaticString, _ parameter: StaticString? = nil
  ) {
    work(of: exchange).pointee.fault = DialectFault(code: code, param: parameter, message: message)
  }

  /// Finds the model and who offers it. `provider/model` or the field `edge-provider` names one of them.
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
    if let field = providerField(request) {
      let given = models.provider(field.start, field.count)
      if given < 0 || named >= 0 && named != given {
        refuseModel(
          exchange, .invalidRequest, "The header edge-provider names no provider that can be used; leave it out.")
        return
      }
      named = given
    }
    work.pointee.model = models.model(name, count)
    guard work.pointee.model >= 0 else {
      refuseModel(exchange, .modelNotFound, "No provider offers this model; GET /v1/models lists them.", "model")
      return
    }
    let row = models.models[Int(work.pointee.model)]
    slot.pointee.record.model = row.name
    var found: Int32 = 0
    for place in 0..<Int(row.candidateCount) {
      let candidate = models.candidates[Int(row.firstCandidate) + place]
      if named >= 0, candidate != named { continue }
      work.pointee.candidates[Int(found)] = candidate
      found += 1
    }
    work.pointee.candidateCount = found
    if found > 0 { return }
    if named >= 0 {
      refuseModel(exchange, .modelNotFound, "The named provider does not offer this model.", "model")
    } else {
      refuseModel(exchange, .serviceUnavailable, "No provider of this model can be used at the moment.")
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

  /// What must be held: what the model may cost at the most, and the route's own price.
  private func estimate(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let rows = rows(of: exchange)
    let model = rows.models.models[Int(work.pointee.model)]
    let estimate = Estimate(
      work.pointee.request, outputTokensMax: Int(model.outputTokensMax), imageTokens: Int(model.imageTokens))
    work.pointee.tokens = estimate
    let flat = rows.routeRows[Int(slot.pointee.route)].price ?? .zero
    guard let held = Pricing.hold(model.price, estimate)?.adding(flat) else {
      refuseModel(exchange, .invalidRequest, "What is asked for would cost more than can be counted; ask for less.")
      return
    }
    work.pointee.estimate = held
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
    machine(of: exchange).host.view = nil
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
    let model = rows.models.models[Int(work.pointee.model)].name
    for place in 0..<Int(work.pointee.candidateCount) {
      let provider = rows.models.providers[Int(work.pointee.candidates[place])]
      host.candidates.append(
        PolicyCandidate(
          place: Int32(place), name: provider.name, model: model, estimate: work.pointee.estimate))
    }
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
      forwardToProvider(exchange, request)
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
