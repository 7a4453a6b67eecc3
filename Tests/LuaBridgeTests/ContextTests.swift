// Contexts from outside: what of them another machine can be given, filled from that, and single values read. Nothing
// of it runs code of a script, raises, or takes longer than a slice.
import LuaBridge
import Testing

@Suite struct ContextTests {
  /// Room for the flat form of a context.
  private final class Room {
    let values = UnsafeMutableBufferPointer<LuaValue>.allocate(capacity: 4096)
    deinit { values.deallocate() }
  }

  /// A context after code has run with it.
  private func context(_ fixture: Fixture, _ code: String) throws -> Int32 {
    let context = try #require(fixture.machine.makeContext())
    var call = LuaCall(function: try fixture.function(code), context: context)
    #expect(fixture.start(&call) == .done, "\(fixture.machine.error.message)")
    fixture.machine.finish(&call)
    return context
  }

  private func flat(_ fixture: Fixture, _ context: Int32, _ capacity: Int = 4096) -> String? {
    let room = Room()
    let area = UnsafeMutableBufferPointer(rebasing: room.values[..<capacity])
    guard let count = fixture.machine.contextFlat(context, into: area) else { return nil }
    var rest = area[..<count]
    let shown = text(&rest)
    #expect(rest.isEmpty, "as many values as it said")
    return shown
  }

  static let kept: [(String, String)] = [
    ("", "{}"), ("ctx.a = 'x' ctx.b = 2 ctx.c = 2.5", "{'a': 'x', 'b': 2, 'c': 2.5}"),
    ("ctx.d = true ctx.e = false", "{'d': true, 'e': false}"),
    ("ctx.a = 3.0 ctx.b = math.mininteger", "{'a': 3.0, 'b': -9223372036854775808}"),
    ("ctx.a = 1/0 ctx.b = -1/0", "{'a': inf, 'b': -inf}"),
    ("ctx[''] = '' ctx['a b\\n'] = 1", "{'': '', 'a b\n': 1}"),
    ("ctx.a = {'x', 2, 2.5, true, false}", "{'a': ['x', 2, 2.5, true, false]}"),
    ("ctx.a = {} ctx.b = edge.json.array{}", "{'a': {}, 'b': []}"),
    ("ctx.a = nil ctx.b = 1 ctx.b = nil", "{}"),
    // Left behind.
    ("ctx[1] = 'x' ctx[true] = 1 ctx[2.5] = 1 ctx[{}] = 1 ctx[print or type] = 1 ctx.a = 1", "{'a': 1}"),
    ("ctx.a = edge.json.null ctx.b = type ctx.c = req ctx.d = coroutine.create(type) ctx.e = 1", "{'e': 1}"),
    ("ctx.a = {b = 1} ctx.c = {{1}} ctx.d = {1, {}} ctx.e = {1, type} ctx.f = {1, edge.json.null}", "{}"),
    ("ctx.a = {1, nil, 3} ctx.b = {1, 2, c = 3} ctx.d = {[0] = 1} ctx.e = {1, [3] = 3} ctx.f = {[2] = 1}", "{}"),
    ("ctx.a = {1, 2, [1.5] = 3} ctx.b = {1, [true] = 2} ctx.c = {[-1] = 1} ctx.d = {[2^53] = 1}", "{}"),
    ("ctx.a = ctx ctx.b = {ctx}", "{}"),
    // What a script has made of its tables changes nothing: they are read raw.
    ("setmetatable(ctx, {__pairs = error, __index = error, __len = error}) ctx.a = 1", "{'a': 1}"),
    ("ctx.a = setmetatable({1, 2}, {__index = error, __len = error, __pairs = error})", "{'a': [1, 2]}"),
    ("setmetatable(ctx, {__index = {b = 2}}) ctx.a = 1", "{'a': 1}"),
    ("ctx.a = {1, 2, 3} table.remove(ctx.a)", "{'a': [1, 2]}"),
    ("local t = {} for i = 1, 100 do t[i] = i end for i = 100, 3, -1 do t[i] = nil end ctx.a = t", "{'a': [1, 2]}"),
    ("local t = {} for i = 5, 1, -1 do t[i] = i end ctx.a = t", "{'a': [1, 2, 3, 4, 5]}"),
  ]

  @Test(arguments: kept) func plainEntries(_ code: String, _ expected: String) throws {
    let fixture = try Fixture()
    let context = try context(fixture, code)
    #expect(flat(fixture, context) == expected)
    // As often as one likes, and the script goes on with what it had.
    #expect(flat(fixture, context) == expected)
    fixture.machine.endContext(context)
    #expect(flat(fixture, context) == nil)
  }

  /// A context that was filled is the same again, in any machine.
  @Test(arguments: kept) func filled(_ code: String, _ expected: String) throws {
    let (first, second) = (try Fixture(), try Fixture())
    let source = try context(first, code)
    let room = Room()
    let start = try #require(room.values.baseAddress)
    #expect(first.machine.contextFlat(source, into: room.values) != nil)
    let copy = try context(second, "ctx.before = 1")
    #expect(second.machine.fillContext(copy, at: start))
    #expect(flat(second, copy) == expected, "what was there before is gone")
    var call = LuaCall(
      function: try second.function("ctx.added = (ctx.added or 0) + 1 return ctx.added"), context: copy)
    #expect(second.start(&call) == .done && second.returned(call) == "1")
    second.machine.finish(&call)
  }

