import Testing

@testable import Edge

struct HTTP1ParserTests {
  /// However the bytes arrive, the outcome is one; and until it is known the head is incomplete.
  private func check(_ vector: HeadVector, isRequest: Bool) {
    let bench = ParserBench()
    bench.limits = vector.limits
    bench.toHead = vector.toHead
    let read = isRequest ? bench.request : bench.response
    for feed in feeds(raw(vector.text)) {
      let outcome = bench.growing(feed, read)
      if outcome != vector.outcome {
        Issue.record("\(vector.text.debugDescription) in \(feed.map(\.count)): \(outcome), not \(vector.outcome)")
        return
      }
    }
  }

  @Test(arguments: RequestVectors.all) func requests(_ vector: HeadVector) { check(vector, isRequest: true) }

  @Test(arguments: ResponseVectors.all) func responses(_ vector: HeadVector) { check(vector, isRequest: false) }

  /// A complete head ends where it ends: what follows is not looked at and does not change the outcome.
  @Test(arguments: ["", "x", "\u{0}", "\nGET", String(repeating: "y", count: 100)])
  func whatFollowsIsLeft(_ rest: String) {
    let bench = ParserBench()
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
    let facts = RequestFacts(method: "POST", target: "/a", framing: .length(3))
    #expect(bench.request(raw(head + rest)) == .request(facts))
    #expect(bench.headCount == head.utf8.count)
    #expect(bench.request(raw("\r\n" + head + rest)) == .request(facts))
    #expect(bench.headCount == head.utf8.count + 2)
  }

