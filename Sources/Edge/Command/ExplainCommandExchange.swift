// The part of `edge explain` about everything behind the route: what is asked before anything leaves, who is calling,
// and then the other parts in the order of serving.
//
// Called by: the verb `explain`. Never: decides what the driver decides; where the driver's own checks stand in its
// flow, their order is that of `Driver.route` and `Upgrades`.

import Glibc

/// Explains an exchange whose route is known.
struct ExplainExchange {
  let sources: ExplainSources
  let wire: WireRequest
  let request: ExplainedRequest
  let route: Route
  let listener: Listener
  let rehearsal: PolicyRehearsal

  /// Where the request would come from.
  static let client = SocketAddress(numeric: "127.0.0.1", port: 50_000) ?? SocketAddress()

  private var snapshot: Snapshot { sources.snapshot }
  private var fields: SectionFields? { sources.fields(RootSection.routes, route.name) }

  func explain(_ page: inout ExplainPage) {
    explainDemands(&page)
    let early = refusal()
    if let early {
      page.title("refused before any policy is asked")
      page.refusal(early.code, early.message)
      if early.allowed != 0 { page.line("allow: \(ExplainRouting.names(early.allowed))") }
    }
    explainCaller(&page)
    var models: ExplainModels?
    if case .models(let dialect) = route.target {
      models = ExplainModels(sources: sources, route: route, dialect: dialect, wire: wire, body: request.body)
    }
    if early == nil {
      ExplainRehearsal(
        sources: sources, wire: wire, request: request, route: route, view: view, listener: listener,
        rehearsal: rehearsal
      ).explain(&models, &page)
    }
    models?.explain(&page)
    ExplainUpstream(sources: sources, route: route, providers: models?.providers ?? []).explain(&page)
  }

  // MARK: What is asked

  private func explainDemands(_ page: inout ExplainPage) {
    page.title("before anything leaves")
    var rows: [[String]] = []
    if let socket = route.socket {
      let size = QuantityUnit.size.text(socket.messageBytesMax)
      rows.append(["message size", size, ExplainSources.origin(fields, RouteSection.messageSize)])
      rows.append(["in flight", "\(socket.requestsMax)", ExplainSources.origin(fields, RouteSection.inFlight)])
      let origins = socket.origins.isEmpty ? "any" : socket.origins.joined(separator: ", ")
      rows.append(["origins", origins, ExplainSources.origin(fields, RouteSection.origins)])
    } else {
      let own = ExplainSources.origin(fields, RouteSection.bodySize)
      let limits = ExplainSources.section(sources.resolved, RootSection.limits)
      rows.append([
        "body limit", QuantityUnit.size.text(route.bodyBytesMax),
        own.isEmpty ? ExplainSources.origin(limits, LimitsSection.bodySize) : own,
      ])
    }
    if let permission = route.permission {
      rows.append(["permission", permission, ExplainSources.origin(fields, RouteSection.permission)])
    }
    for (place, policy) in route.policies.enumerated() {
      rows.append([
        "policy \(place + 1)", snapshot.policies[policy].name, ExplainRouting.script(of: policy, snapshot),
        phases(of: policy),
      ])
    }
    if route.policies.isEmpty { rows.append(["policies", "none"]) }
    page.rows(rows)
  }

  private func phases(of policy: Int) -> String {
    let phases: [PolicyPhase] = [.onRequest] + (route.socket == nil ? [] : [.onMessage])
    let costs: [PolicyPhase] = route.costs ? [.onSelect] : []
    let retries: [PolicyPhase] = if case .models = route.target { [.onRetry] } else { [] }
    let answers: [PolicyPhase] =
      switch route.target {
      case .service, .models: route.socket == nil ? PolicyPhase.answers : []
      case .builtin, .handler: []
      }
    return (phases + costs + retries + answers + [.onLog]).filter { rehearsal.has($0, policy: policy) }
      .map(\.rawValue).joined(separator: ", ")
  }

  private struct Refusal {
    let code: ErrorCode
    let message: String
    var allowed: UInt16 = 0

    init(_ code: ErrorCode, _ message: String? = nil, allowed: UInt16 = 0) {
      self.code = code
      self.message = message ?? "\(code.row.message)"
      self.allowed = allowed
    }
  }

  /// What is refused although there is a route for it.
  private func refusal() -> Refusal? {
    if let settings = route.socket {
      guard wire.head.method == .get else { return Refusal(.methodNotAllowed, allowed: Method.get.bit) }
      switch WebSocketHandshake.read(wire.head, wire.received) {
      case .none: return Refusal(.upgradeRequired)
      case .refused(let code, let message): return Refusal(code, "\(message)")
      case .valid: break
      }
      let row = SocketRow(settings, arena: wire.arena)
      if wire.received.count(named: "origin") > 1 || !row.allows(wire.received.value(named: "origin")) {
        return Refusal(.forbidden, "Pages of this origin may not open a WebSocket here.")
      }
      return nil
    }
    if let settings = route.serviceSocket, wire.head.asksUpgrade { return refusal(settings) }
    if case .models = route.target, wire.head.method != .post {
      return Refusal(.methodNotAllowed, allowed: Method.post.bit)
    }
    if case .length(let length) = wire.head.framing, length > route.bodyBytesMax { return Refusal(.messageTooLarge) }
    // In chunks, it shows while the body comes.
    if let body = request.body, body.count > route.bodyBytesMax { return Refusal(.messageTooLarge) }
    return nil
  }

