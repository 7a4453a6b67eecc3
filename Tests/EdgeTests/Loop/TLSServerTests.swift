// The listener's side of TLS: what makes an identity, and how streams of a context meet clients of every kind.

import CLinux
import COpenSSL
import Foundation
import Testing

@testable import Edge

/// A client made of OpenSSL over one end of a socket pair, and Edge's stream over the other.
private final class Caller {
  let stream: OpaquePointer
  let server: TLSStream
  private let context: OpaquePointer
  private let ends: [Int32]

  init(
    _ server: TLSServerContext, versions: ClosedRange<Int32> = TLS1_2_VERSION...TLS1_3_VERSION,
    protocols: [String] = [], ciphers: String? = nil
  ) throws {
    _ = signal(SIGPIPE, SIG_IGN)
    var ends: [Int32] = [0, 0]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    self.ends = ends
    context = try #require(SSL_CTX_new(TLS_client_method()))
    if versions.lowerBound < TLS1_2_VERSION { SSL_CTX_set_security_level(context, 0) }
    edge_SSL_CTX_set_min_proto_version(context, versions.lowerBound)
    SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(versions.upperBound), nil)
    if let ciphers { try #require(SSL_CTX_set_cipher_list(context, ciphers) == 1) }
    let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    if !list.isEmpty { SSL_CTX_set_alpn_protos(context, list, UInt32(list.count)) }
    stream = try #require(SSL_new(context))
    SSL_set_fd(stream, ends[0])
    SSL_set_connect_state(stream)
    self.server = try #require(server.open(fd: ends[1]))
  }

  deinit {
    SSL_free(stream)
    SSL_CTX_free(context)
    for end in ends { close(end) }
    ERR_clear_error()
  }

  /// Both sides in turn: the server's state, and when it has failed its reason.
  func shake() -> (state: TLSHandshake, reason: String) {
    for _ in 0..<20 {
      ERR_clear_error()
      let isDone = SSL_do_handshake(stream) == 1
      let state = server.handshake()
      if state == .failed { return (state, server.failureReason()) }
      if state == .done, isDone { return (state, "") }
    }
    return (.wantsRead, "it goes in circles")
  }

  func send(_ bytes: [UInt8]) {
    #expect(SSL_write(stream, bytes, Int32(bytes.count)) == Int32(bytes.count), "the socket is full")
  }

  func receive() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    ERR_clear_error()
    let count = SSL_read(stream, &bytes, Int32(bytes.count))
    return Array(bytes.prefix(Int(max(0, count))))
  }

  /// The reason of the last failure of the client.
  var reason: Int32 { ERR_GET_REASON(ERR_peek_error()) }

  var chosenProtocol: String {
    var bytes: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(stream, &bytes, &count)
    return String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
  }

  /// Certificates that the server has sent, its own included.
  var chainCount: Int { Int(OPENSSL_sk_num(SSL_get_peer_cert_chain(stream))) }

  var hasTicket: Bool { SSL_SESSION_has_ticket(SSL_get_session(stream)) == 1 }

  func writePlain(_ bytes: [UInt8]) { _ = bytes.withUnsafeBytes { write(ends[0], $0.baseAddress, $0.count) } }

  func endBelow() { shutdown(ends[0], Int32(SHUT_WR)) }
}

/// An identity from texts, or what is wrong with them.
private func identity(_ certificates: [UInt8], _ key: [UInt8]) -> Result<TLSIdentity, TLSIdentityError> {
  certificates.withUnsafeBytes { certificates in
    key.withUnsafeBytes { key in
      Result { () throws(TLSIdentityError) in try TLSIdentity(certificates: certificates, key: key) }
    }
  }
}

private func context(_ leaf: TestCertificate, chain: [TestCertificate] = []) throws -> TLSServerContext {
  try TLSServerContext(identity(leaf.pem + chain.flatMap(\.pem), leaf.keyPEM()).get())
}

struct TLSIdentityTests {
  private func error(_ certificates: [UInt8], _ key: [UInt8]) -> TLSIdentityError? {
    if case .failure(let error) = identity(certificates, key) { error } else { nil }
  }

  @Test func aPairIsAnIdentity() throws {
    let root = try TestCertificate.authority()
    let leaf = try root.issue("DNS:localhost", notBefore: -60, notAfter: 120)
    let made = try identity(raw("subject=x\n") + leaf.pem + root.pem, leaf.keyPEM()).get()
    #expect(abs(made.notBefore - (time(nil) - 60)) < 100 && abs(made.notAfter - (time(nil) + 120)) < 100)
    var lengths: [Int] = []
    made.forEachEncoded { lengths.append($0.count) }
    #expect(lengths.count == 2 && lengths.allSatisfy { $0 > 100 })
    let rsa = try TestCertificate(TestCertificate.Traits(rsaBits: 2_048))
    #expect(error(rsa.pem, rsa.keyPEM()) == nil)
    // Both may stand in one file.
    #expect(error(leaf.keyPEM() + leaf.pem, leaf.pem + leaf.keyPEM()) == nil)
  }

