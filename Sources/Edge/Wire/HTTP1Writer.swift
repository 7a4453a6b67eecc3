// Writes HTTP/1 heads. A head is always written from its meaning, never by passing on what was received: framing,
// connection handling and claims about the sender are Edge's own, the remaining fields are copied name by name.
// Only this file knows chunk lines, keep-alive and Connection.

import Glibc

/// How the body behind a written head is framed.
enum WrittenFraming: BitwiseCopyable, Equatable {
  /// There is no body and no field about one.
  case none
  case length(UInt64)
  case chunked
  /// The connection's end will be the body's end.
  case untilClose
}

/// The head that is being passed on: its bytes and what the parser found in them.
struct ReceivedHead: BitwiseCopyable {
  let bytes: UnsafePointer<UInt8>
  let table: HeaderTable

  /// The last value of a field, or nil: that of the nearest proxy, where each adds one.
  func lastValue(of header: KnownHeader) -> StaticBytes? {
    for index in (0..<table.count).reversed() where table.fields[index].known == header {
      let range = table.fields[index].value
      return StaticBytes(start: bytes + Int(range.start), count: Int(range.count))
    }
    return nil
  }

  /// The first value of a field, or nil.
  func value(of header: KnownHeader) -> (start: UnsafePointer<UInt8>, count: Int)? {
    for index in 0..<table.count where table.fields[index].known == header {
      let range = table.fields[index].value
      return (bytes + Int(range.start), Int(range.count))
    }
    return nil
  }
}

/// Where a request came from, as the service behind is told.
struct Sender: BitwiseCopyable {
  /// The client's address as text, an IPv6 address without brackets.
  var address: UnsafePointer<UInt8>
  var addressCount: Int
  var isIPv6: Bool
  /// There when the peer may speak for others: what it claims is read with these, kept and appended to.
  var claimClasses: ByteClasses?
  /// It has come within TLS.
  var isSecure = false
  /// As the client named it; empty when HTTP/1.0 named none.
  var host: UnsafePointer<UInt8>
  var hostCount: Int
  var requestID: UnsafePointer<UInt8>
  var requestIDCount: Int
}

/// Credentials that a service asked for, as bits of `HeaderTreatment.credential` fields.
struct PassedCredentials: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  static let authorization = PassedCredentials(rawValue: 1)
  static let apiKey = PassedCredentials(rawValue: 2)
  static let cookie = PassedCredentials(rawValue: 4)

  func passes(_ header: KnownHeader) -> Bool {
    switch header {
    case .authorization: contains(.authorization)
    case .apiKey: contains(.apiKey)
    case .cookie: contains(.cookie)
    default: false
    }
  }
}

extension ByteWriter {
  /// `Name: value` of a received field. Name and value usually stand one space apart, then they are one copy.
  @inline(__always)
  private mutating func append(_ field: HeaderField, of bytes: UnsafePointer<UInt8>) {
    let nameStart = Int(field.name.start)
    if Int(field.value.start) == field.name.end + 2, bytes[field.name.end + 1] == 0x20 {
      append(bytes + nameStart, field.value.end - nameStart)
    } else {
      append(bytes + nameStart, Int(field.name.count))
      append(": ")
      append(bytes + Int(field.value.start), Int(field.value.count))
    }
    appendLineEnd()
  }

  private mutating func append(_ framing: WrittenFraming) {
    switch framing {
    case .none, .untilClose: break
    case .length(let length):
      append("content-length: ")
      append(decimal: length)
      appendLineEnd()
    case .chunked: append("transfer-encoding: chunked\r\n")
    }
  }

  /// A request to a service. The connection behind it is always kept alive as far as Edge is concerned. `authority` is
  /// the Host when the client named none; `edits` are fields that stand for those of the client.
  mutating func appendRequest(
    _ head: RequestHead, _ received: ReceivedHead, target: RequestTarget, framing: WrittenFraming,
    passing: PassedCredentials, sender: Sender, authority: StaticBytes, edits: HeaderEdits? = nil
  ) {
    append(received.bytes + Int(head.methodRange.start), Int(head.methodRange.count))
    append(byte: 0x20)
    append(target.path, target.pathCount)
    if let query = target.query {
      append(byte: 0x3f)
      append(query, target.queryCount)
    }
    append(" HTTP/1.1\r\nhost: ")
    if sender.hostCount > 0 { append(sender.host, sender.hostCount) } else { append(authority) }
    appendLineEnd()
    for index in 0..<received.table.count {
      let field = received.table.fields[index]
      if field.isDropped { continue }
      if !field.treatment.isDisjoint(with: [.hopByHop, .rewritten]) { continue }
      if field.treatment.contains(.claim), sender.claimClasses == nil || field.known.isWrittenClaim { continue }
      if field.known == .maxForwards, head.method == .options {
        append(oneLess: field, of: received.bytes)
        continue
      }
      if field.treatment.contains(.credential), !passing.passes(field.known) { continue }
      append(field, of: received.bytes)
    }
    if let edits { append(edits) }
    append(framing)
    appendClaims(received, sender)
    append(head.isVersion10 ? "via: 1.0 edge" : "via: 1.1 edge" as StaticString)
    append("\r\nx-request-id: ")
    append(sender.requestID, sender.requestIDCount)
    append("\r\n\r\n")
  }

