// Escapes of URLs (RFC 3986 section 2.1) turned into what they stand for, for whoever asks for a piece of one.
// A request's own target is brought to its canonical form elsewhere and never decoded as a whole.

import Glibc

/// Text with `%XX` escapes.
enum PercentText {
  /// Writes the text without its escapes. In a query a plus may stand for a blank.
  static func append(_ bytes: UnsafeBufferPointer<UInt8>, plusIsSpace: Bool, to writer: inout ByteWriter) {
    var index = 0
    while index < bytes.count {
      let (byte, width) = read(bytes, at: index, plusIsSpace: plusIsSpace)
      writer.append(byte: byte)
      index += width
    }
  }

  /// Whether an argument's name, with its escapes, is this one.
  static func equals(_ start: UnsafePointer<UInt8>, _ count: Int, _ name: UnsafeBufferPointer<UInt8>) -> Bool {
    let bytes = UnsafeBufferPointer(start: start, count: count)
    var (index, matched) = (0, 0)
    while index < count {
      let (byte, width) = read(bytes, at: index, plusIsSpace: true)
      guard matched < name.count, name[matched] == byte else { return false }
      matched += 1
      index += width
    }
    return matched == name.count
  }

  private static func read(
    _ bytes: UnsafeBufferPointer<UInt8>, at index: Int, plusIsSpace: Bool
  ) -> (byte: UInt8, width: Int) {
    if bytes[index] == 0x2b, plusIsSpace { return (0x20, 1) }
    guard bytes[index] == 0x25, index + 2 < bytes.count else { return (bytes[index], 1) }
    let (high, low) = (hexValue(bytes[index + 1]), hexValue(bytes[index + 2]))
    return high == 255 || low == 255 ? (0x25, 1) : (high << 4 | low, 3)
  }
}
