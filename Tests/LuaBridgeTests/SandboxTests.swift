// What scripts must not reach or change.
import LuaBridge
import Testing

@Suite struct SandboxTests {
  private let file = "policies/test.lua"

  @Test(arguments: [
    "io", "os", "debug", "package", "require", "dofile", "loadfile", "print", "collectgarbage", "warn", "_G",
  ])
  func absent(name: String) throws {
    let fixture = try Fixture()
    #expect(try fixture.run("return \(name)") == "nil")
  }

  @Test func presentGlobals() throws {
    let fixture = try Fixture()
    let names = """
      assert error getmetatable ipairs next pairs pcall xpcall rawequal rawget rawlen rawset select setmetatable \
      tonumber tostring type load string table math utf8 coroutine edge
      """
    for name in names.split(separator: " ") {
      #expect(try fixture.run("return \(name) ~= nil") == "true", "\(name)")
    }
    #expect(try fixture.run("return string.dump") == "nil")
  }

  @Test(arguments: [
    ("string.rep = nil", "field 'rep' of 'string' is read-only"),
    ("table.new = 1", "field 'new' of 'table' is read-only"),
    ("math.pi = 3", "field 'pi' of 'math' is read-only"),
    ("utf8[1] = 3", "field 'number' of 'utf8' is read-only"),
    ("coroutine.yield = 3", "field 'yield' of 'coroutine' is read-only"),
    ("edge.x = 1", "field 'x' of 'edge' is read-only"),
    ("edge.deep.er.add = nil", "field 'add' of 'edge.deep.er' is read-only"),
    ("edge.json.null = nil", "field 'null' of 'edge.json' is read-only"),
    ("rawset(edge, 'x', 1)", "table is read-only"),
    ("rawset(_ENV, 'x', 1)", "table is read-only"),
    ("table.insert(edge.deep, 1)", "field 'number' of 'edge.deep' is read-only"),
    ("table.move({1}, 1, 1, 1, edge)", "field 'number' of 'edge' is read-only"),
    ("setmetatable(edge, nil)", "cannot change a protected metatable"),
    ("setmetatable(_ENV, {})", "cannot change a protected metatable"),
    ("setmetatable({}, {__gc = function() end})", "metatables cannot have '__gc' here"),
    ("setmetatable({}, {__close = false})", "metatables cannot have '__close' here"),
    ("edge = nil", "global 'edge' is read-only"),
    ("load = nil", "global 'load' is read-only"),
    ("getmetatable('').__index = nil", "attempt to index a boolean value"),
    ("local s = 'x' s.y = 1", "attempt to index a string value (local 's')"),
  ])
  func refused(body: String, message: String) throws {
    let fixture = try Fixture()
    #expect(try fixture.run("\n" + body) == "error: \(file):2: \(message)")
  }

  @Test func metatablesOfStringsAreHidden() throws {
    let fixture = try Fixture()
    #expect(try fixture.run("return getmetatable('')") == "false")
    #expect(try fixture.run("return getmetatable(edge)") == "false")
    #expect(try fixture.run("return getmetatable(_ENV)") == "false")
    #expect(try fixture.run("return getmetatable(edge.json.array())") == "false")
  }

  @Test func globalsAreOfTheirScript() throws {
    let fixture = try Fixture()
    let one = try fixture.function("return shared", top: "shared = 1")
    let two = try fixture.function("return shared", top: "local x = shared")
    var call = LuaCall(function: one)
    #expect(fixture.describe(fixture.start(&call), call) == "1")
    fixture.machine.finish(&call)
    call = LuaCall(function: two)
    #expect(fixture.describe(fixture.start(&call), call) == "nil")
    fixture.machine.finish(&call)
  }