  @Test func onlyAMapFillsAContext() throws {
    let fixture = try Fixture()
    let context = try context(fixture, "ctx.a = 1")
    for value in [LuaValue.list(0), .nothing, .string("x"), .context] {
      #expect(!withUnsafePointer(to: value) { fixture.machine.fillContext(context, at: $0) })
    }
    #expect(!withUnsafePointer(to: LuaValue.map(0)) { fixture.machine.fillContext(77, at: $0) })
    #expect(flat(fixture, context) == "{'a': 1}")
  }

  @Test func thereMustBeRoom() throws {
    let fixture = try Fixture()
    let context = try context(fixture, "ctx.a = {1, 2, 3} ctx.b = type ctx.c = {{}}")
    #expect(flat(fixture, context, 6) == "{'a': [1, 2, 3]}")
    for capacity in 0..<6 { #expect(flat(fixture, context, capacity) == nil) }
    let empty = try self.context(fixture, "ctx.a = type")
    #expect(flat(fixture, empty, 1) == "{}")
    #expect(flat(fixture, empty, 0) == nil)
  }

  /// What is left behind takes no room, however long it is; what has no end is not looked at to its end.
  @Test func muchOfIt() throws {
    let fixture = try Fixture(limits: LuaLimits(sliceTicks: 50, exchangeTicks: 50))
    #expect(
      flat(fixture, try context(fixture, "local t = {} for i = 1, 4000 do t[i] = type end ctx.a = t ctx.b = 1"))
        == "{'b': 1}")
    #expect(flat(fixture, try context(fixture, "for i = 1, 4000 do ctx[i] = 'x' end ctx.b = 1")) == "{'b': 1}")
    #expect(flat(fixture, try context(fixture, "local t = {} for i = 1, 5000 do t[i] = i end ctx.a = t")) == nil)
    #expect(flat(fixture, try context(fixture, "for i = 1, 3000 do ctx['k' .. i] = i end")) == nil)
    // Nothing but the first member is left of each, and behind the others a name: each is walked through in vain.
    let tables = """
      local t = {x = 1} for i = 1, 100000 do t[i] = i end for i = 2, 100000 do t[i] = nil end
      for i = 1, 4000 do ctx['k' .. i] = t end
      """
    let slow = try context(fixture, tables)
    fixture.machine.allow(sliceTicks: 2, exchangeTicks: 5)
    #expect(flat(fixture, slow) == nil, "stopped")
    #expect(try fixture.run("return 1") == "1")
  }

  @Test func singleValues() throws {
    let fixture = try Fixture()
    let context = try context(
      fixture, "ctx.s = 'x' ctx.n = 2.5 ctx.b = true ctx.l = {'a', {}, type} ctx.f = type ctx.z = edge.json.null")
    func kind(_ key: StaticString, _ member: Int = 0) -> LuaKind? {
      fixture.machine.contextValue(context, key, member: member)?.luaKind
    }
    #expect(fixture.machine.contextValue(context, "s")?.bytes.map { Array($0) } == [0x78])
    #expect(fixture.machine.contextValue(context, "n")?.numberValue == 2.5)
    #expect(fixture.machine.contextValue(context, "b")?.booleanValue == true)
    #expect(kind("l") == .map && kind("f") == .other && kind("z") == .null && kind("absent") == .nothing)
    #expect(fixture.machine.contextValue(context, "l", member: 1)?.bytes.map { Array($0) } == [0x61])
    #expect(kind("l", 2) == .map && kind("l", 3) == .other && kind("l", 4) == .nothing)
    #expect(kind("s", 1) == .nothing && kind("absent", 1) == .nothing && kind("f", 1) == .nothing)
    fixture.machine.endContext(context)
    #expect(kind("s") == .nothing && fixture.machine.contextValue(-1, "s")?.luaKind == .nothing)
  }

  /// Every allocation fails once while a context is read and filled.
  @Test func withoutMemory() throws {
    let fixture = try Fixture(hasClock: false)
    let machine = fixture.machine
    let expected = "{'list': ['a long text that is not kept among the short ones', 2], 'name': 'ann'}"
    let source = try context(
      fixture, "ctx.name = 'ann' ctx.list = {'a long text that is not kept among the short ones', 2}")
    let room = Room()
    let start = try #require(room.values.baseAddress)
    var (failures, done) = (0, false)
    for number in 1..<1_000 where !done {
      let before = machine.allocations
      machine.failAllocation(UInt64(number))
      let isRead = machine.contextFlat(source, into: room.values) != nil
      let copy = machine.makeContext()
      let isFilled = isRead && copy.map { machine.fillContext($0, at: start) } ?? false
      let value = copy.flatMap { machine.contextValue($0, "name") }
      done = machine.allocations - before < UInt64(number)
      machine.failAllocation(0)
      if !isFilled { failures += 1 }
      if let value, isFilled { #expect(value.bytes.map { Array($0) } == Array("ann".utf8)) }
      if let copy {
        #expect(flat(fixture, copy) == (isFilled ? expected : "{}"))
        machine.endContext(copy)
      }
      #expect(flat(fixture, source) == expected)
    }
    #expect(done)
    #expect(failures > 3)
  }
}
