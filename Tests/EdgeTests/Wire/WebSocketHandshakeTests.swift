import Testing

@testable import Edge

struct WebSocketHandshakeTests {
  private static let key = "dGhlIHNhbXBsZSBub25jZQ=="
  private static let usual = [
    "Host: h", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: \(key)", "Sec-WebSocket-Version: 13",
  ]

  /// What a request is found to be: the key, the error code's name, or nothing.
  private enum Finding: Equatable {
    case none, valid(String), refused(ErrorCode)
    /// The parser takes no such head.
    case malformed
  }

  private func read(_ lines: [String], _ start: String = "GET /ws HTTP/1.1") -> Finding {
    var finding = Finding.malformed
    let head = raw(([start] + lines).joined(separator: "\r\n") + "\r\n\r\n")
    let isComplete = ParserBench().withRequest(head) { head, received in
      switch WebSocketHandshake.read(head, received) {
      case .none: finding = .none
      case .valid(let key): finding = .valid(key.text)
      case .refused(let code, let message):
        #expect(message.utf8CodeUnitCount > 0)
        finding = .refused(code)
      }
    }
    #expect(isComplete == (finding != .malformed))
    return finding
  }

  /// The usual head with the lines of one field replaced by others.
  private func read(_ name: String, _ lines: [String]) -> Finding {
    read(Self.usual.filter { !$0.hasPrefix(name + ":") } + lines)
  }

  @Test func theUsual() {
    #expect(read(Self.usual) == .valid(Self.key))
    #expect(read(Self.usual.reversed()) == .valid(Self.key))
    #expect(read(Self.usual.map { $0.replacing("Sec-WebSocket", with: "sec-websocket") }) == .valid(Self.key))
    #expect(read(Self.usual + ["Sec-WebSocket-Extensions: permessage-deflate", "Origin: null"]) == .valid(Self.key))
    #expect(read(Self.usual + ["Content-Length: 0"]) == .valid(Self.key))
  }

  @Test(arguments: ["upgrade", "keep-alive, Upgrade", "Upgrade,keep-alive", "x , UPGRADE ,"])
  func connections(_ value: String) { #expect(read("Connection", ["Connection: " + value]) == .valid(Self.key)) }

  @Test(arguments: ["WebSocket", "h2c, websocket", "websocket, x/1"])
  func upgrades(_ value: String) { #expect(read("Upgrade", ["Upgrade: " + value]) == .valid(Self.key)) }

  @Test func whatAsksForNothing() {
    #expect(read("Upgrade", []) == .none && read("Connection", []) == .none)
    #expect(read("Connection", ["Connection: keep-alive"]) == .none)
    #expect(read("Connection", ["Connection: upgraded"]) == .none)
    #expect(read("Upgrade", ["Upgrade: h2c"]) == .none && read("Upgrade", ["Upgrade: websocket/13"]) == .none)
    #expect(read(Self.usual, "GET /ws HTTP/1.0") == .none)
    #expect(read(["Host: h"]) == .none && read(["Host: h"], "POST / HTTP/1.1") == .none)
    // The rest of the handshake alone is no wish.
    #expect(read(["Host: h", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 8"]) == .none)
  }

  @Test func methodsAndBodies() {
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "get", "BREW"] {
      #expect(read(Self.usual, method + " /ws HTTP/1.1") == .refused(.invalidRequest))
    }
    #expect(read(Self.usual + ["Content-Length: 1"]) == .malformed)
    #expect(read(Self.usual + ["Transfer-Encoding: chunked"]) == .malformed)
  }

  @Test(arguments: [
    [], ["8"], ["12"], ["14"], [""], ["013"], ["13.0"], ["+13"], ["13, 8"], ["8, 13"], ["13,"], ["1 3"], ["13", "13"],
    ["13", "8"], ["8", "13"], ["0x13"], ["\u{ff}13"],
  ])
  func versions(_ values: [String]) {
    #expect(read("Sec-WebSocket-Version", values.map { "Sec-WebSocket-Version: " + $0 }) == .refused(.upgradeRequired))
  }

  @Test(arguments: [
    "AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==", "x3JJHMbDL1EzLkh9GBhXDw==", "+/+/+/+/+/+/+/+/+/+/+w==",
  ])
  func keys(_ key: String) { #expect(read("Sec-WebSocket-Key", ["Sec-WebSocket-Key: \t" + key + " "]) == .valid(key)) }

  @Test(arguments: [
    [], [""], ["="], ["dGhlIHNhbXBsZSBub25jZQ"], ["dGhlIHNhbXBsZSBub25jZQ="], ["dGhlIHNhbXBsZSBub25jZQ==="],
    // 15, 17 and 18 bytes, and 32 of them.
    ["AAAAAAAAAAAAAAAAAAAA"], ["AAAAAAAAAAAAAAAAAAAAAAA="], ["AAAAAAAAAAAAAAAAAAAAAAAA"],
    ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    // Another alphabet, blanks, and bits behind the last byte.
    ["-_-_-_-_-_-_-_-_-_-_-w=="], ["dGhlIHNhbXBs ZSBub25jZQ=="], ["dGhlIHNhbXBsZSBub25jZR=="],
    ["\"dGhlIHNhbXBsZSBub25jZQ==\""], ["AAAAAAAAAAAAAAAAAAAA===="], ["AAAAAAAAAAAAAAAAAAAAA==="],
    ["AAAAAAAAAA==AAAAAAAAAA=="], ["\u{e9}AAAAAAAAAAAAAAAAAAAAA=="],
    // More than one, even the same.
    ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="], ["dGhlIHNhbXBsZSBub25jZQ==", ""],
    ["", "dGhlIHNhbXBsZSBub25jZQ=="], ["dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="],
  ])
  func badKeys(_ values: [String]) {
    #expect(read("Sec-WebSocket-Key", values.map { "Sec-WebSocket-Key: " + $0 }) == .refused(.invalidRequest))
  }

  /// A second spelling of a field is no field of the handshake.
  @Test func otherNames() {
    #expect(read("Sec-WebSocket-Key", ["Sec_WebSocket_Key: " + Self.key]) == .refused(.invalidRequest))
    #expect(read("Sec-WebSocket-Key", ["Sec-WebSocket-Keys: " + Self.key]) == .refused(.invalidRequest))
    #expect(read(Self.usual + ["Sec_WebSocket_Version: 8", "X-Sec-WebSocket-Key: x"]) == .valid(Self.key))
  }

  /// The version is looked at first: who speaks another is told so, whatever the key is.
  @Test func theVersionComesFirst() {
    #expect(
      read(["Host: h", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 8"])
        == .refused(.upgradeRequired))
  }

  /// RFC 6455 section 1.3, and what Python's hashlib says to two more.
  @Test(arguments: [
    ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
    ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
  ])
  func accepts(_ key: String, _ accept: String) {
    let area = ByteArea(raw(key))
    let bytes = StaticBytes(start: area.base, count: area.count)
    func write(_ writer: inout ByteWriter) { WebSocketHandshake.appendAccept(bytes, to: &writer) }
    #expect(text(write) == accept && accept.utf8.count == WebSocketHandshake.acceptCount)
    #expect(!written(capacity: 28, write).overflowed)
    let short = written(capacity: 27, write)
    #expect(short.overflowed && short.text.isEmpty)
  }
}
