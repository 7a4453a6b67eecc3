// Values that are made once: what the machine keeps, read-only for scripts, and strings whose bytes stay in place.
import LuaBridge
import Testing

@Suite struct KeptTests {
  private static let serial: Int64 = 7

  /// A machine whose `edge.principal(serial, place)` returns what it keeps there, and notes when it had to be made.
  private final class Keeper {
    let fixture: Fixture

    init(_ limits: LuaLimits = Fixture.patient) throws {
      fixture = try Fixture(limits: limits)
      let isDefined = fixture.machine.define("edge.principal") { state, context, result in
        let call = HostCall(state, result)
        guard let context else { return call.nothing() }
        let host = Unmanaged<Host>.fromOpaque(context).takeUnretainedValue()
        let (serial, place) = (Int64(call.integer(1) ?? 0), call.integer(2) ?? 0)
        if call.keeps(place, serial: serial) { return call.value(.kept(place)) }
        host.log.append("made")
        host.values[0] = .keep(place, serial: serial)
        host.values[1] = .map(3)
        host.values[2] = .constant("user")
        host.values[3] = .string(serial == KeptTests.serial ? "ann" : "bob")
        host.values[4] = .constant("roles")
        host.values[5] = .list(2)
        host.values[6] = .string("user")
        host.values[7] = .string("admin")
        host.values[8] = .constant("none")
        host.values[9] = .list(0)
        return call.values(at: UnsafePointer(host.values.baseAddress ?? .allocate(capacity: 1)), count: 1)
      }
      #expect(isDefined)
      #expect(
        fixture.machine.define("edge.names") { state, context, result in
          let call = HostCall(state, result)
          guard let context else { return call.nothing() }
          let host = Unmanaged<Host>.fromOpaque(context).takeUnretainedValue()
          let room = UnsafeMutableBufferPointer(rebasing: host.values[..<3])
          guard let count = call.texts(1, into: room) else { return call.value(.integer(-1)) }
          return call.value(.integer(count))
        })
    }

