// A machine's happy paths: definitions, scripts, calls, contexts, values, errors.
import LuaBridge
import Testing

@Suite struct MachineTests {
  @Test func values() { #expect(MemoryLayout<LuaValue>.size == 24) }

  @Test func runsAndReturns() throws {
    let fixture = try Fixture()
    #expect(try fixture.run("return 1 + 2") == "3")
    #expect(try fixture.run("return 'a' .. 1.5") == "'a1.5'")
    #expect(try fixture.run("return nil") == "nil")
    #expect(try fixture.run("") == "nil")
    #expect(try fixture.run("return {1, 2, {x = {}}, edge.json.null}") == "[1, 2, {'x': {}}, null]")
    #expect(try fixture.run("return {edge.json.array{}, edge.json.array()}") == "[[], []]")
    #expect(try fixture.run("return {[3] = 1}") == "fault key")
    #expect(try fixture.run("return {1, 2, a = 1}") == "fault key")
    #expect(try fixture.run("return {[1.5] = 1}") == "fault key")
    #expect(try fixture.run("return print") == "nil")
    #expect(try fixture.run("return next") == "fault unsupported")
    let many = "local s, t = ('v'):rep(1 << 20), {} for i = 1, n do t[i] = s end return #edge.echo(t)"
    #expect(try fixture.run("local n = 2 \(many)") == "2")
    #expect(try fixture.run("local n = 3 \(many)") == "error: policies/test.lua:1: no flat form: large")
    let keys = "local s = ('v'):rep(1 << 20) return edge.echo{{[s] = 1}, {[s] = {}}, {[s] = {}}}"
    #expect(try fixture.run(keys) == "error: policies/test.lua:1: no flat form: large")
    #expect(try fixture.run("local t = {} t.t = t return t") == "fault deep")
  }

  @Test func callsHostFunctions() throws {
    let fixture = try Fixture()
    #expect(try fixture.run("local n, w = edge.deep.er.add(2, 3.0) return {n, w}") == "[5, 'sum']")
    #expect(
      try fixture.run("return edge.deep.er.add('2', 3)") == "error: policies/test.lua:1: add takes two integers")
    #expect(try fixture.run("edge.log('hi')") == "nil")
    #expect(fixture.host.log == ["hi"])
    #expect(try fixture.run("\n\nedge.caller()") == "error: policies/test.lua:3: policies/test.lua:3")
    let all = "{a = {1, 2.5, 'x', true, edge.json.null}, b = {}, c = edge.json.array()}"
    #expect(try fixture.run("return edge.echo(\(all))") == "{'a': [1, 2.5, 'x', true, null], 'b': {}, 'c': []}")
    #expect(
      try fixture.run("return edge.echo(req)") == "error: policies/test.lua:1: no flat form: unsupported")
    #expect(try fixture.run("local t = {} for i = 1, 1001 do t[i] = i end return edge.echo(t)").hasSuffix("full"))
  }

  @Test func objectsComputeTheirFields() throws {
    let fixture = try Fixture()
    #expect(try fixture.run("return req.method") == "'GET'")
    #expect(try fixture.run("return req.methd") == "error: policies/test.lua:1: req has no field 'methd'")
    #expect(
      try fixture.run("req.method = 1") == "error: policies/test.lua:1: req is read-only: 'method' cannot be set")
    #expect(try fixture.run("return {getmetatable(req), type(req)}") == "[false, 'userdata']")
    #expect(try fixture.run("return pcall(rawset, req, 'a', 1)") == "false")
  }

  @Test func objectsAnswerOtherKeys() throws {
    let fixture = try Fixture()
    let defined = fixture.machine.defineObject(
      "req.headers", fields: [],
      index: { state, _, result in
        let call = HostCall(state, result)
        return call.string(2).map { call.value(.string($0)) } ?? call.nothing()
      },
      assign: { state, _, result in
        let call = HostCall(state, result)
        return call.kind(3) == .nothing ? call.raise("removed") : call.raise("set")
      })
    let headers = try #require(defined)
    let function = try fixture.function("return {req['x-name'], (pcall(function() req.a = 1 end))}")
    var call = LuaCall(function: function)
    let outcome = fixture.machine.start(&call, .object(headers), .context)
    #expect(fixture.describe(outcome, call) == "['x-name', false]")
    fixture.machine.finish(&call)
    let other = try fixture.function("req.a = nil")
    call = LuaCall(function: other)
    #expect(
      fixture.describe(fixture.machine.start(&call, .object(headers), .context), call)
        == "error: policies/test.lua:1: removed")
    fixture.machine.finish(&call)
  }

  @Test func handlesHaveMethods() throws {
    let fixture = try Fixture()
    let limit = try #require(
      fixture.machine.defineClass(
        "limit",
        methods: [
          (
            "take",
            { state, _, result in
              let call = HostCall(state, result)
              guard let payload = call.handle(1, class: 0) else { return call.raise("not a limit") }
              return call.values(.boolean(true), .integer(Int(payload)))
            }
          )
        ]))
    #expect(limit == 0)
    fixture.machine.define("edge.make") { state, _, result in
      HostCall(state, result).value(.handle(class: 0, payload: 42))
    }
    #expect(try fixture.run("local l = edge.make() local ok, n = l:take('k') return {ok, n}") == "[true, 42]")
    #expect(try fixture.run("edge.make().take({})") == "error: policies/test.lua:1: not a limit")
    #expect(try fixture.run("edge.make().take(req)") == "error: policies/test.lua:1: not a limit")
    #expect(try fixture.run("return getmetatable(edge.make())") == "false")
    #expect(try fixture.run("edge.make().x = 1") == "error: policies/test.lua:1: limit is read-only: 'x' cannot be set")
    #expect(try fixture.run("edge.echo(edge.make())").hasSuffix("unsupported"))
  }

  /// Handles that have a text are values: they go where tables go.
  @Test func valuesHaveATextAndAFlatForm() throws {
    let fixture = try Fixture()
    let plain = try #require(fixture.machine.defineClass("plain", methods: []))
    let made = fixture.machine.defineClass("value", methods: []) { state, _, result in
      let call = HostCall(state, result)
      return call.handle(1, class: 1) == 42 ? call.value(.string("forty-two")) : call.raise("not a value")
    }
    #expect(plain == 0 && made == 1)
    fixture.machine.define("edge.plain") { _, _, result in HostCall(nil, result).value(.handle(class: 0, payload: 1)) }
    fixture.machine.define("edge.make") { _, _, result in HostCall(nil, result).value(.handle(class: 1, payload: 42)) }
    #expect(try fixture.run("return tostring(edge.make())") == "'forty-two'")
    #expect(try fixture.run("return ('%s'):format(edge.make())") == "'forty-two'")
    #expect(try fixture.run("return tostring(edge.echo({a = {edge.make()}}).a[1])") == "'forty-two'")
    #expect(try fixture.run("return tostring(edge.echo(edge.make()))") == "'forty-two'")
    #expect(try fixture.run("edge.echo({edge.make(), edge.plain()})").hasSuffix("unsupported"))
    #expect(try fixture.run("return getmetatable(edge.make())") == "false")
    #expect(
      try fixture.run("edge.make().x = 1") == "error: policies/test.lua:1: value is read-only: 'x' cannot be set")
  }

  @Test func waitsAndGoesOn() throws {
    let fixture = try Fixture()
    var call = LuaCall(function: try fixture.function("local a = edge.wait() local b = edge.wait() return {a, b}"))
    #expect(fixture.start(&call) == .pending)
    #expect(fixture.resume(&call, .integer(1)) == .pending)
    var answer: [LuaValue] = [.map(1), .string("k"), .list(2), .integer(1), .null]
    #expect(fixture.machine.resume(&call, values: &answer, count: 1) == .done)
    #expect(fixture.returned(call) == "[1, {'k': [1, null]}]")
    fixture.machine.finish(&call)
  }

  @Test func waitsAndFails() throws {
    let fixture = try Fixture()
    var call = LuaCall(function: try fixture.function("local ok, e = pcall(edge.wait) edge.log(e)\nedge.wait()"))
    #expect(fixture.start(&call) == .pending)
    let text = StaticString("no answer")
    let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    #expect(fixture.machine.resume(&call, error: bytes) == .pending)
    #expect(fixture.machine.resume(&call, error: bytes) == .failed)
    #expect(fixture.machine.error.message == "policies/test.lua:2: no answer")
    #expect(fixture.host.log == ["policies/test.lua:1: no answer"])
    fixture.machine.finish(&call)
  }

  @Test func endsForGood() throws {
    let fixture = try Fixture()
    let body = "pcall(function() pcall(edge.stop, 'a', {b = 1}) edge.log('x') end) edge.log('y')"
    var call = LuaCall(function: try fixture.function(body))
    #expect(fixture.start(&call) == .ended)
    let ended = try #require(fixture.host.ended)
    #expect(ended.count == 2)
    #expect(ended.string(1).map { String(decoding: $0, as: UTF8.self) } == "a")
    let written = try ended.flat(2, into: fixture.host.values)
    #expect(written == 3)
    fixture.machine.finish(&call)
    #expect(fixture.host.log.isEmpty)
    #expect(try fixture.run("return 1") == "1")
  }

  @Test func contextsLive() throws {
    let fixture = try Fixture()
    let machine = fixture.machine
    let first = try fixture.function("ctx.user = 'ann' ctx.count = (ctx.count or 0) + 1")
    let second = try fixture.function("return {ctx.user, ctx.count, ctx.status}")
    let context = try #require(machine.makeContext())
    for _ in 0..<2 {
      var call = LuaCall(function: first, context: context)
      #expect(fixture.start(&call) == .done)
      machine.finish(&call)
    }
    #expect(machine.contextString(context, "user").map { String(decoding: $0, as: UTF8.self) } == "ann")
    #expect(machine.contextString(context, "count") == nil)
    #expect(machine.setContext(context, "status", .integer(200)))
    var call = LuaCall(function: second, context: context)
    #expect(fixture.start(&call) == .done)
    #expect(fixture.returned(call) == "['ann', 2, 200]")
    machine.finish(&call)
    machine.endContext(context)
    let again = try #require(machine.makeContext())
    call = LuaCall(function: second, context: again)
    #expect(fixture.start(&call) == .done)
    #expect(fixture.returned(call) == "{}")
    machine.finish(&call)
    // Without a context each call has a fresh one.
    call = LuaCall(function: first)
    #expect(fixture.start(&call) == .done)
    machine.finish(&call)
  }

  @Test func keysAndFunctions() throws {
    let fixture = try Fixture()
    let source = "return { init = function() end, on_request = 3, [1] = 2 }"
    let script = try fixture.machine.load(name: "policies/keys.lua", source: Array(source.utf8))
    let keys = fixture.machine.keys(of: script).sorted { $0.name < $1.name }
    #expect(keys.map(\.name) == ["[not a name]", "init", "on_request"])
    #expect(keys.map(\.isFunction) == [false, true, false])
    #expect(fixture.machine.function(script, "on_request") == nil)
    #expect(fixture.machine.function(script, "absent") == nil)
    #expect(fixture.machine.function(script, "init") != nil)
  }

  @Test func errorsHavePlaceAndTraceback() throws {
    let fixture = try Fixture()
    #expect(
      try fixture.run("local t\nreturn t.x", top: "\n")
        == "error: policies/test.lua:3: attempt to index a nil value (local 't')")
    #expect(fixture.machine.error.line == 3)
    #expect(fixture.machine.error.kind == .script)
    _ = try fixture.run("local function deeper() error('why') end\ndeeper()")
    #expect(
      fixture.machine.error.traceback == """
        [C]: in function 'error'
        policies/test.lua:1: in upvalue 'deeper'
        policies/test.lua:2: in function at line 1
        """ || fixture.machine.error.traceback.contains("policies/test.lua:1: in local 'deeper'"))
    #expect(try fixture.run("error({})") == "error: policies/test.lua:1: error object is a table value")
    #expect(try fixture.run("error()") == "error: policies/test.lua:1: error object is a nil value")
    #expect(try fixture.run("error(7)") == "error: policies/test.lua:1: error object is the number 7")
    #expect(try fixture.run("error('a\\nb')") == "error: policies/test.lua:1: a b")
  }
}
