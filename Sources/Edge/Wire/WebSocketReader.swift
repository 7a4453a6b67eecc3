// Reads WebSocket frames (RFC 6455) of either side, strictly and piece by piece. Bytes may be cut anywhere: what is
// wrong is told at the byte that shows it, so the cuts change nothing but the pieces in which content comes. The reader
// owns no bytes but those of a control frame; content is unmasked where it lies and kept by the caller.
//
//   first ─▶ second ─▶ length ─▶ mask ─▶ payload ─▶ first …
//                 └────────────────┴───────▲  (short lengths, and no mask from servers)
//   close and every fault ─▶ ended: what follows is taken in and says nothing
//
// Never: answers. Whoever calls sends the pong, the close and the end.

/// Why a WebSocket ends (RFC 6455 section 7.4; 4000 and above are Edge's own).
struct CloseCode: RawRepresentable, BitwiseCopyable, Equatable, Sendable {
  let rawValue: UInt16

  init(rawValue: UInt16) { self.rawValue = rawValue }

  static let normal = CloseCode(rawValue: 1000)
  static let goingAway = CloseCode(rawValue: 1001)
  static let protocolError = CloseCode(rawValue: 1002)
  static let unsupported = CloseCode(rawValue: 1003)
  static let badText = CloseCode(rawValue: 1007)
  static let policyViolation = CloseCode(rawValue: 1008)
  static let tooLarge = CloseCode(rawValue: 1009)
  static let internalError = CloseCode(rawValue: 1011)
  static let restart = CloseCode(rawValue: 1012)
  static let tryLater = CloseCode(rawValue: 1013)
  static let sessionExpired = CloseCode(rawValue: 4401)

  /// A close frame may carry it (RFC 6455 section 7.4.2 and the registry): 1004 is reserved, 1005, 1006 and 1015 name
  /// what happens without a close frame, and what nobody has given a meaning is not sent.
  var isSendable: Bool {
    switch rawValue {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }
}

/// What a close frame says.
enum CloseReading: BitwiseCopyable {
  /// nil: nothing.
  case said(CloseCode?)
  /// It says what none may.
  case fault(CloseCode)
}

extension CloseCode {
  /// Reads the payload of a close frame: nothing, or a code and a reason (RFC 6455 section 5.5.1).
  static func read(_ payload: UnsafePointer<UInt8>, _ count: Int) -> CloseReading {
    if count == 0 { return .said(nil) }
    if count == 1 { return .fault(.protocolError) }
    let code = CloseCode(rawValue: UInt16(payload[0]) << 8 | UInt16(payload[1]))
    if !code.isSendable { return .fault(.protocolError) }
    var reason = WebSocketText()
    return reason.take(payload + 2, count - 2) && reason.isWhole ? .said(code) : .fault(.badText)
  }
}

/// What a piece of a WebSocket's bytes says.
struct WebSocketStep: BitwiseCopyable {
  enum Kind: UInt8 {
    /// All that was given is taken in, and says nothing yet.
    case partial
    /// A piece of a message's content, perhaps empty.
    case data
    case ping, pong, close
    /// The peer has broken the rules: the connection is closed with `code`. Comes once.
    case fault
  }

  var kind = Kind.partial
  /// Bytes of what was given that are taken in; what follows is given again.
  var consumed = 0
  /// `data`: where in what was given the content stands, unmasked.
  var start = 0
  var count = 0
  /// `data`: the message is whole with it. It is text, not binary.
  var isLast = false
  var isText = false
  /// `close`: what the peer says, nil when it says nothing. `fault`: what it is told.
  var code: CloseCode?
}

/// How far the bytes of one side of a WebSocket have been read.
struct WebSocketReader: BitwiseCopyable {
  private enum Stage: UInt8 {
    case first, second, length, mask, payload, ended
  }

  /// A longer message is a fault. May be changed between messages.
  var messageBytesMax: Int
  /// Bytes that the frames of the current message have announced.
  private var messageBytes = 0
  /// Payload of the current frame that has not come; while its length is read, what is known of it.
  private var remaining: UInt64 = 0
  private var mask = WebSocketMask(key: 0)
  private var maskKey: UInt32 = 0
  private var stage = Stage.first
  private var opcode = WebSocketOpcode.continuation
  /// Bytes that the length or the mask still lacks.
  private var missing: UInt8 = 0
  private var lengthIsWide = false
  private var isFinal = false
  private var isText = false
  private let expectsMask: Bool
  private var text = WebSocketText()
  private var controlCount: UInt8 = 0
  private var control: InlineArray<125, UInt8> = .init(repeating: 0)

  /// A message has begun and is not whole yet.
  private(set) var isInMessage = false

  /// `expectsMask`: the peer is a client. `messageBytesMax`: a longer message is a fault with 1009.
  init(expectsMask: Bool, messageBytesMax: Int) {
    self.expectsMask = expectsMask
    self.messageBytesMax = messageBytesMax
  }

  /// A close or a fault was told: nothing that still comes counts.
  var isEnded: Bool { stage == .ended }

