// Finds the end of a message body as its bytes arrive, and takes chunked framing off in place (RFC 9112 sections 6
// and 7.1). Chunk extensions and trailers are checked and dropped; what is not exactly right is a fault.
//
//   size ─▶ sizeEnd ─▶ data ─▶ dataCR ─▶ dataLF ─▶ size …
//    │ ▲                                          size 0
//    ▼ │                                            ▼
//   extension states                     trailerStart ─▶ trailerName ─▶ trailerValue ─▶ trailerEnd ─▶ trailerStart
//                                             │ CR
//                                             ▼
//                                           lastEnd ─▶ done

import Glibc

/// What a call of `BodyReader.read` did with the bytes it was given.
struct BodyStep: BitwiseCopyable, Equatable {
  /// Bytes of content, now in a row at the start of what was given.
  var payload = 0
  /// Bytes that belong to this body, framing included; what follows them belongs to the next message.
  var consumed = 0
  var fault: HeadFault?
}

/// The reading side of one body.
struct BodyReader: BitwiseCopyable, Equatable {
  private enum State: UInt8 {
    case firstDigit, digits, sizeEnd, extensionName, extensionNameRest, extensionNameEnd, extensionValue
    case extensionToken, extensionQuoted, extensionEscaped, extensionQuotedEnd, extensionEnd, data, dataCR, dataLF
    case trailerStart, trailerName, trailerValue, trailerEnd, lastEnd, length, untilClose, done
  }

  private var state: State
  private var remaining: UInt64 = 0
  private var digits: UInt8 = 0
  private var isLastChunk = false
  private var extra: UInt16 = 0

  init(_ framing: BodyFraming) {
    switch framing {
    case .none: state = .done
    case .length(let length):
      state = length == 0 ? .done : .length
      remaining = length
    case .chunked: state = .firstDigit
    case .untilClose: state = .untilClose
    }
  }

  /// The whole body was seen.
  var isEnded: Bool { state == .done }

  /// The end of the connection is the end of this body, not a cut.
  var endsWithConnection: Bool { state == .untilClose }

  /// Bytes that the current chunk has said it will bring and that have not come. Nothing while its size is still being
  /// read: what is no size at all is a fault, however much of it has come.
  var announcedBytes: UInt64 { state == .data ? remaining : 0 }

  /// Content that is still to come, where its length was said in front of it.
  var remainingBytes: UInt64? { state == .length ? remaining : nil }

  /// The body's length was said in front of it.
  var isCounted: Bool { state == .length }

  /// So much of a counted body, and no more than is left of it, went by unread.
  mutating func pass(_ count: Int) {
    guard state == .length else { return }
    remaining -= min(remaining, UInt64(count))
    if remaining == 0 { state = .done }
  }

  /// Reads on. Content is moved to the front of `bytes`, over the framing that stood between it.
  mutating func read(_ bytes: BytePointer, _ count: Int, _ classes: ByteClasses) -> BodyStep {
    switch state {
    case .done: return BodyStep()
    case .untilClose: return BodyStep(payload: count, consumed: count)
    case .length:
      let taken = UInt64(count) < remaining ? count : Int(remaining)
      remaining -= UInt64(taken)
      if remaining == 0 { state = .done }
      return BodyStep(payload: taken, consumed: taken)
    default: return readChunks(bytes, count, classes)
    }
  }

  private mutating func readChunks(_ bytes: BytePointer, _ count: Int, _ classes: ByteClasses) -> BodyStep {
    var step = BodyStep()
    while step.consumed < count, state != .done {
      if state == .data {
        let room = count - step.consumed
        let taken = UInt64(room) < remaining ? room : Int(remaining)
        if step.payload != step.consumed { memmove(bytes + step.payload, bytes + step.consumed, taken) }
        step.payload += taken
        step.consumed += taken
        remaining -= UInt64(taken)
        if remaining == 0 { state = .dataCR }
        continue
      }
      step.fault = advance(bytes[step.consumed], classes)
      if step.fault != nil { return step }
      step.consumed += 1
    }
    return step
  }

