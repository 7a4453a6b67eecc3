import Foundation
import Testing

@testable import Edge

struct InboxTests {
  private func isReadable(_ descriptor: Int32, milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, milliseconds) == 1
  }

  @Test func oneWakeForManyMessages() throws {
    let inbox = try #require(Inbox())
    let rows = try #require(UnsafeRawPointer(bitPattern: 64))
    #expect(!isReadable(inbox.wakeDescriptor, milliseconds: 0))
    #expect(inbox.take() == nil)
    for fd in 0..<3 {
      #expect(inbox.post(.adopt(fd: Int32(fd), listener: 7, generation: rows, address: SocketAddress())))
    }
    #expect(isReadable(inbox.wakeDescriptor, milliseconds: 0))
    inbox.acknowledge()
    #expect(!isReadable(inbox.wakeDescriptor, milliseconds: 0))
    for expected in 0..<3 {
      guard case .adopt(let fd, let listener, let generation, _) = inbox.take() else {
        Issue.record("no message")
        continue
      }
      #expect(fd == expected && listener == 7 && generation == rows)
    }
    #expect(inbox.take() == nil)
    #expect(inbox.post(.drain))
    #expect(isReadable(inbox.wakeDescriptor, milliseconds: 0))
  }

  @Test func aFullInboxSaysSo() throws {
    let inbox = try #require(Inbox())
    for _ in 0..<Limits.inboxMessages { #expect(inbox.post(.drain)) }
    #expect(!inbox.post(.stop))
    inbox.acknowledge()
    var count = 0
    while inbox.take() != nil { count += 1 }
    #expect(count == Limits.inboxMessages)
  }

  /// A reader that only looks when it was woken gets every message.
  @Test func noWakeIsLost() throws {
    let inbox = try #require(Inbox())
    let (writers, count) = (3, 5_000)
    // Never looked through here.
    nonisolated(unsafe) let rows = try #require(UnsafeRawPointer(bitPattern: 64))
    var bodies: [@Sendable () -> Void] = (0..<writers).map { writer in
      {
        for number in 0..<count {
          let message = InboxMessage.adopt(
            fd: Int32(number), listener: UInt8(writer), generation: rows, address: SocketAddress())
          while !inbox.post(message) { sched_yield() }
        }
      }
    }
    bodies.append {
      var next = [Int32](repeating: 0, count: writers)
      while next.reduce(0, +) < Int32(writers * count) {
        var entry = pollfd(fd: inbox.wakeDescriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 20_000) == 1 else {
          Issue.record("no wake after \(next)")
          return
        }
        inbox.acknowledge()
        while let message = inbox.take() {
          guard case .adopt(let fd, let listener, _, _) = message else { continue }
          if fd != next[Int(listener)] { Issue.record("writer \(listener): \(fd)") }
          next[Int(listener)] = fd + 1
        }
      }
    }
    onThreads(bodies)
  }
}
