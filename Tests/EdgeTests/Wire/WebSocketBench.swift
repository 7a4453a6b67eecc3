@testable import Edge

/// What a WebSocket's bytes say, as a test states it.
enum SocketEvent: Equatable, Sendable {
  /// A whole message; text where `isText`.
  case message([UInt8], isText: Bool)
  case ping([UInt8])
  case pong([UInt8])
  case close(UInt16?, [UInt8])
  case fault(UInt16)

  static func text(_ bytes: [UInt8]) -> SocketEvent { .message(bytes, isText: true) }
  static func text(_ text: String) -> SocketEvent { .text(Array(text.utf8)) }
  static func binary(_ bytes: [UInt8]) -> SocketEvent { .message(bytes, isText: false) }

  /// Nothing is read behind it.
  var isEnd: Bool {
    switch self {
    case .close, .fault: true
    default: false
    }
  }
}

/// What reading brought.
struct SocketOutcome: Equatable {
  var events: [SocketEvent] = []
  /// Content of a message that is not whole; nothing behind an end.
  var open: [UInt8] = []
  var isInMessage = false
}

/// Reads pieces, each from a copy of exactly its bytes, and watches what a caller relies on.
struct WebSocketBench {
  var reader: WebSocketReader
  private(set) var outcome = SocketOutcome()
  /// Promises that were broken.
  private(set) var complaints: [String] = []
  /// Bytes taken in when the reader told of its end.
  private(set) var endedAt: Int?
  private var given = 0

  init(fromClient: Bool, max: Int) { reader = WebSocketReader(expectsMask: fromClient, messageBytesMax: max) }

  /// The outcome of all pieces.
  static func read(
    _ pieces: [[UInt8]], fromClient: Bool, max: Int = 1 << 20
  ) -> (outcome: SocketOutcome, complaints: [String]) {
    var bench = WebSocketBench(fromClient: fromClient, max: max)
    for piece in pieces { bench.read(piece) }
    return (bench.outcome, bench.complaints)
  }

  mutating func read(_ piece: [UInt8]) {
    let area = ByteArea(piece)
    var done = 0
    while true {
      let step = reader.next(area.base + done, area.count - done)
      if step.consumed < 0 || step.consumed > area.count - done { return complain("\(step)") }
      note(step, area, done)
      done += step.consumed
      // Not before it is read is anything changed.
      if area.slice(done..<area.count) != Array(piece[done...]) { return complain("changed what is not consumed") }
      if step.kind == .partial {
        if done != area.count { complain("partial at \(done) of \(area.count)") }
        break
      }
      if step.consumed == 0, step.kind != .data { return complain("\(step.kind) of nothing") }
    }
    given += piece.count
    if endedAt != nil { outcome.open = [] }
    outcome.isInMessage = endedAt == nil && reader.isInMessage
    if reader.isEnded != (endedAt != nil) { complain("isEnded \(reader.isEnded)") }
  }

  private mutating func note(_ step: WebSocketStep, _ area: ByteArea, _ done: Int) {
    if endedAt != nil, step.kind != .partial { complain("\(step.kind) behind the end") }
    if (step.code != nil) != (step.kind == .fault), step.kind != .close { complain("code in \(step)") }
    switch step.kind {
    case .partial: break
    case .data:
      if step.start + step.count > step.consumed { complain("content behind what is consumed") }
      outcome.open += area.slice(done + step.start..<done + step.start + step.count)
      if reader.isInMessage == step.isLast { complain("isInMessage \(reader.isInMessage)") }
      if !step.isLast { return }
      outcome.events.append(.message(outcome.open, isText: step.isText))
      outcome.open = []
    case .ping: outcome.events.append(.ping(control()))
    case .pong: outcome.events.append(.pong(control()))
    case .close: outcome.events.append(.close(step.code?.rawValue, control()))
    case .fault: outcome.events.append(.fault(step.code?.rawValue ?? 0))
    }
    if step.kind == .close || step.kind == .fault { endedAt = given + done + step.consumed }
  }

  private func control() -> [UInt8] {
    var bytes: [UInt8] = []
    reader.withControl { bytes = Array($0) }
    return bytes
  }

  private mutating func complain(_ text: String) { complaints.append(text) }
}

/// A frame written with whatever liberties a peer may take.
struct SocketFrame: Sendable {
  /// How the length is written.
  enum Form: Sendable { case shortest, medium, wide }

  var opcode: UInt8 = 1
  var isFinal = true
  var reserved: UInt8 = 0
  var payload: [UInt8] = []
  var form = Form.shortest
  /// What is announced, if not what comes.
  var length: UInt64?

  /// The bytes on the wire; with a mask as a client's.
  func bytes(mask: [UInt8]?) -> [UInt8] {
    let length = self.length ?? UInt64(payload.count)
    let high: UInt8 = mask == nil ? 0 : 0x80
    var bytes = [opcode | (isFinal ? 0x80 : 0) | reserved << 4]
    if form == .shortest, length < 126 {
      bytes.append(high | UInt8(length))
    } else if form == .medium || form == .shortest && length < 65_536 {
      bytes += [high | 126, UInt8(length >> 8 & 255), UInt8(length & 255)]
    } else {
      bytes.append(high | 127)
      for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(length >> UInt64(shift) & 255)) }
    }
    guard let mask else { return bytes + payload }
    return bytes + mask + payload.enumerated().map { $0.element ^ mask[$0.offset % 4] }
  }

  static func text(_ text: String, isFinal: Bool = true) -> SocketFrame {
    SocketFrame(isFinal: isFinal, payload: Array(text.utf8))
  }
  static func more(_ text: String, isFinal: Bool = false) -> SocketFrame {
    SocketFrame(opcode: 0, isFinal: isFinal, payload: Array(text.utf8))
  }
  static func ping(_ text: String = "") -> SocketFrame { SocketFrame(opcode: 9, payload: Array(text.utf8)) }
  static func close(_ code: UInt16, _ reason: [UInt8] = []) -> SocketFrame {
    SocketFrame(opcode: 8, payload: [UInt8(code >> 8), UInt8(code & 255)] + reason)
  }
}

