// The ledger's file: its tables by version, and how it is opened or refused.
//
// A version is never changed once it was released; the next one is another step. Called by the ledger when Edge starts.
// It writes nothing to a file that is not a ledger.
//
// The file belongs to one Edge at a time. SQLite's exclusive locking mode keeps a lock of the kernel on it from the
// first read to the end of the process, however it ends: a second Edge is refused, and so is every other program. (The
// kernel gives such locks back when the process closes any descriptor of the file: nothing else here may open it.)

import CSQLite
import Glibc

/// Why there is no ledger.
enum LedgerError: Error, Sendable, Equatable {
  case cannotOpen(path: String, reason: String)
  case notADatabase(path: String)
  /// A database of something else.
  case notALedger(path: String)
  case readOnly(path: String)
  /// Another process has it.
  case inUse(path: String)
  /// Made by a newer Edge.
  case newer(path: String, version: Int64, known: Int64)
  /// There is no memory for the table of balances, or no descriptor.
  case noMemory

  /// What an operator is told.
  var text: String {
    switch self {
    case .cannotOpen(let path, let reason): "the ledger \(path) cannot be opened: \(reason)"
    case .notADatabase(let path): "the ledger \(path) is no SQLite database"
    case .notALedger(let path): "\(path) is a database of something else, not a ledger"
    case .readOnly(let path): "the ledger \(path) cannot be written: its file, folder or file system is read-only"
    case .inUse(let path): "the ledger \(path) is in use by another process; one Edge at a time can have it"
    case .newer(let path, let version, let known):
      "the ledger \(path) has version \(version), this Edge knows \(known): it was written by a newer Edge"
    case .noMemory: "there is no memory or no file descriptor for the ledger"
    }
  }
}

/// Tables by version, and how a file gets them.
enum LedgerSchema {
  /// Marks a file as a ledger of Edge: "Edge" in ASCII.
  private static let applicationID: Int64 = 0x4564_6765

  /// Rows that every ledger begins with.
  static let revenueAccount: Int64 = 1
  static let issuedAccount: Int64 = 2
  /// Stands before the names of users' accounts.
  static let userPrefix = "user/"

  /// Step n leads from version n to version n + 1.
  static let steps = [firstStep, secondStep]

  /// Amounts are billionths of a credit, times wall nanoseconds. Every transfer has two postings whose sum is zero.
  private static let firstStep = """
    CREATE TABLE accounts (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      balance INTEGER NOT NULL,
      CHECK (balance >= 0 OR substr(name, 1, 5) <> 'user/')
    ) STRICT;
    INSERT INTO accounts (id, name, balance) VALUES (1, 'edge/revenue', 0), (2, 'edge/issued', 0);

    CREATE TABLE transfers (
      id INTEGER PRIMARY KEY,
      "transaction" TEXT NOT NULL,
      kind TEXT NOT NULL CHECK (kind IN ('initial', 'grant', 'settlement')),
      wall INTEGER NOT NULL,
      exchange TEXT, attempt TEXT, request_id TEXT, route TEXT, provider TEXT, model TEXT, cause TEXT,
      usage_source INTEGER, input_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER,
      output_tokens INTEGER, reasoning_tokens INTEGER,
      held INTEGER, shortfall INTEGER,
      idempotency_key TEXT UNIQUE, granted_by TEXT, reason TEXT,
      UNIQUE (exchange, attempt, kind)
    ) STRICT;

    CREATE TABLE postings (
      transfer INTEGER NOT NULL REFERENCES transfers (id),
      account INTEGER NOT NULL REFERENCES accounts (id),
      amount INTEGER NOT NULL,
      balance_after INTEGER NOT NULL,
      PRIMARY KEY (account, transfer)
    ) STRICT, WITHOUT ROWID;

    CREATE TRIGGER transfers_keep BEFORE UPDATE ON transfers BEGIN SELECT raise(ABORT, 'transfers are immutable'); END;
    CREATE TRIGGER transfers_stay BEFORE DELETE ON transfers BEGIN SELECT raise(ABORT, 'transfers are immutable'); END;
    CREATE TRIGGER postings_keep BEFORE UPDATE ON postings BEGIN SELECT raise(ABORT, 'postings are immutable'); END;
    CREATE TRIGGER postings_stay BEFORE DELETE ON postings BEGIN SELECT raise(ABORT, 'postings are immutable'); END;
    CREATE TRIGGER accounts_stay BEFORE DELETE ON accounts BEGIN SELECT raise(ABORT, 'accounts are kept'); END;
    """

