// From a path to a snapshot: the one way a configuration comes in.
//
// Owns: the order of steps (environment, main file, includes, merge, defaults, checks, certificates, scripts, secret,
// decode).
// Called by: commands, at start and at reload, off the loops.
// Never: reads the environment of the process by itself, prints, or leaves anything half loaded: there is a snapshot
// only when there is no error.

import YAML

/// What a load depends on besides the files.
struct LoadOptions: Sendable {
  /// Environment variables.
  var environment: [String: String]
  /// `--dev`: reads `.env` beside the main file and wants loopback listeners.
  var dev: Bool
  /// `--env=placeholder`: undefined references become placeholders instead of errors. The snapshot is for checking
  /// only.
  var placeholders: Bool
  /// Whether `--dev` may make the secret of development. Where it may not and there is none, the snapshot has one that
  /// is kept nowhere: it is for checking only.
  var mayWrite: Bool
  /// Where the demo provider listens; a load for checking needs none. Means nothing without `dev`.
  var demo: HostPort?

  /// Options; by default an empty environment and nothing special.
  init(
    environment: [String: String] = [:], dev: Bool = false, placeholders: Bool = false, mayWrite: Bool = false,
    demo: HostPort? = nil
  ) {
    self.environment = environment
    self.dev = dev
    self.placeholders = placeholders
    self.mayWrite = mayWrite
    self.demo = demo
  }
}

/// A file that took part.
struct LoadedFile: Sendable, Equatable {
  /// The path as messages show it.
  let path: String
  /// Its size in bytes.
  let byteCount: Int
  /// Over its bytes, see ContentHash.
  let contentHash: UInt64
}

/// Everything a load found out.
struct LoadOutcome: Sendable {
  /// nil when there is an error.
  let snapshot: Snapshot?
  /// The tree with every default in place, for `check --full`; nil when there is an error.
  let resolved: SectionFields?
  /// The folder of state; known in spite of errors elsewhere, and nil when the files cannot be read so far.
  let varFolder: String?
  /// Sorted by file and place.
  let diagnoses: [Diagnosis]
  /// Errors that were found beyond those.
  let errorsDropped: Int
  /// In the order they were read.
  let files: [LoadedFile]

  /// True when nothing was loaded.
  var hasErrors: Bool { diagnoses.contains { $0.severity == .error } }

  /// Every finding as text, each ending in a line end; empty when there is none.
  var report: String { diagnoses.map { $0.render() + "\n" }.joined() }
}

/// Loads configurations.
struct Loader {
  /// Largest configuration file, in bytes.
  static let fileBytesMax = 1 << 20
  /// Most included files.
  static let filesMax = 256
  /// Where nothing listens: stands for the demo provider in a load for checking.
  private static let noDemo = HostPort(host: "127.0.0.1", port: 1)

  private let mainPath: String
  private let folder: String
  private let options: LoadOptions
  private var diagnoses = DiagnosisList()
  private var references: ReferenceResolver
  private var files: [LoadedFile] = []
  private var readPaths: Set<String> = []
  private var trust: TrustReader
  private var certificates: CertificateReader
  private var scripts: ScriptReader
  private var varFolder: String?
  /// False when a file could not be parsed: references into it would look broken.
  private var isComplete = true

  /// Reads, checks and resolves the configuration whose main file is at `path`.
  static func load(path: String, options: LoadOptions) -> LoadOutcome {
    var loader = Loader(path: path, options: options)
    return loader.load()
  }

  private init(path: String, options: LoadOptions) {
    mainPath = path
    folder = ConfigFile.folder(of: path)
    self.options = options
    trust = TrustReader(folder: folder)
    certificates = CertificateReader(folder: folder)
    scripts = ScriptReader(folder: folder)
    references = ReferenceResolver(
      variables: EnvironmentVariables(options.environment), folder: folder, placeholders: options.placeholders)
  }

