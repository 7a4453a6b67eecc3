// `edge.metric`: names and helps that are refused, what is counted, who shares a counter and for how long.

import Testing

@testable import Edge

@Suite("edge: metric") struct MetricAPITests {
  private static let define = "state.c = edge.metric.counter('seen', 'Requests seen.')"

  private func bench(_ metrics: Metrics, start: String = define) throws -> PolicyBench {
    try PolicyBench.runner(start: start, metrics: metrics)
  }

  private func number(_ metrics: Metrics, _ name: String = "seen") -> UInt64? {
    metrics.scripts.rows.first { $0.name == name }?.number
  }

  @Test func counts() throws {
    let metrics = try #require(Metrics(workers: 1))
    let bench = try bench(metrics)
    #expect(number(metrics) == 0)
    let code = "state.c:add() state.c:add(5) state.c:add(0) state.c:add(3.0) state.c:add(nil) return state.c"
    #expect(try bench.run(code) == "handle")
    #expect(number(metrics) == 10)
    // The highest number stays.
    #expect(try bench.run("for i = 1, 3 do state.c:add(math.maxinteger) end return 1") == "1")
    #expect(number(metrics) == .max)
    let row = try #require(metrics.scripts.rows.first)
    #expect(row.policy == "p" && row.help == "Requests seen.")
  }

  private static let addFault = "counter:add takes a whole number from 0 on"

  static let wrong: [(String, String)] = [
    ("state.c:add(-1)", addFault), ("state.c:add(0.5)", addFault), ("state.c:add('1')", addFault),
    ("state.c:add(0/0)", addFault), ("state.c:add(1e300)", addFault), ("state.c:add({})", addFault),
    ("state.c.add(1)", "add is a method: write counter:add()"),
    ("state.c.add({})", "add is a method: write counter:add()"),
    ("edge.metric.counter('a', 'b')", "counters are defined in init, so that mistakes show at once"),
  ]

  @Test(arguments: wrong) func arguments(_ code: String, _ message: String) throws {
    let metrics = try #require(Metrics(workers: 1))
    let bench = try bench(metrics)
    #expect(try bench.run(code) == "error: " + message)
    #expect(number(metrics) == 0)
  }

  private static let nameFault =
    "edge.metric.counter takes a name of a to z, 0 to 9 and _, a letter first, at most 64 bytes"
  private static let helpFault =
    "edge.metric.counter takes a help that says what is counted: a line of 1 to 256 bytes, no backslashes"

  static let undefined: [(String, String)] = [
    ("", nameFault), ("5, 'x'", nameFault), ("'', 'x'", nameFault), ("'A', 'x'", nameFault), ("'a-b', 'x'", nameFault),
    ("'1a', 'x'", nameFault), ("'_a', 'x'", nameFault), ("'a\\n', 'x'", nameFault), ("('a'):rep(65), 'x'", nameFault),
    ("'ä', 'x'", nameFault), ("'a'", helpFault), ("'a', ''", helpFault), ("'a', 5", helpFault),
    ("'a', ('x'):rep(257)", helpFault), ("'a', '\\xff'", helpFault),
    ("'a', 'x\\ny'", helpFault), ("'a', 'x\\\\'", helpFault), ("'a', '\\0'", helpFault),
  ]

  @Test(arguments: undefined) func definitions(_ arguments: String, _ message: String) throws {
    let found = try #require(
      try PolicyBench.findings(
        "policies: {a: {script: a.lua}}\n",
        ["a.lua": "return {init = function() edge.metric.counter(\(arguments)) end}"]
      ).first)
    #expect(found.contains("error: \(message)\n"), "\(found)")
  }

  /// Two machines of a policy count together; the number ends with the last of them.
  @Test func goesOnAsLongAsOneHasIt() throws {
    let metrics = try #require(Metrics(workers: 1))
    var first: PolicyBench? = try bench(metrics)
    #expect(try first?.run("state.c:add(2) return 1") == "1")
    var second: PolicyBench? = try bench(
      metrics, start: "state.c = edge.metric.counter('seen', 'Better said.') edge.metric.counter('more', 'More.')")
    first = nil
    #expect(try second?.run("state.c:add(3) return 1") == "1")
    #expect(
      metrics.scripts.rows.map { "\($0.name) \($0.number) \($0.help)" } == ["more 0 More.", "seen 5 Better said."])
    second = nil
    #expect(metrics.scripts.rows.isEmpty)
    _ = try bench(metrics).run("state.c:add() return 1")
    #expect(metrics.scripts.rows.isEmpty)
  }

  /// 64 there may be, and the next is an error; what a machine took that did not come to be is free again.
  @Test func tableIsFull() throws {
    let metrics = try #require(Metrics(workers: 1))
    let loop = "for i = 1, n do state[i] = edge.metric.counter('c' .. i, 'One.') end"
    let kept = try bench(metrics, start: "local n = 64 \(loop)")
    #expect(metrics.scripts.rows.count == ScriptCounters.most)
    let again = try bench(metrics, start: "local n = 64 \(loop)")
    #expect(throws: PolicyFaults.self) { try bench(metrics, start: "local n = 65 \(loop)") }
    #expect(metrics.scripts.rows.count == ScriptCounters.most)
    #expect(try kept.run("state[64]:add() return 1") == "1" && again.run("state[64]:add() return 1") == "1")
    #expect(number(metrics, "c64") == 2)
  }

  @Test func exposition() throws {
    let metrics = try #require(Metrics(workers: 2))
    let script = """
      local p, c = {}, nil
      function p.init(settings) c = edge.metric.counter("seen", 'Seen, "all" of them.') end
      function p.on_log(ctx) c:add(7) end
      return p
      """
    let other = "return {init = function() edge.metric.counter('none', 'None.') end}"
    let bench = try PolicyBench(
      yaml: "policies: {b: {script: s.lua}, a: {script: s.lua}, z: {script: o.lua}}\n",
      scripts: ["s.lua": script, "o.lua": other], metrics: metrics)
    bench.machine.host.view = nil
    for _ in 1...3 { #expect(bench.ask(.onLog, policy: 1) == .passed) }
    #expect(bench.ask(.onLog, policy: 0) == .passed)
    let told = try metrics.told()
    #expect(told["edge_script_seen_total", ["policy": "a"]] == 21)
    #expect(told["edge_script_seen_total", ["policy": "b"]] == 7)
    #expect(told["edge_script_none_total", ["policy": "z"]] == 0)
    #expect(told.families.prefix(2) == ["edge_script_none_total", "edge_script_seen_total"])
    #expect(told.kinds["edge_script_seen_total"] == "counter")
    #expect(told.helps["edge_script_seen_total"] == "Seen, \"all\" of them.")
  }
}
