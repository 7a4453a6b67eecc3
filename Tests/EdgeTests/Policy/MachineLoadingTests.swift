// Loading scripts: what is found wrong and where, the settings that arrive, what scripts share and what they do not.

import Testing

@testable import Edge

@Suite("Policy machine: loading") struct MachineLoadingTests {
  private static let one = "policies: {p: {script: p.lua}}\n"

  // MARK: Faults

  struct Fault: CustomTestStringConvertible, Sendable {
    let script: String
    /// Without the part that says which row names the script.
    let finding: String

    var testDescription: String { script }
  }

  private static let known =
    "  known: init, on_request, on_message, on_select, on_retry, on_response, on_chunk, handle, on_log"

  static let faults: [Fault] = [
    Fault(
      script: "return {\n  on_request = function(req)\n    local x = = 1\n  end,\n}\n",
      finding: "p.lua:3:15: error: unexpected symbol near '='\n      local x = = 1\n                ^"),
    Fault(
      script: "local t = nil\n  return t.x\n",
      finding: "p.lua:2:3: error: attempt to index a nil value (local 't')\n    return t.x\n    ^~~~~~~~~~"),
    Fault(
      script: "local p = {}\nfunction p.init()\n\terror(\"no good\")\nend\nreturn p\n",
      finding: "p.lua:3:2: error: no good\n   error(\"no good\")\n   ^~~~~~~~~~~~~~~~"),
    Fault(
      script: "local p = {}\nfunction p.init()\n  error(\"no good\", 0)\nend\nreturn p\n",
      finding: "p.lua:3:3: error: no good\n    error(\"no good\", 0)\n    ^~~~~~~~~~~~~~~~~~~"),
    Fault(
      script: "return {\n  init = function() edge.http.fetch{service = \"users\", path = \"/\"} end}",
      finding: "p.lua:2:3: error: edge.http.fetch waits for an answer, and init cannot wait\n"
        + "    init = function() edge.http.fetch{service = \"users\", path = \"/\"} end}\n"
        + "    ^" + String(repeating: "~", count: 59)),
    Fault(
      script: "edge.refuse(\"FORBIDDEN\")\nreturn {}",
      finding:
        "p.lua:1:1: error: edge.refuse has no meaning in init\n"
        + "  edge.refuse(\"FORBIDDEN\")\n  ^~~~~~~~~~~~~~~~~~~~~~~~"),
    Fault(
      script: "return {init = function() return req.path end}",
      finding: "p.lua:1:1: error: attempt to index a nil value (global 'req')\n"
        + "  return {init = function() return req.path end}\n  ^" + String(repeating: "~", count: 45)),
    Fault(
      script: "return {init = function() edge.limit.define(\"a\", {limit = \"many\"}) end}",
      finding: "p.lua:1:1: error: 'many' is not a limit: write a number, 'per' and an interval, such as '100 per 1m'\n"
        + "  return {init = function() edge.limit.define(\"a\", {limit = \"many\"}) end}\n  ^"
        + String(repeating: "~", count: 59)),
    Fault(
      script: "return {on_requst = function() end}",
      finding: "p.lua:1:9: error: 'on_requst' is no phase of a policy\n  return {on_requst = function() end}\n"
        + "          ^~~~~~~~~\n  did you mean 'on_request'?"),
    Fault(
      script: "return {on_anything = function() end}",
      finding: "p.lua:1:9: error: 'on_anything' is no phase of a policy\n  return {on_anything = function() end}\n"
        + "          ^~~~~~~~~~~\n" + known),
    Fault(
      script: "return {on_log = 5}",
      finding: "p.lua:1:9: error: 'on_log' must be a function\n  return {on_log = 5}\n          ^~~~~~"),
    Fault(
      script: "-- handler\nreturn {\n  handle = {}}",
      finding: "p.lua:3:3: error: 'handle' must be a function\n    handle = {}}\n    ^~~~~~"),
    Fault(
      script: "return {[('x'):rep(100000)] = 1}",
      finding: "p.lua: error: '" + String(repeating: "x", count: 64) + "…' is no phase of a policy\n" + known),
    Fault(
      script: "return {function() end}",
      finding:
        "p.lua: error: '[not a name]' is no phase of a policy\n"
        + known
    ),
    Fault(script: "\u{1B}Lua", finding: "p.lua:1:1: error: attempt to load a binary chunk (mode is 't')\n   Lua\n  ^"),
  ]

