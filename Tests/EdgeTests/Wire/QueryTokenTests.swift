import Testing

@testable import Edge

/// What taking a token out of a query brings.
struct TokenFinding: Equatable, CustomStringConvertible {
  /// nil: there was none; empty where there were several.
  var tokens: [String]?
  /// What is left.
  var query: String?

  var description: String { "\(tokens as Any) \(query as Any)" }

  static func none(_ query: String?) -> TokenFinding { TokenFinding(query: query) }
  static func one(_ token: String, _ query: String? = nil) -> TokenFinding {
    TokenFinding(tokens: [token], query: query)
  }
  static func several(_ query: String? = nil) -> TokenFinding { TokenFinding(tokens: [], query: query) }
}

struct QueryTokenTests {
  /// The query stands in memory of exactly its size, and the area has exactly the room that is promised.
  private func take(_ query: String?, room: Int? = nil) -> TokenFinding {
    let bytes = raw(query ?? "")
    let source = ByteArea(bytes)
    let promised = room ?? 2 * bytes.count
    let area = ByteArea([UInt8](repeating: 0xee, count: promised), headroom: 8, tail: 8)
    let path = StaticBytes("/ws")
    var target = RequestTarget(path: path.start, pathCount: path.count, authority: path.start)
    if query != nil { (target.query, target.queryCount) = (UnsafePointer(source.base), bytes.count) }
    let finding = QueryToken.take(from: &target, area: area.base, promised)
    #expect(area.slice(-8..<0) + area.slice(promised..<promised + 8) == [UInt8](repeating: 0xee, count: 16))
    #expect(source.slice(0..<bytes.count) == bytes && target.path == path.start && target.pathCount == path.count)
    #expect((target.query == nil) == (target.queryCount == 0) || finding.isNone)
    let left = target.query.map { latin(Array(UnsafeBufferPointer(start: $0, count: target.queryCount))) }
    switch finding {
    case .none:
      // Nothing is copied.
      #expect(target.query == nil || target.query == UnsafePointer(source.base))
      return .none(left)
    case .one(let token): return .one(token.text, left)
    case .several: return .several(left)
    }
  }

