// Which Edge this is.
// Said by `edge version`, by `/health` and by the log's first line.

/// The version of this program, as `edge version` and `/health` say it (semver.org).
enum Version {
  static let text: StaticString = "0.1.0"
}
