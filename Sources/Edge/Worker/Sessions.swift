// The driver and WebSockets: what their connections bring is read as frames, what they are told is written, and what is
// due is done when its time has come. How one ends, its machine in Downstream says.
//
//   serveSession ─▶ readSession ─▶ takeFrames ─▶ a piece of a message ─▶ takeMessage (SessionMessages.swift)
//        │                            └▶ ping, pong, close, a broken rule
//        └▶ resumeSession: what has waited for the peer goes on
//
// Ways to its end: `endSession` when its requests have ended, `breakSession` at once, and the peer is waited for,
// `failSession` at once, for nothing of the peer can be read any more. Two free it: `releaseSession` when all is sent,
// `loseSession` when the connection is gone.

import Glibc

extension Worker {
  /// The connection of an upgrade that was answered is a WebSocket from now on.
  func startSession(_ session: Int32, on server: Int32) {
    let slot = sessions.slots + Int(session)
    let connection = connections.slots + Int(server)
    slot.pointee.connection = server
    connection.pointee.role = .serverSession
    connection.pointee.session = session
    metrics.noteSessionOpened(worker: index)
    metrics.users.joined(user: slot.pointee.user, role: slot.pointee.role)
    if slot.pointee.generation != rows.number { moveSession(session) }
    slot.pointee.pingAt = clock.milliseconds + slot.pointee.pingMilliseconds
    if isLeaving(server) { endSession(session, .drain) }
    armSession(session)
    if connection.pointee.isReadable || !connection.pointee.input.isEmpty { markReady(server) }
  }

  /// Something happened on its connection, or it has more to do.
  func serveSession(_ server: Int32) {
    let connection = connections.slots + Int(server)
    let session = connection.pointee.session
    let slot = sessions.slots + Int(session)
    let serial = slot.pointee.serial
    if connection.pointee.isBroken {
      loseSession(session)
      return
    }
    if connection.pointee.isWritable, !connection.pointee.output.isEmpty {
      guard flush(server) else {
        loseSession(session)
        return
      }
      slot.pointee.sendsUntil =
        connection.pointee.output.isEmpty ? TimerWheel.never : clock.milliseconds + rows.sendMilliseconds
      armSession(session)
    }
    if slot.pointee.machine.state == .ended {
      if connection.pointee.output.isEmpty { releaseSession(session) }
      return
    }
    // What the peer says comes first: more of an answer would fill the room that a pong needs.
    readSession(session)
    if slot.pointee.serial != serial || slot.pointee.machine.state == .ended { return }
    if connection.pointee.output.count <= Limits.unsentLow { resumeSession(session) }
  }

  // MARK: Reading

  /// Messages that one connection may bring in a turn.
  private static var messagesPerTurn: Int { 16 }

  /// Whether more may come in: not while the peer takes nothing of what it has asked for, and while a long answer is on
  /// its way only as much as may wait behind it.
  private func mayRead(_ session: Int32) -> Bool {
    let slot = sessions.slots[Int(session)]
    return hasRoom(session) && (slot.sender < 0 || slot.inFlight < slot.requestsMax)
  }

  /// Whether the peer takes what it is sent.
  private func hasRoom(_ session: Int32) -> Bool {
    connections.slots[Int(sessions.slots[Int(session)].connection)].output.count <= Limits.unsentHigh
  }

  private func readSession(_ session: Int32) {
    let serial = sessions.slots[Int(session)].serial
    let server = sessions.slots[Int(session)].connection
    let connection = connections.slots + Int(server)
    var hasRead = false
    for _ in 0..<Worker.messagesPerTurn {
      guard mayRead(session) else {
        // Nobody is there to take what waits.
        if connection.pointee.peerEnded { loseSession(session) }
        return
      }
      var bytes = scratch
      var count = 0
      if let block = connection.pointee.input.block {
        bytes = block + Int(connection.pointee.input.start)
        count = connection.pointee.input.count
      } else {
        guard connection.pointee.isReadable else { return }
        if hasRead { break }
        hasRead = true
        switch read(server) {
        case .bytes(let read):
          count = read
          // Whoever sends is there; in the middle of a long frame no pong can come.
          sessions.slots[Int(session)].awaitsPong = false
        case .wouldBlock: return
        case .ended, .failed:
          loseSession(session)
          return
        }
      }
      takeFrames(session, bytes, count)
      // It may have ended, and the slot may have another owner.
      if sessions.slots[Int(session)].serial != serial || sessions.slots[Int(session)].machine.state == .ended {
        return
      }
    }
    markReady(server)
  }

