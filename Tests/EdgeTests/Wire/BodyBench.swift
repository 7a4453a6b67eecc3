@testable import Edge

/// What reading a body brought.
struct BodyOutcome: Equatable {
  var content: [UInt8] = []
  /// What follows the body.
  var rest: [UInt8] = []
  var fault: HeadFault?
  var isEnded = false
}

/// Reads bodies piece by piece, each from a copy of exactly its bytes, and watches what a caller relies on.
struct BodyBench {
  let classes: ByteClasses
  private let arena = Arena()
  /// Promises that were broken.
  private(set) var complaints: [String] = []

  init() { classes = ByteClasses(arena: arena) }

  mutating func read(_ pieces: [[UInt8]], _ framing: BodyFraming) -> BodyOutcome {
    var reader = BodyReader(framing)
    var outcome = BodyOutcome()
    for (place, piece) in pieces.enumerated() {
      if reader.isEnded {
        outcome.rest += piece
        continue
      }
      let area = ByteArea(piece)
      let step = reader.read(area.base, area.count, classes)
      outcome.content += area.slice(0..<step.payload)
      if step.payload > step.consumed || step.consumed > piece.count { complaints.append("piece \(place): \(step)") }
      if area.slice(step.consumed..<piece.count) != Array(piece[step.consumed...]) {
        complaints.append("piece \(place): what was not consumed was changed")
      }
      if let fault = step.fault {
        outcome.fault = fault
        return outcome
      }
      if !reader.isEnded, step.consumed != piece.count {
        complaints.append("piece \(place): stopped at \(step.consumed)")
      }
      outcome.rest += piece[step.consumed...]
    }
    outcome.isEnded = reader.isEnded
    return outcome
  }
}

/// A chunked body written with whatever liberties the grammar gives.
struct ChunkEncoder {
  var random: SeededGenerator

  mutating func encode(_ content: [UInt8], longest: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for chunk in random.cut(content, longest: longest) { bytes += line(chunk.count) + chunk + raw("\r\n") }
    bytes += line(0)
    for number in 0..<random.below(3) { bytes += raw("X-Trailer-\(number):  v\u{e9}\t \r\n") }
    return bytes + raw("\r\n")
  }

  private mutating func line(_ size: Int) -> [UInt8] {
    var digits = String(size, radix: 16, uppercase: random.below(2) == 0)
    digits = String(repeating: "0", count: random.below(14 - digits.utf8.count)) + digits
    let extensions = ["", "", "", ";a", ";a=b", ";name=\"quoted value;=\u{e9}\"", ";a;b=c;d=\"\""]
    return raw(digits + extensions[random.below(extensions.count)] + "\r\n")
  }
}

/// A decoder that shares nothing with the code under test: content and what follows, or nil when it is malformed.
func decodeChunked(_ bytes: [UInt8]) -> (content: [UInt8], rest: [UInt8])? {
  var content: [UInt8] = []
  var rest = bytes[...]
  while true {
    guard let end = rest.firstIndex(of: 0x0a), end > rest.startIndex, rest[end - 1] == 0x0d else { return nil }
    let line = latin(Array(rest[rest.startIndex..<(end - 1)]))
    guard !line.isEmpty, line.count <= 13, let size = Int(line, radix: 16) else { return nil }
    rest = rest[(end + 1)...]
    if size == 0 { break }
    guard rest.count >= size + 2 else { return nil }
    content += rest.prefix(size)
    rest = rest.dropFirst(size)
    guard Array(rest.prefix(2)) == [0x0d, 0x0a] else { return nil }
    rest = rest.dropFirst(2)
  }
  guard Array(rest.prefix(2)) == [0x0d, 0x0a] else { return nil }
  return (content, Array(rest.dropFirst(2)))
}
