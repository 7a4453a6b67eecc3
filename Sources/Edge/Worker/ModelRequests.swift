// The driver asks a provider: the request is written for it, as the client wrote it where both speak the same dialect,
// else anew in the provider's words. What of it may be needed for another provider is kept.
//
//   selected ─▶ askProvider ─▶ dial …                          (Providers.swift takes the answer)
//                  │ its dialect cannot say this
//                  ▼
//               passOver ─▶ the next one                       (Fallback.swift)

import Glibc

extension Worker {
  /// Writes the request for the candidate whose turn it is into `outgoing` and dials.
  func askProvider(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    beginAttempt(exchange)
    let server = slot.pointee.server
    var isWritten = false
    do throws(DialectFault) {
      isWritten = try writeModelRequest(exchange, request)
    } catch {
      passOver(exchange, request, error)
      return
    }
    // The head was read to its end; what is kept behind it is the next request. While another provider may be asked,
    // the head stays in front of it.
    let staysWhole = isWritten && mayFallBack(exchange)
    keepRest(server, request.bytes, staysWhole ? 0 : request.head.count, request.count)
    guard isWritten else {
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    if staysWhole, connections.slots[Int(server)].input.block != nil {
      work(of: exchange).pointee.headBytes = Int32(request.head.count)
    }
    countRunning(exchange)
    perform(exchange, slot.pointee.machine.forward())
  }

  /// A fresh attempt at the candidate whose turn it is.
  private func beginAttempt(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let (candidate, provider) = (candidate(exchange), provider(exchange))
    let model = rows(of: exchange).models.models[Int(candidate.model)]
    aim(exchange, provider.service)
    slot.pointee.record.service = .empty
    slot.pointee.record.provider = provider.name
    slot.pointee.record.model = model.name
    slot.pointee.record.streams = work.pointee.request.streams
    slot.pointee.record.attempt = ULID(high: 0, low: 0)
    (slot.pointee.record.sent, slot.pointee.record.answered) = (0, 0)
    slot.pointee.isMetered = true
    // Nothing came back and the connection was an old one: asking again costs less than an error.
    slot.pointee.isRepeatable = true
    slot.pointee.requestFraming = .none
    slot.pointee.attempts = 0
    slot.pointee.wasReplayed = false
    slot.pointee.stoppedUpload = false
    slot.pointee.interimResponses = 0
    slot.pointee.upstreamStatus = 0
    slot.pointee.contentSent = 0
    slot.pointee.contentFollows = false
    buffers.giveBack(&slot.pointee.held)
    work.pointee.tokens = Estimate(
      work.pointee.request, outputTokensMax: Int(model.outputTokensMax), imageTokens: Int(model.imageTokens))
    work.pointee.isDispatched = false
    work.pointee.settlement = .open
    work.pointee.kind = .none
    work.pointee.stream = MeteredStream(choices: work.pointee.request.choices)
    work.pointee.event = ModelEvent()
    work.pointee.isWhole = false
    work.pointee.reason = nil
    work.pointee.isOpeningTimed = false
    work.pointee.endDeadline = 0
    work.pointee.providerRetrySeconds = 0
    work.pointee.giveBack(&buffers, shared.bodies)
  }

  /// Head and content for the provider; false when there is no room for them.
  private func writeModelRequest(
    _ exchange: Int32, _ request: ArrivedRequest
  ) throws(DialectFault) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let services = rows(of: exchange).services
    let provider = provider(exchange)
    guard let base = slot.pointee.content.base, let client = dialect(of: exchange) else { return false }
    let isSame = provider.dialect == client
    var splices = BodySplices()
    if isSame {
      splices = Dialect.splices(client, work.pointee.request, upstreamModel: upstreamModel(exchange, base))
    } else {
      guard try translateRequest(exchange, base, from: client, to: provider.dialect) else { return false }
    }
    let contentBytes = isSame ? splices.editedCount(slot.pointee.content.count) : work.pointee.body.count
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.appendProviderRequest(
      request.received, passesVersions: isSame, version: Dialect.versionLine(provider.dialect),
      basePath: provider.basePath, path: Dialect.path(provider.dialect),
      authority: services.endpoints[Int(services.services[Int(provider.service)].firstEndpoint)].authority,
      keyField: Dialect.keyField(provider.dialect), key: provider.key, contentBytes: contentBytes,
      requestID: requestID(of: exchange))
    if contentBytes > writer.room {
      slot.pointee.contentFollows = true
      if isSame, !splices.isEmpty, !spliceContent(exchange, splices, contentBytes) { return false }
    } else {
      if isSame {
        splices.copy(base, slot.pointee.content.count, to: &writer)
      } else if let translated = work.pointee.body.base {
        writer.append(translated, contentBytes)
        work.pointee.body.giveBack(&buffers, shared.bodies)
      }
      slot.pointee.contentSent = slot.pointee.content.count
    }
    outgoingCount = writer.count
    return !writer.overflowed
  }

