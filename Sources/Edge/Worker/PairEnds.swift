// How WebSockets between clients and services end, and what is due on them: the driver does what the machine in
// Downstream says, lets connections go when what waits for them is sent, and looks at the time now and then. Nothing is
// armed for a message: when the timer fires, the stamp of the last byte says whether anything was silent for too long.
// Continues SocketPairs.swift; what a reload does to them stands in SessionMoves.swift.

import CLinux
import Glibc

extension Worker {
  /// Does what the machine says, in its order.
  func performPair(_ pair: Int32, _ actions: PairActions) {
    let slot = pairs.slots + Int(pair)
    if let code = actions.toClient { tellPair(pair, .client, code) }
    if let code = actions.toService { tellPair(pair, .service, code) }
    if actions.finishesClient { slot.pointee.client.finishes = true }
    if actions.finishesService { slot.pointee.service.finishes = true }
    if actions.endsClient { slot.pointee.client.ends = true }
    if actions.endsService { slot.pointee.service.ends = true }
    if slot.pointee.machine.state != .open, !slot.pointee.isEnding {
      slot.pointee.isEnding = true
      slot.pointee.endsAt = clock.milliseconds + Limits.closeMilliseconds
    }
    let serial = slot.pointee.serial
    for side in PairSide.allCases where slot.pointee.serial == serial {
      let connection = slot.pointee[side].connection
      if connection >= 0, connections.slots[Int(connection)].output.isEmpty { outputEnded(pair, side) }
    }
    guard slot.pointee.serial == serial else { return }
    if isOver(pair) { freePair(pair) } else { armPair(pair) }
  }

  /// Nothing waits for a side any more: if that was awaited, its connection ends, or its sending side.
  func outputEnded(_ pair: Int32, _ side: PairSide) {
    let slot = pairs.slots + Int(pair)
    let connection = slot.pointee[side].connection
    if slot.pointee[side].ends {
      slot.pointee[side].connection = -1
      connections.slots[Int(connection)].session = -1
      startLinger(connection)
      if isOver(pair) { freePair(pair) } else { armPair(pair) }
    } else if slot.pointee[side].finishes {
      slot.pointee[side].finishes = false
      // Inside TLS there is no end of one direction that all peers understand.
      guard connections.slots[Int(connection)].tls == nil else {
        performPair(pair, slot.pointee.machine.lost(side.other))
        return
      }
      _ = shutdown(connections.slots[Int(connection)].fd, Int32(SHUT_WR))
    }
  }

  /// The connection of a side is gone, or of no use.
  func losePair(_ pair: Int32, _ side: PairSide, _ why: SessionEnd? = nil) {
    let slot = pairs.slots + Int(pair)
    let connection = slot.pointee[side].connection
    if connection < 0 { return }
    slot.pointee[side].connection = -1
    connections.slots[Int(connection)].session = -1
    closeConnection(connection)
    performPair(pair, slot.pointee.machine.lost(side, why))
  }

  /// Both connections have gone their ways.
  private func isOver(_ pair: Int32) -> Bool {
    pairs.slots[Int(pair)].client.connection < 0 && pairs.slots[Int(pair)].service.connection < 0
  }

  private func freePair(_ pair: Int32) {
    let slot = pairs.slots + Int(pair)
    metrics.noteSessionClosed(slot.pointee.machine.reason, worker: index)
    metrics.users.left(user: slot.pointee.user, role: slot.pointee.role)
    dropPairSlot(pair)
  }

  /// Gives the slot back, and what it knows.
  func dropPairSlot(_ pair: Int32) {
    free(pairs.slots[Int(pair)].memory)
    pairs.slots[Int(pair)].memory = nil
    pairs.slots[Int(pair)].client.connection = -1
    pairs.slots[Int(pair)].service.connection = -1
    pairs.give(pair)
  }

  /// Edge stops, or the listener is gone: a tunnel goes on, for nothing can be said in it.
  func drainPair(_ server: Int32) {
    let pair = connections.slots[Int(server)].session
    if pairs.slots[Int(pair)].machine.isTunnel { return }
    performPair(pair, pairs.slots[Int(pair)].machine.mustEnd(.drain))
  }

  /// There is no more time.
  func cutPair(_ index: Int32) {
    let pair = connections.slots[Int(index)].session
    let slot = pairs.slots + Int(pair)
    let serial = slot.pointee.serial
    performPair(pair, slot.pointee.machine.mustEnd(.drain))
    if slot.pointee.serial == serial { closePair(pair) }
  }

