// Calls of a machine and their contexts. No function here allocates in Swift.
//
// Called by: whoever runs policies, per request. Never: raises over a Swift frame.
import CLua

extension LuaMachine {
  // MARK: Contexts

  /// A table that lives through several calls and is not seen by others; nil: no memory.
  @inlinable public func makeContext() -> Int32? {
    let context = clua_context_new(machine)
    return context < 0 ? nil : context
  }

  /// Lets a context take all of its CPU time again, and wait as often.
  @inlinable public func refill(_ context: Int32) { clua_context_refill(machine, context) }

  /// Forgets a context.
  @inlinable public func endContext(_ context: Int32) { clua_context_end(machine, context) }

  /// The string at a key of a context; nil when there is none. Valid until the context changes.
  @inlinable public func contextString(_ context: Int32, _ key: StaticString) -> UnsafeBufferPointer<UInt8>? {
    var length = 0
    guard let start = clua_context_string(machine, context, key.characters, &length) else { return nil }
    return UnsafeBufferPointer(start: UnsafeRawPointer(start).assumingMemoryBound(to: UInt8.self), count: length)
  }

  /// Sets a plain value at a key of a context. False: no memory.
  @inlinable @discardableResult public func setContext(_ context: Int32, _ key: StaticString, _ value: LuaValue) -> Bool
  {
    withUnsafePointer(to: value) { clua_context_set(machine, context, key.characters, $0) == 0 }
  }

  /// The value at a key of a context, or the member with this number of the list there; tables are `.map`, what is no
  /// plain value `.other`. nil: no memory. A string is valid until the context changes.
  @inlinable public func contextValue(_ context: Int32, _ key: StaticString, member: Int = 0) -> LuaValue? {
    var value = LuaValue.nothing
    let done = clua_context_value(machine, context, key.characters, Int32(clamping: member), &value)
    return done == 0 ? value : nil
  }

  /// Writes what of a context another machine can be given as flat values, one map, and returns how many: names with
  /// strings, numbers, booleans and lists of these. All else is left out. nil: there is no room for it, or too much of
  /// it to look at.
  @inlinable public func contextFlat(
    _ context: Int32, into out: UnsafeMutableBufferPointer<LuaValue>
  ) -> Int? {
    let written = clua_context_flat(machine, context, out.baseAddress, Int32(clamping: out.count))
    return written < 0 ? nil : Int(written)
  }

  /// Makes a context the table that a flat map says. False: no memory, and it is as it was.
  @inlinable public func fillContext(_ context: Int32, at map: UnsafePointer<LuaValue>) -> Bool {
    clua_context_fill(machine, context, map) == 0
  }

  // MARK: Calls

  /// Runs a call with arguments of any shape, `count` at the top level, until it returns, ends, fails or waits. Every
  /// call that was started is finished once.
  @inlinable public func start(
    _ call: inout LuaCall, at arguments: UnsafePointer<LuaValue>?, count: Int
  ) -> LuaOutcome {
    LuaOutcome(clua_start(machine, &call.call, arguments, Int32(count)))
  }

  /// The same, with two plain arguments.
  @inlinable public func start(_ call: inout LuaCall, _ first: LuaValue, _ second: LuaValue) -> LuaOutcome {
    var arguments = (first, second)
    return withUnsafePointer(to: &arguments) { pair in
      pair.withMemoryRebound(to: LuaValue.self, capacity: 2) {
        LuaOutcome(clua_start(machine, &call.call, $0, 2))
      }
    }
  }

  /// Answers what a call waits for with values of any shape, `count` at the top level.
  @inlinable public func resume(
    _ call: inout LuaCall, values: UnsafePointer<LuaValue>?, count: Int
  ) -> LuaOutcome {
    var answer = clua_result()
    answer.values = values
    answer.count = values == nil ? 0 : UInt32(count)
    return LuaOutcome(clua_resume(machine, &call.call, Int32(CLUA_RETURN), &answer))
  }

  /// Answers what a call waits for with an error.
  @inlinable public func resume(_ call: inout LuaCall, error: UnsafeBufferPointer<UInt8>) -> LuaOutcome {
    var answer = clua_result()
    answer.message = UnsafeRawPointer(error.baseAddress)?.assumingMemoryBound(to: CChar.self)
    answer.message_length = error.count
    return LuaOutcome(clua_resume(machine, &call.call, Int32(CLUA_RAISE), &answer))
  }

  /// Gives back what a call holds, whatever became of it; one that waits is abandoned.
  @inlinable public func finish(_ call: inout LuaCall) {
    if call.coroutine >= 0 { clua_finish(machine, &call.call) }
  }

  // MARK: What a call returned

  /// What the first returned value is; tables are `.map`, what has no flat form is `.other`.
  @inlinable public func returnedKind(_ call: LuaCall) -> LuaKind {
    if call.coroutine < 0 { return .nothing }
    return LuaKind(withUnsafePointer(to: call.call) { clua_returned_kind(machine, $0) })
  }

  /// Writes the first returned value as flat values and returns how many. Strings are valid until `finish`.
  public func returnedFlat(
    _ call: LuaCall, into out: UnsafeMutableBufferPointer<LuaValue>
  ) throws(FlatFault) -> Int {
    let written = withUnsafePointer(to: call.call) {
      clua_returned_flat(machine, $0, out.baseAddress, Int32(clamping: out.count))
    }
    guard written < 0 else { return Int(written) }
    throw FlatFault(rawValue: written) ?? .unsupported
  }
}

extension StaticString {
  /// Its bytes with the zero behind them, as C wants them.
  @usableFromInline var characters: UnsafePointer<CChar> {
    UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
