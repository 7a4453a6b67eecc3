// Generations and what they are made from, for tests: configurations are text, read by the loader.

import Testing

@testable import Edge

/// A folder whose configuration is built into generations.
final class WorkerFixture {
  let folder: Fixture.Folder

  init() throws { folder = try Fixture.Folder() }

  /// Loads a configuration; what is left out is a listener on any port.
  func load(
    _ body: String, listeners: String = "{main: {bind: \"127.0.0.1:0\"}}"
  ) throws -> (snapshot: Snapshot, resolved: SectionFields) {
    try folder.write("routes.yaml", "version: 1\nlisteners: \(listeners)\n\(body)")
    let outcome = folder.load()
    let findings = folder.rendered(outcome)
    return (try #require(outcome.snapshot, "\(findings)"), try #require(outcome.resolved))
  }
}

extension Route {
  /// The route of a request to a generation, by name.
  static func name(_ rows: GenerationRows, _ path: String, listener: UInt8) -> String? {
    let (host, path) = (ByteArea(raw("h")), ByteArea(raw(path)))
    let query = RouteQuery(
      host: host.base, hostCount: host.count, path: path.base, pathCount: path.count, method: .get, listener: listener)
    guard case .route(let index) = rows.routes.match(query) else { return nil }
    return rows.routeRows[Int(index)].name.text
  }
}

/// A ledger that forgets everything; nobody runs it.
func memoryLedger() throws -> Ledger { try Ledger(path: nil, durability: .relaxed, initial: .zero, log: nil) }
