// `edge.crypto`: known answers, strictness, bounds.

import Testing

@testable import Edge

@Suite("edge: crypto") struct CryptoAPITests {
  /// FIPS 180-4, RFC 4231 and RFC 4648.
  static let known: [(String, String)] = [
    ("sha256('')", "'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'"),
    ("sha256('abc')", "'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'"),
    ("sha256('a\\0b')", "'59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138'"),
    (
      "hmac_sha256(('\\x0b'):rep(20), 'Hi There')",
      "'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'"
    ),
    (
      "hmac_sha256('Jefe', 'what do ya want for nothing?')",
      "'5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'"
    ),
    (
      "hmac_sha256(('\\xaa'):rep(131), 'Test Using Larger Than Block-Size Key - Hash Key First')",
      "'60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'"
    ),
    ("hmac_sha256('', '')", "'b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad'"),
    ("equal('', '')", "true"), ("equal('a', 'a')", "true"), ("equal('a', 'b')", "false"), ("equal('a', '')", "false"),
    ("equal('ab', 'a')", "false"), ("equal('a', 'ab')", "false"), ("equal('a\\0b', 'a\\0c')", "false"),
    ("equal('a\\0b', 'a\\0b')", "true"), ("equal(('x'):rep(9999), ('x'):rep(9998) .. 'y')", "false"),
    ("base64('')", "''"), ("base64('f')", "'Zg=='"), ("base64('fo')", "'Zm8='"), ("base64('foo')", "'Zm9v'"),
    ("base64('foob')", "'Zm9vYg=='"), ("base64('fooba')", "'Zm9vYmE='"), ("base64('foobar')", "'Zm9vYmFy'"),
    ("base64('\\xfb\\xff\\0')", "'+/8A'"), ("base64url('\\xfb\\xff\\0')", "'-_8A'"), ("base64url('')", "''"),
    ("base64url('f')", "'Zg'"), ("base64url('fo')", "'Zm8'"), ("unbase64('')", "''"), ("unbase64('Zg==')", "'f'"),
    ("unbase64('Zm9vYmE=')", "'fooba'"), ("unbase64('+/8A') == '\\xfb\\xff\\0'", "true"), ("unbase64url('')", "''"),
    ("unbase64url('Zg')", "'f'"), ("unbase64url('-_8A') == '\\xfb\\xff\\0'", "true"),
  ]

  @Test(arguments: known) func knownAnswers(_ call: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.crypto.\(call)") == expected)
  }

  static let malformed = [
    "unbase64('Zg')", "unbase64('Zg=')", "unbase64('Z===')", "unbase64('====')", "unbase64('=')", "unbase64('Zg==\\n')",
    "unbase64('Zm9v ')", "unbase64(' Zm9v')", "unbase64('Zh==')", "unbase64('Zm9=')", "unbase64('Zg==Zg==')",
    "unbase64('-_8A')", "unbase64('Zm9\\0')", "unbase64('Zm\\xff9')", "unbase64url('Zg==')", "unbase64url('Z')",
    "unbase64url('Zh')", "unbase64url('+/8A')", "unbase64url('Zm9v\\n')", "unbase64url('Zm9v.')",
  ]

  @Test(arguments: malformed) func nothingIsRepaired(_ call: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return (edge.crypto.\(call))") == "nil")
  }

  static let wrong = [
    "sha256()", "sha256(nil)", "sha256(5)", "sha256({})", "sha256(true)", "sha256(req)", "hmac_sha256('k')",
    "hmac_sha256()",
    "hmac_sha256(1, 't')", "hmac_sha256('k', 1)", "hmac_sha256(nil, 't')", "equal('a')", "equal(1, 1)",
    "equal('a', nil)",
    "base64(5)", "base64url()", "unbase64(nil)", "unbase64url({})",
  ]

  @Test(arguments: wrong) func onlyStrings(_ call: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.crypto.\(call)") == "error: edge.crypto works on strings")
  }

  // MARK: Random bytes

  @Test func randomBytes() throws {
    let bench = try PolicyBench.runner()
    for count in [1, 2, 31, 64] {
      let check = "local r = edge.crypto.random(\(count)) return #r, r:find('^[0-9a-f]+$')"
      #expect(try bench.run(check) == "\(2 * count), 1, \(2 * count)")
    }
    #expect(try bench.run("return #edge.crypto.random(3.0)") == "6")
    var seen: Set<String> = []
    for _ in 0..<50 { seen.insert(try bench.run("return edge.crypto.random(16)")) }
    #expect(seen.count == 50)
  }

  @Test(arguments: ["", "nil", "0", "65", "-1", "1.5", "'5'", "0/0", "1/0", "math.maxinteger", "{}", "true"])
  func randomBytesOutOfBounds(_ count: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.crypto.random(\(count))") == "error: edge.crypto.random gives 1 to 64 bytes")
  }

  // MARK: Lengths

  /// Every length of a tail, every byte, both alphabets.
  @Test func roundTrips() throws {
    let code = """
      local all = {}
      for i = 0, 255 do all[i + 1] = string.char(i) end
      local bytes = table.concat(all)
      for count = 0, 256 do
        local text = bytes:sub(-count)
        if count == 0 then text = "" end
        if edge.crypto.unbase64(edge.crypto.base64(text)) ~= text then return count end
        if edge.crypto.unbase64url(edge.crypto.base64url(text)) ~= text then return -count end
      end
      return "fine"
      """
    #expect(try PolicyBench.runner().run(code) == "'fine'")
  }

  @Test func longTexts() throws {
    let code = """
      local text = ("abc"):rep(500000)
      local encoded = edge.crypto.base64(text)
      local same = edge.crypto.unbase64(encoded) == text and edge.crypto.equal(text, text)
      local longer = text .. text:sub(1, 90000)
      return #encoded, same, edge.crypto.sha256(text):sub(1, 8), select(2, pcall(edge.crypto.base64, longer))
      """
    let result = try PolicyBench.runner().run(code)
    #expect(result.hasPrefix("2000000, true, '"))
    #expect(result.hasSuffix("the text is longer than 2 MiB'"))
  }
}
