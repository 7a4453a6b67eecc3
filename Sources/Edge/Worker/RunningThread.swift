// Threads: started with a closure, then joined. The control thread starts workers and the log writer here; the
// resolver starts its own, which nobody joins.

import CLinux
import Glibc

/// A thread could not be started.
struct ThreadError: Error {
  let message: String
}

/// A running thread.
struct RunningThread {
  private let handle: pthread_t

  /// Runs `body` on a thread of its own, with the signal mask of the caller.
  static func start(_ body: @escaping @Sendable () -> Void) throws(ThreadError) -> RunningThread {
    let box = Unmanaged.passRetained(ThreadBody(body))
    var handle = pthread_t()
    let failed = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    if failed != 0 {
      box.release()
      throw ThreadError(message: "no thread: \(Syscall.describe(failed))")
    }
    return RunningThread(handle: handle)
  }

  /// Waits for the thread's end.
  func join() { pthread_join(handle, nil) }

  /// Waits for the thread's end, but not longer than this.
  func join(seconds: Int) {
    var deadline = timespec()
    _ = clock_gettime(CLOCK_REALTIME, &deadline)
    deadline.tv_sec += seconds
    _ = pthread_timedjoin_np(handle, nil, &deadline)
  }
}

/// What a thread runs, carried through pthread_create's one pointer.
private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
