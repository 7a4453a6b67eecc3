// Every allocation fails once: while a machine is opened, while a script is loaded, called and answered. Nothing
// crashes or leaks, and the machine goes on.
import LuaBridge
import Testing

@Suite struct FaultTests {
  @Test func opening() throws {
    var opened = false
    for number in 1..<5_000 {
      LuaMachine.failOpening(UInt64(number))
      guard let machine = LuaMachine(limits: LuaLimits(), context: nil) else { continue }
      #expect(number > 100)
      machine.close()
      opened = true
      break
    }
    #expect(opened)
  }

  @Test func definitions() throws {
    var done = false
    for number in 1..<1_000 {
      let machine = try #require(LuaMachine(limits: LuaLimits(), context: nil))
      machine.failAllocation(UInt64(number))
      let before = machine.allocations
      let function = machine.define("edge.some.thing") { state, _, result in HostCall(state, result).nothing() }
      let value = machine.define("edge.some.value", .integer(1))
      let object = machine.defineObject(
        "req", fields: [("a", { state, _, result in HostCall(state, result).nothing() })])
      let handles = machine.defineClass(
        "limit", methods: [("take", { state, _, result in HostCall(state, result).nothing() })])
      let count = [function, value, object != nil, handles != nil].count { !$0 }
      done = machine.allocations - before < UInt64(number)
      // Lua may do without some: a table of strings that does not grow yet.
      #expect(count <= 1)
      machine.close()
      if done { break }
    }
    #expect(done)
  }

  private let source = """
    local kept = {}
    shared = {1, 2, 3}
    local function deeper(n) if n == 0 then return edge.wait() end return coroutine.wrap(deeper)(n - 1) end
    return {
      run = function(req, ctx)
        ctx.user = 'user ' .. #shared
        local list = {}
        for i = 1, 20 do list[i] = {name = 'n' .. i, text = ('x'):rep(i * 40)} end
        local ok, value = pcall(deeper, 2)
        local text = table.concat({value.name, tostring(value.list[2]), ctx.user, req.method}, ',')
        kept[1] = load('return ' .. #list)()
        return {text = text, list = value.list, echo = edge.echo({a = {1, 2}, b = text})}
      end,
    }
    """

  private let expected = "{'echo': {'a': [1, 2], 'b': 'ann,2,user 3,GET'}, 'list': [1, 2], 'text': 'ann,2,user 3,GET'}"

  /// One exchange: context, start, answer, result. Nil when something said that there is no memory.
  private func exchange(_ fixture: Fixture, _ function: Int32) throws -> String? {
    let machine = fixture.machine
    guard let context = machine.makeContext() else { return nil }
    defer { machine.endContext(context) }
    guard machine.setContext(context, "extra", .string("value")) else { return nil }
    var call = LuaCall(function: function, context: context)
    // A list is not a plain argument: pushing it takes the way that may fail.
    let arguments: [LuaValue] = [.object(fixture.request), .context, .list(2), .string("a"), .map(0)]
    var outcome = arguments.withUnsafeBufferPointer { machine.start(&call, at: $0.baseAddress, count: 3) }
    if outcome == .pending {
      let answer: [LuaValue] = [
        .map(2), .string("name"), .string("ann"), .string("list"), .list(2), .integer(1), .integer(2),
      ]
      outcome = answer.withUnsafeBufferPointer { machine.resume(&call, values: $0.baseAddress, count: 1) }
    }
    defer { machine.finish(&call) }
    guard outcome == .done else {
      #expect(outcome == .failed)
      #expect(machine.error.kind == .memory, "\(machine.error.message)")
      #expect(machine.error.message.contains("not enough memory"))
      return nil
    }
    #expect(machine.contextString(context, "user").map { String(decoding: $0, as: UTF8.self) } ?? "user 3" == "user 3")
    return fixture.returned(call)
  }

  @Test func loading() throws {
    var done = false
    var failures = 0
    for number in 1..<5_000 where !done {
      let fixture = try Fixture(hasClock: false)
      let before = fixture.machine.allocations
      fixture.machine.failAllocation(UInt64(number))
      do {
        _ = try fixture.machine.load(name: "policies/a.lua", source: Array(source.utf8))
      } catch {
        failures += 1
        #expect(error.kind == .memory, "\(error.message)")
      }
      done = fixture.machine.allocations - before < UInt64(number)
      fixture.machine.failAllocation(0)
      let script = try fixture.machine.load(name: "policies/b.lua", source: Array(source.utf8))
      let function = try #require(fixture.machine.function(script, "run"))
      if number % 16 == 0 { #expect(try exchange(fixture, function) == expected) }
    }
    #expect(done)
    #expect(failures > 20)
  }

  @Test func calling() throws {
    let fixture = try Fixture(hasClock: false)
    let script = try fixture.machine.load(name: "policies/a.lua", source: Array(source.utf8))
    let function = try #require(fixture.machine.function(script, "run"))
    fixture.machine.freeze()
    var failures = 0
    var done = false
    for number in 1..<5_000 where !done {
      let before = fixture.machine.allocations
      fixture.machine.failAllocation(UInt64(number))
      if let text = try exchange(fixture, function) { #expect(text == expected) } else { failures += 1 }
      done = fixture.machine.allocations - before < UInt64(number)
      fixture.machine.failAllocation(0)
      #expect(try exchange(fixture, function) == expected)
    }
    #expect(done)
    #expect(failures > 50)
    #expect(fixture.machine.collect(full: true) < 512 << 10)
  }

  @Test func freezing() throws {
    for number in 1..<64 {
      let fixture = try Fixture(hasClock: false)
      let script = try fixture.machine.load(name: "policies/a.lua", source: Array(source.utf8))
      let function = try #require(fixture.machine.function(script, "run"))
      fixture.machine.failAllocation(UInt64(number))
      fixture.machine.freeze()
      fixture.machine.failAllocation(0)
      #expect(try exchange(fixture, function) == expected)
    }
  }
}
