// Base64 and base64url (RFC 4648), strict both ways: every text has one meaning and every run of bytes one text.
//
// Called by: the token verifier (url), policies.
// Never: accepts blanks, line ends, padding where there is none or none where there is, or set bits behind the last
// byte.

/// The two alphabets. Base64 is padded, base64url never.
enum Base64 {
  /// The value of each ASCII character plus 0x30; `~` marks those that are in no alphabet.
  private static let values: StaticString = """
    ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~n~~~odefghijklm~~~~~~~\
    0123456789:;<=>?@ABCDEFGHI~~~~~~JKLMNOPQRSTUVWXYZ[\\]^_`abc~~~~~
    """
  private static let urlValues: StaticString = """
    ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~n~~defghijklm~~~~~~~\
    0123456789:;<=>?@ABCDEFGHI~~~~o~JKLMNOPQRSTUVWXYZ[\\]^_`abc~~~~~
    """
  private static let letters: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  private static let urlLetters: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

  /// How long the text for so many bytes is.
  static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }
  static func urlEncodedCount(_ count: Int) -> Int { (count * 4 + 2) / 3 }

  /// Room that the bytes of a text of this length need at most.
  static func decodedCountMax(_ count: Int) -> Int { (count + 3) / 4 * 3 }

  /// The bytes of a padded text: how many were written, or nil when it is no base64. Text and bytes may begin at the
  /// same place.
  static func decode(_ text: UnsafePointer<UInt8>, _ count: Int, into bytes: BytePointer) -> Int? {
    guard count % 4 == 0 else { return nil }
    var significant = count
    if count > 0, text[count - 1] == 0x3d { significant = text[count - 2] == 0x3d ? count - 2 : count - 1 }
    return decode(text, significant, values, bytes)
  }

  /// The same for base64url.
  static func decodeURL(_ text: UnsafePointer<UInt8>, _ count: Int, into bytes: BytePointer) -> Int? {
    decode(text, count, urlValues, bytes)
  }

  /// Writes `encodedCount(count)` characters.
  static func encode(_ bytes: UnsafePointer<UInt8>, _ count: Int, into text: BytePointer) {
    var length = encode(bytes, count, letters, text)
    while length % 4 != 0 {
      text[length] = 0x3d
      length += 1
    }
  }

  /// Writes `urlEncodedCount(count)` characters.
  static func encodeURL(_ bytes: UnsafePointer<UInt8>, _ count: Int, into text: BytePointer) {
    _ = encode(bytes, count, urlLetters, text)
  }

  /// 0 to 63, or a number with the bit 0x40 or 0x80.
  @inline(__always)
  private static func value(_ character: UInt8, _ table: UnsafePointer<UInt8>) -> UInt32 {
    character < 0x80 ? UInt32(table[Int(character)] &- 0x30) : 0x80
  }

  @inline(__always)
  private static func decode(
    _ text: UnsafePointer<UInt8>, _ count: Int, _ values: StaticString, _ bytes: BytePointer
  ) -> Int? {
    let table = values.utf8Start
    let tail = count & 3
    if tail == 1 { return nil }
    var written = 0
    var index = 0
    var seen: UInt32 = 0
    while index < count &- tail {
      let first = value(text[index], table)
      let second = value(text[index &+ 1], table)
      let third = value(text[index &+ 2], table)
      let fourth = value(text[index &+ 3], table)
      seen |= first | second | third | fourth
      let word = first << 18 | second << 12 | third << 6 | fourth
      bytes[written] = UInt8(truncatingIfNeeded: word >> 16)
      bytes[written &+ 1] = UInt8(truncatingIfNeeded: word >> 8)
      bytes[written &+ 2] = UInt8(truncatingIfNeeded: word)
      written &+= 3
      index &+= 4
    }
    if tail > 0 {
      let first = value(text[index], table)
      let second = value(text[index + 1], table)
      let third = tail == 3 ? value(text[index + 2], table) : 0
      seen |= first | second | third
      let word = first << 18 | second << 12 | third << 6
      // Bits behind the last byte must not be set.
      if word & (tail == 3 ? 0xff : 0xffff) != 0 { return nil }
      bytes[written] = UInt8(truncatingIfNeeded: word >> 16)
      if tail == 3 { bytes[written + 1] = UInt8(truncatingIfNeeded: word >> 8) }
      written += tail - 1
    }
    return seen < 0x40 ? written : nil
  }

  private static func encode(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ letters: StaticString, _ text: BytePointer
  ) -> Int {
    let table = letters.utf8Start
    var written = 0
    var index = 0
    while index < count {
      let room = min(3, count - index)
      var word = UInt32(bytes[index]) << 16
      if room > 1 { word |= UInt32(bytes[index + 1]) << 8 }
      if room > 2 { word |= UInt32(bytes[index + 2]) }
      for place in 0...room {
        text[written] = table[Int(word >> UInt32(18 - 6 * place) & 63)]
        written += 1
      }
      index += 3
    }
    return written
  }
}
