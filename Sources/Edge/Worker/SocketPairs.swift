// The driver and WebSockets between clients and services: what one side sends is checked, written anew and sent to the
// other, one read and one write at a time. Nothing else is done for a message, and between messages nothing is held.
//
//   servePair ─▶ pump ─▶ passFrames, or passBytes of a tunnel ─▶ send to the other side
//        │                   └▶ a close, a broken rule, a lost connection: the machine in Downstream (PairEnds.swift)
//        └▶ what has waited for this side is sent; then the other is read again
//
// A side is not read while the other has too much unsent. A frame of which only a part has come stays in the input of
// its connection.

import Glibc

extension Worker {
  /// Two connections are a WebSocket from now on.
  func startPair(_ pair: Int32) {
    let slot = pairs.slots + Int(pair)
    let serial = slot.pointee.serial
    let (client, service) = (slot.pointee.client.connection, slot.pointee.service.connection)
    connections.slots[Int(client)].role = .serverPair
    connections.slots[Int(service)].role = .clientPair
    for connection in [client, service] {
      connections.slots[Int(connection)].exchange = -1
      connections.slots[Int(connection)].session = pair
      connections.slots[Int(connection)].scanned = 0
      connections.slots[Int(connection)].isPaused = false
      wheel.arm(connection, TimerWheel.never)
    }
    metrics.noteSessionOpened(worker: index)
    metrics.users.joined(user: slot.pointee.user, role: slot.pointee.role)
    slot.pointee.stamp = clock.milliseconds
    if slot.pointee.generation != rows.number { movePair(pair) }
    if slot.pointee.serial == serial, isLeaving(client) { drainPair(client) }
    guard slot.pointee.serial == serial else { return }
    armPair(pair)
    // What came with the heads is looked at in the next turn, when the exchange has ended.
    for connection in [client, service] where connections.slots[Int(connection)].session == pair {
      if hasUnread(connection) { markReady(connection) }
    }
  }

  /// Something happened on one of the connections, or it has more to do.
  func servePair(_ index: Int32) {
    let connection = connections.slots + Int(index)
    let pair = connection.pointee.session
    let slot = pairs.slots + Int(pair)
    let (serial, owner) = (slot.pointee.serial, connection.pointee.serial)
    let side: PairSide = connection.pointee.role == .serverPair ? .client : .service
    if connection.pointee.isWritable, !connection.pointee.output.isEmpty, !connection.pointee.isBroken {
      flushPair(pair, side, index)
      // It may be over, or this side of it.
      guard slot.pointee.serial == serial, connection.pointee.serial == owner, connection.pointee.session == pair else {
        return
      }
    }
    if hasUnread(index) { pump(pair, side) }
  }

  /// Whether there may be something to read, or to look at.
  @inline(__always)
  private func hasUnread(_ index: Int32) -> Bool {
    let connection = connections.slots + Int(index)
    return connection.pointee.isReadable || Int(connection.pointee.scanned) < connection.pointee.input.count
  }

  // MARK: Reading

  /// One read of a side goes to the other.
  private func pump(_ pair: Int32, _ side: PairSide) {
    let slot = pairs.slots + Int(pair)
    let source = slot.pointee[side].connection
    if source < 0 { return }
    let connection = connections.slots + Int(source)
    guard slot.pointee.machine.reads(side) else {
      // It has said its end; that its connection is gone is all that is still to be known.
      if connection.pointee.isBroken { losePair(pair, side) }
      return
    }
    let target = slot.pointee[side.other].connection
    if slot.pointee.machine.passes(side), target >= 0,
      connections.slots[Int(target)].output.count > Limits.unsentHigh
    {
      return
    }
    let kept = connection.pointee.input.count
    var count = kept
    if let block = connection.pointee.input.block { memcpy(scratch, block + Int(connection.pointee.input.start), kept) }
    // What came with the head of a handshake was not looked at.
    if Int(connection.pointee.scanned) >= kept {
      switch read(source, behind: kept) {
      case .bytes(let read): count += read
      case .wouldBlock: return
      case .ended:
        if slot.pointee.machine.isTunnel {
          performPair(pair, slot.pointee.machine.finished(side))
        } else {
          losePair(pair, side)
        }
        return
      case .failed:
        losePair(pair, side)
        return
      }
      slot.pointee.stamp = clock.milliseconds
    }
    let (serial, owner) = (slot.pointee.serial, connection.pointee.serial)
    if slot.pointee.machine.isTunnel {
      passBytes(pair, side, count)
    } else {
      passFrames(pair, side, kept, count)
    }
    if slot.pointee.serial == serial, connection.pointee.serial == owner, connection.pointee.isReadable {
      markReady(source)
    }
  }

  /// What a side of a tunnel sends passes unread.
  private func passBytes(_ pair: Int32, _ side: PairSide, _ count: Int) {
    let source = pairs.slots[Int(pair)][side].connection
    dropInput(source)
    connections.slots[Int(source)].scanned = 0
    _ = sendPair(pair, to: side.other, scratch, count)
  }

