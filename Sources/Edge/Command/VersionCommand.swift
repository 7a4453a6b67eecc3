// `edge version`: which Edge this is.

/// The verb.
enum VersionCommand {
  static let row = CommandRow(verb: "version", summary: "print the version", options: []) { _ in
    Console.print("edge \(Version.text)")
    return ExitCode.success
  }
}
