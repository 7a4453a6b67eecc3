// A policy under test: a machine of its own with the script, the settings and stores that nobody else has. It is asked
// as a worker asks it; what a worker would perform is answered with what the test has prepared.
//
// Owns: the machine, the script beside the policy that fills and reads `ctx`.
// Called by: the desk of a test. Never: reaches a service, a clock or a store of the process.

import Glibc
import LuaBridge

/// Time as tests have it: it stands still until a test lets it pass.
struct TestTime {
  var wall = Clock.wallNow()
  var monotonic = Clock.monotonicNow()

  mutating func pass(seconds: Double) {
    let nanoseconds = UInt64(seconds * 1e9)
    wall += nanoseconds
    monotonic += nanoseconds
  }
}

/// What a policy is made of.
struct TestedPolicyPlan {
  var script: ScriptFile
  var name: String
  var settings: SettingsTree
  var auth: AuthSettings
  var roles: [Role]
  var services: [Service]
  var credits: [(account: String, balance: Amount)] = []
  var charges: [TestCharge] = []
}

/// A policy with its machine.
final class TestedPolicy {
  let auth: AuthSettings
  private let machine: PolicyMachine
  private let headLimits: HeadLimits
  private let area = FlatArea()
  private let ledger = TestLedger()
  /// Where `ctx` is read flat.
  private let room: UnsafeMutableBufferPointer<LuaValue>

  /// The places of the two scripts.
  private static let policy = 0
  private static let stage = 1
  private static let roomValues = 1 << 14

  /// Stands beside the policy: its functions are asked for what only a script can do.
  private static let stageScript = """
    local stage = {}
    local function plain(value, depth)
      if type(value) ~= "table" then
        local isPlain = type(value) == "string" or type(value) == "number" or type(value) == "boolean"
        return (isPlain or value == edge.json.null) and value or (value ~= false and "<" .. type(value) .. ">")
      end
      if depth > 20 then return "<table>" end
      local copy, count, isList = {}, 0, true
      for _ in pairs(value) do count = count + 1 end
      for key, member in pairs(value) do
        if math.type(key) ~= "integer" or key < 1 or key > count then isList = false end
        copy[key] = plain(member, depth + 1)
      end
      if isList then return copy end
      local named = {}
      for key, member in pairs(copy) do named[tostring(key)] = member end
      return named
    end
    function stage.on_request(given, ctx) for name, value in pairs(given) do ctx[name] = value end end
    function stage.on_log(ctx) return plain(ctx, 1) end
    return stage
    """

  /// Loads and starts the script.
  init(
    _ plan: TestedPolicyPlan, of snapshot: Snapshot, clock: LuaClock, at time: TestTime
  ) throws(TestFault) {
    let scripts = [
      plan.script, ScriptFile(path: "stage", bytes: Array(TestedPolicy.stageScript.utf8), contentHash: 0),
    ]
    let own = Snapshot(
      server: snapshot.server, limits: snapshot.limits, listeners: [], services: plan.services, routes: [],
      log: snapshot.log, auth: plan.auth, roles: plan.roles,
      policies: [
        PolicySettings(name: plan.name, script: TestedPolicy.policy, settings: plan.settings, isOpen: false),
        PolicySettings(name: "stage", script: TestedPolicy.stage, settings: .map([]), isOpen: false),
      ], scripts: scripts, trustFiles: [], contentHash: 0)
    guard let keyValues = KeyValueStore() else { throw TestFault(text: "there is no memory for edge.kv") }
    let tools = PolicyTools(own, limits: RateLimits(), keyValues: keyValues, log: nil)
    do throws(PolicyFaults) { machine = try PolicyMachine(own, tools, clock: clock) } catch {
      throw TestFault(
        text: error.list.first.map { TestedPolicy.text(of: $0, plan.script) } ?? "the policy does not start")
    }
    machine.use(clock)
    auth = plan.auth
    headLimits = HeadLimits(bytes: snapshot.limits.headBytesMax, fields: snapshot.limits.headFieldsMax)
    room = .allocate(capacity: TestedPolicy.roomValues)
    for account in plan.credits { ledger.open(account.account, account.balance, wall: time.wall) }
    for charge in plan.charges where !ledger.charge(charge, wall: time.wall) {
      throw TestFault(text: "the account '\(charge.account)' does not cover a charge of \(charge.credits.text)")
    }
  }

  deinit { room.deallocate() }

