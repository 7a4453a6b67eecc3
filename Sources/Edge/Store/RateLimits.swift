// The rate limits of the process: one table for each limit that a living generation has defined, by name and rule.
//
// Owns: the tables and who still uses them. Limits live outside generations: a name claimed again with the same rule
// goes on counting where it was; with another rule it gets a fresh table beside the old one, which lasts until its last
// claim is released. Claims are made and released where generations are made and ended, takes come from every worker.
// Never: locks, allocates or counts references on a take.

import Synchronization

/// The name of a claimed limit, valid until it is released.
struct LimitHandle: BitwiseCopyable, Sendable, Equatable {
  /// The place of its table; only what a claim returned may be given back.
  let index: Int32
}

/// One for the process.
final class RateLimits: Sendable {
  /// Limits that may exist at the same time.
  static let limitsMax = 1_024

  /// One row of the list of claims.
  private struct ClaimedLimit {
    let name: String
    let rule: LimitRule
    var references: Int
  }

  private let claims: Locked<[ClaimedLimit?]>
  // Never reassigned; atomics inside, each a table that stays until nobody uses it.
  private nonisolated(unsafe) let tables: UnsafeMutablePointer<Atomic<UnsafeMutablePointer<LimitTable>?>>
  private let hash: KeyedHash64
  private let fullTakes = Atomic<Int>(0)
  private let entriesMax: Int
  private let bytesMax: Int

  /// Smaller tables and a fixed hash are for tests.
  init(
    entriesMax: Int = LimitTable.entriesMax, bytesMax: Int = LimitTable.bytesMax, hash: KeyedHash64 = KeyedHash64()
  ) {
    self.entriesMax = entriesMax
    self.bytesMax = bytesMax
    self.hash = hash
    claims = Locked(Array(repeating: nil, count: RateLimits.limitsMax))
    tables = .allocate(capacity: RateLimits.limitsMax)
    for index in 0..<RateLimits.limitsMax { (tables + index).initialize(to: Atomic(nil)) }
  }

  deinit {
    for index in 0..<RateLimits.limitsMax { drop(index) }
    tables.deinitialize(count: RateLimits.limitsMax)
    tables.deallocate()
  }

  /// How often a take found no room for its key.
  var fullCount: Int { fullTakes.load(ordering: .relaxed) }

  /// How many limits exist.
  var limitCount: Int { claims.withLock { $0.count { $0 != nil } } }

  // MARK: Claims

  /// The limit of this name and rule, made if there is none. Every claim is released once.
  func claim(name: String, rule: LimitRule) throws(LimitError) -> LimitHandle {
    guard rule.isWithinBounds else { throw LimitError("limit '\(name)': the rule is out of bounds") }
    let found: Result<LimitHandle, LimitError> = claims.withLock { rows in
      if let index = rows.firstIndex(where: { $0?.name == name && $0?.rule == rule }) {
        rows[index]?.references += 1
        return .success(LimitHandle(index: Int32(index)))
      }
      guard let index = rows.firstIndex(where: { $0 == nil }) else {
        return .failure(
          LimitError("limit '\(name)': \(RateLimits.limitsMax) limits exist already, the most there may be"))
      }
      guard let made = LimitTable(rule: rule, entriesMax: entriesMax, bytesMax: bytesMax) else {
        return .failure(LimitError("limit '\(name)': the kernel has no memory for its table"))
      }
      let table = UnsafeMutablePointer<LimitTable>.allocate(capacity: 1)
      table.initialize(to: made)
      tables[index].store(table, ordering: .releasing)
      rows[index] = ClaimedLimit(name: name, rule: rule, references: 1)
      return .success(LimitHandle(index: Int32(index)))
    }
    return try found.get()
  }

  /// Ends one claim; the last one frees the table. Whoever claimed it, and took by this handle, is done with it.
  func release(_ handle: LimitHandle) {
    claims.withLock { rows in
      let index = Int(handle.index)
      guard rows.indices.contains(index), let row = rows[index] else { return }
      if row.references > 1 {
        rows[index]?.references -= 1
      } else {
        rows[index] = nil
        drop(index)
      }
    }
  }

  private func drop(_ index: Int) {
    guard let table = tables[index].exchange(nil, ordering: .acquiringAndReleasing) else { return }
    table.pointee.unmap()
    table.deallocate()
  }

  // MARK: Takes

  /// One more for this key. `now` is the monotonic clock in nanoseconds, read just before: not the turn's reading.
  func take(_ handle: LimitHandle, key: UnsafePointer<UInt8>, count: Int, now: UInt64) -> LimitVerdict {
    var texts = texts()
    texts.add(key, count)
    return take(handle, texts, now: now)
  }

  /// Begins a key that is made of texts.
  @inline(__always)
  func texts() -> KeyedTexts { hash.texts() }

  /// The same for the key that these texts are.
  func take(_ handle: LimitHandle, _ texts: KeyedTexts, now: UInt64) -> LimitVerdict {
    guard UInt32(bitPattern: handle.index) < UInt32(RateLimits.limitsMax),
      let table = tables[Int(handle.index)].load(ordering: .acquiring)
    else { return .full }
    let verdict = table.pointee.take(hash: texts.value(), now: now)
    if case .full = verdict { fullTakes.wrappingAdd(1, ordering: .relaxed) }
    return verdict
  }
}
