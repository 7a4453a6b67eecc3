import Testing

@testable import Edge

@Suite struct KeyedHashTests {
  private func bytes(_ hexadecimal: [UInt8]) -> [UInt8] {
    stride(from: 0, to: hexadecimal.count, by: 2).map { place in
      UInt8((hexadecimalDigit(hexadecimal[place]) ?? 0) << 4 | (hexadecimalDigit(hexadecimal[place + 1]) ?? 0))
    }
  }

  private func once(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    let hash = ByteArea([UInt8](repeating: 0, count: 32))
    let (key, message) = (ByteArea(key), ByteArea(message))
    #expect(KeyedHash.hash(key: key.base, key.count, message.base, message.count, into: hash.base))
    return hash.bytes
  }

  @Test func wycheproof() throws {
    let sample = JSONSample(try Vectors.bytes("wycheproof/hmac_sha256_test.json"))
    try #require(sample.fault() == nil)
    let document = sample.document
    var count = 0
    for group in document.elements(of: try sample.value("testGroups")) {
      let size = Int(try #require(document.integer(try sample.value("tagSize", in: group)))) / 8
      for test in document.elements(of: try sample.value("tests", in: group)) {
        count += 1
        let key = bytes(sample.string(try sample.value("key", in: test)))
        let message = bytes(sample.string(try sample.value("msg", in: test)))
        let tag = bytes(sample.string(try sample.value("tag", in: test)))
        let isValid = document.isString(try sample.value("result", in: test), "valid")
        let (keyArea, area, hash) = (ByteArea(key), ByteArea(message), ByteArea([UInt8](repeating: 0, count: 32)))
        let keyed = try #require(KeyedHash(key: keyArea.base, key.count))
        // Twice: the context begins anew each time.
        for _ in 0..<2 {
          #expect(keyed.hash(area.base, message.count, into: hash.base))
          #expect((hash.slice(0..<size) == tag) == isValid)
        }
        #expect(once(key, message) == hash.bytes)
      }
    }
    #expect(count == 174)
  }

  @Test func emptyKeyAndMessage() throws {
    let nothing = ByteArea([])
    let hash = ByteArea([UInt8](repeating: 0, count: 32))
    let keyed = try #require(KeyedHash(key: nothing.base, 0))
    let expected = bytes(Array("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad".utf8))
    #expect(keyed.hash(nothing.base, 0, into: hash.base))
    #expect(hash.bytes == expected)
    #expect(once([], []) == expected)
  }

  @Test func sha256() {
    let (text, hash) = (ByteArea(Array("abc".utf8)), ByteArea([UInt8](repeating: 0, count: 32)))
    #expect(Digest.sha256(text.base, 3, into: hash.base))
    #expect(hash.bytes == bytes(Array("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".utf8)))
    #expect(Digest.sha256(text.base, 0, into: hash.base))
    #expect(hash.bytes == bytes(Array("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".utf8)))
  }

  @Test func randomBytes() {
    let (first, second) = (ByteArea([UInt8](repeating: 0, count: 64)), ByteArea([UInt8](repeating: 0, count: 64)))
    #expect(SecureRandom.fill(first.base, 64))
    #expect(SecureRandom.fill(second.base, 64))
    #expect(first.bytes != second.bytes)
    #expect(Set(first.bytes).count > 32)
    #expect(SecureRandom.fill(first.base, 0))
  }

  @Test func constantTime() {
    let left = ByteArea(Array("0123456789".utf8))
    for place in 0..<10 {
      let right = ByteArea(left.bytes)
      #expect(ConstantTime.areEqual(left.base, right.base, 10))
      right.base[place] ^= 1
      #expect(!ConstantTime.areEqual(left.base, right.base, 10))
      #expect(ConstantTime.areEqual(left.base, right.base, place))
    }
  }
}
