// The policies of a route, asked beforehand about a request that nobody sends: the scripts and settings are those that
// would serve, in the order and the phases of serving, and what they leave in `ctx` goes on to the next. What they wait
// for is answered by fakes: limits have counted nothing, the first account that is named has plenty, and so has every
// other. A request to a service is not made; the rehearsal ends there.
//
// Owns: the machine, its stores, the context from the first policy to the last.
// Called by: the verb `explain`. Never: reaches a service or a store of the process.

import Glibc
import LuaBridge

/// What came of asking one policy.
struct RehearsedStep {
  enum Outcome: Equatable {
    case passed
    /// The client would be told this; the message is plain text, `details` JSON.
    case refused(ErrorCode, message: String, details: String?)
    case replied(status: UInt16)
    /// What the log would be told.
    case failed(String)
    /// It would ask a service: the method, the service, and the path without its query.
    case asks(Method, service: String, path: String)
    /// It asks for the body, and none is known.
    case needsBody
    /// A placeholder stands for one of its settings, so `init` has not run.
    case isOpen
  }

  /// An index into the policies of the snapshot.
  let policy: Int
  let phase: PolicyPhase
  let outcome: Outcome
  /// What it has set aside.
  var held: Amount?
  /// The caller, where the step has found out who that is.
  var user: String?
  var roles: [String] = []
}

/// What is asked about, beside the request itself.
struct RehearsedStakes {
  var price = PriceQuestion.free
  var body = BodyQuestion.none
}

/// Asks policies beforehand.
final class PolicyRehearsal {
  private let snapshot: Snapshot
  private let machine: PolicyMachine
  private let ledger = TestLedger()
  private var accounts: Set<String> = []
  private let wall: UInt64
  private var context: Int32 = -1
  /// What the last of the policies that choose has left, as indices into those that were given.
  private(set) var order: [Int] = []

  /// What every account has.
  private static let plenty = Amount(units: 1_000_000_000 * Amount.unitsPerCredit)
  static let requestID = StaticBytes("01JEXPLAN0000000000000000A")

  /// Loads and starts every script, with the clock of the calling thread.
  init(_ snapshot: Snapshot, clock: LuaClock, wall: UInt64) throws(PolicyFaults) {
    guard let keyValues = KeyValueStore() else { throw PolicyFaults(list: [.memory]) }
    self.snapshot = snapshot
    self.wall = wall
    let tools = PolicyTools(snapshot, limits: RateLimits(), keyValues: keyValues, log: nil)
    machine = try PolicyMachine(snapshot, tools, clock: clock)
    machine.use(clock)
    machine.host.wallNanoseconds = wall
    machine.host.requestID = PolicyRehearsal.requestID
  }

  /// Gives the context back; nothing is asked any more.
  func end() { machine.endContext(&context) }

  /// Whether a policy takes part in a phase.
  func has(_ phase: PolicyPhase, policy: Int) -> Bool { machine.has(phase, policy: policy) }

  /// Whether anything is set aside.
  var holds: Bool { machine.host.hold != nil }

  // MARK: Asking

  /// Asks the policies about a request until one of them does not let it pass.
  func ask(_ policies: [Int], about view: RequestView, _ stakes: RehearsedStakes) -> [RehearsedStep] {
    machine.host.view = view
    defer { machine.host.view = nil }
    return ask(policies, .onRequest, stakes)
  }

  /// Asks them about a message.
  func ask(_ policies: [Int], about message: MessageView, _ stakes: RehearsedStakes) -> [RehearsedStep] {
    machine.host.message = message
    defer { machine.host.message = nil }
    return ask(policies, .onMessage, stakes)
  }

  /// Lets them choose and hold; `view` or `message` stays in their reach as while serving.
  func select(
    _ policies: [Int], among candidates: [PolicyCandidate], view: RequestView?, message: MessageView?,
    _ stakes: RehearsedStakes
  ) -> [RehearsedStep] {
    (machine.host.view, machine.host.message) = (view, message)
    defer { (machine.host.view, machine.host.message) = (nil, nil) }
    order = Array(candidates.indices)
    var steps: [RehearsedStep] = []
    for policy in policies where machine.has(.onSelect, policy: policy) && !order.isEmpty {
      machine.host.candidates = order.enumerated().map { place, index in
        let row = candidates[index]
        return PolicyCandidate(
          place: Int32(place), name: row.name, model: row.model, estimate: row.estimate, priority: row.priority,
          load: row.load, isEquivalent: row.isEquivalent, isNamed: row.isNamed)
      }
      let step = step(.onSelect, policy, stakes)
      steps.append(step)
      if step.outcome != .passed { break }
      order = machine.host.candidates.map { order[Int($0.place)] }
    }
    return steps
  }

