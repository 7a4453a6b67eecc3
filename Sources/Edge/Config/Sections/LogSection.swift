// `log`: rows and decoding.
//
// Owns: the keys of logging.
// Called by: the root section.
// Never: writes a line.

/// The keys of `log`.
enum LogSection {
  static let level = SchemaRow(
    "level", .choice(LogLevel.allCases.map(\.rawValue)), .environment("LOG_LEVEL", suffix: "", otherwise: "info"),
    .live,
    "How much is logged; each level includes those before it.")
  static let access = SchemaRow(
    "access", .boolean, .literal("true"), .live, "Whether each exchange writes a line to standard output.")

  static let schema = SchemaSection("log", "What is logged.", [level, access])

  /// Typed settings.
  static func decode(_ fields: SectionFields) throws(SchemaDefect) -> LogSettings {
    LogSettings(level: try fields.choice(level, of: LogLevel.self), access: try fields.boolean(access))
  }
}
