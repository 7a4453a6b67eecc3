import Testing

@testable import Edge

@Suite struct TokenCacheTests {
  private struct NoRandomBytes: Error {}

  private func token(_ user: Int, more: String = "") -> [UInt8] {
    TokenBench.token("{\"sub\":\"user-\(user)\",\"exp\":\(TokenBench.now + 100)\(more)}")
  }

  @Test func aRememberedTokenExpires() throws {
    let bench = try TokenBench()
    let token = token(1)
    #expect(bench.verify(token).user == "user-1")
    #expect(bench.verifier.cachedCount == 1)
    bench.now += 129
    #expect(bench.verify(token).user == "user-1")
    bench.now += 1
    #expect(bench.verify(token).fault == .expired)
    #expect(bench.verifier.cachedCount == 0)
    #expect(bench.verify(token).fault == .expired)
    // The clock was set back.
    bench.now -= 1
    #expect(bench.verify(token).user == "user-1")
  }

  @Test func aRememberedTokenIsNotYetValidWhenTheClockIsSetBack() throws {
    let bench = try TokenBench()
    let token = token(1, more: ",\"nbf\":\(TokenBench.now)")
    #expect(bench.verify(token).user == "user-1")
    bench.now -= 31
    #expect(bench.verify(token).fault == .notYetValid)
    bench.now += 1
    #expect(bench.verify(token).user == "user-1")
  }

  @Test func refusedTokensAreNotRemembered() throws {
    let bench = try TokenBench()
    let signed = token(1)
    var forged = signed
    forged[forged.count - 2] ^= 1
    for _ in 0..<3 {
      #expect(bench.verify(forged).fault != nil)
      #expect(bench.verify(TokenBench.token("{\"sub\":\"u\",\"exp\":1}")).fault == .expired)
      #expect(bench.verify(TokenBench.token("{}")).fault == .noExpiry)
    }
    #expect(bench.verifier.cachedCount == 0)
  }

  /// Tokens of the same hash and length in one set: each is still itself, and the least recently seen gives way.
  @Test func collisions() throws {
    let bench = try TokenBench()
    bench.verifier.collideAll()
    let tokens = (0..<6).map { token($0) }
    for user in 0..<4 { #expect(bench.verify(tokens[user]).user == "user-\(user)") }
    for user in 0..<4 { #expect(bench.verify(tokens[user]).user == "user-\(user)") }
    #expect(bench.verifier.cachedCount == 4)
    #expect(bench.verify(tokens[4]).user == "user-4")
    #expect(bench.verifier.cachedCount == 4)
    for user in (0..<6).reversed() { #expect(bench.verify(tokens[user]).user == "user-\(user)") }
    var forged = tokens[0]
    forged[forged.count - 1] ^= 4
    #expect(bench.verify(forged).fault != nil)
  }

  @Test func theOldestOfASetGivesWay() throws {
    let arena = Arena()
    guard var cache = TokenCache() else { throw NoRandomBytes() }
    let area = ByteArea(Array("abcdef".utf8))
    func place(_ index: Int) {
      cache.place(1 << 63, area.base + index, 1, bytes: 0)?.token.initialize(to: VerifiedToken(roles: roles))
    }
    let roles = UnsafePointer(arena.allocate(StaticBytes.self, count: 1))
    for index in 0..<4 { place(index) }
    #expect(cache.find(1 << 63, area.base, 1) != nil)
    place(4)
    #expect(cache.find(1 << 63, area.base + 1, 1) == nil)
    for index in [0, 2, 3, 4] { #expect(cache.find(1 << 63, area.base + index, 1) != nil) }
    place(5)
    #expect(cache.find(1 << 63, area.base, 1) == nil)
    #expect(cache.count == 4)
  }

  @Test func thousandsOfTokens() throws {
    let bench = try TokenBench()
    let tokens = (0..<12_000).map { token($0, more: ",\"roles\":[\"r\($0)\",\"\\u0078\"]") }
    for (user, token) in tokens.enumerated() { #expect(bench.verify(token).user == "user-\(user)") }
    #expect(bench.verifier.cachedCount > 4_000)
    #expect(bench.verifier.cachedCount <= 4_096)
    var generator = SeededGenerator(seed: 4)
    for _ in 0..<3_000 {
      let user = generator.below(tokens.count)
      let verdict = bench.verify(tokens[user])
      #expect(verdict.user == "user-\(user)")
      #expect(verdict.roles == ["r\(user)", "x"])
      #expect(verdict.expires == TokenBench.now + 100)
    }
  }

  /// Where a token stands is chance; a quarter of all places taken leaves next to nobody without one.
  @Test func aThousandCallersAreRemembered() throws {
    let bench = try TokenBench()
    for user in 0..<1_000 { #expect(bench.verify(token(user)).user == "user-\(user)") }
    #expect(bench.verifier.cachedCount > 970)
  }

  @Test func tokensOfEveryLength() throws {
    let bench = try TokenBench()
    for length in stride(from: 0, to: 6_000, by: 37) {
      let token = token(length, more: ",\"x\":\"\(String(repeating: "x", count: length))\"")
      if token.count > TokenRules.tokenBytesMax { break }
      let first = bench.verify(token)
      #expect(first.user == "user-\(length)")
      #expect(bench.verify(token) == first)
    }
    #expect(bench.verifier.cachedCount > 20 && bench.verifier.cachedCount < 40)
  }

  @Test func hashes() throws {
    guard let cache = TokenCache(), let other = TokenCache() else { throw NoRandomBytes() }
    var seen: Set<UInt64> = []
    var generator = SeededGenerator(seed: 8)
    for count in 0..<200 {
      let bytes = ByteArea(generator.bytes(count))
      let hash = cache.hash(bytes.base, count)
      #expect(hash != 0 && hash == cache.hash(bytes.base, count))
      #expect(hash != other.hash(bytes.base, count))
      seen.insert(hash)
      if count > 0 {
        bytes.base[generator.below(count)] ^= 1
        seen.insert(cache.hash(bytes.base, count))
      }
    }
    #expect(seen.count == 399)
  }

  @Test func randomTokens() throws {
    let bench = try TokenBench()
    var generator = SeededGenerator(seed: 6)
    let letters = raw("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_...= ")
    let header = TokenBench.token("{}").prefix { $0 != 0x2e }
    for round in 0..<5_000 {
      var bytes = round % 2 == 0 ? [] : Array(header) + [0x2e]
      bytes += (0..<generator.below(300)).map { _ in letters[generator.below(letters.count)] }
      #expect(bench.verify(bytes).fault != nil)
    }
    // Random bytes as claims, well signed: refused, and nothing is read beside them.
    for _ in 0..<2_000 {
      var claims = Array(TokenBench.claims("\"roles\":[\"a\",\"b\\u0063\"],\"iat\":1").utf8)
      for _ in 0...generator.below(3) { claims[generator.below(claims.count)] ^= 1 << UInt8(generator.below(8)) }
      let verdict = bench.verify(TokenSigner.sign(claims: claims, key: TokenBench.key))
      #expect(verdict.fault != nil || !verdict.user.isEmpty)
    }
  }
}
