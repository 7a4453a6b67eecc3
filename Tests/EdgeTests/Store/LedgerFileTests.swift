import Foundation
import Testing

@testable import Edge

/// How a ledger is opened, refused, and goes on when the disk does not.
@Suite struct LedgerFileTests {
  private func refusal(_ path: String, steps: [String] = LedgerSchema.steps) -> LedgerError? {
    do throws(LedgerError) {
      _ = try Ledger(path: path, durability: .strict, initial: .zero, log: nil, steps: steps)
      return nil
    } catch {
      #expect(!error.text.isEmpty)
      return error
    }
  }

  private static let later = "CREATE TABLE added (x INTEGER) STRICT; INSERT INTO added VALUES (5)"

  @Test func migrates() throws {
    let folder = LedgerFolder()
    do {
      let running = try RunningLedger(folder.file)
      _ = running.grant("a", 5)
    }
    #expect(try folder.sql("PRAGMA user_version") == "\(LedgerSchema.steps.count)")
    let steps = LedgerSchema.steps + [LedgerFileTests.later]
    do {
      let running = try RunningLedger(folder.file, steps: steps)
      #expect(running.balance("a") == AccountBalance(5))
    }
    #expect(try folder.sql("SELECT x FROM added") == "5")
    #expect(try folder.sql("PRAGMA user_version") == "\(steps.count)")
    // A version that this Edge does not know.
    let newer = LedgerError.newer(path: folder.file, version: Int64(steps.count), known: Int64(steps.count - 1))
    #expect(refusal(folder.file) == newer)
    #expect(newer.text.contains("version \(steps.count)"))
    #expect(refusal(folder.file, steps: steps) == nil)
  }

  @Test func aMigrationThatFailsChangesNothing() throws {
    let folder = LedgerFolder()
    #expect(refusal(folder.file) == nil)
    let broken = LedgerSchema.steps + [LedgerFileTests.later, "INSERT INTO nowhere VALUES (1)"]
    guard case .cannotOpen(_, let reason) = refusal(folder.file, steps: broken) else {
      Issue.record("opened")
      return
    }
    #expect(reason.contains("nowhere"))
    #expect(try folder.sql("SELECT count(*) FROM sqlite_schema WHERE name = 'added'") == "0")
    #expect(refusal(folder.file) == nil)
  }

  @Test func refusesWhatIsNoLedger() throws {
    let folder = LedgerFolder()
    #expect(FileManager.default.createFile(atPath: folder.file, contents: Data(repeating: 0x41, count: 5_000)))
    #expect(refusal(folder.file) == .notADatabase(path: folder.file))
    #expect(FileManager.default.contents(atPath: folder.file) == Data(repeating: 0x41, count: 5_000))
    unlink(folder.file)
    try folder.sql("CREATE TABLE others (x)")
    #expect(refusal(folder.file) == .notALedger(path: folder.file))
    guard case .cannotOpen = refusal(folder.path + "/nowhere/ledger.db") else {
      Issue.record("opened")
      return
    }
    guard case .cannotOpen = refusal(folder.path) else {
      Issue.record("opened")
      return
    }
  }

  /// A file that not even root can open for writing.
  private static let readOnly = "/sys/kernel/notes"

  @Test(.enabled(if: access(readOnly, F_OK) == 0)) func refusesWhatCannotBeWritten() {
    #expect(refusal(LedgerFileTests.readOnly) == .readOnly(path: LedgerFileTests.readOnly))
  }

