// The scripts of policies.
//
// Owns: which Lua files are read, what is wrong with them as files, and which policy uses which.
// Called by: the loader, after defaults and checks.
// Never: reads a file twice, or looks inside one.

/// Reads script files.
struct ScriptReader {
  /// Readable files, in the order of the policies that use them.
  private(set) var files: [ScriptFile] = []
  /// Indices into `files` by the names of policies.
  private(set) var indices: [String: Int] = [:]

  private let folder: String
  /// What came of each file, by its path without links.
  private var outcomes: [String: Result<Int, FileFault>] = [:]

  /// Largest file, in bytes.
  static let fileBytesMax = 256 << 10

  /// A reader that has read nothing; `folder` is the folder of the main file.
  init(folder: String) { self.folder = folder }

  /// Reads what the policies of a tree name.
  mutating func read(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(let entries) = root[RootSection.policies]?.value,
      case .section(let server) = root[RootSection.server]?.value, let own = server[ServerSection.policies],
      case .text(let subfolder) = own.value, !own.isPlaceholder
    else { return }
    let scripts = FilePath.join(folder, subfolder)
    for entry in entries {
      guard let setting = entry.fields[PolicySection.script], case .text(let text) = setting.value,
        !setting.isPlaceholder, let place = setting.place
      else { continue }
      let path = FilePath.join(scripts, text)
      let key = ConfigFile.canonical(path)
      let outcome = outcomes[key] ?? open(path, &diagnoses)
      outcomes[key] = outcome
      switch outcome {
      case .success(let index): indices[entry.name] = index
      case .failure(let fault):
        // A path that came from outside is not repeated.
        let isShown = if case .file(_, let references) = setting.origin { references.isEmpty } else { false }
        diagnoses.error(
          place, "\(isShown ? "'\(path)'" : "the script") cannot be read: \(fault.reason)",
          hint: fault.isMissing && isShown ? hint(text, in: scripts) : nil)
      }
    }
  }

  private mutating func open(_ path: String, _ diagnoses: inout DiagnosisList) -> Result<Int, FileFault> {
    do throws(FileFault) {
      let bytes = try ConfigFile.read(path, bytesMax: ScriptReader.fileBytesMax)
      diagnoses.opened(path)
      files.append(ScriptFile(path: path, bytes: bytes, contentHash: ContentHash.of(bytes)))
      return .success(files.count - 1)
    } catch {
      return .failure(error)
    }
  }

  /// What is there instead of a file that is missing.
  private func hint(_ text: String, in scripts: String) -> String {
    let inner = ConfigFile.folder(of: text)
    let place = inner.isEmpty ? scripts : FilePath.join(scripts, inner)
    do throws(FileFault) {
      let names = try ConfigFile.names(in: place).filter { $0.hasSuffix(ScriptPath.ending) && !$0.hasPrefix(".") }
        .map { inner.isEmpty ? $0 : "\(inner)/\($0)" }
      if let near = Nearness.hint(for: text, among: names.prefix(1_000)) { return near }
      if names.isEmpty { return "there is no Lua file in '\(place)'" }
      return "there: \(names.prefix(8).joined(separator: ", "))"
    } catch {
      return "the folder '\(place)' cannot be read: \(error.reason)"
    }
  }
}
