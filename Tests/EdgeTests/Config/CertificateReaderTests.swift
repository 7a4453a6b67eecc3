// Listeners with TLS in a configuration: their files, what is wrong with them, and what the content hash sees of them.

import Foundation
import Testing

@testable import Edge

@Suite struct CertificateReaderTests {
  private let folder: Fixture.Folder
  private let leaf: TestCertificate

  private static let routes = "routes: {health: {path: /health, builtin: health}}\n"

  init() throws {
    folder = try Fixture.Folder()
    leaf = try TestCertificate(TestCertificate.Traits())
    try folder.write("tls/a.pem", leaf.pem)
    try write("tls/a.key", leaf.keyPEM())
  }

  /// A file for its owner only.
  private func write(_ name: String, _ bytes: [UInt8]) throws {
    try folder.write(name, bytes)
    chmod("\(folder.path)/\(name)", 0o600)
  }

  private func load(
    _ tls: String = "{certificate: tls/a.pem, key: tls/a.key}", more: String = "",
    environment: [String: String] = [:], placeholders: Bool = false
  ) throws -> LoadOutcome {
    let main = "  main: {bind: \"127.0.0.1:3003\", tls: \(tls)}\n  plain: {bind: \"127.0.0.1:3004\"}\n"
    try folder.write("routes.yaml", "version: 1\nlisteners:\n\(main)\(more)\(CertificateReaderTests.routes)")
    return folder.load(environment, placeholders: placeholders)
  }

  /// The one finding of a load, in one line: its place and what it says.
  private func finding(_ tls: String, environment: [String: String] = [:]) throws -> String {
    let found = folder.rendered(try load(tls, environment: environment))
    #expect(found.count == 1, "\(found)")
    return found.first.map { String($0.prefix { $0 != "\n" }) } ?? ""
  }

  @Test func listenersKnowTheirCertificate() throws {
    let twice = "  third: {bind: \"127.0.0.1:3005\", tls: {certificate: tls/a.pem, key: tls/a.key}}\n"
    let outcome = try load(more: twice)
    #expect(folder.rendered(outcome) == [])
    let snapshot = try #require(outcome.snapshot)
    #expect(snapshot.listeners.map(\.isSecure) == [true, false, true])
    #expect(snapshot.listeners.map(\.certificate) == [0, nil, 0])
    #expect(snapshot.certificates.map(\.path) == [folder.path + "/tls/a.pem"])
    #expect(snapshot.server.handshakeTimeoutMilliseconds == 10_000)
    #expect(outcome.files.count == 1, "certificates are not configuration")
  }

