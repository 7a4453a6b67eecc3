// Waiting and ending inside the coroutines of scripts.
import LuaBridge
import Testing

@Suite struct CoroutineTests {
  /// Runs a body whose `edge.wait` are answered with 1, 2, 3 …; describes what became of it.
  private func play(_ body: String, waits: Int, top: String = "") throws -> String {
    let fixture = try Fixture()
    var call = LuaCall(function: try fixture.function(body, top: top))
    var outcome = fixture.start(&call)
    for answer in 1..<(waits + 1) {
      #expect(outcome == .pending)
      fixture.machine.collect(full: true)
      outcome = fixture.resume(&call, .integer(answer))
    }
    defer { fixture.machine.finish(&call) }
    return fixture.describe(outcome, call)
  }

  @Test func plainCoroutines() throws {
    let body = """
      local co = coroutine.create(function(a, b)
        local c = coroutine.yield(a + b)
        local d, e = coroutine.yield(c * 2)
        return d + e
      end)
      local out = {}
      for i = 1, 4 do
        local args = ({{1, 2}, {10}, {3, 4}, {}})[i]
        local r = {coroutine.resume(co, table.unpack(args))}
        out[i] = tostring(r[1]) .. ' ' .. tostring(r[2]) .. ' ' .. coroutine.status(co)
      end
      return out
      """
    #expect(
      try play(body, waits: 0)
        == "['true 3 suspended', 'true 20 suspended', 'true 7 dead', 'false cannot resume dead coroutine dead']")
    let wrapped = """
      local f = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end error('over', 0) end)
      local out = {f(), f(), f()}
      local ok, e = pcall(f) out[4] = e
      ok, e = pcall(f) out[5] = e
      return out
      """
    #expect(
      try play(wrapped, waits: 0) == "[1, 2, 3, 'over', 'policies/test.lua:4: cannot resume dead coroutine']"
        || (try play(wrapped, waits: 0)) == "[1, 2, 3, 'over', 'cannot resume dead coroutine']")
  }

  @Test func waitInsideCoroutines() throws {
    let body = """
      local co = coroutine.wrap(function(x)
        local a = edge.wait()
        local y = coroutine.yield(x + a)
        return y + edge.wait()
      end)
      local first = co(10)
      local second = co(100)
      return {first, second}
      """
    #expect(try play(body, waits: 2) == "[11, 102]")
  }

  @Test func waitDeepInside() throws {
    let body = """
      local function nest(n)
        if n == 0 then return edge.wait() + edge.wait() end
        local co = coroutine.create(function() return nest(n - 1) end)
        local ok, sum = coroutine.resume(co)
        assert(ok)
        local before = edge.wait()
        return sum + before
      end
      return nest(4)
      """
    // 1 + 2 inside, then 3, 4, 5, 6 on the way out.
    #expect(try play(body, waits: 6) == "21")
  }

  @Test func waitThroughEverything() throws {
    let body = """
      local mt = {__index = function(_, k) return edge.wait() end, __lt = function() return edge.wait() == 2 end}
      local t = setmetatable({}, mt)
      local out = {t.x}
      out[2] = t < t
      for v in function(_, c) local n = edge.wait() if n < 5 then return n end end do out[#out + 1] = v end
      out[#out + 1] = select(2, pcall(function() return edge.wait() end))
      out[#out + 1] = select(2, xpcall(function() error(edge.wait()) end, function(e) return e + edge.wait() end))
      return out
      """
    #expect(try play(body, waits: 8) == "[1, true, 3, 4, 6, 15]")
  }

  @Test func interleavedCalls() throws {
    let fixture = try Fixture()
    let function = try fixture.function("local co = coroutine.wrap(edge.wait) return co() + edge.wait()")
    var calls = (0..<20).map { _ in LuaCall(function: function) }
    for index in calls.indices { #expect(fixture.start(&calls[index]) == .pending) }
    for index in calls.indices.reversed() { #expect(fixture.resume(&calls[index], .integer(index)) == .pending) }
    for index in calls.indices {
      #expect(fixture.resume(&calls[index], .integer(100)) == .done)
      #expect(fixture.returned(calls[index]) == "\(index + 100)")
      fixture.machine.finish(&calls[index])
    }
  }

  @Test func cannotWaitInSort() throws {
    let message = "error: policies/test.lua:1: cannot wait here: the caller cannot be suspended"
    #expect(try play("table.sort({2, 1}, function() edge.wait() end)", waits: 0) == message)
    let through = "table.sort({2, 1}, function() coroutine.wrap(function() edge.wait() end)() end)"
    #expect(try play(through, waits: 0) == message)
    let ends = "table.sort({2, 1}, function() edge.stop() end)"
    #expect(try play(ends, waits: 0).hasPrefix("error: policies/test.lua:1: cannot answer here"))
  }

  @Test func endsInsideCoroutines() throws {
    let body = "local co = coroutine.create(function() pcall(edge.stop, 'deep') edge.log('no') end) "
    let fixture = try Fixture()
    for way in ["coroutine.resume(co)", "pcall(coroutine.resume, co)", "coroutine.wrap(coroutine.resume)(co)"] {
      var call = LuaCall(function: try fixture.function(body + way + " edge.log('no')"))
      #expect(fixture.start(&call) == .ended)
      #expect(fixture.host.ended?.string(1)?.count == 4)
      fixture.machine.finish(&call)
    }
    #expect(fixture.host.log.isEmpty)
  }

  @Test func waitingCoroutinesCannotBeStolen() throws {
    let top = "local kept = {} "
    let fixture = try Fixture()
    let first = "if not kept.co then kept.co = coroutine.create(edge.wait) return {coroutine.resume(kept.co)} end "
    let second = "return {coroutine.status(kept.co), coroutine.resume(kept.co)}, pcall(coroutine.close, kept.co)"
    let function = try fixture.function(first + second, top: top)
    var waits = LuaCall(function: function)
    #expect(fixture.start(&waits) == .pending)
    var thief = LuaCall(function: function)
    let outcome = fixture.start(&thief)
    #expect(
      fixture.describe(outcome, thief) == "['normal', false, 'cannot resume a coroutine that waits for an answer']")
    fixture.machine.finish(&thief)
    #expect(fixture.resume(&waits, .integer(5)) == .done)
    #expect(fixture.returned(waits) == "[true, 5]")
    fixture.machine.finish(&waits)
  }

  @Test func pooledCoroutinesAreHidden() throws {
    #expect(try play("local co, main = coroutine.running() return {co == nil, main}", waits: 0) == "[true, true]")
    #expect(try play("return coroutine.isyieldable()", waits: 0) == "false")
    #expect(try play("return coroutine.wrap(coroutine.isyieldable)()", waits: 0) == "true")
    #expect(try play("coroutine.yield(1)", waits: 0).hasSuffix("attempt to yield from outside a coroutine"))
    let inside = "return coroutine.wrap(function() return type(coroutine.running()) end)()"
    #expect(try play(inside, waits: 0) == "'thread'")
  }

  @Test func abandonedCallsLeaveNothing() throws {
    // How long a call takes on a busy machine is not what this is about.
    let fixture = try Fixture(hasClock: false)
    let function = try fixture.function("local t = {} for i = 1, 100 do t[i] = {i} end coroutine.wrap(edge.wait)()")
    var sizes: [Int] = []
    for _ in 0..<5 {
      for _ in 0..<100 {
        var call = LuaCall(function: function)
        let outcome = fixture.start(&call)
        #expect(outcome == .pending, "\(fixture.machine.error.message)")
        fixture.machine.finish(&call)
      }
      sizes.append(fixture.machine.collect(full: true))
    }
    #expect(sizes[4] <= sizes[1] + 256)
    var call = LuaCall(function: function)
    #expect(fixture.resume(&call, .integer(1)) == .failed)
    #expect(fixture.machine.error.message == "nothing waits for an answer")
  }

  @Test func deepNesting() throws {
    let body = """
      local function nest(n) return n == 0 and 0 or 1 + coroutine.wrap(nest)(n - 1) end
      local deepest = nest(100)
      local ok, e = pcall(nest, 1000)
      return {deepest, ok, (e:gsub('^.*: ', ''))}
      """
    #expect(try play(body, waits: 0) == "[100, false, 'C stack overflow']")
    let recursion = "local function f() return 1 + f() end local ok, e = pcall(f) return {ok, #e < 300}"
    #expect(try play(recursion, waits: 0).hasPrefix("error: "))
    #expect(try play("local function f() return pcall(f) end return f()", waits: 0) == "true")
  }
}
