import Testing

@testable import Edge

/// A chunked body and what must come of it.
struct BodyVector: Sendable, CustomTestStringConvertible {
  let text: String
  var content = ""
  var rest = ""
  var fault: HeadFault?
  var isEnded = false

  var testDescription: String { text.prefix(80).debugDescription }

  static func good(_ text: String, _ content: String, rest: String = "") -> BodyVector {
    BodyVector(text: text + rest, content: content, rest: rest, isEnded: true)
  }

  static func bad(_ text: String, _ fault: HeadFault, _ content: String = "") -> BodyVector {
    BodyVector(text: text, content: content, fault: fault)
  }

  static func open(_ text: String, _ content: String) -> BodyVector { BodyVector(text: text, content: content) }
}

enum BodyVectors {
  static let all = good + open + sizes + extensions + ends + trailers

  private static let good: [BodyVector] = [
    .good("0\r\n\r\n", ""), .good("5\r\nhello\r\n0\r\n\r\n", "hello"), .good("00000\r\n\r\n", ""),
    .good("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"), .good("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    .good("A\r\n\r\n0\r\n\r\n\r\n\r\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n\r"),
    .good("0000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
    .good("1\r\n\u{0}\r\n1\r\n\u{ff}\r\n0\r\n\r\n", "\u{0}\u{ff}"), .good("0000000000000\r\n\r\n", ""),
    .good("5\r\nhello\r\n0\r\n\r\n", "hello", rest: "GET / HTTP/1.1\r\n"),
    .good("0\r\n\r\n", "", rest: "\r\n0\r\n\r\n"),
    .good("0\r\n\r\n", "", rest: "\u{0}"),
  ]

  private static let open: [BodyVector] = [
    .open("", ""), .open("5", ""), .open("5\r", ""), .open("5\r\nhel", "hel"), .open("5\r\nhello", "hello"),
    .open("5\r\nhello\r", "hello"), .open("5\r\nhello\r\n", "hello"), .open("0\r\n", ""), .open("0\r\n\r", ""),
    .open("0\r\nA: b\r\n", ""), .open("5;a=\"b", ""), .open("fffffffffffff\r\nx", "x"),
  ]

  private static let sizes: [BodyVector] = [
    .bad("00000000000005\r\nhello", .badChunkSize), .bad("10000000000000\r\nx", .badChunkSize),
    .bad("00000000000000\r\n\r\n", .badChunkSize), .bad("fffffffffffffffff\r\n", .badChunkSize),
    .bad("0x5\r\nhello", .badChunkSize), .bad("+5\r\nhello", .badChunkSize), .bad("-5\r\nhello", .badChunkSize),
    .bad("-0\r\n\r\n", .badChunkSize), .bad(" 5\r\nhello", .badChunkSize), .bad("\t5\r\nhello", .badChunkSize),
    .bad("\r\n5\r\nhello", .badChunkSize),
    .bad("\n", .badChunkSize), .bad("5\nhello", .badChunkSize), .bad("5\rhello", .badChunkSize),
    .bad("5\r\rhello", .badChunkSize),
    .bad("g\r\n", .badChunkSize), .bad("5g\r\n", .badChunkSize), .bad(";a\r\n", .badChunkSize),
    .bad("5,5\r\n", .badChunkSize),
    .bad("\u{0}5\r\n", .badChunkSize), .bad("5\u{0}\r\n", .badChunkSize), .bad("1_0\r\n", .badChunkSize),
    .bad("\u{b2}\r\n", .badChunkSize), .bad("5.\r\n", .badChunkSize), .bad("0\n\r\n", .badChunkSize),
    .bad("0\r\r\n", .badChunkSize),
    .bad("5\r\nhello\r\nx\r\n", .badChunkSize, "hello"), .bad("5\r\nhello\r\n\r\n", .badChunkSize, "hello"),
  ]

  private static let extensions: [BodyVector] =
    [
      .good("5;a\r\nhello\r\n0\r\n\r\n", "hello"), .good("5;a=b\r\nhello\r\n0;x=\"y\"\r\n\r\n", "hello"),
      .good("5;a=b;c=\"d e;f=g\u{80}\u{ff}\";h\r\nhello\r\n0\r\n\r\n", "hello"),
      .good("0;!#$%&'*+-.^_`|~=z\r\n\r\n", ""),
      .good("5;a=\"\"\r\nhello\r\n0\r\n\r\n", "hello"),
      .good("5;a=\"b\\\"c\\\\\td\"\r\nhello\r\n0\r\n\r\n", "hello"),
      // White space around the semicolon and the equals sign.
      .good("5 ;a\r\nhello\r\n0\t;b\r\n\r\n", "hello"), .good("5; a\r\nhello\r\n0\r\n\r\n", "hello"),
      .good("5 \t ; \ta \t = \tb \t ; c\r\nhello\r\n0\r\n\r\n", "hello"),
      .good("5;a = \"b c\" ;d ;e\r\nhello\r\n0\r\n\r\n", "hello"),
      // 64 bytes from the semicolon on, and 65.
      .good("0;" + String(repeating: "a", count: 63) + "\r\n\r\n", ""),
      .bad("0;" + String(repeating: "a", count: 64) + "\r\n\r\n", .badChunkExtension),
      .good("0;a=\"" + String(repeating: " ", count: 59) + "\"\r\n\r\n", ""),
      .bad("0;a=\"" + String(repeating: " ", count: 60) + "\"\r\n\r\n", .badChunkExtension),
      .bad("0;" + String(repeating: "a", count: 10_000), .badChunkExtension),
      .good("0 " + String(repeating: " ", count: 61) + ";a\r\n\r\n", ""),
      .bad("0 " + String(repeating: " ", count: 62) + ";a\r\n\r\n", .badChunkExtension),
      .bad("0;a=" + String(repeating: "\t", count: 10_000), .badChunkExtension),
      .bad("5;a=\"" + String(repeating: "a", count: 10_000), .badChunkExtension),
    ]
    + [
      "5;\r\n", "5;;a\r\n", "5 \r\n", "5\t\r\n", "5; \r\n", "5;a \r\n", "5;a= \r\n", "5;a=b \r\n", "5;a=\"b\" \r\n",
      "5 a\r\n", "5 5\r\n", "5 =b\r\n", "5;a b\r\n", "5;a=b c\r\n", "5;a=b =c\r\n", "5; ;a\r\n", "5 \n",
      "5 \u{0b};a\r\n",
      "5;a=\r\n", "5;=b\r\n", "5;a=;b\r\n",
      "5;a=b=c\r\n", "5;a\nhello", "5;a=b\nhello", "5;a=\"b\nc\"", "5;a=\"b\rc\"", "5;a=\"b\"\nhello",
      "5;a=\"b\\\r\n\"", "5;a=\"\\\u{0}", "5;a\\b", "5;a=\"b\"c", "5;a=\"b\"\"c\"", "5;a=b\"c\"", "5;\u{0}",
      "5;a=\"\u{0}\"", "5;a=\"\u{7f}\"",
      "5;a=\u{80}", "5;a,b", "5;\"a\"", "5;a(b)",
    ].map { .bad($0, .badChunkExtension) }

  private static let ends: [BodyVector] = [
    .bad("5\r\nhelloX\r\n", .badChunkEnd, "hello"), .bad("5\r\nhello\n0\r\n\r\n", .badChunkEnd, "hello"),
    .bad("5\r\nhello\rX", .badChunkEnd, "hello"), .bad("5\r\nhello0\r\n\r\n", .badChunkEnd, "hello"),
    .bad("5\r\nhello\r\r\n", .badChunkEnd, "hello"), .bad("1\r\nab", .badChunkEnd, "a"),
    .bad("0\r\n\rX", .badChunkEnd), .bad("0\r\n\r\r\n", .badChunkEnd), .bad("0\r\nA: b\r\n\rX", .badChunkEnd),
  ]

  private static let trailers: [BodyVector] = [
    .good("0\r\nA: b\r\n\r\n", ""), .good("1\r\nx\r\n0\r\nA: b\r\nC:\r\nD:\t\u{e9} \r\n\r\n", "x", rest: "GET"),
    .good("0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n", "", rest: "x"),
    // The section is 8,192 bytes long, its last LF not counted, and one more.
    .good("0\r\nA:" + String(repeating: "x", count: 8_187) + "\r\n\r\n", ""),
    .bad("0\r\nA:" + String(repeating: "x", count: 8_188) + "\r\n\r\n", .badTrailer),
    .bad("0\r\n" + String(repeating: "A: b\r\n", count: 2_000), .badTrailer),
    .bad("0\r\n" + String(repeating: "A", count: 10_000), .badTrailer),
    .bad("0\r\n\n", .badTrailer), .bad("0\r\nX\r\n\r\n", .badTrailer), .bad("0\r\n: x\r\n\r\n", .badTrailer),
    .bad("0\r\nA : x\r\n\r\n", .badTrailer), .bad("0\r\n A: x\r\n\r\n", .badTrailer),
    .bad("0\r\nA: x\n\r\n", .badTrailer),
    .bad("0\r\nA: x\r\n b\r\n\r\n", .badTrailer), .bad("0\r\nA: \u{0}\r\n\r\n", .badTrailer),
    .bad("0\r\nA: b\rc\r\n", .badTrailer),
    .bad("0\r\nA\u{0}: x\r\n", .badTrailer), .bad("0\r\nA: \u{7f}\r\n", .badTrailer),
    .bad("0\r\n\u{e9}: x\r\n", .badTrailer),
  ]
}

struct BodyReaderTests {
  /// However the bytes arrive: the same content, the same fault, and what follows is left as it was.
  @Test(arguments: BodyVectors.all) func chunked(_ vector: BodyVector) {
    let expected = BodyOutcome(
      content: raw(vector.content), rest: vector.fault == nil ? raw(vector.rest) : [], fault: vector.fault,
      isEnded: vector.isEnded)
    let bytes = raw(vector.text)
    let some = [[bytes], bytes.map { [$0] }, [Array(bytes.prefix(9)), Array(bytes.dropFirst(9))]]
    let all = bytes.count > 2_000 ? some : feeds(bytes)
    for feed in all {
      var bench = BodyBench()
      var outcome = bench.read(feed, .chunked)
      if outcome.fault != nil { outcome.rest = [] }
      if outcome != expected || !bench.complaints.isEmpty {
        let content = latin(outcome.content).debugDescription
        Issue.record("in \(feed.map(\.count)): \(outcome.fault as Any), \(content) \(bench.complaints)")
        return
      }
    }
  }

  @Test(arguments: [0, 1, 5, 10, 100]) func lengths(_ length: Int) {
    let bytes = raw("0123456789")
    let (content, rest) = (Array(bytes.prefix(length)), Array(bytes.dropFirst(length)))
    for feed in feeds(bytes) {
      var bench = BodyBench()
      let outcome = bench.read(feed, .length(UInt64(length)))
      #expect(outcome == BodyOutcome(content: content, rest: rest, isEnded: length <= 10))
      #expect(bench.complaints.isEmpty)
    }
  }

  @Test func whatGoesByUnreadCounts() {
    let arena = Arena()
    defer { withExtendedLifetime(arena) {} }
    let classes = ByteClasses(arena: arena)
    var reader = BodyReader(.length(10))
    reader.pass(4)
    #expect(reader.remainingBytes == 6 && !reader.isEnded)
    let area = ByteArea(raw("0123456789"))
    #expect(reader.read(area.base, 2, classes) == BodyStep(payload: 2, consumed: 2))
    reader.pass(4)
    #expect(reader.isEnded && reader.remainingBytes == nil)
    reader.pass(1)
    #expect(reader == BodyReader(.none))
    var short = BodyReader(.length(1))
    short.pass(2)
    #expect(short.isEnded)
    for framing: BodyFraming in [.none, .chunked, .untilClose] {
      var uncounted = BodyReader(framing)
      uncounted.pass(5)
      #expect(uncounted == BodyReader(framing))
    }
  }

  @Test func noBodyAndOpenEnd() {
    var bench = BodyBench()
    #expect(bench.read([raw("x")], .none) == BodyOutcome(rest: raw("x"), isEnded: true))
    #expect(bench.read([raw("a"), raw("b")], .untilClose) == BodyOutcome(content: raw("ab")))
    for framing in [BodyFraming.none, .length(0), .length(1), .chunked, .untilClose] {
      let reader = BodyReader(framing)
      #expect(reader.isEnded == (framing == .none || framing == .length(0)))
      #expect(reader.endsWithConnection == (framing == .untilClose))
    }
  }

  /// What a chunk has promised is known before it comes: a body over its limit is refused before it is sent on.
  @Test func announcedBytes() {
    let bench = BodyBench()
    var reader = BodyReader(.chunked)
    let bytes = raw("1a;x\r\n" + String(repeating: "y", count: 26) + "\r\n0\r\n\r\n")
    var seen: [UInt64] = []
    for byte in bytes {
      let area = ByteArea([byte])
      _ = reader.read(area.base, 1, bench.classes)
      seen.append(reader.announcedBytes)
    }
    #expect(seen.prefix(5) == [0, 0, 0, 0, 0])
    #expect(Array(seen[5...32]) == (0...26).reversed().map { UInt64($0) } + [0])
    #expect(seen.suffix(6).allSatisfy { $0 == 0 } && reader.isEnded)
    #expect(BodyReader(.length(9)).announcedBytes == 0)
  }

  @Test func theLargestLengthDoesNotOverflow() {
    var bench = BodyBench()
    #expect(bench.read([raw("abc")], .length(.max)) == BodyOutcome(content: raw("abc")))
  }

  /// After its end a reader takes nothing.
  @Test func nothingIsTakenAfterTheEnd() {
    let bench = BodyBench()
    var reader = BodyReader(.chunked)
    let area = ByteArea(raw("0\r\n\r\nrest"))
    #expect(reader.read(area.base, area.count, bench.classes).consumed == 5)
    #expect(reader.read(area.base + 5, 4, bench.classes) == BodyStep())
    #expect(reader.isEnded)
  }

  @Test(arguments: [10, 11, 12, 13]) func randomChunks(_ seed: Int) {
    var encoder = ChunkEncoder(random: SeededGenerator(seed: UInt64(seed)))
    for round in 0..<150 {
      let content = encoder.random.bytes(encoder.random.below(round % 10 == 0 ? 20_000 : 400))
      let bytes = encoder.encode(content, longest: 1 + encoder.random.below(500))
      let rest = encoder.random.bytes(encoder.random.below(40))
      var bench = BodyBench()
      let outcome = bench.read(encoder.random.cut(bytes + rest, longest: 1 + encoder.random.below(200)), .chunked)
      if outcome != BodyOutcome(content: content, rest: rest, isEnded: true) || !bench.complaints.isEmpty {
        Issue.record("round \(round): \(outcome.fault as Any) \(bench.complaints)")
      }
    }
  }

  /// Damaged bodies: the outcome does not depend on the cuts.
  @Test func damagedChunks() {
    var encoder = ChunkEncoder(random: SeededGenerator(seed: 14))
    for _ in 0..<1_000 {
      let content = encoder.random.bytes(encoder.random.below(50))
      var bytes = encoder.encode(content, longest: 20)
      let place = encoder.random.below(bytes.count)
      bytes[place] = [0x0a, 0x0d, 0x20, 0x30, 0x3b, 0x5c, 0x00, 0x66][encoder.random.below(8)]
      var bench = BodyBench()
      var whole = bench.read([bytes], .chunked)
      var cut = bench.read(encoder.random.cut(bytes, longest: 10), .chunked)
      if whole.fault != nil { (whole.rest, cut.rest) = ([], []) }
      if whole != cut || !bench.complaints.isEmpty {
        Issue.record("\(latin(bytes).debugDescription) \(bench.complaints)")
      }
    }
  }
}
