import COpenSSL
import Foundation
import Testing

@testable import Edge

struct TLSTests {
  /// A client over a peer's socket; closed by the test.
  private func client(
    _ peer: TLSPeer, _ trusted: TestCertificate, name: String = "localhost", isAddress: Bool = false
  ) throws -> TLSStream {
    let context = try #require(TLSClientContext(try TrustStore(pem: trusted.pem)))
    let text = ByteArea(raw(name))
    // The stream keeps OpenSSL's context alive; the name's memory ends here, for it was copied.
    let bytes = StaticBytes(start: UnsafePointer(text.base), count: text.count)
    return try #require(context.open(fd: peer.clientFD, name: bytes, isAddress: isAddress))
  }

  /// A connection whose handshake is done.
  private func connected(_ traits: TLSPeer.Traits = TLSPeer.Traits()) throws -> (TLSStream, TLSPeer) {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(try root.issue("DNS:localhost"), traits)
    let stream = try client(peer, root)
    try #require(peer.shake(with: stream) == .done)
    return (stream, peer)
  }

  /// The outcome of a handshake with a certificate for `names`: "done" or the reason.
  private func outcome(
    _ names: String?, asked name: String, isAddress: Bool = false, notBefore: Int = -3_600, notAfter: Int = 3_600
  ) throws -> String {
    let root = try TestCertificate.authority()
    let leaf = try root.issue(names, notBefore: notBefore, notAfter: notAfter)
    return try outcome(leaf, trusting: root, name, isAddress)
  }

  private func outcome(
    _ leaf: TestCertificate, trusting: TestCertificate, _ name: String = "localhost", _ isAddress: Bool = false,
    _ traits: TLSPeer.Traits = TLSPeer.Traits()
  ) throws -> String {
    let peer = try TLSPeer(leaf, traits)
    let stream = try client(peer, trusting, name: name, isAddress: isAddress)
    defer { stream.close() }
    while true {
      let state = stream.handshake()
      if state == .done { return "done" }
      if state == .failed { return stream.failureReason() }
      peer.shake()
    }
  }

  // MARK: Handshake

  @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func aGoodServerIsTalkedTo(version: Int32) throws {
    let (stream, peer) = try connected(TLSPeer.Traits(versions: version...version, chosenProtocol: "http/1.1"))
    #expect(SSL_version(peer.stream) == version)
    #expect(peer.serverName == "localhost")
    let area = ByteArea([UInt8](repeating: 0, count: 64))
    // TLS 1.3 sends its session tickets behind the handshake; they are nothing to read.
    guard case .wouldBlock = stream.read(area.base, 64) else { Issue.record("nothing was sent yet"); return }
    let sent = ByteArea(raw("GET / HTTP/1.1\r\n\r\n"))
    guard case .bytes(18) = stream.write(sent.base, 18) else { Issue.record("not written"); return }
    #expect(latin(peer.receive()) == "GET / HTTP/1.1\r\n\r\n")
    peer.send(raw("HTTP/1.1 200 OK"))
    guard case .bytes(15) = stream.read(area.base, 64) else { Issue.record("not read"); return }
    #expect(latin(area.slice(0..<15)) == "HTTP/1.1 200 OK")
    #expect(!stream.hasPending)
    stream.close()
    #expect(peer.sawCloseNotify)
  }

  @Test func aSlotHoldsAStreamAsEightBytes() {
    #expect(MemoryLayout<TLSStream?>.size == 8)
  }

  @Test func addressesAreNotSentAsNames() throws {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(try root.issue("IP:127.0.0.1,IP:::1"))
    let stream = try client(peer, root, name: "127.0.0.1", isAddress: true)
    defer { stream.close() }
    #expect(peer.shake(with: stream) == .done)
    #expect(peer.serverName == nil)
  }

