import CLinux
import Glibc
import Testing

@testable import Edge

/// Whether a descriptor is readable, or ended, within a time.
func isReadable(_ descriptor: Int32, milliseconds: Int32 = 0) -> Bool {
  var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
  return poll(&entry, 1, milliseconds) == 1 && entry.revents & Int16(POLLIN | POLLHUP) != 0
}

struct WakeTests {
  @Test func readableUntilItIsAcknowledged() throws {
    let wake = try #require(Wake())
    #expect(!isReadable(wake.descriptor))
    wake.signal()
    #expect(isReadable(wake.descriptor) && isReadable(wake.descriptor))
    wake.acknowledge()
    #expect(!isReadable(wake.descriptor))
    for _ in 0..<1_000 { wake.signal() }
    wake.acknowledge()
    #expect(!isReadable(wake.descriptor), "it says \"look again\", not how often")
    // Nothing to acknowledge: that does not wait.
    wake.acknowledge()
    wake.signal()
    #expect(isReadable(wake.descriptor))
  }

  @Test func theDescriptorIsNotHandedOnAndEndsWithIt() throws {
    var wake = Wake()
    let descriptor = try #require(wake?.descriptor)
    #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
    #expect(fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
    let watch = epoll_create1(0)
    defer { close(watch) }
    var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: 1))
    try #require(epoll_ctl(watch, EPOLL_CTL_ADD, descriptor, &event) == 0)
    wake?.signal()
    #expect(epoll_wait(watch, &event, 1, 0) == 1)
    wake = nil
    // The last descriptor of an eventfd takes it out of every epoll. A process that another test forks has it too, for
    // a moment.
    #expect(eventually { epoll_wait(watch, &event, 1, 0) == 0 })
  }

  /// A sleeper that looks only when it was woken sees the last of what others have done.
  @Test func noSignalIsLost() throws {
    let wake = try #require(Wake())
    let count = Locked(0)
    let (signallers, rounds) = (3, 5_000)
    var bodies: [@Sendable () -> Void] = (0..<signallers).map { _ in
      {
        for _ in 0..<rounds {
          count.withLock { $0 += 1 }
          wake.signal()
        }
      }
    }
    bodies.append {
      while count.withLock({ $0 }) < signallers * rounds {
        if !isReadable(wake.descriptor, milliseconds: 20_000) {
          Issue.record("no wake")
          return
        }
        wake.acknowledge()
      }
    }
    onThreads(bodies)
  }
}
