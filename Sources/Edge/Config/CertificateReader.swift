// The certificates and keys of listeners with TLS.
//
// Owns: which files are read, what is wrong with them, and which listener uses which.
// Called by: the loader, after defaults and checks.
// Never: keeps the bytes of a file, or says anything of what a key's file holds.

import Glibc

/// Reads certificates with their keys.
struct CertificateReader {
  /// Valid pairs, in the order of the listeners that use them.
  private(set) var files: [CertificateFile] = []
  /// Indices into `files` by the names of listeners.
  private(set) var listeners: [String: Int] = [:]

  private let folder: String
  /// What came of each pair of paths.
  private var outcomes: [[String]: Result<Int, PairFault>] = [:]

  /// Largest file, in bytes.
  static let fileBytesMax = 1 << 20

  /// What is wrong, and in which of the two files.
  private struct PairFault: Error {
    let isOfKey: Bool
    let fault: FileFault
    let hint: String?
  }

  /// A reader that has read nothing; relative paths start from `folder`.
  init(folder: String) { self.folder = folder }

  /// Reads what the listeners of a tree need.
  mutating func read(_ root: SectionFields, into diagnoses: inout DiagnosisList) {
    guard case .named(let entries) = root[RootSection.listeners]?.value else { return }
    for entry in entries {
      guard case .section(let tls) = entry.fields[ListenerSection.tls]?.value,
        let certificate = tls[ListenerSection.certificate], let certificatePath = path(certificate),
        let key = tls[ListenerSection.key], let keyPath = path(key)
      else { continue }
      listeners[entry.name] = read(certificate, certificatePath, key, keyPath, into: &diagnoses)
    }
  }

  /// nil: it is wrong, or a placeholder.
  private func path(_ setting: Setting) -> String? {
    guard case .text(let text) = setting.value, !setting.isPlaceholder else { return nil }
    return FilePath.join(folder, text)
  }

  private mutating func read(
    _ certificate: Setting, _ certificatePath: String, _ key: Setting, _ keyPath: String,
    into diagnoses: inout DiagnosisList
  ) -> Int? {
    let outcome = outcomes[[certificatePath, keyPath]] ?? open(certificatePath, keyPath)
    let isFirst = outcomes.updateValue(outcome, forKey: [certificatePath, keyPath]) == nil
    switch outcome {
    case .success(let index):
      if isFirst { warn(files[index], certificate, key, keyPath, into: &diagnoses) }
      return index
    case .failure(let fault):
      let (setting, path) = fault.isOfKey ? (key, keyPath) : (certificate, certificatePath)
      if let place = setting.place {
        diagnoses.error(
          place, "\(subject(setting, path)) cannot be used: \(fault.fault.reason)", hint: fault.hint)
      }
      return nil
    }
  }

  private mutating func open(_ certificatePath: String, _ keyPath: String) -> Result<Int, PairFault> {
    do throws(PairFault) {
      let identity = try identity(certificatePath, keyPath)
      var hash = ContentHash()
      identity.forEachEncoded { hash.add($0) }
      files.append(CertificateFile(path: certificatePath, contentHash: hash.value, identity: identity))
      return .success(files.count - 1)
    } catch {
      return .failure(error)
    }
  }

  private func identity(_ certificatePath: String, _ keyPath: String) throws(PairFault) -> TLSIdentity {
    let bytesMax = CertificateReader.fileBytesMax
    var isOfKey = false
    let result: Result<TLSIdentity, TLSIdentityError>
    do throws(FileFault) {
      // Certificates are no secret, but their file may hold the key, too.
      result = try ConfigFile.withSecret(certificatePath, bytesMax: bytesMax) { certificates in
        isOfKey = true
        return Result { () throws(FileFault) in
          try ConfigFile.withSecret(keyPath, bytesMax: bytesMax) { key in
            CertificateReader.make(certificates, key)
          }
        }
      }.get()
    } catch {
      throw PairFault(isOfKey: isOfKey, fault: error, hint: nil)
    }
    do throws(TLSIdentityError) { return try result.get() } catch {
      throw PairFault(isOfKey: error.isOfKey, fault: FileFault(error.reason), hint: error.hint)
    }
  }

  /// An identity that contexts can be made of.
  private static func make(
    _ certificates: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer
  ) -> Result<TLSIdentity, TLSIdentityError> {
    do throws(TLSIdentityError) {
      let identity = try TLSIdentity(certificates: certificates, key: key)
      _ = try TLSServerContext(identity)
      return .success(identity)
    } catch {
      return .failure(error)
    }
  }

  /// A path that came from outside is not repeated.
  private func subject(_ setting: Setting, _ path: String) -> String {
    if case .file(_, let references) = setting.origin, references.isEmpty { return "'\(path)'" }
    return "the file"
  }

  /// What works, and hardly as it was meant.
  private func warn(
    _ file: CertificateFile, _ certificate: Setting, _ key: Setting, _ keyPath: String,
    into diagnoses: inout DiagnosisList
  ) {
    let now = time(nil)
    if let place = certificate.place {
      let subject = subject(certificate, file.path)
      if file.identity.notAfter < now {
        diagnoses.warning(place, "the certificate in \(subject) has expired: clients refuse it")
      } else if file.identity.notBefore > now {
        diagnoses.warning(place, "the certificate in \(subject) is not valid yet: clients refuse it")
      }
    }
    var status = stat()
    guard let place = key.place, stat(keyPath, &status) == 0, status.st_mode & (S_IROTH | S_IWOTH) != 0 else { return }
    diagnoses.warning(place, "every user of this machine may read the private key in \(subject(key, keyPath))")
  }
}
