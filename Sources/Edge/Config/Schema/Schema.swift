// The vocabulary of the configuration: one row per key.
//
// Owns: what a key's type can be, what a row says, and which row lists make a section.
// Called by: reading, defaults, checks and printers. One row feeds them all.
// Never: holds values; those are SectionFields.

/// Whether a changed value acts at reload or needs a restart.
enum ReloadClass: String, Sendable, CaseIterable {
  case live, restart
}

/// The kinds of named things that a key can refer to.
enum NamedKind: String, Sendable, CaseIterable {
  case listener, service, route, role, policy, provider, model

  /// The top-level key that holds them.
  var collection: String { self == .policy ? "policies" : rawValue + "s" }
}

/// The type of a key's value.
indirect enum ValueType: Sendable {
  /// Any text of 1 to 1024 bytes without control characters.
  case text
  /// `true` or `false`.
  case boolean
  /// A whole number within bounds, both included.
  case integer(ClosedRange<Int>)
  /// An integer, or one word instead.
  case integerOr(word: String, ClosedRange<Int>)
  /// Bounds in milliseconds; written with a unit.
  case duration(ClosedRange<Int>)
  /// Bounds in bytes; written with a unit.
  case size(ClosedRange<Int>)
  /// One of a closed set.
  case choice([String])
  /// A file or folder, resolved against the folder of the main file.
  case path
  /// A path whose last part may hold `*` and `?`.
  case glob
  /// An address to listen on.
  case bind
  /// `http://host[:port]` or `https://host[:port]`.
  case endpoint
  /// A DNS name.
  case hostName
  /// A CIDR block or a single address.
  case addressBlock
  /// A host name or address, or `*.suffix`.
  case host
  /// A path pattern.
  case pattern
  /// Where a page of a browser comes from: `scheme://host[:port]`.
  case origin
  /// What becomes of WebSockets when a reload changes their route.
  case sessionReload
  /// The wire format of a provider.
  case providerDialect
  /// The name of a thing in another section.
  case reference(NamedKind)
  /// A secret, which is never shown.
  case secret
  /// The key of a provider, which is never shown; may be empty. One word says that none is asked for.
  case key(none: String)
  /// An exact decimal with at most so many digits behind the point; the bounds are whole numbers.
  case decimal(places: Int, ClosedRange<Int>)
  /// What stands before the paths of an API: empty, or it begins with a slash and ends without.
  case basePath
  /// A model as its provider names it.
  case modelName
  /// The name of a permission; with wildcards, `*` may stand for all or as the last part.
  case permission(wildcards: Bool)
  /// A Lua file within the folder of scripts.
  case script
  /// Any YAML, bounded.
  case tree
  /// Several values of one type.
  case list(ValueType, count: ClosedRange<Int>, scalarAllowed: Bool)
  /// A mapping with known keys.
  case section(SchemaSection)
  /// A scalar of a type, or a mapping with known keys instead.
  case either(ValueType, or: SchemaSection)
  /// A mapping from names to sections.
  case named(SchemaSection, NamedKind, count: ClosedRange<Int>)
}

/// What holds when a key is not written.
enum SchemaFallback: Sendable {
  /// The key must be written.
  case required
  /// The same, with the reason for the message.
  case requiredSince(String)
  /// There is no value.
  case absent
  /// This text, read like one in the file; for a list, its members with commas between.
  case literal(String)
  /// The same where another key of the mapping has one of these values; where none has, there is no value.
  case literalWith([SchemaCondition], String)
  /// The environment variable, when set and not empty, with `suffix` appended; else the text, if there is one.
  case environment(String, suffix: String, otherwise: String?)
  /// An empty list or map, or a section made of its rows' defaults.
  case empty
}

/// Another key that a default depends on.
struct SchemaCondition: Sendable {
  /// The key.
  let key: String
  /// What it says; nil: anything.
  let value: String?
}

/// One key.
struct SchemaRow: Sendable {
  /// The key as it is written.
  let key: String
  /// What may be written.
  let type: ValueType
  /// What holds otherwise.
  let fallback: SchemaFallback
  /// When a change acts.
  let reload: ReloadClass
  /// One sentence for people, with a final stop.
  let doc: String

