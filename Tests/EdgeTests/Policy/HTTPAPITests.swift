// `edge.http.fetch`: the request that comes of its arguments, the arguments that are refused, the answer as scripts
// see it.

import Testing

@testable import Edge

@Suite("edge: http") struct HTTPAPITests {
  /// An exchange may wait 64 times, whatever catches the end of it, and not once more.
  @Test func waitsOfAnExchange() throws {
    let bench = try PolicyBench.runner()
    let answer = OperationAnswer.fetched(
      service: "users", .answered(FetchAnswer(status: 200, headers: [], body: [])))
    var outcome = try bench.start("while true do pcall(edge.http.fetch, {service = 'users', path = '/'}) end")
    for _ in 1...Limits.scriptExchangeWaits {
      #expect(outcome == .waiting)
      outcome = bench.resume(answer, .handle)
    }
    #expect(outcome == .failed)
    #expect(bench.failure.hasSuffix("waited more than 64 times in one exchange"), "\(bench.failure)")
    bench.endContext()
    #expect(try bench.start("return edge.credit.history('ann')") == .waiting)
    bench.machine.abandon(coroutine: &bench.coroutine)
  }

  // MARK: Requests

  struct Fetched: Sendable, CustomTestStringConvertible {
    var table: String
    var method = Method.get
    var path = "/"
    var headers: [FetchHeader] = []
    var body = ""
    var milliseconds = 10_000

    var testDescription: String { table }
  }

  private static let json = FetchHeader(name: "content-type", value: "application/json")

  static let fetched = [
    Fetched(table: "path = '/'"), Fetched(table: "path = '/a?b=c&d=%20'", path: "/a?b=c&d=%20"),
    Fetched(table: "path = '//a'", path: "//a"),
    Fetched(table: "path = '/', method = 'POST'", method: .post),
    Fetched(table: "path = '/', method = 'HEAD'", method: .head),
    Fetched(table: "path = '/', method = 'PUT'", method: .put),
    Fetched(table: "path = '/', method = 'DELETE'", method: .delete),
    Fetched(table: "path = '/', method = 'PATCH'", method: .patch),
    Fetched(table: "path = '/', method = 'OPTIONS'", method: .options),
    Fetched(table: "path = '/', body = 'text'", body: "text"), Fetched(table: "path = '/', body = ''"),
    Fetched(table: "path = '/', body = 'a\\0\\xff\\r\\n'", body: "a\0\u{ff}\r\n"),
    Fetched(table: "path = '/', json = {a = {1}}", headers: [json], body: "{\"a\":[1]}"),
    Fetched(table: "path = '/', json = {}", headers: [json], body: "{}"),
    Fetched(table: "path = '/', json = edge.json.array()", headers: [json], body: "[]"),
    Fetched(table: "path = '/', json = edge.json.null", headers: [json], body: "null"),
    Fetched(table: "path = '/', json = false", headers: [json], body: "false"),
    Fetched(table: "path = '/', json = 'ü\"'", headers: [json], body: "\"\u{c3}\u{bc}\\\"\""),
    Fetched(table: "path = '/', headers = {}"),
    Fetched(table: "path = '/', headers = {['X-A'] = 'b c'}", headers: [FetchHeader(name: "X-A", value: "b c")]),
    Fetched(table: "path = '/', headers = {a = ''}", headers: [FetchHeader(name: "a", value: "")]),
    Fetched(table: "path = '/', headers = {a = 'tab\\t ü'}", headers: [FetchHeader(name: "a", value: "tab\t ü")]),
    Fetched(
      table: "path = '/', headers = {authorization = 'Bearer x'}",
      headers: [FetchHeader(name: "authorization", value: "Bearer x")]),
    Fetched(table: "path = '/', timeout = 5", milliseconds: 5_000),
    Fetched(table: "path = '/', timeout = 0.25", milliseconds: 250),
    Fetched(table: "path = '/', timeout = 0.0001", milliseconds: 1),
    Fetched(table: "path = '/', timeout = 600", milliseconds: 600_000),
    Fetched(table: "path = '/', json = nil, body = nil, timeout = nil, headers = nil, method = nil"),
  ]