  /// The frames of a side pass, strictly.
  private func passFrames(_ pair: Int32, _ side: PairSide, _ kept: Int, _ count: Int) {
    let slot = pairs.slots + Int(pair)
    let serial = slot.pointee.serial
    let passes = slot.pointee.machine.passes(side)
    let passage = slot.pointee[side].frames.rewrite(
      scratch, count, second: UInt32(truncatingIfNeeded: clock.milliseconds / 1_000), &masks)
    let isOver = passage.closes || passage.fault != nil
    let hasRoom = keepFrame(pair, side, kept, count, isOver ? count : passage.rest)
    if passes, passage.count > 0 {
      _ = sendPair(pair, to: side.other, scratch + passage.start, passage.count)
    }
    // The other one may be gone by now, and then perhaps both.
    guard slot.pointee.serial == serial else { return }
    if let fault = passage.fault {
      let why: SessionEnd =
        fault == .tooLarge ? .tooLarge : fault == .policyViolation ? .limit : .protocolError
      performPair(pair, slot.pointee.machine.faulted(side, fault, why))
    } else if passage.closes {
      performPair(pair, slot.pointee.machine.closed(side))
    } else if !hasRoom {
      performPair(pair, slot.pointee.machine.mustEnd(.internalError))
    }
  }

  /// Keeps the part of a frame that has come, `rest..<count` of the scratch area, of which the first `kept` bytes were
  /// kept before. False: there is no memory.
  private func keepFrame(_ pair: Int32, _ side: PairSide, _ kept: Int, _ count: Int, _ rest: Int) -> Bool {
    let slot = pairs.slots + Int(pair)
    let source = slot.pointee[side].connection
    let connection = connections.slots + Int(source)
    connection.pointee.scanned = Int32(count - rest)
    if rest == count {
      buffers.giveBack(&connection.pointee.input)
      slot.pointee[side].partialSince = 0
      return true
    }
    if rest > 0 || slot.pointee[side].partialSince == 0 {
      slot.pointee[side].partialSince = max(1, clock.milliseconds)
      armPairSooner(pair, clock.milliseconds + frameMilliseconds)
    }
    // Of the same frame more has come: what is kept of it stays where it is.
    if rest == 0, kept > 0 {
      return count == kept || buffers.append(&connection.pointee.input, scratch + kept, count - kept)
    }
    buffers.giveBack(&connection.pointee.input)
    return buffers.append(&connection.pointee.input, scratch + rest, count - rest)
  }

  // MARK: Writing

  /// Sends at once what a side takes, and keeps the rest; false when its connection is gone, and the machine knows.
  private func sendPair(_ pair: Int32, to side: PairSide, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let slot = pairs.slots + Int(pair)
    let target = slot.pointee[side].connection
    if target < 0 { return true }
    guard send(target, bytes, count) else {
      losePair(pair, side)
      return false
    }
    if !connections.slots[Int(target)].output.isEmpty { awaitTaking(pair, side) }
    return true
  }

  /// A side has not taken all that it is sent; it has some time to take something.
  private func awaitTaking(_ pair: Int32, _ side: PairSide) {
    let slot = pairs.slots + Int(pair)
    if slot.pointee[side].sendsUntil != TimerWheel.never { return }
    slot.pointee[side].sendsUntil = clock.milliseconds + rows.sendMilliseconds
    armPairSooner(pair, slot.pointee[side].sendsUntil)
  }

  /// Sends a close frame. A connection that turns out to be gone is noticed when it is served next: whoever sends is in
  /// the middle of something.
  func tellPair(_ pair: Int32, _ side: PairSide, _ code: CloseCode) {
    let target = pairs.slots[Int(pair)][side].connection
    if target < 0 || connections.slots[Int(target)].isBroken { return }
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.appendClose(code, mask: side == .service ? WebSocketMask(key: masks.next()) : nil)
    if send(target, outgoing, writer.count) { return }
    connections.slots[Int(target)].isBroken = true
    connections.slots[Int(target)].isReadable = true
    markReady(target)
  }

  /// A side takes what waits for it, and then the other is read again.
  private func flushPair(_ pair: Int32, _ side: PairSide, _ index: Int32) {
    let slot = pairs.slots + Int(pair)
    let serial = slot.pointee.serial
    guard flush(index) else {
      losePair(pair, side)
      return
    }
    let unsent = connections.slots[Int(index)].output.count
    slot.pointee[side].sendsUntil = unsent == 0 ? TimerWheel.never : clock.milliseconds + rows.sendMilliseconds
    if unsent == 0 { outputEnded(pair, side) }
    guard unsent <= Limits.unsentLow, slot.pointee.serial == serial else { return }
    let other = slot.pointee[side.other].connection
    if other >= 0, hasUnread(other) { pump(pair, side.other) }
  }
}
