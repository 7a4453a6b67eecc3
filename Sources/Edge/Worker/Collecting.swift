// The driver reads a request's content as a whole where somebody needs it: a policy that asks, or a model that is named
// in it. The head stays where it came in, as while a policy waits; the content goes to memory of its own, which counts
// against a budget.
//
//   collect ─▶ complete
//      │ not all there
//      ▼
//   suspended ◀─▶ collectMore ─▶ collected ─▶ the policies or the driver go on
//      │ no room: looked at again and again, then 503

import Glibc

/// What came of collecting.
enum Collecting {
  case complete, incomplete
  /// The exchange was refused.
  case refused
}

extension Worker {
  /// Takes the content that came with the head out of `request`. Memory is taken for what comes, not for what was
  /// announced: who only announces keeps others from nothing.
  func collect(_ exchange: Int32, _ request: inout ArrivedRequest) -> Collecting {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.request.isEnded { return .complete }
    slot.pointee.isCollected = true
    let server = connections.slots + Int(slot.pointee.server)
    let start = request.bytes + request.head.count
    let available = request.count - request.head.count
    guard makeContentRoom(exchange, available) else {
      slot.pointee.awaitsRoom = true
      return .incomplete
    }
    let step = slot.pointee.request.read(start, available, parser.classes)
    if let fault = step.fault {
      dropInput(slot.pointee.server)
      refuse(exchange, fault)
      return .refused
    }
    guard allowBody(exchange, step.payload) else {
      return refuseContent(exchange, .messageTooLarge, .refused)
    }
    guard slot.pointee.content.append(start, step.payload, &buffers, shared.bodies) == .granted else {
      return refuseContent(exchange, .serviceUnavailable, .unavailable)
    }
    // What follows the content is the next request.
    memmove(start, start + step.consumed, available - step.consumed)
    request.count -= step.consumed
    if let block = server.pointee.input.block, block + Int(server.pointee.input.start) == request.bytes {
      server.pointee.input.end -= Int32(step.consumed)
    }
    return slot.pointee.request.isEnded ? .complete : .incomplete
  }