  /// A row from its parts.
  init(_ key: String, _ type: ValueType, _ fallback: SchemaFallback, _ reload: ReloadClass, _ doc: String) {
    self.key = key
    self.type = type
    self.fallback = fallback
    self.reload = reload
    self.doc = doc
  }
}

/// The keys that may stand together in one mapping.
struct SchemaSection: Sendable {
  /// What one such mapping is called in messages and in the JSON Schema.
  let name: String
  /// One sentence for people, with a final stop.
  let doc: String
  /// In the order of reference pages.
  let rows: [SchemaRow]
  /// Rows of which exactly one must be written; none: there is no such choice.
  let targets: [SchemaRow]

  /// A section from its parts.
  init(_ name: String, _ doc: String, _ rows: [SchemaRow], exactlyOneOf targets: [SchemaRow] = []) {
    self.name = name
    self.doc = doc
    self.rows = rows
    self.targets = targets
  }

  /// Whether the key must be written.
  static func isNeeded(_ row: SchemaRow) -> Bool {
    switch row.fallback {
    case .required, .requiredSince: true
    case .absent, .literal, .literalWith, .environment, .empty: false
    }
  }

  /// The row of a key, or nil.
  func row(_ key: String) -> SchemaRow? { rows.first { $0.key == key } }
}

extension ValueType {
  /// What is expected, for messages and reference pages: "a duration such as 30s, 1ms to 24h".
  var expectation: String {
    switch self {
    case .text: "text"
    case .boolean: "true or false"
    case .integer(let bounds):
      bounds.count == 1 ? "\(bounds.lowerBound)" : "an integer, \(bounds.lowerBound) to \(bounds.upperBound)"
    case .integerOr(let word, let bounds):
      "'\(word)' or an integer, \(bounds.lowerBound) to \(bounds.upperBound)"
    case .duration(let bounds):
      "a duration such as 30s, \(QuantityUnit.duration.text(bounds))"
    case .size(let bounds):
      "a size such as 16KiB, \(QuantityUnit.size.text(bounds))"
    case .choice(let words): words.count == 1 ? "'\(words[0])'" : "one of \(words.joined(separator: ", "))"
    case .path: "a path"
    case .glob: "a path, such as conf.d/*.yaml"
    case .bind: "an address to listen on, such as 127.0.0.1:3003, \"[::1]:3003\" or \"*:3003\""
    case .endpoint: "a URL such as http://127.0.0.1:3007 or https://api.example.com"
    case .hostName: "a host name such as api.example.com"
    case .addressBlock: "an address block such as 10.0.0.0/8"
    case .host: "a host name such as api.example.com or *.example.com"
    case .pattern: "a path such as /api/chat/*"
    case .origin: "an origin such as https://app.example.com"
    case .sessionReload: SessionReloadText.expectation
    case .providerDialect: "one of \(DialectText.ofProviders.joined(separator: ", "))"
    case .secret: "a secret of at least \(SecretText.bytesMin) bytes"
    case .key(let none): "a key of at most \(SecretText.bytesMax) characters without blanks, or '\(none)'"
    case .decimal(_, let bounds): "a decimal such as 0.03, \(bounds.lowerBound) to \(bounds.upperBound)"
    case .basePath: "a path such as /v1, or \"\" for none"
    case .modelName: "the name of a model such as gpt-4"
    case .permission(let wildcards):
      wildcards ? "a permission such as mcp:read or mcp:*" : "a permission such as mcp:read"
    case .script: "the path of a Lua file such as auth.lua"
    case .tree: "any YAML"
    case .reference(let entity): "the name of a \(entity.rawValue)"
    case .list(let element, _, let scalarAllowed):
      scalarAllowed ? "\(element.expectation), or a list of such" : "a list, each \(element.expectation)"
    case .section: "a mapping"
    case .either(let type, _): "\(type.expectation), or a mapping"
    case .named(_, let entity, _): "a mapping from \(entity.rawValue) names to their settings"
    }
  }
}