  /// One byte of framing.
  private mutating func advance(_ byte: UInt8, _ classes: ByteClasses) -> HeadFault? {
    switch state {
    case .firstDigit, .digits, .sizeEnd: return advanceSize(byte)
    case .extensionName, .extensionNameRest, .extensionNameEnd, .extensionValue, .extensionToken, .extensionQuoted,
      .extensionEscaped, .extensionQuotedEnd, .extensionEnd:
      extra += 1
      if Int(extra) > Limits.chunkExtensionBytesMax { return .badChunkExtension }
      return advanceExtension(byte, classes)
    case .dataCR:
      if byte != 0x0d { return .badChunkEnd }
      state = .dataLF
    case .dataLF:
      if byte != 0x0a { return .badChunkEnd }
      state = .firstDigit
    case .trailerStart, .trailerName, .trailerValue, .trailerEnd:
      extra += 1
      if Int(extra) > Limits.trailerBytesMax { return .badTrailer }
      return advanceTrailer(byte, classes)
    case .lastEnd:
      if byte != 0x0a { return .badChunkEnd }
      state = .done
    case .data, .length, .untilClose, .done: break
    }
    return nil
  }

  private mutating func advanceSize(_ byte: UInt8) -> HeadFault? {
    switch state {
    case .firstDigit, .digits:
      let value = hexValue(byte)
      if value != 255 {
        if state == .firstDigit { (remaining, digits) = (0, 0) }
        digits += 1
        if digits > 13 { return .badChunkSize }
        remaining = remaining << 4 | UInt64(value)
        state = .digits
        return nil
      }
      if state == .firstDigit { return .badChunkSize }
      isLastChunk = remaining == 0
      extra = 0
      if byte == 0x0d {
        state = .sizeEnd
      } else if byte == 0x3b {
        state = .extensionName
      } else if byte == 0x20 || byte == 0x09 {
        state = .extensionEnd
      } else {
        return .badChunkSize
      }
      return nil
    default:
      if byte != 0x0a { return .badChunkSize }
      extra = 0
      state = isLastChunk ? .trailerStart : .data
      return nil
    }
  }

  /// White space may stand around a semicolon and an equals sign, where a recipient has to skip it (RFC 9112 section
  /// 7.1.1), but not in front of the end of the line.
  private mutating func advanceExtension(_ byte: UInt8, _ classes: ByteClasses) -> HeadFault? {
    let isToken = classes.has(byte, .token)
    let isBlank = byte == 0x20 || byte == 0x09
    switch state {
    case .extensionName where isToken: state = .extensionNameRest
    case .extensionNameRest where isToken: break
    case .extensionName where isBlank, .extensionNameEnd where isBlank, .extensionValue where isBlank,
      .extensionEnd where isBlank:
      break
    case .extensionNameRest where isBlank: state = .extensionNameEnd
    case .extensionToken where isBlank, .extensionQuotedEnd where isBlank: state = .extensionEnd
    case .extensionNameRest where byte == 0x3d, .extensionNameEnd where byte == 0x3d: state = .extensionValue
    case .extensionValue where isToken: state = .extensionToken
    case .extensionValue where byte == 0x22: state = .extensionQuoted
    case .extensionToken where isToken: break
    case .extensionQuoted where byte == 0x22: state = .extensionQuotedEnd
    case .extensionQuoted where byte == 0x5c: state = .extensionEscaped
    case .extensionQuoted where byte >= 0x20 && byte != 0x7f || byte == 0x09: break
    case .extensionEscaped where byte >= 0x20 && byte != 0x7f || byte == 0x09: state = .extensionQuoted
    case .extensionNameRest where byte == 0x3b, .extensionNameEnd where byte == 0x3b,
      .extensionToken where byte == 0x3b, .extensionQuotedEnd where byte == 0x3b, .extensionEnd where byte == 0x3b:
      state = .extensionName
    case .extensionNameRest where byte == 0x0d, .extensionToken where byte == 0x0d,
      .extensionQuotedEnd where byte == 0x0d:
      state = .sizeEnd
    default: return .badChunkExtension
    }
    return nil
  }

  private mutating func advanceTrailer(_ byte: UInt8, _ classes: ByteClasses) -> HeadFault? {
    switch state {
    case .trailerStart where byte == 0x0d: state = .lastEnd
    case .trailerStart where classes.has(byte, .token): state = .trailerName
    case .trailerName where classes.has(byte, .token): break
    case .trailerName where byte == 0x3a: state = .trailerValue
    case .trailerValue where byte == 0x0d: state = .trailerEnd
    case .trailerValue where byte >= 0x20 && byte != 0x7f || byte == 0x09: break
    case .trailerEnd where byte == 0x0a: state = .trailerStart
    default: return .badTrailer
    }
    return nil
  }
}