  /// The same where a WebSocket to a service is asked for.
  private func refusal(_ settings: ServiceSocketSettings) -> Refusal? {
    if case .refused(let code, let message) = WebSocketHandshake.read(wire.head, wire.received) {
      return Refusal(code, "\(message)")
    }
    if settings.treatment == .refuse { return Refusal(.forbidden, "No WebSocket may be opened here.") }
    let row = SocketRow(settings.common, arena: wire.arena)
    if wire.received.count(named: "origin") > 1 || !row.allows(wire.received.value(named: "origin")) {
      return Refusal(.forbidden, "Pages of this origin may not open a WebSocket here.")
    }
    return nil
  }

  // MARK: Who is calling

  private var policyRoute: PolicyRoute {
    PolicyRoute(
      name: wire.arena.text(route.name), permission: wire.arena.text(route.permission ?? ""),
      parameters: RouteParameters(route.paths, arena: wire.arena))
  }

  /// The request as policies see it.
  private var view: RequestView {
    var target = wire.target
    var token = QueryToken.Finding.none
    let isUpgrade = route.socket != nil || route.serviceSocket != nil && wire.head.asksUpgrade
    if isUpgrade, (route.socket ?? route.serviceSocket?.common)?.takesQueryToken ?? false {
      let room = 2 * max(1, target.queryCount)
      token = QueryToken.take(from: &target, area: wire.arena.allocate(UInt8.self, count: room), room)
    }
    var view = RequestView(
      received: wire.received, method: wire.method, target: target, host: wire.host, client: ExplainExchange.client,
      id: PolicyRehearsal.requestID, listener: wire.arena.text(listener.name), route: policyRoute)
    view.isUpgrade = isUpgrade
    view.asksMessages = route.socket != nil
    switch token {
    case .none: break
    case .one(let token): view.queryToken = token
    case .several: view.hasTwoQueryTokens = true
    }
    return view
  }

  /// What the credential says, whatever the policies make of it.
  private func explainCaller(_ page: inout ExplainPage) {
    let credential = RequestCredential(view)
    if case .none = credential, route.policies.isEmpty { return }
    page.title("caller")
    switch credential {
    case .none: page.rows([["token", "none"]])
    case .foreign: page.rows([["token", "none: Authorization has another scheme than Bearer"]])
    case .conflict: page.rows([["token", "refused: two credentials"]])
    case .one(let bytes):
      if sources.isSecretOpen {
        page.rows([["token", "not verified: its secret is a placeholder"]])
      } else {
        page.rows(verify(bytes))
      }
    }
  }

  private func verify(_ token: UnsafeBufferPointer<UInt8>) -> [[String]] {
    guard let start = token.baseAddress, let verifier = TokenVerifier(TokenRules(snapshot.auth)) else {
      return [["token", "refused: malformed"]]
    }
    switch verifier.verify(start, token.count, wallSeconds: Int64(Clock.wallNow() / 1_000_000_000)) {
    case .refused(let fault): return [["token", "refused: \(fault.text)"]]
    case .valid(let verified):
      let token = verified.pointee
      var roles = (0..<token.roleCount).map { token.roles[$0] }
      // Who has no role is a user.
      if roles.isEmpty { roles = [StaticBytes("user")] }
      var rows = [
        [
          "token", token.expires == .max ? "good, without an end" : "good until \(ExplainExchange.time(token.expires))",
        ],
        ["user", token.user.text], ["roles", roles.map(\.text).joined(separator: ", ")],
      ]
      if let permission = route.permission {
        let table = PermissionTable(snapshot.roles.map { ($0.name, $0.permissions) }, arena: wire.arena)
        let wanted = wire.arena.text(permission)
        let allowing = roles.filter { table.allows($0.start, $0.count, wanted.start, wanted.count) }
        let answer = allowing.first.map { "has \(permission), as \($0.text)" } ?? "has no \(permission)"
        rows.append(["permission", answer])
      }
      return rows
    }
  }

  private static func time(_ seconds: Int64) -> String {
    // A time that no calendar has is far enough away.
    guard seconds > 0, seconds < 253_402_300_800 else { return "\(seconds)" }
    return ExplainPage.written(capacity: 40) { $0.append(timestamp: UInt64(seconds) * 1_000_000_000) }
  }
}