  /// Reads frames up to the end of a message, or all there are. What is not read stays with the connection: running a
  /// message uses the area that it was read into.
  private func takeFrames(_ session: Int32, _ bytes: BytePointer, _ count: Int) {
    let slot = sessions.slots + Int(session)
    let server = slot.pointee.connection
    var place = 0
    while true {
      let step = slot.pointee.reader.next(bytes + place, count - place)
      let content = bytes + place + step.start
      place += step.consumed
      switch step.kind {
      case .partial:
        keepRest(server, bytes, count, count)
        armSession(session)
        return
      case .data:
        guard takeData(session, content, step) else {
          dropInput(server)
          return
        }
        if !step.isLast { continue }
        keepRest(server, bytes, place, count)
        if slot.pointee.machine.state == .closing { return }
        if slot.pointee.dropsMessage {
          slot.pointee.dropsMessage = false
          tellSession(session, .serviceUnavailable)
        } else {
          takeMessage(session)
        }
        return
      case .ping, .pong:
        if slot.pointee.machine.state == .closing { continue }
        guard takeControl(session, step.kind) else {
          dropInput(server)
          return
        }
        if mayRead(session) { continue }
        keepRest(server, bytes, place, count)
        return
      case .close:
        dropInput(server)
        performSession(session, slot.pointee.machine.peerClosed(), echo: step.code)
        return
      case .fault:
        dropInput(server)
        failSession(session, step.code ?? .protocolError)
        return
      }
    }
  }

  /// Adds a piece to the message that is coming; false when that ended the WebSocket.
  private func takeData(_ session: Int32, _ bytes: BytePointer, _ step: WebSocketStep) -> Bool {
    let slot = sessions.slots + Int(session)
    // After a close frame nothing is answered any more.
    if slot.pointee.machine.state == .closing { return true }
    guard step.isText else {
      breakSession(session, .unsupported, .protocolError)
      return false
    }
    if slot.pointee.messageSince == 0 { slot.pointee.messageSince = max(1, clock.milliseconds) }
    if step.isLast { slot.pointee.messageSince = 0 }
    if slot.pointee.dropsMessage { return true }
    if slot.pointee.message.append(bytes, step.count, &buffers, shared.bodies) == .granted { return true }
    // Others have taken the memory that there is for bodies: this message is refused, and nothing else.
    slot.pointee.message.giveBack(&buffers, shared.bodies)
    slot.pointee.dropsMessage = true
    return true
  }

  /// A ping or a pong; false when there were too many.
  private func takeControl(_ session: Int32, _ kind: WebSocketStep.Kind) -> Bool {
    let slot = sessions.slots + Int(session)
    let second = clock.milliseconds / 1_000
    if second != slot.pointee.controlSecond { (slot.pointee.controlSecond, slot.pointee.controlFrames) = (second, 0) }
    slot.pointee.controlFrames += 1
    if Int(slot.pointee.controlFrames) > Limits.controlFramesMax {
      breakSession(session, .policyViolation, .limit)
      return false
    }
    if kind == .pong {
      slot.pointee.awaitsPong = false
      return true
    }
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    slot.pointee.reader.withControl { writer.appendControl(.pong, $0) }
    sendOn(session, outgoing, writer.count)
    return true
  }

  // MARK: Writing

