// Hostile scripts that want CPU time or memory.
//
// Called by: HostileTests.

/// Scripts that never end by themselves, or take what they can.
enum HostileLoops {
  static let loops: [Attack] = [
    Attack("endless", "while true do end", .cpu),
    Attack("goto", "::a:: goto a", .cpu),
    Attack("repeat", "repeat until false", .cpu),
    Attack("for over everything", "for i = math.mininteger, math.maxinteger do end", .cpu),
    Attack("for with a tiny step", "for i = 1, 1e300, 1e-300 do end", .cpu),
    Attack("tail calls", "local function f() return f() end return f()", .cpu),
    Attack("in pcall", "while true do pcall(function() while true do end end) end", .cpu),
    Attack("pcall of itself", "local function f() return pcall(f) end while true do f() end", .cpu),
    Attack(
      "in 50 pcalls",
      "local function f(n) if n == 0 then while true do end end pcall(f, n - 1) pcall(f, n - 1) end "
        + "while true do f(50) end", .cpu),
    Attack("pcall that always fails", "while true do pcall(error) end", .cpu),
    Attack("xpcall with an endless handler", "xpcall(error, function() while true do end end)", .cpu),
    Attack("xpcall with a raising handler", "while true do xpcall(error, function() error('x') end) end", .cpu),
    Attack("xpcall in its handler", "local function h(e) return xpcall(error, h) end while true do h() end", .limit),
    Attack(
      "xpcall around endless", "while true do xpcall(function() while true do end end, function() end) end", .cpu),
    Attack("generic for", "for _ in function() return 1 end do end", .cpu),
    Attack("closures", "local f = function() end while true do local g = f f = function() return g() end end", .limit),
    Attack("string arithmetic", "local s = '1' while true do s = s + 1 end", .cpu),
    Attack("random", "while true do math.random(0) end", .cpu),
    Attack("after an error", "pcall(error, 'x') while true do end", .cpu),
  ]

  static let coroutines: [Attack] = [
    Attack("in a coroutine", "coroutine.wrap(function() while true do end end)()", .cpu),
    Attack("resume again and again", "while true do coroutine.resume(coroutine.create(error)) end", .cpu),
    Attack(
      "100 deep",
      "local function f(n) if n == 0 then while true do end end return coroutine.wrap(f)(n - 1) end f(100)", .cpu),
    Attack(
      "20 deep, each in pcall",
      "local function f(n) while true do pcall(coroutine.wrap(function() if n > 0 then f(n - 1) else "
        + "while true do end end end)) end end f(20)", .cpu),
    Attack("without end inside", "local function f() return coroutine.wrap(f)() end f()", .error("C stack overflow")),
    Attack(
      "without end inside, in pcall", "local function f() while true do pcall(coroutine.wrap(f)) end end f()", .cpu),
    Attack(
      "yield storm",
      "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end", .cpu),
    Attack(
      "in a for", "for x in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end", .cpu),
    Attack("created and dropped", "while true do coroutine.create(function() end) end", .limit),
    Attack("created and kept", "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end", .limit),
    Attack(
      "closed and made anew",
      "while true do local c = coroutine.create(coroutine.yield) coroutine.resume(c) coroutine.close(c) end", .cpu),
    Attack(
      "survives its own end",
      "local c = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) "
        + "while true do pcall(c) end", .cpu),
    Attack(
      "resumes itself",
      "local c c = coroutine.create(function() return coroutine.resume(c) end) "
        + "local a, b, m = coroutine.resume(c) return m", .answer("'cannot resume non-suspended coroutine'")),
    Attack(
      "closes itself",
      "local c c = coroutine.create(function() coroutine.close(c) end) "
        + "return (coroutine.resume(c))", .answer("false")),
    Attack("yields the main one", "coroutine.yield()", .error("outside a coroutine")),
    Attack(
      "yields through gsub", "coroutine.wrap(function() ('x'):gsub('x', coroutine.yield) end)()",
      .error("attempt to yield across a C-call boundary")),
    Attack(
      "yields through sort", "coroutine.wrap(function() table.sort({1, 2}, coroutine.yield) end)()",
      .error("attempt to yield across a C-call boundary")),
  ]

  private static let forever = "function() while true do end end"

