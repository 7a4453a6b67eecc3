// Hands frames of one side of a WebSocket on to the other (RFC 6455), strictly, where they lie: what comes from a
// client gets a fresh mask, what comes from a service has none. Called for all that has come, with what it left over
// last time in front of that.
//
// A frame that is no longer than `Limits.heldFrameBytes` goes on as it is, when it is whole; until then it is left
// over. Of a longer one, whatever has come goes on as a fragment. So no message is collected, small frames keep their
// borders, and what goes on always ends where a close frame may follow.
//
// Never: answers, or keeps bytes. What is wrong is told with what stood in front of it, which goes on.

import Glibc

/// What of some bytes goes on to the other side.
struct WebSocketPassage: BitwiseCopyable, Equatable {
  /// Where it begins, counted from the first byte that was given; below 0 when a head was written in front of that.
  var start = 0
  var end = 0
  /// What stands from here on is to be given again, in front of what follows it.
  var rest = 0
  /// It ends with a close frame, which says this code or none. What follows is nothing.
  var closes = false
  var code: CloseCode?
  /// The side has broken the rules, and what it is told. What follows is nothing.
  var fault: CloseCode?

  var count: Int { end - start }
}

/// How far the frames of one side have gone on.
struct WebSocketRewriter: BitwiseCopyable {
  /// The head of a frame that may come.
  private struct FrameHead: BitwiseCopyable {
    let opcode: WebSocketOpcode
    let isFinal: Bool
    let count: Int
    let payload: Int
    let mask: WebSocketMask
  }

  private enum HeadReading {
    case partial
    case fault(CloseCode)
    case whole(FrameHead)
  }

  /// A longer message is a fault. May be changed at any time, and acts on the next frame.
  var messageBytesMax: Int
  /// What the frames of the current message have announced.
  private var messageBytes = 0
  /// Of a long frame that goes on in fragments: what has not come, the mask for that, and whether it ends its message.
  private var remaining = 0
  private var mask = WebSocketMask(key: 0)
  private var isFinal = false
  private var isInMessage = false
  private var isText = false
  /// The side is a client.
  private let isMasked: Bool
  private var text = WebSocketText()
  /// The second in which control frames were counted last, and how many.
  private var controlSecond: UInt32 = 0
  private var controlFrames: Int32 = 0

  /// `isMasked`: the side is a client. `messageBytesMax`: a longer message is a fault with 1009.
  init(isMasked: Bool, messageBytesMax: Int = .max) {
    self.isMasked = isMasked
    self.messageBytesMax = messageBytesMax
  }

  /// Takes all there is. In front of `bytes` there is room for a head. `second` is any second that goes on, for control
  /// frames are counted by it.
  mutating func rewrite(
    _ bytes: BytePointer, _ count: Int, second: UInt32, _ masks: inout RandomBytes
  ) -> WebSocketPassage {
    var passage = WebSocketPassage()
    if remaining > 0, count > 0 { goOn(bytes, count, &masks, &passage) }
    while passage.fault == nil, !passage.closes {
      let place = passage.end
      let head: FrameHead
      switch readHead(bytes + place, count - place) {
      case .partial:
        passage.rest = place
        return passage
      case .fault(let code):
        passage.fault = code
        return passage
      case .whole(let found): head = found
      }
      let available = count - place - head.count
      if head.payload <= available {
        if head.opcode.isControl {
          passControl(head, bytes + place, second, &masks, &passage)
        } else {
          passData(head, bytes + place, &masks, &passage)
        }
      } else if available == 0 || head.count + head.payload <= Limits.heldFrameBytes {
        passage.rest = place
        return passage
      } else {
        begin(head, bytes + place, available, &masks, &passage)
        passage.rest = count
        return passage
      }
    }
    return passage
  }

  // MARK: Heads

  /// The head that begins here; what is wrong with it shows at the first byte that makes it so.
  private func readHead(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> HeadReading {
    if count == 0 { return .partial }
    // No extension is ever agreed on, so the three bits of extensions are 0.
    guard bytes[0] & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: bytes[0] & 0x0f) else {
      return .fault(.protocolError)
    }
    let isFinal = bytes[0] & 0x80 != 0
    let fits = opcode.isControl ? isFinal : (opcode == .continuation) == isInMessage
    if !fits { return .fault(.protocolError) }
    if count == 1 { return .partial }
    if (bytes[1] & 0x80 != 0) != isMasked { return .fault(.protocolError) }
    var payload = Int(bytes[1] & 0x7f)
    var headCount = 2
    if payload >= 126 {
      if opcode.isControl { return .fault(.protocolError) }
      let width = payload == 126 ? 2 : 8
      // The highest bit of the wide form must be 0.
      if width == 8, count > 2, bytes[2] & 0x80 != 0 { return .fault(.protocolError) }
      headCount += width
      if count < headCount { return .partial }
      payload = 0
      for index in 2..<headCount { payload = payload << 8 | Int(bytes[index]) }
      if payload < (width == 8 ? 0x1_0000 : 126) { return .fault(.protocolError) }
    }
    if !opcode.isControl, payload > messageBytesMax - (opcode == .continuation ? messageBytes : 0) {
      return .fault(.tooLarge)
    }
    var key: UInt32 = 0
    if isMasked {
      headCount += 4
      if count < headCount { return .partial }
      key = UInt32(littleEndian: UnsafeRawPointer(bytes + headCount - 4).loadUnaligned(as: UInt32.self))
    }
    return .whole(
      FrameHead(
        opcode: opcode, isFinal: isFinal, count: headCount, payload: payload, mask: WebSocketMask(key: key)))
  }

