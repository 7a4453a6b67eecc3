// `edge status`: what a running Edge is doing, on one page.
// Called by the command table. Never: changes anything.

import Glibc

/// The verb.
enum StatusCommand {
  /// How long Edge may take to say how it is.
  static let milliseconds = 5_000

  static let row = CommandRow(
    verb: "status", summary: "tell what a running Edge is doing",
    options: [
      AdminTarget.config, AdminTarget.option,
      CommandOption("--json", "print the answer of the admin socket as it came"),
    ]
  ) { arguments in
    do throws(UsageError) { return tell(try AdminTarget.find(arguments), asJSON: arguments.has("--json")) } catch {
      Console.error("edge status: \(error.message)")
      return ExitCode.usage
    }
  }

  private static func tell(_ target: AdminTarget, asJSON: Bool) -> Int32 {
    let client = AdminClient(target.place)
    let text = target.attempt("status") { () throws(AdminFault) in
      let answer = try client.ask("GET", "/status", milliseconds: milliseconds)
      // An Edge of another version may be asked for its bytes, too.
      if asJSON { return try StatusReading.text(of: answer) }
      return StatusText.lines(try StatusReading.read(answer)).joined(separator: "\n")
    }
    guard let text else { return ExitCode.failed }
    Console.print(text)
    return ExitCode.success
  }
}

/// A status in words for people.
enum StatusText {
  /// What must catch the eye first, then two columns.
  static func lines(_ status: StatusReading) -> [String] {
    var rows: [(label: String, text: String)] = []
    func row(_ label: String, _ text: String) { rows.append((label, TerminalText.shown(text))) }
    row(
      "edge", "\(status.version), pid \(status.pid), \(TerminalText.count(status.workers, "worker")), \(status.state)")
    row("since", "\(status.started) (\(words(seconds: status.uptime)))")
    row("configuration", status.config + (status.isDevelopment ? " (development)" : ""))
    for (index, text) in listeners(status).enumerated() { row(index == 0 ? "listeners" : "", text) }
    for (index, text) in generations(status).enumerated() { row(index == 0 ? "generation" : "", text) }
    let users = TerminalText.count(status.users, "user")
    row("connections", "\(status.connections), \(TerminalText.count(status.webSockets, "WebSocket")) of \(users)")
    row("exchanges", "\(status.running) running, \(status.total) in all")
    row("CPU", "\(decimal(status.cpuSeconds, 1)) s")
    row(
      "memory",
      "\(bytes(status.residentBytes)), bodies \(bytes(status.bodyBytes)) of \(bytes(status.bodyBytesMax))")
    row("descriptors", "\(status.descriptorsOpen) of \(status.descriptorsMax)")
    row("ledger", status.isLedgerFailing ? "FAILING, \(waiting(status))" : waiting(status))
    row("credits", "\(plain(status.creditsCharged)) charged")
    row("reloads", status.reloads.map { "\($0.count) \($0.outcome)" }.joined(separator: ", "))
    if let reload = status.reload { row("last reload", summary(reload)) }
    let width = (rows.map(\.label.count).max() ?? 0) + 2
    var lines = warnings(status).map { "! \($0)" }
    lines += rows.map { TerminalText.padded($0.label, width) + $0.text }
    lines += details(status, indent: String(repeating: " ", count: width))
    return lines
  }

  /// What an operator should act on.
  static func warnings(_ status: StatusReading) -> [String] {
    var warnings: [String] = []
    if status.isLedgerFailing {
      warnings.append("the ledger cannot be written, so nothing that costs is granted; \(waiting(status))")
    }
    if status.isDraining { warnings.append("draining: Edge is stopping and takes no new connections") }
    if let reload = status.reload, reload.outcome == .failed || reload.outcome == .refused {
      let reason = reload.reason.map { ": \(TerminalText.shown($0))" } ?? ""
      warnings.append(
        "the last reload \(reload.outcome == .failed ? "failed" : "was refused"); "
          + "generation \(status.generation) still serves\(reason)")
    }
    return warnings
  }

  private static func waiting(_ status: StatusReading) -> String {
    status.ledgerQueue == 1 ? "1 entry waits" : "\(status.ledgerQueue) entries wait"
  }

