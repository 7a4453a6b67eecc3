// The driver and providers: a request for a model is written for the provider that was chosen, and its answer is
// metered on the way to the client. The end of an answer waits until the ledger has what it costs.
//
//   forwardToProvider ─▶ dial … beginMetered ─▶ takeMetered ─▶ whole: gathered ─▶ answerEnded ─▶ settling
//                                                   └▶ stream: each event ─▶          │             │
//                                                      passed on at once              └─ sendEnd ◀──┘ settlementWritten

import Glibc

extension Worker {
  // MARK: To the provider

  /// Writes the request for the first candidate into `outgoing` and dials.
  func forwardToProvider(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let rows = rows(of: exchange)
    let provider = rows.models.providers[Int(work.pointee.candidates[0])]
    aim(exchange, provider.service)
    slot.pointee.record.service = .empty
    slot.pointee.record.provider = provider.name
    slot.pointee.record.streams = work.pointee.request.streams
    slot.pointee.isMetered = true
    // Nothing came back and the connection was an old one: asking again costs less than an error.
    slot.pointee.isRepeatable = true
    slot.pointee.requestFraming = .none
    let splices = Dialect.splices(
      provider.dialect, work.pointee.request, upstreamModel: upstreamModel(exchange))
    let contentBytes = splices.editedCount(slot.pointee.content.count)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.appendProviderRequest(
      request.received, basePath: provider.basePath, path: Dialect.path(provider.dialect),
      authority: rows.services.endpoints[Int(rows.services.services[Int(provider.service)].firstEndpoint)].authority,
      keyField: Dialect.keyField(provider.dialect), key: provider.key, contentBytes: contentBytes,
      requestID: requestID(of: exchange))
    // The head was read to its end; what is kept behind it is the next request.
    keepRest(slot.pointee.server, request.bytes, request.head.count, request.count)
    guard let base = slot.pointee.content.base else {
      refuse(exchange, .internalError, .internalError)
      return
    }
    if contentBytes <= writer.room {
      splices.copy(base, slot.pointee.content.count, to: &writer)
      slot.pointee.contentSent = slot.pointee.content.count
    } else {
      slot.pointee.contentFollows = true
      guard splices.isEmpty || spliceContent(exchange, splices, contentBytes) else {
        refuse(exchange, .serviceUnavailable, .unavailable)
        return
      }
    }
    outgoingCount = writer.count
    perform(exchange, slot.pointee.machine.forward())
  }

  /// What the provider calls the model; nil: as the client has written it.
  private func upstreamModel(_ exchange: Int32) -> StaticBytes? {
    let work = work(of: exchange)
    let row = rows(of: exchange).models.models[Int(work.pointee.model)]
    if row.upstreamName.count > 0 { return row.upstreamName }
    // Without the provider in front of it.
    return row.name.count == Int(work.pointee.request.model.count) ? nil : row.name
  }

  /// Writes the content anew where it does not go out in one piece with its head.
  private func spliceContent(_ exchange: Int32, _ splices: BodySplices, _ bytes: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    var spliced = Body.none
    guard let base = slot.pointee.content.base, spliced.makeRoom(bytes, &buffers, shared.bodies) == .granted,
      let target = spliced.base
    else { return false }
    var writer = ByteWriter(base: target, capacity: spliced.capacity)
    splices.copy(base, slot.pointee.content.count, to: &writer)
    spliced.advance(writer.count)
    slot.pointee.content.giveBack(&buffers, shared.bodies)
    slot.pointee.content = spliced
    return true
  }