  @Test func belongsToOneProcess() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 5)
    #expect(refusal(folder.file) == .inUse(path: folder.file))
    // A program of its own sees the lock of the kernel.
    let other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT 1 FROM accounts')"
    #expect(try outside("python3", "-c", other, folder.file) == 1)
    #expect(granted(running.grant("a", 5))?.balance == 10)
    running.end()
    #expect(try outside("python3", "-c", other, folder.file) == 0)
    #expect(refusal(folder.file) == nil)
    var status = stat()
    #expect(stat(folder.file, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
  }

  /// The files as they are between two commits, as if the process had been killed there.
  @Test func whatWasAnsweredIsInTheFile() throws {
    let folder = LedgerFolder()
    let copy = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 100)
    let handle = try #require(running.hold("a", 10)?.handle)
    let other = try #require(running.hold("a", 20)?.handle)
    running.settle(running.settlement(handle, held: 10, charge: 10))
    #expect(try outside("cp", folder.file, copy.file) == 0)
    #expect(try outside("cp", folder.file + "-wal", copy.file + "-wal") == 0)
    #expect(running.ledger.balances.balance(of: other) == AccountBalance(90, held: 20))
    #expect(LedgerCheck.verify(path: copy.file) == [])
    let after = try RunningLedger(copy.file)
    #expect(after.balance("a") == AccountBalance(90), "what was held is free again")
  }

  private func outside(_ arguments: String...) throws -> Int32 {
    let child = Process()
    child.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    child.arguments = arguments
    child.standardOutput = FileHandle.nullDevice
    child.standardError = FileHandle.nullDevice
    try child.run()
    child.waitUntilExit()
    return child.terminationStatus
  }

  @Test func entriesAreImmutable() throws {
    let folder = LedgerFolder()
    do {
      let running = try RunningLedger(folder.file)
      _ = running.grant("a", 5)
    }
    for change in [
      "UPDATE transfers SET wall = 0", "DELETE FROM transfers", "UPDATE grants SET reason = 'x'", "DELETE FROM grants",
      "DELETE FROM accounts", "UPDATE postings SET amount = 0", "DELETE FROM postings",
      "UPDATE accounts SET balance = -1 WHERE name = 'user/a'",
      "UPDATE accounts SET balance = 1.5 WHERE name = 'user/a'",
      "UPDATE accounts SET balance = 9223372036854775807 + balance WHERE name = 'user/a'",
    ] {
      #expect(throws: SQLiteError.self, "\(change)") { try folder.sql(change) }
    }
    #expect(LedgerCheck.verify(path: folder.file) == [])
  }

  /// Every rule of the check finds what it is for.
  @Test(
    arguments: [
      ("UPDATE accounts SET balance = 6 WHERE name = 'user/a'", "not that of the last transfer"),
      ("UPDATE accounts SET balance = NULL WHERE name = 'user/a'", "not that of the last transfer"),
      ("UPDATE accounts SET last = 0 WHERE name = 'user/a'", "not that of the last transfer"),
      ("UPDATE transfers SET amount = 4", "balance after a transfer"),
      ("UPDATE transfers SET balance_after = 6", "balance after a transfer"),
      ("UPDATE transfers SET previous = 1", "out of its account's chain"),
      ("UPDATE transfers SET contra = 1", "wrong side"),
      ("UPDATE transfers SET account = 1", "wrong side"),
      ("UPDATE transfers SET kind = 'settlement'", "wrong side"),
      ("DELETE FROM grants", "without its reasons"),
      ("DELETE FROM transfers", "lead nowhere"),
      ("UPDATE transfers SET account = 9", "lead nowhere"),
    ])
  func theCheckFinds(change: String, finding: String) throws {
    let folder = LedgerFolder()
    do {
      let running = try RunningLedger(folder.file)
      _ = running.grant("a", 5)
    }
    let database = try LedgerDatabase(path: folder.file)
    for trigger in ["transfers_keep", "transfers_stay", "grants_keep", "grants_stay"] {
      try database.execute("DROP TRIGGER \(trigger)")
    }
    try database.execute(change)
    database.close()
    #expect(LedgerCheck.verify(path: folder.file).contains { $0.contains(finding) })
  }

  /// A file of the first version, with two accounts, what they began with, a grant, charges and a shortfall.
  private static let firstVersion = """
    INSERT INTO accounts (id, name, balance) VALUES (3, 'user/a', 70), (4, 'user/b', 0);
    UPDATE accounts SET balance = 45 WHERE id = 1; UPDATE accounts SET balance = -115 WHERE id = 2;
    INSERT INTO transfers (id, "transaction", kind, wall) VALUES (1, 't1', 'initial', 10), (2, 't2', 'initial', 20);
    INSERT INTO transfers (id, "transaction", kind, wall, idempotency_key, granted_by, reason)
      VALUES (3, 't3', 'grant', 30, 'k', 'admin', 'why');
    INSERT INTO transfers (id, "transaction", kind, wall, exchange, attempt, request_id, route, provider, model, cause,
      usage_source, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, held, shortfall)
      VALUES (4, 't4', 'settlement', 40, 'e4', 't4', 'r4', 'chat', 'p', 'm', 'completed', 1, 11, 2, 3, 7, 5, 30, 0),
        (5, 't5', 'settlement', 50, 'e5', 't5', 'r5', 'chat', 'p', 'm', 'completed', 1, 1, 0, 0, 1, 0, 15, 4);
    INSERT INTO postings (transfer, account, amount, balance_after) VALUES (1, 3, 50, 50), (1, 2, -50, -50),
      (2, 4, 15, 15), (2, 2, -15, -65), (3, 3, 50, 100), (3, 2, -50, -115), (4, 3, -30, 70), (4, 1, 30, 30),
      (5, 4, -15, 0), (5, 1, 15, 45)
    """

  @Test func theFirstVersionGoesOn() throws {
    let folder = LedgerFolder()
    do {
      let steps = [LedgerSchema.steps[0]]
      let old = try LedgerSchema.open(path: folder.file, durability: .strict, steps: steps)
      try old.execute(LedgerFileTests.firstVersion)
      old.close()
    }
    do {
      let running = try RunningLedger(folder.file)
      #expect(running.balance("a") == AccountBalance(70))
      let (entries, _) = running.history("a")
      #expect(entries.map(\.transaction) == ["t4", "t3", "t1"])
      #expect(entries.map(\.amount.units) == [-30, 50, 50])
      #expect(entries.map(\.balance.units) == [70, 100, 50])
      #expect(entries.map(\.wall) == [40, 30, 10])
      #expect(entries.map(\.reason) == ["", "why", ""])
      let first = try #require(entries.first)
      #expect([first.requestID, first.provider, first.model] == ["r4", "p", "m"])
      #expect(
        first.usage
          == Usage(
            source: .reported, inputTokens: 11, cachedTokens: 2, cacheWriteTokens: 3, outputTokens: 7,
            reasoningTokens: 5))
      #expect(running.history("b").entries.map(\.shortfall.units) == [4, 0])
      #expect(granted(running.grant("a", 50, key: "k", reason: "why"))?.transaction == "t3")
      #expect(running.grant("b", 50, key: "k", reason: "why") == .conflict)
      let handle = try #require(running.hold("a", 10)?.handle)
      #expect(running.settle(running.settlement(handle, held: 10, charge: 10)).balance == AccountBalance(60))
    }
    #expect(LedgerCheck.verify(path: folder.file) == [])
    #expect(try folder.sql("SELECT sum(amount) FROM postings WHERE account = 1") == "55")
  }

  @Test func aFullDiskLosesNothing() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    let ledger = running.ledger
    let file = try #require(ledger.file)
    _ = running.grant("a", 1_000)
    let first = try #require(running.hold("a", 10)?.handle)
    let second = try #require(running.hold("a", 20)?.handle)
    file.bound(pages: 1)
    // Longer than the pages that are free: it needs new ones.
    let long = String(repeating: "x", count: 200_000)
    #expect(running.grant("a", 5, reason: long) == .unavailable)
    _ = running.submit(running.settlement(first, held: 10, charge: 10, requestID: long))
    _ = running.submit(running.settlement(second, held: 20, charge: 15))
    // An ask is answered while settlements wait.
    while !ledger.isFailing { #expect(running.ask(.history(account: "a", before: 0, limit: 1)) != nil) }
    #expect(running.ask(.balance(account: "a")) == .unavailable)
    #expect(running.hold("a", 1) == .unavailable)
    #expect(running.grant("b", 1) == .unavailable)
    #expect(ledger.figures.queueLength == 2)
    #expect(ledger.figures.failures > 0)
    file.bound(pages: 1 << 20)
    #expect(running.next()?.answer == .balance(AccountBalance(975)))
    #expect(running.next()?.answer == .balance(AccountBalance(975)))
    #expect(!ledger.isFailing)
    #expect(running.hold("a", 975)?.handle != nil)
    #expect(granted(running.grant("b", 1))?.balance == 1)
    running.end()
    #expect(LedgerCheck.verify(path: folder.file) == [])
    #expect(try folder.sql("SELECT balance FROM accounts WHERE name = 'user/a'") == "975")
  }

  /// Who comes at the same time shares a transaction, and its flush.
  @Test func manyShareATransaction() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 1_000_000)
    let before = running.ledger.figures.commits
    for _ in 0..<30 {
      for _ in 0..<16 {
        let handle = try #require(running.hold("a", 1)?.handle)
        _ = running.submit(running.settlement(handle, held: 1, charge: 1))
      }
      for _ in 0..<16 { #expect(running.next() != nil) }
    }
    #expect(running.ledger.figures.commits - before < 30 * 16 / 4)
    #expect(running.balance("a") == AccountBalance(1_000_000 - 30 * 16))
  }

  /// A grant alone failed: nothing waits, and the ledger finds out by itself that it can be written again.
  @Test func recoversWithoutWork() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 1)
    running.ledger.file?.bound(pages: 1)
    #expect(running.grant("a", 5, reason: String(repeating: "x", count: 200_000)) == .unavailable)
    while running.hold("a", 0) == .unavailable { sched_yield() }
    #expect(running.ledger.figures.failures > 0)
    #expect(running.balance("a") == AccountBalance(1))
  }

  @Test func endsAlthoughTheDiskIsFull() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 100)
    let handle = try #require(running.hold("a", 10)?.handle)
    running.ledger.file?.bound(pages: 1)
    let long = String(repeating: "x", count: 200_000)
    _ = running.submit(running.settlement(handle, held: 10, charge: 10, requestID: long))
    running.end(milliseconds: 200)
    #expect(running.next()?.answer == .unavailable)
    // Nobody is there any more.
    #expect(running.ask(.balance(account: "a")) == .unavailable)
    #expect(running.ledger.figures.queueLength == 0)
  }

  @Test func relaxedAnswersAtOnce() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file, .relaxed)
    _ = running.grant("a", 1_000)
    let handle = try #require(running.hold("a", 10)?.handle)
    running.ledger.file?.bound(pages: 1)
    let long = String(repeating: "x", count: 200_000)
    let charge = running.submit(running.settlement(handle, held: 10, charge: 10, requestID: long))
    #expect(charge.isWritten, "although it cannot be written")
    #expect(running.ledger.balances.balance(of: handle) == AccountBalance(990))
    running.ledger.file?.bound(pages: 1 << 20)
    running.end()
    #expect(LedgerCheck.verify(path: folder.file) == [])
    #expect(try folder.sql("SELECT balance FROM accounts WHERE name = 'user/a'") == "990")
  }

  @Test func inMemoryNothingIsLeft() throws {
    do {
      let running = try RunningLedger(nil, initial: 10)
      #expect(running.balance("a") == AccountBalance(10))
      #expect(granted(running.grant("a", 5))?.balance == 15)
    }
    let running = try RunningLedger(nil)
    #expect(running.balance("a") == AccountBalance(0))
  }
}
