// The balances of accounts in memory, for all workers: holding and settling credits costs a look-up here and no file.
//
// Owns: 64 shards of fixed size, each behind a lock that is held for a search and a few additions. The ledger knows the
// balances of all accounts; here are those that were touched lately, with what is held and what is not yet written.
// An account without either may go at any time for another one, unless there is no file. Called by every worker; only
// the ledger puts accounts in and adds to them. Never: writes a file, waits, or lets one fall below what is held of it.

import Glibc

/// One for the process.
final class BalanceTable: Sendable {
  /// Names of accounts: 1 to this many bytes.
  static let nameBytesMax = 256
  /// Accounts in memory, by default.
  static let accountsMax = 1 << 18

  private static let shardCount = 64
  /// Slots looked at under one lock when an account must go.
  private static let looks = 16

  private let shards: [Locked<BalanceShard>]
  private nonisolated(unsafe) let memory: UnsafeMutableRawPointer  // each shard's part is used under its lock
  private let memoryBytes: Int
  private let capacity: Int
  /// No account goes for another one: nobody else knows them.
  private let keepsAll: Bool
  private let hash = KeyedHash64()

  /// Room for as many accounts, rounded up to a power of two of at least one per shard; nil when the kernel has no
  /// address space for them.
  init?(accountsMax: Int = BalanceTable.accountsMax, keepsAll: Bool = false) {
    let wanted = max(1, (accountsMax + BalanceTable.shardCount - 1) / BalanceTable.shardCount)
    let capacity = 1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount)
    self.capacity = capacity
    self.keepsAll = keepsAll
    let count = BalanceTable.shardCount * capacity
    let slotBytes = count * MemoryLayout<AccountSlot>.stride
    memoryBytes = slotBytes + 2 * count * MemoryLayout<UInt32>.stride
    guard let memory = Pages.map(bytes: memoryBytes) else { return nil }
    self.memory = memory
    // Zeroed pages are slots without a name and empty places.
    let slots = memory.bindMemory(to: AccountSlot.self, capacity: count)
    let places = (memory + slotBytes).bindMemory(to: UInt32.self, capacity: 2 * count)
    shards = (0..<BalanceTable.shardCount).map {
      Locked(BalanceShard(slots: slots + $0 * capacity, places: places + 2 * $0 * capacity, capacity: capacity))
    }
  }

  deinit {
    for shard in shards {
      shard.withLock { for index in 0..<$0.used { $0.slots[index].name?.deallocate() } }
    }
    Pages.unmap(memory, bytes: memoryBytes)
  }

  // MARK: Anybody

  /// Sets credits aside when the account covers them. `.pending`: the ledger must be asked. The caller refuses negative
  /// amounts and names that are none.
  func hold(_ account: UnsafeBufferPointer<UInt8>, _ amount: Amount) -> HoldOutcome {
    let hash = hashed(account)
    let number = shardNumber(hash)
    return shards[number].withLock { shard in
      guard let index = shard.find(hash, account) else { return .pending }
      let slot = shard.slots + index
      let available = slot.pointee.available
      guard amount.units >= 0, amount.units <= available else { return .refused(available: Amount(units: available)) }
      slot.pointee.held += amount.units
      slot.pointee.holds += 1
      let handle = AccountHandle(index: Int32(number * capacity + index), serial: slot.pointee.serial)
      return .granted(handle, available: Amount(units: available - amount.units))
    }
  }

  /// nil: the account is not in memory.
  func balance(_ account: UnsafeBufferPointer<UInt8>) -> AccountBalance? {
    let hash = hashed(account)
    return shards[shardNumber(hash)].withLock { shard in
      shard.find(hash, account).map { BalanceTable.balance(shard.slots[$0]) }
    }
  }

  /// The same by handle; nil when it is stale.
  func balance(of handle: AccountHandle) -> AccountBalance? { at(handle) { BalanceTable.balance($0) } }

  /// The row of the account in the ledger; nil when the handle is stale.
  func row(of handle: AccountHandle) -> Int64? { at(handle) { $0.row } }

  /// The handle of an account; nil when it is not in memory. It lasts as long as something is held or not yet written,
  /// for good where no account goes.
  func handle(of account: UnsafeBufferPointer<UInt8>) -> AccountHandle? {
    let hash = hashed(account)
    let number = shardNumber(hash)
    return shards[number].withLock { shard in
      shard.find(hash, account).map {
        AccountHandle(index: Int32(number * capacity + $0), serial: shard.slots[$0].serial)
      }
    }
  }

  /// The account that a handle is for; nil when it is stale.
  func name(of handle: AccountHandle) -> String? {
    at(handle) { slot in
      let bytes = UnsafeBufferPointer(start: slot.name, count: Int(slot.nameCount))
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  /// Sets more aside for a hold that is there, when the account covers it.
  func raise(_ handle: AccountHandle, by more: Amount) -> Bool {
    at(handle) { slot in
      guard more.units >= 0, more.units <= slot.available else { return false }
      slot.held += more.units
      return true
    } ?? false
  }

  /// Gives a hold back: nothing is charged.
  func release(_ handle: AccountHandle, _ held: Amount) {
    at(handle) { BalanceTable.giveBack(&$0, held) }
  }

  /// Gives a hold back and takes the charge. What the hold does not cover comes from what is available, so that the
  /// holds of others stay covered; what is missing then is the shortfall. From now on the account waits for `written`.
  /// A stale handle is charged nothing. `held` is nil when the hold stays for what follows. `balance` is what is left.
  func settle(
    _ handle: AccountHandle, held: Amount?, charge: Amount
  ) -> (charged: Amount, shortfall: Amount, balance: Amount) {
    let wanted = max(0, charge.units)
    let settled: (charged: Int64, balance: Int64)? = at(handle) { slot in
      if let held { BalanceTable.giveBack(&slot, held) }
      let taken = min(wanted, slot.available)
      slot.balance -= taken
      if !keepsAll { slot.unwritten += 1 }
      return (taken, slot.balance)
    }
    let charged = settled?.charged ?? 0
    return (Amount(units: charged), Amount(units: wanted - charged), Amount(units: settled?.balance ?? 0))
  }

  // MARK: The ledger

  /// One settlement of the account stands in the ledger.
  func written(_ handle: AccountHandle) {
    at(handle) { if $0.unwritten > 0 { $0.unwritten -= 1 } }
  }

  /// Puts an account in, with what the ledger says and its row there; no effect when it is here. False: there is no
  /// room, for all accounts of its shard are in use.
  @discardableResult
  func insert(_ account: UnsafeBufferPointer<UInt8>, balance: Amount, row: Int64 = 0) -> Bool {
    guard let start = account.baseAddress, 1...BalanceTable.nameBytesMax ~= account.count else { return false }
    let hash = hashed(account)
    let shard = shards[shardNumber(hash)]
    let name = BytePointer.allocate(capacity: account.count)
    memcpy(name, start, account.count)
    let looks = keepsAll ? 0 : BalanceTable.looks
    for _ in 0...(looks > 0 ? capacity / looks : 0) {
      let placing = shard.withLock {
        $0.place(hash, account, name: name, balance: balance.units, row: row, looks: looks)
      }
      switch placing {
      case .taken: continue
      case .placed(let left): left?.deallocate()
      case .known: name.deallocate()
      }
      return true
    }
    name.deallocate()
    return false
  }

  /// What the ledger has credited; no effect when the account is not in memory.
  func add(_ account: UnsafeBufferPointer<UInt8>, _ amount: Amount) {
    // The ledger refuses sums that are too large, and memory never has more than the ledger.
    if let handle = handle(of: account) { _ = add(handle, amount) }
  }

  /// The same by handle; what the account has then, nil when that cannot be counted or the handle is stale.
  func add(_ handle: AccountHandle, _ amount: Amount) -> Amount? {
    let sum: Amount?? = at(handle) { slot in
      guard let sum = Amount(units: slot.balance).adding(amount) else { return nil }
      slot.balance = sum.units
      return sum
    }
    return sum ?? nil
  }

  /// Accounts in memory.
  var accountCount: Int { shards.reduce(0) { $0 + $1.withLock { $0.used } } }

  /// Accounts that went for others so far.
  var evictionCount: Int { shards.reduce(0) { $0 + $1.withLock { $0.evictions } } }

  // MARK: Parts

  private func hashed(_ account: UnsafeBufferPointer<UInt8>) -> UInt64 {
    guard let start = account.baseAddress else { return 0 }
    return hash.value(start, account.count)
  }

  /// The shard by the hash's upper bits; its places go by the lower ones.
  private func shardNumber(_ hash: UInt64) -> Int { Int(hash >> 58) }

  /// Calls `body` with the slot that a handle is for; nil when the handle is stale.
  @discardableResult
  private func at<Result>(_ handle: AccountHandle, _ body: (inout AccountSlot) -> Result) -> Result? {
    let index = Int(handle.index)
    guard index >= 0, index < shards.count * capacity else { return nil }
    return shards[index / capacity].withLock { shard in
      let slot = shard.slots + index % capacity
      guard slot.pointee.name != nil, slot.pointee.serial == handle.serial else { return nil }
      return body(&slot.pointee)
    }
  }

  private static func giveBack(_ slot: inout AccountSlot, _ held: Amount) {
    slot.held -= min(max(0, held.units), slot.held)
    if slot.holds > 0 { slot.holds -= 1 }
  }

  private static func balance(_ slot: AccountSlot) -> AccountBalance {
    AccountBalance(balance: Amount(units: slot.balance), held: Amount(units: slot.held))
  }
}
