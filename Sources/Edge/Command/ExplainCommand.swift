// `edge explain`: what Edge would do with a request, and why: how it is read, which route wins and what the others
// lack, what the policies would say, who would be asked for a model and at what price, how long Edge would wait. The
// configuration is loaded as `check` loads it, and everything is decided by the code that serves.
// Called by the command table. Never: sends anything, or shows a credential.

import Glibc
import LuaBridge

/// The verb.
enum ExplainCommand {
  static let row = CommandRow(
    verb: "explain", summary: "tell what a request would meet; nothing is sent", operands: ["METHOD", "URL"],
    options: [
      CommandOption("-H", value: "'NAME: VALUE'", isRepeatable: true, "a header field of the request"),
      CommandOption("-d", value: "BODY", "the body, or the message on a WebSocket; @FILE for what stands in a file"),
      CommandOption("--token", value: "TOKEN", "the caller's token, as Authorization: Bearer"),
      CommandOption(
        "--listener", value: "NAME", "where the request comes in (default: by the URL's port, or the first)"),
      .config, .dev,
      CommandOption("--env", value: "placeholder", "let undefined variables and secret files stand for themselves"),
    ]
  ) { arguments in
    if let mode = arguments.value("--env"), mode != "placeholder" {
      Console.error("edge explain: --env knows only 'placeholder', not '\(mode)'")
      return ExitCode.usage
    }
    do throws(UsageError) {
      let request = try ExplainedRequest(arguments)
      return try explain(request, arguments)
    } catch {
      Console.error("edge explain: \(error.message)")
      return ExitCode.usage
    }
  }

  private static func explain(_ request: ExplainedRequest, _ arguments: CommandArguments) throws(UsageError) -> Int32 {
    let options = LoadOptions(
      environment: Environment.current(), dev: arguments.has("--dev"), placeholders: arguments.has("--env"))
    let outcome = Loader.load(path: arguments.configPath, options: options)
    for diagnosis in outcome.diagnoses where diagnosis.severity == .error { Console.error(diagnosis.render()) }
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved else {
      Console.error("edge explain: \(arguments.configPath) has errors; 'edge check' tells more")
      return ExitCode.failed
    }
    let listener = try request.listener(arguments.value("--listener"), snapshot)
    guard let clock = LuaClock() else {
      Console.error("edge explain: the system gives no timer for scripts")
      return ExitCode.failed
    }
    defer { clock.end() }
    let sources = ExplainSources(
      snapshot: snapshot, resolved: resolved, isDevelopment: options.dev, arePlaceholders: options.placeholders)
    var page = ExplainPage()
    do throws(PolicyFaults) {
      let rehearsal = try PolicyRehearsal(snapshot, clock: clock, wall: Clock.wallNow())
      defer { rehearsal.end() }
      explain(request, listener, sources, rehearsal, &page)
    } catch {
      for diagnosis in PolicyCheck.diagnoses(error, snapshot, resolved) { Console.error(diagnosis.render()) }
      return ExitCode.failed
    }
    Console.print(page.text)
    return page.isRefused ? ExitCode.failed : ExitCode.success
  }

  private static func explain(
    _ given: ExplainedRequest, _ listener: Int, _ sources: ExplainSources, _ rehearsal: PolicyRehearsal,
    _ page: inout ExplainPage
  ) {
    let snapshot = sources.snapshot
    var request = given
    let row = snapshot.listeners[listener]
    do throws(WireRefusal) {
      var wire = try request.wire(snapshot, at: row)
      let table = RouteCompiler.compile(
        snapshot.routes, listenerPlaces: snapshot.listeners.indices.map { UInt8($0) }, arena: wire.arena)
      let match = table.match(
        RouteQuery(
          host: wire.hostName.start, hostCount: wire.hostName.count, path: wire.target.path,
          pathCount: wire.target.pathCount, method: wire.head.method, listener: UInt8(listener)))
      var opensByItself = false
      if case .route(let index) = match, snapshot.routes[Int(index)].socket != nil, wire.head.method == .get,
        !request.asksUpgrade
      {
        // Nobody writes the fields of a handshake by hand.
        request.addHandshake()
        wire = try request.wire(snapshot, at: row)
        opensByItself = true
      }
      show(wire, request, row, opensByItself, &page)
      let routing = ExplainRouting(sources: sources, wire: wire, listener: listener)
      guard case .route(let index) = match else {
        routing.explainNone(match, &page)
        routing.explainOthers(&page)
        return
      }
      routing.explain(Int(index), &page)
      routing.explainOthers(&page)
      ExplainExchange(
        sources: sources, wire: wire, request: request, route: snapshot.routes[Int(index)], listener: row,
        rehearsal: rehearsal
      ).explain(&page)
    } catch {
      show(request, row, &page)
      page.title("refused before any route is looked for")
      page.refusal(error.code, error.message)
    }
  }

