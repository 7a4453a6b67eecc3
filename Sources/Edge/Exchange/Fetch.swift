// Who waits for a fetch: a request that Edge itself makes. A fetch is an exchange like any other, with its own id,
// deadline, attempts and log line; the worker runs it, nothing here touches a socket.

/// Who is told what came of a fetch.
enum FetchWaiter: Sendable {
  /// A thread that is no worker sleeps until then.
  case thread
  /// A policy of this exchange waits, for the time with this number.
  case policy(exchange: Handle, wait: UInt32)
}

/// One fetch and its waiter. A thread posts it to a worker's inbox and then waits; a policy's begins on its own worker.
final class FetchTicket: Sendable {
  let request: FetchRequest
  /// The fetch whose work this one is part of: it is cancelled with it.
  let parent: FetchTicket?
  let waiter: FetchWaiter
  private let outcome = Monitor<FetchOutcome?>(nil)
  /// Which exchange runs it.
  nonisolated(unsafe) var exchange: Handle?  // only the worker that was posted to reads and writes it

  init(_ request: FetchRequest, parent: FetchTicket? = nil, waiter: FetchWaiter = .thread) {
    self.request = request
    self.parent = parent
    self.waiter = waiter
  }

  /// Sleeps until the fetch has ended. It always ends: it has a deadline.
  func wait() -> FetchOutcome {
    outcome.awaiting { $0.map { .found($0) } ?? .sleep(untilNanoseconds: .max) }
  }

  /// The fetch has ended. The first outcome counts.
  func complete(_ result: FetchOutcome) {
    outcome.withLock { if $0 == nil { $0 = result } }
    outcome.wakeAll()
  }
}
