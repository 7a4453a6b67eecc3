// Identifiers of exchanges and attempts: 48 bits of wall milliseconds and 80 random bits, written as 26 characters
// (github.com/ulid/spec). They sort by time and need no coordination between workers.

/// One identifier.
struct ULID: BitwiseCopyable, Equatable {
  let high: UInt64
  let low: UInt64

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A new identifier for this moment.
  init(wall: UInt64, random: inout Random) {
    let milliseconds = wall / 1_000_000
    high = milliseconds << 16 | random.next() >> 48
    low = random.next()
  }

  static let textCount = 26
}

private let crockford: StaticString = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

extension ByteWriter {
  /// The 26 characters of an identifier, Crockford base 32, most significant first.
  mutating func append(_ id: ULID) {
    guard room >= ULID.textCount else {
      append("00000000000000000000000000")
      return
    }
    let alphabet = crockford.utf8Start
    let target = end
    @inline(__always) func put(_ place: Int, _ word: UInt64, _ shift: Int) {
      target[place] = alphabet[Int(truncatingIfNeeded: word &>> UInt64(shift) & 31)]
    }
    // Twelve characters of five bits from a word, twice; what is left is eight bits.
    let middle = id.low &>> 60 | id.high &<< 4
    for index in 0..<12 {
      put(25 &- index, id.low, 5 &* index)
      put(13 &- index, middle, 5 &* index)
    }
    put(1, id.high, 56)
    put(0, id.high, 61)
    advance(ULID.textCount)
  }
}
