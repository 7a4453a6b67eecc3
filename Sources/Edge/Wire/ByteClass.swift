// Which byte may stand where: token characters of RFC 9110, URI characters of RFC 3986, as one table of bits per
// byte.

import CLinux

/// What a byte may be part of.
struct ByteClass: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  /// `tchar` of RFC 9110 section 5.6.2.
  static let token = ByteClass(rawValue: 1)
  /// May stand in a path as it is: `pchar` without the percent sign, and the slash.
  static let path = ByteClass(rawValue: 2)
  /// May stand in a query as it is: `pchar`, slash, question mark; also what browsers leave bare.
  static let query = ByteClass(rawValue: 4)
  /// May stand in a host name.
  static let host = ByteClass(rawValue: 8)
  /// `unreserved` of RFC 3986 section 2.3: means the same encoded and bare.
  static let unreserved = ByteClass(rawValue: 16)
  static let digit = ByteClass(rawValue: 32)
  static let hexDigit = ByteClass(rawValue: 64)
  /// Comes bare in the paths of browsers and is no `pchar`: the canonical path has it encoded.
  static let escaped = ByteClass(rawValue: 128)
}

/// The table, in memory of the arena it was made in.
struct ByteClasses: BitwiseCopyable {
  private let table: UnsafeMutablePointer<ByteClass>

  init(arena: Arena) {
    table = arena.allocate(ByteClass.self, count: 256)
    for byte in 0..<256 { table[byte] = [] }
    func add(_ text: StaticString, _ bits: ByteClass) {
      for index in 0..<text.utf8CodeUnitCount { table[Int(text.utf8Start[index])].formUnion(bits) }
    }
    let everywhere: ByteClass = [.token, .path, .query, .host, .unreserved]
    add("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", everywhere)
    add("0123456789", everywhere.union([.digit, .hexDigit]))
    add("abcdefABCDEF", .hexDigit)
    add("-._~", [.token, .path, .query, .unreserved])
    add("-._", .host)
    add("!#$%&'*+^`|", .token)
    add("!$&'()*+,;=:@/", [.path, .query])
    // Browsers leave these bare (URL standard, path and query percent-encode sets).
    add("[]|^", [.escaped, .query])
    add("?%{}`", .query)
  }

  @inline(__always)
  func has(_ byte: UInt8, _ bits: ByteClass) -> Bool { table[Int(byte)].rawValue & bits.rawValue != 0 }
}

/// The value of a hexadecimal digit, or 255.
@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8 {
  if byte &- 0x30 < 10 { return byte &- 0x30 }
  let folded = byte | 0x20
  return folded &- 0x61 < 6 ? folded &- 0x57 : 255
}

/// Whether a field value holds a byte that no value may hold: a control byte other than tab (RFC 9110 section 5.5).
@inline(__always)
func holdsControlByte(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  Int(edge_control_byte(bytes, count)) < count
}
