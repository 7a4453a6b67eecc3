import Testing

@testable import Edge

struct ProxyClaimsTests {
  private let peer = SocketAddress(numeric: "10.0.0.9", port: 9) ?? SocketAddress()

  /// Who asks by these fields, where 10.0.0.0/8 is trusted.
  private func client(_ fields: [String]) -> String {
    let bench = ParserBench()
    var found = SocketAddress()
    let head = "GET / HTTP/1.1\r\nHost: h\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    let isWhole = bench.withRequest(raw(head)) { _, received in
      found = received.client(behind: peer, bench.classes) { $0.words.0 & 0xff == 10 && !$0.isIPv6 }
    }
    return isWhole ? text { $0.append(host: found) } : "not complete"
  }

  static let chains: [([String], String)] = [
    ([], "10.0.0.9"), (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
    (["X-Forwarded-For: 192.0.2.1, 192.0.2.2, 10.0.0.1"], "192.0.2.2"),
    (["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.0.0.2", "X-Forwarded-For: 10.0.0.1"], "192.0.2.1"),
    (["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3"), (["X-Forwarded-For: 192.0.2.1, x, 10.0.0.2"], "10.0.0.2"),
    (["X-Forwarded-For: x"], "10.0.0.9"), (["X-Forwarded-For: ,"], "10.0.0.9"),
    (["X-Forwarded-For:", "Forwarded: for=192.0.2.3"], "192.0.2.3"),
    (["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.3"], "192.0.2.1"),
    (["Forwarded: for=192.0.2.1, for=10.0.0.1"], "192.0.2.1"), (["Forwarded: for=192.0.2.1, by=a"], "10.0.0.9"),
    (["Forwarded: for=\"192.0.2.1, for=192.0.2.2"], "10.0.0.9"),
    (["Forwarded: for=\"x", "Forwarded: for=10.0.0.1"], "10.0.0.1"),
  ]

  @Test(arguments: chains) func whoAsks(_ fields: [String], _ wanted: String) { #expect(client(fields) == wanted) }

  private func hops(_ value: String) -> (nodes: [String?], isWhole: Bool) {
    let bench = ParserBench()
    let area = ByteArea(raw(value))
    var nodes: [String?] = []
    let isWhole = forEachForwarded(area.base, area.count, bench.classes) { hop in
      nodes.append(hop.node.map { node in text { $0.append(node) } } ?? nil)
    }
    return (nodes, isWhole)
  }

  @Test func forwardedIsReadAsItsGrammarSays() {
    #expect(hops("").nodes.isEmpty && hops(" , ,").nodes.isEmpty && hops(" , ,").isWhole)
    #expect(hops("for=a;;by=b , host=\"x,y;z\" ; For=\"[::1]:2\"").nodes == ["a", "[::1]:2"])
    #expect(hops("proto=https,for=_x").nodes == [nil, "_x"])
    #expect(hops("for=\"a\\\"b\"").nodes == ["a\\\"b"])
    for value in [
      "for", "for=", "=a", "for=a b", "for=\"a", "for=\"a\\", "for=\"a\"b", "for=a:1", "for=[::1]", "for=a;for=b",
      "for =a", "for= a", "\"for\"=a",
    ] { #expect(!hops(value).isWhole, "\(value)") }
    #expect(hops("for=a, for=\"b").nodes == ["a"])
  }

  private func node(_ value: String) -> String? {
    let area = ByteArea(raw(value))
    return SocketAddress(node: area.base, area.count).map { address in text { $0.append(host: address) } }
  }

  @Test func addressesWithAndWithoutPorts() {
    for value in ["192.0.2.1", "192.0.2.1:80", "192.0.2.1:_p", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:65535"] {
      #expect(node(value) == "192.0.2.1", "\(value)")
    }
    for value in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"] { #expect(node(value) == "2001:db8::1") }
    for value in [
      "", "x", "1", "127.1", "192.0.2.256", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:123456", "[192.0.2.1]", "[::1",
      "::1]", "[::1]x", "[]", ":80", "[::1]:", "fe80::1%eth0", "192.0.2.1 ", String(repeating: "1", count: 4_000),
    ] { #expect(node(value) == nil, "\(value)") }
  }

  @Test func schemes() {
    let bench = ParserBench()
    func isSecure(_ fields: String) -> Bool {
      var found = false
      _ = bench.withRequest(raw("GET / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n\r\n")) { _, received in
        found = received.claimsSecure(bench.classes) ?? false
      }
      return found
    }
    #expect(isSecure("X-Forwarded-Proto: HTTPS") && isSecure("Forwarded: for=a, proto=https"))
    #expect(
      !isSecure("A: b") && !isSecure("X-Forwarded-Proto: javascript") && !isSecure("Forwarded: proto=https, for=a"))
    #expect(!isSecure("X-Forwarded-Proto: http\r\nForwarded: proto=https"))
    #expect(!isSecure("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http"))
    #expect(isSecure("X-Forwarded-Proto: http, https") && !isSecure("X-Forwarded-Proto: https, http"))
    #expect(!isSecure("X-Forwarded-For: 192.0.2.1\r\nForwarded: proto=https"))
    #expect(isSecure("X-Forwarded-For:\r\nForwarded: proto=https"))
  }
}
