// Every allocation of a policy machine fails once: while it is made with the shipped policies, while these decide about
// an exchange from its head to its log, and in each function and field that scripts see. Nothing crashes or leaks, an
// exchange ends as it would have with memory or as one whose policy failed, and the machine goes on.

import Foundation
import LuaBridge
import Testing

@testable import Edge

@Suite("Policy machine: without memory") struct WithoutMemoryTests {
  /// More than any of the runs here allocates.
  private static let most: UInt64 = 20_000
  private static let lost = "lost: "

  /// Runs it with its first allocation failing, with its second and so on until none fails any more, and after each as
  /// if nothing had happened. What `run` returns is `expected`, or begins with `lost`. How many runs were.
  private func sweep(_ bench: PolicyBench, _ expected: String, _ run: () throws -> String) throws -> Int {
    let lua = bench.machine.lua
    #expect(try run() == expected)
    var count = 0
    for number in 1..<WithoutMemoryTests.most {
      let before = lua.allocations
      lua.failAllocation(number)
      let found = try run()
      let isReached = lua.allocations - before >= number
      lua.failAllocation(0)
      if found != expected {
        count += 1
        try #require(found.hasPrefix(WithoutMemoryTests.lost), "\(number): \(found)")
      }
      let after = try run()
      try #require(after == expected, "\(number): \(after)")
      if !isReached { return count }
    }
    Issue.record("there is no end of allocations")
    return count
  }

  // MARK: The shipped policies

  private static let policies = """
    services: {users: {endpoints: "http://127.0.0.1:9"}}
    policies:
      auth: {script: auth.lua}
      permissions: {script: permissions.lua}
      rate-limit: {script: rate_limit.lua, settings: {rate: 1000000 per 1s}}
      credits: {script: credits.lua}
      select-provider: {script: select_provider.lua}
      keeps: {script: keeps.lua}

    """
  /// What no shipped policy does: looks at all of a message, at a failed attempt and at the end of the exchange.
  private static let keeps = """
    local policy = {}
    function policy.on_retry(attempt, ctx) ctx.failed = attempt.code .. " of " .. attempt.next.provider end
    function policy.on_message(msg, ctx)
      ctx.user = table.concat({
        ctx.user, msg.id, msg.message_id, msg.type, msg.body, msg.address, msg.network, msg.route, msg.permission,
        msg.listener,
      }, ",")
    end
    function policy.on_log(ctx) ctx.user = ctx.user .. " " .. ctx.status .. " " .. ctx.cause .. " " .. ctx.failed end
    return policy
    """
  private static let select = 4
  private static let credits = 3
  private static let keeping = 5

  private func shipped() throws -> PolicyBench {
    var scripts = ["keeps.lua": WithoutMemoryTests.keeps]
    for name in ["auth", "permissions", "rate_limit", "credits", "select_provider"] {
      scripts[name + ".lua"] = try String(
        contentsOfFile: "\(Fixture.repository)/policies/\(name).lua", encoding: .utf8)
    }
    let bench = try PolicyBench(yaml: WithoutMemoryTests.policies, scripts: scripts)
    bench.machine.lua.allow(sliceTicks: 10_000, exchangeTicks: 10_000)
    return bench
  }

  private func candidate(_ place: Int32, _ name: StaticString, priority: Int32) -> PolicyCandidate {
    PolicyCandidate(
      place: place, name: StaticBytes(name), model: StaticBytes("gpt-4"), estimate: Amount(units: 30),
      priority: priority)
  }

  /// How an exchange was lost, and what waited is forgotten.
  private func lost(_ bench: PolicyBench, _ what: String) -> String {
    bench.machine.abandon(coroutine: &bench.coroutine)
    return WithoutMemoryTests.lost + what
  }

  private func text(_ bytes: UnsafeBufferPointer<UInt8>?) -> String {
    bytes.map { String(decoding: $0, as: UTF8.self) } ?? "nothing"
  }

