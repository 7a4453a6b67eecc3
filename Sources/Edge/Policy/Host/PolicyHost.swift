// What the functions of `edge.*` work with: the request of the policy that runs, the engines below, and what came of
// the run. One per machine; a host function gets it as its context.
//
// Never: calls upward. What takes time is left as an operation for whoever runs the policy.

import Glibc
import LuaBridge

/// Engines that all machines of a process share, and what a generation says about them.
struct PolicyTools {
  let limits: RateLimits
  let keyValues: KeyValueStore
  /// nil: nothing is logged, as while a configuration is checked.
  let log: Log?
  let permissions: PermissionTable
  let auth: AuthSettings
  /// Names of the services that scripts may reach.
  let services: Set<String>
  /// nil: credits are kept by whoever runs the policies, as in checks and tests.
  let ledger: Ledger?
  /// nil: nobody counts, as in checks and tests.
  let metrics: Metrics?
  /// Those of `metrics`, or ones that nobody is told of.
  let counters: ScriptCounters
  let providers: PolicyProviders
  /// What `permissions` and `providers` stand in.
  private let arena: Arena

  /// The tools of one generation.
  init(
    _ snapshot: Snapshot, limits: RateLimits, keyValues: KeyValueStore, log: Log?, ledger: Ledger? = nil,
    metrics: Metrics? = nil
  ) {
    self.limits = limits
    self.ledger = ledger
    self.metrics = metrics
    counters = metrics?.scripts ?? ScriptCounters()
    self.keyValues = keyValues
    self.log = log
    arena = Arena()
    permissions = PermissionTable(snapshot.roles.map { ($0.name, $0.permissions) }, arena: arena)
    providers = PolicyProviders(snapshot, metrics, arena)
    auth = snapshot.auth
    services = Set(snapshot.services.map(\.name))
  }
}

/// The context of host functions.
final class PolicyHost {
  let tools: PolicyTools
  let verifier: TokenVerifier
  var fieldRules: FieldRules

  // MARK: The run

  /// The policy that runs, and when.
  var policy = StaticBytes.empty
  var phase = PolicyPhase.start
  /// While a policy decides about a request; it stands in memory of its own, where nothing copies it to read a field.
  private(set) var shown: UnsafePointer<RequestView>?
  /// Of the request, once somebody has asked.
  private var knownCredential: RequestCredential?
  /// While a policy decides about a message.
  var message: MessageView?
  /// While a policy judges an answer.
  var answer: AnswerView?
  /// While a policy judges a piece of its content.
  var chunk: ChunkView?
  /// What the service will get beside what the client sent; of an answer, the client beside what was answered.
  var edits: HeaderEdits
  /// Since 1970, for everything that expires.
  var wallNanoseconds: UInt64 = 0
  /// Tests of policies stop the monotonic clock; nil: it goes.
  var stoppedNanoseconds: UInt64?
  /// The request id, for what is logged; empty while a configuration is loaded.
  var requestID = StaticBytes.empty

  // MARK: What the exchange brings

  /// Set by `edge.credit.hold` when it is granted.
  var hold: HeldCredits?
  /// What came of the last attempt to hold, until somebody has counted it.
  var holdResult: HoldResult?
  var price = PriceQuestion.free
  var body = BodyQuestion.none
  /// Best first; `on_select` may order them anew and leave some out.
  var candidates: [PolicyCandidate] = []
  /// While `on_retry` is asked: what has failed, and who is next.
  var attempt: PolicyAttempt?

  // MARK: What came of it

  var operation: Operation?
  /// Written with the operation; the machine keeps it for the coroutine that waits.
  var wait = PolicyWait.nothing
  private var logLines = 0
  private var fullLimitAgain: UInt64 = 0
  var verdict = PolicyVerdict()
  /// Limits and counters that scripts have defined: they go with the machine.
  private(set) var definedLimits: [LimitHandle] = []
  private var definedCounters: [Int] = []

  // MARK: Memory

  /// Where tables of scripts are laid out flat.
  let flat: UnsafeMutableBufferPointer<LuaValue>
  let document = JSONDocument()
  let text: TextArea
  let details: TextArea
  let fields: TextArea
  let replyBody: TextArea
  let fetchBody: TextArea
  private let flatMemory: UnsafeMutableRawPointer
  private let editMemory: BytePointer
  private let viewMemory: UnsafeMutablePointer<RequestView>
  private let arena = Arena()

  /// Values that one table given to a function may have, members of members included.
  static let flatValuesMax = 1 << 16
  private static let flatBytes = flatValuesMax * MemoryLayout<LuaValue>.stride

