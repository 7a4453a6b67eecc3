// The socket by which operators reach a running Edge: `admin.sock` in the folder of state, for its owner alone. Beside
// it `edge.lock` is locked as long as the process lives, so that there is one Edge for one folder, and a socket that a
// killed one has left there can be replaced without asking.
//
// Owns: the lock, the socket's name, its access bits and its end.
// Called by: the control thread at start and at the end. Never: accepts; that is the control worker's matter.

import CLinux
import Glibc

/// Why there is no such socket.
enum AdminSocketError: Error {
  /// Another process has the folder.
  case inUse
  /// The folder or the socket cannot be made.
  case fault(FileFault)
}

/// A listening socket in a folder.
struct AdminSocket {
  /// Its name within the folder.
  static let name = "admin.sock"
  /// Nobody else can open it, so nobody else can lock it. It stays: to remove it would let two processes have one each.
  static let lockName = "edge.lock"

  let listener: ListenerSocket
  private let folder: Int32
  private let lock: Int32

  /// Makes the folder if it is not there, locks it, and listens in it.
  static func open(in path: String) throws(AdminSocketError) -> AdminSocket {
    do throws(FileFault) { try StateFolder.make(path) } catch { throw .fault(error) }
    let folder = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw .fault(FileFault(errno: errno)) }
    let lock = openat(folder, lockName, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let error = errno
      if lock >= 0 { close(lock) }
      close(folder)
      throw error == EWOULDBLOCK ? .inUse : .fault(FileFault(errno: error))
    }
    do throws(FileFault) {
      guard fchmod(lock, 0o600) == 0 else { throw FileFault(errno: errno) }
      try judge(folder)
      let fd = try listen(in: folder)
      let shown = FilePath.join(path, name)
      return AdminSocket(
        listener: ListenerSocket(fd: fd, name: "admin", address: shown), folder: folder, lock: lock)
    } catch {
      close(lock)
      close(folder)
      throw .fault(error)
    }
  }

  /// Who may write in the folder can put another socket in the place of this one.
  private static func judge(_ folder: Int32) throws(FileFault) {
    var status = stat()
    guard fstat(folder, &status) == 0 else { throw FileFault(errno: errno) }
    guard status.st_mode & 0o022 == 0 else {
      let bits = String(status.st_mode & 0o7777, radix: 8)
      throw FileFault("others may write to the folder: its bits are \(bits); make them 700")
    }
  }

  private static func listen(in folder: Int32) throws(FileFault) -> Int32 {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = socket(AF_UNIX, type, 0)
    guard fd >= 0 else { throw FileFault(errno: errno) }
    if unlinkat(folder, name, 0) != 0, errno != ENOENT { throw failed(fd) }
    // A socket's name has room for 108 bytes; the folder's own path may be longer.
    let address = SocketPath("/proc/self/fd/\(folder)/\(name)")
    guard let address, address.withKernelForm({ bind(fd, $0, $1) }) == 0 else { throw failed(fd) }
    // Nobody can connect before the socket listens.
    guard fchmodat(folder, name, 0o600, 0) == 0, Glibc.listen(fd, SOMAXCONN) == 0 else { throw failed(fd) }
    return fd
  }

  private static func failed(_ fd: Int32) -> FileFault {
    let fault = FileFault(errno: errno)
    close(fd)
    return fault
  }

  /// Nobody reaches Edge any more, and the folder is free.
  func end() {
    unlinkat(folder, AdminSocket.name, 0)
    close(listener.fd)
    close(folder)
    close(lock)
  }
}

/// The name of a Unix socket as the kernel takes it.
struct SocketPath {
  private var form = sockaddr_un()

  /// nil when it is longer than the 107 bytes there is room for.
  init?(_ path: String) {
    let bytes = Array(path.utf8)
    form.sun_family = sa_family_t(AF_UNIX)
    let isCopied = withUnsafeMutableBytes(of: &form.sun_path) { target in
      guard bytes.count < target.count else { return false }
      target.copyBytes(from: bytes)
      return true
    }
    if !isCopied { return nil }
  }

  /// Calls `body` with the form the kernel takes.
  func withKernelForm<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    withUnsafePointer(to: form) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}
