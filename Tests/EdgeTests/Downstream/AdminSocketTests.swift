// The socket of operators: its lock, its access bits, its end; and who is served on which listener.

import CLinux
import Foundation
import Testing

@testable import Edge

struct AdminSocketTests {
  private let folder: Fixture.Folder

  init() throws { folder = try Fixture.Folder() }

  private func bits(_ path: String) -> mode_t? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode : nil
  }

  private func isServed(_ path: String) -> Bool {
    let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(fd) }
    return SocketPath(path)?.withKernelForm { connect(fd, $0, $1) } == 0
  }

  @Test func itIsForItsOwner() throws {
    let path = folder.path + "/var"
    let socket = try AdminSocket.open(in: path)
    #expect(bits(path).map { $0 & 0o7777 } == 0o700)
    #expect(bits(path + "/admin.sock").map { ($0 & S_IFMT, $0 & 0o7777) }.map { $0 == (S_IFSOCK, 0o600) } == true)
    #expect(isServed(path + "/admin.sock") && socket.listener.address == path + "/admin.sock")
    socket.end()
    #expect(bits(path + "/admin.sock") == nil)
  }

  @Test func oneProcessForAFolder() throws {
    let path = folder.path + "/var"
    let first = try AdminSocket.open(in: path)
    do {
      _ = try AdminSocket.open(in: path)
      Issue.record("opened twice")
    } catch {
      if case .inUse = error {} else { Issue.record("\(error)") }
    }
    #expect(isServed(path + "/admin.sock"), "the first one is still there")
    first.end()
    try AdminSocket.open(in: path).end()
  }

  /// What a killed process has left is no obstacle, whatever it is.
  @Test func leftoversAreReplaced() throws {
    try folder.write("var/admin.sock", "no socket")
    let socket = try AdminSocket.open(in: folder.path + "/var")
    #expect(isServed(folder.path + "/var/admin.sock"))
    socket.end()
  }

  @Test func whatCannotBe() throws {
    try folder.write("file", "")
    for path in [folder.path + "/file", folder.path + "/file/var"] {
      do {
        _ = try AdminSocket.open(in: path)
        Issue.record("opened \(path)")
      } catch {
        if case .fault = error {} else { Issue.record("\(error)") }
      }
    }
    #expect(SocketPath(String(repeating: "x", count: 107)) != nil)
    #expect(SocketPath(String(repeating: "x", count: 108)) == nil)
  }

  /// Who is served where, by what the routes say.
  @Test(arguments: [
    ("{}", "a: {path: /a, builtin: health}", ServedListener.Audience.routes),
    ("{only_named: true}", "a: {path: /a, builtin: health}", .routes),
    ("{only_named: true}", "a: {path: /a, builtin: health, listeners: l}", .builtins),
    ("{only_named: true}", "a: {path: /a, builtin: health, listeners: [main, l]}", .builtins),
    (
      "{only_named: true}",
      "a: {path: /a, builtin: health, listeners: l}\n  b: {path: /b, service: s, listeners: l}", .routes
    ),
    ("{only_named: true}", "a: {path: /a, builtin: health, policies: p, listeners: l}", .routes),
    ("{admin: true}", "a: {path: /a, builtin: health}", .admin),
  ]) func audiences(_ keys: String, _ routes: String, _ expected: ServedListener.Audience) throws {
    try folder.write("policies/p.lua", "return {on_request = function() end}")
    let listener = keys == "{}" ? "{bind: \"127.0.0.1:2\"}" : "{bind: \"127.0.0.1:2\", \(keys.dropFirst())"
    try folder.write(
      "routes.yaml",
      """
      version: 1
      auth: {secret: "0123456789012345678901234567890123456789"}
      listeners: {main: {bind: "127.0.0.1:1"}, l: \(listener)}
      services: {s: {endpoints: "http://127.0.0.1:9"}}
      policies: {p: {script: p.lua}}
      routes:
        \(routes)

      """)
    let outcome = folder.load()
    let snapshot = try #require(outcome.snapshot, "\(folder.rendered(outcome))")
    #expect(snapshot.audience(ofListener: 1) == expected)
  }
}
