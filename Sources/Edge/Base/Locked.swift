// A value behind a lock, for cold paths where several threads meet. The request path has none.
// It is pthread's mutex and not the standard library's, because ThreadSanitizer knows only the former.

import Glibc

/// A value that one thread at a time may use.
final class Locked<Value>: @unchecked Sendable {  // the mutex orders every access
  private var value: Value
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>

  init(_ value: Value) {
    self.value = value
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Calls `body` while no other thread can.
  func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(&value)
  }
}
