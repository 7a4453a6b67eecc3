// Folders with configuration files for tests, and where the repository is.

import Foundation
import Testing

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

  /// What every configuration needs.
  static let environment = ["JWT_SECRET": String(repeating: "0123456789abcdef", count: 4)]

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

    /// Loads `routes.yaml`; without a JWT_SECRET, or with an empty one for none, there is one.
    func load(
      _ environment: [String: String] = [:], dev: Bool = false, placeholders: Bool = false, mayWrite: Bool = false
    ) -> LoadOutcome {
      Loader.load(
        path: path + "/routes.yaml",
        options: LoadOptions(
          environment: environment.merging(Fixture.environment) { own, _ in own }, dev: dev,
          placeholders: placeholders, mayWrite: mayWrite))
    }

    /// Rendered findings with the folder's path taken out.
    func rendered(_ outcome: LoadOutcome) -> [String] {
      outcome.diagnoses.map { $0.render().replacingOccurrences(of: path + "/", with: "") }
    }
  }

  /// What `check --full` prints, with the secret, which is masked and does not read back, from the environment again.
  static func readable(_ text: String) throws -> String {
    let masked = "secret: [\"***\"]"
    try #require(text.contains(masked))
    return text.replacing(masked, with: "secret: \"${env:JWT_SECRET}\"")
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
