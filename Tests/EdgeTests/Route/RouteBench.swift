import Testing

@testable import Edge

/// A compiled table that is asked with texts.
final class RouteBench {
  private let arena = Arena()
  private let table: RouteTable
  private let names: [String]

  init(_ routes: [Route]) {
    table = RouteCompiler.compile(routes, listenerPlaces: Array(0..<64), arena: arena)
    names = routes.map(\.name)
  }

  func match(_ path: String, _ method: Method = .get, host: String = "h", listener: Int = 0) -> RouteMatch {
    let (hostArea, pathArea) = (ByteArea(raw(host)), ByteArea(raw(path)))
    return table.match(
      RouteQuery(
        host: hostArea.base, hostCount: hostArea.count, path: pathArea.base, pathCount: pathArea.count, method: method,
        listener: UInt8(listener)))
  }

  /// The name of the route, or what else came of it.
  func find(_ path: String, _ method: Method = .get, host: String = "h", listener: Int = 0) -> String {
    switch match(path, method, host: host, listener: listener) {
    case .route(let index): return names[Int(index)]
    case .notFound: return "404"
    case .methodNotAllowed(let bits):
      return "405 " + Method.allCases.filter { bits & $0.bit != 0 }.map(\.name.description).joined(separator: " ")
    }
  }
}

extension Route {
  /// A route of a test; paths and hosts as they are written in a configuration.
  static func of(
    _ name: String, _ paths: [String], hosts: [String] = [], methods: [String] = [], listeners: [Int] = [0, 1]
  ) throws -> Route {
    Route(
      name: name, hosts: try hosts.map { try HostPattern.read($0) }, paths: try paths.map { try PathPattern.read($0) },
      methods: try methods.map { try #require(Method(name: $0)) }, listeners: listeners, target: .builtin(.health),
      bodyBytesMax: 0, clientFin: .abort, replaysOnStale: false, policies: [], permission: nil)
  }
}