  private static func listeners(_ status: StatusReading) -> [String] {
    let names = status.listeners.map { TerminalText.width(TerminalText.shown($0.name)) }.max() ?? 0
    let addresses = status.listeners.map { TerminalText.width(TerminalText.shown($0.address)) }.max() ?? 0
    if status.listeners.isEmpty { return ["none"] }
    return status.listeners.map {
      TerminalText.padded(TerminalText.shown($0.name), names) + "  "
        + TerminalText.padded(TerminalText.shown($0.address), addresses) + "  " + $0.serves
        + ($0.isSecure ? " (TLS)" : "")
    }
  }

  /// The one that serves first.
  private static func generations(_ status: StatusReading) -> [String] {
    let width = status.generations.map { "\($0.number)".count }.max() ?? 0
    if status.generations.isEmpty { return ["\(status.generation)"] }
    return status.generations.reversed().map { generation in
      let isOld = generation.number != status.generation
      return TerminalText.padded("\(generation.number)", width)
        + "  since \(generation.since), \(generation.running) running\(isOld ? " (old)" : "")"
    }
  }

  private static func summary(_ reload: ReloadReading) -> String {
    "\(reload.outcome.rawValue) at \(reload.time) (\(reload.milliseconds) ms)"
  }

  /// Errors, warnings and changes of the last reload, and what waits for a restart.
  private static func details(_ status: StatusReading, indent: String) -> [String] {
    var lines: [String] = []
    func add(_ text: String) {
      for line in text.split(separator: "\n", omittingEmptySubsequences: false) { lines.append(indent + line) }
    }
    if let reload = status.reload {
      for error in reload.errors + reload.warnings { add(TerminalText.shown(error, keepsLines: true)) }
      if !reload.errors.isEmpty, reload.more > 0 { add("… \(reload.more) more") }
      // Those that wait for a restart stand below, whichever reload brought them.
      var now = reload
      now.changes.removeAll { $0.kind == "restart" }
      if reload.outcome == .reloaded { for line in ReloadText.changes(now) { add(String(line.dropFirst(2))) } }
    }
    for (index, key) in status.restart.enumerated() {
      let label = index == 0 ? "restart" : ""
      lines.append(TerminalText.padded(label, indent.count) + "\(TerminalText.shown(key)) differs, after a restart")
    }
    return lines
  }

  // MARK: Numbers

  /// The two largest units: `2 days 3 hours`.
  static func words(seconds: Int) -> String {
    let seconds = max(0, seconds)
    let parts = [
      (seconds / 86_400, "day"), (seconds / 3_600 % 24, "hour"), (seconds / 60 % 60, "minute"),
      (seconds % 60, "second"),
    ]
    guard let first = parts.firstIndex(where: { $0.0 > 0 }) else { return "0 seconds" }
    return parts[first...].prefix(2).filter { $0.0 > 0 }.map { TerminalText.count($0.0, $0.1) }.joined(separator: " ")
  }

  /// With the largest unit of which there is at least one.
  static func bytes(_ bytes: Int) -> String { self.bytes(Double(bytes)) }

  static func bytes(_ bytes: Double) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = bytes
    var unit = 0
    while value >= 1_024, unit < units.count - 1 {
      value /= 1_024
      unit += 1
    }
    return "\(decimal(value, unit == 0 || value >= 100 ? 0 : 1)) \(units[unit])"
  }

  /// Rounded to so many places, without zeros at the end.
  static func decimal(_ value: Double, _ places: Int) -> String {
    let factor = (0..<places).reduce(1.0) { product, _ in product * 10 }
    guard value.magnitude * factor < 9e18 else { return value.isNaN ? "-" : "\(value)" }
    let scaled = Int64((value.magnitude * factor).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    let whole = "\(scaled / Int64(factor))"
    var rest = String("\(Int64(factor) + scaled % Int64(factor))".dropFirst())
    while rest.hasSuffix("0") { rest.removeLast() }
    return sign + whole + (rest.isEmpty ? "" : ".\(rest)")
  }

  /// A number of credits.
  static func plain(_ credits: Double) -> String { decimal(credits, 6) }
}
