// `stores`: rows and decoding.
//
// Owns: the keys that say where state is kept.
// Called by: the root section.
// Never: opens a store.

/// The keys of `stores`.
enum StoresSection {
  static let ledger = SchemaRow(
    "ledger", .choice(LedgerStore.allCases.map(\.rawValue)), .literal("sqlite"), .restart,
    "Where credits are kept: sqlite, a file in server.var; memory, nowhere, which NODE_ENV=production forbids.")
  static let durability = SchemaRow(
    "durability", .choice(Durability.allCases.map(\.rawValue)), .literal("strict"), .restart,
    "strict: an answer ends when its charge stands on the disk. relaxed: the charges of the last moments before a "
      + "crash may be forgotten.")

  static let schema = SchemaSection("stores", "Where state is kept.", [ledger, durability])

  /// Typed settings.
  static func decode(_ fields: SectionFields) throws(SchemaDefect) -> StoreSettings {
    StoreSettings(
      ledger: try fields.choice(ledger, of: LedgerStore.self),
      durability: try fields.choice(durability, of: Durability.self))
  }
}