  /// What a WebSocket would keep of the context, in a new one; false when that is too much.
  func open() -> Bool {
    guard let facts = machine.facts(context) else { return false }
    let copy = Array(facts)
    machine.endContext(&context)
    context = copy.withUnsafeBufferPointer { machine.makeContext($0) }
    return context >= 0
  }

  /// Until when the caller's credential is good; nil: for ever.
  var expires: Int64? { machine.expires(context) }

  private func ask(_ policies: [Int], _ phase: PolicyPhase, _ stakes: RehearsedStakes) -> [RehearsedStep] {
    var steps: [RehearsedStep] = []
    for policy in policies where machine.has(phase, policy: policy) {
      let step = step(phase, policy, stakes)
      steps.append(step)
      if step.outcome != .passed { break }
    }
    return steps
  }

  private func step(_ phase: PolicyPhase, _ policy: Int, _ stakes: RehearsedStakes) -> RehearsedStep {
    if snapshot.policies[policy].isOpen { return RehearsedStep(policy: policy, phase: phase, outcome: .isOpen) }
    let host = machine.host
    (host.price, host.body) = (stakes.price, stakes.body)
    let (known, held) = (user, host.hold?.amount)
    var coroutine: Int32 = -1
    defer { machine.abandon(coroutine: &coroutine) }
    var outcome = machine.start(phase, policy: policy, context: &context, coroutine: &coroutine)
    while outcome == .waiting {
      guard let operation = host.operation, let answer = perform(operation) else {
        return RehearsedStep(policy: policy, phase: phase, outcome: stop(at: host.operation))
      }
      outcome = machine.resume(phase, policy: policy, context: context, coroutine: &coroutine, answer)
    }
    var step = RehearsedStep(policy: policy, phase: phase, outcome: decision(outcome))
    if let amount = host.hold?.amount, amount != held { step.held = amount }
    if let user, user != known { (step.user, step.roles) = (user, roles) }
    return step
  }

  /// nil: it is not performed.
  private func perform(_ operation: Operation) -> OperationAnswer? {
    guard case .ledger(let question) = operation else { return nil }
    let account =
      switch question {
      case .hold(let account, _), .balance(let account), .history(let account, _, _), .grant(let account, _, _, _, _):
        account
      }
    if accounts.insert(account).inserted { ledger.open(account, PolicyRehearsal.plenty, wall: wall) }
    return .ledger(ledger.answer(question, wall: wall))
  }

  private func stop(at operation: Operation?) -> RehearsedStep.Outcome {
    guard case .fetch(let fetch) = operation else { return .needsBody }
    let path = fetch.path.prefix { $0 != "?" }
    return .asks(fetch.method, service: fetch.service, path: String(path))
  }

  private func decision(_ outcome: PolicyOutcome) -> RehearsedStep.Outcome {
    let verdict = machine.host.verdict
    switch outcome {
    case .passed, .waiting: return .passed
    case .failed: return .failed(machine.failure)
    case .answered:
      guard let code = verdict.code else { return .replied(status: verdict.status) }
      let message = verdict.message.map { String(decoding: $0, as: UTF8.self) } ?? "\(code.row.message)"
      return .refused(code, message: message, details: verdict.details.map { String(decoding: $0, as: UTF8.self) })
    }
  }

  private var user: String? { machine.user(context).map { String(decoding: $0, as: UTF8.self) } }

  /// `ctx.roles`: a list or one name.
  private var roles: [String] {
    guard context >= 0 else { return [] }
    if let one = machine.lua.contextValue(context, "roles")?.bytes { return [String(decoding: one, as: UTF8.self)] }
    var roles: [String] = []
    while roles.count < TokenRules.rolesMax,
      let role = machine.lua.contextValue(context, "roles", member: roles.count + 1)?.bytes
    {
      roles.append(String(decoding: role, as: UTF8.self))
    }
    return roles
  }
}
