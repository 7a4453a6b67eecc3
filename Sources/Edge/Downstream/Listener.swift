// Listening sockets: bound once by the control thread, waited on by every worker.
// Owns binding and accepting; what an accepted connection becomes is the worker's matter.

import CLinux
import Glibc

/// A bound and listening socket.
struct ListenerSocket: Sendable {
  let fd: Int32
  let name: String
  /// What was really bound, port included.
  let address: String

  /// Binds and listens. The error says what the kernel said.
  static func open(_ listener: Listener) throws(ListenerError) -> ListenerSocket {
    let host = listener.address.host == "*" ? "::" : listener.address.host
    guard let address = SocketAddress(numeric: host, port: listener.address.port) else {
      throw ListenerError(listener: listener.name, address: listener.address.text, error: EINVAL)
    }
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = socket(address.isIPv6 ? AF_INET6 : AF_INET, type, 0)
    if fd < 0 { throw ListenerError(listener: listener.name, address: listener.address.text, error: errno) }
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    Syscall.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if address.isIPv6 {
      // `*` is every address of both families, `[::]` the addresses of its own.
      Syscall.setOption(fd, Int32(IPPROTO_IPV6), Int32(IPV6_V6ONLY), listener.address.host == "*" ? 0 : 1)
    }
    let bound = address.withKernelForm { bind(fd, $0, $1) }
    if bound != 0 || listen(fd, SOMAXCONN) != 0 {
      let error = errno
      _ = close(fd)
      throw ListenerError(listener: listener.name, address: listener.address.text, error: error)
    }
    return ListenerSocket(fd: fd, name: listener.name, address: boundAddress(fd).text)
  }

  private static func boundAddress(_ fd: Int32) -> SocketAddress {
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    _ = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &size) }
    }
    return SocketAddress(storage)
  }

  /// The next waiting connection.
  static func accept(_ fd: Int32) -> Accepted {
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let socket = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { accept4(fd, $0, &size, flags) }
    }
    if socket >= 0 { return .connection(socket, SocketAddress(storage)) }
    switch errno {
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
    case EAGAIN: return .none
    // The connection died while it waited, or a signal came: the next one may be there (accept(2), error handling).
    default: return .skipped
    }
  }
}

/// What `accept` brought.
enum Accepted {
  case connection(Int32, SocketAddress)
  case none
  case skipped
  /// The process or the system is out of descriptors or memory.
  case exhausted
}

/// A listener that could not be opened.
struct ListenerError: Error {
  let listener: String
  let address: String
  let error: Int32
  /// In place of what the kernel would say.
  var reason: String?

  var message: String {
    "listener \(listener): cannot listen on \(address): \(reason ?? Syscall.describe(error))"
  }
}
