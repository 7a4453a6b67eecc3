// What is asked of the ledger and what it answers, as plain values.
// Policies ask through the driver; tests of policies answer in the ledger's place.

/// Where an account stands in the table of balances, while it cannot be evicted from there.
struct AccountHandle: BitwiseCopyable, Equatable, Sendable {
  let index: Int32
  let serial: UInt32
}

/// Credits of one account.
struct AccountBalance: BitwiseCopyable, Equatable, Sendable {
  /// What the ledger says, with what is settled but not yet written.
  var balance: Amount
  /// Of that, what is held for work that runs.
  var held: Amount
  /// What can be held: never below zero.
  var available: Amount { Amount(units: max(0, balance.units - held.units)) }
}

/// What came of holding credits.
enum HoldOutcome: BitwiseCopyable, Equatable, Sendable {
  /// They are set aside. `available` is what is left.
  case granted(AccountHandle, available: Amount)
  /// The account does not cover it.
  case refused(available: Amount)
  /// The account is not in memory: the ledger must be asked.
  case pending
  /// The ledger cannot be written, or there is no room for another account: nothing is granted then.
  case unavailable
}

/// What the ledger is asked by a policy.
enum LedgerRequest: Sendable, Equatable {
  /// To set credits aside for the exchange that asks.
  case hold(account: String, Amount)
  case balance(account: String)
  /// The newest entries below a place; `before` 0: from the newest on.
  case history(account: String, before: Int64, limit: Int)
  /// Credits out of nothing. The same key makes it once; with another account, amount or reason it is a conflict.
  case grant(account: String, Amount, by: String, key: String?, reason: String?)
}

/// What the ledger answers.
enum LedgerAnswer: Sendable, Equatable {
  case hold(HoldOutcome)
  case balance(AccountBalance)
  /// Newest first; `next` is what `before` must be for those below, 0 when there are none.
  case history([LedgerEntry], next: Int64)
  case granted(transaction: String, balance: Amount)
  /// The key was used for something else.
  case conflict
  /// There would be more credits than can be counted.
  case overflow
  case unavailable
}

/// What an entry of the ledger is for.
enum LedgerKind: String, Sendable, CaseIterable {
  /// What a new account begins with.
  case initial
  case grant
  /// What an attempt was charged.
  case settlement
}

/// One entry of an account, as its owner sees it.
struct LedgerEntry: Sendable, Equatable {
  /// Its place: entries are numbered in the order they were written.
  var place: Int64
  /// Its own identifier (ULID).
  var transaction: String
  var kind: LedgerKind
  /// Positive when the account got it.
  var amount: Amount
  /// Of the account after it.
  var balance: Amount
  /// Wall nanoseconds.
  var wall: UInt64
  /// Settlements: what it was for; empty otherwise.
  var requestID = ""
  var provider = ""
  var model = ""
  var usage = Usage()
  /// Settlements: what the account could not cover.
  var shortfall = Amount.zero
  /// Grants.
  var reason = ""
}

/// What an attempt costs, for the ledger. `exchange`, `attempt` and the kind make it unique.
struct Settlement: BitwiseCopyable, Sendable {
  var exchange: ULID
  var attempt: ULID
  var account: AccountHandle
  /// What was set aside for it, nil when that stays for the next attempt, and what is taken.
  var held: Amount?
  var charge: Amount
  var usage: Usage
  var cause: EndCause
  /// These stand where whoever settles has them; the ledger copies what it keeps.
  var requestID: StaticBytes
  var route: StaticBytes
  /// Empty for routes with a price of their own.
  var provider: StaticBytes
  var model: StaticBytes
  var wall: UInt64
}

/// What came of a settlement in memory.
struct SettledCharge: BitwiseCopyable, Equatable, Sendable {
  /// What was taken, and what the account could not cover.
  var charged: Amount
  var shortfall: Amount
  /// False: whoever waits is told later that it stands in the file.
  var isWritten: Bool
}
