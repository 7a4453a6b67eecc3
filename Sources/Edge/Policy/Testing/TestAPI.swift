// What scripts of tests find: the functions of `t`, the methods of a policy that a test has made, and the parts of
// `edge.*` that need no request. One row each, so that the reference page can be written from them.
//
// Called by: the machine of a file of tests. Never: performs what takes a machine of its own; that is left at the desk.

import Glibc
import LuaBridge

/// The rows of `t`.
enum TestAPI {
  /// Below which path the functions stand in the machine; a test gets them as fields of `t`.
  static let path = "edge.test"
  /// The place of the class of policies.
  static let policy = 0

  static let functions = [
    HostRow(
      "policy", "t.policy(script[, settings[, options]])",
      "Makes a policy of its own from a script in `server.policies`, with settings as in the configuration. Options: "
        + "`auth` (keys as in the configuration, `leeway` in seconds), `roles` (names with lists of permissions), "
        + "`services` (names), `name`, `credits` (accounts with what they have) and `charges` (what earlier work was "
        + "charged); what is left out is as in the configuration. A script that does not start "
        + "is an error.", makePolicy),
    HostRow(
      "equal", "t.equal(found, expected[, what])", "Fails unless both are the same, tables member by member.", equal),
    HostRow("contains", "t.contains(text, part[, what])", "Fails unless the text holds the part.", contains),
    HostRow("passes", "t.passes(outcome)", "Fails unless the policy let the request pass.", passes),
    HostRow(
      "refuses", "t.refuses(outcome, CODE[, details])",
      "Fails unless the policy refused with this code, and with these details when they are given.", refuses),
    HostRow("replies", "t.replies(outcome, status)", "Fails unless the policy answered with this status.", replies),
    HostRow("sleep", "t.sleep(seconds)", "Lets time pass. It stands still otherwise.", sleep),
    HostRow("now", "t.now()", "Seconds since 1970, as policies see them.", now),
    HostRow(
      "token", "t.token(claims[, secret])",
      "A signed token. Without `exp` it is good for an hour; `exp = false` leaves it out.", token),
  ]

  /// Of a policy.
  static let methods = [
    HostRow(
      "on_request", "policy:on_request{method=, path=, headers={}, token={claims}, ctx={}, answers={}, …}",
      "Asks the policy about a request and returns the outcome: `result` (passed, refused, replied or failed) with "
        + "what belongs to it, `ctx`, `service_headers` and `fetches`. With `upgrade = true` it opens a WebSocket: "
        + "`query_token` is what its URL carries, `messages = false` says that it leads to a service, and when it "
        + "passed `facts` is what its messages find in `ctx`.",
      { state, context, result in TestAPI.ask(state, context, result, .onRequest) }),
    HostRow(
      "on_message", "policy:on_message{type=\"chat\", body= | json=, message_id=, ctx={}, estimate=, …}",
      "Asks the policy about a message on a WebSocket.",
      { state, context, result in TestAPI.ask(state, context, result, .onMessage) }),
    HostRow(
      "on_select",
      "policy:on_select{candidates={{provider=, model=, estimate=, priority=1, load=0, equivalent=false, "
        + "named=false}, …}, ctx={}, …}",
      "Asks the policy who should answer. The outcome has `order` too, the names of those that are left, and `held`.",
      { state, context, result in TestAPI.ask(state, context, result, .onSelect) }),
    HostRow(
      "on_retry",
      "policy:on_retry{attempt={provider=, model=, code=\"PROVIDER_ERROR\", status=0, number=1, next={…}}, ctx={}, …}",
      "Tells the policy that a provider has failed and that `next`, a candidate, is about to be asked.",
      { state, context, result in TestAPI.ask(state, context, result, .onRetry) }),
    HostRow(
      "on_response", "policy:on_response{status=200, headers={}, service= | provider=, model=, ctx={}, answers={}, …}",
      "Asks the policy about an answer. What it has set of it is in `client_headers` of the outcome.",
      { state, context, result in TestAPI.ask(state, context, result, .onResponse) }),
    HostRow(
      "on_chunk", "policy:on_chunk{data=, number=1, last=false, status=200, streamed=false, ctx={}, answers={}, …}",
      "Asks the policy about a piece of an answer.",
      { state, context, result in TestAPI.ask(state, context, result, .onChunk) }),
    HostRow(
      "handle", "policy:handle{…}", "The same for a handler.",
      { state, context, result in TestAPI.ask(state, context, result, .handle) }),
    HostRow(
      "on_log", "policy:on_log{ctx={}, status=200, cause=\"completed\", duration=, request_bytes=, response_bytes=}",
      "Tells the policy how an exchange has ended.",
      { state, context, result in TestAPI.ask(state, context, result, .onLog) }),
  ]