  /// One exchange with every phase, as the worker asks; then a message on the WebSocket that its facts stand for.
  private func exchange(_ bench: PolicyBench, _ token: String) throws -> String {
    let host = bench.machine.host
    bench.endContext()
    try bench.show(PolicyBench.head("/", ["authorization: Bearer \(token)"]), permission: "services:use")
    host.price = .known(Amount(units: 30))
    host.hold = nil
    host.candidates = [candidate(1, "openai", priority: 2), candidate(2, "other", priority: 1)]
    let balance = OperationAnswer.ledger(.balance(AccountBalance(balance: Amount(units: 100), held: .zero)))
    for policy in 0...WithoutMemoryTests.credits {
      var outcome = bench.ask(policy: policy)
      if outcome == .waiting { outcome = bench.resume(balance, policy: policy) }
      if outcome != .passed { return lost(bench, "on_request \(policy): \(outcome) \(bench.failure)") }
    }
    let edits = bench.edits
    let head = host.view
    host.view = nil
    for policy in [WithoutMemoryTests.select, WithoutMemoryTests.credits] {
      var outcome = bench.ask(.onSelect, policy: policy)
      if outcome == .waiting {
        let account = AccountHandle(index: 1, serial: 1)
        let granted = LedgerAnswer.hold(.granted(account, available: Amount(units: 70)))
        outcome = bench.resume(.ledger(granted), .onSelect, policy: policy)
      }
      if outcome != .passed { return lost(bench, "on_select \(policy): \(outcome) \(bench.failure)") }
    }
    let order = host.candidates.map(\.place)
    host.attempt = PolicyAttempt(
      provider: StaticBytes("other"), model: StaticBytes("gpt-4"), code: .rateLimitExceeded, status: 429, number: 1,
      next: candidate(1, "openai", priority: 2))
    if bench.ask(.onRetry, policy: WithoutMemoryTests.keeping) != .passed { return lost(bench, bench.failure) }
    let expires = bench.machine.expires(bench.context)
    let role = text(bench.machine.role(bench.context))
    guard let facts = bench.machine.facts(bench.context) else { return lost(bench, "facts: \(bench.failure)") }
    let said = try message(bench, Array(facts))
    if said.hasPrefix(WithoutMemoryTests.lost) { return said }
    host.view = head
    let summary = ExchangeSummary(
      status: 200, cause: .completed, durationNanoseconds: 1_000_000, requestBytes: 1, responseBytes: 2)
    bench.machine.note(summary, &bench.context)
    if bench.ask(.onLog, policy: WithoutMemoryTests.keeping) != .passed { return lost(bench, bench.failure) }
    let user = text(bench.machine.user(bench.context))
    let held = host.hold.map { "\($0.amount.units)" } ?? "nothing"
    guard expires == Int64(PolicyBench.wall / 1_000_000_000) + 60 else { return lost(bench, "expires") }
    return "\(edits) \(order) \(held) \(role) \(user) \(said)"
  }

  /// A message in a context of its own; the exchange's comes back.
  private func message(_ bench: PolicyBench, _ facts: [UInt8]) throws -> String {
    let host = bench.machine.host
    let kept = bench.context
    defer {
      bench.endContext()
      bench.context = kept
      host.message = nil
    }
    bench.context = facts.withUnsafeBufferPointer { bench.machine.makeContext($0) }
    if bench.context < 0 { return lost(bench, "the context of a message") }
    host.message = MessageView(
      body: StaticBytes("{}"), messageID: StaticBytes("m-1"), type: StaticBytes("chat"),
      client: try #require(SocketAddress(numeric: "203.0.113.9", port: 50_000)), id: host.requestID,
      listener: StaticBytes("main"),
      route: PolicyRoute(
        name: StaticBytes("platform"), permission: StaticBytes("services:use"),
        parameters: RouteParameters([], arena: Arena())))
    let balance = OperationAnswer.ledger(.balance(AccountBalance(balance: Amount(units: 100), held: .zero)))
    for policy in [1, 2, WithoutMemoryTests.credits, WithoutMemoryTests.keeping] {
      var outcome = bench.ask(.onMessage, policy: policy)
      if outcome == .waiting { outcome = bench.resume(balance, .onMessage, policy: policy) }
      if outcome != .passed { return lost(bench, "on_message \(policy): \(outcome) \(bench.failure)") }
    }
    return "message of \(text(bench.machine.user(bench.context)))"
  }

