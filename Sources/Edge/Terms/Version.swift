// Which Edge this is.

/// The version of this program, as `edge version` and `/health` say it (semver.org).
enum Version {
  static let text: StaticString = "0.1.0"
}
