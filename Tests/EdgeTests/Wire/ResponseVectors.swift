@testable import Edge

/// Response heads and what must come of them.
enum ResponseVectors {
  static let all = lines + framing + faults

  private static func good(_ text: String, _ facts: ResponseFacts, toHead: Bool = false) -> HeadVector {
    HeadVector(text: text, outcome: .response(facts), toHead: toHead)
  }

  private static func badField(_ lines: String, _ fault: HeadFault) -> HeadVector {
    .bad("HTTP/1.1 200 OK\r\n\(lines)\r\n\r\n", fault)
  }

  private static let close = ResponseFacts(keepAlive: false)

  private static let lines: [HeadVector] =
    [
      "HTTP/2 200 OK", "HTTP/2.0 200 OK", "HTTP/1.x 200 OK", "http/1.1 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK",
      "HTTP/1.1 2000 OK", "HTTP/1.1 200OK", "HTTP/1.1 20a OK", "HTTP/1.1 099 No", "HTTP/1.1 000", "HTTP/1.1 600 No",
      "HTTP/1.1 999 No", "HTTP/1.1 200\tOK", "HTTP/1.1200 OK", "HTTP/1.1", "ICY 200 OK", "SSH-2.0-x", "",
      " HTTP/1.1 200 OK",
      "HTTP/1.1 -20 OK", "HTTP/1.1 200 O\u{0}K", "HTTP/1.1 200 O\rK", "HTTP/1.1 200 \u{7f}",
    ].map { .bad($0 + "\r\n\r\n", .badStatusLine) }
    + [
      .bad("HTTP/1.1 200 OK\n\r\n", .bareLineFeed), .bad("\nHTTP/1.1 200 OK\r\n", .bareLineFeed),
      good("HTTP/1.1 200 OK\r\n\r\n", close), good("HTTP/1.9 200 OK\r\n\r\n", close),
      good("HTTP/1.1 200\r\n\r\n", ResponseFacts(reason: "", keepAlive: false)),
      good("HTTP/1.1 200 \r\n\r\n", ResponseFacts(reason: "", keepAlive: false)),
      good("HTTP/1.1 599 A\t\u{e9} b\r\n\r\n", ResponseFacts(status: 599, reason: "A\t\u{e9} b", keepAlive: false)),
    ]

  private static let framing: [HeadVector] = [
    good("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ResponseFacts(framing: .length(5))),
    good("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ResponseFacts(framing: .length(0))),
    good("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", ResponseFacts(framing: .chunked)),
    good(
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
      ResponseFacts(framing: .length(5), keepAlive: false)),
    good("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", ResponseFacts(framing: .length(5), keepAlive: false)),
    good(
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", ResponseFacts(framing: .length(5))),
    good("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", close),
    // No body, whatever the fields say (RFC 9112 section 6.3).
    good("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", ResponseFacts(status: 204, reason: "No", framing: .none)),
    good("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", ResponseFacts(status: 304, reason: "No", framing: .none)),
    good("HTTP/1.1 100 Continue\r\n\r\n", ResponseFacts(status: 100, reason: "Continue", framing: .none)),
    good("HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n", ResponseFacts(status: 101, reason: "S", framing: .none)),
    good("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ResponseFacts(framing: .none), toHead: true),
    good("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ResponseFacts(framing: .none), toHead: true),
    good("HTTP/1.1 200 OK\r\n\r\n", ResponseFacts(framing: .none), toHead: true),
    good(
      "HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: x-a\r\nA_B: 2\r\nContent-Length: 1\r\n\r\n",
      ResponseFacts(framing: .length(1), dropped: ["X-A"])),
  ]

  private static let faults: [HeadVector] = [
    badField("Transfer-Encoding: chunked\r\nContent-Length: 5", .lengthAndChunked),
    badField("Transfer-Encoding: gzip", .badTransferEncoding),
    badField("Transfer-Encoding: gzip, chunked", .badTransferEncoding),
    badField("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .badTransferEncoding),
    badField("Content-Length: 5\r\nContent-Length: 5", .contentLengthTwice),
    badField("Content-Length: 5, 5", .badContentLength), badField("Content-Length: x", .badContentLength),
    badField("A: b\r\n c", .folded), badField("A : b", .badFieldName), badField("A: \u{0}", .badFieldValue),
    badField("A: b\nB: c", .bareLineFeed), badField("Connection: a b", .badConnection),
    badField("Connection: " + Array(repeating: "a", count: 33).joined(separator: ","), .badConnection),
    .bad("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .codingInOldVersion),
  ]
}
