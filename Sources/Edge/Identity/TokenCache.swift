// Tokens whose signature and claims were found good, so that the next request with the same one costs a look-up.
//
// Owns: the memory of 4,096 tokens at most and of what they say; the oldest of four makes place for a new one. A set is
// full long before all are: with a thousand callers one in three hundred meets a full one.
// Called by: TokenVerifier only, which checks the times of every token that it finds here.
// Never: holds a token that was refused, or calls two tokens the same that differ in a byte.

import Glibc

/// Where a new token stands, its bytes already there.
struct TokenSlot {
  let token: UnsafeMutablePointer<VerifiedToken>
  /// Behind the bytes.
  let room: UnsafeMutableRawPointer
  let place: Int32
  /// No other token ever has it.
  let serial: Int64
}

/// A set-associative cache. A set's four rows fill one cache line; each row has its slot of 2 KiB, which becomes
/// resident when it is first used.
struct TokenCache: ~Copyable {
  private struct Row: BitwiseCopyable {
    /// 0: nothing is here.
    var hash: UInt64 = 0
    /// When it was last found, in look-ups.
    var used: UInt32 = 0
    var tokenCount: UInt32 = 0
  }

  static let slotBytes = 2 << 10
  static let ways = 4
  private static let sets = 1_024
  static let slots = sets * ways

  /// The slots, and the rows behind them; nil: no token was placed yet.
  private var memory: UnsafeMutableRawPointer?
  private static let rowsOffset = slots * slotBytes
  private static let mappedBytes = rowsOffset + slots * MemoryLayout<Row>.stride
  private let seed: (UInt64, UInt64)
  private var clock: UInt32 = 0
  /// How many have come so far.
  private var placed: Int64 = 0
  /// Tests make all tokens collide; nothing else changes it.
  var hashMask = UInt64.max

  /// nil when the kernel gives no random bytes.
  init?() {
    var seed: (UInt64, UInt64) = (0, 0)
    let isSeeded = withUnsafeMutableBytes(of: &seed) { bytes in
      guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return false }
      return SecureRandom.fill(start, bytes.count)
    }
    guard isSeeded else { return nil }
    self.seed = seed
  }

  deinit {
    if let memory { Pages.unmap(memory, bytes: TokenCache.mappedBytes) }
  }

  /// A hash that nobody outside can foresee; never 0. It only finds the place: bytes are compared afterwards.
  func hash(_ token: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
      let product = left.multipliedFullWidth(by: right)
      return product.high ^ product.low
    }
    let raw = UnsafeRawPointer(token)
    var state = seed.0 ^ UInt64(count)
    var index = 0
    while index &+ 16 <= count {
      let first = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      let second = raw.loadUnaligned(fromByteOffset: index &+ 8, as: UInt64.self)
      state = mix(first ^ seed.1, second ^ state)
      index &+= 16
    }
    var rest: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &rest) { rest in
      if index < count, let place = rest.baseAddress { memcpy(place, raw + index, count - index) }
    }
    state = mix(rest.0 ^ seed.1, rest.1 ^ state)
    return mix(state ^ seed.0, seed.1 ^ 0x9e37_79b9_7f4a_7c15) & hashMask | 1 << 63
  }

  /// What the token says, if it is here.
  mutating func find(
    _ hash: UInt64, _ token: UnsafePointer<UInt8>, _ count: Int
  ) -> UnsafeMutablePointer<VerifiedToken>? {
    guard let memory else { return nil }
    let rows = Self.rows(in: memory)
    let first = Self.firstRow(hash)
    for index in first..<(first + TokenCache.ways) {
      guard rows[index].hash == hash, rows[index].tokenCount == count else { continue }
      let slot = memory + index * TokenCache.slotBytes
      // Not in constant time, and need not be: whoever can make the hashes equal knows the seed.
      guard memcmp(slot + Self.tokenOffset, token, count) == 0 else { continue }
      clock &+= 1
      rows[index].used = clock
      return slot.assumingMemoryBound(to: VerifiedToken.self)
    }
    return nil
  }

  /// Where the token's bytes begin in a slot; what it says points behind them.
  private static let tokenOffset = MemoryLayout<VerifiedToken>.stride

  /// A slot for a new token, its bytes already in it, and the room behind them; nil when `bytes` more do not fit.
  mutating func place(
    _ hash: UInt64, _ token: UnsafePointer<UInt8>, _ count: Int, bytes: Int
  ) -> TokenSlot? {
    let end = (Self.tokenOffset + count + 15) & ~15
    guard end + bytes <= TokenCache.slotBytes else { return nil }
    if memory == nil { memory = Pages.map(bytes: TokenCache.mappedBytes) }
    guard let memory else { return nil }
    let rows = Self.rows(in: memory)
    let first = Self.firstRow(hash)
    var chosen = first
    for index in first..<(first + TokenCache.ways) {
      if rows[index].hash == 0 {
        chosen = index
        break
      }
      // The distance to the clock, for the clock comes round.
      if clock &- rows[index].used > clock &- rows[chosen].used { chosen = index }
    }
    clock &+= 1
    rows[chosen] = Row(hash: hash, used: clock, tokenCount: UInt32(truncatingIfNeeded: count))
    let slot = memory + chosen * TokenCache.slotBytes
    memcpy(slot + Self.tokenOffset, token, count)
    placed += 1
    return TokenSlot(
      token: slot.assumingMemoryBound(to: VerifiedToken.self), room: slot + end,
      place: Int32(truncatingIfNeeded: chosen), serial: placed)
  }

  /// Makes place where `find` found this.
  mutating func forget(_ found: UnsafeMutablePointer<VerifiedToken>) {
    guard let memory else { return }
    Self.rows(in: memory)[(UnsafeMutableRawPointer(found) - memory) / TokenCache.slotBytes].hash = 0
  }

  /// How many tokens are here.
  var count: Int {
    guard let memory else { return 0 }
    let rows = Self.rows(in: memory)
    return (0..<TokenCache.slots).reduce(0) { $0 + (rows[$1].hash == 0 ? 0 : 1) }
  }

  /// Pages of zeros are rows with nothing in them.
  private static func rows(in memory: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Row> {
    (memory + rowsOffset).assumingMemoryBound(to: Row.self)
  }

  private static func firstRow(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash & UInt64(sets - 1)) * ways }
}
