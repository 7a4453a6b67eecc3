import Testing

@testable import Edge

/// The outcome of reading a head, with everything it says as text.
enum HeadOutcome: Equatable {
  case incomplete
  case fault(HeadFault)
  case request(RequestFacts)
  case response(ResponseFacts)
}

/// A request head as a test states it; what is not stated is the usual.
struct RequestFacts: Equatable {
  var method = "GET"
  var target = "/"
  var host = "h"
  var isVersion10 = false
  var framing = BodyFraming.none
  var keepAlive = true
  var expectsContinue = false
  var asksUpgrade = false
  /// Names of the fields that are not passed on because Connection named them or for what they are.
  var dropped: [String] = []
}

/// A response head as a test states it.
struct ResponseFacts: Equatable {
  var status: UInt16 = 200
  var reason = "OK"
  var framing = BodyFraming.untilClose
  var keepAlive = true
  var dropped: [String] = []
}

/// A parser with its memory; every read is from a copy of exactly the bytes given.
final class ParserBench {
  private let arena = Arena()
  private var parser: HTTP1Parser
  let classes: ByteClasses
  var limits = HeadLimits()
  var toHead = false
  /// The bytes of the last complete head.
  private(set) var headCount = 0

  init() {
    parser = HTTP1Parser(arena: arena)
    classes = parser.classes
  }

  var givenContentLength: UInt64? { parser.givenContentLength }

  /// Fields of the last head as name and value.
  private(set) var fields: [(name: String, value: String, known: KnownHeader)] = []

  func request(_ bytes: [UInt8]) -> HeadOutcome {
    let area = ByteArea(bytes)
    var head = RequestHead()
    switch parser.readRequest(area.base, area.count, limits: limits, into: &head) {
    case .incomplete: return .incomplete
    case .refused(let fault): return .fault(fault)
    case .complete:
      note(area, head.count)
      return .request(
        RequestFacts(
          method: text(area, head.methodRange), target: text(area, head.target), host: text(area, head.host),
          isVersion10: head.isVersion10, framing: head.framing, keepAlive: head.keepAlive,
          expectsContinue: head.expectsContinue, asksUpgrade: head.asksUpgrade, dropped: dropped(area)))
    }
  }

  func response(_ bytes: [UInt8]) -> HeadOutcome {
    let area = ByteArea(bytes)
    var head = ResponseHead()
    switch parser.readResponse(area.base, area.count, limits: limits, toHead: toHead, into: &head) {
    case .incomplete: return .incomplete
    case .refused(let fault): return .fault(fault)
    case .complete:
      note(area, head.count)
      return .response(
        ResponseFacts(
          status: head.status, reason: text(area, head.reason), framing: head.framing, keepAlive: head.keepAlive,
          dropped: dropped(area)))
    }
  }

  /// What a connection would see: the bytes grow by pieces, and the parser is asked after each until it has decided.
  func growing(_ pieces: [[UInt8]], _ read: ([UInt8]) -> HeadOutcome) -> HeadOutcome {
    var bytes: [UInt8] = []
    for piece in pieces {
      bytes += piece
      let outcome = read(bytes)
      if outcome != .incomplete { return outcome }
    }
    return .incomplete
  }

  /// Calls `body` with a complete request head and what the parser found in it.
  func withRequest(_ bytes: [UInt8], _ body: (RequestHead, ReceivedHead) throws -> Void) rethrows -> Bool {
    let area = ByteArea(bytes)
    var head = RequestHead()
    guard case .complete = parser.readRequest(area.base, area.count, limits: limits, into: &head) else { return false }
    try body(head, ReceivedHead(bytes: area.base, table: parser.table))
    return true
  }

  /// Calls `body` with a complete response head and what the parser found in it.
  func withResponse(_ bytes: [UInt8], _ body: (ResponseHead, ReceivedHead) throws -> Void) rethrows -> Bool {
    let area = ByteArea(bytes)
    var head = ResponseHead()
    guard case .complete = parser.readResponse(area.base, area.count, limits: limits, toHead: toHead, into: &head)
    else { return false }
    try body(head, ReceivedHead(bytes: area.base, table: parser.table))
    return true
  }

  private func note(_ area: ByteArea, _ count: Int) {
    headCount = count
    fields = (0..<parser.table.count).map { index in
      let field = parser.table.fields[index]
      return (text(area, field.name), text(area, field.value), field.known)
    }
  }

  private func dropped(_ area: ByteArea) -> [String] {
    (0..<parser.table.count).filter { parser.table.fields[$0].isDropped }.map {
      text(area, parser.table.fields[$0].name)
    }
  }

  private func text(_ area: ByteArea, _ range: HeadRange) -> String { latin(area.slice(Int(range.start)..<range.end)) }
}

/// One head and what must come of it.
struct HeadVector: Sendable, CustomTestStringConvertible {
  let text: String
  let outcome: HeadOutcome
  var limits = HeadLimits()
  var toHead = false

  var testDescription: String { text.debugDescription }

  static func bad(_ text: String, _ fault: HeadFault) -> HeadVector { HeadVector(text: text, outcome: .fault(fault)) }

  /// A refused request that is a good one but for these lines.
  static func badField(_ lines: String, _ fault: HeadFault) -> HeadVector {
    bad("GET / HTTP/1.1\r\nHost: h\r\n\(lines)\r\n\r\n", fault)
  }
}
