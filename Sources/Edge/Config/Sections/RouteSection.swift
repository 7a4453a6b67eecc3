// `routes.NAME`: rows and decoding.
//
// Owns: the keys of one route.
// Called by: the root section.
// Never: compares routes; see RouteChecks.swift.

/// The keys of a route.
enum RouteSection {
  static let path = SchemaRow(
    "path", .list(.pattern, count: 1...64, scalarAllowed: true), .required, .live,
    "Paths: /a/b exactly, /a/* for /a and all below it, /:name for any one segment.")
  static let host = SchemaRow(
    "host", .list(.host, count: 1...64, scalarAllowed: true), .absent, .live,
    "Hosts: a name, or *.suffix; any host when left out.")
  static let methods = SchemaRow(
    "methods", .list(.choice(Method.served.map(\.name.description)), count: 1...8, scalarAllowed: true), .absent, .live,
    "Methods, GET with HEAD; any method but CONNECT and TRACE when left out.")
  static let listeners = SchemaRow(
    "listeners", .list(.reference(.listener), count: 1...64, scalarAllowed: true), .absent, .live,
    "Listeners the route is reached on; all of them when left out.")
  static let service = SchemaRow(
    "service", .reference(.service), .absent, .live, "The service that answers.")
  static let builtin = SchemaRow(
    "builtin", .choice(BuiltinName.allCases.map(\.rawValue)), .absent, .live,
    "An answer of Edge itself, instead of a service.")
  static let bodySize = SchemaRow(
    "body_size", .size(LimitsSection.bodyBounds), .absent, .live,
    "Largest request body on this route; limits.body_size when left out.")
  static let clientFin = SchemaRow(
    "client_fin", .choice(ClientFin.allCases.map(\.rawValue)), .literal("abort"), .live,
    "What a client means that closes its sending side early: abort, it has gone; finish, it waits for the answer.")
  static let replayOnStale = SchemaRow(
    "replay_on_stale", .boolean, .literal("false"), .live,
    "Whether a request that is not idempotent (POST, PATCH) is sent again, once, when the kept connection it went out "
      + "on turns out to be dead. Nobody can prove that the service had not begun; idempotent ones always are.")

  static let schema = SchemaSection(
    "route", "Which requests go where.",
    [path, host, methods, listeners, service, builtin, bodySize, clientFin, replayOnStale])

  /// True when a placeholder stands for a name, so that the route leads to nothing known; such a snapshot is for
  /// checking only.
  static func isOpen(_ entry: NamedFields) -> Bool {
    if case .list(let members) = entry.fields[listeners]?.value, members.contains(where: \.isPlaceholder) {
      return true
    }
    return entry.fields[service]?.isPlaceholder ?? false
  }

  /// A typed route; the maps lead from names to indices.
  static func decode(
    _ entry: NamedFields, listeners all: [String: Int], services: [String: Int], limits: LimitSettings
  ) throws(SchemaDefect) -> Route {
    let fields = entry.fields
    let target: RouteTarget
    if let name = try fields.optionalText(service) {
      guard let index = services[name] else { throw SchemaDefect(path: fields.path(of: "service"), wanted: name) }
      target = .service(index)
    } else {
      target = .builtin(try fields.choice(builtin, of: BuiltinName.self))
    }
    let named = try fields.list(listeners) { if case .text(let name) = $0 { all[name] } else { nil } }
    return Route(
      name: entry.name,
      hosts: try fields.list(host) { if case .host(let host) = $0 { host } else { nil } },
      paths: try fields.list(path) { if case .pattern(let pattern) = $0 { pattern } else { nil } },
      methods: try fields.list(methods) { if case .text(let name) = $0 { Method(name: name) } else { nil } },
      listeners: named.isEmpty ? all.values.sorted() : named.sorted(),
      target: target,
      bodyBytesMax: try fields.optionalInteger(bodySize) ?? limits.bodyBytesMax,
      clientFin: try fields.choice(clientFin, of: ClientFin.self),
      replaysOnStale: try fields.boolean(replayOnStale))
  }
}
