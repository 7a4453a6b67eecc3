// Values between text and snapshot: read, checked, still with their places.
//
// Owns: the value tree that merging, defaults, checks and `check --full` work on, and typed access for sections.
// Called by: all of Config.
// Never: leaves Config; engines see the snapshot only.

/// A value of a key, already read.
indirect enum SettingValue: Sendable, Equatable {
  /// A text, path, choice, method or name.
  case text(String)
  /// A truth value.
  case boolean(Bool)
  /// An integer, milliseconds, bytes or units of a decimal's last place.
  case integer(Int)
  /// The word of an `integerOr` or a `key`.
  case word(String)
  /// An address to listen on.
  case address(HostPort)
  /// An endpoint of a service.
  case endpoint(Endpoint)
  /// An address block.
  case block(AddressBlock)
  /// A host of a route.
  case host(HostPattern)
  /// A path of a route.
  case pattern(PathPattern)
  /// A secret.
  case secret(SecretText)
  /// Settings of a policy.
  case tree(SettingsReading)
  /// Members with places of their own.
  case list([Setting])
  /// A mapping with known keys.
  case section(SectionFields)
  /// A mapping from names, in the order of the files.
  case named([NamedFields])
}

/// Where a value came from.
enum SettingOrigin: Sendable, Equatable {
  /// Written in a file, with the references (`env PORT`, `file /run/x`) that took part.
  case file(SourcePlace, references: [String])
  /// An environment variable that is the default of a key.
  case environment(String)
  /// The default of the row.
  case fallback
  /// What `--dev` puts in: its secret, which is found when the folder of state is known, with the place that asks for
  /// it, and its own defaults.
  case development(SourcePlace?)
  /// Stands in for an undefined reference under `--env=placeholder`.
  case placeholder(SourcePlace)
}

/// A key's value, or the fact that it was wrong and has been reported.
struct Setting: Sendable, Equatable {
  /// nil when the value was wrong.
  var value: SettingValue?
  /// Where it came from.
  let origin: SettingOrigin

  /// Where it is written, if it is.
  var place: SourcePlace? {
    switch origin {
    case .file(let place, _), .placeholder(let place): place
    case .development(let place): place
    case .environment, .fallback: nil
    }
  }

  /// True when checks must not draw conclusions from the value.
  var isPlaceholder: Bool { if case .placeholder = origin { true } else { false } }
}

/// The values of one section.
struct SectionFields: Sendable, Equatable {
  /// The dotted path of keys that leads here, empty at the top.
  let path: String
  /// The rows that the keys follow.
  let section: SchemaSection
  /// The key that introduces the section, or the start of the file.
  let place: SourcePlace
  /// By key.
  var settings: [String: Setting] = [:]
  /// The places of the keys that are written.
  var keyPlaces: [String: SourcePlace] = [:]
  /// Keys that an unknown key was probably meant to be: that they are missing is not reported on top.
  var suspects: Set<String> = []

  /// Equal keys and values at one path; places of keys do not count.
  static func == (left: SectionFields, right: SectionFields) -> Bool {
    left.path == right.path && left.settings == right.settings
  }

  /// The dotted path of a key in this section.
  func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  /// The setting of a row, if there is one.
  subscript(row: SchemaRow) -> Setting? { settings[row.key] }
}

/// A named section.
struct NamedFields: Sendable, Equatable {
  /// The name.
  let name: String
  /// Its settings.
  var fields: SectionFields
}

/// A section asks for a value that its rows do not promise: a fault of the program, not of the file.
struct SchemaDefect: Error, Sendable, Equatable {
  /// The dotted path of the key.
  let path: String
  /// What was asked for.
  let wanted: String
}

extension SectionFields {
  private func defect(_ row: SchemaRow, _ wanted: String) -> SchemaDefect {
    SchemaDefect(path: path(of: row.key), wanted: wanted)
  }

  /// An integer, a duration in milliseconds or a size in bytes.
  func integer(_ row: SchemaRow) throws(SchemaDefect) -> Int {
    guard case .integer(let value) = self[row]?.value else { throw defect(row, "integer") }
    return value
  }

  /// Like `integer`, or nil when the key has no value.
  func optionalInteger(_ row: SchemaRow) throws(SchemaDefect) -> Int? {
    self[row] == nil ? nil : try integer(row)
  }

  /// An integer, or nil for the word of an `integerOr`.
  func integerOrWord(_ row: SchemaRow) throws(SchemaDefect) -> Int? {
    if case .word = self[row]?.value { return nil }
    return try integer(row)
  }

  /// A truth value.
  func boolean(_ row: SchemaRow) throws(SchemaDefect) -> Bool {
    guard case .boolean(let value) = self[row]?.value else { throw defect(row, "boolean") }
    return value
  }

  /// A text, path, choice, method or reference.
  func text(_ row: SchemaRow) throws(SchemaDefect) -> String {
    guard case .text(let value) = self[row]?.value else { throw defect(row, "text") }
    return value
  }

  /// Like `text`, or nil when the key has no value.
  func optionalText(_ row: SchemaRow) throws(SchemaDefect) -> String? {
    self[row] == nil ? nil : try text(row)
  }

  /// A word of a closed set.
  func choice<Word: RawRepresentable>(_ row: SchemaRow, of _: Word.Type) throws(SchemaDefect) -> Word
  where Word.RawValue == String {
    guard let word = Word(rawValue: try text(row)) else { throw defect(row, "word of \(Word.self)") }
    return word
  }

  /// An address.
  func address(_ row: SchemaRow) throws(SchemaDefect) -> HostPort {
    guard case .address(let value) = self[row]?.value else { throw defect(row, "address") }
    return value
  }

  /// The members of a list that `pick` takes; none when the key has no value.
  func list<Element>(
    _ row: SchemaRow, _ pick: (SettingValue) -> Element?
  ) throws(SchemaDefect) -> [Element] {
    guard let setting = self[row] else { return [] }
    guard case .list(let members) = setting.value else { throw defect(row, "list") }
    var picked: [Element] = []
    for member in members {
      guard let value = member.value, let element = pick(value) else { throw defect(row, "list member") }
      picked.append(element)
    }
    return picked
  }

  /// The texts of a list.
  func texts(_ row: SchemaRow) throws(SchemaDefect) -> [String] {
    try list(row) { if case .text(let text) = $0 { text } else { nil } }
  }

  /// The endpoints of a list.
  func endpoints(_ row: SchemaRow) throws(SchemaDefect) -> [Endpoint] {
    try list(row) { if case .endpoint(let endpoint) = $0 { endpoint } else { nil } }
  }

  /// The key of a provider; nil when there is none, it is empty or a word stands in its place.
  func key(_ row: SchemaRow) throws(SchemaDefect) -> SecretText? {
    switch self[row]?.value {
    case .secret(let key): return key.bytes.isEmpty ? nil : key
    case .word: return nil
    case nil where self[row] == nil: return nil
    default: throw defect(row, "key")
    }
  }

  /// Settings of a policy.
  func tree(_ row: SchemaRow) throws(SchemaDefect) -> SettingsReading {
    guard case .tree(let value) = self[row]?.value else { throw defect(row, "tree") }
    return value
  }

  /// A section in this one.
  func section(_ row: SchemaRow) throws(SchemaDefect) -> SectionFields {
    guard case .section(let fields) = self[row]?.value else { throw defect(row, "section") }
    return fields
  }

  /// The named sections under a key.
  func named(_ row: SchemaRow) throws(SchemaDefect) -> [NamedFields] {
    guard case .named(let entries) = self[row]?.value else { throw defect(row, "map") }
    return entries
  }
}
