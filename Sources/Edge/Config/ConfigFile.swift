// Files and folders, for configuration only.
//
// Owns: bounded reading of regular files, sorted listing of folders, joining of paths, and the hash of what was read.
// Called by: the loader, includes and `${file:…}`.
// Never: waits on a pipe or device, writes, or is used off the cold path.

import Glibc

/// Why a file or folder was not read.
struct FileFault: Error, Sendable, Equatable {
  /// The reason, such as "No such file or directory".
  let reason: String
  /// True when there is nothing under that path.
  let isMissing: Bool

  /// The fault of a failed system call.
  init(errno code: CInt) {
    reason = String(cString: strerror(code))
    isMissing = code == ENOENT || code == ENOTDIR
  }

  /// A fault in words.
  init(_ reason: String) {
    self.reason = reason
    isMissing = false
  }
}

/// File access of the loader.
enum ConfigFile {
  /// A regular file of at most `bytesMax` bytes, to be closed by the caller.
  private static func open(_ path: String, bytesMax: Int) throws(FileFault) -> CInt {
    guard !path.utf8.contains(0) else { throw FileFault(errno: ENOENT) }
    // O_NONBLOCK: opening a pipe without a writer must not wait.
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileFault(errno: errno) }
    var status = stat()
    let fault: FileFault
    if fstat(descriptor, &status) != 0 {
      fault = FileFault(errno: errno)
    } else if status.st_mode & S_IFMT == S_IFDIR {
      fault = FileFault("it is a folder")
    } else if status.st_mode & S_IFMT != S_IFREG {
      fault = FileFault("it is not a regular file")
    } else if status.st_size > bytesMax {
      fault = oversize(bytesMax)
    } else {
      return descriptor
    }
    close(descriptor)
    throw fault
  }

  private static func oversize(_ bytesMax: Int) -> FileFault {
    FileFault("it is larger than \(QuantityUnit.size.text(bytesMax))")
  }

  /// Calls `body` with the bytes of a regular file that holds a secret. They stand in one place, which is wiped
  /// afterwards.
  static func withSecret<Result>(
    _ path: String, bytesMax: Int, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(FileFault) -> Result {
    let descriptor = try open(path, bytesMax: bytesMax)
    defer { close(descriptor) }
    // One more, to see that the file has grown since.
    guard let memory = malloc(bytesMax + 1) else { throw FileFault(errno: ENOMEM) }
    var filled = 0
    defer {
      explicit_bzero(memory, filled)
      free(memory)
    }
    while true {
      let count = Glibc.read(descriptor, memory + filled, bytesMax + 1 - filled)
      if count < 0 {
        if errno == EINTR { continue }
        throw FileFault(errno: errno)
      }
      if count == 0 { return body(UnsafeRawBufferPointer(start: memory, count: filled)) }
      filled += count
      guard filled <= bytesMax else { throw oversize(bytesMax) }
    }
  }

  /// The bytes of a regular file of at most `bytesMax` bytes.
  static func read(_ path: String, bytesMax: Int) throws(FileFault) -> [UInt8] {
    let descriptor = try open(path, bytesMax: bytesMax)
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var scratch = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = Glibc.read(descriptor, &scratch, scratch.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw FileFault(errno: errno)
      }
      if count == 0 { return bytes }
      bytes += scratch[..<count]
      // The file may have grown since fstat.
      guard bytes.count <= bytesMax else { throw oversize(bytesMax) }
    }
  }

  /// The path with links and dots resolved; the path itself when there is nothing under it.
  static func canonical(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// The names in a folder in byte order, without `.` and `..`.
  static func names(in folder: String) throws(FileFault) -> [String] {
    guard let handle = opendir(folder.isEmpty ? "." : folder) else { throw FileFault(errno: errno) }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
        field.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: field.pointee)) {
          String(cString: $0)
        }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
  }

  /// Why a file of an included folder is left out; nil when it is not.
  static func reasonToSkip(_ name: String, pattern: String) -> String? {
    if name.hasPrefix(".") { return "its name begins with a dot" }
    if !name.hasSuffix(".yaml"), !name.hasSuffix(".yml") { return "its name does not end in .yaml or .yml" }
    return matches(name, pattern: pattern) ? nil : "its name does not match '\(pattern)'"
  }

  /// Whether a name matches a pattern of `*`, `?` and `[…]`; a leading dot only matches a written one.
  static func matches(_ name: String, pattern: String) -> Bool { fnmatch(pattern, name, FNM_PERIOD) == 0 }

  /// The folder of a path, empty for the working folder; keeps `/` for the root.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "" }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

}

/// FNV-1a over 64 bits: tells contents apart, promises nothing against an adversary.
struct ContentHash: Sendable, Equatable {
  /// The hash of what was added so far.
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  /// Adds bytes.
  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
  }

  /// Adds a text and its end, so that neighbours cannot run together.
  mutating func add(_ text: String) {
    add(text.utf8)
    add(CollectionOfOne(0xFF))
  }

  /// The hash of some bytes.
  static func of(_ bytes: [UInt8]) -> UInt64 {
    var hash = ContentHash()
    hash.add(bytes)
    return hash.value
  }
}
