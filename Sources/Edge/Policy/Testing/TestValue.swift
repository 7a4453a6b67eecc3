// Values of Lua as the tests of policies handle them: taken out of one machine, compared, shown, handed to another.
//
// Owns: the tree of such values, how they look in messages, and where two of them differ.
// Called by: everything in this folder. Never: holds functions, handles or anything else that stays in its machine.

import Glibc
import LuaBridge

/// A plain value.
indirect enum TestValue: Equatable {
  /// `nil`.
  case nothing
  /// The null of JSON.
  case null
  case boolean(Bool)
  case integer(Int)
  case number(Double)
  case text([UInt8])
  case list([TestValue])
  case map([TestPair])

  static func text(_ text: String) -> TestValue { .text(Array(text.utf8)) }
  static func text(_ text: StaticString) -> TestValue { .text("\(text)") }

  /// A map of what there is: pairs without a value are left out.
  static func map(of pairs: [(String, TestValue)]) -> TestValue {
    .map(pairs.filter { $0.1 != .nothing }.map { TestPair(name: $0.0, value: $0.1) })
  }

  /// The member of a map; `nil` of all else.
  subscript(name: String) -> TestValue {
    guard case .map(let pairs) = self else { return .nothing }
    return pairs.first { $0.name == name }?.value ?? .nothing
  }

  /// The text of a text.
  var string: String? {
    if case .text(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil }
  }

  /// The number of a number, whole or not.
  var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

/// A name with its value.
struct TestPair: Equatable {
  let name: String
  let value: TestValue
}

// MARK: In and out of machines

extension TestValue {
  /// Reads the value at `position`, which moves behind it.
  init(_ values: UnsafePointer<LuaValue>, _ position: inout Int) {
    let value = values[position]
    position += 1
    switch value.luaKind {
    case .null: self = .null
    case .boolean: self = .boolean(value.booleanValue)
    case .integer: self = .integer(value.integerValue)
    case .number: self = .number(value.numberValue)
    case .string: self = .text(value.bytes.map { Array($0) } ?? [])
    case .list:
      var members: [TestValue] = []
      for _ in 0..<value.count { members.append(TestValue(values, &position)) }
      self = .list(members)
    case .map:
      var pairs: [TestPair] = []
      for _ in 0..<value.count {
        let name = values[position].bytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
        position += 1
        pairs.append(TestPair(name: name, value: TestValue(values, &position)))
      }
      self = .map(pairs)
    default: self = .nothing
    }
  }

  /// Reads a node of a JSON text.
  init(_ document: JSONDocument, _ node: Int) {
    switch document.kind(node) {
    case .null: self = .null
    case .true: self = .boolean(true)
    case .false: self = .boolean(false)
    case .number:
      switch document.number(node) {
      case .integer(let whole): self = .integer(Int(whole))
      case .double(let double): self = .number(double)
      case nil: self = .number(.infinity)
      }
    case .string: self = .text(TestValue.unescaped(document, node))
    case .list: self = .list(document.elements(of: node).map { TestValue(document, $0) })
    case .map:
      self = .map(
        document.pairs(of: node).map { key, value in
          let name = String(decoding: TestValue.unescaped(document, key), as: UTF8.self)
          return TestPair(name: name, value: TestValue(document, value))
        })
    }
  }

  private static func unescaped(_ document: JSONDocument, _ node: Int) -> [UInt8] {
    let room = document.content(node).count
    return [UInt8](unsafeUninitializedCapacity: max(1, room)) { area, count in
      guard let base = area.baseAddress else { return }
      var writer = ByteWriter(base: base, capacity: area.count)
      writer.append(unescaped: node, of: document)
      count = writer.count
    }
  }

  /// What a JSON text says; nil when it is none.
  static func read(json: UnsafeBufferPointer<UInt8>) -> TestValue? {
    let document = JSONDocument()
    guard let start = json.baseAddress, (try? document.read(start, json.count)) != nil else { return nil }
    return TestValue(document, 0)
  }

  /// How many flat values it takes, and how many bytes of text.
  fileprivate var size: (values: Int, bytes: Int) {
    switch self {
    case .text(let bytes): (1, bytes.count)
    case .list(let members):
      members.reduce((1, 0)) { ($0.0 + $1.size.values, $0.1 + $1.size.bytes) }
    case .map(let pairs):
      pairs.reduce((1, 0)) { ($0.0 + 1 + $1.value.size.values, $0.1 + $1.name.utf8.count + $1.value.size.bytes) }
    default: (1, 0)
    }
  }
}

/// A value laid out flat, which stays where it is until the next one.
final class FlatArea {
  private var values: UnsafeMutablePointer<LuaValue>?
  private var bytes: BytePointer?
  private(set) var count = 0
  private var used = 0

  deinit { clear() }

  /// Lays out a value, and behind it those that are given plain.
  func hold(_ value: TestValue, then more: [LuaValue] = []) -> UnsafePointer<LuaValue> {
    clear()
    let size = value.size
    let values = UnsafeMutablePointer<LuaValue>.allocate(capacity: size.values + more.count)
    self.values = values
    bytes = .allocate(capacity: max(1, size.bytes))
    count = 0
    used = 0
    add(value, to: values)
    for plain in more { put(plain, to: values) }
    return UnsafePointer(values)
  }

  private func clear() {
    values?.deallocate()
    bytes?.deallocate()
    values = nil
    bytes = nil
  }

  private func put(_ value: LuaValue, to values: UnsafeMutablePointer<LuaValue>) {
    (values + count).initialize(to: value)
    count += 1
  }

  private func add(_ value: TestValue, to values: UnsafeMutablePointer<LuaValue>) {
    switch value {
    case .nothing: put(.nothing, to: values)
    case .null: put(.null, to: values)
    case .boolean(let value): put(.boolean(value), to: values)
    case .integer(let value): put(.integer(value), to: values)
    case .number(let value): put(.number(value), to: values)
    case .text(let text): add(text: text, to: values)
    case .list(let members):
      put(.list(members.count), to: values)
      for member in members { add(member, to: values) }
    case .map(let pairs):
      put(.map(pairs.count), to: values)
      for pair in pairs {
        add(text: Array(pair.name.utf8), to: values)
        add(pair.value, to: values)
      }
    }
  }

  private func add(text: [UInt8], to values: UnsafeMutablePointer<LuaValue>) {
    guard let bytes else { return }
    let start = bytes + used
    text.withUnsafeBufferPointer { if let from = $0.baseAddress { start.initialize(from: from, count: $0.count) } }
    used += text.count
    put(.string(UnsafePointer(start), text.count), to: values)
  }

  /// The JSON text of a value; nil when it has none.
  func json(_ value: TestValue) -> [UInt8]? {
    let values = hold(value)
    let area = TextArea(bytesMax: Limits.scriptStringBytes)
    var fault: FlatJSON.Fault?
    let text = area.write { fault = FlatJSON.write(FlatValues(values: values, count: count), at: 0, into: &$0) }
    return fault == nil ? text.map { Array($0) } : nil
  }
}

// MARK: In messages

extension TestValue {
  private static let shownMax = 240

  /// As Lua would write it, on one line, cut when it is long.
  var shown: String {
    let text = written
    return text.count > TestValue.shownMax ? text.prefix(TestValue.shownMax) + "…" : text
  }

  private var written: String {
    switch self {
    case .nothing: "nil"
    case .null: "edge.json.null"
    case .boolean(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .text(let bytes): TestValue.quoted(bytes)
    case .list(let members): "{" + members.map(\.written).joined(separator: ", ") + "}"
    case .map(let pairs):
      "{"
        + pairs.sorted { $0.name < $1.name }.map { "\(TestValue.key($0.name)) = \($0.value.written)" }
        .joined(separator: ", ") + "}"
    }
  }

  private static func quoted(_ bytes: [UInt8]) -> String {
    var text = "\""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7f {
          text += "\\\(scalar.value)"
        } else {
          text.unicodeScalars.append(scalar)
        }
      }
    }
    return text + "\""
  }

  private static func isName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return name.utf8.allSatisfy {
      (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x5f
    }
  }

  private static func key(_ name: String) -> String { isName(name) ? name : "[\(quoted(Array(name.utf8)))]" }

  /// What tells a value from the one that was expected; nil when nothing does. Whole numbers equal others as in Lua,
  /// and an empty table is an empty table.
  static func difference(_ found: TestValue, from expected: TestValue) -> String? {
    guard let place = firstDifference(found, expected, path: "") else { return nil }
    let path = place.path.hasPrefix(".") ? String(place.path.dropFirst()) : place.path
    return (path.isEmpty ? "" : "at \(path): ") + "expected \(place.expected.shown), found \(place.found.shown)"
  }

  private typealias Difference = (path: String, found: TestValue, expected: TestValue)

  private static func firstDifference(_ found: TestValue, _ expected: TestValue, path: String) -> Difference? {
    if let left = found.double, let right = expected.double {
      return left == right ? nil : (path, found, expected)
    }
    switch (found, expected) {
    case (.list(let left), .list(let right)):
      for index in 0..<max(left.count, right.count) {
        let (one, other) = (index < left.count ? left[index] : .nothing, index < right.count ? right[index] : .nothing)
        if let place = firstDifference(one, other, path: "\(path)[\(index + 1)]") { return place }
      }
      return nil
    case (.map(let left), .map(let right)):
      for name in Set((left + right).map(\.name)).sorted() {
        let inner = isName(name) ? "\(path).\(name)" : "\(path)[\(quoted(Array(name.utf8)))]"
        if let place = firstDifference(found[name], expected[name], path: inner) { return place }
      }
      return nil
    case (.list(let left), .map(let right)) where left.isEmpty && right.isEmpty: return nil
    case (.map(let left), .list(let right)) where left.isEmpty && right.isEmpty: return nil
    default: return found == expected ? nil : (path, found, expected)
    }
  }
}
