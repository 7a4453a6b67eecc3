import Testing

@testable import Edge

/// What `HTTP1WriterTests` writes a request with, beside its head.
struct WriterCase {
  var framing = WrittenFraming.none
  var passing: PassedCredentials = []
  var isTrusted = false
  var address = "192.0.2.7"
  var isIPv6 = false
  var host = "h"
  var isSecure = false
}

struct HTTP1WriterTests {
  private func request(
    _ head: String, _ use: WriterCase = WriterCase(), capacity: Int = 4_096
  ) -> (text: String, overflowed: Bool) {
    let bench = ParserBench()
    let arena = Arena()
    let targets = RequestTargetReader(arena: arena, classes: bench.classes)
    let (address, host, id) = (arena.text(use.address), arena.text(use.host), arena.text("ID"))
    var outcome = (text: "not complete", overflowed: false)
    _ = bench.withRequest(raw(head)) { head, received in
      let start = received.bytes + Int(head.target.start)
      guard let target = targets.read(start, Int(head.target.count), method: head.method) else { return }
      let sender = Sender(
        address: address.start, addressCount: address.count, isIPv6: use.isIPv6,
        claimClasses: use.isTrusted ? bench.classes : nil, isSecure: use.isSecure, host: host.start,
        hostCount: host.count,
        requestID: id.start, requestIDCount: id.count)
      outcome = written(capacity: capacity) { writer in
        writer.appendRequest(
          head, received, target: target, framing: use.framing, passing: use.passing, sender: sender,
          authority: StaticBytes("127.0.0.1:3007"))
      }
    }
    return outcome
  }

  private func response(
    _ head: String, _ framing: WrittenFraming = .none, _ connection: WrittenConnection = .implied
  ) -> String {
    let bench = ParserBench()
    let id = StaticBytes("ID")
    var outcome = "not complete"
    _ = bench.withResponse(raw(head)) { head, received in
      outcome = text {
        $0.appendResponse(
          head, received, framing: framing, connection: connection, requestID: id.start, requestIDCount: id.count,
          date: StaticBytes("NOW"))
      }
    }
    return outcome
  }

  private let claims =
    "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\nx-forwarded-host: h\r\n"
    + "forwarded: for=192.0.2.7;host=\"h\";proto=http\r\nvia: 1.1 edge\r\nx-request-id: ID\r\n\r\n"

  // MARK: Requests

