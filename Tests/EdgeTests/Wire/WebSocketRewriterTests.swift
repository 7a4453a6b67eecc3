import Testing

@testable import Edge

/// Hands pieces on as a pair does: what is left over stands in front of the next piece, and a head's room in front of
/// that.
private struct RewriterBench {
  var rewriter: WebSocketRewriter
  var masks: RandomBytes
  private let arena = Arena()
  /// What went on, what is kept, and the most that ever was.
  private(set) var passed: [UInt8] = []
  private(set) var kept: [UInt8] = []
  private(set) var keptMost = 0
  private(set) var close: CloseCode?
  private(set) var hasClosed = false
  private(set) var fault: CloseCode?
  /// Fragments that went on.
  private(set) var passages = 0
  private var second: UInt32 = 0

  init(isMasked: Bool, max: Int = .max) {
    rewriter = WebSocketRewriter(isMasked: isMasked, messageBytesMax: max)
    masks = RandomBytes(arena: arena)
  }

  static func run(_ pieces: [[UInt8]], isMasked: Bool, max: Int = .max) -> RewriterBench {
    var bench = RewriterBench(isMasked: isMasked, max: max)
    for piece in pieces { bench.take(piece) }
    return bench
  }

  mutating func take(_ piece: [UInt8], inSameSecond: Bool = false) {
    if hasClosed || fault != nil { return }
    if !inSameSecond { second += 1 }
    let room = Limits.readHeadroom
    var bytes = [UInt8](repeating: 0xee, count: room) + kept + piece
    let count = kept.count + piece.count
    var passage = WebSocketPassage()
    bytes.withUnsafeMutableBufferPointer { area in
      guard let base = area.baseAddress else { return }
      passage = rewriter.rewrite(base + room, count, second: second, &masks)
    }
    if passage.count > 0 { passages += 1 }
    passed += bytes[room + passage.start..<room + passage.end]
    (hasClosed, close, fault) = (passage.closes, passage.code, passage.fault)
    kept = hasClosed || fault != nil ? [] : Array(bytes[(room + passage.rest)...])
    keptMost = Swift.max(keptMost, kept.count)
  }
}

