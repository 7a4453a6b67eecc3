// The rows as a JSON Schema for editors.
//
// Owns: how each value type is said in JSON Schema (draft 2020-12).
// Called by: `check --print-schema`, and a test that compares the committed file.
// Never: knows a key; everything comes from the rows.
//
// The schema serves the main file and included ones alike, so nothing is required at the top.

/// Writes the schema.
enum SchemaPrinter {
  /// The whole schema as text with a line end.
  static func jsonSchema() -> String {
    var sections: [SchemaSection] = []
    collect(RootSection.schema, into: &sections)
    var definitions: [(key: String, value: JSONText)] = [
      (
        "reference",
        .object([
          ("description", .string("Text with ${env:NAME}, ${env:NAME:-default} or ${file:/path} in it.")),
          ("type", .string("string")),
          ("pattern", .string("\\$\\{(env|file):")),
        ])
      )
    ]
    for section in sections.sorted(by: { $0.name < $1.name }) {
      definitions.append((section.name, object(section, required: true)))
    }
    var pairs: [(key: String, value: JSONText)] = [
      ("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
      ("title", .string(RootSection.schema.doc)),
    ]
    if case .object(let root) = object(RootSection.schema, required: false) { pairs += root }
    pairs.append(("$defs", .object(definitions)))
    return JSONText.object(pairs).render() + "\n"
  }

  /// The sections below another, each once.
  private static func collect(_ section: SchemaSection, into sections: inout [SchemaSection]) {
    for row in section.rows {
      switch row.type {
      case .section(let inner), .named(let inner, _, _), .either(_, let inner):
        if !sections.contains(where: { $0.name == inner.name }) { sections.append(inner) }
        collect(inner, into: &sections)
      default: break
      }
    }
  }

  private static func object(_ section: SchemaSection, required: Bool) -> JSONText {
    var pairs: [(key: String, value: JSONText)] = [
      ("description", .string(section.doc)),
      ("type", .array([.string("object"), .string("null")])),
      ("additionalProperties", .boolean(false)),
    ]
    let needed = section.rows.filter(SchemaSection.isNeeded)
    if required, !needed.isEmpty { pairs.append(("required", .array(needed.map { .string($0.key) }))) }
    if !section.targets.isEmpty {
      let choices = section.targets.map { JSONText.object([("required", .array([.string($0.key)]))]) }
      pairs.append(("oneOf", .array(choices)))
    }
    pairs.append(("properties", .object(section.rows.map { ($0.key, property($0)) })))
    return .object(pairs)
  }

  private static func property(_ row: SchemaRow) -> JSONText {
    var pairs: [(key: String, value: JSONText)] = []
    var text = row.doc
    switch row.fallback {
    case .required, .requiredSince, .absent, .empty: break
    case .literal(let value), .literalWith(_, let value): pairs.append(("default", literal(value, of: row.type)))
    case .environment(let name, _, let otherwise):
      text += " The variable \(name) changes the default."
      if let otherwise { pairs.append(("default", literal(otherwise, of: row.type))) }
    }
    if row.reload == .restart { text += " A change needs a restart." }
    pairs.insert(("description", .string(text)), at: 0)
    return .object(pairs + type(row.type))
  }

  /// A default as the JSON value an editor would insert.
  private static func literal(_ text: String, of type: ValueType) -> JSONText {
    switch try? type.readDefault(text) {
    case .list(let members):
      return .array(members.compactMap { if case .text(let text) = $0.value { .string(text) } else { nil } })
    case .boolean(let value): return .boolean(value)
    case .integer(let value):
      switch type {
      case .integer, .integerOr: return .integer(value)
      case .decimal(let places, _):
        // Whole ones only: an editor may read others as floating point, and they are shown as text.
        let scale = DecimalValue.units(1, places: places)
        return value % scale == 0 ? .integer(value / scale) : .string(text)
      default: return .string(text)
      }
    default: return .string(text)
    }
  }

  private static let reference = JSONText.object([("$ref", .string("#/$defs/reference"))])

  private static func either(_ choices: [JSONText]) -> [(key: String, value: JSONText)] {
    [("anyOf", .array(choices + [reference]))]
  }

  private static func integer(_ bounds: ClosedRange<Int>) -> JSONText {
    .object([
      ("type", .string("integer")), ("minimum", .integer(bounds.lowerBound)), ("maximum", .integer(bounds.upperBound)),
    ])
  }

  private static func decimal(_ bounds: ClosedRange<Int>) -> JSONText {
    .object([
      ("type", .string("number")), ("minimum", .integer(bounds.lowerBound)), ("maximum", .integer(bounds.upperBound)),
    ])
  }

  private static func matching(_ pattern: String) -> JSONText {
    .object([("type", .string("string")), ("pattern", .string(pattern))])
  }

  /// Patterns of an IPv6 address in brackets and of a DNS name.
  private static let ipv6 = "\\[[0-9A-Fa-f.:]+\\]"
  private static let name = "\(label)(\\.\(label))*"
  private static let label = "[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"

  private static func quantity(_ unit: QuantityUnit, zero: Bool) -> [(key: String, value: JSONText)] {
    let suffixes = unit.steps.map(\.suffix).joined(separator: "|")
    let text = matching("^(0|[1-9][0-9]*(\(suffixes)))$")
    return either(zero ? [text, .object([("const", .integer(0))])] : [text])
  }

  private static func type(_ type: ValueType) -> [(key: String, value: JSONText)] {
    switch type {
    case .text, .path, .secret, .glob, .modelName:
      return [("type", .string("string")), ("minLength", .integer(1))]
    case .bind: return either([matching("^(\\*|[0-9]+(\\.[0-9]+){3}|\(ipv6)):[0-9]+$")])
    case .addressBlock: return either([matching("^[0-9A-Fa-f.:]+(/[0-9]+)?$")])
    case .host: return either([matching("^((\\*\\.)?\(name)|\(ipv6))$")])
    case .hostName: return either([matching("^\(name)$")])
    case .boolean: return either([.object([("type", .string("boolean"))])])
    case .integer(let bounds): return either([integer(bounds)])
    case .integerOr(let word, let bounds): return either([.object([("const", .string(word))]), integer(bounds)])
    case .duration(let bounds): return quantity(.duration, zero: bounds.contains(0))
    case .size(let bounds): return quantity(.size, zero: bounds.contains(0))
    case .choice(let words): return either([.object([("enum", .array(words.map { .string($0) }))])])
    case .key: return [("type", .string("string"))]
    case .decimal(_, let bounds): return either([decimal(bounds)])
    case .basePath: return either([matching("^(/[A-Za-z0-9._~:@+-]+)*$")])
    case .endpoint: return either([matching("^https?://[^/?#@]+$")])
    case .pattern: return either([matching("^/")])
    case .origin: return either([matching("^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@*]+$")])
    case .sessionReload:
      let words = JSONText.object([("enum", .array(SessionReloadText.words.map { .string($0) }))])
      return either([words, matching("^\(SessionReloadText.drain) +[1-9][0-9]*(ms|s|m|h)$")])
    case .providerDialect: return self.type(.choice(DialectText.ofProviders))
    case .permission: return either([matching("^[a-z0-9_.*-]+(:[a-z0-9_.*-]+)*$")])
    case .script: return either([matching("\\.lua$")])
    case .tree: return []
    case .reference(let entity): return either([matching(NameText.pattern(of: entity))])
    case .list(let element, let count, let scalarAllowed):
      let list = JSONText.object([
        ("type", .string("array")), ("items", .object(self.type(element))), ("minItems", .integer(count.lowerBound)),
        ("maxItems", .integer(count.upperBound)), ("uniqueItems", .boolean(true)),
      ])
      if scalarAllowed { return [("anyOf", .array([.object(self.type(element)), list]))] }
      guard case .object(let pairs) = list else { return [] }
      return pairs
    case .section(let section): return [("$ref", .string("#/$defs/\(section.name)"))]
    case .either(let type, let section):
      return [("oneOf", .array([.object(self.type(type)), .object(self.type(.section(section)))]))]
    case .named(let section, let entity, let count):
      return [
        ("type", .array([.string("object"), .string("null")])),
        ("propertyNames", .object([("pattern", .string(NameText.pattern(of: entity)))])),
        ("maxProperties", .integer(count.upperBound)),
        ("additionalProperties", .object([("$ref", .string("#/$defs/\(section.name)"))])),
      ]
    }
  }
}