  @Test func frozenGlobals() throws {
    let fixture = try Fixture()
    let bodies = [
      "known = 2", "fresh = 2", "coroutine.wrap(function() known = 2 end)()", "load('known = 2')()",
      "pcall = nil", "load('fresh = 2', 'x', 't', _ENV)()",
    ]
    let top = "known = 1 "
    let functions = try bodies.map { try fixture.function("\n" + $0, top: top) }
    let reader = try fixture.function("return {known, fresh == nil, edge ~= nil, load ~= nil}", top: top)
    fixture.machine.freeze()
    let messages = [
      "\(file):2: global 'known' is read-only after load", "\(file):2: global 'fresh' is read-only after load",
      "\(file):2: global 'known' is read-only after load", "[load]:1: global 'known' is read-only after load",
      "\(file):2: global 'pcall' is read-only after load", "[x]:1: global 'fresh' is read-only after load",
    ]
    for (function, message) in zip(functions, messages) {
      var call = LuaCall(function: function)
      #expect(fixture.describe(fixture.start(&call), call) == "error: " + message)
      fixture.machine.finish(&call)
    }
    var call = LuaCall(function: reader)
    #expect(fixture.describe(fixture.start(&call), call) == "[1, true, true, true]")
    fixture.machine.finish(&call)
    // A script that comes later cannot define globals either.
    #expect(throws: LuaError.self) { try fixture.function("", top: "known = 1") }
  }

  @Test func closingAndFinalisersAreGone() throws {
    let fixture = try Fixture()
    let close = """
      local mt = {} local t = setmetatable({}, mt) mt.__close = function() edge.log('closed') end
      do local x <close> = t end
      """
    #expect(try fixture.run(close) == "error: \(file):2: variable 'x' got a non-closable value")
    let loop = """
      local mt = {} local t = setmetatable({}, mt) mt.__close = function() edge.log('closed') end
      for k in next, {}, nil, t do end
      """
    #expect(try fixture.run(loop).contains("non-closable"))
    let collect = """
      local mt = {} mt.__gc = nil for i = 1, 100 do setmetatable({}, mt) end
      mt.__gc = function() edge.log('collected') end
      """
    #expect(try fixture.run(collect) == "nil")
    fixture.machine.collect(full: true)
    #expect(fixture.host.log.isEmpty)
    // Buffers of Lua's own libraries still are closed and collected.
    #expect(try fixture.run("return #table.concat({('x'):rep(5000), ('y'):rep(70000)})") == "75000")
    #expect(try fixture.run("return pcall(table.concat, {('x'):rep(5000), {}})") == "false")
  }