  @Test func anExchange() throws {
    let bench = try shipped()
    let expiry = PolicyBench.wall / 1_000_000_000 + 60
    let claims = Array("{\"sub\":\"ann\",\"role\":\"user\",\"exp\":\(expiry)}".utf8)
    let key = Array((Fixture.environment["JWT_SECRET"] ?? "").utf8)
    let token = String(decoding: TokenSigner.sign(claims: claims, key: key), as: UTF8.self)
    let expected =
      "[\"x-user-id: ann\"] [2, 1] 30 user ann 200 completed RATE_LIMIT_EXCEEDED of openai message of ann,"
      + "the-request-id,m-1,chat,{},203.0.113.9,203.0.113.9,platform,services:use,main"
    let count = try sweep(bench, expected) { try exchange(bench, token) }
    #expect(count > 20)
    bench.endContext()
    #expect(bench.machine.lua.collect(full: true) < 1 << 20)
  }

  /// A machine that is not whole does not come to be, and says that memory was missing.
  @Test func opening() throws {
    let bench = try shipped()
    let tools = PolicyTools(
      bench.snapshot, limits: bench.machine.host.tools.limits, keyValues: bench.machine.host.tools.keyValues, log: nil)
    let clock = try #require(LuaClock())
    defer { clock.end() }
    var count = 0
    for number in 1..<WithoutMemoryTests.most {
      LuaMachine.failOpening(number)
      do throws(PolicyFaults) {
        let machine = try PolicyMachine(bench.snapshot, tools, clock: clock)
        // Lua may do without some: a table of strings that does not grow yet.
        if machine.lua.allocations < number {
          #expect(count > 500)
          return
        }
      } catch {
        count += 1
        for fault in error.list {
          switch fault {
          case .memory: break
          case .script(_, let error): #expect(error.kind == .memory, "\(number): \(error.message)")
          default: Issue.record("\(number): \(fault)")
          }
        }
      }
    }
    Issue.record("there is no end of allocations")
  }

  // MARK: Functions and fields

