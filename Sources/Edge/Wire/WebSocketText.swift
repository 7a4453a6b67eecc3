// Checks that what comes in pieces is UTF-8 (RFC 3629). The pieces may be cut inside of characters, and the first byte
// that no text can have at its place is found with the piece that brings it, not at the end (RFC 6455 section 8.1).

/// How far a text is well-formed.
struct WebSocketText: BitwiseCopyable {
  /// Bytes that the last character still lacks.
  private var missing: UInt8 = 0
  /// What its next byte may be.
  private var lowest: UInt8 = 0x80
  private var highest: UInt8 = 0xbf

  /// The text does not end inside of a character.
  var isWhole: Bool { missing == 0 }

  /// Takes the next piece; false: no text begins like this.
  mutating func take(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var index = 0
    while index < count {
      if missing == 0 {
        index &+= WebSocketText.plainPrefix(bytes + index, count &- index)
        while count &- index >= 4, bytes[index] >= 0x80 {
          let width = WebSocketText.width(bytes + index)
          if width == 0 { return false }
          index &+= width
        }
        // With eight bytes or more the plain ones that follow are skipped there.
        if count &- index >= 8 { continue }
        if index == count { break }
      }
      if !take(bytes[index]) { return false }
      index &+= 1
    }
    return true
  }

  /// How many bytes the character takes that begins with a byte above 0x7f, or 0; four bytes are there. Each length is
  /// one comparison of its marks, and one or two of the bits that tell overlong forms, surrogates and what lies above
  /// U+10FFFF (Unicode 15, table 3-7).
  @inline(__always)
  private static func width(_ bytes: UnsafePointer<UInt8>) -> Int {
    let word = UInt32(littleEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt32.self))
    if word & 0x00c0_c0f0 == 0x0080_80e0 {
      let bits = word & 0x200f
      return bits != 0 && bits != 0x200d ? 3 : 0
    }
    if word & 0xc0e0 == 0x80c0 { return word & 0x1e != 0 ? 2 : 0 }
    if word & 0xc0c0_c0f8 == 0x8080_80f0 {
      return word & 0x3007 != 0 && (word & 4 == 0 || word & 0x3003 == 0) ? 4 : 0
    }
    return 0
  }

  /// How many bytes from the start are ASCII, seen eight at a time; may stop up to seven bytes early at the end.
  @inline(__always)
  private static func plainPrefix(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    let highs: UInt64 = 0x8080_8080_8080_8080
    let raw = UnsafeRawPointer(bytes)
    @inline(__always) func word(_ offset: Int) -> UInt64 { raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
    var index = 0
    while index &+ 32 <= count, (word(index) | word(index &+ 8) | word(index &+ 16) | word(index &+ 24)) & highs == 0 {
      index &+= 32
    }
    while index &+ 8 <= count {
      let flags = UInt64(littleEndian: word(index)) & highs
      if flags != 0 { return index &+ flags.trailingZeroBitCount >> 3 }
      index &+= 8
    }
    return index
  }

  /// One byte: what may follow the first byte of a character rules out the same.
  @inline(__always)
  private mutating func take(_ byte: UInt8) -> Bool {
    if missing > 0 {
      if byte < lowest || byte > highest { return false }
      missing &-= 1
      (lowest, highest) = (0x80, 0xbf)
      return true
    }
    switch byte {
    case 0x00...0x7f: break
    case 0xc2...0xdf: missing = 1
    case 0xe0...0xef:
      missing = 2
      if byte == 0xe0 { lowest = 0xa0 }
      if byte == 0xed { highest = 0x9f }
    case 0xf0...0xf4:
      missing = 3
      if byte == 0xf0 { lowest = 0x90 }
      if byte == 0xf4 { highest = 0x8f }
    default: return false
    }
    return true
  }
}
