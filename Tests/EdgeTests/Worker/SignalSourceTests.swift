// Signals as a descriptor. Blocking them and sending them concerns one thread only, so each test has a thread of its
// own, and the process that runs the tests keeps its signals.

import Glibc
import Testing

@testable import Edge

@Suite(.timeLimit(.minutes(1))) struct SignalSourceTests {
  /// On a thread that ends afterwards, with a source of its own.
  private func withSource(_ body: @escaping @Sendable (SignalSource) -> Void) throws {
    let thread = try RunningThread.start {
      var none = sigset_t()
      sigemptyset(&none)
      pthread_sigmask(SIG_SETMASK, &none, nil)
      guard let source = SignalSource() else {
        Issue.record("no source")
        return
      }
      body(source)
      close(source.descriptor)
    }
    thread.join()
  }

  @Test func signalsAreTakenOneByOne() throws {
    try withSource { source in
      #expect(!isReadable(source.descriptor) && source.take() == nil, "none has come, and that is no reason to wait")
      for signal in [SIGHUP, SIGTERM, SIGINT] {
        // To this very thread, where it is blocked: unblocked, it would end the tests.
        raise(signal)
        #expect(isReadable(source.descriptor))
        #expect(source.take() == signal)
        #expect(!isReadable(source.descriptor) && source.take() == nil)
      }
    }
  }

  @Test func severalOfOneKindAreOne() throws {
    try withSource { source in
      for signal in [SIGHUP, SIGTERM, SIGHUP, SIGHUP] { raise(signal) }
      #expect(Set([source.take(), source.take()]) == [SIGHUP, SIGTERM])
      #expect(source.take() == nil)
      raise(SIGHUP)
      #expect(source.take() == SIGHUP, "the next one counts again")
    }
  }

  @Test func onlyItsSignalsAreBlocked() throws {
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &before)
    try withSource { source in
      var mask = sigset_t()
      pthread_sigmask(SIG_BLOCK, nil, &mask)
      #expect(Set((1...31).filter { sigismember(&mask, $0) == 1 }) == [SIGTERM, SIGINT, SIGHUP])
      #expect(fcntl(source.descriptor, F_GETFD) & FD_CLOEXEC != 0)
      var action = sigaction()
      sigaction(SIGPIPE, nil, &action)
      let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      #expect(handler == unsafeBitCast(SIG_IGN, to: Int.self), "a broken connection is an error, not a signal")
    }
    var after = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &after)
    for signal in 1...31 as ClosedRange<Int32> { #expect(sigismember(&before, signal) == sigismember(&after, signal)) }
  }

  /// Threads that are started later have them blocked too, so that no other thread is interrupted.
  @Test func threadsInheritTheMask() throws {
    try withSource { _ in
      let thread = try? RunningThread.start {
        var mask = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &mask)
        for signal in [SIGTERM, SIGINT, SIGHUP] { #expect(sigismember(&mask, signal) == 1) }
      }
      thread?.join()
    }
  }
}
