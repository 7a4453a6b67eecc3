// Tests of tests: the values that are compared, the requests that are made, files that pass and fail.

import Testing

@testable import Edge

@Suite("Values of tests") struct TestValueTests {
  private let ann = TestValue.map(of: [("user", .text("ann")), ("roles", .list([.text("user"), .integer(2)]))])

  @Test func shownAsLuaWritesThem() {
    #expect(ann.shown == #"{roles = {"user", 2}, user = "ann"}"#)
    #expect(
      TestValue.map(of: [("a-b", .null), ("2", .boolean(false))]).shown == #"{["2"] = false, ["a-b"] = edge.json.null}"#
    )
    #expect(TestValue.text("a\"\\\n\u{1}é").shown == #""a\"\\\n\1é""#)
    #expect(TestValue.nothing.shown == "nil")
    #expect(TestValue.number(1.5).shown == "1.5")
    #expect(TestValue.text(String(repeating: "x", count: 1_000)).shown.count < 300)
  }

  @Test func sameValuesDoNotDiffer() {
    #expect(TestValue.difference(ann, from: ann) == nil)
    #expect(TestValue.difference(.integer(3), from: .number(3)) == nil)
    #expect(TestValue.difference(.list([]), from: .map([])) == nil)
    let turned = TestValue.map(of: [("roles", ann["roles"]), ("user", ann["user"])])
    #expect(TestValue.difference(ann, from: turned) == nil)
  }

  @Test func differencesAreNamedWhereTheyAre() {
    let other = TestValue.map(of: [("user", .text("ann")), ("roles", .list([.text("user"), .integer(3)]))])
    #expect(TestValue.difference(ann, from: other) == "at roles[2]: expected 3, found 2")
    #expect(TestValue.difference(.integer(1), from: .text("1")) == #"expected "1", found 1"#)
    #expect(TestValue.difference(.null, from: .nothing) == "expected nil, found edge.json.null")
    let less = TestValue.map(of: [("user", .text("ann"))])
    #expect(TestValue.difference(less, from: ann) == #"at roles: expected {"user", 2}, found nil"#)
    #expect(TestValue.difference(.list([.integer(1)]), from: .list([])) == "at [1]: expected nil, found 1")
    #expect(TestValue.difference(.list([.integer(1)]), from: .map(of: [("a", .null)])) != nil)
  }

  @Test func valuesGoThroughAMachineUnchanged() {
    let value = TestValue.map(of: [
      ("list", .list([.boolean(true), .null, .number(0.5), .list([])])), ("text", .text([0, 255])), ("map", ann),
    ])
    let area = FlatArea()
    var position = 0
    #expect(TestValue(area.hold(value), &position) == value)
    #expect(position == area.count)
  }

  @Test func jsonBothWays() throws {
    let text = try #require(FlatArea().json(ann))
    let read = text.withUnsafeBufferPointer { TestValue.read(json: $0) }
    #expect(try TestValue.difference(#require(read), from: ann) == nil)
    let escaped = Array(#"{"a\u0041":"\ud83d\ude00\n","b":[1,-2.5e3,null]}"#.utf8)
    let value = escaped.withUnsafeBufferPointer { TestValue.read(json: $0) }
    #expect(value == .map(of: [("aA", .text("😀\n")), ("b", .list([.integer(1), .number(-2_500), .null]))]))
    #expect(Array("{".utf8).withUnsafeBufferPointer { TestValue.read(json: $0) } == nil)
    #expect(FlatArea().json(.text([0xff])) == nil)
  }
}

@Suite("Requests of tests") struct WireRequestTests {
  private func made(
    _ method: String = "GET", _ target: String = "/", host: String = "localhost",
    _ fields: [(name: String, value: [UInt8])] = []
  ) -> Result<WireRequest, WireRefusal> {
    Result { () throws(WireRefusal) in
      try WireRequest(method: method, target: target, host: host, fields: fields, limits: HeadLimits())
    }
  }

  private func text(_ bytes: StaticBytes) -> String {
    String(decoding: UnsafeBufferPointer(start: bytes.start, count: bytes.count), as: UTF8.self)
  }

