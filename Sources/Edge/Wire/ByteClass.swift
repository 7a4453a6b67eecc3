// Which byte may stand where: token characters of RFC 9110, URI characters of RFC 3986, as one table of bits per
// byte.

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
  let raw = UnsafeRawPointer(bytes)
  let ones: UInt64 = 0x0101_0101_0101_0101
  let highs: UInt64 = 0x8080_8080_8080_8080
  @inline(__always) func isSuspect(_ offset: Int) -> Bool {
    let word = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    let deleted = word ^ (ones &* 0x7f)
    // A borrow may flag a byte above a flagged one; that only sends the value to the careful loop.
    return ((word &- ones &* 0x20) & ~word | (deleted &- ones) & ~deleted) & highs != 0
  }
  var index = 0
  if count >= 8 {
    while index &+ 8 <= count, !isSuspect(index) { index &+= 8 }
    // The last word overlaps the one before it.
    if index &+ 8 > count, !isSuspect(count &- 8) { return false }
  }
  while index < count {
    let byte = bytes[index]
    if byte < 0x20 && byte != 0x09 || byte == 0x7f { return true }
    index &+= 1
  }
  return false
}

/// How many bytes from the start are letters and dashes, of which most field names are made, seen eight at a time.
/// May stop up to seven bytes early at the end of what is readable.
@inline(__always)
func plainNamePrefix(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
  let raw = UnsafeRawPointer(bytes)
  let ones: UInt64 = 0x0101_0101_0101_0101
  let highs: UInt64 = 0x8080_8080_8080_8080
  var index = 0
  while index &+ 8 <= count {
    let word = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
    let low = word & ~highs | ones &* 0x20
    // With the high bit out of the way no byte's sum reaches its neighbour.
    let letters = (low &+ ones &* (0x80 &- 0x61)) & ~(low &+ ones &* (0x80 &- 0x7b))
    let dashes = ~(((word & ~highs) ^ ones &* 0x2d) &+ ones &* 0x7f)
    let plain = (letters | dashes) & ~word & highs
    if plain != highs { return index &+ (~plain & highs).trailingZeroBitCount >> 3 }
    index &+= 8
  }
  return index
}
