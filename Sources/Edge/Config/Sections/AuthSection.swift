// `auth`: rows and decoding.
//
// Owns: the keys that say which tokens are accepted.
// Called by: the root section.
// Never: verifies a token.

/// The keys of `auth`.
enum AuthSection {
  static let secret = SchemaRow(
    "secret", .list(.secret, count: 1...4, scalarAllowed: true),
    .environment(AuthSection.variable, suffix: "", otherwise: nil), .live,
    "Secrets of tokens (HS256), at least 32 bytes each: the first signs, all verify. There must be one, but under "
      + "--dev, where Edge makes one and keeps it in server.var.")
  static let issuer = SchemaRow(
    "issuer", .text, .absent, .live, "What the claim `iss` of a token must be; anything when left out.")
  static let audience = SchemaRow(
    "audience", .list(.text, count: 1...16, scalarAllowed: true), .absent, .live,
    "What the claim `aud` of a token must hold, one of these; anything when left out.")
  static let requireExpiry = SchemaRow(
    "require_exp", .boolean, .literal("true"), .live, "Whether a token without an end (the claim `exp`) is refused.")
  static let leeway = SchemaRow(
    "leeway", .duration(0...300_000), .literal("30s"), .live,
    "How far the clock of whoever made a token may differ; whole seconds.")
  static let claims = SchemaRow("claims", .section(claimSchema), .empty, .live, claimSchema.doc)

  static let user = SchemaRow(
    "user", .list(.text, count: 1...8, scalarAllowed: true), .literal("sub, userId, id"), .live,
    "Claims that hold who is calling; the first that is there counts.")
  static let roles = SchemaRow(
    "roles", .list(.text, count: 1...8, scalarAllowed: true), .literal("role, roles"), .live,
    "Claims that hold the caller's roles, a name or a list of names each.")

  /// The variable that holds the secret.
  static let variable = "JWT_SECRET"

  static let claimSchema = SchemaSection("authClaims", "Which claims of a token are read.", [user, roles])
  static let schema = SchemaSection(
    "auth", "Which tokens are accepted.", [secret, issuer, audience, requireExpiry, leeway, claims])

  /// Typed settings.
  static func decode(_ fields: SectionFields) throws(SchemaDefect) -> AuthSettings {
    let claims = try fields.section(claims)
    return AuthSettings(
      secrets: try fields.list(secret) { if case .secret(let secret) = $0 { secret } else { nil } },
      issuer: try fields.optionalText(issuer), audiences: try fields.texts(audience),
      requiresExpiry: try fields.boolean(requireExpiry),
      leewaySeconds: (try fields.integer(leeway) + 999) / 1_000,
      userClaims: try claims.texts(user), roleClaims: try claims.texts(roles))
  }
}