  @Test(arguments: fetched) func requests(_ expected: Fetched) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.start("return edge.http.fetch{service = 'users', \(expected.table)}") == .waiting)
    let fetch = try #require(bench.fetch)
    #expect(fetch.service == "users" && fetch.method == expected.method && fetch.path == expected.path)
    #expect(fetch.headers == expected.headers && latin(fetch.body) == expected.body)
    #expect(fetch.deadlineMilliseconds == expected.milliseconds && fetch.answerBytesMax == Limits.fetchAnswerBytesMax)
    #expect(fetch.isWellFormed)
    bench.machine.abandon(coroutine: &bench.coroutine)
  }

  @Test func bodiesUpToTheBound() throws {
    let bench = try PolicyBench.runner()
    let code = "path = '/' .. ('x'):rep(8191), headers = {a = ('x'):rep(4096), b = ('x'):rep(4094)}"
    #expect(try bench.start("edge.http.fetch{service = 'users', \(code)}") == .waiting)
    #expect(bench.fetch?.path.utf8.count == 8_192 && bench.fetch?.headers.count == 2)
    bench.machine.abandon(coroutine: &bench.coroutine)
    #expect(try bench.start("edge.http.fetch{service = 'users', path = '/', body = ('x'):rep(65536)}") == .waiting)
    #expect(bench.fetch?.body.count == 65_536)
    bench.machine.abandon(coroutine: &bench.coroutine)
    #expect(try bench.start("edge.http.fetch{service = 'users', path = '/', json = ('x'):rep(65534)}") == .waiting)
    #expect(bench.fetch?.body.count == 65_536)
    bench.machine.abandon(coroutine: &bench.coroutine)
  }

  private static let formFault =
    "the request cannot be written: the path begins with a slash and is encoded, names of headers are "
    + "tokens that Edge does not write itself, values are UTF-8 without line ends"
  private static let fieldFault = "a header of edge.http.fetch is longer than 4 KiB"
  private static let fieldsFault = "the headers of edge.http.fetch are longer than 8 KiB"
  private static let stranger = String(repeating: "x", count: 64)
  private static let methodFault = "the method must be one such as \"GET\" or \"POST\""
  private static let timeFault = "the timeout must be above 0 and at most 600 seconds"
  private static let headersFault = "'headers' of edge.http.fetch must be a table from names to strings"
  private static let namesFault = "the table of edge.http.fetch must have names for keys"

  static let bad: [(String, String)] = [
    ("()", namesFault), ("'users'", namesFault), ("(5)", namesFault), ("{'users', '/'}", namesFault),
    ("(req)", "a table contains a function, a coroutine or an object of Edge"),
    ("{}", "there is no service '' in the configuration"),
    ("{path = '/'}", "there is no service '' in the configuration"),
    ("{service = 'others', path = '/'}", "there is no service 'others' in the configuration"),
    ("{service = 'Users', path = '/'}", "there is no service 'Users' in the configuration"),
    ("{service = 'http://127.0.0.1', path = '/'}", "there is no service 'http://127.0.0.1' in the configuration"),
    ("{service = 5, path = '/'}", "'service' of edge.http.fetch must be a string"),
    ("{service = 'users'}", "edge.http.fetch needs a path such as \"/v1/users\""),
    ("{service = 'users', path = 5}", "'path' of edge.http.fetch must be a string"),
    ("{service = 'users', path = {}}", "'path' of edge.http.fetch must be a string"),
    ("{service = 'users', path = '/', method = 5}", "'method' of edge.http.fetch must be a string"),
    ("{service = 'users', path = '/', body = 5}", "'body' of edge.http.fetch must be a string"),
    ("{service = 'users', path = '/', body = {}}", "'body' of edge.http.fetch must be a string"),
    ("{service = 'users', path = '/', headers = 'a: b'}", headersFault),
    ("{service = 'users', path = '/', headers = {'a: b'}}", headersFault),
    ("{service = 'users', path = '/', headers = false}", headersFault),
    ("{service = 'users', path = '/', body = '', json = 1}", "edge.http.fetch takes json or body, not both"),
    ("{service = 'users', path = '/', url = '/'}", "edge.http.fetch does not know 'url'"),
    ("{service = 'users', path = '/', Method = 'GET'}", "edge.http.fetch does not know 'Method'"),
    ("{service = 'users', path = '/', method = 'get'}", methodFault),
    ("{service = 'users', path = '/', method = ''}", methodFault),
    ("{service = 'users', path = '/', method = 'CONNECT'}", methodFault),
    ("{service = 'users', path = '/', method = 'TRACE'}", methodFault),
    ("{service = 'users', path = '/', method = 'GET / HTTP/1.1\\r\\n'}", methodFault),
    ("{service = 'users', path = '/', timeout = 0}", timeFault),
    ("{service = 'users', path = '/', timeout = -1}", timeFault),
    ("{service = 'users', path = '/', timeout = 600.1}", timeFault),
    ("{service = 'users', path = '/', timeout = 0/0}", timeFault),
    ("{service = 'users', path = '/', timeout = 1/0}", timeFault),
    ("{service = 'users', path = '/', timeout = '5'}", timeFault),
    ("{service = 'users', path = '/', timeout = true}", timeFault),
    ("{service = 'users', path = ''}", formFault), ("{service = 'users', path = 'a'}", formFault),
    ("{service = 'users', path = 'http://h/'}", formFault),
    ("{service = 'users', path = '/a b'}", formFault), ("{service = 'users', path = '/a#b'}", formFault),
    ("{service = 'users', path = '/ü'}", formFault),
    ("{service = 'users', path = '/ HTTP/1.1\\r\\nx: y'}", formFault),
    ("{service = 'users', path = '/\\0'}", formFault), ("{service = 'users', path = '/\\127'}", formFault),
    ("{service = 'users', path = '/', headers = {a = 'b\\r\\nc: d'}}", formFault),
    ("{service = 'users', path = '/', headers = {a = 'b\\n'}}", formFault),
    ("{service = 'users', path = '/', headers = {a = '\\0'}}", formFault),
    ("{service = 'users', path = '/', headers = {['a b'] = 'c'}}", formFault),
    ("{service = 'users', path = '/', headers = {['a\\r\\nb'] = 'c'}}", formFault),
    ("{service = 'users', path = '/', headers = {[''] = 'c'}}", formFault),
    ("{service = 'users', path = '/', headers = {a = 5}}", formFault),
    ("{service = 'users', path = '/', headers = {a = {'b'}}}", formFault),
    ("{service = 'users', path = '/', body = ('x'):rep(65537)}", "the body of edge.http.fetch is longer than 64 KiB"),
    ("{service = 'users', path = '/', json = ('x'):rep(65535)}", "'json' of edge.http.fetch is longer than 64 KiB"),
    ("{service = 'users', path = '/' .. ('x'):rep(8192)}", "the path of edge.http.fetch is longer than 8 KiB"),
    ("{service = 'users', path = '/', headers = {a = ('x'):rep(4097)}}", fieldFault),
    ("{service = 'users', path = '/', headers = {a = ('x'):rep(4096), b = ('x'):rep(4096)}}", fieldsFault),
    ("{service = 'users', path = '/', headers = {[('x'):rep(8193)] = ''}}", fieldsFault),
    ("{service = ('x'):rep(5000), path = '/'}", "there is no such service in the configuration"),
    ("{service = 'users', path = '/', method = ('x'):rep(33)}", methodFault),
    ("{service = 'users', path = '/', [('x'):rep(100)] = 1}", "edge.http.fetch does not know '\(stranger)'"),
    ("{service = 'users', path = '/', json = 0/0}", "a number is not finite, and JSON has no word for it"),
    ("{service = 'users', path = '/', json = '\\xff'}", "a string is not UTF-8, and JSON has no other text"),
    (
      "{service = 'users', path = '/', json = tostring}",
      "a table contains a function, a coroutine or an object of Edge"
    ),
    (
      "{service = 'users', path = '/', json = {[2] = 1}}",
      "a table has a key that is neither a string nor part of a sequence"
    ),
  ]

  @Test(arguments: bad) func requestsThatAreRefused(_ arguments: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.http.fetch\(arguments)") == "error: " + message)
    #expect(bench.fetch == nil)
  }

  /// What Edge writes itself is not for scripts, in any case of its letters; credentials are theirs.
  @Test func reservedNames() throws {
    let bench = try PolicyBench.runner()
    let free: Set<KnownHeader> = [.authorization, .apiKey, .cookie]
    for row in HeaderRow.table where row.header != .other {
      for name in ["\(row.name)", "\(row.name)".uppercased()] {
        let call = "edge.http.fetch{service = 'users', path = '/', headers = {['\(name)'] = 'v'}}"
        if free.contains(row.header) {
          #expect(try bench.start(call) == .waiting)
          #expect(bench.fetch?.headers == [FetchHeader(name: name, value: "v")])
          bench.machine.abandon(coroutine: &bench.coroutine)
        } else {
          #expect(try bench.run(call) == "error: '\(name)' is written by Edge itself")
        }
      }
    }
  }

  /// There is one Content-Type, and a script may know a closer one.
  @Test(arguments: ["content-type", "Content-Type", "CONTENT-TYPE"]) func contentTypes(_ name: String) throws {
    let bench = try PolicyBench.runner()
    for body in ["json = 1", "body = '1'"] {
      try bench.start("edge.http.fetch{service = 'users', path = '/', \(body), headers = {['\(name)'] = 'a/b'}}")
      #expect(bench.fetch?.headers == [FetchHeader(name: name, value: "a/b")])
      bench.machine.abandon(coroutine: &bench.coroutine)
    }
  }

  // MARK: Answers

  private func answer(
    _ status: UInt16 = 200, _ headers: [(String, String)] = [], _ body: [UInt8] = []
  ) -> OperationAnswer {
    let list = headers.map { FetchHeader(name: $0.0, value: $0.1) }
    return .fetched(service: "users", .answered(FetchAnswer(status: status, headers: list, body: body)))
  }

  private func run(_ code: String, _ answer: OperationAnswer) throws -> String {
    let bench = try PolicyBench.runner()
    let fetch = "local answer = edge.http.fetch{service = 'users', path = '/'}"
    #expect(try bench.start("\(fetch) \(code)") == .waiting)
    #expect(bench.resume(answer, .handle) == .answered)
    return bench.body
  }

  @Test func answersAreTables() throws {
    #expect(try run("return answer", answer()) == "{body: '', headers: {}, status: 200}")
    #expect(
      try run("return answer", answer(404, [("a", "1"), ("b", ""), ("x-y", "ü")], Array("none".utf8)))
        == "{body: 'none', headers: {a: '1', b: '', x-y: 'ü'}, status: 404}")
    #expect(try run("return math.type(answer.status), answer.headers.nothing", answer(599)) == "'integer', nil")
  }

  @Test func headersOfOneNameAreJoined() throws {
    #expect(
      try run(
        "return answer.headers", answer(200, [("a", "1"), ("b", "x"), ("a", "2"), ("a", ""), ("b", "y, z"), ("c", "")]))
        == "{a: '1, 2, ', b: 'x, y, z', c: ''}")
  }

  @Test func bodiesOfAnyBytes() throws {
    let bytes = (0..<256).map { UInt8($0) }
    let code =
      "local b, n = answer.body, 0 for i = 1, #b do if b:byte(i) == i - 1 then n = n + 1 end end return #b, n"
    #expect(try run(code, answer(200, [], bytes)) == "256, 256")
    #expect(try run("return #answer.body", answer(200, [], [UInt8](repeating: 1, count: 200_000))) == "200000")
  }

  /// What a script keeps is its own, whatever comes of the memory that the answer came in.
  @Test func answersAreTheScripts() throws {
    let bench = try PolicyBench.runner()
    let fetch = "edge.http.fetch{service = 'users', path = '/'}"
    try bench.start("local a, b = \(fetch), \(fetch) a.status = 1 a.headers.new = 'x' return a, b")
    #expect(bench.resume(answer(200, [("n", "1")], Array("one".utf8)), .handle) == .waiting)
    #expect(bench.resume(answer(201, [("n", "2")], Array("two".utf8)), .handle) == .answered)
    #expect(
      bench.body
        == "{body: 'one', headers: {n: '1', new: 'x'}, status: 1}, {body: 'two', headers: {n: '2'}, status: 201}")
  }

  @Test func failuresCanBeCaught() throws {
    for cause in EndCause.allCases {
      #expect(
        try run("return 1", .fetched(service: "users", .failed(cause)))
          == "error: no answer from 'users': \(cause.name)")
    }
  }

  @Test func fetchesInCoroutinesOfTheScript() throws {
    let bench = try PolicyBench.runner()
    let code = """
      local go = coroutine.wrap(function(x)
        local y = coroutine.yield(x + 1)
        return edge.http.fetch{service = 'users', path = '/'}.body .. y
      end)
      return go(1), go('!')
      """
    #expect(try bench.start(code) == .waiting)
    #expect(bench.resume(answer(200, [], Array("body".utf8)), .handle) == .answered)
    #expect(bench.body == "2, 'body!'")
  }
}