  private mutating func load() -> LoadOutcome {
    prepareEnvironment()
    guard var root = readMain() else { return outcome(nil, nil) }
    for (pattern, place, isShown) in patterns(of: root) { include(pattern, at: place, isShown, into: &root) }
    if isComplete {
      root.fill(&references, into: &diagnoses)
      addStandardRoles(to: &root)
      varFolder = stateFolder(of: root)
      if options.dev, case .section(var credits) = root[RootSection.credits]?.value {
        CreditsSection.develop(&credits)
        root.settings[RootSection.credits.key]?.value = .section(credits)
      }
      let mode = references.variables.nonEmpty(EnvironmentTable.mode)
      diagnoses = CrossChecks.run(root, dev: options.dev, mode: mode, diagnoses: diagnoses)
      trust.read(&root, dev: options.dev, into: &diagnoses)
      certificates.read(root, into: &diagnoses)
      scripts.read(root, into: &diagnoses)
      completeSecret(of: &root)
    }
    guard !diagnoses.hasErrors else { return outcome(nil, nil) }
    do {
      let snapshot = try RootSection.decode(
        root, folder: folder, demo: options.dev ? options.demo ?? Loader.noDemo : nil, trust: trust,
        certificates: certificates, scripts: scripts, contentHash: contentHash)
      return outcome(snapshot, root)
    } catch {
      let message = "'\(error.path)' was accepted but is no \(error.wanted); this is a defect of Edge"
      diagnoses.add(Diagnosis(.error, .file(mainPath), message))
      return outcome(nil, nil)
    }
  }

  private func outcome(_ snapshot: Snapshot?, _ resolved: SectionFields?) -> LoadOutcome {
    LoadOutcome(
      snapshot: snapshot, resolved: resolved, varFolder: varFolder, diagnoses: diagnoses.sorted(mainPath: mainPath),
      errorsDropped: diagnoses.errorsDropped, files: files)
  }

  private var contentHash: UInt64 {
    var hash = ContentHash()
    for file in files {
      hash.add(file.path)
      withUnsafeBytes(of: file.contentHash) { hash.add($0) }
    }
    for file in trust.files {
      hash.add(file.path)
      withUnsafeBytes(of: file.contentHash) { hash.add($0) }
    }
    for file in certificates.files {
      hash.add(file.path)
      withUnsafeBytes(of: file.contentHash) { hash.add($0) }
    }
    for script in scripts.files {
      hash.add(script.path)
      withUnsafeBytes(of: script.contentHash) { hash.add($0) }
    }
    withUnsafeBytes(of: references.hash.value) { hash.add($0) }
    return hash.value
  }

  // MARK: - Steps

  /// The variables: `.env` under `--dev`, unless the environment itself says production.
  private mutating func prepareEnvironment() {
    var variables = EnvironmentVariables(options.environment)
    let path = FilePath.join(folder, ".env")
    if options.dev, variables.values[EnvironmentTable.mode] != "production" {
      do {
        let source = SourceFile(path: path, bytes: try ConfigFile.read(path, bytesMax: 64 << 10), isSecret: true)
        diagnoses.opened(path)
        // Its values count through the references that use them, not through its bytes.
        variables.add(EnvironmentFile.read(source, into: &diagnoses))
      } catch {
        if !error.isMissing {
          diagnoses.add(Diagnosis(.error, .file(path), "the file cannot be read: \(error.reason)"))
        }
      }
    }
    EnvironmentTable.check(variables, dev: options.dev, into: &diagnoses)
    references = ReferenceResolver(variables: variables, folder: folder, placeholders: options.placeholders)
  }

  private mutating func readMain() -> SectionFields? {
    diagnoses.opened(mainPath)
    readPaths.insert(ConfigFile.canonical(mainPath))
    do {
      return parse(try ConfigFile.read(mainPath, bytesMax: Loader.fileBytesMax), path: mainPath, isMain: true)
    } catch {
      diagnoses.add(
        Diagnosis(
          .error, .file(mainPath), "the file cannot be read: \(error.reason)",
          hint: error.isMissing ? "name the main file with --config FILE" : nil))
      return nil
    }
  }

