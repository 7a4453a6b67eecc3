// The ledger's file as accounts and transfers: every transfer moves an amount between an account of a user and one of
// Edge, as two postings whose sum is zero.
//
// Called by the ledger's thread only. It knows nothing of memory: what is held and not yet settled is the table's.
// Names of users' accounts stand behind "user/", so that no user can be named like an account of Edge.

/// An account in the file.
struct BookAccount: BitwiseCopyable, Equatable {
  let row: Int64
  let balance: Amount
}

/// What came of writing a settlement.
enum SettlementWriting: Equatable {
  case written
  /// The attempt was settled before.
  case duplicate
  /// The account had less than memory said, so much less: only what it had was taken.
  case short(by: Amount)
  /// Its handle was for no hold that still stands: nothing was charged, nothing written.
  case stranger
}

/// What came of writing a grant.
enum GrantWriting: Equatable {
  case written(transaction: String, balance: Amount)
  /// The same was granted with this key before.
  case repeated(transaction: String, balance: Amount)
  /// The key was used for something else.
  case conflict
  /// The sum of all credits would be too large.
  case overflow
}

/// The statements of a ledger.
final class LedgerBook {
  private let database: LedgerDatabase
  private var random = Random()
  /// Transfers written since `begin`.
  private(set) var transfers = 0

  private let selectAccount, insertAccount, moveBalance, selectBalance, insertPosting: LedgerStatement
  private let insertTransfer, selectGrant, selectHistory, touchAccount: LedgerStatement

  init(_ database: LedgerDatabase) throws(SQLiteError) {
    self.database = database
    selectAccount = try database.prepare("SELECT id, balance FROM accounts WHERE name = ?1")
    insertAccount = try database.prepare("INSERT INTO accounts (name, balance) VALUES (?1, 0)")
    // RETURNING would be shorter; SQLite makes a table of its own for it each time, which costs more than all else.
    moveBalance = try database.prepare("UPDATE accounts SET balance = balance + ?2 WHERE id = ?1")
    selectBalance = try database.prepare("SELECT balance FROM accounts WHERE id = ?1")
    insertPosting = try database.prepare(
      "INSERT INTO postings (transfer, account, amount, balance_after) VALUES (?1, ?2, ?3, ?4)")
    insertTransfer = try database.prepare(
      """
      INSERT INTO transfers ("transaction", kind, wall, exchange, attempt, request_id, route, provider, model, cause,
        usage_source, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        held, shortfall, idempotency_key, granted_by, reason)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
      ON CONFLICT (exchange, attempt, kind) DO NOTHING
      """)
    selectGrant = try database.prepare(
      """
      SELECT t."transaction", t.reason, a.name, p.amount, p.balance_after
      FROM transfers t JOIN postings p ON p.transfer = t.id JOIN accounts a ON a.id = p.account
      WHERE t.idempotency_key = ?1 AND a.id <> \(LedgerSchema.issuedAccount)
      """)
    selectHistory = try database.prepare(
      """
      SELECT t.id, t."transaction", t.kind, p.amount, p.balance_after, t.wall, t.request_id, t.provider, t.model,
        t.usage_source, t.input_tokens, t.cached_tokens, t.cache_write_tokens, t.output_tokens, t.reasoning_tokens,
        t.shortfall, t.reason
      FROM accounts a JOIN postings p ON p.account = a.id JOIN transfers t ON t.id = p.transfer
      WHERE a.name = ?1 AND p.transfer < ?2 ORDER BY p.transfer DESC LIMIT ?3
      """)
    // Changes a page without changing anything: whether the file can be written at all.
    touchAccount = try database.prepare(
      "UPDATE accounts SET balance = balance WHERE id = \(LedgerSchema.revenueAccount)")
  }

  // MARK: Transactions

  func begin() throws(SQLiteError) {
    transfers = 0
    try database.execute("BEGIN IMMEDIATE")
  }

  func commit() throws(SQLiteError) { try database.execute("COMMIT") }

  /// Forgets what was written since `begin`. Some errors have done so already.
  func rollback() { if database.isInTransaction { try? database.execute("ROLLBACK") } }

  /// Writes without changing anything.
  func probe() throws(SQLiteError) { try touchAccount.run([]) }

