// Why a request goes where the route table sends it: every route whose path takes the path of the request, and what
// each of them lacks against the one that wins. It weighs as the table does, by trying all routes; a test holds the two
// together.
//
// Called by: the verb `explain`. Never: part of serving; it is slow and allocates.

/// The routes that came near, in the order in which the table would ask them.
struct RouteExplanation {
  /// What a route lacks.
  enum Lack: Equatable, Sendable {
    /// It is not reached on the listener.
    case listener
    /// It is for other hosts.
    case host
    /// It does not take the method.
    case method
    /// It would take the request, but the winner's host is more specific.
    case precision
    /// … the winner's path is more specific.
    case depth
    /// … at the same path the winner names the method, and this one takes it only with its GET, or takes any.
    case naming
    /// … nothing tells them apart but their order.
    case order
  }

  /// A route whose path takes the path of the request.
  struct Standing: Equatable, Sendable {
    /// An index into the routes.
    let route: Int
    /// Of its paths the one that counts.
    let path: PathPattern
    /// Of its hosts the one that counts; nil: it takes any, or none of its hosts is the request's.
    let host: HostPattern?
    /// It takes HEAD because it takes GET.
    let standsForHead: Bool
    /// None: it wins.
    let lacks: [Lack]
  }

  /// The best first; what does not take the request at all comes last.
  let standings: [Standing]
  /// What the answer 405 would allow, as bits of methods; 0: nobody is reached here.
  let allowed: UInt16

  /// The route that wins; nil: none.
  var winner: Standing? { standings.first.flatMap { $0.lacks.isEmpty ? $0 : nil } }

  /// Whom the table would ask for this, in words of the configuration: lower comes first, part by part.
  private struct Weight: Comparable {
    /// Exact, suffix (the longest first), any.
    var host: [Int]
    /// Segment by segment: a literal, a parameter, everything below; at the end: exactly, everything below.
    var path: [Int]
    /// Named, with GET, any.
    var method: Int
    var route: Int

    static func < (left: Weight, right: Weight) -> Bool {
      if left.host != right.host { return left.host.lexicographicallyPrecedes(right.host) }
      if left.path != right.path { return left.path.lexicographicallyPrecedes(right.path) }
      return (left.method, left.route) < (right.method, right.route)
    }
  }

  private struct Entry {
    var weight: Weight
    let path: PathPattern
    let host: HostPattern?
    var lacks: [Lack]
  }

  /// Weighs all routes for a request: `host` without port, `path` canonical.
  init(_ routes: [Route], host: String, path: String, method: Method, listener: Int) {
    let segments = path == "/" ? [] : path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    let host = host.lowercased()
    var entries: [Entry] = []
    var allowed: UInt16 = 0
    for (index, route) in routes.enumerated() {
      let paths = route.paths.compactMap { pattern in
        RouteExplanation.weight(pattern, segments).map { (pattern: pattern, weight: $0) }
      }
      guard let path = paths.min(by: { $0.weight.lexicographicallyPrecedes($1.weight) }) else { continue }
      let hosts: [HostPattern?] = route.hosts.isEmpty ? [nil] : route.hosts
      let known = hosts.compactMap { pattern in
        RouteExplanation.weight(pattern, host).map { (pattern: pattern, weight: $0) }
      }
      let best = known.min { $0.weight.lexicographicallyPrecedes($1.weight) }
      let naming = RouteExplanation.weight(route, method)
      var lacks: [Lack] = []
      if !route.listeners.contains(listener) { lacks.append(.listener) }
      if best == nil { lacks.append(.host) }
      if lacks.isEmpty, naming == nil {
        allowed |= route.methods.reduce(0) { $0 | $1.bit }
        if route.methods.contains(.get), route.takesHead { allowed |= Method.head.bit }
      }
      if naming == nil { lacks.append(.method) }
      let weight = Weight(host: best?.weight ?? [3], path: path.weight, method: naming ?? 3, route: index)
      entries.append(Entry(weight: weight, path: path.pattern, host: best?.pattern ?? nil, lacks: lacks))
    }
    entries.sort { left, right in
      left.lacks.isEmpty == right.lacks.isEmpty ? left.weight < right.weight : left.lacks.isEmpty
    }
    let first = entries.first?.weight
    standings = entries.enumerated().map { place, entry in
      var lacks = entry.lacks
      if place > 0, lacks.isEmpty, let first { lacks = [RouteExplanation.difference(entry.weight, first)] }
      return Standing(
        route: entry.weight.route, path: entry.path, host: entry.host, standsForHead: entry.weight.method == 1,
        lacks: lacks)
    }
    self.allowed = standings.first?.lacks.isEmpty ?? false ? 0 : allowed
  }

  /// What decides between two that both take the request.
  private static func difference(_ weight: Weight, _ winner: Weight) -> Lack {
    if weight.host != winner.host { return .precision }
    if weight.path != winner.path { return .depth }
    return weight.method == winner.method ? .order : .naming
  }

  /// nil: the pattern does not take the path.
  private static func weight(_ pattern: PathPattern, _ segments: [Substring]) -> [Int]? {
    guard segments.count >= pattern.segments.count else { return nil }
    var weight: [Int] = []
    for (wanted, given) in zip(pattern.segments, segments) {
      switch wanted {
      case .literal(let text):
        guard text == given else { return nil }
        weight.append(0)
      case .parameter:
        guard !given.isEmpty else { return nil }
        weight.append(1)
      }
    }
    let isWhole = segments.count == pattern.segments.count
    switch pattern.tail {
    case .exact: return isWhole ? weight + [0] : nil
    case .below: return weight + [isWhole ? 1 : 2]
    }
  }

  /// nil: the pattern does not take the host.
  private static func weight(_ pattern: HostPattern?, _ host: String) -> [Int]? {
    switch pattern {
    case .exact(let name): host == name ? [0] : nil
    case .suffix(let suffix):
      host.hasSuffix(suffix) && host.utf8.count > suffix.utf8.count ? [1, -suffix.utf8.count] : nil
    case nil: [2]
    }
  }

  /// nil: the methods of the route do not take this one.
  private static func weight(_ route: Route, _ method: Method) -> Int? {
    let methods = route.methods
    if methods.isEmpty { return 2 }
    if methods.contains(method) { return 0 }
    return method == .head && methods.contains(.get) && route.takesHead ? 1 : nil
  }
}
