@testable import Edge

/// Request heads and what must come of them (RFC 9112, and where Edge is stricter).
enum RequestVectors {
  static let all = lines + fieldSyntax + lengths + codings + hosts + connections + upgrades + good

  private static func good(_ text: String, _ facts: RequestFacts) -> HeadVector {
    HeadVector(text: text, outcome: .request(facts))
  }

  /// A good request but for these lines.
  private static func goodField(_ lines: String, _ facts: RequestFacts) -> HeadVector {
    good("GET / HTTP/1.1\r\nHost: h\r\n\(lines)\r\n\r\n", facts)
  }

  private static let lines: [HeadVector] = [
    .bad("GET / HTTP/1.1\nHost: h\r\n\r\n", .bareLineFeed), .bad("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", .bareLineFeed),
    .bad("\r\n\nGET / HTTP/1.1\r\n\r\n", .bareLineFeed), .bad("GET / HTTP/1.1\r\nHost: h\n\r\n", .bareLineFeed),
    .bad("GET / HTTP/1.1\r\nHost: h\r\n\n", .bareLineFeed), .bad("GET / HTTP/1.1\r\n\nHost: h\r\n", .bareLineFeed),
    .bad("GET\r\n", .badRequestLine), .bad("GET /\r\n", .badRequestLine), .bad("GET \r\n", .badRequestLine),
    .bad("GET  / HTTP/1.1\r\n", .badRequestLine), .bad("GET  HTTP/1.1\r\n", .badRequestLine),
    .bad(" GET / HTTP/1.1\r\n", .badMethod), .bad("G(T / HTTP/1.1\r\n", .badMethod),
    .bad("GET\t/ HTTP/1.1\r\n", .badMethod), .bad("GE\u{0}T / HTTP/1.1\r\n", .badMethod),
    .bad("G\u{e9}T / HTTP/1.1\r\n", .badMethod), .bad("\r\n\r\nGET / HTTP/1.1\r\n", .badMethod),
    .bad("\u{16}\u{3}\u{1}\u{2}\r\n", .badMethod),
    .bad(String(repeating: "A", count: 33) + " / HTTP/1.1\r\n", .badMethod),
    .bad("GET / HTTP/1.1 \r\n", .badVersion), .bad("GET / http/1.1\r\n", .badVersion),
    .bad("GET / HTTP/1.10\r\n", .badVersion), .bad("GET / HTTP/1\r\n", .badVersion),
    .bad("GET /a b HTTP/1.1\r\n", .badVersion),
    .bad("GET / HTTP/1,1\r\n", .badVersion), .bad("GET / HTTP/x.1\r\n", .badVersion), .bad("GET / \r\n", .badVersion),
    .bad("GET / HTTP/1.1\r\r\n", .badVersion), .bad("GET / HTTP /1.1\r\n", .badVersion),
    .bad("GET / HTTP/2.0\r\n", .unknownVersion), .bad("GET / HTTP/0.9\r\n", .unknownVersion),
    .bad("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unknownVersion), .bad("GET / HTTP/3.1\r\n", .unknownVersion),
    // What has no end of a line, and cannot get one.
    .bad("\u{16}\u{3}\u{1}", .badMethod), .bad("\r\n\u{16}", .badMethod), .bad("\u{0}", .badMethod),
    .bad(" ", .badMethod),
    .bad("\rG", .badMethod), .bad("\r\r", .badMethod), .bad("\u{ff}", .badMethod), .bad("G\u{0}", .badMethod),
    .bad("G\rE", .badMethod), .bad("GET /\u{0}", .badTarget), .bad("GET /\ra", .badTarget),
    .bad("GET / HTTP\u{7f}", .badVersion), .bad("GET / HTTP/1.1\r\r", .badVersion),
    .bad("GET / HTTP/1.1\r\nHo\u{0}", .badFieldName), .bad("GET / HTTP/1.1\r\nHost: a\rb", .badFieldValue),
    .bad("GET / HTTP/1.1\r\nHost: h\r\n \u{1}", .folded),
  ]

  private static let fieldSyntax: [HeadVector] =
    [
      .badField(" folded: x", .folded), .badField("\tfolded: x", .folded), .badField("A: b\r\n c", .folded),
      .badField("A: b\r\n\tc: d", .folded), .bad("GET / HTTP/1.1\r\n Host: h\r\n\r\n", .folded),
      .badField(": x", .badFieldName), .badField("A : x", .badFieldName), .badField("A\t: x", .badFieldName),
      .badField("A", .badFieldName), .badField("A(: x", .badFieldName), .badField("A\u{0}: x", .badFieldName),
      .badField("\u{c4}: x", .badFieldName), .badField("A\r: x", .badFieldName), .badField("A b: x", .badFieldName),
      .badField("Content-Length\u{0}: 5", .badFieldName), .badField("Transfer-Encoding : chunked", .badFieldName),
      .badField("A: b\rc", .badFieldValue), .badField("A: b\r\rX: y", .badFieldValue),
      .badField("A: \r", .badFieldValue),
      .badField("Transfer-Encoding: \u{b}chunked", .badFieldValue), .badField("Content-Length: 5\u{c}", .badFieldValue),
    ]
    + (0..<0x20).filter { $0 != 0x09 && $0 != 0x0a }.flatMap { byte -> [HeadVector] in
      let control = String(Unicode.Scalar(UInt8(byte)))
      return [
        .badField("A: b\(control)c", .badFieldValue), .badField("A: 0123456789\(control)bcdefgh", .badFieldValue),
      ]
    }
    + [.badField("A: b\u{7f}", .badFieldValue), .badField("A: \u{7f}0123456789", .badFieldValue)]

  private static let lengths: [HeadVector] = [
    .badField("Content-Length: ", .badContentLength), .badField("Content-Length: +5", .badContentLength),
    .badField("Content-Length: -5", .badContentLength), .badField("Content-Length: 0x5", .badContentLength),
    .badField("Content-Length: 5 5", .badContentLength), .badField("Content-Length: 5,5", .badContentLength),
    .badField("Content-Length: 5, 5", .badContentLength), .badField("Content-Length: 5.0", .badContentLength),
    .badField("Content-Length: 5;", .badContentLength), .badField("Content-Length: \u{b2}", .badContentLength),
    .badField("Content-Length: 1234567890123456789", .badContentLength),
    .badField("Content-Length: 18446744073709551621", .badContentLength),
    .badField("Content-Length: 5\r\nContent-Length: 5", .contentLengthTwice),
    .bad("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: x\r\n\r\n", .badMaxForwards),
    .bad("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n", .badMaxForwards),
    goodField("Max-Forwards: x", RequestFacts()),
    .badField("Content-Length: 5\r\ncontent-length: 6", .contentLengthTwice),
    .bad("GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", .bodyInOldVersion),
    .bad("HEAD / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", .bodyInOldVersion),
    .bad("DELETE / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", .bodyInOldVersion),
    goodField("Content-Length: 0", RequestFacts(framing: .length(0))),
    goodField("content-length:\t 007 \t", RequestFacts(framing: .length(7))),
    goodField("CONTENT-LENGTH:999999999999999999", RequestFacts(framing: .length(999_999_999_999_999_999))),
    good(
      "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
      RequestFacts(method: "POST", host: "", isVersion10: true, framing: .length(5), keepAlive: false)),
    good(
      "GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
      RequestFacts(host: "", isVersion10: true, framing: .length(0), keepAlive: false)),
  ]

  private static let codings: [HeadVector] = [
    .badField("Transfer-Encoding: chunked\r\nContent-Length: 5", .lengthAndChunked),
    .badField("Content-Length: 5\r\nTransfer-Encoding: chunked", .lengthAndChunked),
    .badField("Content-Length: 0\r\nTransfer-Encoding: gzip", .lengthAndChunked),
    .badField("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .badTransferEncoding),
    .badField("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", .badTransferEncoding),
    .badField("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", .badTransferEncoding),
    .badField("Transfer-Encoding: chunked, chunked", .badTransferEncoding),
    .badField("Transfer-Encoding: chunked, gzip", .badTransferEncoding),
    .badField("Transfer-Encoding: ", .badTransferEncoding),
    .badField("Transfer-Encoding: gzip", .unknownTransferEncoding),
    .badField("Transfer-Encoding: identity", .unknownTransferEncoding),
    .badField("Transfer-Encoding: gzip, chunked", .unknownTransferEncoding),
    .badField("Transfer-Encoding: xchunked", .unknownTransferEncoding),
    .badField("Transfer-Encoding: chunked;q=1", .unknownTransferEncoding),
    .badField("Transfer-Encoding: \"chunked\"", .unknownTransferEncoding),
    .badField("Transfer-Encoding: chunke", .unknownTransferEncoding),
    .bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .codingInOldVersion),
    .bad("POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: gzip\r\n\r\n", .codingInOldVersion),
    goodField("Transfer-Encoding: chunked", RequestFacts(framing: .chunked)),
    goodField("tRANSFER-eNCODING:\t ChUnKeD \t", RequestFacts(framing: .chunked)),
  ]

  private static let hosts: [HeadVector] = [
    .bad("GET / HTTP/1.1\r\n\r\n", .hostMissing), .bad("GET / HTTP/1.1\r\nHostt: h\r\n\r\n", .hostMissing),
    .badField("Host: h", .hostTwice), .badField("HOST: other", .hostTwice),
    .bad("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", .hostTwice),
    good("GET / HTTP/1.1\r\nHost:\r\n\r\n", RequestFacts(host: "")),
    good("GET / HTTP/1.1\r\nhOsT:  [::1]:80 \r\n\r\n", RequestFacts(host: "[::1]:80")),
    good("GET http://a/b HTTP/1.1\r\nHost: c\r\n\r\n", RequestFacts(target: "http://a/b", host: "c")),
    good("GET / HTTP/1.0\r\n\r\n", RequestFacts(host: "", isVersion10: true, keepAlive: false)),
  ]

  private static let connections: [HeadVector] = [
    .badField("Connection: a b", .badConnection), .badField("Connection: close;x", .badConnection),
    .badField("Connection: x, (y)", .badConnection),
    .badField("Connection: " + Array(repeating: "a", count: 33).joined(separator: ","), .badConnection),
    .badField(Array(repeating: "Connection: keep-alive", count: 33).joined(separator: "\r\n"), .badConnection),
    goodField("Connection: " + Array(repeating: "a", count: 32).joined(separator: ","), RequestFacts()),
    goodField("Connection: CLOSE", RequestFacts(keepAlive: false)),
    goodField("Connection: keep-alive, , close", RequestFacts(keepAlive: false)),
    goodField("Connection: keep-alive\r\nConnection: close", RequestFacts(keepAlive: false)),
    goodField("Connection:", RequestFacts()), goodField("Connection: ,,", RequestFacts()),
    good(
      "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", RequestFacts(host: "", isVersion10: true, keepAlive: true)),
    good(
      "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
      RequestFacts(host: "", isVersion10: true, keepAlive: false)),
    goodField("X-A: 1\r\nConnection: x-a,\tX-B\r\nx-b: 2\r\nx-c: 3", RequestFacts(dropped: ["X-A", "x-b"])),
    // What tells who asks and who is asked cannot be dropped by naming it (RFC 9110 section 7.6.1).
    goodField(
      "Connection: host, content-length, authorization, x-api-key, cookie, x-forwarded-for, forwarded, x-request-id"
        + ", via\r\nContent-Length: 0\r\nAuthorization: a\r\nX-Api-Key: b\r\nCookie: c\r\nX-Forwarded-For: d"
        + "\r\nForwarded: e\r\nX-Request-Id: f\r\nVia: g",
      RequestFacts(framing: .length(0))),
    // Two names of one FNV-1a hash: only the one that is named goes.
    goodField("Connection: x-cyhqbj\r\nx-fpvqrv: 1\r\nx-cyhqbj: 2", RequestFacts(dropped: ["x-cyhqbj"])),
    goodField(
      "Proxy: x\r\nX_Forwarded_For: y\r\n_: z\r\nA: a_b", RequestFacts(dropped: ["Proxy", "X_Forwarded_For", "_"])),
  ]

  private static let upgrades: [HeadVector] = [
    .badField("Expect: 100-continued", .badExpectation), .badField("Expect: ", .badExpectation),
    .badField("Expect: 100-continue, x", .badExpectation), .badField("Expect: 200-ok", .badExpectation),
    .badField("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1", .upgradeWithBody),
    .badField("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", .upgradeWithBody),
    goodField("Expect: 100-Continue", RequestFacts(expectsContinue: true)),
    good(
      "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
      RequestFacts(method: "POST", host: "", isVersion10: true, keepAlive: false)),
    goodField(
      "Connection: keep-alive, Upgrade\r\nUpgrade: websocket", RequestFacts(asksUpgrade: true, dropped: ["Upgrade"])),
    goodField("Upgrade: websocket", RequestFacts()), goodField("Connection: upgrade", RequestFacts()),
  ]

  private static let good: [HeadVector] = [
    good("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", RequestFacts()),
    good("get / HTTP/1.1\r\nHost: h\r\n\r\n", RequestFacts(method: "get")),
    good("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", RequestFacts(method: "CONNECT", target: "h:443")),
    good("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", RequestFacts(method: "TRACE")),
    good("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", RequestFacts(method: "OPTIONS", target: "*")),
    good("GET / HTTP/1.9\r\nHost: h\r\n\r\n", RequestFacts()),
    good(
      String(repeating: "A", count: 32) + " / HTTP/1.1\r\nHost: h\r\n\r\n",
      RequestFacts(method: String(repeating: "A", count: 32))),
    goodField("!#$%&'*+-.^`|~09azAZ: \t\u{80}\u{ff} \t x \t", RequestFacts()), goodField("Empty:", RequestFacts()),
  ]
}