  @Test(arguments: [
    "", "a", "a=1", "a=1&b=2", "&", "&&", "=", "=token", "a=token", "tokens=x", "toke=x", "xtoken=x", "token2",
    "Token=x",
    "TOKEN=x", "token%00=x", "token%20=x", "+token=x", "%2574oken=x", "%zztoken=x", "tok%65=x", "tok%6=x",
    "a=1;token=x",
    "a%26token=x", "t%6Fke%6e%3dx",
  ])
  func without(_ query: String) { #expect(take(query) == .none(query)) }

  @Test func withoutAQuery() { #expect(take(nil) == .none(nil)) }

  @Test(arguments: [
    ("token=x", TokenFinding.one("x")), ("token=", .one("")), ("token", .one("")), ("token=x=y=", .one("x=y=")),
    ("token=a.b-c_d~e", .one("a.b-c_d~e")), ("a=1&token=x", .one("x", "a=1")), ("token=x&a=1", .one("x", "a=1")),
    ("a=1&token=x&b=2", .one("x", "a=1&b=2")), ("a=%41&token=x&b=%zz+", .one("x", "a=%41&b=%zz+")),
    ("b=2&a=1&token=x&a=1", .one("x", "b=2&a=1&a=1")), ("token=x&", .one("x")), ("&token=x", .one("x")),
    ("a&&token=x&&b", .one("x", "a&&&b")), ("token=x&&a", .one("x", "&a")),
    ("t%6fken=x", .one("x")), ("%74%6F%6B%65%6E=x", .one("x")), ("token=%61%2Eb%2e", .one("a.b.")),
    ("token=%2B%2F%3D+", .one("+/=+")), ("token=%26a%3db", .one("&a=b")), ("token=%", .one("%")),
    ("token=%4", .one("%4")), ("token=%zz", .one("%zz")), ("token=%00%ff", .one("\u{0}\u{ff}")),
    ("token=%2541", .one("%41")), ("token=?token=x", .one("?token=x")), ("token=x;a=1", .one("x;a=1")),
  ])
  func one(_ query: String, _ finding: TokenFinding) { #expect(take(query) == finding) }

  @Test(arguments: [
    ("token=x&token=x", TokenFinding.one("x")), ("token=x&token=%78&a", .one("x", "a")),
    ("token=x&t%6fken=x&token=x", .one("x")), ("token&token=", .one("")),
    ("token=x&token=y", .several()), ("token=x&token=xx", .several()), ("token=xx&token=x", .several()),
    ("token=x&token=", .several()), ("token&token=x", .several()), ("a=1&token=x&b=2&token=y&c", .several("a=1&b=2&c")),
    ("token=x&token=x&token=y", .several()), ("token=x&token=y&token=x", .several()), ("token=x&token=X", .several()),
    ("token=x&%74oken=y&a=token", .several("a=token")),
  ])
  func more(_ query: String, _ finding: TokenFinding) { #expect(take(query) == finding) }

  /// With less room than was promised nothing of the token is left, and the request can only be refused.
  @Test func tooLittleRoom() {
    #expect(take("a=1&token=x&b=2", room: 14) == .several())
    #expect(take("token=x", room: 0) == .several())
    #expect(take("a=1&token=x&b=2", room: 15) == .one("x", "a=1&b=2"))
  }

  /// The longest query there can be, full of tokens.
  @Test func manyTokens() {
    let count = Limits.headBytesMax / 8
    let same = [String](repeating: "token=x", count: count).joined(separator: "&")
    #expect(take(same) == .one("x") && take(same + "&token=y") == .several())
    let long = String(repeating: "%61", count: count)
    #expect(take("token=" + long + "&a&token=" + long) == .one(String(repeating: "a", count: count), "a"))
    let separators = String(repeating: "&", count: count)
    #expect(take(separators + "token=x") == .one("x", String(repeating: "&", count: count - 1)))
  }

  /// Against a reading with the standard library's means.
  @Test func randomQueries() {
    var random = SeededGenerator(seed: 47)
    let parts = [
      "token", "t%6fken", "=", "=", "&", "&", "&token=x", "&token=", "%", "%2", "%78", "x", "a=1", "+", "%26", "%00",
      "%3D",
    ]
    var (found, several) = (0, 0)
    for _ in 0..<20_000 {
      let query = (0..<random.below(9)).map { _ in parts[random.below(parts.count)] }.joined()
      let all = query.split(separator: "&", omittingEmptySubsequences: false).map(String.init)
      let tokens = all.filter { Self.name($0) == "token" }.map { Self.decoded(Self.halves($0).value) }
      let others = all.filter { Self.name($0) != "token" }.joined(separator: "&")
      let left = others.isEmpty ? nil : others
      let expected: TokenFinding =
        tokens.isEmpty ? .none(query) : Set(tokens).count > 1 ? .several(left) : .one(tokens[0], left)
      if !tokens.isEmpty { found += 1 }
      if Set(tokens).count > 1 { several += 1 }
      let finding = take(query)
      if finding != expected { Issue.record("\(query): \(finding), not \(expected)") }
    }
    #expect(found > 2_000 && several > 500)
  }

  private static func halves(_ parameter: String) -> (name: String, value: String) {
    guard let place = parameter.firstIndex(of: "=") else { return (parameter, "") }
    return (String(parameter[..<place]), String(parameter[parameter.index(after: place)...]))
  }

  private static func name(_ parameter: String) -> String { decoded(halves(parameter).name) }

  private static func decoded(_ text: String) -> String {
    var result = ""
    var rest = Substring(text)
    while let first = rest.popFirst() {
      let digits = rest.prefix(2)
      if first == "%", digits.count == 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(digits, radix: 16) {
        result.unicodeScalars.append(Unicode.Scalar(value))
        rest = rest.dropFirst(2)
      } else {
        result.append(first)
      }
    }
    return result
  }
}

extension QueryToken.Finding {
  fileprivate var isNone: Bool { if case .none = self { true } else { false } }
}
