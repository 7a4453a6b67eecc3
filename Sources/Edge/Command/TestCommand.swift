// `edge test`: runs the tests of policies and of the route table. The configuration is loaded as `check` loads it, so
// that scripts and routes are those that would be served; nothing is started and no secret is needed.
// Called by the command table.

import Glibc

/// The verb.
enum TestCommand {
  static let row = CommandRow(
    verb: "test", summary: "run the tests of policies and of the route table",
    options: [
      .config, .dev,
      CommandOption("--env", value: "placeholder", "let undefined variables and secret files stand for themselves"),
      CommandOption("--filter", value: "WORDS", "only tests whose file and name hold all of these words"),
    ]
  ) { arguments in
    if let mode = arguments.value("--env"), mode != "placeholder" {
      Console.error("edge test: --env knows only 'placeholder', not '\(mode)'")
      return ExitCode.usage
    }
    var environment = Environment.current()
    // Tests sign their tokens with a secret of their own.
    if environment[AuthSection.variable]?.isEmpty ?? true {
      environment[AuthSection.variable] = String(repeating: "-", count: SecretText.bytesMin)
    }
    let options = LoadOptions(
      environment: environment, dev: arguments.has("--dev"), placeholders: arguments.has("--env"))
    let outcome = Loader.load(path: arguments.configPath, options: options)
    for diagnosis in outcome.diagnoses where diagnosis.severity == .error { Console.error(diagnosis.render()) }
    guard let snapshot = outcome.snapshot else {
      Console.error("edge test: \(arguments.configPath) has errors; nothing was run")
      return ExitCode.failed
    }
    do throws(TestFault) { return try run(snapshot, arguments) } catch {
      Console.error("edge test: \(error.text)")
      return ExitCode.failed
    }
  }

  private static func run(_ snapshot: Snapshot, _ arguments: CommandArguments) throws(TestFault) -> Int32 {
    let filter = TestFilter(arguments.value("--filter"))
    let policies = PolicyTests(snapshot: snapshot, filter: filter)
    var reports = try policies.run()
    let path = FilePath.join(ConfigFile.folder(of: arguments.configPath), RouteTestFile.name)
    do throws(FileFault) {
      if let file = try RouteTestFile.read(path, for: snapshot) {
        let report = RouteTests(snapshot: snapshot, filter: filter).run(file)
        if report.passed > 0 || !report.failures.isEmpty { reports.append(report) }
      }
    } catch { throw TestFault(text: "'\(path)' cannot be read: \(error.reason)") }
    for report in reports {
      for failure in report.failures { Console.print(failure) }
      let failed = report.failures.isEmpty ? "" : ", \(report.failures.count) failed"
      Console.print("\(report.path): \(report.passed) passed\(failed)")
    }
    let passed = reports.reduce(0) { $0 + $1.passed }
    let failed = reports.reduce(0) { $0 + $1.failures.count }
    if passed + failed == 0 {
      let words = arguments.value("--filter").map { " whose file and name hold '\($0)'" } ?? ""
      Console.error("edge test: no tests\(words) in \(policies.folder)/*\(PolicyTests.ending) and \(path)")
      return ExitCode.failed
    }
    Console.print("\(passed) passed, \(failed) failed")
    return failed == 0 ? ExitCode.success : ExitCode.failed
  }
}
