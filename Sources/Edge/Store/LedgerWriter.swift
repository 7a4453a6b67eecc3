// What the ledger's thread does with the jobs that have gathered: it reads, writes all in one transaction, and answers.
//
// Called by `FileLedger.run` only, so nothing here is locked. It alone writes the file and puts accounts into the table
// of balances. That is why an account's balance can be taken from the file without a look at who else is at work:
// - What is in the file and not yet committed is never read: accounts are read before the transaction or after it.
// - An account that is not in memory has no settlement that waits, for one that has cannot leave the table. So the file
//   has all of its balance.
// - Between that reading and the account's entry into the table, nobody writes the file: this thread is busy here.
// - Once the account is in memory, each settlement is taken there first; each grant is added there after its commit.
//
// A transaction that fails loses nothing: settlements stay and are written again with the next try, each once, for the
// file knows the attempts it has. Asks are answered that the ledger is unavailable. (A grant may then have been written
// all the same, if the machine stops at that moment: whoever needs to know repeats it with its key.)

import Glibc

/// The ledger's thread.
final class LedgerWriter {
  private let book: LedgerBook
  private let balances: BalanceTable
  private let gauges: LedgerGauges
  private let log: Log?

  /// Settlements that are not in the file.
  private var waiting: [LedgerTicket] = []
  /// Answered tickets whose worker has no room in its inbox.
  private var undelivered: [LedgerTicket] = []
  /// After a failure: the rest until the next try, and when that is. Monotonic milliseconds.
  private var pauseMilliseconds: UInt64 = 0
  private var retryAt: UInt64 = 0

  private static let pauseMin: UInt64 = 50
  private static let pauseMax: UInt64 = 1_000

  init(_ book: LedgerBook, _ balances: BalanceTable, _ gauges: LedgerGauges, _ log: Log?) {
    self.book = book
    self.balances = balances
    self.gauges = gauges
    self.log = log
  }

  /// Settlements of a transaction from which on the next one waits for more.
  private static let crowd = 4
  /// How many settlements the next transaction waits for, a moment at most: 0 when none, or few, came lately. As many
  /// as came are on their way again, and perhaps some more.
  private(set) var gathers = 0

  /// Nothing waits to be written or delivered.
  var isDone: Bool { waiting.isEmpty && undelivered.isEmpty }

  /// How long the thread may sleep when nobody wakes it; -1: for good.
  var sleepMilliseconds: Int32 {
    // A worker's inbox is full: it is busy taking from it, and there is nothing to wait on.
    if !undelivered.isEmpty { return 1 }
    if !gauges.isFailing { return -1 }
    let now = Clock.monotonicNow() / 1_000_000
    return retryAt > now ? Int32(clamping: retryAt - now) : 0
  }

  // MARK: One turn

  /// Does whatever has gathered. `initial`: what new accounts begin with.
  func turn(_ tickets: [LedgerTicket], initial: Amount) {
    if tickets.count < LedgerWriter.crowd {
      gathers = 0
    } else {
      gathers = tickets.count < gathers ? tickets.count : tickets.count + tickets.count / 4
    }
    undelivered.removeAll { $0.deliver() }
    var asks: [(ticket: LedgerTicket, request: LedgerRequest)] = []
    for ticket in tickets {
      switch ticket.job {
      case .settle: waiting.append(ticket)
      case .ask(let request):
        if gauges.isFailing || !LedgerWriter.isNamed(request) {
          finish(ticket, .unavailable)
        } else {
          asks.append((ticket, request))
        }
      }
    }
    if gauges.isFailing, Clock.monotonicNow() / 1_000_000 < retryAt { return }
    asks.removeAll { isRead($0.ticket, $0.request, initial) }
    let writes = asks.contains { $0.request.mayWrite }
    if !waiting.isEmpty || writes || gauges.isFailing {
      do throws(SQLiteError) {
        try write(&asks, initial)
      } catch {
        failed(error)
      }
    }
    // What was made just now is read like everything else. After a failure, nothing is.
    for (ticket, request) in asks {
      finish(ticket, gauges.isFailing ? .unavailable : answer(request))
    }
  }

