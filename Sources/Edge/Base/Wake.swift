// A descriptor that one thread waits on and any other makes readable.
// Inboxes, the control thread and the log writer own one each; it carries no message, only "look again".

import CLinux
import Glibc

/// One eventfd.
final class Wake: Sendable {
  let descriptor: Int32

  /// nil when the process is out of descriptors.
  init?() {
    descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
    if descriptor < 0 { return nil }
  }

  deinit { _ = close(descriptor) }

  /// Makes the descriptor readable.
  func signal() { _ = eventfd_write(descriptor, 1) }

  /// Makes it unreadable again; the owner then looks at everything once.
  func acknowledge() {
    var count: eventfd_t = 0
    _ = eventfd_read(descriptor, &count)
  }
}
