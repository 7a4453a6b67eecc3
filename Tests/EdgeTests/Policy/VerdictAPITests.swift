// `edge.refuse` and `edge.reply`: what becomes of every argument, and which ones are refused.

import Foundation
import Testing

@testable import Edge

@Suite("edge: refuse and reply") struct VerdictAPITests {
  // MARK: Refusals

  @Test func everyCodeCanBeRefusedWith() throws {
    let bench = try PolicyBench.runner()
    for row in ErrorRow.table {
      #expect(try bench.start("edge.refuse('\(row.name)')") == .answered)
      #expect(bench.verdict.code?.row.name.description == row.name.description)
      #expect(bench.verdict.message == nil && bench.verdict.details == nil && bench.verdict.retryAfterSeconds == 0)
    }
    try bench.start("edge.refuse('INVALID_REQUEST')")
    #expect(bench.verdict.code?.row.status == 400, "the first row of a name")
  }

  private static let codeFault = "error: edge.refuse needs an error code such as \"FORBIDDEN\""

  static let badCodes = [
    "", "nil", "'forbidden'", "''", "'FORBIDDEN '", "'FORBIDDEN\\0'", "403", "{}", "true", "'NO_SUCH_CODE'",
    "'FORBIDDE'",
    "edge.json.null", "{code = 'FORBIDDEN'}",
  ]

