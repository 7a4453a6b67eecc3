// Numbers that stand once in the process and not once for each worker: whoever knows one puts it here, and whoever
// tells figures reads it. Any thread may write.
//
// Owns: a word for each. Called by: the ledger, reloads and the memory of bodies through whoever starts them; the
// exposition and built-in endpoints read. Never: knows whom a number comes from.

import Synchronization

/// What is told. Totals only go up: their owners add, or set what has only grown.
enum Figure: Int, CaseIterable, Sendable {
  /// Totals: writes of the ledger that stand, entries in them, and writes that failed.
  case ledgerCommits, ledgerTransfers, ledgerFailures
  /// Gauge: entries that wait to be written.
  case ledgerQueue
  /// 1 while the ledger cannot be written.
  case ledgerFailing
  /// The newest generation, and how many have running exchanges.
  case generation, generationsLive
  /// Totals of reloads, by what came of them.
  case reloadsDone, reloadsFailed, reloadsRefused, reloadsUnchanged
  /// Gauge: what bodies that are kept whole take of `server.memory.bodies`.
  case bodyMemoryBytes
  /// Gauge: `server.memory.bodies`.
  case bodyMemoryBytesMax
}

/// One word for each figure.
final class Figures: Sendable {
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<Int64>>  // never reassigned; atomics inside

  init() {
    words = .allocate(capacity: Figure.allCases.count)
    for index in Figure.allCases.indices { (words + index).initialize(to: Atomic(0)) }
  }

  deinit { words.deallocate() }

  func set(_ figure: Figure, _ value: Int64) { words[figure.rawValue].store(value, ordering: .relaxed) }

  func add(_ amount: Int64, to figure: Figure) { words[figure.rawValue].wrappingAdd(amount, ordering: .relaxed) }

  subscript(figure: Figure) -> Int64 { words[figure.rawValue].load(ordering: .relaxed) }
}
