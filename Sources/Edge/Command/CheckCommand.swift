// `edge check`: everything `edge run` would load is loaded and judged, and nothing is started.
// It prints what the loader found; it binds no address and reads no more than `edge run` would.

import Glibc

/// The verb.
enum CheckCommand {
  static let row = CommandRow(
    verb: "check", summary: "check the configuration without starting",
    options: [
      .config, .dev,
      CommandOption("--env", value: "placeholder", "let undefined variables and secret files stand for themselves"),
      CommandOption("--full", "print the configuration with every default and where each value comes from"),
      CommandOption("--print-schema", "print the JSON Schema of the configuration"),
      CommandOption("--print-reference", "print the reference of all keys as Markdown"),
    ]
  ) { arguments in
    if arguments.has("--print-schema") {
      Console.write(SchemaPrinter.jsonSchema())
      return ExitCode.success
    }
    if arguments.has("--print-reference") {
      Console.print(ReferencePrinter.markdown())
      return ExitCode.success
    }
    if let mode = arguments.value("--env"), mode != "placeholder" {
      Console.error("edge check: --env knows only 'placeholder', not '\(mode)'")
      return ExitCode.usage
    }
    return check(arguments)
  }

  private static func check(_ arguments: CommandArguments) -> Int32 {
    let options = LoadOptions(
      environment: Environment.current(), dev: arguments.has("--dev"), placeholders: arguments.has("--env"))
    let outcome = Loader.load(path: arguments.configPath, options: options)
    let policies = checkPolicies(outcome)
    for diagnosis in outcome.diagnoses + policies { Console.error(diagnosis.render()) }
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved, policies.isEmpty else {
      let errors = (outcome.diagnoses + policies).filter { $0.severity == .error }.count
      let dropped = outcome.errorsDropped
      let shown = dropped == 0 ? "" : " shown, \(dropped) more"
      Console.error("\(arguments.configPath): \(errors == 1 ? "1 error" : "\(errors) errors")\(shown)")
      return ExitCode.failed
    }
    if arguments.has("--full") {
      Console.print(ResolvedPrinter.text(resolved))
      return ExitCode.success
    }
    func count(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }
    Console.print(
      "\(arguments.configPath): ok: \(count(snapshot.listeners.count, "listener")), "
        + "\(count(snapshot.services.count, "service")), "
        + [(snapshot.providers.count, "provider"), (snapshot.models.count, "model")]
        .map { $0.0 == 0 ? "" : count($0.0, $0.1) + ", " }.joined() + "\(snapshot.policies.count) "
        + "\(snapshot.policies.count == 1 ? "policy" : "policies"), \(count(snapshot.routes.count, "route")) "
        + "in \(count(outcome.files.count, "file"))")
    return ExitCode.success
  }

  /// Runs what a start would run of the scripts.
  static func checkPolicies(_ outcome: LoadOutcome) -> [Diagnosis] {
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved, let keyValues = KeyValueStore()
    else { return [] }
    let tools = PolicyTools(snapshot, limits: RateLimits(), keyValues: keyValues, log: nil)
    return PolicyCheck.run(snapshot, resolved, tools)
  }
}

/// The process environment.
enum Environment {
  static func current() -> [String: String] {
    var values: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
      let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
      entry += 1
    }
    return values
  }
}
