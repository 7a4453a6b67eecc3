// What must stand before a route: policies where there is a permission or a price, a permission before the statistics;
// and what has no meaning where it stands.
//
// Owns: the rules that keep a route from being open, or free, by mistake.
// Called by: CrossChecks.
// Never: knows what a script does; that a policy is named is all that can be seen here.

/// Finds routes that nothing guards.
enum GuardChecks {
  /// Adds an error for each route that is less guarded than what it says.
  static func run(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(let routes) = root[RootSection.routes]?.value else { return }
    var statsAreGuarded = false
    if case .section(let server) = root[RootSection.server]?.value {
      statsAreGuarded = ServerSection.guardsStats(server)
    }
    for route in routes {
      permission(route, into: &diagnoses)
      credits(route, into: &diagnoses)
      methods(route, into: &diagnoses)
      fallback(route, into: &diagnoses)
      if statsAreGuarded { statistics(route, into: &diagnoses) }
    }
  }

  /// Warns of permissions that nobody has: the route is locked, and whoever wrote it believes it to be open to some.
  static func remark(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(let routes) = root[RootSection.routes]?.value,
      case .named(let roles) = root[RootSection.roles]?.value
    else { return }
    var granted: [String] = []
    for role in roles {
      guard case .list(let members) = role.fields[RoleSection.permissions]?.value else { continue }
      for member in members {
        guard case .text(let text) = member.value, !member.isPlaceholder else { return }
        granted.append(text)
      }
    }
    let hasAll = granted.contains("*")
    for route in routes {
      guard let setting = route.fields[RouteSection.permission], case .text(let wanted) = setting.value,
        !setting.isPlaceholder, let place = setting.place
      else { continue }
      let isGranted = granted.contains { text in
        text == wanted || text != "*" && text.hasSuffix("*") && wanted.hasPrefix(text.dropLast())
      }
      if isGranted { continue }
      let near = Nearness.hint(for: wanted, among: granted.filter { !$0.hasSuffix("*") })
      // Who may do everything may do this: only what is nearly another permission is worth a word.
      if hasAll, near == nil { continue }
      let who = hasAll ? "no role but those with '*' has" : "no role has"
      diagnoses.warning(place, "\(who) the permission '\(wanted)'", hint: near)
    }
  }

  /// Whether a route surely names no policy.
  private static func hasNoPolicies(_ route: NamedFields) -> Bool {
    guard case .list(let members) = route.fields[RouteSection.policies]?.value else { return false }
    return members.isEmpty && route.fields.suspects.isDisjoint(with: [RouteSection.policies.key])
  }

  /// A permission that nothing checks: whoever wrote it believes the route to be guarded.
  private static func permission(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    guard let place = route.fields.keyPlaces[RouteSection.permission.key], hasNoPolicies(route) else { return }
    diagnoses.error(
      place, "'permission' has no effect: the route '\(route.name)' has no 'policies' that see to it",
      hint: "add 'policies', or remove 'permission'")
  }

  /// What costs credits, without anything that would hold them.
  private static func credits(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    let price = route.fields.keyPlaces[RouteSection.price.key]
    let others = [RouteSection.builtin, RouteSection.handler, RouteSection.dialect].filter {
      route.fields.keyPlaces[$0.key] != nil
    }
    if let price, !others.isEmpty, route.fields.keyPlaces[RouteSection.service.key] == nil {
      let message = "'price' has a meaning on routes with a 'service' only"
      let isForModels = others.contains { $0.key == RouteSection.dialect.key }
      let reason =
        SocketChecks.hasSockets(route) ? "; each message is charged by its model" : "; models have their own prices"
      diagnoses.error(price, isForModels ? message + reason : message, hint: "remove 'price'")
      return
    }
    guard let place = price ?? route.fields.keyPlaces[RouteSection.dialect.key], hasNoPolicies(route) else { return }
    diagnoses.error(
      place, "the route '\(route.name)' costs credits, but has no 'policies': nothing would hold them",
      hint: "add 'policies', one of which holds credits, as the shipped credits.lua does")
  }

  /// Methods on which no model is asked.
  private static func methods(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    guard route.fields.keyPlaces[RouteSection.dialect.key] != nil, !SocketChecks.hasSockets(route),
      case .list(let members) = route.fields[RouteSection.methods]?.value
    else { return }
    for member in members where !member.isPlaceholder {
      guard case .text(let method) = member.value, method != Method.post.name.description, let place = member.place
      else { continue }
      diagnoses.error(
        place, "'\(method)' has no meaning on a route with a 'dialect': models are asked with POST", hint: "remove it")
    }
  }

  /// What is said about providers where none is asked.
  private static func fallback(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    let key = RouteSection.fallbackExplicit.key
    guard let place = route.fields.keyPlaces[key], route.fields.keyPlaces[RouteSection.dialect.key] == nil,
      route.fields.suspects.isDisjoint(with: [RouteSection.dialect.key])
    else { return }
    diagnoses.error(
      place, "'\(key)' has a meaning on routes with a 'dialect' only: no provider is asked here",
      hint: "remove '\(key)'")
  }

  /// Counts that tell strangers about the platform.
  private static func statistics(_ route: NamedFields, into diagnoses: inout DiagnosisList) {
    guard let setting = route.fields[RouteSection.builtin], setting.value == .text(BuiltinName.stats.rawValue),
      !setting.isPlaceholder, let place = setting.place, route.fields.keyPlaces[RouteSection.permission.key] == nil,
      route.fields.suspects.isDisjoint(with: [RouteSection.permission.key])
    else { return }
    diagnoses.error(
      place, "the route '\(route.name)' shows the statistics to everyone",
      hint: "add 'permission: gateway:read' and 'policies' that see to it, or 'stats: public' to 'server'")
  }
}
