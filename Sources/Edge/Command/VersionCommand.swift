// `edge version`: which Edge this is.
// The number itself stands in Terms, where `/health` finds it too.

/// The verb.
enum VersionCommand {
  static let row = CommandRow(verb: "version", summary: "print the version", options: []) { _ in
    Console.print("edge \(Version.text)")
    return ExitCode.success
  }
}