  /// Parts of `edge.*` that tests have too.
  static let shared: [(name: String, function: HostFunction)] = [
    ("edge.json.encode", { relay(JSONAPI.rows[0], $0, $1, $2) }),
    ("edge.json.decode", { relay(JSONAPI.rows[1], $0, $1, $2) }),
    ("edge.json.try_decode", { relay(JSONAPI.rows[2], $0, $1, $2) }),
    ("edge.crypto.sha256", { relay(CryptoAPI.rows[0], $0, $1, $2) }),
    ("edge.crypto.hmac_sha256", { relay(CryptoAPI.rows[1], $0, $1, $2) }),
    ("edge.crypto.base64", { relay(CryptoAPI.rows[4], $0, $1, $2) }),
    ("edge.crypto.base64url", { relay(CryptoAPI.rows[5], $0, $1, $2) }),
    ("edge.crypto.unbase64", { relay(CryptoAPI.rows[6], $0, $1, $2) }),
    ("edge.crypto.unbase64url", { relay(CryptoAPI.rows[7], $0, $1, $2) }),
  ]

  /// Fills `t`; what must call functions of the test stands here in Lua.
  static var prelude: String {
    let rows = functions.map { "  t.\($0.name) = edge.test.\($0.name)" }.joined(separator: "\n")
    return """
      local prelude = {}
      function prelude.fill(t)
      \(rows)
        function t.fails(what, part)
          local problem
          if type(what) == "function" then
            local worked, message = pcall(what)
            if worked then error("expected an error, and there was none", 2) end
            problem = tostring(message)
          elseif type(what) == "table" and what.result then
            if what.result ~= "failed" then error("expected the policy to fail, and it " .. what.result, 2) end
            problem = what.message
          else
            error("t.fails takes a function or an outcome", 2)
          end
          if part and not string.find(problem, part, 1, true) then
            error("expected an error with '" .. part .. "', found '" .. problem .. "'", 2)
          end
          return problem
        end
      end
      return prelude
      """
  }

  private static func relay(
    _ row: HostRow, _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?
  ) -> Int32 {
    guard let desk = TestDesk.of(context) else { return HostCall(state, result).nothing() }
    return row.function(state, Unmanaged.passUnretained(desk.host).toOpaque(), result)
  }

  // MARK: What takes a machine of its own

