import Foundation
import Testing

@testable import Edge

/// The ledger without a file: the same answers, at once, and gone with the process.
@Suite struct MemoryLedgerTests {
  @Test func keepsWhatWasCharged() throws {
    let running = try RunningLedger(nil)
    #expect(granted(running.grant("alice", 100, reason: "welcome"))?.balance == 100)
    let handle = try #require(running.hold("alice", 60)?.handle)
    let settlement = running.settlement(handle, held: 60, charge: 25)
    #expect(
      running.submit(settlement) == SettledCharge(charged: Amount(units: 25), shortfall: .zero, isWritten: true))
    let other = try #require(running.hold("alice", 70)?.handle)
    let short = running.settlement(other, held: 70, charge: 80, requestID: String(repeating: "x", count: 300))
    #expect(running.submit(short).shortfall == Amount(units: 5))
    #expect(running.balance("alice") == AccountBalance(0))
    let (entries, next) = running.history("alice")
    #expect(next == 0)
    #expect(entries.map(\.kind) == [.settlement, .settlement, .grant])
    #expect(entries.map(\.amount.units) == [-75, -25, 100])
    #expect(entries.map(\.balance.units) == [0, 75, 100])
    #expect(entries.map(\.shortfall.units) == [5, 0, 0])
    #expect(entries.map(\.transaction).prefix(2) == [short.attempt.text, settlement.attempt.text])
    #expect(entries.last?.reason == "welcome")
    #expect([entries[1].requestID, entries[1].provider, entries[1].model] == ["r", "openai", "gpt-4"])
    #expect(entries[1].usage == settlement.usage)
    #expect(entries[0].requestID == String(repeating: "x", count: 192), "of texts that are too long the end is missing")
    #expect([entries[0].provider, entries[0].model] == ["", ""])
    #expect(running.ledger.figures.transfers == 3)
    #expect(running.ledger.file == nil)
  }

  @Test func grantsOncePerKey() throws {
    let running = try RunningLedger(nil)
    let first = granted(running.grant("a", 100, key: "k", reason: "why"))
    #expect(first?.balance == 100)
    _ = running.grant("a", 1)
    let again = granted(running.grant("a", 100, key: "k", reason: "why"))
    #expect(again?.transaction == first?.transaction)
    #expect(again?.balance == 100, "the answer of the first time")
    #expect(running.balance("a") == AccountBalance(101))
    #expect(running.grant("b", 100, key: "k", reason: "why") == .conflict)
    #expect(running.grant("a", 101, key: "k", reason: "why") == .conflict)
    #expect(running.grant("a", 100, key: "k", reason: "other") == .conflict)
    #expect(running.grant("a", 0, key: "zero") == .conflict)
    #expect(running.grant("a", -5) == .conflict)
    #expect(granted(running.grant("a", 5))?.balance == 106)
    #expect(granted(running.grant("a", 5))?.balance == 111)
  }

  @Test func accountsBeginWithTheInitialCredits() throws {
    let running = try RunningLedger(nil)
    #expect(running.hold("a", 1) == .refused(available: .zero))
    #expect(running.balance("a") == AccountBalance(0))
    #expect(running.ledger.balances.accountCount == 0, "who has nothing gets no account for asking")
    #expect(running.hold("z", 0)?.handle != nil, "a hold of nothing needs one to stand on")
    running.ledger.setInitial(Amount(units: 1_000))
    #expect(running.balance("a") == AccountBalance(1_000))
    #expect(running.hold("b", 600)?.handle != nil)
    #expect(running.hold("b", 600) == .refused(available: Amount(units: 400)))
    #expect(granted(running.grant("c", 5))?.balance == 1_005)
    #expect(running.history("c").entries.map(\.kind) == [.grant, .initial])
    #expect(running.balance("z") == AccountBalance(0))
    #expect(running.balance("") == nil)
    #expect(running.grant(String(repeating: "x", count: 257), 1) == .unavailable)
  }

  /// No account goes for another one; who comes when it is full is told so.
  @Test func aFullTableRefuses() throws {
    let running = try RunningLedger(nil, initial: 10, accountsMax: 64)
    var held = 0
    for index in 0..<500 where running.hold("account \(index)", 1)?.handle != nil { held += 1 }
    #expect((1...128).contains(held))
    #expect(running.ledger.balances.accountCount == held)
    #expect(running.ledger.balances.evictionCount == 0)
    let full = try #require((0..<500).first { running.hold("account \($0)", 0) == .unavailable })
    #expect(running.grant("account \(full)", 1) == .unavailable)
    #expect(running.balance("account \(full)") == AccountBalance(0))
  }

  /// The newest entries stay; those of others do not show.
  @Test func keepsTheNewestEntries() throws {
    let running = try RunningLedger(nil)
    for units in 1...1_200 as ClosedRange<Int64> { _ = running.grant("a", units) }
    var amounts: [Int64] = []
    var before: Int64 = 0
    repeat {
      let page = running.history("a", before: before, limit: 100)
      amounts += page.entries.map(\.amount.units)
      before = page.next
    } while before > 0
    #expect(amounts == Array((689...1_200).reversed()))
    #expect(running.history("b").entries == [])
  }

  /// Nobody gets more than there is, and every entry continues the one before.
  @Test func manyThreads() throws {
    let running = try RunningLedger(nil)
    for name in ["a", "b"] { _ = running.grant(name, 150) }
    let ledger = running.ledger
    let made = Locked<[Settlement]>([])
    for _ in 0..<400 {
      let settlement = running.settlement(AccountHandle(index: 0, serial: 0), held: 1, charge: 1)
      made.withLock { $0.append(settlement) }
    }
    let charged = Locked(Int64(0))
    onThreads(
      (0..<8).map { number in
        {
          while var settlement = made.withLock({ $0.popLast() }) {
            let name = number % 2 == 0 ? "a" : "b"
            let outcome = Array(name.utf8).withUnsafeBufferPointer { ledger.hold($0, Amount(units: 1)) }
            guard case .granted(let handle, _) = outcome else { continue }
            settlement.account = handle
            let settled = ledger.settle(settlement, exchange: Handle(bits: 0), inbox: nil)
            charged.withLock { $0 += settled.charged.units }
          }
        }
      })
    var taken: Int64 = 0
    for name in ["a", "b"] {
      let entries = running.history(name).entries
      for (newer, older) in zip(entries, entries.dropFirst()) {
        #expect(newer.balance == older.balance.adding(newer.amount))
        #expect(newer.place > older.place)
      }
      taken += 150 - (entries.first?.balance.units ?? 0)
      #expect(running.balance(name)?.balance == entries.first?.balance)
    }
    #expect(charged.withLock { $0 } == taken)
    #expect(ledger.figures.transfers == Int(taken) + 2)
  }
}
