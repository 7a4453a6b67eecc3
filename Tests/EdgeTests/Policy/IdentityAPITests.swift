// `edge.jwt` and `edge.permission`: what scripts learn of a token, and what roles allow.

import Testing

@testable import Edge

@Suite("edge: jwt and permission") struct IdentityAPITests {
  /// The wall clock of the bench in whole seconds.
  private static let now = Int(PolicyBench.wall / 1_000_000_000)
  private static let key = Array((Fixture.environment["JWT_SECRET"] ?? "").utf8)

  private static func token(_ claims: String, key: [UInt8] = key) -> String {
    String(decoding: TokenSigner.sign(claims: Array(claims.utf8), key: key), as: UTF8.self)
  }

  // MARK: Verifying

  static let good: [(String, String)] = [
    ("{\"sub\":\"ann\",\"exp\":\(now + 60)}", "{expires: \(now + 60), roles: ['user'], user: 'ann'}"),
    (
      "{\"sub\":\"ann\",\"exp\":\(now + 60),\"role\":\"admin\"}",
      "{expires: \(now + 60), roles: ['admin'], user: 'ann'}"
    ),
    (
      "{\"sub\":\"ann\",\"exp\":\(now + 60),\"roles\":[\"b\",\"a\",\"b\"]}",
      "{expires: \(now + 60), roles: ['b', 'a', 'b'], user: 'ann'}"
    ),
    ("{\"sub\":\"ann\",\"exp\":\(now + 60),\"roles\":[]}", "{expires: \(now + 60), roles: ['user'], user: 'ann'}"),
    ("{\"userId\":42,\"exp\":\(now + 60).75}", "{expires: \(now + 60), roles: ['user'], user: '42'}"),
    ("{\"id\":\"\\u00fc\\\"\",\"exp\":\(now + 60)}", "{expires: \(now + 60), roles: ['user'], user: 'ü\"'}"),
    ("{\"sub\":\"ann\",\"exp\":\(now - 29)}", "{expires: \(now - 29), roles: ['user'], user: 'ann'}"),
    (
      "{\"sub\":\"ann\",\"exp\":\(now + 60),\"nbf\":\(now + 30)}",
      "{expires: \(now + 60), roles: ['user'], user: 'ann'}"
    ),
  ]

  @Test(arguments: good) func tokensThatAreBelieved(_ claims: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    let token = IdentityAPITests.token(claims)
    #expect(try bench.run("return edge.jwt.verify('\(token)')") == expected)
    for field in ["authorization: Bearer \(token)", "x-api-key: \(token)"] {
      #expect(try bench.run("return edge.jwt.verify(req.credential)", "/", [field]) == expected)
    }
    // A second time from memory, and another one between.
    #expect(try bench.run("return edge.jwt.verify('a.b.c')") == "nil, 'malformed'")
    #expect(try bench.run("return edge.jwt.verify('\(token)')") == expected)
  }

  static let bad: [(String, String)] = [
    ("{\"sub\":\"ann\",\"exp\":\(now - 30)}", "expired"), ("{\"sub\":\"ann\"}", "no expiry"),
    ("{\"sub\":\"ann\",\"exp\":\(now + 60),\"nbf\":\(now + 31)}", "not yet valid"),
    ("{\"exp\":\(now + 60)}", "no user"),
    ("{\"sub\":\"\",\"exp\":\(now + 60)}", "bad user"), ("{\"sub\":null,\"exp\":\(now + 60)}", "bad user"),
    ("{\"sub\":\"ann\",\"sub\":\"bob\",\"exp\":\(now + 60)}", "duplicate claim"),
    ("{\"sub\":\"ann\",\"exp\":\(now + 60),\"roles\":{}}", "bad roles"),
    ("{\"sub\":\"ann\",\"exp\":\"soon\"}", "bad claims"),
    ("[]", "bad claims"), ("", "bad claims"),
  ]

  @Test(arguments: bad) func tokensThatAreNot(_ claims: String, _ problem: String) throws {
    let bench = try PolicyBench.runner()
    let token = IdentityAPITests.token(claims)
    for name in ["verify", "claims"] {
      #expect(try bench.run("return edge.jwt.\(name)('\(token)')") == "nil, '\(problem)'")
    }
  }

