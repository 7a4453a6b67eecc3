// The policies of a generation, ready to run on one thread: a Lua machine furnished with `edge.*`, every script loaded
// and started. The worker asks it phase by phase; what it decides is read from its host.
//
//   start ─▶ passed    the phase is over, the next policy's turn
//         ─▶ answered  refused or replied: the verdict stands in the host
//         ─▶ waiting   the operation stands in the host; `resume` goes on with its answer
//         ─▶ failed    logged already; the request is refused

import Glibc
import LuaBridge

/// What came of asking a policy.
enum PolicyOutcome: BitwiseCopyable, Equatable {
  case passed, answered, waiting, failed
}

/// One per worker and generation; used by that worker alone once the generation is published.
final class PolicyMachine {
  let host: PolicyHost
  let lua: LuaMachine
  /// What went wrong last, for tests of policies.
  private(set) var failure = ""
  /// By policy and phase; -1: the script has no such function.
  private let functions: UnsafeMutablePointer<Int32>
  private let names: UnsafeMutablePointer<StaticBytes>
  /// By policy: texts of its settings that no line of the log may repeat.
  private let concealed: [[String]]
  private let arena = Arena()
  /// By coroutine: which function of the script waits there.
  private var waits: [PolicyWait] = []
  /// Lines about failed policies in the current second: a broken script must not fill the disk.
  private var errorSecond: UInt64 = 0
  private var errorLines = 0

  /// Calls that are still to come before an idle worker collects their garbage.
  private var callsToRest = Limits.scriptRestCalls

  private static let errorLinesMax = 100
  /// So many scripts may run out of time before the rest is left alone.
  private static let slowMax = 2

  /// A machine with every script of the snapshot, or everything that is wrong with them. `clock` is that of the calling
  /// thread.
  init(_ snapshot: Snapshot, _ tools: PolicyTools, clock: LuaClock) throws(PolicyFaults) {
    guard let host = PolicyHost(tools) else { throw PolicyFaults(list: [.memory]) }
    let context = Unmanaged.passUnretained(host).toOpaque()
    guard let lua = LuaMachine(limits: PolicyMachine.limits, context: context), PolicyMachine.furnish(lua) else {
      throw PolicyFaults(list: [.memory])
    }
    self.host = host
    self.lua = lua
    names = arena.copy(snapshot.policies.map { [arena] in arena.text($0.name) })
    concealed = snapshot.policies.map(\.concealed)
    let count = snapshot.policies.count * PolicyPhase.allCases.count
    functions = .allocate(capacity: max(1, count))
    functions.initialize(repeating: -1, count: max(1, count))
    lua.use(clock)
    var faults: [PolicyFault] = []
    var broken: Set<Int> = []
    var refusals: Set<Int> = []
    var slow = 0
    func note(_ policy: Int, _ found: [PolicyFault]) {
      if !found.isEmpty { broken.insert(policy) }
      if found.contains(where: \.isSlow) { slow += 1 }
      faults += found
    }
    // Each may take its time; after some that took too much, the rest is not asked: the machine has failed already.
    for (index, policy) in snapshot.policies.enumerated() {
      if slow < PolicyMachine.slowMax { note(index, load(index, snapshot.scripts[policy.script])) }
    }
    for (index, policy) in snapshot.policies.enumerated() where !broken.contains(index) {
      if slow < PolicyMachine.slowMax { note(index, begin(index, policy)) }
      if broken.contains(index) { refusals.insert(index) }
    }
    lua.freeze()
    lua.allow(sliceTicks: Limits.scriptSliceTicks, exchangeTicks: Limits.scriptExchangeTicks)
    // The clock goes with this thread's work; whoever runs the machine brings another.
    lua.use(nil)
    if slow < PolicyMachine.slowMax {
      for (index, route) in snapshot.routes.enumerated() { faults += missing(index, route, broken) }
    }
    if !faults.isEmpty { throw PolicyFaults(list: faults, refusals: refusals) }
  }

