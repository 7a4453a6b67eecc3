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

  static let schema = SchemaSection("listener", "An address that accepts clients.", [bind, onlyNamed, admin])

  /// The names of those that routes are reached on which name none.
  static func open(_ entries: [NamedFields]) -> [String] {
    entries.filter { $0.fields[onlyNamed]?.value != .boolean(true) && !isAdmin($0) }.map(\.name)
  }

  /// Whether operators are served there, and nothing else.
  static func isAdmin(_ entry: NamedFields) -> Bool { entry.fields[admin]?.value == .boolean(true) }

  /// A typed listener.
  static func decode(_ entry: NamedFields) throws(SchemaDefect) -> Listener {
    Listener(
      name: entry.name, address: try entry.fields.address(bind), isOnlyNamed: try entry.fields.boolean(onlyNamed),
      isAdmin: try entry.fields.boolean(admin))
  }
}
