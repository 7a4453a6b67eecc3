// The command line: one row per verb. `edge --help` and the dispatch read the same rows; a verb's operands and options
// stand in its own row, so that they can be neither forgotten in the help nor accepted without being named there.

import Glibc
import Synchronization

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
  /// It may be given several times.
  let isRepeatable: Bool
  let help: String

  init(_ name: String, value: String? = nil, isRepeatable: Bool = false, _ help: String) {
    self.name = name
    self.value = value
    self.isRepeatable = isRepeatable
    self.help = help
  }

  /// A dash and one letter: the value may follow at once.
  var isLetter: Bool { name.utf8.count == 2 }

  static let config = CommandOption("--config", value: "FILE", "the main configuration file (default routes.yaml)")
  static let dev = CommandOption("--dev", "development: loopback only, reads .env beside the main file")
}

/// A verb.
struct CommandRow: Sendable {
  let verb: String
  let summary: String
  /// The names of the words that must stand behind the verb, in their order.
  let operands: [String]
  let options: [CommandOption]
  let run: @Sendable (CommandArguments) -> Int32

  init(
    verb: String, summary: String, operands: [String] = [], options: [CommandOption],
    run: @escaping @Sendable (CommandArguments) -> Int32
  ) {
    self.verb = verb
    self.summary = summary
    self.operands = operands
    self.options = options
    self.run = run
  }

  /// How it is called.
  var usage: String {
    (["edge", verb] + operands + (options.isEmpty ? [] : ["[OPTIONS]"])).joined(separator: " ")
  }
}

/// The operands and options that were given.
struct CommandArguments: Sendable {
  /// As many as the row has.
  let operands: [String]
  private let values: [String: [String]]

  init(operands: [String] = [], values: [String: [String]] = [:]) {
    self.operands = operands
    self.values = values
  }

  func has(_ option: String) -> Bool { values[option] != nil }
  func value(_ option: String) -> String? { values[option]?.first }
  /// In the order in which they were given.
  func values(_ option: String) -> [String] { values[option] ?? [] }

  /// The main configuration file.
  var configPath: String { value("--config") ?? "routes.yaml" }

  /// Reads operands, `--name`, `--name=value`, `--name value`, `-n value` and `-nvalue`; the error says what is wrong.
  static func read(_ words: [String], _ row: CommandRow) throws(UsageError) -> CommandArguments {
    var values: [String: [String]] = [:]
    var operands: [String] = []
    var place = 0
    while place < words.count {
      let word = words[place]
      place += 1
      if !word.hasPrefix("-"), operands.count < row.operands.count {
        operands.append(word)
        continue
      }
      let (option, attached) = try find(word, row)
      if values[option.name] != nil, !option.isRepeatable {
        throw UsageError(message: "\(option.name) is given twice")
      }
      guard option.value != nil else {
        if attached != nil { throw UsageError(message: "\(option.name) takes no value") }
        values[option.name] = [""]
        continue
      }
      if let attached {
        values[option.name, default: []].append(attached)
      } else if place < words.count {
        values[option.name, default: []].append(words[place])
        place += 1
      } else {
        throw UsageError(message: "\(option.name) needs a value")
      }
    }
    if operands.count < row.operands.count {
      throw UsageError(message: "\(row.operands[operands.count]) is missing; usage: \(row.usage)")
    }
    return CommandArguments(operands: operands, values: values)
  }

  /// The option of a word, with the value that stands in the same word.
  private static func find(_ word: String, _ row: CommandRow) throws(UsageError) -> (CommandOption, String?) {
    if let option = row.options.first(where: { $0.isLetter && word.hasPrefix($0.name) }) {
      return (option, word == option.name ? nil : String(word.dropFirst(option.name.count)))
    }
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    if let option = row.options.first(where: { $0.name == parts[0] }) {
      return (option, parts.count == 2 ? parts[1] : nil)
    }
    // What stands where an operand would may be anything, a secret too, and is not repeated.
    if !word.hasPrefix("-"), !row.operands.isEmpty {
      throw UsageError(message: "too many arguments; usage: \(row.usage)")
    }
    let near = Nearness.nearest(to: parts[0], among: row.options.map(\.name))
    throw UsageError(message: "unknown argument '\(parts[0])'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
  }
}

/// A command line that cannot be understood.
struct UsageError: Error {
  let message: String
}

/// All verbs.
enum CommandTable {
  static let rows: [CommandRow] = [
    RunCommand.row, CheckCommand.row, ExplainCommand.row, ReloadCommand.row, StatusCommand.row, TopCommand.row,
    TestCommand.row, TokenCommand.row, DemoProviderCommand.row, VersionCommand.row,
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
    let names = row.options.map { option in
      (option.value.map { "\(option.name) \($0)" } ?? option.name) + (option.isRepeatable ? " …" : "")
    }
    let width = names.map(\.count).max() ?? 0
    let options = zip(names, row.options).map { "  " + padded($0, width) + "  " + $1.help }
    let title = "edge \(row.verb): \(row.summary)\n\nusage: \(row.usage)"
    return options.isEmpty ? title : title + "\n\n" + options.joined(separator: "\n")
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}

/// Text for people: answers on standard output, complaints on standard error.
enum Console {
  private static let lostAnswer = Atomic(false)

  /// The code with which a process ends: an answer that was not written has failed.
  static func exitCode(_ code: Int32) -> Int32 {
    code == ExitCode.success && lostAnswer.load(ordering: .relaxed) ? ExitCode.failed : code
  }

  static func print(_ text: String) { write(1, text + "\n") }
  static func error(_ text: String) { write(2, text + "\n") }

  /// To standard output as it stands, without a line end.
  static func write(_ text: String) { write(1, text) }

  private static func write(_ descriptor: Int32, _ text: String) {
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        sent += count
      } else if errno != EINTR {
        let reason = String(cString: strerror(errno))
        if descriptor == 1, !lostAnswer.exchange(true, ordering: .relaxed) {
          error("edge: standard output cannot be written: \(reason)")
        }
        return
      }
    }
  }
}
