// A machine: Lua with a sandbox, limits, host functions and scripts, used by one thread at a time.
//
// Owns: the C machine. Called by: whoever builds and runs policies. Never: knows what the scripts are for.
import CLua

/// What scripts may take.
public struct LuaLimits: Sendable {
  /// Bytes of everything in the machine.
  public var memory: Int
  /// Bytes of one string, or of the array part of one table.
  public var single: Int
  /// Ticks of 2 ms (4 ms on a kernel of 250 Hz) after which a slice is overdue.
  public var sliceTicks: Int
  /// Ticks that all slices of one context may take.
  public var exchangeTicks: Int
  /// How often all calls of one context may wait.
  public var exchangeWaits: Int

  /// Limits; the defaults are those of a policy.
  public init(
    memory: Int = 32 << 20, single: Int = 4 << 20, sliceTicks: Int = 2, exchangeTicks: Int = 8,
    exchangeWaits: Int = .max
  ) {
    self.memory = memory
    self.single = single
    self.sliceTicks = sliceTicks
    self.exchangeTicks = exchangeTicks
    self.exchangeWaits = exchangeWaits
  }

  var plain: clua_limits {
    clua_limits(
      memory_bytes: memory, string_bytes: single, slice_ticks: UInt32(clamping: sliceTicks),
      exchange_ticks: UInt32(clamping: exchangeTicks), exchange_waits: UInt32(clamping: exchangeWaits))
  }
}

/// How a call goes on.
public enum LuaOutcome: Sendable {
  /// It has returned.
  case done
  /// A host function wants to answer later; `resume` goes on, `finish` abandons.
  case pending
  /// A host function has ended it.
  case ended
  /// It has raised, or hit a limit; `error` says more.
  case failed

  @usableFromInline init(_ raw: Int32) {
    switch Int(raw) {
    case CLUA_DONE: self = .done
    case CLUA_PENDING: self = .pending
    case CLUA_ENDED: self = .ended
    default: self = .failed
    }
  }
}

/// A call of a script's function, from `start` to `finish`. Plain: it may stand in any table.
public struct LuaCall {
  @usableFromInline var call: clua_call

  /// A call of `function`, with a context of the machine or nil for a fresh one that goes with the call.
  @inlinable public init(function: Int32, context: Int32? = nil) {
    call = clua_call(function: function, context: context ?? -1, coroutine: -1)
  }
}

/// What went wrong in a script.
public struct LuaError: Error, Sendable {
  /// Which kind of trouble.
  public enum Kind: Sendable {
    case script, cpu, memory
  }

  /// Which kind of trouble.
  public let kind: Kind
  /// One line, with file and line in front where they are known.
  public let message: String
  /// Functions on the way, innermost first, one a line; empty when there were none.
  public let traceback: String
  /// The line in the script; nil when unknown.
  public let line: Int?
  /// The offending byte of a text that is no Lua; nil for all else.
  public let offset: Int?
}

/// A Lua machine. Calls of it stand in LuaCalls.swift.
public final class LuaMachine {
  @usableFromInline let machine: OpaquePointer
  private var isOpen = true

  /// Opens a machine; nil when there is no memory. `context` goes to every host function.
  public init?(limits: LuaLimits, context: UnsafeMutableRawPointer?) {
    guard let machine = clua_open(limits.plain, context) else { return nil }
    self.machine = machine
  }

  /// Closes the machine; nothing else may be called afterwards.
  public func close() {
    guard isOpen else { return }
    isOpen = false
    clua_close(machine)
  }

  deinit { close() }

  /// Other amounts of CPU time from now on: what is loaded once may take longer than what answers a request.
  public func allow(sliceTicks: Int, exchangeTicks: Int) {
    clua_set_ticks(machine, UInt32(clamping: sliceTicks), UInt32(clamping: exchangeTicks))
  }

  /// Changes what host functions are given.
  public func setContext(_ context: UnsafeMutableRawPointer?) { clua_set_context(machine, context) }

  /// The clock of the thread that uses the machine from now on; without one nothing stops an endless script.
  public func use(_ clock: LuaClock?) { clua_set_clock(machine, clock?.clock) }

  /// Bytes that Lua has taken.
  public var memoryUsed: Int { clua_memory_used(machine) }

  /// Collects garbage, outside any call: all of it, or what is young. Returns the bytes in use after it.
  @discardableResult public func collect(full: Bool) -> Int { clua_collect(machine, full ? 1 : 0) }

  /// Tests: the allocation with this number, counted from 1 and from now on, fails once; 0: none.
  public func failAllocation(_ number: UInt64) { clua_fail_allocation(machine, number) }

