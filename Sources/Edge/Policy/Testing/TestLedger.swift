// The ledger of a test: accounts and entries in memory, exact, with the rules of the one that is written to disk. What
// a policy holds stays held, as if its work still ran.
//
// Owns: balances, holds, entries and the keys of grants of one policy under test.
// Called by: the policy under test, in the place of the driver. Never: is shared, or kept beyond the test.

/// What earlier work was charged, as a test says it.
struct TestCharge {
  let account: String
  let credits: Amount
  let shortfall: Amount
  let requestID: String
  let provider: String
  let model: String
  let usage: Usage
}

/// Accounts that nobody else has.
final class TestLedger {
  private var accounts: [String: AccountBalance] = [:]
  /// Handles are places here.
  private var names: [String] = []
  /// In the order they were written.
  private var entries: [(account: String, entry: LedgerEntry)] = []
  /// By key: which entry it was.
  private var grants: [String: Int] = [:]

  /// Begins an account, or begins it anew, with so much on it and nothing held.
  func open(_ name: String, _ balance: Amount, wall: UInt64) {
    accounts[name] = AccountBalance(balance: .zero, held: .zero)
    if !names.contains(name) { names.append(name) }
    if balance > .zero { _ = write(name, .initial, balance, wall: wall) }
  }

  /// Takes from an account what work has cost.
  func charge(_ charge: TestCharge, wall: UInt64) -> Bool {
    guard let place = write(charge.account, .settlement, Amount(units: -charge.credits.units), wall: wall) else {
      return false
    }
    entries[place].entry.requestID = charge.requestID
    entries[place].entry.provider = charge.provider
    entries[place].entry.model = charge.model
    entries[place].entry.usage = charge.usage
    entries[place].entry.shortfall = charge.shortfall
    return true
  }

  /// By account, what it has.
  var balances: [(account: String, balance: Amount)] {
    names.sorted().map { ($0, accounts[$0]?.balance ?? .zero) }
  }

  func name(of handle: AccountHandle) -> String { names[Int(handle.index)] }

  func answer(_ request: LedgerRequest, wall: UInt64) -> LedgerAnswer {
    switch request {
    case .balance(let account): return .balance(known(account))
    case .hold(let account, let amount): return .hold(hold(account, amount))
    case .history(let account, let before, let limit): return history(account, before, limit)
    case .grant(let account, let amount, _, let key, let reason):
      return grant(account, amount, key, reason ?? "", wall: wall)
    }
  }

  private func known(_ account: String) -> AccountBalance {
    accounts[account] ?? AccountBalance(balance: .zero, held: .zero)
  }

  private func hold(_ account: String, _ amount: Amount) -> HoldOutcome {
    var row = known(account)
    guard amount <= row.available, let held = row.held.adding(amount) else { return .refused(available: row.available) }
    row.held = held
    accounts[account] = row
    if !names.contains(account) { names.append(account) }
    let index = names.firstIndex(of: account) ?? 0
    return .granted(AccountHandle(index: Int32(index), serial: 1), available: row.available)
  }

  private func history(_ account: String, _ before: Int64, _ limit: Int) -> LedgerAnswer {
    let own = entries.reversed().filter { $0.account == account && (before == 0 || $0.entry.place < before) }
    let shown = own.prefix(limit).map(\.entry)
    return .history(shown, next: own.count > limit ? shown.last?.place ?? 0 : 0)
  }

  private func grant(
    _ account: String, _ amount: Amount, _ key: String?, _ reason: String, wall: UInt64
  ) -> LedgerAnswer {
    if let key, let place = grants[key] {
      let (owner, entry) = entries[place]
      guard owner == account, entry.amount == amount, entry.reason == reason else { return .conflict }
      return .granted(transaction: entry.transaction, balance: entry.balance)
    }
    guard let place = write(account, .grant, amount, wall: wall) else { return .overflow }
    entries[place].entry.reason = reason
    if let key { grants[key] = place }
    return .granted(transaction: entries[place].entry.transaction, balance: entries[place].entry.balance)
  }

  /// Where the entry stands; nil when the balance would be none: below zero, or too large.
  private func write(_ account: String, _ kind: LedgerKind, _ amount: Amount, wall: UInt64) -> Int? {
    var row = known(account)
    guard let balance = row.balance.adding(amount), balance >= .zero else { return nil }
    row.balance = balance
    accounts[account] = row
    if !names.contains(account) { names.append(account) }
    let place = Int64(entries.count + 1)
    entries.append(
      (
        account,
        LedgerEntry(
          place: place, transaction: "01JTESTS\(String(place + 1_000_000_000_000_000_000).suffix(18))", kind: kind,
          amount: amount, balance: balance, wall: wall)
      ))
    return entries.count - 1
  }
}
