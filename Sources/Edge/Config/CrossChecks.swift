// Checks that need more than one key: references, targets, development mode.
//
// Owns: every such rule but those about listeners (ListenerChecks.swift), about routes among each other
// (RouteChecks.swift), about what guards a route (GuardChecks.swift), about WebSockets (SocketChecks.swift) and about
// providers and models (ModelChecks.swift).
// Called by: the loader, after merging and defaults, when every file could be parsed.
// Never: concludes anything from a value that was wrong or is a placeholder.

/// Checks across a whole tree.
struct CrossChecks {
  private let root: SectionFields
  private(set) var diagnoses: DiagnosisList

  /// Runs every check and returns the findings added to `diagnoses`.
  static func run(_ root: SectionFields, dev: Bool, mode: String?, diagnoses: DiagnosisList) -> DiagnosisList {
    var checks = CrossChecks(root: root, diagnoses: diagnoses)
    ListenerChecks.run(root, dev: dev, into: &checks.diagnoses)
    checks.targets()
    checks.references()
    checks.encryption(RootSection.services, .service)
    checks.encryption(RootSection.providers, .provider)
    checks.durability(mode)
    GuardChecks.run(root, into: &checks.diagnoses)
    SocketChecks.run(root, into: &checks.diagnoses)
    ModelChecks.run(root, dev: dev, into: &checks.diagnoses)
    RouteChecks.run(root, into: &checks.diagnoses)
    // Beside errors, these would mostly be their consequences.
    if checks.diagnoses.hasErrors { return checks.diagnoses }
    checks.unused()
    checks.oddSecrets()
    GuardChecks.remark(root, into: &checks.diagnoses)
    ModelChecks.remark(root, dev: dev, into: &checks.diagnoses)
    return checks.diagnoses
  }

  private init(root: SectionFields, diagnoses: DiagnosisList) {
    self.root = root
    self.diagnoses = diagnoses
  }

  private func entries(_ row: SchemaRow) -> [NamedFields] {
    if case .named(let entries) = root[row]?.value { entries } else { [] }
  }

  /// Exactly one target per route.
  private mutating func targets() {
    for entry in entries(RootSection.routes) where !entry.fields.section.rows.isEmpty {
      let keys = RouteSection.targets.map(\.0.key)
      let written = keys.filter { entry.fields.keyPlaces[$0] != nil }
      let places = written.compactMap { entry.fields.keyPlaces[$0] }
      if let first = places.first {
        guard let last = places.last, places.count > 1 else { continue }
        diagnoses.error(
          last, "the route '\(entry.name)' has \(CrossChecks.counts[places.count]) targets",
          hint: "keep \(ConfigText.choices(written.map { "'\($0)'" }))",
          related: [Diagnosis.Related(place: first, message: "the other one is here")])
      } else if entry.fields.suspects.isDisjoint(with: keys) {
        diagnoses.error(
          entry.fields.place, "the route '\(entry.name)' leads nowhere",
          hint: "add \(ConfigText.choices(RouteSection.targets.map { "'\($0.0.key): \($0.1)'" }))")
      }
    }
  }

  private static let counts = ["no", "one", "two", "three", "four"]

  /// Names that must exist.
  private mutating func references() {
    let services = entries(RootSection.services).map(\.name)
    let listeners = entries(RootSection.listeners).map(\.name)
    let policies = entries(RootSection.policies).map(\.name)
    let knownServices = Set(services)
    let knownPolicies = Set(policies)
    let knownListeners = Set(listeners)
    let isClosed = !listeners.isEmpty && ListenerSection.open(entries(RootSection.listeners)).isEmpty
    for entry in entries(RootSection.routes) {
      if let setting = entry.fields[RouteSection.service], !isKnown(setting, knownServices) {
        report(setting, .service, among: services)
      }
      if let setting = entry.fields[RouteSection.handler], !isKnown(setting, knownPolicies) {
        report(setting, .policy, among: policies)
      }
      for member in members(entry, RouteSection.policies) where !isKnown(member, knownPolicies) {
        report(member, .policy, among: policies)
      }
      for member in members(entry, RouteSection.listeners) where !isKnown(member, knownListeners) {
        report(member, .listener, among: listeners)
      }
      if isClosed, entry.fields[RouteSection.listeners] == nil, !entry.fields.section.rows.isEmpty,
        entry.fields.suspects.isDisjoint(with: [RouteSection.listeners.key])
      {
        diagnoses.error(
          entry.fields.place,
          "the route '\(entry.name)' is reached nowhere: every listener has 'only_named' or 'admin', and it names none",
          hint: "add 'listeners'")
      }
    }
    let providers = entries(RootSection.providers).map(\.name)
    let knownProviders = Set(providers)
    let models = entries(RootSection.models).map(\.name)
    let knownModels = Set(models)
    for entry in entries(RootSection.models) {
      for member in members(entry, ModelSection.providers) where !isKnown(member, knownProviders) {
        report(member, .provider, among: providers)
      }
      for member in members(entry, ModelSection.equivalents) where !isKnown(member, knownModels) {
        report(member, .model, among: models)
      }
    }
  }