  @Test func pathsMayComeFromTheEnvironment() throws {
    let both = ["CERT": "tls/a.pem", "KEY": "tls/a.key"]
    let tls = "{certificate: \"${env:CERT}\", key: \"${env:KEY}\"}"
    #expect(try load(tls, environment: both).snapshot?.listeners[0].certificate == 0)
    let wrong = both.merging(["KEY": "hidden.key"]) { $1 }
    #expect(
      try finding(tls, environment: wrong)
        == "routes.yaml:3:73: error: the file cannot be used: No such file or directory")
    let open = try load(tls, placeholders: true)
    #expect(open.snapshot?.listeners[0].isSecure == true && open.snapshot?.listeners[0].certificate == nil)
  }

  @Test func mistakesHaveAPlace() throws {
    let other = try TestCertificate(TestCertificate.Traits())
    try write("other.key", other.keyPEM())
    try write("locked.key", leaf.keyPEM(passphrase: "x"))
    try write("empty.key", [])
    try folder.write("chain.pem", other.pem + leaf.pem)
    let weak = try TestCertificate(TestCertificate.Traits(rsaBits: 1_024))
    try folder.write("weak.pem", weak.pem)
    try write("weak.key", weak.keyPEM())
    let certificate = "routes.yaml:3:53: error: 'FILE' cannot be used: "
    for (file, reason) in [
      ("none.pem", "No such file or directory"), ("tls", "it is a folder"),
      ("tls/a.key", "it holds no certificate in PEM form"),
      ("chain.pem", "its first certificate is not the key's own, which stands there as number 2"),
    ] {
      let found = try finding("{certificate: \(file), key: tls/a.key}")
      #expect(found == certificate.replacingOccurrences(of: "FILE", with: file) + reason)
    }
    #expect(
      try finding("{certificate: weak.pem, key: weak.key}")
        == "routes.yaml:3:53: error: 'weak.pem' cannot be used: OpenSSL does not take the certificate: ee key too small"
    )
    for (file, reason) in [
      ("none.key", "No such file or directory"), ("empty.key", "it holds no private key in PEM form"),
      ("tls/a.pem", "it holds no private key in PEM form"), ("locked.key", "the key in it is encrypted"),
      ("other.key", "the key in it does not belong to the certificate"),
    ] {
      let found = try finding("{certificate: tls/a.pem, key: \(file)}")
      #expect(found == "routes.yaml:3:69: error: '\(file)' cannot be used: \(reason)")
    }
  }

  @Test func whatHardlyWasMeantIsAWarning() throws {
    let old = try TestCertificate(TestCertificate.Traits(notBefore: -7_200, notAfter: -3_600))
    let early = try TestCertificate(TestCertificate.Traits(notBefore: 3_600, notAfter: 7_200))
    for (certificate, says) in [(old, "has expired"), (early, "is not valid yet")] {
      try folder.write("b.pem", certificate.pem)
      try write("b.key", certificate.keyPEM())
      #expect(
        try finding("{certificate: b.pem, key: b.key}")
          == "routes.yaml:3:53: warning: the certificate in 'b.pem' \(says): clients refuse it")
      #expect(try load("{certificate: b.pem, key: b.key}").snapshot != nil)
    }
    chmod(folder.path + "/tls/a.key", 0o644)
    #expect(
      try finding("{certificate: tls/a.pem, key: tls/a.key}")
        == "routes.yaml:3:69: warning: every user of this machine may read the private key in 'tls/a.key'")
  }

  @Test func theHashFollowsTheCertificate() throws {
    let before = try #require(load().snapshot)
    #expect(try load().snapshot?.contentHash == before.contentHash)
    let renewed = try TestCertificate(TestCertificate.Traits())
    try folder.write("tls/a.pem", renewed.pem)
    #expect(try load().snapshot == nil, "the old key is not that of the new certificate")
    try write("tls/a.key", renewed.keyPEM())
    let outcome = try load()
    let after = try #require(outcome.snapshot)
    #expect(after.contentHash != before.contentHash)
    let resolved = try #require(outcome.resolved)
    var diff = ConfigDiff(from: resolved, to: resolved)
    diff.compareFiles(before, after)
    #expect(diff.paths(.changed) == ["listeners.main.tls.certificate"])
    // The same certificate in other words.
    try folder.write("tls/a.pem", raw("# renewed\n") + renewed.pem)
    #expect(try load().snapshot?.contentHash == after.contentHash)
  }

  @Test func keysAreNeverShown() throws {
    let lines = latin(leaf.keyPEM()).split(separator: "\n").map(String.init)
    let secret = lines[1]
    let outcome = try load()
    #expect(!ResolvedPrinter.text(try #require(outcome.resolved)).contains(secret))
    // Whoever writes the key itself where its path belongs is told so, and reads nothing of it.
    for value in ["\"\(lines.joined(separator: "\\n"))\"", "\"${file:tls/a.key}\"", "\"${env:KEY}\""] {
      let wrong = try load(
        "{certificate: tls/a.pem, key: \(value)}", environment: ["KEY": lines.joined(separator: "\n")])
      #expect(wrong.snapshot == nil)
      #expect(!wrong.report.contains(secret), "\(wrong.report)")
    }
    let pasted = lines.map { "          \($0)\n" }.joined()
    try folder.write(
      "routes.yaml",
      "version: 1\nlisteners:\n  main:\n    bind: \"127.0.0.1:3003\"\n    tls:\n      certificate: tls/a.pem\n"
        + "      key: |\n\(pasted)")
    let wrong = folder.load()
    #expect(wrong.snapshot == nil && !wrong.report.contains(secret), "\(wrong.report)")
  }

  @Test func operatorsAreServedWithoutIt() throws {
    let more = "  ops: {bind: \"127.0.0.1:3005\", admin: true, tls: {certificate: tls/a.pem, key: tls/a.key}}\n"
    let found = folder.rendered(try load(more: more))
    #expect(found.count == 1 && found[0].hasPrefix("routes.yaml:5:46: error: 'tls' has no meaning beside 'admin'"))
  }
}