  @Test func isWhatAWorkerReads() throws {
    let request = try made("PURGE", "//a/./%62?x=1", host: "[::1]:80", [(name: "X-A", value: [0x62])]).get()
    #expect(text(request.method) == "PURGE")
    #expect(text(StaticBytes(start: request.target.path, count: request.target.pathCount)) == "/a/b")
    #expect(text(request.host) == "[::1]:80")
    #expect(text(request.hostName) == "::1")
    #expect(request.received.table.count == 2)
    let others = [try made(host: "a.test.:80").get(), try made("GET", "http://b.test/x", host: "b.test").get()]
    // The texts stand in the requests.
    withExtendedLifetime(others) {
      #expect(text(others[0].hostName) == "a.test")
      #expect(text(others[1].host) == "b.test")
    }
  }

  @Test func whatEdgeRefusesIsRefused() {
    func code(_ result: Result<WireRequest, WireRefusal>) -> ErrorCode? {
      if case .failure(let refusal) = result { refusal.code } else { nil }
    }
    #expect(code(made("GET", "/a b")) == .invalidRequest)
    #expect(code(made("GET", "/a%2Fb")) == .invalidRequest)
    #expect(code(made("GET", "/", host: "a b")) == .invalidRequest)
    #expect(code(made("TRACE")) == .methodNotAllowed)
    #expect(code(made("GET", "/" + String(repeating: "x", count: 20_000))) == .headersTooLarge)
    #expect(code(made("GET", "/ HTTP/1.1\r\nx: y")) == .invalidRequest)
    #expect(code(made(fields("a\r\nb: c"))) == .invalidRequest)
    #expect(code(made(fields("a\nb"))) == .invalidRequest)
    #expect(code(made(fields("a"))) == nil)
  }

  private func fields(_ value: String) -> [(name: String, value: [UInt8])] { [(name: "x", value: Array(value.utf8))] }

  private func made(_ fields: [(name: String, value: [UInt8])]) -> Result<WireRequest, WireRefusal> {
    made("GET", "/", fields)
  }
}

@Suite("Tests of policies") struct PolicyTestsTests {
  private static let config = """
    version: 1
    listeners: {main: {bind: "127.0.0.1:0"}, inner: {bind: "127.0.0.1:0"}}
    services: {app: {endpoints: ["http://127.0.0.1:1"]}}
    routes:
      all: {path: /*, service: app}
      inner: {path: /inner, host: in.test, listeners: inner, methods: [GET], service: app}
    """

  /// Runs tests against a script; the reports without the folder's path.
  private func run(_ files: [String: String], filter: String? = nil) throws -> [TestReport] {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", PolicyTestsTests.config)
    for (name, text) in files { try folder.write(name, text) }
    let snapshot = try #require(folder.load().snapshot)
    let reports = try PolicyTests(snapshot: snapshot, filter: TestFilter(filter)).run()
    return reports.map { report in
      var report = report
      report.failures = report.failures.map { $0.replacing(folder.path + "/", with: "") }
      return report
    }
  }

  @Test func theShippedTestsPass() throws {
    let outcome = Loader.load(
      path: Fixture.repository + "/routes.yaml", options: LoadOptions(environment: Fixture.environment))
    let snapshot = try #require(outcome.snapshot)
    let reports = try PolicyTests(snapshot: snapshot, filter: TestFilter(nil)).run()
    #expect(reports.count == 8)
    #expect(reports.flatMap(\.failures) == [])
    let file = try #require(try RouteTestFile.read(Fixture.repository + "/routes.test.yaml", for: snapshot))
    let routes = RouteTests(snapshot: snapshot, filter: TestFilter(nil)).run(file)
    #expect(routes.failures == [])
    #expect(routes.passed > 10)
  }

