// `routes.NAME`: rows and decoding.
//
// Owns: the keys of one route.
// Called by: the root section.
// Never: compares routes; see RouteChecks.swift.

/// Indices by names of what routes refer to.
struct RouteNames {
  /// Into `Snapshot.listeners`.
  let listeners: [String: Int]
  /// Where routes are reached that name none, ascending.
  let openListeners: [Int]
  /// Into `Snapshot.services`.
  let services: [String: Int]
  /// Into `Snapshot.policies`.
  let policies: [String: Int]
}

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
    "Listeners the route is reached on; when left out, all of them but those with `only_named`.")
  static let service = SchemaRow(
    "service", .reference(.service), .absent, .live, "The service that answers.")
  static let builtin = SchemaRow(
    "builtin", .choice(BuiltinName.allCases.map(\.rawValue)), .absent, .live,
    "An answer of Edge itself, instead of a service. Where the path ends in /*, `models` also answers for the single "
      + "model whose id follows.")
  static let handler = SchemaRow(
    "handler", .reference(.policy), .absent, .live,
    "A policy whose script answers, instead of a service; it runs after the route's policies.")
  static let dialect = SchemaRow(
    "dialect", .choice(DialectName.allCases.map(\.rawValue)), .absent, .live,
    "The wire format that clients speak: a provider of the model that they name answers, instead of a service. "
      + "platform-v1 is spoken on WebSockets.")
  static let fallbackExplicit = SchemaRow(
    "fallback_explicit", .boolean, .absent, .live,
    "With `dialect`: whether another provider is asked when the one fails that the client has named. When left out, "
      + "such a client gets the error.")
  static let price = SchemaRow(
    "price", .decimal(places: Amount.places, ModelSection.creditBounds), .absent, .live,
    "Credits that each request to the service costs; none when left out.")
  static let policies = SchemaRow(
    "policies", .list(.reference(.policy), count: 0...16, scalarAllowed: true), .empty, .live,
    "Policies that each request must pass, in this order.")
  static let permission = SchemaRow(
    "permission", .permission(wildcards: false), .absent, .live,
    "What the caller must be allowed to do; the route's policies see to it.")
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

  /// The dialect of routes that have WebSockets.
  static let socketDialect = DialectName.platformV1
  static let queryToken = anySocketRow(
    "query_token", .boolean, "false",
    "Whether the token may stand in the URL, as ?token=: browsers cannot send it in a header. It is removed before "
      + "anything is logged or asked.")
  static let origins = SchemaRow(
    "origins", .list(.origin, count: 1...64, scalarAllowed: true), .absent, .live,
    "Pages that may open WebSockets, by what a browser's Origin says; all when left out. Clients that are no browsers "
      + "send no Origin and are not asked for one. With `service` or `dialect: platform-v1`.")
  static let messageSize = SchemaRow(
    "message_size", .size((1 << 10)...(16 << 20)),
    .literalWith([SchemaCondition(key: dialect.key, value: socketDialect.rawValue)], "1MiB"), .live,
    "Largest message of a client; beyond, its WebSocket closes. With `dialect: platform-v1`, or with a `service` and "
      + "`websocket: proxy`, where messages are not collected: there any when left out.")
  static let inFlight = socketRow(
    "in_flight", .integer(1...1_024), "32", "Requests that may run at once on a WebSocket.")
  static let ping = socketRow(
    "ping", .duration(1_000...600_000), "30s",
    "Between two pings; a WebSocket closes whose client has not answered the last one.")
  static let nonstreamType = socketRow(
    "nonstream_type", .choice(["done", "completion"]), "done", "The `type` of an answer that is not streamed.")
  static let onReload = anySocketRow(
    "on_reload", .sessionReload, SessionReloadText.words[0],
    "What becomes of WebSockets when a reload has changed the route, a script of its policies or their settings: they "
      + "go on by the new rules (keep), take no more requests and end with their last one, at the latest after a time "
      + "(drain 5m), or end at once (close). One to a service ends after that time.")
  static let webSocket = serviceRow(
    "websocket", .choice(SocketTreatment.allCases.map(\.rawValue)), SocketTreatment.proxy.rawValue,
    "What becomes of WebSockets that clients open: every frame is read and checked (proxy), their bytes pass unread "
      + "(tunnel), or none is opened (refuse).")
  static let webSocketIdle = serviceRow(
    "websocket_idle", .duration(1_000...86_400_000), "1h",
    "How long neither side of a WebSocket may send anything, pings included; then it closes.")

  /// What only routes with WebSockets have, what of it those to services have, too, and what these have alone.
  static let socketRows = [queryToken, origins, messageSize, inFlight, ping, nonstreamType, onReload]
  static let sharedSocketRows = [queryToken, origins, messageSize, onReload]
  static let serviceSocketRows = [webSocket, webSocketIdle]

  /// A key with a default where the route has WebSockets, and without a value elsewhere.
  private static func socketRow(_ key: String, _ type: ValueType, _ fallback: String, _ doc: String) -> SchemaRow {
    SchemaRow(
      key, type, .literalWith([SchemaCondition(key: dialect.key, value: socketDialect.rawValue)], fallback), .live,
      "With `dialect: \(socketDialect.rawValue)`: \(doc.prefix(1).lowercased())\(doc.dropFirst())")
  }

  /// The same where the route leads to a service.
  private static func serviceRow(_ key: String, _ type: ValueType, _ fallback: String, _ doc: String) -> SchemaRow {
    SchemaRow(
      key, type, .literalWith([SchemaCondition(key: service.key, value: nil)], fallback), .live,
      "With `service`: \(doc.prefix(1).lowercased())\(doc.dropFirst())")
  }

  /// The same for both.
  private static func anySocketRow(_ key: String, _ type: ValueType, _ fallback: String, _ doc: String) -> SchemaRow {
    let conditions = [
      SchemaCondition(key: dialect.key, value: socketDialect.rawValue), SchemaCondition(key: service.key, value: nil),
    ]
    return SchemaRow(
      key, type, .literalWith(conditions, fallback), .live,
      doc + " With `service` or `dialect: \(socketDialect.rawValue)`.")
  }

  static let schema = SchemaSection(
    "route", "Which requests go where.",
    [
      path, host, methods, listeners, service, builtin, handler, dialect, fallbackExplicit, policies, permission,
      price, bodySize, clientFin, replayOnStale,
    ] + serviceSocketRows + socketRows, exactlyOneOf: targets.map(\.0))

  /// What a route may lead to, in the order of messages; each with an example of its value.
  static let targets = [
    (service, "NAME"), (builtin, "NAME"), (handler, "NAME"), (dialect, DialectName.openAIChat.rawValue),
  ]

  /// True when a placeholder stands for a name, so that the route leads to nothing known; such a snapshot is for
  /// checking only.
  static func isOpen(_ entry: NamedFields, names: RouteNames) -> Bool {
    for row in [listeners, policies] {
      if case .list(let members) = entry.fields[row]?.value, members.contains(where: \.isPlaceholder) { return true }
    }
    if [service, handler].contains(where: { entry.fields[$0]?.isPlaceholder ?? false }) { return true }
    // A policy whose script is a placeholder is nowhere.
    let handler = (try? entry.fields.optionalText(handler)).flatMap { $0 }.map { [$0] } ?? []
    return (((try? entry.fields.texts(policies)) ?? []) + handler).contains { names.policies[$0] == nil }
  }

  /// A typed route.
  static func decode(
    _ entry: NamedFields, names: RouteNames, limits: LimitSettings
  ) throws(SchemaDefect) -> Route {
    let fields = entry.fields
    let named = try indices(fields, listeners, names.listeners)
    return Route(
      name: entry.name,
      hosts: try fields.list(host) { if case .host(let host) = $0 { host } else { nil } },
      paths: try fields.list(path) { if case .pattern(let pattern) = $0 { pattern } else { nil } },
      methods: try fields.list(methods) { if case .text(let name) = $0 { Method(name: name) } else { nil } },
      listeners: named.isEmpty ? names.openListeners : named.sorted(),
      target: try target(fields, names),
      bodyBytesMax: try fields.optionalInteger(bodySize) ?? limits.bodyBytesMax,
      clientFin: try fields.choice(clientFin, of: ClientFin.self),
      replaysOnStale: try fields.boolean(replayOnStale),
      policies: try indices(fields, policies, names.policies),
      permission: try fields.optionalText(permission),
      price: try fields.optionalInteger(price).map { Amount(units: Int64($0)) },
      fallsBackFromNamed: fields[fallbackExplicit] == nil ? false : try fields.boolean(fallbackExplicit),
      socket: try socket(fields), serviceSocket: try serviceSocket(fields))
  }

  /// What a route says about its WebSockets; nil when it has none.
  private static func socket(_ fields: SectionFields) throws(SchemaDefect) -> SocketSettings? {
    guard try fields.optionalText(dialect) == socketDialect.rawValue else { return nil }
    guard let reload = SessionReloadText.meaning(try fields.text(onReload)) else {
      throw SchemaDefect(path: fields.path(of: onReload.key), wanted: "word about reloads")
    }
    return SocketSettings(
      takesQueryToken: try fields.boolean(queryToken), origins: try fields.texts(origins),
      messageBytesMax: try fields.integer(messageSize), requestsMax: try fields.integer(inFlight),
      pingMilliseconds: try fields.integer(ping), wholeAnswerType: try fields.text(nonstreamType), onReload: reload)
  }

  /// What a route to a service says about WebSockets; nil when it leads elsewhere.
  private static func serviceSocket(_ fields: SectionFields) throws(SchemaDefect) -> ServiceSocketSettings? {
    guard fields[service] != nil else { return nil }
    guard let reload = SessionReloadText.meaning(try fields.text(onReload)) else {
      throw SchemaDefect(path: fields.path(of: onReload.key), wanted: "word about reloads")
    }
    return ServiceSocketSettings(
      treatment: try fields.choice(webSocket, of: SocketTreatment.self),
      messageBytesMax: try fields.optionalInteger(messageSize), idleMilliseconds: try fields.integer(webSocketIdle),
      common: SocketSettings(
        takesQueryToken: try fields.boolean(queryToken), origins: try fields.texts(origins), onReload: reload))
  }

  private static func target(_ fields: SectionFields, _ names: RouteNames) throws(SchemaDefect) -> RouteTarget {
    if fields[service] != nil { return .service(try index(fields, service, names.services)) }
    if fields[handler] != nil { return .handler(try index(fields, handler, names.policies)) }
    if fields[dialect] != nil { return .models(try fields.choice(dialect, of: DialectName.self)) }
    return .builtin(try fields.choice(builtin, of: BuiltinName.self))
  }

  private static func index(
    _ fields: SectionFields, _ row: SchemaRow, _ known: [String: Int]
  ) throws(SchemaDefect) -> Int {
    let name = try fields.text(row)
    guard let index = known[name] else { throw SchemaDefect(path: fields.path(of: row.key), wanted: name) }
    return index
  }

  private static func indices(
    _ fields: SectionFields, _ row: SchemaRow, _ known: [String: Int]
  ) throws(SchemaDefect) -> [Int] {
    try fields.list(row) { if case .text(let name) = $0 { known[name] } else { nil } }
  }
}
