// What a test asks a policy with: the request or the message, what earlier policies have left in `ctx`, the answers to
// what the policy will fetch.
//
// Called by: the desk of a test. Never: knows the configuration's routes; a test says what a route asks for.

import Glibc

/// A request of a test.
struct TestRequest {
  let id: String
  /// `ctx` before the policy runs.
  let context: TestValue
  /// In the order in which the policy asks.
  let answers: [FetchOutcome]
  /// How the exchange ended, for `on_log`.
  let summary: ExchangeSummary
  let stakes: TestStakes
  /// It opens a WebSocket.
  let isUpgrade: Bool
  /// Policies are asked about messages on that.
  let asksMessages: Bool
  private let queryToken: [UInt8]?
  private let messageID: String
  private let type: String
  private let method: String
  private let target: String
  private let hostText: String
  private let fields: [(name: String, value: [UInt8])]
  private let client: SocketAddress
  private let listener: String
  private let route: String
  private let permission: String
  private let service: String
  private let provider: String
  private let model: String
  private let data: [UInt8]
  private let number: Int
  private let isLast: Bool
  private let isStreamed: Bool
  private let pattern: PathPattern?

  /// What a table for `on_request` and `handle` may hold.
  static let known = [
    "method", "path", "query", "headers", "host", "address", "listener", "route", "permission", "pattern", "id",
    "token", "upgrade", "messages", "query_token", "ctx", "answers", "body", "json", "estimate", "credits", "ledger",
  ]
  /// What a table for `on_message` may hold.
  static let knownInMessage = [
    "message_id", "type", "body", "json", "address", "listener", "route", "permission", "id", "ctx", "answers",
    "estimate", "credits", "ledger",
  ]
  /// What a table for `on_select` may hold.
  static let knownAtSelection = ["candidates", "id", "ctx", "answers", "credits", "ledger"]
  /// What a table for `on_retry` may hold.
  static let knownAtRetry = ["attempt", "id", "ctx", "answers", "credits", "ledger"]
  /// What a table for `on_response` may hold.
  static let knownInAnswer = [
    "status", "headers", "service", "provider", "model", "route", "id", "ctx", "answers", "credits", "ledger",
  ]
  /// What a table for `on_chunk` may hold.
  static let knownInChunk = [
    "data", "number", "last", "status", "streamed", "id", "ctx", "answers", "credits", "ledger",
  ]
  /// What a table for `on_log` may hold.
  static let knownAtEnd = [
    "status", "cause", "duration", "request_bytes", "response_bytes", "id", "ctx", "answers", "credits", "ledger",
  ]

  /// Reads a table; `sign` makes a token of claims.
  init(
    _ value: TestValue, phase: PolicyPhase, sign: (TestValue) throws(TestFault) -> [UInt8]
  ) throws(TestFault) {
    let known =
      switch phase {
      case .onLog: TestRequest.knownAtEnd
      case .onSelect: TestRequest.knownAtSelection
      case .onRetry: TestRequest.knownAtRetry
      case .onMessage: TestRequest.knownInMessage
      case .onResponse: TestRequest.knownInAnswer
      case .onChunk: TestRequest.knownInChunk
      default: TestRequest.known
      }
    let given = try GivenTable(value, TestRequest.title(phase), known: known)
    id = try given.text("id") ?? "01JTESTS0000000000000000AB"
    context = .map(try given.pairs("ctx") ?? [])
    var answers: [FetchOutcome] = []
    for answer in try given.list("answers") { answers.append(try TestRequest.answer(answer)) }
    self.answers = answers
    summary = try TestRequest.summary(given)
    stakes = try TestStakes(given, phase: phase)
    isUpgrade = try given.boolean("upgrade") ?? false
    asksMessages = try given.boolean("messages") ?? isUpgrade
    if asksMessages, !isUpgrade { throw TestFault(text: "'messages' of the request goes with upgrade = true") }
    queryToken = try TestRequest.token(given, "query_token", sign)
    if queryToken != nil, !isUpgrade { throw TestFault(text: "'query_token' of the request goes with upgrade = true") }
    messageID = try given.text("message_id") ?? "message-1"
    type = try given.text("type") ?? "chat"
    method = try given.text("method") ?? "GET"
    let query = try given.text("query")
    target = (try given.text("path") ?? "/") + (query.map { "?\($0)" } ?? "")
    hostText = try given.text("host") ?? "localhost"
    let address = try given.text("address") ?? "192.0.2.1"
    guard let client = SocketAddress(numeric: address, port: 50_000) else {
      throw TestFault(text: "'\(address)' is no address such as 192.0.2.1 or 2001:db8::1")
    }
    self.client = client
    listener = try given.text("listener") ?? "main"
    route = try given.text("route") ?? "test"
    permission = try given.text("permission") ?? ""
    data = if case .text(let bytes) = given["data"] { bytes } else { [] }
    number = Int(min(try given.number("number") ?? 1, 1e9))
    isLast = try given.boolean("last") ?? false
    isStreamed = try given.boolean("streamed") ?? false
    provider = try given.text("provider") ?? ""
    model = try given.text("model") ?? ""
    service = try given.text("service") ?? (provider.isEmpty ? "service" : "")
    pattern = try TestRequest.pattern(given)
    fields = try TestRequest.fields(given, sign)
  }

  private static func title(_ phase: PolicyPhase) -> String {
    switch phase {
    case .onMessage: "the message"
    case .onResponse: "the answer"
    case .onChunk: "the piece"
    default: "the request"
    }
  }

  private static func pattern(_ given: GivenTable) throws(TestFault) -> PathPattern? {
    guard let text = try given.text("pattern") else { return nil }
    do throws(ValueComplaint) { return try PathPattern.read(text) } catch {
      throw TestFault(text: "the pattern '\(text)': \(error.message)")
    }
  }