  @Test(arguments: badCodes) func codesThatAreRefused(_ code: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("edge.refuse(\(code))") == VerdictAPITests.codeFault)
  }

  struct Refusal: Sendable {
    var details: String
    var retryAfter: UInt64 = 0
    var message: String?
    var json: String?
  }

  static let refusals = [
    Refusal(details: "nil"), Refusal(details: "{}"), Refusal(details: "{a = 1}", json: "{\"a\":1}"),
    Refusal(details: "{a = {b = {1, 2}, c = edge.json.array()}}", json: "{\"a\":{\"b\":[1,2],\"c\":[]}}"),
    Refusal(
      details: "{a = edge.json.null, b = false, ['c d'] = 'e\"\\n'}",
      json: "{\"a\":null,\"b\":false,\"c d\":\"e\\\"\\n\"}"),
    Refusal(details: "{[''] = ''}", json: "{\"\":\"\"}"),
    Refusal(details: "{retry_after = 7}", retryAfter: 7), Refusal(details: "{retry_after = 0}", retryAfter: 1),
    Refusal(details: "{retry_after = 0.001}", retryAfter: 1), Refusal(details: "{retry_after = 1.0}", retryAfter: 1),
    Refusal(details: "{retry_after = 1.0000001}", retryAfter: 2),
    Refusal(details: "{retry_after = 59.5}", retryAfter: 60),
    Refusal(details: "{retry_after = 1e300}", retryAfter: 31_536_000),
    Refusal(details: "{retry_after = -0.0}", retryAfter: 1),
    Refusal(details: "{retry_after = math.maxinteger}", retryAfter: 31_536_000),
    Refusal(details: "{message = 'no'}", message: "no"), Refusal(details: "{message = ''}", message: ""),
    Refusal(details: "{message = '\"quoted\" \\\\ \\n ü'}", message: "\"quoted\" \\ \n ü"),
    Refusal(details: "{message = 'a', retry_after = 3, b = 2}", retryAfter: 3, message: "a", json: "{\"b\":2}"),
    Refusal(details: "{Message = 'a', retryAfter = 1}", json: "{\"Message\":\"a\",\"retryAfter\":1}"),
    Refusal(
      details: "{inner = {message = 'a', retry_after = 1}}", json: "{\"inner\":{\"message\":\"a\",\"retry_after\":1}}"),
  ]

  @Test(arguments: refusals) func details(_ refusal: Refusal) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.start("edge.refuse('CONFLICT', \(refusal.details))") == .answered)
    #expect(bench.verdict.code == .conflict)
    #expect(bench.verdict.retryAfterSeconds == refusal.retryAfter)
    #expect(bench.message == refusal.message)
    #expect(try bench.details.map(canonical) == refusal.json)
  }

  /// A JSON text with the keys of its maps in order.
  private func canonical(_ text: String) throws -> String {
    let value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
    let options: JSONSerialization.WritingOptions = [.sortedKeys, .fragmentsAllowed, .withoutEscapingSlashes]
    return String(decoding: try JSONSerialization.data(withJSONObject: value, options: options), as: UTF8.self)
  }

  static let badDetails: [(String, String)] = [
    ("5", "the details of edge.refuse must be a table"), ("'no'", "the details of edge.refuse must be a table"),
    ("false", "the details of edge.refuse must be a table"),
    ("edge.json.null", "the details of edge.refuse must be a table"),
    ("req", "the details of edge.refuse must be a table"),
    ("{1, 2}", "the table of edge.refuse must have names for keys"),
    ("edge.json.array()", "the table of edge.refuse must have names for keys"),
    ("{1, a = 2}", "a table has a key that is neither a string nor part of a sequence"),
    ("{a = {[2] = 1}}", "a table has a key that is neither a string nor part of a sequence"),
    ("{[true] = 1}", "a table has a key that is neither a string nor part of a sequence"),
    ("{a = tostring}", "a table contains a function, a coroutine or an object of Edge"),
    ("{a = {req}}", "a table contains a function, a coroutine or an object of Edge"),
    ("{a = coroutine.create(tostring)}", "a table contains a function, a coroutine or an object of Edge"),
    ("(function() local t = {} t.t = t return t end)()", "the table is nested too deeply, or contains itself"),
    ("{retry_after = '5'}", "'retry_after' of edge.refuse is a number of seconds"),
    ("{retry_after = -1}", "'retry_after' of edge.refuse is a number of seconds"),
    ("{retry_after = 0/0}", "'retry_after' of edge.refuse is a number of seconds"),
    ("{retry_after = 1/0}", "'retry_after' of edge.refuse is a number of seconds"),
    ("{retry_after = true}", "'retry_after' of edge.refuse is a number of seconds"),
    ("{retry_after = 5, message = 5}", "'message' of edge.refuse is a string of UTF-8 of at most 1 KiB"),
    ("{retry_after = 5, a = 0/0}", "a number is not finite, and JSON has no word for it"),
    ("{message = 5}", "'message' of edge.refuse is a string of UTF-8 of at most 1 KiB"),
    ("{message = {}}", "'message' of edge.refuse is a string of UTF-8 of at most 1 KiB"),
    ("{message = '\\xff'}", "'message' of edge.refuse is a string of UTF-8 of at most 1 KiB"),
    ("{message = 'a\\xc3'}", "'message' of edge.refuse is a string of UTF-8 of at most 1 KiB"),
    ("{a = 0/0}", "a number is not finite, and JSON has no word for it"),
    ("{a = {-1/0}}", "a number is not finite, and JSON has no word for it"),
    ("{a = '\\xff'}", "a string is not UTF-8, and JSON has no other text"),
    ("{['\\xff'] = 1}", "a string is not UTF-8, and JSON has no other text"),
    ("{a = ('x'):rep(16 * 1024)}", "the details of edge.refuse are longer than 16 KiB"),
    ("{message = ('x'):rep(1025)}", "'message' of edge.refuse is a string of UTF-8 of at most 1 KiB"),
    ("{message = ('x'):rep(1000), a = ('x'):rep(15500)}", "the details of edge.refuse are longer than 16 KiB"),
  ]

  @Test(arguments: badDetails) func detailsThatAreRefused(_ details: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("edge.refuse('CONFLICT', \(details))") == "error: " + message)
    // Nothing of it is left for the refusal that comes after it.
    try bench.start("pcall(edge.refuse, 'CONFLICT', \(details)) edge.refuse('FORBIDDEN')")
    #expect(bench.verdict.code == .forbidden && bench.verdict.message == nil)
    #expect(bench.verdict.details == nil && bench.verdict.retryAfterSeconds == 0)
  }

  @Test func longDetails() throws {
    let bench = try PolicyBench.runner()
    // {"a":"…"}
    for count in [1, 4_088, 4_089, 16 * 1_024 - 8] {
      #expect(try bench.start("edge.refuse('CONFLICT', {a = ('x'):rep(\(count))})") == .answered)
      #expect(bench.details == "{\"a\":\"\(String(repeating: "x", count: count))\"}")
    }
    try bench.start("edge.refuse('CONFLICT', {message = ('m'):rep(1024), a = ('x'):rep(8000)})")
    #expect(bench.message == String(repeating: "m", count: 1_024))
    #expect(bench.details == "{\"a\":\"\(String(repeating: "x", count: 8_000))\"}")
  }

  @Test func theVerdictIsForgotten() throws {
    let bench = try PolicyBench.runner()
    try bench.start("edge.refuse('CONFLICT', {message = 'm', retry_after = 5, a = 1})")
    try bench.start("edge.reply{body = 'b'}")
    #expect(bench.verdict.code == nil && bench.verdict.message == nil && bench.verdict.retryAfterSeconds == 0)
    try bench.start("edge.reply{status = 404, headers = {['cache-control'] = 'no-cache'}, json = {}}")
    try bench.start("edge.refuse('CONFLICT')")
    #expect(bench.verdict.fields.isEmpty && bench.verdict.body.isEmpty && !bench.verdict.saysCaching)
  }

  // MARK: Answers

  struct Answer: Sendable {
    var table: String
    var status: UInt16 = 200
    var fields: [String] = []
    var body = ""
  }

  private static let json = "content-type: application/json"
  private static let plain = "content-type: text/plain; charset=utf-8"

  static let answers = [
    Answer(table: "{}"), Answer(table: "{status = 204}", status: 204), Answer(table: "{status = 304.0}", status: 304),
    Answer(table: "{status = 599}", status: 599), Answer(table: "{status = 200, headers = {}}"),
    Answer(table: "{body = 'text'}", fields: [plain], body: "text"), Answer(table: "{body = ''}"),
    Answer(table: "{body = 'a\\0\\r\\n\\xffb'}", fields: [plain], body: "a\0\r\n\u{ff}b"),
    Answer(table: "{json = {a = 1}}", fields: [json], body: "{\"a\":1}"),
    Answer(table: "{json = {}}", fields: [json], body: "{}"),
    Answer(table: "{json = edge.json.array()}", fields: [json], body: "[]"),
    Answer(table: "{json = 'text'}", fields: [json], body: "\"text\""),
    Answer(table: "{json = 5}", fields: [json], body: "5"),
    Answer(table: "{json = false}", fields: [json], body: "false"),
    Answer(table: "{json = edge.json.null}", fields: [json], body: "null"),
    Answer(table: "{json = {1, {2}}}", fields: [json], body: "[1,[2]]"),
    Answer(table: "{status = 201, json = nil}", status: 201),
    Answer(
      table: "{body = '<p>', headers = {['content-type'] = 'text/html'}}", fields: ["content-type: text/html"],
      body: "<p>"),
    Answer(table: "{json = 1, headers = {['Content-Type'] = 'a/b'}}", fields: ["Content-Type: a/b"], body: "1"),
    Answer(
      table: "{status = 302, headers = {Location = '/x', ['x-empty'] = ''}}", status: 302,
      fields: ["Location: /x", "x-empty: "]),
    Answer(table: "{headers = {['content-type'] = 'a/b'}}", fields: ["content-type: a/b"]),
    Answer(table: "{headers = {['set-cookie'] = 'a=\\xff'}}", fields: ["set-cookie: a=\u{ff}"]),
    Answer(table: "{status = 204, body = ''}", status: 204),
  ]

  @Test(arguments: answers) func replies(_ answer: Answer) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.start("edge.reply\(answer.table)") == .answered)
    #expect(bench.verdict.code == nil && bench.verdict.status == answer.status)
    #expect(bench.fields == answer.fields)
    #expect(latin(bench.bodyBytes) == answer.body)
    #expect(!bench.verdict.saysCaching)
  }

  static let badAnswers: [(String, String)] = [
    ("()", "edge.reply needs a table such as {status=200, json={ok=true}}"),
    ("(404)", "edge.reply needs a table such as {status=200, json={ok=true}}"),
    ("'text'", "edge.reply needs a table such as {status=200, json={ok=true}}"),
    ("(req)", "edge.reply needs a table such as {status=200, json={ok=true}}"),
    ("{404}", "the table of edge.reply must have names for keys"),
    ("(edge.json.array())", "the table of edge.reply must have names for keys"),
    ("{code = 404}", "edge.reply does not know 'code'; it takes status, headers, json and body"),
    ("{Status = 404}", "edge.reply does not know 'Status'; it takes status, headers, json and body"),
    ("{[''] = 404}", "edge.reply does not know ''; it takes status, headers, json and body"),
    ("{status = '200'}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = 199}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = 101}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = 600}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = 200.5}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = -200}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = 0/0}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = 1/0}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{status = edge.json.null}", "the status of edge.reply must be a whole number from 200 to 599"),
    ("{body = 5}", "the body of edge.reply must be a string"),
    ("{body = {}}", "the body of edge.reply must be a string"),
    ("{body = false}", "the body of edge.reply must be a string"),
    ("{body = 'a', json = 1}", "edge.reply takes json or body, not both"),
    ("{body = '', json = edge.json.null}", "edge.reply takes json or body, not both"),
    ("{json = tostring}", "a table contains a function, a coroutine or an object of Edge"),
    ("{json = {[3] = 1}}", "a table has a key that is neither a string nor part of a sequence"),
    ("{json = 0/0}", "a number is not finite, and JSON has no word for it"),
    ("{json = '\\xff'}", "a string is not UTF-8, and JSON has no other text"),
    ("{status = 204, body = 'a'}", "an answer with the status 204 has no content"),
    ("{status = 304, json = {}}", "an answer with the status 304 has no content"),
    ("{body = ('x'):rep(192 * 1024 + 1)}", "the answer of edge.reply is longer than 192 KiB"),
    ("{json = ('x'):rep(192 * 1024 - 1)}", "the answer of edge.reply is longer than 192 KiB"),
    ("{headers = 'a: b'}", "the headers of edge.reply must be a table from names to strings"),
    ("{headers = {'a: b'}}", "the headers of edge.reply must be a table from names to strings"),
    ("{headers = 5}", "the headers of edge.reply must be a table from names to strings"),
  ]

  @Test(arguments: badAnswers) func repliesThatAreRefused(_ table: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("edge.reply\(table)") == "error: " + message)
  }

  private static let fieldFault =
    "error: a header of edge.reply is no field: names are tokens, values strings without line ends"

  static let badFields: [(String, String)] = [
    ("['x-a'] = 'b\\r\\nset-cookie: c'", fieldFault), ("['x-a'] = 'b\\n'", fieldFault), ("['x-a'] = '\\0'", fieldFault),
    ("['x-a\\r\\nx-b'] = 'c'", fieldFault), ("['x a'] = 'b'", fieldFault), ("['x:a'] = 'b'", fieldFault),
    ("[''] = 'b'", fieldFault), ("['x-a'] = 5", fieldFault), ("['x-a'] = {'b', 'c'}", fieldFault),
    ("['x-a'] = true", fieldFault),
    ("['x-a'] = ' b'", fieldFault), ("['x-a'] = edge.json.null", fieldFault), ("['x-a'] = ('b'):rep(4097)", fieldFault),
    ("['content-length'] = '5'", "error: 'content-length' is written by Edge itself"),
    ("['Transfer-Encoding'] = 'chunked'", "error: 'Transfer-Encoding' is written by Edge itself"),
    ("connection = 'close'", "error: 'connection' is written by Edge itself"),
    ("['x-request-id'] = '1'", "error: 'x-request-id' is written by Edge itself"),
    ("date = 'now'", "error: 'date' is written by Edge itself"),
    ("via = 'me'", "error: 'via' is written by Edge itself"),
    ("['keep-alive'] = '5'", "error: 'keep-alive' is written by Edge itself"),
    (
      "a = ('b'):rep(4000), c = ('d'):rep(4000), e = ('f'):rep(4000)",
      "error: the headers of edge.reply are longer than 8 KiB"
    ),
  ]

  @Test(arguments: badFields) func fieldsThatAreRefused(_ field: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("edge.reply{headers = {\(field)}}") == message)
  }

  @Test func longAnswers() throws {
    let bench = try PolicyBench.runner()
    for count in [1, 4_096, 4_097, 65_536, 65_537, 192 * 1_024] {
      #expect(try bench.start("edge.reply{body = ('x'):rep(\(count))}") == .answered)
      #expect(bench.bodyBytes == [UInt8](repeating: 0x78, count: count))
    }
    #expect(try bench.start("edge.reply{json = ('x'):rep(192 * 1024 - 2)}") == .answered)
    #expect(bench.bodyBytes.count == 192 * 1_024)
    let fields = "a = ('b'):rep(4000), c = ('d'):rep(4000)"
    #expect(try bench.start("edge.reply{headers = {\(fields)}}") == .answered)
    #expect(bench.fields.map(\.count) == [4_003, 4_003])
  }

  @Test(arguments: ["cache-control", "Cache-Control", "CACHE-CONTROL"]) func caching(_ name: String) throws {
    let bench = try PolicyBench.runner()
    try bench.start("edge.reply{headers = {['\(name)'] = 'max-age=5'}}")
    #expect(bench.verdict.saysCaching && bench.fields == ["\(name): max-age=5"])
  }

  /// An answer that could not be given leaves nothing behind.
  @Test func aFailedAnswerIsForgotten() throws {
    let bench = try PolicyBench.runner()
    try bench.start(
      "pcall(edge.reply, {status = 404, body = 'x', headers = {['cache-control'] = 'a', b = 1}}) edge.reply{}")
    #expect(bench.verdict.status == 200 && bench.verdict.body.isEmpty && bench.verdict.fields.isEmpty)
    #expect(!bench.verdict.saysCaching)
  }
}