  @Test func webSocketsAndTheirMessages() throws {
    let reports = try run([
      "policies/socket.lua": """
      local policy = {}
      function policy.on_request(req, ctx)
        ctx.user, ctx.list, ctx.left = req.upgrade and "ann", {1, "two"}, {a = 1}
        ctx.seen = table.concat({req.headers.upgrade or "-", req.headers["sec-websocket-version"] or "-"}, " ")
        if req.args.long then ctx.long = ("x"):rep(5000) end
      end
      function policy.on_message(msg, ctx)
        ctx.sum = table.concat({msg.id, msg.message_id, msg.type, msg.body, msg.route, msg.address, ctx.user}, " ")
        if msg.type == "price" then ctx.price = edge.price.estimate() end
        if msg.type == "fetch" then ctx.body = edge.http.fetch{service = "app", path = "/"}.body end
      end
      return policy
      """,
      "policies/tests/a_test.lua": """
      local tests = {}
      function tests.facts(t)
        local policy = t.policy("socket.lua")
        local outcome = policy:on_request{upgrade = true}
        t.passes(outcome)
        t.equal(outcome.facts, {user = "ann", list = {1, "two"}, seen = "websocket 13"})
        t.equal(policy:on_request{upgrade = true, headers = {["Sec-WebSocket-Version"] = "8"}}.ctx.seen, "websocket 8")
        t.equal(policy:on_request{}.facts, nil)
        t.fails(policy:on_request{upgrade = true, query = "long=1"}, "passes 4 KiB")
        t.passes(policy:on_request{query = "long=1"})
      end
      function tests.messages(t)
        local policy = t.policy("socket.lua")
        local facts = policy:on_request{upgrade = true}.facts
        local plain = policy:on_message{ctx = facts}
        t.equal(plain.ctx.sum, "01JTESTS0000000000000000AB message-1 chat {} test 192.0.2.1 ann")
        local all = policy:on_message{ctx = facts, id = "i", message_id = "m", type = "t", json = {a = 1}, route = "r",
          address = "192.0.2.9"}
        t.equal(all.ctx.sum, 'i m t {"a":1} r 192.0.2.9 ann')
        t.equal(policy:on_message{ctx = facts, type = "price", body = "x", estimate = 2}.ctx.price, 2000000000)
        local fetched = policy:on_message{ctx = facts, type = "fetch", answers = {{body = "yes"}}}
        t.equal(fetched.ctx.body, "yes")
        t.equal(fetched.fetches[1].service, "app")
      end
      function tests.what_does_not_belong_together(t)
        local policy = t.policy("socket.lua")
        t.fails(function() policy:on_request{query_token = "x"} end, "goes with upgrade = true")
        t.fails(function() policy:on_request{upgrade = 1} end, "must be true or false")
        t.fails(function() policy:on_request{upgrade = true, query_token = 5} end, "a table of claims, or a string")
        t.fails(function() policy:on_message{method = "GET"} end, "the message has no 'method'")
        t.fails(function() policy:on_message{upgrade = true} end, "the message has no 'upgrade'")
        t.fails(function() policy:on_request{message_id = "x"} end, "the request has no 'message_id'")
      end
      return tests
      """,
    ])
    #expect(reports.flatMap(\.failures) == [])
    #expect(reports.map(\.passed) == [3])
  }

  @Test func everyTestHasTimeAndPoliciesOfItsOwn() throws {
    let reports = try run([
      "policies/once.lua": """
      local policy = {}
      function policy.init() seen = edge.limit.define("x", {limit = "1 per 1m"}) end
      function policy.on_request(req, ctx) ctx.granted = seen:take("key") end
      return policy
      """,
      "policies/tests/a_test.lua": """
      local tests = {}
      local kept, before
      function tests.a(t)
        kept, before = t.policy("once.lua"), t.now()
        t.equal(kept:on_request{}.ctx.granted, true)
        t.equal(kept:on_request{}.ctx.granted, false)
        t.sleep(1000000)
        t.equal(t.now() - before, 1000000)
      end
      function tests.b(t)
        t.equal(t.now() - before < 1000, true)
        t.equal(t.policy("once.lua"):on_request{}.ctx.granted, true)
      end
      function tests.c(t)
        t.fails(function() kept:on_request{} end, "another test")
        t.equal(t.mark, nil)
      end
      return tests
      """,
    ])
    #expect(reports.flatMap(\.failures) == [])
    #expect(reports.map(\.passed) == [3])
  }

