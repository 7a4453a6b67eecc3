// Writes WebSocket frames (RFC 6455 section 5.2) of either side, lengths in their shortest form. A server's frames have
// no mask; a client gives each of its frames a new one.
//
// Called by: sessions and the dialect that speaks in messages. Like all writing, a frame that does not fit leaves the
// writer marked as overflowed; none is ever written in part.

import Glibc

/// What a frame is.
enum WebSocketOpcode: UInt8 {
  case continuation = 0
  case text = 1
  case binary = 2
  case close = 8
  case ping = 9
  case pong = 10

  /// Not a piece of a message: at most 125 bytes, in one frame, and it may stand between the frames of a message.
  var isControl: Bool { rawValue & 8 != 0 }
}

/// Sizes of frames.
enum WebSocketFrame {
  /// The longest head: two bytes, a wide length, a mask.
  static let headBytesMax = 14
  /// The longest payload of a control frame.
  static let controlBytesMax = 125

  /// Bytes of the head in front of so many bytes.
  static func headBytes(payload: Int, isMasked: Bool) -> Int {
    (payload < 126 ? 2 : payload < 0x1_0000 ? 4 : 10) + (isMasked ? 4 : 0)
  }

  /// Where the payload of a server's frame stands that was written here.
  static func payload(of frame: UnsafePointer<UInt8>) -> (offset: Int, count: Int) {
    let short = Int(frame[1])
    let width = short < 126 ? 0 : short == 126 ? 2 : 8
    let count = width == 0 ? short : (0..<width).reduce(0) { $0 << 8 | Int(frame[2 + $1]) }
    return (2 + width, count)
  }

  /// Writes a head; there is room for it.
  static func writeHead(
    _ opcode: WebSocketOpcode, isFinal: Bool, payload: Int, mask: WebSocketMask?, at place: BytePointer
  ) {
    place[0] = opcode.rawValue | (isFinal ? 0x80 : 0)
    let width = headBytes(payload: payload, isMasked: false) - 2
    place[1] = (width == 0 ? UInt8(payload) : width == 2 ? 126 : 127) | (mask == nil ? 0 : 0x80)
    for index in 0..<width { place[2 + index] = UInt8(truncatingIfNeeded: payload >> (8 * (width - 1 - index))) }
    guard let mask else { return }
    for index in 0..<4 { place[2 + width + index] = UInt8(truncatingIfNeeded: mask.key >> UInt32(8 * index)) }
  }
}

extension ByteWriter {
  /// The head of a frame of a server; its payload follows. With a mask it is a client's, and whoever writes the payload
  /// masks it.
  mutating func appendFrameHead(
    _ opcode: WebSocketOpcode, isFinal: Bool = true, payload: Int, mask: WebSocketMask? = nil
  ) {
    let place = end
    advance(WebSocketFrame.headBytes(payload: payload, isMasked: mask != nil))
    if overflowed { return }
    WebSocketFrame.writeHead(opcode, isFinal: isFinal, payload: payload, mask: mask, at: place)
  }

  /// Makes what was written since `start` the payload of one text frame of a server. False: there is no room, and what
  /// was written stands there without its frame. With a mask it is a client's frame.
  mutating func frameText(from start: Int, mask: WebSocketMask? = nil) -> Bool {
    frame(.text, from: start, mask: mask)
  }

  /// The same with any piece of a message.
  mutating func frame(
    _ opcode: WebSocketOpcode, isFinal: Bool = true, from start: Int, mask: WebSocketMask? = nil
  ) -> Bool {
    let payload = count - start
    assert(payload >= 0)
    let head = WebSocketFrame.headBytes(payload: payload, isMasked: mask != nil)
    advance(head)
    if overflowed { return false }
    let place = base + start
    memmove(place + head, place, payload)
    WebSocketFrame.writeHead(opcode, isFinal: isFinal, payload: payload, mask: mask, at: place)
    if var mask { mask.apply(place + head, payload) }
    return true
  }

  /// A whole control frame of a server, with at most 125 bytes. With a mask it is a client's.
  mutating func appendControl(
    _ opcode: WebSocketOpcode, _ payload: UnsafeBufferPointer<UInt8>, mask: WebSocketMask? = nil
  ) {
    assert(opcode.isControl && payload.count <= WebSocketFrame.controlBytesMax)
    let length = min(payload.count, WebSocketFrame.controlBytesMax)
    let place = end
    let head = WebSocketFrame.headBytes(payload: length, isMasked: mask != nil)
    advance(head + length)
    if overflowed { return }
    if let start = payload.baseAddress { memcpy(place + head, start, length) }
    WebSocketFrame.writeHead(opcode, isFinal: true, payload: length, mask: mask, at: place)
    if var mask { mask.apply(place + head, length) }
  }

  /// A whole close frame of a server, with at most 123 bytes of reason, in ASCII. Without a code there is no reason
  /// either. With a mask it is a client's.
  mutating func appendClose(_ code: CloseCode?, reason: StaticString = "", mask: WebSocketMask? = nil) {
    assert(code?.isSendable ?? true)
    let length = code == nil ? 0 : min(2 + reason.utf8CodeUnitCount, WebSocketFrame.controlBytesMax)
    let place = end
    let head = WebSocketFrame.headBytes(payload: length, isMasked: mask != nil)
    advance(head + length)
    if overflowed { return }
    WebSocketFrame.writeHead(.close, isFinal: true, payload: length, mask: mask, at: place)
    guard let code else { return }
    place[head] = UInt8(truncatingIfNeeded: code.rawValue >> 8)
    place[head + 1] = UInt8(truncatingIfNeeded: code.rawValue)
    memcpy(place + head + 2, reason.utf8Start, length - 2)
    if var mask { mask.apply(place + head, length) }
  }
}