  /// What each function and field is asked, and what comes of it; a field of `req` by its name alone.
  private static let questions: [String: (String, String)] = [
    "edge.refuse": ("edge.refuse('FORBIDDEN', {retry_after = 3, message = 'why', a = {1, {b = true}}})", "refused"),
    "edge.reply": ("edge.reply{status = 201, headers = {['x-a'] = 'b'}, json = {1, {a = 'b'}}}", "[1,{\"a\":\"b\"}]"),
    "edge.jwt.verify": ("return (edge.jwt.verify(req.credential)).user", "'ann'"),
    "edge.jwt.claims": ("return edge.jwt.claims(req.credential).list", "[1, {a: 'b'}]"),
    "edge.permission.allows": ("return edge.permission.allows({'none', 'user'}, 'services:use')", "true"),
    "edge.limit.define": ("return (pcall(edge.limit.define, 'more', {limit = '5 per 1m'}))", "false"),
    "edge.credit.amount": (
      "return edge.credit.amount('12.5'), edge.credit.amount('x')", "12500000000, nil, \(noAmount)"
    ),
    "edge.credit.decimal": ("local d = edge.credit.decimal(5) return edge.json.encode{d, tostring(d)}", "\(decimals)"),
    "edge.credit.balance": ("return edge.credit.balance('ann')", "100, 0, 100"),
    "edge.credit.hold": ("return (pcall(edge.credit.hold, 'ann', 5))", "false"),
    "edge.credit.history": ("local list, next = edge.credit.history('ann') return list[1].transaction, next", "'T', 3"),
    "edge.credit.grant": ("return edge.credit.grant('ann', 5, {by = 'root', reason = 'why'}).transaction", "'T'"),
    "edge.price.estimate": ("return edge.price.estimate()", "30"),
    "edge.provider.list": ("return edge.provider.list()", "{}"),
    "edge.metric.counter": ("return (pcall(edge.metric.counter, 'more', 'What.'))", "false"),
    "counter:add": ("return state.counter:add(2)", ""),
    "edge.kv.get": ("return edge.kv.get('kept')", "'value'"),
    "edge.kv.set": ("edge.kv.set('a', ('x'):rep(500), 60) return #edge.kv.get('a')", "500"),
    "edge.kv.add": ("edge.kv.delete('n') return edge.kv.add('n', 2), edge.kv.add('n', 3)", "2, 5"),
    "edge.kv.delete": ("edge.kv.set('b', 'x') edge.kv.delete('b') return edge.kv.get('b')", "nil"),
    "edge.http.fetch": ("return edge.http.fetch{service = 'users', path = '/', json = {1}}", "\(fetched)"),
    "edge.json.encode": ("return edge.json.encode{1, {a = 'b'}, edge.json.null}", "'[1,{\"a\":\"b\"},null]'"),
    "edge.json.decode": ("return edge.json.decode('[1, {\"a\": [true, \"\\\\u00e9\"]}]')", "[1, {a: [true, 'é']}]"),
    "edge.json.try_decode": ("return (select(2, edge.json.try_decode('[1,')) ~= nil)", "true"),
    "edge.json.array": ("return edge.json.encode(edge.json.array())", "'[]'"),
    "edge.crypto.sha256": ("return #edge.crypto.sha256('a')", "64"),
    "edge.crypto.hmac_sha256": ("return #edge.crypto.hmac_sha256('key', 'a')", "64"),
    "edge.crypto.equal": ("return edge.crypto.equal('a', 'a')", "true"),
    "edge.crypto.random": ("return #edge.crypto.random(64)", "128"),
    "edge.crypto.base64": ("return edge.crypto.base64('abcd')", "'YWJjZA=='"),
    "edge.crypto.base64url": ("return edge.crypto.base64url('abcd')", "'YWJjZA'"),
    "edge.crypto.unbase64": ("return edge.crypto.unbase64('YWJjZA==')", "'abcd'"),
    "edge.crypto.unbase64url": ("return edge.crypto.unbase64url('YWJjZA')", "'abcd'"),
    "edge.time.now": ("return edge.time.now()", "1700000000.5"),
    "edge.time.text": ("return edge.time.text(0)", "'1970-01-01T00:00:00.000Z'"),
    "edge.time.monotonic": ("return edge.time.monotonic() > 0", "true"),
    "edge.log.error": ("edge.log.error('a' .. 1)", ""), "edge.log.warn": ("edge.log.warn('a' .. 1)", ""),
    "edge.log.info": ("edge.log.info('a' .. 1)", ""), "edge.log.debug": ("edge.log.debug('a' .. 1)", ""),
    "limit:take": ("return (state.limit:take('somebody'))", "true"),
    "method": ("", "'GET'"), "path": ("", "'/a/b'"), "query": ("", "'c=d%20e'"), "host": ("", "'h'"),
    "address": ("", "'203.0.113.9'"), "network": ("", "'203.0.113.9'"), "id": ("", "'the-request-id'"),
    "route": ("", "'the-route'"), "permission": ("", "nil"), "listener": ("", "'main'"), "upgrade": ("", "false"),
    "messages": ("", "false"),
    "credential": ("", "handle"), "body": ("", "'body'"), "headers['x-a']": ("", "'1, 2'"),
    "params.name": ("", "'b'"), "args.c": ("", "'d e'"), "res.status": ("res.status", "201"),
    "chunk.data": ("chunk.data", "some text"), "chunk.number": ("chunk.number", "2"),
    "chunk.last": ("tostring(chunk.last)", "true"), "chunk.status": ("chunk.status", "201"),
    "chunk.streamed": ("tostring(chunk.streamed)", "false"), "res.service": ("res.service", "users"),
    "res.provider": ("res.provider", "openai"),
    "res.model": ("res.model", "gpt-4"), "res.id": ("res.id", "the-request-id"),
    "res.route": ("res.route", "the-route"),
    "res.headers": (
      "res.headers['x-a'] .. (function() res.headers['x-b'] = 'c' return res.headers['x-b'] end)()", "1, 2c"
    ),
  ]
  private static let noAmount = "'a text of an amount has digits, at most one point and nine places, such as \"12.5\"'"
  private static let decimals = "'[0.000000005,\"0.000000005\"]'"
  private static let fetched = "{body: 'text', headers: {a: '1, 2'}, status: 200}"

  /// What is waited for, by what was asked.
  private func answer(_ bench: PolicyBench) -> OperationAnswer {
    switch bench.machine.host.operation {
    case .fetch:
      let headers = [FetchHeader(name: "a", value: "1"), FetchHeader(name: "a", value: "2")]
      return .fetched(
        service: "users", .answered(FetchAnswer(status: 200, headers: headers, body: Array("text".utf8))))
    case .ledger(.history):
      let entry = LedgerEntry(
        place: 7, transaction: "T", kind: .grant, amount: Amount(units: 5), balance: Amount(units: 5),
        wall: PolicyBench.wall)
      return .ledger(.history([entry], next: 3))
    case .ledger(.grant): return .ledger(.granted(transaction: "T", balance: Amount(units: 5)))
    case .ledger: return .ledger(.balance(AccountBalance(balance: Amount(units: 100), held: .zero)))
    default: return .body
    }
  }