  /// Pages that the file may have, for tests of a full disk.
  func bound(pages: Int64) throws(SQLiteError) { _ = try database.number("PRAGMA max_page_count = \(pages)") }

  /// Moves what stands in the write-ahead log into the file and ends the connection.
  func close() {
    _ = try? database.number("PRAGMA wal_checkpoint(TRUNCATE)")
    for statement in [
      selectAccount, insertAccount, moveBalance, selectBalance, insertPosting, insertTransfer, selectGrant,
      selectHistory, touchAccount,
    ] {
      statement.finalize()
    }
    database.close()
  }

  // MARK: Reading

  /// nil: the ledger has no such account.
  func account(_ name: String) throws(SQLiteError) -> BookAccount? {
    try selectAccount.first([.text(LedgerSchema.userPrefix + name)]) {
      BookAccount(row: $0.integer(0), balance: Amount(units: $0.integer(1)))
    }
  }

  /// Entries below a place (0: from the newest on), newest first, and where the next ones begin (0: there are none).
  func history(_ name: String, before: Int64, limit: Int) throws(SQLiteError) -> (entries: [LedgerEntry], next: Int64) {
    let limit = min(max(1, limit), LedgerBook.historyMax)
    var entries: [LedgerEntry] = []
    // One more than wanted tells whether there are more.
    let values: [SQLiteValue] = [
      .text(LedgerSchema.userPrefix + name), .integer(before > 0 ? before : .max), .integer(Int64(limit + 1)),
    ]
    try selectHistory.run(values) { entries.append(LedgerBook.entry($0)) }
    guard entries.count > limit else { return (entries, 0) }
    entries.removeLast()
    return (entries, entries.last?.place ?? 0)
  }

  /// Entries that one question brings at most.
  static let historyMax = 200

  private static func entry(_ row: LedgerStatement) -> LedgerEntry {
    LedgerEntry(
      place: row.integer(0), transaction: row.text(1), kind: LedgerKind(rawValue: row.text(2)) ?? .settlement,
      amount: Amount(units: row.integer(3)), balance: Amount(units: row.integer(4)),
      wall: UInt64(max(0, row.integer(5))), requestID: row.text(6), provider: row.text(7), model: row.text(8),
      usage: Usage(
        source: UsageSource(rawValue: UInt8(clamping: row.integer(9))) ?? .none, inputTokens: row.integer(10),
        cachedTokens: row.integer(11), cacheWriteTokens: row.integer(12), outputTokens: row.integer(13),
        reasoningTokens: row.integer(14)),
      shortfall: Amount(units: row.integer(15)), reason: row.text(16))
  }

  // MARK: Writing

  /// The account, made with what new ones begin with when it was not there.
  func open(_ name: String, initial: Amount, wall: UInt64) throws(SQLiteError) -> BookAccount {
    if let known = try account(name) { return known }
    let row = try insertAccount.insert([.text(LedgerSchema.userPrefix + name)]) ?? 0
    var balance = Amount.zero
    // Nothing when all credits together would be too many.
    if initial > .zero, try canIssue(initial) {
      let transaction = newTransaction(wall)
      let transfer = try insert(kind: .initial, transaction, wall, grant: (key: "", by: "", reason: ""))
      balance = try post(transfer, from: LedgerSchema.issuedAccount, to: row, initial)
    }
    return BookAccount(row: row, balance: balance)
  }

  /// Writes what an attempt was charged, `charged` and `shortfall` as the table had it.
  func write(
    _ settlement: Settlement, account name: String, charged: Amount, shortfall: Amount
  ) throws(SQLiteError) -> SettlementWriting {
    let account = try open(name, initial: .zero, wall: settlement.wall)
    let taken = min(charged, account.balance)
    let missing = Amount(units: charged.units - taken.units)
    let values = LedgerBook.values(settlement, shortfall: shortfall.adding(missing) ?? shortfall)
    guard let transfer = try insertTransfer.insert(values) else { return .duplicate }
    _ = try post(transfer, from: account.row, to: LedgerSchema.revenueAccount, taken)
    return missing > .zero ? .short(by: missing) : .written
  }

