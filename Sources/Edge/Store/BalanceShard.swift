// One of the balance table's parts: accounts in slots that never move, and an open hash table that finds them.
//
// Every call happens under the shard's lock and looks at a bounded number of slots. Names stand in blocks of their own;
// what an account leaves behind is handed back, so that it is freed after the lock. Called by BalanceTable only. It
// knows no ledger, no clock, and nothing of the other shards.

import Glibc

/// An account in memory. Amounts are in billionths of a credit.
struct AccountSlot: BitwiseCopyable {
  /// nil: nobody ever stood here.
  var name: BytePointer?
  var hash: UInt64 = 0
  /// What the ledger says, less what is settled but not yet written. Never below `held`.
  var balance: Int64 = 0
  var held: Int64 = 0
  /// Its row in the ledger's file.
  var row: Int64 = 0
  /// Holds that are neither settled nor released; a hold of nothing counts too.
  var holds: UInt32 = 0
  /// Settlements that the ledger has not written yet.
  var unwritten: UInt32 = 0
  /// Counts the accounts that stood here.
  var serial: UInt32 = 0
  var nameCount: UInt16 = 0

  /// The ledger has all there is to know, and nobody holds a handle that matters.
  var isIdle: Bool { holds == 0 && unwritten == 0 }

  /// What can be held.
  var available: Int64 { balance - held }

  func isNamed(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let name, let start = bytes.baseAddress, Int(nameCount) == bytes.count else { return false }
    return equalBytes(name, start, bytes.count)
  }
}

/// The accounts of a shard. Trivial: the table owns the memory.
struct BalanceShard {
  /// What came of standing an account here.
  enum Placing {
    /// `left`: the name of the account that went for it.
    case placed(left: BytePointer?)
    /// It is here already.
    case known
    /// The few slots that were looked at are all in use; others may not be.
    case taken
  }

  let slots: UnsafeMutablePointer<AccountSlot>
  /// Numbers of slots plus one, found by hash; 0 is an empty place. Twice as many as slots.
  private let places: UnsafeMutablePointer<UInt32>
  let capacity: Int
  private(set) var used = 0
  /// Accounts that went for others.
  private(set) var evictions = 0
  private var cursor = 0

  /// Both areas are zeroed; the capacity is a power of two.
  init(slots: UnsafeMutablePointer<AccountSlot>, places: UnsafeMutablePointer<UInt32>, capacity: Int) {
    self.slots = slots
    self.places = places
    self.capacity = capacity
  }

  private var mask: Int { 2 * capacity - 1 }

  private func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

  /// The slot of an account; nil when it is not here.
  func find(_ hash: UInt64, _ account: UnsafeBufferPointer<UInt8>) -> Int? {
    var place = home(hash)
    while places[place] != 0 {
      let index = Int(places[place]) - 1
      if slots[index].hash == hash, slots[index].isNamed(account) { return index }
      place = (place + 1) & mask
    }
    return nil
  }

  /// Stands an account in a slot that was never used or, of the next few, in one whose account is idle.
  mutating func place(
    _ hash: UInt64, _ account: UnsafeBufferPointer<UInt8>, name: BytePointer, balance: Int64, row: Int64, looks: Int
  ) -> Placing {
    if find(hash, account) != nil { return .known }
    var index = used
    if index == capacity {
      guard let idle = nextIdle(looks) else { return .taken }
      index = idle
      removePlace(of: index)
      evictions += 1
    } else {
      used += 1
    }
    let left = slots[index].name
    slots[index] = AccountSlot(
      name: name, hash: hash, balance: balance, row: row, serial: slots[index].serial &+ 1,
      nameCount: UInt16(account.count))
    var place = home(hash)
    while places[place] != 0 { place = (place + 1) & mask }
    places[place] = UInt32(index + 1)
    return .placed(left: left)
  }

  /// The next slot in turn whose account may go.
  private mutating func nextIdle(_ looks: Int) -> Int? {
    for _ in 0..<looks {
      let index = cursor
      cursor = (cursor + 1) & (capacity - 1)
      if slots[index].isIdle { return index }
    }
    return nil
  }

  /// Takes a slot's place out of the hash table. Those behind it move up, so that no search ends before its account.
  private mutating func removePlace(of index: Int) {
    var hole = home(slots[index].hash)
    while places[hole] != UInt32(index + 1) { hole = (hole + 1) & mask }
    var next = hole
    while true {
      next = (next + 1) & mask
      if places[next] == 0 { break }
      let home = home(slots[Int(places[next]) - 1].hash)
      if (next - home) & mask >= (next - hole) & mask {
        places[hole] = places[next]
        hole = next
      }
    }
    places[hole] = 0
  }
}
