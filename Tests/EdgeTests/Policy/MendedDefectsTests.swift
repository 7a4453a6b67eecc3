// Defects that were mended: each test says what is right, and was seen to fail when it was not.

import Testing

@testable import Edge

@Suite("Policies: mended defects") struct MendedDefectsTests {
  /// `tostring(edge.kv.get("k"))` is an error when there is no value at all in the place of nil.
  @Test(arguments: ["kv.get('k')", "crypto.unbase64('?')", "crypto.unbase64url('?')"])
  func nilIsAValue(_ call: String) throws {
    let bench = try PolicyBench.runner()
    let count = try bench.run("return select('#', edge.\(call))")
    #expect(count == "1")
  }

  /// Nothing is sent in the place of what is too long.
  @Test func bodiesBeyondTheTextArea() throws {
    let bench = try PolicyBench.runner()
    let long = "local long = ('x'):rep(1100000)"
    let outcome = try bench.start("\(long) edge.http.fetch{service = 'users', path = '/', json = {long, long}}")
    #expect(outcome == .answered)
    bench.machine.abandon(coroutine: &bench.coroutine)
  }

  /// A byte that is no UTF-8 is refused or sent, not replaced.
  @Test func bytesOfFetchedHeaders() throws {
    let bench = try PolicyBench.runner()
    let outcome = try bench.start("edge.http.fetch{service = 'users', path = '/', headers = {a = '\\xe9'}}")
    #expect(outcome == .answered || bench.fetch?.headers.first?.value != "\u{fffd}")
    bench.machine.abandon(coroutine: &bench.coroutine)
  }

  /// What has another type than it must have is a mistake, and not passed over.
  @Test(arguments: [
    "{limit = 100, rate = '5 per 1s'}", "{limit = '5 per 1s', rate = 5}", "{limit = false, rate = '5 per 1s'}",
  ])
  func wrongTypesInRules(_ rule: String) throws {
    let result = try PolicyBench.start("return edge.limit.define('l', \(rule))")
    #expect(result.hasPrefix("error: "))
  }

  @Test func brokenBursts() throws {
    let result = try PolicyBench.start("return edge.limit.define('l', {rate = '5 per 1s', burst = 2.5})")
    #expect(result.hasPrefix("error: "))
    #expect(!result.contains("-1"))
  }

  /// Names that are no UTF-8 would all be the same one.
  @Test func limitsWithBinaryNames() throws {
    let result = try PolicyBench.start("return edge.limit.define('\\xfe', {limit = '5 per 1s'})")
    #expect(result == "error: the name of a limit is UTF-8")
  }

  /// A field that could not be set anew is what it was: else the one that the client sent would reach the service.
  @Test func fieldsThatFindNoRoom() throws {
    let bench = try PolicyBench.runner()
    let code =
      "req.headers['x-user-id'] = 'ann' req.headers.a = ('a'):rep(4000) req.headers.b = ('b'):rep(4000) "
      + "local fine = pcall(function() req.headers['x-user-id'] = ('u'):rep(4000) end) "
      + "return fine, req.headers['x-user-id']"
    let result = try bench.run(code, "/", ["x-user-id: forged"])
    #expect(result.hasPrefix("false, "))
    #expect(result == "false, 'ann'")
  }

  /// Names of fields have no case: two of one name are one too many.
  @Test func oneContentTypeOfAnAnswer() throws {
    let bench = try PolicyBench.runner()
    let outcome = try bench.start(
      "edge.reply{body = 'x', headers = {['content-type'] = 'a/b', ['Content-Type'] = 'c/d'}}")
    #expect(outcome == .answered)
    #expect(bench.fields.count <= 1)
  }

  /// RFC 9110 section 15.3.6.
  @Test func resetContentHasNone() throws {
    let bench = try PolicyBench.runner()
    let result = try bench.run("edge.reply{status = 205, body = 'x'}")
    #expect(result.hasPrefix("error: "))
  }

  /// A long text is cut, as other texts of the log are.
  @Test func longTextsOfTheLog() throws {
    let file = try LogFile()
    let bench = try PolicyBench.runner(log: file.log)
    #expect(try bench.run("edge.log.info(('x'):rep(70000))") == "")
    let text = try file.lines().first?["text"] as? String
    #expect(text?.hasPrefix("xxxx") == true)
  }

  @Test(arguments: ["5", "true", "edge.json.null"]) func rolesThatAreNone(_ roles: String) throws {
    let bench = try PolicyBench.runner()
    let result = try bench.run("return edge.permission.allows(\(roles), 'mcp:read')")
    #expect(result == "error: edge.permission.allows takes roles: one name, or a list of at most 256")
  }

  /// The path stands in front already.
  @Test func scriptsWithoutTable() throws {
    let found = try PolicyBench.findings("policies: {p: {script: p.lua}}\n", ["p.lua": "return 5"])
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix("p.lua: error: the script must return a table, not a number value") == true)
  }
}
