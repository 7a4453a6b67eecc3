// The string library of the sandbox: it answers as stock Lua's does, and where stock Lua would go on for ever it stops.
//
// Called by: nobody. The expressions stand in StringsGoldens.
import LuaBridge
import Testing

@Suite struct StringsTests {
  /// Writes the results of a protected call as text, and `all` the matches of a gmatch.
  static let show = #"""
    local function one(v)
      if type(v) ~= "string" then return tostring(v) end
      local text = v:gsub("[^ -~]", function(c) return ("\\x%02x"):format(c:byte()) end)
      return '"' .. text .. '"'
    end
    local function show(fine, ...)
      if not fine then return "error: " .. (tostring((...)):gsub("^[^:]*:%d+: ", "")) end
      local out = {}
      for i = 1, select("#", ...) do out[i] = one((select(i, ...))) end
      return table.concat(out, " ")
    end
    local function all(s, p, i)
      local out = {}
      for a, b in s:gmatch(p, i) do out[#out + 1] = tostring(a) .. (b and "/" .. tostring(b) or "") end
      return table.concat(out, ",")
    end
    """#

  static func evaluate(_ expression: String, in fixture: Fixture) throws -> String {
    try fixture.run("return show(pcall(function() return \(expression) end))", top: show)
  }

  @Test func answersAsStockLua() throws {
    #expect(StringsGoldens.cases.count >= 150)
    let fixture = try Fixture()
    for (expression, result) in StringsGoldens.cases {
      #expect(try Self.evaluate(expression, in: fixture) == "'\(result)'", "\(expression)")
    }
  }

  @Test(arguments: [
    (#"string.dump"#, "nil"),
    (#"getmetatable("")"#, "false"),
    // Stock Lua counts to the number.
    (#"(""):rep(1 << 60)"#, #""""#),
    (#"(""):rep(math.maxinteger, "")"#, #""""#),
    (#"("ab"):rep(1000, "-"):len()"#, "2999"),
    (#"("ab"):rep(7, "-") == "ab-ab-ab-ab-ab-ab-ab""#, "true"),
  ])
  func differsFromStockLua(expression: String, result: String) throws {
    #expect(try Self.evaluate(expression, in: try Fixture()) == "'\(result)'")
  }

  /// More steps than one call may take, on a thread without a clock.
  @Test(arguments: [
    #"("a"):rep(65536):find(".-b")"#, #"("a"):rep(30):match(("a?"):rep(30) .. ("a"):rep(30))"#,
    #"("("):rep(65536):find("%b()")"#, #"("a"):rep(2000):gsub("a-a-a-b", "")"#,
    #"("a"):rep(1 << 20):gsub("a(b?)", ("%1"):rep(1 << 20))"#,
    #"("a"):rep(1 << 20):find("[" .. ("b"):rep(1 << 20) .. "]")"#,
    #"("ab"):rep(1 << 19):find(("%f[a]"):rep(1 << 18) .. "b")"#,
    #"(("a"):rep(1 << 19) .. "b"):rep(2):gsub("(a*)b%1x", "")"#,
  ])
  func countsSteps(expression: String) throws {
    let fixture = try Fixture(hasClock: false)
    #expect(try Self.evaluate(expression, in: fixture) == "'error: pattern too complex'")
    #expect(try Self.evaluate(#"("hello"):find("l+")"#, in: fixture) == "'3 4'")
  }

  /// A million comparisons each, which a quadratic search would take minutes for.
  @Test func plainFindIsLinear() throws {
    let fixture = try Fixture(hasClock: false)
    let start = HostileTests.cpuMilliseconds()
    #expect(
      try Self.evaluate(#"("a"):rep(1 << 20):find(("a"):rep(1 << 19) .. "b", 1, true)"#, in: fixture) == "'nil'")
    #expect(try Self.evaluate(#"("a"):rep(1 << 20):find("b" .. ("a"):rep(1 << 19))"#, in: fixture) == "'nil'")
    #expect(HostileTests.cpuMilliseconds() - start < 500)
  }

  /// Every allocation fails once: the call does, and the machine lives on.
  @Test func survivesEveryAllocationFailure() throws {
    let fixture = try Fixture(hasClock: false)
    let body = #"""
      local s = ("key=value; "):rep(200)
      local n = 0
      for k, v in s:gmatch("(%w+)=(%w+)") do n = n + #k + #v end
      local t = s:gsub("(%w+)=(%w+)", "%2=%1"):gsub("v", {v = "w"}):gsub("%s", function() return "" end)
      return ("%s %d %5.1f %q"):format(t:rep(3, ","):match("^(.-);"), n, 1.5, s):len()
      """#
    let function = try fixture.function(body)
    func once() -> String {
      var call = LuaCall(function: function)
      let outcome = fixture.start(&call)
      defer { fixture.machine.finish(&call) }
      return fixture.describe(outcome, call)
    }
    let expected = once()
    let before = fixture.machine.allocations
    #expect(once() == expected)
    let count = fixture.machine.allocations - before
    for number in 1...count {
      fixture.machine.failAllocation(number)
      let answer = once()
      #expect(answer == expected || answer.hasSuffix("not enough memory"), "allocation \(number)")
    }
    fixture.machine.failAllocation(0)
    #expect(once() == expected)
  }
}
