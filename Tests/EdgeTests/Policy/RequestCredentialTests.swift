// Which credential a request carries: every combination of the fields that may hold one, and what scripts see of it.

import Testing

@testable import Edge

@Suite("Credentials of requests") struct RequestCredentialTests {
  enum Found: Equatable, Sendable {
    case none, foreign, conflict
    case one(String)
  }

  private let bench: PolicyBench

  init() throws { bench = try PolicyBench.runner() }

  private func found(_ fields: [String], _ change: (inout RequestView) -> Void = { _ in }) throws -> Found {
    try bench.show(PolicyBench.head("/", fields))
    var view = try #require(bench.machine.host.view)
    change(&view)
    switch RequestCredential(view) {
    case .none: return Found.none
    case .foreign: return .foreign
    case .conflict: return .conflict
    case .one(let token): return .one(latin(Array(token)))
    }
  }

  static let single: [(String, Found)] = [
    ("authorization: Bearer abc", .one("abc")), ("AUTHORIZATION: bearer abc", .one("abc")),
    ("Authorization: BEARER abc", .one("abc")), ("authorization: bEaReR a.b.c", .one("a.b.c")),
    ("authorization:Bearer abc", .one("abc")), ("authorization:  Bearer abc  ", .one("abc")),
    ("authorization: Bearer  abc", .one("abc")), ("authorization: Bearer     abc", .one("abc")),
    ("authorization: Bearer a b", .one("a b")), ("authorization: Bearer a, Bearer b", .one("a, Bearer b")),
    ("authorization: Bearer Bearer", .one("Bearer")), ("authorization: Bearer \u{e9}", .one("\u{e9}")),
    ("authorization: Bearer", .foreign), ("authorization: Bearer ", .foreign), ("authorization:", .none),
    ("authorization: Bearerabc", .foreign), ("authorization: Bearer\tabc", .foreign),
    ("authorization: Beare abc", .foreign),
    ("authorization: abc", .foreign), ("authorization: Basic YTpi", .foreign), ("authorization: Digest a=b", .foreign),
    ("authorization: Bearers abc", .foreign), ("authorization: \"Bearer abc\"", .foreign),
    ("x-api-key: abc", .one("abc")), ("X-API-Key:abc", .one("abc")), ("x-api-key: Bearer abc", .one("Bearer abc")),
    ("x-api-key: a b", .one("a b")), ("x-api-key:", .none),
    ("cookie: authorization=Bearer abc", .none), ("proxy-authorization: Bearer abc", .none),
    ("x-authorization: Bearer abc", .none), ("api-key: abc", .none), ("authorizatio: Bearer abc", .none),
    ("accept: */*", .none),
  ]

  @Test(arguments: single) func oneField(_ field: String, _ expected: Found) throws {
    #expect(try found([field]) == expected)
    // Others beside it do not matter.
    #expect(try found(["accept: Bearer x", field, "cookie: a=b"]) == expected)
  }

  static let tokens = ["a", "b"]
  static let bearer = tokens.map { ("authorization: Bearer \($0)", Found.one($0)) }
  static let keys = tokens.map { ("x-api-key: \($0)", Found.one($0)) }
  static let foreign = [
    ("authorization: Basic x", Found.foreign), ("authorization: Bearer", .foreign),
  ]