  /// Answers what needs no writing; true when the ticket is finished. Histories come after what waits is written.
  private func isRead(_ ticket: LedgerTicket, _ request: LedgerRequest, _ initial: Amount) -> Bool {
    guard request.mayWrite else { return false }
    do throws(SQLiteError) {
      guard let answer = try read(request, initial) else { return false }
      finish(ticket, answer)
    } catch {
      failed(error)
      finish(ticket, .unavailable)
    }
    return true
  }

  /// One transaction for everything. Grants are answered here and leave the list.
  private func write(
    _ asks: inout [(ticket: LedgerTicket, request: LedgerRequest)], _ initial: Amount
  ) throws(SQLiteError) {
    let began = Clock.monotonicNow()
    let wall = Clock.wallNow()
    try book.begin()
    var settled: [SettlementWriting] = []
    for ticket in waiting { settled.append(try settle(ticket)) }
    var granted: [GrantWriting] = []
    for (_, request) in asks {
      switch request {
      case .grant(let account, let amount, let by, let key, let reason):
        granted.append(
          try book.grant(account, amount, by: by, key: key, reason: reason, initial: initial, wall: wall))
      case .hold(let account, _), .balance(let account): _ = try book.open(account, initial: initial, wall: wall)
      case .history: break
      }
    }
    // After a failure the first thing that works must have touched the disk.
    if gauges.isFailing { try book.probe() }
    try book.commit()
    gauges.committed(transfers: book.transfers, nanoseconds: Clock.monotonicNow() - began)
    if gauges.recovered() { log?.line(.warn, "ledger_recovered", [("written", .number(settled.count))]) }
    let tickets = waiting
    waiting = []
    for (ticket, writing) in zip(tickets, settled) { close(ticket, writing) }
    var next = 0
    asks.removeAll { ticket, request in
      guard case .grant(let account, let amount, _, _, _) = request else { return false }
      finish(ticket, answer(granted[next], account, amount))
      next += 1
      return true
    }
  }

  // MARK: Settlements

  private func settle(_ ticket: LedgerTicket) throws(SQLiteError) -> SettlementWriting {
    // An account that was held of cannot have left the table: one settlement of it waits, this one.
    guard case .settle(let settlement) = ticket.job, let row = balances.row(of: settlement.account) else {
      return .stranger
    }
    return try book.write(ticket, settlement, row: row)
  }

  /// A settlement stands in the file.
  private func close(_ ticket: LedgerTicket, _ writing: SettlementWriting) {
    guard case .settle(let settlement) = ticket.job else { return }
    switch writing {
    case .written: break
    case .duplicate:
      // It was charged before: memory must not have it twice.
      _ = balances.add(settlement.account, ticket.charged)
      report("ledger_duplicate", ticket, settlement)
    case .short: report("ledger_short", ticket, settlement)
    case .stranger: report("ledger_unwritten", ticket, settlement)
    }
    let balance = balances.balance(of: settlement.account)
    balances.written(settlement.account)
    finish(ticket, balance.map { .balance($0) } ?? .unavailable)
  }

  /// Gives up what is not written, so that the log has it at least.
  func abandon(_ tickets: [LedgerTicket]) {
    for ticket in tickets + waiting {
      if case .settle(let settlement) = ticket.job { report("ledger_unwritten", ticket, settlement) }
      finish(ticket, .unavailable)
    }
    waiting = []
    undelivered = []
  }

  private func report(_ event: StaticString, _ ticket: LedgerTicket, _ settlement: Settlement) {
    log?.line(
      .error, event,
      [
        ("exchange", .text(settlement.exchange.text)), ("attempt", .text(settlement.attempt.text)),
        ("account", .text(balances.name(of: settlement.account) ?? "")), ("credits", .text(ticket.charged.text)),
        ("shortfall", .text(ticket.shortfall.text)),
      ])
  }

  // MARK: Asks

