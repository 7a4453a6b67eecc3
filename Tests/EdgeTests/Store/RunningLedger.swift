import CSQLite
import Foundation
import Testing

@testable import Edge

/// A folder that goes with the test.
final class LedgerFolder {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.path + "/edge-ledger-\(UUID().uuidString)"
    mkdir(path, 0o700)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var file: String { path + "/ledger.db" }

  /// Runs SQL on a file that no ledger has open; the first column of the first row.
  @discardableResult
  func sql(_ text: String) throws -> String {
    try LedgerDatabase(path: file).prepare(text).first([]) { $0.text(0) } ?? ""
  }
}

/// A ledger with its thread, and an inbox in a worker's place.
final class RunningLedger {
  let ledger: Ledger
  private let inbox: Inbox
  private let thread: RunningThread?
  /// Where texts of settlements stand.
  private let arena = Arena()
  private var hasEnded = false
  private var random = Random()

  init(
    _ path: String?, _ durability: Durability = .strict, initial: Int64 = 0,
    accountsMax: Int = BalanceTable.accountsMax, steps: [String] = LedgerSchema.steps
  ) throws {
    let ledger = try Ledger(
      path: path, durability: durability, initial: Amount(units: initial), log: nil, accountsMax: accountsMax,
      steps: steps)
    self.ledger = ledger
    inbox = try #require(Inbox())
    thread = try ledger.file.map { file in try RunningThread.start { file.run() } }
  }

  deinit { end() }

  func end(milliseconds: UInt64 = 3_000) {
    if hasEnded { return }
    hasEnded = true
    ledger.file?.end(milliseconds: milliseconds)
    thread?.join()
  }

  /// The next ticket that comes back.
  func next() -> LedgerTicket? {
    while true {
      if case .ledger(let pointer) = inbox.take() {
        return Unmanaged<LedgerTicket>.fromOpaque(pointer).takeRetainedValue()
      }
      var descriptor = pollfd(fd: inbox.wakeDescriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&descriptor, 1, 60_000) > 0 else { return nil }
      inbox.acknowledge()
    }
  }

  private static let exchange = Handle(index: 1, serial: 2)

  /// Charges, and waits for what was written.
  @discardableResult
  func settle(_ settlement: Settlement) -> (charge: SettledCharge, balance: AccountBalance?) {
    let charge = submit(settlement)
    if charge.isWritten { return (charge, ledger.balances.balance(of: settlement.account)) }
    if case .balance(let balance) = next()?.answer { return (charge, balance) }
    return (charge, nil)
  }

  /// Charges; the ticket comes when it is written.
  func submit(_ settlement: Settlement) -> SettledCharge {
    ledger.settle(settlement, exchange: RunningLedger.exchange, inbox: inbox)
  }

  /// Asks; nil: a ticket comes.
  func submit(_ request: LedgerRequest, wait: UInt32 = 0) -> LedgerAnswer? {
    ledger.ask(request, exchange: RunningLedger.exchange, wait: wait, inbox: inbox)
  }

  func ask(_ request: LedgerRequest) -> LedgerAnswer? { submit(request) ?? next()?.answer }

  func balance(_ account: String) -> AccountBalance? {
    if case .balance(let balance) = ask(.balance(account: account)) { return balance }
    return nil
  }

  func grant(
    _ account: String, _ units: Int64, key: String? = nil, reason: String? = nil
  ) -> LedgerAnswer? {
    ask(.grant(account: account, Amount(units: units), by: "admin", key: key, reason: reason))
  }

  func hold(_ account: String, _ units: Int64) -> HoldOutcome? {
    let bytes = Array(account.utf8)
    let outcome = bytes.withUnsafeBufferPointer { ledger.hold($0, Amount(units: units)) }
    if outcome != .pending { return outcome }
    if case .hold(let outcome) = ask(.hold(account: account, Amount(units: units))) { return outcome }
    return nil
  }

  func history(_ account: String, before: Int64 = 0, limit: Int = 200) -> (entries: [LedgerEntry], next: Int64) {
    let answer = ask(.history(account: account, before: before, limit: limit))
    if case .history(let entries, let next) = answer { return (entries, next) }
    return ([], -1)
  }

  func settlement(_ handle: AccountHandle, held: Int64, charge: Int64, requestID: String = "r") -> Settlement {
    let wall = Clock.wallNow()
    return Settlement(
      exchange: ULID(wall: wall, random: &random), attempt: ULID(wall: wall, random: &random), account: handle,
      held: Amount(units: held), charge: Amount(units: charge),
      usage: Usage(
        source: .reported, inputTokens: 11, cachedTokens: 2, cacheWriteTokens: 3, outputTokens: 7, reasoningTokens: 5),
      cause: .completed, requestID: arena.text(requestID), route: StaticBytes("chat"),
      provider: StaticBytes("openai"), model: StaticBytes("gpt-4"), wall: wall)
  }
}

/// The transaction and the balance of a grant that was made.
func granted(_ answer: LedgerAnswer?) -> (transaction: String, balance: Int64)? {
  if case .granted(let transaction, let balance) = answer { return (transaction, balance.units) }
  return nil
}
