import Foundation

@testable import Edge

/// A text in memory of exactly its size, and its document.
final class JSONSample {
  let area: ByteArea
  let document = JSONDocument(capacity: 1)

  init(_ bytes: [UInt8]) { area = ByteArea(bytes) }

  convenience init(_ text: String) { self.init(Array(text.utf8)) }

  /// nil when the text is JSON.
  func fault(depthMax: Int = JSONDocument.depthMax, nodesMax: Int = .max) -> JSONFault? {
    do throws(JSONFault) {
      try document.read(area.base, area.count, depthMax: depthMax, nodesMax: nodesMax)
      return nil
    } catch {
      return error
    }
  }

  struct NoValue: Error { var key: StaticString }

  /// The value of a key that must be there.
  func value(_ key: StaticString, in map: Int = 0) throws -> Int {
    guard case .found(let node) = document.value(of: key, in: map) else { throw NoValue(key: key) }
    return node
  }

  /// What a string says.
  func string(_ index: Int) -> [UInt8] {
    let room = Int(document[index].count)
    let copy = ByteArea([UInt8](repeating: 0, count: room))
    var writer = ByteWriter(base: copy.base, capacity: room)
    writer.append(unescaped: index, of: document)
    return copy.slice(0..<writer.count)
  }

  /// A value written anew, without blanks, with numbers as they stand.
  func outline(_ index: Int = 0) -> [UInt8] {
    switch document.kind(index) {
    case .null, .true, .false, .number: return Array(document.raw(index))
    case .string:
      let bytes = string(index)
      let room = 6 * bytes.count + 2
      let copy = ByteArea([UInt8](repeating: 0, count: room))
      let source = ByteArea(bytes)
      var writer = ByteWriter(base: copy.base, capacity: room)
      writer.append(json: source.base, bytes.count)
      return copy.slice(0..<writer.count)
    case .list:
      let members = document.elements(of: index).map { outline($0) }
      return [0x5b] + Array(members.joined(separator: [0x2c])) + [0x5d]
    case .map:
      let members = document.pairs(of: index).map { outline($0.key) + [0x3a] + outline($0.value) }
      return [0x7b] + Array(members.joined(separator: [0x2c])) + [0x7d]
    }
  }

  /// Whether every node lies in the one around it, in order, and the counts of members are right.
  var isConsistent: Bool {
    for index in 0..<document.count {
      let node = document[index]
      var members: [Int] = []
      if node.kind == .list { members = Array(document.elements(of: index)) }
      if node.kind == .map { members = document.pairs(of: index).flatMap { [$0.key, $0.value] } }
      let isWhole = Int(node.members) == (node.kind == .map ? members.count / 2 : members.count)
      var place = Int(node.start)
      for member in members {
        if Int(document[member].start) < place { return false }
        place = Int(document[member].start + document[member].count)
      }
      let last = members.last.map { Int(document[$0].next) } ?? index + 1
      if !isWhole || place > Int(node.start + node.count) || Int(node.next) != last { return false }
    }
    return document.count > 0 && Int(document[0].next) == document.count
  }
}

/// Files of Tests/Vectors.
enum Vectors {
  static let folder = Fixture.repository + "/Tests/Vectors"

  static func names(_ path: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(path)")) ?? []).sorted()
  }

  /// Not by Foundation, which leaks its buffer for an empty file.
  static func bytes(_ path: String) throws -> [UInt8] {
    struct NoFile: Error { var path: String }
    guard let file = fopen("\(folder)/\(path)", "r") else { throw NoFile(path: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return bytes
  }
}
