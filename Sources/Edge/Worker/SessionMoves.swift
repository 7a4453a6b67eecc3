// WebSockets and what happens around them: a new generation, a listener that is gone, a worker that drains or stops.
// One of an unchanged route goes on for free; one of a changed route does what the route says (`on_reload`).

import Glibc

extension Worker {
  /// All of them are looked at after a reload, some in each turn.
  func startMoving() { movedSessions = 0 }

  /// Looks at some; pairs come behind sessions.
  func moveSessions() {
    let count = sessions.everUsed + pairs.everUsed
    let end = min(movedSessions + Int32(Limits.sessionsMovedPerTurn), count)
    while movedSessions < end {
      let session = movedSessions
      movedSessions += 1
      if session >= sessions.everUsed {
        let slot = pairs.slots + Int(session - sessions.everUsed)
        let isThere = slot.pointee.client.connection >= 0 || slot.pointee.service.connection >= 0
        if isThere, slot.pointee.generation != rows.number { movePair(session - sessions.everUsed) }
        continue
      }
      let slot = sessions.slots + Int(session)
      if slot.pointee.memory == nil || slot.pointee.connection < 0 { continue }
      if slot.pointee.generation != rows.number { moveSession(session) }
    }
    if movedSessions >= count { movedSessions = .max }
  }

  /// Takes one over to this generation.
  func moveSession(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    slot.pointee.generation = rows.number
    let route = socketRoute(slot.pointee.name)
    if route < 0 {
      // There is nothing any more that could answer it. Its row is not read again.
      slot.pointee.route = -1
      endSession(session, .reload)
      return
    }
    let row = rows.routeRows[Int(route)]
    let isSame = row.contentHash == slot.pointee.routeHash
    slot.pointee.route = route
    slot.pointee.routeHash = row.contentHash
    slot.pointee.pingMilliseconds = row.socket.pingMilliseconds
    slot.pointee.requestsMax = row.socket.requestsMax
    slot.pointee.reader.messageBytesMax = Int(row.socket.messageBytesMax)
    if isSame { return }
    switch row.socket.onReload {
    case .keep: break
    case .drain(let milliseconds):
      endSession(session, .reload)
      guard slot.pointee.machine.state == .ending else { return }
      slot.pointee.endsAt = min(slot.pointee.endsAt, clock.milliseconds + UInt64(milliseconds))
      armSession(session)
    case .close: performSession(session, slot.pointee.machine.brokenOff(.reload))
    }
  }

  /// The route of this name that speaks on WebSockets; -1: there is none.
  private func socketRoute(_ name: UnsafeBufferPointer<UInt8>) -> Int32 {
    guard let start = name.baseAddress else { return -1 }
    for route in 0..<rows.routeCount where rows.routeRows[route].isSocket {
      let known = rows.routeRows[route].name
      if known.count == name.count, equalBytes(known.start, start, known.count) { return Int32(route) }
    }
    return -1
  }

  /// Takes a WebSocket to a service over to this generation.
  func movePair(_ pair: Int32) {
    let slot = pairs.slots + Int(pair)
    slot.pointee.generation = rows.number
    guard let route = (0..<rows.routeCount).first(where: { opensPairs(rows.routeRows[$0], slot.pointee.route) }) else {
      performPair(pair, slot.pointee.machine.mustEnd(.reload))
      return
    }
    let row = rows.routeRows[route]
    let isSame = row.contentHash == slot.pointee.routeHash
    slot.pointee.routeHash = row.contentHash
    slot.pointee.idleMilliseconds = row.serviceSocket.idleMilliseconds
    slot.pointee.client.frames.messageBytesMax = row.serviceSocket.messageBytesMax
    if isSame { return }
    switch row.socket.onReload {
    case .keep: armPair(pair)
    case .drain(let milliseconds):
      if slot.pointee.machine.state != .open { return }
      slot.pointee.endsAt = min(slot.pointee.endsAt, clock.milliseconds + UInt64(milliseconds))
      armPair(pair)
    case .close: performPair(pair, slot.pointee.machine.mustEnd(.reload))
    }
  }

  /// Whether WebSockets to a service are opened on a route, and it has this name.
  private func opensPairs(_ row: RouteRow, _ name: UInt64) -> Bool {
    row.nameHash == name && row.service >= 0 && row.serviceSocket.treatment != .refuse
  }

  /// Edge stops, or the listener is gone: no new requests.
  func drainSession(_ server: Int32) { endSession(connections.slots[Int(server)].session, .drain) }

  /// There is no more time.
  func cutSession(_ server: Int32) {
    let session = connections.slots[Int(server)].session
    performSession(session, sessions.slots[Int(session)].machine.brokenOff(.drain))
    if connections.slots[Int(server)].role == .serverSession { loseSession(session) }
  }
}
