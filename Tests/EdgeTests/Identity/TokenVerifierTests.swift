import Testing

@testable import Edge

@Suite struct TokenVerifierTests {
  private static let end = TokenBench.now + 3_600

  @Test func aGoodToken() throws {
    let claims = TokenBench.claims("\"roles\":[\"user\",\"admin\"],\"name\":\"Ann\"")
    let expected = VerdictFacts(user: "u", roles: ["user", "admin"], expires: Self.end, claims: claims)
    let bench = try TokenBench()
    #expect(bench.verify(claims: claims) == expected)
    #expect(bench.verify(claims: claims) == expected)
    #expect(bench.verifier.cachedCount == 1)
  }

  /// A token made elsewhere (RFC 7515 appendix A.1): not only what Edge itself signs.
  @Test func theTokenOfTheStandard() throws {
    let token =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
      + "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    let area = ByteArea(raw(key))
    let count = try #require(Base64.decodeURL(area.base, area.count, into: area.base))
    let bench = try TokenBench {
      $0.keys = [area.slice(0..<count)]
      $0.userClaims = ["iss"]
    }
    #expect(bench.verify(raw(token)).fault == .expired)
    bench.now = 1_300_000_000
    #expect(bench.verify(raw(token)).user == "joe")
  }

  // MARK: structure