  /// Sends on of the content what did not go out with the head, as fast as the connection takes it.
  func pumpContent(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    guard let base = slot.pointee.content.base, slot.pointee.client >= 0, !slot.pointee.stoppedUpload else { return }
    while slot.pointee.contentSent < slot.pointee.content.count {
      if connections.slots[Int(slot.pointee.client)].output.count > Limits.unsentLow { return }
      let piece = min(Limits.readBytes, slot.pointee.content.count - slot.pointee.contentSent)
      guard send(slot.pointee.client, base + slot.pointee.contentSent, piece) else {
        stopUpload(exchange)
        return
      }
      slot.pointee.contentSent += piece
      switch slot.pointee.machine.state {
      case .requesting, .awaiting: armHead(exchange)
      case .deciding, .suspended, .connecting, .duplex, .responding, .settling, .flushing, .ended: break
      }
    }
  }

  /// How long the provider may take to answer: to the first event of a stream, or for the whole answer.
  func answerMilliseconds(_ exchange: Int32) -> UInt64? {
    guard exchanges.slots[Int(exchange)].isMetered, !work(of: exchange).pointee.request.streams else { return nil }
    return rows(of: exchange).models.providers[Int(work(of: exchange).pointee.candidates[0])].answerMilliseconds
  }

  // MARK: The answer

