// The command line: one row per verb. `edge --help` and the dispatch read the same rows; a verb's options stand in
// its own row, so that they can be neither forgotten in the help nor accepted without being named there.

import Glibc

/// What a process ends with.
enum ExitCode {
  static let success: Int32 = 0
  /// The command did what it should and the answer is no, or it could not be done.
  static let failed: Int32 = 1
  /// The command line itself is wrong.
  static let usage: Int32 = 2
}

/// An option of a verb.
struct CommandOption: Sendable {
  /// With its dashes, and with `=VALUES` or ` VALUE` behind it when it takes a value.
  let name: String
  /// The name of the value; nil for a switch.
  let value: String?
  let help: String

  init(_ name: String, value: String? = nil, _ help: String) {
    self.name = name
    self.value = value
    self.help = help
  }

  static let config = CommandOption("--config", value: "FILE", "the main configuration file (default routes.yaml)")
  static let dev = CommandOption("--dev", "development: loopback only, reads .env beside the main file")
}

/// A verb.
struct CommandRow: Sendable {
  let verb: String
  let summary: String
  let options: [CommandOption]
  let run: @Sendable (CommandArguments) -> Int32
}

/// The options that were given.
struct CommandArguments: Sendable {
  private let values: [String: String]

  init(values: [String: String] = [:]) { self.values = values }

  func has(_ option: String) -> Bool { values[option] != nil }
  func value(_ option: String) -> String? { values[option] }

  /// The main configuration file.
  var configPath: String { values["--config"] ?? "routes.yaml" }

  /// Reads `--name`, `--name=value` and `--name value`; the error says what is wrong.
  static func read(_ words: [String], _ row: CommandRow) throws(UsageError) -> CommandArguments {
    var values: [String: String] = [:]
    var place = 0
    while place < words.count {
      let parts = words[place].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      place += 1
      guard let option = row.options.first(where: { $0.name == parts[0] }) else {
        let near = Nearness.nearest(to: parts[0], among: row.options.map(\.name))
        throw UsageError(message: "unknown argument '\(parts[0])'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      }
      if values[option.name] != nil { throw UsageError(message: "\(option.name) is given twice") }
      guard option.value != nil else {
        if parts.count == 2 { throw UsageError(message: "\(option.name) takes no value") }
        values[option.name] = ""
        continue
      }
      if parts.count == 2 {
        values[option.name] = parts[1]
      } else if place < words.count {
        values[option.name] = words[place]
        place += 1
      } else {
        throw UsageError(message: "\(option.name) needs a value")
      }
    }
    return CommandArguments(values: values)
  }
}

/// A command line that cannot be understood.
struct UsageError: Error {
  let message: String
}

/// All verbs.
enum CommandTable {
  static let rows: [CommandRow] = [
    RunCommand.row, CheckCommand.row, TestCommand.row, TokenCommand.row, DemoProviderCommand.row, VersionCommand.row,
  ]

  /// Runs a command line without the program's name; returns the exit code.
  static func run(_ words: [String]) -> Int32 {
    guard let verb = words.first else {
      Console.error(overview)
      return ExitCode.usage
    }
    if verb == "--help" || verb == "-h" || verb == "help" {
      Console.print(overview)
      return ExitCode.success
    }
    if verb == "--version" { return VersionCommand.row.run(CommandArguments()) }
    guard let row = rows.first(where: { $0.verb == verb }) else {
      let near = Nearness.nearest(to: verb, among: rows.map(\.verb))
      Console.error("edge: unknown command '\(verb)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      Console.error("edge: 'edge --help' lists the commands")
      return ExitCode.usage
    }
    let rest = Array(words.dropFirst())
    if rest.contains("--help") || rest.contains("-h") {
      Console.print(help(row))
      return ExitCode.success
    }
    do {
      return row.run(try CommandArguments.read(rest, row))
    } catch {
      Console.error("edge \(verb): \(error.message)")
      Console.error("edge \(verb): 'edge \(verb) --help' lists the options")
      return ExitCode.usage
    }
  }

  private static var overview: String {
    let width = rows.map(\.verb.count).max() ?? 0
    let verbs = rows.map { "  " + padded($0.verb, width) + "  " + $0.summary }
    return """
      edge: the front door of an AI platform

      usage: edge COMMAND [OPTIONS]

      \(verbs.joined(separator: "\n"))

      'edge COMMAND --help' lists a command's options.
      Exit codes: 0 success, 1 failed, 2 wrong usage.
      """
  }

  private static func help(_ row: CommandRow) -> String {
    let names = row.options.map { option in option.value.map { "\(option.name) \($0)" } ?? option.name }
    let width = names.map(\.count).max() ?? 0
    let options = zip(names, row.options).map { "  " + padded($0, width) + "  " + $1.help }
    let title = "edge \(row.verb): \(row.summary)\n\nusage: edge \(row.verb)" + (options.isEmpty ? "" : " [OPTIONS]")
    return options.isEmpty ? title : title + "\n\n" + options.joined(separator: "\n")
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}

/// Text for people: answers on standard output, complaints on standard error.
enum Console {
  static func print(_ text: String) { write(1, text + "\n") }
  static func error(_ text: String) { write(2, text + "\n") }

  private static func write(_ descriptor: Int32, _ text: String) {
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 { sent += count } else if errno != EINTR { return }
    }
  }
}
