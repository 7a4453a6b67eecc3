// A machine for tests, with host functions that log, wait, end and answer.
//
// Called by: the tests of the bridge.
import LuaBridge
import Testing

/// What host functions of the tests know; the machine's context.
final class Host {
  var log: [String] = []
  var ended: HostCall?
  var payload: Int64 = 0
  let values = UnsafeMutableBufferPointer<LuaValue>.allocate(capacity: 1000)

  deinit { values.deallocate() }
}

/// A machine with the test's host functions.
final class Fixture {
  let machine: LuaMachine
  let host = Host()
  let clock: LuaClock?
  let request: Int

  /// Time enough for a slow machine, where time is not what a test is about.
  static let patient = LuaLimits(sliceTicks: 50, exchangeTicks: 100)

  init(limits: LuaLimits = Fixture.patient, hasClock: Bool = true) throws {
    machine = try #require(LuaMachine(limits: limits, context: Unmanaged.passUnretained(host).toOpaque()))
    clock = hasClock ? LuaClock() : nil
    machine.use(clock)
    machine.define("edge.log", log)
    machine.define("edge.wait") { state, _, result in HostCall(state, result).pause() }
    machine.define("edge.fail") { state, _, result in HostCall(state, result).raise("told to fail") }
    machine.define("edge.stop", stop)
    machine.define("edge.deep.er.add", add)
    machine.define("edge.echo", echo)
    machine.define("edge.caller") { state, _, result in
      let call = HostCall(state, result)
      return call.raise(call.caller)
    }
    request = try #require(
      machine.defineObject(
        "req", fields: [("method", { state, _, result in HostCall(state, result).value(.string("GET")) })]))
  }

  deinit {
    machine.close()
    clock?.end()
  }

  /// Loads a script whose table has one function `run` with this body; returns the function.
  func function(_ body: String, top: String = "") throws -> Int32 {
    let source = "\(top) return { run = function(req, ctx) \(body)\nend }"
    let script = try machine.load(name: "policies/test.lua", source: Array(source.utf8))
    return try #require(machine.function(script, "run"))
  }

  /// Starts `run` with req and ctx.
  func start(_ call: inout LuaCall) -> LuaOutcome { machine.start(&call, .object(request), .context) }

  /// Runs a body to its end and describes what it returned.
  func run(_ body: String, top: String = "") throws -> String {
    var call = LuaCall(function: try function(body, top: top))
    let outcome = start(&call)
    defer { machine.finish(&call) }
    return describe(outcome, call)
  }

  func describe(_ outcome: LuaOutcome, _ call: LuaCall) -> String {
    switch outcome {
    case .done: return returned(call)
    case .pending: return "pending"
    case .ended: return "ended"
    case .failed: return "error: " + machine.error.message
    }
  }

  func returned(_ call: LuaCall) -> String {
    withUnsafeTemporaryAllocation(of: LuaValue.self, capacity: 1000) { out in
      do {
        let count = try machine.returnedFlat(call, into: out)
        var rest = out[..<count]
        return text(&rest)
      } catch let fault {
        return "fault \(fault)"
      }
    }
  }

  /// Answers a call that waits with one value.
  func resume(_ call: inout LuaCall, _ value: LuaValue) -> LuaOutcome {
    withUnsafePointer(to: value) { machine.resume(&call, values: $0, count: 1) }
  }
}

/// Writes flat values as text, maps sorted by key.
func text(_ values: inout Slice<UnsafeMutableBufferPointer<LuaValue>>) -> String {
  guard let value = values.popFirst() else { return "?" }
  switch value.luaKind {
  case .nothing: return "nil"
  case .null: return "null"
  case .boolean: return value.booleanValue ? "true" : "false"
  case .integer: return "\(value.integerValue)"
  case .number: return "\(value.numberValue)"
  case .string: return "'" + String(decoding: value.bytes ?? .init(start: nil, count: 0), as: UTF8.self) + "'"
  case .list:
    var members: [String] = []
    for _ in 0..<value.count { members.append(text(&values)) }
    return "[" + members.joined(separator: ", ") + "]"
  case .map:
    var members: [String] = []
    for _ in 0..<value.count {
      let key = text(&values)
      members.append("\(key): \(text(&values))")
    }
    return "{" + members.sorted().joined(separator: ", ") + "}"
  default: return "kind \(value.kind)"
  }
}

private let log: HostFunction = { state, context, result in
  let call = HostCall(state, result)
  guard let context, let bytes = call.string(1) else { return call.raise("log takes a string") }
  Unmanaged<Host>.fromOpaque(context).takeUnretainedValue().log.append(String(decoding: bytes, as: UTF8.self))
  return call.nothing()
}

private let stop: HostFunction = { state, context, result in
  let call = HostCall(state, result)
  guard let context else { return call.nothing() }
  Unmanaged<Host>.fromOpaque(context).takeUnretainedValue().ended = call
  return call.end()
}

private let add: HostFunction = { state, _, result in
  let call = HostCall(state, result)
  guard let first = call.integer(1), let second = call.integer(2) else { return call.raise("add takes two integers") }
  return call.values(.integer(first + second), .string("sum"))
}

/// Gives back its argument through flat values.
private let echo: HostFunction = { state, context, result in
  let call = HostCall(state, result)
  guard let context else { return call.nothing() }
  let values = Unmanaged<Host>.fromOpaque(context).takeUnretainedValue().values
  guard let start = values.baseAddress else { return call.nothing() }
  do {
    _ = try call.flat(1, into: values)
  } catch let fault {
    return call.raise("no flat form: \(fault)")
  }
  return call.values(at: start, count: 1)
}
