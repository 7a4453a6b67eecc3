import Testing

@testable import Edge

struct WebSocketReaderTests {
  /// Whole, byte by byte, and cut in two everywhere; for long ones that holds for what surrounds the head.
  private static func cuts(_ bytes: [UInt8]) -> [[[UInt8]]] {
    if bytes.count <= 600 { return feeds(bytes) }
    return [[bytes], bytes.prefix(24).map { [$0] } + [Array(bytes[24...])]]
      + (1...24).map { [Array(bytes[..<$0]), Array(bytes[$0...])] }
      + [1_021, 4_096].map { size in
        stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min(bytes.count, $0 + size)]) }
      }
  }

  /// However the bytes arrive, they say what the vector says, and what the reference reads.
  private static func check(
    _ bytes: [UInt8], fromClient: Bool, max: Int, _ events: [SocketEvent], isInMessage: Bool? = nil
  ) {
    let expected = ReferenceReader.read(bytes, fromClient: fromClient, max: max)
    #expect(expected.events == events, "the reference, client: \(fromClient)")
    for feed in cuts(bytes) {
      let (outcome, complaints) = WebSocketBench.read(feed, fromClient: fromClient, max: max)
      let agrees = outcome.events == events && outcome == expected && complaints.isEmpty
      if !agrees || isInMessage.map({ $0 != outcome.isInMessage }) ?? false {
        Issue.record("client: \(fromClient), in \(feed.map(\.count)): \(outcome.events.suffix(3)) \(complaints)")
        return
      }
    }
  }

  @Test(arguments: SocketVectors.all) func vectors(_ vector: SocketVector) {
    for fromClient in [true, false] {
      Self.check(
        vector.bytes(fromClient: fromClient), fromClient: fromClient, max: vector.max, vector.events,
        isInMessage: vector.isInMessage)
    }
  }

  @Test(arguments: SocketVectors.corpus.indices) func corpus(_ index: Int) throws {
    let row = SocketVectors.corpus[index]
    Self.check(try bytes(row.hex), fromClient: row.said == "c", max: 1 << 20, row.events)
  }

  /// Whoever leaves the mask out where it must be, or has one where none may be, is refused with the second byte.
  @Test(arguments: [UInt8(1), 2, 8, 9, 10]) func masks(_ opcode: UInt8) {
    let frame = SocketFrame(opcode: opcode)
    for fromClient in [true, false] {
      let wrong = frame.bytes(mask: fromClient ? nil : [1, 2, 3, 4])
      Self.check(Array(wrong.prefix(2)), fromClient: fromClient, max: 10, [.fault(1002)])
      var bench = WebSocketBench(fromClient: fromClient, max: 10)
      bench.read([wrong[0]])
      #expect(bench.endedAt == nil)
      bench.read([wrong[1]])
      #expect(bench.endedAt == 2)
    }
  }

  /// A message in a thousand frames with a ping in front of each.
  @Test func manyFragments() {
    var bytes: [UInt8] = []
    var events: [SocketEvent] = []
    for number in 0..<1_000 {
      bytes += SocketFrame.ping("\(number)").bytes(mask: [9, 8, 7, 6])
      events.append(.ping(raw("\(number)")))
      let frame = SocketFrame(opcode: number == 0 ? 1 : 0, isFinal: number == 999, payload: [0xc3, 0xa9])
      bytes += frame.bytes(mask: [UInt8(truncatingIfNeeded: number), 1, 2, 3])
    }
    events.append(.text([[UInt8]](repeating: [0xc3, 0xa9], count: 1_000).flatMap { $0 }))
    for size in [bytes.count, 1, 2, 3, 5, 7, 64, 1_000] {
      let pieces = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min(bytes.count, $0 + size)]) }
      let (outcome, complaints) = WebSocketBench.read(pieces, fromClient: true, max: 2_000)
      #expect(outcome == SocketOutcome(events: events) && complaints.isEmpty, "\(size)")
    }
    #expect(WebSocketBench.read([bytes], fromClient: true, max: 1_999).outcome.events.last == .fault(1009))
  }

  /// Content is told as it comes: nothing is held back.
  @Test func piecesOfContent() {
    let frame = SocketFrame.text("0123456789").bytes(mask: [1, 2, 3, 4])
    let area = ByteArea(Array(frame.prefix(10)))
    var reader = WebSocketReader(expectsMask: true, messageBytesMax: 10)
    #expect(!reader.isInMessage)
    let first = reader.next(area.base, area.count)
    #expect(first.kind == .data && first.consumed == 10 && first.start == 6 && first.count == 4)
    #expect(first.isText && !first.isLast && reader.isInMessage)
    #expect(area.slice(6..<10) == raw("0123"))
    #expect(reader.next(area.base + 10, 0).kind == .partial)
    let rest = ByteArea(Array(frame.dropFirst(10)))
    let second = reader.next(rest.base, rest.count)
    #expect(second.kind == .data && second.count == 6 && second.isLast && !reader.isInMessage)
    #expect(rest.slice(0..<6) == raw("456789"))
  }

  /// The limit may change between messages, as a reload does it.
  @Test func theLimitChanges() {
    var bench = WebSocketBench(fromClient: false, max: 4)
    bench.read(SocketFrame.text("1234").bytes(mask: nil))
    bench.reader.messageBytesMax = 6
    bench.read(SocketFrame.text("123456").bytes(mask: nil))
    bench.reader.messageBytesMax = 2
    bench.read(SocketFrame.text("12", isFinal: false).bytes(mask: nil))
    bench.reader.messageBytesMax = 1
    bench.read(SocketFrame.more("", isFinal: false).bytes(mask: nil))
    bench.read(SocketFrame.more("3", isFinal: false).bytes(mask: nil))
    #expect(bench.outcome.events == [.text("1234"), .text("123456"), .fault(1009)] && bench.complaints.isEmpty)
  }

  @Test func theStateIsSmall() {
    #expect(MemoryLayout<WebSocketReader>.size <= 200)
  }

  // MARK: Random frames

  /// Frames as peers write them, with mistakes here and there.
  private struct Speaker {
    var random: SeededGenerator
    let fromClient: Bool

    private static let words: [[UInt8]] = [
      raw("text"), Array("\u{e9}\u{20ac}\u{1f600}".utf8), [0xe2], [0x82], [0xac], [0xff], [0xf0, 0x9f], [0x98, 0x80],
      [],
      raw("a longer piece of plain text, which is checked eight bytes at a time"), Array("\u{4e2d}\u{6587}".utf8),
    ]

    mutating func frames(mistakes: Bool) -> [UInt8] {
      var bytes: [UInt8] = []
      var isOpen = false
      for _ in 0...random.below(8) {
        var frame = SocketFrame()
        let isControl = random.below(4) == 0
        if isControl {
          frame.opcode = [9, 10, 9, 10, 9, 8][random.below(6)]
          frame.payload = random.bytes(random.below(random.below(8) == 0 ? 126 : 10))
          if frame.opcode == 8 {
            frame.payload = [[], [3, 0xe8], [3, 0xe8, 0x61], [0x0f, 0xa0, 0xc3, 0xa9]][random.below(4)]
          }
        } else {
          frame.opcode = isOpen ? 0 : random.below(3) == 0 ? 2 : 1
          frame.isFinal = random.below(2) == 0
          isOpen = !frame.isFinal
          for _ in 0..<random.below(5) {
            // Most of what is said is well-formed.
            let count = mistakes ? Self.words.count : 2
            frame.payload += Self.words[random.below(count)]
          }
          if random.below(400) == 0 { frame.payload += [UInt8](repeating: 0x61, count: random.below(70_000)) }
        }
        if mistakes, random.below(24) == 0 { spoil(&frame) }
        let isMasked = mistakes && random.below(60) == 0 ? !fromClient : fromClient
        bytes += frame.bytes(mask: isMasked ? random.bytes(4) : nil)
      }
      return bytes
    }

    private mutating func spoil(_ frame: inout SocketFrame) {
      switch random.below(6) {
      case 0: frame.opcode = UInt8(random.below(16))
      case 1: frame.reserved = UInt8(random.below(8))
      case 2: frame.isFinal.toggle()
      case 3: frame.form = .medium
      case 4: frame.form = .wide
      default: frame.length = random.next() >> UInt64(random.below(64))
      }
    }
  }

  @Test(arguments: [true, false], [false, true]) func randomFrames(_ fromClient: Bool, _ mistakes: Bool) {
    var speaker = Speaker(random: SeededGenerator(seed: fromClient ? 41 : 42), fromClient: fromClient)
    var seen: Set<UInt16> = []
    var messages = 0
    for round in 0..<1_500 {
      var bytes = speaker.frames(mistakes: mistakes)
      if mistakes, round % 3 == 0 { bytes.removeLast(speaker.random.below(bytes.count + 1)) }
      if mistakes, round % 5 == 0, !bytes.isEmpty {
        bytes[speaker.random.below(bytes.count)] ^= 1 << UInt8(speaker.random.below(8))
      }
      let max = [1 << 20, 400, 100, 10][speaker.random.below(4)]
      let expected = ReferenceReader.read(bytes, fromClient: fromClient, max: max)
      for case .fault(let code) in expected.events { seen.insert(code) }
      for case .message in expected.events { messages += 1 }
      for pieces in [[bytes], speaker.random.cut(bytes, longest: 9), speaker.random.cut(bytes, longest: 2_000)] {
        let (outcome, complaints) = WebSocketBench.read(pieces, fromClient: fromClient, max: max)
        if outcome != expected || !complaints.isEmpty {
          Issue.record("round \(round): \(outcome.events.suffix(2)), not \(expected.events.suffix(2)) \(complaints)")
          return
        }
      }
    }
    // The bytes are such that everything comes of them.
    #expect(messages > 100 && seen.contains(1009) && (!mistakes || seen == [1002, 1007, 1009]))
  }

  /// Nothing but noise: the same whatever the cuts, and within bounds.
  @Test func randomBytes() {
    var random = SeededGenerator(seed: 43)
    for round in 0..<5_000 {
      var bytes = random.bytes(random.below(40))
      // Most noise ends at its first byte; this gives it a plausible beginning.
      if !bytes.isEmpty, round % 4 > 0 { bytes[0] = [0x81, 0x01, 0x82, 0x89, 0x88, 0x8a][random.below(6)] }
      if bytes.count > 1, round % 4 > 1 { bytes[1] = UInt8(random.below(12)) | (round % 2 == 0 ? 0x80 : 0) }
      let expected = ReferenceReader.read(bytes, fromClient: round % 2 == 0, max: 30)
      for pieces in [[bytes], bytes.map { [$0] }, random.cut(bytes, longest: 7)] {
        let (outcome, complaints) = WebSocketBench.read(pieces, fromClient: round % 2 == 0, max: 30)
        if outcome != expected || !complaints.isEmpty {
          Issue.record("\(bytes): \(outcome), \(expected) \(complaints)")
        }
      }
    }
  }
}

/// The bytes of hexadecimal digits; blanks do not count.
func bytes(_ hex: String) throws -> [UInt8] {
  let digits = try hex.filter { $0 != " " }.map { try #require($0.hexDigitValue) }
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
