// Messages to a worker from other threads: a bounded mailbox and a descriptor that wakes the worker's poller.
// Anybody may post; only the worker that owns the inbox takes. Nobody ever waits here.

import Synchronization

/// What a worker can be told.
enum InboxMessage: BitwiseCopyable, @unchecked Sendable {  // what a pointer leads to is kept for the one who takes it
  /// A connection that another worker accepted, while it served this generation (its rows).
  case adopt(fd: Int32, listener: UInt8, generation: UnsafeRawPointer, address: SocketAddress)
  /// A `FetchTicket`, retained: the worker takes the reference.
  case fetch(ticket: UnsafeMutableRawPointer)
  case cancelFetch(ticket: UnsafeMutableRawPointer)
  /// A `LedgerTicket` with its answer, retained: the worker takes the reference.
  case ledger(ticket: UnsafeMutableRawPointer)
  /// The control thread has loaded the configuration anew, for which this exchange waits (`Handle.bits`).
  case reloaded(exchange: UInt64)
  /// Stop accepting, let running exchanges end, then stop.
  case drain
  /// Stop now.
  case stop
}

/// One per worker.
final class Inbox: Sendable {
  private let mailbox = Mailbox<InboxMessage>(capacity: Limits.inboxMessages)
  private let waker: Wake
  private let isAwake = Atomic<Bool>(false)

  /// nil when the process is out of descriptors.
  init?() {
    guard let waker = Wake() else { return nil }
    self.waker = waker
  }

  var wakeDescriptor: Int32 { waker.descriptor }

  /// False when the inbox is full; the message was not taken.
  func post(_ message: InboxMessage) -> Bool {
    guard mailbox.post(message) else { return false }
    // One write wakes the worker, however many messages follow before it looks.
    if !isAwake.exchange(true, ordering: .sequentiallyConsistent) { waker.signal() }
    return true
  }

  /// Makes the worker turn once, without a message.
  func wake() { waker.signal() }

  /// Called by the worker when the descriptor is readable, before it takes messages.
  func acknowledge() {
    waker.acknowledge()
    // A full barrier: a message that was posted without a wake-up is seen by the `take` that follows.
    _ = isAwake.exchange(false, ordering: .sequentiallyConsistent)
  }

  func take() -> InboxMessage? { mailbox.take() }
}