  /// What the provider calls the model; nil: as the client has written it.
  private func upstreamModel(_ exchange: Int32, _ content: UnsafePointer<UInt8>) -> StaticBytes? {
    let written = work(of: exchange).pointee.request.model
    let name = upstreamName(exchange)
    if name.count == Int(written.count), equalBytes(name.start, content + Int(written.start), name.count) { return nil }
    return name
  }

  /// What the provider calls the model.
  private func upstreamName(_ exchange: Int32) -> StaticBytes {
    let row = rows(of: exchange).models.models[Int(candidate(exchange).model)]
    return row.upstreamName.count > 0 ? row.upstreamName : row.name
  }

  /// Writes the content with its edits where it does not go out in one piece with its head.
  private func spliceContent(_ exchange: Int32, _ splices: BodySplices, _ bytes: Int) -> Bool {
    let content = exchanges.slots[Int(exchange)].content
    let work = work(of: exchange)
    guard let base = content.base, work.pointee.body.makeRoom(bytes, &buffers, shared.bodies) == .granted,
      let target = work.pointee.body.base
    else { return false }
    var writer = ByteWriter(base: target, capacity: work.pointee.body.capacity)
    splices.copy(base, content.count, to: &writer)
    work.pointee.body.advance(writer.count)
    return true
  }

  /// Writes the content in the provider's dialect; false when there is no room.
  private func translateRequest(
    _ exchange: Int32, _ content: UnsafePointer<UInt8>, from client: DialectName, to dialect: DialectName
  ) throws(DialectFault) -> Bool {
    let count = exchanges.slots[Int(exchange)].content.count
    let work = work(of: exchange)
    modelParts.reset()
    defer { modelParts.reset() }
    try Dialect.readRequest(client, content, count, document, into: modelParts)
    let plan = RequestPlan(
      model: upstreamName(exchange), streams: work.pointee.request.streams,
      outputTokensMax: work.pointee.request.outputTokensMax,
      modelTokensMax: rows(of: exchange).models.models[Int(candidate(exchange).model)].outputTokensMax)
    var room = count + count / 2 + Worker.translationSlack
    while true {
      guard work.pointee.body.makeRoom(room, &buffers, shared.bodies) == .granted,
        let target = work.pointee.body.base
      else { return false }
      var writer = ByteWriter(base: target, capacity: work.pointee.body.capacity)
      try Dialect.writeRequest(dialect, modelParts, plan, document, to: &writer)
      document.reset()
      if !writer.overflowed {
        work.pointee.body.advance(writer.count)
        return true
      }
      room = 2 * work.pointee.body.capacity
      if room > Worker.translationFactor * (count + Worker.translationSlack) { return false }
    }
  }

  /// What another dialect's words may take beyond those of the one that is read, and how many times as much at the
  /// most: what was an escape in a string becomes two.
  static var translationSlack: Int { 4 << 10 }
  static var translationFactor: Int { 16 }

  // MARK: Sending

  /// What goes to the provider or service behind the head: the content as it came, or as it was written anew.
  func sentContent(_ exchange: Int32) -> Body {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.hasWork, work(of: exchange).pointee.body.base != nil else { return slot.pointee.content }
    return work(of: exchange).pointee.body
  }

  /// Sends on of the content what did not go out with the head, as fast as the connection takes it.
  func pumpContent(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let content = sentContent(exchange)
    guard let base = content.base, slot.pointee.client >= 0, !slot.pointee.stoppedUpload else { return }
    while slot.pointee.contentSent < content.count {
      if connections.slots[Int(slot.pointee.client)].output.count > Limits.unsentLow { return }
      let piece = min(Limits.readBytes, content.count - slot.pointee.contentSent)
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
    return provider(exchange).answerMilliseconds
  }
}
