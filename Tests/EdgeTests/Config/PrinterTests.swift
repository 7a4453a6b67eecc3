// `check --full`, the JSON Schema and the reference page.

import Foundation
import Testing

@testable import Edge

@Suite struct PrinterTests {
  /// The printed configuration loads to the same snapshot.
  @Test func resolvedTextReadsBack() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", LoaderTests.everything)
    try folder.write("scripts/auth.lua", "return {}\n")
    let first = folder.load()
    let text = ResolvedPrinter.text(try #require(first.resolved))
    let again = try Fixture.Folder()
    try again.write("routes.yaml", try Fixture.readable(text))
    try again.copy(from: folder.path + "/scripts", to: "scripts")
    let second = again.load()
    #expect(again.rendered(second) == [])
    let left = try #require(first.snapshot)
    let right = try #require(second.snapshot)
    #expect(left.limits == right.limits)
    #expect(left.listeners == right.listeners)
    #expect(left.services == right.services)
    #expect(left.routes == right.routes)
    #expect(left.log == right.log)
    #expect(left.auth == right.auth)
    #expect(Set(left.roles.map(\.name)) == Set(right.roles.map(\.name)))
    #expect(left.policies == right.policies)
    #expect(left.scripts.map(\.bytes) == right.scripts.map(\.bytes))
    #expect(left.providers == right.providers && left.providers.count == 1)
    #expect(left.models == right.models && left.models.count == 2)
    #expect(left.credits == right.credits)
    #expect(left.stores == right.stores)
    #expect(left.server.bodyMemoryBytes == right.server.bodyMemoryBytes)
    #expect(left.server.trusted == right.server.trusted)
    #expect(left.server.workers == right.server.workers)
  }

  @Test func originsAreNamed() throws {
    let folder = try Fixture.Folder()
    try folder.write(
      "routes.yaml",
      """
      version: 1
      include: a.yaml
      listeners: {main: {bind: "127.0.0.1:${env:PORT:-3003}"}}
      server: {var: "${file:secret}"}
      """)
    try folder.write("a.yaml", "services:\n  s:\n    endpoints: \"http://h\"\nroutes:\n  r: {path: /, service: s}\n")
    try folder.write("secret", "hush\n")
    let outcome = folder.load(["LOG_LEVEL": "debug", "PORT": "1"])
    #expect(folder.rendered(outcome) == [])
    let text = ResolvedPrinter.text(try #require(outcome.resolved)).replacingOccurrences(
      of: folder.path + "/", with: "")
    func line(_ start: String) -> String {
      text.split(separator: "\n").first { $0.drop { $0 == " " }.hasPrefix(start) }
        .map { $0.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ") } ?? ""
    }
    #expect(line("bind:") == "bind: \"127.0.0.1:1\" # routes.yaml:3 env PORT")
    #expect(line("level:") == "level: debug # env LOG_LEVEL")
    #expect(line("access:") == "access: true # default")
    #expect(line("endpoints:") == "endpoints: [\"http://h:80\"] # a.yaml:3")
    #expect(line("var:") == "var: \"***\" # routes.yaml:4 file secret")
    #expect(line("drain:") == "drain: 30s # default")
    #expect(!text.contains("hush"))
    #expect(!text.contains("include"))
  }

  @Test(arguments: [
    "plain", "a b", "", "true", "1", "1.5", "~", "null", "-", "- a", "a: b", "#x", "x #y", "\"q\"", "back\\slash",
    "$x",
    "${env:X}", "*", "&a", "é", "0x1F", "'", "@", "%", "[a]",
  ])
  func quoting(_ text: String) throws {
    let folder = try Fixture.Folder()
    let value = ResolvedPrinter.quoted(text)
    try folder.write(
      "routes.yaml",
      "version: 1\nlisteners: {main: {bind: \"*:1\"}}\nroutes: {}\nserver: {var: \(value)}\n")
    let outcome = folder.load()
    guard !text.isEmpty else {
      #expect(outcome.snapshot == nil)
      return
    }
    #expect(
      outcome.resolved?.settings["server"]?.value.flatMap { value -> SettingValue? in
        if case .section(let fields) = value { fields.settings["var"]?.value } else { nil }
      } == .text(text))
  }

  /// The committed schema is the one the rows give.
  @Test func schemaHasNotDrifted() throws {
    let path = Fixture.repository + "/docs/routes.schema.json"
    let text = SchemaPrinter.jsonSchema()
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
    let committed = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text == committed, "\(LineDiff.text(committed, text))")
    #expect((try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]) != nil)
  }

  /// The committed reference is the one the rows give.
  @Test func referenceHasNotDrifted() throws {
    let path = Fixture.repository + "/docs/configuration.md"
    let text = ReferencePrinter.markdown() + "\n"
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
    let committed = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text == committed, "\(LineDiff.text(committed, text))")
  }

  @Test func referenceNamesEveryKey() {
    let text = ReferencePrinter.markdown()
    for part in [
      "`include`", "## `server.timeouts`", "## `services.NAME.pool`", "## `services.NAME.tls`", "## `auth.claims`",
      "## `roles.NAME`",
      "## `policies.NAME`", "## `providers.NAME.timeouts`", "## `models.NAME.price.long`", "## `server.memory`",
      "`GATEWAY_TIMEOUT_MS` in ms, else `30s`",
    ] {
      #expect(text.contains(part), "\(part)")
    }
  }
}
