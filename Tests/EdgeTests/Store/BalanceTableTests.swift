import Testing

@testable import Edge

extension BalanceTable {
  func hold(_ account: String, _ units: Int64) -> HoldOutcome {
    withBytes(account) { hold($0, Amount(units: units)) }
  }

  func balance(_ account: String) -> AccountBalance? { withBytes(account) { balance($0) } }

  @discardableResult
  func insert(_ account: String, _ units: Int64) -> Bool {
    withBytes(account) { insert($0, balance: Amount(units: units)) }
  }

  func add(_ account: String, _ units: Int64) { withBytes(account) { add($0, Amount(units: units)) } }

  func release(_ handle: AccountHandle, _ units: Int64) { release(handle, Amount(units: units)) }

  func settle(_ handle: AccountHandle, held: Int64, charge: Int64) -> [Int64] {
    let (charged, shortfall, _) = settle(handle, held: Amount(units: held), charge: Amount(units: charge))
    return [charged.units, shortfall.units]
  }

  private func withBytes<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    Array(text.utf8).withUnsafeBufferPointer(body)
  }
}

extension HoldOutcome {
  var handle: AccountHandle? {
    if case .granted(let handle, _) = self { return handle }
    return nil
  }
}

extension AccountBalance {
  init(_ balance: Int64, held: Int64 = 0) {
    self.init(balance: Amount(units: balance), held: Amount(units: held))
  }
}

@Suite struct BalanceTableTests {
  @Test func holdsWithinTheBalance() throws {
    let table = try #require(BalanceTable(accountsMax: 1_000))
    #expect(table.hold("a", 1) == .pending)
    #expect(table.balance("a") == nil)
    #expect(table.insert("a", 100))
    #expect(table.insert("a", 7), "it is here: no effect")
    #expect(table.balance("a") == AccountBalance(100))
    let first = try #require(table.hold("a", 60).handle)
    #expect(table.balance("a") == AccountBalance(100, held: 60))
    #expect(table.hold("a", 41) == .refused(available: Amount(units: 40)))
    #expect(table.hold("a", -1) == .refused(available: Amount(units: 40)))
    #expect(table.hold("a", .max) == .refused(available: Amount(units: 40)))
    #expect(table.hold("a", 40) == .granted(first, available: .zero))
    #expect(table.hold("a", 0) == .granted(first, available: .zero))
    #expect(table.name(of: first) == "a")
    table.release(first, 60)
    #expect(table.balance("a") == AccountBalance(100, held: 40))
    table.add("a", 5)
    table.add("b", 5)
    #expect(table.balance("a")?.available == Amount(units: 65))
    #expect(table.balance("b") == nil)
  }

  @Test func holdsAreRaisedAndKept() throws {
    let table = try #require(BalanceTable(accountsMax: 1))
    table.insert("a", 100)
    let held = try #require(table.hold("a", 30).handle)
    #expect(!table.raise(held, by: Amount(units: 71)) && !table.raise(held, by: Amount(units: -1)))
    #expect(table.balance("a") == AccountBalance(100, held: 30))
    #expect(table.raise(held, by: Amount(units: 70)) && table.raise(held, by: .zero))
    #expect(table.balance("a") == AccountBalance(100, held: 100))
    // A failed attempt has its entry, and what is held stays for the next one.
    let (charged, shortfall, _) = table.settle(held, held: nil, charge: .zero)
    #expect(charged == .zero && shortfall == .zero && table.balance("a") == AccountBalance(100, held: 100))
    _ = table.settle(held, held: Amount(units: 100), charge: Amount(units: 40))
    #expect(table.balance("a") == AccountBalance(60))
    #expect(!table.raise(AccountHandle(index: held.index, serial: held.serial &+ 1), by: .zero))
  }

  /// balance, held by others, held, charge; then charged, shortfall.
  @Test(
    arguments: [
      ([100, 0, 50, 20], [20, 0]), ([100, 0, 50, 50], [50, 0]), ([100, 0, 50, 0], [0, 0]),
      ([100, 0, 50, 70], [70, 0]), ([100, 0, 50, 100], [100, 0]), ([100, 0, 50, 130], [100, 30]),
      ([100, 30, 50, 70], [70, 0]), ([100, 30, 50, 75], [70, 5]), ([100, 50, 50, 60], [50, 10]),
      ([100, 100, 0, 9], [0, 9]), ([0, 0, 0, 0], [0, 0]), ([100, 0, 50, .max], [100, .max - 100]),
      ([100, 0, 50, -5], [0, 0]),
    ] as [([Int64], [Int64])])
  func settles(given: [Int64], wanted: [Int64]) throws {
    let table = try #require(BalanceTable(accountsMax: 1))
    table.insert("a", given[0])
    _ = table.hold("a", given[1])
    let handle = try #require(table.hold("a", given[2]).handle)
    #expect(table.settle(handle, held: given[2], charge: given[3]) == wanted)
    #expect(table.balance("a") == AccountBalance(given[0] - wanted[0], held: given[1]))
  }

