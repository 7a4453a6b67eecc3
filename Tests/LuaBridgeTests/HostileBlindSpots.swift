// Hostile scripts that find where Lua itself runs for long in C, out of sight of any hook: each of them stopped a
// thread for seconds once.
//
// Called by: HostileTests.

extension HostileLoops {
  static let blindSpots: [Attack] = [
    // A table that is its own `__call`: Lua shifts the whole stack for each of its turns, until that is full.
    Attack("calls itself", "local t = {} setmetatable(t, {__call = t}) return t()", .limit),
    // Each use of a name looks through all variables around it, and the compiler calls no hook.
    Attack(
      "load of many variables",
      "local p = {} for i = 1, 75 do p[#p + 1] = 'local ' .. ('a,'):rep(199) .. 'a function f() ' end "
        + "p[#p + 1] = ('x=x '):rep(8000) return load(table.concat(p))", .limit),
    // Integer keys of one table that all meet in one place; moving them to a larger table takes the square of them.
    Attack("colliding keys", "local t = {} for i = 1, 65536 do t[i * 131071] = 1 end t[-1] = 1", .limit),
    Attack(
      "colliding keys, over many calls",
      "for i = 1, 400 do n = n + 1 t[n * 131071] = 1 end return n", .any, top: "local t, n = {}, 0", runs: 200),
    // Weak keys in a chain that the collector can only follow one by one, table by table.
    Attack(
      "weak keys", weakKeys, .any,
      top: "local N, n, k, e, step, x = 60000, 0, {}, setmetatable({}, {__mode = 'k'}), 1, 12345", runs: 560),
    // Every tick walks all frames of a deep recursion.
    Attack(
      "deep recursion in pcall", "local d = 0 local function f() d = d + 1 f() end pcall(f) return d", .limit,
      runs: 20),
    // Comparing strings of zeros goes zero by zero.
    Attack(
      "sort of zeros",
      "if #a < 1500000 then a = a .. a return 0 end if not b then b = a .. 'b' return 0 end "
        + "if t[1] == 1 then a = a .. 'b' for i = 1, 500 do t[i] = i % 2 == 0 and a or b end return 1 end "
        + "table.sort(t)", .cpu,
      top: "local a, b, t = ('\\0'):rep(200000), nil, {} for i = 1, 500 do t[i] = 1 end", runs: 10),
    Attack(
      "sort of long strings",
      "if #a < 1500000 then a = a .. a return 0 end if not b then b = a .. 'b' return 0 end "
        + "if t[1] == 1 then a = a .. 'b' for i = 1, 500 do t[i] = i % 2 == 0 and a or b end return 1 end "
        + "table.sort(t)", .cpu,
      top: "local a, b, t = ('x'):rep(200000), nil, {} for i = 1, 500 do t[i] = 1 end", runs: 10),
    // A table that was large and is empty, many times over: reading it as a value looks at every place of it.
    Attack(
      "emptied tables as a value",
      "for i = 1, 500 do n = n + 1 if n <= 100000 then t['k' .. n] = 1 elseif n <= 200000 then "
        + "t['k' .. n - 100000] = nil end end if n < 200000 then return n end "
        + "if #u == 0 then for i = 1, 900 do u[i] = t end return n end while true do pcall(edge.echo, u) end", .any,
      top: "local t, n, u = {}, 0, {}", runs: 410),
    // A value that names one long string many times is far larger than all memory.
    Attack(
      "one string many times",
      "local s, t = ('v'):rep(2000000), {} for i = 1, 900 do t[i] = s end while true do pcall(edge.echo, t) end", .any),
    Attack(
      "one string many times, as a key",
      "local s, t = ('v'):rep(2000000), {} for i = 1, 400 do t[i] = {[s] = {}} end "
        + "while true do pcall(edge.echo, t) end", .any),
  ]

  // Makes keys, shuffles them, links each to the next, lets all go but the first, then makes garbage.
  private static let weakKeys = """
    for _ = 1, 500 do
      if step == 1 then
        n = n + 1 k[n] = {} e[k[n]] = 0
        if n == N then step = 2 end
      elseif step == 2 then
        x = (x * 1103515245 + 12345) % 2147483648 local j = x % n + 1 k[n], k[j] = k[j], k[n]
        n = n - 1 if n == 1 then step = 3 end
      elseif step == 3 then
        e[k[n]] = k[n + 1] n = n + 1 if n == N then step = 4 end
      else
        if k and #k > 1 then k = {k[1]} end
        local t = {}
      end
    end
    return step
    """
}