  static let noTokens: [(String, String)] = [
    ("", "no credential"), ("nil", "no credential"), ("5", "no credential"), ("true", "no credential"),
    ("{}", "no credential"),
    ("edge.json.null", "no credential"), ("req", "no credential"), ("req.headers", "no credential"),
    ("tostring", "no credential"),
    ("state.limit", "no credential"), ("''", "malformed"), ("'a.b'", "malformed"), ("'a.b.c.d'", "malformed"),
    ("'Bearer a.b.c'", "malformed"), ("'a\\0b'", "malformed"), ("('x'):rep(8193)", "too long"),
    ("('x'):rep(8192)", "malformed"),
  ]

  @Test(arguments: noTokens) func whatIsNoToken(_ argument: String, _ problem: String) throws {
    let bench = try PolicyBench.runner(start: "state.limit = edge.limit.define('l', {limit = '1 per 1s'})")
    for name in ["verify", "claims"] {
      #expect(try bench.run("return edge.jwt.\(name)(\(argument))") == "nil, '\(problem)'")
    }
  }

  @Test func signaturesOfOthers() throws {
    let bench = try PolicyBench.runner()
    let claims = "{\"sub\":\"ann\",\"exp\":\(IdentityAPITests.now + 60)}"
    let foreign = IdentityAPITests.token(claims, key: Array(repeating: 7, count: 64))
    #expect(try bench.run("return edge.jwt.verify('\(foreign)')") == "nil, 'bad signature'")
    let own = IdentityAPITests.token(claims)
    #expect(try bench.run("return edge.jwt.verify('\(own)x')") != "nil, 'expired'")
    #expect(try bench.run("return (edge.jwt.verify('\(own)x'))") == "nil")
    let none = "eyJhbGciOiJub25lIn0." + own.split(separator: ".")[1] + "."
    #expect(try bench.run("return edge.jwt.verify('\(none)')") == "nil, 'unsupported algorithm'")
  }

  /// The same token is refused when its time is over.
  @Test func timePasses() throws {
    let bench = try PolicyBench.runner()
    let token = IdentityAPITests.token("{\"sub\":\"ann\",\"exp\":\(IdentityAPITests.now + 60)}")
    for (seconds, expected) in [(0, "true"), (89, "true"), (90, "false"), (100, "false")] {
      bench.machine.host.wallNanoseconds = PolicyBench.wall + UInt64(seconds) * 1_000_000_000
      #expect(try bench.run("return (edge.jwt.verify('\(token)')) ~= nil") == expected)
    }
  }

  @Test func settingsOfAuth() throws {
    let more =
      "auth: {require_exp: false, issuer: me, audience: [edge, other], leeway: 0s, "
      + "claims: {user: uid, roles: [groups]}}\n"
    let bench = try PolicyBench.runner(more: more)
    func verify(_ claims: String) throws -> String {
      try bench.run("return edge.jwt.verify('\(IdentityAPITests.token(claims))')")
    }
    let good = "{\"iss\":\"me\",\"aud\":\"edge\",\"uid\":\"ann\",\"groups\":[\"g\"],\"roles\":[\"r\"]}"
    #expect(try verify(good) == "{roles: ['g'], user: 'ann'}", "no time, no `expires`")
    #expect(try verify(good.replacingOccurrences(of: "\"me\"", with: "\"you\"")) == "nil, 'wrong issuer'")
    #expect(try verify(good.replacingOccurrences(of: "\"edge\"", with: "[\"x\",\"other\"]")).hasPrefix("{roles"))
    #expect(try verify(good.replacingOccurrences(of: "\"edge\"", with: "[\"x\"]")) == "nil, 'wrong audience'")
    #expect(try verify(good.replacingOccurrences(of: "uid", with: "sub")) == "nil, 'no user'")
    #expect(try verify(good.dropLast() + ",\"exp\":\(IdentityAPITests.now)}") == "nil, 'expired'")
  }

  // MARK: Claims

