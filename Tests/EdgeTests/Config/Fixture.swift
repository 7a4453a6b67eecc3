// Folders with configuration files for tests, and where the repository is.

import Foundation

@testable import Edge

extension Endpoint {
  /// An endpoint without TLS.
  static func plain(_ host: String, _ port: UInt16) -> Endpoint {
    Endpoint(scheme: .http, address: HostPort(host: host, port: port))
  }
}

enum Fixture {
  /// The top folder of the repository.
  static let repository = String(
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4).joined(separator: "/"))

  /// A folder that is removed with its object.
  final class Folder {
    let path: String

    init() throws {
      path = FileManager.default.temporaryDirectory.appendingPathComponent("edge-config-\(UUID().uuidString)").path
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

    func write(_ name: String, _ bytes: [UInt8]) throws {
      let url = URL(fileURLWithPath: path).appendingPathComponent(name)
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: url)
    }

    func copy(from source: String, to name: String) throws {
      try FileManager.default.copyItem(atPath: source, toPath: "\(path)/\(name)")
    }

    func load(_ environment: [String: String] = [:], dev: Bool = false, placeholders: Bool = false) -> LoadOutcome {
      Loader.load(
        path: path + "/routes.yaml",
        options: LoadOptions(environment: environment, dev: dev, placeholders: placeholders))
    }

    /// Rendered findings with the folder's path taken out.
    func rendered(_ outcome: LoadOutcome) -> [String] {
      outcome.diagnoses.map { $0.render().replacingOccurrences(of: path + "/", with: "") }
    }
  }

  /// Loads one file; `body` follows a version and a listener.
  static func load(
    _ body: String, environment: [String: String] = [:], dev: Bool = false, placeholders: Bool = false
  ) throws -> (outcome: LoadOutcome, text: [String]) {
    let folder = try Folder()
    try folder.write("routes.yaml", body)
    let outcome = folder.load(environment, dev: dev, placeholders: placeholders)
    return (outcome, folder.rendered(outcome))
  }
}
