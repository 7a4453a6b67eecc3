// `edge reload`: has a running Edge read its configuration again, and says what changed, or every error with its place.
// Edge alone judges the files: its variables, secrets and rights decide, not those of who asks.
// Called by the command table. Never: changes anything but by asking Edge.

import Glibc

/// The verb.
enum ReloadCommand {
  static let row = CommandRow(
    verb: "reload", summary: "have a running Edge take its changed configuration, and tell what changed",
    options: [
      AdminTarget.config, AdminTarget.option,
      CommandOption("--timeout", value: "TIME", "how long Edge may take, such as 30s (default 60s, 1s to 10m)"),
    ]
  ) { arguments in
    guard let milliseconds = CommandDuration.read(arguments, "--timeout", 1_000...600_000, usual: 60_000, "reload")
    else { return ExitCode.usage }
    do throws(UsageError) { return reload(arguments, try AdminTarget.find(arguments), milliseconds) } catch {
      Console.error("edge reload: \(error.message)")
      return ExitCode.usage
    }
  }

  private static func reload(_ arguments: CommandArguments, _ target: AdminTarget, _ milliseconds: Int) -> Int32 {
    let client = AdminClient(target.place)
    let report = target.attempt("reload") { () throws(AdminFault) in
      try ReloadReading.read(client.ask("POST", "/reload", milliseconds: milliseconds))
    }
    guard let report else { return ExitCode.failed }
    // How many older ones still run is good to know and no reason to fail.
    let after = try? StatusReading.read(client.ask("GET", "/status", milliseconds: StatusCommand.milliseconds))
    let text = ReloadText(report, olderRunning: after?.olderRunning.count ?? 0)
    for line in text.complaints { Console.error(line) }
    for line in text.lines { Console.print(line) }
    return text.isDone ? ExitCode.success : ExitCode.failed
  }
}

/// A duration on a command line.
enum CommandDuration {
  /// Milliseconds; nil when the text is none, which was said then.
  static func read(
    _ arguments: CommandArguments, _ option: String, _ range: ClosedRange<Int>, usual: Int, _ verb: String
  ) -> Int? {
    guard let text = arguments.value(option) else { return usual }
    if case .integer(let milliseconds) = try? ValueType.duration(range).read(.literal(text)) { return milliseconds }
    Console.error(
      "edge \(verb): \(option) is a time from \(QuantityUnit.duration.text(range)), "
        + "not '\(TerminalText.shown(text))'")
    return nil
  }
}

/// What a reload did, in words for people.
struct ReloadText {
  /// For standard output.
  private(set) var lines: [String] = []
  /// For standard error: warnings, and why a reload failed.
  private(set) var complaints: [String] = []
  /// The configuration of the files serves.
  let isDone: Bool

  /// `olderRunning`: older generations that exchanges still run on.
  init(_ report: ReloadReading, olderRunning: Int = 0) {
    isDone = report.outcome == .reloaded || report.outcome == .unchanged
    complaints = report.warnings.map { TerminalText.shown($0, keepsLines: true) }
    switch report.outcome {
    case .reloaded:
      let words = "; \(TerminalText.count(olderRunning, "older generation")) still run\(olderRunning == 1 ? "s" : "")"
      let older = olderRunning == 0 ? "" : words
      lines.append("generation \(report.generation) serves (\(report.milliseconds) ms)\(older)")
      lines += ReloadText.changes(report)
    case .unchanged:
      lines.append("nothing has changed; generation \(report.generation) serves")
      lines += ReloadText.changes(report)
    case .failed, .refused:
      complaints += report.errors.map { TerminalText.shown($0, keepsLines: true) }
      if report.more > 0 { complaints.append("… \(TerminalText.count(report.more, "more error")) not shown") }
      let reason = TerminalText.shown(report.reason ?? "it did not say why")
      complaints.append("edge reload: generation \(report.generation) still serves: \(reason)")
    }
  }

  /// A line for each change, the kinds in the order of the table.
  static func changes(_ report: ReloadReading) -> [String] {
    let kinds = ["added", "removed", "changed", "restart"]
    let signs = ["+", "-", "~", "!"]
    var lines: [String] = []
    for (kind, sign) in zip(kinds, signs) {
      for change in report.changes where change.kind == kind {
        var line = "  \(sign) \(TerminalText.shown(change.path))"
        if change.before != nil || change.after != nil {
          let values = [change.before, change.after].map { $0.map { TerminalText.shown($0) } ?? "(none)" }
          line += ": \(values[0]) -> \(values[1])"
        }
        lines.append(kind == "restart" ? line + ", after a restart" : line)
      }
    }
    let others = report.changes.count - lines.count + report.more
    if others > 0 { lines.append("  … \(others) more") }
    return lines
  }
}
