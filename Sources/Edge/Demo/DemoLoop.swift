// The demo provider's thread: one epoll loop over its listener and its connections.
//
// Owns: the sockets, the order in which connections have their turn, the bounds on what they may hold.
// Called by: the demo provider, on a thread of its own. Never: waits for anything but the kernel's next event.

import CLinux
import Glibc

/// The loop; it lives on one thread.
final class DemoLoop {
  private static let listenerTag = UInt64.max
  private static let wakeTag = UInt64.max - 1

  private let listener: Int32
  private let wake: Wake
  let gap: UInt64
  private let poller: Poller
  private let scratch = BytePointer.allocate(capacity: Limits.readBytes)
  private let arena = Arena()
  var parser: HTTP1Parser
  let document = JSONDocument()
  var random = Random()
  var clock = Clock()
  private var connections: [DemoConnection?] = []
  private var freeSlots: [Int] = []
  private var serial: UInt32 = 0
  private var timers = DemoTimers()
  /// Connections that can go on at once but let others go first.
  private var queue: [DemoConnection] = []
  /// The bodies of all connections.
  var bodyBytes = 0
  private var isAccepting = false
  private var acceptsAgain: UInt64?

  /// nil when the process is out of descriptors.
  init?(listener: Int32, wake: Wake, gapMilliseconds: Int) {
    guard let poller = Poller() else { return nil }
    self.listener = listener
    self.wake = wake
    self.poller = poller
    gap = UInt64(max(0, gapMilliseconds))
    parser = HTTP1Parser(arena: arena)
    guard poller.addWake(wake.descriptor, tag: DemoLoop.wakeTag) else {
      poller.close()
      return nil
    }
  }

  deinit {
    for case .some(let connection) in connections { _ = Glibc.close(connection.socket) }
    poller.close()
    scratch.deallocate()
  }

  /// Serves until `isEnding` says so after a wake.
  func run(until isEnding: () -> Bool) {
    resumeAccepting()
    while true {
      let count = poller.wait(waitMilliseconds)
      clock.update()
      for index in 0..<count {
        let event = poller[index]
        switch event.tag {
        case DemoLoop.wakeTag:
          wake.acknowledge()
          if isEnding() { return }
        case DemoLoop.listenerTag: accept()
        default: handle(event)
        }
      }
      let waiting = queue
      queue.removeAll()
      for connection in waiting where isOpen(connection) {
        connection.isQueued = false
        serve(connection)
      }
      while let slot = timers.nextExpired(clock.milliseconds) {
        if let connection = connections[slot] { expire(connection) }
      }
      if let time = acceptsAgain, time <= clock.milliseconds { resumeAccepting() }
    }
  }

  private var waitMilliseconds: Int32 {
    if !queue.isEmpty { return 0 }
    let wait = timers.wait(clock.milliseconds)
    guard acceptsAgain != nil else { return wait }
    let pause = Int32(DemoBounds.acceptPause)
    return wait < 0 ? pause : min(wait, pause)
  }

  // MARK: connections

  private func resumeAccepting() {
    acceptsAgain = nil
    guard !isAccepting else { return }
    isAccepting = poller.addListener(listener, tag: DemoLoop.listenerTag)
    if !isAccepting { acceptsAgain = clock.milliseconds + DemoBounds.acceptPause }
  }

  private func pauseAccepting(until time: UInt64?) {
    if isAccepting { poller.remove(listener) }
    isAccepting = false
    acceptsAgain = time
  }

  private func accept() {
    while isAccepting {
      switch ListenerSocket.accept(listener) {
      case .none: return
      case .skipped: continue
      case .exhausted: pauseAccepting(until: clock.milliseconds + DemoBounds.acceptPause)
      case .connection(let socket, _): take(socket)
      }
    }
  }

  private func take(_ socket: Int32) {
    Syscall.setNoDelay(socket)
    serial &+= 1
    let slot = freeSlots.popLast() ?? connections.count
    if slot == connections.count { connections.append(nil) }
    // A serial of 31 bits cannot be taken for the listener's tag.
    let handle = Handle(index: Int32(slot), serial: serial & 0x7fff_ffff)
    let connection = DemoConnection(socket: socket, handle: handle, now: clock.milliseconds)
    guard poller.addConnection(socket, tag: handle.bits) else {
      _ = Glibc.close(socket)
      freeSlots.append(slot)
      return
    }
    connections[slot] = connection
    timers.arm(slot, connection.deadline)
    if connections.count - freeSlots.count >= DemoBounds.connections { pauseAccepting(until: nil) }
  }

  private func close(_ connection: DemoConnection) {
    guard isOpen(connection) else { return }
    _ = Glibc.close(connection.socket)
    bodyBytes -= connection.body.count
    timers.arm(connection.slot, nil)
    connections[connection.slot] = nil
    freeSlots.append(connection.slot)
    if acceptsAgain == nil { resumeAccepting() }
  }