  /// nil when there is no memory.
  init?(_ tools: PolicyTools) {
    guard let verifier = TokenVerifier(TokenRules(tools.auth)), let memory = Pages.map(bytes: PolicyHost.flatBytes)
    else { return nil }
    self.tools = tools
    self.verifier = verifier
    fieldRules = FieldRules(arena: arena)
    flatMemory = memory
    flat = UnsafeMutableBufferPointer(
      start: memory.bindMemory(to: LuaValue.self, capacity: PolicyHost.flatValuesMax), count: PolicyHost.flatValuesMax)
    editMemory = .allocate(capacity: HeaderEdits.bytesMax)
    viewMemory = .allocate(capacity: 1)
    edits = HeaderEdits(base: editMemory)
    text = TextArea(bytesMax: Limits.scriptStringBytes)
    details = TextArea(bytesMax: Limits.errorDetailBytes)
    fields = TextArea(bytesMax: Limits.replyFieldBytes)
    replyBody = TextArea(bytesMax: Limits.replyBodyBytes)
    fetchBody = TextArea(bytesMax: Limits.fetchBodyBytesMax)
  }

  deinit {
    for limit in definedLimits { tools.limits.release(limit) }
    for counter in definedCounters { tools.counters.release(counter) }
    Pages.unmap(flatMemory, bytes: PolicyHost.flatBytes)
    editMemory.deallocate()
    viewMemory.deallocate()
  }

  /// The host that a function was called with.
  @inline(__always)
  static func of(_ context: UnsafeMutableRawPointer?) -> PolicyHost? {
    context.map { Unmanaged<PolicyHost>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Calls `body` with that host, without the retain and the release that `of` costs.
  @inline(__always)
  static func with(_ context: UnsafeMutableRawPointer?, _ body: (PolicyHost) -> Int32) -> Int32? {
    context.map { Unmanaged<PolicyHost>.fromOpaque($0)._withUnsafeGuaranteedRef(body) }
  }

  /// The request, as a copy.
  var view: RequestView? {
    get { shown?.pointee }
    set {
      if let newValue { show(newValue) } else { shown = nil }
      knownCredential = nil
    }
  }

  /// Puts a request in the reach of policies.
  @inline(__always)
  func show(_ view: RequestView) {
    knownCredential = nil
    viewMemory.initialize(to: view)
    shown = UnsafePointer(viewMemory)
  }

  /// What policies were shown is about to be given back.
  @inline(__always)
  func hide() {
    shown = nil
    knownCredential = nil
    if message != nil { message = nil }
    if answer != nil { answer = nil }
    if chunk != nil { chunk = nil }
  }

  /// Read for each question: what one turn handles arrives at different times.
  var monotonicNanoseconds: UInt64 { stoppedNanoseconds ?? Clock.monotonicNow() }

  /// The credential of the request; nil when there is no request.
  var credential: RequestCredential? {
    if let knownCredential { return knownCredential }
    guard let shown else { return nil }
    let credential = RequestCredential(shown.pointee)
    knownCredential = credential
    return credential
  }

  /// Says in the log, at most once in ten seconds, that a limit has no room for another key.
  func noteFullLimit() {
    guard monotonicNanoseconds >= fullLimitAgain else { return }
    fullLimitAgain = monotonicNanoseconds + Limits.reportMilliseconds * 1_000_000
    tools.log?.line(.warn, "limit_full", [("policy", .bytes(policy)), ("requestId", .bytes(requestID))])
  }

  /// Takes a limit for as long as the machine lives.
  func define(limit name: String, _ rule: LimitRule) throws(LimitError) -> LimitHandle {
    let handle = try tools.limits.claim(name: name, rule: rule)
    definedLimits.append(handle)
    return handle
  }

  /// Takes a counter for as long as the machine lives.
  func define(counter name: String, of policy: String, help: String) throws(ScriptCountersFull) -> Int {
    let place = try tools.counters.claim(policy: policy, name: name, help: help)
    definedCounters.append(place)
    return place
  }

  /// Whether the script may write another line into the log.
  func mayLog() -> Bool {
    logLines += 1
    return logLines <= Limits.scriptLogLines
  }

  /// Forgets the last run.
  @inline(__always)
  func begin(_ policy: StaticBytes, _ phase: PolicyPhase) {
    self.policy = policy
    self.phase = phase
    logLines = 0
    if operation != nil { operation = nil }
    wait = .nothing
  }
}

extension TokenRules {
  init(_ auth: AuthSettings) {
    self.init(
      keys: auth.secrets.map(\.bytes), issuer: auth.issuer.map { Array($0.utf8) },
      audiences: auth.audiences.map { Array($0.utf8) }, requiresExpiry: auth.requiresExpiry,
      leewaySeconds: auth.leewaySeconds, userClaims: auth.userClaims, roleClaims: auth.roleClaims)
  }
}