/// Reads frames as the RFC's text says it, byte for byte and at leisure; it shares nothing with the code under test.
struct ReferenceReader {
  let fromClient: Bool
  let max: Int
  var bytes: ArraySlice<UInt8>
  private var outcome = SocketOutcome()
  private var kind: UInt8?
  private var message: [UInt8] = []
  private var announced = 0

  static func read(_ bytes: [UInt8], fromClient: Bool, max: Int = 1 << 20) -> SocketOutcome {
    var reader = ReferenceReader(fromClient: fromClient, max: max, bytes: bytes[...])
    reading: while true {
      switch reader.frame() {
      case .cut: break reading
      case .quiet: continue
      case .event(let event):
        reader.outcome.events.append(event)
        if event.isEnd { return SocketOutcome(events: reader.outcome.events) }
      }
    }
    reader.outcome.open = reader.message
    reader.outcome.isInMessage = reader.kind != nil
    return reader.outcome
  }

  private init(fromClient: Bool, max: Int, bytes: ArraySlice<UInt8>) {
    self.fromClient = fromClient
    self.max = max
    self.bytes = bytes
  }

  /// What a frame says.
  private enum Found {
    case event(SocketEvent)
    /// Nothing by itself.
    case quiet
    /// The bytes end in it.
    case cut

    static func fault(_ code: UInt16) -> Found { .event(.fault(code)) }
  }

  private mutating func frame() -> Found {
    guard let first = bytes.popFirst() else { return .cut }
    let opcode = first & 15
    let isControl = opcode >= 8
    if first & 0x70 != 0 || ![0, 1, 2, 8, 9, 10].contains(opcode) { return .fault(1002) }
    if isControl && first < 128 || !isControl && (opcode == 0) != (kind != nil) { return .fault(1002) }
    if opcode == 1 || opcode == 2 { (kind, message, announced) = (opcode, [], 0) }
    guard let second = bytes.popFirst() else { return .cut }
    if (second >= 128) != fromClient || isControl && second & 127 > 125 { return .fault(1002) }
    var length = Int(second & 127)
    if length > 125 {
      let width = length == 126 ? 2 : 8
      if width == 8, let high = bytes.first, high > 127 { return .fault(1002) }
      if bytes.count < width { return .cut }
      length = bytes.prefix(width).reduce(0) { $0 << 8 | Int($1) }
      bytes.removeFirst(width)
      if length < (width == 2 ? 126 : 65_536) { return .fault(1002) }
    }
    if !isControl {
      if length > max - announced { return .fault(1009) }
      announced += length
    }
    var mask: [UInt8] = [0, 0, 0, 0]
    if fromClient {
      if bytes.count < 4 { return .cut }
      mask = Array(bytes.prefix(4))
      bytes.removeFirst(4)
    }
    let payload = bytes.prefix(length).enumerated().map { $0.element ^ mask[$0.offset % 4] }
    bytes = bytes.dropFirst(payload.count)
    return isControl
      ? control(opcode, payload, payload.count == length) : content(payload, payload.count == length, first >= 128)
  }

  private mutating func content(_ payload: [UInt8], _ isWhole: Bool, _ isFinal: Bool) -> Found {
    let isText = kind == 1
    message += payload
    if isText, !isTextBeginning(message) { return .fault(1007) }
    if !isWhole { return .cut }
    if !isFinal { return .quiet }
    if isText, !isText8(message) { return .fault(1007) }
    defer { (kind, message) = (nil, []) }
    return .event(.message(message, isText: isText))
  }

  private func control(_ opcode: UInt8, _ payload: [UInt8], _ isWhole: Bool) -> Found {
    if !isWhole { return .cut }
    if opcode == 9 { return .event(.ping(payload)) }
    if opcode == 10 { return .event(.pong(payload)) }
    if payload.isEmpty { return .event(.close(nil, [])) }
    if payload.count == 1 { return .fault(1002) }
    let code = UInt16(payload[0]) * 256 + UInt16(payload[1])
    let isKnown = code >= 1000 && code <= 1014 && ![1004, 1005, 1006].contains(code)
    if !isKnown && !(code >= 3000 && code < 5000) { return .fault(1002) }
    let reason = Array(payload.dropFirst(2))
    return isText8(reason) ? .event(.close(code, reason)) : .fault(1007)
  }
}

/// Whether bytes are UTF-8, as the standard library has it.
func isText8(_ bytes: [UInt8]) -> Bool { String(validating: bytes, as: UTF8.self) != nil }

/// Whether some text begins with these bytes: as they are, or with a last character that is completed.
func isTextBeginning(_ bytes: [UInt8]) -> Bool {
  if isText8(bytes) { return true }
  let ends: [UInt8] = [0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf]
  // Everything in front of the last three bytes is the same in all tries.
  let tail = Array(bytes.suffix(from: Swift.max(0, (bytes.lastIndex { $0 & 0xc0 != 0x80 } ?? 0))))
  if !isText8(Array(bytes.dropLast(tail.count))) || tail.count > 3 { return false }
  for end in ends {
    for rest in 0..<3 where isText8(tail + [end] + [UInt8](repeating: 0x80, count: rest)) { return true }
    for rest in 0..<3 where isText8(tail + [UInt8](repeating: end, count: rest + 1)) { return true }
  }
  return false
}
