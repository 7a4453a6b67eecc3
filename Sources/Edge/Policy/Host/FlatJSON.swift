// Between flat values of Lua and JSON text (RFC 8259). Where the text does not fit, nothing behind that place is looked
// at: a value may be far larger than the room there is.
// Called by the functions that write JSON for scripts; never reads Lua itself.

import Glibc
import LuaBridge

/// Flat values as JSON.
enum FlatJSON {
  /// Why a value has no JSON.
  enum Fault {
    case number, text, object

    var text: StaticString {
      switch self {
      case .number: "a number is not finite, and JSON has no word for it"
      case .text: "a string is not UTF-8, and JSON has no other text"
      case .object: "the value holds an object of Edge, and JSON has no word for it"
      }
    }
  }

  /// Writes the value at a place; what is wrong with it, if something is.
  static func write(_ values: FlatValues, at place: Int, into writer: inout ByteWriter) -> Fault? {
    var position = place
    return write(values, &position, into: &writer)
  }

  /// Writes a table with names for keys, without those that it hides.
  static func write(_ map: FlatMap, into writer: inout ByteWriter) -> Fault? {
    var fault: Fault?
    var isFirst = true
    writer.append(byte: 0x7b)
    map.forEach { name, place in
      if fault != nil || writer.overflowed { return }
      if !isFirst { writer.append(byte: 0x2c) }
      isFirst = false
      fault = write(name, into: &writer)
      writer.append(byte: 0x3a)
      fault = fault ?? write(map.values, at: place, into: &writer)
    }
    writer.append(byte: 0x7d)
    return fault
  }

  private static func write(_ values: FlatValues, _ position: inout Int, into writer: inout ByteWriter) -> Fault? {
    let value = values.values[position]
    position += 1
    switch value.luaKind {
    case .boolean: writer.append(value.booleanValue ? "true" : "false" as StaticString)
    case .integer: writer.append(json: Int64(value.integerValue))
    case .number:
      guard value.numberValue.isFinite else { return .number }
      _ = writer.append(json: value.numberValue)
    case .string: return value.bytes.flatMap { write($0, into: &writer) }
    case .list:
      writer.append(byte: 0x5b)
      for index in 0..<value.count where !writer.overflowed {
        if index > 0 { writer.append(byte: 0x2c) }
        if let fault = write(values, &position, into: &writer) { return fault }
      }
      writer.append(byte: 0x5d)
    case .map:
      writer.append(byte: 0x7b)
      for index in 0..<value.count where !writer.overflowed {
        if index > 0 { writer.append(byte: 0x2c) }
        if let name = values.string(at: position), let fault = write(name, into: &writer) { return fault }
        position += 1
        writer.append(byte: 0x3a)
        if let fault = write(values, &position, into: &writer) { return fault }
      }
      writer.append(byte: 0x7d)
    case .handle:
      guard value.count == HostClass.decimal else { return .object }
      writer.append(Amount(units: Int64(value.integerValue)))
    default: writer.append("null")
    }
    return nil
  }

  private static func write(_ text: UnsafeBufferPointer<UInt8>, into writer: inout ByteWriter) -> Fault? {
    if text.count > writer.room {
      // Overflows; what it holds is looked at when there is room for it.
      writer.advance(text.count)
      return nil
    }
    let start = text.baseAddress ?? StaticBytes.empty.start
    guard isUTF8(start, text.count) else { return .text }
    writer.append(json: start, text.count)
    return nil
  }
}