  // MARK: Whole frames

  /// A frame of a message goes on as it is.
  private mutating func passData(
    _ head: FrameHead, _ frame: BytePointer, _ masks: inout RandomBytes, _ passage: inout WebSocketPassage
  ) {
    enter(head)
    let content = frame + head.count
    if isText {
      var mask = head.mask
      if isMasked { mask.apply(content, head.payload) }
      guard text.take(content, head.payload), !head.isFinal || text.isWhole else {
        passage.fault = .badText
        return
      }
      if isMasked { cover(frame, head.count, head.payload, &masks) }
    } else if isMasked {
      exchangeMask(head, frame, &masks)
    }
    if head.isFinal { isInMessage = false }
    passage.end += head.count + head.payload
  }

  /// A ping, a pong or a close goes on as it is.
  private mutating func passControl(
    _ head: FrameHead, _ frame: BytePointer, _ second: UInt32, _ masks: inout RandomBytes,
    _ passage: inout WebSocketPassage
  ) {
    if head.opcode == .close {
      var mask = head.mask
      if isMasked { mask.apply(frame + head.count, head.payload) }
      switch CloseCode.read(frame + head.count, head.payload) {
      case .fault(let code):
        passage.fault = code
        return
      case .said(let code):
        passage.code = code
        passage.closes = true
      }
      if isMasked { cover(frame, head.count, head.payload, &masks) }
    } else {
      if second != controlSecond { (controlSecond, controlFrames) = (second, 0) }
      controlFrames &+= 1
      if Int(controlFrames) > Limits.controlFramesMax {
        passage.fault = .policyViolation
        return
      }
      if isMasked { exchangeMask(head, frame, &masks) }
    }
    passage.end += head.count + head.payload
  }

  /// The message as it is behind the head of this frame.
  private mutating func enter(_ head: FrameHead) {
    if head.opcode != .continuation {
      isInMessage = true
      isText = head.opcode == .text
      text = WebSocketText()
      messageBytes = 0
    }
    messageBytes += head.payload
  }

  /// Puts a fresh mask over a payload that has none any more.
  private func cover(_ frame: BytePointer, _ headCount: Int, _ payload: Int, _ masks: inout RandomBytes) {
    let key = masks.next()
    WebSocketRewriter.write(key, frame + headCount - 4)
    var mask = WebSocketMask(key: key)
    mask.apply(frame + headCount, payload)
  }

  /// A fresh mask in the place of the old one: nobody need see what is under them.
  private func exchangeMask(_ head: FrameHead, _ frame: BytePointer, _ masks: inout RandomBytes) {
    let key = masks.next()
    WebSocketRewriter.write(key, frame + head.count - 4)
    var both = WebSocketMask(key: key ^ head.mask.key)
    both.apply(frame + head.count, head.payload)
  }

  private static func write(_ key: UInt32, _ place: BytePointer) {
    UnsafeMutableRawPointer(place).storeBytes(of: key.littleEndian, as: UInt32.self)
  }

  // MARK: Long frames

  /// The first part of a long frame goes on as a fragment.
  private mutating func begin(
    _ head: FrameHead, _ frame: BytePointer, _ available: Int, _ masks: inout RandomBytes,
    _ passage: inout WebSocketPassage
  ) {
    enter(head)
    let content = frame + head.count
    mask = head.mask
    if isMasked { mask.apply(content, available) }
    if isText, !text.take(content, available) {
      passage.fault = .badText
      return
    }
    remaining = head.payload - available
    isFinal = head.isFinal
    // The fewer bytes may have a shorter head.
    let count = WebSocketFrame.headBytes(payload: available, isMasked: isMasked)
    if count != head.count { memmove(frame + count, content, available) }
    seal(head.opcode, isFinal: false, frame, count, available, &masks)
    passage.end += count + available
  }

  /// The next part of a long frame goes on as a fragment, whose head stands in front of what was given.
  private mutating func goOn(
    _ bytes: BytePointer, _ count: Int, _ masks: inout RandomBytes, _ passage: inout WebSocketPassage
  ) {
    let taken = min(count, remaining)
    if isMasked { mask.apply(bytes, taken) }
    let isLast = isFinal && taken == remaining
    if isText, !text.take(bytes, taken) || isLast && !text.isWhole {
      passage.fault = .badText
      return
    }
    remaining -= taken
    if isLast { isInMessage = false }
    let headCount = WebSocketFrame.headBytes(payload: taken, isMasked: isMasked)
    seal(.continuation, isFinal: isLast, bytes - headCount, headCount, taken, &masks)
    passage.start = -headCount
    passage.end = taken
  }

  /// Writes the head of a fragment, and puts a mask over its payload where it needs one.
  private func seal(
    _ opcode: WebSocketOpcode, isFinal: Bool, _ frame: BytePointer, _ headCount: Int, _ payload: Int,
    _ masks: inout RandomBytes
  ) {
    if isMasked {
      var mask = WebSocketMask(key: masks.next())
      WebSocketFrame.writeHead(opcode, isFinal: isFinal, payload: payload, mask: mask, at: frame)
      mask.apply(frame + headCount, payload)
    } else {
      WebSocketFrame.writeHead(opcode, isFinal: isFinal, payload: payload, mask: nil, at: frame)
    }
  }
}
