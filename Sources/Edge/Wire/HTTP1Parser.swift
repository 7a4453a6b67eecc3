// Reads HTTP/1 heads (RFC 9112), strictly: what a lenient peer might read in two ways is refused, so that nobody
// behind Edge can be made to see another request than Edge saw. The parser is a function of the bytes so far; while a
// head is incomplete it is asked again when another line has ended, and errors in complete lines are reported at
// once. It owns no bytes and no sockets. The field table is filled as a side effect and valid until the next head.

import CLinux
import Glibc

/// How far a head is.
enum HeadProgress {
  case incomplete
  case complete
  case refused(HeadFault)
}

/// How the body of a message ends (RFC 9112 section 6.3).
enum BodyFraming: BitwiseCopyable, Equatable {
  case none
  case length(UInt64)
  case chunked
  /// Responses only: the connection's end is the body's end.
  case untilClose
}

/// The facts of a request head.
struct RequestHead: BitwiseCopyable {
  /// The bytes of the head, the empty line included.
  var count = 0
  var method = Method.other
  var methodRange = HeadRange()
  var target = HeadRange()
  /// The Host field's value, or empty when HTTP/1.0 gave none.
  var host = HeadRange()
  var isVersion10 = false
  var framing = BodyFraming.none
  var keepAlive = true
  var expectsContinue = false
  /// OPTIONS: how many hops it may still go; nil: as many as there are.
  var maxForwards: UInt64?
  /// Connection names `upgrade` and Upgrade names `websocket`.
  var asksUpgrade = false
}

/// The facts of a response head.
struct ResponseHead: BitwiseCopyable {
  var count = 0
  var status: UInt16 = 0
  var reason = HeadRange()
  var framing = BodyFraming.untilClose
  var keepAlive = true
}

/// What an operator allows a head to be.
struct HeadLimits: BitwiseCopyable {
  var bytes = 16 << 10
  var fields = 100
}

/// One per worker.
struct HTTP1Parser {
  let classes: ByteClasses
  let known: KnownHeaderIndex
  var table: HeaderTable
  /// What the fields said while they were read.
  private var facts = FieldFacts()

  init(arena: Arena) {
    classes = ByteClasses(arena: arena)
    known = KnownHeaderIndex(arena: arena)
    table = HeaderTable(arena: arena)
  }

  /// What is gathered from fields before the message as a whole is judged.
  private struct FieldFacts: BitwiseCopyable {
    var host = HeadRange()
    var hostCount = 0
    var contentLength: UInt64 = 0
    var hasContentLength = false
    var codings = 0
    var isChunked = false
    var connectionTokens = 0
    var close = false
    var keepAlive = false
    var namesUpgrade = false
    var namesOthers = false
    var hasUpgrade = false
    var expectsContinue = false
    var maxForwards: UInt64?
    var hasBadMaxForwards = false
  }

  // MARK: Requests

  /// Reads a request head that begins at `bytes`. An empty line in front of it is skipped (RFC 9112 section 2.2).
  mutating func readRequest(
    _ bytes: UnsafePointer<UInt8>, _ available: Int, limits: HeadLimits, into head: inout RequestHead
  ) -> HeadProgress {
    // What stands behind the limit cannot be part of a head that is taken, so it is not looked at.
    let count = min(available, limits.bytes)
    var start = 0
    if count >= 2, bytes[0] == 0x0d, bytes[1] == 0x0a { start = 2 }
    guard let end = lineEnd(bytes, start, count) else {
      if let fault = fault(ofBeginning: bytes, start, count) { return .refused(fault) }
      return unfinished(count, limits)
    }
    head = RequestHead()
    if let fault = fault(ofLine: bytes, start, end) { return .refused(fault) }
    if let fault = readRequestLine(bytes, start, end - 1, into: &head) { return .refused(fault) }
    switch readFields(bytes, end + 1, count, limits, isRequest: true) {
    case .incomplete: return unfinished(count, limits)
    case .refused(let fault): return .refused(fault)
    case .complete: break
    }
    head.count = fieldsEnd
    if let fault = judgeRequest(bytes, &head) { return .refused(fault) }
    return .complete
  }

