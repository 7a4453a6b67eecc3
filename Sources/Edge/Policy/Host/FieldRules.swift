// What may stand in a header field that a script writes (RFC 9110 section 5).
// Called by the functions that take fields of scripts, before anything is kept of them.

import Glibc

/// The rules for fields of scripts, with the tables that they look into.
struct FieldRules: BitwiseCopyable {
  private let classes: ByteClasses
  private let known: KnownHeaderIndex
  /// The last name that scripts might set, which is mostly the next one, too.
  private let lastName: BytePointer
  private var lastCount = 0

  private static let nameBytesMax = 64

  init(arena: Arena) {
    classes = ByteClasses(arena: arena)
    known = KnownHeaderIndex(arena: arena)
    lastName = arena.allocate(UInt8.self, count: FieldRules.nameBytesMax)
  }

  /// Whether it is the name that `remember` was told last.
  @inline(__always)
  func remembers(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = name.baseAddress, name.count == lastCount, lastCount > 0 else { return false }
    return equalBytes(start, UnsafePointer(lastName), lastCount)
  }

  /// A name that is a token and not reserved.
  mutating func remember(_ name: UnsafeBufferPointer<UInt8>) {
    guard let start = name.baseAddress, name.count <= FieldRules.nameBytesMax else { return }
    memcpy(lastName, start, name.count)
    lastCount = name.count
  }

  /// A token.
  func isName(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = name.baseAddress, !name.isEmpty, name.count <= FieldRules.nameBytesMax else { return false }
    for index in 0..<name.count where !classes.has(start[index], .token) { return false }
    return true
  }

  /// Anything but control characters, without blanks at its ends.
  func isValue(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = value.baseAddress, !value.isEmpty else { return true }
    if value.count > 4 << 10 { return false }
    let (first, last) = (start[0], start[value.count - 1])
    if first == 0x20 || first == 0x09 || last == 0x20 || last == 0x09 { return false }
    return !holdsControlByte(start, value.count)
  }

  /// Whether Edge alone decides what the field says: where messages end, whom they are for, who sent them.
  func isReserved(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = name.baseAddress, !name.isEmpty else { return false }
    let (header, treatment) = known.find(start, name.count)
    if header == .other { return FieldRules.handshake.contains { equalLowered(start, name.count, $0) } }
    return header == .via || header == .date || header == .maxForwards
      || !treatment.isDisjoint(with: [.hopByHop, .rewritten, .claim, .dropped])
  }

  /// What a WebSocket is opened with, from one hop to the next.
  private static let handshake: [StaticString] = [
    "sec-websocket-key", "sec-websocket-accept", "sec-websocket-version", "sec-websocket-extensions",
  ]
}
