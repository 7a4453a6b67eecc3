// The tables of the house: floors, modules, limits, banned words, and the exceptions with their reasons.
//
// A rule is changed here, where everyone can see it, not in the code that applies it.

enum House {
  // MARK: floors

  /// The folders of Sources/Edge from the ground up. A file names declarations of its own folder or of a lower floor;
  /// folders of one floor do not name each other. Files directly in Sources/Edge stand on the top floor.
  static let floors: [[String]] = [
    ["Base"], ["Terms"], ["Telemetry"], ["Loop"], ["Wire"], ["Config"], ["Store"],
    ["Route", "Upstream", "Dialect", "Metering", "Identity"], ["Policy"], ["Exchange"], ["Downstream"],
    ["MCP", "Video"], ["Worker"], ["Admin", "Demo"], ["Command"],
  ]

  /// Nested names that the standard library's protocols give to everyone; naming one is not naming ours.
  static let commonNames: Set<String> = [
    "Element", "Index", "Indices", "Iterator", "SubSequence", "RawValue", "Failure", "Stride", "Words", "Magnitude",
    "ArrayLiteralElement", "IntegerLiteralType", "StringLiteralType", "BooleanLiteralType", "Scalar", "Body",
  ]

  // MARK: modules

  /// Every module that Sources may import, and below which paths. What has no row is refused.
  static let modules: [String: [String]] = [
    "Glibc": ["Sources/"],
    "Synchronization": ["Sources/Edge/"],
    "CLinux": ["Sources/Edge/", "Sources/LuaBridge/"],
    "CYAML": ["Sources/YAML/"],
    "CLua": ["Sources/LuaBridge/"],
    "COpenSSL": ["Sources/Edge/"],
    "CZlib": ["Sources/Edge/Wire/"],
    "CHiredis": ["Sources/Edge/Store/"],
    "CSQLite": ["Sources/Edge/Store/"],
    "CPostgres": ["Sources/Edge/Store/"],
    "YAML": ["Sources/Edge/Config/"],
    "LuaBridge": ["Sources/Edge/Policy/", "Sources/Edge/Worker/", "Sources/Edge/Command/"],
    "Edge": ["Sources/EdgeMain/"],
  ]

  /// Refused everywhere, with the reason.
  static let refusedModules = ["XC" + "Test": "the test run counts Swift Testing only"]

  // MARK: sizes

  static let fileLines = 600
  static let functionLines = 70
  static let columns = 120
  static let fileBytes = 1 << 20
  static let headerLines = 2...20

  /// Endings of the project's own code, beside Swift, that the sizes hold for.
  static let sizedEndings: Set<String> = ["swift", "lua", "py", "sh", "c", "h"]

  // MARK: banned

  /// Parts of declared and file names that say nothing about what a thing owns.
  static let emptyWords: Set<String> = ["manager", "managers", "helper", "helpers", "util", "utils"]

  static let traps: Set<String> = ["fatalError", "preconditionFailure"]

  static let printers: Set<String> = ["print", "debugPrint", "dump"]
  /// Where printing is the work.
  static let printing = ["Sources/Edge/Command/"]

  /// Members that the standard library documents for everyone who conforms.
  static let wellKnownMembers: Set<String> = ["==", "<", "hash", "description", "debugDescription"]

  /// Marks of unfinished work; spelled in halves so that this table does not match itself.
  static let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]

  /// Package registries: a build that names one cannot be mirrored. Spelled in halves too.
  static let registries = [
    "deb.debian" + ".org", "security.debian" + ".org", "snapshot.debian" + ".org", "pypi" + ".org",
    "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "crates" + ".io", "golang" + ".org",
    "rubygems" + ".org", "docker" + ".io", "ghcr" + ".io", "quay" + ".io", "maven" + ".org", "launchpad" + ".net",
  ]

  /// Folders that exist on one machine only.
  static let machineFolders = ["wo" + "rk", "ro" + "ot", "ho" + "me"]

  /// Files kept byte for byte as others wrote them, or whose bytes are what is tested; only their size is checked.
  static let verbatim = [
    "LICENSE", "Tests/Config/broken/", "Tests/Golden/", "Tests/Acceptance/seeds/", "Tests/Fuzz/Corpus/",
    "Tests/Vectors/",
  ]

  // MARK: exceptions

  /// What may stay although a rule names it.
  struct Exception: Sendable {
    var rule: String
    var path: String
    /// Part of the finding's message.
    var about: String
    var reason: String

    func covers(_ finding: Finding) -> Bool {
      finding.rule == rule && finding.path == path && finding.message.contains(about)
    }
  }

  /// A row that covers nothing any more is itself a finding.
  static let exceptions: [Exception] = []
}
