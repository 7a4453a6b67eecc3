// A policy machine made from the text of scripts, as a worker has one, and requests to ask it about. Code of a test is
// run by a script that gets it in a header field, so that one machine answers many questions.
//
// Called by: the tests of policies. Never: performs what a policy waits for; the test itself answers.

import Foundation
import LuaBridge
import Testing

@testable import Edge

/// Engines that several machines may share.
struct PolicyStores {
  let limits = RateLimits()
  let keyValues: KeyValueStore

  init() throws { keyValues = try #require(KeyValueStore()) }
}

/// What is logged, in a file of its own.
final class LogFile {
  let log: Log
  private let folder: Fixture.Folder
  private let descriptor: Int32

  init() throws {
    folder = try Fixture.Folder()
    descriptor = open(folder.path + "/log", O_CREAT | O_RDWR | O_APPEND, 0o600)
    log = try #require(Log(workers: 1, level: .debug, descriptor: descriptor))
  }

  deinit { _ = close(descriptor) }

  /// Ends the log; its lines.
  func lines() throws -> [[String: Any]] {
    log.end()
    log.run()
    var bytes = [UInt8](repeating: 0, count: 4 << 20)
    bytes.removeLast(bytes.count - max(0, pread(descriptor, &bytes, bytes.count, 0)))
    return try String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }
}

/// A machine with its request, used by the thread that made it.
final class PolicyBench {
  let machine: PolicyMachine
  let snapshot: Snapshot
  var context: Int32 = -1
  var coroutine: Int32 = -1
  private let clock: LuaClock
  private let arena = Arena()
  private var parser: HTTP1Parser
  private let targets: RequestTargetReader
  /// What requests stand in; a view points there.
  private var area = ByteArea([])

  static let listeners = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\n"
  static let services = "services: {users: {endpoints: \"http://127.0.0.1:9\"}}\n"
  /// 2023-11-14T22:13:20.500Z.
  static let wall: UInt64 = 1_700_000_000_500_000_000

  /// Any number of policies, from a configuration without its beginning.
  init(
    yaml: String, scripts: [String: String], stores: PolicyStores? = nil, log: Log? = nil, metrics: Metrics? = nil
  ) throws {
    let loaded = try PolicyBench.load(yaml, scripts)
    snapshot = loaded.snapshot
    let stores = try stores ?? PolicyStores()
    let tools = PolicyTools(
      snapshot, limits: stores.limits, keyValues: stores.keyValues, log: log, metrics: metrics)
    clock = try #require(LuaClock())
    machine = try PolicyMachine(snapshot, tools, clock: clock)
    machine.use(clock)
    parser = HTTP1Parser(arena: arena)
    targets = RequestTargetReader(arena: arena, classes: parser.classes)
    machine.host.wallNanoseconds = PolicyBench.wall
    machine.host.requestID = arena.text("the-request-id")
    try show()
  }

  /// One policy `p`.
  convenience init(
    _ script: String, settings: String = "{}", more: String = PolicyBench.services, stores: PolicyStores? = nil,
    log: Log? = nil, metrics: Metrics? = nil
  ) throws {
    let yaml = "\(more)policies: {p: {script: p.lua, settings: \(settings)}}\n"
    try self.init(yaml: yaml, scripts: ["p.lua": script], stores: stores, log: log, metrics: metrics)
  }

  /// A policy that runs code of tests: see `run`. `start` is what its `init` does with `settings`.
  static func runner(
    start: String = "", settings: String = "{}", more: String = PolicyBench.services, stores: PolicyStores? = nil,
    log: Log? = nil, metrics: Metrics? = nil
  ) throws -> PolicyBench {
    let script = """
      \(shown)
      local p, state = {}, {}
      function p.init(settings) \(start) end
      function p.handle(req, ctx)
        local code = assert(load("local req, ctx, state = ... " .. req.headers["x-code"]))
        local results = table.pack(pcall(code, req, ctx, state))
        if not results[1] then edge.reply{body = "error: " .. tostring(results[2])} end
        for i = 2, results.n do results[i] = show(results[i]) end
        edge.reply{body = table.concat(results, ", ", 2)}
      end
      function p.on_log(ctx) ctx.user = show(ctx) end
      return p
      """
    let bench = try PolicyBench(script, settings: settings, more: more, stores: stores, log: log, metrics: metrics)
    // How long a call takes is not what such tests are about.
    bench.machine.lua.allow(sliceTicks: 10_000, exchangeTicks: 10_000)
    return bench
  }