  /// Tests: how many allocations there were.
  public var allocations: UInt64 { clua_allocations(machine) }

  /// Tests: the same as `failAllocation` for the next machine that this thread opens.
  public static func failOpening(_ number: UInt64) { clua_fail_opening(number) }

  // MARK: Definitions, before the first script

  /// Defines a function at a dotted path below the globals, as "edge.jwt.verify". False: no memory.
  @discardableResult public func define(_ path: String, _ function: HostFunction) -> Bool {
    clua_define(machine, path, function) == 0
  }

  /// Defines a plain value at a dotted path. False: no memory.
  @discardableResult public func define(_ path: String, _ value: LuaValue) -> Bool {
    withUnsafePointer(to: value) { clua_define_value(machine, path, $0) == 0 }
  }

  /// Defines a value whose fields are computed when they are asked for. `index` answers fields that are not listed,
  /// `assign` takes assignments; without them both are errors. Returns the object's index; nil: no memory.
  public func defineObject(
    _ name: String, fields: [(String, HostFunction)], index: HostFunction? = nil, assign: HostFunction? = nil
  ) -> Int? {
    let made = withNames(fields) { clua_define_object(machine, name, $0, $1, Int32(fields.count), index, assign) }
    return made < 0 ? nil : Int(made)
  }

  /// Defines a class of handles: values with methods and a number inside. Returns its index; nil: no memory.
  public func defineClass(_ name: String, methods: [(String, HostFunction)], text: HostFunction? = nil) -> Int? {
    let made = withNames(methods) { clua_define_class(machine, name, $0, $1, Int32(methods.count), text) }
    return made < 0 ? nil : Int(made)
  }

  private func withNames(
    _ functions: [(String, HostFunction)],
    _ body: (UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<clua_function?>?) -> Int32
  ) -> Int32 {
    var text: [CChar] = []
    var offsets: [Int] = []
    for (name, _) in functions {
      offsets.append(text.count)
      text.append(contentsOf: name.utf8CString)
    }
    return text.withUnsafeBufferPointer { bytes in
      let names: [UnsafePointer<CChar>?] = offsets.map { offset in bytes.baseAddress.map { $0 + offset } }
      let pointers: [clua_function?] = functions.map { $0.1 }
      return names.withUnsafeBufferPointer { names in
        pointers.withUnsafeBufferPointer { body(names.baseAddress, $0.baseAddress) }
      }
    }
  }

  // MARK: Scripts

  /// Compiles a script and runs its top level, which must return a table. Returns its index.
  public func load(name: String, source: [UInt8]) throws(LuaError) -> Int {
    let index = source.withUnsafeBufferPointer { bytes in
      let start = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
      return start.map { clua_load(machine, name, $0, bytes.count) } ?? clua_load(machine, name, "", 0)
    }
    guard index >= 0 else { throw error }
    return Int(index)
  }

  /// The keys of a script's table, in no order.
  public func keys(of script: Int) -> [(name: String, isFunction: Bool)] {
    var found: [(name: String, isFunction: Bool)] = []
    withUnsafeMutablePointer(to: &found) { target in
      clua_keys(machine, Int32(script), target) { target, name, length, kind in
        guard let target, let name else { return }
        let bytes = UnsafeRawBufferPointer(start: name, count: length)
        target.assumingMemoryBound(to: [(name: String, isFunction: Bool)].self).pointee
          .append((String(decoding: bytes, as: UTF8.self), kind == -1))
      }
    }
    return found
  }

  /// The function at a key of a script's table, for `LuaCall`; nil when there is none.
  public func function(_ script: Int, _ name: String) -> Int32? {
    let function = clua_script_function(machine, Int32(script), name)
    return function < 0 ? nil : function
  }

  /// From now on a write to a global of any script is an error. After the last `init`.
  public func freeze() { clua_freeze(machine) }

  // MARK: Errors

  /// What went wrong last.
  public var error: LuaError {
    let line = clua_error_line(machine)
    let offset = clua_error_offset(machine)
    let kind: LuaError.Kind =
      switch Int(clua_error_kind(machine)) {
      case CLUA_ERROR_CPU: .cpu
      case CLUA_ERROR_MEMORY: .memory
      default: .script
      }
    return LuaError(
      kind: kind, message: String(cString: clua_error_message(machine)),
      traceback: String(cString: clua_error_traceback(machine)), line: line > 0 ? Int(line) : nil,
      offset: offset >= 0 ? offset : nil)
  }
}