  deinit {
    lua.close()
    functions.deallocate()
  }

  private static let limits = LuaLimits(
    memory: Limits.scriptMemoryBytes, single: Limits.scriptStringBytes, sliceTicks: Limits.scriptLoadTicks,
    exchangeTicks: Limits.scriptLoadTicks, exchangeWaits: Limits.scriptExchangeWaits)

  /// The thread that uses the machine from now on.
  func use(_ clock: LuaClock) { lua.use(clock) }

  /// Whether the policy's script has a function for this phase.
  func has(_ phase: PolicyPhase, policy: Int) -> Bool { function(phase, policy) >= 0 }

  /// The function for `LuaCall`; -1: there is none.
  func function(_ phase: PolicyPhase, _ policy: Int) -> Int32 {
    functions[policy * PolicyPhase.allCases.count + phase.place]
  }

  // MARK: Loading

  private static func furnish(_ lua: LuaMachine) -> Bool {
    for row in HostTable.functions where !lua.define(row.name, row.function) { return false }
    for object in HostTable.objects {
      let fields = object.fields.map { ($0.name, $0.function) }
      let made = lua.defineObject(object.name, fields: fields, index: object.index, assign: object.assign)
      if made == nil { return false }
    }
    for kind in HostTable.classes {
      let methods = kind.methods.map { ($0.name, $0.function) }
      if lua.defineClass(kind.name, methods: methods, text: kind.text) == nil { return false }
    }
    return true
  }

  /// Loads a policy's script and finds its phases; what is wrong with it.
  private func load(_ policy: Int, _ file: ScriptFile) -> [PolicyFault] {
    let script: Int
    host.begin(names[policy], .start)
    do { script = try lua.load(name: file.path, source: file.bytes) } catch {
      return [.script(policy: policy, error)]
    }
    var faults: [PolicyFault] = []
    for key in lua.keys(of: script).sorted(by: { $0.name < $1.name }) {
      guard let phase = PolicyPhase(rawValue: key.name) else {
        faults.append(.unknownPhase(policy: policy, key.name))
        continue
      }
      if !key.isFunction { faults.append(.noFunction(policy: policy, key.name)) }
      functions[policy * PolicyPhase.allCases.count + phase.place] = lua.function(script, key.name) ?? -1
    }
    return faults
  }

  /// Runs `init` with the settings; what is wrong with them.
  private func begin(_ policy: Int, _ row: PolicySettings) -> [PolicyFault] {
    let start = function(.start, policy)
    if start < 0 { return row.settings == .map([]) ? [] : [.uselessSettings(policy: policy)] }
    if row.isOpen { return [] }
    host.wallNanoseconds = Clock.wallNow()
    host.begin(names[policy], .start)
    var call = LuaCall(function: start)
    let outcome = SettingsValues.with(row.settings) { values in
      // One argument, however many values it is made of.
      lua.start(&call, at: values.baseAddress, count: 1)
    }
    defer { lua.finish(&call) }
    // Nothing that `init` may call ends or waits.
    return outcome == .done ? [] : [.script(policy: policy, lua.error)]
  }

  /// What a route may ask of its policies; one of them must be there. Messages come on WebSockets only, and answers
  /// that are judged come from services and providers.
  private static func phases(of route: Route) -> [PolicyPhase] {
    let common: [PolicyPhase] = [.onRequest, .onSelect, .onRetry, .onLog]
    if route.socket != nil { return common + [.onMessage] + PolicyPhase.answers }
    switch route.target {
    case .service, .models: return common + PolicyPhase.answers
    case .builtin, .handler: return common
    }
  }

