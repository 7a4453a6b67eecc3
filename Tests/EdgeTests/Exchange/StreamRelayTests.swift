import Testing

@testable import Edge

/// Relays a body piece by piece in memory with the room a scratch area has, as the driver does.
private struct RelayBench {
  let classes: ByteClasses
  private let arena = Arena()
  /// What the other side gets.
  private(set) var output: [UInt8] = []
  /// What follows the body, as it stands in memory after the relay has written.
  private(set) var rest: [UInt8] = []
  private(set) var content = 0
  private(set) var fault: HeadFault?
  private(set) var isEnded = false
  private(set) var complaints: [String] = []

  init() { classes = ByteClasses(arena: arena) }

  mutating func relay(_ pieces: [[UInt8]], _ reading: BodyFraming, _ writing: WrittenFraming) {
    var reader = BodyReader(reading)
    for (place, bytes) in pieces.enumerated() {
      if isEnded {
        rest += bytes
        continue
      }
      let area = ByteArea(bytes, headroom: Limits.readHeadroom, tail: Limits.readHeadroom)
      let piece = StreamRelay.piece(area.base, area.count, reader: &reader, framing: writing, classes: classes)
      if let fault = piece.fault {
        self.fault = fault
        return
      }
      if piece.consumed < bytes.count, !piece.isEnded {
        complaints.append("piece \(place): stopped at \(piece.consumed)")
      }
      // The driver keeps what follows before or after it sends: either way it must be as it came.
      let left = area.slice(piece.consumed..<bytes.count)
      if left != Array(bytes[piece.consumed...]) {
        complaints.append("piece \(place): what follows the body became \(latin(left).debugDescription)")
      }
      rest += left
      output += UnsafeBufferPointer(start: piece.start, count: piece.count)
      content += piece.payload
      isEnded = piece.isEnded
    }
  }
}

struct StreamRelayTests {
  /// Every cut of a chunked body with a request behind it.
  @Test(arguments: [WrittenFraming.chunked, .untilClose, .length(5), .none])
  func nothingBehindTheBodyIsTouched(_ writing: WrittenFraming) {
    let body = "5\r\nhello\r\n0\r\n\r\n"
    let next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
    for feed in feeds(raw(body + next)) {
      var bench = RelayBench()
      bench.relay(feed, .chunked, writing)
      #expect(bench.isEnded && bench.content == 5)
      if !bench.complaints.isEmpty || bench.rest != raw(next) {
        Issue.record("in \(feed.map(\.count)): \(bench.complaints), rest \(latin(bench.rest).debugDescription)")
      }
      let decoded = writing == .chunked ? decodeChunked(bench.output) : (bench.output, [])
      #expect(decoded?.content == raw("hello") && decoded?.rest == [], "in \(feed.map(\.count))")
    }
  }

  @Test func emptyBodies() {
    for feed in feeds(raw("0\r\nTrailer: x\r\n\r\nnext")) {
      var bench = RelayBench()
      bench.relay(feed, .chunked, .chunked)
      #expect(bench.output == raw("0\r\n\r\n"))
      #expect(bench.rest == raw("next"), "in \(feed.map(\.count))")
    }
    var bench = RelayBench()
    bench.relay([raw("next")], .none, .none)
    #expect(bench.output.isEmpty && bench.isEnded && bench.rest == raw("next"))
  }

  /// Every pair of framings that an exchange can have, with random content and cuts.
  @Test(arguments: [20, 21, 22]) func randomBodies(_ seed: Int) {
    var encoder = ChunkEncoder(random: SeededGenerator(seed: UInt64(seed)))
    for round in 0..<120 {
      let content = encoder.random.bytes(1 + encoder.random.below(round % 10 == 0 ? 100_000 : 600))
      let longest = 1 + encoder.random.below(round % 10 == 0 ? 65_536 : 300)
      let next = raw("GET / HTTP/1.1\r\n\r\n")
      let chunks = encoder.random.cut(encoder.encode(content, longest: longest) + next, longest: longest)
      for writing in [WrittenFraming.chunked, .untilClose] { check(chunks, .chunked, writing, content, next) }
      let length = UInt64(content.count)
      check(encoder.random.cut(content + next, longest: longest), .length(length), .length(length), content, next)
      let open = encoder.random.cut(content, longest: longest)
      for writing in [WrittenFraming.chunked, .untilClose] { check(open, .untilClose, writing, content, []) }
    }
  }

  /// The content is what was sent, and what follows stays what it was.
  private func check(
    _ pieces: [[UInt8]], _ reading: BodyFraming, _ writing: WrittenFraming, _ content: [UInt8], _ next: [UInt8]
  ) {
    var bench = RelayBench()
    bench.relay(pieces, reading, writing)
    // The end of a body that the connection ends is told by the driver.
    let last = reading == .untilClose && writing == .chunked ? raw(ChunkWriter.last.description) : []
    let output = bench.output + last
    let decoded = writing == .chunked ? decodeChunked(output)?.content : output
    let isRight =
      bench.fault == nil && bench.complaints.isEmpty && bench.content == content.count && bench.rest == next
      && decoded == content && bench.isEnded == (reading != .untilClose)
    if !isRight {
      Issue.record("\(reading) to \(writing), pieces \(pieces.suffix(3).map(\.count)): \(bench.complaints)")
    }
  }

  @Test func faultsAreHandedOn() {
    var bench = RelayBench()
    bench.relay([raw("5\r\nhel"), raw("loX")], .chunked, .chunked)
    #expect(bench.fault == .badChunkEnd)
  }

  /// The widest read, framed: the size line fits in the room in front, the line end in the room behind.
  @Test func fullReads() {
    var bench = RelayBench()
    let content = [UInt8](repeating: 0x78, count: Limits.readBytes)
    bench.relay([content], .untilClose, .chunked)
    #expect(bench.output == raw("10000\r\n") + content + raw("\r\n"))
  }
}
