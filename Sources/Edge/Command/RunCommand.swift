// `edge run`: loads the configuration and serves until SIGTERM. Everything that lasts stands in the control thread.
// Called by the command table.

import Glibc

/// The verb.
enum RunCommand {
  static let row = CommandRow(
    verb: "run", summary: "serve until SIGTERM; SIGHUP reloads the configuration", options: [.config, .dev]
  ) { arguments in
    // First of all: what the spawner inherits is what this process has now.
    guard let spawner = Spawner.start() else { return refuse("no process or descriptors for the spawner") }
    // Before any thread exists. A signal that comes while the configuration is read is not lost.
    guard let signals = SignalSource() else { return refuse("out of file descriptors") }
    let isDevelopment = arguments.has("--dev")
    let demo: DemoProvider?
    do throws(DemoError) {
      demo = isDevelopment ? try DemoProvider(port: 0) : nil
      try demo?.start()
    } catch { return refuse(error.message) }
    defer { demo?.end() }
    let options = LoadOptions(
      environment: Environment.current(), dev: isDevelopment, mayWrite: true, demo: demo?.address)
    let outcome = Loader.load(path: arguments.configPath, options: options)
    for diagnosis in outcome.diagnoses where outcome.hasErrors || diagnosis.severity != .note {
      Console.error(diagnosis.render())
    }
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved else {
      return refuse("\(arguments.configPath) has errors")
    }
    do throws(StartError) {
      let settings = ControlSettings(
        path: arguments.configPath, options: options, builtins: AdminTable.builtins,
        warnings: outcome.diagnoses.filter { $0.severity == .warning }.map { $0.render() })
      let control = try ControlThread(settings, snapshot, resolved: resolved, spawner: spawner)
      try control.run(signals: signals) {
        if isDevelopment { Console.error(greeting(control.newest)) }
      }
      return ExitCode.success
    } catch {
      for diagnosis in error.diagnoses { Console.error(diagnosis.render()) }
      return refuse(error.message)
    }
  }

  private static func refuse(_ reason: String) -> Int32 {
    Console.error("edge run: not started: \(reason)")
    return ExitCode.failed
  }

  /// Commands that some of these routes answers, which are those of the listener with this address.
  private static func examples(_ plan: GenerationPlan, _ routes: [Route], _ address: String) -> [String] {
    var lines: [String] = []
    if let path = routes.first(where: { $0.target == .builtin(.health) })?.paths.first {
      lines.append("curl \(address)\(path.text)")
    }
    guard DevelopmentToken.maySign(plan.resolved), let token = DevelopmentToken().signed(plan.snapshot.auth)
    else { return lines }
    if routes.contains(where: { $0.paths.contains { $0.text == "/api/whoami" } }) {
      lines.append("curl -H 'authorization: Bearer \(token)' \(address)/api/whoami")
    }
    return lines + modelExamples(plan.snapshot, routes, address, token)
  }

  /// How models are asked: by curl, and by the clients of each dialect that has a route.
  private static func modelExamples(
    _ snapshot: Snapshot, _ routes: [Route], _ address: String, _ token: String
  ) -> [String] {
    let messages = "[{\"role\": \"user\", \"content\": \"Hello\"}]"
    var lines: [String] = []
    if let (path, model) = example(.openAIChat, snapshot, routes) {
      lines.append(
        "curl \(address)\(path) -H 'authorization: Bearer \(token)' -H 'content-type: application/json' "
          + "-d '{\"model\": \"\(model)\", \"messages\": \(messages)}'")
      lines.append(
        client(
          "openai.OpenAI(base_url=\"\(address)/v1\", api_key=\"\(token)\")",
          prints: "part.choices[0].delta.content or \"\"",
          asks: "client.chat.completions.create(model=\"\(model)\", messages=\(messages), stream=True)",
          when: "part.choices"))
    }
    if let (_, model) = example(.anthropicMessages, snapshot, routes) {
      lines.append(
        client(
          "anthropic.Anthropic(base_url=\"\(address)\", api_key=\"\(token)\")", prints: "part.delta.text",
          asks: "client.messages.create(model=\"\(model)\", max_tokens=256, messages=\(messages), stream=True)",
          when: "part.type == \"content_block_delta\""))
    }
    if let (path, model) = example(.platformV1, snapshot, routes) {
      lines.append(socketClient("ws" + address.dropFirst("http".count) + path, token, model, messages))
    }
    return lines
  }