  /// Every prefix of a good head is incomplete.
  @Test func prefixesAreIncomplete() {
    let bench = ParserBench()
    let request = raw("\r\nPOST /a HTTP/1.1\r\nHost: h\r\nA: b\r\nContent-Length: 3\r\n\r\n")
    let response = raw("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n")
    for count in 0..<request.count { #expect(bench.request(Array(request[..<count])) == .incomplete) }
    for count in 0..<response.count { #expect(bench.response(Array(response[..<count])) == .incomplete) }
  }

  @Test func fieldsAreRangesWithoutWhiteSpace() {
    let bench = ParserBench()
    _ = bench.request(raw("GET / HTTP/1.1\r\nHost: h\r\nA:\t b c \t\r\nEmpty: \r\nCookie:x\r\nCookie: y\r\n\r\n"))
    #expect(bench.fields.map(\.name) == ["Host", "A", "Empty", "Cookie", "Cookie"])
    #expect(bench.fields.map(\.value) == ["h", "b c", "", "x", "y"])
    #expect(bench.fields.map(\.known) == [.host, .other, .other, .cookie, .cookie])
  }

  /// Nothing of one head is left for the next.
  @Test func headsAreApart() {
    let bench = ParserBench()
    let first =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
      + "Connection: close, x-a\r\nX-A: 1\r\n\r\n"
    let plain = "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n"
    _ = bench.request(raw(first))
    #expect(bench.request(raw(plain)) == .request(RequestFacts()))
    _ = bench.request(raw("GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\nContent-Length: 1\r\n\r\n"))
    #expect(bench.request(raw(plain)) == .request(RequestFacts()))
    #expect(bench.givenContentLength == nil)
  }

  @Test func givenContentLengths() {
    let bench = ParserBench()
    bench.toHead = true
    _ = bench.response(raw("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n"))
    #expect(bench.givenContentLength == 17)
    _ = bench.response(raw("HTTP/1.1 304 No\r\nETag: x\r\n\r\n"))
    #expect(bench.givenContentLength == nil)
  }

  /// Clients that offer HTTP/2 in the clear do so with every method. Only websocket is an upgrade here; any other offer
  /// is left unanswered, as RFC 9110 section 7.8 allows, and the request is a plain one.
  @Test func anOfferOfHTTP2WithABodyIsAPlainRequest() {
    let bench = ParserBench()
    let outcome = bench.request(
      raw(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
          + "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 5\r\n\r\n"))
    guard case .request(let facts) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(facts.framing == .length(5))
    #expect(facts.dropped.contains("Upgrade"))
  }

  // MARK: Limits

  @Test(arguments: [64, 1_024, 16 << 10, 60 << 10]) func headBytes(_ limit: Int) {
    func head(_ start: String, _ size: Int) -> [UInt8] {
      raw(start + "A: " + String(repeating: "x", count: size - start.utf8.count - 7) + "\r\n\r\n")
    }
    let bench = ParserBench()
    bench.limits.bytes = limit
    for (size, isGood) in [(limit - 1, true), (limit, true), (limit + 1, false), (limit + 500, false)] {
      let request = head("GET / HTTP/1.1\r\nHost: h\r\n", size)
      let expected: HeadOutcome = isGood ? .request(RequestFacts()) : .fault(.tooLarge)
      #expect(bench.request(request) == expected)
      #expect(bench.growing([Array(request.dropLast()), [0x0a]], bench.request) == expected)
      let answer: HeadOutcome = isGood ? .response(ResponseFacts(framing: .length(0))) : .fault(.tooLarge)
      #expect(bench.response(head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", size)) == answer)
    }
  }

  /// An endless line is refused when the limit is reached, not later.
  @Test func endlessLines() {
    let bench = ParserBench()
    bench.limits.bytes = 100
    for start in ["GET /", "GET / HTTP/1.1\r\nHost: h\r\nA: ", "GET / HTTP/1.1\r\nHost: h\r\nA"] {
      let bytes = raw(start + String(repeating: "a", count: 100))
      #expect(bench.request(Array(bytes[..<99])) == .incomplete)
      #expect(bench.request(Array(bytes[..<100])) == .fault(.tooLarge))
    }
    #expect(bench.response(raw("HTTP/1.1 200 " + String(repeating: "a", count: 86))) == .incomplete)
    #expect(bench.response(raw("HTTP/1.1 200 " + String(repeating: "a", count: 87))) == .fault(.tooLarge))
  }

  @Test(arguments: [8, 100, 256]) func headFields(_ limit: Int) {
    let bench = ParserBench()
    bench.limits.fields = limit
    for (count, isGood) in [(limit - 1, true), (limit, true), (limit + 1, false), (limit + 300, false)] {
      let fields = String(repeating: "a: b\r\n", count: count - 1)
      let request = raw("GET / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n")
      #expect(bench.request(request) == (isGood ? .request(RequestFacts()) : .fault(.tooManyFields)))
      let response = raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\(fields)\r\n")
      let answer: HeadOutcome = isGood ? .response(ResponseFacts(framing: .length(0))) : .fault(.tooManyFields)
      #expect(bench.response(response) == answer)
    }
  }

  private let early: Set<HeadFault> = [
    .badMethod, .badTarget, .badVersion, .badFieldName, .badFieldValue, .folded,
  ]

  /// Whether there is a control byte beside the ends of lines.
  private func isBroken(_ bytes: [UInt8]) -> Bool {
    bytes.indices.contains { index in
      switch bytes[index] {
      case 0x0d: index + 1 < bytes.count && bytes[index + 1] != 0x0a
      case 0x00...0x08, 0x0b, 0x0c, 0x0e...0x1f, 0x7f: true
      default: false
      }
    }
  }

  /// Random bytes and damaged heads: an outcome, the same however they are cut, and no byte outside is read.
  @Test func damagedHeads() {
    var random = SeededGenerator(seed: 9)
    let bench = ParserBench()
    let seed = raw("POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: x, close\r\nX: y\r\n\r\n")
    for _ in 0..<3_000 {
      var bytes = seed
      for _ in 0...random.below(3) {
        let place = random.below(bytes.count)
        switch random.below(3) {
        case 0: bytes[place] = [0x00, 0x0a, 0x0d, 0x20, 0x3a, 0x2c, 0xff, 0x41][random.below(8)]
        case 1: bytes.remove(at: place)
        default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
        }
      }
      let whole = bench.request(bytes)
      let cut = bench.growing(random.cut(bytes, longest: 20), bench.request)
      // What no line may hold is found in a cut head before anything else that is wrong, also in a target.
      if case .fault(let fault) = cut, early.contains(fault), isBroken(bytes) { continue }
      if whole != cut { Issue.record("\(latin(bytes).debugDescription): \(whole), cut \(cut)") }
    }
  }
}
