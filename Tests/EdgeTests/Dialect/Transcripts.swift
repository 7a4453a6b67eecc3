import Foundation

@testable import Edge

/// The golden transcripts, and how a metered stream takes one.
enum Transcripts {
  static let folder = Fixture.repository + "/Tests/Golden/openai-chat"

  struct NoFile: Error { var name: String }

  static func bytes(_ name: String) throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)") else { throw NoFile(name: name) }
    return Array(data)
  }

  static func names(_ ending: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(ending) }.sorted()
  }

  /// The data of each event.
  static func data(_ name: String) throws -> [String] {
    String(decoding: try bytes(name), as: UTF8.self).components(separatedBy: "\n\n")
      .filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
  }
}
