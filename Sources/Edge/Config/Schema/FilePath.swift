// Paths of files as text.
//
// Owns: how a path that a configuration names is found from the folder it is relative to.
// Called by: sections that hold paths, and the reading of files.
// Never: touches the file system.

/// Paths of files.
enum FilePath {
  /// A path against a folder; absolute ones stay.
  static func join(_ folder: String, _ path: String) -> String {
    if path.hasPrefix("/") || folder.isEmpty { return path }
    return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
  }
}
