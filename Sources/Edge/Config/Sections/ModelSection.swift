// `models.NAME`: rows and decoding.
//
// Owns: the keys of one model and of its price, and which price holds where none is written.
// Called by: the root section.
// Never: computes what a request costs.

/// The keys of a model.
enum ModelSection {
  static let providers = SchemaRow(
    "providers", .list(.reference(.provider), count: 1...8, scalarAllowed: true), .required, .live,
    "Who offers the model; of equal priority, the first comes first.")
  static let upstreamName = SchemaRow(
    "upstream_name", .modelName, .absent, .live, "What its providers call it; the same when left out.")
  static let price = SchemaRow(
    "price", .either(.decimal(places: Amount.places, creditBounds), or: priceSchema),
    .requiredSince("a model without a price is never dispatched"), .live,
    "Credits per 1000 tokens: one decimal for all of them, or a mapping.")
  static let outputMax = SchemaRow(
    "max_output", .integer(1...100_000_000), .required, .live,
    "The most tokens that it gives out for one choice; as many are held where a client names no limit.")
  static let imageTokens = SchemaRow(
    "image_tokens", .integer(0...10_000_000), .literal("2000"), .live,
    "What a picture in the input is taken for before the provider has counted it.")

  static let equivalents = SchemaRow(
    "equivalents", .list(.reference(.model), count: 0...4, scalarAllowed: true), .empty, .live,
    "Models that may answer in its place when none of its own providers does, the best first. Equivalents of these are "
      + "not asked.")

  static let input = perToken("input", .required, "Of tokens that go in.")
  static let output = perToken("output", .required, "Of tokens that come out.")
  static let cached = perToken("cached", .absent, "Of input read from the provider's cache; as `input` when left out.")
  static let cacheWrite = perToken(
    "cache_write", .absent, "Of input written to the provider's cache; as `input` when left out.")
  static let reasoning = perToken(
    "reasoning", .absent, "Of output that the client does not see; as `output` when left out.")
  static let long = SchemaRow("long", .section(longSchema), .absent, .live, longSchema.doc)

  static let above = SchemaRow(
    "above", .integer(1...1_000_000_000), .required, .live, "With more input tokens than this, these prices hold.")

  /// What an amount in a configuration may be, in credits.
  static let creditBounds = 0...1_000_000

  static let longSchema = SchemaSection(
    "longModelPrice", "Credits per 1000 tokens of the whole request when its input is long.",
    [above, input, output, cached, cacheWrite, reasoning])
  static let priceSchema = SchemaSection(
    "modelPrice", "Credits per 1000 tokens, at most 9 digits behind the point.",
    [input, output, cached, cacheWrite, reasoning, long])
  static let schema = SchemaSection(
    "model", "What clients may ask for, and what it costs.",
    [providers, upstreamName, price, outputMax, imageTokens, equivalents])

  private static func perToken(_ key: String, _ fallback: SchemaFallback, _ doc: String) -> SchemaRow {
    SchemaRow(key, .decimal(places: Amount.places, creditBounds), fallback, .live, doc)
  }

  /// The names of a model's providers, as far as they are right; placeholders are none.
  static func providerNames(_ fields: SectionFields) -> [String] { names(fields, providers) }

  /// The names of a model's equivalents, likewise.
  static func equivalentNames(_ fields: SectionFields) -> [String] { names(fields, equivalents) }

  private static func names(_ fields: SectionFields, _ row: SchemaRow) -> [String] {
    guard case .list(let members) = fields[row]?.value else { return [] }
    return members.compactMap { member in
      if case .text(let name) = member.value, !member.isPlaceholder { name } else { nil }
    }
  }

  /// True when the model goes with its providers, all of which are there under `--dev` only, or when a placeholder
  /// stands for one; in the latter case the snapshot is for checking only.
  static func isLeftOut(_ entry: NamedFields, _ states: [String: ProviderState]) -> Bool {
    if case .list(let members) = entry.fields[providers]?.value, members.contains(where: \.isPlaceholder) {
      return true
    }
    let names = providerNames(entry.fields)
    return !names.isEmpty && names.allSatisfy { states[$0] == .leftOut }
  }

  /// A typed model; `usable` are the providers of the snapshot, `models` the places of its models. Those that are left
  /// out stand in neither.
  static func decode(
    _ entry: NamedFields, usable: [Provider], providers known: [String: Int], models: [String: Int]
  ) throws(SchemaDefect) -> Model {
    let fields = entry.fields
    let offers = try fields.texts(providers).compactMap { known[$0] }.enumerated().sorted { left, right in
      let (first, second) = (usable[left.element].priority, usable[right.element].priority)
      return first == second ? left.offset < right.offset : first < second
    }
    return Model(
      name: entry.name, providers: offers.map(\.element), upstreamName: try fields.optionalText(upstreamName),
      price: try price(fields), outputTokensMax: try fields.integer(outputMax),
      imageTokens: try fields.integer(imageTokens),
      equivalents: try fields.texts(equivalents).compactMap { models[$0] })
  }

  /// So many 1e-9 credits per 1000 tokens are as many 1e-12 credits per token.
  private static func price(_ fields: SectionFields) throws(SchemaDefect) -> ModelPrice {
    if case .integer(let single) = fields[price]?.value {
      let rate = Int64(single)
      return ModelPrice(input: rate, output: rate, cached: rate, cacheWrite: rate, reasoning: rate)
    }
    let section = try fields.section(price)
    let usual = try rates(section)
    var price = ModelPrice(
      input: usual.input, output: usual.output, cached: usual.cached, cacheWrite: usual.cacheWrite,
      reasoning: usual.reasoning)
    guard section[long] != nil else { return price }
    let tier = try section.section(long)
    let more = try rates(tier)
    price.longInputTokens = Int64(try tier.integer(above))
    (price.longInput, price.longOutput, price.longCached) = (more.input, more.output, more.cached)
    (price.longCacheWrite, price.longReasoning) = (more.cacheWrite, more.reasoning)
    return price
  }

  private struct Rates {
    let input: Int64
    let output: Int64
    let cached: Int64
    let cacheWrite: Int64
    let reasoning: Int64
  }

  private static func rates(_ fields: SectionFields) throws(SchemaDefect) -> Rates {
    let input = Int64(try fields.integer(input))
    let output = Int64(try fields.integer(output))
    return Rates(
      input: input, output: output, cached: try fields.optionalInteger(cached).map { Int64($0) } ?? input,
      cacheWrite: try fields.optionalInteger(cacheWrite).map { Int64($0) } ?? input,
      reasoning: try fields.optionalInteger(reasoning).map { Int64($0) } ?? output)
  }
}
