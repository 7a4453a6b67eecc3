// JSON texts as values of Lua: read strictly, laid out flat, handed to the script in one go.
// Called by the functions that give scripts what a JSON text says.

import Glibc
import LuaBridge

extension PolicyHost {
  /// Answers a call with what a JSON text says; nil when it is no JSON, says a key twice or has too
  /// many values. `decimals`: numbers that are no whole ones are decimals where they are exactly an amount.
  func values(
    ofJSON start: UnsafePointer<UInt8>, _ count: Int, _ call: HostCall, decimals: Bool = false
  ) -> Int32? {
    guard (try? document.read(start, count, nodesMax: PolicyHost.flatValuesMax)) != nil,
      let area = flat.baseAddress
    else {
      document.reset()
      return nil
    }
    defer { document.reset() }
    if hasDuplicateKeys() { return nil }
    // Strings with escapes are written out; none takes more bytes than it did.
    let unescaped = text.write { writer in
      for index in 0..<document.count { area[index] = value(of: index, decimals, &writer) }
    }
    return unescaped == nil ? nil : call.values(at: UnsafePointer(area), count: 1)
  }

  /// A text whose keys stand twice means one thing to the script and another to the next reader.
  private func hasDuplicateKeys() -> Bool {
    for index in 0..<document.count where document.kind(index) == .map {
      if document[index].members <= 16 {
        if document.hasDuplicates(in: index) { return true }
        continue
      }
      var seen: Set<[UInt8]> = []
      for (key, _) in document.pairs(of: index) {
        if !seen.insert(Array(JSONStringBytes(content: document.content(key)))).inserted { return true }
      }
    }
    return false
  }

  /// Nodes and flat values stand in the same order.
  private func value(of index: Int, _ decimals: Bool, _ writer: inout ByteWriter) -> LuaValue {
    let node = document[index]
    switch node.kind {
    case .null: return .null
    case .true: return .boolean(true)
    case .false: return .boolean(false)
    case .list: return .list(Int(node.members))
    case .map: return .map(Int(node.members))
    case .number:
      if decimals, !node.isWhole, let units = DecimalText.units(json: document.raw(index), places: Amount.places) {
        return .handle(class: HostClass.decimal, payload: units)
      }
      switch document.number(index) {
      case .integer(let whole): return .integer(Int(whole))
      case .double(let double): return .number(double)
      // Beyond all doubles: what strtod says, so that the script sees that it is no number to count with.
      case nil: return .number(document.raw(index).first == 0x2d ? -.infinity : .infinity)
      }
    case .string:
      if !node.hasEscape {
        let content = document.content(index)
        return content.baseAddress.map { .string($0, content.count) } ?? .string("")
      }
      let before = writer.count
      writer.append(unescaped: index, of: document)
      // An overflow writes nothing, and everything is written again with more room.
      return .string(UnsafePointer(writer.base) + before, writer.overflowed ? 0 : writer.count - before)
    }
  }
}
