// The proxy. Read from top to bottom this file is the way of an exchange: a head comes in, a route is found, the
// request is sent to an endpoint, the response is relayed, a record is written. It performs what the machine in
// Exchange says and tells it what happened; it is the only place where an exchange meets sockets.
//
//   serve ─▶ readHead ─▶ begin ─▶ route ─▶ lead ─▶ forward ─▶ dial ─▶ sendRequest ─▶ relayRequest
//                          │     (policies)                                             │
//                          ▼                                                            ▼
//                        reply ◀──────────── perform ◀──────── readResponse ─▶ relayResponse ─▶ finish

import CLinux
import Glibc

extension Worker {
  /// Something happened on a connection, or it has more to do.
  func serve(_ index: Int32) {
    let slot = connections.slots + Int(index)
    switch slot.pointee.role {
    case .serverIdle, .serverHead:
      if slot.pointee.isBroken {
        closeConnection(index)
      } else if slot.pointee.isReadable || !slot.pointee.input.isEmpty {
        readHead(index)
        if slot.pointee.role == .serverExchange { checkClientLeft(slot.pointee.exchange) }
      }
    case .serverHandshaking: serveHandshake(index)
    case .serverExchange: serveServer(index)
    case .serverSession: serveSession(index)
    case .serverPair, .clientPair: servePair(index)
    case .serverLingering, .clientLingering: linger(index)
    case .clientConnecting: finishConnect(index)
    case .clientHandshaking: shakeHands(index)
    case .clientExchange: serveClient(index)
    case .clientIdle:
      if !isUsable(index) { closeConnection(index) }
    case .free, .fetchDeadline, .messageDeadline: break
    }
  }

  // MARK: The request's head

  /// Reads until a head is complete. What is already buffered comes first: pipelined requests, the start of this one.
  private func readHead(_ index: Int32) {
    let slot = connections.slots + Int(index)
    var bytes = scratch
    var count = 0
    if slot.pointee.input.isEmpty {
      switch read(index) {
      case .bytes(let read): count = read
      case .wouldBlock: return
      case .ended, .failed:
        closeConnection(index)
        return
      }
    } else {
      // What is buffered and was not looked at yet comes before what may still be read.
      guard slot.pointee.scanned == 0 || readMoreHead(index), let block = slot.pointee.input.block else { return }
      bytes = block + Int(slot.pointee.input.start)
      count = slot.pointee.input.count
    }
    if slot.pointee.role == .serverIdle {
      // The empty line that some clients send behind a body is no beginning of a request.
      if count == 2, bytes[0] == 0x0d, bytes[1] == 0x0a {
        dropInput(index)
        return
      }
      slot.pointee.role = .serverHead
      wheel.arm(index, clock.milliseconds + rows.headMilliseconds)
    }
    var head = RequestHead()
    switch parser.readRequest(bytes, count, limits: rows.headLimits, into: &head) {
    case .incomplete:
      slot.pointee.scanned = Int32(count)
      if slot.pointee.input.isEmpty, !buffers.append(&slot.pointee.input, bytes, count) {
        closeConnection(index)
        return
      }
      if slot.pointee.isReadable { markReady(index) }
    case .refused(let fault): begin(index, bytes, count, head, fault: fault)
    case .complete: begin(index, bytes, count, head, fault: nil)
    }
  }

  /// Adds what has come to a partial head; false when the parser need not look again.
  private func readMoreHead(_ index: Int32) -> Bool {
    let slot = connections.slots + Int(index)
    let before = slot.pointee.input.count
    if slot.pointee.isReadable, before < rows.headLimits.bytes {
      let room = rows.headLimits.bytes - before
      guard buffers.makeRoom(&slot.pointee.input, bytes: room), let block = slot.pointee.input.block else {
        closeConnection(index)
        return false
      }
      switch read(index, block + Int(slot.pointee.input.end), room) {
      case .bytes(let read): slot.pointee.input.end += Int32(read)
      case .wouldBlock: break
      case .ended, .failed:
        closeConnection(index)
        return false
      }
    }
    // Nothing can have changed for the parser unless a line has begun or ended, holds what no line may hold, or the
    // limit is reached.
    let count = slot.pointee.input.count
    let scanned = Int(slot.pointee.scanned)
    slot.pointee.scanned = Int32(count)
    guard let block = slot.pointee.input.block, count > scanned else { return false }
    // A CR is the first half of an end or breaks the line, which only the byte behind it shows.
    let fresh = block + Int(slot.pointee.input.start) + scanned - 1
    return scanned <= 2 || holdsControlByte(fresh, count - scanned + 1) || count >= rows.headLimits.bytes
  }

