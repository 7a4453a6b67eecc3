import Testing

@testable import Edge

/// A target as a test states it.
struct TargetFacts: Equatable {
  var path: String
  var query: String?
  var authority = ""
}

struct RequestTargetTests {
  private let arena = Arena()
  private let reader: RequestTargetReader

  init() { reader = RequestTargetReader(arena: arena, classes: ByteClasses(arena: arena)) }

  private func read(_ target: [UInt8], _ method: Method = .get) -> TargetFacts? {
    let area = ByteArea(target)
    guard let result = reader.read(area.base, area.count, method: method) else { return nil }
    return TargetFacts(
      path: text(result.path, result.pathCount), query: result.query.map { text($0, result.queryCount) },
      authority: text(result.authority, result.authorityCount))
  }

  private func text(_ start: UnsafePointer<UInt8>, _ count: Int) -> String {
    latin(Array(UnsafeBufferPointer(start: start, count: count)))
  }

  // MARK: Paths

  static let canonical = [
    ("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/b/c", "/a/b/c"), ("//", "/"), ("///", "/"), ("//a", "/a"),
    ("/a//b", "/a/b"), ("/a//", "/a/"), ("/a///b//", "/a/b/"), ("/.", "/"), ("/./", "/"), ("/./a", "/a"),
    ("/a/.", "/a/"), ("/a/./", "/a/"), ("/a/./b", "/a/b"), ("/a/..", "/"), ("/a/../", "/"), ("/a/../b", "/b"),
    ("/a/b/..", "/a/"), ("/a/b/../", "/a/"), ("/a/b/../c", "/a/c"), ("/a/b/../../c", "/c"), ("/a/b/c/../..", "/a/"),
    ("/a//../b", "/b"), ("/a/.//../b", "/b"), ("/.a", "/.a"), ("/a.", "/a."), ("/..a", "/..a"), ("/a..", "/a.."),
    ("/...", "/..."), ("/a/.../b", "/a/.../b"), ("/.well-known/x", "/.well-known/x"),
    ("/%41%5a%61%7A%30%39%2D%2e%5F%7e", "/AZaz09-._~"), ("/%2ehidden", "/.hidden"), ("/a%2e", "/a."),
    ("/%2e%2ea", "/..a"),
    ("/%3a", "/%3A"), ("/%c3%a9", "/%C3%A9"), ("/%C3%A9", "/%C3%A9"), ("/%20", "/%20"), ("/%25", "/%25"),
    ("/%252f", "/%252f"),
    ("/%252e%252e/", "/%252e%252e/"), ("/%3f", "/%3F"), ("/%23", "/%23"), ("/%3b", "/%3B"), ("/%01", "/%01"),
    ("/%ff", "/%FF"),
    ("/a;b=c,d:e@f!$&'()*+=", "/a;b=c,d:e@f!$&'()*+="), ("/~u/-._", "/~u/-._"), ("/a:1/*", "/a:1/*"),
  ]

  @Test(arguments: canonical) func paths(_ target: String, _ path: String) {
    #expect(read(raw(target)) == TargetFacts(path: path))
    #expect(read(raw(target + "?")) == TargetFacts(path: path, query: ""))
    #expect(read(raw(target + "?a=%2e../b?c")) == TargetFacts(path: path, query: "a=%2e../b?c"))
    #expect(read(raw("http://h" + target)) == TargetFacts(path: path, authority: "h"))
  }