  static let callbacks: [Attack] = [
    Attack("__index", "return setmetatable({}, {__index = \(forever)}).x", .cpu),
    Attack("__newindex", "setmetatable({}, {__newindex = \(forever)}).x = 1", .cpu),
    Attack("__lt", "local m = {__lt = \(forever)} return setmetatable({}, m) < setmetatable({}, m)", .cpu),
    Attack("__le", "local m = {__le = \(forever)} return setmetatable({}, m) <= setmetatable({}, m)", .cpu),
    Attack("__eq", "local m = {__eq = \(forever)} return setmetatable({}, m) == setmetatable({}, m)", .cpu),
    Attack("__concat", "return setmetatable({}, {__concat = \(forever)}) .. 'x'", .cpu),
    Attack("__len", "return #setmetatable({}, {__len = \(forever)})", .cpu),
    Attack("__call", "return setmetatable({}, {__call = \(forever)})()", .cpu),
    Attack("__unm", "return -setmetatable({}, {__unm = \(forever)})", .cpu),
    Attack("__add", "return 1 + setmetatable({}, {__add = \(forever)})", .cpu),
    Attack("__pairs", "for _ in pairs(setmetatable({}, {__pairs = \(forever)})) do end", .cpu),
    Attack("__tostring", "return tostring(setmetatable({}, {__tostring = \(forever)}))", .cpu),
    Attack("__tostring in format", "return ('%s'):format(setmetatable({}, {__tostring = \(forever)}))", .cpu),
    Attack(
      "__tostring of an error", "error(setmetatable({}, {__tostring = \(forever)}))",
      .error("error object is a table value")),
    Attack(
      "__name of an error", "error(setmetatable({}, {__name = ('x'):rep(1000000)}))",
      .error("error object is a table value")),
    Attack("__index loop", "local t = {} setmetatable(t, {__index = t}) return t.x", .error("possible loop")),
    Attack("__newindex loop", "local t = {} setmetatable(t, {__newindex = t}) t.x = 1", .error("possible loop")),
    Attack(
      "__index deeper and deeper",
      "local m = {} m.__index = function(t, k) return t[k .. 'x'] end return setmetatable({}, m).x",
      .error("C stack overflow")),
    Attack(
      "__close", "local x <close> = setmetatable({}, {__close = \(forever)})",
      .error("metatables cannot have '__close' here")),
    Attack(
      "__close, set later",
      "local m = {} local t = setmetatable({}, m) m.__close = \(forever) local x <close> = t",
      .error("non-closable value")),
    Attack(
      "__close as the fourth of a for",
      "local m = {} local t = setmetatable({}, m) m.__close = \(forever) for _ in next, {}, nil, t do end",
      .error("non-closable value")),
    Attack("__gc", "setmetatable({}, {__gc = \(forever)})", .error("metatables cannot have '__gc' here")),
    Attack(
      "__gc, set later", "local m = {} setmetatable({}, m) m.__gc = \(forever) setmetatable({}, m)",
      .error("metatables cannot have '__gc' here")),
    Attack(
      "__gc, before and after",
      "local m = {} for i = 1, 1000 do setmetatable({}, m) end m.__gc = \(forever) "
        + "for i = 1, 1000 do local x = {} end", .answer("nil")),
    Attack(
      "__gc by rawset", "local m = {} rawset(m, '__gc', \(forever)) setmetatable({}, m)",
      .error("metatables cannot have '__gc' here")),
    Attack("gsub callback", "('x'):gsub('x', \(forever))", .cpu),
    Attack("gsub table", "('x'):gsub('x', setmetatable({}, {__index = \(forever)}))", .cpu),
    Attack("gsub callback in pcall", "while true do pcall(string.gsub, 'x', 'x', \(forever)) end", .cpu),
    Attack("gsub inside gsub", "local function f() return ('x'):gsub('x', f) end f()", .error("C stack overflow")),
    Attack("sort callback", "table.sort({1, 2, 3}, \(forever))", .cpu),
    Attack("sort callback that raises", "while true do pcall(table.sort, {1, 2, 3}, error) end", .cpu),
    Attack(
      "sort callback that lies",
      "local t = {} for i = 1, 5000 do t[i] = i end while true do table.sort(t, function() return true end) end", .cpu),
    Attack("sort inside sort", "local function f() table.sort({1, 2}, f) end f()", .error("C stack overflow")),
    Attack(
      "tostring inside tostring",
      "local t = {} setmetatable(t, {__tostring = function() return tostring(t) end}) return tostring(t)",
      .error("C stack overflow")),
  ]

