// Numbers of the ledger: its thread and whoever submits write them; metrics, status and tests read them.
// They say nothing of a single account, and nobody waits for them.

import Synchronization

/// One reading, for metrics and status.
struct LedgerFigures: Sendable, Equatable {
  /// Transactions that wrote something, the transfers in them, and attempts that failed.
  var commits = 0
  var transfers = 0
  var failures = 0
  /// Jobs that are neither answered nor written.
  var queueLength = 0
  /// How long the last commit took, its flush included.
  var lastCommitNanoseconds: UInt64 = 0
  /// The file cannot be written now.
  var isFailing = false
}

/// The words behind a reading.
final class LedgerGauges: Sendable {
  private let commits = Atomic<Int>(0)
  private let transfers = Atomic<Int>(0)
  private let failures = Atomic<Int>(0)
  private let queued = Atomic<Int>(0)
  private let lastCommit = Atomic<UInt64>(0)
  private let failing = Atomic<Bool>(false)

  var isFailing: Bool { failing.load(ordering: .acquiring) }
  var queueLength: Int { queued.load(ordering: .relaxed) }

  var figures: LedgerFigures {
    LedgerFigures(
      commits: commits.load(ordering: .relaxed), transfers: transfers.load(ordering: .relaxed),
      failures: failures.load(ordering: .relaxed), queueLength: queueLength,
      lastCommitNanoseconds: lastCommit.load(ordering: .relaxed), isFailing: isFailing)
  }

  func entered() { queued.wrappingAdd(1, ordering: .relaxed) }
  func left() { queued.wrappingSubtract(1, ordering: .relaxed) }

  func committed(transfers count: Int, nanoseconds: UInt64) {
    commits.wrappingAdd(1, ordering: .relaxed)
    transfers.wrappingAdd(count, ordering: .relaxed)
    lastCommit.store(nanoseconds, ordering: .relaxed)
  }

  /// True when it did not fail before.
  func failed() -> Bool {
    failures.wrappingAdd(1, ordering: .relaxed)
    return !failing.exchange(true, ordering: .acquiringAndReleasing)
  }

  /// True when it failed before.
  func recovered() -> Bool { failing.exchange(false, ordering: .acquiringAndReleasing) }
}
