// Parts of the driver that prepare and describe: a fresh exchange slot, the request's host and id, where it came
// from, and the answers Edge writes itself.

import Glibc

/// What a reply says beyond its error code.
struct ReplyDetail: BitwiseCopyable {
  /// Closer than the code's own message.
  var message: StaticBytes?
  /// Bits of the methods for an Allow field.
  var allowed: UInt16 = 0
  /// When to try again; 0: nothing is said.
  var retryAfterSeconds: UInt64 = 0
  /// A JSON object.
  var details: StaticBytes?
  /// To try again would be in vain, or worse.
  var isTerminal = false
  /// What the client speaks, where its route does not say so.
  var dialect: DialectName?
  /// The parameter at fault.
  var param: StaticString?
}

/// The host of a request.
struct RequestHost: BitwiseCopyable {
  /// For routing: without port, brackets and trailing dot. Empty when HTTP/1.0 named none.
  var name: UnsafePointer<UInt8>
  var nameCount: Int
  /// As it was given, port included.
  var text: UnsafePointer<UInt8>
  var textCount: Int
}

extension Worker {
  /// Fills a fresh slot; nothing of its last owner may remain.
  func prepare(_ exchange: Int32, _ server: Int32, _ head: RequestHead) {
    let slot = exchanges.slots + Int(exchange)
    let connection = connections.slots + Int(server)
    slot.pointee.machine = ExchangeMachine()
    slot.pointee.origin = .client
    slot.pointee.server = server
    slot.pointee.generation = rows.place
    shared.generations.pin(rows.place, worker: index)
    forgetOwner(exchange)
    slot.pointee.isVersion10 = head.isVersion10
    slot.pointee.isToHead = head.method == .head
    slot.pointee.keepsServer = head.keepAlive && !isLeaving(server)
    slot.pointee.clientCloses = !head.keepAlive
    slot.pointee.awaitsContinue = head.expectsContinue
    slot.pointee.toleratesFin = false
    slot.pointee.keepsClient = false
    slot.pointee.isRepeatable = false
    slot.pointee.wasReplayed = false
    slot.pointee.stoppedUpload = false
    slot.pointee.interimResponses = 0
    slot.pointee.request = BodyReader(head.framing)
    slot.pointee.response = BodyReader(.none)
    slot.pointee.requestFraming = .none
    slot.pointee.responseFraming = .none
    slot.pointee.bodyAllowance = 0
    slot.pointee.held = .none
    slot.pointee.policyContext = -1
    slot.pointee.policyCoroutine = -1
    slot.pointee.policyStep = 0
    slot.pointee.policyPhase = .onRequest
    slot.pointee.edits = .none
    slot.pointee.judgesHead = false
    slot.pointee.judgesChunks = false
    slot.pointee.chunks = 0
    slot.pointee.answer = .none
    slot.pointee.judged = .none
    slot.pointee.isJudging = false
    slot.pointee.hasWork = false
    slot.pointee.upstreamStatus = 0
    slot.pointee.isMetered = false
    slot.pointee.selects = false
    slot.pointee.content = .none
    slot.pointee.contentSent = 0
    slot.pointee.contentFollows = false
    slot.pointee.messageType = .none
    slot.pointee.collects = false
    slot.pointee.isCollected = false
    slot.pointee.awaitsRoom = false
    slot.pointee.roomDeadline = 0
    slot.pointee.answersBody = false
    var record = ExchangeRecord()
    record.id = ULID(wall: clock.wall, random: &random)
    record.client = connection.pointee.address
    if connection.pointee.listener != ListenerBoard.none {
      record.listener = rows.listeners[Int(connection.pointee.listener)].name
    }
    record.method = head.method
    record.worker = UInt8(index)
    record.generation = rows.number
    record.startWall = clock.wall
    record.start = clock.monotonic
    var writer = ByteWriter(base: text(of: exchange) + RecordText.requestIDOffset, capacity: Limits.requestIDBytes)
    writer.append(record.id)
    record.requestIDCount = UInt16(writer.count)
    slot.pointee.record = record
  }

  /// What belonged to the exchange that had the slot before does not to this one.
  @inline(__always)
  private func forgetOwner(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.session = -1
    slot.pointee.upgrades = false
    slot.pointee.client = -1
    slot.pointee.route = -1
    slot.pointee.service = -1
    slot.pointee.attempts = 0
    slot.pointee.nextEndpoint = 0
    slot.pointee.endpoint = -1
    slot.pointee.parent = -1
    slot.pointee.firstChild = -1
    slot.pointee.nextSibling = -1
    slot.pointee.previousSibling = -1
  }

  /// Whether a client's connection ends after what it is doing.
  func isLeaving(_ server: Int32) -> Bool {
    isDraining || connections.slots[Int(server)].listener == ListenerBoard.none
  }

  /// Whose connection the exchange has come by.
  private func peer(of exchange: Int32) -> SocketAddress {
    connections.slots[Int(exchanges.slots[Int(exchange)].server)].address
  }

  /// Who asks, where a trusted peer speaks for others.
  @inline(__always)
  func noteClient(_ exchange: Int32, _ received: ReceivedHead) {
    let peer = peer(of: exchange)
    guard rows.trusts(peer) else { return }
    noteClient(exchange, received.client(behind: peer, parser.classes) { rows.trusts($0) })
  }