  @Test func namesAreChecked() throws {
    let wrongName = "certificate verify failed: hostname mismatch"
    let wrongAddress = "certificate verify failed: IP address mismatch"
    #expect(try outcome("DNS:other.test,DNS:a.test", asked: "a.test") == "done")
    #expect(try outcome("DNS:other.test", asked: "a.test") == wrongName)
    #expect(try outcome("DNS:*.a.test", asked: "b.a.test") == "done")
    #expect(try outcome("DNS:*.a.test", asked: "a.test") == wrongName)
    #expect(try outcome("DNS:*.a.test", asked: "c.b.a.test") == wrongName)
    #expect(try outcome("DNS:b*.a.test", asked: "bc.a.test") == wrongName)
    #expect(try outcome("DNS:*", asked: "localhost") == wrongName)
    #expect(try outcome("IP:127.0.0.1", asked: "127.0.0.1", isAddress: true) == "done")
    #expect(try outcome("IP:127.0.0.2", asked: "127.0.0.1", isAddress: true) == wrongAddress)
    #expect(try outcome("DNS:127.0.0.1", asked: "127.0.0.1", isAddress: true) == wrongAddress)
    #expect(try outcome("IP:::1", asked: "::1", isAddress: true) == "done")
  }

  @Test func unusableNamesAreRefused() throws {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(try root.issue("DNS:localhost"))
    let context = try #require(TLSClientContext(try TrustStore(pem: root.pem)))
    #expect(context.open(fd: peer.clientFD, name: .empty, isAddress: false) == nil)
    #expect(context.open(fd: peer.clientFD, name: StaticBytes("localhost"), isAddress: true) == nil)
    let long = ByteArea([UInt8](repeating: 0x61, count: 254))
    let name = StaticBytes(start: UnsafePointer(long.base), count: long.count)
    #expect(context.open(fd: peer.clientFD, name: name, isAddress: false) == nil)
  }

  @Test func certificatesHaveTheirTime() throws {
    let expired = "certificate verify failed: certificate has expired"
    #expect(try outcome("DNS:localhost", asked: "localhost", notBefore: -7_200, notAfter: -3_600) == expired)
    let early = "certificate verify failed: certificate is not yet valid"
    #expect(try outcome("DNS:localhost", asked: "localhost", notBefore: 3_600, notAfter: 7_200) == early)
  }

  @Test func chainsEndInTheStore() throws {
    let root = try TestCertificate.authority("a")
    let middle = try root.issueAuthority("b")
    let leaf = try middle.issue("DNS:localhost")
    let unknown = "certificate verify failed: unable to get local issuer certificate"
    #expect(try outcome(leaf, trusting: try TestCertificate.authority("c")) == unknown)
    #expect(try outcome(leaf, trusting: root) == unknown, "the one in the middle was not sent")
    #expect(try outcome(leaf, trusting: root, "localhost", false, TLSPeer.Traits(chain: [middle])) == "done")
    #expect(try outcome(leaf, trusting: middle) == "done", "what stands in the file is trusted")
    #expect(try outcome(leaf, trusting: leaf) == "done")
    let impostor = try TestCertificate.authority("a").issue("DNS:localhost")
    #expect(try outcome(impostor, trusting: root) == "certificate verify failed: certificate signature failure")
    let selfSigned = try TestCertificate(TestCertificate.Traits(alternativeNames: "DNS:localhost"))
    #expect(try outcome(selfSigned, trusting: root) == "certificate verify failed: self-signed certificate")
    // A leaf is no authority.
    let belowTraits = TestCertificate.Traits(commonName: "below", alternativeNames: "DNS:localhost")
    let belowLeaf = try TestCertificate(belowTraits, issuer: leaf)
    let chain = TLSPeer.Traits(chain: [leaf, middle])
    let refused = try outcome(belowLeaf, trusting: root, "localhost", false, chain)
    #expect(refused == "certificate verify failed: invalid CA certificate")
  }

  @Test func oldVersionsAreRefused() throws {
    let root = try TestCertificate.authority()
    let leaf = try root.issue("DNS:localhost")
    let traits = TLSPeer.Traits(versions: TLS1_VERSION...TLS1_1_VERSION)
    #expect(try outcome(leaf, trusting: root, "localhost", false, traits) == "tlsv1 alert protocol version")
  }