  @Test func everyFunction() throws {
    let rows =
      HostTable.functions.map(\.name)
      + HostTable.classes.flatMap { kind in kind.methods.map { "\(kind.name):\($0.name)" } }
    let fields =
      RequestAPI.fields.map { row in
        ["headers": "headers['x-a']", "params": "params.name", "args": "args.c"][row.name] ?? row.name
      } + AnswerAPI.fields.map { "res." + $0.name } + ChunkAPI.fields.map { "chunk." + $0.name }
    #expect(
      Set(rows + fields + ["edge.json.array"]).symmetricDifference(WithoutMemoryTests.questions.keys) == [],
      "each row has a question")
    let expiry = PolicyBench.wall / 1_000_000_000 + 60
    let claims = Array("{\"sub\":\"ann\",\"exp\":\(expiry),\"list\":[1,{\"a\":\"b\"}]}".utf8)
    let key = Array((Fixture.environment["JWT_SECRET"] ?? "").utf8)
    let token = String(decoding: TokenSigner.sign(claims: claims, key: key), as: UTF8.self)
    let bench = try PolicyBench.runner(
      start: "state.limit = edge.limit.define('l', {rate = '1000000 per 1s'}) "
        + "state.counter = edge.metric.counter('c', 'What is counted.')")
    #expect(try bench.run("edge.kv.set('kept', 'value') return 1") == "1")
    let body = ByteArea("body".utf8.map { $0 })
    bench.machine.host.price = .known(Amount(units: 30))
    bench.machine.host.body = .known(UnsafeBufferPointer(start: body.base, count: 4))
    for (name, question) in WithoutMemoryTests.questions.sorted(by: { $0.key < $1.key }) where !isOfAnswer(name) {
      let code = question.0.isEmpty && !question.1.isEmpty ? "return req.\(name)" : question.0
      let count = try sweep(bench, "\(name): " + question.1) {
        var outcome = try bench.start(
          code, "/a/b?c=d%20e", ["x-a: 1", "x-a: 2", "authorization: Bearer \(token)"], paths: ["/a/:name"])
        if outcome == .waiting { outcome = bench.resume(answer(bench), .handle) }
        if outcome != .answered { return lost(bench, "\(outcome) \(bench.failure)") }
        if bench.body.contains("not enough memory") { return lost(bench, bench.body) }
        return "\(name): " + (bench.verdict.code == .forbidden ? "refused" : bench.body)
      }
      #expect(count > 3, "\(name)")
    }
    bench.endContext()
    #expect(bench.machine.lua.collect(full: true) < 1 << 20)
  }

  private func isOfAnswer(_ name: String) -> Bool { name.hasPrefix("res.") || name.hasPrefix("chunk.") }

  /// The same for the fields of an answer and its pieces, which no other phase has in its reach.
  @Test func everyFieldOfAnAnswer() throws {
    for (name, question) in WithoutMemoryTests.questions.sorted(by: { $0.key < $1.key }) where isOfAnswer(name) {
      let phase = name.hasPrefix("res.") ? PolicyPhase.onResponse : .onChunk
      let parameter = name.prefix { $0 != "." }
      let script = "return {\(phase.rawValue) = function(\(parameter), ctx) ctx.user = \"=\" .. (\(question.0)) end}"
      let bench = try PolicyBench(script)
      bench.machine.lua.allow(sliceTicks: 10_000, exchangeTicks: 10_000)
      let count = try sweep(bench, "\(name): =" + question.1) {
        bench.endContext()
        // What the last one has made may still be there.
        bench.machine.lua.collect(full: true)
        try bench.showAnswer(["x-a: 1", "x-a: 2"])
        if bench.ask(phase) != .passed { return lost(bench, bench.failure) }
        return "\(name): " + text(bench.machine.user(bench.context))
      }
      #expect(count > 0, "\(name)")
    }
  }
}
