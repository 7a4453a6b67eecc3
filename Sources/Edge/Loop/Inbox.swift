// Messages to a worker from other threads: a bounded mailbox and a descriptor that wakes the worker's poller.
// Anybody may post; only the worker that owns the inbox takes. Nobody ever waits here.

import CLinux
import Glibc
import Synchronization

/// What a worker can be told.
enum InboxMessage: BitwiseCopyable {
  /// A connection that another worker accepted.
  case adopt(fd: Int32, listener: UInt8, address: SocketAddress)
  /// Stop accepting, let running exchanges end, then stop.
  case drain
  /// Stop now.
  case stop
}

/// One per worker.
final class Inbox: Sendable {
  private let mailbox = Mailbox<InboxMessage>(capacity: Limits.inboxMessages)
  let wakeDescriptor: Int32
  private let isAwake = Atomic<Bool>(false)

  init?() {
    wakeDescriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
    if wakeDescriptor < 0 { return nil }
  }

  deinit { _ = close(wakeDescriptor) }

  /// False when the inbox is full; the message was not taken.
  func post(_ message: InboxMessage) -> Bool {
    guard mailbox.post(message) else { return false }
    // One write wakes the worker, however many messages follow before it looks.
    if !isAwake.exchange(true, ordering: .sequentiallyConsistent) { _ = eventfd_write(wakeDescriptor, 1) }
    return true
  }

  /// Makes the worker turn once, without a message.
  func wake() { _ = eventfd_write(wakeDescriptor, 1) }

  /// Called by the worker when the descriptor is readable, before it takes messages.
  func acknowledge() {
    var count: eventfd_t = 0
    _ = eventfd_read(wakeDescriptor, &count)
    // A full barrier: a message that was posted without a wake-up is seen by the `take` that follows.
    _ = isAwake.exchange(false, ordering: .sequentiallyConsistent)
  }

  func take() -> InboxMessage? { mailbox.take() }
}