  private func readRequestLine(
    _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, into head: inout RequestHead
  ) -> HeadFault? {
    var index = start
    while index < end, classes.has(bytes[index], .token) { index += 1 }
    if index == start || index - start > Limits.methodBytesMax { return .badMethod }
    guard index < end, bytes[index] == 0x20 else { return index < end ? .badMethod : .badRequestLine }
    head.methodRange = HeadRange(start, index - start)
    head.method = Method(bytes + start, index - start)
    let targetStart = index + 1
    guard let space = memchr(bytes + targetStart, 0x20, end - targetStart) else { return .badRequestLine }
    let targetEnd = UnsafePointer(space.assumingMemoryBound(to: UInt8.self)) - bytes
    if targetEnd == targetStart { return .badRequestLine }
    head.target = HeadRange(targetStart, targetEnd - targetStart)
    let version = bytes + targetEnd + 1
    let versionCount = end - targetEnd - 1
    guard versionCount == 8, equalBytes(version, StaticBytes("HTTP/").start, 5), version[6] == 0x2e,
      version[5] &- 0x30 < 10, version[7] &- 0x30 < 10
    else { return .badVersion }
    if version[5] != 0x31 { return .unknownVersion }
    head.isVersion10 = version[7] == 0x30
    return nil
  }

  /// Judges a request as a whole; every rule here is one that tells requests apart.
  private mutating func judgeRequest(_ bytes: UnsafePointer<UInt8>, _ head: inout RequestHead) -> HeadFault? {
    if facts.hostCount > 1 { return .hostTwice }
    if facts.hostCount == 0, !head.isVersion10 { return .hostMissing }
    head.host = facts.host
    if facts.codings > 0 {
      if head.isVersion10 { return .codingInOldVersion }
      if facts.hasContentLength { return .lengthAndChunked }
      if facts.codings > 1 { return .badTransferEncoding }
      if !facts.isChunked { return .unknownTransferEncoding }
      head.framing = .chunked
    } else if facts.hasContentLength {
      head.framing = .length(facts.contentLength)
      if head.isVersion10, facts.contentLength > 0 {
        switch head.method {
        case .get, .head, .delete: return .bodyInOldVersion
        default: break
        }
      }
    }
    if facts.connectionTokens > Limits.connectionTokensMax { return .badConnection }
    if facts.namesOthers { dropNamedFields(bytes) }
    head.keepAlive = !facts.close && (!head.isVersion10 || facts.keepAlive)
    head.expectsContinue = facts.expectsContinue && !head.isVersion10
    if head.method == .options {
      if facts.hasBadMaxForwards { return .badMaxForwards }
      head.maxForwards = facts.maxForwards
    }
    head.asksUpgrade = facts.namesUpgrade && facts.hasUpgrade && !head.isVersion10
    if head.asksUpgrade, head.framing != .none, head.framing != .length(0) { return .upgradeWithBody }
    return nil
  }

  // MARK: Responses