  /// Sends at once what the peer takes, and keeps the rest. A connection that turns out to be gone is noticed when this
  /// turn's events are served: whoever sends is in the middle of something.
  func sendOn(_ session: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    let slot = sessions.slots + Int(session)
    let server = slot.pointee.connection
    let connection = connections.slots + Int(server)
    if connection.pointee.isBroken { return }
    guard send(server, bytes, count) else {
      connection.pointee.isBroken = true
      markReady(server)
      return
    }
    guard !connection.pointee.output.isEmpty, slot.pointee.sendsUntil == TimerWheel.never else { return }
    slot.pointee.sendsUntil = clock.milliseconds + rows.sendMilliseconds
    armSession(session)
  }

  /// The peer has taken enough: what waited for it goes on, one exchange after the other. When it takes no more, the
  /// next time begins there.
  private func resumeSession(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    if slot.pointee.inFlight == 0 { return }
    pumpMessage(session)
    var exchange = slot.pointee.turn >= 0 ? slot.pointee.turn : slot.pointee.firstMessage
    var left = slot.pointee.inFlight
    while exchange >= 0, left > 0, slot.pointee.sender < 0, hasRoom(session) {
      // It may end now, and with it its place in the list.
      let following = exchanges.slots[Int(exchange)].nextSibling
      slot.pointee.turn = following
      resumeMessage(exchange)
      exchange = slot.pointee.turn >= 0 ? slot.pointee.turn : slot.pointee.firstMessage
      left -= 1
    }
    let server = slot.pointee.connection
    if connections.slots[Int(server)].isReadable || !connections.slots[Int(server)].input.isEmpty { markReady(server) }
  }

  // MARK: What is due

  /// The connection's timer stands for whatever is due first.
  func armSession(_ session: Int32) {
    let slot = sessions.slots[Int(session)]
    var due = min(slot.endsAt, slot.sendsUntil)
    if slot.machine.state == .open || slot.machine.state == .ending {
      due = min(due, slot.pingAt, messageDeadline(slot))
      if slot.machine.state == .open { due = min(due, slot.expiresAt) }
    }
    wheel.arm(slot.connection, due)
  }

  /// A message may take as long as `timeouts.body`, and a millisecond more for each 16 bytes.
  private func messageDeadline(_ slot: Session) -> UInt64 {
    if slot.messageSince == 0 { return TimerWheel.never }
    return slot.messageSince + rows.bodyMilliseconds + UInt64(slot.message.count) / Limits.slowBodyBytes
  }

  /// Something is due.
  func sessionTimerExpired(_ server: Int32) {
    let session = connections.slots[Int(server)].session
    let slot = sessions.slots + Int(session)
    let now = clock.milliseconds
    let isOpen = slot.pointee.machine.state == .open
    if slot.pointee.endsAt <= now {
      slot.pointee.endsAt = TimerWheel.never
      if slot.pointee.machine.state == .ended {
        releaseSession(session, isPatient: false)
      } else {
        performSession(session, slot.pointee.machine.timedOut())
      }
    } else if slot.pointee.sendsUntil <= now {
      // Who takes nothing does not take a close frame either.
      slot.pointee.sendsUntil = TimerWheel.never
      _ = slot.pointee.machine.brokenOff(.slow)
      loseSession(session)
    } else if messageDeadline(slot.pointee) <= now {
      messageIsLate(session)
    } else if isOpen, slot.pointee.expiresAt <= now {
      tellSession(session, .sessionExpired)
      endSession(session, .expired)
    } else {
      if slot.pointee.pingAt <= now { ping(session) }
      armSession(session)
    }
  }

  /// A message takes too long, unless it is Edge that has not read it.
  private func messageIsLate(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    let connection = connections.slots[Int(slot.pointee.connection)]
    if mayRead(session), !connection.isReadable, connection.input.isEmpty {
      breakSession(session, .policyViolation, .slow)
    } else {
      slot.pointee.messageSince = clock.milliseconds
      armSession(session)
    }
  }

  private func ping(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    slot.pointee.pingAt = clock.milliseconds + slot.pointee.pingMilliseconds
    // While nothing is read, no pong can be seen, and who takes nothing has a deadline of its own.
    guard mayRead(session), !connections.slots[Int(slot.pointee.connection)].isReadable else {
      slot.pointee.awaitsPong = false
      return
    }
    if slot.pointee.awaitsPong {
      performSession(session, slot.pointee.machine.brokenOff(.idle))
      return
    }
    slot.pointee.awaitsPong = true
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.appendControl(.ping, UnsafeBufferPointer(start: nil, count: 0))
    sendOn(session, outgoing, writer.count)
  }