  @Test func anotherProtocolIsRefused() throws {
    let root = try TestCertificate.authority()
    let leaf = try root.issue("DNS:localhost")
    let refused = try outcome(leaf, trusting: root, "localhost", false, TLSPeer.Traits(chosenProtocol: "h2"))
    // OpenSSL sees it first, since 3.0.14.
    #expect(["bad extension", "the server chose the protocol 'h2' instead of http/1.1"].contains(refused))
  }

  @Test func whatIsNoTLSFails() throws {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(root)
    let stream = try client(peer, root)
    defer { stream.close() }
    #expect(stream.handshake() == .wantsRead)
    peer.sendPlain("HTTP/1.1 400 Bad Request\r\n\r\n")
    #expect(stream.handshake() == .failed)
    #expect(stream.failureReason() == "the server does not speak TLS")
    #expect(stream.handshake() == .failed, "it stays failed")
  }

  @Test func aServerThatLeavesFails() throws {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(root)
    let stream = try client(peer, root)
    defer { stream.close() }
    #expect(stream.handshake() == .wantsRead)
    peer.sendFIN()
    #expect(stream.handshake() == .failed)
    #expect(stream.failureReason() == "connection closed during the handshake")
  }

  @Test func aResetIsNamed() throws {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(root, TLSPeer.Traits(isTCP: true))
    let stream = try client(peer, root)
    defer { stream.close() }
    #expect(stream.handshake() == .wantsRead)
    peer.reset()
    #expect(stream.handshake() == .failed)
    #expect(stream.failureReason() == "Connection reset by peer")
  }

  @Test func afterOneFailureAnotherStreamWorks() throws {
    let (stream, peer) = try connected()
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    let root = try TestCertificate.authority()
    let bad = try TLSPeer(try root.issue("DNS:other.test"))
    let failing = try client(bad, root)
    #expect(bad.shake(with: failing) == .failed)
    // The failure is still on the thread's queue; it is not this stream's.
    guard case .wouldBlock = stream.read(area.base, 16) else { Issue.record("nothing was sent"); return }
    failing.close()
    peer.send(raw("hello"))
    guard case .bytes(5) = stream.read(area.base, 16) else { Issue.record("not read"); return }
  }

  // MARK: Bytes

  @Test func readsGoOnUntilNothingIsLeft() throws {
    var generator = SeededGenerator(seed: 7)
    let (stream, peer) = try connected()
    defer { stream.close() }
    let bytes = generator.bytes(100_000)
    try #require(peer.send(bytes) == bytes.count)
    let area = ByteArea([UInt8](repeating: 0, count: 70_000))
    guard case .bytes(70_000) = stream.read(area.base, 70_000) else { Issue.record("the room is not full"); return }
    #expect(area.bytes == Array(bytes[..<70_000]))
    #expect(stream.hasPending, "a record is there in part")
    guard case .bytes(30_000) = stream.read(area.base, 70_000) else { Issue.record("not all came"); return }
    #expect(area.slice(0..<30_000) == Array(bytes[70_000...]))
    #expect(!stream.hasPending)
    guard case .wouldBlock = stream.read(area.base, 70_000) else { Issue.record("there is no more"); return }
  }