  /// Max-Forwards for the next hop (RFC 9110 section 7.6.2). It was read, and is at least 1.
  private mutating func append(oneLess field: HeaderField, of bytes: UnsafePointer<UInt8>) {
    append("max-forwards: ")
    append(decimal: (HTTP1Parser.decimal(bytes + Int(field.value.start), Int(field.value.count)) ?? 1) - 1)
    appendLineEnd()
  }

  /// The head of a request to a provider of models. Of the client's fields only those pass that say which version of
  /// the dialect it speaks, and only to a provider of that dialect; what policies set for services does not. `version`
  /// is the line that the provider must have, and the name of the field in which the client may have said it itself.
  mutating func appendProviderRequest(
    _ received: ReceivedHead, passesVersions: Bool, version: (name: StaticString, line: StaticString)?,
    basePath: StaticBytes, path: StaticString, authority: StaticBytes,
    keyField: (name: StaticString, prefix: StaticString), key: StaticBytes, contentBytes: Int, requestID: StaticBytes
  ) {
    append("POST ")
    append(basePath)
    append(path)
    append(" HTTP/1.1\r\nhost: ")
    append(authority)
    append("\r\nuser-agent: edge/")
    append(Version.text)
    append("\r\naccept: application/json, text/event-stream\r\naccept-encoding: identity\r\n")
    append("content-type: application/json\r\n")
    if passesVersions {
      for index in 0..<received.table.count {
        let field = received.table.fields[index]
        if field.isDropped || !received.isVersion(field) { continue }
        append(field, of: received.bytes)
      }
    }
    if let version, !passesVersions || received.value(named: version.name) == nil { append(version.line) }
    if key.count > 0 {
      append(keyField.name)
      append(": ")
      append(keyField.prefix)
      append(key)
      appendLineEnd()
    }
    append("content-length: ")
    append(decimal: UInt64(contentBytes))
    append("\r\nx-request-id: ")
    append(requestID)
    append("\r\n\r\n")
  }

  /// A service's response, for the client. `date` is added when the service gave none (RFC 9110 section 6.6.1); `edits`
  /// are fields that stand for those of the service.
  mutating func appendResponse(
    _ head: ResponseHead, _ received: ReceivedHead, framing: WrittenFraming, connection: WrittenConnection,
    requestID: UnsafePointer<UInt8>, requestIDCount: Int, date: StaticBytes, edits: HeaderEdits? = nil
  ) {
    append("HTTP/1.1 ")
    append(decimal: UInt64(head.status), width: 3)
    append(byte: 0x20)
    append(received.bytes + Int(head.reason.start), Int(head.reason.count))
    appendLineEnd()
    var hasDate = false
    for index in 0..<received.table.count {
      let field = received.table.fields[index]
      if field.isDropped || !field.treatment.isDisjoint(with: [.hopByHop, .rewritten]) { continue }
      if field.known == .date { hasDate = true }
      append(field, of: received.bytes)
    }
    if !hasDate {
      append("date: ")
      append(date)
      appendLineEnd()
    }
    if let edits { append(edits) }
    append(framing)
    append(connection)
    append("x-request-id: ")
    append(requestID, requestIDCount)
    append("\r\n\r\n")
  }

  /// What the client is told about the connection.
  mutating func append(_ connection: WrittenConnection) {
    switch connection {
    case .implied: break
    case .keepAlive: append("connection: keep-alive\r\n")
    case .close: append("connection: close\r\n")
    }
  }
}

/// The Connection field of a response.
enum WrittenConnection: BitwiseCopyable {
  /// HTTP/1.1 keeps alive without saying so.
  case implied
  /// An HTTP/1.0 client asked to be kept.
  case keepAlive
  case close
}

/// Chunk framing around bytes that stand in a buffer with room before and behind them.
enum ChunkWriter {
  /// The widest size line and the line end behind the data.
  static let headBytes = 18
  static let tailBytes = 2
  static let last: StaticString = "0\r\n\r\n"

  /// Puts the size line in front of `payload` and the line end behind it; returns where the chunk begins and its
  /// length.
  static func frame(_ payload: BytePointer, _ count: Int) -> (start: BytePointer, count: Int) {
    var start = payload - 2
    start[0] = 0x0d
    start[1] = 0x0a
    var rest = count
    repeat {
      start -= 1
      let nibble = UInt8(truncatingIfNeeded: rest) & 15
      start[0] = nibble < 10 ? nibble &+ 0x30 : nibble &+ 0x57
      rest >>= 4
    } while rest > 0
    payload[count] = 0x0d
    payload[count + 1] = 0x0a
    return (start, payload - start + count + 2)
  }
}
