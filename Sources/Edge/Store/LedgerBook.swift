// The ledger's file as accounts and transfers: every transfer moves an amount between an account of a user and one of
// Edge.
//
// Called by the ledger's thread only. It knows nothing of memory: what is held and not yet settled is the table's.
// Names of users' accounts stand behind "user/", so that no user can be named like an account of Edge.
//
// What users' accounts have is written once for each account and transaction, when it is committed: until then, and for
// the next transaction, it stands here.

/// An account in the file.
struct BookAccount: BitwiseCopyable, Equatable {
  let row: Int64
  var balance: Amount
  /// Its newest transfer; 0: it has none.
  var last: Int64
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
  /// Users' accounts by row, as the file has them with what was written since `begin`.
  private var known: [Int64: BookAccount] = [:]
  /// Those that something was written of since `begin`.
  private var moved: Set<Int64> = []

  private let begins, commits, insertTransfer, updateAccount: LedgerStatement
  private let selectNamed, selectAccount, insertAccount, selectGrant, insertGrant: LedgerStatement
  private let selectPrevious, selectTransfer, touchAccount: LedgerStatement

  /// Accounts that are kept here between two transactions.
  private static let knownMax = 1 << 16

  init(_ database: LedgerDatabase) throws(SQLiteError) {
    self.database = database
    begins = try database.prepare("BEGIN IMMEDIATE")
    commits = try database.prepare("COMMIT")
    insertTransfer = try database.prepare(
      """
      INSERT INTO transfers ("transaction", kind, account, contra, amount, balance_after, previous, wall,
        exchange, request_id, route, provider, model, cause, usage_source, input_tokens, cached_tokens,
        cache_write_tokens, output_tokens, reasoning_tokens, held, shortfall)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
      """)
    updateAccount = try database.prepare("UPDATE accounts SET balance = ?2, last = ?3 WHERE id = ?1")
    selectNamed = try database.prepare("SELECT id, balance, last FROM accounts WHERE name = ?1")
    selectAccount = try database.prepare("SELECT id, balance, last FROM accounts WHERE id = ?1")
    insertAccount = try database.prepare("INSERT INTO accounts (name, balance) VALUES (?1, 0)")
    selectGrant = try database.prepare(
      """
      SELECT t."transaction", g.reason, a.name, t.amount, t.balance_after
      FROM grants g JOIN transfers t ON t.id = g.transfer JOIN accounts a ON a.id = t.account
      WHERE g.idempotency_key = ?1
      """)
    insertGrant = try database.prepare(
      "INSERT INTO grants (transfer, idempotency_key, granted_by, reason) VALUES (?1, ?2, ?3, ?4)")
    selectPrevious = try database.prepare("SELECT previous FROM transfers WHERE id = ?1 AND account = ?2")
    selectTransfer = try database.prepare(
      """
      SELECT t.id, t."transaction", t.kind, t.amount, t.balance_after, t.wall, t.request_id, t.provider, t.model,
        t.usage_source, t.input_tokens, t.cached_tokens, t.cache_write_tokens, t.output_tokens, t.reasoning_tokens,
        t.shortfall, g.reason, t.previous
      FROM transfers t LEFT JOIN grants g ON g.transfer = t.id WHERE t.id = ?1
      """)
    // Changes a page without changing anything: whether the file can be written at all.
    touchAccount = try database.prepare(
      "UPDATE accounts SET balance = balance WHERE id = \(LedgerSchema.revenueAccount)")
  }

  // MARK: Transactions

  func begin() throws(SQLiteError) {
    transfers = 0
    if known.count > LedgerBook.knownMax { known.removeAll() }
    try begins.run()
  }

  func commit() throws(SQLiteError) {
    for row in moved {
      guard let account = known[row] else { continue }
      try updateAccount.run { values in
        values.integer(row)
        values.integer(account.balance.units)
        values.integer(account.last)
      }
    }
    try commits.run()
    moved.removeAll(keepingCapacity: true)
  }

  /// Forgets what was written since `begin`. Some errors have done so already.
  func rollback() {
    known.removeAll()
    moved.removeAll()
    if database.isInTransaction { try? database.execute("ROLLBACK") }
  }

  /// Writes without changing anything.
  func probe() throws(SQLiteError) { try touchAccount.run() }

  /// Pages that the file may have, for tests of a full disk.
  func bound(pages: Int64) throws(SQLiteError) { _ = try database.number("PRAGMA max_page_count = \(pages)") }

  /// Moves what stands in the write-ahead log into the file and ends the connection.
  func close() {
    _ = try? database.number("PRAGMA wal_checkpoint(TRUNCATE)")
    for statement in [
      begins, commits, insertTransfer, updateAccount, selectNamed, selectAccount, insertAccount, selectGrant,
      insertGrant, selectPrevious, selectTransfer, touchAccount,
    ] {
      statement.finalize()
    }
    database.close()
  }

  // MARK: Reading

