// EnvironmentVariables that decide whether Edge may start at all.
//
// Owns: the rows of variables that this version refuses or does not know yet, and the meaning of NODE_ENV.
// Called by: the loader, once.
// Never: gives a key its value; rows of the schema name the variables that are defaults.

/// A variable that must not be set, because what it asks for is not there.
struct RefusedVariable: Sendable {
  /// The variable.
  let name: String
  /// What cannot be used, for the sentence "this version cannot use …".
  let use: String
  /// What happens without it.
  let instead: String
}

/// A variable of the platform that nothing here looks at yet.
struct IdleVariable: Sendable {
  let name: String
  /// What holds, whatever it says.
  let instead: String
}

/// The environment as a whole.
enum EnvironmentTable {
  /// Ignoring one of these would lose money, state or a check without a word; so they stop the start.
  static let refused = [
    RefusedVariable(name: "REDIS_URL", use: "Redis", instead: "unset it: state is kept in memory"),
    RefusedVariable(
      name: "DATABASE_URL", use: "a database", instead: "unset it: credits are kept in a file in server.var"),
    RefusedVariable(
      name: "AUTH_SERVICE_URL", use: "an authentication service",
      instead: "unset it: tokens are verified with JWT_SECRET"),
    RefusedVariable(
      name: "CREDIT_SERVICE_URL", use: "a credit service",
      instead: "unset it: credits are kept in the embedded ledger"),
  ]

  private static let noServers = "this version starts no MCP servers"
  private static let noSignIn = "this version has no sign-in with Google"

  /// To ignore one of these costs nothing but a surprise; so they are warned about.
  static let idle = [
    IdleVariable(name: "GATEWAY_LOAD_BALANCING", instead: "the endpoints of a service are used in turn"),
    IdleVariable(name: "GATEWAY_HEALTH_CHECK_INTERVAL", instead: "this version does not check the health of endpoints"),
    IdleVariable(name: "MCP_SERVERS_DIR", instead: noServers),
    IdleVariable(name: "MCP_HEALTH_CHECK_INTERVAL", instead: noServers),
    IdleVariable(name: "MCP_AUTO_RESTART", instead: noServers),
    IdleVariable(name: "MCP_MAX_RETRIES", instead: noServers),
    IdleVariable(name: "GOOGLE_CLIENT_ID", instead: noSignIn),
    IdleVariable(name: "GOOGLE_CLIENT_SECRET", instead: noSignIn),
  ]

  /// The variable that says where Edge runs.
  static let mode = "NODE_ENV"
  /// Its values.
  static let modes = ["development", "production", "test"]

  /// Adds what the environment alone says against a start.
  static func check(_ variables: EnvironmentVariables, dev: Bool, into diagnoses: inout DiagnosisList) {
    for row in refused where variables.nonEmpty(row.name) != nil {
      diagnoses.add(
        Diagnosis(
          .error, variables.location(row.name), "\(row.name) is set, but this version cannot use \(row.use)",
          hint: row.instead))
    }
    for row in idle where variables.nonEmpty(row.name) != nil {
      diagnoses.add(
        Diagnosis(.warning, variables.location(row.name), "\(row.name) is set, but has no effect yet: \(row.instead)"))
    }
    guard let value = variables.nonEmpty(mode) else { return }
    if value == "production", dev {
      diagnoses.add(
        Diagnosis(
          .error, variables.location(mode), "\(mode)=production forbids --dev", hint: "leave out --dev"))
    } else if !modes.contains(value) {
      diagnoses.add(
        Diagnosis(
          .warning, variables.location(mode), "\(mode) is none of \(modes.joined(separator: ", "))",
          hint: Nearness.hint(for: value, among: modes)))
    }
  }
}
