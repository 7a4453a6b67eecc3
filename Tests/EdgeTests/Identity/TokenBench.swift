import Testing

@testable import Edge

/// What a verdict says, copied out of the verifier's memory.
struct VerdictFacts: Equatable {
  var fault: TokenFault?
  var user = ""
  var roles: [String] = []
  var expires = Int64.max
  var claims = ""
}

/// A verifier; every token is read from a copy of exactly its bytes.
final class TokenBench {
  static let key = Array("a key of thirty-two bytes or more".utf8)
  static let otherKey = Array("another key of thirty-two bytes..".utf8)
  static let now: Int64 = 1_800_000_000

  let verifier: TokenVerifier
  var now = TokenBench.now

  init(_ change: (inout TokenRules) -> Void = { _ in }) throws {
    var rules = TokenRules(keys: [TokenBench.key])
    change(&rules)
    verifier = try #require(TokenVerifier(rules))
  }

  func verify(_ token: [UInt8]) -> VerdictFacts {
    let area = ByteArea(token)
    switch verifier.verify(area.base, token.count, wallSeconds: now) {
    case .refused(let fault): return VerdictFacts(fault: fault)
    case .valid(let place):
      let verified = place.pointee
      return VerdictFacts(
        user: utf8(verified.user), roles: (0..<verified.roleCount).map { utf8(verified.roles[$0]) },
        expires: verified.expires, claims: utf8(verified.claims))
    }
  }

  /// The verdict on a token with these claims.
  func verify(claims: String) -> VerdictFacts { verify(TokenBench.token(claims)) }

  func verify(header: String, claims: String = TokenBench.plain) -> VerdictFacts {
    verify(TokenSigner.sign(header: Array(header.utf8), claims: Array(claims.utf8), key: TokenBench.key))
  }

  /// The fault of the structure or the signature, whatever the claims are.
  func authenticate(_ token: [UInt8]) -> TokenFault? {
    let area = ByteArea(token)
    do throws(TokenFault) {
      _ = try verifier.authenticate(area.base, token.count)
      return nil
    } catch {
      return error
    }
  }

  static let plain = claims("")

  /// Claims of `u` that end in an hour, and more.
  static func claims(_ more: String) -> String {
    "{\"sub\":\"u\",\"exp\":\(now + 3_600)\(more.isEmpty ? "" : ",")\(more)}"
  }

  static func token(_ claims: String, key: [UInt8] = key) -> [UInt8] {
    TokenSigner.sign(claims: Array(claims.utf8), key: key)
  }

  private func utf8(_ bytes: StaticBytes) -> String {
    String(decoding: UnsafeBufferPointer(start: bytes.start, count: bytes.count), as: UTF8.self)
  }
}