  /// nil: the ledger has no such account.
  func account(_ name: String) throws(SQLiteError) -> BookAccount? {
    let found = try selectNamed.first([.text(LedgerSchema.userPrefix + name)], LedgerBook.account)
    return found.map { known[$0.row] ?? $0 }
  }

  private func account(_ row: Int64) throws(SQLiteError) -> BookAccount? {
    if let account = known[row] { return account }
    return try selectAccount.first([.integer(row)], LedgerBook.account)
  }

  private static func account(_ row: LedgerStatement) -> BookAccount {
    BookAccount(row: row.integer(0), balance: Amount(units: row.integer(1)), last: row.integer(2))
  }

  /// Entries below one of the account's (0: from the newest on), newest first, and below which the next ones are (0:
  /// there are none). Below an entry of somebody else there is nothing.
  func history(_ name: String, before: Int64, limit: Int) throws(SQLiteError) -> (entries: [LedgerEntry], next: Int64) {
    guard let account = try account(name) else { return ([], 0) }
    var place = account.last
    if before > 0 {
      place = try selectPrevious.first([.integer(before), .integer(account.row)]) { $0.integer(0) } ?? 0
    }
    var entries: [LedgerEntry] = []
    while place > 0, entries.count < min(max(1, limit), LedgerBook.historyMax) {
      let found = try selectTransfer.first([.integer(place)]) { (LedgerBook.entry($0), previous: $0.integer(17)) }
      guard let (entry, previous) = found else { break }
      entries.append(entry)
      place = previous
    }
    return (entries, place > 0 ? entries.last?.place ?? 0 : 0)
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
    if let account = try account(name) { return account }
    let row = try insertAccount.insert([.text(LedgerSchema.userPrefix + name)])
    var account = BookAccount(row: row, balance: .zero, last: 0)
    if initial > .zero { _ = try issue(.initial, initial, to: &account, wall) }
    return account
  }

  /// Writes what an attempt was charged, as the table had it, of the account in this row.
  func write(_ ticket: LedgerTicket, _ settlement: Settlement, row: Int64) throws(SQLiteError) -> SettlementWriting {
    guard var account = try account(row) else { return .stranger }
    let taken = min(ticket.charged, account.balance)
    let missing = Amount(units: ticket.charged.units - taken.units)
    let shortfall = ticket.shortfall.adding(missing) ?? ticket.shortfall
    account.balance = Amount(units: account.balance.units - taken.units)
    do throws(SQLiteError) {
      account.last = try insertTransfer.insert { values in
        // Its transaction is the attempt, which the access log names too.
        values.text(ticket.attempt)
        values.text(LedgerBook.settlementKind)
        values.integer(row)
        values.integer(LedgerSchema.revenueAccount)
        values.integer(-taken.units)
        values.integer(account.balance.units)
        values.integer(account.last)
        values.integer(Int64(clamping: settlement.wall))
        values.text(ticket.exchangeID)
        values.optional(settlement.requestID)
        values.optional(settlement.route)
        values.optional(settlement.provider)
        values.optional(settlement.model)
        values.text(StaticBytes(settlement.cause.name))
        LedgerBook.bind(settlement.usage, &values)
        values.integer(settlement.held?.units ?? 0)
        values.integer(shortfall.units)
      }
    } catch {
      if error.isDuplicate { return .duplicate }
      throw error
    }
    move(account)
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
    var account = try open(name, initial: initial, wall: wall)
    guard account.balance.adding(amount) != nil else { return .overflow }
    let transaction = try issue(.grant, amount, to: &account, wall)
    try insertGrant.run([
      .integer(account.last), .optional(key ?? ""), .optional(by), .optional(reason ?? ""),
    ])
    return .written(transaction: transaction, balance: account.balance)
  }

  // MARK: Parts

  private static let settlementKind = StaticBytes("settlement")

  /// Writes a transfer that makes credits; its transaction.
  private func issue(
    _ kind: LedgerKind, _ amount: Amount, to account: inout BookAccount, _ wall: UInt64
  ) throws(SQLiteError) -> String {
    let transaction = ULID(wall: wall, random: &random).text
    account.balance = Amount(units: account.balance.units + amount.units)
    let values: [SQLiteValue] = [
      .text(transaction), .text(kind.rawValue), .integer(account.row), .integer(LedgerSchema.issuedAccount),
      .integer(amount.units), .integer(account.balance.units), .integer(account.last), .integer(Int64(clamping: wall)),
    ]
    account.last = try insertTransfer.insert(values + Array(repeating: .null, count: 14))
    move(account)
    return transaction
  }

  private func move(_ account: BookAccount) {
    transfers += 1
    known[account.row] = account
    moved.insert(account.row)
  }

  private static func bind(_ usage: Usage, _ values: inout SQLiteBinder) {
    values.integer(Int64(usage.source.rawValue))
    values.integer(usage.inputTokens)
    values.integer(usage.cachedTokens)
    values.integer(usage.cacheWriteTokens)
    values.integer(usage.outputTokens)
    values.integer(usage.reasoningTokens)
  }
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