  /// One row for a transfer with both of its sides: `amount` is what `account`, a user's, got or gave (below zero), and
  /// `contra`, an account of Edge, gave or got as much. Nothing else changes with a transfer but the user's account, so
  /// that many transfers of a batch touch few pages. An account's transfers are a chain: `last` is the newest one,
  /// `previous` the one before. What Edge's accounts have is the sum of their postings and stands nowhere: it may be
  /// more than 64 bits can count. (SQLite would make a table of its own for each row to look a value up among three.)
  private static let secondStep = """
    DROP TRIGGER transfers_keep; DROP TRIGGER transfers_stay; DROP TRIGGER postings_keep; DROP TRIGGER postings_stay;
    DROP TRIGGER accounts_stay;
    ALTER TABLE accounts RENAME TO old_accounts;
    ALTER TABLE transfers RENAME TO old_transfers;
    ALTER TABLE postings RENAME TO old_postings;

    CREATE TABLE accounts (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      balance INTEGER CHECK (balance >= 0),
      last INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE transfers (
      id INTEGER PRIMARY KEY,
      "transaction" TEXT NOT NULL UNIQUE,
      kind TEXT NOT NULL CHECK (kind = 'settlement' OR kind = 'initial' OR kind = 'grant'),
      account INTEGER NOT NULL REFERENCES accounts (id),
      contra INTEGER NOT NULL REFERENCES accounts (id),
      amount INTEGER NOT NULL,
      balance_after INTEGER NOT NULL,
      previous INTEGER NOT NULL,
      wall INTEGER NOT NULL,
      exchange TEXT, request_id TEXT, route TEXT, provider TEXT, model TEXT, cause TEXT,
      usage_source INTEGER, input_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER,
      output_tokens INTEGER, reasoning_tokens INTEGER,
      held INTEGER, shortfall INTEGER
    ) STRICT;
    CREATE TABLE grants (
      transfer INTEGER PRIMARY KEY REFERENCES transfers (id),
      idempotency_key TEXT UNIQUE, granted_by TEXT, reason TEXT
    ) STRICT;

    INSERT INTO transfers
      SELECT t.id, t."transaction", t.kind, p.account,
        CASE t.kind WHEN 'settlement' THEN \(revenueAccount) ELSE \(issuedAccount) END, p.amount, p.balance_after,
        coalesce(lag(t.id) OVER (PARTITION BY p.account ORDER BY t.id), 0), t.wall, t.exchange, t.request_id, t.route,
        t.provider, t.model, t.cause, t.usage_source, t.input_tokens, t.cached_tokens, t.cache_write_tokens,
        t.output_tokens, t.reasoning_tokens, t.held, t.shortfall
      FROM old_transfers t JOIN old_postings p ON p.transfer = t.id
      WHERE p.account NOT IN (\(revenueAccount), \(issuedAccount))
      ORDER BY t.id;
    INSERT INTO grants SELECT id, idempotency_key, granted_by, reason FROM old_transfers WHERE kind = 'grant';
    INSERT INTO accounts
      SELECT a.id, a.name, CASE WHEN a.id IN (\(revenueAccount), \(issuedAccount)) THEN NULL ELSE a.balance END,
        coalesce((SELECT max(p.transfer) FROM old_postings p
          WHERE p.account = a.id AND a.id NOT IN (\(revenueAccount), \(issuedAccount))), 0)
      FROM old_accounts a;
    DROP TABLE old_postings; DROP TABLE old_transfers; DROP TABLE old_accounts;

    CREATE VIEW postings AS
      SELECT id AS transfer, account, amount, balance_after FROM transfers
      UNION ALL SELECT id, contra, -amount, NULL FROM transfers;
    CREATE TRIGGER transfers_keep BEFORE UPDATE ON transfers BEGIN SELECT raise(ABORT, 'transfers are immutable'); END;
    CREATE TRIGGER transfers_stay BEFORE DELETE ON transfers BEGIN SELECT raise(ABORT, 'transfers are immutable'); END;
    CREATE TRIGGER grants_keep BEFORE UPDATE ON grants BEGIN SELECT raise(ABORT, 'grants are immutable'); END;
    CREATE TRIGGER grants_stay BEFORE DELETE ON grants BEGIN SELECT raise(ABORT, 'grants are immutable'); END;
    CREATE TRIGGER accounts_stay BEFORE DELETE ON accounts BEGIN SELECT raise(ABORT, 'accounts are kept'); END;
    """

