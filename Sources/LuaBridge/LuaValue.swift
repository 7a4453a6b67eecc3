// Values that go in and out of Lua, as flat arrays: the members of a list or map follow it.
//
// Owns: the makers. Called by: host functions and whoever starts calls. Never: keeps bytes alive; a string's bytes must
// live until the value has been pushed.
import CLua

/// A value that goes in or out of Lua.
public typealias LuaValue = clua_value

/// What a value is, or an argument of a host function.
public struct LuaKind: Equatable, Sendable {
  /// As clua.h numbers them; -1 for what host functions cannot take.
  public let raw: Int32

  /// Makes the kind with a number of clua.h.
  @inlinable public init(_ raw: Int32) { self.raw = raw }

  /// Nothing: `nil`, or an argument that is not there.
  public static let nothing = LuaKind(Int32(CLUA_NIL))
  /// `true` or `false`.
  public static let boolean = LuaKind(Int32(CLUA_BOOLEAN))
  /// A whole number.
  public static let integer = LuaKind(Int32(CLUA_INTEGER))
  /// A number with a fraction.
  public static let number = LuaKind(Int32(CLUA_NUMBER))
  /// A string of any bytes.
  public static let string = LuaKind(Int32(CLUA_STRING))
  /// The null of JSON.
  public static let null = LuaKind(Int32(CLUA_NULL))
  /// A list; arguments that are tables are always `.map`.
  public static let list = LuaKind(Int32(CLUA_LIST))
  /// A table.
  public static let map = LuaKind(Int32(CLUA_MAP))
  /// An object of the machine.
  public static let object = LuaKind(Int32(CLUA_OBJECT))
  /// A handle of one of the machine's classes.
  public static let handle = LuaKind(Int32(CLUA_HANDLE))
  /// A function, a coroutine, something foreign.
  public static let other = LuaKind(-1)
}

extension clua_value {
  @usableFromInline init(_ kind: Int, count: UInt32 = 0, integer: Int64 = 0) {
    self.init(kind: UInt32(kind), count: count, length: 0, as: .init(integer: integer))
  }

  /// What it is.
  public var luaKind: LuaKind { LuaKind(Int32(truncatingIfNeeded: kind)) }

  /// `nil`.
  @inlinable public static var nothing: LuaValue { LuaValue(CLUA_NIL) }

  /// The null of JSON.
  @inlinable public static var null: LuaValue { LuaValue(CLUA_NULL) }

  /// The context table of the call; an argument only.
  @inlinable public static var context: LuaValue { LuaValue(CLUA_CONTEXT) }

  /// `true` or `false`.
  @inlinable public static func boolean(_ value: Bool) -> LuaValue { LuaValue(CLUA_BOOLEAN, integer: value ? 1 : 0) }

  /// A whole number.
  @inlinable public static func integer(_ value: Int) -> LuaValue { LuaValue(CLUA_INTEGER, integer: Int64(value)) }

  /// A number with a fraction.
  @inlinable public static func number(_ value: Double) -> LuaValue {
    LuaValue(kind: UInt32(CLUA_NUMBER), count: 0, length: 0, as: .init(number: value))
  }

  /// A string; the bytes are copied when the value is pushed.
  @inlinable public static func string(_ bytes: UnsafePointer<UInt8>?, _ length: Int) -> LuaValue {
    let start = UnsafeRawPointer(bytes)?.assumingMemoryBound(to: CChar.self)
    return LuaValue(kind: UInt32(CLUA_STRING), count: 0, length: length, as: .init(bytes: start))
  }

  /// A string; the bytes are copied when the value is pushed.
  @inlinable public static func string(_ bytes: UnsafeBufferPointer<UInt8>) -> LuaValue {
    string(bytes.baseAddress, bytes.count)
  }

  /// A string that is part of the program.
  @inlinable public static func string(_ text: StaticString) -> LuaValue {
    string(text.utf8Start, text.utf8CodeUnitCount)
  }

  /// A string into Lua whose bytes stay what and where they are as long as the machine lives: one that comes often is
  /// made once.
  @inlinable public static func constant(_ bytes: UnsafePointer<UInt8>?, _ length: Int) -> LuaValue {
    let start = UnsafeRawPointer(bytes)?.assumingMemoryBound(to: CChar.self)
    return LuaValue(kind: UInt32(CLUA_CONSTANT), count: 0, length: length, as: .init(bytes: start))
  }

  /// A string that is part of the program, and comes often.
  @inlinable public static func constant(_ text: StaticString) -> LuaValue {
    constant(text.utf8Start, text.utf8CodeUnitCount)
  }

  /// What the machine keeps in this place; `HostCall.keeps` says whether it does.
  @inlinable public static func kept(_ place: Int) -> LuaValue { LuaValue(CLUA_KEPT, count: UInt32(place)) }

  /// The value that follows, read-only with all that is in it; from now on it is kept in this place under this serial,
  /// which is not 0, unless the place is beyond `keptMax`.
  @inlinable public static func keep(_ place: Int, serial: Int64) -> LuaValue {
    LuaValue(CLUA_KEEP, count: UInt32(place), integer: serial)
  }

  /// How many values a machine may keep.
  public static let keptMax = Int(CLUA_KEPT_MAX)

  /// The head of a list: as many values follow.
  @inlinable public static func list(_ count: Int) -> LuaValue { LuaValue(CLUA_LIST, count: UInt32(count)) }

  /// The head of a map: as many pairs of a string and a value follow.
  @inlinable public static func map(_ count: Int) -> LuaValue { LuaValue(CLUA_MAP, count: UInt32(count)) }

  /// An object of the machine; the index is what `defineObject` returned.
  @inlinable public static func object(_ index: Int) -> LuaValue { LuaValue(CLUA_OBJECT, count: UInt32(index)) }

  /// A handle; the class is what `defineClass` returned.
  @inlinable public static func handle(class index: Int, payload: Int64) -> LuaValue {
    LuaValue(CLUA_HANDLE, count: UInt32(index), integer: payload)
  }

  /// The bytes of a string; nil for other kinds.
  @inlinable public var bytes: UnsafeBufferPointer<UInt8>? {
    guard kind == UInt32(CLUA_STRING) else { return nil }
    return UnsafeBufferPointer(
      start: UnsafeRawPointer(self.as.bytes)?.assumingMemoryBound(to: UInt8.self), count: length)
  }

  /// The number of an integer, or the payload of a handle.
  @inlinable public var integerValue: Int { Int(self.as.integer) }

  /// The number of a number with a fraction.
  @inlinable public var numberValue: Double { self.as.number }

  /// The truth of a boolean.
  @inlinable public var booleanValue: Bool { self.as.integer != 0 }
}

/// Why a value of Lua has no flat form.
public enum FlatFault: Int32, Error, Sendable {
  /// More values than there is room for.
  case full = -1
  /// More than 100 tables inside each other.
  case deep = -2
  /// A key that is neither a string nor part of a sequence.
  case key = -3
  /// A function, a coroutine, an object or a handle that has no text.
  case unsupported = -4
  /// Strings of more than 2 MiB together, one that stands twice counted twice.
  case large = -5
}
