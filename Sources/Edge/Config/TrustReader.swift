// The certificates that https services and providers are verified against.
//
// Owns: which files are read, what is wrong with them, and which service or provider uses which.
// Called by: the loader, after defaults and checks.
// Never: reads a file twice, or one that no https endpoint needs.

/// Reads certificate files.
struct TrustReader {
  /// Valid files, in the order of the services and then the providers that use them.
  private(set) var files: [TrustFile] = []
  /// Indices into `files` by the names of services.
  private(set) var services: [String: Int] = [:]
  /// Indices into `files` by the names of providers.
  private(set) var providers: [String: Int] = [:]

  private let folder: String
  /// What came of each path.
  private var outcomes: [String: Result<Int, FileFault>] = [:]

  /// Largest file, in bytes.
  static let fileBytesMax = 4 << 20

  /// A reader that has read nothing; relative paths start from `folder`.
  init(folder: String) { self.folder = folder }

  /// Reads what the services and the usable providers of a tree need. Those without https lose the defaults of `tls`,
  /// which say nothing there.
  mutating func read(_ root: inout SectionFields, dev: Bool, into diagnoses: inout DiagnosisList) {
    let states = RootSection.providerStates(of: root, dev: dev)
    services = read(RootSection.services, .service, of: &root, { _ in true }, into: &diagnoses)
    providers = read(RootSection.providers, .provider, of: &root, { states[$0] == .usable }, into: &diagnoses)
  }

  /// Services and providers have the same keys for this.
  private mutating func read(
    _ row: SchemaRow, _ kind: NamedKind, of root: inout SectionFields, _ isUsed: (String) -> Bool,
    into diagnoses: inout DiagnosisList
  ) -> [String: Int] {
    guard case .named(var entries) = root[row]?.value else { return [:] }
    var indices: [String: Int] = [:]
    for index in entries.indices {
      var members: [Setting] = []
      if let setting = entries[index].fields[ServiceSection.endpoints] {
        guard case .list(let written) = setting.value else { continue }
        members = written
      }
      let encrypted = members.first {
        if case .endpoint(let endpoint) = $0.value { endpoint.scheme == .https } else { false }
      }
      guard let place = encrypted?.place else {
        entries[index].fields.settings[ServiceSection.tls.key] = nil
        continue
      }
      guard isUsed(entries[index].name), case .section(let tls) = entries[index].fields[ServiceSection.tls]?.value,
        let setting = tls[ServiceSection.caFile], case .text(let text) = setting.value, !setting.isPlaceholder
      else { continue }
      indices[entries[index].name] = read(text, of: kind, setting, endpoint: place, into: &diagnoses)
    }
    root.settings[row.key]?.value = .named(entries)
    return indices
  }

  private mutating func read(
    _ text: String, of kind: NamedKind, _ setting: Setting, endpoint: SourcePlace, into diagnoses: inout DiagnosisList
  ) -> Int? {
    let path = FilePath.join(folder, text)
    let isFirst = outcomes[path] == nil
    let outcome = outcomes[path] ?? open(path)
    outcomes[path] = outcome
    switch outcome {
    case .success(let index): return index
    case .failure(let fault):
      // A default is the same for all; each place that is written counts for itself.
      if setting.place != nil || isFirst { diagnoses.add(diagnosis(fault, path, kind, setting, endpoint)) }
      return nil
    }
  }

  private mutating func open(_ path: String) -> Result<Int, FileFault> {
    do throws(FileFault) {
      let bytes = try ConfigFile.read(path, bytesMax: TrustReader.fileBytesMax)
      do throws(TrustError) { _ = try TrustStore(pem: bytes) } catch { throw FileFault(error.reason) }
      files.append(TrustFile(path: path, bytes: bytes, contentHash: ContentHash.of(bytes)))
      return .success(files.count - 1)
    } catch {
      return .failure(error)
    }
  }

  private func diagnosis(
    _ fault: FileFault, _ path: String, _ kind: NamedKind, _ setting: Setting, _ endpoint: SourcePlace
  ) -> Diagnosis {
    switch setting.origin {
    case .file(let place, let references):
      // A path that came from outside is not repeated.
      let subject = references.isEmpty ? "'\(path)'" : "the file"
      return Diagnosis(.error, .place(place), "\(subject) cannot be used: \(fault.reason)")
    case .placeholder(let place): return Diagnosis(.error, .place(place), fault.reason)
    case .environment(let name):
      return Diagnosis(
        .error, .place(endpoint), "the file that \(name) names cannot be used: \(fault.reason)",
        hint: "correct \(name), or set 'tls.ca_file' of the \(kind.rawValue)")
    case .fallback, .development:
      let message =
        fault.isMissing
        ? "there is no system CA bundle at \(path)" : "the system CA bundle at \(path) cannot be used: \(fault.reason)"
      return Diagnosis(
        .error, .place(endpoint), message,
        hint: "install ca-certificates, or set 'tls.ca_file' of the \(kind.rawValue)")
    }
  }
}
