// epoll, and nothing else. Each socket is registered once, edge-triggered; its slot's index and serial travel in the
// event, so an event for a closed and reused descriptor is dropped by a comparison.

import CLinux
import Glibc

/// One event.
struct PollEvent: BitwiseCopyable {
  let tag: UInt64
  private let flags: UInt32

  init(_ event: epoll_event) {
    tag = event.data.u64
    flags = event.events
  }

  var isReadable: Bool { flags & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
  var isWritable: Bool { flags & (EPOLLOUT.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
  /// The peer will send nothing more.
  var peerEnded: Bool { flags & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
  /// The connection is gone in both directions.
  var isBroken: Bool { flags & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
}

/// One epoll instance. A worker owns it; nobody else touches it.
struct Poller {
  private let fd: Int32
  private let events: UnsafeMutablePointer<epoll_event>

  init?() {
    fd = epoll_create1(Int32(EPOLL_CLOEXEC))
    if fd < 0 { return nil }
    events = .allocate(capacity: Limits.eventsPerTurn)
  }

  /// Closes the instance; it must not be used any more.
  func close() {
    _ = Glibc.close(fd)
    events.deallocate()
  }

  /// A connection: both directions, edge-triggered, for its whole life. False when the kernel refuses.
  func addConnection(_ socket: Int32, tag: UInt64) -> Bool {
    add(socket, EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue, tag)
  }

  /// A listening socket that other workers wait on too: level-triggered, one of them is woken. Such a descriptor must
  /// not be modified; pausing it means removing and adding it.
  func addListener(_ socket: Int32, tag: UInt64) -> Bool {
    add(socket, EPOLLIN.rawValue | EPOLLEXCLUSIVE.rawValue, tag)
  }

  /// A wake-up descriptor, level-triggered.
  func addWake(_ descriptor: Int32, tag: UInt64) -> Bool { add(descriptor, EPOLLIN.rawValue, tag) }

  private func add(_ socket: Int32, _ flags: UInt32, _ tag: UInt64) -> Bool {
    var event = epoll_event()
    event.events = flags
    event.data.u64 = tag
    return epoll_ctl(fd, EPOLL_CTL_ADD, socket, &event) == 0
  }

  func remove(_ socket: Int32) {
    var event = epoll_event()
    _ = epoll_ctl(fd, EPOLL_CTL_DEL, socket, &event)
  }

  /// Waits up to `milliseconds` (-1: without end); returns how many events there are.
  @inline(__always)
  func wait(_ milliseconds: Int32) -> Int {
    max(0, Int(epoll_wait(fd, events, Int32(Limits.eventsPerTurn), milliseconds)))
  }

  @inline(__always)
  subscript(index: Int) -> PollEvent { PollEvent(events[index]) }
}
