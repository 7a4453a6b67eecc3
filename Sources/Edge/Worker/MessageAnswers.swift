// The driver tells the client of a WebSocket what came of its message: chunks as they come, and at the end `done` or an
// error, each as a text message. The end waits until the ledger has what it costs, for it says so. An answer too long
// for one piece goes in fragments; others wait meanwhile, but pings need not.

import Glibc

extension Worker {
  // MARK: Pieces

  /// Whether something of this exchange may be sent now: no other answer is on its way in pieces, and the client takes
  /// what it is sent.
  func mayTell(_ exchange: Int32) -> Bool { unsentBytes(exchange) <= Limits.unsentHigh }

  /// Unsent bytes for the client of an exchange, whatever its connection is.
  func unsentBytes(_ exchange: Int32) -> Int {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.origin == .message else { return connections.slots[Int(slot.pointee.server)].output.count }
    let session = sessions.slots[Int(slot.pointee.session)]
    if session.sender >= 0, session.sender != exchange { return .max }
    return connections.slots[Int(session.connection)].output.count
  }

  /// Sends whole frames, or keeps them until it is their turn.
  func tell(_ exchange: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    let session = exchanges.slots[Int(exchange)].session
    if mayTell(exchange) {
      sendWaiting(exchange)
      sendOn(session, bytes, count)
    } else if beginWork(exchange).pointee.waiting.append(bytes, count, &buffers, shared.bodies) == .refused {
      // What cannot be kept cannot be told: the client must see that something is missing.
      let server = sessions.slots[Int(session)].connection
      _ = sessions.slots[Int(session)].machine.brokenOff(.internalError)
      connections.slots[Int(server)].isBroken = true
      markReady(server)
    }
  }

  /// Chunks of a stream.
  func tellChunks(_ exchange: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    beginChunks(exchange)
    exchanges.slots[Int(exchange)].record.responseBytes += UInt64(count)
    tell(exchange, bytes, count)
  }

  /// From now on the client has a part of the answer.
  private func beginChunks(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if work.pointee.hasBegun { return }
    work.pointee.hasBegun = true
    commitAnswer(exchange)
    slot.pointee.record.status = slot.pointee.upstreamStatus
    slot.pointee.record.firstByte = clock.monotonic
    switch slot.pointee.machine.state {
    case .requesting, .awaiting: perform(exchange, slot.pointee.machine.responseBegan())
    case .deciding, .suspended, .connecting, .duplex, .responding, .settling, .flushing, .ended: break
    }
  }

  /// Chunks that were held back go to the client, if it is their turn.
  func releaseChunks(_ exchange: Int32) {
    guard work(of: exchange).pointee.waiting.count > 0, mayTell(exchange) else { return }
    beginChunks(exchange)
    sendWaiting(exchange)
  }

  /// Sends what has waited for its turn.
  private func sendWaiting(_ exchange: Int32) {
    guard exchanges.slots[Int(exchange)].hasWork else { return }
    let work = work(of: exchange)
    guard let base = work.pointee.waiting.base else { return }
    sendOn(exchanges.slots[Int(exchange)].session, base, work.pointee.waiting.count)
    work.pointee.waiting.giveBack(&buffers, shared.bodies)
  }

  /// The client takes more: whatever this exchange has waited with goes on.
  func resumeMessage(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    switch slot.pointee.machine.state {
    case .settling: if work(of: exchange).pointee.awaitsTurn { endMessage(exchange) }
    case .flushing:
      sendWaiting(exchange)
      flushOrWait(exchange)
    case .deciding, .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .ended:
      // What was held back at its beginning is not the client's yet.
      if slot.pointee.hasWork, work(of: exchange).pointee.hasBegun { sendWaiting(exchange) }
      if mayTell(exchange) { resume(slot.pointee.client) }
    }
  }

  /// Whether an exchange whose end is told has nothing left that waits for its turn.
  func isTold(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    if sessions.slots[Int(slot.pointee.session)].sender == exchange { return false }
    return !slot.pointee.hasWork || work(of: exchange).pointee.waiting.count == 0
  }