  /// Values as text, members of maps in the order of their names.
  static let shown = """
    local function show(v)
      if v == edge.json.null then return "null" end
      if type(v) == "string" then return "'" .. v .. "'" end
      if type(v) ~= "table" then return type(v) == "userdata" and "handle" or tostring(v) end
      local names, parts = {}, {}
      for name in pairs(v) do names[#names + 1] = name end
      if #names > 0 and #names == #v then
        for i, member in ipairs(v) do parts[i] = show(member) end
        return "[" .. table.concat(parts, ", ") .. "]"
      end
      table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
      for i, name in ipairs(names) do parts[i] = tostring(name) .. ": " .. show(v[name]) end
      return "{" .. table.concat(parts, ", ") .. "}"
    end
    """

  // MARK: Loading

  /// A configuration whose scripts are called in messages as they are called here.
  static func load(
    _ yaml: String, _ scripts: [String: String], environment: [String: String] = [:], placeholders: Bool = false
  ) throws -> (snapshot: Snapshot, resolved: SectionFields) {
    let folder = try Fixture.Folder()
    for (name, text) in scripts { try folder.write("policies/" + name, text) }
    try folder.write("routes.yaml", listeners + yaml)
    let outcome = folder.load(environment, placeholders: placeholders)
    let read = try #require(outcome.snapshot, "\(folder.rendered(outcome))")
    let prefix = folder.path + "/policies/"
    let named = read.scripts.map { script in
      ScriptFile(
        path: script.path.replacingOccurrences(of: prefix, with: ""), bytes: script.bytes,
        contentHash: script.contentHash)
    }
    let snapshot = Snapshot(
      server: read.server, limits: read.limits, listeners: read.listeners, services: read.services,
      routes: read.routes, log: read.log, auth: read.auth, roles: read.roles, policies: read.policies, scripts: named,
      providers: read.providers, models: read.models, trustFiles: read.trustFiles, contentHash: read.contentHash)
    return (snapshot, try #require(outcome.resolved))
  }

  /// What `check` says about a configuration's policies, rendered; the main file is `routes.yaml`.
  static func findings(
    _ yaml: String, _ scripts: [String: String], environment: [String: String] = [:], placeholders: Bool = false
  ) throws -> [String] {
    let (snapshot, resolved) = try load(yaml, scripts, environment: environment, placeholders: placeholders)
    let stores = try PolicyStores()
    let tools = PolicyTools(snapshot, limits: stores.limits, keyValues: stores.keyValues, log: nil)
    return PolicyCheck.run(snapshot, resolved, tools).map { finding in
      let text = finding.render()
      guard let start = text.range(of: "/tmp/edge-config-"), let end = text.range(of: "/routes.yaml") else {
        return text
      }
      return text.replacingOccurrences(of: text[start.lowerBound..<end.lowerBound] + "/", with: "")
    }
  }

  /// What code returns in `init`, where it may take more time: shown as `run` shows it.
  static func start(_ code: String, more: String = services) throws -> String {
    let script = """
      \(shown)
      local p = {}
      function p.init(settings)
        local results = table.pack(pcall(function() \(code) end))
        if not results[1] then error("error: " .. tostring(results[2]), 0) end
        for i = 2, results.n do results[i] = show(results[i]) end
        error(table.concat(results, ", ", 2), 0)
      end
      return p
      """
    do {
      _ = try PolicyBench(script, more: more)
    } catch let faults as PolicyFaults {
      guard case .script(_, let error)? = faults.list.first else { throw faults }
      return withoutPlace(error.message)
    }
    return "started"
  }

  // MARK: Requests

  /// A request head.
  static func head(
    _ target: String = "/", method: String = "GET", host: String = "h", _ fields: [String] = []
  ) -> String {
    (["\(method) \(target) HTTP/1.1", "host: \(host)"] + fields).map { $0 + "\r\n" }.joined() + "\r\n"
  }

  /// Puts a request in the machine's reach.
  func show(
    _ head: String = PolicyBench.head(), paths: [String] = ["/*"], permission: String = "",
    client: String = "203.0.113.9"
  ) throws {
    area = ByteArea(raw(head))
    var read = RequestHead()
    let limits = HeadLimits(bytes: Limits.headBytesMax, fields: Limits.headFieldsMax)
    guard case .complete = parser.readRequest(area.base, area.count, limits: limits, into: &read) else {
      Issue.record("no request: \(head)")
      return
    }
    let bytes = UnsafePointer(area.base)
    let patterns = try paths.map { try PathPattern.read($0) }
    machine.host.view = RequestView(
      received: ReceivedHead(bytes: bytes, table: parser.table),
      method: StaticBytes(start: bytes + Int(read.methodRange.start), count: Int(read.methodRange.count)),
      target: try #require(
        targets.read(bytes + Int(read.target.start), Int(read.target.count), method: read.method)),
      host: StaticBytes(start: bytes + Int(read.host.start), count: Int(read.host.count)),
      client: try #require(SocketAddress(numeric: client, port: 50_000)), id: machine.host.requestID,
      listener: arena.text("main"),
      route: PolicyRoute(
        name: arena.text("the-route"), permission: arena.text(permission),
        parameters: RouteParameters(patterns, arena: arena)))
    machine.host.edits.removeAll()
  }

