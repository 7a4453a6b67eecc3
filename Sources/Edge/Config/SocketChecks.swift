// What routes of WebSockets may say, and what only they may.
//
// Owns: these rules, but those that they share with other routes for models (GuardChecks.swift).
// Called by: CrossChecks.
// Never: concludes anything from a value that was wrong or is a placeholder.

/// Finds keys that have no meaning where they stand.
enum SocketChecks {
  /// Adds an error for each of them.
  static func run(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(let routes) = root[RootSection.routes]?.value else { return }
    for route in routes {
      if hasSockets(route) {
        methods(route, into: &diagnoses)
        bodies(route, into: &diagnoses)
        for row in RouteSection.serviceSocketRows {
          stray(route, row, "on routes with a 'service' only", into: &diagnoses)
        }
      } else if isKnown(route) {
        strays(route, into: &diagnoses)
        if leadsToService(route) { service(route, into: &diagnoses) }
      }
    }
  }

  /// Whether a route surely has WebSockets.
  static func hasSockets(_ route: NamedFields) -> Bool {
    guard let setting = route.fields[RouteSection.dialect], !setting.isPlaceholder else { return false }
    return setting.value == .text(RouteSection.socketDialect.rawValue)
  }

  /// Whether a route's dialect, or that it has none, can be relied on.
  private static func isKnown(_ route: NamedFields) -> Bool {
    guard let setting = route.fields[RouteSection.dialect] else {
      return route.fields.suspects.isDisjoint(with: [RouteSection.dialect.key])
    }
    return setting.value != nil && !setting.isPlaceholder
  }

  /// Whether a route leads to a service, where WebSockets may be opened, too.
  private static func leadsToService(_ route: NamedFields) -> Bool {
    route.fields.keyPlaces[RouteSection.service.key] != nil
      || !route.fields.suspects.isDisjoint(with: [RouteSection.service.key])
  }

  /// Keys of WebSockets on a route that has none, or none of this kind.
  private static func strays(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    let dialect = "'dialect: \(RouteSection.socketDialect.rawValue)'"
    let isService = leadsToService(route)
    let shared = Set(RouteSection.sharedSocketRows.map(\.key))
    for row in RouteSection.socketRows where !(isService && shared.contains(row.key)) {
      let others = shared.contains(row.key) ? "a 'service' or \(dialect)" : dialect
      let reason = isService ? "messages to a service pass unread" : "no WebSocket is opened here"
      stray(route, row, "on routes with \(others) only: \(reason)", into: &diagnoses)
    }
    if isService { return }
    for row in RouteSection.serviceSocketRows {
      stray(route, row, "on routes with a 'service' only", into: &diagnoses)
    }
  }

  private static func stray(
    _ route: NamedFields, _ row: SchemaRow, _ reason: String, into diagnoses: inout DiagnosisList
  ) {
    guard let place = route.fields.keyPlaces[row.key] else { return }
    diagnoses.error(place, "'\(row.key)' has a meaning \(reason)", hint: "remove '\(row.key)'")
  }

  /// What has no meaning where frames are not read, or no WebSocket is opened.
  private static func service(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    guard let setting = route.fields[RouteSection.webSocket], !setting.isPlaceholder,
      case .text(let text) = setting.value, let treatment = SocketTreatment(rawValue: text)
    else { return }
    switch treatment {
    case .proxy: break
    case .tunnel:
      stray(
        route, RouteSection.messageSize,
        "with 'websocket: \(SocketTreatment.proxy.rawValue)' only: in a tunnel no "
          + "message is read", into: &diagnoses)
    case .refuse:
      for row in RouteSection.sharedSocketRows + [RouteSection.webSocketIdle] {
        stray(route, row, "where WebSockets are opened only, and 'websocket: \(text)' lets none", into: &diagnoses)
      }
    }
  }

  /// A WebSocket is opened with GET (RFC 6455 section 4.1).
  private static func methods(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    guard case .list(let members) = route.fields[RouteSection.methods]?.value else { return }
    let get = Method.get.name.description
    for member in members where !member.isPlaceholder {
      guard case .text(let method) = member.value, method != get, let place = member.place else { continue }
      diagnoses.error(
        place, "'\(method)' has no meaning on a route with WebSockets: they are opened with \(get)",
        hint: members.count == 1 ? "write \(get), or leave out 'methods'" : "remove it")
    }
  }

  /// What opens a WebSocket has no body, and what is sent on it is no body.
  private static func bodies(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    guard let place = route.fields.keyPlaces[RouteSection.bodySize.key] else { return }
    diagnoses.error(
      place, "'\(RouteSection.bodySize.key)' has no meaning on a route with WebSockets",
      hint: "did you mean '\(RouteSection.messageSize.key)'?")
  }
}