  /// What can be said without writing; nil when the account must be made first, or when it is a grant.
  private func read(_ request: LedgerRequest, _ initial: Amount) throws(SQLiteError) -> LedgerAnswer? {
    switch request {
    case .hold(let account, let amount):
      if let outcome = try hold(account, amount) { return .hold(outcome) }
      // Who has nothing gets no entry for asking. A hold of nothing is one: it needs an account to stand on.
      return initial > .zero || amount <= .zero ? nil : .hold(.refused(available: .zero))
    case .balance(let account):
      if let balance = try balance(account) { return .balance(balance) }
      return initial > .zero ? nil : .balance(AccountBalance(balance: .zero, held: .zero))
    case .history(let account, let before, let limit):
      let page = try book.history(account, before: before, limit: limit)
      return .history(page.entries, next: page.next)
    case .grant: return nil
    }
  }

  /// The same after the transaction: every account is there.
  private func answer(_ request: LedgerRequest) -> LedgerAnswer {
    do throws(SQLiteError) {
      return try read(request, .zero) ?? .unavailable
    } catch {
      failed(error)
      return .unavailable
    }
  }

  /// nil: the ledger has no such account.
  private func hold(_ account: String, _ amount: Amount) throws(SQLiteError) -> HoldOutcome? {
    let outcome = LedgerWriter.bytes(account) { balances.hold($0, amount) }
    if outcome != .pending { return outcome }
    guard let known = try book.account(account) else { return nil }
    return LedgerWriter.bytes(account) { bytes in
      balances.insert(bytes, balance: known.balance, row: known.row) ? balances.hold(bytes, amount) : .unavailable
    }
  }

  /// nil: the ledger has no such account.
  private func balance(_ account: String) throws(SQLiteError) -> AccountBalance? {
    if let balance = LedgerWriter.bytes(account, { balances.balance($0) }) { return balance }
    guard let known = try book.account(account) else { return nil }
    LedgerWriter.bytes(account) { _ = balances.insert($0, balance: known.balance, row: known.row) }
    return AccountBalance(balance: known.balance, held: .zero)
  }

  private func answer(_ writing: GrantWriting, _ account: String, _ amount: Amount) -> LedgerAnswer {
    switch writing {
    case .written(let transaction, let balance):
      LedgerWriter.bytes(account) { balances.add($0, amount) }
      return .granted(transaction: transaction, balance: balance)
    case .repeated(let transaction, let balance): return .granted(transaction: transaction, balance: balance)
    case .conflict: return .conflict
    case .overflow: return .overflow
    }
  }

  // MARK: Parts

  /// A test's disk that is full beyond so many pages.
  func bound(pages: Int64) { try? book.bound(pages: pages) }

  func close() { book.close() }

  private func failed(_ error: SQLiteError) {
    book.rollback()
    let isFirst = gauges.failed()
    pauseMilliseconds = isFirst ? LedgerWriter.pauseMin : min(2 * pauseMilliseconds, LedgerWriter.pauseMax)
    retryAt = Clock.monotonicNow() / 1_000_000 + pauseMilliseconds
    guard isFirst else { return }
    log?.line(
      .error, "ledger_failing",
      [("reason", .text(error.message)), ("code", .number(Int(error.code))), ("waiting", .number(waiting.count))])
  }

  private func finish(_ ticket: LedgerTicket, _ answer: LedgerAnswer) {
    gauges.left()
    ticket.answer = answer
    if !ticket.deliver() { undelivered.append(ticket) }
  }

  private static func isNamed(_ request: LedgerRequest) -> Bool {
    1...BalanceTable.nameBytesMax ~= request.account.utf8.count
  }

  private static func bytes<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    var text = text
    return text.withUTF8(body)
  }
}

extension LedgerRequest {
  fileprivate var account: String {
    switch self {
    case .hold(let account, _), .balance(let account), .history(let account, _, _), .grant(let account, _, _, _, _):
      account
    }
  }

  /// Whether it can lead to a transfer.
  fileprivate var mayWrite: Bool {
    if case .history = self { return false }
    return true
  }
}