  /// Puts an answer in the machine's reach, and no request.
  func showAnswer(_ fields: [String] = [], status: UInt16 = 201) throws {
    try show(PolicyBench.head("/", fields))
    let view = try #require(machine.host.view)
    machine.host.view = nil
    machine.host.answer = AnswerView(
      status: status, received: view.received, service: arena.text("users"), provider: arena.text("openai"),
      model: arena.text("gpt-4"), id: view.id, route: view.route.name)
    machine.host.chunk = ChunkView(
      data: arena.text("some text"), number: 2, isLast: true, status: status, isStreamed: false)
  }

  // MARK: Asking

  @discardableResult
  func ask(_ phase: PolicyPhase = .onRequest, policy: Int = 0) -> PolicyOutcome {
    machine.start(phase, policy: policy, context: &context, coroutine: &coroutine)
  }

  @discardableResult
  func resume(_ answer: OperationAnswer, _ phase: PolicyPhase = .onRequest, policy: Int = 0) -> PolicyOutcome {
    machine.resume(phase, policy: policy, context: context, coroutine: &coroutine, answer)
  }

  /// Another exchange begins.
  func endContext() { machine.endContext(&context) }

  /// What code returns, shown; an error without its place. The code knows `req`, `ctx` and `state`, which lasts.
  func run(
    _ code: String, _ target: String = "/", _ fields: [String] = [], paths: [String] = ["/*"],
    permission: String = "", client: String = "203.0.113.9"
  ) throws -> String {
    let outcome = try start(code, target, fields, paths: paths, permission: permission, client: client)
    return outcome == .answered ? body : "\(outcome): \(failure)"
  }

  /// The same for code that decides or waits: the outcome.
  @discardableResult
  func start(
    _ code: String, _ target: String = "/", _ fields: [String] = [], paths: [String] = ["/*"],
    permission: String = "", client: String = "203.0.113.9"
  ) throws -> PolicyOutcome {
    let line = code.replacingOccurrences(of: "\n", with: " ")
    let head = PolicyBench.head(target, fields + ["x-code: " + latin(Array(line.utf8))])
    try show(head, paths: paths, permission: permission, client: client)
    endContext()
    return ask(.handle)
  }

  // MARK: Outcomes

  var verdict: PolicyVerdict { machine.host.verdict }

  var bodyBytes: [UInt8] { Array(verdict.body) }

  /// The body of an answer, without the place of an error.
  var body: String { PolicyBench.withoutPlace(String(decoding: verdict.body, as: UTF8.self)) }

  /// The lines of an answer's head.
  var fields: [String] {
    latin(Array(verdict.fields)).components(separatedBy: "\r\n").dropLast().sorted()
  }

  /// What the last policy to fail said.
  var failure: String { PolicyBench.withoutPlace(machine.failure) }

  var details: String? { verdict.details.map { String(decoding: $0, as: UTF8.self) } }

  var message: String? { verdict.message.map { String(decoding: $0, as: UTF8.self) } }

  var fetch: FetchRequest? {
    guard case .fetch(let request)? = machine.host.operation else { return nil }
    return request
  }

  /// What the service gets: `name: value`, or `-name` for what is removed.
  var edits: [String] {
    var list: [String] = []
    machine.host.edits.forEach { edit in
      let name = latin(Array(UnsafeBufferPointer(start: edit.name, count: edit.nameCount)))
      let value = edit.value.map { latin(Array(UnsafeBufferPointer(start: $0, count: edit.valueCount))) }
      list.append(value.map { "\(name): \($0)" } ?? "-\(name)")
    }
    return list
  }

  /// `error: p.lua:3: text` and `[load]:1: text` say nothing of a test's own lines.
  private static func withoutPlace(_ text: String) -> String {
    text.replacing(#/^(error: )?(p\.lua|\[load\]):\d+: /#) { match in match.output.1.map(String.init) ?? "" }
  }
}

/// A text of Lua for these bytes.
func luaText(_ bytes: [UInt8]) -> String {
  let escapes = bytes.map { "\\x" + String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
  return "\"" + escapes.joined() + "\""
}