  @Test func halfARecordIsNothingYet() throws {
    let (stream, peer) = try connected(TLSPeer.Traits(socketBytes: 4_608))
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 32_768))
    // One record of 16,384 bytes does not fit into the socket at once.
    let sent = peer.send([UInt8](repeating: 0x61, count: 16_384))
    try #require(sent == 0, "the socket took a whole record")
    guard case .wouldBlock = stream.read(area.base, area.count) else { Issue.record("read too early"); return }
    #expect(!stream.hasPending, "a loop would never end")
    var filled = 0
    for _ in 0..<100 where filled < 16_384 {
      peer.send([UInt8](repeating: 0x61, count: 16_384 - filled))
      if case .bytes(let count) = stream.read(area.base, area.count) { filled += count }
    }
    #expect(filled == 16_384)
  }

  @Test func aSlowReaderGetsEverythingInOrder() throws {
    var generator = SeededGenerator(seed: 11)
    let (stream, peer) = try connected(TLSPeer.Traits(socketBytes: 8_192))
    defer { stream.close() }
    let bytes = generator.bytes(300_000)
    var received: [UInt8] = []
    var sent = 0
    var refusals = 0
    while sent < bytes.count {
      // What was not taken comes again from another place, and once it waited, no more than was offered.
      let area = ByteArea(Array(bytes[sent..<min(bytes.count, sent + 40_000)]))
      switch stream.write(area.base, area.count) {
      case .bytes(let count):
        #expect(count > 0)
        sent += count
      case .wouldBlock:
        refusals += 1
        received += peer.receive(5_000)
      case .ended, .failed: Issue.record("the write failed"); return
      }
    }
    while received.count < bytes.count { received += peer.receive(5_000) }
    #expect(received == bytes)
    #expect(refusals > 10)
  }

  @Test func keysMayChange() throws {
    let (stream, peer) = try connected(TLSPeer.Traits(versions: TLS1_3_VERSION...TLS1_3_VERSION))
    defer { stream.close() }
    let area = ByteArea(raw("question"))
    try #require(SSL_key_update(peer.stream, SSL_KEY_UPDATE_REQUESTED) == 1)
    peer.shake()
    guard case .wouldBlock = stream.read(area.base, 8) else { Issue.record("nothing was sent"); return }
    guard case .bytes(8) = stream.write(area.base, 8) else { Issue.record("not written"); return }
    #expect(peer.receive() == raw("question"))
    peer.send(raw("answer"))
    guard case .bytes(6) = stream.read(area.base, 8) else { Issue.record("not read"); return }
  }

  @Test func renegotiationIsRefused() throws {
    let (stream, peer) = try connected(TLSPeer.Traits(versions: TLS1_2_VERSION...TLS1_2_VERSION))
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 8))
    try #require(SSL_renegotiate(peer.stream) == 1)
    peer.shake()
    guard case .wouldBlock = stream.read(area.base, 8) else { Issue.record("nothing was sent"); return }
    #expect(peer.receive().isEmpty)
    #expect(ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION)
  }

  // MARK: End

  @Test func closeNotifyIsAnEnd() throws {
    let (stream, peer) = try connected()
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    peer.send(raw("hello"))
    peer.sendCloseNotify()
    guard case .bytes(5) = stream.read(area.base, 16) else { Issue.record("not read"); return }
    #expect(stream.hasPending, "no event will tell of the end")
    guard case .ended = stream.read(area.base, 16) else { Issue.record("not ended"); return }
    guard case .ended = stream.read(area.base, 16) else { Issue.record("it stays ended"); return }
    // The other direction is open still.
    guard case .bytes(5) = stream.write(area.base, 5) else { Issue.record("not written"); return }
    #expect(peer.receive() == raw("hello"))
  }

  @Test func aFINAloneIsACut() throws {
    let (stream, peer) = try connected()
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    peer.send(raw("hello"))
    peer.sendFIN()
    guard case .bytes(5) = stream.read(area.base, 16) else { Issue.record("not read"); return }
    // As with a plain socket, only another read shows it.
    guard case .failed(ECONNRESET) = stream.read(area.base, 16) else { Issue.record("not cut"); return }
    guard case .failed(ECONNRESET) = stream.read(area.base, 16) else { Issue.record("it stays cut"); return }
    guard case .failed(EPIPE) = stream.write(area.base, 5) else { Issue.record("written after a fault"); return }
  }

  @Test func aFINBehindNothingIsACutToo() throws {
    let (stream, peer) = try connected()
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    peer.sendFIN()
    guard case .failed(ECONNRESET) = stream.read(area.base, 16) else { Issue.record("not cut"); return }
  }

  @Test func aResetIsACut() throws {
    let (stream, peer) = try connected(TLSPeer.Traits(isTCP: true))
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    peer.reset()
    guard case .failed(ECONNRESET) = stream.read(area.base, 16) else { Issue.record("not cut"); return }
    guard case .failed = stream.write(area.base, 16) else { Issue.record("written after a fault"); return }
  }

  @Test func aWriteToAClosedSocketFails() throws {
    let (stream, peer) = try connected()
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    peer.closeSocket()
    guard case .failed(EPIPE) = stream.write(area.base, 16) else { Issue.record("no EPIPE"); return }
    guard case .failed = stream.read(area.base, 16) else { Issue.record("read after a fault"); return }
  }

  @Test func damagedRecordsFail() throws {
    let (stream, peer) = try connected()
    defer { stream.close() }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    peer.sendPlain("\u{17}\u{3}\u{3}\u{0}\u{20}" + String(repeating: "x", count: 32))
    guard case .failed(EPROTO) = stream.read(area.base, 16) else { Issue.record("not refused"); return }
    guard case .failed = stream.read(area.base, 16) else { Issue.record("it stays failed"); return }
  }

  @Test func closingTellsThePeerOnlyAfterTheHandshake() throws {
    let root = try TestCertificate.authority()
    let peer = try TLSPeer(try root.issue("DNS:localhost"))
    let stream = try client(peer, root)
    #expect(stream.handshake() == .wantsRead)
    stream.close()
    peer.shake()
    #expect(!peer.sawCloseNotify)
    // The descriptor is still open.
    #expect(fcntl(peer.clientFD, F_GETFD) >= 0)
  }

  @Test func closingDoesNotWait() throws {
    let (stream, peer) = try connected(TLSPeer.Traits(socketBytes: 4_608))
    let area = ByteArea([UInt8](repeating: 0x61, count: 100_000))
    _ = stream.write(area.base, area.count)
    stream.close()
    // The record that was cut off shows that this is no end.
    #expect(!peer.sawCloseNotify)
  }
}

