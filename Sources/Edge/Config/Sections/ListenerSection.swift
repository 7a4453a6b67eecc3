// `listeners.NAME`: rows and decoding.
//
// Owns: the keys of one listener.
// Called by: the root section.
// Never: opens a socket.

/// The keys of a listener.
enum ListenerSection {
  static let bind = SchemaRow(
    "bind", .bind, .required, .live,
    "Address and port: IPv4, [IPv6], or * for every address of both; port 0 takes any free one.")
  static let onlyNamed = SchemaRow(
    "only_named", .boolean, .literal("false"), .live,
    "Whether only routes are reached here that name the listener; else those that name none are, too.")

  static let admin = SchemaRow(
    "admin", .boolean, .literal("false"), .live,
    "Whether operators are served here as on `admin.sock` in `server.var` (status, reload, metrics), and no route; on "
      + "loopback only.")

  static let tls = SchemaRow(
    "tls", .section(tlsSchema), .absent, .live, "Clients speak TLS 1.2 or 1.3 here; without it, plain HTTP.")

  static let certificate = SchemaRow(
    "certificate", .path, .required, .live,
    "PEM file: the listener's certificate, then those that lead from it to an authority. Read again at every reload.")
  static let key = SchemaRow(
    "key", .path, .required, .live,
    "PEM file: the private key of the certificate, without a passphrase. Read again at every reload.")

  static let tlsSchema = SchemaSection(
    "listenerTLS", "What a listener proves itself with.", [certificate, key])
  static let schema = SchemaSection("listener", "An address that accepts clients.", [bind, tls, onlyNamed, admin])

  /// The names of those that routes are reached on which name none.
  static func open(_ entries: [NamedFields]) -> [String] {
    entries.filter { $0.fields[onlyNamed]?.value != .boolean(true) && !isAdmin($0) }.map(\.name)
  }

  /// Whether operators are served there, and nothing else.
  static func isAdmin(_ entry: NamedFields) -> Bool { entry.fields[admin]?.value == .boolean(true) }

  /// A typed listener; `certificate` is the index of its certificate.
  static func decode(_ entry: NamedFields, certificate: Int?) throws(SchemaDefect) -> Listener {
    Listener(
      name: entry.name, address: try entry.fields.address(bind), isOnlyNamed: try entry.fields.boolean(onlyNamed),
      isAdmin: try entry.fields.boolean(admin), isSecure: entry.fields[tls] != nil, certificate: certificate)
  }
}
