// A call of a Swift function by a script: reading the arguments, giving the answer. Nothing here can raise or allocate;
// the answer is a plain struct that the C side pushes when the Swift frame is gone.
//
// Called by: host functions. Never: outlives the call it stands for, but for arguments of a call that has ended.
import CLua

/// A Swift function that scripts can call. The body makes a `HostCall` of the first and the last argument; the second
/// is the context of the machine.
public typealias HostFunction = clua_function

/// The arguments of a host function, and its answer.
public struct HostCall {
  @usableFromInline let state: OpaquePointer?
  @usableFromInline let result: UnsafeMutablePointer<clua_result>?

  /// Wraps what the host function was called with.
  @inlinable public init(_ state: OpaquePointer?, _ result: UnsafeMutablePointer<clua_result>?) {
    self.state = state
    self.result = result
  }

  // MARK: Arguments

  /// How many arguments there are. Of a method or a field of an object the first is the object.
  @inlinable public var count: Int { Int(clua_arguments(state)) }

  /// What the argument is. Arguments are counted from 1.
  @inlinable public func kind(_ index: Int) -> LuaKind { LuaKind(clua_argument_kind(state, Int32(index))) }

  /// The bytes of a string; nil for all else.
  @inlinable public func string(_ index: Int) -> UnsafeBufferPointer<UInt8>? {
    var length = 0
    guard let start = clua_argument_string(state, Int32(index), &length) else { return nil }
    return UnsafeBufferPointer(start: UnsafeRawPointer(start).assumingMemoryBound(to: UInt8.self), count: length)
  }

  /// A whole number, also one written as 3.0; nil for all else.
  @inlinable public func integer(_ index: Int) -> Int? {
    var value: Int64 = 0
    return clua_argument_integer(state, Int32(index), &value) != 0 ? Int(value) : nil
  }

  /// A number of any kind; nil for all else.
  @inlinable public func number(_ index: Int) -> Double? {
    var value = 0.0
    return clua_argument_number(state, Int32(index), &value) != 0 ? value : nil
  }

  /// Truth as Lua has it: everything but `nil` and `false`.
  @inlinable public func boolean(_ index: Int) -> Bool { clua_argument_boolean(state, Int32(index)) != 0 }

  /// The payload of a handle of this class; nil for all else.
  @inlinable public func handle(_ index: Int, class classIndex: Int) -> Int64? {
    var payload: Int64 = 0
    return clua_argument_handle(state, Int32(index), UInt32(classIndex), &payload) != 0 ? payload : nil
  }

  /// The index of the object that the argument is; nil for all else.
  @inlinable public func object(_ index: Int) -> Int? {
    let object = clua_argument_object(state, Int32(index))
    return object < 0 ? nil : Int(object)
  }

  /// Writes the members of a list of strings and returns how many; nil for all else, and when they are too many. They
  /// point into Lua.
  @inlinable public func texts(_ index: Int, into out: UnsafeMutableBufferPointer<LuaValue>) -> Int? {
    let count = clua_argument_texts(state, Int32(index), out.baseAddress, Int32(clamping: out.count))
    return count < 0 ? nil : Int(count)
  }

  /// Whether the machine keeps a value in this place under this serial.
  @inlinable public func keeps(_ place: Int, serial: Int64) -> Bool { clua_keeps(state, UInt32(place), serial) != 0 }

  /// Writes an argument of any shape as flat values and returns how many. Strings point into Lua.
  @inlinable public func flat(
    _ index: Int, into out: UnsafeMutableBufferPointer<LuaValue>
  ) throws(FlatFault) -> Int {
    let written = clua_argument_flat(state, Int32(index), out.baseAddress, Int32(clamping: out.count))
    guard written < 0 else { return Int(written) }
    throw FlatFault(rawValue: written) ?? .unsupported
  }

  /// File and line that called, as "policies/auth.lua:12"; empty when unknown. Makes a String: for messages.
  public var caller: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { text in
      let length = clua_caller(state, text.baseAddress, text.count)
      return String(decoding: UnsafeRawBufferPointer(text)[..<length], as: UTF8.self)
    }
  }

  /// Writes file and line of the caller; returns how many bytes, without allocating.
  public func caller(into text: UnsafeMutableBufferPointer<CChar>) -> Int {
    clua_caller(state, text.baseAddress, text.count)
  }

  /// Whether `pause` and `end` are obeyed here. To be asked before something is begun that must be awaited.
  @inlinable public var mayPause: Bool { clua_may_pause(state) != 0 }

  // MARK: Answers

  /// The script gets nothing.
  @inlinable public func nothing() -> Int32 { Int32(CLUA_RETURN) }

  /// The script gets one plain value.
  @inlinable public func value(_ value: LuaValue) -> Int32 {
    result?.pointee.own.0 = value
    result?.pointee.count = 1
    return Int32(CLUA_RETURN)
  }

  /// The script gets two plain values.
  @inlinable public func values(_ first: LuaValue, _ second: LuaValue) -> Int32 {
    result?.pointee.own.0 = first
    result?.pointee.own.1 = second
    result?.pointee.count = 2
    return Int32(CLUA_RETURN)
  }

  /// The script gets three plain values.
  @inlinable public func values(_ first: LuaValue, _ second: LuaValue, _ third: LuaValue) -> Int32 {
    result?.pointee.own.2 = third
    _ = values(first, second)
    result?.pointee.count = 3
    return Int32(CLUA_RETURN)
  }

  /// The script gets values of any shape, `count` at the top level. They must stay where they are until the function
  /// has returned.
  @inlinable public func values(at values: UnsafePointer<LuaValue>, count: Int) -> Int32 {
    result?.pointee.values = values
    result?.pointee.count = UInt32(count)
    return Int32(CLUA_RETURN)
  }

  /// The script gets an error, with its file and line in front.
  @inlinable public func raise(_ text: StaticString) -> Int32 {
    raise(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// The script gets an error, with its file and line in front. The bytes must stay where they are until the function
  /// has returned.
  @inlinable public func raise(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32 {
    result?.pointee.message = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
    result?.pointee.message_length = bytes.count
    return Int32(CLUA_RAISE)
  }

  /// The script gets an error, with its file and line in front; cut to 1 KiB.
  public func raise(_ text: String) -> Int32 {
    var text = text
    return text.withUTF8 { bytes in
      var length = bytes.count
      let start = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
      if let start, length > 0 { result?.pointee.message = clua_keep(state, start, &length) }
      result?.pointee.message_length = length
      return Int32(CLUA_RAISE)
    }
  }

  /// The answer comes later: the call is pending until `resume`.
  @inlinable public func pause() -> Int32 { Int32(CLUA_YIELD) }

  /// The script is not continued, whatever it tries. The arguments stay readable until `finish`.
  @inlinable public func end() -> Int32 { Int32(CLUA_END) }
}
