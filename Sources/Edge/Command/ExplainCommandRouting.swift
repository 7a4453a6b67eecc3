// The part of `edge explain` about routes: the one that wins, and what those lack that came near.
//
// Called by: the verb `explain`. Never: decides who wins; the table of serving does.

/// Explains where a request is routed.
struct ExplainRouting {
  let sources: ExplainSources
  let wire: WireRequest
  let listener: Int
  private let explanation: RouteExplanation

  private static let othersMax = 12

  init(sources: ExplainSources, wire: WireRequest, listener: Int) {
    self.sources = sources
    self.wire = wire
    self.listener = listener
    explanation = RouteExplanation(
      sources.snapshot.routes, host: wire.hostName.text,
      path: StaticBytes(start: wire.target.path, count: wire.target.pathCount).text, method: wire.head.method,
      listener: listener)
  }

  private var snapshot: Snapshot { sources.snapshot }

  /// The route that wins.
  func explain(_ index: Int, _ page: inout ExplainPage) {
    let route = snapshot.routes[index]
    page.title("route  \(route.name)  \(sources.place(RootSection.routes, route.name))")
    var rows = [["leads to", ExplainRouting.target(of: route, snapshot)]]
    if let winner = explanation.winner, winner.route == index {
      rows.insert(["path", winner.path.text + (winner.host.map { "  of \($0.text)" } ?? "")], at: 0)
      if winner.standsForHead { rows.insert(["method", "its GET stands for HEAD"], at: 1) }
    }
    page.rows(rows)
  }

  /// What answers on a route.
  static func target(of route: Route, _ snapshot: Snapshot) -> String {
    switch route.target {
    case .service(let index): "service \(snapshot.services[index].name)"
    case .builtin(let name): "builtin \(name.rawValue), an answer of Edge itself"
    case .handler(let index): "handler \(snapshot.policies[index].name), \(script(of: index, snapshot))"
    case .models(let dialect): "models, asked in \(dialect.rawValue)" + (route.socket == nil ? "" : " on a WebSocket")
    }
  }

  /// The file of a policy.
  static func script(of policy: Int, _ snapshot: Snapshot) -> String {
    snapshot.scripts[snapshot.policies[policy].script].path
  }

  /// There is no route.
  func explainNone(_ match: RouteMatch, _ page: inout ExplainPage) {
    page.title("route  none")
    guard case .methodNotAllowed(let allowed) = match else {
      page.refusal(.notFound, "\(ErrorCode.notFound.row.message)")
      return
    }
    page.refusal(.methodNotAllowed, "\(ErrorCode.methodNotAllowed.row.message)")
    page.line("allow: \(ExplainRouting.names(allowed))")
  }

  /// The names of methods, in the order of the field Allow.
  static func names(_ methods: UInt16) -> String {
    Method.allCases.filter { $0 != .other && methods & $0.bit != 0 }.map { "\($0.name)" }.joined(separator: ", ")
  }

  // MARK: Others

  /// The routes that take the path and lost.
  func explainOthers(_ page: inout ExplainPage) {
    explainOpen(&page)
    let others = explanation.standings.filter { !$0.lacks.isEmpty }
    if others.isEmpty { return }
    page.title("other routes that take this path")
    page.rows(
      others.prefix(ExplainRouting.othersMax).map { standing in
        let route = snapshot.routes[standing.route]
        return [
          route.name, sources.place(RootSection.routes, route.name),
          standing.lacks.map { reason($0, standing, route) }.joined(separator: "; "),
        ]
      })
    if others.count > ExplainRouting.othersMax { page.line("and \(others.count - ExplainRouting.othersMax) more") }
  }

  /// Under `--env=placeholder`, a route is nowhere in which a placeholder stands for a name.
  private func explainOpen(_ page: inout ExplainPage) {
    guard case .named(let entries) = sources.resolved[RootSection.routes]?.value else { return }
    let open = entries.map(\.name).filter { name in !snapshot.routes.contains { $0.name == name } }
    if open.isEmpty { return }
    page.title("routes that were not looked at, since a placeholder stands for a name in them")
    page.rows(open.map { [$0, sources.place(RootSection.routes, $0)] })
  }

  private func reason(
    _ lack: RouteExplanation.Lack, _ standing: RouteExplanation.Standing, _ route: Route
  ) -> String {
    let winner = explanation.winner
    switch lack {
    case .listener:
      let names = route.listeners.map { snapshot.listeners[$0].name }
      let asked = snapshot.listeners[listener].name
      return names.isEmpty
        ? "reached on no listener"
        : "not reached on \(asked): it is on \(names.joined(separator: ", "))" + onlyNamed(asked)
    case .host: return "another host: it is for \(route.hosts.map(\.text).joined(separator: ", "))"
    case .method:
      let methods = route.methods.map { "\($0.name)" }.joined(separator: ", ")
      return "takes \(methods)"
        + (route.methods.contains(.get) && !route.methods.contains(.head) ? "; HEAD with it" : "")
    case .precision:
      let own = standing.host.map { $0.text } ?? "any host"
      return "\(own) is less specific than \(winner?.host?.text ?? "any host")"
    case .depth: return "\(standing.path.text) is less specific than \(winner?.path.text ?? "")"
    case .naming:
      return standing.standsForHead
        ? "its GET stands for HEAD, and \(name(of: winner)) names HEAD"
        : "takes any method, and \(name(of: winner)) \(winner?.standsForHead ?? false ? "names GET" : "names this one")"
    case .order: return "stands behind \(name(of: winner))"
    }
  }

  private func name(of standing: RouteExplanation.Standing?) -> String {
    standing.map { snapshot.routes[$0.route].name } ?? ""
  }

  /// Why a route is not on a listener although it names none.
  private func onlyNamed(_ listener: String) -> String {
    let fields = sources.fields(RootSection.listeners, listener)
    return fields?[ListenerSection.onlyNamed]?.value == .boolean(true) ? "; \(listener) has only_named" : ""
  }
}
