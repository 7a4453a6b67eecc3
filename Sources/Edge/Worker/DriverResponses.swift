// The way back: the service's answer is read, its head written anew, its body relayed, and the exchange ends.
// Continues Driver.swift.

import CLinux
import Glibc

extension Worker {
  // MARK: The service's side of a running exchange

  /// Something happened on a connection to a service.
  func serveClient(_ index: Int32) {
    let connection = connections.slots + Int(index)
    let exchange = connection.pointee.exchange
    let slot = exchanges.slots + Int(exchange)
    if connection.pointee.isWritable, connection.pointee.unsent > 0 {
      if !flush(index) {
        stopUpload(exchange)
      } else if connection.pointee.hasRoom {
        resumeUpload(exchange)
      } else if connection.pointee.pipe.count > 0 {
        // It takes what was sent, if slowly.
        if slot.pointee.machine.state == .awaiting { armHead(exchange) } else { armUpload(exchange) }
      }
    }
    if !connection.pointee.isReadable || connection.pointee.isPaused { return }
    switch slot.pointee.machine.state {
    case .requesting, .awaiting:
      if slot.pointee.isMetered, work(of: exchange).pointee.kind != .none {
        relayMetered(exchange)
      } else {
        readResponse(exchange)
      }
    case .duplex, .responding: if slot.pointee.isMetered { relayMetered(exchange) } else { relayResponse(exchange) }
    case .deciding, .suspended, .connecting, .settling, .flushing, .ended: break
    }
  }

  /// Reads until the response's head is complete.
  private func readResponse(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let client = slot.pointee.client
    let connection = connections.slots + Int(client)
    var bytes = scratch
    var count = 0
    switch read(client) {
    case .bytes(let read): count = read
    case .wouldBlock: return
    case .ended:
      answerMissing(exchange, isWhole: true)
      return
    case .failed:
      answerMissing(exchange, isWhole: false)
      return
    }
    if !connection.pointee.input.isEmpty {
      guard buffers.append(&connection.pointee.input, scratch, count), let block = connection.pointee.input.block else {
        upstreamFailed(exchange)
        return
      }
      bytes = block + Int(connection.pointee.input.start)
      count = connection.pointee.input.count
    }
    parseResponse(exchange, bytes, count)
  }

  /// The connection ended before a response, in order (`isWhole`) or not. An idle connection may have been closed by
  /// the service just as the request was sent: if nothing came back and the request may be repeated, it is, once, on a
  /// fresh connection.
  private func answerMissing(_ exchange: Int32, isWhole: Bool) {
    let slot = exchanges.slots + Int(exchange)
    let connection = connections.slots + Int(slot.pointee.client)
    // What came inside TLS before it ended in order was no answer; before a cut it may have been the start of one.
    let received = connection.pointee.tls?.receivedBytes ?? slot.pointee.receivedBefore
    let isRecordCut = connection.pointee.tls != nil && !isWhole && received != slot.pointee.receivedBefore
    let nothingCame = connection.pointee.input.isEmpty && slot.pointee.interimResponses == 0 && !isRecordCut
    if slot.pointee.held.block != nil, nothingCame, !slot.pointee.wasReplayed {
      slot.pointee.wasReplayed = true
      slot.pointee.record.replays = 1
      slot.pointee.stoppedUpload = false
      counters.add(1, to: .replays, worker: index)
      perform(exchange, slot.pointee.machine.wentStale())
    } else {
      upstreamFailed(exchange)
    }
  }

  /// The service broke its connection, or the rules. Where a provider was asked and the client has nothing of its
  /// answer, another one may be.
  func upstreamFailed(_ exchange: Int32, _ reason: StaticString = "it broke the connection, or the rules of HTTP") {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.isMetered, !work(of: exchange).pointee.hasBegun {
      attemptFailed(exchange, .providerError, .upstreamError, reason)
    } else if slot.pointee.origin == .message {
      breakOff(exchange, .providerError, .upstreamCut)
    } else {
      perform(exchange, slot.pointee.machine.upstreamFailed())
    }
  }