  /// Every policy of a route must have the phase that it is there for.
  private func missing(_ route: Int, _ row: Route, _ broken: Set<Int>) -> [PolicyFault] {
    var faults: [PolicyFault] = []
    for policy in row.policies where !broken.contains(policy) {
      if PolicyMachine.phases(of: row).contains(where: { has($0, policy: policy) }) { continue }
      faults.append(.missingPhase(policy: policy, route: route, isHandler: false))
    }
    guard case .handler(let policy) = row.target, !broken.contains(policy) else { return faults }
    if !has(.handle, policy: policy) {
      faults.append(.missingPhase(policy: policy, route: route, isHandler: true))
    }
    // Whoever wrote it believes it to be asked.
    if has(.onRequest, policy: policy), !row.policies.contains(policy) {
      faults.append(.unaskedPhase(policy: policy, route: route))
    }
    return faults
  }

  // MARK: Asking

  /// Asks a policy. `context` is made when it is -1 and stays until `endContext`; `coroutine` is that of a policy that
  /// waits.
  func start(
    _ phase: PolicyPhase, policy: Int, context: inout Int32, coroutine: inout Int32
  ) -> PolicyOutcome {
    let function = function(phase, policy)
    if function < 0 { return .passed }
    callsToRest -= 1
    host.begin(names[policy], phase)
    if context < 0 {
      guard let made = lua.makeContext() else { return failed(phase, policy) }
      context = made
    }
    var call = LuaCall(function: function, context: context)
    let outcome: LuaOutcome
    switch phase {
    case .onSelect: outcome = lua.start(&call, at: host.layOutCandidates(then: .context), count: 2)
    case .onRetry: outcome = lua.start(&call, at: host.layOutAttempt(then: .context), count: 2)
    case .onLog: outcome = lua.start(&call, .context, .nothing)
    case .onMessage: outcome = lua.start(&call, .object(HostObject.message), .context)
    case .onResponse: outcome = lua.start(&call, .object(HostObject.answer), .context)
    case .onChunk:
      // However many pieces an answer has, each may take as much as a whole exchange without them.
      lua.refill(context)
      outcome = lua.start(&call, .object(HostObject.chunk), .context)
    default: outcome = lua.start(&call, .object(HostObject.request), .context)
    }
    return settle(outcome, &call, phase, policy, &coroutine)
  }

  /// Goes on with a policy that waited.
  func resume(
    _ phase: PolicyPhase, policy: Int, context: Int32, coroutine: inout Int32, _ answer: OperationAnswer
  ) -> PolicyOutcome {
    host.begin(names[policy], phase)
    var call = LuaCall(function: function(phase, policy), context: context, coroutine: coroutine)
    let wait = waits.indices.contains(Int(coroutine)) ? waits[Int(coroutine)] : .nothing
    coroutine = -1
    let outcome: LuaOutcome
    switch answer {
    case .fetched(_, .answered(let answer)):
      outcome = AnswerValues.with(answer) { lua.resume(&call, values: $0.baseAddress, count: 1) }
    case .fetched(let service, .failed(let cause)):
      outcome = lua.resume(&call, error: "no answer from '\(service)': \(cause.name)")
    case .ledger(let answer): outcome = resume(&call, answer, wait)
    case .body: outcome = resumeWithBody(&call, wait)
    }
    return settle(outcome, &call, phase, policy, &coroutine)
  }

  private func resume(_ call: inout LuaCall, _ answer: LedgerAnswer, _ wait: PolicyWait) -> LuaOutcome {
    switch (answer, wait) {
    case (.hold(let outcome), .hold(let amount)):
      guard let held = host.take(outcome, amount) else { return endWithoutLedger(&call) }
      return lua.resume(&call, .boolean(held.isGranted), .integer(Int(held.available.units)))
    case (.unavailable, _): return endWithoutLedger(&call)
    case (.hold, _): return lua.resume(&call, error: "nothing was to be held")
    default: return LedgerValues.with(answer) { lua.resume(&call, values: $0.baseAddress, count: $1) }
    }
  }

  /// No answer is never a yes: what may still be refused is refused.
  private func endWithoutLedger(_ call: inout LuaCall) -> LuaOutcome {
    guard host.mayRefuse else { return lua.resume(&call, error: "the ledger of credits cannot be reached") }
    host.refuseWithoutLedger()
    return .ended
  }