  /// Reads the keys of one file that is in memory; nil when it cannot be parsed.
  private mutating func parse(_ bytes: [UInt8], path: String, isMain: Bool) -> SectionFields? {
    files.append(LoadedFile(path: path, byteCount: bytes.count, contentHash: ContentHash.of(bytes)))
    var source = SourceFile(path: path, bytes: bytes)
    var start = source.place(from: 0, to: 0)
    do {
      guard let node = try YAMLParser.parse(source.map, limits: YAMLParser.Limits(bytesMax: Loader.fileBytesMax))
      else {
        if isMain {
          isComplete = false
          diagnoses.error(start, "the file is empty", hint: "it needs at least 'version: 1' and a listener")
        }
        return SectionFields(path: "", section: RootSection.schema, place: start)
      }
      let secrets = SecretPlaces.find(node, RootSection.schema)
      source = source.hiding(secrets.ranges)
      for secret in secrets.secrets { diagnoses.conceal(secret.scalar?.text ?? "", at: source.place(of: secret)) }
      start = source.place(from: 0, to: 0)
      var reader = SectionReader(source: source, references: references, diagnoses: diagnoses)
      let fields = reader.read(RootSection.schema, node, path: "", place: start)
      references = reader.references
      diagnoses = reader.diagnoses
      if fields == nil { isComplete = false }
      return fields
    } catch {
      isComplete = false
      let lines = [error.position.line, error.related?.line].compactMap { $0 }
      let isShown = lines.allSatisfy { SecretPlaces.mayShow(line: $0, of: source.map) }
      if !isShown { source = source.hidingAll() }
      let related = error.related.map { position in
        [
          Diagnosis.Related(
            place: SourcePlace(source: source, start: position, end: position), message: relation(error.kind))
        ]
      }
      let place = SourcePlace(source: source, start: error.position, end: error.position)
      let isTellable = error.key.map { isShown || SecretName.isPlain($0) } ?? true
      diagnoses.error(
        place, isTellable ? error.message : "a key stands twice in this mapping",
        hint: error.kind == .duplicateKey ? "remove one of them" : error.hint,
        related: related ?? [])
      return nil
    }
  }

  private func relation(_ kind: YAMLError.Kind) -> String {
    switch kind {
    case .duplicateKey: "first here"
    case .documents: "the first document begins here"
    case .syntax: "it begins here"
    case .encoding, .size, .depth, .anchor, .tag, .key: "see here"
    }
  }

  private func stateFolder(of root: SectionFields) -> String? {
    guard case .section(let server) = root[RootSection.server]?.value, let setting = server[ServerSection.varFolder],
      !setting.isPlaceholder, case .text(let text) = setting.value
    else { return nil }
    return FilePath.join(folder, text)
  }

  /// Roles that are there without being written.
  private func addStandardRoles(to root: inout SectionFields) {
    guard case .named(let entries) = root[RootSection.roles]?.value else { return }
    let key = RootSection.roles.key
    root.settings[key]?.value = .named(RoleSection.withStandard(entries, path: key, place: root.place))
  }

  /// Finds the secret of tokens where nothing gives one, last of all: nothing is made for a configuration with errors.
  private mutating func completeSecret(of root: inout SectionFields) {
    let row = AuthSection.secret
    guard case .section(var auth) = root[RootSection.auth]?.value else { return }
    var members = [Setting(value: nil, origin: .development(nil))]
    if let setting = auth[row] {
      guard case .list(let written) = setting.value else { return }
      members = written
    } else if auth.suspects.contains(row.key) {
      return
    }
    for (index, member) in members.enumerated() {
      guard case .development(let place) = member.origin else { continue }
      guard let secret = missingSecret(place) else { return }
      members[index].value = .secret(secret)
    }
    auth.settings[row.key] = Setting(value: .list(members), origin: auth[row]?.origin ?? .development(nil))
    root.settings[RootSection.auth.key]?.value = .section(auth)
  }

