import CLinux
import Foundation
import Testing

@testable import Edge

struct ListenerTests {
  private func open(_ host: String, _ port: UInt16 = 0) throws -> ListenerSocket {
    try ListenerSocket.open(Listener(name: "main", address: HostPort(host: host, port: port)))
  }

  private func port(of socket: ListenerSocket) throws -> UInt16 {
    let digits = try #require(socket.address.split(separator: ":").last)
    return try #require(UInt16(digits))
  }

  /// Connects from this process; the descriptor is the caller's to close.
  private func connect(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try #require(SocketAddress(numeric: host, port: port))
    let fd = socket(address.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let result = address.withKernelForm { Glibc.connect(fd, $0, $1) }
    try #require(result == 0)
    return fd
  }

  @Test func anyFreePort() throws {
    let socket = try open("127.0.0.1")
    defer { close(socket.fd) }
    #expect(socket.name == "main")
    #expect(socket.address.hasPrefix("127.0.0.1:") && socket.address != "127.0.0.1:0")
    guard case .none = ListenerSocket.accept(socket.fd) else {
      Issue.record("nobody has connected")
      return
    }
    let client = try connect("127.0.0.1", try port(of: socket))
    defer { close(client) }
    guard case .connection(let fd, let address) = ListenerSocket.accept(socket.fd) else {
      Issue.record("not accepted")
      return
    }
    defer { close(fd) }
    #expect(address.text.hasPrefix("127.0.0.1:") && address.isLoopback)
    #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
    #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
  }

  @Test func addressesInUseAreNamed() throws {
    let socket = try open("127.0.0.1")
    defer { close(socket.fd) }
    let port = try port(of: socket)
    let error = #expect(throws: ListenerError.self) { try open("127.0.0.1", port) }
    #expect(error?.message == "listener main: cannot listen on 127.0.0.1:\(port): Address already in use")
  }

  @Test func namesAreRefused() throws {
    let error = #expect(throws: ListenerError.self) { try open("localhost") }
    #expect(error?.message.contains("localhost:0") == true)
    #expect(throws: ListenerError.self) { try open("192.0.2.1") }
  }

  @Test func strangeDescriptors() {
    guard case .skipped = ListenerSocket.accept(-1) else {
      Issue.record("accepted on no socket")
      return
    }
  }
}