  // MARK: The end

  /// It ends when its requests have.
  func endSession(_ session: Int32, _ why: SessionEnd) {
    let slot = sessions.slots + Int(session)
    performSession(session, slot.pointee.machine.mustEnd(why, isBusy: slot.pointee.inFlight > 0))
  }

  /// The peer has broken a rule.
  private func failSession(_ session: Int32, _ code: CloseCode) {
    let slot = sessions.slots + Int(session)
    let actions = slot.pointee.machine.faulted(code == .tooLarge ? .tooLarge : .protocolError)
    if code == .tooLarge, actions.closes { tellSession(session, .messageTooLarge) }
    slot.pointee.closeCode = code
    performSession(session, actions)
  }

  /// The peer sends what cannot be taken, or there is no room for it.
  func breakSession(_ session: Int32, _ code: CloseCode, _ why: SessionEnd) {
    let slot = sessions.slots + Int(session)
    let actions = slot.pointee.machine.brokenOff(why)
    if actions == .nothing { return }
    slot.pointee.closeCode = code
    performSession(session, actions)
  }

  /// Does what the machine says, in its order.
  func performSession(_ session: Int32, _ actions: SessionActions, echo: CloseCode? = nil) {
    let slot = sessions.slots + Int(session)
    if actions.cancels { stopMessages(session) }
    if actions.closes || actions.echoes {
      slot.pointee.message.giveBack(&buffers, shared.bodies)
      slot.pointee.messageSince = 0
      slot.pointee.endsAt = clock.milliseconds + Limits.closeMilliseconds
      let code = actions.echoes ? echo : slot.pointee.closeCode ?? slot.pointee.machine.reason.closeCode
      var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
      writer.appendClose(code)
      sendOn(session, outgoing, writer.count)
    }
    if actions.ends, connections.slots[Int(slot.pointee.connection)].output.isEmpty {
      releaseSession(session)
    } else {
      armSession(session)
    }
  }

  /// Ends every request in flight. Those that its client does not end cost nothing for what was not answered.
  func stopMessages(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    let isEdges: Bool
    switch slot.pointee.machine.reason {
    case .drain, .reload, .internalError, .service: isEdges = true
    case .client, .protocolError, .tooLarge, .idle, .expired, .slow, .limit: isEdges = false
    }
    while case let exchange = slot.pointee.firstMessage, exchange >= 0 {
      let machine = exchanges.slots + Int(exchange)
      perform(exchange, isEdges ? machine.pointee.machine.stopped(.drain) : machine.pointee.machine.clientLeft())
    }
  }

  /// The connection is gone.
  func loseSession(_ session: Int32) {
    let server = sessions.slots[Int(session)].connection
    _ = sessions.slots[Int(session)].machine.lost()
    stopMessages(session)
    freeSession(session)
    closeConnection(server)
  }

  /// Nothing more is to be sent: the connection ends in order, or at once when that was waited for already.
  private func releaseSession(_ session: Int32, isPatient: Bool = true) {
    let server = sessions.slots[Int(session)].connection
    freeSession(session)
    if isPatient { startLinger(server) } else { closeConnection(server) }
  }

  /// Gives back what it holds. Its messages have ended.
  private func freeSession(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    metrics.noteSessionClosed(slot.pointee.machine.reason, worker: index)
    metrics.users.left(user: slot.pointee.user, role: slot.pointee.role)
    connections.slots[Int(slot.pointee.connection)].session = -1
    dropSession(session)
  }

  /// Gives back the memory of one that was taken, and the slot.
  func dropSession(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    slot.pointee.message.giveBack(&buffers, shared.bodies)
    free(slot.pointee.memory)
    slot.pointee.memory = nil
    sessions.give(session)
  }
}
