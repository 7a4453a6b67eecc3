// A table of a script, laid out flat: its entries by name, without making Swift values of them.
// Called by the functions that take tables; the strings in it are valid as long as the call.

import Glibc
import LuaBridge

/// A flat value with what it needs to be walked.
struct FlatValues: BitwiseCopyable {
  let values: UnsafePointer<LuaValue>
  let count: Int

  /// The place behind the value at `place` and its members.
  func end(of place: Int) -> Int {
    var position = place
    var pending = 1
    while pending > 0, position < count {
      switch values[position].luaKind {
      case .list: pending += Int(values[position].count)
      case .map: pending += 2 * Int(values[position].count)
      default: break
      }
      pending -= 1
      position += 1
    }
    return position
  }

  func string(at place: Int) -> UnsafeBufferPointer<UInt8>? { values[place].bytes }
}

extension LuaValue {
  /// A number, whole or not; nil for all else.
  var anyNumber: Double? {
    switch luaKind {
    case .integer: Double(integerValue)
    case .number: numberValue
    default: nil
    }
  }
}

/// A table with names for keys, given as an argument.
struct FlatMap {
  /// Why an argument is no such table.
  struct Fault: Error { let message: String }

  let values: FlatValues
  /// Pairs that count; all of them but what `without` left out.
  private let pairs: Int
  private let start: Int
  private var hidden: [StaticString] = []

  /// Reads an argument of the function `name`.
  init(
    _ call: HostCall, _ argument: Int, _ area: UnsafeMutableBufferPointer<LuaValue>, of name: StaticString
  ) throws(Fault) {
    let count: Int
    do { count = try call.flat(argument, into: area) } catch {
      switch error {
      case .full: throw Fault(message: "the table has more than 65,536 values")
      case .deep: throw Fault(message: "the table is nested too deeply, or contains itself")
      case .key: throw Fault(message: "a table has a key that is neither a string nor part of a sequence")
      case .unsupported: throw Fault(message: "a table contains a function, a coroutine or an object of Edge")
      case .large: throw Fault(message: "the strings of a table have more than 2 MiB together")
      }
    }
    guard let base = area.baseAddress, count > 0, base[0].luaKind == .map else {
      throw Fault(message: "the table of \(name) must have names for keys")
    }
    values = FlatValues(values: UnsafePointer(base), count: count)
    start = 1
    pairs = Int(base[0].count)
  }

  /// A table among flat values; nil where something else stands.
  init?(_ values: FlatValues, at place: Int) {
    guard place < values.count, values.values[place].luaKind == .map else { return nil }
    self.init(values, start: place + 1, pairs: Int(values.values[place].count), hidden: [])
  }

  private init(_ values: FlatValues, start: Int, pairs: Int, hidden: [StaticString]) {
    self.values = values
    self.start = start
    self.pairs = pairs
    self.hidden = hidden
  }

  /// The same table without some of its names.
  func without(_ names: [StaticString]) -> FlatMap {
    FlatMap(values, start: start, pairs: pairs, hidden: names)
  }

  var isEmpty: Bool { visibleCount == 0 }

  private var visibleCount: Int {
    var count = 0
    forEach { _, _ in count += 1 }
    return count
  }

  /// Calls `body` with each name and the place of its value.
  func forEach(_ body: (UnsafeBufferPointer<UInt8>, Int) -> Void) {
    var position = start
    for _ in 0..<pairs where position < values.count {
      let place = position + 1
      if let name = values.string(at: position), !hidden.contains(where: { FlatMap.equal(name, $0) }) {
        body(name, place)
      }
      position = values.end(of: place)
    }
  }

  /// The place of a value.
  func place(_ name: StaticString) -> Int? {
    var found: Int?
    forEach { key, place in if FlatMap.equal(key, name) { found = place } }
    return found
  }

  func string(_ name: StaticString) -> UnsafeBufferPointer<UInt8>? { place(name).flatMap { values.string(at: $0) } }

  func string(at place: Int) -> UnsafeBufferPointer<UInt8>? { values.string(at: place) }

  func number(_ name: StaticString) -> Double? { place(name).flatMap { values.values[$0].anyNumber } }

  /// A whole number, also one written as 3.0.
  func integer(_ name: StaticString) -> Int? {
    guard let value = place(name).map({ values.values[$0] }) else { return nil }
    return value.luaKind == .integer ? value.integerValue : value.anyNumber.flatMap { Int(exactly: $0) }
  }

  /// A table inside this one, with names for keys; an empty one has none to be wrong.
  func map(_ name: StaticString) -> FlatMap? {
    guard let place = place(name) else { return nil }
    let value = values.values[place]
    guard value.luaKind == .map || value.luaKind == .list && value.count == 0 else { return nil }
    return FlatMap(values, start: place + 1, pairs: value.luaKind == .map ? Int(value.count) : 0, hidden: [])
  }

  /// A name that is not among these, cut for a message.
  func stranger(among known: [StaticString]) -> String? {
    var stranger: UnsafeBufferPointer<UInt8>?
    forEach { name, _ in
      if !known.contains(where: { FlatMap.equal(name, $0) }) { stranger = name }
    }
    return stranger.map { String(decoding: $0.prefix(64), as: UTF8.self) }
  }

  private static func equal(_ name: UnsafeBufferPointer<UInt8>, _ text: StaticString) -> Bool {
    guard name.count == text.utf8CodeUnitCount else { return false }
    return name.isEmpty || memcmp(name.baseAddress ?? text.utf8Start, text.utf8Start, name.count) == 0
  }
}
