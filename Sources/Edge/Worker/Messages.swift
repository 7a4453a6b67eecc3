// What a worker is told from outside: a new generation is there, connections of other workers, changed addresses,
// drain, stop.

import Glibc

extension InboxMessage {
  /// Nobody will act on it any more: what it carries goes back.
  func giveUp() {
    switch self {
    case .adopt(let fd, _, _, _): _ = close(fd)
    case .fetch(let ticket), .cancelFetch(let ticket): Unmanaged<FetchTicket>.fromOpaque(ticket).release()
    case .ledger(let ticket): Unmanaged<LedgerTicket>.fromOpaque(ticket).release()
    case .reloaded, .drain, .stop: break
    }
  }
}

extension Worker {
  /// Goes on with the newest generation, if that is not this one. What runs goes on with its own.
  @inline(__always)
  func adoptNewest() {
    let newest = shared.generations.newest
    if newest != current { adopt(newest) }
  }

  private func adopt(_ next: UnsafePointer<GenerationRows>) {
    leaveRemovedListeners(next)
    use(next)
    startMoving()
    shared.control.signal()
  }

  func readInbox() {
    inbox.acknowledge()
    // A change has no message but a wake-up: however many there are, none is lost to a full inbox.
    for change in shared.addresses.unseen(by: index) { endpoints.update(change.endpoint, change.addresses) }
    while let message = inbox.take() {
      switch message {
      case .adopt(let fd, let listener, let generation, let address):
        receive(fd, listener, from: generation.assumingMemoryBound(to: GenerationRows.self), address)
      case .fetch(let ticket): startFetch(ticket)
      case .cancelFetch(let ticket): cancelFetch(ticket)
      case .ledger(let ticket): readLedger(ticket)
      case .reloaded(let exchange): reloaded(Handle(bits: exchange))
      case .drain: startDrain()
      case .stop:
        cutAll()
        isStopped = true
      }
    }
  }

  /// No new connections; idle ones close, running exchanges finish until the deadline.
  private func startDrain() {
    if isDraining { return }
    leaveListeners()
    isDraining = true
    drainDeadline = clock.milliseconds + rows.drainMilliseconds
    acceptsAgainAt = TimerWheel.never
    shared.stopAccepting()
    forEachConnection { index, role in
      switch role {
      case .serverIdle, .serverHandshaking: closeUnlessAsking(index)
      case .clientIdle: closeConnection(index)
      case .serverSession: drainSession(index)
      case .serverPair: drainPair(index)
      case .free, .serverHead, .serverExchange, .serverLingering, .clientConnecting, .clientHandshaking,
        .clientExchange, .clientPair, .clientLingering, .fetchDeadline, .messageDeadline:
        break
      }
    }
  }

  /// Whether a draining worker has nothing left to do, or no time.
  func checkDrain() {
    let isIdle = counters.value(.serverConnections, worker: index) == 0 && exchanges.used == 0 && pairs.used == 0
    if !shared.isAnyAccepting, isIdle {
      isStopped = true
      return
    }
    if clock.milliseconds < drainDeadline { return }
    cutAll()
    isStopped = true
  }

  /// Nothing may go on: what runs is cut, charged for what came of it, and written down.
  private func cutAll() {
    forEachConnection { index, role in
      switch role {
      case .serverExchange, .fetchDeadline:
        let exchange = connections.slots[Int(index)].exchange
        perform(exchange, exchanges.slots[Int(exchange)].machine.stopped(.drain))
      case .serverSession: cutSession(index)
      case .serverPair, .clientPair: cutPair(index)
      case .serverHandshaking, .serverIdle, .serverHead, .serverLingering, .clientLingering: closeConnection(index)
      case .free, .clientConnecting, .clientHandshaking, .clientExchange, .clientIdle, .messageDeadline: break
      }
    }
  }

  /// Calls `body` for every slot that was ever used.
  func forEachConnection(_ body: (Int32, ConnectionRole) -> Void) {
    for index in 0..<connections.everUsed { body(index, connections.slots[Int(index)].role) }
  }
}
