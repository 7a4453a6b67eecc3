// Exchanges that no client asked for: fetches of Edge itself. They go the way of every exchange (endpoints, pools,
// TLS, replay, record); only the two ends differ. Where a client's connection would be there is a slot without a
// socket, which holds the deadline, and the answer is gathered instead of sent.

import Glibc

extension Worker {
  // MARK: Start

  /// A ticket from the inbox; its reference is taken.
  func startFetch(_ pointer: UnsafeMutableRawPointer) {
    let ticket = Unmanaged<FetchTicket>.fromOpaque(pointer).takeRetainedValue()
    guard let parent = ticket.parent else {
      startFetch(ticket, parent: -1)
      return
    }
    let exchange = exchangeIndex(parent.exchange)
    if exchange >= 0 { startFetch(ticket, parent: exchange) } else { deliver(ticket, .failed(.cancelled)) }
  }

  /// Begins a fetch, as a part of `parent` unless that is -1.
  func startFetch(_ ticket: FetchTicket, parent: Int32) {
    // What is done for an exchange is done by its own generation.
    let generation = parent < 0 ? current : generation(of: parent)
    withGeneration(generation) { beginFetch(ticket, parent) }
  }

  private func beginFetch(_ ticket: FetchTicket, _ parent: Int32) {
    guard ticket.request.isWellFormed, let service = serviceIndex(ticket.request.service) else {
      deliver(ticket, .failed(.refused))
      return
    }
    let exchange = exchanges.take()
    let server = exchange < 0 ? -1 : takeSlot(-1, role: .fetchDeadline)
    guard server >= 0 else {
      if exchange >= 0 { exchanges.give(exchange) }
      deliver(ticket, .failed(.unavailable))
      return
    }
    connections.slots[Int(server)].exchange = exchange
    connections.slots[Int(server)].listener = ListenerBoard.none
    connections.slots[Int(server)].address = SocketAddress()
    prepareFetch(exchange, server, ticket, parent)
    wheel.arm(server, clock.milliseconds + UInt64(max(1, ticket.request.deadlineMilliseconds)))
    aim(exchange, service)
    writeFetch(exchange, ticket.request)
    perform(exchange, exchanges.slots[Int(exchange)].machine.forward())
  }

  /// Tells whoever waits what came of it.
  private func deliver(_ ticket: FetchTicket, _ outcome: FetchOutcome) {
    switch ticket.waiter {
    case .thread: ticket.complete(outcome)
    case .policy(let exchange, let wait):
      policyAnswers.append(
        PolicyAnswer(exchange: exchange, wait: wait, answer: .fetched(service: ticket.request.service, outcome)))
    }
  }

  /// The exchange a handle names, or -1 when that has ended.
  private func exchangeIndex(_ handle: Handle?) -> Int32 {
    guard let handle, exchanges.slots[Int(handle.index)].serial == handle.serial else { return -1 }
    return handle.index
  }

  private func serviceIndex(_ name: String) -> Int32? {
    var name = name
    return name.withUTF8 { bytes in
      guard let start = bytes.baseAddress else { return nil }
      return (0..<rows.namedServices).first { index in
        let known = rows.services.services[index].name
        return known.count == bytes.count && memcmp(known.start, start, bytes.count) == 0
      }.map(Int32.init)
    }
  }

  private func prepareFetch(_ exchange: Int32, _ server: Int32, _ ticket: FetchTicket, _ parent: Int32) {
    var head = RequestHead()
    head.method = ticket.request.method
    prepare(exchange, server, head)
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.answerHeadCount = 0
    slot.pointee.answerBytesMax = Int32(clamping: ticket.request.answerBytesMax)
    slot.pointee.fetch = Unmanaged.passRetained(ticket).toOpaque()
    ticket.exchange = Handle(index: exchange, serial: slot.pointee.serial)
    slot.pointee.origin = parent < 0 ? .background : .child
    slot.pointee.record.origin = slot.pointee.origin
    if parent >= 0 { adoptChild(exchange, parent) }
    var path = ticket.request.path[...].prefix { $0 != "?" }
    let count = path.withUTF8 { bytes in
      let count = min(bytes.count, Limits.recordPathBytes)
      if let start = bytes.baseAddress { memcpy(text(of: exchange) + RecordText.pathOffset, start, count) }
      return count
    }
    slot.pointee.record.pathCount = UInt16(count)
    counters.add(1, to: .runningExchanges, worker: index)
  }

  private func writeFetch(_ exchange: Int32, _ request: FetchRequest) {
    let slot = exchanges.slots + Int(exchange)
    let services = rows(of: exchange).services
    let authority = services.endpoints[Int(services.services[Int(slot.pointee.service)].firstEndpoint)].authority
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.append(request.method.name)
    writer.append(byte: 0x20)
    writer.append(string: request.path)
    writer.append(" HTTP/1.1\r\nhost: ")
    writer.append(authority)
    if !request.headers.contains(where: { $0.name.lowercased() == "user-agent" }) {
      writer.append("\r\nuser-agent: edge/")
      writer.append(Version.text)
    }
    writer.append("\r\nx-request-id: ")
    writer.append(text(of: exchange) + RecordText.requestIDOffset, Int(slot.pointee.record.requestIDCount))
    for header in request.headers {
      writer.append("\r\n")
      writer.append(string: header.name)
      writer.append(": ")
      writer.append(string: header.value)
    }
    if !request.body.isEmpty || !request.method.isIdempotent || request.method == .put {
      writer.append("\r\ncontent-length: ")
      writer.append(decimal: UInt64(request.body.count))
    }
    writer.append("\r\n\r\n")
    request.body.withUnsafeBufferPointer { if let start = $0.baseAddress { writer.append(start, $0.count) } }
    outgoingCount = writer.count
    slot.pointee.record.requestBytes = UInt64(request.body.count)
  }

