// What a test works at: the time, the policies it has made, and what it asks for. One per test; the host functions that
// scripts of tests see find it as their context.
//
// Called by: the functions of `t` and whoever runs a test. Never: runs Lua within Lua; what a test asks of a policy is
// performed while the test itself waits, so that each has the CPU clock for itself.

import Glibc
import LuaBridge

/// What all tests of a run share.
struct TestGround {
  let snapshot: Snapshot
  let clock: LuaClock
}

/// What a test waits for.
enum TestOperation {
  case make(script: TestValue, settings: TestValue, options: TestValue)
  case ask(policy: Int, PolicyPhase, request: TestValue)
}

/// What a test gets for it.
enum TestAnswer {
  case policy(Int)
  case outcome(TestValue)
}

/// The context of the functions of `t`.
final class TestDesk {
  let ground: TestGround
  /// For the functions of `edge.*` that tests have too.
  let host: PolicyHost
  let area = FlatArea()
  private let room: UnsafeMutableBufferPointer<LuaValue>

  // MARK: The test that runs

  private(set) var time = TestTime()
  private var policies: [TestedPolicy] = []
  var operation: TestOperation?

  /// Signs the tokens of tests: never one that signs what is served.
  private static let secret = SecretText(bytes: Array("tests of policies sign their tokens with this".utf8))
  private static let policiesMax = 64

  /// nil when there is no memory.
  init?(_ ground: TestGround) {
    guard let keyValues = KeyValueStore(bytesMax: 1 << 16),
      let host = PolicyHost(PolicyTools(ground.snapshot, limits: RateLimits(), keyValues: keyValues, log: nil))
    else { return nil }
    self.ground = ground
    self.host = host
    room = .allocate(capacity: PolicyHost.flatValuesMax)
  }

  deinit { room.deallocate() }