  @Test func plainRequest() {
    let head = "GET /a/../b%41?c HTTP/1.1\r\nAccept: */*\r\nHOST:  h \r\nX-Tight:x\r\nX-Wide: \t y \r\nEmpty: \r\n\r\n"
    #expect(
      request(head).text == "GET /bA?c HTTP/1.1\r\nhost: h\r\nAccept: */*\r\nX-Tight: x\r\nX-Wide: y\r\nEmpty: \r\n"
        + claims)
  }

  @Test func framings() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 007\r\n\r\n"
    let start = "POST / HTTP/1.1\r\nhost: h\r\n"
    #expect(request(head, WriterCase(framing: .length(7))).text == start + "content-length: 7\r\n" + claims)
    #expect(request(head, WriterCase(framing: .length(0))).text == start + "content-length: 0\r\n" + claims)
    #expect(
      request(head, WriterCase(framing: .chunked)).text == start + "transfer-encoding: chunked\r\n" + claims)
    #expect(request(head).text == start + claims)
  }

  @Test func everyHopByHopFieldIsTakenOut() {
    var head = "GET / HTTP/1.1\r\nHost: h\r\nConnection: x-named, keep-alive\r\nX-Named: 1\r\n"
    for row in HeaderRow.table where row.treatment.contains(.hopByHop) {
      if [.connection, .transferEncoding].contains(row.header) { continue }
      head += row.name.description.uppercased() + ": x\r\n"
    }
    head += "Expect: 100-continue\r\nProxy: evil\r\nX_Under: 1\r\nKept: yes\r\nX-Request-Id: theirs\r\n\r\n"
    #expect(request(head).text == "GET / HTTP/1.1\r\nhost: h\r\nKept: yes\r\n" + claims)
  }

  @Test func credentialsPassOnlyWhenNamed() {
    let head =
      "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nX-API-Key: b\r\nCookie: c\r\nCookie: d\r\n"
      + "Proxy-Authorization: e\r\n\r\n"
    let start = "GET / HTTP/1.1\r\nhost: h\r\n"
    let cases: [(PassedCredentials, String)] = [
      ([], ""), (.authorization, "Authorization: a\r\n"), (.apiKey, "X-API-Key: b\r\n"),
      (.cookie, "Cookie: c\r\nCookie: d\r\n"),
      ([.authorization, .apiKey, .cookie], "Authorization: a\r\nX-API-Key: b\r\nCookie: c\r\nCookie: d\r\n"),
    ]
    for (passing, lines) in cases {
      #expect(request(head, WriterCase(passing: passing)).text == start + lines + claims)
    }
  }

  private let claiming =
    "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 203.0.113.2, 10.0.0.1\r\n"
    + "X-Forwarded-Proto: https\r\nX-Forwarded-Host: front\r\nForwarded: for=203.0.113.1;proto=https\r\n\r\n"

  @Test func claimsOfStrangersAreDropped() {
    #expect(request(claiming).text == "GET / HTTP/1.1\r\nhost: h\r\n" + claims)
    let others =
      "X-Real-IP: 1\r\nX-Forwarded-Port: 2\r\nX-Forwarded-Server: 3\r\nTrue-Client-IP: 4\r\nX-Client-IP: 5\r\n"
      + "CF-Connecting-IP: 6\r\n"
    let head = "GET / HTTP/1.1\r\nHost: h\r\n" + others + "\r\n"
    #expect(request(head).text == "GET / HTTP/1.1\r\nhost: h\r\n" + claims)
    #expect(request(head, WriterCase(isTrusted: true)).text == "GET / HTTP/1.1\r\nhost: h\r\n" + others + claims)
  }

  @Test func claimsOfTrustedPeersAreKeptAndAppendedTo() {
    #expect(
      request(claiming, WriterCase(isTrusted: true)).text
        == "GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 203.0.113.1, 203.0.113.2, 10.0.0.1, 192.0.2.7\r\n"
        + "x-forwarded-proto: https\r\nx-forwarded-host: front\r\n"
        + "forwarded: for=203.0.113.1, for=203.0.113.2, for=10.0.0.1;proto=https, "
        + "for=192.0.2.7;host=\"h\";proto=http\r\n"
        + "via: 1.1 edge\r\nx-request-id: ID\r\n\r\n")
    let odd = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For:\r\nX-Forwarded-Proto: javascript\r\nForwarded:\r\n\r\n"
    #expect(request(odd, WriterCase(isTrusted: true)).text == "GET / HTTP/1.1\r\nhost: h\r\n" + claims)
    let plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    #expect(request(plain, WriterCase(isTrusted: true)).text == "GET / HTTP/1.1\r\nhost: h\r\n" + claims)
  }

  @Test func whatCameWithinTLSIsSaidToHaveComeByHTTPS() {
    let secure = claims.replacing("proto: http\r\n", with: "proto: https\r\n")
      .replacing("proto=http\r\n", with: "proto=https\r\n")
    let plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    for isTrusted in [false, true] {
      let written = request(plain, WriterCase(isTrusted: isTrusted, isSecure: true)).text
      #expect(written == "GET / HTTP/1.1\r\nhost: h\r\n" + secure)
    }
    // How a trusted peer was asked is for it to say; how it has asked is seen.
    let claiming = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.1\r\nX-Forwarded-Proto: http\r\n\r\n"
    let written = request(claiming, WriterCase(isTrusted: true, isSecure: true)).text
    #expect(written.contains("x-forwarded-proto: http\r\n"))
    #expect(written.contains("forwarded: for=203.0.113.1;proto=http, for=192.0.2.7;host=\"h\";proto=https\r\n"))
  }

  @Test func theFormThatProxiesLeaveOutIsMadeOfTheOther() {
    func claimed(_ fields: String) -> String {
      let head = "GET / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n\r\n"
      return String(request(head, WriterCase(isTrusted: true)).text.dropFirst("GET / HTTP/1.1\r\nhost: h\r\n".count))
    }
    let rest = "for=192.0.2.7;host=\"h\";proto=http\r\nvia: 1.1 edge\r\nx-request-id: ID\r\n\r\n"
    // A client's own Forwarded behind a proxy that writes only X-Forwarded-For.
    #expect(
      claimed("X-Forwarded-For: 203.0.113.9, x, 2001:db8::1\r\nForwarded: for=198.51.100.66;proto=https;host=evil")
        == "x-forwarded-for: 203.0.113.9, x, 2001:db8::1, 192.0.2.7\r\nx-forwarded-proto: http\r\n"
        + "x-forwarded-host: h\r\nforwarded: for=203.0.113.9, for=unknown, for=\"[2001:db8::1]\", " + rest)
    #expect(
      claimed("Forwarded: for=203.0.113.9, for=_x;by=y, for=\"[2001:db8::1]:80\";proto=https")
        == "x-forwarded-for: 203.0.113.9, unknown, 2001:db8::1, 192.0.2.7\r\nx-forwarded-proto: https\r\n"
        + "x-forwarded-host: h\r\nforwarded: for=203.0.113.9, for=_x;by=y, for=\"[2001:db8::1]:80\";proto=https, "
        + rest)
    // The nearest proxy adds its own behind the client's.
    #expect(
      claimed("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b")
        == "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\nx-forwarded-host: b\r\nforwarded: " + rest)
  }

  @Test func ipv6Senders() {
    let outcome = request(
      "GET / HTTP/1.1\r\nHost: [::2]:80\r\n\r\n", WriterCase(address: "2001:db8::1", isIPv6: true, host: "[::2]:80"))
    #expect(
      outcome.text == "GET / HTTP/1.1\r\nhost: [::2]:80\r\nx-forwarded-for: 2001:db8::1\r\nx-forwarded-proto: http\r\n"
        + "x-forwarded-host: [::2]:80\r\nforwarded: for=\"[2001:db8::1]\";host=\"[::2]:80\";proto=http\r\n"
        + "via: 1.1 edge\r\nx-request-id: ID\r\n\r\n")
  }

  @Test func olderHopsStayInVia() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 front\r\n\r\n"
    #expect(request(head).text == "GET / HTTP/1.1\r\nhost: h\r\nVia: 1.0 front\r\n" + claims)
  }

  @Test func requestsOfOldVersionsAndOtherMethods() {
    let outcome = request("PROPFIND http://h/x HTTP/1.0\r\n\r\n")
    let olderClaims = claims.replacing("via: 1.1", with: "via: 1.0")
    #expect(outcome.text == "PROPFIND /x HTTP/1.1\r\nhost: h\r\n" + olderClaims)
    let nobody = request("GET / HTTP/1.0\r\n\r\n", WriterCase(host: "")).text
    #expect(
      nobody == "GET / HTTP/1.1\r\nhost: 127.0.0.1:3007\r\nx-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\n"
        + "forwarded: for=192.0.2.7;proto=http\r\nvia: 1.0 edge\r\nx-request-id: ID\r\n\r\n")
  }

  @Test func maxForwardsIsCountedForOptionsOnly() {
    let fields = "Host: h\r\nMax-Forwards: 007\r\n\r\n"
    #expect(
      request("OPTIONS / HTTP/1.1\r\n" + fields).text == "OPTIONS / HTTP/1.1\r\nhost: h\r\nmax-forwards: 6\r\n" + claims
    )
    #expect(
      request("GET / HTTP/1.1\r\n" + fields).text == "GET / HTTP/1.1\r\nhost: h\r\nMax-Forwards: 007\r\n" + claims)
  }

  /// A head that fits is written to the last byte, one that does not says so.
  @Test func capacities() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
    let size = request(head).text.utf8.count
    for capacity in 0..<size { #expect(request(head, capacity: capacity).overflowed) }
    #expect(!request(head, capacity: size).overflowed)
  }

  // MARK: Responses

  @Test func plainResponse() {
    let head =
      "HTTP/1.1 201 Made \u{e9}\r\nDate: now\r\nKeep-Alive: x\r\nContent-Length: 9\r\nX_Under: kept\r\n"
      + "Set-Cookie: a\r\nSet-Cookie: b\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nX-Request-Id: theirs\r\n"
      + "Upgrade: h2c\r\nTrailer: t\r\n\r\n"
    let start = "HTTP/1.1 201 Made \u{e9}\r\nDate: now\r\nX_Under: kept\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    #expect(response(head, .length(9)) == start + "content-length: 9\r\nx-request-id: ID\r\n\r\n")
    #expect(
      response(head, .chunked, .close)
        == start + "transfer-encoding: chunked\r\nconnection: close\r\nx-request-id: ID\r\n\r\n")
    #expect(response(head, .untilClose, .close) == start + "connection: close\r\nx-request-id: ID\r\n\r\n")
    #expect(response(head, .none, .keepAlive) == start + "connection: keep-alive\r\nx-request-id: ID\r\n\r\n")
  }

  @Test func statusesWithoutReasons() {
    #expect(response("HTTP/1.0 204\r\n\r\n") == "HTTP/1.1 204 \r\ndate: NOW\r\nx-request-id: ID\r\n\r\n")
    #expect(response("HTTP/1.1 100 \r\n\r\n") == "HTTP/1.1 100 \r\ndate: NOW\r\nx-request-id: ID\r\n\r\n")
  }

  // MARK: Chunks

  /// Sizes around the powers of 16: the frame stands around the bytes and is what a decoder reads.
  @Test func chunkFrames() throws {
    var sizes = [1, 2]
    for power in [16, 256, 4_096, 65_536] { sizes += [power - 1, power, power + 1] }
    for size in sizes {
      let content = [UInt8](repeating: 0x61, count: size)
      let area = ByteArea(content, headroom: ChunkWriter.headBytes, tail: ChunkWriter.tailBytes)
      let chunk = ChunkWriter.frame(area.base, size)
      let bytes = Array(UnsafeBufferPointer(start: chunk.start, count: chunk.count))
      #expect(bytes == raw(String(size, radix: 16) + "\r\n") + content + raw("\r\n"))
      let decoded = try #require(decodeChunked(bytes + raw("0\r\n\r\n")))
      #expect(decoded.content == content && decoded.rest.isEmpty)
    }
    #expect(ChunkWriter.headBytes == String(UInt64.max, radix: 16).utf8.count + 2)
  }
}
