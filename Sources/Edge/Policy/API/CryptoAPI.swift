// `edge.crypto`: the few primitives that policies need, from OpenSSL.
// Never: gives scripts a primitive that they could use wrongly, such as a bare cipher.

import Glibc
import LuaBridge

/// The rows of `edge.crypto`.
enum CryptoAPI {
  static let rows = [
    HostRow("edge.crypto.sha256", "edge.crypto.sha256(text)", "SHA-256, in hexadecimal.") {
      texts($0, $1, $2, 1) { call, host, text, _ in
        host.hexadecimal(call) { Digest.sha256(text.start, text.count, into: $0) }
      }
    },
    HostRow("edge.crypto.hmac_sha256", "edge.crypto.hmac_sha256(key, text)", "HMAC-SHA-256, in hexadecimal.") {
      texts($0, $1, $2, 2) { call, host, key, text in
        host.hexadecimal(call) { KeyedHash.hash(key: key.start, key.count, text.start, text.count, into: $0) }
      }
    },
    HostRow(
      "edge.crypto.equal", "edge.crypto.equal(a, b)",
      "Whether two strings are equal, in a time that tells nothing but their lengths."
    ) {
      texts($0, $1, $2, 2) { call, host, left, right in
        call.value(
          .boolean(left.count == right.count && ConstantTime.areEqual(left.start, right.start, left.count)))
      }
    },
    HostRow("edge.crypto.random", "edge.crypto.random(bytes)", "So many random bytes (1 to 64), in hexadecimal.") {
      let call = HostCall($0, $2)
      guard let host = PolicyHost.of($1) else { return call.nothing() }
      guard let count = call.integer(1), (1...64).contains(count) else {
        return call.raise("edge.crypto.random gives 1 to 64 bytes")
      }
      return host.hexadecimal(call, count: Int(count)) { SecureRandom.fill($0, Int(count)) }
    },
    HostRow("edge.crypto.base64", "edge.crypto.base64(text)", "Base64 (RFC 4648 section 4).") {
      texts($0, $1, $2, 1) { call, host, text, _ in
        host.written(call, Base64.encodedCount(text.count)) {
          Base64.encode(text.start, text.count, into: $0)
          return Base64.encodedCount(text.count)
        }
      }
    },
    HostRow("edge.crypto.base64url", "edge.crypto.base64url(text)", "Base64 for URLs, without padding.") {
      texts($0, $1, $2, 1) { call, host, text, _ in
        host.written(call, Base64.urlEncodedCount(text.count)) {
          Base64.encodeURL(text.start, text.count, into: $0)
          return Base64.urlEncodedCount(text.count)
        }
      }
    },
    HostRow("edge.crypto.unbase64", "edge.crypto.unbase64(text)", "What Base64 stands for; nil when it is none.") {
      texts($0, $1, $2, 1) { call, host, text, _ in
        host.written(call, Base64.decodedCountMax(text.count)) { Base64.decode(text.start, text.count, into: $0) }
      }
    },
    HostRow(
      "edge.crypto.unbase64url", "edge.crypto.unbase64url(text)",
      "What Base64 for URLs stands for; nil when it is none."
    ) {
      texts($0, $1, $2, 1) { call, host, text, _ in
        host.written(call, Base64.decodedCountMax(text.count)) { Base64.decodeURL(text.start, text.count, into: $0) }
      }
    },
  ]

  /// Calls `body` with the first one or two arguments, which must be strings.
  @inline(__always)
  private static func texts(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?, _ wanted: Int,
    _ body: (HostCall, PolicyHost, StaticBytes, StaticBytes) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard let first = call.bytes(1), let second = wanted == 1 ? first : call.bytes(2) else {
      return call.raise("edge.crypto works on strings")
    }
    return body(call, host, first, second)
  }
}

extension HostCall {
  /// A string argument, which stays where it is during the call.
  fileprivate func bytes(_ index: Int) -> StaticBytes? {
    string(index).map { StaticBytes(start: $0.baseAddress ?? StaticBytes.empty.start, count: $0.count) }
  }
}

extension PolicyHost {
  /// Answers with what `body` writes into so much room; nil when it says that there is nothing.
  fileprivate func written(_ call: HostCall, _ room: Int, _ body: (BytePointer) -> Int?) -> Int32 {
    var count: Int?
    let area = text.write { writer in
      guard room <= writer.room else {
        writer.advance(room)
        return
      }
      count = body(writer.end)
      writer.advance(count ?? 0)
    }
    guard let area, let start = area.baseAddress else { return call.raise("the text is longer than 2 MiB") }
    return count.map { call.text(start, $0) } ?? call.value(.nothing)
  }

  /// Answers with the bytes that `body` makes, in hexadecimal.
  fileprivate func hexadecimal(_ call: HostCall, count: Int = 32, _ body: (BytePointer) -> Bool) -> Int32 {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) { area in
      guard let start = area.baseAddress, body(start) else { return call.raise("the system refuses") }
      return written(call, 2 * count) { text in
        for index in 0..<count {
          text[2 * index] = hexadecimalLetter(start[index] >> 4)
          text[2 * index + 1] = hexadecimalLetter(start[index] & 15)
        }
        return 2 * count
      }
    }
  }
}

/// A digit in lower case.
private func hexadecimalLetter(_ value: UInt8) -> UInt8 { value < 10 ? value + 0x30 : value + 0x57 }
