// Counters of workers: each worker writes its own row and anybody reads all rows. A row has its own cache lines, so
// counting never waits for another worker.

import Synchronization

/// What is counted. Gauges go up and down, totals only up.
enum Counter: Int, CaseIterable {
  /// Gauge: accepted connections that are open or on their way to the worker. Several threads write it.
  case serverConnections
  /// Gauge: exchanges between head and log.
  case runningExchanges
  /// Total: exchanges that ended.
  case exchanges
  /// Total: access lines that found the ring full.
  case droppedLogLines
  /// Total: connections handed to another worker.
  case handedOff
  /// Total: connections refused because the worker's slots were all in use.
  case refusedConnections
  /// Total: requests sent again because their idle connection turned out to be dead.
  case replays
}

/// One row per worker.
final class Counters: Sendable {
  private static let rowWords = 16
  let workers: Int
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<Int64>>  // never reassigned; atomics inside

  init(workers: Int) {
    self.workers = workers
    let count = workers * Counters.rowWords
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 128)
    words = memory.bindMemory(to: Atomic<Int64>.self, capacity: count)
    for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
  }

  deinit { UnsafeMutableRawPointer(words).deallocate() }

  /// Adds to a worker's own row. Only that worker calls this.
  @inline(__always)
  func add(_ amount: Int64, to counter: Counter, worker: Int) {
    let word = words + (worker * Counters.rowWords + counter.rawValue)
    word.pointee.store(word.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }

  /// Adds to any worker's row, for counters that several threads write.
  func addShared(_ amount: Int64, to counter: Counter, worker: Int) {
    words[worker * Counters.rowWords + counter.rawValue].wrappingAdd(amount, ordering: .relaxed)
  }

  /// A worker's row.
  @inline(__always)
  func value(_ counter: Counter, worker: Int) -> Int64 {
    words[worker * Counters.rowWords + counter.rawValue].load(ordering: .relaxed)
  }

  /// The totals, for the last line of the log.
  var summary: [(StaticString, LogValue)] {
    let totals: [(StaticString, Counter)] = [
      ("exchanges", .exchanges), ("handedOff", .handedOff), ("refusedConnections", .refusedConnections),
      ("replays", .replays), ("droppedLogLines", .droppedLogLines),
    ]
    return totals.map { ($0, .number(Int(sum($1)))) }
  }

  /// The sum over all workers.
  func sum(_ counter: Counter) -> Int64 {
    var sum: Int64 = 0
    for worker in 0..<workers { sum += value(counter, worker: worker) }
    return sum
  }
}
