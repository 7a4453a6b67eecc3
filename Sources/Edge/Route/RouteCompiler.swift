// Builds a `RouteTable` from the routes of a snapshot. Runs once per generation, off the loops.
// Called by the compilation of a generation's tables; the request path only sees the result.

/// Turns routes into tries, then tries into flat rows.
struct RouteCompiler {
  /// A trie while it grows.
  private final class Tree {
    var literals: [String: Tree] = [:]
    var parameter: Tree?
    var exact = Candidates()
    var below = Candidates()
  }

  /// The routes at one place, in the order they are asked: those that name the method, those whose GET stands for HEAD,
  /// those that take any method.
  private struct Candidates {
    var named: [RouteCandidate] = []
    var implied: [RouteCandidate] = []
    var any: [RouteCandidate] = []

    var ordered: [RouteCandidate] { named + implied + any }

    mutating func add(_ candidate: RouteCandidate, takesHead: Bool) {
      if candidate.methods == 0 {
        any.append(candidate)
        return
      }
      named.append(candidate)
      // GET includes HEAD (RFC 9110 section 9.3.2): a service that answers one answers the other.
      guard takesHead, candidate.methods & Method.get.bit != 0, candidate.methods & Method.head.bit == 0 else { return }
      implied.append(RouteCandidate(route: candidate.route, methods: Method.head.bit, listeners: candidate.listeners))
    }
  }

  private let arena: Arena
  private let listenerPlaces: [UInt8]
  private var nodes: [RouteNode] = []
  private var edges: [RouteEdge] = []
  private var candidates: [RouteCandidate] = []

  private init(listenerPlaces: [UInt8], arena: Arena) {
    self.listenerPlaces = listenerPlaces
    self.arena = arena
  }

  /// The table of these routes; everything it points to stands in the arena. `listenerPlaces` says by which number
  /// requests will name each listener of the snapshot.
  static func compile(_ routes: [Route], listenerPlaces: [UInt8], arena: Arena) -> RouteTable {
    var compiler = RouteCompiler(listenerPlaces: listenerPlaces, arena: arena)
    return compiler.compile(routes)
  }

  private mutating func compile(_ routes: [Route]) -> RouteTable {
    var trees: [(kind: RouteHost.Precision, name: String, tree: Tree)] = []
    for (index, route) in routes.enumerated() {
      let candidate = RouteCandidate(
        route: Int32(index), methods: route.methods.reduce(0) { $0 | $1.bit },
        listeners: route.listeners.reduce(0) { $0 | 1 << UInt64(listenerPlaces[$1]) })
      for (kind, name) in RouteCompiler.hosts(route) {
        let place = trees.firstIndex { $0.kind == kind && $0.name == name } ?? trees.count
        if place == trees.count { trees.append((kind, name, Tree())) }
        for path in route.paths {
          RouteCompiler.add(candidate, path, takesHead: route.takesHead, to: trees[place].tree)
        }
      }
    }
    // Exact hosts, then wildcards with the longest suffix first, then any.
    trees.sort {
      $0.kind != $1.kind ? $0.kind < $1.kind : ($0.name.utf8.count, $1.name) > ($1.name.utf8.count, $0.name)
    }
    var hosts: [RouteHost] = []
    for entry in trees {
      hosts.append(RouteHost(kind: entry.kind, name: arena.text(entry.name), root: flatten(entry.tree)))
    }
    return RouteTable(
      hosts: UnsafePointer(arena.copy(hosts)), hostCount: hosts.count, nodes: UnsafePointer(arena.copy(nodes)),
      edges: UnsafePointer(arena.copy(edges)), candidates: UnsafePointer(arena.copy(candidates)))
  }

  private static func hosts(_ route: Route) -> [(RouteHost.Precision, String)] {
    if route.hosts.isEmpty { return [(.any, "")] }
    return route.hosts.map { host in
      switch host {
      case .exact(let name): (.exact, name)
      case .suffix(let suffix): (.suffix, suffix)
      }
    }
  }

  private static func add(_ candidate: RouteCandidate, _ path: PathPattern, takesHead: Bool, to root: Tree) {
    var tree = root
    for segment in path.segments {
      switch segment {
      case .literal(let text):
        let next = tree.literals[text] ?? Tree()
        tree.literals[text] = next
        tree = next
      case .parameter:
        let next = tree.parameter ?? Tree()
        tree.parameter = next
        tree = next
      }
    }
    switch path.tail {
    case .exact: tree.exact.add(candidate, takesHead: takesHead)
    case .below: tree.below.add(candidate, takesHead: takesHead)
    }
  }

  private mutating func flatten(_ tree: Tree) -> Int32 {
    let index = nodes.count
    nodes.append(RouteNode())
    var node = RouteNode()
    node.firstExact = Int32(candidates.count)
    candidates += tree.exact.ordered
    node.exactCount = Int32(candidates.count) - node.firstExact
    node.firstBelow = Int32(candidates.count)
    candidates += tree.below.ordered
    node.belowCount = Int32(candidates.count) - node.firstBelow
    var children: [RouteEdge] = []
    for (text, child) in tree.literals {
      let segment = arena.text(text)
      children.append(
        RouteEdge(hash: RouteTable.hash(segment.start, segment.count), segment: segment, node: flatten(child)))
    }
    children.sort { $0.hash < $1.hash }
    node.firstChild = Int32(edges.count)
    node.childCount = Int32(children.count)
    edges += children
    if let parameter = tree.parameter { node.parameter = flatten(parameter) }
    nodes[index] = node
    return Int32(index)
  }
}
