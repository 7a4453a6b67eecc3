// `req`: its fields, header fields read and set, parameters of the path and of the query.

import Testing

@testable import Edge

@Suite("edge: req") struct RequestAPITests {
  // MARK: Fields

  static let fields: [(String, String, String)] = [
    ("/a/b?c=d", "path", "'/a/b'"), ("/a/b?c=d", "query", "'c=d'"), ("/a?", "query", "''"), ("/a", "query", "nil"),
    ("/a?b?c", "query", "'b?c'"), ("//a/./b/../%7Ec/%3f", "path", "'/a/~c/%3F'"), ("/", "path", "'/'"),
    ("/", "method", "'GET'"), ("/", "host", "'h'"), ("/", "id", "'the-request-id'"), ("/", "route", "'the-route'"),
    ("/", "listener", "'main'"), ("/", "upgrade", "false"), ("/", "messages", "false"), ("/", "permission", "nil"),
    ("/", "credential", "nil"),
    ("/", "address", "'203.0.113.9'"), ("/", "network", "'203.0.113.9'"), ("/", "headers", "handle"),
    ("/", "params", "handle"), ("/", "args", "handle"), ("/", "body", "nil"),
  ]

  @Test(arguments: fields) func everyField(_ target: String, _ name: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.\(name)", target) == expected)
    #expect(try bench.run("return req['\(name)']", target) == expected)
  }

  /// What the reference tells of stands here.
  @Test func allFieldsAreTested() {
    #expect(Set(RequestAPI.fields.map(\.name)) == Set(RequestAPITests.fields.map(\.1)))
  }

  @Test func methodAndHostAreAsTheClientSentThem() throws {
    let script = "return {handle = function(req) edge.reply{body = req.method .. ' ' .. req.host} end}"
    let bench = try PolicyBench(script)
    try bench.show(PolicyBench.head("/", method: "PROPFIND", host: "Example.COM:8080"))
    #expect(bench.ask(.handle) == .answered)
    #expect(bench.body == "PROPFIND Example.COM:8080")
    try bench.show("GET / HTTP/1.0\r\n\r\n")
    #expect(bench.ask(.handle) == .answered)
    #expect(bench.body == "GET ")
  }

