// The ledger without a file: gone with the process, and otherwise like the one on disk.
//
// Owns: the newest entries of all accounts, and the keys of grants. Balances stand in the table, which keeps every
// account here. Called by the workers, through `Ledger`: everything is done at once, on the worker's own thread. What
// happens to an account and its entry happen under one lock, so that entries stand in the order of their balances.
// Never: allocates for a settlement.

import Glibc
import Synchronization

/// One for the process.
final class MemoryLedger: Sendable {
  /// What a key has granted.
  private struct Grant {
    let account: AccountHandle
    let amount: Amount
    let reason: String
    let transaction: String
    let balance: Amount
  }

  /// What is made for an account, one at a time.
  private struct Issuing {
    var grants: [String: Grant] = [:]
    var random = Random()
  }

  private let balances: BalanceTable
  private let diaries: [Locked<MemoryDiary>]
  private nonisolated(unsafe) let memory: UnsafeMutableRawPointer  // each diary's part is used under its lock
  private let issuing = Locked(Issuing())
  private let initial: Atomic<Int64>
  private let transfers = Atomic<Int64>(0)

  private static let diaryCount = 64
  /// Keys of grants that are known; a grant with another one is refused then, for it could have been made before.
  private static let keysMax = 1 << 16

  /// nil when the kernel has no address space. `balances` keeps all accounts.
  init?(initial: Amount, balances: BalanceTable) {
    guard let memory = Pages.map(bytes: MemoryLedger.diaryCount * MemoryDiary.bytes) else { return nil }
    self.memory = memory
    self.balances = balances
    self.initial = Atomic(initial.units)
    diaries = (0..<MemoryLedger.diaryCount).map { Locked(MemoryDiary(memory + $0 * MemoryDiary.bytes)) }
  }

  deinit { Pages.unmap(memory, bytes: MemoryLedger.diaryCount * MemoryDiary.bytes) }

  /// What accounts begin with that are not here yet.
  func setInitial(_ amount: Amount) { initial.store(amount.units, ordering: .relaxed) }

  var figures: LedgerFigures {
    let count = Int(transfers.load(ordering: .relaxed))
    return LedgerFigures(commits: count, transfers: count)
  }

  /// Charges an account.
  func settle(_ settlement: Settlement) -> SettledCharge {
    let taken = diary(of: settlement.account).withLock { diary in
      let taken = balances.settle(settlement.account, held: settlement.held, charge: settlement.charge)
      diary.append(
        MemoryEntry(
          place: nextPlace(), account: settlement.account.index, kind: .settlement, transaction: settlement.attempt,
          amount: Amount(units: -taken.charged.units), balance: taken.balance, wall: settlement.wall,
          usage: settlement.usage, shortfall: taken.shortfall),
        settlement.requestID, settlement.provider, settlement.model)
      return taken
    }
    return SettledCharge(charged: taken.charged, shortfall: taken.shortfall, isWritten: true)
  }

  /// Answers a question.
  func answer(_ request: LedgerRequest) -> LedgerAnswer {
    switch request {
    case .hold(let account, let amount): MemoryLedger.named(account) { .hold(hold($0, amount)) }
    case .balance(let account): MemoryLedger.named(account) { .balance(balance($0)) }
    case .history(let account, let before, let limit):
      MemoryLedger.named(account) { history($0, before: before, limit: limit) }
    case .grant(let account, let amount, _, let key, let reason):
      MemoryLedger.named(account) { grant($0, amount, key: key ?? "", reason: reason ?? "") }
    }
  }

  // MARK: Asks

  private func hold(_ account: UnsafeBufferPointer<UInt8>, _ amount: Amount) -> HoldOutcome {
    let outcome = balances.hold(account, amount)
    if outcome != .pending { return outcome }
    let initial = Amount(units: initial.load(ordering: .relaxed))
    // Who has nothing gets no account for asking. A hold of nothing is one: it needs an account to stand on.
    if initial <= .zero, amount > .zero { return .refused(available: .zero) }
    return open(account, initial) == nil ? .unavailable : balances.hold(account, amount)
  }