  /// Gives what waited for the body the value that it asked for.
  private func resumeWithBody(_ call: inout LuaCall, _ wait: PolicyWait) -> LuaOutcome {
    switch (wait, host.price, host.body) {
    case (.estimate, .free, _), (.body, _, .none): return lua.resume(&call, .nothing)
    case (.estimate, .known(let amount), _): return lua.resume(&call, .integer(Int(amount.units)))
    case (.estimate, .refused(let code, let message), _):
      host.refuse(code, message)
      return .ended
    case (.body, _, .known(let bytes)): return lua.resume(&call, .string(bytes))
    default: return lua.resume(&call, error: "the body was not read")
    }
  }

  /// Whether an idle worker should let it `rest`.
  @inline(__always)
  var isTired: Bool { callsToRest <= 0 }

  /// Collects what the last calls have left behind, while nobody waits for it.
  func rest() {
    let before = Clock.monotonicNow()
    lua.collect(full: false)
    let took = Clock.monotonicNow() - before
    callsToRest = max(Limits.scriptRestCalls, Int(took / Limits.scriptRestNanoseconds))
  }

  /// Forgets a policy that waits for an answer nobody needs any more.
  func abandon(coroutine: inout Int32) {
    if coroutine < 0 { return }
    var call = LuaCall(coroutine: coroutine)
    lua.finish(&call)
    coroutine = -1
  }

  /// The exchange has ended.
  func endContext(_ context: inout Int32) {
    if context >= 0 { lua.endContext(context) }
    context = -1
  }

  private func settle(
    _ outcome: LuaOutcome, _ call: inout LuaCall, _ phase: PolicyPhase, _ policy: Int, _ coroutine: inout Int32
  ) -> PolicyOutcome {
    switch outcome {
    case .pending:
      coroutine = call.coroutine
      while waits.count <= Int(coroutine) { waits.append(.nothing) }
      waits[Int(coroutine)] = host.wait
      return .waiting
    case .ended:
      lua.finish(&call)
      return .answered
    case .failed:
      let result = failed(phase, policy)
      lua.finish(&call)
      return result
    case .done:
      let isNothing = lua.returnedKind(call) == .nothing
      let complaint = phase == .onSelect && !isNothing ? host.order(as: lua, call) : nil
      lua.finish(&call)
      if let complaint { return failed(phase, policy, "\(complaint)") }
      if phase == .handle { return failed(phase, policy, "handle returned without an answer; call edge.reply") }
      if isNothing || phase == .onSelect { return .passed }
      let refuses = phase == .onRetry || phase == .onMessage || phase == .onChunk
      let calls = refuses ? "edge.refuse" : "edge.refuse or edge.reply"
      return failed(phase, policy, "\(phase.rawValue) returned a value; return nothing, or call \(calls)")
    }
  }

  // MARK: Contexts

  /// Who the policies say is calling: `ctx.user`.
  func user(_ context: Int32) -> UnsafeBufferPointer<UInt8>? {
    context < 0 ? nil : lua.contextString(context, "user")
  }

  /// What of the context a WebSocket keeps for its messages, in the form of `SessionFacts`: strings, numbers, booleans
  /// and lists of them. Valid until the machine runs again; nil: more than `Limits.sessionFactsBytes`, which the log
  /// has been told.
  func facts(_ context: Int32) -> UnsafeBufferPointer<UInt8>? {
    if context < 0 { return UnsafeBufferPointer(start: nil, count: 0) }
    let room = UnsafeMutableBufferPointer(rebasing: host.flat[..<SessionFacts.valuesMax])
    if let count = lua.contextFlat(context, into: room), let start = room.baseAddress {
      var fits = false
      let values = FlatValues(values: UnsafePointer(start), count: count)
      let text = host.text.write { fits = SessionFacts.write(values, to: &$0) }
      if fits { return text }
    }
    _ = failed(.onRequest, nil, "what ctx holds for the messages of a WebSocket passes 4 KiB")
    return nil
  }