  @Test func loadTakesTextOnly() throws {
    let fixture = try Fixture()
    #expect(try fixture.run("return load('return 1 + 1')()") == "2")
    #expect(try fixture.run("return load('return known', 'n', 't', {known = 5})()") == "5")
    #expect(try fixture.run("return {load('return')}").hasPrefix("fault"))
    #expect(try fixture.run("local f, e = load('x =') return e") == "'[load]:1: unexpected symbol near <eof>'")
    #expect(
      try fixture.run("local f, e = load('\\27Lua') return e")
        == "'attempt to load a binary chunk (mode is 't')'")
    #expect(try fixture.run("load('x', 'x', 'b')") == "error: \(file):1: load takes text only")
    #expect(
      try fixture.run("local f, e = load(('x'):rep(70000)) return e") == "'text is longer than 64 KiB'")
    #expect(try fixture.run("load(function() end)").contains("string expected"))
    #expect(throws: LuaError.self) {
      try fixture.machine.load(name: "policies/binary.lua", source: [0x1b, 0x4c, 0x75, 0x61])
    }
  }

  @Test func protectedCallsWork() throws {
    let fixture = try Fixture()
    #expect(try fixture.run("return {pcall(function(...) return ... end, 1, 2)}") == "[true, 1, 2]")
    #expect(try fixture.run("return {pcall(error, 'x', 0)}") == "[false, 'x']")
    #expect(try fixture.run("return {pcall(error, {a = 1})}") == "[false, {'a': 1}]")
    #expect(try fixture.run("return {xpcall(function(a) return a end, error, 7)}") == "[true, 7]")
    let handled = "return {xpcall(function() error('x', 0) end, function(e) return e .. '!', 2 end)}"
    #expect(try fixture.run(handled) == "[false, 'x!', 2]")
    #expect(try fixture.run("return {xpcall(error, function(e) error('y', 0) end)}") == "[false, 'y']")
    #expect(try fixture.run("xpcall(error)").contains("bad argument #2 to 'xpcall'"))
    #expect(try fixture.run("pcall()").contains("bad argument #1 to 'pcall'"))
  }

  @Test func sandboxedTables() throws {
    let fixture = try Fixture()
    let sorted = "local t = {} for i = 1, 200 do t[i] = (i * 7919) % 211 end table.sort(t)"
    #expect(try fixture.run(sorted + " for i = 2, 200 do if t[i - 1] > t[i] then return i end end return #t") == "200")
    #expect(
      try fixture.run("local t = {'b', 'a', 'c'} table.sort(t, function(x, y) return x > y end) return t")
        == "['c', 'b', 'a']")
    #expect(try fixture.run("local t = {1, 1, 1, 1} table.sort(t, function() return true end) return #t") == "4")
    #expect(try fixture.run("table.sort({1, 'a'})").contains("attempt to compare"))
    #expect(try fixture.run("local t = {1, 3} table.insert(t, 2, 2) table.insert(t, 4) return t") == "[1, 2, 3, 4]")
    #expect(try fixture.run("table.insert({}, 3, 1)").contains("position out of bounds"))
    #expect(try fixture.run("table.insert({}, 1, 1, 1)").contains("wrong number of arguments"))
    #expect(try fixture.run("local t = {1, 2, 3} return {table.remove(t, 1), table.remove(t), #t}") == "[1, 3, 1]")
    #expect(try fixture.run("return table.remove({})") == "nil")
    #expect(try fixture.run("return table.move({1, 2, 3}, 1, 3, 2)") == "[1, 1, 2, 3]")
    #expect(try fixture.run("return table.move({1, 2, 3}, 2, 3, 1)") == "[2, 3, 3]")
    #expect(try fixture.run("return table.move({1, 2}, 1, 2, 3, {7, 8})") == "[7, 8, 1, 2]")
    #expect(try fixture.run("return table.concat({1, 'b', 2.5}, ', ', 1, 3)") == "'1, b, 2.5'")
    #expect(try fixture.run("return table.concat({1, {}})").contains("invalid value (at index 2)"))
    #expect(try fixture.run("return table.pack(1, nil, 3).n") == "3")
    #expect(try fixture.run("return {table.unpack({1, 2, 3}, 2)}") == "[2, 3]")
    #expect(try fixture.run("table.unpack({}, 1, 1e8)").contains("too many results to unpack"))
    #expect(try fixture.run("table.sort(5)").contains("table expected, got number"))
  }

  @Test func syntaxErrorsHaveAnOffset() throws {
    let fixture = try Fixture()
    let cases: [(String, Int, Int)] = [
      ("return {\n  a = = 1\n}", 2, 15),
      ("local x = 5 5\nreturn {}", 1, 12),
      ("return {\n\n", 3, 7),
      ("x = 'abc\nreturn {}", 1, 4),
      ("x = \u{1F600}", 1, 4),
      ("goto nowhere\nreturn {}", 1, 0),
      ("local x <const> = 1\nx = 2\nreturn {}", 2, 20),
      ("if x then else elseif end return {}", 1, 15),
      ("\u{FEFF}return {)", 1, 11),
      ("return { a = function() retrun 1 end }", 1, 31),
    ]
    for (source, line, offset) in cases {
      do {
        _ = try fixture.machine.load(name: file, source: Array(source.utf8))
        Issue.record("\(source) was accepted")
      } catch {
        #expect(error.line == line, "\(source): \(error.message)")
        #expect(error.offset == offset, "\(source): \(error.message)")
        #expect(error.message.hasPrefix("\(file):"), "\(error.message)")
      }
    }
  }

  @Test func topLevelsReturnTables() throws {
    let fixture = try Fixture()
    let error = #expect(throws: LuaError.self) {
      try fixture.machine.load(name: "p.lua", source: Array("return 1".utf8))
    }
    #expect(error?.message == "p.lua: the script must return a table, not a number value")
    #expect(throws: LuaError.self) { try fixture.machine.load(name: "p.lua", source: []) }
    let waits = #expect(throws: LuaError.self) {
      try fixture.machine.load(name: "p.lua", source: Array("\npcall(edge.wait) edge.wait() return {}".utf8))
    }
    #expect(waits?.message == "p.lua:2: cannot wait here: the caller cannot be suspended")
  }

  @Test func longNamesAreNotCut() throws {
    let fixture = try Fixture()
    let name = "policies/" + String(repeating: "long/", count: 20) + "name.lua"
    let error = #expect(throws: LuaError.self) {
      try fixture.machine.load(name: name, source: Array("\nerror('x')".utf8))
    }
    #expect(error?.message == name + ":2: x")
    #expect(error?.line == 2)
    #expect(error?.traceback.contains(name + ":2: in ") == true)
  }
}
