// `roles.NAME`: rows, decoding, and the roles that are there without being written.
//
// Owns: the keys of one role.
// Called by: the root section and the loader.
// Never: decides what a caller may do.

/// The keys of a role.
enum RoleSection {
  static let permissions = SchemaRow(
    "permissions", .list(.permission(wildcards: true), count: 0...256, scalarAllowed: true), .empty, .live,
    "What the role may do, such as mcp:read; mcp:* for all below, * for everything.")

  static let schema = SchemaSection("role", "What callers of one role may do.", [permissions])

  /// The roles that hold unless a file defines one of the same name.
  static let standard = [
    (name: "user", permissions: ["services:use", "mcp:read", "mcp:execute"]), (name: "admin", permissions: ["*"]),
  ]

  /// A typed role.
  static func decode(_ entry: NamedFields) throws(SchemaDefect) -> Role {
    Role(name: entry.name, permissions: try entry.fields.texts(permissions))
  }

  /// The standard roles that `entries` do not define, then `entries`.
  static func withStandard(_ entries: [NamedFields], path: String, place: SourcePlace) -> [NamedFields] {
    let defined = Set(entries.map(\.name))
    let more = standard.filter { !defined.contains($0.name) }.map { role in
      var fields = SectionFields(path: "\(path).\(role.name)", section: schema, place: place)
      let members = role.permissions.map { Setting(value: .text($0), origin: .fallback) }
      fields.settings[permissions.key] = Setting(value: .list(members), origin: .fallback)
      return NamedFields(name: role.name, fields: fields)
    }
    return more + entries
  }
}
