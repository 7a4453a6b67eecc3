// What the ledger's thread is given to do, and how its answer comes back to a worker.
// Made by workers; the ledger fills in the answer before it posts the ticket.

/// A job of the ledger.
enum LedgerJob: Sendable {
  case ask(LedgerRequest)
  /// What an attempt costs. Submitting it charges the account in memory at once.
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
  /// It was posted before its turn, or there is nobody to post it to.
  nonisolated(unsafe) var isDelivered = false

  init(_ job: LedgerJob, exchange: Handle, wait: UInt32, inbox: Inbox?) {
    self.job = job
    self.exchange = exchange
    self.wait = wait
    self.inbox = inbox
  }

  /// Hands the ticket with its answer to who waits; false when the inbox is full.
  func deliver() -> Bool {
    guard let inbox, !isDelivered else { return true }
    // Who takes the message reads the ticket from then on.
    isDelivered = true
    let reference = Unmanaged.passRetained(self)
    if inbox.post(.ledger(ticket: reference.toOpaque())) { return true }
    reference.release()
    isDelivered = false
    return false
  }
}
