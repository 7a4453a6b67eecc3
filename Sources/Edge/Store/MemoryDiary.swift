// The newest entries of a part of the accounts of a ledger in memory: a ring of fixed size, the oldest go first.
//
// Every call happens under the diary's lock, and the one for settlements copies a few hundred bytes. Pages become
// resident as the ring fills. Called by MemoryLedger only.

import Glibc

/// An entry as it is kept. Its texts stand beside it.
struct MemoryEntry: BitwiseCopyable {
  /// In the order of all entries, from 1 on.
  let place: Int64
  /// Where the account stands in the table.
  let account: Int32
  let kind: LedgerKind
  let transaction: ULID
  let amount: Amount
  let balance: Amount
  /// Wall nanoseconds.
  let wall: UInt64
  let usage: Usage
  let shortfall: Amount
  fileprivate(set) var counts: (UInt8, UInt8, UInt8) = (0, 0, 0)
}

/// An entry and its texts, copied out of a diary.
struct KeptEntry {
  fileprivate let fixed: MemoryEntry
  fileprivate let texts: [UInt8]

  /// As its owner sees it.
  var entry: LedgerEntry {
    var entry = LedgerEntry(
      place: fixed.place, transaction: fixed.transaction.text, kind: fixed.kind, amount: fixed.amount,
      balance: fixed.balance, wall: fixed.wall, usage: fixed.usage, shortfall: fixed.shortfall)
    let first = Int(fixed.counts.0)
    let second = first + Int(fixed.counts.1)
    if fixed.kind == .settlement {
      entry.requestID = String(decoding: texts[..<first], as: UTF8.self)
      entry.provider = String(decoding: texts[first..<second], as: UTF8.self)
      entry.model = String(decoding: texts[second...], as: UTF8.self)
    } else {
      entry.reason = String(decoding: texts[..<first], as: UTF8.self)
    }
    return entry
  }
}

/// A ring. Trivial: the ledger owns the memory.
struct MemoryDiary {
  private let entries: UnsafeMutablePointer<MemoryEntry>
  private let texts: BytePointer
  /// Entries that were ever written.
  private var written = 0

  private static let capacity = 512
  /// What is kept of an entry's texts together; what is behind that is cut off.
  private static let textBytes = 192

  /// What a diary needs.
  static let bytes = capacity * (MemoryLayout<MemoryEntry>.stride + textBytes)

  /// `memory` is zeroed, of `bytes`.
  init(_ memory: UnsafeMutableRawPointer) {
    entries = memory.bindMemory(to: MemoryEntry.self, capacity: MemoryDiary.capacity)
    let texts = memory + MemoryDiary.capacity * MemoryLayout<MemoryEntry>.stride
    self.texts = texts.bindMemory(to: UInt8.self, capacity: MemoryDiary.capacity * MemoryDiary.textBytes)
  }

  mutating func append(_ entry: MemoryEntry, _ first: StaticBytes, _ second: StaticBytes, _ third: StaticBytes) {
    let index = written % MemoryDiary.capacity
    written += 1
    var writer = ByteWriter(base: texts + index * MemoryDiary.textBytes, capacity: MemoryDiary.textBytes)
    entries[index] = entry
    entries[index].counts = (writer.cut(first), writer.cut(second), writer.cut(third))
  }

  /// Entries of an account below a place, newest first.
  func entries(of account: Int32, before: Int64, limit: Int) -> [KeptEntry] {
    var found: [KeptEntry] = []
    var number = written
    while number > max(0, written - MemoryDiary.capacity), found.count < limit {
      number -= 1
      let index = number % MemoryDiary.capacity
      let entry = entries[index]
      if entry.account != account || entry.place >= before { continue }
      let count = Int(entry.counts.0) + Int(entry.counts.1) + Int(entry.counts.2)
      let start = texts + index * MemoryDiary.textBytes
      found.append(KeptEntry(fixed: entry, texts: Array(UnsafeBufferPointer(start: start, count: count))))
    }
    return found
  }
}

extension ByteWriter {
  /// Appends as much of a text as there is room for; how much that is.
  fileprivate mutating func cut(_ text: StaticBytes) -> UInt8 {
    let count = min(text.count, room, Int(UInt8.max))
    append(text.start, count)
    return UInt8(count)
  }
}