  @Test func mistakesAreTold() throws {
    let (leaf, other) = (try TestCertificate(TestCertificate.Traits()), try TestCertificate(TestCertificate.Traits()))
    let key = leaf.keyPEM()
    #expect(error([], key) == .noCertificate)
    #expect(error(key, key) == .noCertificate)
    #expect(error(leaf.pem, []) == .noKey)
    #expect(error(leaf.pem, leaf.pem) == .noKey)
    #expect(error(leaf.pem, leaf.keyPEM(passphrase: "secret")) == .encryptedKey)
    #expect(error(leaf.pem, other.keyPEM()) == .mismatch(belongsTo: nil))
    #expect(error(other.pem + leaf.pem, key) == .mismatch(belongsTo: 2))
    let cut = raw(latin(leaf.pem).split(separator: "\n").dropLast().joined(separator: "\n") + "\n")
    #expect(error(leaf.pem + cut, key) == .malformedCertificate(2, reason: "bad end line"))
    let noKey = raw("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    guard case .malformedKey(let reason) = error(leaf.pem, noKey) else { Issue.record("accepted"); return }
    #expect(!reason.isEmpty)
    for error in [TLSIdentityError.noKey, .encryptedKey, .malformedKey(reason: "x"), .mismatch(belongsTo: nil)] {
      #expect(error.isOfKey)
    }
    for error in [TLSIdentityError.noCertificate, .mismatch(belongsTo: 2), .unusable(reason: "x")] {
      #expect(!error.isOfKey)
    }
  }

  @Test func weakKeysAreRefused() throws {
    let weak = try TestCertificate(TestCertificate.Traits(rsaBits: 1_024))
    let made = try identity(weak.pem, weak.keyPEM()).get()
    #expect(throws: TLSIdentityError.unusable(reason: "ee key too small")) { _ = try TLSServerContext(made) }
  }
}

struct TLSServerTests {
  @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION], [Int32(0), 2_048])
  func clientsAreServed(version: Int32, rsaBits: Int32) throws {
    let leaf = try TestCertificate(TestCertificate.Traits(rsaBits: rsaBits))
    let caller = try Caller(context(leaf), versions: version...version)
    #expect(caller.shake() == (.done, ""))
    #expect(SSL_version(caller.stream) == version)
    let area = ByteArea([UInt8](repeating: 0, count: 64))
    caller.send(raw("GET / HTTP/1.1\r\n\r\n"))
    guard case .bytes(18) = caller.server.read(area.base, 64) else { Issue.record("not read"); return }
    #expect(latin(area.slice(0..<18)) == "GET / HTTP/1.1\r\n\r\n")
    #expect(!caller.server.hasPending)
    let answer = ByteArea(raw("HTTP/1.1 200 OK"))
    guard case .bytes(15) = caller.server.write(answer.base, 15) else { Issue.record("not written"); return }
    #expect(latin(caller.receive()) == "HTTP/1.1 200 OK")
    #expect(!caller.hasTicket, "nothing is resumed")
    caller.server.close()
    #expect(caller.receive().isEmpty && SSL_get_shutdown(caller.stream) & SSL_RECEIVED_SHUTDOWN != 0)
  }

  @Test func theChainIsSent() throws {
    let root = try TestCertificate.authority()
    let middle = try root.issueAuthority("middle")
    let leaf = try middle.issue("DNS:localhost")
    let alone = try Caller(context(leaf))
    #expect(alone.shake().state == .done && alone.chainCount == 1)
    let caller = try Caller(context(leaf, chain: [middle]))
    #expect(caller.shake().state == .done && caller.chainCount == 2)
    for caller in [alone, caller] { caller.server.close() }
  }

  @Test func oldVersionsAreRefused() throws {
    let caller = try Caller(context(TestCertificate(TestCertificate.Traits())), versions: TLS1_VERSION...TLS1_1_VERSION)
    defer { caller.server.close() }
    #expect(caller.shake() == (.failed, "unsupported protocol"))
    #expect(SSL_do_handshake(caller.stream) != 1 && caller.reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
  }

  @Test(arguments: [
    ([], ""), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["h2"], nil), (["http/1.0", "h2"], nil),
    (["http/1.1x", "xhttp/1.1"], nil),
  ])
  func protocolsAreChosen(offered: [String], chosen: String?) throws {
    let caller = try Caller(context(TestCertificate(TestCertificate.Traits())), protocols: offered)
    defer { caller.server.close() }
    guard let chosen else {
      #expect(caller.shake() == (.failed, "no application protocol"))
      #expect(SSL_do_handshake(caller.stream) != 1 && caller.reason == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)
      return
    }
    #expect(caller.shake().state == .done)
    #expect(caller.chosenProtocol == chosen)
  }

  @Test func onlyForwardSecretSuitesAreTaken() throws {
    let rsa = try TestCertificate(TestCertificate.Traits(rsaBits: 2_048))
    let server = try context(rsa)
    let only12 = TLS1_2_VERSION...TLS1_2_VERSION
    for suite in ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"] {
      let caller = try Caller(server, versions: only12, ciphers: suite)
      #expect(caller.shake() == (.failed, "no shared cipher"))
      caller.server.close()
    }
    // The client's order decides.
    for suite in ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384"] {
      let caller = try Caller(server, versions: only12, ciphers: suite + ":ECDHE-RSA-AES128-GCM-SHA256")
      #expect(caller.shake().state == .done)
      #expect(String(cString: SSL_CIPHER_get_name(SSL_get_current_cipher(caller.stream))) == suite)
      caller.server.close()
    }
  }

  @Test func renegotiationIsRefused() throws {
    let server = try context(TestCertificate(TestCertificate.Traits()))
    let caller = try Caller(server, versions: TLS1_2_VERSION...TLS1_2_VERSION)
    defer { caller.server.close() }
    #expect(caller.shake().state == .done)
    let area = ByteArea([UInt8](repeating: 0, count: 8))
    try #require(SSL_renegotiate(caller.stream) == 1)
    ERR_clear_error()
    SSL_do_handshake(caller.stream)
    guard case .wouldBlock = caller.server.read(area.base, 8) else { Issue.record("nothing was sent"); return }
    #expect(caller.receive().isEmpty && caller.reason == SSL_R_NO_RENEGOTIATION)
  }

  @Test func nonsenseFails() throws {
    let server = try context(TestCertificate(TestCertificate.Traits()))
    let words = try Caller(server)
    words.writePlain(raw("nonsense\r\n\r\n"))
    #expect(words.server.handshake() == .failed)
    #expect(words.server.failureReason() == "the client does not speak TLS")
    let cut = try Caller(server)
    cut.writePlain([0x16, 3, 1, 2, 0, 1, 0])
    #expect(cut.server.handshake() == .wantsRead)
    cut.endBelow()
    #expect(cut.server.handshake() == .failed)
    #expect(cut.server.failureReason() == "connection closed during the handshake")
    for caller in [words, cut] { caller.server.close() }
  }

  @Test func aStreamOutlivesItsContext() throws {
    var server: TLSServerContext? = try context(TestCertificate(TestCertificate.Traits()))
    let caller = try Caller(try #require(server))
    server = nil
    #expect(caller.shake().state == .done)
    caller.server.close()
  }

  @Test func readsKnowWhenTheSocketIsEmpty() throws {
    var generator = SeededGenerator(seed: 3)
    let caller = try Caller(context(TestCertificate(TestCertificate.Traits())))
    defer { caller.server.close() }
    try #require(caller.shake().state == .done)
    let area = ByteArea([UInt8](repeating: 0, count: 70_000))
    // Whatever the sizes of records and rooms are: what was sent before a read is there when reads bring less than
    // they have room for.
    let many = [[Int](repeating: 1_013, count: 60), [Int](repeating: 100, count: 180)]
    for sizes in many + [
      [1], [8_191, 1], [8_192, 5], [16_384, 16_384, 1], [4_000, 4_000, 4_000], [16_384, 100, 8_000],
    ] {
      for room in [10, 5_000, 70_000] {
        let bytes = generator.bytes(sizes.reduce(0, +))
        var sent = 0
        for size in sizes {
          caller.send(Array(bytes[sent..<(sent + size)]))
          sent += size
        }
        var received: [UInt8] = []
        while case .bytes(let count) = caller.server.read(area.base, room) {
          received += area.slice(0..<count)
          if count < room { break }
        }
        // Spelt out, both would fill pages.
        #expect((received == bytes) == true, "records of \(sizes) into \(room)")
      }
    }
  }

  @Test func aCutSaysNoEnd() throws {
    let caller = try Caller(context(TestCertificate(TestCertificate.Traits())))
    try #require(caller.shake().state == .done)
    caller.server.breakOff()
    caller.server.close()
    #expect(caller.receive().isEmpty && SSL_get_shutdown(caller.stream) & SSL_RECEIVED_SHUTDOWN == 0)
  }
}
