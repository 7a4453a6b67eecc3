// The secret of development: made once, kept in the folder of state.
//
// Owns: the file `dev_jwt_secret`, its form and its access bits.
// Called by: the loader under --dev, when nothing else gives a secret.
// Never: is used without --dev, replaces a file that is there, or shows what is in it.

import Glibc

/// The file with the secret of development.
enum DevSecret {
  /// Its name within the folder of state.
  static let name = "dev_jwt_secret"
  /// Its hex digits, which are the secret.
  static let digits = 64

  /// The secret in a folder; nil when there is none.
  static func read(in folder: String) throws(FileFault) -> SecretText? {
    let path = FilePath.join(folder, name)
    var status = stat()
    guard lstat(path, &status) == 0 else {
      let fault = FileFault(errno: errno)
      if fault.isMissing { return nil }
      throw fault
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw FileFault("it is not a regular file") }
    guard status.st_uid == geteuid() else { throw FileFault("it belongs to another user") }
    guard status.st_mode & 0o7777 == 0o600 else {
      throw FileFault("others may read it: its bits are \(octal(status.st_mode & 0o7777)), not 600")
    }
    var bytes = try ConfigFile.read(path, bytesMax: 1 << 10)
    if bytes.last == 0x0A { bytes.removeLast() }
    let isHex = bytes.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0 | 0x20) }
    guard bytes.count == digits, isHex else { throw FileFault("it does not hold \(digits) hex digits") }
    return SecretText(bytes: bytes)
  }

  /// Makes the secret of a folder. Of several processes that make one at once, all get the same.
  static func make(in folder: String) throws(FileFault) -> SecretText {
    try StateFolder.make(folder)
    let path = FilePath.join(folder, name)
    let fresh = "\(path).\(getpid())"
    unlink(fresh)
    let descriptor = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw FileFault(errno: errno) }
    defer { unlink(fresh) }
    let written = fill(descriptor, try random().bytes + [0x0A])
    close(descriptor)
    if let written { throw written }
    // Unlike a rename, a link does not replace what another process has put there meanwhile.
    guard link(fresh, path) == 0 || errno == EEXIST else { throw FileFault(errno: errno) }
    guard let secret = try read(in: folder) else { throw FileFault("it was removed at once") }
    return secret
  }

  /// A secret that is kept nowhere.
  static func random() throws(FileFault) -> SecretText {
    var bytes = [UInt8](repeating: 0, count: digits / 2)
    guard getentropy(&bytes, bytes.count) == 0 else { throw FileFault(errno: errno) }
    let hex = Array("0123456789abcdef".utf8)
    return SecretText(bytes: bytes.flatMap { [hex[Int($0 >> 4)], hex[Int($0 & 15)]] })
  }

  private static func fill(_ descriptor: CInt, _ bytes: [UInt8]) -> FileFault? {
    // The umask may have taken bits away that reading needs.
    guard fchmod(descriptor, 0o600) == 0 else { return FileFault(errno: errno) }
    let count = write(descriptor, bytes, bytes.count)
    guard count >= 0 else { return FileFault(errno: errno) }
    guard count == bytes.count else { return FileFault("it could not be written whole") }
    return fsync(descriptor) == 0 ? nil : FileFault(errno: errno)
  }

  private static func octal(_ mode: mode_t) -> String { String(mode, radix: 8) }
}