  /// What production must not forget.
  private mutating func durability(_ mode: String?) {
    guard mode == "production", case .section(let stores) = root[RootSection.stores]?.value,
      let setting = stores[StoresSection.ledger], setting.value == .text(LedgerStore.memory.rawValue),
      !setting.isPlaceholder, let place = setting.place
    else { return }
    diagnoses.error(
      place, "\(EnvironmentTable.mode)=production forbids a ledger in memory: a restart would forget all credits",
      hint: "write 'ledger: \(LedgerStore.sqlite.rawValue)'")
  }

  private func members(_ entry: NamedFields, _ row: SchemaRow) -> [Setting] {
    if case .list(let members) = entry.fields[row]?.value { members } else { [] }
  }

  /// A `tls` section that nothing would use: whoever wrote it believes the connections to be verified.
  private mutating func encryption(_ row: SchemaRow, _ kind: NamedKind) {
    for entry in entries(row) {
      guard let place = entry.fields.keyPlaces[ServiceSection.tls.key],
        case .list(let members) = entry.fields[ServiceSection.endpoints]?.value
      else { continue }
      let isPlain = members.allSatisfy { member in
        if case .endpoint(let endpoint) = member.value {
          endpoint.scheme == .http && !member.isPlaceholder
        } else {
          false
        }
      }
      if !isPlain { continue }
      diagnoses.error(
        place, "'tls' has no meaning here: no endpoint of the \(kind.rawValue) '\(entry.name)' is https",
        hint: "write https:// in 'endpoints', or remove 'tls'")
    }
  }

  /// Secrets that Edge takes, but perhaps not as they were meant.
  private mutating func oddSecrets() {
    guard case .section(let auth) = root[RootSection.auth]?.value,
      case .list(let members) = auth[AuthSection.secret]?.value
    else { return }
    for member in members where !member.isPlaceholder {
      guard case .secret(let secret) = member.value, let oddity = secret.oddity else { continue }
      switch member.origin {
      case .file(let place, _): diagnoses.warning(place, "the secret \(oddity)")
      case .environment(let name):
        diagnoses.add(Diagnosis(.warning, .environment(name), "the secret \(oddity)"))
      case .fallback, .development, .placeholder: break
      }
    }
  }

  /// True also for values that say nothing.
  private func isKnown(_ setting: Setting, _ known: Set<String>) -> Bool {
    guard case .text(let name) = setting.value, !setting.isPlaceholder else { return true }
    return known.contains(name)
  }

  private mutating func report(_ setting: Setting, _ kind: NamedKind, among known: [String]) {
    guard case .text(let name) = setting.value, let place = setting.place else { return }
    let list = known.isEmpty ? "'\(kind.collection)' is empty" : "known: \(known.prefix(8).joined(separator: ", "))"
    // Among very many names, looking for near ones would take longer than it helps.
    let near = known.count <= 1_000 && !diagnoses.isFull ? Nearness.hint(for: name, among: known) : nil
    diagnoses.error(place, "there is no \(kind.rawValue) '\(name)'", hint: near ?? list)
  }

  /// What is there but has no effect, and what would call Edge itself.
  private mutating func unused() {
    let routes = entries(RootSection.routes)
    if routes.isEmpty, root[RootSection.routes]?.value != nil {
      diagnoses.warning(
        root.keyPlaces[RootSection.routes.key] ?? root.place, "there is no route: every request is answered with 404")
    }
    var used: Set<String> = []
    var usedPolicies: Set<String> = []
    var namedListeners: Set<String> = []
    for route in routes {
      if case .text(let name) = route.fields[RouteSection.service]?.value { used.insert(name) }
      if case .text(let name) = route.fields[RouteSection.handler]?.value { usedPolicies.insert(name) }
      for member in members(route, RouteSection.policies) {
        if case .text(let name) = member.value { usedPolicies.insert(name) }
      }
      for member in members(route, RouteSection.listeners) {
        if case .text(let name) = member.value { namedListeners.insert(name) }
      }
    }
    ListenerChecks.unused(root, named: namedListeners, into: &diagnoses)
    for entry in entries(RootSection.policies) where !usedPolicies.contains(entry.name) {
      diagnoses.warning(entry.fields.place, "no route uses the policy '\(entry.name)'")
    }
    let bound = Set(
      entries(RootSection.listeners).compactMap { entry -> HostPort? in
        if case .address(let address) = entry.fields[ListenerSection.bind]?.value { address } else { nil }
      })
    // A script may ask any of them.
    let hasScripts = !entries(RootSection.policies).isEmpty
    for entry in entries(RootSection.services) {
      if !used.contains(entry.name), !hasScripts {
        diagnoses.warning(entry.fields.place, "no route leads to the service '\(entry.name)'")
      }
    }
    // Providers have the same key.
    for entry in entries(RootSection.services) + entries(RootSection.providers) {
      for member in members(entry, ServiceSection.endpoints) {
        guard case .endpoint(let endpoint) = member.value, let place = member.place,
          bound.contains(where: { ListenerChecks.isReached($0, by: endpoint.address) })
        else { continue }
        diagnoses.warning(place, "this endpoint is a listener of Edge itself: requests would go in a circle")
      }
    }
  }
}