  /// The head of the provider's answer is here, with as much of its content as came with it.
  func beginMetered(_ exchange: Int32, _ head: ResponseHead, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let client = slot.pointee.client
    let received = ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table)
    slot.pointee.upstreamStatus = head.status
    // The client has nothing of it yet.
    slot.pointee.record.status = 0
    if slot.pointee.contentSent == slot.pointee.content.count {
      // It will not be sent again.
      slot.pointee.content.giveBack(&buffers, shared.bodies)
      slot.pointee.contentSent = 0
    }
    if case .fails(let code) = ProviderStatus(status: head.status) {
      if code == .rateLimitExceeded { replyDetail.retryAfterSeconds = received.retryAfterSeconds }
      perform(exchange, slot.pointee.machine.answerRefused(code))
      return
    }
    guard !received.isEncoded else {
      // It was asked not to; what cannot be read cannot be charged.
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return
    }
    // Whatever was asked for: what comes event by event is passed on so.
    let streams = head.status == 200 && received.isEventStream
    work.pointee.kind = streams ? .stream : .whole
    slot.pointee.responseFraming = streams ? (slot.pointee.isVersion10 ? .untilClose : .chunked) : .none
    var body = bytes + head.count
    let rest = count - head.count
    if connections.slots[Int(client)].input.block != nil {
      // A piece may grow by its framing; the scratch area has the room for that.
      memmove(scratch, body, rest)
      body = scratch
      buffers.giveBack(&connections.slots[Int(client)].input)
    }
    takeMetered(exchange, body, rest)
  }

  /// More of the provider's answer has come.
  func relayMetered(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    switch read(slot.pointee.client) {
    case .bytes(let count): takeMetered(exchange, scratch, count)
    case .wouldBlock: return
    case .ended:
      slot.pointee.keepsClient = false
      if slot.pointee.response.endsWithConnection || work(of: exchange).pointee.stream.sawEnd {
        meteredEnded(exchange)
      } else {
        perform(exchange, slot.pointee.machine.upstreamFailed())
      }
    case .failed:
      slot.pointee.keepsClient = false
      if work(of: exchange).pointee.stream.sawEnd {
        meteredEnded(exchange)
      } else {
        perform(exchange, slot.pointee.machine.upstreamFailed())
      }
    }
  }

  private func takeMetered(_ exchange: Int32, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let step = slot.pointee.response.read(bytes, count, parser.classes)
    if step.fault != nil {
      slot.pointee.keepsClient = false
      // What stands behind the end is not about this answer.
      guard work.pointee.kind == .stream, takeEvents(exchange, bytes, step.payload), work.pointee.stream.sawEnd else {
        if slot.pointee.machine.state != .ended { perform(exchange, slot.pointee.machine.upstreamFailed()) }
        return
      }
      meteredEnded(exchange)
      return
    }
    if step.consumed < count { slot.pointee.keepsClient = false }
    if work.pointee.kind == .stream {
      guard takeEvents(exchange, bytes, step.payload) else { return }
    } else {
      if work.pointee.answer.count + step.payload > Limits.modelAnswerBytesMax {
        perform(exchange, slot.pointee.machine.upstreamFailed())
        return
      }
      guard work.pointee.answer.append(bytes, step.payload, &buffers, shared.bodies) == .granted else {
        perform(exchange, slot.pointee.machine.answerRefused(.serviceUnavailable))
        return
      }
    }
    if slot.pointee.response.isEnded {
      meteredEnded(exchange)
      return
    }
    let connection = connections.slots + Int(slot.pointee.client)
    if work.pointee.stream.sawEnd {
      if work.pointee.hasBegun { armDownload(exchange) }
      wheel.arm(slot.pointee.client, clock.milliseconds + Limits.streamEndMilliseconds)
    } else if work.pointee.kind == .stream, work.pointee.hasBegun {
      armDownload(exchange)
      if connections.slots[Int(slot.pointee.server)].output.count > Limits.unsentHigh {
        connection.pointee.isPaused = true
        wheel.arm(slot.pointee.client, TimerWheel.never)
        return
      }
      let service = rows(of: exchange).services.services[Int(slot.pointee.service)]
      wheel.arm(slot.pointee.client, clock.milliseconds + service.idleMilliseconds)
    }
    if connection.pointee.isReadable { markReady(slot.pointee.client) }
  }

  /// A piece of a stream: whole events go on, what waits for the ledger and what is no whole event is kept. False when
  /// that ended the exchange.
  private func takeEvents(_ exchange: Int32, _ bytes: BytePointer, _ count: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if count == 0 { return true }
    let rows = rows(of: exchange)
    let dialect = rows.models.providers[Int(work.pointee.candidates[0])].dialect
    let strips = !work.pointee.request.asksUsage
    var piece: MeteredPiece
    var start = bytes
    if work.pointee.answer.count == 0 {
      piece = work.pointee.stream.take(bytes, count, dialect: dialect, stripsUsage: strips, document)
      let kept = piece.heldCount + piece.restCount
      guard work.pointee.answer.append(bytes + piece.passCount, kept, &buffers, shared.bodies) == .granted else {
        perform(exchange, slot.pointee.machine.upstreamFailed())
        return false
      }
    } else {
      guard work.pointee.answer.append(bytes, count, &buffers, shared.bodies) == .granted,
        let base = work.pointee.answer.base
      else {
        perform(exchange, slot.pointee.machine.upstreamFailed())
        return false
      }
      let fresh = work.pointee.answer.count - work.pointee.heldBytes
      start = base + work.pointee.heldBytes
      piece = work.pointee.stream.take(start, fresh, dialect: dialect, stripsUsage: strips, document)
    }
    if piece.passCount > 0, !sendEvents(exchange, start, piece.passCount) { return false }
    if piece.isFault {
      perform(exchange, slot.pointee.machine.upstreamFailed())
      return false
    }
    if start != bytes {
      work.pointee.answer.remove(
        piece.passCount, at: work.pointee.heldBytes, keeping: piece.heldCount + piece.restCount)
    }
    work.pointee.heldBytes += piece.heldCount
    // A usage that was not told yet may still follow.
    if work.pointee.stream.sawEnd, work.pointee.stream.usage.source == .reported, work.pointee.settlement == .open {
      settle(exchange, .completed, awaits: true)
    }
    return work.pointee.settlement != .written || releaseHeld(exchange)
  }

  /// Sends whole events, behind the answer's head if they are the first.
  private func sendEvents(_ exchange: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    if !work.pointee.hasBegun { beginStream(exchange, &writer) }
    let isChunked = slot.pointee.responseFraming == .chunked
    if isChunked {
      writer.append(hex: UInt64(count))
      writer.appendLineEnd()
    }
    slot.pointee.record.responseBytes += UInt64(count)
    var isSent = true
    if count + ChunkWriter.tailBytes <= writer.room {
      writer.append(bytes, count)
    } else {
      isSent = send(slot.pointee.server, outgoing, writer.count) && send(slot.pointee.server, bytes, count)
      writer.rewind(to: 0)
    }
    if isChunked { writer.appendLineEnd() }
    if isSent, send(slot.pointee.server, outgoing, writer.count) { return true }
    perform(exchange, slot.pointee.machine.clientLeft())
    return false
  }

  private func beginStream(_ exchange: Int32, _ writer: inout ByteWriter) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    work.pointee.hasBegun = true
    slot.pointee.record.status = slot.pointee.upstreamStatus
    slot.pointee.record.firstByte = clock.monotonic
    if slot.pointee.responseFraming == .untilClose || isLeaving(slot.pointee.server) {
      slot.pointee.keepsServer = false
    }
    appendModelHead(exchange, "text/event-stream; charset=utf-8", &writer)
    if slot.pointee.responseFraming == .chunked { writer.append("transfer-encoding: chunked\r\n") }
    writer.appendLineEnd()
    // Settling has its own way to begin.
    if slot.pointee.machine.state != .settling, slot.pointee.machine.state != .flushing {
      perform(exchange, slot.pointee.machine.responseBegan())
    }
  }

  /// The head of an answer of a model, without its framing and its end.
  private func appendModelHead(_ exchange: Int32, _ contentType: StaticString, _ writer: inout ByteWriter) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    writer.append("HTTP/1.1 ")
    writer.append(decimal: UInt64(slot.pointee.record.status), width: 3)
    writer.append(byte: 0x20)
    writer.append(ReplyHead.reason(of: slot.pointee.record.status))
    writer.append("\r\ndate: ")
    writer.append(date())
    writer.append("\r\ncontent-type: ")
    writer.append(contentType)
    writer.append("\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\nx-request-id: ")
    writer.append(requestID(of: exchange))
    writer.appendLineEnd()
    let provider = rows(of: exchange).models.providers[Int(work.pointee.candidates[0])]
    writer.append("edge-provider: ")
    writer.append(provider.name)
    writer.appendLineEnd()
    if provider.isDemo { writer.append("edge-demo: true\r\n") }
    writer.append(connectionField(exchange))
  }

  // MARK: The end

  /// The provider has said all.
  func meteredEnded(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    work.pointee.isWhole = true
    let connection = connections.slots + Int(slot.pointee.client)
    let tookAll =
      connection.pointee.output.isEmpty && !slot.pointee.stoppedUpload
      && slot.pointee.contentSent == slot.pointee.content.count
    let reusable = slot.pointee.keepsClient && tookAll && !connection.pointee.peerEnded && !isDraining
    if work.pointee.kind == .whole {
      readWholeAnswer(exchange)
      if work.pointee.event.kind == .error {
        // A success that says nothing in the dialect: nobody is charged for it, and nobody gets it.
        perform(exchange, slot.pointee.machine.answerRefused(.providerError))
        return
      }
    } else {
      takeLastEvent(exchange)
    }
    if work.pointee.settlement == .open { settle(exchange, .completed, awaits: true) }
    perform(exchange, slot.pointee.machine.answerEnded(reusable: reusable))
    if work.pointee.settlement == .written {
      sendEnd(exchange)
    } else {
      work.pointee.settleDeadline = clock.milliseconds + Limits.settleMilliseconds
      armDownload(exchange)
    }
  }

  /// An event that no blank line ends is one all the same when the answer is over.
  private func takeLastEvent(_ exchange: Int32) {
    let work = work(of: exchange)
    let rest = work.pointee.answer.count - work.pointee.heldBytes
    guard rest > 0, let base = work.pointee.answer.base else { return }
    let piece = work.pointee.stream.takeLast(
      base + work.pointee.heldBytes, rest,
      dialect: rows(of: exchange).models.providers[Int(work.pointee.candidates[0])].dialect,
      stripsUsage: !work.pointee.request.asksUsage, document)
    work.pointee.heldBytes += piece.passCount + piece.heldCount
  }

  private func readWholeAnswer(_ exchange: Int32) {
    let work = work(of: exchange)
    guard ProviderStatus(status: exchanges.slots[Int(exchange)].upstreamStatus) == .answers else { return }
    guard let base = work.pointee.answer.base else {
      work.pointee.event.kind = .error
      return
    }
    let dialect = rows(of: exchange).models.providers[Int(work.pointee.candidates[0])].dialect
    work.pointee.event = Dialect.readAnswer(dialect, base, work.pointee.answer.count, document)
  }

  /// The ledger has it.
  func settlementWritten(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    switch slot.pointee.machine.state {
    case .settling: sendEnd(exchange)
    case .awaiting, .responding: _ = releaseHeld(exchange)
    case .deciding, .suspended, .connecting, .requesting, .duplex, .flushing, .ended: break
    }
  }

  /// What waited for the ledger goes to the client; false when that ended the exchange.
  private func releaseHeld(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    let held = work.pointee.heldBytes
    guard held > 0, let base = work.pointee.answer.base else { return true }
    guard sendEvents(exchange, base, held) else { return false }
    work.pointee.answer.remove(held, at: 0, keeping: work.pointee.answer.count - held)
    work.pointee.heldBytes = 0
    return true
  }

  /// The end of the answer goes to the client: what was held of a stream, or the whole.
  private func sendEnd(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if work.pointee.kind == .stream {
      if !work.pointee.hasBegun, work.pointee.heldBytes == 0 {
        // A stream without any event.
        var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
        beginStream(exchange, &writer)
        guard send(slot.pointee.server, outgoing, writer.count) else {
          perform(exchange, slot.pointee.machine.clientLeft())
          return
        }
      }
      guard releaseHeld(exchange) else { return }
      let last = ChunkWriter.last
      if slot.pointee.responseFraming == .chunked,
        !send(slot.pointee.server, last.utf8Start, last.utf8CodeUnitCount)
      {
        perform(exchange, slot.pointee.machine.clientLeft())
        return
      }
      perform(exchange, slot.pointee.machine.settled())
      flushOrWait(exchange)
      return
    }
    slot.pointee.record.firstByte = clock.monotonic
    slot.pointee.record.status = slot.pointee.upstreamStatus
    if isLeaving(slot.pointee.server) { slot.pointee.keepsServer = false }
    slot.pointee.record.responseBytes = UInt64(work.pointee.answer.count)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    appendModelHead(exchange, "application/json", &writer)
    writer.append("content-length: ")
    writer.append(decimal: UInt64(work.pointee.answer.count))
    writer.append("\r\n\r\n")
    work.pointee.hasBegun = true
    if let base = work.pointee.answer.base, work.pointee.answer.count <= writer.room {
      writer.append(base, work.pointee.answer.count)
      work.pointee.sentBytes = work.pointee.answer.count
    }
    perform(exchange, slot.pointee.machine.settled())
    guard send(slot.pointee.server, outgoing, writer.count) else {
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    pumpAnswer(exchange)
  }

  /// Whether the client still has to get a part of a whole answer.
  func hasMoreAnswer(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.isMetered else { return false }
    let work = work(of: exchange)
    return work.pointee.kind == .whole && work.pointee.hasBegun
      && work.pointee.sentBytes < work.pointee.answer.count
  }

  /// Sends on of a whole answer, as fast as the client takes it.
  func pumpAnswer(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    while hasMoreAnswer(exchange), let base = work.pointee.answer.base {
      if connections.slots[Int(slot.pointee.server)].output.count > Limits.unsentLow {
        armDownload(exchange)
        return
      }
      let piece = min(Limits.readBytes, work.pointee.answer.count - work.pointee.sentBytes)
      guard send(slot.pointee.server, base + work.pointee.sentBytes, piece) else {
        perform(exchange, slot.pointee.machine.clientLeft())
        return
      }
      work.pointee.sentBytes += piece
    }
    flushOrWait(exchange)
  }
}