  /// Credits out of nothing for an account, once for each key.
  func grant(
    _ name: String, _ amount: Amount, by: String, key: String?, reason: String?, initial: Amount, wall: UInt64
  ) throws(SQLiteError) -> GrantWriting {
    if let key, !key.isEmpty {
      let before = try selectGrant.first([.text(key)]) { row in
        let isSame =
          row.text(2) == LedgerSchema.userPrefix + name && row.integer(3) == amount.units && row.text(1) == reason ?? ""
        return isSame
          ? GrantWriting.repeated(transaction: row.text(0), balance: Amount(units: row.integer(4))) : .conflict
      }
      if let before { return before }
    }
    guard amount > .zero else { return .conflict }
    let account = try open(name, initial: initial, wall: wall)
    guard try canIssue(amount) else { return .overflow }
    let transaction = newTransaction(wall)
    let transfer = try insert(kind: .grant, transaction, wall, grant: (key: key ?? "", by: by, reason: reason ?? ""))
    let balance = try post(transfer, from: LedgerSchema.issuedAccount, to: account.row, amount)
    return .written(transaction: transaction, balance: balance)
  }

  // MARK: Parts

  /// All balances together are what was issued, so that no balance can be too large while that sum is not.
  private func canIssue(_ amount: Amount) throws(SQLiteError) -> Bool {
    let issued = try selectAccount.first([.text("edge/issued")]) { $0.integer(1) } ?? 0
    let (sum, overflow) = issued.subtractingReportingOverflow(amount.units)
    return !overflow && sum > Int64.min
  }

  /// The two postings of a transfer; returns the balance of the user's account, whichever side it is on.
  private func post(
    _ transfer: Int64, from giver: Int64, to taker: Int64, _ amount: Amount
  ) throws(SQLiteError) -> Amount {
    transfers += 1
    let given = try post(transfer, giver, -amount.units)
    let taken = try post(transfer, taker, amount.units)
    return Amount(units: giver == LedgerSchema.issuedAccount ? taken : given)
  }

  private func post(_ transfer: Int64, _ account: Int64, _ units: Int64) throws(SQLiteError) -> Int64 {
    try moveBalance.run([.integer(account), .integer(units)])
    let balance = try selectBalance.first([.integer(account)]) { $0.integer(0) } ?? 0
    try insertPosting.run([.integer(transfer), .integer(account), .integer(units), .integer(balance)])
    return balance
  }

  /// The row of a transfer that is no settlement.
  private func insert(
    kind: LedgerKind, _ transaction: String, _ wall: UInt64, grant: (key: String, by: String, reason: String)
  ) throws(SQLiteError) -> Int64 {
    var values: [SQLiteValue] = [.text(transaction), .text(kind.rawValue), .integer(Int64(clamping: wall))]
    values += Array(repeating: .null, count: 15)
    values += [.optional(grant.key), .optional(grant.by), .optional(grant.reason)]
    return try insertTransfer.insert(values) ?? 0
  }

  /// The row of a settlement. Its transaction is the attempt, which the access log names too.
  private static func values(_ settlement: Settlement, shortfall: Amount) -> [SQLiteValue] {
    let usage = settlement.usage
    return [
      .text(settlement.attempt.text), .text(LedgerKind.settlement.rawValue), .integer(Int64(clamping: settlement.wall)),
      .text(settlement.exchange.text), .text(settlement.attempt.text), .optional(settlement.requestID),
      .optional(settlement.route), .optional(settlement.provider), .optional(settlement.model),
      .text(settlement.cause.name.description), .integer(Int64(usage.source.rawValue)), .integer(usage.inputTokens),
      .integer(usage.cachedTokens), .integer(usage.cacheWriteTokens), .integer(usage.outputTokens),
      .integer(usage.reasoningTokens), .integer(settlement.held?.units ?? 0), .integer(shortfall.units), .null, .null,
      .null,
    ]
  }

  private func newTransaction(_ wall: UInt64) -> String { ULID(wall: wall, random: &random).text }
}

extension ULID {
  /// The 26 characters.
  var text: String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ULID.textCount) { area in
      guard let base = area.baseAddress else { return "" }
      var writer = ByteWriter(base: base, capacity: ULID.textCount)
      writer.append(self)
      return String(decoding: area, as: UTF8.self)
    }
  }
}
