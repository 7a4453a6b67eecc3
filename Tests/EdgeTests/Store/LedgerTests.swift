import Foundation
import Testing

@testable import Edge

@Suite struct LedgerTests {
  @Test func keepsWhatWasCharged() throws {
    let folder = LedgerFolder()
    var transaction = ""
    do {
      let running = try RunningLedger(folder.file)
      #expect(granted(running.grant("alice", 100, reason: "welcome"))?.balance == 100)
      let handle = try #require(running.hold("alice", 60)?.handle)
      let settlement = running.settlement(handle, held: 60, charge: 25)
      transaction = settlement.attempt.text
      #expect(
        running.submit(settlement) == SettledCharge(charged: Amount(units: 25), shortfall: .zero, isWritten: false))
      #expect(running.next()?.answer == .balance(AccountBalance(75)))
      running.end()
      #expect(running.ledger.figures.queueLength == 0)
      #expect(running.ledger.figures.transfers == 2)
    }
    #expect(access(folder.file + "-wal", F_OK) != 0, "everything stands in the file")
    #expect(LedgerCheck.verify(path: folder.file) == [])
    #expect((try folder.sql("SELECT sum(amount) FROM postings WHERE account = 1")) == "25", "Edge's revenue")
    #expect((try folder.sql("SELECT sum(amount) FROM postings WHERE account = 2")) == "-100", "what Edge has issued")
    #expect((try folder.sql("SELECT sum(amount) FROM postings")) == "0")
    let running = try RunningLedger(folder.file)
    #expect(running.balance("alice") == AccountBalance(75))
    let (entries, next) = running.history("alice")
    #expect(next == 0)
    #expect(entries.map(\.kind) == [.settlement, .grant])
    #expect(entries.map(\.amount.units) == [-25, 100])
    #expect(entries.map(\.balance.units) == [75, 100])
    let first = try #require(entries.first)
    #expect(first.transaction == transaction)
    #expect([first.requestID, first.provider, first.model] == ["r", "openai", "gpt-4"])
    let usage = Usage(
      source: .reported, inputTokens: 11, cachedTokens: 2, cacheWriteTokens: 3, outputTokens: 7, reasoningTokens: 5)
    #expect(first.usage == usage)
    #expect(entries.last?.reason == "welcome")
  }

  @Test func writesTheShortfall() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 100)
    let handle = try #require(running.hold("a", 30)?.handle)
    let other = try #require(running.hold("a", 50)?.handle)
    let (charge, balance) = running.settle(running.settlement(handle, held: 30, charge: 80))
    #expect(charge.charged == Amount(units: 50))
    #expect(charge.shortfall == Amount(units: 30))
    #expect(balance == AccountBalance(50, held: 50))
    #expect(running.settle(running.settlement(other, held: 50, charge: 50)).balance == AccountBalance(0))
    #expect(running.history("a").entries.map(\.shortfall.units) == [0, 30, 0])
    running.end()
    #expect(LedgerCheck.verify(path: folder.file) == [])
  }

  @Test func chargesAnAttemptOnce() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 100)
    let handle = try #require(running.hold("a", 20)?.handle)
    let settlement = running.settlement(handle, held: 20, charge: 20)
    running.settle(settlement)
    #expect(running.settle(settlement).balance == AccountBalance(80))
    #expect(running.balance("a") == AccountBalance(80))
    #expect(running.history("a").entries.count == 2)
  }

  @Test func grantsOncePerKey() throws {
    let folder = LedgerFolder()
    var first: (transaction: String, balance: Int64)?
    do {
      let running = try RunningLedger(folder.file)
      first = granted(running.grant("a", 100, key: "k", reason: "why"))
      #expect(first?.balance == 100)
      _ = running.grant("a", 1)
      #expect(granted(running.grant("a", 100, key: "k", reason: "why"))?.transaction == first?.transaction)
      #expect(running.balance("a") == AccountBalance(101), "the repetition adds nothing")
    }
    let running = try RunningLedger(folder.file)
    let again = granted(running.grant("a", 100, key: "k", reason: "why"))
    #expect(again?.transaction == first?.transaction)
    #expect(again?.balance == 100, "the answer of the first time")
    #expect(running.grant("b", 100, key: "k", reason: "why") == .conflict)
    #expect(running.grant("a", 101, key: "k", reason: "why") == .conflict)
    #expect(running.grant("a", 100, key: "k", reason: "other") == .conflict)
    #expect(running.grant("a", 100, key: "k") == .conflict)
    #expect(running.grant("a", 0, key: "zero") == .conflict)
    #expect(running.grant("a", -5) == .conflict)
    // Without a key each is its own.
    #expect(granted(running.grant("a", 5))?.balance == 106)
    #expect(granted(running.grant("a", 5))?.balance == 111)
    running.end()
    #expect(LedgerCheck.verify(path: folder.file) == [])
  }

  /// Two of the same key in one transaction.
  @Test func grantsOncePerKeyInOneBatch() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    let request = LedgerRequest.grant(account: "a", Amount(units: 10), by: "x", key: "k", reason: nil)
    for _ in 0..<20 { #expect(running.submit(request) == nil) }
    let answers = (0..<20).map { _ in granted(running.next()?.answer)?.transaction }
    #expect(Set(answers).count == 1)
    #expect(answers.first != .some(nil))
    #expect(running.balance("a") == AccountBalance(10))
  }

  /// Each account has the bound of an amount; all of them together may have more.
  @Test(arguments: [true, false]) func refusesMoreThanAnAmountCanBe(inMemory: Bool) throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(inMemory ? nil : folder.file, initial: 10)
    #expect(running.balance("a") == AccountBalance(10))
    #expect(granted(running.grant("a", .max - 20)) != nil)
    #expect(running.grant("a", 11) == .overflow)
    #expect(granted(running.grant("a", 10))?.balance == .max)
    #expect(running.grant("a", 1) == .overflow)
    #expect(granted(running.grant("b", .max - 10))?.balance == .max)
    running.end()
    if !inMemory { #expect(LedgerCheck.verify(path: folder.file) == []) }
  }

  @Test func newAccountsBeginWithTheInitialCredits() throws {
    let folder = LedgerFolder()
    do {
      let running = try RunningLedger(folder.file)
      #expect(running.hold("a", 1) == .refused(available: .zero))
      #expect(running.balance("a") == AccountBalance(0))
      #expect(running.history("a").entries == [])
      #expect(running.ledger.figures.commits == 0, "who has nothing gets no entry for asking")
      running.ledger.setInitial(Amount(units: 1_000))
      #expect(running.balance("a") == AccountBalance(1_000))
      #expect(running.hold("b", 600)?.handle != nil)
      #expect(running.hold("b", 600) == .refused(available: Amount(units: 400)))
      #expect(granted(running.grant("c", 5))?.balance == 1_005)
      running.ledger.setInitial(Amount(units: 7))
    }
    let running = try RunningLedger(folder.file, initial: 9)
    #expect(running.balance("a") == AccountBalance(1_000))
    #expect(running.balance("d") == AccountBalance(9))
    #expect(running.history("c").entries.map(\.kind) == [.grant, .initial])
    running.end()
    #expect(LedgerCheck.verify(path: folder.file) == [])
  }

  @Test func aHoldOfNothingNeedsNoCredits() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    let handle = try #require(running.hold("a", 0)?.handle)
    #expect(running.settle(running.settlement(handle, held: 0, charge: 0)).balance == AccountBalance(0))
    #expect(running.history("a").entries.map(\.amount.units) == [0])
    running.end()
    #expect(LedgerCheck.verify(path: folder.file) == [])
  }

  @Test(arguments: [true, false]) func historyByPages(inMemory: Bool) throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(inMemory ? nil : folder.file)
    for units in 1...25 as ClosedRange<Int64> {
      _ = running.grant("a", units)
      _ = running.grant("b", 1)
    }
    var seen: [Int64] = []
    var sizes: [Int] = []
    var before: Int64 = 0
    repeat {
      let page = running.history("a", before: before, limit: 10)
      seen += page.entries.map(\.amount.units)
      sizes.append(page.entries.count)
      if page.next != 0 { #expect(page.next == page.entries.last?.place) }
      before = page.next
    } while before > 0
    #expect(seen == (1...25).reversed())
    #expect(sizes == [10, 10, 5])
    let exact = running.history("a", limit: 25)
    #expect(exact.entries.count == 25)
    #expect(exact.next == 0)
    #expect(running.history("a", limit: 0).entries.count == 1)
    #expect(running.history("nobody").entries == [])
    for _ in 0..<200 { _ = running.grant("a", 1) }
    #expect(running.history("a", limit: 5_000).entries.count == 200)
  }

  @Test func namesAreAnyText() throws {
    let folder = LedgerFolder()
    let names = ["edge/issued", "user/x", "x", "a'; DROP TABLE accounts", "ä\u{0}b", "ä\u{0}c", "A", "a"]
    do {
      let running = try RunningLedger(folder.file)
      for (index, name) in names.enumerated() { _ = running.grant(name, Int64(index + 1)) }
    }
    let running = try RunningLedger(folder.file)
    for (index, name) in names.enumerated() { #expect(running.balance(name) == AccountBalance(Int64(index + 1))) }
    #expect(running.ask(.balance(account: "")) == .unavailable)
    #expect(running.grant(String(repeating: "x", count: 257), 1) == .unavailable)
  }

  /// Twice as many accounts as memory has room for, in use at random.
  @Test(arguments: [1, 2] as [UInt64], [Durability.strict, .relaxed])
  func doubleEntryHolds(seed: UInt64, durability: Durability) throws {
    let folder = LedgerFolder()
    var random = SeededGenerator(seed: seed)
    var balances: [String: Int64] = [:]
    do {
      let running = try RunningLedger(folder.file, durability, initial: 500, accountsMax: 64)
      var holds: [(name: String, handle: AccountHandle, units: Int64)] = []
      for _ in 0..<1_500 {
        let name = "account \(random.below(128))"
        let units = Int64(random.below(300))
        switch random.below(5) {
        case 0: if granted(running.grant(name, units + 1)) != nil { balances[name, default: 500] += units + 1 }
        case 1, 2:
          let outcome = running.hold(name, units)
          if outcome != .unavailable { balances[name] = balances[name] ?? 500 }
          if let handle = outcome?.handle { holds.append((name, handle, units)) }
        default:
          guard holds.count > 20 else { continue }
          let hold = holds.remove(at: random.below(holds.count))
          let settled = running.settle(running.settlement(hold.handle, held: hold.units, charge: units))
          balances[hold.name, default: 0] -= settled.charge.charged.units
        }
      }
      #expect(running.ledger.balances.evictionCount > 100)
      for hold in holds { running.ledger.balances.release(hold.handle, hold.units) }
    }
    #expect(LedgerCheck.verify(path: folder.file) == [])
    let running = try RunningLedger(folder.file)
    for (name, balance) in balances { #expect(running.balance(name) == AccountBalance(balance)) }
    #expect(balances.count > 100)
  }

  /// More answers than an inbox has room for: they come as it is emptied.
  @Test func aFullInboxLosesNothing() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    let count = Limits.inboxMessages + 500
    for wait in 0..<count { #expect(running.submit(.balance(account: "a"), wait: UInt32(wait)) == nil) }
    // The ledger has done its part, and the rest waits there.
    while running.ledger.figures.queueLength > 0 { sched_yield() }
    var waits: Set<UInt32> = []
    for _ in 0..<count {
      let ticket = try #require(running.next())
      #expect(ticket.answer == .balance(AccountBalance(0)))
      waits.insert(ticket.wait)
    }
    #expect(waits.count == count)
  }

  /// Workers that hold and settle at once share commits, and nobody gets more than there is.
  @Test func manyThreads() throws {
    let folder = LedgerFolder()
    let running = try RunningLedger(folder.file)
    _ = running.grant("a", 100)
    #expect(running.balance("a") == AccountBalance(100), "it is in memory now")
    let ledger = running.ledger
    let charged = Locked(Int64(0))
    let made = Locked<[Settlement]>([])
    for _ in 0..<200 {
      let settlement = running.settlement(AccountHandle(index: 0, serial: 0), held: 1, charge: 1)
      made.withLock { $0.append(settlement) }
    }
    onThreads(
      (0..<8).map { _ in
        {
          while var settlement = made.withLock({ $0.popLast() }) {
            let outcome = Array("a".utf8).withUnsafeBufferPointer { ledger.hold($0, Amount(units: 1)) }
            guard case .granted(let handle, _) = outcome else { continue }
            settlement.account = handle
            let settled = ledger.settle(settlement, exchange: Handle(bits: 0), inbox: nil)
            charged.withLock { $0 += settled.charged.units }
          }
        }
      })
    #expect(charged.withLock { $0 } == 100)
    running.end()
    #expect(ledger.figures.transfers == 101)
    #expect(ledger.figures.queueLength == 0)
    #expect(LedgerCheck.verify(path: folder.file) == [])
  }
}