  private static let makePolicy: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    guard let script = desk.argument(call, 1), let settings = desk.argument(call, 2),
      let options = desk.argument(call, 3)
    else { return call.raise("t.policy takes plain values; write t.policy(…) with a dot") }
    desk.operation = .make(script: script, settings: settings, options: options)
    return call.pause()
  }

  private static func ask(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?, _ phase: PolicyPhase
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    guard let index = call.handle(1, class: TestAPI.policy) else {
      return call.raise("write policy:\(phase.rawValue){…} with a colon")
    }
    guard let request = desk.argument(call, 2) else { return call.raise("a request is a table of plain values") }
    desk.operation = .ask(policy: Int(index), phase, request: request)
    return call.pause()
  }

  // MARK: Comparisons

  private static let equal: HostFunction = { state, context, result in
    compare(state, context, result) { found, expected in
      TestValue.difference(found, from: expected)
    }
  }

  private static let contains: HostFunction = { state, context, result in
    compare(state, context, result) { found, expected in
      guard let text = found.string, let part = expected.string else {
        return "expected a text with \(expected.shown), found \(found.shown)"
      }
      return part.isEmpty || text.contains(part) ? nil : "expected a text with \(expected.shown), found \(found.shown)"
    }
  }

  /// Compares the first two arguments; the third says what they are.
  private static func compare(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ complaint: (TestValue, TestValue) -> String?
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    guard let found = desk.argument(call, 1), let expected = desk.argument(call, 2) else {
      return call.raise("only plain values can be compared, not functions or policies")
    }
    guard let complaint = complaint(found, expected) else { return call.nothing() }
    let what = call.string(3).map { String(decoding: $0, as: UTF8.self) + ": " } ?? ""
    return call.raise(what + complaint)
  }

  // MARK: Outcomes

  private static let passes: HostFunction = { state, context, result in
    outcome(state, context, result) { _, _, found in
      found["result"].string == "passed" ? nil : "expected the request to pass, but it \(told(found))"
    }
  }

  private static let refuses: HostFunction = { state, context, result in
    outcome(state, context, result) { desk, call, found in
      guard let code = call.string(2) else { return "t.refuses needs the code that is expected" }
      let name = String(decoding: code, as: UTF8.self)
      guard !code.isEmpty, ErrorCode(name: code) != nil else { return "'\(name)' is no error code" }
      guard found["result"].string == "refused", found["code"].string == name else {
        return "expected a refusal with \(name), but the request \(told(found))"
      }
      guard let details = desk.argument(call, 3) else { return "details are plain values" }
      return details == .nothing ? nil : TestValue.difference(found["details"], from: details).map { "details: \($0)" }
    }
  }

  private static let replies: HostFunction = { state, context, result in
    outcome(state, context, result) { _, call, found in
      guard let status = call.integer(2) else { return "t.replies needs the status that is expected" }
      let isExpected = found["result"].string == "replied" && found["status"] == .integer(status)
      return isExpected ? nil : "expected an answer with \(status), but the request \(told(found))"
    }
  }

  private static func outcome(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ complaint: (TestDesk, HostCall, TestValue) -> String?
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    guard let found = desk.argument(call, 1), found["result"].string != nil else {
      return call.raise("this is no outcome of a policy")
    }
    return complaint(desk, call, found).map { call.raise($0) } ?? call.nothing()
  }

  /// What became of a request, to stand behind "it".
  private static func told(_ outcome: TestValue) -> String {
    switch outcome["result"].string {
    case "refused":
      let details = outcome["details"] == .nothing ? "" : " \(outcome["details"].shown)"
      return "was refused with \(outcome["code"].string ?? "nothing")\(details)"
    case "replied": return "was answered with \(outcome["status"].shown)"
    case "failed": return "failed: \(outcome["message"].string ?? "")"
    default: return "passed"
    }
  }

  // MARK: Time and tokens

  private static let sleep: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    guard let seconds = call.number(1), seconds >= 0, seconds <= 1e8 else {
      return call.raise("t.sleep takes seconds, at most 100000000")
    }
    desk.sleep(seconds: seconds)
    return call.nothing()
  }

  private static let now: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    return call.value(.number(Double(desk.time.wall) / 1e9))
  }

  private static let token: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let desk = TestDesk.of(context) else { return call.nothing() }
    guard let claims = desk.argument(call, 1) else { return call.raise("claims are plain values") }
    do throws(TestFault) {
      let secret = call.string(2).map { String(decoding: $0, as: UTF8.self) }
      let text = try desk.token(claims, nil, secret: secret)
      return call.values(at: desk.area.hold(.text(text)), count: 1)
    } catch { return call.raise(error.text) }
  }
}
