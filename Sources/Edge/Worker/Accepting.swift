// How connections come to a worker: it accepts from every listener of its generation together with the other workers,
// keeps what it accepts or hands it to a worker with clearly fewer, and leaves a listener that a reload removed.

import CLinux
import Glibc

extension Worker {
  /// Some clients wait at a listener.
  func accept(_ listener: Int) {
    if joined & 1 << UInt64(listener) == 0 { return }
    for _ in 0..<Limits.acceptsPerWake {
      switch ListenerSocket.accept(rows.listeners[listener].fd) {
      case .none: return
      case .skipped: continue
      case .exhausted:
        pauseAccepting()
        shared.log.line(
          .warn, "accept_paused",
          [("reason", .text("out of file descriptors or memory")), ("worker", .number(index))])
        return
      case .connection(let fd, let address):
        Syscall.setNoDelay(fd)
        place(fd, UInt8(listener), address)
      }
    }
  }

  /// Keeps a new connection, or hands it to a worker with clearly fewer: one that stays behind by more than a
  /// sixteenth.
  private func place(_ fd: Int32, _ listener: UInt8, _ address: SocketAddress) {
    // Those of the control worker are for it alone.
    if index == shared.workers {
      keep(fd, listener, address)
      return
    }
    let mine = counters.value(.serverConnections, worker: index)
    var least = index
    var fewest = mine
    for other in 0..<shared.workers where other != index {
      let theirs = counters.value(.serverConnections, worker: other)
      if theirs < fewest { (least, fewest) = (other, theirs) }
    }
    if least != index, fewest + fewest / 16 < mine {
      // Counted at once: the next decision must not wait for the other worker's next turn.
      counters.addShared(1, to: .serverConnections, worker: least)
      let message = InboxMessage.adopt(
        fd: fd, listener: listener, generation: UnsafeRawPointer(current), address: address)
      shared.generations.beginHandOff(rows.place)
      if shared.inboxes[least].post(message) {
        counters.add(1, to: .handedOff, worker: index)
        return
      }
      shared.generations.endHandOff(rows.place)
      counters.addShared(-1, to: .serverConnections, worker: least)
    }
    keep(fd, listener, address)
  }

  private func keep(_ fd: Int32, _ listener: UInt8, _ address: SocketAddress) {
    counters.addShared(1, to: .serverConnections, worker: index)
    take(fd, listener, address)
  }

  /// A connection that another worker accepted while it served `generation`. When this one has adopted a newer one
  /// meanwhile that lacks the listener, or gives it to others, the connection is treated as if it had been there
  /// before: it is answered what it has asked, by the generation that had the listener.
  func receive(_ fd: Int32, _ listener: UInt8, from generation: UnsafePointer<GenerationRows>, _ address: SocketAddress)
  {
    if generation.pointee.number > rows.number { adoptNewest() }
    let (mine, then) = (rows.listeners[Int(listener)], generation.pointee.listeners[Int(listener)])
    // It may have become one for workers of the other kind, and the control worker has no policies.
    let isKnown = mine.since == then.since && mine.isControl == then.isControl
    if isKnown { take(fd, listener, address) } else { takeLeft(fd, listener, from: generation, address) }
    shared.generations.endHandOff(generation.pointee.place)
    // It may have been all that the generation lived for.
    if !isKnown { shared.control.signal() }
  }

  private func takeLeft(
    _ fd: Int32, _ listener: UInt8, from generation: UnsafePointer<GenerationRows>, _ address: SocketAddress
  ) {
    let taken = withGeneration(generation) { () -> Int32 in
      let taken = take(fd, listener, address)
      // A worker that drains has done so already, and the slot may have another owner.
      if taken >= 0, !isDraining { closeUnlessAsking(taken) }
      return taken
    }
    if taken >= 0, connections.slots[Int(taken)].role.isServer {
      connections.slots[Int(taken)].listener = ListenerBoard.none
    }
  }

  /// Takes a connection in that is already counted as this worker's; -1 when there is no slot for it.
  @discardableResult
  func take(_ fd: Int32, _ listener: UInt8, _ address: SocketAddress) -> Int32 {
    let isSecure = rows.listeners[Int(listener)].certificate >= 0
    let taken = open(fd, role: isSecure ? .serverHandshaking : .serverIdle)
    guard taken >= 0 else {
      counters.addShared(-1, to: .serverConnections, worker: index)
      counters.add(1, to: .refusedConnections, worker: index)
      _ = close(fd)
      return -1
    }
    let slot = connections.slots + Int(taken)
    slot.pointee.listener = listener
    slot.pointee.address = address
    slot.pointee.isWritable = true
    wheel.arm(taken, clock.milliseconds + (isSecure ? rows.handshakeMilliseconds : rows.headMilliseconds))
    if isDraining { closeUnlessAsking(taken) }
    return taken
  }

