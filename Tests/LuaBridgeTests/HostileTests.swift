// Scripts that try to run for ever, to take all memory or to leave the sandbox: each is stopped or refused within 50 ms
// of CPU time, and the machine is as good as new afterwards.
//
// Called by: nobody. The scripts stand in HostileLoops and HostileEscapes.
import Glibc
import LuaBridge
import Testing

/// A hostile script, as the body of a function, and what becomes of it.
struct Attack: Sendable, CustomTestStringConvertible {
  enum Ending: Sendable, Equatable {
    case cpu, memory
    /// Whichever limit is hit first.
    case limit
    /// An error of the script whose message contains this.
    case error(String)
    /// Nothing is wrong with it; it returns this.
    case answer(String)
    /// It does not matter which.
    case any
  }

  let name: String
  let body: String
  let ending: Ending
  var top = ""
  /// How often it is run; the ending is that of the last run.
  var runs = 1

  init(_ name: String, _ body: String, _ ending: Ending, top: String = "", runs: Int = 1) {
    self.name = name
    self.body = body
    self.ending = ending
    self.top = top
    self.runs = runs
  }

  /// What ends otherwise than by the clock gets more of it, or a busy computer would decide how it ends.
  var limits: LuaLimits {
    switch ending {
    case .cpu, .limit, .any: LuaLimits()
    default: runs > 1 ? LuaLimits() : LuaLimits(sliceTicks: 50, exchangeTicks: 100)
    }
  }

  var testDescription: String { name }
}

@Suite struct HostileTests {
  /// Milliseconds of CPU that a script may take. Unit tests run unoptimised and with AddressSanitizer.
  static let allowed = 50.0 * 10

