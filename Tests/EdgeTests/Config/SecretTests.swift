// Secrets: nobody may see them, and where the one of development comes from.

import Foundation
import Testing

@testable import Edge

@Suite struct SecretTests {
  private static let head =
    "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\nroutes: {r: {path: /, builtin: health}}\n"
  private static let secret = "hunter2-hunter2-hunter2-hunter2-hunter2"

  @Test func nothingPrintsASecret() throws {
    let (outcome, _) = try Fixture.load(SecretTests.head + "auth: {secret: \(SecretTests.secret)}\n")
    let snapshot = try #require(outcome.snapshot)
    let resolved = try #require(outcome.resolved)
    let number = "\(Array(SecretTests.secret.utf8))".dropFirst().dropLast()
    let texts = [
      "\(snapshot.auth)", String(reflecting: snapshot.auth), String(describing: snapshot.auth.secrets), "\(resolved)",
      ResolvedPrinter.text(resolved),
    ]
    for text in texts { #expect(!text.contains("hunter2") && !text.contains(number)) }
    #expect(snapshot.auth.secrets.allSatisfy { Mirror(reflecting: $0).children.isEmpty })
    for text in texts[..<3] { #expect(text.contains("***")) }
    #expect(texts[4].contains("secret: [\"***\"]"))
  }

  /// Wherever a message points, the line does not show the secret beside it.
  @Test(arguments: [
    "auth: {secret: SECRET, unknown: 1}",
    "auth: {unknown: SECRET}",
    "auth: {secret: [SECRET, short]}",
    "auth: {secret: 'SECRET', leeway: 1}",
    "auth: {secret: {a: SECRET}, leeway: x}",
    "auth: {secret: {SECRET: a}, leeway: x}",
    "auth: {secret: [[SECRET]]}",
    "auth: {secret: \"SECRET\\n\"}",
    "auth: {secret: \"${env:UNSET:-SECRET}\", leeway: 1}",
    "auth: {secret: \"${env:UNSET}${SECRET}\"}",
    "auth: {secret: \"${env:SECRET}\"}",
    "auth: {secret: \"SECRET${\"}",
    "auth: {secret: SECRET, leeway: 1s",
    "auth:\n  secret: SECRET\n  secret: SECRET",
    "auth:\n  secret:\n    - SECRET: x\n   - y",
    "auth:\n  secret: |\n    SECRET\n  leeway: x",
    "auth: {secret: SECRET}\nauth: {secret: SECRET}",
    "auth: {sceret: &a SECRET}",
  ])
  func messagesHideIt(_ body: String) throws {
    let text = SecretTests.head + body.replacing("SECRET", with: SecretTests.secret) + "\n"
    let (outcome, messages) = try Fixture.load(text)
    #expect(outcome.snapshot == nil)
    #expect(!messages.isEmpty)
    for message in messages { #expect(!message.contains("hunter2"), "\(message)") }
  }

  @Test func twoFilesThatGiveOneHideBoth() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", SecretTests.head + "include: a.yaml\nauth: {secret: \(SecretTests.secret)}\n")
    try folder.write("a.yaml", "auth: {secret: \(SecretTests.secret)}\n")
    let text = folder.load().report
    #expect(text.contains("'auth.secret' is set twice") && !text.contains("hunter2"))
  }

  @Test func aSecretOfAFileIsRead() throws {
    let folder = try Fixture.Folder()
    try folder.write("key", SecretTests.secret + "\n")
    try folder.write("routes.yaml", SecretTests.head + "auth: {secret: \"${file:key}\"}\n")
    #expect(folder.load(["JWT_SECRET": ""]).snapshot?.auth.secrets.first?.bytes == Array(SecretTests.secret.utf8))
  }

  // MARK: - Development

  private static let none = ["JWT_SECRET": ""]

  private static func bits(_ path: String) throws -> Int {
    let value = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
    return try #require(value).intValue
  }

  @Test func runMakesOneAndKeepsIt() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", SecretTests.head + "server: {var: state/deep/}\n")
    #expect(folder.load(SecretTests.none, dev: false, mayWrite: true).snapshot == nil)
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/state"))
    let first = try #require(folder.load(SecretTests.none, dev: true, mayWrite: true).snapshot)
    let path = folder.path + "/state/deep/dev_jwt_secret"
    let kept = try Data(contentsOf: URL(fileURLWithPath: path))
    #expect(kept.count == 65 && kept.last == 0x0A)
    #expect(first.auth.secrets == [SecretText(bytes: Array(kept.dropLast()))])
    #expect(kept.dropLast().allSatisfy { "0123456789abcdef".utf8.contains($0) })
    #expect(try SecretTests.bits(path) == 0o600)
    #expect(try SecretTests.bits(folder.path + "/state/deep") == 0o700)
    #expect(try SecretTests.bits(folder.path + "/state") == 0o700)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/state/deep") == ["dev_jwt_secret"])
    let again = try #require(folder.load(SecretTests.none, dev: true, mayWrite: true).snapshot)
    #expect(again.auth == first.auth && again.contentHash == first.contentHash)
    let checked = try #require(folder.load(SecretTests.none, dev: true).snapshot)
    #expect(checked.auth == first.auth && checked.contentHash == first.contentHash)
    try FileManager.default.removeItem(atPath: path)
    let other = try #require(folder.load(SecretTests.none, dev: true, mayWrite: true).snapshot)
    #expect(other.auth != first.auth && other.contentHash != first.contentHash)
  }

  @Test func checkMakesNone() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", SecretTests.head + "auth: {secret: \"${env:JWT_SECRET}\"}\n")
    let outcome = folder.load(SecretTests.none, dev: true)
    #expect(folder.rendered(outcome) == [])
    #expect(outcome.snapshot?.auth.secrets.count == 1)
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/var"))
  }