  private func parseResponse(_ exchange: Int32, _ first: BytePointer, _ firstCount: Int) {
    let slot = exchanges.slots + Int(exchange)
    let connection = connections.slots + Int(slot.pointee.client)
    var (bytes, count) = (first, firstCount)
    var head = ResponseHead()
    while true {
      switch parser.readResponse(
        bytes, count, limits: rows(of: exchange).headLimits, toHead: slot.pointee.isToHead, into: &head)
      {
      case .refused:
        upstreamFailed(exchange)
        return
      case .incomplete:
        guard stash(slot.pointee.client, bytes, count) else {
          upstreamFailed(exchange)
          return
        }
        if connection.pointee.isReadable { markReady(slot.pointee.client) }
        return
      case .complete: break
      }
      if head.status >= 200 { break }
      if head.status == 101, slot.pointee.upgrades { break }
      // Interim responses are between the service and Edge; 101 was not asked for.
      slot.pointee.interimResponses += 1
      if head.status == 101 || Int(slot.pointee.interimResponses) > Limits.interimResponsesMax {
        upstreamFailed(exchange)
        return
      }
      bytes += head.count
      count -= head.count
      if count == 0 {
        buffers.giveBack(&connection.pointee.input)
        if connection.pointee.isReadable { markReady(slot.pointee.client) }
        return
      }
    }
    beginResponse(exchange, head, bytes, count)
  }

  /// The head of the final answer is here.
  private func beginResponse(_ exchange: Int32, _ head: ResponseHead, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    buffers.giveBack(&slot.pointee.held)
    slot.pointee.record.answered = clock.monotonic
    slot.pointee.record.status = head.status
    slot.pointee.keepsClient = head.keepAlive
    slot.pointee.response = BodyReader(head.framing)
    if slot.pointee.isMetered {
      beginMetered(exchange, head, bytes, count)
      return
    }
    slot.pointee.upstreamStatus = head.status
    if slot.pointee.origin != .client {
      beginFetched(exchange, head, bytes, count)
      return
    }
    if slot.pointee.judgesHead, !judgeHead(exchange, head, bytes, count) { return }
    writeResponse(exchange, head, bytes, count)
  }

  /// The head goes to the client, with what policies have set, and behind it as much of the body as came with it.
  func writeResponse(_ exchange: Int32, _ head: ResponseHead, _ bytes: BytePointer, _ count: Int) {
    if head.status == 101 { return openPair(exchange, head, bytes, count) }
    let slot = exchanges.slots + Int(exchange)
    let client = slot.pointee.client
    slot.pointee.responseFraming = framing(of: head, exchange)
    if slot.pointee.responseFraming == .untilClose || !slot.pointee.request.isEnded
      || isLeaving(slot.pointee.server)
    {
      slot.pointee.keepsServer = false
    }
    let received = ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table)
    var edits: HeaderEdits?
    if slot.pointee.judgesHead {
      slot.pointee.judgesHead = false
      let set = machine(of: exchange).host.edits
      received.table.drop(set, of: received.bytes)
      edits = set
    }
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.appendResponse(
      head, received, framing: slot.pointee.responseFraming, connection: connectionField(exchange),
      requestID: UnsafePointer(text(of: exchange) + RecordText.requestIDOffset),
      requestIDCount: Int(slot.pointee.record.requestIDCount),
      date: date(), edits: edits)
    var body = bytes + head.count
    let rest = count - head.count
    if connections.slots[Int(client)].input.block != nil {
      // A piece may grow by its framing; the scratch area has the room for that.
      memmove(scratch, body, rest)
      body = scratch
      buffers.giveBack(&connections.slots[Int(client)].input)
    }
    let piece = StreamRelay.piece(
      body, rest, reader: &slot.pointee.response, framing: slot.pointee.responseFraming, classes: parser.classes)
    if writer.overflowed || piece.fault != nil {
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return
    }
    if piece.consumed < rest { slot.pointee.keepsClient = false }
    if slot.pointee.judgesChunks, piece.payload > 0, !judgePiece(exchange, body, piece, behind: writer) { return }
    slot.pointee.record.responseBytes += UInt64(piece.payload)
    perform(exchange, slot.pointee.machine.responseBegan())
    // One write for both, but for a head so long that both do not fit.
    let isOneWrite = piece.count <= writer.room
    if isOneWrite { writer.append(piece.start, piece.count) }
    guard send(slot.pointee.server, outgoing, writer.count),
      isOneWrite || send(slot.pointee.server, piece.start, piece.count)
    else {
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    afterPiece(exchange)
  }

