// Counters that scripts define: one for each policy and name, for as long as a living generation has it.
//
// Owns: their numbers and who still uses them. A counter claimed again goes on where it was, so that it outlives a
// reload which keeps the policy and the name; with its last claim it ends. Claims are made and released where
// generations are made and ended, additions come from every worker.
// Never: locks or allocates while counting.

import Synchronization

/// Why a counter cannot be had: this many exist already.
struct ScriptCountersFull: Error {}

/// One for the process.
final class ScriptCounters: Sendable {
  /// Counters that may exist at the same time.
  static let most = 64
  /// A number has its own cache lines.
  private static let strideWords = 16

  /// What is told of a counter.
  struct Row: Sendable {
    let policy: String
    let name: String
    let help: String
    let number: UInt64
  }

  private struct Claim {
    let policy: String
    let name: String
    var help: String
    var references: Int
  }

  private let claims = Locked([Claim?](repeating: nil, count: ScriptCounters.most))
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>  // never reassigned; atomics inside

  init() {
    let count = ScriptCounters.most * ScriptCounters.strideWords
    words = .allocate(capacity: count)
    for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
  }

  deinit { words.deallocate() }

  private func word(_ place: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    words + place * ScriptCounters.strideWords
  }

  // MARK: Claims

  /// The place of this policy's counter, made if there is none. Every claim is released once.
  func claim(policy: String, name: String, help: String) throws(ScriptCountersFull) -> Int {
    let place: Int? = claims.withLock { rows in
      if let known = rows.firstIndex(where: { $0?.policy == policy && $0?.name == name }) {
        rows[known]?.references += 1
        rows[known]?.help = help
        return known
      }
      guard let free = rows.firstIndex(where: { $0 == nil }) else { return nil }
      rows[free] = Claim(policy: policy, name: name, help: help, references: 1)
      word(free).pointee.store(0, ordering: .relaxed)
      return free
    }
    guard let place else { throw ScriptCountersFull() }
    return place
  }

  /// Ends one claim; with the last one the counter is gone.
  func release(_ place: Int) {
    claims.withLock { rows in
      guard rows.indices.contains(place), let row = rows[place] else { return }
      if row.references > 1 { rows[place]?.references -= 1 } else { rows[place] = nil }
    }
  }

  // MARK: Counting

  /// Adds to a counter that is claimed; the highest number stays.
  func add(_ amount: UInt64, to place: Int) {
    guard (0..<ScriptCounters.most).contains(place) else { return }
    let word = word(place)
    var known = word.pointee.load(ordering: .relaxed)
    while true {
      let (sum, overflow) = known.addingReportingOverflow(amount)
      let outcome = word.pointee.weakCompareExchange(
        expected: known, desired: overflow ? .max : sum, ordering: .relaxed)
      if outcome.exchanged { return }
      known = outcome.original
    }
  }

  /// All counters by name, then policy.
  var rows: [Row] {
    let rows = claims.withLock { claims in
      claims.enumerated().compactMap { place, claim in
        claim.map {
          Row(
            policy: $0.policy, name: $0.name, help: $0.help, number: word(place).pointee.load(ordering: .relaxed))
        }
      }
    }
    return rows.sorted { ($0.name, $0.policy) < ($1.name, $1.policy) }
  }
}