  /// This one asks, whoever's connection it is.
  func noteClient(_ exchange: Int32, _ client: SocketAddress) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.record.client = client
    let peer = peer(of: exchange)
    if peer.isHost(of: client) { return }
    var writer = ByteWriter(base: text(of: exchange) + RecordText.peerOffset, capacity: Limits.addressTextBytes)
    writer.append(host: peer)
    slot.pointee.record.peerCount = UInt16(writer.count)
  }

  /// Keeps what the log and the answer will tell: path, host and request id.
  func noteText(_ exchange: Int32, _ received: ReceivedHead, _ head: RequestHead, _ target: RequestTarget) {
    let slot = exchanges.slots + Int(exchange)
    let area = text(of: exchange)
    let pathCount = min(target.pathCount, Limits.recordPathBytes)
    memcpy(area + RecordText.pathOffset, target.path, pathCount)
    slot.pointee.record.pathCount = UInt16(pathCount)
    let host = target.authorityCount > 0 ? target.authority : received.bytes + Int(head.host.start)
    let hostCount = min(
      target.authorityCount > 0 ? target.authorityCount : Int(head.host.count), Limits.recordHostBytes)
    memcpy(area + RecordText.hostOffset, host, hostCount)
    slot.pointee.record.hostCount = UInt16(hostCount)
    if head.method == .other {
      memcpy(area + RecordText.methodOffset, received.bytes + Int(head.methodRange.start), Int(head.methodRange.count))
      slot.pointee.record.methodCount = head.methodRange.count
    }
    guard rows.trusts(peer(of: exchange)), let given = received.value(of: .requestID) else { return }
    // A peer that may speak for others may have named the request already; two names are none.
    guard given.count > 0, given.count <= Limits.requestIDBytes, received.count(named: "x-request-id") == 1 else {
      return
    }
    for place in 0..<given.count where !parser.classes.has(given.start[place], .unreserved) { return }
    memcpy(area + RecordText.requestIDOffset, given.start, given.count)
    slot.pointee.record.requestIDCount = UInt16(given.count)
  }

  /// Whether the client has asked by https: Edge itself, or a trusted peer that says so.
  func isSecure(_ exchange: Int32, _ received: ReceivedHead) -> Bool {
    if connections.slots[Int(exchanges.slots[Int(exchange)].server)].tls != nil { return true }
    return rows(of: exchange).trusts(peer(of: exchange)) && received.claimsSecure(parser.classes) ?? false
  }

  /// The one host that the request is for. An absolute target and the Host field must agree (RFC 9112 section 3.2.2).
  func hostOf(_ head: RequestHead, _ received: ReceivedHead, _ target: RequestTarget) throws(HeadFault) -> RequestHost {
    let field = received.bytes + Int(head.host.start)
    let fieldCount = Int(head.host.count)
    let hasField = received.value(of: .host) != nil
    if !hasField, target.authorityCount == 0 {
      return RequestHost(name: field, nameCount: 0, text: field, textCount: 0)
    }
    var (text, textCount) = (field, fieldCount)
    if target.authorityCount > 0 {
      (text, textCount) = (target.authority, target.authorityCount)
      if hasField, !sameAuthority(text, textCount, field, fieldCount, target.isSecure) { throw .hostMismatch }
    }
    guard let range = targets.hostName(text, textCount) else { throw .badHost }
    if text[0] == 0x5b {
      return RequestHost(name: text + 1, nameCount: Int(range.count) - 2, text: text, textCount: textCount)
    }
    return RequestHost(name: text, nameCount: Int(range.count), text: text, textCount: textCount)
  }

  /// Equality of authorities without regard to case; a default port, or an empty one, may stand on one side only.
  private func sameAuthority(
    _ left: UnsafePointer<UInt8>, _ leftCount: Int, _ right: UnsafePointer<UInt8>, _ rightCount: Int, _ isSecure: Bool
  ) -> Bool {
    let port = isSecure ? StaticBytes(":443") : StaticBytes(":80")
    func withoutDefaultPort(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
      if count > 1, bytes[count - 1] == 0x3a { return count - 1 }
      let rest = count - port.count
      return rest > 0 && equalBytes(bytes + rest, port.start, port.count) ? rest : count
    }
    let count = withoutDefaultPort(left, leftCount)
    if count != withoutDefaultPort(right, rightCount) { return false }
    return equalFolded(left, right, count)
  }

  /// Calls `body` with the description of where a request came from.
  @inline(__always)
  func withSender(_ exchange: Int32, _ request: ArrivedRequest, _ body: (Sender) -> Void) {
    let slot = exchanges.slots + Int(exchange)
    let address = peer(of: exchange)
    var writer = ByteWriter(base: addressText, capacity: Limits.addressTextBytes)
    writer.append(host: address)
    body(
      Sender(
        address: UnsafePointer(addressText), addressCount: writer.count, isIPv6: address.isIPv6,
        claimClasses: rows(of: exchange).trusts(address) ? parser.classes : nil,
        isSecure: connections.slots[Int(slot.pointee.server)].tls != nil,
        host: request.host.text, hostCount: request.host.textCount,
        requestID: UnsafePointer(text(of: exchange) + RecordText.requestIDOffset),
        requestIDCount: Int(slot.pointee.record.requestIDCount)))
  }

  /// Reads past the part of a body that came with its head, when Edge answers by itself: the connection can go on if
  /// that is all of it.
  func discardEarlyBody(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let headCount = request.head.count
    let step = slot.pointee.request.read(request.bytes + headCount, request.count - headCount, parser.classes)
    if step.fault != nil {
      slot.pointee.keepsServer = false
      dropInput(slot.pointee.server)
    } else {
      keepRest(slot.pointee.server, request.bytes, headCount + step.consumed, request.count)
    }
  }
}