  /// How the response's body is framed for the client.
  private func framing(of head: ResponseHead, _ exchange: Int32) -> WrittenFraming {
    let slot = exchanges.slots + Int(exchange)
    switch head.framing {
    case .length(let length): return .length(length)
    case .chunked, .untilClose: return slot.pointee.isVersion10 ? .untilClose : .chunked
    case .none:
      // Answers to HEAD and 304 say how long the content would be; 204 never has any (RFC 9110 section 8.6).
      let isAbout = slot.pointee.isToHead && head.status != 204 || head.status == 304
      guard isAbout, let length = parser.givenContentLength else { return .none }
      return .length(length)
    }
  }

  func connectionField(_ exchange: Int32) -> WrittenConnection {
    let slot = exchanges.slots + Int(exchange)
    if !slot.pointee.keepsServer { return .close }
    return slot.pointee.isVersion10 ? .keepAlive : .implied
  }

  /// One read of the response's body goes to the client.
  private func relayResponse(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if spliceResponse(exchange) { return }
    var count = 0
    switch read(slot.pointee.client) {
    case .bytes(let read): count = read
    case .wouldBlock: return
    case .ended:
      endWithConnection(exchange)
      return
    case .failed:
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return
    }
    let piece = StreamRelay.piece(
      scratch, count, reader: &slot.pointee.response, framing: slot.pointee.responseFraming, classes: parser.classes)
    if piece.fault != nil {
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return
    }
    if piece.consumed < count { slot.pointee.keepsClient = false }
    if slot.pointee.judgesChunks, piece.payload > 0, !judgePiece(exchange, scratch, piece) { return }
    slot.pointee.record.responseBytes += UInt64(piece.payload)
    if slot.pointee.origin != .client {
      if gather(exchange, piece.start, piece.count) { afterPiece(exchange) }
      return
    }
    guard send(slot.pointee.server, piece.start, piece.count) else {
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    afterPiece(exchange)
  }

  /// The service closed: the end of a body that has no other end, else a cut.
  private func endWithConnection(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if !slot.pointee.response.endsWithConnection {
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return
    }
    slot.pointee.keepsClient = false
    if slot.pointee.responseFraming == .chunked,
      !send(slot.pointee.server, ChunkWriter.last.utf8Start, ChunkWriter.last.utf8CodeUnitCount)
    {
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    responseEnded(exchange)
  }

  /// A piece is with the client's connection: is that all, does the service have more, must it wait?
  func afterPiece(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.response.isEnded {
      responseEnded(exchange)
      return
    }
    let client = slot.pointee.client
    let connection = connections.slots + Int(client)
    armDownload(exchange)
    if connections.slots[Int(slot.pointee.server)].isFull {
      connection.pointee.isPaused = true
      wheel.arm(client, TimerWheel.never)
      return
    }
    let service = rows(of: exchange).services.services[Int(slot.pointee.service)]
    wheel.arm(client, clock.milliseconds + service.idleMilliseconds)
    if connection.pointee.isReadable { markReady(client) }
  }

  private func responseEnded(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let connection = connections.slots + Int(slot.pointee.client)
    // A service that did not take the whole request would read what follows as its rest.
    let tookAll =
      connection.pointee.unsent == 0 && !slot.pointee.stoppedUpload
      && slot.pointee.contentSent == sentContent(exchange).count
    let reusable = slot.pointee.keepsClient && tookAll && !connection.pointee.peerEnded
    perform(exchange, slot.pointee.machine.responseEnded(reusable: reusable && !isDraining))
    flushOrWait(exchange)
  }

  /// The last bytes are with the client's connection: the exchange ends when its socket has taken them.
  func flushOrWait(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let isFlushed =
      slot.pointee.origin == .message
      ? isTold(exchange) : connections.slots[Int(slot.pointee.server)].unsent == 0
    if isFlushed {
      perform(exchange, slot.pointee.machine.flushed())
    } else {
      armDownload(exchange)
    }
  }

  // MARK: The end

  /// The connection to the service goes back to the pool.
  func releaseUpstream(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let client = slot.pointee.client
    let service = rows(of: exchange).services.services[Int(slot.pointee.service)]
    guard endpoints.put(client, limit: service.poolSize, generation: rows.number) else {
      closeUpstream(exchange)
      return
    }
    slot.pointee.client = -1
    let connection = connections.slots + Int(client)
    connection.pointee.role = .clientIdle
    connection.pointee.exchange = -1
    connection.pointee.wasUsed = true
    connection.pointee.isPaused = false
    wheel.arm(client, clock.milliseconds + service.poolIdleMilliseconds)
    if connection.pointee.isReadable { markReady(client) }
  }

  func closeUpstream(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.client < 0 { return }
    closeConnection(slot.pointee.client)
    slot.pointee.client = -1
  }

  /// The client must see that its response is not whole: a missing last chunk or too few bytes tell it, and where
  /// only the end of the connection would, the connection is reset instead of ended. Within TLS nothing says the end.
  func cutDownstream(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let server = slot.pointee.server
    if server < 0 { return }
    connections.slots[Int(server)].tls?.breakOff()
    if slot.pointee.responseFraming == .untilClose { Syscall.setResetOnClose(connections.slots[Int(server)].fd) }
    closeConnection(server)
    slot.pointee.server = -1
  }

  /// The exchange is over: the client's connection goes on to its next request, or ends; the policies are told, the
  /// record is written and the slot freed.
  func finish(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.firstChild >= 0 { cancelChildren(exchange) }
    switch slot.pointee.origin {
    case .client, .message: break
    case .child, .background:
      finishFetch(exchange)
      return
    }
    if slot.pointee.hasWork {
      closeWork(exchange)
      dropHead(exchange)
    }
    if slot.pointee.content.base != nil { slot.pointee.content.giveBack(&buffers, shared.bodies) }
    let hasPolicies = slot.pointee.policyContext >= 0 || isLogged(exchange)
    // Scripts take time of the turn; what they took belongs to the exchange.
    if hasPolicies { clock.update() }
    slot.pointee.record.end = clock.monotonic
    let server = slot.pointee.server
    let keeps = slot.pointee.keepsServer && slot.pointee.request.isEnded && server >= 0 && !isLeaving(server)
    // Only a client that asked for the end, and whose request was read whole, sends nothing that would be answered
    // with a reset.
    let isQuiet = slot.pointee.clientCloses && slot.pointee.request.isEnded
    buffers.giveBack(&slot.pointee.held)
    buffers.giveBack(&slot.pointee.answer)
    slot.pointee.server = -1
    if hasPolicies { abandonPolicy(exchange) }
    if slot.pointee.origin == .message {
      if server >= 0 { closeConnection(server) }
      leaveSession(exchange)
    } else if slot.pointee.session >= 0 {
      if server >= 0 {
        connections.slots[Int(server)].exchange = -1
        startSession(slot.pointee.session, on: server)
      } else {
        dropSession(slot.pointee.session)
      }
    } else if server >= 0 {
      letGo(server, keeps: keeps, isQuiet: isQuiet)
    }
    if !hasPolicies || logPolicies(exchange) { retire(exchange) }
  }

  /// Whether a policy wants to know of the end, even if none was asked at the beginning.
  @inline(__always)
  private func isLogged(_ exchange: Int32) -> Bool {
    let route = exchanges.slots[Int(exchange)].route
    return route >= 0 && rows(of: exchange).routeRows[Int(route)].logs
  }

  /// The exchange of a client's connection is over.
  private func letGo(_ server: Int32, keeps: Bool, isQuiet: Bool) {
    let connection = connections.slots + Int(server)
    connection.pointee.exchange = -1
    connection.pointee.role = .serverIdle
    connection.pointee.wasUsed = true
    if keeps {
      wheel.arm(server, clock.milliseconds + rows.idleMilliseconds)
      if connection.pointee.isReadable || !connection.pointee.input.isEmpty { markReady(server) }
    } else if isQuiet, connection.pointee.input.isEmpty, !connection.pointee.isReadable {
      closeConnection(server)
    } else {
      startLinger(server)
    }
  }

  /// Nothing is left to do for the exchange.
  func retire(_ exchange: Int32) {
    closeRecord(exchange)
    exchanges.give(exchange)
  }

  /// The log gets the record, and the exchange uses its generation no more.
  @inline(__always)
  func closeRecord(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    pushRecord(exchange)
    // Before the generation may end.
    noteMetrics(exchange)
    let generation = slot.pointee.generation
    if shared.generations.unpin(generation, worker: index), generation != rows.place { shared.control.signal() }
    counters.add(-1, to: .runningExchanges, worker: index)
    counters.add(1, to: .exchanges, worker: index)
  }
}
