// The folder of state: made when something must be kept there.
// Called by whoever keeps the development secret or the ledger. Never: removes anything.

import Glibc

/// A folder for Edge alone.
enum StateFolder {
  /// Makes a folder and those above it, for the owner only; one that is there stays as it is.
  static func make(_ path: String) throws(FileFault) {
    var made = ""
    for part in path.split(separator: "/", omittingEmptySubsequences: false) {
      made += made.isEmpty && !path.hasPrefix("/") ? String(part) : "/\(part)"
      if part.isEmpty { continue }
      if mkdir(made, 0o700) == 0 {
        // The umask may have taken away what the owner needs.
        guard chmod(made, 0o700) == 0 else { throw FileFault(errno: errno) }
      } else if errno != EEXIST, errno != EISDIR {
        throw FileFault(errno: errno)
      }
    }
  }
}