  /// A context that begins with such facts; -1: no memory.
  func makeContext(_ facts: UnsafeBufferPointer<UInt8>) -> Int32 {
    guard let context = lua.makeContext() else { return -1 }
    if facts.isEmpty { return context }
    if SessionFacts.read(facts, into: host.flat) != nil, let start = host.flat.baseAddress,
      lua.fillContext(context, at: start)
    {
      return context
    }
    lua.endContext(context)
    return -1
  }

  /// Until when the caller's credential is good, in seconds since 1970, as the policies say: `ctx.expires`; nil: for
  /// ever. What is no number has passed: whoever wrote it did not mean for ever.
  func expires(_ context: Int32) -> Int64? {
    if context < 0 { return nil }
    guard let value = lua.contextValue(context, "expires") else { return 0 }
    if value.luaKind == .nothing { return nil }
    guard let seconds = value.anyNumber, !seconds.isNaN else { return 0 }
    return Int64(max(0, min(seconds, 1e18)))
  }

  /// The first of the roles that the policies say the caller has: `ctx.roles`, a list or one name; nil: none.
  func role(_ context: Int32) -> UnsafeBufferPointer<UInt8>? {
    if context < 0 { return nil }
    return lua.contextValue(context, "roles")?.bytes ?? lua.contextValue(context, "roles", member: 1)?.bytes
  }

  /// Tells `on_log` how the exchange ended.
  func note(_ summary: ExchangeSummary, _ context: inout Int32) {
    if context < 0 {
      guard let made = lua.makeContext() else { return }
      context = made
    }
    // What came before may have taken all the time there was, and this must run nevertheless.
    lua.refill(context)
    let cause = summary.cause.name
    _ = lua.setContext(context, "status", .integer(Int(summary.status)))
    _ = lua.setContext(context, "cause", .string(cause.utf8Start, cause.utf8CodeUnitCount))
    _ = lua.setContext(context, "duration", .number(Double(summary.durationNanoseconds) / 1e6))
    _ = lua.setContext(context, "request_bytes", .integer(Int(clamping: summary.requestBytes)))
    _ = lua.setContext(context, "response_bytes", .integer(Int(clamping: summary.responseBytes)))
  }

  // MARK: Failures

  private func failed(_ phase: PolicyPhase, _ policy: Int) -> PolicyOutcome {
    let error = lua.error
    return failed(phase, policy, error.message, traceback: error.traceback)
  }

  /// Says in the log what went wrong: the client is told nothing but that something did.
  private func failed(
    _ phase: PolicyPhase, _ policy: Int?, _ message: String, traceback: String = ""
  ) -> PolicyOutcome {
    failure = message
    let hidden = policy.map { concealed[$0] } ?? []
    let second = host.wallNanoseconds / 1_000_000_000
    if second != errorSecond {
      errorSecond = second
      errorLines = 0
    }
    errorLines += 1
    if errorLines > PolicyMachine.errorLinesMax { return .failed }
    var fields: [(StaticString, LogValue)] = [("requestId", .bytes(host.requestID))]
    if let policy { fields.append(("policy", .bytes(names[policy]))) }
    func shown(_ text: String) -> LogValue { .text(SecretFinder.conceal(SecretText.conceal(text, hidden))) }
    fields += [("phase", .text(phase.rawValue)), ("message", shown(message))]
    if !traceback.isEmpty { fields.append(("traceback", shown(traceback))) }
    host.tools.log?.line(.error, "policy_error", fields)
    return .failed
  }
}

extension PolicyFault {
  /// A script that ran out of time.
  fileprivate var isSlow: Bool {
    if case .script(_, let error) = self, case .cpu = error.kind { true } else { false }
  }
}

extension PolicyPhase {
  /// Its place in tables of functions.
  fileprivate var place: Int {
    switch self {
    case .start: 0
    case .onRequest: 1
    case .onMessage: 2
    case .onSelect: 3
    case .onRetry: 4
    case .handle: 5
    case .onLog: 6
    case .onResponse: 7
    case .onChunk: 8
    }
  }
}