  /// Takes in bytes up to the next thing they say, and unmasks content in place. Called again with what was not
  /// consumed, even if that is nothing, until it says `partial`.
  mutating func next(_ bytes: BytePointer, _ count: Int) -> WebSocketStep {
    var index = 0
    while stage != .payload {
      if stage == .ended || index == count { return WebSocketStep(consumed: count) }
      if let code = readHead(bytes[index]) { return fault(code, count) }
      index &+= 1
    }
    let taken = Int(min(UInt64(count &- index), remaining))
    if taken == 0, remaining > 0 { return WebSocketStep(consumed: count) }
    if expectsMask { mask.apply(bytes + index, taken) }
    remaining &-= UInt64(taken)
    if opcode.isControl { return readControl(bytes, index, taken, count) }
    return readContent(bytes, index, taken, count)
  }

  /// The payload of the control frame that `next` has just told of: of a ping to be sent back, of a close its reason.
  func withControl(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    // The first two bytes of a close are its code.
    let skipped = opcode == .close ? min(2, Int(controlCount)) : 0
    control.span.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[skipped..<Int(controlCount)])) }
  }

  private mutating func fault(_ code: CloseCode, _ count: Int) -> WebSocketStep {
    stage = .ended
    return WebSocketStep(kind: .fault, consumed: count, code: code)
  }

  // MARK: Heads

  /// One byte of a frame's head; what is wrong with it, or nil.
  @inline(__always)
  private mutating func readHead(_ byte: UInt8) -> CloseCode? {
    switch stage {
    case .first: return readFirst(byte)
    case .second: return readSecond(byte)
    case .length:
      // The highest bit of the wide form must be 0.
      if missing == 8, byte & 0x80 != 0 { return .protocolError }
      remaining = remaining << 8 | UInt64(byte)
      missing &-= 1
      if missing > 0 { return nil }
      if remaining < (lengthIsWide ? 0x1_0000 : 126) { return .protocolError }
      return beginPayload()
    case .mask:
      maskKey = maskKey >> 8 | UInt32(byte) << 24
      missing &-= 1
      if missing == 0 {
        mask = WebSocketMask(key: maskKey)
        stage = .payload
      }
    case .payload, .ended: break
    }
    return nil
  }

  private mutating func readFirst(_ byte: UInt8) -> CloseCode? {
    // No extension is ever agreed on, so the three bits of extensions are 0.
    guard byte & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: byte & 0x0f) else { return .protocolError }
    self.opcode = opcode
    isFinal = byte & 0x80 != 0
    switch opcode {
    case .continuation:
      if !isInMessage { return .protocolError }
    case .text, .binary:
      if isInMessage { return .protocolError }
      isInMessage = true
      isText = opcode == .text
      messageBytes = 0
    case .close, .ping, .pong:
      if !isFinal { return .protocolError }
    }
    stage = .second
    return nil
  }

  private mutating func readSecond(_ byte: UInt8) -> CloseCode? {
    if (byte & 0x80 != 0) != expectsMask { return .protocolError }
    let length = byte & 0x7f
    if length < 126 {
      remaining = UInt64(length)
      return beginPayload()
    }
    if opcode.isControl { return .protocolError }
    lengthIsWide = length == 127
    missing = lengthIsWide ? 8 : 2
    remaining = 0
    stage = .length
    return nil
  }

  /// The length is known: whether the message may become so long is decided before any of it comes.
  private mutating func beginPayload() -> CloseCode? {
    if opcode.isControl {
      controlCount = 0
    } else {
      if remaining > UInt64(max(0, messageBytesMax &- messageBytes)) { return .tooLarge }
      messageBytes &+= Int(remaining)
    }
    stage = expectsMask ? .mask : .payload
    missing = 4
    return nil
  }

  // MARK: Payloads

  private mutating func readContent(_ bytes: BytePointer, _ index: Int, _ taken: Int, _ count: Int) -> WebSocketStep {
    if isText, !text.take(bytes + index, taken) { return fault(.badText, count) }
    var step = WebSocketStep(kind: .data, consumed: index &+ taken, start: index, count: taken, isText: isText)
    if remaining > 0 { return step }
    stage = .first
    if !isFinal { return step }
    if isText, !text.isWhole { return fault(.badText, count) }
    isInMessage = false
    step.isLast = true
    return step
  }

  private mutating func readControl(_ bytes: BytePointer, _ index: Int, _ taken: Int, _ count: Int) -> WebSocketStep {
    for offset in 0..<taken { control[Int(controlCount) &+ offset] = bytes[index &+ offset] }
    controlCount &+= UInt8(truncatingIfNeeded: taken)
    if remaining > 0 { return WebSocketStep(consumed: count) }
    stage = .first
    let consumed = index &+ taken
    switch opcode {
    case .ping: return WebSocketStep(kind: .ping, consumed: consumed)
    case .pong: return WebSocketStep(kind: .pong, consumed: consumed)
    default: return readClose(consumed, count)
    }
  }

  /// A whole close frame: nothing, or a code and a reason (RFC 6455 section 5.5.1).
  private mutating func readClose(_ consumed: Int, _ count: Int) -> WebSocketStep {
    var step = WebSocketStep(kind: .close, consumed: consumed)
    let reading = control.span.withUnsafeBufferPointer { bytes in
      bytes.baseAddress.map { CloseCode.read($0, Int(controlCount)) } ?? .said(nil)
    }
    switch reading {
    case .fault(let code): return fault(code, count)
    case .said(let code): step.code = code
    }
    stage = .ended
    return step
  }
}