  /// What gives a secret comes first; a configuration with errors makes none.
  @Test func noneIsMadeWhereNoneIsNeeded() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", SecretTests.head)
    #expect(folder.load(dev: true, mayWrite: true).snapshot != nil)
    try folder.write("routes.yaml", SecretTests.head + "auth: {secret: \(SecretTests.secret)}\n")
    #expect(folder.load(SecretTests.none, dev: true, mayWrite: true).snapshot != nil)
    try folder.write("routes.yaml", SecretTests.head + "log: {level: loud}\n")
    #expect(folder.load(SecretTests.none, dev: true, mayWrite: true).snapshot == nil)
    try folder.write("routes.yaml", SecretTests.head)
    #expect(
      folder.load(["JWT_SECRET": "", "NODE_ENV": "production"], dev: true, mayWrite: true).snapshot == nil)
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/var"))
    try folder.write("routes.yaml", SecretTests.head + "auth: {secret: \"${env:JWT_SECRET}\"}\n")
    #expect(folder.load(SecretTests.none, dev: true, mayWrite: true).snapshot != nil)
    #expect(FileManager.default.fileExists(atPath: folder.path + "/var/dev_jwt_secret"))
  }

  @Test func aFileThatCannotBeTrustedIsRefused() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", SecretTests.head)
    let path = folder.path + "/var/dev_jwt_secret"
    func reason() -> String {
      let outcome = folder.load(SecretTests.none, dev: true, mayWrite: true)
      #expect(outcome.snapshot == nil)
      return folder.rendered(outcome).joined()
    }
    let good = String(repeating: "0a", count: 32)
    try folder.write("var/dev_jwt_secret", good)
    for bits in [0o644, 0o640, 0o660, 0o400, 0o700] {
      try FileManager.default.setAttributes([.posixPermissions: bits], ofItemAtPath: path)
      #expect(reason().contains("its bits are \(String(bits, radix: 8)), not 600"))
    }
    for text in ["", "short", good + "0", String(repeating: "x", count: 64), good + "\n\n"] {
      try folder.write("var/dev_jwt_secret", text)
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
      #expect(reason().contains("it does not hold 64 hex digits"))
    }
    try FileManager.default.removeItem(atPath: path)
    try folder.write("var/elsewhere", good)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder.path + "/var/elsewhere")
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "elsewhere")
    #expect(reason().contains("it is not a regular file"))
    try FileManager.default.removeItem(atPath: folder.path + "/var")
    try folder.write("var", "a file")
    #expect(reason().contains("var/dev_jwt_secret: error: the secret of --dev cannot be used: "))
  }

  /// Of two that make one at once, the first wins and the second takes its secret.
  @Test func anotherProcessMayBeFirst() throws {
    let folder = try Fixture.Folder()
    let first = try DevSecret.make(in: folder.path)
    #expect(try DevSecret.make(in: folder.path) == first)
    #expect(try DevSecret.random() != DevSecret.random())
  }
}