struct TrustStoreTests {
  private func error(_ pem: [UInt8]) -> TrustError? {
    do throws(TrustError) {
      _ = try TrustStore(pem: pem)
      return nil
    } catch { return error }
  }

  @Test func certificatesAreReadWithWhatStandsBetween() throws {
    let (first, second) = (try TestCertificate.authority("a").pem, try TestCertificate.authority("b").pem)
    #expect(error(first) == nil)
    #expect(error(raw("# two authorities\n\n") + first + raw("\nCN=b\n") + second + raw("\n\n")) == nil)
    #expect(error(first + first) == nil, "one that comes twice does no harm")
  }

  @Test func nothingIsNoTrust() throws {
    #expect(error([]) == .empty)
    #expect(error(raw("hello\n")) == .empty)
    #expect(error([0x30, 0x82, 0x01, 0x00]) == .empty, "DER")
    #expect(error(raw("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")) == .empty)
    #expect(TrustError.empty.reason == "it holds no certificate in PEM form")
  }

  @Test func brokenCertificatesAreNamed() throws {
    let good = try TestCertificate.authority().pem
    let text = latin(good)
    let noBase64 = raw(text.replacingOccurrences(of: "MII", with: "M?I"))
    #expect(error(noBase64) == .malformed(certificate: 1, reason: "bad base64 decode"))
    #expect(error(good + noBase64) == .malformed(certificate: 2, reason: "bad base64 decode"))
    let lines = text.split(separator: "\n")
    let cut = raw(lines.dropLast().joined(separator: "\n") + "\n")
    #expect(error(good + cut) == .malformed(certificate: 2, reason: "bad end line"))
    let noCertificate = raw("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    guard case .malformed(1, let reason) = error(noCertificate) else { Issue.record("accepted"); return }
    #expect(!reason.isEmpty && !reason.contains(":"))
  }
}