  // MARK: The request

  /// The request as Edge has read it.
  private static func show(
    _ wire: WireRequest, _ request: ExplainedRequest, _ listener: Listener, _ opensByItself: Bool,
    _ page: inout ExplainPage
  ) {
    page.title("request")
    var rows = [
      ["method", wire.method.text],
      ["path", StaticBytes(start: wire.target.path, count: wire.target.pathCount).text],
    ]
    if let query = ExplainedQuery.shown(wire.target) { rows.append(["query", query]) }
    rows.append([
      "host", wire.host.text + (request.host == nil ? "  (the listener's: neither URL nor -H names one)" : ""),
    ])
    rows.append(["listener", "\(listener.name), \(listener.address.text)"])
    if !request.fields.isEmpty {
      let names = request.fields.map { $0.name.lowercased() }
      rows.append(["fields", names.joined(separator: ", ")])
    }
    if opensByItself { rows.append(["", "read as the opening of a WebSocket, with the fields of its handshake"]) }
    if let body = request.body {
      rows.append([wire.head.asksUpgrade ? "message" : "body", "\(body.count) bytes"])
    }
    page.rows(rows)
  }

  /// A request that Edge cannot read: what stands in it is not repeated.
  private static func show(_ request: ExplainedRequest, _ listener: Listener, _ page: inout ExplainPage) {
    page.title("request")
    page.rows([["method", request.method], ["listener", "\(listener.name), \(listener.address.text)"]])
  }
}

/// Where explanations come from: the snapshot, and the tree that says where its values stand.
struct ExplainSources {
  let snapshot: Snapshot
  let resolved: SectionFields
  let isDevelopment: Bool
  let arePlaceholders: Bool

  /// The fields of a named thing, such as a route.
  func fields(_ row: SchemaRow, _ name: String) -> SectionFields? {
    guard case .named(let entries) = resolved[row]?.value else { return nil }
    return entries.first { $0.name == name }?.fields
  }

  /// Where a named thing begins.
  func place(_ row: SchemaRow, _ name: String) -> String { fields(row, name)?.place.label ?? "" }

  /// Where a value comes from; empty: it has none.
  static func origin(_ fields: SectionFields?, _ row: SchemaRow) -> String {
    fields?[row].map { ResolvedPrinter.origin($0) } ?? ""
  }

  /// The section under a key.
  static func section(_ fields: SectionFields?, _ row: SchemaRow) -> SectionFields? {
    guard case .section(let inner) = fields?[row]?.value else { return nil }
    return inner
  }

  /// A row about a duration with its origin.
  static func time(_ label: String, _ fields: SectionFields?, _ row: SchemaRow) -> [String]? {
    guard let setting = fields?[row], case .integer(let milliseconds) = setting.value else { return nil }
    return ["\(label).\(row.key)", QuantityUnit.duration.text(milliseconds), ResolvedPrinter.origin(setting)]
  }

  /// Nobody knows with which secret tokens are signed.
  var isSecretOpen: Bool {
    guard arePlaceholders,
      case .list(let members) = ExplainSources.section(resolved, RootSection.auth)?[AuthSection.secret]?.value
    else { return false }
    return members.contains { member in
      switch member.origin {
      case .placeholder, .development: true
      case .file, .environment, .fallback: false
      }
    }
  }
}