  private static func fields(
    _ given: GivenTable, _ sign: (TestValue) throws(TestFault) -> [UInt8]
  ) throws(TestFault) -> [(name: String, value: [UInt8])] {
    var fields: [(name: String, value: [UInt8])] = []
    for pair in try given.pairs("headers") ?? [] {
      let values: [TestValue] = if case .list(let members) = pair.value { members } else { [pair.value] }
      for value in values {
        guard case .text(let bytes) = value else {
          throw TestFault(text: "the header '\(pair.name)' must be a string or a list of strings")
        }
        fields.append((pair.name, bytes))
      }
    }
    if let token = try token(given, "token", sign) { fields.append(("authorization", Array("Bearer ".utf8) + token)) }
    return try given.boolean("upgrade") == true ? fields + upgrade(fields) : fields
  }

  /// What every request says that opens a WebSocket, but for what the test says itself.
  private static func upgrade(_ fields: [(name: String, value: [UInt8])]) -> [(name: String, value: [UInt8])] {
    let all = [
      ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
      ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    let missing = all.filter { field in !fields.contains { $0.name.lowercased() == field.0 } }
    return missing.map { ($0.0, Array($0.1.utf8)) }
  }

  private static func token(
    _ given: GivenTable, _ name: String, _ sign: (TestValue) throws(TestFault) -> [UInt8]
  ) throws(TestFault) -> [UInt8]? {
    switch given[name] {
    case .nothing: return nil
    case .text(let token): return token
    case .map, .list: return try sign(given[name])
    default: throw TestFault(text: "'\(name)' of the request must be a table of claims, or a string")
    }
  }

  private static func summary(_ given: GivenTable) throws(TestFault) -> ExchangeSummary {
    let name = try given.text("cause") ?? "completed"
    return ExchangeSummary(
      status: UInt16(min(try given.number("status") ?? 200, 999)), cause: try cause(name),
      durationNanoseconds: UInt64((try given.number("duration") ?? 0) * 1e6),
      requestBytes: UInt64(try given.number("request_bytes") ?? 0),
      responseBytes: UInt64(try given.number("response_bytes") ?? 0))
  }

  private static func cause(_ name: String) throws(TestFault) -> EndCause {
    if let cause = EndCause.allCases.first(where: { "\($0.name)" == name }) { return cause }
    let names = EndCause.allCases.map { "\($0.name)" }
    let hint = Nearness.hint(for: name, among: names) ?? "known: \(names.joined(separator: ", "))"
    throw TestFault(text: "'\(name)' is no end of an exchange; \(hint)")
  }

  /// An answer that a test has prepared: `{status=, headers=, body= | json=}`, or `{failure="upstream_timeout"}`.
  private static func answer(_ value: TestValue) throws(TestFault) -> FetchOutcome {
    let given = try GivenTable(value, "an answer", known: ["status", "headers", "body", "json", "failure"])
    if let failure = try given.text("failure") { return .failed(try cause(failure)) }
    var headers: [FetchHeader] = []
    for pair in try given.pairs("headers") ?? [] {
      guard let text = pair.value.string else {
        throw TestFault(text: "the header '\(pair.name)' of an answer must be a string")
      }
      headers.append(FetchHeader(name: pair.name.lowercased(), value: text))
    }
    var body: [UInt8] = []
    if case .text(let bytes) = given["body"] { body = bytes }
    if given["json"] != .nothing {
      guard let text = FlatArea().json(given["json"]) else { throw TestFault(text: "'json' of an answer is no JSON") }
      body = text
      if !headers.contains(where: { $0.name == "content-type" }) {
        headers.append(FetchHeader(name: "content-type", value: "application/json"))
      }
    }
    let status = try given.number("status") ?? 200
    return .answered(FetchAnswer(status: UInt16(min(status, 999)), headers: headers, body: body))
  }

  /// The request as the wire brings it.
  func wire(limits: HeadLimits) throws(WireRefusal) -> WireRequest {
    try WireRequest(method: method, target: target, host: hostText, fields: fields, limits: limits)
  }

  /// The request as the policy sees it.
  func view(of wire: WireRequest, id: StaticBytes) -> RequestView {
    RequestView(
      received: wire.received, method: wire.method, target: wire.target, host: wire.host, client: client, id: id,
      listener: wire.arena.text(listener), route: policyRoute(wire.arena), isUpgrade: isUpgrade,
      asksMessages: asksMessages,
      queryToken: queryToken.map { StaticBytes(start: wire.arena.copy($0), count: $0.count) })
  }

  /// The answer as the policy sees it; its fields are those of the wire.
  func answer(of wire: WireRequest, id: StaticBytes) -> AnswerView {
    AnswerView(
      status: summary.status, received: wire.received, service: wire.arena.text(service),
      provider: wire.arena.text(provider), model: wire.arena.text(model), id: id, route: wire.arena.text(route))
  }

  /// The piece of an answer as the policy sees it.
  func chunk(_ arena: Arena) -> ChunkView {
    ChunkView(
      data: StaticBytes(start: arena.copy(data), count: data.count), number: number, isLast: isLast,
      status: summary.status, isStreamed: isStreamed)
  }

  /// The message as the policy sees it.
  func message(id: StaticBytes, _ arena: Arena) -> MessageView {
    MessageView(
      body: stakes.message(arena), messageID: arena.text(messageID), type: arena.text(type), client: client, id: id,
      listener: arena.text(listener), route: policyRoute(arena))
  }

  private func policyRoute(_ arena: Arena) -> PolicyRoute {
    PolicyRoute(
      name: arena.text(route), permission: arena.text(permission),
      parameters: RouteParameters(pattern.map { [$0] } ?? [], arena: arena))
  }
}
