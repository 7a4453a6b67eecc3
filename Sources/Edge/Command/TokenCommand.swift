// `edge token`: a token for development, alone on standard output. It is signed with the secret that `edge run --dev`
// uses and is never made for production.

import Glibc

/// The verb.
enum TokenCommand {
  static let row = CommandRow(
    verb: "token", summary: "print a token for development",
    options: [
      .config,
      CommandOption("--user", value: "ID", "who is calling (default dev)"),
      CommandOption("--role", value: "ROLE", "one of the roles of the configuration (default user)"),
      CommandOption("--ttl", value: "TIME", "how long it is good, such as 15m (default 1h, at most 30d)"),
    ]
  ) { arguments in
    var token = DevelopmentToken()
    if let user = arguments.value("--user") { token.user = user }
    if let role = arguments.value("--role") { token.role = role }
    if let time = arguments.value("--ttl") {
      guard case .integer(let milliseconds) = try? ValueType.duration(1_000...2_592_000_000).read(.literal(time)) else {
        Console.error("edge token: '\(time)' is not a time from 1s to 30d, such as 15m")
        return ExitCode.usage
      }
      token.seconds = milliseconds / 1_000
    }
    let options = LoadOptions(environment: Environment.current(), dev: true, mayWrite: true)
    let outcome = Loader.load(path: arguments.configPath, options: options)
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved else {
      for diagnosis in outcome.diagnoses where diagnosis.severity == .error { Console.error(diagnosis.render()) }
      return ExitCode.failed
    }
    guard snapshot.roles.contains(where: { $0.name == token.role }) else {
      let near = Nearness.nearest(to: token.role, among: snapshot.roles.map(\.name))
      Console.error("edge token: there is no role '\(token.role)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      return ExitCode.failed
    }
    guard DevelopmentToken.maySign(resolved) else {
      Console.error(
        "edge token: a secret is configured (JWT_SECRET, or auth.secret), and tokens are made with that of --dev only; "
          + "unset it for development")
      return ExitCode.failed
    }
    guard let text = token.signed(snapshot.auth) else {
      Console.error("edge token: a user has 1 to \(TokenRules.nameBytesMax) bytes and no control characters")
      return ExitCode.usage
    }
    Console.print(text)
    return ExitCode.success
  }
}

/// What such a token says.
struct DevelopmentToken {
  var user = "dev"
  var role = "user"
  /// How long it is good.
  var seconds = 3_600

  /// Whether the configuration has no secret but the one that `--dev` makes: whoever has another one may use it for
  /// more than development.
  static func maySign(_ resolved: SectionFields) -> Bool {
    guard case .section(let auth) = resolved[RootSection.auth]?.value,
      case .list(let secrets) = auth[AuthSection.secret]?.value
    else { return false }
    return secrets.allSatisfy { if case .development = $0.origin { true } else { false } }
  }

  /// The signed token, as the settings want it; nil when nobody could have this name.
  func signed(_ auth: AuthSettings) -> String? {
    let isName =
      (1...TokenRules.nameBytesMax).contains(user.utf8.count)
      && user.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
    guard isName, let key = auth.secrets.first, let userClaim = auth.userClaims.first,
      let roleClaim = auth.roleClaims.first
    else { return nil }
    var claims: [(key: String, value: JSONText)] = [
      (userClaim, .string(user)), (roleClaim, .string(role)),
      ("exp", .integer(Int(Clock.wallNow() / 1_000_000_000) + seconds)),
    ]
    if let issuer = auth.issuer { claims.append(("iss", .string(issuer))) }
    if let audience = auth.audiences.first { claims.append(("aud", .string(audience))) }
    let text = JSONText.object(claims).render()
    return String(decoding: TokenSigner.sign(claims: Array(text.utf8), key: key.bytes), as: UTF8.self)
  }
}