  @Test func allClaims() throws {
    let bench = try PolicyBench.runner()
    let now = IdentityAPITests.now
    let token = IdentityAPITests.token(
      "{\"sub\":\"ann\",\"exp\":\(now + 60),\"deep\":{\"list\":[1,null,{}],\"x\":1.5},"
        + "\"esc\":\"\\u00fc\\n\",\"big\":1e400}"
    )
    #expect(
      try bench.run("return edge.jwt.claims('\(token)')")
        == "{big: inf, deep: {list: [1, null, {}], x: 1.5}, esc: 'ü\n', exp: \(now + 60), sub: 'ann'}")
    #expect(
      try bench.run("return edge.jwt.claims(req.credential).sub", "/", ["x-api-key: \(token)"]) == "'ann'")
  }

  /// A claim that stands there twice and that Edge itself does not need is no reason to refuse the caller, but nothing
  /// that a script may be shown.
  @Test func claimsThatMeanTwoThings() throws {
    let bench = try PolicyBench.runner()
    let token = IdentityAPITests.token("{\"sub\":\"ann\",\"exp\":\(IdentityAPITests.now + 60),\"x\":1,\"x\":2}")
    #expect(try bench.run("return edge.jwt.verify('\(token)').user") == "'ann'")
    #expect(try bench.run("return edge.jwt.claims('\(token)')") == "nil, 'malformed'")
  }

  /// What was learned stays what it was when another token is looked at, and nobody can change it.
  @Test func answersStay() throws {
    let bench = try PolicyBench.runner()
    let tokens = ["ann", "bob"].map {
      IdentityAPITests.token("{\"sub\":\"\($0)\",\"role\":\"\($0)s\",\"exp\":\(IdentityAPITests.now + 60)}")
    }
    #expect(
      try bench.run(
        "local a = edge.jwt.verify('\(tokens[0])') local b = edge.jwt.verify('\(tokens[1])') "
          + "local set = pcall(function() a.roles[2] = 'more' end) "
          + "return a.user, a.roles, b.user, b.roles, edge.jwt.verify('\(tokens[0])').roles, set")
        == "'ann', ['anns'], 'bob', ['bobs'], ['anns'], false")
  }

  // MARK: Permissions

  static let allowed: [(String, String, Bool)] = [
    ("'reader'", "mcp:read", true), ("'reader'", "mcp:write", false), ("'reader'", "mcp", false),
    ("'reader'", "mcp:read:x", false),
    ("'reader'", "files:a", true), ("'reader'", "files:a:b", true), ("'reader'", "files", false),
    ("'reader'", "files:", false),
    ("'reader'", "MCP:READ", false), ("'reader'", "", false), ("'Reader'", "mcp:read", false),
    ("''", "mcp:read", false),
    ("'admin'", "anything:at:all", true), ("'admin'", "", false), ("'user'", "mcp:execute", true),
    ("'user'", "mcp:admin", false),
    ("'nobody'", "mcp:read", false), ("{'nobody', 'reader'}", "mcp:read", true),
    ("{'nobody', 'empty'}", "mcp:read", false),
    ("{'reader'}", "mcp:read", true), ("{}", "mcp:read", false), ("edge.json.array()", "mcp:read", false),
    ("nil", "mcp:read", false),
    ("edge.json.array{'reader'}", "mcp:read", true), ("{'a\\0', 'reader\\0'}", "mcp:read", false),
    ("('r'):rep(100000)", "mcp:read", false),
  ]

  @Test(arguments: allowed) func whatRolesAllow(_ roles: String, _ permission: String, _ expected: Bool) throws {
    let more = "roles:\n  reader: {permissions: [\"mcp:read\", \"files:*\"]}\n  empty: {permissions: []}\n"
    let bench = try PolicyBench.runner(more: more)
    #expect(try bench.run("return edge.permission.allows(\(roles), '\(permission)')") == "\(expected)")
  }

  private static let permissionFault = "edge.permission.allows takes a permission: a name such as \"mcp:read\""
  private static let rolesFault = "edge.permission.allows takes roles: one name, or a list of at most 256"

  static let refused: [(String, String)] = [
    ("'admin', ('x'):rep(1025)", permissionFault),
    ("(function() local t = {} for i = 1, 257 do t[i] = 'x' end return t end)(), 'p'", rolesFault),
    ("'admin'", permissionFault),
    ("'admin', nil", permissionFault),
    ("'admin', 5", permissionFault),
    ("'admin', {'mcp:read'}", permissionFault),
    ("", permissionFault), ("{5}, 'p'", rolesFault),
    ("{'x', {}}, 'p'", rolesFault),
    ("{{'admin'}}, 'p'", rolesFault), ("{admin = true}, 'p'", rolesFault),
    ("{edge.json.null}, 'p'", rolesFault),
    ("{'x', y = 'admin'}, 'p'", rolesFault), ("{tostring}, 'p'", rolesFault),
    ("req, 'p'", rolesFault),
    ("tostring, 'p'", rolesFault),
  ]

  @Test(arguments: refused) func argumentsThatAreRefused(_ arguments: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.permission.allows(\(arguments))") == "error: " + message)
  }

  /// What is neither a role nor a list of them allows nothing, whatever else is done about it.
  @Test(arguments: ["5", "true", "false", "0.5", "edge.json.null"]) func noRoles(_ roles: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.permission.allows(\(roles), 'mcp:read')") != "true")
  }
}
