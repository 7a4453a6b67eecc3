// The driver opens a WebSocket: a request like any other until its policies have let it pass. Then it is answered with
// 101, its exchange ends, and the connection is a session.
//
//   route ─▶ askUpgrade ─▶ the policies ─▶ acceptUpgrade ─▶ finish ─▶ startSession (Sessions.swift)

import Glibc

extension Worker {
  /// The route is spoken on WebSockets.
  func askUpgrade(_ exchange: Int32, _ request: ArrivedRequest, _ row: RouteRow) {
    let slot = exchanges.slots + Int(exchange)
    guard request.head.method == .get else {
      discardEarlyBody(exchange, request)
      replyDetail.allowed = Method.get.bit
      refuse(exchange, .methodNotAllowed, .refused)
      return
    }
    switch WebSocketHandshake.read(request.head, request.received) {
    case .none:
      discardEarlyBody(exchange, request)
      refuse(exchange, .upgradeRequired, .refused)
    case .refused(let code, let message):
      discardEarlyBody(exchange, request)
      replyDetail.message = StaticBytes(message)
      refuse(exchange, code, .clientError)
    case .valid:
      guard !isLeaving(slot.pointee.server) else {
        discardEarlyBody(exchange, request)
        refuse(exchange, .serviceUnavailable, .refused)
        return
      }
      guard request.received.count(named: "origin") < 2, row.socket.allows(request.received.value(named: "origin"))
      else {
        discardEarlyBody(exchange, request)
        replyDetail.message = StaticBytes("Pages of this origin may not open a WebSocket here.")
        refuse(exchange, .forbidden, .refused)
        return
      }
      slot.pointee.upgrades = true
      if row.policyCount > 0 { askPolicies(exchange, request) } else { acceptUpgrade(exchange, request) }
    }
  }

  /// Nobody objects.
  func acceptUpgrade(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    guard case .valid(let key) = WebSocketHandshake.read(request.head, request.received),
      let facts = facts(of: exchange)
    else {
      discardEarlyBody(exchange, request)
      refuse(exchange, .policyError, .policyError)
      return
    }
    let context = slot.pointee.policyContext
    if context >= 0, let expires = machine(of: exchange).expires(context), expires <= clock.wall / 1_000_000_000 {
      // Tolerance for clocks ends here: it would be over as soon as it is open.
      discardEarlyBody(exchange, request)
      refuse(exchange, .sessionExpired, .refused)
      return
    }
    let session = isLeaving(slot.pointee.server) ? -1 : takeSession(exchange, facts)
    guard session >= 0 else {
      discardEarlyBody(exchange, request)
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    slot.pointee.session = session
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.append("HTTP/1.1 101 Switching Protocols\r\ndate: ")
    writer.append(date())
    writer.append("\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ")
    WebSocketHandshake.appendAccept(key, to: &writer)
    if case .list(let name) = RequestCredential.subprotocol(request.received) {
      writer.append("\r\nsec-websocket-protocol: ")
      writer.append(name)
    }
    writer.append("\r\nx-request-id: ")
    writer.append(requestID(of: exchange))
    writer.append("\r\n\r\n")
    // What follows the head are frames already.
    keepRest(slot.pointee.server, request.bytes, request.head.count, request.count)
    slot.pointee.record.status = 101
    perform(exchange, slot.pointee.machine.replied(.completed))
    if send(slot.pointee.server, outgoing, writer.count) {
      flushOrWait(exchange)
    } else {
      perform(exchange, slot.pointee.machine.clientLeft())
    }
  }

  /// What the policies have found out about the client, for its messages; nil when that is too much.
  private func facts(of exchange: Int32) -> UnsafeBufferPointer<UInt8>? {
    let context = exchanges.slots[Int(exchange)].policyContext
    if context < 0 { return UnsafeBufferPointer(start: nil, count: 0) }
    return machine(of: exchange).facts(context)
  }

  /// A slot that knows what the policies have found out; -1: there is no room.
  private func takeSession(_ exchange: Int32, _ facts: UnsafeBufferPointer<UInt8>) -> Int32 {
    let record = exchanges.slots[Int(exchange)].record
    let context = exchanges.slots[Int(exchange)].policyContext
    let route = exchanges.slots[Int(exchange)].route
    let row = rows(of: exchange).routeRows[Int(route)]
    let role = machine(of: exchange).role(context)
    let path = UnsafeBufferPointer(start: text(of: exchange) + RecordText.pathOffset, count: Int(record.pathCount))
    let user = UnsafeBufferPointer(
      start: text(of: exchange) + RecordText.principalOffset, count: Int(record.principalCount))
    let roleCount = min(role?.count ?? 0, Limits.recordPrincipalBytes)
    let count = row.name.count + path.count + user.count + roleCount + facts.count
    guard let memory = malloc(max(1, count)) else { return -1 }
    let session = sessions.take()
    if session < 0 {
      free(memory)
      return -1
    }
    var writer = ByteWriter(base: memory.bindMemory(to: UInt8.self, capacity: count), capacity: count)
    writer.append(row.name)
    writer.append(path.baseAddress ?? UnsafePointer(writer.base), path.count)
    writer.append(user.baseAddress ?? UnsafePointer(writer.base), user.count)
    writer.append(role?.baseAddress ?? UnsafePointer(writer.base), roleCount)
    writer.append(facts.baseAddress ?? UnsafePointer(writer.base), facts.count)
    let slot = sessions.slots + Int(session)
    slot.pointee = Session(serial: slot.pointee.serial, socket: row.socket, memory: writer.base)
    slot.pointee.client = record.client
    slot.pointee.route = route
    slot.pointee.generation = record.generation
    slot.pointee.routeHash = row.contentHash
    slot.pointee.nameCount = Int32(row.name.count)
    slot.pointee.pathCount = Int32(path.count)
    slot.pointee.userCount = Int32(user.count)
    slot.pointee.roleCount = Int32(roleCount)
    slot.pointee.factsCount = Int32(facts.count)
    if context >= 0, let expires = machine(of: exchange).expires(context) {
      let now = Int64(clock.wall / 1_000_000)
      let (milliseconds, isFar) = expires.multipliedReportingOverflow(by: 1_000)
      if !isFar { slot.pointee.expiresAt = clock.milliseconds + UInt64(max(0, milliseconds - now)) }
    }
    return session
  }
}