  /// A ledger of the newest version, locked for this process. `steps` differ in tests only.
  static func open(
    path: String, durability: Durability, steps: [String] = LedgerSchema.steps
  ) throws(LedgerError) -> LedgerDatabase {
    makeFile(path)
    do {
      let database = try LedgerDatabase(path: path)
      if database.isReadOnly { throw LedgerError.readOnly(path: path) }
      try database.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
      let version = try database.number("PRAGMA user_version")
      // Looked at before anything is written: it may be somebody else's.
      let isEmpty = try database.number("SELECT count(*) FROM sqlite_schema") == 0
      if try database.number("PRAGMA application_id") != applicationID, !isEmpty || version != 0 {
        throw LedgerError.notALedger(path: path)
      }
      if version > Int64(steps.count) {
        throw LedgerError.newer(path: path, version: version, known: Int64(steps.count))
      }
      if version < 0 { throw LedgerError.notALedger(path: path) }
      for step in steps[Int(version)...] { try database.execute(step) }
      if version < Int64(steps.count) {
        try database.execute("PRAGMA application_id = \(applicationID); PRAGMA user_version = \(steps.count)")
      }
      try database.execute("COMMIT")
      try setUp(database, durability)
      return database
    } catch let error as LedgerError {
      throw error
    } catch let error as SQLiteError {
      throw refusal(error, path: path)
    } catch {
      throw .cannotOpen(path: path, reason: "\(error)")
    }
  }

  /// Write-ahead log: a commit is one append and, when strict, one flush. References are looked at by `LedgerCheck`,
  /// not with every row: nobody but the ledger writes here.
  private static func setUp(_ database: LedgerDatabase, _ durability: Durability) throws(SQLiteError) {
    _ = try database.prepare("PRAGMA journal_mode = WAL").first([]) { $0.text(0) }
    try database.execute(
      """
      PRAGMA synchronous = \(durability == .strict ? "FULL" : "NORMAL");
      PRAGMA journal_size_limit = \(16 << 20)
      """)
  }

  /// A new file is its owner's alone. One that is there is not touched: closing it would lose the process's locks.
  private static func makeFile(_ path: String) {
    if access(path, F_OK) == 0 { return }
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if descriptor >= 0 { _ = close(descriptor) }
  }

  private static func refusal(_ error: SQLiteError, path: String) -> LedgerError {
    switch error.primary {
    case SQLITE_NOTADB: .notADatabase(path: path)
    case SQLITE_BUSY, SQLITE_LOCKED: .inUse(path: path)
    case SQLITE_READONLY: .readOnly(path: path)
    case SQLITE_NOMEM: .noMemory
    default: .cannotOpen(path: path, reason: error.message)
    }
  }
}
