// The other side of a TLS connection: a server made of OpenSSL over one end of a socket pair or of a TCP connection.

import CLinux
import COpenSSL
import Foundation
import Testing

@testable import Edge

/// A server that takes part in one connection, and the client's end of the socket.
final class TLSPeer {
  /// How the server differs from a good one.
  struct Traits {
    var versions = TLS1_2_VERSION...TLS1_3_VERSION
    /// Sent behind the server's own certificate.
    var chain: [TestCertificate] = []
    /// Answered to the client's list of protocols.
    var chosenProtocol: StaticString?
    /// Over loopback TCP instead of a socket pair.
    var isTCP = false
    /// Size of the socket buffers; 0 leaves them as they are.
    var socketBytes: Int32 = 0
  }

  let stream: OpaquePointer
  let fd: Int32
  let clientFD: Int32
  private let context: OpaquePointer

  init(_ certificate: TestCertificate, _ traits: Traits = Traits()) throws {
    _ = signal(SIGPIPE, SIG_IGN)
    (clientFD, fd) = traits.isTCP ? try TLSPeer.tcp() : try TLSPeer.pair()
    if traits.socketBytes > 0 {
      for end in [clientFD, fd] {
        Syscall.setOption(end, SOL_SOCKET, SO_SNDBUF, traits.socketBytes)
        Syscall.setOption(end, SOL_SOCKET, SO_RCVBUF, traits.socketBytes)
      }
    }
    context = try #require(SSL_CTX_new(TLS_server_method()))
    edge_SSL_CTX_set_mode(
      context, UInt(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
    edge_SSL_CTX_set_min_proto_version(context, traits.versions.lowerBound)
    SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(traits.versions.upperBound), nil)
    // Without this, Debian's OpenSSL would not speak the old versions even when asked.
    if traits.versions.lowerBound < TLS1_2_VERSION { SSL_CTX_set_security_level(context, 0) }
    try #require(SSL_CTX_use_certificate(context, certificate.certificate) == 1)
    try #require(SSL_CTX_use_PrivateKey(context, certificate.key) == 1)
    for link in traits.chain {
      SSL_CTX_ctrl(context, SSL_CTRL_CHAIN_CERT, 1, UnsafeMutableRawPointer(link.certificate))
    }
    if let chosen = traits.chosenProtocol { TLSPeer.answer(chosen, context) }
    stream = try #require(SSL_new(context))
    SSL_set_fd(stream, fd)
    SSL_set_accept_state(stream)
  }

  deinit {
    SSL_free(stream)
    SSL_CTX_free(context)
    close(fd)
    close(clientFD)
    ERR_clear_error()
  }

  private static func answer(_ chosen: StaticString, _ context: OpaquePointer) {
    let text = UnsafeMutableRawPointer(mutating: chosen.utf8Start)
    SSL_CTX_set_alpn_select_cb(
      context,
      { _, answer, answerCount, _, _, text in
        let bytes = text?.assumingMemoryBound(to: UInt8.self)
        answer?.pointee = UnsafePointer(bytes)
        answerCount?.pointee = UInt8(
          bytes.map { strlen(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) } ?? 0)
        return SSL_TLSEXT_ERR_OK
      }, text)
  }

  // MARK: What it does

  /// One step of the server's handshake; true when it is done.
  @discardableResult
  func shake() -> Bool {
    ERR_clear_error()
    return SSL_do_handshake(stream) == 1
  }

  /// Both sides in turn until the client is done or has failed.
  func shake(with client: TLSStream) -> TLSHandshake {
    for _ in 0..<20 {
      let state = client.handshake()
      if state == .failed { return state }
      let isServerDone = shake()
      if state == .done, isServerDone { return state }
    }
    Issue.record("the handshake goes in circles")
    return .failed
  }

  /// Sends all of it, as far as the socket takes it; returns how much that was.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Int {
    var sent = 0
    while sent < bytes.count {
      ERR_clear_error()
      let count = bytes[sent...].withUnsafeBytes { SSL_write(stream, $0.baseAddress, Int32($0.count)) }
      if count <= 0 { break }
      sent += Int(count)
    }
    return sent
  }

  /// What has come, up to `limit` bytes.
  func receive(_ limit: Int = 1 << 20) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
      ERR_clear_error()
      let count = bytes[filled...].withUnsafeMutableBytes { SSL_read(stream, $0.baseAddress, Int32($0.count)) }
      if count <= 0 { break }
      filled += Int(count)
    }
    return Array(bytes.prefix(filled))
  }

  /// The client has said that it will send no more.
  var sawCloseNotify: Bool {
    _ = receive(16)
    return SSL_get_shutdown(stream) & SSL_RECEIVED_SHUTDOWN != 0
  }

  func sendCloseNotify() { SSL_shutdown(stream) }

  /// Ends the connection below TLS.
  func sendFIN() { shutdown(fd, Int32(SHUT_WR)) }

  /// Breaks the connection; over TCP only.
  func reset() {
    Syscall.setResetOnClose(fd)
    closeSocket()
  }

  /// Leaves a descriptor that leads nowhere, so that the number is not used by another test meanwhile.
  func closeSocket() {
    let nowhere = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    dup2(nowhere, fd)
    close(nowhere)
  }

  /// Bytes that are not TLS.
  func sendPlain(_ text: String) { _ = Array(text.utf8).withUnsafeBytes { write(fd, $0.baseAddress, $0.count) } }

  /// The name that the client asked for.
  var serverName: String? { SSL_get_servername(stream, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) } }

  // MARK: Sockets

  private static func pair() throws -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
    return (ends[0], ends[1])
  }

  private static func tcp() throws -> (Int32, Int32) {
    let type = Int32(SOCK_STREAM.rawValue)
    let listener = socket(AF_INET, type, 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let client = socket(AF_INET, type, 0)
    let isConnected = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, size) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &size) == 0
          && connect(client, $0, size) == 0
      }
    }
    try #require(isConnected)
    let server = accept(listener, nil, nil)
    try #require(server >= 0)
    for end in [client, server] { _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) }
    return (client, server)
  }
}