  /// An empty field is none, whatever stands beside it.
  @Test(arguments: ["authorization:", "x-api-key:", "authorization:  ", "x-api-key: "])
  func emptyFields(_ empty: String) throws {
    for (field, expected) in RequestCredentialTests.bearer + RequestCredentialTests.keys
      + RequestCredentialTests.foreign
    {
      #expect(try found([empty, field]) == expected, "\(field)")
      #expect(try found([field, "accept: x", empty, empty]) == expected, "\(field)")
    }
  }

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
    (["x-api-key:", "x-api-key:"], .none),
  ]

  @Test(arguments: several) func moreFields(_ fields: [String], _ expected: Found) throws {
    #expect(try found(fields) == expected)
    #expect(try found(fields.reversed()) == expected)
  }

  // MARK: Upgrades

  static let upgrades: [([String], String?, Found)] = [
    ([], "abc", .one("abc")), (["authorization: Bearer abc"], "abc", .one("abc")),
    (["x-api-key: abc"], "abc", .one("abc")), (["authorization: Bearer abc"], "abd", .conflict),
    (["authorization: Basic x"], "abc", .conflict), ([], "", .none),
    (["sec-websocket-protocol: Bearer abc"], nil, .one("abc")),
    (["Sec-WebSocket-Protocol: bearer   a.b.c "], nil, .one("a.b.c")),
    (["sec-websocket-protocol: Bearer, abc"], nil, .one("abc")),
    (["sec-websocket-protocol: BEARER,abc"], nil, .one("abc")),
    (["sec-websocket-protocol: , Bearer ,\t abc , "], nil, .one("abc")),
    (["sec-websocket-protocol: Bearer", "sec-websocket-protocol: abc"], nil, .one("abc")),
    (["sec-websocket-protocol: chat, Bearer, abc, other"], nil, .one("abc")),
    (["sec-websocket-protocol: chat, Bearer abc"], nil, .one("abc")),
    (["sec-websocket-protocol: chat"], nil, .none), (["sec-websocket-protocol: abc.def, x"], nil, .none),
    (["sec-websocket-protocol:"], nil, .none), (["sec-websocket-protocol: Bearers, abc"], nil, .none),
    (["sec-websocket-protocol: Bearer"], nil, .foreign), (["sec-websocket-protocol: chat, Bearer"], nil, .foreign),
    (["sec-websocket-protocol: Bearer, Bearer"], nil, .one("Bearer")),
    (["sec-websocket-protocol: Bearer, a, Bearer, a"], nil, .one("a")),
    (["sec-websocket-protocol: Bearer, a, Bearer, b"], nil, .conflict),
    (["sec-websocket-protocol: Bearer a", "sec-websocket-protocol: Bearer b"], nil, .conflict),
    (["sec-websocket-protocol: Bearer a, Bearer, a"], nil, .one("a")),
    (["sec-websocket-protocol: Bearer, a", "authorization: Bearer a", "x-api-key: a"], "a", .one("a")),
    (["sec-websocket-protocol: Bearer, a"], "b", .conflict),
    (["sec-websocket-protocol: Bearer, a", "x-api-key: b"], nil, .conflict),
    (["sec-websocket-protocol: Bearer", "x-api-key: b"], nil, .conflict),
  ]

  @Test(arguments: upgrades)
  func placesOfUpgrades(_ fields: [String], _ query: String?, _ expected: Found) throws {
    let arena = Arena()
    #expect(
      try found(fields) { view in
        view.isUpgrade = true
        view.queryToken = query.map { arena.text($0) }
      } == expected)
    // No other request has them.
    let plain = fields.filter { !$0.lowercased().hasPrefix("sec-websocket-protocol") }
    #expect(try found(fields) { $0.queryToken = query.map { arena.text($0) } } == found(plain))
  }

  @Test func twoTokensInTheQuery() throws {
    func two(_ fields: [String], _ isUpgrade: Bool) throws -> Found {
      try found(fields) { view in
        view.isUpgrade = isUpgrade
        view.hasTwoQueryTokens = true
      }
    }
    #expect(try two([], true) == .conflict)
    #expect(try two(["x-api-key: a"], true) == .conflict)
    #expect(try two(["x-api-key: a"], false) == .one("a"))
  }

  static let forms: [([String], String)] = [
    ([], "none"), (["sec-websocket-protocol: chat"], "none"), (["sec-websocket-protocol: Bearer"], "none"),
    (["sec-websocket-protocol: Bearer a"], "value"), (["SEC-WEBSOCKET-PROTOCOL: bearer a"], "value"),
    (["sec-websocket-protocol: Bearer, a"], "Bearer"), (["sec-websocket-protocol: bEARER ,a"], "bEARER"),
    (["sec-websocket-protocol: Bearer", "sec-websocket-protocol: a"], "Bearer"),
    (["sec-websocket-protocol: chat, Bearer, a"], "Bearer"),
    (["sec-websocket-protocol: Bearer a, Bearer, a"], "Bearer"),
    (["sec-websocket-protocol: Bearer, a, Bearer a"], "Bearer"),
    (["x-sec-websocket-protocol: Bearer, a", "authorization: Bearer a"], "none"),
  ]

  /// What the answer to an upgrade must say is the name as the client has written it.
  @Test(arguments: forms) func formsOfSubprotocols(_ fields: [String], _ expected: String) throws {
    try bench.show(PolicyBench.head("/", fields))
    let view = try #require(bench.machine.host.view)
    switch RequestCredential.subprotocol(view.received) {
    case .none: #expect(expected == "none")
    case .value: #expect(expected == "value")
    case .list(let name):
      #expect(expected == latin(Array(UnsafeBufferPointer(start: name.start, count: name.count))))
    }
  }

  /// Whatever request it is of.
  @Test func subprotocolsWithATokenCannotBeRead() throws {
    func read(_ field: String) throws -> String {
      try bench.run("return req.headers['Sec-WebSocket-PROTOCOL']", "/", [field])
    }
    for value in ["Bearer a", "Bearer, a", "bearer,a", "chat, Bearer, a", "chat, Bearer a"] {
      #expect(try read("sec-websocket-protocol: \(value)") == "nil")
    }
    #expect(try read("sec-websocket-protocol: chat, v1") == "'chat, v1'")
    #expect(try read("sec-websocket-protocol: Bearer") == "'Bearer'")
    #expect(try read("x-other: Bearer, a") == "nil", "there is none")
  }

  @Test func scriptsSeeUpgrades() throws {
    #expect(try bench.run("return req.upgrade") == "false")
    #expect(try bench.run("return req.upgrade", "/", ["upgrade: websocket", "connection: upgrade"]) == "false")
    let asking = try PolicyBench(
      "return {on_request = function(req, ctx) ctx.user = tostring(req.upgrade) .. tostring(req.args.token) .. "
        + "(req.credential and select(2, edge.jwt.verify(req.credential)) or '-') end}")
    try asking.show(PolicyBench.head("/?a=1"))
    asking.machine.host.view?.isUpgrade = true
    #expect(asking.ask() == .passed)
    #expect(asking.machine.user(asking.context).map { String(decoding: $0, as: UTF8.self) } == "truenil-")
    let arena = Arena()
    asking.machine.host.view?.queryToken = arena.text("not.a.token")
    #expect(asking.ask() == .passed)
    #expect(asking.machine.user(asking.context).map { String(decoding: $0, as: UTF8.self) } == "truenilmalformed")
  }

  // MARK: What scripts see

  static let seen: [([String], String, String)] = [
    ([], "nil", "nil, 'no credential'"),
    (["authorization: Basic YTpi"], "handle", "nil, 'unsupported scheme'"),
    (["authorization: Bearer"], "handle", "nil, 'unsupported scheme'"),
    (["authorization: Bearer a.b.c", "x-api-key: a.b.d"], "handle", "nil, 'two credentials'"),
    (["authorization: Bearer a.b.c", "authorization: Basic YTpi"], "handle", "nil, 'two credentials'"),
    (["authorization: Bearer abc"], "handle", "nil, 'malformed'"), (["x-api-key:"], "nil", "nil, 'no credential'"),
  ]

  @Test(arguments: seen) func scriptsGetAHandle(_ fields: [String], _ handle: String, _ verdict: String) throws {
    #expect(try bench.run("return req.credential", "/", fields) == handle)
    for name in ["verify", "claims"] {
      #expect(try bench.run("return edge.jwt.\(name)(req.credential)", "/", fields) == verdict)
    }
  }

  /// Whatever a script tries, it does not read the token.
  @Test func theHandleTellsNothing() throws {
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
    #expect(try bench.run("state.kept = req.credential return state.kept", "/", ["authorization: Basic x"]) == "handle")
    #expect(try bench.run("return edge.jwt.verify(state.kept)") == "nil, 'no credential'")
    #expect(try bench.run("return edge.jwt.verify(state.kept)", "/", ["x-api-key: a"]) == "nil, 'malformed'")
  }
}