  /// An idle connection closes, but a request that has arrived on it meanwhile is still answered, and a handshake that
  /// has begun is for one that is about to.
  func closeUnlessAsking(_ index: Int32) {
    connections.slots[Int(index)].isReadable = true
    let serial = connections.slots[Int(index)].serial
    let wasShaking = connections.slots[Int(index)].role == .serverHandshaking
    serve(index)
    let slot = connections.slots + Int(index)
    guard slot.pointee.serial == serial else { return }
    switch slot.pointee.role {
    case .serverIdle where wasShaking:
      wheel.arm(index, clock.milliseconds + UInt64(Limits.firstRequestMilliseconds))
    case .serverIdle: closeConnection(index)
    case .serverHandshaking where slot.pointee.tls == nil: closeConnection(index)
    default: break
    }
  }

  // MARK: Listeners

  private func forEachJoined(_ body: (Int) -> Void) {
    for place in 0..<ListenerBoard.places where joined & 1 << UInt64(place) != 0 { body(place) }
  }

  /// Accepts from all listeners of the current generation that are for workers of this kind.
  func joinListeners() {
    let isControl = index == shared.workers
    for place in 0..<ListenerBoard.places
    where rows.listeners[place].fd >= 0 && rows.listeners[place].isControl == isControl
      && joined & 1 << UInt64(place) == 0
    {
      joined |= 1 << UInt64(place)
      shared.listeners.join(place)
      if acceptsAgainAt == TimerWheel.never, !poll(place) { pauseAccepting() }
    }
  }

  private func poll(_ place: Int) -> Bool {
    poller.addListener(rows.listeners[place].fd, tag: Worker.listenerTagBase + UInt64(place))
  }

  /// Descriptors ran out: nothing is accepted for a moment.
  private func pauseAccepting() {
    forEachJoined { poller.remove(rows.listeners[$0].fd) }
    acceptsAgainAt = clock.milliseconds + UInt64(Limits.acceptPauseMilliseconds)
  }

  /// The moment is over.
  func acceptAgain() {
    acceptsAgainAt = TimerWheel.never
    var isPolled = true
    forEachJoined { isPolled = isPolled && poll($0) }
    if !isPolled { pauseAccepting() }
  }

  /// Accepts no more from a listener. Clients in its queue were promised a connection by the kernel.
  func leaveListener(_ place: Int, isEnd: Bool = true) {
    if acceptsAgainAt == TimerWheel.never { acceptAll(place) }
    joined &= ~(1 << UInt64(place))
    poller.remove(rows.listeners[place].fd)
    shared.listeners.leave(place, rows.listeners[place].fd, isEnd: isEnd)
  }

  /// Accepts no more at all.
  func leaveListeners() { forEachJoined { leaveListener($0) } }

  /// Leaves what the next generation does not have: who is connected there is answered what was asked, by the
  /// generation that had the listener, and then the connection ends.
  func leaveRemovedListeners(_ next: UnsafePointer<GenerationRows>) {
    forEachJoined { place in
      let isKept = next.pointee.listeners[place].since == rows.listeners[place].since
      // It may have become one for workers of the other kind.
      if isKept, next.pointee.listeners[place].isControl == rows.listeners[place].isControl { return }
      leaveListener(place, isEnd: !isKept)
      forEachConnection { index, role in
        guard role.isServer, connections.slots[Int(index)].listener == UInt8(place) else { return }
        if role == .serverIdle || role == .serverHandshaking {
          if isKept, handOver(index, next) { return }
          closeUnlessAsking(index)
        }
        if role == .serverSession { drainSession(index) }
        if role == .serverPair { drainPair(index) }
        connections.slots[Int(index)].listener = ListenerBoard.none
      }
    }
  }

  /// Gives a connection that has said nothing yet to a worker of the other kind, by the generation that this one is
  /// about to adopt.
  private func handOver(_ index: Int32, _ next: UnsafePointer<GenerationRows>) -> Bool {
    let slot = connections.slots + Int(index)
    guard slot.pointee.input.isEmpty, slot.pointee.output.isEmpty, slot.pointee.tls == nil else { return false }
    let message = InboxMessage.adopt(
      fd: slot.pointee.fd, listener: slot.pointee.listener, generation: UnsafeRawPointer(next),
      address: slot.pointee.address)
    let taker = self.index == shared.workers ? 0 : shared.workers
    poller.remove(slot.pointee.fd)
    shared.generations.beginHandOff(next.pointee.place)
    counters.addShared(1, to: .serverConnections, worker: taker)
    guard shared.inboxes[taker].post(message) else {
      counters.addShared(-1, to: .serverConnections, worker: taker)
      shared.generations.endHandOff(next.pointee.place)
      return false
    }
    slot.pointee.fd = -1
    closeConnection(index)
    return true
  }

  private func acceptAll(_ place: Int) {
    // As many as any queue holds; an error that stays is no reason to stay.
    for _ in 0..<Limits.acceptsAtDrain {
      switch ListenerSocket.accept(rows.listeners[place].fd) {
      case .connection(let fd, let address):
        Syscall.setNoDelay(fd)
        keep(fd, UInt8(place), address)
      case .skipped: continue
      case .none, .exhausted: return
      }
    }
  }
}