  @Test(arguments: ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "....", "é.é.é"])
  func noToken(_ text: String) throws {
    #expect(try TokenBench().verify(Array(text.utf8)).fault == .malformed)
  }

  @Test func lengthIsBounded() throws {
    let bench = try TokenBench()
    func token(_ filling: Int) -> [UInt8] {
      TokenBench.token(TokenBench.claims("\"x\":\"\(String(repeating: "x", count: filling))\""))
    }
    let frame = token(0).count
    let longest = token((TokenRules.tokenBytesMax - frame) * 3 / 4)
    #expect(longest.count <= TokenRules.tokenBytesMax && longest.count > TokenRules.tokenBytesMax - 4)
    let verdict = bench.verify(longest)
    #expect(verdict.user == "u")
    #expect(verdict.claims.count > 6_000)
    #expect(bench.verify(token((TokenRules.tokenBytesMax - frame) * 3 / 4 + 4)).fault == .tooLong)
    #expect(bench.verifier.cachedCount == 0)
    #expect(bench.verify(longest) == verdict)
  }

  @Test func everyBeginningIsRefused() throws {
    let bench = try TokenBench()
    let token = TokenBench.token(TokenBench.plain)
    for count in 0..<token.count { #expect(bench.verify(Array(token[..<count])).fault != nil) }
    #expect(bench.verify(token).fault == nil)
    for count in 0..<token.count { #expect(bench.verify(Array(token[..<count])).fault != nil) }
    #expect(bench.verifier.cachedCount == 1)
  }

  @Test func everyChangedByteIsRefused() throws {
    let bench = try TokenBench()
    let token = TokenBench.token(TokenBench.plain)
    #expect(bench.verify(token).fault == nil)
    for place in token.indices {
      for bit in 0..<8 {
        var changed = token
        changed[place] ^= 1 << UInt8(bit)
        #expect(bench.verify(changed).fault != nil, "bit \(bit) of byte \(place)")
      }
    }
    #expect(bench.verify(token).fault == nil)
    #expect(bench.verifier.cachedCount == 1)
  }

  @Test func somethingMoreIsRefused() throws {
    let bench = try TokenBench()
    let token = TokenBench.token(TokenBench.plain)
    for more in [".", "=", " ", "A", "\n", "\u{0}", ".e30"] {
      #expect(bench.verify(token + raw(more)).fault != nil)
      #expect(bench.verify(raw(more) + token).fault != nil)
    }
  }

  // MARK: header

  @Test(
    arguments: [
      ("{\"alg\":\"HS256\"}", nil), ("{\"alg\":\"HS256\",\"typ\":\"jwt\"}", nil),
      ("{\"typ\":\"AT+JWT\",\"alg\":\"HS256\",\"kid\":\"x\"}", nil), (" {\n\"alg\" : \"HS256\" } ", nil),
      ("{\"alg\":\"none\"}", .unsupportedAlgorithm), ("{\"alg\":\"None\"}", .unsupportedAlgorithm),
      ("{\"alg\":\"\"}", .unsupportedAlgorithm), ("{\"alg\":\"hs256\"}", .unsupportedAlgorithm),
      ("{\"alg\":\"HS256 \"}", .unsupportedAlgorithm), ("{\"alg\":\"HS384\"}", .unsupportedAlgorithm),
      ("{\"alg\":\"HS512\"}", .unsupportedAlgorithm), ("{\"alg\":\"RS256\"}", .unsupportedAlgorithm),
      ("{\"alg\":\"ES256\"}", .unsupportedAlgorithm), ("{\"alg\":\"EdDSA\"}", .unsupportedAlgorithm),
      ("{\"alg\":null}", .unsupportedAlgorithm), ("{\"alg\":256}", .unsupportedAlgorithm),
      ("{\"alg\":[\"HS256\"]}", .unsupportedAlgorithm), ("{}", .malformed), ("{\"typ\":\"JWT\"}", .malformed),
      ("{\"Alg\":\"HS256\"}", .malformed), ("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", .malformed),
      ("{\"alg\":\"HS256\",\"alg\":\"none\"}", .malformed), ("{\"alg\":\"none\",\"\\u0061lg\":\"HS256\"}", .malformed),
      ("{\"alg\":\"HS256\",\"kid\":1,\"kid\":2}", .malformed),
      ("{\"alg\":\"HS256\",\"typ\":\"JWE\"}", .unsupportedHeader),
      ("{\"alg\":\"HS256\",\"typ\":\"\"}", .unsupportedHeader), ("{\"alg\":\"HS256\",\"typ\":1}", .malformed),
      ("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", .unsupportedHeader),
      ("{\"alg\":\"HS256\",\"crit\":[]}", .unsupportedHeader), ("{\"alg\":\"HS256\",\"b64\":true}", .unsupportedHeader),
      ("{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", .unsupportedHeader), ("[\"HS256\"]", .malformed),
      ("\"HS256\"", .malformed), ("", .malformed), ("{\"alg\":\"HS256\"}x", .malformed),
      ("{\"alg\":\"HS256\"", .malformed),
    ] as [(String, TokenFault?)]) func header(_ header: String, _ fault: TokenFault?) throws
  {
    let bench = try TokenBench()
    #expect(bench.verify(header: header).fault == fault)
    // Without a signature nothing is better.
    let unsigned = TokenSigner.sign(header: Array(header.utf8), claims: Array(TokenBench.plain.utf8), key: [])
    let end = try #require(unsigned.lastIndex(of: 0x2e))
    #expect(bench.verify(Array(unsigned[...end])).fault == fault ?? .badSignature)
    #expect(bench.verify(Array(unsigned[..<end])).fault == .malformed)
  }

  @Test func aHeaderOfManyKeysIsRefused() throws {
    func header(_ count: Int) -> String {
      "{\"alg\":\"HS256\"" + (1..<count).map { ",\"k\($0)\":0" }.joined() + "}"
    }
    let bench = try TokenBench()
    #expect(bench.verify(header: header(32)).fault == nil)
    #expect(bench.verify(header: header(33)).fault == .malformed)
  }

  // MARK: keys

  @Test func severalKeys() throws {
    let bench = try TokenBench { $0.keys = [TokenBench.key, TokenBench.otherKey] }
    #expect(bench.verify(TokenBench.token(TokenBench.plain)).user == "u")
    #expect(bench.verify(TokenBench.token(TokenBench.plain, key: TokenBench.otherKey)).user == "u")
    #expect(bench.verify(TokenBench.token(TokenBench.plain, key: TokenBench.key + [1])).fault == .badSignature)
    let single = try TokenBench()
    #expect(single.verify(TokenBench.token(TokenBench.plain, key: TokenBench.otherKey)).fault == .badSignature)
    #expect(single.verify(TokenBench.token(TokenBench.plain, key: [])).fault == .badSignature)
    #expect(TokenVerifier(TokenRules(keys: [])) == nil)
  }

  @Test func claimsAreNotLookedAtBeforeTheSignature() throws {
    let token = TokenBench.token("{\"sub\":1,\"sub\":", key: TokenBench.otherKey)
    #expect(try TokenBench().verify(token).fault == .badSignature)
  }

  // MARK: times

  @Test(
    arguments: [
      ("\(end)", nil, end), ("\(end).9", nil, end), ("1e300", nil, .max), ("\(Int64.max)", nil, .max),
      ("9223372036854775808", nil, .max), ("\(TokenBench.now - 29)", nil, TokenBench.now - 29),
      ("\(TokenBench.now - 30)", .expired, 0), ("\(TokenBench.now - 30).9", .expired, 0),
      ("\(TokenBench.now - 29).1", nil, TokenBench.now - 29), ("0", .expired, 0), ("-1", .expired, 0),
      ("-1e300", .expired, 0), ("\(Int64.min)", .expired, 0), ("1e309", .badClaims, 0), ("\"\(end)\"", .badClaims, 0),
      ("null", .badClaims, 0), ("true", .badClaims, 0), ("[\(end)]", .badClaims, 0), ("{}", .badClaims, 0),
      ("\(end),\"exp\":\(end)", .duplicateClaim, 0), ("\(end),\"e\\u0078p\":1", .duplicateClaim, 0),
    ] as [(String, TokenFault?, Int64)]) func expiry(_ value: String, _ fault: TokenFault?, _ expires: Int64) throws
  {
    let verdict = try TokenBench().verify(claims: "{\"sub\":\"u\",\"exp\":\(value)}")
    #expect(verdict.fault == fault)
    if fault == nil { #expect(verdict.expires == expires) }
  }

  @Test func withoutExpiry() throws {
    #expect(try TokenBench().verify(claims: "{\"sub\":\"u\"}").fault == .noExpiry)
    let verdict = try TokenBench { $0.requiresExpiry = false }.verify(claims: "{\"sub\":\"u\"}")
    #expect(verdict == VerdictFacts(user: "u", claims: "{\"sub\":\"u\"}"))
  }

  @Test(
    arguments: [
      ("0", nil), ("-1e300", nil), ("\(Int64.min)", nil), ("\(TokenBench.now)", nil), ("\(TokenBench.now + 30)", nil),
      ("\(TokenBench.now + 31)", .notYetValid), ("\(TokenBench.now + 30).1", .notYetValid), ("1e300", .notYetValid),
      ("\(Int64.max)", .notYetValid), ("\"0\"", .badClaims), ("null", .badClaims), ("0,\"nbf\":0", .duplicateClaim),
    ] as [(String, TokenFault?)]) func notBefore(_ value: String, _ fault: TokenFault?) throws
  {
    #expect(try TokenBench().verify(claims: TokenBench.claims("\"nbf\":\(value)")).fault == fault)
  }

  @Test(
    arguments: [
      ("0", nil), ("1.5", nil), ("\(end)", nil), ("\"now\"", .badClaims), ("null", .badClaims),
      ("1,\"iat\":1", .duplicateClaim),
    ] as [(String, TokenFault?)]) func issuedAt(_ value: String, _ fault: TokenFault?) throws
  {
    #expect(try TokenBench().verify(claims: TokenBench.claims("\"iat\":\(value)")).fault == fault)
  }

  @Test func leeway() throws {
    let bench = try TokenBench { $0.leewaySeconds = 0 }
    let claims = "{\"sub\":\"u\",\"exp\":\(TokenBench.now + 10),\"nbf\":\(TokenBench.now)}"
    for (offset, fault) in [(-1, .notYetValid), (0, nil), (9, nil), (10, .expired)] as [(Int64, TokenFault?)] {
      bench.now = TokenBench.now + offset
      #expect(bench.verify(claims: claims).fault == fault)
    }
  }

  // MARK: issuer and audience

  @Test(
    arguments: [
      ("\"iss\":\"https://id\"", nil), ("\"iss\":\"https:\\/\\/id\"", nil), ("", .wrongIssuer),
      ("\"iss\":\"https://id/\"", .wrongIssuer), ("\"iss\":\"https://i\"", .wrongIssuer),
      ("\"iss\":null", .wrongIssuer),
      ("\"iss\":[\"https://id\"]", .wrongIssuer), ("\"iss\":\"https://id\",\"iss\":\"https://id\"", .duplicateClaim),
    ] as [(String, TokenFault?)]) func issuer(_ claim: String, _ fault: TokenFault?) throws
  {
    let bench = try TokenBench { $0.issuer = Array("https://id".utf8) }
    #expect(bench.verify(claims: TokenBench.claims(claim)).fault == fault)
  }

  @Test(
    arguments: [
      ("\"aud\":\"edge\"", nil), ("\"aud\":\"edge-2\"", nil), ("\"aud\":[\"x\",\"edge\"]", nil),
      ("\"aud\":[\"edge\"]", nil),
      ("", .wrongAudience), ("\"aud\":\"x\"", .wrongAudience), ("\"aud\":\"\"", .wrongAudience),
      ("\"aud\":[]", .wrongAudience), ("\"aud\":[\"x\"]", .wrongAudience), ("\"aud\":\"edge edge-2\"", .wrongAudience),
      ("\"aud\":[\"edge\",1]", .badClaims), ("\"aud\":[[\"edge\"]]", .badClaims), ("\"aud\":{\"edge\":1}", .badClaims),
      ("\"aud\":null", .badClaims), ("\"aud\":\"edge\",\"aud\":\"edge\"", .duplicateClaim),
    ] as [(String, TokenFault?)]) func audience(_ claim: String, _ fault: TokenFault?) throws
  {
    let bench = try TokenBench { $0.audiences = [Array("edge".utf8), Array("edge-2".utf8)] }
    #expect(bench.verify(claims: TokenBench.claims(claim)).fault == fault)
  }

  @Test func issuerAndAudienceAreNotReadUnlessAsked() throws {
    let claims = TokenBench.claims("\"iss\":1,\"iss\":2,\"aud\":{},\"aud\":null")
    #expect(try TokenBench().verify(claims: claims).user == "u")
  }

  // MARK: user

  @Test(arguments: [
    ("\"sub\":\"ann\"", "ann"), ("\"sub\":\"\\u0061nn \\ud83d\\ude00\"", "ann 😀"), ("\"sub\":42", "42"),
    ("\"sub\":-7", "-7"),
    ("\"userId\":\"b\"", "b"), ("\"id\":9007199254740993", "9007199254740993"), ("\"id\":\"c\",\"userId\":\"b\"", "b"),
    ("\"id\":\"c\",\"userId\":\"b\",\"sub\":\"a\"", "a"), ("\"sub\":\"a\",\"id\":1,\"id\":2", "a"),
  ]) func user(_ claim: String, _ expected: String) throws {
    #expect(try TokenBench().verify(claims: "{\"exp\":\(Self.end),\(claim)}").user == expected)
  }

  @Test(
    arguments: [
      ("\"x\":1", .noUser), ("\"Sub\":\"a\"", .noUser), ("\"sub\":\"\"", .badUser), ("\"sub\":null", .badUser),
      ("\"sub\":true", .badUser), ("\"sub\":[\"a\"]", .badUser), ("\"sub\":{}", .badUser), ("\"sub\":1.5", .badUser),
      ("\"sub\":1e3", .badUser), ("\"sub\":\"\",\"userId\":\"b\"", .badUser),
      ("\"sub\":null,\"userId\":\"b\"", .badUser),
      ("\"sub\":\"a\\u0000\"", .badUser), ("\"sub\":\"a\\nb\"", .badUser), ("\"sub\":\"\u{7f}\"", .badUser),
      ("\"sub\":\" a\"", .badUser), ("\"sub\":\"a \"", .badUser), ("\"sub\":\" \"", .badUser),
      ("\"sub\":\"a\u{85}\"", .badUser), ("\"sub\":\"a\\u009f\"", .badUser),
      ("\"sub\":\"a\",\"sub\":\"a\"", .duplicateClaim),
      ("\"sub\":\"a\",\"\\u0073ub\":\"b\"", .duplicateClaim), ("\"id\":1,\"id\":1", .duplicateClaim),
    ] as [(String, TokenFault)]) func noUser(_ claim: String, _ fault: TokenFault) throws
  {
    #expect(try TokenBench().verify(claims: "{\"exp\":\(Self.end),\(claim)}").fault == fault)
  }

  @Test func userIsBounded() throws {
    let bench = try TokenBench()
    func verify(_ user: String) -> VerdictFacts { bench.verify(claims: "{\"exp\":\(Self.end),\"sub\":\(user)}") }
    #expect(verify("\"\(String(repeating: "x", count: 256))\"").user.count == 256)
    #expect(verify("\"\(String(repeating: "x", count: 257))\"").fault == .badUser)
    #expect(verify("\"\(String(repeating: "\\u0078", count: 256))\"").user == String(repeating: "x", count: 256))
    #expect(verify("\"\(String(repeating: "é", count: 129))\"").fault == .badUser)
    #expect(verify(String(repeating: "1", count: 256)).user.count == 256)
    #expect(verify(String(repeating: "1", count: 257)).fault == .badUser)
    #expect(verify("\"\u{a0}\u{c0}\"").user == "\u{a0}\u{c0}")
  }

  @Test func otherClaimNames() throws {
    let bench = try TokenBench {
      $0.userClaims = ["https://example.com/user"]
      $0.roleClaims = ["groups", "groups2"]
    }
    let exp = "\"exp\":\(Self.end)"
    let claims = "{\(exp),\"sub\":\"no\",\"https://example.com/user\":\"yes\",\"groups2\":\"g\",\"roles\":[\"x\"]}"
    let verdict = bench.verify(claims: claims)
    #expect(verdict.user == "yes")
    #expect(verdict.roles == ["g"])
    #expect(bench.verify(claims: TokenBench.plain).fault == .noUser)
  }

  // MARK: roles

  @Test(arguments: [
    ("", []), ("\"role\":\"admin\"", ["admin"]), ("\"role\":\"a b,c\"", ["a b,c"]), ("\"roles\":[]", []),
    ("\"roles\":[\"a\",\"\\u0062\",\"a\"]", ["a", "b", "a"]), ("\"roles\":[\"x\"],\"role\":\"y\"", ["y"]),
    ("\"role\":[],\"roles\":[\"x\"]", []), ("\"role\":\"y\",\"roles\":1,\"roles\":2", ["y"]),
  ]) func roles(_ claim: String, _ expected: [String]) throws {
    let verdict = try TokenBench().verify(claims: TokenBench.claims(claim))
    #expect(verdict.fault == nil)
    #expect(verdict.roles == expected)
  }

  @Test(
    arguments: [
      ("\"role\":1", .badRoles), ("\"role\":null", .badRoles), ("\"role\":{}", .badRoles), ("\"role\":\"\"", .badRoles),
      ("\"roles\":[\"\"]", .badRoles), ("\"roles\":[\"a\",1]", .badRoles), ("\"roles\":[[\"a\"]]", .badRoles),
      ("\"roles\":[\"a\\u0000\"]", .badRoles), ("\"roles\":[\"a\"],\"roles\":[\"a\"]", .duplicateClaim),
      ("\"role\":\"a\",\"r\\u006fle\":\"b\"", .duplicateClaim),
    ] as [(String, TokenFault)]) func badRoles(_ claim: String, _ fault: TokenFault) throws
  {
    #expect(try TokenBench().verify(claims: TokenBench.claims(claim)).fault == fault)
  }

  @Test func rolesAreBounded() throws {
    let bench = try TokenBench()
    func verify(_ count: Int) -> VerdictFacts {
      bench.verify(
        claims: TokenBench.claims("\"roles\":[" + (0..<count).map { "\"r\($0)\"" }.joined(separator: ",") + "]"))
    }
    #expect(verify(32).roles == (0..<32).map { "r\($0)" })
    #expect(verify(33).fault == .badRoles)
  }

  /// As many escapes as fit: the names take their full room, in the cache and beside it.
  @Test func namesThatAreAllEscapes() throws {
    let bench = try TokenBench()
    for length in [1, 20, 140] {
      let name = String(repeating: "\\u00e9", count: min(length, 100))
      let roles = (0..<(length == 140 ? 8 : 3)).map { _ in "\"\(name)\"" }.joined(separator: ",")
      let claims = "{\"exp\":\(Self.end),\"sub\":\"\(name)\",\"roles\":[\(roles)]}"
      for _ in 0..<2 {
        let verdict = bench.verify(claims: claims)
        #expect(verdict.user == String(repeating: "é", count: min(length, 100)))
        #expect(verdict.roles.allSatisfy { $0 == verdict.user })
        #expect(verdict.roles.count == (length == 140 ? 8 : 3))
        #expect(verdict.claims == claims)
      }
    }
  }

  // MARK: claims

  @Test(arguments: [
    "", "null", "[]", "\"x\"", "1", "{", "{\"sub\":\"u\"", "{\"sub\":\"u\"}x", "{'sub':'u'}", "{\"sub\":\"\\ud800\"}",
    "\u{feff}{\"sub\":\"u\"}",
    "{\"a\":" + String(repeating: "[", count: 100) + String(repeating: "]", count: 100) + "}",
  ]) func noClaims(_ claims: String) throws {
    #expect(try TokenBench { $0.requiresExpiry = false }.verify(claims: claims).fault == .badClaims)
  }

  @Test func theOrderOfTheChecks() throws {
    let bench = try TokenBench { $0.issuer = Array("i".utf8) }
    #expect(bench.verify(claims: "{\"exp\":1,\"nbf\":9e9,\"iss\":1}").fault == .expired)
    #expect(bench.verify(claims: "{\"exp\":\(Self.end),\"nbf\":9e9,\"iss\":1}").fault == .notYetValid)
    #expect(bench.verify(claims: "{\"exp\":\(Self.end),\"iss\":1}").fault == .wrongIssuer)
    #expect(bench.verify(claims: "{\"exp\":\(Self.end),\"iss\":\"i\"}").fault == .noUser)
  }

  @Test func everyFaultHasItsWords() {
    #expect(Set(TokenFault.allCases.map { "\($0.text)" }).count == TokenFault.allCases.count)
  }
}
