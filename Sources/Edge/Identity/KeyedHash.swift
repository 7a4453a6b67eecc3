// HMAC-SHA-256, SHA-256, random bytes that nobody can guess, and comparison in constant time: what OpenSSL and the
// kernel give, with Edge's words for it.
//
// Called by: the token verifier and signer, policies (`edge.crypto`).
// Never: invents cryptography, and never keeps a key outside OpenSSL's context.

import CLinux
import COpenSSL
import Glibc

/// HMAC-SHA-256 under one key. The key is prepared once and each hash begins from there, which saves two thirds of the
/// time for a short text. Belongs to one thread.
final class KeyedHash {
  /// Bytes of a hash.
  static let byteCount = 32

  private let context: OpaquePointer

  /// nil when OpenSSL has no memory or no HMAC.
  init?(key: UnsafePointer<UInt8>, _ count: Int) {
    guard let algorithm = EVP_MAC_fetch(nil, "HMAC", nil) else { return nil }
    let context = EVP_MAC_CTX_new(algorithm)
    // The context holds on to it.
    EVP_MAC_free(algorithm)
    guard let context else { return nil }
    guard edge_EVP_MAC_init_sha256(context, key, count) == 1 else {
      EVP_MAC_CTX_free(context)
      return nil
    }
    self.context = context
  }

  deinit { EVP_MAC_CTX_free(context) }

  /// Writes the hash of the bytes, 32 bytes; false when OpenSSL refuses, and then nothing that is written counts.
  func hash(_ bytes: UnsafePointer<UInt8>, _ count: Int, into hash: BytePointer) -> Bool {
    var written = 0
    return EVP_MAC_init(context, nil, 0, nil) == 1 && EVP_MAC_update(context, bytes, count) == 1
      && EVP_MAC_final(context, hash, &written, KeyedHash.byteCount) == 1 && written == KeyedHash.byteCount
  }

  /// The same under a key that is used once.
  static func hash(
    key: UnsafePointer<UInt8>, _ keyCount: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int, into hash: BytePointer
  ) -> Bool {
    guard let length = Int32(exactly: keyCount) else { return false }
    var written: UInt32 = 0
    return HMAC(EVP_sha256(), key, length, bytes, count, hash, &written) != nil && written == KeyedHash.byteCount
  }
}

/// Hashes without a key.
enum Digest {
  /// Writes 32 bytes; false when OpenSSL refuses.
  static func sha256(_ bytes: UnsafePointer<UInt8>, _ count: Int, into hash: BytePointer) -> Bool {
    SHA256(bytes, count, hash) != nil
  }
}

/// Random bytes for secrets, straight from the kernel.
enum SecureRandom {
  /// Fills the memory; false when the kernel refuses, and then it holds nothing secret.
  static func fill(_ bytes: BytePointer, _ count: Int) -> Bool {
    var filled = 0
    while filled < count {
      let result = getrandom(bytes + filled, count - filled, 0)
      if result > 0 {
        filled += result
      } else if errno != EINTR {
        return false
      }
    }
    return true
  }
}

/// Comparison that takes as long for a near miss as for any other.
enum ConstantTime {
  static func areEqual(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    CRYPTO_memcmp(left, right, count) == 0
  }
}
