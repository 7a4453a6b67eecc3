// The driver asks policies about an answer before the client gets it. A policy that waits leaves the answer where it
// is: neither the service nor the client is read meanwhile, and no timer runs but the client's own. The exchange stays
// in its state, as while a slow client is waited for.
//
//   beginResponse ─▶ judgeHead (on_response) ─▶ each policy ─▶ writeResponse ─▶ judgePiece (on_chunk) ─▶ send
//   takeMetered, meteredEnded ─▶ judgeModel     ─▶ each policy ─▶ … the same, of what is kept in `MeteredWork`
//                                                   │   │ refused, replied, failed
//                             pause … goOnJudging ◀─┘   └▶ reject: the verdict is the answer, or the answer is cut

import Glibc
import LuaBridge

extension Worker {
  // MARK: Heads of services

  /// Asks about the head of a service's answer, whose fields they may set; false when the exchange goes on in another
  /// way, or later.
  func judgeHead(_ exchange: Int32, _ head: ResponseHead, _ bytes: BytePointer, _ count: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    startJudging(exchange, .onResponse)
    showAnswer(exchange, status: head.status, ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table))
    return judge(exchange) { worker in worker.stash(slot.pointee.client, bytes, count) }
  }

  /// The policies go on with a head that has waited in the connection's input.
  private func goOnWithHead(_ exchange: Int32, _ given: OperationAnswer?) {
    let slot = exchanges.slots + Int(exchange)
    let input = connections.slots[Int(slot.pointee.client)].input
    guard let block = input.block else { return reject(exchange, .internalError, .internalError) }
    let bytes = block + Int(input.start)
    var head = ResponseHead()
    guard
      case .complete = parser.readResponse(
        bytes, input.count, limits: rows(of: exchange).headLimits, toHead: slot.pointee.isToHead, into: &head)
    else { return reject(exchange, .internalError, .internalError) }
    showAnswer(exchange, status: head.status, ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table))
    guard judge(exchange, with: given, keep: { _ in true }) else { return }
    writeResponse(exchange, head, bytes, input.count)
  }

  // MARK: Content of services

  /// Asks about a piece of a service's answer, whose content stands at `content`; `head` is written in front of it if
  /// it is the first. False when the exchange goes on in another way, or later.
  func judgePiece(
    _ exchange: Int32, _ content: BytePointer, _ piece: RelayedPiece, behind head: ByteWriter? = nil
  ) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    startJudging(exchange, .onChunk)
    showChunk(
      exchange, StaticBytes(start: UnsafePointer(content), count: piece.payload),
      isLast: slot.pointee.response.isEnded)
    let isPassed = judge(exchange) { worker in
      if let head, !worker.buffers.append(&slot.pointee.answer, head.base, head.count) { return false }
      slot.pointee.judged = BodyRange(
        start: Int32(slot.pointee.answer.count + (content - piece.start)), count: Int32(piece.payload))
      return worker.buffers.append(&slot.pointee.answer, piece.start, piece.count)
    }
    if isPassed { slot.pointee.chunks &+= 1 }
    return isPassed
  }

  /// The policies go on with a piece that is kept.
  private func goOnWithPiece(_ exchange: Int32, _ given: OperationAnswer?) {
    let slot = exchanges.slots + Int(exchange)
    guard let block = slot.pointee.answer.block else { return reject(exchange, .internalError, .internalError) }
    let bytes = block + Int(slot.pointee.answer.start)
    let judged = slot.pointee.judged
    showChunk(
      exchange, StaticBytes(start: UnsafePointer(bytes + Int(judged.start)), count: Int(judged.count)),
      isLast: slot.pointee.response.isEnded)
    guard judge(exchange, with: given, keep: { _ in true }) else { return }
    slot.pointee.chunks &+= 1
    slot.pointee.record.responseBytes += UInt64(judged.count)
    switch slot.pointee.machine.state {
    case .requesting, .awaiting: perform(exchange, slot.pointee.machine.responseBegan())
    case .deciding, .suspended, .connecting, .duplex, .responding, .settling, .flushing, .ended: break
    }
    let isSent = send(slot.pointee.server, bytes, slot.pointee.answer.count)
    buffers.giveBack(&slot.pointee.answer)
    if isSent { afterPiece(exchange) } else { perform(exchange, slot.pointee.machine.clientLeft()) }
  }

  /// Puts a piece of the answer in the machine's reach.
  private func showChunk(_ exchange: Int32, _ data: StaticBytes, isLast: Bool) {
    let slot = exchanges.slots + Int(exchange)
    hideRequest(exchange)
    let host = machine(of: exchange).host
    host.requestID = requestID(of: exchange)
    host.wallNanoseconds = clock.wall
    let isStreamed = slot.pointee.isMetered && work(of: exchange).pointee.kind == .stream
    host.chunk = ChunkView(
      data: data, number: Int(slot.pointee.chunks) + 1, isLast: isLast, status: slot.pointee.upstreamStatus,
      isStreamed: isStreamed)
  }

  // MARK: Heads of models

  /// Asks about a model's answer, of which all that judges must know is kept; false when the exchange goes on in
  /// another way, or later.
  func judgeModel(_ exchange: Int32) -> Bool {
    // Nobody else is asked any more, whatever the policies say.
    commitAnswer(exchange)
    startJudging(exchange, exchanges.slots[Int(exchange)].judgesHead ? .onResponse : .onChunk)
    return goOnJudgingModel(exchange, nil)
  }

  private func goOnJudgingModel(_ exchange: Int32, _ given: OperationAnswer?) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.policyPhase == .onChunk { return judgeContent(exchange, with: given) }
    guard let head = modelHead(exchange) else {
      reject(exchange, .serviceUnavailable, .unavailable)
      return false
    }
    showAnswer(exchange, status: slot.pointee.upstreamStatus, head)
    guard judge(exchange, with: given, keep: { _ in true }) else { return false }
    slot.pointee.judgesHead = false
    let edits = machine(of: exchange).host.edits
    guard edits.isEmpty || buffers.append(&slot.pointee.edits, edits.base, edits.count) else {
      reject(exchange, .serviceUnavailable, .unavailable)
      return false
    }
    guard slot.pointee.judgesChunks else { return true }
    startJudging(exchange, .onChunk)
    return judgeContent(exchange, with: nil)
  }

  /// Asks about what of a model's answer they have not seen: all of it at once, or one message after the other.
  private func judgeContent(_ exchange: Int32, with given: OperationAnswer?) -> Bool {
    let work = work(of: exchange)
    let isStream = work.pointee.kind == .stream
    let content = isStream ? work.pointee.unjudged : work.pointee.answer
    let isMessages = isStream && exchanges.slots[Int(exchange)].origin == .message
    var given = given
    while let base = content.base, content.count > work.pointee.judgedBytes {
      let from = UnsafePointer(base) + work.pointee.judgedBytes
      let rest = content.count - work.pointee.judgedBytes
      let (offset, count) = isMessages ? WebSocketFrame.payload(of: from) : (0, rest)
      let isOver = !isStream || work.pointee.stream.sawEnd || work.pointee.judgedRest == .last
      showChunk(
        exchange, StaticBytes(start: from + offset, count: count), isLast: isOver && offset + count == rest)
      guard judge(exchange, with: given, keep: { _ in true }) else { return false }
      given = nil
      exchanges.slots[Int(exchange)].chunks &+= 1
      work.pointee.judgedBytes += offset + count
      startJudging(exchange, .onChunk)
    }
    return true
  }

  /// The head that the client will get, as policies read it; nil: there is no memory. A message has none.
  private func modelHead(_ exchange: Int32) -> ReceivedHead? {
    if judgedHead == nil {
      judgedHead = Pages.map(bytes: Worker.judgedHeadBytes)?.bindMemory(
        to: UInt8.self, capacity: Worker.judgedHeadBytes)
    }
    guard let area = judgedHead else { return nil }
    var writer = ByteWriter(base: area, capacity: Worker.judgedHeadBytes)
    if exchanges.slots[Int(exchange)].origin == .message {
      writer.append("HTTP/1.1 200 OK\r\n")
    } else {
      appendModelHead(exchange, nil, &writer)
    }
    writer.appendLineEnd()
    var head = ResponseHead()
    guard !writer.overflowed,
      case .complete = parser.readResponse(
        area, writer.count, limits: rows(of: exchange).headLimits, toHead: false, into: &head)
    else { return nil }
    return ReceivedHead(bytes: UnsafePointer(area), table: parser.table)
  }

  static var judgedHeadBytes: Int { 16 << 10 }

  /// What policies have set for the head that is written now.
  func answerEdits(_ exchange: Int32) -> HeaderEdits? {
    let slot = exchanges.slots + Int(exchange)
    guard let block = slot.pointee.edits.block else { return nil }
    let host = machine(of: exchange).host
    host.edits.restore(block + Int(slot.pointee.edits.start), slot.pointee.edits.count)
    buffers.giveBack(&slot.pointee.edits)
    return host.edits
  }

  private func goOnWithModel(_ exchange: Int32, _ given: OperationAnswer?) {
    guard goOnJudgingModel(exchange, given) else { return }
    if work(of: exchange).pointee.kind == .whole { answerRead(exchange) } else { goOnWithEvents(exchange) }
  }

  // MARK: Streams of models

  /// Keeps what was read of a stream until the policies have said something; false when the exchange goes on in another
  /// way.
  func keepJudged(_ exchange: Int32, _ piece: MeteredPiece, _ events: BytePointer, then: EventsRest) -> Bool {
    let work = work(of: exchange)
    work.pointee.judged = piece
    work.pointee.judgedRest = then
    if work.pointee.unjudged.append(events, piece.passCount + piece.heldCount, &buffers, shared.bodies) == .granted {
      return true
    }
    noRoom(exchange)
    return false
  }

  /// Asks about the events that are kept, if it is sure that the client gets them, and tells them; false when the
  /// exchange goes on in another way, or later.
  func judgeEvents(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    let stream = work.pointee.stream
    // A stream that has not said anything fails, and somebody else may be asked.
    let isSure = tells(work.pointee.judged) || stream.sawEnd || work.pointee.judgedRest == .last && stream.isOver
    if !isSure { return isTellable(exchange, work.pointee.judged, isLast: work.pointee.judgedRest == .last) }
    return judgeModel(exchange) && tellJudged(exchange)
  }

  private func tells(_ piece: MeteredPiece) -> Bool { piece.opens || piece.passCount > 0 }

  /// Tells the events that were kept, all of which are judged; false when the exchange goes on in another way.
  private func tellJudged(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    if let base = work.pointee.unjudged.base {
      var piece = work.pointee.judged
      if !tells(piece) { piece.heldCount = work.pointee.unjudged.count }
      piece.passCount = work.pointee.unjudged.count - piece.heldCount
      guard passEvents(exchange, piece, base) else { return false }
      work.pointee.unjudged.giveBack(&buffers, shared.bodies)
      work.pointee.judgedBytes = 0
    }
    return isTellable(exchange, work.pointee.judged, isLast: work.pointee.judgedRest == .last)
  }

  /// The events that were kept are judged.
  private func goOnWithEvents(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let then = work.pointee.judgedRest
    guard tellJudged(exchange) else { return }
    let isTold =
      work.pointee.judged.isFull
      ? takeEvents(exchange, from: work.pointee.answer.base ?? scratch, work.pointee.answer.count, then: then)
      : eventsTaken(exchange)
    guard isTold else { return }
    switch then {
    case .more: if slot.pointee.response.isEnded { meteredEnded(exchange) } else { awaitMore(exchange) }
    case .fault: if work.pointee.stream.sawEnd { meteredEnded(exchange) } else { upstreamFailed(exchange) }
    case .last: answerRead(exchange)
    }
  }

  // MARK: Asking

  /// A round begins.
  private func startJudging(_ exchange: Int32, _ phase: PolicyPhase) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.policyPhase = phase
    slot.pointee.policyStep = 0
  }

  /// Puts the answer in the machine's reach, with what policies have set of it.
  private func showAnswer(_ exchange: Int32, status: UInt16, _ received: ReceivedHead) {
    let slot = exchanges.slots + Int(exchange)
    var view = AnswerView(
      status: status, received: received, id: requestID(of: exchange), route: slot.pointee.record.route)
    if slot.pointee.isMetered {
      (view.provider, view.model) = (slot.pointee.record.provider, slot.pointee.record.model)
    } else {
      view.service = slot.pointee.record.service
    }
    prepareHost(exchange)
    machine(of: exchange).host.answer = view
  }

  private func prepareHost(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let host = machine(of: exchange).host
    hideRequest(exchange)
    host.requestID = requestID(of: exchange)
    host.wallNanoseconds = clock.wall
    host.edits.removeAll()
    if let block = slot.pointee.edits.block {
      host.edits.restore(block + Int(slot.pointee.edits.start), slot.pointee.edits.count)
      buffers.giveBack(&slot.pointee.edits)
    }
  }

  /// Asks the policies, from where they are; what is judged is shown already. `given` is what one of them has waited
  /// for, and `keep` puts aside what is judged. False when the exchange goes on in another way, or later.
  private func judge(_ exchange: Int32, with given: OperationAnswer? = nil, keep: (Worker) -> Bool) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let phase = slot.pointee.policyPhase
    if let given {
      let outcome = machine(of: exchange).resume(
        phase, policy: Int(policy(exchange)), context: slot.pointee.policyContext,
        coroutine: &slot.pointee.policyCoroutine, given)
      guard goOnJudging(exchange, outcome, keep) else { return false }
    }
    let count = rows(of: exchange).routeRows[Int(slot.pointee.route)].policyCount
    while slot.pointee.policyStep < count {
      if turnIsSpent {
        pause(exchange, for: nil, keep)
        return false
      }
      let outcome = machine(of: exchange).start(
        phase, policy: Int(policy(exchange)), context: &slot.pointee.policyContext,
        coroutine: &slot.pointee.policyCoroutine)
      guard goOnJudging(exchange, outcome, keep) else { return false }
    }
    hideRequest(exchange)
    return true
  }

  /// A policy has said something; false when that ends the round.
  private func goOnJudging(_ exchange: Int32, _ outcome: PolicyOutcome, _ keep: (Worker) -> Bool) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let host = machine(of: exchange).host
    switch outcome {
    case .passed:
      slot.pointee.policyStep += 1
      return true
    case .waiting: pause(exchange, for: host.operation, keep)
    case .answered:
      hideRequest(exchange)
      let verdict = host.verdict
      if verdict.code == nil {
        reject(exchange, nil, .completed)
        if slot.pointee.origin != .message { sendAnswer(exchange, verdict) }
      } else {
        tellVerdict(exchange, verdict) { reject(exchange, $0, .refused) }
      }
    case .failed:
      hideRequest(exchange)
      notePolicyFailure(exchange)
      reject(exchange, .policyError, .policyError)
    }
    return false
  }

  /// The client does not get this answer: an error in its place, or what the policy has answered (nil), or, when it has
  /// a part of it, no more.
  private func reject(_ exchange: Int32, _ code: ErrorCode?, _ cause: EndCause) {
    let slot = exchanges.slots + Int(exchange)
    hideRequest(exchange)
    slot.pointee.judgesHead = false
    slot.pointee.judgesChunks = false
    if slot.pointee.hasWork { work(of: exchange).pointee.isRejected = true }
    if slot.pointee.origin == .message { return rejectMessage(exchange, code, cause) }
    // A client that has left meanwhile has ended the exchange.
    if slot.pointee.isMetered, work(of: exchange).pointee.hasBegun, let code, !tellStream(exchange, code) {
      replyDetail = ReplyDetail()
      return
    }
    perform(exchange, slot.pointee.machine.answerRejected(code, cause))
    // What was said for a client that sees a cut is not about the next one.
    replyDetail = ReplyDetail()
  }

  /// Tells the client of a stream, in its dialect, why it ends here; false when that ended the exchange.
  private func tellStream(_ exchange: Int32, _ code: ErrorCode) -> Bool {
    guard let dialect = dialect(of: exchange) else { return true }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Worker.errorEventBytes) { area in
      guard let base = area.baseAddress else { return true }
      var writer = ByteWriter(base: base, capacity: area.count)
      if dialect == .anthropicMessages { writer.append("event: error\n") }
      writer.append("data: ")
      Dialect.appendError(
        dialect, code.row, message: replyDetail.message ?? .empty, details: replyDetail.details,
        requestID: requestID(of: exchange), to: &writer)
      writer.append("\n\n")
      return writer.overflowed || sendEvents(exchange, writer.base, writer.count)
    }
  }

  private static var errorEventBytes: Int { Limits.errorDetailBytes + (8 << 10) }

  // MARK: Waiting

  /// What is judged stays until the policy has its answer, or, where it waits for none, until the next turn.
  private func pause(_ exchange: Int32, for operation: Operation?, _ keep: (Worker) -> Bool) {
    let slot = exchanges.slots + Int(exchange)
    // Of a piece there is nothing to set, and what was set of the head is kept already.
    var edits = machine(of: exchange).host.edits
    if slot.pointee.policyPhase == .onChunk { edits.removeAll() }
    hideRequest(exchange)
    guard keep(self), edits.isEmpty || buffers.append(&slot.pointee.edits, edits.base, edits.count) else {
      return reject(exchange, .serviceUnavailable, .unavailable)
    }
    slot.pointee.isJudging = true
    connections.slots[Int(slot.pointee.client)].isPaused = true
    wheel.arm(slot.pointee.client, TimerWheel.never)
    armDownload(exchange)
    if let operation {
      begin(operation, of: exchange)
      return
    }
    slot.pointee.policyWaits &+= 1
    policyAnswers.append(
      PolicyAnswer(
        exchange: Handle(index: exchange, serial: slot.pointee.serial), wait: slot.pointee.policyWaits, answer: nil))
  }

  /// The answer ends in another way than the policies decide.
  func stopJudging(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if !slot.pointee.isJudging { return }
    slot.pointee.isJudging = false
    slot.pointee.policyWaits &+= 1
    abandonPolicy(exchange)
  }

  /// What a policy has waited for is here.
  func goOnJudging(_ exchange: Int32, _ answer: PolicyAnswer) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.isJudging = false
    connections.slots[Int(slot.pointee.client)].isPaused = false
    if slot.pointee.isMetered {
      goOnWithModel(exchange, answer.answer)
    } else if slot.pointee.policyPhase == .onChunk {
      goOnWithPiece(exchange, answer.answer)
    } else {
      goOnWithHead(exchange, answer.answer)
    }
    // What the client has sent meanwhile was not read.
    guard slot.pointee.serial == answer.exchange.serial, slot.pointee.server >= 0 else { return }
    if connections.slots[Int(slot.pointee.server)].isReadable { markReady(slot.pointee.server) }
  }
}
