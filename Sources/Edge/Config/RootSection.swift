// The top-level keys: rows and decoding of the whole.
//
// Owns: which sections there are.
// Called by: the loader and the printers.
// Never: checks one key against another.

/// The keys at the top of a file.
enum RootSection {
  static let version = SchemaRow(
    "version", .integer(1...1), .required, .restart, "Version of the configuration format: 1.")
  static let include = SchemaRow(
    "include", .list(.glob, count: 0...64, scalarAllowed: true), .empty, .live,
    "More files with the same keys, read in byte order; stands in the main file only.")
  static let server = SchemaRow("server", .section(ServerSection.schema), .empty, .live, ServerSection.schema.doc)
  static let limits = SchemaRow("limits", .section(LimitsSection.schema), .empty, .live, LimitsSection.schema.doc)
  static let listeners = SchemaRow(
    "listeners", .named(ListenerSection.schema, .listener, count: 1...63), .required, .live,
    "Addresses that accept clients, by name.")
  static let services = SchemaRow(
    "services", .named(ServiceSection.schema, .service, count: 0...4_096), .empty, .live,
    "Platform services that Edge forwards to, by name.")
  static let providers = SchemaRow(
    "providers", .named(ProviderSection.schema, .provider, count: 0...256), .empty, .live,
    "Who offers models, by name.")
  static let models = SchemaRow(
    "models", .named(ModelSection.schema, .model, count: 0...4_096), .empty, .live,
    "What clients may ask for, by the name that they use.")
  static let credits = SchemaRow("credits", .section(CreditsSection.schema), .empty, .live, CreditsSection.schema.doc)
  static let stores = SchemaRow("stores", .section(StoresSection.schema), .empty, .live, StoresSection.schema.doc)
  static let routes = SchemaRow(
    "routes", .named(RouteSection.schema, .route, count: 0...65_536), .empty, .live,
    "Which requests go where, by name. The more specific route wins: a literal segment over :name over *, an exact "
      + "host over a suffix over any.")
  static let auth = SchemaRow("auth", .section(AuthSection.schema), .empty, .live, AuthSection.schema.doc)
  static let roles = SchemaRow(
    "roles", .named(RoleSection.schema, .role, count: 0...1_024), .empty, .live,
    "What callers may do, by role. Unless they are defined here, there are `user` (services:use, mcp:read, "
      + "mcp:execute) and `admin` (everything).")
  static let policies = SchemaRow(
    "policies", .named(PolicySection.schema, .policy, count: 0...1_024), .empty, .live,
    "Lua scripts that decide about requests or answer them, by name.")
  static let log = SchemaRow("log", .section(LogSection.schema), .empty, .live, LogSection.schema.doc)

  static let schema = SchemaSection(
    "edge", "Configuration of Edge.",
    [
      version, include, server, limits, listeners, stores, auth, roles, credits, services, providers, models, policies,
      routes, log,
    ])

  /// The snapshot of a tree that has passed every check; `folder` is the folder of the main file, `demo` is where the
  /// demo provider listens, which there is under `--dev` only.
  static func decode(
    _ fields: SectionFields, folder: String, demo: HostPort?, trust: TrustReader,
    certificates: CertificateReader, scripts: ScriptReader, contentHash: UInt64
  ) throws(SchemaDefect) -> Snapshot {
    let limits = try LimitsSection.decode(try fields.section(limits))
    var listenerList: [Listener] = []
    for entry in try fields.named(listeners) {
      listenerList.append(try ListenerSection.decode(entry, certificate: certificates.listeners[entry.name]))
    }
    var serviceList: [Service] = []
    for entry in try fields.named(services) {
      serviceList.append(try ServiceSection.decode(entry, trust: trust.services[entry.name]))
    }
    let (providerList, modelList) = try decodeModels(fields, demo: demo, trust: trust)
    var roleList: [Role] = []
    for entry in try fields.named(roles) { roleList.append(try RoleSection.decode(entry)) }
    var policyList: [PolicySettings] = []
    for entry in try fields.named(policies) {
      // Without a script stands a placeholder for it; such a snapshot is for checking only.
      guard let script = scripts.indices[entry.name] else { continue }
      policyList.append(try PolicySection.decode(entry, script: script))
    }
    let open = Set(ListenerSection.open(try fields.named(listeners)))
    let names = RouteNames(
      listeners: indices(listenerList.map(\.name)),
      openListeners: listenerList.indices.filter { open.contains(listenerList[$0].name) },
      services: indices(serviceList.map(\.name)),
      policies: indices(policyList.map(\.name)))
    var routeList: [Route] = []
    for entry in try fields.named(routes) where !RouteSection.isOpen(entry, names: names) {
      routeList.append(try RouteSection.decode(entry, names: names, limits: limits))
    }
    return Snapshot(
      server: try ServerSection.decode(try fields.section(server), folder: folder), limits: limits,
      listeners: listenerList, services: serviceList, routes: routeList,
      log: try LogSection.decode(try fields.section(log)), auth: try AuthSection.decode(try fields.section(auth)),
      roles: roleList, policies: policyList, scripts: scripts.files, providers: providerList, models: modelList,
      credits: try CreditsSection.decode(try fields.section(credits)),
      stores: try StoresSection.decode(try fields.section(stores)), trustFiles: trust.files,
      certificates: certificates.files, contentHash: contentHash)
  }

  /// What can be done with each provider of a tree, by name.
  static func providerStates(of fields: SectionFields, dev: Bool) -> [String: ProviderState] {
    guard case .named(let entries) = fields[providers]?.value else { return [:] }
    let pairs = entries.map { ($0.name, ProviderSection.state(of: $0.fields, dev: dev)) }
    return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
  }

  /// Providers that can be used, and the models that are there.
  private static func decodeModels(
    _ fields: SectionFields, demo: HostPort?, trust: TrustReader
  ) throws(SchemaDefect) -> ([Provider], [Model]) {
    let states = providerStates(of: fields, dev: demo != nil)
    var providerList: [Provider] = []
    for entry in try fields.named(providers) {
      switch states[entry.name] {
      case .usable:
        providerList.append(try ProviderSection.decode(entry, trust: trust.providers[entry.name], demo: nil))
      case .demo: providerList.append(try ProviderSection.decode(entry, trust: nil, demo: demo))
      case .disabled, .leftOut, nil: continue
      }
    }
    let known = indices(providerList.map(\.name))
    let entries = try fields.named(models).filter { !ModelSection.isLeftOut($0, states) }
    let places = indices(entries.map(\.name))
    var modelList: [Model] = []
    for entry in entries {
      modelList.append(try ModelSection.decode(entry, usable: providerList, providers: known, models: places))
    }
    return (providerList, modelList)
  }

  private static func indices(_ names: [String]) -> [String: Int] {
    Dictionary(names.enumerated().map { ($0.element, $0.offset) }, uniquingKeysWith: { first, _ in first })
  }
}