  private mutating func missingSecret(_ place: SourcePlace?) -> SecretText? {
    if options.placeholders { return try? DevSecret.random() }
    let name = AuthSection.variable
    guard options.dev else {
      let message = place == nil ? "it is not set, and 'auth' has no 'secret'" : "\(name) is not set"
      diagnoses.add(
        Diagnosis(
          .error, place.map { .place($0) } ?? .environment(name), message,
          hint: "set \(name) to at least \(SecretText.bytesMin) random bytes, or use --dev"))
      return nil
    }
    guard !diagnoses.hasErrors, let state = varFolder else { return nil }
    do throws(FileFault) {
      var secret = try DevSecret.read(in: state)
      if secret == nil, options.mayWrite { secret = try DevSecret.make(in: state) }
      guard let secret else { return try DevSecret.random() }
      references.used(name, String(decoding: secret.bytes, as: UTF8.self))
      return secret
    } catch {
      diagnoses.add(
        Diagnosis(
          .error, .file(FilePath.join(state, DevSecret.name)),
          "the secret of --dev cannot be used: \(error.reason)", hint: "correct or remove the file, or set \(name)"))
      return nil
    }
  }

  // MARK: - Includes

  /// The last says whether a path may be repeated: one that came from outside may not.
  private func patterns(of root: SectionFields) -> [(String, SourcePlace, Bool)] {
    guard case .list(let members) = root[RootSection.include]?.value else { return [] }
    return members.compactMap { member in
      guard case .text(let pattern) = member.value, !member.isPlaceholder, let place = member.place else {
        return nil
      }
      let isShown = if case .file(_, let references) = member.origin { references.isEmpty } else { false }
      return (pattern, place, isShown)
    }
  }

  private mutating func include(
    _ pattern: String, at place: SourcePlace, _ isShown: Bool, into root: inout SectionFields
  ) {
    let path = FilePath.join(folder, pattern)
    let namePattern = String(
      pattern[(pattern.lastIndex(of: "/").map { pattern.index(after: $0) } ?? pattern.startIndex)...])
    guard namePattern.contains(where: { "*?[".contains($0) }) else {
      includeFile(path, at: place, isShown, into: &root)
      return
    }
    let subfolder = ConfigFile.folder(of: path)
    do {
      var count = 0
      for name in try ConfigFile.names(in: subfolder) {
        let file = FilePath.join(subfolder, name)
        if let reason = ConfigFile.reasonToSkip(name, pattern: namePattern) {
          // The main file often lies beside what it includes.
          if file == mainPath { continue }
          diagnoses.opened(file)
          diagnoses.add(Diagnosis(.note, .file(file), "skipped: \(reason)"))
          continue
        }
        count += 1
        includeFile(file, at: place, isShown, into: &root)
      }
      if count == 0 { diagnoses.warning(place, "no file matches \(isShown ? "'\(pattern)'" : "this")") }
    } catch {
      let shown = isShown ? "the folder '\(subfolder)'" : "the folder"
      if error.isMissing {
        diagnoses.warning(place, "no file matches \(isShown ? "'\(pattern)'" : "this"): \(shown) does not exist")
      } else {
        diagnoses.error(place, "\(shown) cannot be read: \(error.reason)")
      }
    }
  }

  private mutating func includeFile(
    _ path: String, at place: SourcePlace, _ isShown: Bool, into root: inout SectionFields
  ) {
    let shown = isShown ? "'\(path)'" : "the file"
    guard readPaths.insert(ConfigFile.canonical(path)).inserted else {
      diagnoses.add(Diagnosis(.note, .place(place), "\(shown) is included once only, though named again here"))
      return
    }
    guard readPaths.count <= Loader.filesMax else {
      if readPaths.count == Loader.filesMax + 1 {
        diagnoses.error(place, "more than \(Loader.filesMax) files are included")
      }
      isComplete = false
      return
    }
    diagnoses.opened(path)
    do {
      let bytes = try ConfigFile.read(path, bytesMax: Loader.fileBytesMax)
      guard var fields = parse(bytes, path: path, isMain: false) else { return }
      if let own = fields.keyPlaces[RootSection.include.key] {
        diagnoses.error(own, "'include' may stand in the main file only")
        fields.settings[RootSection.include.key] = nil
      }
      root.merge(fields, into: &diagnoses)
    } catch {
      isComplete = false
      diagnoses.error(place, "\(shown) cannot be read: \(error.reason)")
    }
  }
}
