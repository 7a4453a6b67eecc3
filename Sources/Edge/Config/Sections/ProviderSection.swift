// `providers.NAME`: rows, decoding, and what becomes of a provider without a key.
//
// Owns: the keys of one provider, and the rule which of them can be used.
// Called by: the root section, checks and the reader of certificates.
// Never: resolves a host name or shows a key.

/// What can be done with a provider.
enum ProviderState: Sendable, Equatable {
  /// It is asked at its endpoints.
  case usable
  /// Under `--dev`, the demo provider answers in its place.
  case demo
  /// It has no key.
  case disabled
  /// It is there under `--dev` only.
  case leftOut
}

/// The keys of a provider.
enum ProviderSection {
  static let dialect = SchemaRow(
    "dialect", .providerDialect, .required, .live, "The wire format that it speaks.")
  static let endpoints = SchemaRow(
    ServiceSection.endpoints.key, ServiceSection.endpoints.type, .absent, .live,
    "Where the provider is reached: http://host[:port] or https://host[:port], no path. They must be written, but with "
      + "`dev: true`, where the demo provider stands in.")
  static let path = SchemaRow(
    "path", .basePath, .literal("/v1"), .live, "What stands before the paths of its API; \"\" for nothing.")
  /// The word for a provider that asks for no key.
  static let none = "none"
  static let key = SchemaRow(
    "key", .key(none: ProviderSection.none), .absent, .live,
    "What Edge shows the provider. Without one, or with an empty one, the provider is disabled, or the demo provider "
      + "stands in under --dev; `none` for a provider that asks for none.")
  static let priority = SchemaRow(
    "priority", .integer(0...1_000), .literal("1"), .live, "Of several providers, those with a lower number come first."
  )
  static let dev = SchemaRow(
    "dev", .boolean, .literal("false"), .live, "Whether the provider is there under --dev only.")
  static let timeouts = SchemaRow(
    "timeouts", .section(timeoutSchema), .empty, .live, "How long Edge waits for the provider.")

  static let answer = SchemaRow(
    "answer", .duration(1...86_400_000), .literal("10m"), .live,
    "From the end of the request to the end of an answer that is not streamed.")

  static let timeoutSchema = SchemaSection(
    "providerTimeouts", "How long Edge waits for a provider.",
    [ServiceSection.connect, ServiceSection.head, ServiceSection.idle, answer])
  static let schema = SchemaSection(
    "provider", "Whoever offers models, with interchangeable endpoints.",
    [dialect, endpoints, path, key, priority, dev, timeouts, ServiceSection.pool, ServiceSection.tls])

  /// What can be done with a provider; nothing is concluded from wrong values.
  static func state(of fields: SectionFields, dev: Bool) -> ProviderState {
    let isDevelopment = fields[self.dev]?.value == .boolean(true)
    if isDevelopment, !dev { return .leftOut }
    if isDevelopment, fields[endpoints] == nil { return .demo }
    guard let setting = fields[key] else { return dev ? .demo : .disabled }
    if case .secret(let secret) = setting.value, secret.bytes.isEmpty { return dev ? .demo : .disabled }
    return .usable
  }

  /// A typed provider; `trust` is the index of its certificates. Where `demo` is, the demo provider stands in for it
  /// there.
  static func decode(_ entry: NamedFields, trust: Int?, demo: HostPort?) throws(SchemaDefect) -> Provider {
    let fields = entry.fields
    let timeouts = try fields.section(timeouts)
    let pool = try fields.section(ServiceSection.pool)
    let tls = fields[ServiceSection.tls] == nil || demo != nil ? nil : try fields.section(ServiceSection.tls)
    let written = try fields.endpoints(endpoints)
    let service = Service(
      name: entry.name, endpoints: demo.map { [Endpoint(scheme: .http, address: $0)] } ?? written,
      connectTimeoutMilliseconds: try timeouts.integer(ServiceSection.connect),
      headTimeoutMilliseconds: try timeouts.integer(ServiceSection.head),
      idleTimeoutMilliseconds: try timeouts.integer(ServiceSection.idle),
      poolSize: try pool.integer(ServiceSection.size), poolIdleMilliseconds: try pool.integer(ServiceSection.poolIdle),
      pass: [], trust: demo == nil ? trust : nil, serverName: try tls?.optionalText(ServiceSection.serverName))
    return Provider(
      name: entry.name, dialect: try fields.choice(dialect, of: DialectName.self), service: service,
      basePath: demo == nil ? try fields.text(path) : "/v1", key: demo == nil ? try fields.key(key) : nil,
      priority: try fields.integer(priority), answerTimeoutMilliseconds: try timeouts.integer(answer),
      isDemo: demo != nil)
  }
}
