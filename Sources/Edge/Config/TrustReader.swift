// The certificates that https services are verified against.
//
// Owns: which files are read, what is wrong with them, and which service uses which.
// Called by: the loader, after defaults and checks.
// Never: reads a file twice, or one that no https endpoint needs.

/// Reads certificate files.
struct TrustReader {
  /// Valid files, in the order of the services that use them.
  private(set) var files: [TrustFile] = []
  /// Indices into `files` by the names of services.
  private(set) var indices: [String: Int] = [:]

  private let folder: String
  /// What came of each path.
  private var outcomes: [String: Result<Int, FileFault>] = [:]

  /// Largest file, in bytes.
  static let fileBytesMax = 4 << 20

  /// A reader that has read nothing; relative paths start from `folder`.
  init(folder: String) { self.folder = folder }

  /// Reads what the services of a tree need. Those without https lose the defaults of `tls`, which say nothing there.
  mutating func read(_ root: inout SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(var entries) = root[RootSection.services]?.value else { return }
    for index in entries.indices {
      guard case .list(let members) = entries[index].fields[ServiceSection.endpoints]?.value else { continue }
      let encrypted = members.first {
        if case .endpoint(let endpoint) = $0.value { endpoint.scheme == .https } else { false }
      }
      guard let place = encrypted?.place else {
        entries[index].fields.settings[ServiceSection.tls.key] = nil
        continue
      }
      guard case .section(let tls) = entries[index].fields[ServiceSection.tls]?.value,
        let setting = tls[ServiceSection.caFile], case .text(let text) = setting.value, !setting.isPlaceholder
      else { continue }
      read(text, of: entries[index].name, setting, endpoint: place, into: &diagnoses)
    }
    root.settings[RootSection.services.key]?.value = .named(entries)
  }

  private mutating func read(
    _ text: String, of service: String, _ setting: Setting, endpoint: SourcePlace, into diagnoses: inout DiagnosisList
  ) {
    let path = FilePath.join(folder, text)
    let isFirst = outcomes[path] == nil
    let outcome = outcomes[path] ?? open(path)
    outcomes[path] = outcome
    switch outcome {
    case .success(let index): indices[service] = index
    case .failure(let fault):
      // A default is the same for all; each place that is written counts for itself.
      if setting.place != nil || isFirst { diagnoses.add(diagnosis(fault, path, setting, endpoint)) }
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
    _ fault: FileFault, _ path: String, _ setting: Setting, _ endpoint: SourcePlace
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
        hint: "correct \(name), or set 'tls.ca_file' of the service")
    case .fallback, .development:
      let message =
        fault.isMissing
        ? "there is no system CA bundle at \(path)" : "the system CA bundle at \(path) cannot be used: \(fault.reason)"
      return Diagnosis(
        .error, .place(endpoint), message, hint: "install ca-certificates, or set 'tls.ca_file' of the service")
    }
  }
}
