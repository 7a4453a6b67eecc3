@testable import Edge

/// A router that tries every route: what the compiled table must agree with.
struct NaiveRouter {
  private struct Rule {
    let route: Int32
    let host: HostPattern?
    /// -1 stands for a parameter.
    let segments: [Int]
    let isBelow: Bool
    let methods: UInt16
    let listeners: [Int]
    let order: Int
  }

  private var rules: [Rule] = []
  private var numbers: [String: Int] = [:]

  init(_ routes: [Route]) {
    for (index, route) in routes.enumerated() {
      var bits: UInt16 = 0
      for method in route.methods { bits |= method.bit }
      if route.methods.contains(.get) { bits |= Method.head.bit }
      let hosts: [HostPattern?] = route.hosts.isEmpty ? [nil] : route.hosts
      for host in hosts {
        for path in route.paths {
          let segments = path.segments.map { segment in
            if case .literal(let text) = segment { number(of: text) } else { -1 }
          }
          rules.append(
            Rule(
              route: Int32(index), host: host, segments: segments, isBelow: path.tail == .below, methods: bits,
              listeners: route.listeners, order: rules.count))
        }
      }
    }
    rules.sort(by: NaiveRouter.precedes)
  }

  /// More specific first: host, then path segment by segment, then routes that name methods.
  private static func precedes(_ left: Rule, _ right: Rule) -> Bool {
    let hosts = (rank(left.host), rank(right.host))
    if hosts.0 != hosts.1 { return hosts.0 < hosts.1 }
    for (one, other) in zip(left.segments, right.segments) where (one < 0) != (other < 0) { return one >= 0 }
    if left.segments.count != right.segments.count { return left.segments.count > right.segments.count }
    if left.isBelow != right.isBelow { return !left.isBelow }
    if (left.methods == 0) != (right.methods == 0) { return left.methods != 0 }
    return left.order < right.order
  }

  /// Exact hosts, wildcards with the longest suffix first, any.
  private static func rank(_ host: HostPattern?) -> Int {
    switch host {
    case .exact: 0
    case .suffix(let suffix): 1_000 - suffix.utf8.count
    case nil: 2_000
    }
  }

  private mutating func number(of segment: String) -> Int {
    if let known = numbers[segment] { return known }
    numbers[segment] = numbers.count
    return numbers.count - 1
  }

  func match(host: String, path: String, method: Method, listener: Int) -> RouteMatch {
    let parts = path == "/" ? [] : path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    let segments = parts.map { numbers[String($0)] ?? -2 }
    let empty = parts.map(\.isEmpty)
    var allowed: UInt16 = 0
    for rule in rules where rule.listeners.contains(listener) && NaiveRouter.takes(rule.host, host) {
      guard takes(rule, segments, empty) else { continue }
      if rule.methods == 0 || rule.methods & method.bit != 0 { return .route(rule.route) }
      allowed |= rule.methods
    }
    return allowed == 0 ? .notFound : .methodNotAllowed(allowed)
  }

  private static func takes(_ pattern: HostPattern?, _ host: String) -> Bool {
    switch pattern {
    case .exact(let name): host.lowercased() == name
    case .suffix(let suffix): host.lowercased().hasSuffix(suffix) && host.utf8.count > suffix.utf8.count
    case nil: true
    }
  }

  private func takes(_ rule: Rule, _ segments: [Int], _ empty: [Bool]) -> Bool {
    if rule.isBelow ? segments.count < rule.segments.count : segments.count != rule.segments.count { return false }
    for (place, wanted) in rule.segments.enumerated() {
      if wanted < 0 ? empty[place] : segments[place] != wanted { return false }
    }
    return true
  }
}
