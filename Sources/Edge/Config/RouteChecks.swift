// Routes among each other.
//
// Owns: the rule that no request may match two routes equally well.
// Called by: CrossChecks.
// Never: decides which of two different routes wins; the route table does.

/// Finds routes that match the same requests with the same weight.
enum RouteChecks {
  /// What decides how specific a match is, for one of a route's combinations.
  private struct Match: Hashable {
    /// nil stands for every listener.
    let listener: String?
    /// nil stands for any host.
    let host: HostPattern?
    let path: PathPattern
    /// nil stands for any method; a route that names the method is more specific.
    let method: String?
  }

  private struct Owner {
    let name: String
    let place: SourcePlace
    let path: PathPattern
  }

  /// Combinations beyond this many per route are not compared.
  private static let combinationsMax = 65_536

  /// Adds an error for each pair of routes that collide.
  static func run(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(let routes) = root[RootSection.routes]?.value else { return }
    guard case .named(let listeners) = root[RootSection.listeners]?.value else { return }
    var owners: [Match: Owner] = [:]
    for route in routes {
      var told: Set<String> = []
      guard let matches = matches(of: route, listeners: ListenerSection.open(listeners)) else { continue }
      for (match, path, place) in matches {
        guard let first = owners[match] else {
          owners[match] = Owner(name: route.name, place: place, path: path)
          continue
        }
        if first.name == route.name {
          // Equal values are reported as repeats already; these differ in parameter names.
          if first.path != path, told.insert(first.name).inserted {
            diagnoses.error(
              place, "the route '\(route.name)' names the same paths twice",
              related: [Diagnosis.Related(place: first.place, message: "first here")])
          }
        } else if told.insert(first.name).inserted {
          diagnoses.error(
            place, "the routes '\(first.name)' and '\(route.name)' match the same requests: \(text(of: match))",
            hint: "give them different paths, hosts, methods or listeners",
            related: [Diagnosis.Related(place: first.place, message: "'\(first.name)' matches them here")])
        }
      }
    }
  }

  /// Every combination of a route with the place of its path; nil when a value is wrong or stands in for another.
  private static func matches(of route: NamedFields, listeners open: [String]) -> [(Match, PathPattern, SourcePlace)]? {
    guard let paths = members(route.fields[RouteSection.path]), let hosts = members(route.fields[RouteSection.host]),
      let methods = members(route.fields[RouteSection.methods]),
      let listeners = members(route.fields[RouteSection.listeners])
    else { return nil }
    let listenerNames = listeners.isEmpty ? open : listeners.compactMap { text(of: $0.value) }
    let hostPatterns: [HostPattern?] =
      hosts.isEmpty ? [nil] : hosts.compactMap { if case .host(let host) = $0.value { host } else { nil } }
    let methodNames: [String?] = methods.isEmpty ? [nil] : methods.compactMap { text(of: $0.value) }
    guard paths.count * hostPatterns.count * methodNames.count * listenerNames.count <= combinationsMax else {
      return nil
    }
    var result: [(Match, PathPattern, SourcePlace)] = []
    for path in paths {
      guard case .pattern(let pattern) = path.value, let place = path.place else { continue }
      for listener in listenerNames {
        for host in hostPatterns {
          for method in methodNames {
            result.append(
              (Match(listener: listener, host: host, path: pattern.shape, method: method), pattern, place))
          }
        }
      }
    }
    return result
  }

  /// The members of a list, none when it is not written, nil when one of them cannot be relied on.
  private static func members(_ setting: Setting?) -> [Setting]? {
    guard let setting else { return [] }
    guard case .list(let members) = setting.value else { return nil }
    return members.allSatisfy { $0.value != nil && !$0.isPlaceholder } ? members : nil
  }

  private static func text(of value: SettingValue?) -> String? {
    if case .text(let text) = value { text } else { nil }
  }

  private static func text(of match: Match) -> String {
    var text = "\(match.method ?? "any method") \(match.path.text.replacing("/:", with: "/:…"))"
    if let host = match.host { text += " of \(host.text)" }
    if let listener = match.listener { text += " on listener '\(listener)'" }
    return text
  }
}
