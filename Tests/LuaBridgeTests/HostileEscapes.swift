// Hostile scripts that want out of the sandbox, or to change what other scripts see; and odd errors.
//
// Called by: HostileTests.

/// Scripts that reach for what is not theirs.
enum HostileEscapes {
  private static let readOnly = Attack.Ending.error("read-only")

  static let writes: [Attack] = [
    Attack("global", "x = 1", .error("global 'x' is read-only after load")),
    Attack("global by _ENV", "local e = _ENV e.x = 1", .error("global 'x' is read-only after load")),
    Attack("global of a library", "string = {}", readOnly),
    Attack("global function", "function pcall() end", readOnly),
    Attack("global by rawset", "rawset(_ENV, 'x', 1)", readOnly),
    Attack("global by load", "load('x = 1')()", .error("global 'x' is read-only after load")),
    Attack("global by table.insert", "table.insert(_ENV, 1)", readOnly),
    Attack("global during load", "", .answer("nil"), top: "own = 1"),
    Attack("library function", "string.find = 1", .error("field 'find' of 'string' is read-only")),
    Attack("library function anew", "table.new = 1", readOnly),
    Attack("library by rawset", "rawset(string, 'find', 1)", readOnly),
    Attack("library by table.insert", "table.insert(string, 1)", readOnly),
    Attack("library by table.move", "table.move({1}, 1, 1, 1, math)", readOnly),
    Attack("library by table.remove", "table.remove(string)", readOnly),
    Attack("library by load", "load('find = 1', 'x', 't', string)()", readOnly),
    Attack("library by setmetatable", "setmetatable(string, nil)", .error("protected metatable")),
    Attack("library through __newindex", "setmetatable({}, {__newindex = string}).find = 1", readOnly),
    Attack("edge", "edge.log = nil", readOnly),
    Attack("edge.json", "edge.json.null = 1", readOnly),
    Attack("edge by rawset", "rawset(edge, 'log', nil)", readOnly),
    Attack("edge by insert", "table.insert(edge, 1)", readOnly),
    Attack("edge by setmetatable", "setmetatable(edge, {})", .error("protected metatable")),
    Attack("object", "req.method = 'POST'", readOnly),
    Attack("object by rawset", "rawset(req, 'method', 1)", .error("table expected")),
    Attack("object by setmetatable", "setmetatable(req, {})", .error("table expected")),
    Attack("environment by setmetatable", "setmetatable(_ENV, nil)", .error("protected metatable")),
    Attack("strings by their metatable", "getmetatable('').__index = {}", .error("attempt to index a boolean")),
    Attack(
      "arrays by their metatable", "getmetatable(edge.json.array()).__index = {}",
      .error("attempt to index a boolean")),
  ]

  private static let absent = [
    "debug", "io", "os", "package", "require", "dofile", "loadfile", "loadstring", "print", "collectgarbage", "_G",
    "warn", "module", "setfenv", "getfenv", "newproxy", "jit", "bit32",
  ]

  static let reaches: [Attack] =
    absent.map { Attack($0, "return \($0)", .answer("nil")) } + [
      Attack("string.dump", "return string.dump", .answer("nil")),
      Attack("a method of strings that is not there", "return ('').dump", .answer("nil")),
      Attack("metatable of strings", "return getmetatable('')", .answer("false")),
      Attack("metatable of a library", "return getmetatable(string)", .answer("false")),
      Attack("metatable of the environment", "return getmetatable(_ENV)", .answer("false")),
      Attack("metatable of an object", "return getmetatable(req)", .answer("false")),
      Attack("metatable of edge.json.array()", "return getmetatable(edge.json.array())", .answer("false")),
      Attack(
        "members of the environment",
        "local n = 0 for k in next, _ENV do if k ~= 'load' then n = n + 1 end end "
          + "return n", .answer("0")),
      Attack("members of a library", "return next(string)", .answer("nil")),
      Attack("raw members", "return rawget(string, 'find')", .answer("nil")),
      Attack("globals of another load", "return load('return x', 'n', 't', {x = 1})()", .answer("1")),
      Attack("libraries from an own environment", "return load('return string', 'n', 't', {})()", .answer("nil")),
      Attack("no environment", "return load('return x', 'n', 't', nil)()", .error("attempt to index a nil value")),
      Attack("the main coroutine", "return (coroutine.running())", .answer("nil")),
      Attack("the main coroutine yields", "return coroutine.isyieldable()", .answer("false")),
      Attack("the coroutine of a host", "return pcall(coroutine.resume, coroutine.running())", .answer("false")),
      Attack(
        "error object of a limit",
        "local seen = {} local c = coroutine.create(function() while true do "
          + "local ok, e = pcall(function() while true do end end) seen[1] = e end end) coroutine.resume(c) "
          + "while true do if seen[1] ~= nil then return type(seen[1]) end end", .cpu),
      // What a limit raises must not come to light in a later call.
      Attack(
        "error object of a coroutine that hit a limit",
        "if not c then c = coroutine.create(function() while true do end end) coroutine.resume(c) end "
          + "return type((select(2, coroutine.close(c)))) == 'userdata'", .answer("false"), top: "local c", runs: 2),
    ]

  static let errors: [Attack] = [
    Attack("table", "error({})", .error("policies/test.lua:1: error object is a table value")),
    Attack("nil", "error(nil)", .error("error object is a nil value")),
    Attack("boolean", "error(true)", .error("error object is a boolean value")),
    Attack("integer", "error(7)", .error("error object is the number 7")),
    Attack("number", "error(1.5)", .error("error object is the number 1.5")),
    Attack("function", "error(pcall)", .error("error object is a function value")),
    Attack("coroutine", "error(coroutine.create(function() end))", .error("error object is a thread value")),
    Attack("object", "error(req)", .error("error object is a userdata value")),
    Attack("null", "error(edge.json.null)", .error("error object is a")),
    Attack("level", "error('x', 1 << 40)", .error("x")),
    Attack("negative level", "error('x', -1)", .error("x")),
    Attack("long", "error(('x'):rep(1000000))", .error("xxxx")),
    Attack("zeros", "error('a\\0b')", .error("a b")),
    Attack("lines", "error('a\\nb')", .error("a b")),
    Attack("formats", "error('%s%n%d')", .error("%s%n%d")),
    Attack("a false place", "error('policies/other.lua:99: x', 0)", .error("policies/other.lua:99: x")),
    Attack("through coroutines", "coroutine.wrap(function() error('deep') end)()", .error("deep")),
    Attack(
      "in xpcall's handler", "local ok, e = xpcall(error, function() error('h', 0) end, 'x') return e",
      .answer("'h'")),
    Attack("rethrown", "local ok, e = pcall(error, {1}) error(e)", .error("error object is a table value")),
    Attack("assert", "assert(false, setmetatable({}, {}))", .error("error object is a table value")),
    Attack("division", "return 1 // 0", .error("attempt to")),
    Attack("least // -1", "return math.mininteger // -1", .answer("-9223372036854775808")),
    Attack("modulo", "return math.mininteger % -1", .answer("0")),
  ]
}