  @Test func permissionOfTheRoute() throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.permission", permission: "mcp:read") == "'mcp:read'")
  }

  static let clients = [
    ("203.0.113.9", "203.0.113.9"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::1", "::"), ("fe80::1", "fe80::"),
    ("2001:db8::", "2001:db8::"), ("::ffff:ffff:ffff:ffff", "::"), ("1:2:3:4::", "1:2:3:4::"),
  ]

  @Test(arguments: clients) func addresses(_ address: String, _ network: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.address, req.network", client: address) == "'\(address)', '\(network)'")
  }

  /// `req` is always the request of the policy that runs; without one it cannot be read.
  @Test func whereThereIsNoRequest() throws {
    let bench = try PolicyBench(
      """
      local kept, headers
      return {
        on_request = function(req, ctx)
          ctx.user = kept and kept.path
          kept, headers = req, req.headers
        end,
        on_log = function(ctx) ctx.user = select(2, pcall(function() return kept.path end)) end,
        handle = function() edge.reply{body = tostring(select(2, pcall(function() return headers["a"] end)))} end,
      }
      """)
    bench.ask()
    bench.endContext()
    try bench.show(PolicyBench.head("/second"))
    bench.ask()
    #expect(bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self) } == "/second")
    bench.machine.host.view = nil
    #expect(bench.ask(.onLog) == .passed)
    let message = "the request can be read in on_request and handle only"
    #expect(
      bench.machine.user(bench.context).map { String(decoding: $0, as: UTF8.self).hasSuffix(message) } == true)
    #expect(bench.ask(.handle) == .answered && bench.body.hasSuffix(message))
  }

  // MARK: Header fields

  static let headers: [([String], String, String)] = [
    (["x-a: 1"], "x-a", "'1'"), (["X-A: 1"], "x-a", "'1'"), (["x-a: 1"], "X-A", "'1'"), (["x-a: 1"], "x-b", "nil"),
    (["x-a: 1"], "x", "nil"), (["x-a: 1"], "x-aa", "nil"), ([], "x-a", "nil"), (["x-a: 1"], "", "nil"),
    (["x-a:"], "x-a", "''"), (["x-a:   1 2\t "], "x-a", "'1 2'"), (["x-a: 1", "x-a: 2"], "x-a", "'1, 2'"),
    (["x-a: 1", "x-b: z", "X-A: 2", "x-a:", "x-a: 3"], "x-a", "'1, 2, , 3'"), (["x-a:", "x-a:"], "x-a", "', '"),
    (["accept: a", "Accept: b"], "accept", "'a, b'"), (["x-a: \u{e9}"], "x-a", "'\u{fffd}'"),
    (["connection: x-a", "x-a: 1"], "x-a", "'1'"), ([], "Host", "'h'"), (["cookie: a=b"], "cookie", "'a=b'"),
    (["authorization: Bearer x"], "authorization", "nil"), (["authorization: Basic x"], "Authorization", "nil"),
    (["x-api-key: x"], "x-api-key", "nil"), (["content-length: 0"], "content-length", "'0'"),
    (["x_a.b~!#$%&'*+^`|: 1"], "x_a.b~!#$%&\\'*+^`|", "'1'"),
  ]

  @Test(arguments: headers) func headersAreRead(_ fields: [String], _ name: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.headers['\(name)']", "/", fields) == expected)
  }

  @Test func headersOfManyParts() throws {
    let bench = try PolicyBench.runner()
    let fields = (0..<200).map { "x-many: \($0)" + String(repeating: "y", count: 40) }
    let expected = fields.map { $0.dropFirst(8) }.joined(separator: ", ")
    #expect(try bench.run("return req.headers['x-many']", "/", fields) == "'\(expected)'")
  }

  static let edits: [(String, [String], String)] = [
    ("req.headers['x-a'] = '1'", ["x-a: 1"], "'1'"), ("req.headers['X-A'] = '1'", ["x-a: 1"], "'1'"),
    ("req.headers['x-a'] = ''", ["x-a: "], "''"), ("req.headers['x-a'] = nil", ["-x-a"], "nil"),
    ("req.headers['x-a'] = 'a\\tb'", ["x-a: a\tb"], "'a\tb'"),
    ("req.headers['x-a'] = '1' req.headers['X-a'] = '2'", ["x-a: 2"], "'2'"),
    ("req.headers['x-a'] = '1' req.headers['x-A'] = nil", ["-x-a"], "nil"),
    ("req.headers['x-a'] = nil req.headers['x-A'] = '3'", ["x-a: 3"], "'3'"),
    ("req.headers['x-b'] = '2' req.headers['x-a'] = req.headers['x-b']", ["x-b: 2", "x-a: 2"], "'2'"),
    ("req.headers['x-a'] = req.headers['x-a'] .. '!'", ["x-a: client, twice!"], "'client, twice!'"),
    ("req.headers.authorization = 'Bearer own'", ["authorization: Bearer own"], "'client, twice'"),
    ("req.headers['x-b'] = '\\xff'", ["x-b: \u{ff}"], "'client, twice'"), ("", [], "'client, twice'"),
  ]

  @Test(arguments: edits) func headersAreSet(_ code: String, _ edits: [String], _ now: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("\(code) return req.headers['X-a']", "/", ["x-a: client", "x-A: twice"]) == now)
    #expect(bench.edits == edits)
  }

  @Test func whatAPolicySetItCanRead() throws {
    let bench = try PolicyBench.runner()
    let fields = ["authorization: Bearer theirs"]
    #expect(
      try bench.run("req.headers.authorization = 'mine' return req.headers.Authorization", "/", fields) == "'mine'")
    #expect(try bench.run("req.headers.cookie = nil return req.headers.cookie", "/", ["cookie: a=b"]) == "nil")
  }

  private static let nameFault = "error: the name of a header must be a token such as \"x-user-id\""
  private static let valueFault = "error: the value of a header must have no line ends and at most 4 KiB"
  private static let typeFault = "error: the value of a header must be a string, or nil to remove it"

  static let refused: [(String, String)] = [
    ("['']", nameFault), ("['a b']", nameFault), ("['a:']", nameFault), ("['a\\r\\nb']", nameFault),
    ("['ä']", nameFault),
    ("[1]", nameFault), ("[true]", nameFault), ("[{}]", nameFault), ("['a\\0']", nameFault), ("['a/b']", nameFault),
    ("[('x'):rep(65)]", nameFault),
  ]

  @Test(arguments: refused) func namesThatAreRefused(_ name: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    for value in ["'v'", "nil"] { #expect(try bench.run("req.headers\(name) = \(value)") == message) }
    #expect(bench.edits == [])
  }

  static let values: [(String, String)] = [
    ("'a\\r\\nx-b: 1'", valueFault), ("'a\\nb'", valueFault), ("'a\\rb'", valueFault), ("'a\\0b'", valueFault),
    ("'\\127'", valueFault), ("' a'", valueFault), ("'a '", valueFault), ("'\\ta'", valueFault), ("'a\\t'", valueFault),
    ("' '", valueFault), ("('x'):rep(4097)", valueFault), ("5", typeFault), ("true", typeFault), ("false", typeFault),
    ("{}", typeFault), ("edge.json.null", typeFault), ("tostring", typeFault),
  ]

  @Test(arguments: values) func valuesThatAreRefused(_ value: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("req.headers['x-a'] = \(value)") == message)
    #expect(bench.edits == [])
  }

  /// What Edge writes itself is not for scripts, in any case of its letters; the rest of the table is.
  @Test func reservedNames() throws {
    let bench = try PolicyBench.runner()
    let own: Set<KnownHeader> = [.authorization, .apiKey, .cookie]
    for row in HeaderRow.table where row.header != .other {
      for name in ["\(row.name)", "\(row.name)".uppercased()] {
        let expected = own.contains(row.header) ? "" : "error: '\(name)' is written by Edge itself"
        #expect(try bench.run("req.headers['\(name)'] = 'v'") == expected)
        #expect(bench.edits == (own.contains(row.header) ? ["\(row.name): v"] : []))
        #expect(try bench.run("req.headers['\(name)'] = nil") == expected)
      }
    }
  }

  @Test func theRoomForHeadersIsLimited() throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("req.headers['x-a'] = ('v'):rep(4096) return #req.headers['x-a']") == "4096")
    let full = "for i = 1, 3 do req.headers['x-' .. i] = ('v'):rep(4000) end"
    #expect(try bench.run(full) == "error: the headers that policies set pass 8 KiB")
    #expect(bench.edits.count == 2)
    #expect(
      try bench.run("for i = 1, 200 do req.headers['x-a'] = ('v'):rep(200) end return #req.headers['x-a']")
        == "200")
    #expect(bench.edits.map(\.count) == [205], "what is set again takes the room of what it was")
  }

  // MARK: Parameters

  static let parameters: [([String], String, String, String)] = [
    (["/users/:id"], "/users/7", "id", "'7'"), (["/users/:id"], "/users/7", "name", "nil"),
    (["/users/:id"], "/users/a%20b", "id", "'a b'"), (["/users/:id"], "/users/%C3%BC", "id", "'ü'"),
    (["/users/:id"], "/users/a+b", "id", "'a+b'"), (["/users/:id"], "/users/%2541", "id", "'%41'"),
    (["/users/:id"], "/users/%41", "id", "'A'"), (["/:a/:b"], "/x/y", "a", "'x'"), (["/:a/:b"], "/x/y", "b", "'y'"),
    (["/:a/*"], "/x/y/z", "a", "'x'"), (["/:a/b/:c/*"], "/x/b/y/z", "c", "'y'"),
    (["/a/:x", "/b/:y"], "/b/7", "y", "'7'"), (["/a/:x", "/b/:y"], "/b/7", "x", "nil"),
    (["/a/:x", "/b/:x"], "/b/7", "x", "'7'"), (["/a/b"], "/a/b", "b", "nil"), (["/*"], "/a", "id", "nil"),
    (["/users/:id"], "/users/7", "", "nil"), (["/users/:id"], "/users/7", "ID", "nil"),
    (["/users/:id"], "/users/7?id=8", "id", "'7'"), (["/u/:id"], "/u/%22%5B%5D", "id", "'\"[]'"),
  ]

  @Test(arguments: parameters)
  func params(_ paths: [String], _ target: String, _ name: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.params['\(name)']", target, paths: paths) == expected)
  }

  static let arguments: [(String, String, String)] = [
    ("/?a=1", "a", "'1'"), ("/?a=1&b=2", "b", "'2'"), ("/?a=1&a=2", "a", "'1'"), ("/?b=1", "a", "nil"),
    ("/", "a", "nil"),
    ("/?", "a", "nil"), ("/?a", "a", "''"), ("/?a=", "a", "''"), ("/?a&b=1", "a", "''"), ("/?a=b=c", "a", "'b=c'"),
    ("/?a=%3D%26", "a", "'=&'"), ("/?a=x+y%20z", "a", "'x y z'"), ("/?a=%2B", "a", "'+'"), ("/?%61=1", "a", "'1'"),
    ("/?a%20b=1", "a b", "'1'"), ("/?a+b=1", "a b", "'1'"), ("/?a%2Bb=1", "a+b", "'1'"), ("/?a=%", "a", "'%'"),
    ("/?a=%4", "a", "'%4'"), ("/?a=%zz", "a", "'%zz'"), ("/?a=%00b", "a", "'\0b'"), ("/?a=%C3%BC", "a", "'ü'"),
    ("/?aa=1&a=2", "a", "'2'"), ("/?A=1", "a", "nil"), ("/?&&a=1&", "a", "'1'"), ("/?a.b=1", "a.b", "'1'"),
    ("/?a[]=1", "a[]", "'1'"), ("/?=x", "a", "nil"), ("/?a=/?:@", "a", "'/?:@'"), ("/?a=%2541", "a", "'%41'"),
  ]

  @Test(arguments: arguments) func args(_ target: String, _ name: String, _ expected: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return req.args['\(name)']", target) == expected)
  }

  @Test func namesThatAreNoStrings() throws {
    let bench = try PolicyBench.runner()
    for object in ["headers", "params", "args"] {
      #expect(try bench.run("return req.\(object)[1]", "/?1=2", paths: ["/*"]) == "nil")
    }
  }

  @Test func longArguments() throws {
    let bench = try PolicyBench.runner()
    let text = String(repeating: "%41", count: 10_000)
    #expect(
      try bench.run("return #req.args.a, req.args.b, req.args.a:sub(-3)", "/?a=\(text)&b=c") == "10000, 'c', 'AAA'")
  }
}
