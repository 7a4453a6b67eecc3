// `policies.NAME`: rows and decoding.
//
// Owns: the keys of one policy.
// Called by: the root section.
// Never: reads or runs a script.

/// The keys of a policy.
enum PolicySection {
  static let script = SchemaRow(
    "script", .script, .required, .live, "The Lua file, within the folder that server.policies names.")
  static let settings = SchemaRow(
    "settings", .tree, .empty, .live,
    "What the script's `init` is given: any YAML, at most 16 levels and 1000 values. A value with a reference in it is "
      + "text and is never shown; neither is a text whose key says that it is a secret, such as api_token.")

  static let schema = SchemaSection("policy", "A Lua script with its settings.", [script, settings])

  /// A typed policy; `script` is the index of its file.
  static func decode(_ entry: NamedFields, script: Int) throws(SchemaDefect) -> PolicySettings {
    let reading = try entry.fields.tree(settings)
    return PolicySettings(
      name: entry.name, script: script, settings: reading.tree, isOpen: reading.isOpen, concealed: reading.concealed)
  }
}