  static func cpuMilliseconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
  }

  /// Runs the attack and looks at how it ended, how long it took, and whether the machine still works.
  static func launch(_ attack: Attack) throws {
    let fixture = try Fixture(limits: attack.limits)
    let good = try fixture.function(#"local n = 0 for w in ("a bc"):gmatch("%a+") do n = n + #w end return n"#)
    let function = try fixture.function(attack.body, top: attack.top)
    fixture.machine.freeze()
    let memory = fixture.machine.collect(full: true)
    var worst = 0.0
    for run in 1...attack.runs {
      var call = LuaCall(function: function)
      let start = cpuMilliseconds()
      let outcome = fixture.start(&call)
      worst = max(worst, cpuMilliseconds() - start)
      if run == attack.runs { check(attack, outcome, call, fixture) }
      let finish = cpuMilliseconds()
      fixture.machine.finish(&call)
      worst = max(worst, cpuMilliseconds() - finish)
      if worst > allowed { break }
    }
    #expect(worst < allowed, "\(attack.name) took \(worst) ms of CPU time")
    var call = LuaCall(function: good)
    let outcome = fixture.start(&call)
    #expect(fixture.describe(outcome, call) == "3", "\(attack.name) broke the machine")
    fixture.machine.finish(&call)
    if attack.top.isEmpty {
      // Lua halves its table of strings with each collection.
      for _ in 1...8 { fixture.machine.collect(full: true) }
      #expect(fixture.machine.memoryUsed < memory + 32768, "\(attack.name) left memory behind")
    }
  }

  private static func check(_ attack: Attack, _ outcome: LuaOutcome, _ call: LuaCall, _ fixture: Fixture) {
    let description = fixture.describe(outcome, call)
    let error = fixture.machine.error
    switch attack.ending {
    case .answer(let answer):
      #expect(description == answer, "\(attack.name)")
      return
    case .error(let text):
      #expect(outcome == .failed && description.contains(text), "\(attack.name): \(description)")
      #expect(error.kind == .script, "\(attack.name): \(description)")
    case .cpu:
      #expect(outcome == .failed && error.kind == .cpu, "\(attack.name): \(description)")
      #expect(error.message.contains("ms of CPU time"))
    case .memory:
      #expect(outcome == .failed && error.kind == .memory, "\(attack.name): \(description)")
      #expect(error.message.contains("not enough memory"))
    case .any:
      return
    case .limit:
      #expect(outcome == .failed && error.kind != .script, "\(attack.name): \(description)")
    }
    #expect(error.line != nil, "\(attack.name): \(description)")
  }

  @Test(arguments: HostileLoops.loops) func stopsLoops(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileLoops.coroutines) func stopsCoroutines(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileLoops.callbacks) func stopsCallbacks(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileLoops.libraries) func stopsLibraries(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileLoops.memory) func stopsMemory(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileLoops.compiler) func stopsTheCompiler(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileEscapes.writes) func refusesWrites(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileEscapes.reaches) func refusesReaches(_ attack: Attack) throws { try Self.launch(attack) }

  @Test(arguments: HostileEscapes.errors) func reportsErrors(_ attack: Attack) throws { try Self.launch(attack) }

  /// Where C runs for long without a look at the clock, unless the machine sees to it.
  @Test(arguments: HostileLoops.blindSpots) func stopsBlindSpots(_ attack: Attack) throws { try Self.launch(attack) }

  @Test func namesTheLine() throws {
    let fixture = try Fixture(limits: LuaLimits())
    _ = try fixture.run("\n\nwhile true do\nlocal x = 1\nend")
    #expect(fixture.machine.error.kind == .cpu)
    #expect((3...5).contains(fixture.machine.error.line ?? 0))
    #expect(fixture.machine.error.message.hasPrefix("policies/test.lua:"))
    _ = try fixture.run("\n\n\nreturn ('a'):rep(65536):find('.-b')")
    #expect(fixture.machine.error.kind == .cpu)
    #expect(fixture.machine.error.line == 4)
    #expect(fixture.machine.error.traceback.contains("find"))
    _ = try fixture.run("\ncoroutine.wrap(function()\n  while true do end\nend)()")
    #expect(fixture.machine.error.line == 3)
  }

  @Test func namesTheLineThatWantedMemory() throws {
    let fixture = try Fixture(limits: LuaLimits(sliceTicks: 1000, exchangeTicks: 1000))
    _ = try fixture.run("local s = 'x'\nwhile true do\ns = s .. s end")
    #expect(fixture.machine.error.kind == .memory)
    #expect(fixture.machine.error.line == 3)
  }

  /// One script after the other on one machine.
  @Test func machineOutlivesAll() throws {
    let fixture = try Fixture(limits: LuaLimits())
    let good = try fixture.function("return 1")
    var attacks = HostileLoops.loops + HostileLoops.coroutines + HostileLoops.callbacks + HostileLoops.memory
    attacks += HostileEscapes.writes + HostileEscapes.errors
    let functions = try attacks.map { try fixture.function($0.body, top: $0.top) }
    fixture.machine.freeze()
    for function in functions {
      var call = LuaCall(function: function)
      _ = fixture.start(&call)
      fixture.machine.finish(&call)
      call = LuaCall(function: good)
      let outcome = fixture.start(&call)
      #expect(fixture.describe(outcome, call) == "1")
      fixture.machine.finish(&call)
    }
    #expect(fixture.machine.collect(full: true) < 4 << 20)
  }

  /// What one call spends the next one of its context has not.
  @Test func contextsAddUp() throws {
    let fixture = try Fixture(limits: LuaLimits(sliceTicks: 1000, exchangeTicks: 10))
    let function = try fixture.function("for i = 1, 200000 do end")
    let context = try #require(fixture.machine.makeContext())
    var failures = 0
    for _ in 1...2000 where failures == 0 {
      var call = LuaCall(function: function, context: context)
      if fixture.start(&call) == .failed { failures += 1 }
      fixture.machine.finish(&call)
    }
    #expect(failures == 1)
    #expect(fixture.machine.error.kind == .cpu)
    var call = LuaCall(function: function, context: context)
    #expect(fixture.start(&call) == .failed)
    fixture.machine.finish(&call)
    fixture.machine.endContext(context)
    call = LuaCall(function: function)
    #expect(fixture.start(&call) == .done)
    fixture.machine.finish(&call)
  }

  /// A host function that waits may not do so where C stands between it and the host, and says so.
  @Test(arguments: [
    "return ('x'):gsub('x', edge.wait)", "table.sort({1, 2}, edge.wait)",
    "return ('x'):gsub('x', function() coroutine.wrap(edge.wait)() end)",
    "return tostring(setmetatable({}, {__tostring = edge.wait}))",
    "return ('x'):gsub('x', edge.stop)",
    "return ('x'):gsub('x', function() return coroutine.wrap(function() edge.stop() end)() end)",
  ])
  func refusesToWaitInsideOfC(body: String) throws {
    #expect(try Fixture().run(body).contains("cannot be suspended"))
  }
}