  /// The path of a dialect's route, and a model to ask there: one of a provider that speaks the dialect, if there is.
  private static func example(
    _ dialect: DialectName, _ snapshot: Snapshot, _ routes: [Route]
  ) -> (path: String, model: String)? {
    let path = (dialect == .platformV1 ? "" : "/v1") + "\(Dialect.path(dialect))"
    let serves = routes.contains { route in
      route.target == .models(dialect) && route.paths.contains { $0.text == path }
    }
    let offered = snapshot.models.filter { !$0.providers.isEmpty }
    let own = offered.first { $0.providers.contains { snapshot.providers[$0].dialect == dialect } }
    guard serves, let model = own ?? offered.first else { return nil }
    return (path, model.name)
  }

  /// A line that prints a streamed answer with a Python client.
  private static func client(_ made: String, prints: String, asks: String, when: String) -> String {
    let module = made.prefix { $0 != "." }
    return ".venv/bin/python -c 'import \(module); client = \(made); "
      + "[print(\(prints), end=\"\", flush=True) for part in \(asks) if \(when)]; print()'"
  }

  /// A line that prints the chunks of an answer on a WebSocket as they come, then the message that ends it: what it
  /// cost, or what went wrong. Python takes no `with` behind another statement in a line.
  private static func socketClient(_ url: String, _ token: String, _ model: String, _ messages: String) -> String {
    let request =
      "{\"id\": \"1\", \"type\": \"chat\", \"model\": \"\(model)\", \"messages\": \(messages), \"stream\": True}"
    return ".venv/bin/python -c 'import json, websockets.sync.client as client; "
      + "ws = client.connect(\"\(url)\", additional_headers={\"authorization\": \"Bearer \(token)\"}).__enter__(); "
      + "ws.send(json.dumps(\(request))); "
      + "any(print(part.get(\"data\", f\"\\n{part}\"), end=\"\", flush=True) or part[\"type\"] != \"chunk\" "
      + "for part in map(json.loads, ws)); print(); ws.close()'"
  }

  /// What a newcomer reads; on standard error, so that standard output is log lines only.
  private static func greeting(_ generation: Generation) -> String {
    let clients = generation.plan.listeners.filter { $0.serves != .admin }
    let addresses = clients.map { "\($0.isSecure ? "https" : "http")://\($0.socket.address)" }
    var lines = ["", "Edge \(Version.text) serves \(addresses.joined(separator: ", ")) (development)", ""]
    let (snapshot, listeners) = (generation.plan.snapshot, generation.plan.listeners)
    // The one that routes are on which name none; where there is no such, routes name the first.
    let places = listeners.indices.filter { listeners[$0].serves != .admin }
    if let place = places.first(where: { !snapshot.listeners[$0].isOnlyNamed }) ?? places.first {
      let routes = snapshot.routes.filter { $0.hosts.isEmpty && $0.listeners.contains(place) }
      let scheme = listeners[place].isSecure ? "https" : "http"
      let commands = examples(generation.plan, routes, "\(scheme)://\(listeners[place].socket.address)")
      for (index, command) in commands.enumerated() { lines.append((index == 0 ? "  try    " : "         ") + command) }
    }
    if !DevelopmentToken.maySign(generation.plan.resolved) {
      lines.append(
        "  token  a secret is configured (JWT_SECRET, or auth.secret), so whoever has it signs the tokens; unset")
      lines.append("         it for development, and Edge makes one of its own and shows more commands here")
    }
    lines.append("  routes \(snapshot.routes.map(\.name).joined(separator: ", "))")
    lines.append("  stop   Ctrl-C")
    return lines.joined(separator: "\n") + "\n"
  }
}
