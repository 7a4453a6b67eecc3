// Which credential a request carries: every combination of the fields that may hold one, and what scripts see of it.

import Testing

@testable import Edge

@Suite("Credentials of requests") struct RequestCredentialTests {
  enum Found: Equatable, Sendable {
    case none, foreign, conflict
    case one(String)
  }

  private func found(_ fields: [String]) throws -> Found {
    var found: Found?
    let isRequest = ParserBench().withRequest(raw(PolicyBench.head("/", fields))) { _, received in
      switch RequestCredential(received) {
      case .none: found = Found.none
      case .foreign: found = .foreign
      case .conflict: found = .conflict
      case .one(let token): found = .one(latin(Array(token)))
      }
    }
    #expect(isRequest)
    return try #require(found)
  }

  static let single: [(String, Found)] = [
    ("authorization: Bearer abc", .one("abc")), ("AUTHORIZATION: bearer abc", .one("abc")),
    ("Authorization: BEARER abc", .one("abc")), ("authorization: bEaReR a.b.c", .one("a.b.c")),
    ("authorization:Bearer abc", .one("abc")), ("authorization:  Bearer abc  ", .one("abc")),
    ("authorization: Bearer  abc", .one("abc")), ("authorization: Bearer     abc", .one("abc")),
    ("authorization: Bearer a b", .one("a b")), ("authorization: Bearer a, Bearer b", .one("a, Bearer b")),
    ("authorization: Bearer Bearer", .one("Bearer")), ("authorization: Bearer \u{e9}", .one("\u{e9}")),
    ("authorization: Bearer", .foreign), ("authorization: Bearer ", .foreign), ("authorization:", .foreign),
    ("authorization: Bearerabc", .foreign), ("authorization: Bearer\tabc", .foreign),
    ("authorization: Beare abc", .foreign),
    ("authorization: abc", .foreign), ("authorization: Basic YTpi", .foreign), ("authorization: Digest a=b", .foreign),
    ("authorization: Bearers abc", .foreign), ("authorization: \"Bearer abc\"", .foreign),
    ("x-api-key: abc", .one("abc")), ("X-API-Key:abc", .one("abc")), ("x-api-key: Bearer abc", .one("Bearer abc")),
    ("x-api-key: a b", .one("a b")), ("x-api-key:", .one("")),
    ("cookie: authorization=Bearer abc", .none), ("proxy-authorization: Bearer abc", .none),
    ("x-authorization: Bearer abc", .none), ("api-key: abc", .none), ("authorizatio: Bearer abc", .none),
    ("accept: */*", .none),
  ]

  @Test(arguments: single) func oneField(_ field: String, _ expected: Found) throws {
    #expect(try found([field]) == expected)
    // Others beside it do not matter.
    #expect(try found(["accept: Bearer x", field, "cookie: a=b"]) == expected)
  }

  static let tokens = ["a", "b", ""]
  static let bearer = tokens.dropLast().map { ("authorization: Bearer \($0)", Found.one($0)) }
  static let keys = tokens.map { ("x-api-key: \($0)", Found.one($0)) }
  static let foreign = [
    ("authorization: Basic x", Found.foreign), ("authorization: Bearer", .foreign), ("authorization:", .foreign),
  ]

  /// Two fields in either order: the same credential twice is one, all else that differs is none to be trusted.
  @Test func pairs() throws {
    let all = RequestCredentialTests.bearer + RequestCredentialTests.keys + RequestCredentialTests.foreign
    for (first, left) in all {
      for (second, right) in all {
        #expect(try found([first, second]) == (left == right ? left : .conflict), "\(first), \(second)")
        #expect(try found([first, "accept: x", second, first]) == (left == right ? left : .conflict))
      }
    }
  }