  private static func text(of fault: PolicyFault, _ script: ScriptFile) -> String {
    switch fault {
    case .memory: "there is no memory for the policy"
    case .script(_, let error): error.message
    case .unknownPhase(_, let name): "\(script.path): '\(name)' is no phase of a policy"
    case .noFunction(_, let name): "\(script.path): '\(name)' must be a function"
    case .uselessSettings: "\(script.path) has no 'init' that would be given the settings"
    case .missingPhase, .unaskedPhase: "\(script.path) lacks a phase"
    }
  }

  // MARK: Asking

  /// Asks the policy; the outcome as tests see it.
  func ask(_ phase: PolicyPhase, _ request: TestRequest, at time: TestTime) throws(TestFault) -> TestValue {
    guard machine.has(phase, policy: TestedPolicy.policy) else {
      throw TestFault(text: "the policy has no \(phase.rawValue)")
    }
    let wire: WireRequest
    do throws(WireRefusal) { wire = try request.wire(limits: headLimits) } catch {
      throw TestFault(text: "Edge refuses this request before any policy sees it: \(error.message)")
    }
    let host = machine.host
    host.stoppedNanoseconds = time.monotonic
    host.wallNanoseconds = time.wall
    show(phase, request, wire)
    defer {
      host.view = nil
      host.message = nil
      host.answer = nil
      host.chunk = nil
      host.attempt = nil
    }
    for account in request.stakes.credits { ledger.open(account.account, account.balance, wall: time.wall) }
    var context = try fill(request.context)
    defer { machine.endContext(&context) }
    if phase == .onLog { machine.note(request.summary, &context) }
    var coroutine: Int32 = -1
    defer { machine.abandon(coroutine: &coroutine) }
    var outcome = machine.start(phase, policy: TestedPolicy.policy, context: &context, coroutine: &coroutine)
    var asked: [TestValue] = []
    while outcome == .waiting, let operation = host.operation {
      let answer = try perform(operation, for: request, wire, &asked, wall: time.wall)
      outcome = machine.resume(phase, policy: TestedPolicy.policy, context: context, coroutine: &coroutine, answer)
    }
    guard asked.count == request.answers.count else {
      throw TestFault(text: "the test has \(request.answers.count) answers, the policy asked \(asked.count) times")
    }
    let isOpened = phase == .onRequest && request.isUpgrade && outcome == .passed
    let facts = isOpened ? self.facts(context) : .nothing
    if facts == nil { outcome = .failed }
    // Before anything else runs in the machine: what was decided stands in its memory.
    let decided = decision(outcome)
    let rest = [
      (phase == .onResponse ? "client_headers" : "service_headers", setHeaders()), ("fetches", .list(asked)),
      ("ctx", read(context)),
      ("facts", facts ?? .nothing),
    ]
    return .map(of: decided + rest + money(phase))
  }

  /// Puts what the test asks about in the machine's reach.
  private func show(_ phase: PolicyPhase, _ request: TestRequest, _ wire: WireRequest) {
    let host = machine.host
    host.requestID = wire.arena.text(request.id)
    host.edits.removeAll()
    request.stakes.bring(to: host, wire.arena)
    switch phase {
    case .onRequest, .handle: host.view = request.view(of: wire, id: host.requestID)
    case .onMessage:
      host.message = request.message(id: host.requestID, wire.arena)
      // A message is there as a whole.
      request.stakes.bringBody(to: host, wire.arena)
    case .onResponse: host.answer = request.answer(of: wire, id: host.requestID)
    case .onChunk: host.chunk = request.chunk(wire.arena)
    default: break
    }
  }

  /// What a WebSocket would keep of a context; nil when it cannot.
  private func facts(_ context: Int32) -> TestValue? {
    guard let facts = machine.facts(context) else { return nil }
    var copy = machine.makeContext(facts)
    defer { machine.endContext(&copy) }
    return read(copy)
  }

  /// What the policy waits for, from what the test has prepared.
  private func perform(
    _ operation: Operation, for request: TestRequest, _ wire: WireRequest, _ asked: inout [TestValue], wall: UInt64
  ) throws(TestFault) -> OperationAnswer {
    switch operation {
    case .ledger(let question):
      return .ledger(request.stakes.hasLedger ? ledger.answer(question, wall: wall) : .unavailable)
    case .body:
      request.stakes.bringBody(to: machine.host, wire.arena)
      return .body
    case .fetch(let fetch):
      guard asked.count < request.answers.count else {
        let name = "\(fetch.method.name) \(fetch.path) of \(fetch.service)"
        throw TestFault(text: "the policy asks for \(name), and the test has no answer for it")
      }
      asked.append(TestedPolicy.value(of: fetch))
      return .fetched(service: fetch.service, request.answers[asked.count - 1])
    }
  }

