// The driver tells a whole answer in the client's dialect where the provider speaks another one: the answer itself, or
// what the provider says is wrong with the request. Streams are told event by event, in Providers.swift.
// Called when the answer is all there, before it is settled.

import Glibc

extension Worker {
  /// Where streams are told anew, made when the first is.
  func translationArea() -> BytePointer? {
    if let translation { return translation }
    guard let memory = Pages.map(bytes: Limits.translatedBytesMax) else { return nil }
    let area = memory.bindMemory(to: UInt8.self, capacity: Limits.translatedBytesMax)
    translation = area
    return area
  }

  /// Whether what is said to be wrong with the request is about the operator's account at the provider.
  func blamesOperator(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    guard ProviderStatus(status: exchanges.slots[Int(exchange)].upstreamStatus) == .refuses,
      let base = work.pointee.answer.base
    else { return false }
    defer { document.reset() }
    let spoken = provider(exchange).dialect
    return Dialect.blamesOperator(
      spoken, Dialect.readError(spoken, base, work.pointee.answer.count, document))
  }

  /// Puts what the client understands in the place of the answer; false when the exchange goes on in another way.
  func translateAnswer(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    let spoken = provider(exchange).dialect
    guard let client = dialect(of: exchange), client != spoken else { return true }
    let streams = isToldAsStream(exchange)
    if ProviderStatus(status: exchanges.slots[Int(exchange)].upstreamStatus) != .answers {
      return translateRefusal(exchange, from: spoken, to: client)
    }
    guard let base = work.pointee.answer.base else { return true }
    modelParts.reset()
    defer { modelParts.reset() }
    Dialect.readParts(spoken, answer: base, work.pointee.answer.count, document, into: modelParts)
    let identity = answerIdentity(exchange)
    let usage = cost(exchange, .completed).usage
    var isTold = !modelParts.parts.isEmpty
    if streams { modelParts.add(ModelPart(.end)) }
    if client == .platformV1 { work.pointee.reason = PlatformV1.finishReason(modelParts) }
    let isWritten = rewriteAnswer(exchange) { writer in
      guard isTold else { return }
      if streams {
        var writing = StreamWriting()
        isTold = Dialect.writeEvents(client, modelParts, identity, usage, &writing, to: &writer)
      } else {
        isTold = Dialect.writeAnswer(client, modelParts, identity, usage, document, to: &writer)
      }
      document.reset()
    }
    if isTold, isWritten { return true }
    if isTold {
      noRoom(exchange)
    } else {
      attemptFailed(exchange, .providerError, .upstreamError, "its answer cannot be told in the client's dialect")
    }
    return false
  }

  /// A whole answer for a client that waits for a stream in another dialect. On a WebSocket `done` takes it as it is.
  func isToldAsStream(_ exchange: Int32) -> Bool {
    let work = work(of: exchange)
    return work.pointee.kind == .whole && work.pointee.request.streams
      && ProviderStatus(status: exchanges.slots[Int(exchange)].upstreamStatus) == .answers
      && exchanges.slots[Int(exchange)].origin != .message && dialect(of: exchange) != provider(exchange).dialect
  }

  /// What a failure within a success means is what its status would have meant. True: the request is at fault, and the
  /// answer is what the provider says about it; else the attempt has failed.
  func isAboutRequest(_ exchange: Int32, _ code: ErrorCode, _ reason: StaticString) -> Bool {
    let status = ProviderStatus.status(of: code)
    if case .fails(let code) = ProviderStatus(status: status) {
      attemptFailed(exchange, code, .upstreamError, reason)
      return false
    }
    exchanges.slots[Int(exchange)].upstreamStatus = status
    return true
  }

  /// A stream begins with an error of the provider, the first of these events: it is the whole answer.
  func refuseStream(_ exchange: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    guard isAboutRequest(exchange, work.pointee.stream.errorCode, "it reported an error in its stream") else { return }
    var scanner = EventScanner()
    var said = Body.none
    guard let event = scanner.next(bytes, from: 0, count) ?? scanner.last(bytes, from: 0, count),
      said.makeRoom(event.count, &buffers, shared.bodies) == .granted, let base = said.base
    else {
      noRoom(exchange)
      return
    }
    var writer = ByteWriter(base: base, capacity: said.capacity)
    EventScanner.join(bytes, event, to: &writer)
    said.advance(writer.count)
    work.pointee.answer.giveBack(&buffers, shared.bodies)
    work.pointee.waiting.giveBack(&buffers, shared.bodies)
    work.pointee.unjudged.giveBack(&buffers, shared.bodies)
    work.pointee.answer = said
    work.pointee.kind = .whole
    slot.pointee.responseFraming = .none
    // What else the stream has is of no use.
    slot.pointee.keepsClient = false
    meteredEnded(exchange)
  }

  /// What the provider says about the request, as an error in the client's form.
  private func translateRefusal(_ exchange: Int32, from spoken: DialectName, to client: DialectName) -> Bool {
    let work = work(of: exchange)
    let code = ProviderStatus.code(refusedWith: exchanges.slots[Int(exchange)].upstreamStatus)
    var message = ModelText.none
    if let base = work.pointee.answer.base {
      message = Dialect.readError(spoken, base, work.pointee.answer.count, document)
    }
    let isWritten = rewriteAnswer(exchange) { writer in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Worker.refusalBytesMax) { area in
        var text = ByteWriter(base: area.baseAddress ?? outgoing, capacity: area.count)
        text.append(said: message)
        let plain = StaticBytes(start: UnsafePointer(text.base), count: text.count)
        // The driver writes the error there, when it is settled.
        if client == .platformV1 { return writer.append(plain) }
        Dialect.appendError(
          client, code.row, message: plain, details: nil, requestID: requestID(of: exchange), to: &writer)
      }
    }
    document.reset()
    if isWritten { return true }
    noRoom(exchange)
    return false
  }

  /// The most of a provider's message that is handed on.
  private static var refusalBytesMax: Int { 4 << 10 }

  /// Writes the answer anew into memory of its own, which takes the place of the old; false when there is no room.
  private func rewriteAnswer(_ exchange: Int32, _ write: (inout ByteWriter) -> Void) -> Bool {
    let work = work(of: exchange)
    let count = work.pointee.answer.count
    var room = count + count / 2 + Worker.translationSlack
    var rewritten = Body.none
    while room <= Worker.translationFactor * (count + Worker.translationSlack) {
      guard rewritten.makeRoom(room, &buffers, shared.bodies) == .granted, let target = rewritten.base else { break }
      var writer = ByteWriter(base: target, capacity: rewritten.capacity)
      write(&writer)
      if !writer.overflowed {
        rewritten.advance(writer.count)
        work.pointee.answer.giveBack(&buffers, shared.bodies)
        work.pointee.answer = rewritten
        return true
      }
      room = 2 * rewritten.capacity
    }
    rewritten.giveBack(&buffers, shared.bodies)
    return false
  }
}

extension ByteWriter {
  /// What a text of JSON says, escapes resolved, as far as there is room; never half a character.
  fileprivate mutating func append(said text: ModelText) {
    guard text.form == .string else { return }
    var whole = 0
    for byte in JSONStringBytes(content: UnsafeBufferPointer(start: text.bytes.start, count: text.bytes.count)) {
      if byte & 0xc0 != 0x80 { whole = count }
      append(byte: byte)
      if overflowed {
        rewind(to: whole)
        return
      }
    }
  }
}