  private func balance(_ account: UnsafeBufferPointer<UInt8>) -> AccountBalance {
    let initial = Amount(units: initial.load(ordering: .relaxed))
    if initial > .zero { _ = open(account, initial) }
    return balances.balance(account) ?? AccountBalance(balance: .zero, held: .zero)
  }

  private func history(_ account: UnsafeBufferPointer<UInt8>, before: Int64, limit: Int) -> LedgerAnswer {
    guard let handle = balances.handle(of: account) else { return .history([], next: 0) }
    let limit = min(max(1, limit), LedgerBook.historyMax)
    // One more than wanted tells whether there are more.
    let kept = diary(of: handle).withLock {
      $0.entries(of: handle.index, before: before > 0 ? before : .max, limit: limit + 1)
    }
    let entries = kept.prefix(limit).map(\.entry)
    return .history(entries, next: kept.count > limit ? entries.last?.place ?? 0 : 0)
  }

  private func grant(
    _ account: UnsafeBufferPointer<UInt8>, _ amount: Amount, key: String, reason: String
  ) -> LedgerAnswer {
    guard amount > .zero else { return .conflict }
    guard let handle = open(account, Amount(units: initial.load(ordering: .relaxed))) else { return .unavailable }
    return issuing.withLock { issuing in
      if let before = issuing.grants[key], !key.isEmpty {
        let isSame = before.account == handle && before.amount == amount && before.reason == reason
        return isSame ? .granted(transaction: before.transaction, balance: before.balance) : .conflict
      }
      if !key.isEmpty, issuing.grants.count >= MemoryLedger.keysMax { return .unavailable }
      guard let made = issue(.grant, amount, to: handle, reason: reason, &issuing.random) else { return .overflow }
      if !key.isEmpty {
        issuing.grants[key] = Grant(
          account: handle, amount: amount, reason: reason, transaction: made.transaction, balance: made.balance)
      }
      return .granted(transaction: made.transaction, balance: made.balance)
    }
  }

  // MARK: Parts

  /// The account, made with so much when it was not there; nil: there is no room for another one.
  private func open(_ account: UnsafeBufferPointer<UInt8>, _ initial: Amount) -> AccountHandle? {
    if let handle = balances.handle(of: account) { return handle }
    return issuing.withLock { issuing in
      if let handle = balances.handle(of: account) { return handle }
      guard balances.insert(account, balance: .zero), let handle = balances.handle(of: account) else { return nil }
      if initial > .zero { _ = issue(.initial, initial, to: handle, reason: "", &issuing.random) }
      return handle
    }
  }

  /// Credits out of nothing; nil: the account would have more than can be counted.
  private func issue(
    _ kind: LedgerKind, _ amount: Amount, to account: AccountHandle, reason: String, _ random: inout Random
  ) -> (transaction: String, balance: Amount)? {
    let wall = Clock.wallNow()
    let transaction = ULID(wall: wall, random: &random)
    var reason = reason
    return reason.withUTF8 { reason in
      let reason = reason.baseAddress.map { StaticBytes(start: $0, count: reason.count) } ?? .empty
      return diary(of: account).withLock { diary in
        guard let balance = balances.add(account, amount) else { return nil }
        diary.append(
          MemoryEntry(
            place: nextPlace(), account: account.index, kind: kind, transaction: transaction, amount: amount,
            balance: balance, wall: wall, usage: Usage(), shortfall: .zero),
          reason, .empty, .empty)
        return (transaction.text, balance)
      }
    }
  }

  private func diary(of account: AccountHandle) -> Locked<MemoryDiary> {
    diaries[Int(account.index) & (MemoryLedger.diaryCount - 1)]
  }

  /// Also counts.
  private func nextPlace() -> Int64 { transfers.wrappingAdd(1, ordering: .relaxed).newValue }

  private static func named(
    _ account: String, _ body: (UnsafeBufferPointer<UInt8>) -> LedgerAnswer
  ) -> LedgerAnswer {
    var account = account
    return account.withUTF8 { 1...BalanceTable.nameBytesMax ~= $0.count ? body($0) : .unavailable }
  }
}
