// The driver makes an exchange of each message on a WebSocket that asks for something. It is one like any other: the
// policies are asked, credits are held, a provider answers; only its head is empty, and a slot without a socket stands
// where a client's connection would be.
//
//   takeMessage ─▶ beginMessage ─▶ askPolicies (on_message) ─▶ startSelecting … ─▶ MessageAnswers.swift
//        └▶ cancelMessage

import Glibc

extension Worker {
  /// A message is whole.
  func takeMessage(_ session: Int32) {
    let slot = sessions.slots + Int(session)
    var content = slot.pointee.message
    slot.pointee.message = .none
    metrics.noteMessage(worker: index)
    if slot.pointee.generation != rows.number { moveSession(session) }
    let answer = slot.pointee.machine.answer()
    if answer == .drop {
      content.giveBack(&buffers, shared.bodies)
      return
    }
    let bytes = content.base.map { UnsafePointer($0) } ?? UnsafePointer(outgoing)
    let (message, fault) = PlatformV1.readMessage(bytes, content.count, document)
    if message.kind == .cancel, !message.id.isNone {
      let named = exchangeOf(session, bytes + Int(message.id.start), Int(message.id.count))
      if named >= 0 {
        content.giveBack(&buffers, shared.bodies)
        cancelMessage(named)
        return
      }
    }
    beginMessage(session, content, message, fault, answer)
  }

  /// The request in flight that its client calls so; -1: there is none.
  private func exchangeOf(_ session: Int32, _ id: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var exchange = sessions.slots[Int(session)].firstMessage
    while exchange >= 0 {
      let known = messageID(of: exchange)
      if known.count == count, equalBytes(known.start, id, count) { return exchange }
      exchange = exchanges.slots[Int(exchange)].nextSibling
    }
    return -1
  }

  /// What its client calls it; empty: it has no name of its own.
  func messageID(of exchange: Int32) -> StaticBytes {
    StaticBytes(
      start: UnsafePointer(text(of: exchange) + RecordText.messageOffset),
      count: Int(exchanges.slots[Int(exchange)].record.messageCount))
  }

  /// Its client wants no answer any more.
  private func cancelMessage(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    switch slot.pointee.machine.state {
    case .connecting, .requesting, .awaiting, .duplex, .responding: breakOff(exchange, .cancelled, .cancelled)
    case .deciding, .suspended, .settling, .flushing, .ended: perform(exchange, slot.pointee.machine.cancelled())
    }
  }

  /// An exchange for the message; what is wrong with it is its answer.
  private func beginMessage(
    _ session: Int32, _ content: Body, _ message: PlatformMessage, _ fault: DialectFault?, _ answer: SessionAnswer
  ) {
    let owner = sessions.slots + Int(session)
    // A part of the slots is for clients that are not here yet.
    let isFull = connections.used >= connections.capacity / 4 * 3
    let exchange = isFull ? -1 : exchanges.take()
    let server = exchange < 0 ? -1 : takeSlot(-1, role: .messageDeadline)
    guard server >= 0 else {
      if exchange >= 0 { exchanges.give(exchange) }
      refuseWithoutExchange(session, content, message)
      return
    }
    let bytes = content.base.map { UnsafePointer($0) } ?? UnsafePointer(outgoing)
    let isTaken =
      !message.id.isNone && exchangeOf(session, bytes + Int(message.id.start), Int(message.id.count)) >= 0
    prepareMessage(exchange, server, session, content)
    if message.kind == .broken || message.kind == .cancel || isTaken {
      refuseMessage(exchange, message, fault, isTaken: isTaken)
      return
    }
    noteMessageID(exchange, message, bytes)
    if case .refuse(let reason) = answer {
      if reason == .expired { return refuse(exchange, .sessionExpired, .refused) }
      replyDetail.message = StaticBytes("This connection takes no new requests; open another one.")
      return refuse(exchange, .serviceUnavailable, .refused)
    }
    let row = rows.routeRows[Int(owner.pointee.route)]
    if owner.pointee.inFlight > row.socket.requestsMax {
      replyDetail.message = StaticBytes("Too many requests are in flight on this connection; wait for one of them.")
      return refuse(exchange, .rateLimitExceeded, .refused)
    }
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.messageType = message.type
    (slot.pointee.judgesHead, slot.pointee.judgesChunks) = (row.judgesHeads, row.judgesChunks)
    slot.pointee.policyContext = machine(of: exchange).makeContext(owner.pointee.facts)
    if slot.pointee.policyContext < 0 { return refuse(exchange, .policyError, .policyError) }
    askPolicies(exchange, messageRequest(exchange))
  }

