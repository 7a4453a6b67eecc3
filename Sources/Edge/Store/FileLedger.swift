// The embedded ledger on disk: a SQLite file, and one thread that writes it.
//
// Owns: the queue of jobs and the thread's way: everything that has gathered goes into one transaction, so that a flush
// to the disk is shared by all who wait for it. Called by the workers, through `Ledger`, and by whoever starts and ends
// Edge. A worker never waits here: an answer comes through its inbox.
//
// The queue is bounded by what runs: an exchange has at most one ask and a settlement for each attempt here. Where an
// exchange need not wait for its settlement (relaxed), it does so all the same once many are queued.

import CLinux
import Glibc
import Synchronization

/// One for the process.
final class FileLedger: Sendable {
  private struct Queue {
    var tickets: [LedgerTicket] = []
    /// The thread is woken when there are so many; .max while it is at work, for it looks before it sleeps.
    var wakesAt = Int.max
    /// Nobody takes from it any more.
    var isClosed = false
  }

  private let balances: BalanceTable
  private let queue = Locked(Queue())
  private let waker: Wake
  private let gauges = LedgerGauges()
  private let log: Log?
  private let durability: Durability
  private let initial: Atomic<Int64>
  /// When the thread gives up what it could not write; monotonic milliseconds, .max: it is not to end.
  private let endsAt = Atomic<UInt64>(.max)
  private let pagesMax = Atomic<Int64>(0)
  private nonisolated(unsafe) let writer: LedgerWriter  // used by the thread in `run` alone

  /// How long more is awaited for a transaction while many come: what each one costs by itself, its flush above all, is
  /// then shared by more. Who waits does so for that much longer at most.
  private static let gatherMilliseconds: Int32 = 2
  /// Settlements in the queue above which none is answered before it is written.
  private static let relaxedQueueMax = 1 << 14

  /// Opens the ledger, which is made when it is not there. `initial` is what new accounts begin with. `steps` differ in
  /// tests only.
  init(
    path: String, durability: Durability, initial: Amount, log: Log?, balances: BalanceTable,
    steps: [String] = LedgerSchema.steps
  ) throws(LedgerError) {
    guard let waker = Wake() else { throw .noMemory }
    let book: LedgerBook
    let database = try LedgerSchema.open(path: path, durability: durability, steps: steps)
    do throws(SQLiteError) {
      book = try LedgerBook(database)
    } catch {
      throw .cannotOpen(path: path, reason: error.message)
    }
    self.balances = balances
    self.waker = waker
    self.log = log
    self.durability = durability
    self.initial = Atomic(initial.units)
    writer = LedgerWriter(book, balances, gauges, log)
  }

  // MARK: Workers

  /// Charges the account in memory and queues what is to be written. Without an inbox nobody waits.
  func settle(_ settlement: Settlement, exchange: Handle, inbox: Inbox?) -> SettledCharge {
    let taken = balances.settle(settlement.account, held: settlement.held, charge: settlement.charge)
    let isAwaited = durability == .strict || gauges.queueLength >= FileLedger.relaxedQueueMax
    submit(
      LedgerTicket(
        settlement, charged: taken.charged, shortfall: taken.shortfall, exchange: exchange,
        inbox: isAwaited ? inbox : nil))
    return SettledCharge(charged: taken.charged, shortfall: taken.shortfall, isWritten: !isAwaited)
  }

  /// Queues a job; its answer comes through the inbox.
  func submit(_ ticket: LedgerTicket) {
    gauges.entered()
    let (isClosed, wakes) = queue.withLock { queue in
      if queue.isClosed { return (true, false) }
      queue.tickets.append(ticket)
      return (false, queue.tickets.count == queue.wakesAt)
    }
    if isClosed { refuse(ticket) }
    if wakes { waker.signal() }
  }

  /// The ledger has ended.
  private func refuse(_ ticket: LedgerTicket) {
    gauges.left()
    if case .settle(let settlement) = ticket.job {
      log?.line(
        .error, "ledger_unwritten",
        [("attempt", .text(settlement.attempt.text)), ("credits", .text(ticket.charged.text))])
    }
    ticket.answer = .unavailable
    _ = ticket.deliver()
  }

  // MARK: Anybody

  var figures: LedgerFigures { gauges.figures }
  /// The file cannot be written: nothing is held until it can.
  var isFailing: Bool { gauges.isFailing }

  /// What accounts begin with that the ledger does not have yet.
  func setInitial(_ amount: Amount) { initial.store(amount.units, ordering: .relaxed) }

  /// Pages that the file may have from now on. Tests fill the disk with it.
  func bound(pages: Int64) { pagesMax.store(pages, ordering: .relaxed) }

  // MARK: The thread

  /// The thread's work: returns after `end` was called, when everything is written or its time is over.
  func run() {
    var pages: Int64 = 0
    while true {
      let end = endsAt.load(ordering: .acquiring)
      if pagesMax.load(ordering: .relaxed) != pages {
        pages = pagesMax.load(ordering: .relaxed)
        writer.bound(pages: pages)
      }
      let tickets = queue.withLock { queue in
        let taken = queue.tickets
        queue.tickets = []
        queue.wakesAt = .max
        return taken
      }
      writer.turn(tickets, initial: Amount(units: initial.load(ordering: .relaxed)))
      if end != .max, isOver(end) { break }
      wait(until: end)
    }
    writer.close()
  }

  /// Makes `run` return when everything is written, at the latest after this long: what cannot be written then is left
  /// to the log. Workers have ended before.
  func end(milliseconds: UInt64 = 3_000) {
    endsAt.store(Clock.monotonicNow() / 1_000_000 + milliseconds, ordering: .releasing)
    waker.signal()
  }

  /// Closes the queue when nothing is left to do, or no time.
  private func isOver(_ end: UInt64) -> Bool {
    let isLate = Clock.monotonicNow() / 1_000_000 >= end
    let left: [LedgerTicket]? = queue.withLock { queue in
      guard isLate || queue.tickets.isEmpty && writer.isDone else { return nil }
      queue.isClosed = true
      let left = queue.tickets
      queue.tickets = []
      return left
    }
    guard let left else { return false }
    writer.abandon(left)
    return true
  }

  /// Sleeps until a job comes, or as many as are awaited, a try is due, or the end.
  private func wait(until end: UInt64) {
    var milliseconds = writer.sleepMilliseconds
    if writer.gathers > 0 {
      milliseconds = min(FileLedger.gatherMilliseconds, milliseconds < 0 ? .max : milliseconds)
    }
    if end != .max {
      let now = Clock.monotonicNow() / 1_000_000
      let left = Int32(clamping: end > now ? end - now : 0)
      milliseconds = milliseconds < 0 ? left : min(milliseconds, left)
    }
    let wanted = max(1, writer.gathers)
    let isDue = queue.withLock { queue in
      if queue.tickets.count >= wanted { return true }
      queue.wakesAt = wanted
      return false
    }
    if isDue { return }
    var descriptor = pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0)
    if poll(&descriptor, 1, milliseconds) > 0 { waker.acknowledge() }
  }
}