  // MARK: The exchange begins

  /// A head is complete or refused: makes the exchange, decides where it goes and starts it. `bytes` holds the head
  /// and what followed it; it is the scratch area or the connection's input.
  private func begin(_ index: Int32, _ bytes: BytePointer, _ count: Int, _ head: RequestHead, fault: HeadFault?) {
    let slot = connections.slots + Int(index)
    let exchange = exchanges.take()
    guard exchange >= 0 else {
      closeConnection(index)
      return
    }
    slot.pointee.role = .serverExchange
    slot.pointee.exchange = exchange
    slot.pointee.scanned = 0
    wheel.arm(index, TimerWheel.never)
    prepare(exchange, index, head)
    counters.add(1, to: .runningExchanges, worker: self.index)
    if let fault {
      dropInput(index)
      refuse(exchange, fault)
      return
    }
    let received = ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table)
    noteClient(exchange, received)
    // CONNECT and TRACE would make Edge a tunnel or an echo of credentials; no route takes them.
    if head.method == .connect || head.method == .trace {
      dropInput(index)
      exchanges.slots[Int(exchange)].keepsServer = false
      replyDetail.allowed = Method.servedBits
      refuse(exchange, .methodNotAllowed, .refused)
      return
    }
    let raw = received.bytes + Int(head.target.start)
    guard let target = targets.read(raw, Int(head.target.count), method: head.method) else {
      dropInput(index)
      refuse(exchange, .badTarget)
      return
    }
    noteText(exchange, received, head, target)
    if target.isSecure, !isSecure(exchange, received) {
      dropInput(index)
      refuse(exchange, .notSecure)
      return
    }
    do {
      let host = try hostOf(head, received, target)
      route(
        exchange,
        ArrivedRequest(received: received, head: head, target: target, host: host, bytes: bytes, count: count))
    } catch {
      dropInput(index)
      refuse(exchange, error)
    }
  }

  /// Finds the route and asks its policies.
  private func route(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let listener = connections.slots[Int(slot.pointee.server)].listener
    let head = request.head
    switch rows.routes.match(query(exchange, request, head.method)) {
    case .notFound where listener == ListenerBoard.none:
      // It came by a listener that a reload has just removed: that nothing is served here is only true of this place.
      discardEarlyBody(exchange, request)
      refuse(exchange, .serviceUnavailable, .refused)
    case .notFound:
      discardEarlyBody(exchange, request)
      refuse(exchange, .notFound, .refused)
    case .methodNotAllowed(let allowed):
      discardEarlyBody(exchange, request)
      replyDetail.allowed = allowed
      refuse(exchange, .methodNotAllowed, .refused)
    case .route(let route):
      let row = rows.routeRows[Int(route)]
      slot.pointee.route = route
      slot.pointee.record.route = row.name
      slot.pointee.toleratesFin = row.toleratesFin
      slot.pointee.bodyAllowance = row.bodyBytesMax
      slot.pointee.judgesHead = row.judgesHeads
      slot.pointee.judgesChunks = row.judgesChunks
      if row.isSocket {
        askUpgrade(exchange, request, row)
      } else if head.asksUpgrade, row.service >= 0 {
        askServiceUpgrade(exchange, request, row)
      } else if row.dialect != nil, head.method != .post {
        discardEarlyBody(exchange, request)
        replyDetail.allowed = Method.post.bit
        refuse(exchange, .methodNotAllowed, .refused)
      } else if case .length(let length) = head.framing, length > row.bodyBytesMax {
        discardEarlyBody(exchange, request)
        refuse(exchange, .messageTooLarge, .refused)
      } else if row.policyCount > 0 || row.handler >= 0 {
        askPolicies(exchange, request)
      } else {
        lead(exchange, request, nil)
      }
    }
  }

  private func query(_ exchange: Int32, _ request: ArrivedRequest, _ method: Method) -> RouteQuery {
    RouteQuery(
      host: request.host.name, hostCount: request.host.nameCount, path: request.target.path,
      pathCount: request.target.pathCount, method: method,
      listener: connections.slots[Int(exchanges.slots[Int(exchange)].server)].listener)
  }

  /// Does what the route says, now that nobody objects. `edits` are the fields that policies have set.
  func lead(_ exchange: Int32, _ request: ArrivedRequest, _ edits: HeaderEdits?) {
    let row = rows(of: exchange).routeRows[Int(exchanges.slots[Int(exchange)].route)]
    if row.service < 0 {
      if row.isAdmin { return serveOperator(exchange, request, row) }
      if row.modelPaths.count > 0 { return answerModels(exchange, request, row) }
      discardEarlyBody(exchange, request)
      answerBuiltin(exchange, row.builtin)
    } else if request.head.maxForwards == 0 {
      discardEarlyBody(exchange, request)
      // Nobody takes TRACE, so that this tells what is taken here.
      if case .methodNotAllowed(let allowed) = rows(of: exchange).routes.match(query(exchange, request, .trace)) {
        answerOptions(exchange, allowed)
      } else {
        answerOptions(exchange, Method.servedBits)
      }
    } else if exchanges.slots[Int(exchange)].upgrades {
      forwardUpgrade(exchange, row.service, request, edits)
    } else {
      forward(exchange, row.service, request, edits)
    }
  }

  // MARK: To the service

  /// Writes the request anew into `outgoing`, with as much of its body as has come, and dials.
  private func forward(_ exchange: Int32, _ service: Int32, _ request: ArrivedRequest, _ edits: HeaderEdits?) {
    let slot = exchanges.slots + Int(exchange)
    let rows = rows(of: exchange)
    let row = rows.services.services[Int(service)]
    let (head, target) = (request.head, request.target)
    aim(exchange, service)
    slot.pointee.isRepeatable = head.method.isIdempotent || rows.routeRows[Int(slot.pointee.route)].replaysOnStale
    switch head.framing {
    case .none, .untilClose: slot.pointee.requestFraming = .none
    case .length(let length): slot.pointee.requestFraming = .length(length)
    case .chunked: slot.pointee.requestFraming = .chunked
    }
    // A policy has asked for the content: it stands apart, and its length is known now.
    let content = slot.pointee.content
    if slot.pointee.isCollected { slot.pointee.requestFraming = .length(UInt64(content.count)) }
    if let edits { request.received.table.drop(edits, of: request.received.bytes) }
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    withSender(exchange, request) { sender in
      writer.appendRequest(
        head, request.received, target: target, framing: slot.pointee.requestFraming, passing: row.passes,
        sender: sender, authority: rows.services.endpoints[Int(row.firstEndpoint)].authority, edits: edits)
    }
    guard takeEarlyBody(exchange, request.bytes, request.count, head.count, &writer) else { return }
    if let base = content.base, content.count <= writer.room {
      writer.append(base, content.count)
      slot.pointee.contentSent = content.count
    } else {
      slot.pointee.contentFollows = content.base != nil
    }
    if writer.overflowed {
      // What a trusted peer claims is written again and may be as long as a head may be.
      refuse(exchange, .tooLarge)
      return
    }
    outgoingCount = writer.count
    perform(exchange, slot.pointee.machine.forward())
  }

  /// The exchange is for this service.
  @inline(__always)
  func aim(_ exchange: Int32, _ service: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let row = rows(of: exchange).services.services[Int(service)]
    slot.pointee.service = service
    slot.pointee.record.service = row.name
    slot.pointee.isRepeatable = slot.pointee.record.method.isIdempotent
    slot.pointee.nextEndpoint = endpoints.nextRound(service: row.id, count: row.endpointCount)
  }

  /// The part of the body that came with the head goes behind the head; what follows the body waits for its turn.
  private func takeEarlyBody(
    _ exchange: Int32, _ bytes: BytePointer, _ count: Int, _ headCount: Int, _ writer: inout ByteWriter
  ) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    var used = headCount
    if !slot.pointee.request.isEnded, count > headCount {
      let piece = StreamRelay.piece(
        bytes + headCount, count - headCount, reader: &slot.pointee.request, framing: slot.pointee.requestFraming,
        classes: parser.classes)
      if let fault = piece.fault {
        dropInput(slot.pointee.server)
        refuse(exchange, fault)
        return false
      }
      if !allowBody(exchange, piece.payload) {
        dropInput(slot.pointee.server)
        slot.pointee.keepsServer = false
        refuse(exchange, .messageTooLarge, .refused)
        return false
      }
      writer.append(piece.start, piece.count)
      used += piece.consumed
      slot.pointee.awaitsContinue = false
    }
    if slot.pointee.request.isEnded { slot.pointee.awaitsContinue = false }
    keepRest(slot.pointee.server, bytes, used, count)
    return true
  }

  /// Counts content of the request; false when it passes what the route takes.
  @inline(__always)
  func allowBody(_ exchange: Int32, _ payload: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let announced = slot.pointee.requestFraming == .chunked ? slot.pointee.request.announcedBytes : 0
    if UInt64(payload) + announced > slot.pointee.bodyAllowance { return false }
    slot.pointee.bodyAllowance -= UInt64(payload)
    slot.pointee.record.requestBytes += UInt64(payload)
    return true
  }

  /// Performs what the machine decided, in order.
  func perform(_ exchange: Int32, _ actions: ExchangeActions) {
    if let cause = actions.cause { exchanges.slots[Int(exchange)].record.cause = cause }
    perform(exchange, actions.first, actions.error)
    if actions.second == .none { return }
    perform(exchange, actions.second, actions.error)
    if actions.third == .none { return }
    perform(exchange, actions.third, actions.error)
  }

  private func perform(_ exchange: Int32, _ action: ExchangeAction, _ error: ErrorCode?) {
    switch action {
    case .none: break
    case .dial: dial(exchange)
    case .reply: reply(exchange, error ?? .internalError)
    case .releaseUpstream: releaseUpstream(exchange)
    case .closeUpstream: closeUpstream(exchange)
    case .cutDownstream: cutDownstream(exchange)
    case .finish: finish(exchange)
    }
  }

  /// Gets a connection to the next endpoint: an idle one, or a new one. The request waits in `outgoing` or, after a
  /// failed try, in the exchange.
  private func dial(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let services = rows(of: exchange).services
    let row = services.services[Int(slot.pointee.service)]
    let place = row.firstEndpoint + slot.pointee.nextEndpoint
    let endpoint = services.endpoints[Int(place)]
    slot.pointee.nextEndpoint = (slot.pointee.nextEndpoint + 1) % row.endpointCount
    slot.pointee.attempts += 1
    // A try that failed may have taken some of it.
    if slot.pointee.contentFollows { slot.pointee.contentSent = 0 }
    slot.pointee.record.attempts &+= 1
    slot.pointee.record.endpoint = endpoint.name
    slot.pointee.endpoint = place
    guard var address = endpoints.nextAddress(endpoint.handle.index, now: clock.milliseconds) else {
      // The name has not been found yet.
      connectFailed(exchange)
      return
    }
    address.port = endpoint.port
    while !slot.pointee.wasReplayed {
      let idle = endpoints.take(endpoint.handle.index, address)
      if idle < 0 { break }
      let connection = connections.slots + Int(idle)
      connection.pointee.role = .clientExchange
      connection.pointee.exchange = exchange
      slot.pointee.client = idle
      if !isUsable(idle) || !sendRequest(exchange) {
        // It went stale while it was idle and nothing of the request has left: that is no failed try.
        closeUpstream(exchange)
        continue
      }
      requestBegan(exchange)
      return
    }
    connect(exchange, endpoint.handle.index, address, row)
  }

  /// Opens a connection to an endpoint. It is usually still on its way when this returns.
  private func connect(_ exchange: Int32, _ endpoint: Int32, _ address: SocketAddress, _ row: ServiceRow) {
    let slot = exchanges.slots + Int(exchange)
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = socket(address.isIPv6 ? AF_INET6 : AF_INET, type, 0)
    guard fd >= 0 else {
      connectFailed(exchange)
      return
    }
    Syscall.setNoDelay(fd)
    let result = address.withKernelForm { Glibc.connect(fd, $0, $1) }
    let error = errno
    let client = result == 0 || error == EINPROGRESS ? open(fd, role: .clientConnecting) : -1
    guard client >= 0 else {
      _ = close(fd)
      connectFailed(exchange)
      return
    }
    let connection = connections.slots + Int(client)
    connection.pointee.exchange = exchange
    connection.pointee.endpoint = endpoint
    connection.pointee.address = address
    slot.pointee.client = client
    if slot.pointee.held.block == nil, !buffers.append(&slot.pointee.held, outgoing, outgoingCount) {
      connectFailed(exchange)
      return
    }
    wheel.arm(client, clock.milliseconds + row.connectMilliseconds)
  }

  /// The kernel says how connecting ended.
  private func finishConnect(_ index: Int32) {
    let connection = connections.slots + Int(index)
    let exchange = connection.pointee.exchange
    if connection.pointee.isBroken || Syscall.socketError(connection.pointee.fd) != 0 {
      connectFailed(exchange)
      return
    }
    guard connection.pointee.isWritable else { return }
    if rows(of: exchange).services.endpoints[Int(exchanges.slots[Int(exchange)].endpoint)].isSecure {
      startHandshake(index)
    } else {
      useConnection(index)
    }
  }

  /// The connection is there: the request is sent on it.
  func useConnection(_ index: Int32) {
    let exchange = connections.slots[Int(index)].exchange
    connections.slots[Int(index)].role = .clientExchange
    if sendRequest(exchange) { requestBegan(exchange) } else { connectFailed(exchange) }
  }

  /// No connection to the endpoint came to be; another address or endpoint may take one.
  func connectFailed(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let services = rows(of: exchange).services
    let row = services.services[Int(slot.pointee.service)]
    if slot.pointee.client >= 0 {
      let connection = connections.slots[Int(slot.pointee.client)]
      endpoints.avoid(
        connection.endpoint, connection.address, until: clock.milliseconds + Limits.avoidAddressMilliseconds)
    }
    var addresses = 0
    for place in row.firstEndpoint..<(row.firstEndpoint + row.endpointCount) {
      addresses += max(1, endpoints.addressCount(services.endpoints[Int(place)].handle.index))
    }
    let mayRetry = Int(slot.pointee.attempts) < min(addresses, Limits.connectAttemptsMax)
    if slot.pointee.isMetered, !mayRetry {
      attemptFailed(exchange, .providerError, .unavailable, "it cannot be reached")
    } else {
      perform(exchange, slot.pointee.machine.connectFailed(mayRetry: mayRetry))
    }
  }

  /// Hands the request to the connection; false when the connection is dead and nothing of it has left. A request
  /// that may be sent again is kept, for the connection may turn out to have been closed by the service while it was
  /// idle.
  private func sendRequest(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let client = slot.pointee.client
    let mayReplay = connections.slots[Int(client)].wasUsed && slot.pointee.isRepeatable
    if let tls = connections.slots[Int(client)].tls { slot.pointee.receivedBefore = tls.receivedBytes }
    guard let block = slot.pointee.held.block else {
      guard send(client, outgoing, outgoingCount) else { return false }
      if mayReplay { hold(exchange, outgoing, outgoingCount) }
      return true
    }
    let count = slot.pointee.held.count
    let sent = send(client, block + Int(slot.pointee.held.start), count)
    if sent, !mayReplay || count > Limits.replayBytes { buffers.giveBack(&slot.pointee.held) }
    return sent
  }

  /// Keeps what was sent, in case it has to be sent again; more than the limit is not worth it.
  func hold(_ exchange: Int32, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.held.count + count > Limits.replayBytes
      || !buffers.append(&slot.pointee.held, bytes, count)
    {
      buffers.giveBack(&slot.pointee.held)
    }
  }

  private func requestBegan(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.record.sent = clock.monotonic
    if slot.pointee.hasWork { noteDispatch(exchange) }
    perform(exchange, slot.pointee.machine.connected(requestEnded: slot.pointee.request.isEnded))
    if slot.pointee.content.base != nil { pumpContent(exchange) }
    if slot.pointee.request.isEnded {
      armHead(exchange)
    } else {
      let server = slot.pointee.server
      armUpload(exchange)
      if slot.pointee.awaitsContinue {
        slot.pointee.awaitsContinue = false
        let line: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
        if !send(server, line.utf8Start, line.utf8CodeUnitCount) {
          perform(exchange, slot.pointee.machine.clientLeft())
          return
        }
      }
      if connections.slots[Int(server)].isReadable { markReady(server) }
    }
  }
}