  @Test(arguments: [
    "", "a", "a/b", "?", "?a", "*", "/..", "/../", "/../a", "/./..", "/a/../..", "/a/../../b", "/a/b/../../..", "/%2e",
    "/%2E",
    "/%2e/a", "/%2e%2e", "/%2e%2e/a", "/a/%2e%2e/b", "/a/.%2e/b", "/a/%2E./b", "/a/%2e", "/a/%2e/b", "/%2f", "/a%2Fb",
    "/%5c",
    "/a%5Cb", "/%00", "/a%00", "/%", "/%2", "/a%", "/a%4", "/%zz", "/%4g", "/%g4", "/%%41", "/% 41", "/\\", "/a\\b",
    "/a b",
    "/a#b", "/#", "/\u{0}", "/\u{7f}", "/\u{e9}", "/a\tb", "/a\rb", "/a\"b", "/<a>", "/{a}", "/a`b", "\\a", "h:80",
    "http",
    "http:", "http:/", "http://", "http:///", "http:///a", "http://?a", "https://", "ftp://h/", "ws://h/", "httpx://h/",
    "file:///etc/passwd", "javascript:alert(1)", "/?a b", "/?a#b", "/?\u{0}", "/?\u{e9}", "/?a\"", "/?<", "/?a\tb",
    "/?a\\b",
  ])
  func refused(_ target: String) { #expect(read(raw(target)) == nil) }

  @Test(arguments: [
    ("http://h", TargetFacts(path: "/", authority: "h")),
    ("http://h?", TargetFacts(path: "/", query: "", authority: "h")),
    ("HTTP://H/a", TargetFacts(path: "/a", authority: "H")),
    ("https://h:443/", TargetFacts(path: "/", authority: "h:443")),
    ("http://h?a=/b", TargetFacts(path: "/", query: "a=/b", authority: "h")),
    ("http://[::1]:80/a", TargetFacts(path: "/a", authority: "[::1]:80")),
    ("http://h//a/../b", TargetFacts(path: "/b", authority: "h")),
    ("http://u@h/", TargetFacts(path: "/", authority: "u@h")),
  ])
  func absoluteForm(_ target: String, _ facts: TargetFacts) { #expect(read(raw(target)) == facts) }

  @Test func asteriskForm() {
    #expect(read(raw("*"), .options) == TargetFacts(path: "*"))
    #expect(read(raw("*"), .get) == nil)
    #expect(read(raw("*a"), .options) == nil)
    #expect(read(raw("/*"), .options) == TargetFacts(path: "/*"))
    // RFC 9112 section 3.2.4: the last proxy sends an absolute form without path and query as an asterisk.
    #expect(read(raw("http://h"), .options) == TargetFacts(path: "*", authority: "h"))
    #expect(read(raw("http://h/"), .options) == TargetFacts(path: "/", authority: "h"))
    #expect(read(raw("http://h?a"), .options) == TargetFacts(path: "/", query: "a", authority: "h"))
  }

  /// What has no dot segment, no empty segment and no escape is passed on without a copy.
  @Test func plainPathsAreNotCopied() {
    let area = ByteArea(raw("/api/chat/v1.2?q"))
    let result = reader.read(area.base, area.count, method: .get)
    #expect(result?.path == UnsafePointer(area.base))
  }

  /// Bytes that a path may hold bare and escaped must not be two spellings of one path.
  @Test(arguments: ["[", "]", "|", "^"]) func oneSpelling(_ sign: String) throws {
    let byte = try #require(sign.utf8.first)
    let bare = read(raw("/a" + sign))
    let encoded = read(raw("/a%" + String(byte, radix: 16, uppercase: true)))
    #expect(bare == nil || bare == encoded)
  }

  @Test func theCanonicalFormIsItsOwn() {
    var random = SeededGenerator(seed: 15)
    let parts = [
      "/", "/", "/", ".", "..", "%2e", "%2E", "a", "b", "%41", "%c3", "%25", "%2f", ":", "%3a", "~", "%7e", "|",
    ]
    var kept = 0
    for _ in 0..<20_000 {
      let target = "/" + (0..<random.below(12)).map { _ in parts[random.below(parts.count)] }.joined()
      guard let once = read(raw(target)) else { continue }
      kept += 1
      if read(raw(once.path)) != once { Issue.record("\(target) → \(once.path) → \(read(raw(once.path)) as Any)") }
      let segments = once.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
      let isCanonical = segments.allSatisfy { $0 != "." && $0 != ".." } && !segments.dropLast().contains("")
      // Only what browsers leave bare grows, each byte to three.
      let longest = target.utf8.count + 2 * target.utf8.filter { $0 == 0x7c }.count
      if !isCanonical || once.path.utf8.count > longest { Issue.record("\(target) → \(once.path)") }
    }
    #expect(kept > 1_000)
  }

  @Test func randomBytesAreReadWithinTheirBounds() {
    var random = SeededGenerator(seed: 16)
    for _ in 0..<20_000 {
      var bytes = random.bytes(random.below(12)).map { [0x2f, 0x2e, 0x25, 0x32, 0x65, 0x3f, 0x61, $0][Int($0 % 8)] }
      bytes.insert(0x2f, at: 0)
      if let facts = read(bytes), !facts.path.hasPrefix("/") { Issue.record("\(latin(bytes).debugDescription)") }
    }
  }

  // MARK: Hosts

  private func hostName(_ text: String) -> String? {
    let area = ByteArea(raw(text))
    guard let range = reader.hostName(area.base, area.count) else { return nil }
    return latin(area.slice(Int(range.start)..<range.end))
  }

  @Test(arguments: [
    ("h", "h"), ("example.com", "example.com"), ("Example.COM", "Example.COM"), ("example.com.", "example.com"),
    ("example.com.:80", "example.com"), ("h:0", "h"), ("h:65535", "h"), ("h:00080", "h"), ("h:", "h"),
    ("a_b-c.d", "a_b-c.d"),
    ("127.0.0.1:8080", "127.0.0.1"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("[2001:DB8::1]:", "[2001:DB8::1]"),
    ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]"), ("xn--bcher-kva.example", "xn--bcher-kva.example"),
  ])
  func goodHosts(_ text: String, _ name: String) { #expect(hostName(text) == name) }

  @Test(arguments: [
    "", ":80", "h:65536", "h:99999", "h:000080", "h:-1", "h:+1", "h:8 0", "h:80a", "h:80:80", "u@h", "u:p@h", "h/",
    "h?", "h#",
    "h,i", "h i", " h", "h ", "h\u{0}", "h\t", "h\\", "h%41", "\u{e9}", "h\"", "<h>", "[::1", "::1", "[]", "[::1]x",
    "[::1].",
    "[::1]80", "[::1]]", "[::g]", "[::1%25lo]", "[[::1]]", "]", "[::1]:x", "[v1.x]",
  ])
  func badHosts(_ text: String) { #expect(hostName(text) == nil) }

  /// What stands in brackets is an address (RFC 3986 section 3.2.2); an invalid Host is a 400 (RFC 9112 section 3.2).
  @Test(arguments: ["[1]", "[...]", "[:::]", "[12345::]", "[1.2.3.4]", "[abc]", "[1:2:3:4:5:6:7]", "[::1::]", "[1.]"])
  func noAddresses(_ text: String) { #expect(hostName(text) == nil) }

  @Test func theLongestHost() {
    let label = String(repeating: "a", count: 63)
    let name = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
    #expect(name.utf8.count == 253)
    #expect(hostName(name + ":65535") == name)
    #expect(hostName(name + "ccccccc") == nil)
  }

  /// A name has one form, however many dots follow it.
  @Test(arguments: [".", "..", "a..", "a.b..:80"]) func dotsBehindANameAreNotAName(_ text: String) {
    #expect(hostName(text) == nil)
  }
}