  /// Reads a response head that begins at `bytes`. `toHead`: the request was HEAD, so no body follows whatever is
  /// said.
  mutating func readResponse(
    _ bytes: UnsafePointer<UInt8>, _ available: Int, limits: HeadLimits, toHead: Bool, into head: inout ResponseHead
  ) -> HeadProgress {
    let count = min(available, limits.bytes)
    guard let end = lineEnd(bytes, 0, count) else { return unfinished(count, limits) }
    head = ResponseHead()
    if let fault = fault(ofLine: bytes, 0, end) { return .refused(fault) }
    let line = end - 1
    // A minor version that is not known yet is read as the highest that is (RFC 9112 section 2.3).
    guard line >= 12, equalBytes(bytes, StaticBytes("HTTP/1.").start, 7), bytes[7] &- 0x30 < 10,
      bytes[8] == 0x20, line == 12 || bytes[12] == 0x20
    else { return .refused(.badStatusLine) }
    var status: UInt16 = 0
    for index in 9..<12 {
      let digit = bytes[index] &- 0x30
      if digit > 9 { return .refused(.badStatusLine) }
      status = status * 10 + UInt16(digit)
    }
    if status < 100 || status > 599 { return .refused(.badStatusLine) }
    if line > 13 {
      if holdsControlByte(bytes + 13, line - 13) { return .refused(.badStatusLine) }
      head.reason = HeadRange(13, line - 13)
    }
    head.status = status
    switch readFields(bytes, end + 1, count, limits, isRequest: false) {
    case .incomplete: return unfinished(count, limits)
    case .refused(let fault): return .refused(fault)
    case .complete: break
    }
    head.count = fieldsEnd
    if let fault = judgeResponse(bytes, isVersion10: bytes[7] == 0x30, toHead: toHead, &head) { return .refused(fault) }
    return .complete
  }

  private mutating func judgeResponse(
    _ bytes: UnsafePointer<UInt8>, isVersion10: Bool, toHead: Bool, _ head: inout ResponseHead
  ) -> HeadFault? {
    head.keepAlive = !facts.close && (!isVersion10 || facts.keepAlive)
    if facts.connectionTokens > Limits.connectionTokensMax { return .badConnection }
    if facts.namesOthers { dropNamedFields(bytes) }
    if facts.codings > 0 {
      if isVersion10 { return .codingInOldVersion }
      if facts.hasContentLength { return .lengthAndChunked }
      if facts.codings > 1 || !facts.isChunked { return .badTransferEncoding }
    }
    if head.status < 200 || head.status == 204 || head.status == 304 || toHead {
      head.framing = .none
    } else if facts.codings > 0 {
      head.framing = .chunked
    } else if facts.hasContentLength {
      head.framing = .length(facts.contentLength)
    } else {
      head.framing = .untilClose
      head.keepAlive = false
    }
    return nil
  }

  /// The Content-Length that was given, for answers to HEAD and for 304, which carry it without a body.
  var givenContentLength: UInt64? { facts.hasContentLength ? facts.contentLength : nil }

  // MARK: Lines

  /// Where the head ended, after `readFields` said complete.
  private var fieldsEnd = 0

  /// The index of the next LF, or nil.
  @inline(__always)
  private func lineEnd(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
    guard start < count, let found = memchr(bytes + start, 0x0a, count - start) else { return nil }
    return UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - bytes
  }