  @Test func failuresSayWhereAndWhat() throws {
    let reports = try run([
      "policies/tests/a_test.lua": """
      local tests = {}
      local function check(t, value) t.equal(value, 2, "the value") end
      function tests.a(t) check(t, 1) end
      function tests.b(t) error("by itself") end
      function tests.c(t) t.contains("abc", "x") end
      function tests.d(t) t.fails(function() error("one", 0) end, "other") end
      function tests.e(t) t.equal(t, 1) end
      function tests.f(t) total = 1 end
      function tests.g(t) error({}) end
      return tests
      """
    ])
    #expect(
      reports.flatMap(\.failures) == [
        "policies/tests/a_test.lua:2: a: the value: expected 2, found 1",
        "policies/tests/a_test.lua:4: b: by itself",
        #"policies/tests/a_test.lua:5: c: expected a text with "x", found "abc""#,
        "policies/tests/a_test.lua:6: d: expected an error with 'other', found 'one'",
        "policies/tests/a_test.lua:7: e: only plain values can be compared, not functions or policies",
        "policies/tests/a_test.lua:8: f: global 'total' is read-only after load",
        "policies/tests/a_test.lua:9: g: error object is a table value",
      ])
  }

  @Test func filesAndTestsRunInOrderAndByFilter() throws {
    let test = "return {zz = function() error('z') end, aa = function() error('a') end}\n"
    let files = [
      "policies/tests/b_test.lua": test, "policies/tests/a_test.lua": test, "policies/tests/a_tests.lua": "x",
      "policies/tests/.c_test.lua": "x", "policies/a_test.lua": "x",
    ]
    let reports = try run(files)
    #expect(reports.map { $0.path.suffix(10) } == ["a_test.lua", "b_test.lua"])
    #expect(reports.first?.failures.map { $0.suffix(5) } == ["aa: a", "zz: z"])
    #expect(try run(files, filter: "B_TEST zz").flatMap(\.failures) == ["policies/tests/b_test.lua:1: zz: z"])
    #expect(try run([:]).isEmpty)
  }

  @Test func creditsBodiesAndEstimates() throws {
    let reports = try run([
      "policies/pay.lua": """
      local policy = {}
      function policy.on_request(req, ctx) ctx.cost, ctx.body = edge.price.estimate(), req.body end
      function policy.on_select(candidates, ctx)
        ctx.held, ctx.left = edge.credit.hold("ann", candidates[1].estimate)
        return {candidates[2]}
      end
      function policy.on_log(ctx) ctx.balance = edge.credit.balance("ann") end
      return policy
      """,
      "policies/tests/a_test.lua": """
      local tests = {}
      function tests.a_values(t)
        local policy = t.policy("pay.lua", nil, {credits = {ann = "0.5"}})
        t.equal(policy:on_request{estimate = "0.000000003", body = "x"}.ctx, {cost = 3, body = "x"})
        t.equal(policy:on_request{json = {1}}.ctx, {body = "[1]"})
        t.equal(policy:on_request{}.ctx, {})
        local two = {{service = "s", estimate = "0.5"}, {provider = "p", model = "m"}}
        local outcome = policy:on_select{candidates = two}
        t.equal(outcome.order, {"p"})
        t.equal(outcome.held, {account = "ann", credits = "0.5"})
        t.equal(outcome.ctx, {held = true, left = 0})
        t.equal(policy:on_log{credits = {ann = 2, bob = 1}}.ctx.balance, 2000000000)
        t.equal(policy:on_select{candidates = two}.ctx.held, true)
        t.fails(policy:on_log{ledger = "unavailable"}, "cannot be reached")
      end
      function tests.b_mistakes(t)
        local policy = t.policy("pay.lua")
        local function wrong(phase, request, problem)
          t.fails(function() policy[phase](policy, request) end, problem)
        end
        wrong("on_request", {body = 5}, "'body' of the request must be a string")
        wrong("on_request", {body = "", json = {}}, "not both")
        wrong("on_request", {estimate = "much"}, "'estimate' of the request: a text of an amount")
        wrong("on_request", {estimate = -1}, "'estimate' of the request: a number of credits")
        wrong("on_request", {estimate = {refused = "NOTHING"}}, "'NOTHING' is no error code")
        wrong("on_request", {candidates = {}}, "has no 'candidates'")
        wrong("on_select", {candidates = {{provider = "p"}}}, "a provider and a model, or a service")
        wrong("on_select", {path = "/"}, "has no 'path'")
        wrong("on_log", {ledger = "slow"}, 'found "slow"')
        wrong("on_log", {credits = {ann = true}}, "'ann' of 'credits'")
        t.fails(function() t.policy("pay.lua", nil, {charges = {{account = "ann", credits = 1}}}) end, "not cover")
      end
      return tests
      """,
    ])
    #expect(reports.flatMap(\.failures) == [])
    #expect(reports.map(\.passed) == [2])
  }

  /// A policy that tells what it is told.
  private static let retry = """
    local policy = {}
    function policy.on_select(candidates, ctx)
      ctx.first = candidates[1]
      ctx.second = candidates[2]
    end
    function policy.on_retry(attempt, ctx)
      ctx.attempt = attempt
      if attempt.status == 429 then edge.refuse(attempt.code, {retry_after = 2}) end
      if ctx.asks then ctx.state = edge.http.fetch{service = "users", path = "/state"}.status end
      if ctx.holds then edge.credit.hold("ann", 1) end
      return ctx.answer
    end
    return policy
    """

  @Test func attemptsThatHaveFailed() throws {
    let reports = try run([
      "policies/retry.lua": PolicyTestsTests.retry,
      "policies/tests/a_test.lua": """
      local tests = {}
      local function made(t) return t.policy("retry.lua", nil, {services = {"users"}}) end
      local next = {provider = "b", model = "n", estimate = 2, priority = 3, load = 4, equivalent = true, named = true}
      local told = {provider = "b", model = "n", estimate = 2000000000, priority = 3, load = 4, equivalent = true,
        named = true}
      local function attempt(status, ctx)
        return {attempt = {provider = "a", model = "m", status = status, number = 2, next = next}, ctx = ctx}
      end
      function tests.a_what_it_is_told(t)
        local outcome = made(t):on_retry(attempt(502))
        t.passes(outcome)
        t.equal(outcome.order, nil)
        t.equal(outcome.ctx.attempt,
          {provider = "a", model = "m", code = "PROVIDER_ERROR", status = 502, number = 2, next = told})
        local plain = made(t):on_retry{attempt = {provider = "a", model = "m", code = "TIMEOUT",
          next = {provider = "b", model = "m"}}}.ctx.attempt
        t.equal({plain.code, plain.status, plain.number}, {"TIMEOUT", 0, 1})
        t.equal(plain.next, {provider = "b", model = "m", estimate = 0, priority = 1, load = 0, equivalent = false,
          named = false})
      end
      function tests.b_what_it_may_do(t)
        local refused = made(t):on_retry{attempt = {provider = "a", model = "m", code = "RATE_LIMIT_EXCEEDED",
          status = 429, next = next}}
        t.refuses(refused, "RATE_LIMIT_EXCEEDED")
        t.equal(refused.retry_after, 2)
        local waits = attempt(502, {asks = true})
        waits.answers = {{status = 204}}
        t.equal(made(t):on_retry(waits).ctx.state, 204)
        t.fails(made(t):on_retry(attempt(502, {answer = 1})), "on_retry returned a value")
        t.fails(made(t):on_retry(attempt(502, {holds = true})), "on_select only")
      end
      function tests.c_candidates(t)
        local ctx = made(t):on_select{candidates = {next, {service = "s", estimate = 1}}}.ctx
        t.equal(ctx.first, told)
        t.equal(ctx.second, {service = "s", estimate = 1000000000})
      end
      function tests.d_mistakes(t)
        local function wrong(attempt, problem)
          t.fails(function() made(t):on_retry{attempt = attempt} end, problem)
        end
        wrong(nil, "who is 'next'")
        wrong({provider = "a", model = "m"}, "who is 'next'")
        wrong({provider = "a", model = "m", next = {service = "s"}}, "'next' of the attempt is a provider")
        wrong({provider = "a", model = "m", next = next, code = "NO"}, "'code' of the attempt: 'NO' is no error code")
        wrong({provider = "a", model = "m", next = next, status = 600}, "'status' must be a whole number up to 599")
        wrong({provider = "a", model = "m", next = next, number = 1.5}, "'number' must be a whole number")
        wrong({provider = "a", model = "m", next = {provider = "b", model = "m", named = 1}}, "true or false")
        wrong({provider = "a", model = "m", then_ = next}, "has no 'then_'")
        t.fails(function() made(t):on_retry{candidates = {}} end, "has no 'candidates'")
      end
      return tests
      """,
    ])
    #expect(reports.flatMap(\.failures) == [])
    #expect(reports.map(\.passed) == [4])
  }

  @Test func secretsOfTheConfigurationSignNothing() throws {
    let secret = try #require(Fixture.environment["JWT_SECRET"])
    let reports = try run([
      "policies/auth.lua": """
      local policy = {}
      function policy.on_request(req, ctx) ctx.user, ctx.problem = edge.jwt.verify(req.credential) end
      return policy
      """,
      "policies/tests/a_test.lua": """
      local tests = {}
      function tests.a(t)
        local policy = t.policy("auth.lua")
        t.equal(policy:on_request{token = {sub = "ann"}}.ctx.user.user, "ann")
        t.equal(policy:on_request{token = t.token({sub = "ann"}, "\(secret)")}.ctx.problem, "bad signature")
        t.fails(function() t.token({sub = "ann"}, "short") end, "at least 32")
      end
      return tests
      """,
    ])
    #expect(reports.flatMap(\.failures) == [])
  }

  // MARK: Routes

  private func routes(_ rows: String) throws -> TestReport {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", PolicyTestsTests.config)
    try folder.write("routes.test.yaml", rows)
    let snapshot = try #require(folder.load().snapshot)
    let file = try #require(try RouteTestFile.read(folder.path + "/routes.test.yaml", for: snapshot))
    var report = RouteTests(snapshot: snapshot, filter: TestFilter(nil)).run(file)
    report.failures = report.failures.map { $0.replacing(folder.path + "/", with: "") }
    return report
  }

  @Test func rowsThatHold() throws {
    let report = try routes(
      """
      - {request: GET /inner, route: all}
      - {request: GET /inner, host: "IN.test:99", listener: inner, route: inner}
      - {request: POST /inner, host: in.test, listener: inner, route: all}
      - {request: GET /inner, host: in.test, listener: main, route: all}
      - {request: GET /a%00, error: INVALID_REQUEST}
      """)
    #expect(report.failures == [])
    #expect(report.passed == 5)
  }

  @Test func rowsThatDoNot() throws {
    let report = try routes("- {request: GET /x, error: NOT_FOUND}\n- {request: GET /x, route: inner}\n- 1\n")
    #expect(report.passed == 0)
    #expect(
      report.failures == [
        "routes.test.yaml:3:3: error: a row must be a mapping, found '1'\n  - 1\n    ^",
        "routes.test.yaml:1:13: error: GET /x: expected no route, found route 'all'\n"
          + "  - {request: GET /x, error: NOT_FOUND}\n              ^~~~~~",
        "routes.test.yaml:2:13: error: GET /x: expected route 'inner', found route 'all'\n"
          + "  - {request: GET /x, route: inner}\n              ^~~~~~",
      ])
  }

  @Test func brokenFilesOfRows() throws {
    #expect(try routes("- {request: [\n").failures.count == 1)
    #expect(try routes("# nothing\n").failures.isEmpty)
    #expect(try routes("a: b\n").failures.first?.contains("the file must be a list") == true)
  }
}