  /// There is no slot for it.
  private func refuseWithoutExchange(_ session: Int32, _ content: Body, _ message: PlatformMessage) {
    var content = content
    let bytes = content.base.map { UnsafePointer($0) } ?? UnsafePointer(outgoing)
    let id = message.id
    tellSession(
      session, .serviceUnavailable,
      id: id.isNone ? nil : StaticBytes(start: bytes + Int(id.start), count: Int(id.count)))
    content.giveBack(&buffers, shared.bodies)
  }

  /// The message asks for nothing that could be done.
  private func refuseMessage(
    _ exchange: Int32, _ message: PlatformMessage, _ fault: DialectFault?, isTaken: Bool
  ) {
    let content = exchanges.slots[Int(exchange)].content
    let bytes = content.base.map { UnsafePointer($0) } ?? UnsafePointer(outgoing)
    let isAboutID = isTaken || message.kind == .cancel || fault?.code == .invalidMessageID
    if !isAboutID { noteMessageID(exchange, message, bytes) }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Worker.wrongIDBytes) { area in
      var writer = ByteWriter(base: area.baseAddress ?? outgoing, capacity: area.count)
      if isAboutID {
        PlatformV1.appendIDDetails(wrongID(message, bytes), to: &writer)
        replyDetail.details = StaticBytes(start: UnsafePointer(writer.base), count: writer.count)
      }
      if isTaken {
        replyDetail.message = StaticBytes("A request with this id is in flight; give each one an id of its own.")
      } else if message.kind == .cancel, !message.id.isNone {
        replyDetail.message = StaticBytes("No request with this id is in flight.")
      } else if let fault {
        beginWork(exchange).pointee.fault = fault
      }
      refuse(exchange, isAboutID ? .invalidMessageID : fault?.code ?? .invalidMessageFormat, .clientError)
    }
  }

  /// The value that stands in the place of the id, as JSON; nil: none does.
  private func wrongID(_ message: PlatformMessage, _ bytes: UnsafePointer<UInt8>) -> StaticBytes? {
    if !message.wrongID.isNone {
      return StaticBytes(start: bytes + Int(message.wrongID.start), count: Int(message.wrongID.count))
    }
    if message.id.isNone { return nil }
    // With its quotes.
    return StaticBytes(start: bytes + Int(message.id.start) - 1, count: Int(message.id.count) + 2)
  }

  /// What an error says about an id that is none.
  private static var wrongIDBytes: Int { 2 << 10 }

  private func noteMessageID(_ exchange: Int32, _ message: PlatformMessage, _ bytes: UnsafePointer<UInt8>) {
    if message.id.isNone { return }
    let count = min(Int(message.id.count), Limits.messageIDBytes)
    memcpy(text(of: exchange) + RecordText.messageOffset, bytes + Int(message.id.start), count)
    exchanges.slots[Int(exchange)].record.messageCount = UInt16(count)
  }

  private func prepareMessage(_ exchange: Int32, _ server: Int32, _ session: Int32, _ content: Body) {
    let owner = sessions.slots + Int(session)
    let connection = connections.slots[Int(owner.pointee.connection)]
    connections.slots[Int(server)].exchange = exchange
    connections.slots[Int(server)].listener = connection.listener
    connections.slots[Int(server)].address = connection.address
    var head = RequestHead()
    head.method = .get
    prepare(exchange, server, head)
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.origin = .message
    slot.pointee.record.origin = .message
    noteClient(exchange, owner.pointee.client)
    slot.pointee.session = session
    slot.pointee.route = owner.pointee.route
    if owner.pointee.route >= 0 { slot.pointee.record.route = rows.routeRows[Int(owner.pointee.route)].name }
    slot.pointee.content = content
    slot.pointee.isCollected = true
    slot.pointee.record.requestBytes = UInt64(content.count)
    let area = text(of: exchange)
    if let path = owner.pointee.path.baseAddress {
      memcpy(area + RecordText.pathOffset, path, owner.pointee.path.count)
      slot.pointee.record.pathCount = UInt16(owner.pointee.path.count)
    }
    if let user = owner.pointee.user.baseAddress {
      memcpy(area + RecordText.principalOffset, user, owner.pointee.user.count)
      slot.pointee.record.principalCount = UInt16(owner.pointee.user.count)
    }
    slot.pointee.nextSibling = owner.pointee.firstMessage
    if owner.pointee.firstMessage >= 0 { exchanges.slots[Int(owner.pointee.firstMessage)].previousSibling = exchange }
    owner.pointee.firstMessage = exchange
    owner.pointee.inFlight += 1
    counters.add(1, to: .runningExchanges, worker: index)
  }

  /// What stands where the head of a request would.
  func messageRequest(_ exchange: Int32) -> ArrivedRequest {
    let path = UnsafePointer(text(of: exchange) + RecordText.pathOffset)
    let count = Int(exchanges.slots[Int(exchange)].record.pathCount)
    return ArrivedRequest(
      received: ReceivedHead(bytes: path, table: noFields), head: RequestHead(),
      target: RequestTarget(path: path, pathCount: count, authority: path),
      host: RequestHost(name: path, nameCount: 0, text: path, textCount: 0), bytes: scratch, count: 0)
  }

  /// Puts a message in the reach of policies.
  func showMessage(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    let content = slot.pointee.content
    let body = StaticBytes(
      start: content.base.map { UnsafePointer($0) } ?? UnsafePointer(outgoing), count: content.count)
    let range = slot.pointee.messageType
    let type =
      range.isNone ? StaticBytes.empty : StaticBytes(start: body.start + Int(range.start), count: Int(range.count))
    machine(of: exchange).host.message = MessageView(
      body: body, messageID: messageID(of: exchange), type: type, client: slot.pointee.record.client,
      id: requestID(of: exchange), listener: slot.pointee.record.listener,
      route: PolicyRoute(name: row.name, permission: row.permission, parameters: row.parameters))
  }

  /// The exchange of a message is over: it leaves its WebSocket, which may have waited for that.
  func leaveSession(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let session = slot.pointee.session
    let owner = sessions.slots + Int(session)
    if slot.pointee.nextSibling >= 0 {
      exchanges.slots[Int(slot.pointee.nextSibling)].previousSibling = slot.pointee.previousSibling
    }
    if slot.pointee.previousSibling >= 0 {
      exchanges.slots[Int(slot.pointee.previousSibling)].nextSibling = slot.pointee.nextSibling
    } else {
      owner.pointee.firstMessage = slot.pointee.nextSibling
    }
    if owner.pointee.turn == exchange { owner.pointee.turn = slot.pointee.nextSibling }
    slot.pointee.session = -1
    owner.pointee.inFlight -= 1
    if owner.pointee.sender == exchange {
      owner.pointee.sender = -1
      // Others have waited for their turn.
      markReady(owner.pointee.connection)
    }
    if owner.pointee.inFlight == 0 { performSession(session, owner.pointee.machine.lastEnded()) }
  }
}