  static let several: [([String], Found)] = [
    ([], .none),
    (["authorization: Bearer a", "authorization: BEARER  a", "x-api-key: a"], .one("a")),
    (["authorization: Bearer a", "authorization: Bearer a", "authorization: Bearer b"], .conflict),
    (["x-api-key: a", "x-api-key: a", "authorization: Basic a"], .conflict),
    (["authorization: Basic a", "authorization: Basic a"], .foreign),
    (["authorization: Basic a", "authorization: Digest b"], .foreign),
    (["x-api-key: a", "x-api-key: A"], .conflict), (["x-api-key: a", "x-api-key: ab"], .conflict),
    (["x-api-key:", "x-api-key:"], .one("")), (["x-api-key:", "authorization: Bearer a"], .conflict),
  ]

  @Test(arguments: several) func moreFields(_ fields: [String], _ expected: Found) throws {
    #expect(try found(fields) == expected)
    #expect(try found(fields.reversed()) == expected)
  }

  // MARK: What scripts see

  static let seen: [([String], String, String)] = [
    ([], "nil", "nil, 'no credential'"),
    (["authorization: Basic YTpi"], "handle", "nil, 'unsupported scheme'"),
    (["authorization: Bearer"], "handle", "nil, 'unsupported scheme'"),
    (["authorization: Bearer a.b.c", "x-api-key: a.b.d"], "handle", "nil, 'two credentials'"),
    (["authorization: Bearer a.b.c", "authorization: Basic YTpi"], "handle", "nil, 'two credentials'"),
    (["authorization: Bearer abc"], "handle", "nil, 'malformed'"), (["x-api-key:"], "handle", "nil, 'malformed'"),
  ]

  @Test(arguments: seen) func scriptsGetAHandle(_ fields: [String], _ handle: String, _ verdict: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.credential", "/", fields) == handle)
    for name in ["verify", "claims"] {
      #expect(try bench.run("return edge.jwt.\(name)(req.credential)", "/", fields) == verdict)
    }
  }

  /// Whatever a script tries, it does not read the token.
  @Test func theHandleTellsNothing() throws {
    let bench = try PolicyBench.runner()
    let fields = ["authorization: Bearer hush-hush", "x-api-key: hush-hush", "cookie: c=d"]
    for code in [
      "return tostring(req.credential)", "return req.credential .. ''", "return #req.credential",
      "return req.credential.token", "return req.credential[1]", "return edge.json.encode(req.credential)",
      "return edge.crypto.base64(req.credential)", "return req.headers.authorization",
      "return req.headers['X-Api-Key']",
      "return getmetatable(req.credential)", "for k, v in pairs(req.credential) do return k, v end",
      "return string.format('%s', req.credential)", "return rawget(req.credential, 'token')",
      "return rawlen(req.credential)", "return edge.kv.set('k', req.credential)", "edge.log.info(req.credential)",
    ] {
      #expect(try !bench.run(code, "/", fields).contains("hush"), "\(code)")
    }
    #expect(try bench.run("return req.headers.cookie", "/", fields) == "'c=d'")
    #expect(
      try bench.run("req.credential.token = 1", "/", fields) == "error: credential is read-only: 'token' cannot be set")
  }

  /// When the exchange has ended nothing is left of what it carried.
  @Test func theHandleWithoutARequest() throws {
    let bench = try PolicyBench(
      "local kept return {on_request = function(req) kept = req.credential end, "
        + "on_log = function(ctx) ctx.user = select(2, edge.jwt.verify(kept)) end}")
    try bench.show(PolicyBench.head("/", ["x-api-key: a"]))
    #expect(bench.ask() == .passed)
    bench.machine.host.view = nil
    #expect(bench.ask(.onLog) == .passed)
    #expect(bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } == "no credential")
  }

  @Test func theHandleIsThatOfTheRequestAtHand() throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("state.kept = req.credential return state.kept", "/", ["authorization: Basic x"]) == "handle")
    #expect(try bench.run("return edge.jwt.verify(state.kept)") == "nil, 'no credential'")
    #expect(try bench.run("return edge.jwt.verify(state.kept)", "/", ["x-api-key: a"]) == "nil, 'malformed'")
  }
}