struct WebSocketRewriterTests {
  /// Whole, byte by byte, and cut in two everywhere; for long ones that holds for what surrounds the head.
  private static func cuts(_ bytes: [UInt8]) -> [[[UInt8]]] {
    if bytes.count <= 600 { return feeds(bytes) }
    return [[bytes], bytes.prefix(24).map { [$0] } + [Array(bytes[24...])]]
      + (1...24).map { [Array(bytes[..<$0]), Array(bytes[$0...])] }
      + [1_021, 4_096].map { size in
        stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min(bytes.count, $0 + size)]) }
      }
  }

  /// However the bytes arrive, what goes on says what they say up to what is wrong, and that is told.
  private static func check(_ bytes: [UInt8], fromClient: Bool, max: Int) {
    let expected = ReferenceReader.read(bytes, fromClient: fromClient, max: max)
    for feed in cuts(bytes) {
      let bench = RewriterBench.run(feed, isMasked: fromClient, max: max)
      var events = ReferenceReader.read(bench.passed, fromClient: fromClient).events
      if let fault = bench.fault { events.append(.fault(fault.rawValue)) }
      // Of a frame that is not whole nothing is told yet.
      let isHeld = !bench.kept.isEmpty && expected.events.last == .fault(1007) && bench.fault == nil
      let wanted = isHeld ? Array(expected.events.dropLast()) : expected.events
      let isRight = events == wanted && bench.keptMost <= Limits.heldFrameBytes
      if !isRight {
        Issue.record("client: \(fromClient), in \(feed.map(\.count)): \(events.suffix(3)), not \(wanted.suffix(3))")
        return
      }
    }
  }

  @Test(arguments: SocketVectors.all) func vectors(_ vector: SocketVector) {
    for fromClient in [true, false] {
      Self.check(vector.bytes(fromClient: fromClient), fromClient: fromClient, max: vector.max)
    }
  }

  @Test(arguments: SocketVectors.corpus.indices) func corpus(_ index: Int) throws {
    let row = SocketVectors.corpus[index]
    Self.check(try bytes(row.hex), fromClient: row.said == "c", max: 1 << 20)
  }

  /// What a service sends goes on byte for byte, and what a client sends has the same bytes but for the masks.
  @Test func framesKeepTheirBorders() {
    let frames = [
      SocketFrame.text("Hel", isFinal: false), .ping("p"), .more("lo", isFinal: true),
      SocketFrame(opcode: 2, payload: [UInt8](repeating: 7, count: 300)), SocketFrame(opcode: 10), .close(1000, [0x62]),
    ]
    let plain = frames.flatMap { $0.bytes(mask: nil) }
    for feed in feeds(plain) { #expect(RewriterBench.run(feed, isMasked: false).passed == plain) }
    let masked = frames.flatMap { $0.bytes(mask: [1, 2, 3, 4]) }
    for feed in feeds(masked) {
      let bench = RewriterBench.run(feed, isMasked: true)
      #expect(bench.passed.count == masked.count)
      #expect(bench.passed != masked)
      #expect(bench.hasClosed && bench.close == .normal)
    }
  }

  @Test func everyMaskIsFresh() {
    var bench = RewriterBench(isMasked: true)
    var keys: Set<[UInt8]> = []
    for _ in 0..<1_000 {
      let before = bench.passed.count
      bench.take(SocketFrame.text("abc").bytes(mask: [9, 9, 9, 9]))
      keys.insert(Array(bench.passed[before + 2..<before + 6]))
    }
    #expect(keys.count == 1_000)
  }

  /// A frame that is not longer than what is held goes on in one piece, a longer one as it comes.
  @Test(arguments: [true, false]) func longFramesGoOnInFragments(isMasked: Bool) {
    let mask: [UInt8]? = isMasked ? [5, 6, 7, 8] : nil
    let head = 4 + (isMasked ? 4 : 0)
    let longest = SocketFrame(payload: [UInt8](repeating: 0x61, count: Limits.heldFrameBytes - head)).bytes(mask: mask)
    for size in [1, 1_000, 16_000] {
      let feed = stride(from: 0, to: longest.count, by: size).map {
        Array(longest[$0..<min(longest.count, $0 + size)])
      }
      let bench = RewriterBench.run(feed, isMasked: isMasked)
      #expect(bench.passages == 1)
      #expect(bench.passed.count == longest.count)
    }
    let longer = SocketFrame(payload: [UInt8](repeating: 0x61, count: Limits.heldFrameBytes - head + 1)).bytes(
      mask: mask)
    let bench = RewriterBench.run([Array(longer.dropLast()), [longer[longer.count - 1]]], isMasked: isMasked)
    #expect(bench.passages == 2)
    #expect(ReferenceReader.read(bench.passed, fromClient: isMasked).events.count == 1)
  }

  /// A message of more than a mebibyte, in one frame or in many, with characters cut anywhere, holds at most a frame.
  @Test(arguments: [true, false]) func hugeMessages(isMasked: Bool) {
    let text = [UInt8](String(repeating: "€uro ", count: 200_000).utf8)
    let mask: [UInt8]? = isMasked ? [0xde, 0xad, 0xbe, 0xef] : nil
    let one = SocketFrame(payload: text).bytes(mask: mask)
    var many: [UInt8] = []
    for (index, start) in stride(from: 0, to: text.count, by: 100_001).enumerated() {
      let end = min(text.count, start + 100_001)
      many += SocketFrame(opcode: index == 0 ? 1 : 0, isFinal: end == text.count, payload: Array(text[start..<end]))
        .bytes(mask: mask)
    }
    for bytes in [one, many] {
      for size in [65_536, 1_447] {
        var bench = RewriterBench(isMasked: isMasked)
        for start in stride(from: 0, to: bytes.count, by: size) {
          bench.take(Array(bytes[start..<min(bytes.count, start + size)]))
        }
        let passed = bench.passed
        #expect(bench.kept.isEmpty && bench.fault == nil)
        #expect(bench.keptMost < Limits.heldFrameBytes)
        let pieces = stride(from: 0, to: passed.count, by: 30_000).map {
          Array(passed[$0..<min(passed.count, $0 + 30_000)])
        }
        let read = WebSocketBench.read(pieces, fromClient: isMasked, max: 1 << 24)
        #expect(read.outcome.events == [.text(text)])
        #expect(read.complaints.isEmpty)
      }
    }
  }

  /// In the middle of a long frame a fault shows with the byte that makes it one; what went on ends with a fragment.
  @Test func faultsWithinLongFrames() {
    let payload = [UInt8](repeating: 0x61, count: 40_000)
    let frame = SocketFrame(payload: payload + [0xff] + payload).bytes(mask: [1, 1, 1, 1])
    var bench = RewriterBench(isMasked: true)
    bench.take(Array(frame[..<30_000]))
    #expect(bench.fault == nil)
    bench.take(Array(frame[30_000..<50_000]))
    #expect(bench.fault == .badText)
    let read = ReferenceReader.read(bench.passed, fromClient: true)
    #expect(read.events.isEmpty && read.isInMessage && read.open.count == 29_986)
    // A character that the end of a frame cuts.
    let cut = SocketFrame(payload: payload + [0xe2, 0x82]).bytes(mask: nil)
    #expect(RewriterBench.run([Array(cut[..<20_000]), Array(cut[20_000...])], isMasked: false).fault == .badText)
  }

  @Test func sizesOfMessages() {
    let frame = SocketFrame(isFinal: false, payload: [UInt8](repeating: 1, count: 100)).bytes(mask: nil)
    let last = SocketFrame(opcode: 0, payload: [1]).bytes(mask: nil)
    #expect(RewriterBench.run([frame], isMasked: false, max: 99).fault == .tooLarge)
    #expect(RewriterBench.run([frame, last], isMasked: false, max: 100).fault == .tooLarge)
    #expect(RewriterBench.run([frame, last], isMasked: false, max: 101).fault == nil)
    let huge = SocketFrame(length: 1 << 62).bytes(mask: nil)
    #expect(RewriterBench.run([huge + [1]], isMasked: false).fault == nil)
    #expect(RewriterBench.run([huge], isMasked: false, max: 1 << 30).fault == .tooLarge)
    // A limit that a reload has made smaller.
    var bench = RewriterBench(isMasked: false, max: 1_000)
    bench.take(frame)
    bench.rewriter.messageBytesMax = 50
    bench.take(last)
    #expect(bench.fault == .tooLarge)
  }

  @Test func controlFramesInASecond() {
    var bench = RewriterBench(isMasked: true)
    for _ in 0..<Limits.controlFramesMax {
      bench.take(SocketFrame.ping().bytes(mask: [1, 2, 3, 4]), inSameSecond: true)
    }
    #expect(bench.fault == nil)
    bench.take(SocketFrame.ping().bytes(mask: [1, 2, 3, 4]))
    #expect(bench.fault == nil)
    for _ in 0..<Limits.controlFramesMax {
      bench.take(SocketFrame.ping().bytes(mask: [1, 2, 3, 4]), inSameSecond: true)
    }
    #expect(bench.fault == .policyViolation)
    // What stood in front of the one too many went on.
    #expect(ReferenceReader.read(bench.passed, fromClient: true).events.count == 2 * Limits.controlFramesMax)
  }
}
