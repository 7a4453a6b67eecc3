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
      guard mkdir(made, 0o700) == 0 || errno == EEXIST || errno == EISDIR else { throw FileFault(errno: errno) }
    }
  }
}