    func run(_ body: String) throws -> String {
      var call = LuaCall(function: try fixture.function(body))
      let outcome = fixture.start(&call)
      let shown = outcome == .done ? fixture.returned(call) : fixture.machine.error.message
      fixture.machine.finish(&call)
      return shown
    }
  }

  @Test func madeOnce() throws {
    let keeper = try Keeper()
    for _ in 0..<3 { #expect(try keeper.run("return edge.principal(7, 3).user") == "'ann'") }
    #expect(keeper.fixture.host.log == ["made"])
    #expect(try keeper.run("return edge.principal(7, 3) == edge.principal(7, 3)") == "true")
    // Another one in its place, and the first one in another.
    #expect(try keeper.run("return edge.principal(8, 3).user .. edge.principal(7, 1023).user") == "'bobann'")
    #expect(try keeper.run("return edge.principal(7, 3).user") == "'ann'")
    #expect(keeper.fixture.host.log.count == 4)
    keeper.fixture.machine.collect(full: true)
    #expect(try keeper.run("return edge.principal(7, 1023).roles[2]") == "'admin'")
    #expect(keeper.fixture.host.log.count == 4)
  }

  /// A place that is none: the value is the same for the script, and made anew each time.
  @Test func withoutPlace() throws {
    let keeper = try Keeper()
    for place in [LuaValue.keptMax, LuaValue.keptMax + 1, 1 << 20] {
      #expect(try keeper.run("local p = edge.principal(7, \(place)) return p.user .. #p.roles") == "'ann2'")
      #expect(try keeper.run("edge.principal(7, \(place)).user = 'x'").hasSuffix("field 'user' is read-only"))
    }
    #expect(keeper.fixture.host.log.count == 6)
  }

  /// Nothing that a script tries changes what the next one gets.
  @Test(arguments: [
    "p.user = 'eve'", "p.new = 1", "p.roles[1] = 'root'", "p.roles[3] = 'root'", "rawset(p, 'user', 'eve')",
    "rawset(p.roles, 1, 'root')", "table.insert(p.roles, 'root')", "table.remove(p.roles)", "table.sort(p.roles)",
    "setmetatable(p, nil)", "setmetatable(p.roles, {})", "table.move({'root'}, 1, 1, 1, p.roles)",
    "local f, t = pairs(p.roles) t[1] = 'root'", "for k in pairs(p) do p[k] = nil end",
    "local m = getmetatable(p) m.__index.user = 'eve'", "p.roles = {}", "p.none[1] = 'root'",
  ])
  func readOnly(_ attempt: String) throws {
    let keeper = try Keeper()
    let before = try keeper.run("return edge.principal(7, 0)")
    #expect(before == "{'none': [], 'roles': ['user', 'admin'], 'user': 'ann'}")
    _ = try keeper.run("local p = edge.principal(7, 0) \(attempt)")
    let failed = try keeper.run("local p = edge.principal(7, 0) return (pcall(function() \(attempt) end))")
    #expect(failed == "false", "\(attempt)")
    let after = try keeper.run("local p = edge.principal(7, 0) return p.user .. table.concat(p.roles, ',')")
    #expect(after == "'annuser,admin'")
    #expect(keeper.fixture.host.log == ["made"])
  }

  /// For everything that reads, it is the table that it shows.
  @Test(arguments: [
    ("return #p.roles", "2"), ("return #p.none", "0"), ("return type(p)", "'table'"),
    ("return p.missing == nil", "true"),
    ("local s = '' for i, r in ipairs(p.roles) do s = s .. i .. r end return s", "'1user2admin'"),
    ("local n = 0 for k, v in pairs(p) do n = n + 1 end return n", "3"),
    ("local n = 0 for k, v in next, p do n = n + 1 end return n", "3"),
    ("return next(p.none) == nil and next(p.roles) == 1", "true"),
    ("return rawlen(p.roles) .. rawget(p, 'user')", "'2ann'"), ("return table.concat(p.roles, ' ')", "'user admin'"),
    ("return select('#', table.unpack(p.roles))", "2"), ("return edge.echo(p.roles)", "['user', 'admin']"),
    ("return p.roles", "['user', 'admin']"), ("return {p.roles, p.none}", "[['user', 'admin'], []]"),
    ("return rawequal(p.roles, p.roles)", "true"), ("return edge.json.array(p.none)", "[]"),
    ("return {roles = edge.json.array(p.roles)}", "{'roles': ['user', 'admin']}"),
  ])
  func readable(_ code: String, _ expected: String) throws {
    #expect(try Keeper().run("local p = edge.principal(7, 5) \(code)") == expected)
  }

  /// `ctx` may hold it, and what a WebSocket keeps of the context has it as a plain list.
  @Test func inContexts() throws {
    let keeper = try Keeper()
    let machine = keeper.fixture.machine
    let context = try #require(machine.makeContext())
    var call = LuaCall(
      function: try keeper.fixture.function("local p = edge.principal(7, 0) ctx.user = p.user ctx.roles = p.roles"),
      context: context)
    #expect(keeper.fixture.start(&call) == .done)
    machine.finish(&call)
    #expect(machine.contextString(context, "user").map { String(decoding: $0, as: UTF8.self) } == "ann")
    #expect(machine.contextValue(context, "roles")?.luaKind == .map)
    #expect(machine.contextValue(context, "roles", member: 2)?.bytes.map { Array($0) } == Array("admin".utf8))
    let count = try #require(machine.contextFlat(context, into: keeper.fixture.host.values))
    var rest = keeper.fixture.host.values[..<count]
    let shown = text(&rest)
    #expect(shown == "{'roles': ['user', 'admin'], 'user': 'ann'}")
    machine.endContext(context)
  }

  @Test(arguments: [
    ("edge.names(edge.principal(7, 0).roles)", "2"), ("edge.names{'a', 'b', 'c'}", "3"), ("edge.names{}", "0"),
    ("edge.names{'a', 'b', 'c', 'd'}", "-1"), ("edge.names{'a', 2}", "-1"), ("edge.names{user = true}", "-1"),
    ("edge.names('a')", "-1"), ("edge.names(nil)", "-1"), ("edge.names(edge.principal(7, 0).none)", "0"),
    ("edge.names(edge.principal(7, 0))", "-1"), ("edge.names{'a', nil, 'c'}", "-1"),
  ])
  func listsOfTexts(_ code: String, _ expected: String) throws {
    #expect(try Keeper().run("return \(code)") == expected)
  }

  /// Keys and constants beyond those that are remembered are found all the same.
  @Test func manyKeys() throws {
    let fixture = try Fixture()
    let machine = fixture.machine
    let context = try #require(machine.makeContext())
    let keys: [StaticString] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    for (number, key) in keys.enumerated() { #expect(machine.setContext(context, key, .integer(number))) }
    for _ in 0..<3 {
      for (number, key) in keys.enumerated() { #expect(machine.contextValue(context, key)?.integerValue == number) }
    }
    machine.endContext(context)
    #expect(machine.contextValue(context, "a")?.luaKind == .nothing, "it has ended")
  }

  /// Contexts are made some at a time, and none is another's.
  @Test func manyContexts() throws {
    let fixture = try Fixture()
    let machine = fixture.machine
    var contexts: [Int32] = []
    for number in 0..<100 {
      let context = try #require(machine.makeContext())
      #expect(machine.contextValue(context, "number")?.luaKind == .nothing, "it is empty")
      #expect(!contexts.contains(context) && machine.setContext(context, "number", .integer(number)))
      contexts.append(context)
      if number % 3 == 0 { machine.endContext(contexts.removeFirst()) }
    }
    let numbers = contexts.compactMap { machine.contextValue($0, "number")?.integerValue }
    #expect(numbers == Array((100 - contexts.count)..<100))
  }
}
