// The driver and a provider's answer: it is metered on the way to the client, and said in the client's dialect where
// that is another one. The end of an answer waits until the ledger has what it costs.
//
//   askProvider ─▶ dial … beginMetered ─▶ takeMetered ─▶ whole: gathered ─▶ answerEnded ─▶ settling
//   (ModelRequests.swift)                     └▶ stream: each event ─▶          │             │
//                                                passed on at once              └─ sendEnd ◀──┘ settlementWritten

import Glibc

extension Worker {
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
    // It will not be sent again to anybody.
    if slot.pointee.contentSent == sentContent(exchange).count, !mayFallBack(exchange) { commitAnswer(exchange) }
    work.pointee.providerRetrySeconds = received.retryAfterSeconds
    if case .fails(let code) = ProviderStatus(status: head.status) {
      attemptFailed(exchange, code, .upstreamError, "it answered with an error")
      return
    }
    guard !received.isEncoded else {
      // It was asked not to; what cannot be read cannot be charged.
      attemptFailed(exchange, .providerError, .upstreamError, "its answer is compressed")
      return
    }
    // Whatever was asked for: what comes event by event is passed on so.
    let streams = head.status == 200 && received.isEventStream
    if streams, slot.pointee.origin == .message, !work.pointee.request.streams {
      // What comes piece by piece has no place in an answer that is one message.
      attemptFailed(exchange, .providerError, .upstreamError, "it streams although nobody asked for that")
      return
    }
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
    // On a WebSocket others may have filled what its client does not take.
    if slot.pointee.origin == .message, work(of: exchange).pointee.kind == .stream,
      unsentBytes(exchange) > Limits.unsentHigh
    {
      connections.slots[Int(slot.pointee.client)].isPaused = true
      wheel.arm(slot.pointee.client, TimerWheel.never)
      return
    }
    let isOver: Bool
    switch read(slot.pointee.client) {
    case .bytes(let count):
      takeMetered(exchange, scratch, count)
      return
    case .wouldBlock: return
    case .ended: isOver = slot.pointee.response.endsWithConnection || work(of: exchange).pointee.stream.sawEnd
    case .failed: isOver = work(of: exchange).pointee.stream.sawEnd
    }
    slot.pointee.keepsClient = false
    if isOver { meteredEnded(exchange) } else { upstreamFailed(exchange, "its answer was cut") }
  }

  private func takeMetered(_ exchange: Int32, _ bytes: BytePointer, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let step = slot.pointee.response.read(bytes, count, parser.classes)
    if step.fault != nil {
      slot.pointee.keepsClient = false
      // What stands behind the end is not about this answer.
      if work.pointee.kind == .stream, !takeEvents(exchange, bytes, step.payload, then: .fault) { return }
      if work.pointee.stream.sawEnd { meteredEnded(exchange) } else { upstreamFailed(exchange) }
      return
    }
    if step.consumed < count { slot.pointee.keepsClient = false }
    if work.pointee.kind == .stream {
      guard takeEvents(exchange, bytes, step.payload) else { return }
    } else {
      if work.pointee.answer.count + step.payload > Limits.modelAnswerBytesMax {
        upstreamFailed(exchange, "its answer is too long")
        return
      }
      guard work.pointee.answer.append(bytes, step.payload, &buffers, shared.bodies) == .granted else {
        noRoom(exchange)
        return
      }
    }
    if slot.pointee.response.isEnded {
      meteredEnded(exchange)
      return
    }
    awaitMore(exchange)
  }

  /// How long the rest of the answer may take, and whether it must wait for a slow client.
  func awaitMore(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let connection = connections.slots + Int(slot.pointee.client)
    if work.pointee.stream.sawEnd {
      if work.pointee.hasBegun { armDownload(exchange) }
      if work.pointee.endDeadline == 0 {
        work.pointee.endDeadline = clock.milliseconds + Limits.streamEndMilliseconds
      }
      wheel.arm(slot.pointee.client, max(work.pointee.endDeadline, clock.milliseconds + 1))
    } else if work.pointee.kind == .stream, work.pointee.stream.hasStarted {
      // Until there is something to tell, more of what is nothing does not make the time longer.
      if !work.pointee.hasBegun, work.pointee.isOpeningTimed {
        if connection.pointee.isReadable { markReady(slot.pointee.client) }
        return
      }
      work.pointee.isOpeningTimed = true
      if work.pointee.hasBegun { armDownload(exchange) }
      if unsentBytes(exchange) > Limits.unsentHigh {
        connection.pointee.isPaused = true
        wheel.arm(slot.pointee.client, TimerWheel.never)
        return
      }
      let service = rows(of: exchange).services.services[Int(slot.pointee.service)]
      wheel.arm(slot.pointee.client, clock.milliseconds + service.idleMilliseconds)
    }
    if connection.pointee.isReadable { markReady(slot.pointee.client) }
  }

  /// A piece of a stream: whole events go on, what waits is kept, and what is no whole event. False when the exchange
  /// goes on in another way.
  private func takeEvents(
    _ exchange: Int32, _ bytes: BytePointer, _ count: Int, then: EventsRest = .more
  ) -> Bool {
    let work = work(of: exchange)
    if count == 0, then != .last { return true }
    var (start, total) = (bytes, count)
    if work.pointee.answer.count > 0 {
      guard work.pointee.answer.append(bytes, count, &buffers, shared.bodies) == .granted,
        let base = work.pointee.answer.base
      else {
        noRoom(exchange)
        return false
      }
      (start, total) = (base, work.pointee.answer.count)
    }
    return takeEvents(exchange, from: start, total, then: then)
  }

  /// Of what may be whole events. `then`: what is to be done when they are told.
  func takeEvents(_ exchange: Int32, from bytes: BytePointer, _ count: Int, then: EventsRest) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let isLast = then == .last
    var (start, total) = (bytes, count)
    while true {
      guard let (piece, events) = readEvents(exchange, start, total, isLast: isLast) else {
        noRoom(exchange)
        return false
      }
      if piece.isRefused {
        refuseStream(exchange, start + total - piece.restCount, piece.restCount)
        return false
      }
      if slot.pointee.judgesHead || slot.pointee.judgesChunks {
        guard keepJudged(exchange, piece, events, then: then), keepPartial(exchange, start, total, piece.restCount),
          judgeEvents(exchange)
        else { return false }
      } else {
        guard passEvents(exchange, piece, events), isTellable(exchange, piece, isLast: isLast),
          keepPartial(exchange, start, total, piece.restCount)
        else { return false }
      }
      if !piece.isFull { break }
      (start, total) = (work.pointee.answer.base ?? bytes, work.pointee.answer.count)
    }
    return eventsTaken(exchange)
  }

  /// What was read is told, or waits; false when the exchange goes on in another way.
  func eventsTaken(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    // A usage that was not told yet may still follow.
    if work.pointee.stream.sawEnd, work.pointee.stream.usageIsWhole, work.pointee.settlement == .open {
      settle(exchange, .completed, awaits: true)
    }
    return work.pointee.settlement != .written || releaseWaiting(exchange)
  }

  /// What was read of a piece goes to the client, or waits; false when the exchange goes on in another way.
  func passEvents(_ exchange: Int32, _ piece: MeteredPiece, _ events: BytePointer) -> Bool {
    let work = work(of: exchange)
    // What has waited up to here was the opening.
    if piece.opens, !releaseWaiting(exchange) { return false }
    if piece.passCount > 0, !sendEvents(exchange, events, piece.passCount) { return false }
    let waiting = events + piece.passCount
    if work.pointee.waiting.append(waiting, piece.heldCount, &buffers, shared.bodies) == .granted { return true }
    noRoom(exchange)
    return false
  }

  /// Whether the answer goes on behind a piece of which all that can be told is; false when the exchange goes on in
  /// another way.
  func isTellable(_ exchange: Int32, _ piece: MeteredPiece, isLast: Bool) -> Bool {
    let work = work(of: exchange)
    if piece.isFault, work.pointee.stream.sawEnd {
      // What stands behind the end is not about this answer.
      exchanges.slots[Int(exchange)].keepsClient = false
      work.pointee.answer.giveBack(&buffers, shared.bodies)
      if !isLast { meteredEnded(exchange) }
      return isLast
    }
    // One event that has no room even in an area of its own cannot be told.
    if piece.isFault || piece.isFull && piece.passCount == 0 && piece.heldCount == 0 {
      upstreamFailed(exchange, "its answer cannot be told")
      return false
    }
    return true
  }

  /// Reads a piece of a stream; where the client speaks another dialect the events are written anew. nil: there is no
  /// memory for that.
  private func readEvents(
    _ exchange: Int32, _ bytes: BytePointer, _ count: Int, isLast: Bool
  ) -> (piece: MeteredPiece, events: BytePointer)? {
    let work = work(of: exchange)
    let spoken = provider(exchange).dialect
    guard let client = dialect(of: exchange), client != spoken else {
      let piece = work.pointee.stream.take(
        bytes, count, dialect: spoken, stripsUsage: !work.pointee.request.asksUsage, isLast: isLast,
        now: clock.milliseconds, document)
      return (piece, bytes)
    }
    guard let area = translationArea() else { return nil }
    var writer = ByteWriter(base: area, capacity: Limits.translatedBytesMax)
    let piece = work.pointee.stream.translate(
      bytes, count, from: spoken, to: client, identity: answerIdentity(exchange), isLast: isLast,
      now: clock.milliseconds, document, modelParts, to: &writer)
    // Of a stream whose end tells them again.
    let isKept = modelParts.withKept { work.pointee.calls.append($0, $1, &buffers, shared.bodies) == .granted }
    return isKept ? (piece, area) : nil
  }

  /// Keeps what is no whole event.
  private func keepPartial(_ exchange: Int32, _ bytes: BytePointer, _ count: Int, _ rest: Int) -> Bool {
    let work = work(of: exchange)
    if work.pointee.answer.count > 0 {
      work.pointee.answer.remove(count - rest, at: 0, keeping: rest)
      return true
    }
    guard work.pointee.answer.append(bytes + count - rest, rest, &buffers, shared.bodies) == .granted else {
      noRoom(exchange)
      return false
    }
    return true
  }

  /// Bodies take all the memory that they may. Another provider's answer would find no more.
  func noRoom(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if work.pointee.hasBegun, slot.pointee.origin == .message {
      breakOff(exchange, .serviceUnavailable, .unavailable)
    } else if work.pointee.hasBegun {
      perform(exchange, slot.pointee.machine.upstreamFailed())
    } else {
      // The client has nothing of it, and pays nothing.
      work.pointee.failed = work.pointee.current
      perform(exchange, slot.pointee.machine.answerRefused(.serviceUnavailable))
    }
  }

  /// What stands in an answer that is told in another dialect than the provider's.
  func answerIdentity(_ exchange: Int32) -> AnswerIdentity {
    let record = exchanges.slots[Int(exchange)].record
    return AnswerIdentity(
      attempt: record.attempt, model: rows(of: exchange).models.models[Int(candidate(exchange).model)].name,
      created: record.startWall / 1_000_000_000, message: messageID(of: exchange),
      asksUsage: work(of: exchange).pointee.request.asksUsage,
      inputTokens: work(of: exchange).pointee.tokens.inputTokens)
  }

  /// Sends whole events, behind the answer's head if they are the first.
  func sendEvents(_ exchange: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if slot.pointee.origin == .message {
      tellChunks(exchange, bytes, count)
      return true
    }
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
    commitAnswer(exchange)
    slot.pointee.record.status = slot.pointee.upstreamStatus
    slot.pointee.record.firstByte = clock.monotonic
    if slot.pointee.responseFraming == .untilClose || isLeaving(slot.pointee.server) {
      slot.pointee.keepsServer = false
    }
    appendModelHead(exchange, answerEdits(exchange), &writer)
    if slot.pointee.responseFraming == .chunked { writer.append("transfer-encoding: chunked\r\n") }
    writer.appendLineEnd()
    // Settling has its own way to begin.
    if slot.pointee.machine.state != .settling, slot.pointee.machine.state != .flushing {
      perform(exchange, slot.pointee.machine.responseBegan())
    }
  }

  /// The head of an answer of a model, without its framing and its end; `edits` are fields that policies have set.
  func appendModelHead(_ exchange: Int32, _ edits: HeaderEdits?, _ writer: inout ByteWriter) {
    let slot = exchanges.slots + Int(exchange)
    writer.append("HTTP/1.1 ")
    writer.append(decimal: UInt64(slot.pointee.upstreamStatus), width: 3)
    writer.append(byte: 0x20)
    writer.append(ReplyHead.reason(of: slot.pointee.upstreamStatus))
    writer.append("\r\ndate: ")
    writer.append(date())
    writer.appendLineEnd()
    let isStream = work(of: exchange).pointee.kind == .stream || isToldAsStream(exchange)
    let type: StaticString = isStream ? "text/event-stream; charset=utf-8" : "application/json"
    writer.append("content-type", StaticBytes(type), unless: edits)
    writer.append("cache-control", StaticBytes("no-cache"), unless: edits)
    writer.append("x-accel-buffering", StaticBytes("no"), unless: edits)
    writer.append("x-request-id: ")
    writer.append(requestID(of: exchange))
    writer.appendLineEnd()
    let provider = provider(exchange)
    writer.append("edge-provider: ")
    writer.append(provider.name)
    writer.appendLineEnd()
    if candidate(exchange).isEquivalent {
      writer.append("edge-model: ")
      writer.append(slot.pointee.record.model)
      writer.appendLineEnd()
    }
    if let client = dialect(of: exchange), let name = Dialect.requestIDField(client) {
      writer.append(name, requestID(of: exchange), unless: edits)
    }
    if provider.isDemo { writer.append("edge-demo: true\r\n") }
    if let edits { writer.append(edits) }
    writer.append(connectionField(exchange))
  }

  // MARK: The end

  /// The provider has said all.
  func meteredEnded(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if work.pointee.kind == .whole {
      work.pointee.isWhole = true
      readWholeAnswer(exchange)
      if work.pointee.event.kind == .error {
        // A success that says nothing in the dialect: nobody is charged for it, and nobody gets it as one.
        guard isAboutRequest(exchange, work.pointee.event.errorCode, "its answer is none") else { return }
      }
      if blamesOperator(exchange) {
        attemptFailed(exchange, .providerError, .upstreamError, "it wants to be paid")
        return
      }
      guard translateAnswer(exchange) else { return }
      if slot.pointee.judgesHead || slot.pointee.judgesChunks, !judgeModel(exchange) { return }
    } else {
      // An event that no blank line ends is one all the same when the answer is over.
      guard takeEvents(exchange, scratch, 0, then: .last) else { return }
    }
    answerRead(exchange)
  }

  /// Nothing more is to be said of the answer but its end.
  func answerRead(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let connection = connections.slots + Int(slot.pointee.client)
    let tookAll =
      connection.pointee.output.isEmpty && !slot.pointee.stoppedUpload
      && slot.pointee.contentSent == sentContent(exchange).count
    let reusable = slot.pointee.keepsClient && tookAll && !connection.pointee.peerEnded && !isDraining
    if work.pointee.kind == .stream {
      guard work.pointee.stream.isOver else {
        upstreamFailed(exchange, "its stream ended without an end")
        return
      }
    }
    if work.pointee.settlement == .open { settle(exchange, .completed, awaits: true) }
    perform(exchange, slot.pointee.machine.answerEnded(reusable: reusable))
    awaitSettlement(exchange)
  }

  /// The end of the answer follows when the ledger has what it costs.
  func awaitSettlement(_ exchange: Int32) {
    let work = work(of: exchange)
    if work.pointee.settlement == .written {
      sendEnd(exchange)
    } else {
      work.pointee.settleDeadline = clock.milliseconds + Limits.settleMilliseconds
      armDownload(exchange)
    }
  }

  private func readWholeAnswer(_ exchange: Int32) {
    let work = work(of: exchange)
    guard ProviderStatus(status: exchanges.slots[Int(exchange)].upstreamStatus) == .answers else { return }
    guard let base = work.pointee.answer.base else {
      work.pointee.event.kind = .error
      return
    }
    work.pointee.event = Dialect.readAnswer(provider(exchange).dialect, base, work.pointee.answer.count, document)
  }

  /// The ledger has it.
  func settlementWritten(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    switch slot.pointee.machine.state {
    case .settling: sendEnd(exchange)
    case .awaiting, .responding: _ = releaseWaiting(exchange)
    case .deciding, .suspended, .connecting, .requesting, .duplex, .flushing, .ended: break
    }
  }

  /// What has waited goes to the client; false when that ended the exchange.
  private func releaseWaiting(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    let count = work.pointee.waiting.count
    if exchanges.slots[Int(exchange)].origin == .message {
      releaseChunks(exchange)
      return true
    }
    guard count > 0, let base = work.pointee.waiting.base else { return true }
    guard sendEvents(exchange, base, count) else { return false }
    work.pointee.waiting.giveBack(&buffers, shared.bodies)
    return true
  }

  /// The end of the answer goes to the client: what was held of a stream, or the whole.
  private func sendEnd(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if slot.pointee.origin == .message {
      endMessage(exchange)
      return
    }
    if work.pointee.kind == .stream {
      if !work.pointee.hasBegun, work.pointee.waiting.count == 0 {
        // A stream without any event.
        var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
        beginStream(exchange, &writer)
        guard send(slot.pointee.server, outgoing, writer.count) else {
          perform(exchange, slot.pointee.machine.clientLeft())
          return
        }
      }
      guard releaseWaiting(exchange) else { return }
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
    commitAnswer(exchange)
    slot.pointee.record.firstByte = clock.monotonic
    slot.pointee.record.status = slot.pointee.upstreamStatus
    if isLeaving(slot.pointee.server) { slot.pointee.keepsServer = false }
    slot.pointee.record.responseBytes = UInt64(work.pointee.answer.count)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    appendModelHead(exchange, answerEdits(exchange), &writer)
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

extension ByteWriter {
  /// A field, unless policies have set or removed it.
  fileprivate mutating func append(_ name: StaticString, _ value: StaticBytes, unless edits: HeaderEdits?) {
    if let edits, edits.find(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) != nil {
      return
    }
    append(name)
    append(": ")
    append(value)
    appendLineEnd()
  }
}
