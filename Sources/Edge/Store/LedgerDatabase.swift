// SQLite as the ledger uses it: one connection that one thread at a time uses, statements prepared once, errors typed.
//
// Called by the ledger's other files only. It knows no accounts and no amounts. Texts are copied in and out, so nothing
// here leads to memory of SQLite's.

import CSQLite

/// What SQLite says when something failed.
struct SQLiteError: Error, Sendable, Equatable {
  /// SQLite's extended result code.
  let code: Int32
  let message: String

  /// The code without its extension.
  var primary: Int32 { code & 0xff }
  /// What was to be written stands there already.
  var isDuplicate: Bool { code == SQLiteError.constraintUnique }

  /// SQLITE_CONSTRAINT_UNIQUE, which is no plain number in SQLite's header.
  private static let constraintUnique = SQLITE_CONSTRAINT | (8 << 8)
}

/// What a statement is given.
enum SQLiteValue {
  case integer(Int64)
  case text(String)
  case null

  /// NULL for an empty text.
  static func optional(_ text: String) -> SQLiteValue { text.isEmpty ? .null : .text(text) }
}

/// A connection.
final class LedgerDatabase {
  private var handle: OpaquePointer?

  /// How long another process is awaited that has the file locked.
  private static let busyMilliseconds: Int32 = 250

  /// SQLite would count every piece of memory under a lock of the process; nobody asks for these counts. To be said
  /// before its first use.
  private static let isPrepared = edge_sqlite_forget_memory() == SQLITE_OK

  /// Opens a file, which is made when it is not there. SQLite's own locks are off, for one thread at a time comes here.
  init(path: String, mayWrite: Bool = true) throws(SQLiteError) {
    _ = LedgerDatabase.isPrepared
    let access = mayWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY
    let flags = access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    if code != SQLITE_OK {
      let message = handle == nil ? "out of memory" : String(cString: sqlite3_errmsg(handle))
      sqlite3_close_v2(handle)
      handle = nil
      throw SQLiteError(code: code, message: message)
    }
    sqlite3_busy_timeout(handle, LedgerDatabase.busyMilliseconds)
    // No SQL can corrupt the file or rewrite its schema from now on.
    _ = edge_sqlite_defend(handle)
  }

  deinit { close() }

  /// Ends the connection. Statements that are still prepared fail from now on and keep nothing open.
  func close() {
    sqlite3_close_v2(handle)
    handle = nil
  }

  /// Whether the file can only be read.
  var isReadOnly: Bool { sqlite3_db_readonly(handle, "main") == 1 }

  var isInTransaction: Bool { handle != nil && sqlite3_get_autocommit(handle) == 0 }

  /// Runs statements that take and bring nothing.
  func execute(_ sql: String) throws(SQLiteError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    if code != SQLITE_OK { throw error(code) }
  }

  func prepare(_ sql: String) throws(SQLiteError) -> LedgerStatement {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw error(code) }
    return LedgerStatement(statement, of: self)
  }

  /// The first column of the first row, as a whole number; 0 when there is no row.
  func number(_ sql: String) throws(SQLiteError) -> Int64 {
    try prepare(sql).first([]) { $0.integer(0) } ?? 0
  }

  /// The row that the last INSERT has made.
  fileprivate var insertedRow: Int64 { sqlite3_last_insert_rowid(handle) }

  /// The error of the last call, which returned this code.
  fileprivate func error(_ code: Int32) -> SQLiteError {
    guard handle != nil else { return SQLiteError(code: SQLITE_MISUSE, message: "the ledger is closed") }
    return SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)))
  }
}

/// A prepared statement. It keeps its connection.
final class LedgerStatement {
  private var handle: OpaquePointer?
  private let database: LedgerDatabase

  fileprivate init(_ handle: OpaquePointer, of database: LedgerDatabase) {
    self.handle = handle
    self.database = database
  }

  deinit { finalize() }

  /// Gives it back before its connection ends.
  func finalize() {
    sqlite3_finalize(handle)
    handle = nil
  }

  /// Runs it to its end and calls `row` for every row.
  func run(_ values: [SQLiteValue] = [], _ row: (LedgerStatement) -> Void = { _ in }) throws(SQLiteError) {
    defer { sqlite3_reset(handle) }
    for (index, value) in values.enumerated() { try bind(Int32(index + 1), value) }
    while true {
      let code = sqlite3_step(handle)
      if code == SQLITE_DONE { return }
      guard code == SQLITE_ROW else { throw database.error(code) }
      row(self)
    }
  }

  /// Runs it to its end with what `bind` gives it, without copies: texts stay where they are until this returns.
  func run(_ bind: (inout SQLiteBinder) -> Void) throws(SQLiteError) {
    defer { sqlite3_reset(handle) }
    var binder = SQLiteBinder(handle)
    bind(&binder)
    let code = binder.code == SQLITE_OK ? sqlite3_step(handle) : binder.code
    if code != SQLITE_DONE { throw database.error(code) }
  }

  /// Runs it to its end; what `row` makes of the first row, nil when there is none.
  func first<Result>(_ values: [SQLiteValue], _ row: (LedgerStatement) -> Result) throws(SQLiteError) -> Result? {
    var found: Result?
    try run(values) { if found == nil { found = row($0) } }
    return found
  }

  /// Runs an INSERT of one row; its place.
  func insert(_ values: [SQLiteValue]) throws(SQLiteError) -> Int64 {
    try run(values)
    return database.insertedRow
  }

  /// The same without copies.
  func insert(_ bind: (inout SQLiteBinder) -> Void) throws(SQLiteError) -> Int64 {
    try run(bind)
    return database.insertedRow
  }

  /// A column of the current row; 0 for NULL.
  func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

  /// A column of the current row; empty for NULL.
  func text(_ column: Int32) -> String {
    guard let bytes = sqlite3_column_text(handle, column) else { return "" }
    let count = Int(sqlite3_column_bytes(handle, column))
    return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  private func bind(_ index: Int32, _ value: SQLiteValue) throws(SQLiteError) {
    let code: Int32
    switch value {
    case .integer(let number): code = sqlite3_bind_int64(handle, index, number)
    case .null: code = sqlite3_bind_null(handle, index)
    case .text(var text):
      code = text.withUTF8 { bytes in
        // No pointer would mean NULL.
        guard let start = bytes.baseAddress else { return edge_sqlite_bind_text(handle, index, "", 0) }
        let characters = UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
        return edge_sqlite_bind_text(handle, index, characters, Int32(clamping: bytes.count))
      }
    }
    if code != SQLITE_OK { throw database.error(code) }
  }
}

/// Gives a statement its parameters, one after the other.
struct SQLiteBinder {
  private let handle: OpaquePointer?
  private var index: Int32 = 0
  /// The first thing that went wrong.
  private(set) var code = SQLITE_OK

  fileprivate init(_ handle: OpaquePointer?) { self.handle = handle }

  mutating func integer(_ number: Int64) {
    index += 1
    note(sqlite3_bind_int64(handle, index, number))
  }

  mutating func text(_ text: StaticBytes) {
    index += 1
    let characters = UnsafeRawPointer(text.start).assumingMemoryBound(to: CChar.self)
    note(edge_sqlite_bind_kept(handle, index, characters, Int32(clamping: text.count)))
  }

  /// NULL for an empty text.
  mutating func optional(_ text: StaticBytes) { text.count > 0 ? self.text(text) : null() }

  mutating func null() {
    index += 1
    note(sqlite3_bind_null(handle, index))
  }

  private mutating func note(_ code: Int32) { if self.code == SQLITE_OK { self.code = code } }
}