  /// Closes whatever there is of it.
  private func closePair(_ pair: Int32) {
    let slot = pairs.slots + Int(pair)
    for side in PairSide.allCases {
      let connection = slot.pointee[side].connection
      if connection < 0 { continue }
      slot.pointee[side].connection = -1
      connections.slots[Int(connection)].session = -1
      closeConnection(connection)
    }
    freePair(pair)
  }

  // MARK: What is due

  /// The timer of one connection stands for whatever is due first.
  func armPair(_ pair: Int32) {
    let slot = pairs.slots + Int(pair)
    wheel.arm(timerOfPair(slot.pointee), due(slot.pointee))
  }

  /// Something is due then that was not before.
  func armPairSooner(_ pair: Int32, _ deadline: UInt64) {
    let timer = timerOfPair(pairs.slots[Int(pair)])
    if connections.slots[Int(timer)].timer.deadline > deadline { armPair(pair) }
  }

  private func timerOfPair(_ slot: SocketPair) -> Int32 {
    slot.client.connection >= 0 ? slot.client.connection : slot.service.connection
  }

  private func due(_ slot: SocketPair) -> UInt64 {
    if slot.machine.state != .open { return slot.endsAt }
    var due = min(slot.stamp + slot.idleMilliseconds, slot.expiresAt, slot.endsAt)
    for side in PairSide.allCases {
      due = min(due, slot[side].sendsUntil)
      if slot[side].partialSince != 0 { due = min(due, slot[side].partialSince + frameMilliseconds) }
    }
    return due
  }

  /// How long a frame may take that passes when it is whole: as a message on the platform's WebSockets.
  var frameMilliseconds: UInt64 { rows.bodyMilliseconds + UInt64(Limits.heldFrameBytes) / Limits.slowBodyBytes }

  /// Something is due.
  func pairTimerExpired(_ index: Int32) {
    let pair = connections.slots[Int(index)].session
    let slot = pairs.slots + Int(pair)
    let now = clock.milliseconds
    if slot.pointee.machine.state != .open {
      endIsDue(pair, now)
      return
    }
    for side in PairSide.allCases where slot.pointee[side].sendsUntil <= now {
      // Who takes nothing does not take a close frame either.
      losePair(pair, side, side == .client ? .slow : nil)
      return
    }
    if slot.pointee.expiresAt <= now {
      performPair(pair, slot.pointee.machine.mustEnd(.expired))
    } else if slot.pointee.endsAt <= now {
      performPair(pair, slot.pointee.machine.mustEnd(.reload))
    } else if slot.pointee.stamp + slot.pointee.idleMilliseconds <= now {
      performPair(pair, slot.pointee.machine.mustEnd(.idle))
    } else if !frameIsLate(pair, now) {
      armPair(pair)
    }
  }

  /// It has begun to end, and did not come to it.
  private func endIsDue(_ pair: Int32, _ now: UInt64) {
    let slot = pairs.slots + Int(pair)
    if slot.pointee.endsAt > now {
      armPair(pair)
    } else if slot.pointee.machine.state == .ended {
      closePair(pair)
    } else if slot.pointee.machine.isTunnel, slot.pointee.stamp + Limits.closeMilliseconds > now {
      // Of one direction the end was said; in the other there is still something on its way.
      slot.pointee.endsAt = slot.pointee.stamp + Limits.closeMilliseconds
      armPair(pair)
    } else {
      slot.pointee.endsAt = now + Limits.closeMilliseconds
      performPair(pair, slot.pointee.machine.timedOut())
    }
  }

  /// A frame takes too long to come, unless it is Edge that has not read it; true when that ends the WebSocket.
  private func frameIsLate(_ pair: Int32, _ now: UInt64) -> Bool {
    let slot = pairs.slots + Int(pair)
    for side in PairSide.allCases {
      let since = slot.pointee[side].partialSince
      if since == 0 || since + frameMilliseconds > now { continue }
      let other = slot.pointee[side.other].connection
      let isWaiting = other >= 0 && connections.slots[Int(other)].output.count > Limits.unsentHigh
      let isUnread = connections.slots[Int(slot.pointee[side].connection)].isReadable
      if isWaiting || isUnread {
        slot.pointee[side].partialSince = now
        continue
      }
      performPair(pair, slot.pointee.machine.faulted(side, .policyViolation, .slow))
      return true
    }
    return false
  }
}
