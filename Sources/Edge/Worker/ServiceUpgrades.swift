// The driver opens a WebSocket to a service: a request like any other, but for the fields of its handshake, until the
// service has answered with a 101 that is right. Then its exchange ends, and both connections are a pair.
//
//   route ─▶ askServiceUpgrade ─▶ the policies, the hold ─▶ forwardUpgrade ─▶ dial … parseResponse ─▶ (on_response)
//        ─▶ writeResponse ─▶ openPair ─▶ startPair (SocketPairs.swift)
//
// Until then what the client sends behind its request stays in its connection's input, unread, behind the head, which
// is read again when the 101 is here. Whatever else the service answers, the client's connection ends with it, so that
// nothing of that is ever taken for a request.

import Glibc

extension Worker {
  /// A WebSocket is to be opened on a route to a service.
  func askServiceUpgrade(_ exchange: Int32, _ request: ArrivedRequest, _ row: RouteRow) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.keepsServer = false
    let isAllowed =
      request.received.count(named: "origin") < 2 && row.socket.allows(request.received.value(named: "origin"))
    switch WebSocketHandshake.read(request.head, request.received) {
    case .none, .valid:
      if row.serviceSocket.treatment == .refuse {
        refuseUpgrade(exchange, request, .forbidden, "No WebSocket may be opened here.")
      } else if isLeaving(slot.pointee.server) {
        refuseUpgrade(exchange, request, .serviceUnavailable, nil)
      } else if !isAllowed {
        refuseUpgrade(exchange, request, .forbidden, "Pages of this origin may not open a WebSocket here.")
      } else {
        slot.pointee.upgrades = true
        if row.policyCount > 0 { askPolicies(exchange, request) } else { lead(exchange, request, nil) }
      }
    case .refused(let code, let message): refuseUpgrade(exchange, request, code, message)
    }
  }

  private func refuseUpgrade(
    _ exchange: Int32, _ request: ArrivedRequest, _ code: ErrorCode, _ message: StaticString?
  ) {
    discardEarlyBody(exchange, request)
    replyDetail.message = message.map { StaticBytes($0) }
    refuse(exchange, code, code == .invalidRequest ? .clientError : .refused)
  }

  // MARK: To the service

  /// Writes the request anew, with a handshake of Edge's own, and dials.
  func forwardUpgrade(_ exchange: Int32, _ service: Int32, _ request: ArrivedRequest, _ edits: HeaderEdits?) {
    let slot = exchanges.slots + Int(exchange)
    let rows = rows(of: exchange)
    let (route, row) = (rows.routeRows[Int(slot.pointee.route)], rows.services.services[Int(service)])
    guard case .valid(let key) = WebSocketHandshake.read(request.head, request.received) else {
      refuseUpgrade(exchange, request, .internalError, nil)
      return
    }
    aim(exchange, service)
    slot.pointee.requestFraming = .none
    if let edits { request.received.table.drop(edits, of: request.received.bytes) }
    var target = request.target
    if route.socket.takesQueryToken {
      _ = QueryToken.take(from: &target, area: queryArea, Worker.queryAreaBytes)
    }
    let isTunnel = route.serviceSocket.treatment == .tunnel
    takeUpgradeKey(exchange, isTunnel ? key : nil)
    let offer = Subprotocols(request.received, passesCredentials: row.passes.contains(.authorization))
    request.received.dropHandshake(keepsExtensions: isTunnel)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    withSender(exchange, request) { sender in
      writer.appendRequest(
        request.head, request.received, target: target, framing: .none, passing: row.passes, sender: sender,
        authority: rows.services.endpoints[Int(row.firstEndpoint)].authority, edits: edits)
    }
    if !writer.overflowed { writer.rewind(to: writer.count - 2) }
    writer.append("upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: ")
    appendUpgradeKey(exchange, &writer)
    writer.appendLineEnd()
    // What a policy has set stands there already.
    if !(edits?.has("sec-websocket-protocol") ?? false) { offer.append(to: &writer) }
    writer.appendLineEnd()
    keepRest(slot.pointee.server, request.bytes, 0, request.count)
    guard connections.slots[Int(slot.pointee.server)].input.block != nil else {
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    if writer.overflowed {
      refuse(exchange, .tooLarge)
      return
    }
    outgoingCount = writer.count
    perform(exchange, slot.pointee.machine.forward())
  }

  /// The key that the service is asked with: the client's, or a fresh one.
  private func takeUpgradeKey(_ exchange: Int32, _ key: StaticBytes?) {
    let place = UnsafeMutableRawPointer(text(of: exchange) + RecordText.upgradeKeyOffset)
    guard let key else {
      for index in 0..<4 { place.storeBytes(of: masks.next(), toByteOffset: 4 * index, as: UInt32.self) }
      return
    }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Base64.decodedCountMax(key.count)) { decoded in
      guard let start = decoded.baseAddress else { return }
      _ = Base64.decode(key.start, key.count, into: start)
      memcpy(place, start, WebSocketHandshake.keyBytes)
    }
  }

  private func appendUpgradeKey(_ exchange: Int32, _ writer: inout ByteWriter) {
    let place = writer.end
    writer.advance(Base64.encodedCount(WebSocketHandshake.keyBytes))
    if writer.overflowed { return }
    Base64.encode(text(of: exchange) + RecordText.upgradeKeyOffset, WebSocketHandshake.keyBytes, into: place)
  }

  // MARK: The 101

  /// The service has answered with 101, and no policy objects: the client gets one, too, and the exchange ends.
  func openPair(_ exchange: Int32, _ head: ResponseHead, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    let route = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    let isTunnel = route.serviceSocket.treatment == .tunnel
    let answer = ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table)
    let (chosen, extensions) = (answer.value(named: "sec-websocket-protocol"), UpgradeExtensions(answer))
    guard isRight(exchange, answer), isTunnel || extensions.isEmpty else { return refuseAnswer(exchange) }
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writeAnswer(exchange, head, answer, keepsExtensions: isTunnel, &writer)
    // From here on the table is that of the request.
    guard let request = readAgain(exchange),
      case .valid(let key) = WebSocketHandshake.read(request.head, request.received)
    else { return refuseAnswer(exchange) }
    let passes = rows(of: exchange).services.services[Int(slot.pointee.service)].passes.contains(.authorization)
    let offer = Subprotocols(request.received, passesCredentials: passes)
    guard chosen.map(offer.has) ?? true, extensions.isOffered(by: request.received) else {
      return refuseAnswer(exchange)
    }
    writer.append("upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ")
    WebSocketHandshake.appendAccept(key, to: &writer)
    if let chosen, let start = chosen.baseAddress {
      writer.append("\r\nsec-websocket-protocol: ")
      writer.append(start, chosen.count)
    } else if !passes, case .list(let name) = RequestCredential.subprotocol(request.received) {
      // What browsers offer must be answered.
      writer.append("\r\nsec-websocket-protocol: ")
      writer.append(name)
    }
    writer.append("\r\n\r\n")
    let pair = takePair(exchange, route)
    guard !writer.overflowed, pair >= 0, keepFrames(exchange, request.head.count, bytes, head.count, count) else {
      if pair >= 0 { dropPairSlot(pair) }
      slot.pointee.upstreamStatus = ErrorCode.serviceUnavailable.row.status
      perform(exchange, slot.pointee.machine.answerRejected(.serviceUnavailable, .unavailable))
      return
    }
    guard send(slot.pointee.server, outgoing, writer.count) else {
      dropPairSlot(pair)
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    slot.pointee.server = -1
    slot.pointee.client = -1
    startPair(pair)
    perform(exchange, slot.pointee.machine.upgraded())
  }

  /// Whether the service agrees to what it was asked (RFC 6455 section 4.1).
  private func isRight(_ exchange: Int32, _ answer: ReceivedHead) -> Bool {
    guard let upgrade = answer.value(named: "upgrade")?.baseAddress, answer.count(named: "upgrade") == 1,
      equalLowered(upgrade, answer.value(named: "upgrade")?.count ?? 0, "websocket"), answer.agreesToUpgrade,
      answer.count(named: "transfer-encoding") == 0, answer.count(named: "sec-websocket-protocol") < 2,
      answer.count(named: "sec-websocket-accept") == 1,
      let accept = answer.value(named: "sec-websocket-accept"), let start = accept.baseAddress,
      accept.count == WebSocketHandshake.acceptCount
    else { return false }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { area in
      guard let base = area.baseAddress else { return false }
      var writer = ByteWriter(base: base, capacity: area.count)
      appendUpgradeKey(exchange, &writer)
      let key = StaticBytes(start: UnsafePointer(base), count: writer.count)
      WebSocketHandshake.appendAccept(key, to: &writer)
      return !writer.overflowed && equalBytes(UnsafePointer(base) + key.count, start, accept.count)
    }
  }

  /// What the service has answered is no WebSocket that was asked for.
  private func refuseAnswer(_ exchange: Int32) {
    // For who pays, it is an error of the service.
    exchanges.slots[Int(exchange)].upstreamStatus = ErrorCode.providerError.row.status
    replyDetail.message = StaticBytes("The service did not open the WebSocket as it was asked to.")
    upstreamFailed(exchange)
    replyDetail = ReplyDetail()
  }

  /// The head of the client's 101 but for its handshake, with what policies have set.
  private func writeAnswer(
    _ exchange: Int32, _ head: ResponseHead, _ answer: ReceivedHead, keepsExtensions: Bool, _ writer: inout ByteWriter
  ) {
    let slot = exchanges.slots + Int(exchange)
    var edits: HeaderEdits?
    if slot.pointee.judgesHead {
      slot.pointee.judgesHead = false
      let set = machine(of: exchange).host.edits
      answer.table.drop(set, of: answer.bytes)
      edits = set
    }
    answer.dropHandshake(keepsExtensions: keepsExtensions)
    writer.appendResponse(
      head, answer, framing: .none, connection: .implied,
      requestID: UnsafePointer(text(of: exchange) + RecordText.requestIDOffset),
      requestIDCount: Int(slot.pointee.record.requestIDCount), date: date(), edits: edits)
    if !writer.overflowed { writer.rewind(to: writer.count - 2) }
  }

  /// What stands behind the two heads are frames. False: there is no room for them.
  private func keepFrames(
    _ exchange: Int32, _ requestCount: Int, _ bytes: BytePointer, _ headCount: Int, _ count: Int
  ) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let (server, client) = (connections.slots + Int(slot.pointee.server), connections.slots + Int(slot.pointee.client))
    server.pointee.input.start += Int32(requestCount)
    if server.pointee.input.isEmpty { buffers.giveBack(&server.pointee.input) }
    if count > headCount { return stash(slot.pointee.client, bytes + headCount, count - headCount) }
    buffers.giveBack(&client.pointee.input)
    return true
  }

  /// A slot that knows what must last; -1: there is no room.
  private func takePair(_ exchange: Int32, _ route: RouteRow) -> Int32 {
    let slot = exchanges.slots + Int(exchange)
    let context = slot.pointee.policyContext
    let role = context >= 0 ? machine(of: exchange).role(context) : nil
    let roleCount = min(role?.count ?? 0, Limits.recordPrincipalBytes)
    let user = UnsafeBufferPointer(
      start: text(of: exchange) + RecordText.principalOffset, count: Int(slot.pointee.record.principalCount))
    var memory: UnsafeMutablePointer<UInt8>?
    if user.count + roleCount > 0 {
      memory = malloc(user.count + roleCount)?.bindMemory(to: UInt8.self, capacity: user.count + roleCount)
      guard let memory else { return -1 }
      if let start = user.baseAddress { memcpy(memory, start, user.count) }
      if let start = role?.baseAddress { memcpy(memory + user.count, start, roleCount) }
    }
    let pair = pairs.take()
    if pair < 0 {
      free(memory)
      return -1
    }
    let taken = pairs.slots + Int(pair)
    taken.pointee = SocketPair(
      serial: taken.pointee.serial, row: route.serviceSocket, client: slot.pointee.server, service: slot.pointee.client)
    taken.pointee.memory = memory
    (taken.pointee.userCount, taken.pointee.roleCount) = (UInt16(user.count), UInt16(roleCount))
    (taken.pointee.route, taken.pointee.routeHash) = (route.nameHash, route.contentHash)
    taken.pointee.generation = slot.pointee.record.generation
    if context >= 0, let expires = machine(of: exchange).expires(context) {
      let (milliseconds, isFar) = expires.multipliedReportingOverflow(by: 1_000)
      let left = milliseconds - Int64(clock.wall / 1_000_000)
      if !isFar { taken.pointee.expiresAt = clock.milliseconds + UInt64(max(0, left)) }
    }
    return pair
  }
}