  @Test func accountsInUseStay() throws {
    // One slot in each shard.
    let table = try #require(BalanceTable(accountsMax: 64))
    table.insert("kept", 100)
    let handle = try #require(table.hold("kept", 10).handle)
    func crowd() -> (placed: Int, refused: Int) {
      let placed = (0..<2_000).filter { table.insert("other \($0)", 1) }.count
      return (placed, 2_000 - placed)
    }
    // Those whose shard is the kept one's find no room; the 63 others change hands.
    #expect(crowd().refused > 0)
    #expect(table.balance("kept") == AccountBalance(100, held: 10))
    #expect(table.settle(handle, held: 10, charge: 4) == [4, 0])
    #expect(crowd().refused > 0, "a settlement waits to be written")
    #expect(table.balance("kept") == AccountBalance(96))
    table.written(handle)
    #expect(crowd().refused == 0)
    #expect(table.balance("kept") == nil)
    #expect(table.accountCount == 64)
    // The handle is stale: whoever stands there now is not touched.
    #expect(table.name(of: handle) == nil)
    #expect(table.balance(of: handle) == nil)
    #expect(table.settle(handle, held: 10, charge: 4) == [0, 4])
    table.release(handle, 10)
    table.written(handle)
    #expect(!(0..<2_000).contains { table.balance("other \($0)").map { $0 != AccountBalance(1) } ?? false })
    #expect(table.evictionCount > 2_000)
  }

  @Test func handlesOfNobody() throws {
    let table = try #require(BalanceTable(accountsMax: 64))
    for index in [-1, 0, 63, 64, .max] as [Int32] {
      #expect(table.name(of: AccountHandle(index: index, serial: 0)) == nil)
    }
    #expect(!table.insert("", 1))
    #expect(!table.insert(String(repeating: "x", count: 257), 1))
    #expect(table.insert(String(repeating: "x", count: 256), 1))
    #expect(table.balance(String(repeating: "x", count: 256)) == AccountBalance(1))
  }

  /// What the table says of an account is what happened to it, however often others took its place.
  @Test(arguments: [1, 2, 3] as [UInt64]) func againstAModel(seed: UInt64) throws {
    let table = try #require(BalanceTable(accountsMax: 64 * 4))
    var random = SeededGenerator(seed: seed)
    struct Model {
      var balance: Int64
      var holds: [(AccountHandle, Int64)] = []
      var unwritten: [AccountHandle] = []
      var held: Int64 { holds.reduce(0) { $0 + $1.1 } }
    }
    var models: [String: Model] = [:]
    var gone = 0
    for _ in 0..<40_000 {
      let name = "account \(random.below(500))"
      var model = models[name] ?? Model(balance: Int64(random.below(1_000)))
      defer { models[name] = model }
      if table.balance(name) == nil {
        if !model.holds.isEmpty || !model.unwritten.isEmpty { Issue.record("\(name) has gone while it was in use") }
        gone += 1
        if !table.insert(name, model.balance) { continue }
      }
      switch random.below(6) {
      case 0, 1:
        let amount = Int64(random.below(300))
        let outcome = table.hold(name, amount)
        let available = model.balance - model.held
        guard let handle = outcome.handle else {
          #expect(amount > available)
          #expect(outcome == .refused(available: Amount(units: available)))
          continue
        }
        #expect(amount <= available)
        model.holds.append((handle, amount))
      case 2, 3:
        guard let (handle, held) = model.holds.popLast() else { continue }
        let charge = Int64(random.below(400))
        let charged = min(charge, model.balance - model.held)
        #expect(table.settle(handle, held: held, charge: charge) == [charged, charge - charged])
        model.balance -= charged
        model.unwritten.append(handle)
      case 4:
        if let (handle, held) = model.holds.popLast() { table.release(handle, held) }
      default:
        while let handle = model.unwritten.popLast() { table.written(handle) }
        table.add(name, 50)
        model.balance += 50
      }
      #expect(table.balance(name) == AccountBalance(model.balance, held: model.held))
    }
    #expect(gone > 1_000)
  }

  @Test func eightThreadsOneAccount() throws {
    let table = try #require(BalanceTable())
    table.insert("a", 100)
    let granted = Locked(0)
    onThreads(
      (0..<8).map { _ in
        {
          let mine = (0..<25).filter { _ in table.hold("a", 1).handle != nil }.count
          granted.withLock { $0 += mine }
        }
      })
    #expect(granted.withLock { $0 } == 100)
    #expect(table.balance("a") == AccountBalance(100, held: 100))
  }

  /// Whatever is held, released and settled at once: what was charged is what is missing, and nothing stays held.
  @Test func eightThreadsManyAccounts() throws {
    let table = try #require(BalanceTable())
    for account in 0..<5 { table.insert("account \(account)", 10_000) }
    let charged = Locked([Int64](repeating: 0, count: 5))
    onThreads(
      (0..<8).map { thread in
        {
          var random = SeededGenerator(seed: UInt64(thread))
          for _ in 0..<5_000 {
            let account = random.below(5)
            let amount = Int64(random.below(40))
            guard let handle = table.hold("account \(account)", amount).handle else { continue }
            if random.below(3) == 0 {
              table.release(handle, amount)
            } else {
              let taken = table.settle(handle, held: amount, charge: Int64(random.below(60)))[0]
              charged.withLock { $0[account] += taken }
              table.written(handle)
            }
          }
        }
      })
    let totals = charged.withLock { $0 }
    for account in 0..<5 {
      #expect(table.balance("account \(account)") == AccountBalance(10_000 - totals[account]))
    }
  }
}
