// Finds the route of a request: a flat trie per host pattern, compiled once per generation into memory that holds no
// references. More specific wins: an exact host over a wildcard over any; in a path a literal segment over a
// parameter over everything below. Where the most specific path does not take the method, less specific ones are
// asked before the answer is 405.

import Glibc

/// What routing said.
enum RouteMatch: BitwiseCopyable, Equatable {
  case route(Int32)
  /// The path is known, the method is not; bits of the methods it takes.
  case methodNotAllowed(UInt16)
  case notFound
}

/// What routing looks at.
struct RouteQuery: BitwiseCopyable {
  /// Without port and trailing dot, any case; empty when the request named none.
  var host: UnsafePointer<UInt8>
  var hostCount: Int
  /// Canonical.
  var path: UnsafePointer<UInt8>
  var pathCount: Int
  var method: Method
  var listener: UInt8
}

/// A route at a node: which methods and listeners it takes.
struct RouteCandidate: BitwiseCopyable {
  var route: Int32
  /// Bits of `Method`; 0: any.
  var methods: UInt16
  /// One bit per listener.
  var listeners: UInt64
}

/// A node of a trie.
struct RouteNode: BitwiseCopyable {
  /// Literal children stand in a row, sorted by hash.
  var firstChild: Int32 = 0
  var childCount: Int32 = 0
  /// -1: none.
  var parameter: Int32 = -1
  var firstExact: Int32 = 0
  var exactCount: Int32 = 0
  var firstBelow: Int32 = 0
  var belowCount: Int32 = 0
}

/// A literal child: the segment that leads to a node.
struct RouteEdge: BitwiseCopyable {
  var hash: UInt32
  var segment: StaticBytes
  var node: Int32
}

/// A host pattern with the root of its trie.
struct RouteHost: BitwiseCopyable {
  enum Precision: UInt8, Comparable {
    case exact, suffix, any
    static func < (left: Precision, right: Precision) -> Bool { left.rawValue < right.rawValue }
  }
  var kind: Precision
  /// Lower case; of a wildcard what follows the star, dot included.
  var name: StaticBytes
  var root: Int32
}

/// The compiled table.
struct RouteTable: BitwiseCopyable {
  let hosts: UnsafePointer<RouteHost>
  let hostCount: Int
  let nodes: UnsafePointer<RouteNode>
  let edges: UnsafePointer<RouteEdge>
  let candidates: UnsafePointer<RouteCandidate>

  /// The route of a request.
  func match(_ query: RouteQuery) -> RouteMatch {
    var allowed: UInt16 = 0
    for index in 0..<hostCount where takes(hosts[index], query) {
      let route = walk(hosts[index].root, at: 0, query, &allowed)
      if route >= 0 { return .route(route) }
    }
    return allowed == 0 ? .notFound : .methodNotAllowed(allowed)
  }

  @inline(__always)
  private func takes(_ host: RouteHost, _ query: RouteQuery) -> Bool {
    switch host.kind {
    case .any: return true
    case .exact:
      return host.name.count == query.hostCount && equalLowered(query.host, host.name.start, query.hostCount)
    case .suffix:
      let rest = query.hostCount - host.name.count
      return rest > 0 && equalLowered(query.host + rest, host.name.start, host.name.count)
    }
  }

  /// The route at or below a node for the path from `position` on, which is a slash or the end; -1 when there is
  /// none.
  private func walk(_ index: Int32, at position: Int, _ query: RouteQuery, _ allowed: inout UInt16) -> Int32 {
    let node = nodes[Int(index)]
    // `*`, the server as a whole, is below the root but is not the root.
    if position == query.pathCount || position == 0 && query.pathCount == 1 && query.path[0] == 0x2f {
      let exact = pick(node.firstExact, node.exactCount, query, &allowed)
      if exact >= 0 { return exact }
      return pick(node.firstBelow, node.belowCount, query, &allowed)
    }
    let start = position + 1
    var end = start
    while end < query.pathCount, query.path[end] != 0x2f { end &+= 1 }
    if node.childCount > 0 {
      let child = findChild(node, query.path + start, end - start)
      if child >= 0 {
        let route = walk(child, at: end, query, &allowed)
        if route >= 0 { return route }
      }
    }
    if node.parameter >= 0, end > start {
      let route = walk(node.parameter, at: end, query, &allowed)
      if route >= 0 { return route }
    }
    return pick(node.firstBelow, node.belowCount, query, &allowed)
  }

  private func findChild(_ node: RouteNode, _ segment: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let hash = RouteTable.hash(segment, count)
    var low = Int(node.firstChild)
    let end = low + Int(node.childCount)
    var high = end
    while low < high {
      let middle = (low + high) / 2
      if edges[middle].hash < hash { low = middle + 1 } else { high = middle }
    }
    while low < end, edges[low].hash == hash {
      if edges[low].segment.count == count, equalBytes(edges[low].segment.start, segment, count) {
        return edges[low].node
      }
      low += 1
    }
    return -1
  }

  @inline(__always)
  private func pick(_ first: Int32, _ count: Int32, _ query: RouteQuery, _ allowed: inout UInt16) -> Int32 {
    for index in Int(first)..<Int(first + count) {
      let candidate = candidates[index]
      if candidate.listeners & (1 << UInt64(query.listener)) == 0 { continue }
      if candidate.methods == 0 || candidate.methods & query.method.bit != 0 { return candidate.route }
      allowed |= candidate.methods
    }
    return -1
  }

  /// Case matters in a path, so this is not the hash of field names.
  static func hash(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt32 {
    var hash: UInt32 = 2_166_136_261
    for index in 0..<count { hash = (hash ^ UInt32(bytes[index])) &* 16_777_619 }
    return hash
  }
}