  /// A context with what the test says that other policies have left there.
  private func fill(_ given: TestValue) throws(TestFault) -> Int32 {
    guard let context = machine.lua.makeContext() else { throw TestFault(text: "there is no memory for ctx") }
    var call = LuaCall(function: machine.function(.onRequest, TestedPolicy.stage), context: context)
    _ = machine.lua.start(&call, at: area.hold(given, then: [.context]), count: 2)
    machine.lua.finish(&call)
    return context
  }

  /// What stands in a context; nothing when the policy has used up all its time.
  private func read(_ context: Int32) -> TestValue {
    var call = LuaCall(function: machine.function(.onLog, TestedPolicy.stage), context: context)
    defer { machine.lua.finish(&call) }
    var argument = LuaValue.context
    guard machine.lua.start(&call, at: &argument, count: 1) == .done,
      (try? machine.lua.returnedFlat(call, into: room)) != nil, let start = room.baseAddress
    else { return .map([]) }
    var position = 0
    return TestValue(UnsafePointer(start), &position)
  }

  // MARK: Outcomes

  private func decision(_ outcome: PolicyOutcome) -> [(String, TestValue)] {
    let verdict = machine.host.verdict
    switch outcome {
    case .passed, .waiting: return [("result", .text("passed"))]
    case .failed: return [("result", .text("failed")), ("message", .text(machine.failure))]
    case .answered:
      guard let code = verdict.code else { return replied(verdict) }
      return [
        ("result", .text("refused")), ("code", .text(code.row.name)), ("status", .integer(Int(code.row.status))),
        ("message", verdict.message.map { .text(Array($0)) } ?? .text(code.row.message)),
        ("retry_after", verdict.retryAfterSeconds == 0 ? .nothing : .integer(Int(verdict.retryAfterSeconds))),
        ("details", verdict.details.flatMap { TestValue.read(json: $0) } ?? .nothing),
      ]
    }
  }

  private func replied(_ verdict: PolicyVerdict) -> [(String, TestValue)] {
    var headers: [TestPair] = []
    for line in verdict.fields.split(separator: 0x0a) {
      guard let colon = line.firstIndex(of: 0x3a) else { continue }
      let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
      let value = line[line.index(after: colon)...].drop { $0 == 0x20 }
      headers.append(TestPair(name: name, value: .text(Array(value.last == 0x0d ? value.dropLast() : value))))
    }
    let type = TestValue.map(headers)["content-type"].string ?? ""
    return [
      ("result", .text("replied")), ("status", .integer(Int(verdict.status))), ("headers", .map(headers)),
      ("body", .text(Array(verdict.body))),
      ("json", type.hasPrefix("application/json") ? TestValue.read(json: verdict.body) ?? .nothing : .nothing),
    ]
  }

  /// What is held, what accounts have, and who is left to answer.
  private func money(_ phase: PolicyPhase) -> [(String, TestValue)] {
    let host = machine.host
    let held = host.hold.map { hold in
      TestValue.map(of: [
        ("account", .text(ledger.name(of: hold.account))), ("credits", .text(hold.amount.text)),
      ])
    }
    let credits = ledger.balances.map { TestPair(name: $0.account, value: .text($0.balance.text)) }
    let order = host.candidates.map { candidate in
      TestValue.text(Array(UnsafeBufferPointer(start: candidate.name.start, count: candidate.name.count)))
    }
    return [
      ("held", held ?? .nothing), ("credits", credits.isEmpty ? .nothing : .map(credits)),
      ("order", phase == .onSelect ? .list(order) : .nothing),
    ]
  }

  /// What the service would get beside what the client sent, or the client beside what was answered: values by name,
  /// false for what is removed.
  private func setHeaders() -> TestValue {
    var pairs: [TestPair] = []
    machine.host.edits.forEach { edit in
      let name = String(decoding: UnsafeBufferPointer(start: edit.name, count: edit.nameCount), as: UTF8.self)
      let value = edit.value.map { Array(UnsafeBufferPointer(start: $0, count: edit.valueCount)) }
      pairs.append(TestPair(name: name, value: value.map { .text($0) } ?? .boolean(false)))
    }
    return .map(pairs)
  }

  private static func value(of fetch: FetchRequest) -> TestValue {
    .map(of: [
      ("service", .text(fetch.service)), ("method", .text(fetch.method.name)), ("path", .text(fetch.path)),
      ("headers", .map(of: fetch.headers.map { ($0.name.lowercased(), .text($0.value)) })),
      ("body", .text(fetch.body)), ("timeout", .number(Double(fetch.deadlineMilliseconds) / 1_000)),
    ])
  }
}
