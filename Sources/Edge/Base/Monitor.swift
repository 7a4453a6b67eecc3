// A value behind a lock that threads can also sleep on, for cold paths. The loops never touch one.
// It is pthread's mutex and condition, because ThreadSanitizer knows only those.

import CLinux
import Glibc

/// A value that one thread at a time may use and whose changes others can await.
final class Monitor<Value>: @unchecked Sendable {  // the mutex orders every access
  private var value: Value
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  /// What a look at the value led to.
  enum Look<Result> {
    case found(Result)
    /// Look again when somebody has called `wakeAll`, at the latest at this time of the monotonic clock.
    case sleep(untilNanoseconds: UInt64)
  }

  init(_ value: Value) {
    self.value = value
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    // A condition waits on the wall clock unless it is told otherwise, and that one jumps.
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Calls `body` while no other thread can.
  func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(&value)
  }

  /// Makes every thread that sleeps here look again.
  func wakeAll() { pthread_cond_broadcast(condition) }

  /// Calls `look` under the lock until it finds something, and sleeps in between. It may be called without a cause.
  func awaiting<Result>(_ look: (inout Value) -> Look<Result>) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      switch look(&value) {
      case .found(let result): return result
      case .sleep(.max): pthread_cond_wait(condition, mutex)
      case .sleep(let nanoseconds):
        var deadline = timespec()
        deadline.tv_sec = Int(clamping: nanoseconds / 1_000_000_000)
        deadline.tv_nsec = Int(nanoseconds % 1_000_000_000)
        pthread_cond_timedwait(condition, mutex, &deadline)
      }
    }
  }
}