  private static let lying = "setmetatable({}, {__len = function() return 1 << 60 end})"

  static let libraries: [Attack] = [
    Attack("pattern of optionals", "return ('a'):rep(30):match(('a?'):rep(30) .. ('a'):rep(30))", .cpu),
    Attack("lazy pattern", "return ('a'):rep(65536):find('.-b')", .cpu),
    Attack("two lazy ones", "return ('a'):rep(8192):find('.-.-b')", .cpu),
    Attack("balanced", "return ('('):rep(65536):find('%b()')", .cpu),
    Attack("nested captures", "return ('a'):rep(200):find(('(a*)'):rep(30) .. 'b')", .cpu),
    Attack("pattern in pcall", "while true do pcall(string.find, ('a'):rep(65536), '.-b') end", .cpu),
    Attack("pattern in match", "return ('a'):rep(65536):match('.-b')", .cpu),
    Attack("pattern in gmatch", "for _ in ('a'):rep(65536):gmatch('.-b') do end", .cpu),
    Attack("pattern in gsub", "return ('a'):rep(65536):gsub('.-b', '')", .cpu),
    Attack("large set", "return ('a'):rep(1 << 20):find('[' .. ('b'):rep(1 << 20) .. ']')", .cpu),
    Attack("nothing, often", "return ('a'):rep(1 << 20):gsub('a(b?)', ('%1'):rep(1 << 20))", .cpu),
    Attack("plain find", "while true do ('a'):rep(1 << 20):find(('a'):rep(1 << 19) .. 'b', 1, true) end", .cpu),
    Attack("rep of nothing", "return (''):rep(1 << 60)", .answer("''")),
    Attack("rep storm", "while true do ('x'):rep(4000000) end", .limit),
    Attack(
      "format storm",
      "local t = {} for i = 1, 10000 do t[i] = 5e-324 end local f = ('%.1g'):rep(10000) "
        + "while true do f:format(table.unpack(t)) end", .cpu),
    Attack("concat of a huge range", "return table.concat({}, '', 1, 1 << 62)", .error("invalid value (at index 1)")),
    Attack(
      "concat of a C function's fields",
      "return table.concat(setmetatable({}, {__index = getmetatable, __metatable = ''}), '', 1, 1 << 62)", .cpu),
    Attack("concat of a lie", "return table.concat(\(lying))", .error("invalid value (at index 1)")),
    Attack("move up", "table.move({}, 1, 1 << 62, 2)", .cpu),
    Attack("move down", "table.move({}, 2, 1 << 62, 1)", .cpu),
    Attack("insert", "table.insert(\(lying), 1, 1)", .cpu),
    Attack("remove", "table.remove(\(lying), 1)", .cpu),
    Attack("sort of a lie", "table.sort(\(lying))", .error("array too big")),
    Attack(
      "sort of a smaller lie",
      "table.sort(setmetatable({}, {__len = function() return (1 << 31) - 2 end, __index = getmetatable, "
        + "__metatable = 1, __newindex = type}))", .cpu),
    Attack("unpack too many", "return table.unpack({}, 1, 1 << 40)", .error("too many results to unpack")),
    Attack(
      "unpack everything", "return table.unpack({}, math.mininteger, math.maxinteger)",
      .error("too many results to unpack")),
    Attack("unpack a lie", "return table.unpack(\(lying))", .error("too many results to unpack")),
    Attack("unpack storm", "while true do pcall(table.unpack, {}, 1, 999990) end", .cpu),
    Attack("select far", "return (select(1 << 60, 1))", .answer("nil")),
    Attack("select before", "return select(-(1 << 60), 1)", .error("index out of range")),
    Attack("byte of all", "return ('x'):rep(4000000):byte(1, -1)", .error("string slice too long")),
    Attack("byte storm", "local s = ('x'):rep(100000) while true do s:byte(1, -1) end", .cpu),
    Attack("utf8.codepoint of all", "return utf8.codepoint(('x'):rep(300000), 1, -1)", .error("slice too long")),
    Attack("utf8 storm", "local s = ('x'):rep(1000000) while true do utf8.len(s) utf8.offset(s, 900000) end", .cpu),
    Attack("utf8.codes", "local s = ('x'):rep(4000000) while true do for _ in utf8.codes(s) do end end", .cpu),
    Attack("numbers of many digits", "local s = ('9'):rep(1000000) while true do tonumber(s) end", .cpu),
    Attack(
      "long comparisons",
      "local a, b = ('x'):rep(1000000) .. 'a', ('x'):rep(1000000) .. 'b' while true do local c = a < b end", .cpu),
    Attack("packsize", "return string.packsize(('i16'):rep(1000000))", .any),
    Attack(
      "unpack formats",
      "local f = ('b'):rep(10000) local s = ('x'):rep(10000) "
        + "while true do string.unpack(f, s) end", .cpu),
    Attack(
      "next over holes",
      "local t = {} for i = 1, 5000 do t['k' .. i] = 1 end for k in pairs(t) do t[k] = nil end "
        + "while true do next(t) end", .cpu),
  ]