  // MARK: Parents

  private func adoptChild(_ exchange: Int32, _ parent: Int32) {
    let (slot, mother) = (exchanges.slots + Int(exchange), exchanges.slots + Int(parent))
    slot.pointee.record.parent = mother.pointee.record.id
    slot.pointee.parent = parent
    slot.pointee.nextSibling = mother.pointee.firstChild
    if mother.pointee.firstChild >= 0 { exchanges.slots[Int(mother.pointee.firstChild)].previousSibling = exchange }
    mother.pointee.firstChild = exchange
  }

  private func leaveParent(_ exchange: Int32) {
    let slot = exchanges.slots[Int(exchange)]
    if slot.parent < 0 { return }
    if slot.nextSibling >= 0 { exchanges.slots[Int(slot.nextSibling)].previousSibling = slot.previousSibling }
    if slot.previousSibling >= 0 {
      exchanges.slots[Int(slot.previousSibling)].nextSibling = slot.nextSibling
    } else {
      exchanges.slots[Int(slot.parent)].firstChild = slot.nextSibling
    }
  }

  /// The exchange ends, and with it what was done for it.
  func cancelChildren(_ exchange: Int32) {
    while case let child = exchanges.slots[Int(exchange)].firstChild, child >= 0 {
      perform(child, exchanges.slots[Int(child)].machine.stopped(.cancelled))
    }
  }

  /// The worker stops: nobody shall wait for what it does no more.
  func stopFetches() {
    forEachConnection { index, role in
      guard role == .fetchDeadline else { return }
      let exchange = connections.slots[Int(index)].exchange
      perform(exchange, exchanges.slots[Int(exchange)].machine.stopped(.drain))
    }
    while let message = inbox.take() {
      guard case .fetch(let pointer) = message else {
        message.giveUp()
        continue
      }
      deliver(Unmanaged<FetchTicket>.fromOpaque(pointer).takeRetainedValue(), .failed(.drain))
    }
  }

  /// Whoever waits for the fetch does so no more; the ticket's reference is taken.
  func cancelFetch(_ pointer: UnsafeMutableRawPointer) {
    let ticket = Unmanaged<FetchTicket>.fromOpaque(pointer).takeRetainedValue()
    let exchange = exchangeIndex(ticket.exchange)
    if exchange >= 0 { perform(exchange, exchanges.slots[Int(exchange)].machine.stopped(.cancelled)) }
  }

  // MARK: The answer

  /// The head of the final answer: kept as it came, read again at the end.
  func beginFetched(_ exchange: Int32, _ head: ResponseHead, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.responseFraming = .none
    guard gather(exchange, bytes, head.count) else { return }
    slot.pointee.answerHeadCount = Int32(head.count)
    let rest = count - head.count
    let piece = StreamRelay.piece(
      bytes + head.count, rest, reader: &slot.pointee.response, framing: .none, classes: parser.classes)
    if piece.fault != nil {
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return
    }
    if piece.consumed < rest { slot.pointee.keepsClient = false }
    perform(exchange, slot.pointee.machine.responseBegan())
    slot.pointee.record.responseBytes += UInt64(piece.payload)
    guard gather(exchange, piece.start, piece.count) else { return }
    buffers.giveBack(&connections.slots[Int(slot.pointee.client)].input)
    afterPiece(exchange)
  }

  /// Adds to the answer; false when it is too large, and then the exchange has ended.
  func gather(_ exchange: Int32, _ bytes: BytePointer, _ count: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let room = min(Int(slot.pointee.answerBytesMax), Limits.fetchAnswerBytesMax) - slot.pointee.answer.count
    if count <= room, buffers.append(&slot.pointee.answer, bytes, count) { return true }
    perform(exchange, slot.pointee.machine.stopped(.upstreamError))
    return false
  }

  /// The exchange is over: when everything is accounted for, whoever waits gets what came of it.
  func finishFetch(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    leaveParent(exchange)
    let cause = slot.pointee.record.cause
    slot.pointee.record.end = clock.monotonic
    let outcome = cause == .completed ? FetchOutcome.answered(answer(exchange)) : .failed(cause)
    closeRecord(exchange)
    if slot.pointee.server >= 0 { closeConnection(slot.pointee.server) }
    buffers.giveBack(&slot.pointee.held)
    buffers.giveBack(&slot.pointee.answer)
    exchanges.give(exchange)
    guard let pointer = slot.pointee.fetch else { return }
    slot.pointee.fetch = nil
    let ticket = Unmanaged<FetchTicket>.fromOpaque(pointer).takeRetainedValue()
    ticket.exchange = nil
    deliver(ticket, outcome)
  }

  private func answer(_ exchange: Int32) -> FetchAnswer {
    let slot = exchanges.slots[Int(exchange)]
    guard let block = slot.answer.block else { return FetchAnswer(status: slot.record.status, headers: [], body: []) }
    let start = block + Int(slot.answer.start)
    var head = ResponseHead()
    _ = parser.readResponse(
      start, Int(slot.answerHeadCount), limits: rows(of: exchange).headLimits, toHead: slot.isToHead, into: &head)
    func text(_ range: HeadRange) -> String {
      String(decoding: UnsafeBufferPointer(start: start + Int(range.start), count: Int(range.count)), as: UTF8.self)
    }
    let headers = (0..<parser.table.count).map { index in
      let field = parser.table.fields[index]
      return FetchHeader(name: text(field.name).lowercased(), value: text(field.value))
    }
    let body = UnsafeBufferPointer(
      start: start + Int(slot.answerHeadCount), count: slot.answer.count - Int(slot.answerHeadCount))
    return FetchAnswer(status: slot.record.status, headers: headers, body: Array(body))
  }
}