  /// Room for so many bytes more, and where there is plenty for twice as many as there are.
  private func makeContentRoom(_ exchange: Int32, _ bytes: Int) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let wanted = slot.pointee.content.count + bytes
    if wanted <= slot.pointee.content.capacity { return true }
    // More than was announced need not be there.
    var generous = max(wanted, 2 * slot.pointee.content.capacity)
    if case .some(let left) = slot.pointee.request.remainingBytes {
      generous = min(generous, max(wanted, slot.pointee.content.count + Int(clamping: left)))
    }
    return slot.pointee.content.makeRoom(generous, &buffers, shared.bodies) == .granted
      || slot.pointee.content.makeRoom(wanted, &buffers, shared.bodies) == .granted
  }

  private func refuseContent(_ exchange: Int32, _ code: ErrorCode, _ cause: EndCause) -> Collecting {
    dropInput(exchanges.slots[Int(exchange)].server)
    exchanges.slots[Int(exchange)].keepsServer = false
    refuse(exchange, code, cause)
    return .refused
  }

  /// Waits for the rest of the content. `answers`: a policy has asked for it. The exchange is suspended already.
  func awaitContent(_ exchange: Int32, answers: Bool) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.policyWaits &+= 1
    slot.pointee.answersBody = answers
    if slot.pointee.request.isEnded {
      collected(exchange)
      return
    }
    slot.pointee.collects = true
    slot.pointee.collectingSince = clock.milliseconds
    if slot.pointee.awaitsRoom { awaitRoom(exchange) } else { askForContent(exchange) }
  }

  private func askForContent(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let server = slot.pointee.server
    armCollecting(exchange)
    if slot.pointee.awaitsContinue {
      slot.pointee.awaitsContinue = false
      let line: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
      guard send(server, line.utf8Start, line.utf8CodeUnitCount) else {
        perform(exchange, slot.pointee.machine.clientLeft())
        return
      }
    }
    if connections.slots[Int(server)].isReadable { markReady(server) }
  }

  /// A pause may take as long as `timeouts.body`, and the whole of it that long and a millisecond for each 16 bytes:
  /// who trickles holds memory for nothing.
  private func armCollecting(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let patience = rows(of: exchange).bodyMilliseconds
    let end = slot.pointee.collectingSince + patience + UInt64(slot.pointee.content.count) / Limits.slowBodyBytes
    wheel.arm(slot.pointee.server, min(clock.milliseconds + patience, max(end, clock.milliseconds + 1)))
  }

  private func awaitRoom(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.roomDeadline == 0 {
      slot.pointee.roomDeadline = clock.milliseconds + rows(of: exchange).bodyMilliseconds
    }
    wheel.arm(slot.pointee.server, clock.milliseconds + Limits.bodyRoomMilliseconds)
  }

  /// There may be room by now for content that has none.
  func retryRoom(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let server = slot.pointee.server
    // What came with the head may still wait behind it; else there is none of this request.
    guard var request = readAgain(exchange) else {
      endCollecting(exchange, .internalError, .internalError)
      return
    }
    let waiting = request.count - request.head.count
    guard makeContentRoom(exchange, max(waiting, contentPiece(exchange))) else {
      if clock.milliseconds < slot.pointee.roomDeadline {
        wheel.arm(server, clock.milliseconds + Limits.bodyRoomMilliseconds)
      } else {
        endCollecting(exchange, .serviceUnavailable, .unavailable)
      }
      return
    }
    slot.pointee.awaitsRoom = false
    let start = request.bytes + request.head.count
    let step = slot.pointee.request.read(start, waiting, parser.classes)
    guard takeContent(exchange, start, step) else { return }
    memmove(start, start + step.consumed, waiting - step.consumed)
    request.count -= step.consumed
    connections.slots[Int(server)].input.end -= Int32(step.consumed)
    if slot.pointee.request.isEnded { collected(exchange) } else { askForContent(exchange) }
  }

  /// More of the content has come.
  func collectMore(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let server = slot.pointee.server
    if slot.pointee.awaitsRoom { return }
    guard makeContentRoom(exchange, contentPiece(exchange)) else {
      // What has come stays with the kernel until there is room.
      slot.pointee.awaitsRoom = true
      awaitRoom(exchange)
      return
    }
    var count = 0
    switch read(server) {
    case .bytes(let read): count = read
    case .wouldBlock: return
    case .ended, .failed:
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    slot.pointee.roomDeadline = 0
    let step = slot.pointee.request.read(scratch, count, parser.classes)
    guard takeContent(exchange, scratch, step) else { return }
    if step.consumed < count,
      !buffers.append(&connections.slots[Int(server)].input, scratch + step.consumed, count - step.consumed)
    {
      endCollecting(exchange, .serviceUnavailable, .unavailable)
      return
    }
    if slot.pointee.request.isEnded {
      collected(exchange)
      return
    }
    armCollecting(exchange)
    if connections.slots[Int(server)].isReadable { markReady(server) }
  }

  /// The most that the next read can bring.
  private func contentPiece(_ exchange: Int32) -> Int {
    guard let left = exchanges.slots[Int(exchange)].request.remainingBytes else { return Limits.readBytes }
    return min(Limits.readBytes, Int(clamping: left))
  }

  /// Adds to the content; false when that ended the exchange.
  private func takeContent(_ exchange: Int32, _ bytes: BytePointer, _ step: BodyStep) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    if let fault = step.fault {
      replyDetail.message = StaticBytes(fault.row.message)
      endCollecting(exchange, fault.row.code, .clientError)
      return false
    }
    guard allowBody(exchange, step.payload) else {
      endCollecting(exchange, .messageTooLarge, .refused)
      return false
    }
    guard slot.pointee.content.append(bytes, step.payload, &buffers, shared.bodies) == .granted else {
      endCollecting(exchange, .serviceUnavailable, .unavailable)
      return false
    }
    return true
  }

  private func endCollecting(_ exchange: Int32, _ code: ErrorCode, _ cause: EndCause) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.collects = false
    slot.pointee.awaitsRoom = false
    slot.pointee.keepsServer = false
    dropInput(slot.pointee.server)
    perform(exchange, slot.pointee.machine.requestBroken(code, cause))
  }

  /// The content is whole: whoever waits for it goes on when this turn's events are served.
  private func collected(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.collects = false
    wheel.arm(slot.pointee.server, TimerWheel.never)
    policyAnswers.append(
      PolicyAnswer(
        exchange: Handle(index: exchange, serial: slot.pointee.serial), wait: slot.pointee.policyWaits,
        answer: slot.pointee.answersBody ? .body : nil))
  }
}
