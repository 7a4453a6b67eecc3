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
  static let steps = [firstStep]

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

  /// A ledger of the newest version, locked for this process. `steps` differ in tests only.
  static func open(
    path: String?, durability: Durability, steps: [String] = LedgerSchema.steps
  ) throws(LedgerError) -> LedgerDatabase {
    let name = path ?? "in memory"
    if let path { makeFile(path) }
    do {
      let database = try LedgerDatabase(path: path)
      if database.isReadOnly { throw LedgerError.readOnly(path: name) }
      try database.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
      let version = try database.number("PRAGMA user_version")
      // Looked at before anything is written: it may be somebody else's.
      let isEmpty = try database.number("SELECT count(*) FROM sqlite_schema") == 0
      if try database.number("PRAGMA application_id") != applicationID, !isEmpty || version != 0 {
        throw LedgerError.notALedger(path: name)
      }
      if version > Int64(steps.count) {
        throw LedgerError.newer(path: name, version: version, known: Int64(steps.count))
      }
      if version < 0 { throw LedgerError.notALedger(path: name) }
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
      throw refusal(error, path: name)
    } catch {
      throw .cannotOpen(path: name, reason: "\(error)")
    }
  }

  /// Write-ahead log: a commit is one append and, when strict, one flush.
  private static func setUp(_ database: LedgerDatabase, _ durability: Durability) throws(SQLiteError) {
    _ = try database.prepare("PRAGMA journal_mode = WAL").first([]) { $0.text(0) }
    try database.execute(
      """
      PRAGMA synchronous = \(durability == .strict ? "FULL" : "NORMAL");
      PRAGMA journal_size_limit = \(16 << 20);
      PRAGMA foreign_keys = ON
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