  static let memory: [Attack] = [
    Attack("rep", "return ('x'):rep(1 << 30)", .memory),
    Attack("rep with a separator", "return ('x'):rep(1 << 24, 'yyy')", .memory),
    Attack("rep beyond all", "return ('x'):rep(math.maxinteger)", .error("resulting string too large")),
    Attack("rep in pcall", "while true do pcall(string.rep, 'x', 1 << 30) end", .memory),
    Attack("doubling", "local s = 'x' while true do s = s .. s end", .memory),
    Attack("doubling in pcall", "local s = 'x' while true do pcall(function() s = s .. s end) end", .memory),
    Attack(
      "doubling in xpcall",
      "local s = 'x' while true do xpcall(function() s = s .. s end, function() return s .. s end) end", .memory),
    Attack(
      "doubling in a coroutine",
      "local s = 'x' while true do coroutine.resume(coroutine.create(function() s = s .. s end)) end", .memory),
    Attack("gsub that grows", "return ('x'):rep(1 << 16):gsub('x', ('y'):rep(1000))", .limit),
    Attack("gsub of captures", "return ('x'):rep(1 << 16):gsub('(.*)', ('%1'):rep(1000))", .memory),
    Attack("padding", "return string.pack('c2147483647', '')", .memory),
    Attack(
      "table.concat", "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(10000) end return table.concat(t)", .limit),
    Attack(
      "format",
      "return ('%s'):rep(5000):format(table.unpack((function() local t, s = {}, ('x'):rep(1000) "
        + "for i = 1, 5000 do t[i] = s end return t end)()))", .limit),
    Attack("array", "local t = {} for i = 1, 1 << 30 do t[i] = i end", .limit),
    Attack("hash", "local t = {} for i = 1, 1 << 30 do t['k' .. i] = i end", .limit),
    Attack("tables", "local t = {} while true do t[#t + 1] = {} end", .limit),
    Attack("chain of tables", "local t while true do t = {t} end", .limit),
    Attack("strings", "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end", .limit),
    Attack(
      "swallowed",
      "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(1000000) .. #t end end) end",
      .limit),
    Attack("varargs", "local function f(...) return f(1, ...) end f()", .limit),
    Attack("recursion", "local function f() return 1 + f() end return f()", .limit),
    Attack("recursion in pcall", "local function f() pcall(f) end while true do f() end", .cpu),
    Attack(
      "recursion in a coroutine",
      "coroutine.wrap(function() local function f() return 1 + f() end return f() end)()", .limit),
  ]

  static let compiler: [Attack] = [
    Attack("load of much", "return load(('x=1 '):rep(100000))", .answer("nil")),
    Attack("load storm", "local s = ('x=1 '):rep(1000) while true do load(s) end", .cpu),
    Attack("load of a reader", "return load(\(forever))", .error("string expected, got function")),
    Attack("load of a binary", "return load('\\27Lua')", .answer("nil")),
    Attack("load of a binary by mode", "return load('return 1', 'x', 'b')", .error("load takes text only")),
    Attack("load of parentheses", "return load(('('):rep(60000))", .answer("nil")),
    Attack("load of functions", "return load(('function f() '):rep(5000))", .answer("nil")),
    Attack("load of concatenations", "return (load('return ' .. ('a..'):rep(10000) .. 'a'))", .answer("nil")),
    Attack(
      "load of labels",
      "local p = {} for i = 1, 1000 do p[i] = '::a' .. i .. ':: x = 1 ' end "
        + "return load(table.concat(p)) ~= nil", .answer("true")),
    Attack("load of what loops", "load('while true do end')()", .cpu),
    Attack("load of what loads", "local s = 'return load(...)(...)' load(s)(s)", .cpu),
  ]
}
