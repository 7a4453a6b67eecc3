// What the ledger's thread is given to do, and how its answer comes back to a worker.
// Made by workers; the ledger fills in the answer before it posts the ticket.

/// A job of the ledger.
enum LedgerJob: Sendable {
  case ask(LedgerRequest)
  /// What an attempt costs; the account is charged in memory already. Its texts stand in the ticket.
  case settle(Settlement)
}

/// One job, who waits for it, and its answer.
final class LedgerTicket: Sendable {
  let job: LedgerJob
  /// The exchange that waits, and which of its waits this is; only its worker reads them.
  let exchange: Handle
  let wait: UInt32
  /// nil: nobody waits. A hold needs somebody: what nobody hears of is never given back.
  let inbox: Inbox?

  // One thread at a time has a ticket: the one that submits it, the ledger's, and then who takes it from the inbox.
  /// What came of it. A settlement is answered by the account's balance.
  nonisolated(unsafe) var answer = LedgerAnswer.unavailable
  /// Settlements: what was taken, known as soon as it is submitted.
  nonisolated(unsafe) var charged = Amount.zero
  /// Settlements: what the account could not cover.
  nonisolated(unsafe) var shortfall = Amount.zero
  /// Settlements: the ids of the attempt and of the exchange as text, and the texts of the settlement.
  private nonisolated(unsafe) let texts: BytePointer?  // written when it is made

  init(_ request: LedgerRequest, exchange: Handle, wait: UInt32, inbox: Inbox?) {
    job = .ask(request)
    self.exchange = exchange
    self.wait = wait
    self.inbox = inbox
    texts = nil
  }

  /// Copies the settlement's texts.
  init(_ settlement: Settlement, charged: Amount, shortfall: Amount, exchange: Handle, inbox: Inbox?) {
    let count =
      2 * ULID.textCount + settlement.requestID.count + settlement.route.count + settlement.provider.count
      + settlement.model.count
    let texts = BytePointer.allocate(capacity: count)
    var writer = ByteWriter(base: texts, capacity: count)
    writer.append(settlement.attempt)
    writer.append(settlement.exchange)
    var kept = settlement
    kept.requestID = writer.keep(settlement.requestID)
    kept.route = writer.keep(settlement.route)
    kept.provider = writer.keep(settlement.provider)
    kept.model = writer.keep(settlement.model)
    self.texts = texts
    job = .settle(kept)
    self.exchange = exchange
    wait = 0
    self.inbox = inbox
    self.charged = charged
    self.shortfall = shortfall
  }

  deinit { texts?.deallocate() }

  /// The attempt's id as text.
  var attempt: StaticBytes { id(0) }
  /// The exchange's id as text.
  var exchangeID: StaticBytes { id(ULID.textCount) }

  private func id(_ offset: Int) -> StaticBytes {
    texts.map { StaticBytes(start: UnsafePointer($0 + offset), count: ULID.textCount) } ?? .empty
  }

  /// Hands the ticket with its answer to who waits; false when the inbox is full.
  func deliver() -> Bool {
    guard let inbox else { return true }
    // Who takes the message reads the ticket from then on.
    let reference = Unmanaged.passRetained(self)
    if inbox.post(.ledger(ticket: reference.toOpaque())) { return true }
    reference.release()
    return false
  }
}

extension ByteWriter {
  /// Appends a text; where it stands now.
  fileprivate mutating func keep(_ text: StaticBytes) -> StaticBytes {
    let start = UnsafePointer(end)
    append(text)
    return StaticBytes(start: start, count: text.count)
  }
}
