// The driver and money: what policies have held is kept with the exchange, what an attempt costs is worked out when its
// answer is over, and the ledger is told. A hold always ends in one of two ways: released, or settled.

import Glibc

extension Worker {
  /// The exchange's money and models, fresh if it has had none.
  func beginWork(_ exchange: Int32) -> UnsafeMutablePointer<MeteredWork> {
    let work = works + Int(exchange)
    if !exchanges.slots[Int(exchange)].hasWork {
      work.initialize(to: MeteredWork())
      exchanges.slots[Int(exchange)].hasWork = true
      exchanges.slots[Int(exchange)].record.isMetered = true
    }
    return work
  }

  // MARK: Holds

  /// What the exchange holds already.
  func heldCredits(_ exchange: Int32) -> HeldCredits? {
    guard exchanges.slots[Int(exchange)].hasWork else { return nil }
    let work = work(of: exchange)
    return work.pointee.account.map { HeldCredits(account: $0, amount: work.pointee.held) }
  }

  /// What a policy has held belongs to the exchange.
  func takeHold(_ exchange: Int32) {
    let held = withMachine(of: exchange) { machine -> HeldCredits? in
      if let result = machine.host.holdResult {
        metrics.noteHold(result, worker: index)
        machine.host.holdResult = nil
      }
      return machine.host.hold
    }
    guard let held else { return }
    let work = beginWork(exchange)
    work.pointee.account = held.account
    work.pointee.held = held.amount
  }

  /// Nobody waits any more for what the ledger has answered.
  func giveUp(_ answer: PolicyAnswer) {
    guard case .ledger(.hold(.granted(let account, _))) = answer.answer else { return }
    shared.ledger.balances.release(account, answer.held)
  }

  // MARK: The charge

  /// From here on somebody may work for the request, and the attempt has a name.
  func noteDispatch(_ exchange: Int32) {
    work(of: exchange).pointee.isDispatched = true
    if exchanges.slots[Int(exchange)].record.attempt == ULID(high: 0, low: 0) {
      exchanges.slots[Int(exchange)].record.attempt = ULID(wall: clock.wall, random: &random)
    }
  }

  /// The exchange is over, whatever became of it: what is still held is settled or released.
  func closeWork(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if work.pointee.settlement == .open { settle(exchange, slot.pointee.record.cause, awaits: false) }
    countEnded(exchange)
    work.pointee.giveBack(&buffers, shared.bodies)
  }

  /// Works out what the attempt costs and tells the ledger. `awaits`: the end of the answer waits for it.
  func settle(_ exchange: Int32, _ cause: EndCause, awaits: Bool) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    guard let account = work.pointee.account else { return }
    let cost = cost(exchange, cause)
    guard cost.isEntered else {
      shared.ledger.balances.release(account, work.pointee.held)
      work.pointee.settlement = .written
      return
    }
    let record = slot.pointee.record
    let settlement = Settlement(
      exchange: record.id, attempt: record.attempt, account: account, held: work.pointee.held, charge: cost.charge,
      usage: cost.usage, cause: cause, requestID: requestID(of: exchange), route: record.route,
      provider: record.provider, model: record.model, wall: clock.wall)
    // How long the answer takes is for the ledger to know, by its durability.
    let settled = shared.ledger.settle(
      settlement, exchange: Handle(index: exchange, serial: slot.pointee.serial), inbox: awaits ? inbox : nil)
    work.pointee.settlement = awaits && !settled.isWritten ? .sent : .written
    slot.pointee.record.usage = cost.usage
    slot.pointee.record.charge = settled.charged
    slot.pointee.record.shortfall = settled.shortfall
  }

  /// What the attempt costs, by the settlement matrix.
  func cost(_ exchange: Int32, _ cause: EndCause) -> AttemptCost {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let rows = rows(of: exchange)
    var facts = AttemptFacts()
    facts.progress = progress(exchange)
    facts.cause = work.pointee.isRejected ? .clientLeft : cause
    facts.estimate = work.pointee.tokens
    facts.held = work.pointee.held
    if work.pointee.kind == .stream {
      work.pointee.stream.tell(&facts)
    } else {
      facts.usage = work.pointee.event.usage
      facts.usageIsOpen = work.pointee.event.usageReach == .input
      facts.inputIsOpen = work.pointee.event.usageReach == .output
      facts.contentBytes = work.pointee.event.contentBytes
      facts.sawError = work.pointee.event.kind == .error
    }
    let price =
      work.pointee.candidateCount > 0 ? rows.models.models[Int(candidate(exchange).model)].price : nil
    let flat = rows.routeRows[Int(slot.pointee.route)].price ?? .zero
    return SettlementRule.settle(facts, price: price, flat: flat)
  }

  private func progress(_ exchange: Int32) -> AttemptProgress {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if !work.pointee.isDispatched { return .notDispatched }
    if hasFailed(exchange) { return .failed }
    let status = slot.pointee.upstreamStatus
    if status == 0 { return .dispatched }
    if !slot.pointee.isMetered { return AttemptProgress(serviceStatus: status) }
    // A whole answer that is an error, or none at all, is no answer whatever its status says.
    if work.pointee.kind == .whole, work.pointee.isWhole, work.pointee.event.kind == .error { return .failed }
    return work.pointee.kind != .none && ProviderStatus(status: status) == .answers ? .answered : .failed
  }

  // MARK: Answers of the ledger

  /// Asks for a policy, which goes on at the end of the turn or when the ledger has answered.
  func ask(_ request: LedgerRequest, exchange: Handle, wait: UInt32) {
    guard let answer = shared.ledger.ask(request, exchange: exchange, wait: wait, inbox: inbox) else { return }
    give(answer, to: request, exchange: exchange, wait: wait)
  }

  private func give(_ answer: LedgerAnswer, to request: LedgerRequest, exchange: Handle, wait: UInt32) {
    var given = PolicyAnswer(exchange: exchange, wait: wait, answer: .ledger(answer))
    if case .hold(_, let amount) = request { given.held = amount }
    policyAnswers.append(given)
  }

  /// A ticket from the inbox; its reference is taken.
  func readLedger(_ pointer: UnsafeMutableRawPointer) {
    let ticket = Unmanaged<LedgerTicket>.fromOpaque(pointer).takeRetainedValue()
    if case .ask(let request) = ticket.job {
      give(ticket.answer, to: request, exchange: ticket.exchange, wait: ticket.wait)
      return
    }
    let exchange = ticket.exchange.index
    guard exchanges.slots[Int(exchange)].serial == ticket.exchange.serial else { return }
    if case .balance = ticket.answer {
      work(of: exchange).pointee.settlement = .written
      settlementWritten(exchange)
    } else if exchanges.slots[Int(exchange)].machine.state == .settling {
      // It is not written and will not be.
      settlementFailed(exchange)
    }
  }

  /// The ledger did not say in time that the charge is written; it keeps trying. Who asked again would pay again.
  func settlementFailed(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    replyDetail.message = StaticBytes(
      "The answer is there and is being charged, but the ledger did not confirm it in time; report the request id.")
    replyDetail.isTerminal = true
    // On a WebSocket an error may follow a part of the answer.
    let isCut = work(of: exchange).pointee.hasBegun && slot.pointee.origin != .message
    perform(exchange, slot.pointee.machine.settleFailed(hasBegun: isCut))
    replyDetail = ReplyDetail()
  }
}
