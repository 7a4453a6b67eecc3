import Glibc
import Testing

@testable import Edge

@Suite(.timeLimit(.minutes(1))) struct RunningThreadTests {
  @Test func joinWaitsForTheEnd() throws {
    let seen = Locked<[pthread_t]>([])
    let threads = try (0..<8).map { _ in
      try RunningThread.start {
        usleep(1_000)
        seen.withLock { $0.append(pthread_self()) }
      }
    }
    for thread in threads { thread.join() }
    #expect(seen.withLock { Set($0).count } == 8, "each had a thread of its own")
    #expect(!seen.withLock { $0.contains(pthread_self()) })
  }

  @Test func theMaskIsTheCallers() throws {
    let outer = try RunningThread.start {
      var signals = sigset_t()
      sigemptyset(&signals)
      sigaddset(&signals, SIGUSR2)
      pthread_sigmask(SIG_SETMASK, &signals, nil)
      let inner = try? RunningThread.start {
        var mask = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &mask)
        #expect((1...31).filter { sigismember(&mask, $0) == 1 } == [SIGUSR2])
      }
      #expect(inner != nil)
      inner?.join()
    }
    outer.join()
  }

  @Test func aDeadlineEndsTheWait() throws {
    let isHeld = Wake()
    let wake = try #require(isHeld)
    let thread = try RunningThread.start { _ = isReadable(wake.descriptor, milliseconds: 60_000) }
    let start = Clock.monotonicNow()
    thread.join(seconds: 1)
    let waited = (Clock.monotonicNow() - start) / 1_000_000
    #expect((900..<30_000).contains(waited), "\(waited) ms")
    wake.signal()
    let again = Clock.monotonicNow()
    thread.join(seconds: 60)
    #expect((Clock.monotonicNow() - again) / 1_000_000 < 30_000, "a thread that ends is not waited for longer")
  }

  @Test func whatABodyHoldsIsLetGo() throws {
    final class Held: Sendable {}
    weak var weakly: Held?
    do {
      let held = Held()
      weakly = held
      let thread = try RunningThread.start { withExtendedLifetime(held) {} }
      thread.join()
    }
    #expect(weakly == nil)
  }
}
