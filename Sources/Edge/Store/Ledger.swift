// The embedded ledger of credits: balances in memory for all workers, and behind them what keeps them.
//
// Owns: the table of balances, and one of the two ways to keep what it knows: a file, or nothing but memory. Called by
// the workers, by whoever starts and ends Edge, and by a reload. A worker never waits here: what cannot be said at once
// comes through its inbox.

/// One for the process.
final class Ledger: Sendable {
  let balances: BalanceTable
  private let store: Store

  private enum Store: Sendable {
    case memory(MemoryLedger)
    case file(FileLedger)
  }

  /// Opens the ledger, which is made when it is not there; nil: in memory, gone with the process. `initial` is what new
  /// accounts begin with. The other arguments differ in tests only.
  init(
    path: String?, durability: Durability, initial: Amount, log: Log?, accountsMax: Int = BalanceTable.accountsMax,
    steps: [String] = LedgerSchema.steps
  ) throws(LedgerError) {
    guard let balances = BalanceTable(accountsMax: accountsMax, keepsAll: path == nil) else { throw .noMemory }
    self.balances = balances
    if let path {
      store = .file(
        try FileLedger(
          path: path, durability: durability, initial: initial, log: log, balances: balances, steps: steps))
    } else {
      guard let memory = MemoryLedger(initial: initial, balances: balances) else { throw .noMemory }
      store = .memory(memory)
    }
  }

  // MARK: Workers

  /// Sets credits aside, if the ledger can be written and the account is in memory (`.pending`: ask for it).
  func hold(_ account: UnsafeBufferPointer<UInt8>, _ amount: Amount) -> HoldOutcome {
    isFailing ? .unavailable : balances.hold(account, amount)
  }

  /// Sets more aside for a hold that is there; false when the account does not cover it, or nothing can be written.
  func raise(_ account: AccountHandle, by more: Amount) -> Bool {
    !isFailing && balances.raise(account, by: more)
  }

  /// Charges an account. Where that is to be awaited, the inbox gets a ticket once it is written, for this exchange.
  func settle(_ settlement: Settlement, exchange: Handle, inbox: Inbox?) -> SettledCharge {
    switch store {
    case .memory(let memory): memory.settle(settlement)
    case .file(let file): file.settle(settlement, exchange: exchange, inbox: inbox)
    }
  }

  /// nil: the answer comes through the inbox, for this wait of this exchange.
  func ask(_ request: LedgerRequest, exchange: Handle, wait: UInt32, inbox: Inbox) -> LedgerAnswer? {
    switch store {
    case .memory(let memory): return memory.answer(request)
    case .file(let file):
      file.submit(LedgerTicket(request, exchange: exchange, wait: wait, inbox: inbox))
      return nil
    }
  }

  // MARK: Anybody

  var figures: LedgerFigures {
    switch store {
    case .memory(let memory): memory.figures
    case .file(let file): file.figures
    }
  }

  /// The file cannot be written: nothing is held until it can.
  var isFailing: Bool {
    if case .file(let file) = store { return file.isFailing }
    return false
  }

  /// What accounts begin with that the ledger does not have yet.
  func setInitial(_ amount: Amount) {
    switch store {
    case .memory(let memory): memory.setInitial(amount)
    case .file(let file): file.setInitial(amount)
    }
  }

  /// The file, which a thread must run; nil: there is none.
  var file: FileLedger? {
    if case .file(let file) = store { return file }
    return nil
  }
}
