// Tokens signed with HMAC-SHA-256: for development and for tests.
//
// Called by: tests, and the verb that prints a development token.
// Never: runs where requests flow, and never looks at what it signs.

/// Makes tokens.
enum TokenSigner {
  /// A token with these claims, a JSON map; empty when OpenSSL refuses.
  static func sign(claims: [UInt8], key: [UInt8]) -> [UInt8] {
    sign(header: Array("{\"alg\":\"HS256\",\"typ\":\"JWT\"}".utf8), claims: claims, key: key)
  }

  /// The same with a header of the caller's.
  static func sign(header: [UInt8], claims: [UInt8], key: [UInt8]) -> [UInt8] {
    sign(text: encoded(header) + [0x2e] + encoded(claims), key: key)
  }

  /// Puts a dot and the signature behind what is to be signed.
  static func sign(text: [UInt8], key: [UInt8]) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: KeyedHash.byteCount)
    let isHashed = hash.withUnsafeMutableBufferPointer { hash in
      text.withUnsafeBufferPointer { text in
        key.withUnsafeBufferPointer { key in
          guard let hash = hash.baseAddress else { return false }
          let empty = StaticBytes.empty.start
          return KeyedHash.hash(
            key: key.baseAddress ?? empty, key.count, text.baseAddress ?? empty, text.count, into: hash)
        }
      }
    }
    return isHashed ? text + [0x2e] + encoded(hash) : []
  }

  private static func encoded(_ bytes: [UInt8]) -> [UInt8] {
    let count = Base64.urlEncodedCount(bytes.count)
    return bytes.withUnsafeBufferPointer { bytes in
      [UInt8](unsafeUninitializedCapacity: count) { text, written in
        guard let from = bytes.baseAddress, let into = text.baseAddress else { return }
        Base64.encodeURL(from, bytes.count, into: into)
        written = count
      }
    }
  }
}