  // MARK: The end of an answer

  /// Policies do not let the answer pass, or no more of it: what came of it is paid, as if the client had left, and the
  /// client is told. nil: a policy has an answer of its own, which no message has a place for.
  func rejectMessage(_ exchange: Int32, _ code: ErrorCode?, _ cause: EndCause) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    work.pointee.brokenOff = code ?? .policyError
    if code == nil { replyDetail.message = Worker.answeredMessage }
    perform(exchange, slot.pointee.machine.brokenOff(code == nil ? .policyError : cause))
    if work.pointee.settlement == .open { settle(exchange, cause, awaits: false) }
    perform(exchange, slot.pointee.machine.settled(slot.pointee.record.cause))
    tellError(exchange, code ?? .policyError)
    flushOrWait(exchange)
  }

  /// What a policy says that answers where it cannot.
  static var answeredMessage: StaticBytes {
    StaticBytes("A policy has answered where only a model can; report the request id.")
  }

  /// The answer ends before it is whole: what came of it is paid first, then the client is told.
  func breakOff(_ exchange: Int32, _ code: ErrorCode, _ cause: EndCause) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    stopJudging(exchange)
    work.pointee.brokenOff = code
    perform(exchange, slot.pointee.machine.brokenOff(cause))
    if work.pointee.settlement == .open { settle(exchange, cause, awaits: true) }
    awaitSettlement(exchange)
  }

  /// The ledger has what it costs.
  func endMessage(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    work.pointee.awaitsTurn = !mayTell(exchange)
    wheel.arm(slot.pointee.server, TimerWheel.never)
    if work.pointee.awaitsTurn { return }
    let failure = failure(of: exchange)
    if failure == nil || work.pointee.hasBegun { releaseChunks(exchange) }
    if let code = failure {
      perform(exchange, slot.pointee.machine.settled(slot.pointee.record.cause))
      tellError(exchange, code)
      flushOrWait(exchange)
      return
    }
    guard work.pointee.kind != .stream || takeCalls(exchange) else {
      perform(exchange, slot.pointee.machine.settled(.unavailable))
      tellError(exchange, .serviceUnavailable)
      flushOrWait(exchange)
      return
    }
    commitAnswer(exchange)
    if slot.pointee.record.firstByte == 0 { slot.pointee.record.firstByte = clock.monotonic }
    slot.pointee.record.status = 200
    work.pointee.hasBegun = true
    perform(exchange, slot.pointee.machine.settled())
    tellDone(exchange)
  }

  /// What the client is told in the place of the answer's end; nil: the answer ends as it should.
  private func failure(of exchange: Int32) -> ErrorCode? {
    let work = work(of: exchange)
    if let code = work.pointee.brokenOff { return code }
    if work.pointee.kind == .stream { return work.pointee.stream.sawError ? .providerError : nil }
    let status = exchanges.slots[Int(exchange)].upstreamStatus
    return ProviderStatus(status: status) == .answers ? nil : ProviderStatus.code(refusedWith: status)
  }

  /// The calls of tools that a stream has told stand in its end too; false when there is no room for them.
  private func takeCalls(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    work.pointee.answer.giveBack(&buffers, shared.bodies)
    guard let kept = work.pointee.calls.base else { return true }
    let count = work.pointee.calls.count
    guard work.pointee.answer.makeRoom(count + Worker.callsFrameBytes, &buffers, shared.bodies) == .granted,
      let target = work.pointee.answer.base
    else { return false }
    var writer = ByteWriter(base: target, capacity: work.pointee.answer.capacity)
    PlatformV1.appendToolCalls(kept: StaticBytes(start: UnsafePointer(kept), count: count), to: &writer)
    work.pointee.answer.advance(writer.count)
    work.pointee.calls.giveBack(&buffers, shared.bodies)
    return true
  }

  private static var callsFrameBytes: Int { 64 }

  /// Sends `done`: in one frame, or the beginning of it.
  private func tellDone(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let isWhole = work.pointee.kind == .whole && !work.pointee.request.streams
    let type =
      isWhole ? rows(of: exchange).routeRows[Int(slot.pointee.route)].socket.wholeAnswerType : StaticBytes("done")
    let outcome = outcome(of: exchange)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    // The members of what policies have seen as an object stand among others here.
    if work.pointee.kind == .whole, let base = work.pointee.answer.base {
      base[0] = 0x2c
      work.pointee.answer.remove(1, at: work.pointee.answer.count - 1, keeping: 0)
    }
    let count = work.pointee.answer.count
    if count <= Limits.readBytes {
      PlatformV1.appendDoneStart(outcome, type: type, to: &writer)
      if let base = work.pointee.answer.base { writer.append(base, count) }
      PlatformV1.appendDoneEnd(outcome, to: &writer)
      _ = writer.frameText(from: 0)
      slot.pointee.record.responseBytes += UInt64(writer.count)
      sendOn(slot.pointee.session, outgoing, writer.count)
      flushOrWait(exchange)
      return
    }
    sendPart(exchange, .text) { PlatformV1.appendDoneStart(outcome, type: type, to: &$0) }
    sessions.slots[Int(slot.pointee.session)].sender = exchange
    pumpMessage(slot.pointee.session)
  }

  /// Sends a frame of a message in several, with what `write` writes.
  private func sendPart(
    _ exchange: Int32, _ opcode: WebSocketOpcode, isFinal: Bool = false, _ write: (inout ByteWriter) -> Void
  ) {
    let slot = exchanges.slots + Int(exchange)
    // Room for the head in front, whose length depends on what follows.
    var content = ByteWriter(
      base: outgoing + Worker.frameHeadBytes, capacity: Limits.scratchBytes - Worker.frameHeadBytes)
    write(&content)
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Worker.frameHeadBytes) { area in
      guard let base = area.baseAddress else { return }
      var head = ByteWriter(base: base, capacity: area.count)
      head.appendFrameHead(opcode, isFinal: isFinal, payload: content.count)
      memcpy(content.base - head.count, base, head.count)
      slot.pointee.record.responseBytes += UInt64(head.count + content.count)
      sendOn(slot.pointee.session, content.base - head.count, head.count + content.count)
    }
  }

  /// No frame head is longer (RFC 6455 section 5.2).
  private static var frameHeadBytes: Int { 16 }

  /// Sends on of the long answer that is on its way, as fast as the client takes it.
  func pumpMessage(_ session: Int32) {
    let exchange = sessions.slots[Int(session)].sender
    guard exchange >= 0 else { return }
    let server = sessions.slots[Int(session)].connection
    let work = work(of: exchange)
    while work.pointee.sentBytes < work.pointee.answer.count, let base = work.pointee.answer.base {
      if connections.slots[Int(server)].isBroken { return }
      if connections.slots[Int(server)].output.count > Limits.unsentLow { return }
      let (start, piece) = (
        work.pointee.sentBytes, min(Limits.readBytes, work.pointee.answer.count - work.pointee.sentBytes)
      )
      sendPart(exchange, .continuation) { $0.append(base + start, piece) }
      work.pointee.sentBytes += piece
    }
    let outcome = outcome(of: exchange)
    sendPart(exchange, .continuation, isFinal: true) { PlatformV1.appendDoneEnd(outcome, to: &$0) }
    sessions.slots[Int(session)].sender = -1
    if let owed = sessions.slots[Int(session)].owed {
      sessions.slots[Int(session)].owed = nil
      tellSession(session, owed)
    }
    flushOrWait(exchange)
  }

  /// What the end of an answer says about it.
  private func outcome(of exchange: Int32) -> PlatformOutcome {
    let slot = exchanges.slots + Int(exchange)
    let record = slot.pointee.record
    var outcome = PlatformOutcome()
    outcome.id = messageID(of: exchange)
    outcome.usage = record.usage
    outcome.credits = record.charge
    outcome.model = record.model
    outcome.provider = record.provider
    outcome.latencyMilliseconds = (clock.monotonic - record.start) / 1_000_000
    outcome.requestID = requestID(of: exchange)
    outcome.wall = clock.wall
    guard slot.pointee.isMetered else { return outcome }
    outcome.reason = work(of: exchange).pointee.reason ?? work(of: exchange).pointee.stream.finishReason
    outcome.isDemo = provider(exchange).isDemo
    return outcome
  }

  // MARK: Errors

  /// The error of an exchange, as its message's answer.
  func tellError(_ exchange: Int32, _ code: ErrorCode) {
    let slot = exchanges.slots + Int(exchange)
    let detail = replyDetail
    replyDetail = ReplyDetail()
    // What an attempt has said that failed before the client had any of it is nothing.
    if slot.pointee.hasWork, !work(of: exchange).pointee.hasBegun {
      work(of: exchange).pointee.waiting.giveBack(&buffers, shared.bodies)
    }
    let id = messageID(of: exchange)
    var error = PlatformError(row: code.row)
    error.id = id.count > 0 ? id : nil
    error.details = detail.details
    error.retryAfterSeconds = detail.retryAfterSeconds
    error.requestID = requestID(of: exchange)
    error.wall = clock.wall
    slot.pointee.record.status = code.row.status
    if slot.pointee.hasWork, slot.pointee.record.usage.source != .none || slot.pointee.record.charge > .zero {
      error.charged = outcome(of: exchange)
    }
    if let message = detail.message {
      error.message = message
      tellError(exchange, error)
    } else if let fault = fault(of: exchange), fault.code == code {
      PlatformV1.withText(of: fault) { text in
        error.message = text
        tellError(exchange, error)
      }
    } else {
      error.message = refusal(of: exchange)
      tellError(exchange, error)
    }
  }

  private func tellError(_ exchange: Int32, _ error: PlatformError) {
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    PlatformV1.appendError(error, to: &writer)
    guard writer.frameText(from: 0) else { return }
    exchanges.slots[Int(exchange)].record.responseBytes += UInt64(writer.count)
    tell(exchange, outgoing, writer.count)
  }

  /// What the provider says about the request, if that is what is wrong; empty: nothing.
  private func refusal(of exchange: Int32) -> StaticBytes {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.hasWork else { return .empty }
    let work = work(of: exchange)
    guard work.pointee.kind == .whole, work.pointee.brokenOff == nil, work.pointee.isWhole,
      ProviderStatus(status: slot.pointee.upstreamStatus) == .refuses, let base = work.pointee.answer.base
    else { return .empty }
    return StaticBytes(start: UnsafePointer(base), count: work.pointee.answer.count)
  }

  /// What is closer to a WebSocket than the words that HTTP has for it.
  private static func sessionMessage(_ code: ErrorCode) -> StaticString? {
    switch code {
    case .messageTooLarge: "The message is longer than this route takes; send less at once."
    case .sessionExpired: "The token has expired; connect again with a new one."
    case .serviceUnavailable: "There is no room for this request; try again shortly."
    default: nil
    }
  }

  /// An error without an exchange: it belongs to no message, or there was no room for one.
  func tellSession(_ session: Int32, _ code: ErrorCode, id: StaticBytes? = nil) {
    // In the middle of another message there is no place for one.
    if sessions.slots[Int(session)].sender >= 0 {
      sessions.slots[Int(session)].owed = code
      return
    }
    var error = PlatformError(row: code.row)
    error.id = id
    error.wall = clock.wall
    if let message = Worker.sessionMessage(code) { error.message = StaticBytes(message) }
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    PlatformV1.appendError(error, to: &writer)
    if writer.frameText(from: 0) { sendOn(session, outgoing, writer.count) }
  }
}
