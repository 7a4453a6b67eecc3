// https endpoints, their certificates and the content hash. What is wrong with files is in the corpus of broken ones.

import Testing

@testable import Edge

@Suite struct TrustReaderTests {
  private static let head = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:3003\"}}\n"
  private static let services = """
    services:
      plain: {endpoints: "http://a.test"}
      app:
        endpoints: ["http://a.test", "https://B.test", "https://[::1]:8443"]
        tls: {ca_file: certs/ca.pem, server_name: C.test}
      same: {endpoints: "https://10.0.0.1", tls: {ca_file: certs/ca.pem}}
      other: {endpoints: "https://10.0.0.1"}

    """
  private static let routes = """
    routes:
      a: {path: /a, service: plain}
      b: {path: /b, service: app}
      c: {path: /c, service: same}
      d: {path: /d, service: other}

    """

  private func folder() throws -> Fixture.Folder {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", TrustReaderTests.head + TrustReaderTests.services + TrustReaderTests.routes)
    try folder.write("certs/ca.pem", try TestCertificate.authority("a").pem)
    try folder.write("bundle.pem", try TestCertificate.authority("b").pem)
    return folder
  }

  @Test func servicesKnowWhatTheyTrust() throws {
    let folder = try folder()
    let outcome = folder.load(["SSL_CERT_FILE": "bundle.pem"])
    #expect(folder.rendered(outcome) == [])
    let snapshot = try #require(outcome.snapshot)
    #expect(snapshot.services.map(\.trust) == [nil, 0, 0, 1])
    #expect(snapshot.services.map(\.serverName) == [nil, "c.test", nil, nil])
    #expect(
      snapshot.services[1].endpoints.map(\.text) == ["http://a.test:80", "https://b.test:443", "https://[::1]:8443"])
    #expect(snapshot.trustFiles.map(\.path) == [folder.path + "/certs/ca.pem", folder.path + "/bundle.pem"])
    #expect(latin(snapshot.trustFiles[0].bytes).hasPrefix("-----BEGIN CERTIFICATE-----"))
    #expect(snapshot.trustFiles[0].contentHash == ContentHash.of(snapshot.trustFiles[0].bytes))
    #expect(outcome.files.count == 1, "certificates are not configuration")
  }

  @Test func theSystemsBundleIsTheDefault() throws {
    let snapshot = try #require(try folder().load().snapshot)
    #expect(snapshot.trustFiles.last?.path == "/etc/ssl/certs/ca-certificates.crt")
    #expect(snapshot.services.last?.trust == 1)
  }

  @Test func nothingIsReadForPlainServices() throws {
    let text = TrustReaderTests.head + "services: {s: {endpoints: \"http://h\"}}\nroutes: {r: {path: /, service: s}}\n"
    let outcome = try Fixture.load(text, environment: ["SSL_CERT_FILE": "/nonexistent"]).outcome
    #expect(outcome.diagnoses == [])
    #expect(outcome.snapshot?.trustFiles == [])
    let printed = ResolvedPrinter.text(try #require(outcome.resolved))
    #expect(!printed.contains("ca_file"), "printed, it would be refused when read back")
  }

  @Test func theHashFollowsTheBytes() throws {
    let folder = try folder()
    let before = try #require(folder.load().snapshot?.contentHash)
    #expect(folder.load().snapshot?.contentHash == before)
    try folder.write("certs/ca.pem", try TestCertificate.authority("c").pem)
    #expect(folder.load().snapshot?.contentHash != before)
  }

  @Test func largeFilesAreRefused() throws {
    let folder = try folder()
    let padding = [UInt8](repeating: 0x0A, count: TrustReader.fileBytesMax)
    try folder.write("certs/ca.pem", try TestCertificate.authority().pem + padding)
    let text = folder.rendered(folder.load())
    #expect(text.count == 2)
    #expect(text.allSatisfy { $0.contains("'certs/ca.pem' cannot be used: it is larger than 4MiB") })
  }

  @Test func whatIsResolvedReadsBack() throws {
    let folder = try folder()
    let first = folder.load(["SSL_CERT_FILE": "bundle.pem"])
    try folder.write("routes.yaml", try Fixture.readable(ResolvedPrinter.text(try #require(first.resolved))))
    let second = folder.load()
    #expect(folder.rendered(second) == [])
    #expect(first.snapshot?.services == second.snapshot?.services)
    #expect(first.snapshot?.trustFiles == second.snapshot?.trustFiles)
  }

  @Test func placeholdersReadNothing() throws {
    let text =
      TrustReaderTests.head
        + """
        services:
          s: {endpoints: "${env:A}", tls: {ca_file: "${env:B}", server_name: "${env:C}"}}
          t: {endpoints: "https://h", tls: {ca_file: "${file:/nonexistent/x}"}}
        routes: {r: {path: /, service: s}, t: {path: /t, service: t}}

        """
    let outcome = try Fixture.load(text, placeholders: true).outcome
    #expect(outcome.diagnoses.filter { $0.severity == .error } == [])
    #expect(outcome.snapshot?.trustFiles == [])
  }
}