  @Test(arguments: faults) func faultsHaveTheirPlace(_ fault: Fault) throws {
    let found = try PolicyBench.findings(PolicyBench.services + MachineLoadingTests.one, ["p.lua": fault.script])
    let text = try #require(found.first)
    #expect(found.count == 1)
    let own = text.components(separatedBy: "\nroutes.yaml:").first
    #expect(own == fault.finding)
    // The row that names the script is shown where it is the script that failed while it ran.
    let isScript = text.contains("note: the policy 'p' is defined here")
    #expect(isScript == !(fault.finding.contains("no phase") || fault.finding.contains("must be a function")))
  }

  @Test func theRowIsShown() throws {
    let found = try PolicyBench.findings(MachineLoadingTests.one, ["p.lua": "x = = 1"])
    #expect(
      found == [
        """
        p.lua:1:5: error: unexpected symbol near '='
          x = = 1
              ^
        routes.yaml:3:12: note: the policy 'p' is defined here
          policies: {p: {script: p.lua}}
                     ^
        """
      ])
  }

  /// Everything that is wrong is said at once; what failed to load is not started, and routes do not complain of it.
  @Test func allFaultsAreToldAtOnce() throws {
    let found = try PolicyBench.findings(
      """
      services: {s: {endpoints: "http://127.0.0.1:9"}}
      policies:
        a: {script: a.lua}
        b: {script: b.lua}
        c: {script: c.lua}
        d: {script: d.lua}
        e: {script: e.lua}
      routes:
        r: {path: /r, service: s, policies: [a, b, c, d, e]}
        h: {path: /h, handler: d}
      """,
      [
        "a.lua": "return {on_request = function() end,, }", "b.lua": "return {on_log = 1, handl = 2}",
        "c.lua": "return {init = function() error('c') end}", "d.lua": "return {on_log = function() end}",
        "e.lua": "return {handle = function() end, on_log = true, on_piece = true}",
      ])
    #expect(
      found.map { $0.split(separator: "\n")[0] } == [
        "a.lua:1:37: error: unexpected symbol near ','",
        "b.lua:1:21: error: 'handl' is no phase of a policy", "b.lua:1:9: error: 'on_log' must be a function",
        "e.lua:1:34: error: 'on_log' must be a function", "e.lua:1:49: error: 'on_piece' is no phase of a policy",
        "c.lua:1:1: error: c",
        "routes.yaml:12:17: error: the policy 'd' cannot answer",
      ])
  }

  /// A script that two rows share is wrong once; its `init` may be wrong with the settings of one row only.
  @Test func sharedScripts() throws {
    let yaml =
      "policies:\n  a: {script: s.lua, settings: {n: 1}}\n  b: {script: s.lua, settings: {n: 2}}\n"
      + "  c: {script: s.lua, settings: {n: 1}}\n"
    func heads(_ script: String) throws -> [String] {
      try PolicyBench.findings(yaml, ["s.lua": script]).map { String($0.split(separator: "\n")[0]) }
    }
    #expect(try heads("return {") == ["s.lua:1:8: error: unexpected symbol near <eof>"])
    #expect(
      try heads("return {other = 1, init = function() error('asked') end}") == [
        "s.lua:1:9: error: 'other' is no phase of a policy"
      ], "what is wrong is not started")
    #expect(try heads("return {other = 1}") == ["s.lua:1:9: error: 'other' is no phase of a policy"])
    #expect(
      try heads("return {init = function(s) if s.n == 2 then error('two') end end}") == ["routes.yaml:5:32: error: two"]
    )
    #expect(
      try heads("return {init = function(s) error('is ' .. s.n) end}") == [
        "routes.yaml:4:32: error: is 1", "routes.yaml:5:32: error: is 2", "routes.yaml:6:32: error: is 1",
      ])
  }

  // MARK: Routes and phases

  static let phases: [(String, String, [String])] = [
    ("on_request", "service: s, policies: [p]", []),
    ("on_log", "service: s, policies: [p]", []), ("on_select", "service: s, policies: [p]", []),
    ("on_retry", "service: s, policies: [p]", []), ("on_response", "service: s, policies: [p]", []),
    ("on_chunk", "service: s, policies: [p]", []),
    ("handle", "handler: p", []),
    (
      "handle", "service: s, policies: [p]",
      [
        "the policy 'p' has nothing to say to a request",
        "a policy's script returns a table with 'on_request', 'on_select', 'on_retry' or",
      ]
    ),
    (
      "init", "builtin: health, policies: p",
      [
        "the policy 'p' has nothing to say to a request",
        "a policy's script returns a table with 'on_request', 'on_select', 'on_retry' or",
      ]
    ),
    (
      "on_request", "handler: p",
      [
        "the policy 'p' cannot answer", "a handler's script returns a table with 'handle'",
        "'on_request' of 'p' would not be asked: a handler only answers", "name 'p' in the route's 'policies' too",
      ]
    ),
    ("on_log", "handler: p", ["the policy 'p' cannot answer", "a handler's script returns a table with 'handle'"]),
    (
      "handle = f, on_request", "handler: p",
      ["'on_request' of 'p' would not be asked: a handler only answers", "name 'p' in the route's 'policies' too"]
    ),
    ("handle = f, on_request", "handler: p, policies: [p]", []),
    ("handle = f, on_log", "handler: p", []),
  ]

  @Test(arguments: phases) func routesNeedPhases(_ phase: String, _ target: String, _ expected: [String]) throws {
    let yaml =
      "services: {s: {endpoints: \"http://127.0.0.1:9\"}}\n\(MachineLoadingTests.one)"
      + "routes: {r: {path: /r, \(target)}}\n"
    let script = "local function f() end return {\(phase) = f}"
    let found = try PolicyBench.findings(yaml, ["p.lua": script]).joined(separator: "\n")
    for text in expected { #expect(found.contains(text)) }
    if expected.isEmpty { #expect(found == "") }
    #expect(found.split(separator: "\n").count { $0.contains(": error: ") } == expected.count / 2)
  }

  @Test func phasesAreFound() throws {
    let bench = try PolicyBench(
      yaml: "policies: {a: {script: a.lua}, b: {script: b.lua}}\n",
      scripts: [
        "a.lua": "local f = function() end return {init = f, on_log = f}",
        "b.lua": """
        local f = function() end
        return {handle = f, on_message = f, on_select = f, on_retry = f, on_response = f, on_chunk = f}
        """,
      ])
    let found = PolicyPhase.allCases.map { phase in (0..<2).map { bench.machine.has(phase, policy: $0) } }
    let expected = [(true, false), (false, false)] + Array(repeating: (false, true), count: 6) + [(true, false)]
    #expect(found == expected.map { [$0.0, $0.1] })
    #expect(bench.ask(.onRequest, policy: 0) == .passed, "what a script has not is passed")
    #expect(bench.context == -1, "and costs nothing")
  }

  // MARK: Settings

  static let settings: [(String, String)] = [
    ("{}", "{}"), ("{a: text}", "{a: 'text'}"), ("{a: \"\"}", "{a: ''}"),
    ("{a: 'ünï \u{1F600}'}", "{a: 'ünï \u{1F600}'}"),
    ("{a: true, b: false}", "{a: true, b: false}"), ("{a: \"true\", b: yes}", "{a: 'true', b: 'yes'}"),
    ("{a: 0, b: -7, c: 0x10, d: \"3\"}", "{a: 0, b: -7, c: 16, d: '3'}"),
    ("{a: 9223372036854775807, b: -9223372036854775808}", "{a: 9223372036854775807, b: -9223372036854775808}"),
    ("{a: 0.5, b: 1e3, c: -2.0, d: .inf}", "{a: 0.5, b: 1000.0, c: -2.0, d: inf}"),
    ("{a: null, b: ~, c: 1}", "{c: 1}"), ("{a: []}", "{a: {}}"),
    ("{a: [1, [x, {}], {b: [true]}]}", "{a: [1, ['x', {}], {b: [true]}]}"),
    ("[1, two]", "[1, 'two']"), ("{1: a, \"b c\": d}", "{1: 'a', b c: 'd'}"),
    ("{a: {b: {c: {d: [[[1]]]}}}}", "{a: {b: {c: {d: [[[1]]]}}}}"),
    ("{a: \"tab\\t null\\0 quote\\\"\"}", "{a: 'tab\t null\0 quote\"'}"),
  ]

  @Test(arguments: settings) func settingsArrive(_ yaml: String, _ shown: String) throws {
    let bench = try PolicyBench.runner(start: "state.settings = settings", settings: yaml)
    #expect(try bench.run("return state.settings") == shown)
  }

  /// Keys are always strings, lists count from 1, an empty list stays a list where it goes on as JSON.
  @Test func settingsHaveTheirTypes() throws {
    let bench = try PolicyBench.runner(
      start: "state.s = settings", settings: "{1: a, list: [], map: {}, whole: 3, broken: 3.0, n: [1, null, 3]}")
    #expect(try bench.run("return state.s['1'], state.s[1]") == "'a', nil")
    #expect(try bench.run("return edge.json.encode(state.s.list), edge.json.encode(state.s.map)") == "'[]', '{}'")
    #expect(try bench.run("return math.type(state.s.whole), math.type(state.s.broken)") == "'integer', 'float'")
    #expect(try bench.run("return state.s.n[1], state.s.n[2], state.s.n[3]") == "1, nil, 3")
  }

  /// Without `settings` there is an empty table, so that scripts need not ask.
  @Test func noSettingsAreAnEmptyTable() throws {
    let bench = try PolicyBench(
      yaml: MachineLoadingTests.one,
      scripts: [
        "p.lua": """
        local kind
        return {init = function(...) kind = select("#", ...) .. type(...) .. tostring(next((...))) end,
          handle = function() edge.reply{body = kind} end}
        """
      ])
    #expect(bench.ask(.handle) == .answered)
    #expect(bench.body == "1tablenil")
  }

  @Test func secretsOfTheEnvironmentArrive() throws {
    let script = "return {init = function(s) if s.key ~= 'hush' then error('got ' .. s.key) end end}"
    let yaml = "policies: {p: {script: p.lua, settings: {key: \"${env:KEY}\"}}}\n"
    #expect(try PolicyBench.findings(yaml, ["p.lua": script], environment: ["KEY": "hush"]) == [])
    #expect(try PolicyBench.findings(yaml, ["p.lua": script], environment: ["KEY": "other"]).count == 1)
  }

  /// What a script says about a placeholder means nothing; it is still loaded.
  @Test func openSettingsAreNotJudged() throws {
    let yaml = "policies: {p: {script: p.lua, settings: {key: \"${env:KEY}\"}}}\n"
    func check(_ script: String) throws -> Int {
      try PolicyBench.findings(yaml, ["p.lua": script], placeholders: true).count
    }
    #expect(try check("return {init = function() error('asked') end}") == 0)
    #expect(try check("return {init = 5}") == 1)
    #expect(try check("return {init = function() end end}") == 1)
  }

  // MARK: State

  /// The same text twice is two scripts: neither locals nor globals are shared.
  @Test func rowsOfOneScriptShareNothing() throws {
    let bench = try PolicyBench(
      yaml:
        "policies: {a: {script: s.lua, settings: {n: 1}}, b: {script: s.lua, settings: {n: 2}}, c: {script: s.lua}}\n",
      scripts: [
        "s.lua": """
        local mine, count = nil, 0
        common = common or "fresh"
        return {
          init = function(settings) mine = settings.n; common = common .. tostring(settings.n) end,
          handle = function() count = count + 1; edge.reply{body = common .. " " .. tostring(mine) .. " " .. count} end,
        }
        """
      ])
    func body(_ policy: Int) -> String {
      #expect(bench.ask(.handle, policy: policy) == .answered)
      return bench.body
    }
    #expect(
      [body(0), body(1), body(0), body(2), body(1)] == [
        "fresh1 1 1", "fresh2 2 1", "fresh1 1 2", "freshnil nil 1", "fresh2 2 2",
      ])
  }

  static let writes: [(String, String)] = [
    ("total = 1", "global 'total' is read-only after load"), ("edge = nil", "global 'edge' is read-only after load"),
    ("known = known + 1", "global 'known' is read-only after load"),
    ("edge.mine = 1", "field 'mine' of 'edge' is read-only"),
    ("edge.json.null = 1", "field 'null' of 'edge.json' is read-only"),
    ("string.rep = nil", "field 'rep' of 'string' is read-only"),
    ("req.path = '/'", "req is read-only: 'path' cannot be set"),
    ("req.params.id = '1'", "req.params is read-only: 'id' cannot be set"),
    ("req.args.id = '1'", "req.args is read-only: 'id' cannot be set"),
    ("req.nothing = '1'", "req is read-only: 'nothing' cannot be set"),
  ]

  @Test(arguments: writes) func nothingSharedCanBeWritten(_ code: String, _ message: String) throws {
    let bench = try PolicyBench("known = 0\nreturn {on_request = function(req)\n\(code)\nend}")
    #expect(bench.ask() == .failed)
    #expect(bench.machine.failure == "p.lua:3: " + message)
  }

  @Test func globalsMayBeMadeWhileLoading() throws {
    let bench = try PolicyBench(
      "made = 1\nreturn {init = function() made = made + 1; late = 5 end, "
        + "handle = function() edge.reply{json = made + late} end}")
    #expect(bench.ask(.handle) == .answered)
    #expect(bench.body == "7")
  }

  /// A start must not hang; and what a script takes while it is loaded is more than what it may take for a request.
  @Test func endlessScriptsAreStopped() throws {
    let found = try PolicyBench.findings(
      "policies: {a: {script: a.lua}, b: {script: b.lua}}\n",
      ["a.lua": "while true do end", "b.lua": "return {init = function() pcall(function() while true do end end) end}"])
    #expect(found.count == 2)
    for (name, text) in zip(["a", "b"], found) {
      let said = try #require(text.firstMatch(of: /^(.*): error: took about (\d+) ms of CPU time\n/))
      #expect(said.1 == "\(name).lua:1:1")
      // 250 ticks, of 2 ms or what the kernel makes of them.
      #expect((500...4_100).contains(Int(said.2) ?? 0), "\(text)")
    }
  }

  @Test func memoryIsLimited() throws {
    let found = try PolicyBench.findings(
      MachineLoadingTests.one,
      ["p.lua": "local t = {}\nfor i = 1, 100 do\n  t[i] = (\"x\"):rep(1000000 + i)\nend\nreturn {}"])
    #expect(found.first?.hasPrefix("p.lua:3:3: error: not enough memory") == true)
  }

  @Test func scriptsAreNamedAsTheFilesAre() throws {
    let folder = try Fixture.Folder()
    try folder.write("policies/deep/folder/with/a/long/name/policy.lua", "return {\ninit = function() error('x') end}")
    try folder.write(
      "routes.yaml",
      PolicyBench.listeners + "policies: {p: {script: deep/folder/with/a/long/name/policy.lua}}\n")
    let outcome = folder.load()
    let (snapshot, resolved) = (try #require(outcome.snapshot), try #require(outcome.resolved))
    let stores = try PolicyStores()
    let tools = PolicyTools(snapshot, limits: stores.limits, keyValues: stores.keyValues, log: nil)
    let found = PolicyCheck.run(snapshot, resolved, tools).map { $0.render() }
    let path = folder.path + "/policies/deep/folder/with/a/long/name/policy.lua"
    #expect(found.count == 1)
    #expect(found[0].hasPrefix("\(path):2:1: error: x\n  init = function() error('x') end}\n  ^"))
  }
}