  private func isOpen(_ connection: DemoConnection) -> Bool { connections[connection.slot] === connection }

  private func handle(_ event: PollEvent) {
    let handle = Handle(bits: event.tag)
    guard let connection = connections[Int(handle.index)], connection.handle == handle else { return }
    if event.isBroken { return close(connection) }
    if event.isReadable { connection.mayRead = true }
    if event.isWritable { connection.mayWrite = true }
    serve(connection)
    // Who has left while an answer is made does not get it, though its requests were not all read.
    if event.peerEnded, isOpen(connection), isAnswering(connection) { close(connection) }
  }

  private func isAnswering(_ connection: DemoConnection) -> Bool {
    switch connection.phase {
    case .waiting, .hanging, .streaming: true
    default: false
    }
  }

  private func expire(_ connection: DemoConnection) {
    switch connection.phase {
    case .waiting:
      connection.phase = .head
      if let question = connection.question { answer(connection, question) }
      serve(connection)
    case .streaming where !connection.isBlocked: serve(connection)
    default: close(connection)
    }
  }

  private func goOnLater(_ connection: DemoConnection) {
    if connection.isQueued { return }
    connection.isQueued = true
    queue.append(connection)
  }

  // MARK: turns

  /// Lets a connection go as far as it can, but not so far that others wait for long.
  private func serve(_ connection: DemoConnection) {
    var reads = 0
    while true {
      advance(connection)
      send(connection)
      guard isOpen(connection) else { return }
      guard connection.mayRead, connection.wantsInput, reads < DemoBounds.readsPerTurn else { break }
      reads += 1
      guard receive(connection) else { return close(connection) }
    }
    let goesOn = connection.mayWrite && hasMore(connection)
    if connection.peerEnded, isAnswering(connection) || connection.output.count == 0 && !goesOn {
      return close(connection)
    }
    if goesOn || connection.mayRead && connection.wantsInput { goOnLater(connection) }
    // What goes on in the next turn has no deadline in this one: met at once, it would keep all others waiting.
    timers.arm(connection.slot, connection.isQueued ? nil : connection.deadline)
  }

  /// Whether there is something to do that needs no event: more of a stream without gaps, or another request.
  private func hasMore(_ connection: DemoConnection) -> Bool {
    switch connection.phase {
    case .streaming: connection.due <= clock.milliseconds
    case .head: connection.input.count > 0 && connection.hasUntriedInput
    case .body: connection.input.count > 0 || connection.reader.isEnded
    default: false
    }
  }

  /// Reads once; false when the connection is gone.
  private func receive(_ connection: DemoConnection) -> Bool {
    switch Syscall.read(connection.socket, scratch, Limits.readBytes) {
    case .wouldBlock: connection.mayRead = false
    case .ended:
      connection.mayRead = false
      connection.peerEnded = true
    case .failed: return false
    case .bytes(let count):
      if connection.phase == .lingering {
        connection.lingered += count
        return connection.lingered <= DemoBounds.lingerBytes
      }
      connection.progress = clock.milliseconds
      connection.hasUntriedInput = true
      connection.input.append(contentsOf: UnsafeBufferPointer(start: scratch, count: count))
    }
    return true
  }

  private func send(_ connection: DemoConnection) {
    var sent = 0
    while connection.mayWrite, sent < connection.output.count {
      let result = connection.output.bytes.withUnsafeBufferPointer { bytes in
        bytes.baseAddress.map { Syscall.write(connection.socket, $0 + sent, bytes.count - sent) } ?? .wouldBlock
      }
      switch result {
      case .bytes(let count): sent += count
      case .wouldBlock, .ended: connection.mayWrite = false
      case .failed: return close(connection)
      }
    }
    if sent > 0 {
      connection.progress = clock.milliseconds
      connection.output.removeFirst(sent)
    }
    guard connection.phase == .closing, connection.output.count == 0 else { return }
    guard connection.lingers, !connection.peerEnded else { return close(connection) }
    shutdown(connection.socket, Int32(SHUT_WR))
    connection.phase = .lingering
    connection.input.removeAll()
  }

  /// Eats input and makes output until one of them has to be waited for.
  private func advance(_ connection: DemoConnection) {
    var taken = 0
    defer { connection.removeInput(taken) }
    while !connection.isBlocked {
      switch connection.phase {
      case .head:
        guard taken < connection.input.count, connection.hasUntriedInput else { return }
        taken += readHead(connection, from: taken)
      case .body: if !readBody(connection, &taken) { return }
      case .streaming: if !stepStream(connection) { return }
      case .waiting, .hanging, .closing, .lingering: return
      }
    }
  }
}