  /// A line must end with CRLF. What else may not stand in it is found where it is read.
  private func fault(ofLine bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> HeadFault? {
    if end == start || bytes[end - 1] != 0x0d { return .bareLineFeed }
    return nil
  }

  /// What cannot become a request line, such as the beginning of a TLS handshake: whoever speaks something else waits
  /// for an answer and sends no end of a line.
  private func fault(ofBeginning bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> HeadFault? {
    if start == count || start == 0 && count == 1 && bytes[0] == 0x0d { return nil }
    if !classes.has(bytes[start], .token) { return .badMethod }
    guard let place = controlByte(bytes, start, count) else { return nil }
    var spaces = 0
    for index in start..<place where bytes[index] == 0x20 { spaces += 1 }
    return spaces == 0 ? .badMethod : spaces == 1 ? .badTarget : .badVersion
  }

  /// What cannot become a field.
  private func fault(ofField bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> HeadFault? {
    guard let place = controlByte(bytes, start, count) else { return nil }
    if bytes[start] == 0x20 || bytes[start] == 0x09 { return .folded }
    return memchr(bytes + start, 0x3a, place - start) == nil ? .badFieldName : .badFieldValue
  }

  /// Where a line that has not ended holds a control byte that no line may hold. A CR may be the first half of its end.
  private func controlByte(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
    for index in start..<count where bytes[index] < 0x20 && bytes[index] != 0x09 || bytes[index] == 0x7f {
      return bytes[index] == 0x0d && index == count - 1 ? nil : index
    }
    return nil
  }

  /// An incomplete head is refused as soon as it cannot become a permitted one.
  private func unfinished(_ count: Int, _ limits: HeadLimits) -> HeadProgress {
    count >= limits.bytes ? .refused(.tooLarge) : .incomplete
  }

  private mutating func readFields(
    _ bytes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ limits: HeadLimits, isRequest: Bool
  ) -> HeadProgress {
    table.removeAll()
    facts = FieldFacts()
    var start = first
    while true {
      // Most lines hold no control byte before the two that end them, which one look through the line shows.
      var end = start &+ Int(edge_control_byte(bytes + start, count &- start))
      let isClean = end &+ 1 < count && bytes[end] == 0x0d && bytes[end &+ 1] == 0x0a
      if !isClean {
        guard let feed = lineEnd(bytes, start, count) else { break }
        if feed == start || bytes[feed - 1] != 0x0d { return .refused(.bareLineFeed) }
        end = feed - 1
      }
      if end == start {
        fieldsEnd = end &+ 2
        return .complete
      }
      if table.count == limits.fields { return .refused(.tooManyFields) }
      if let fault = readField(bytes, start, end, isClean, isRequest: isRequest) { return .refused(fault) }
      start = end &+ 2
    }
    if let fault = fault(ofField: bytes, start, count) { return .refused(fault) }
    return .incomplete
  }

  /// A space or a tab. Nearly all bytes are above both.
  @inline(__always)
  private func isBlank(_ byte: UInt8) -> Bool { byte <= 0x20 && (byte == 0x20 || byte == 0x09) }

  @inline(__always)
  private mutating func readField(
    _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ isClean: Bool, isRequest: Bool
  ) -> HeadFault? {
    if bytes[start] == 0x20 || bytes[start] == 0x09 { return .folded }
    var hasUnderscore = false
    var index = start &+ Int(edge_plain_name(bytes + start, end &- start))
    while index < end, bytes[index] != 0x3a, classes.has(bytes[index], .token) {
      if bytes[index] == 0x5f { hasUnderscore = true }
      index &+= 1
    }
    if index == start || index == end || bytes[index] != 0x3a { return .badFieldName }
    let nameCount = index &- start
    var valueStart = index &+ 1
    var valueEnd = end
    while valueStart < valueEnd, isBlank(bytes[valueStart]) { valueStart &+= 1 }
    while valueEnd > valueStart, isBlank(bytes[valueEnd &- 1]) { valueEnd &-= 1 }
    let value = bytes + valueStart
    let valueCount = valueEnd &- valueStart
    if !isClean, holdsControlByte(value, valueCount) { return .badFieldValue }
    let found = known.find(bytes + start, nameCount)
    // Names with an underscore are read as names with a dash by many an application: a second spelling of a
    // protected field. They do not pass.
    let isDropped = isRequest && (hasUnderscore || found.treatment.contains(.dropped))
    table.append(
      HeaderField(
        name: HeadRange(start, nameCount), value: HeadRange(valueStart, valueCount), known: found.header,
        treatment: found.treatment, isDropped: isDropped))
    if found.header == .other { return nil }
    return note(found.header, value, valueCount, valueStart, isRequest: isRequest)
  }

  // MARK: Fields that Edge reads

  private mutating func note(
    _ header: KnownHeader, _ value: UnsafePointer<UInt8>, _ count: Int, _ start: Int, isRequest: Bool
  ) -> HeadFault? {
    switch header {
    case .host:
      facts.hostCount += 1
      facts.host = HeadRange(start, count)
    case .contentLength:
      if facts.hasContentLength { return .contentLengthTwice }
      guard let length = HTTP1Parser.decimal(value, count) else { return .badContentLength }
      facts.contentLength = length
      facts.hasContentLength = true
    case .transferEncoding:
      facts.codings += 1
      facts.isChunked = equalLowered(value, count, "chunked")
      if !facts.isChunked, count == 0 || holdsChunked(value, count) { return .badTransferEncoding }
    case .connection:
      return noteConnection(value, count)
    case .upgrade:
      // Other protocols are not spoken here: their offer is ignored (RFC 9110 section 7.8).
      forEachListElement(value, count) { element, length in
        if equalLowered(element, length, "websocket") { facts.hasUpgrade = true }
      }
    case .expect where isRequest:
      guard equalLowered(value, count, "100-continue") else { return .badExpectation }
      facts.expectsContinue = true
    case .maxForwards:
      // Only OPTIONS and TRACE are counted (RFC 9110 section 7.6.2), so only there it can be wrong.
      let hops = HTTP1Parser.decimal(value, count)
      facts.hasBadMaxForwards = facts.hasBadMaxForwards || facts.maxForwards != nil || hops == nil
      facts.maxForwards = hops
    default:
      break
    }
    return nil
  }

  /// Whether a list of codings names chunked more than once or not last, which is malformed rather than unknown.
  private func holdsChunked(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var found = 0
    var last = false
    forEachListElement(value, count) { element, length in
      last = equalLowered(element, length, "chunked")
      if last { found += 1 }
    }
    return found > 1 || found == 1 && !last
  }

  /// 1*DIGIT that fits in 18 digits; nothing else (RFC 9110 section 8.6).
  static func decimal(_ value: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
    if count == 0 || count > 18 { return nil }
    var result: UInt64 = 0
    for index in 0..<count {
      let digit = value[index] &- 0x30
      if digit > 9 { return nil }
      result = result &* 10 &+ UInt64(digit)
    }
    return result
  }

  private mutating func noteConnection(_ value: UnsafePointer<UInt8>, _ count: Int) -> HeadFault? {
    if equalLowered(value, count, "keep-alive") {
      facts.keepAlive = true
      facts.connectionTokens += 1
      return nil
    }
    var malformed = false
    forEachListElement(value, count) { element, length in
      facts.connectionTokens += 1
      if equalLowered(element, length, "close") {
        facts.close = true
      } else if equalLowered(element, length, "keep-alive") {
        facts.keepAlive = true
      } else {
        if equalLowered(element, length, "upgrade") { facts.namesUpgrade = true }
        for index in 0..<length where !classes.has(element[index], .token) { malformed = true }
        facts.namesOthers = true
      }
    }
    return malformed ? .badConnection : nil
  }

  /// Drops the fields that Connection fields name, but for those whose loss would change the request's meaning.
  private func dropNamedFields(_ bytes: UnsafePointer<UInt8>) {
    for index in 0..<table.count where table.fields[index].known == .connection {
      let value = table.fields[index].value
      forEachListElement(bytes + Int(value.start), Int(value.count)) { element, length in
        for other in 0..<table.count {
          let field = table.fields + other
          if Int(field.pointee.name.count) != length || field.pointee.treatment.contains(.protected) { continue }
          if equalFolded(bytes + Int(field.pointee.name.start), element, length) { field.pointee.isDropped = true }
        }
      }
    }
  }
}

/// The non-empty elements of a comma-separated list, white space around them removed (RFC 9110 section 5.6.1).
@inline(__always)
func forEachListElement(
  _ value: UnsafePointer<UInt8>, _ count: Int, _ body: (UnsafePointer<UInt8>, Int) -> Void
) {
  var start = 0
  while start <= count {
    var end = start
    while end < count, value[end] != 0x2c { end += 1 }
    var first = start
    var last = end
    while first < last, value[first] == 0x20 || value[first] == 0x09 { first += 1 }
    while last > first, value[last - 1] == 0x20 || value[last - 1] == 0x09 { last -= 1 }
    if last > first { body(value + first, last - first) }
    start = end + 1
  }
}
