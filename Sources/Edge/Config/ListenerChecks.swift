// Rules about listeners: their addresses, who may reach them, and whether anything is reached there.
//
// Owns: what two listeners may not share, what `--dev` and `admin` ask of an address, listeners without a use.
// Called by: CrossChecks.
// Never: binds anything; that an address can be bound shows at the start.

/// Finds listeners that cannot be, or are of no use.
enum ListenerChecks {
  /// Adds an error for each address that cannot be.
  static func run(_ root: SectionFields, dev: Bool, into diagnoses: inout DiagnosisList) {
    addresses(root, dev: dev, into: &diagnoses)
    admin(root, into: &diagnoses)
  }

  private static func entries(_ root: SectionFields, _ row: SchemaRow) -> [NamedFields] {
    if case .named(let entries) = root[row]?.value { entries } else { [] }
  }

  /// Two listeners on one address, and any that others can reach where they must not.
  private static func addresses(_ root: SectionFields, dev: Bool, into diagnoses: inout DiagnosisList) {
    var seen: [(address: HostPort, place: SourcePlace)] = []
    for entry in entries(root, RootSection.listeners) {
      guard let setting = entry.fields[ListenerSection.bind], !setting.isPlaceholder,
        case .address(let address) = setting.value, let place = setting.place
      else { continue }
      if !isLoopback(address.host) {
        if ListenerSection.isAdmin(entry) {
          diagnoses.error(
            place, "'admin' listeners bind loopback only: who reaches one may reload Edge, and it asks for no token",
            hint: "write 127.0.0.1:\(address.port), or leave 'admin' out and use the socket admin.sock")
        } else if dev {
          diagnoses.error(
            place, "under --dev, listeners bind loopback only",
            hint: "write 127.0.0.1:\(address.port), or leave out --dev")
        }
      }
      guard address.port != 0 else { continue }
      if let first = seen.first(where: { overlap($0.address, address) }) {
        diagnoses.error(
          place, "another listener binds this address",
          related: [Diagnosis.Related(place: first.place, message: "first bound here")])
      } else {
        seen.append((address, place))
      }
    }
  }

  /// Whether who connects to `address` reaches what listens at `bind`, as far as that can be seen.
  static func isReached(_ bind: HostPort, by address: HostPort) -> Bool {
    guard bind.port == address.port else { return false }
    if bind.host == address.host { return true }
    let isLocal = address.host == "localhost" || isLoopback(address.host)
    if address.host == "localhost" { return isLoopback(bind.host) || ["*", "0.0.0.0", "::"].contains(bind.host) }
    // An address of the other family is another one.
    let isSameFamily = bind.host.contains(":") == address.host.contains(":")
    return isLocal && (bind.host == "*" || isSameFamily && ["0.0.0.0", "::"].contains(bind.host))
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

  /// Routes have no place where operators are served.
  private static func admin(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    var names: Set<String> = []
    for entry in entries(root, RootSection.listeners) where ListenerSection.isAdmin(entry) {
      names.insert(entry.name)
      if let place = entry.fields.keyPlaces[ListenerSection.tls.key] {
        diagnoses.error(
          place, "'tls' has no meaning beside 'admin': operators are served on loopback, in plain HTTP",
          hint: "remove 'tls'")
      }
      guard let place = entry.fields.keyPlaces[ListenerSection.onlyNamed.key] else { continue }
      diagnoses.error(
        place, "'only_named' has no meaning beside 'admin': no route is reached there", hint: "remove 'only_named'")
    }
    for route in entries(root, RootSection.routes) {
      guard case .list(let members) = route.fields[RouteSection.listeners]?.value else { continue }
      for member in members where !member.isPlaceholder {
        guard case .text(let name) = member.value, names.contains(name), let place = member.place else { continue }
        diagnoses.error(
          place, "no route is reached on the listener '\(name)': it has 'admin'",
          hint: "name another listener, or remove 'admin' there")
      }
    }
  }

  /// Warns of listeners where nothing is reached; `named` are those that some route names.
  static func unused(_ root: SectionFields, named: Set<String>, into diagnoses: inout DiagnosisList) {
    let listeners = entries(root, RootSection.listeners)
    let open = Set(ListenerSection.open(listeners))
    for entry in listeners
    where !open.contains(entry.name) && !named.contains(entry.name) && !ListenerSection.isAdmin(entry) {
      diagnoses.warning(
        entry.fields.place,
        "nothing is reached on the listener '\(entry.name)': it has 'only_named', and no route names it")
    }
  }
}