  /// The desk that a function was called with.
  static func of(_ context: UnsafeMutableRawPointer?) -> TestDesk? {
    context.map { Unmanaged<TestDesk>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Clears the desk for the next test.
  func begin() {
    policies = []
    operation = nil
    time = TestTime()
  }

  func sleep(seconds: Double) { time.pass(seconds: seconds) }

  /// An argument of a function, whatever its shape; nil when it holds what cannot leave its machine.
  func argument(_ call: HostCall, _ index: Int) -> TestValue? {
    if call.kind(index) == .nothing { return .nothing }
    guard (try? call.flat(index, into: room)) != nil, let start = room.baseAddress else { return nil }
    var position = 0
    return TestValue(UnsafePointer(start), &position)
  }

  // MARK: What a test waits for

  /// Performs what the test has asked for.
  func perform() throws(TestFault) -> TestAnswer {
    guard let operation else { throw TestFault(text: "nothing was asked for") }
    self.operation = nil
    switch operation {
    case .make(let script, let settings, let options):
      guard policies.count < TestDesk.policiesMax else {
        throw TestFault(text: "one test makes at most \(TestDesk.policiesMax) policies")
      }
      let plan = try plan(script, settings, options)
      policies.append(try TestedPolicy(plan, of: ground.snapshot, clock: ground.clock, at: time))
      return .policy(policies.count - 1)
    case .ask(let index, let phase, let value):
      guard policies.indices.contains(index) else { throw TestFault(text: "the policy belongs to another test") }
      let policy = policies[index]
      let request = try TestRequest(value, phase: phase) { claims throws(TestFault) in
        try self.token(claims, policy.auth)
      }
      return .outcome(try policy.ask(phase, request, at: time))
    }
  }

  private func plan(
    _ script: TestValue, _ settings: TestValue, _ options: TestValue
  ) throws(TestFault) -> TestedPolicyPlan {
    guard let file = script.string else {
      throw TestFault(text: "t.policy needs the name of a script, such as \"auth.lua\"")
    }
    let given = try GivenTable(
      options, "the options", known: ["name", "auth", "roles", "services", "credits", "charges"])
    let tree = try TestDesk.tree(settings)
    guard case .map = tree else { throw TestFault(text: "the settings must be a table with names") }
    var plan = TestedPolicyPlan(
      script: try read(file), name: try given.text("name") ?? String(file.dropLast(ScriptPath.ending.count)),
      settings: tree, auth: try auth(given["auth"]), roles: ground.snapshot.roles, services: ground.snapshot.services)
    plan.credits = try given.accounts("credits")
    for charge in try given.list("charges") { plan.charges.append(try TestCharge(charge)) }
    if let pairs = try given.pairs("roles") {
      let roles = try GivenTable(given["roles"], "'roles'", known: pairs.map(\.name))
      plan.roles = []
      for pair in pairs { plan.roles.append(Role(name: pair.name, permissions: try roles.texts(pair.name) ?? [])) }
    }
    if let names = try given.texts("services") { plan.services = names.map { Service(nameOnly: $0) } }
    return plan
  }

  private func read(_ name: String) throws(TestFault) -> ScriptFile {
    let path: String
    do throws(ValueComplaint) {
      path = FilePath.join(ground.snapshot.server.policiesFolder, try ScriptPath.read(name))
    } catch { throw TestFault(text: error.message) }
    do throws(FileFault) {
      return ScriptFile(
        path: path, bytes: try ConfigFile.read(path, bytesMax: ScriptReader.fileBytesMax), contentHash: 0)
    } catch { throw TestFault(text: "'\(path)' cannot be read: \(error.reason)") }
  }

  /// Settings as the configuration would have them.
  private static func tree(_ value: TestValue) throws(TestFault) -> SettingsTree {
    switch value {
    case .nothing: return .map([])
    case .null: return .null
    case .boolean(let value): return .boolean(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return .number(value)
    case .text(let bytes): return .text(String(decoding: bytes, as: UTF8.self))
    case .list(let members):
      var trees: [SettingsTree] = []
      for member in members { trees.append(try tree(member)) }
      return .list(trees)
    case .map(let pairs):
      var settings: [SettingsPair] = []
      for pair in pairs { settings.append(SettingsPair(key: pair.name, value: try tree(pair.value))) }
      return .map(settings)
    }
  }

  // MARK: Tokens

  /// `auth` as the configuration says it or, when a test gives a table, as that says it; the secret is always one of
  /// tests.
  private func auth(_ value: TestValue) throws(TestFault) -> AuthSettings {
    if value == .nothing {
      let own = ground.snapshot.auth
      return AuthSettings(
        secrets: [TestDesk.secret], issuer: own.issuer, audiences: own.audiences, requiresExpiry: own.requiresExpiry,
        leewaySeconds: own.leewaySeconds, userClaims: own.userClaims, roleClaims: own.roleClaims)
    }
    let given = try GivenTable(
      value, "'auth'", known: ["secret", "issuer", "audience", "require_exp", "leeway", "claims"])
    let claims = try GivenTable(given["claims"], "'claims'", known: ["user", "roles"])
    let rules = TokenRules(keys: [])
    var secrets: [SecretText] = []
    for text in try given.texts("secret") ?? [] { secrets.append(try TestDesk.secret(text)) }
    return AuthSettings(
      secrets: secrets.isEmpty ? [TestDesk.secret] : secrets, issuer: try given.text("issuer"),
      audiences: try given.texts("audience") ?? [], requiresExpiry: try given.boolean("require_exp") ?? true,
      leewaySeconds: Int(try given.number("leeway") ?? Double(rules.leewaySeconds)),
      userClaims: try claims.texts("user") ?? rules.userClaims,
      roleClaims: try claims.texts("roles") ?? rules.roleClaims)
  }

  private static func secret(_ text: String) throws(TestFault) -> SecretText {
    do throws(ValueComplaint) { return try SecretText.read(text) } catch { throw TestFault(text: error.message) }
  }

  /// A token with these claims. What a test leaves out of `exp`, `iss` and `aud` is right; false leaves it out of the
  /// token.
  func token(_ claims: TestValue, _ auth: AuthSettings?, secret: String? = nil) throws(TestFault) -> [UInt8] {
    let all: [TestPair]
    switch claims {
    case .map(let pairs): all = pairs
    case .list(let members) where members.isEmpty: all = []
    default: throw TestFault(text: "claims must be a table with names, found \(claims.shown)")
    }
    var pairs = all.filter { !["exp", "iss", "aud"].contains($0.name) || $0.value != .boolean(false) }
    func complete(_ name: String, _ value: TestValue?) {
      guard let value, !all.contains(where: { $0.name == name }) else { return }
      pairs.append(TestPair(name: name, value: value))
    }
    complete("exp", .integer(Int(time.wall / 1_000_000_000) + 3_600))
    complete("iss", auth?.issuer.map { .text($0) })
    complete("aud", auth?.audiences.first.map { .text($0) })
    guard let text = FlatArea().json(.map(pairs)) else { throw TestFault(text: "the claims are no JSON") }
    let key = try secret.map { text throws(TestFault) in try TestDesk.secret(text) }
    return TokenSigner.sign(claims: text, key: (key ?? auth?.secrets.first ?? TestDesk.secret).bytes)
  }
}

extension Service {
  /// One that is only asked for by its name.
  fileprivate init(nameOnly name: String) {
    self.init(
      name: name, endpoints: [], connectTimeoutMilliseconds: 0, headTimeoutMilliseconds: 0, idleTimeoutMilliseconds: 0,
      poolSize: 0, poolIdleMilliseconds: 0, pass: [], trust: nil, serverName: nil)
  }
}
