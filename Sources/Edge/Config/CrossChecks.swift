// Checks that need more than one key: references, addresses, development mode.
//
// Owns: every such rule but those about routes among each other (RouteChecks.swift).
// Called by: the loader, after merging and defaults, when every file could be parsed.
// Never: concludes anything from a value that was wrong or is a placeholder.

/// Checks across a whole tree.
struct CrossChecks {
  private let root: SectionFields
  private let dev: Bool
  private(set) var diagnoses: DiagnosisList

  /// Runs every check and returns the findings added to `diagnoses`.
  static func run(_ root: SectionFields, dev: Bool, diagnoses: DiagnosisList) -> DiagnosisList {
    var checks = CrossChecks(root: root, dev: dev, diagnoses: diagnoses)
    checks.addresses()
    checks.targets()
    checks.references()
    checks.permissions()
    checks.encryption()
    RouteChecks.run(root, into: &checks.diagnoses)
    // Beside errors, these would mostly be their consequences.
    if !checks.diagnoses.hasErrors { checks.unused() }
    return checks.diagnoses
  }

  private init(root: SectionFields, dev: Bool, diagnoses: DiagnosisList) {
    self.root = root
    self.dev = dev
    self.diagnoses = diagnoses
  }

  private func entries(_ row: SchemaRow) -> [NamedFields] {
    if case .named(let entries) = root[row]?.value { entries } else { [] }
  }

  /// Two listeners on one address, and under `--dev` any that others can reach.
  private mutating func addresses() {
    var seen: [(address: HostPort, place: SourcePlace)] = []
    for entry in entries(RootSection.listeners) {
      guard let setting = entry.fields[ListenerSection.bind], !setting.isPlaceholder,
        case .address(let address) = setting.value, let place = setting.place
      else { continue }
      if dev, !CrossChecks.isLoopback(address.host) {
        diagnoses.error(
          place, "under --dev, listeners bind loopback only",
          hint: "write 127.0.0.1:\(address.port), or leave out --dev")
      }
      guard address.port != 0 else { continue }
      if let first = seen.first(where: { CrossChecks.overlap($0.address, address) }) {
        diagnoses.error(
          place, "another listener binds this address",
          related: [Diagnosis.Related(place: first.place, message: "first bound here")])
      } else {
        seen.append((address, place))
      }
    }
  }

  private static func isLoopback(_ host: String) -> Bool { SocketAddress(numeric: host, port: 0)?.isLoopback ?? false }

  /// Whether the kernel would refuse the second of two binds.
  private static func overlap(_ left: HostPort, _ right: HostPort) -> Bool {
    guard left.port == right.port else { return false }
    if left.host == right.host || left.host == "*" || right.host == "*" { return true }
    let isSixLeft = left.host.contains(":")
    guard isSixLeft == right.host.contains(":") else { return false }
    let any = isSixLeft ? "::" : "0.0.0.0"
    return left.host == any || right.host == any
  }

  /// Exactly one target per route.
  private mutating func targets() {
    for entry in entries(RootSection.routes) where !entry.fields.section.rows.isEmpty {
      let keys = [RouteSection.service, RouteSection.builtin, RouteSection.handler].map(\.key)
      let written = keys.filter { entry.fields.keyPlaces[$0] != nil }
      let places = written.compactMap { entry.fields.keyPlaces[$0] }
      if let first = places.first {
        guard let last = places.last, places.count > 1 else { continue }
        diagnoses.error(
          last, "the route '\(entry.name)' has \(places.count == 2 ? "two" : "three") targets",
          hint: "keep \(ConfigText.choices(written.map { "'\($0)'" }))",
          related: [Diagnosis.Related(place: first, message: "the other one is here")])
      } else if entry.fields.suspects.isDisjoint(with: keys) {
        diagnoses.error(
          entry.fields.place, "the route '\(entry.name)' leads nowhere",
          hint: "add \(ConfigText.choices(keys.map { "'\($0): NAME'" }))")
      }
    }
  }

  /// A permission that nothing checks: whoever wrote it believes the route to be guarded.
  private mutating func permissions() {
    for entry in entries(RootSection.routes) {
      guard let place = entry.fields.keyPlaces[RouteSection.permission.key],
        case .list(let members) = entry.fields[RouteSection.policies]?.value, members.isEmpty,
        entry.fields.suspects.isDisjoint(with: [RouteSection.policies.key])
      else { continue }
      diagnoses.error(
        place, "'permission' has no effect: the route '\(entry.name)' has no 'policies' that see to it",
        hint: "add 'policies', or remove 'permission'")
    }
  }

  /// Names that must exist.
  private mutating func references() {
    let services = entries(RootSection.services).map(\.name)
    let listeners = entries(RootSection.listeners).map(\.name)
    let policies = entries(RootSection.policies).map(\.name)
    let knownServices = Set(services)
    let knownPolicies = Set(policies)
    let knownListeners = Set(listeners)
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
    }
  }

  private func members(_ entry: NamedFields, _ row: SchemaRow) -> [Setting] {
    if case .list(let members) = entry.fields[row]?.value { members } else { [] }
  }

  /// A `tls` section that nothing would use: whoever wrote it believes the connections to be verified.
  private mutating func encryption() {
    for entry in entries(RootSection.services) {
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
        place, "'tls' has no meaning here: no endpoint of the service '\(entry.name)' is https",
        hint: "write https:// in 'endpoints', or remove 'tls'")
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
    let near = known.count <= 1_000 ? Nearness.hint(for: name, among: known) : nil
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
    for route in routes {
      if case .text(let name) = route.fields[RouteSection.service]?.value { used.insert(name) }
      if case .text(let name) = route.fields[RouteSection.handler]?.value { usedPolicies.insert(name) }
      for member in members(route, RouteSection.policies) {
        if case .text(let name) = member.value { usedPolicies.insert(name) }
      }
    }
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
      guard case .list(let members) = entry.fields[ServiceSection.endpoints]?.value else { continue }
      for member in members {
        guard case .endpoint(let endpoint) = member.value, bound.contains(endpoint.address), let place = member.place
        else { continue }
        diagnoses.warning(place, "this endpoint is a listener of Edge itself: requests would go in a circle")
      }
    }
  }
}
