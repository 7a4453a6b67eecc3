// `edge.log` and `edge.time`.

import Testing

@testable import Edge

@Suite("edge: log and time") struct LogAndTimeAPITests {
  @Test func linesOfEveryLevel() throws {
    let file = try LogFile()
    let bench = try PolicyBench.runner(log: file.log)
    for level in ["error", "warn", "info", "debug"] {
      #expect(try bench.run("return edge.log.\(level)('says \(level)')") == "")
    }
    let lines = try file.lines()
    #expect(lines.map { $0["level"] as? String } == ["error", "warn", "info", "debug"])
    #expect(lines.map { $0["text"] as? String } == ["says error", "says warn", "says info", "says debug"])
    for line in lines {
      #expect(line["event"] as? String == "policy_log" && line["policy"] as? String == "p")
      #expect(line["requestId"] as? String == "the-request-id")
      #expect(Set(line.keys) == ["time", "level", "event", "requestId", "policy", "text"])
    }
  }

  /// Whatever is in a text, it is one line and valid JSON.
  @Test func textsOfAnyBytes() throws {
    let file = try LogFile()
    let bench = try PolicyBench.runner(log: file.log)
    let texts: [(String, String)] = [
      ("''", ""), ("'a\\nb\\r\\n'", "a\nb\r\n"), ("'\\0\\1\\127'", "\0\u{1}\u{7f}"), ("'\"\\\\'", "\"\\"),
      ("'ü\u{1F600}'", "ü\u{1F600}"), ("'\\xff\\xc3('", "\u{fffd}\u{fffd}("),
      ("('x'):rep(5000)", String(repeating: "x", count: 5_000)),
    ]
    for text in texts { #expect(try bench.run("edge.log.info(\(text.0))") == "") }
    #expect(try file.lines().map { $0["text"] as? String } == texts.map(\.1))
  }

  @Test(arguments: ["", "nil", "5", "true", "{}", "edge.json.null", "req"]) func whatIsNoText(_ value: String) throws {
    let file = try LogFile()
    let bench = try PolicyBench.runner(log: file.log)
    for level in ["error", "warn", "info", "debug"] {
      #expect(
        try bench.run("edge.log.\(level)(\(value))")
          == "error: edge.log writes strings; use tostring or edge.json.encode")
    }
    #expect(try file.lines().isEmpty)
  }

  @Test func everyPhaseMayLog() throws {
    let file = try LogFile()
    let bench = try PolicyBench(
      "local function say(what) return function() edge.log.info(what) end end\nedge.log.info('top')\n"
        + "return {init = say('init'), on_request = say('on_request'), on_log = say('on_log')}", log: file.log)
    bench.ask()
    bench.ask(.onLog)
    #expect(try file.lines().map { $0["text"] as? String } == ["top", "init", "on_request", "on_log"])
  }

  /// A call may write so many lines, the next one as many again.
  @Test func linesOfACallAreCounted() throws {
    let file = try LogFile()
    let bench = try PolicyBench.runner(log: file.log)
    let code = "for i = 1, 150 do edge.log.info('line') end"
    for _ in 0..<2 { #expect(try bench.run(code) == "error: a policy may write 100 lines into the log") }
    #expect(try file.lines().count == 200)
  }

  /// While a configuration is checked nothing is written, and scripts do not notice.
  @Test func withoutALog() throws {
    let bench = try PolicyBench.runner(start: "edge.log.error('unheard')")
    #expect(try bench.run("edge.log.error('unheard') return 1") == "1")
  }

  // MARK: Time

  @Test func theWallClock() throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.time.now() == 1700000000.5, math.type(edge.time.now())") == "true, 'float'")
    bench.machine.host.wallNanoseconds += 250_000_000
    #expect(try bench.run("return ('%.3f'):format(edge.time.now())") == "'1700000000.750'")
  }

  @Test func theMonotonicClock() throws {
    let bench = try PolicyBench.runner()
    #expect(
      try bench.run("local a, b = edge.time.monotonic(), edge.time.monotonic() return a > 0 and b >= a, math.type(a)")
        == "true, 'float'")
    bench.machine.host.stoppedNanoseconds = 12_345_500_000_000
    #expect(try bench.run("return edge.time.monotonic()") == "12345.5")
  }

  static let times: [(String, String)] = [
    ("0", "'1970-01-01T00:00:00.000Z'"), ("1700000000", "'2023-11-14T22:13:20.000Z'"),
    ("1700000000.123", "'2023-11-14T22:13:20.123Z'"), ("1700000000.9996", "'2023-11-14T22:13:21.000Z'"),
    ("edge.time.now()", "'2023-11-14T22:13:20.500Z'"), ("9999999999.999", "'2286-11-20T17:46:39.999Z'"),
  ]

  @Test(arguments: times) func timesAsText(_ seconds: String, _ text: String) throws {
    #expect(try PolicyBench.runner().run("return edge.time.text(\(seconds))") == text)
  }

  @Test(arguments: ["", "nil", "'0'", "-1", "1e10", "0/0", "1/0", "{}"]) func whatIsNoTime(_ value: String) throws {
    #expect(
      try PolicyBench.runner().run("return edge.time.text(\(value))")
        == "error: edge.time.text takes seconds since 1970, up to the year 2286")
  }

  @Test func initKnowsTheTime() throws {
    let bench = try PolicyBench.runner(start: "state.started = edge.time.now()")
    #expect(try bench.run("return state.started > 1700000000") == "true")
  }
}
