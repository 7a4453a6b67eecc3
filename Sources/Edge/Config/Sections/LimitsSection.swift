// `limits`: rows and decoding.
//
// Owns: the keys that bound messages.
// Called by: the root section.
// Never: checks one key against another.

/// The keys of `limits`.
enum LimitsSection {
  static let headSize = SchemaRow(
    "head_size", .size(1_024...61_440), .literal("16KiB"), .live,
    "Largest head of a request (beyond: 431) or response, start line included.")
  static let headFields = SchemaRow(
    "head_fields", .integer(8...256), .literal("100"), .live, "Most fields in a head; beyond: 431.")
  /// Bounds of every limit on request bodies, in bytes.
  static let bodyBounds = 0...(16 << 30)
  static let bodySize = SchemaRow(
    "body_size", .size(bodyBounds), .literal("10MiB"), .live,
    "Largest request body; beyond: 413. A route may say otherwise.")

  static let schema = SchemaSection("limits", "Sizes of messages.", [headSize, headFields, bodySize])

  /// Typed settings.
  static func decode(_ fields: SectionFields) throws(SchemaDefect) -> LimitSettings {
    LimitSettings(
      headBytesMax: try fields.integer(headSize), headFieldsMax: try fields.integer(headFields),
      bodyBytesMax: try fields.integer(bodySize))
  }
}
