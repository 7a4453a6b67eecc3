// What is asked of a token, and what is said about one.
//
// Owns: the settings and answers of the token verifier, and the bounds on a token.
// Called by: TokenVerifier, policies (`edge.jwt`), whoever sets a worker up.

/// What a token must be. Configuration checks these values; here they are taken as they are.
struct TokenRules: Sendable, Equatable {
  /// Every key may have signed the token.
  var keys: [[UInt8]]
  /// `iss` must be this.
  var issuer: [UInt8]?
  /// `aud` must be or hold one of these; none: `aud` is not looked at.
  var audiences: [[UInt8]] = []
  /// Whether a token without `exp` is refused.
  var requiresExpiry = true
  /// How far the clocks of issuers may be off.
  var leewaySeconds = 30
  /// Claims that may name the user; the first one that is there counts.
  var userClaims = ["sub", "userId", "id"]
  /// Claims that may list the roles; the first one that is there counts.
  var roleClaims = ["role", "roles"]

  static let tokenBytesMax = 8 << 10
  /// Keys in the header of a token.
  static let headerPairsMax = 32
  static let rolesMax = 32
  /// Bytes of a user's name, or of a role's.
  static let nameBytesMax = 256

  /// Whether a user or a role can be called so: 1 to 256 bytes without control characters (the second block of them,
  /// U+0080 to U+009F, included).
  static func isName(_ bytes: some Sequence<UInt8>) -> Bool {
    var count = 0
    var previous: UInt8 = 0
    for byte in bytes {
      if byte < 0x20 || byte == 0x7f || previous == 0xc2 && byte < 0xa0 { return false }
      // No header could carry it, and next to "ann" nobody could tell it apart.
      if count == 0, byte == 0x20 { return false }
      count += 1
      if count > nameBytesMax { return false }
      previous = byte
    }
    return count > 0 && previous != 0x20
  }
}

/// What a valid token says. All that it points to is good until the verifier is asked again.
struct VerifiedToken: BitwiseCopyable {
  var user = StaticBytes.empty
  /// The roles in the token's order; none when it has no such claim.
  var roles: UnsafePointer<StaticBytes>
  var roleCount = 0
  /// `exp` in seconds of the wall clock, rounded down; `.max` when there is none.
  var expires = Int64.max
  /// `nbf`, rounded up; `.min` when there is none.
  var notBefore = Int64.min
  /// All claims: a JSON map that was checked.
  var claims = StaticBytes.empty
  /// Its place among those that are remembered, and which one it is of those that have stood there; 0: it is not
  /// remembered.
  var place: Int32 = 0
  var serial: Int64 = 0
}

/// Why a token is refused.
enum TokenFault: UInt8, Error, CaseIterable {
  case malformed, tooLong, unsupportedAlgorithm, unsupportedHeader, badSignature, badClaims, duplicateClaim
  case noExpiry, expired, notYetValid, wrongIssuer, wrongAudience, noUser, badUser, badRoles

  /// A few words for scripts and logs; never anything from the token.
  var text: StaticString {
    switch self {
    case .malformed: "malformed"
    case .tooLong: "too long"
    case .unsupportedAlgorithm: "unsupported algorithm"
    case .unsupportedHeader: "unsupported header"
    case .badSignature: "bad signature"
    case .badClaims: "bad claims"
    case .duplicateClaim: "duplicate claim"
    case .noExpiry: "no expiry"
    case .expired: "expired"
    case .notYetValid: "not yet valid"
    case .wrongIssuer: "wrong issuer"
    case .wrongAudience: "wrong audience"
    case .noUser: "no user"
    case .badUser: "bad user"
    case .badRoles: "bad roles"
    }
  }
}

/// What the verifier says of a token.
enum TokenVerdict {
  /// Good until the verifier is asked again.
  case valid(UnsafePointer<VerifiedToken>)
  case refused(TokenFault)
}
