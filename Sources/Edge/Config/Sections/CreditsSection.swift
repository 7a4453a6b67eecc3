// `credits`: rows, decoding, and what an account begins with under `--dev`.
//
// Owns: the keys of credits.
// Called by: the root section and the loader.
// Never: grants any.

/// The keys of `credits`.
enum CreditsSection {
  static let initial = SchemaRow(
    "initial", .decimal(places: Amount.places, 0...1_000_000_000), .literal("0"), .live,
    "Credits that a new account begins with; 1000 under --dev, unless it is written.")

  /// What an account begins with under `--dev`.
  static let development = Amount(units: 1_000 * Amount.unitsPerCredit)

  static let schema = SchemaSection("credits", "What accounts begin with.", [initial])

  /// Typed settings.
  static func decode(_ fields: SectionFields) throws(SchemaDefect) -> CreditSettings {
    CreditSettings(initial: Amount(units: Int64(try fields.integer(initial))))
  }

  /// Puts the default of `--dev` where nothing is written.
  static func develop(_ fields: inout SectionFields) {
    guard fields[initial]?.origin == .fallback else { return }
    fields.settings[initial.key] = Setting(value: .integer(Int(development.units)), origin: .development(nil))
  }
}
