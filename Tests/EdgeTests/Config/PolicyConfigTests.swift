// `auth`, `roles`, `policies` and what routes say about them; scripts, settings and the places within scripts.

import Foundation
import Testing

@testable import Edge

@Suite struct PolicyConfigTests {
  private let folder: Fixture.Folder
  private static let head = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\n"

  init() throws {
    folder = try Fixture.Folder()
    try folder.write("policies/auth.lua", "return {}\n")
    try folder.write("policies/team/limit.lua", "-- limit\nreturn {}\n")
  }

  private func load(_ body: String, _ environment: [String: String] = [:]) throws -> Snapshot {
    try folder.write("routes.yaml", PolicyConfigTests.head + body)
    let outcome = folder.load(environment)
    #expect(folder.rendered(outcome) == [])
    return try #require(outcome.snapshot)
  }

  private func settings(_ yaml: String, _ environment: [String: String] = [:]) throws -> SettingsTree {
    let lines = yaml.split(separator: "\n").map { "      \($0)" }.joined(separator: "\n")
    let body = "policies:\n  p:\n    script: auth.lua\n    settings:\n\(lines)\n"
    return try load(body + "routes: {r: {path: /, handler: p}}\n", environment).policies[0].settings
  }

  @Test func everyKeyIsDecoded() throws {
    let snapshot = try load(
      """
      auth:
        secret: [first-first-first-first-first-first, "${env:OLD}"]
        issuer: https://id.example.com
        audience: edge
        require_exp: false
        leeway: 1500ms
        claims: {user: uid, roles: [groups, team]}
      roles:
        viewer: {permissions: [mcp:read, "files:*"]}
        user: {permissions: "*"}
      policies:
        auth: {script: auth.lua}
        limit: {script: team/limit.lua, settings: {limit: 100 per 1m}}
        again: {script: auth.lua, settings: [1]}
      services: {s: {endpoints: "http://h"}}
      routes:
        chat: {path: /chat, service: s, policies: [limit, auth], permission: services:use}
        hello: {path: /hello, handler: again, policies: auth}
        health: {path: /health, builtin: health, policies: [auth]}
        open: {path: /open, service: s}
      """, ["OLD": String(repeating: "old!", count: 8)])
    #expect(
      snapshot.auth
        == AuthSettings(
          secrets: [
            SecretText(bytes: Array("first-first-first-first-first-first".utf8)),
            SecretText(bytes: Array(String(repeating: "old!", count: 8).utf8)),
          ], issuer: "https://id.example.com", audiences: ["edge"], requiresExpiry: false, leewaySeconds: 2,
          userClaims: ["uid"], roleClaims: ["groups", "team"]))
    #expect(
      snapshot.roles == [
        Role(name: "admin", permissions: ["*"]), Role(name: "viewer", permissions: ["mcp:read", "files:*"]),
        Role(name: "user", permissions: ["*"]),
      ])
    #expect(snapshot.policies.map(\.name) == ["auth", "limit", "again"])
    #expect(snapshot.policies.map(\.script) == [0, 1, 0], "one file, one script")
    #expect(
      snapshot.policies.map(\.settings) == [
        .map([]), .map([SettingsPair(key: "limit", value: .text("100 per 1m"))]), .list([.integer(1)]),
      ])
    #expect(snapshot.scripts.map(\.path) == ["auth.lua", "team/limit.lua"].map { "\(folder.path)/policies/\($0)" })
    #expect(snapshot.scripts.map(\.bytes) == [Array("return {}\n".utf8), Array("-- limit\nreturn {}\n".utf8)])
    #expect(snapshot.routes.map(\.policies) == [[1, 0], [0], [0], []])
    #expect(snapshot.routes.map(\.permission) == ["services:use", nil, nil, nil])
    #expect(snapshot.routes.map(\.target) == [.service(0), .handler(2), .builtin(.health), .service(0)])
  }

  @Test func everyDefaultHolds() throws {
    let snapshot = try load("routes: {r: {path: /, builtin: health}}\n")
    let secret = try #require(Fixture.environment["JWT_SECRET"])
    #expect(
      snapshot.auth
        == AuthSettings(
          secrets: [SecretText(bytes: Array(secret.utf8))], issuer: nil, audiences: [], requiresExpiry: true,
          leewaySeconds: 30, userClaims: ["sub", "userId", "id"], roleClaims: ["role", "roles"]))
    #expect(
      snapshot.roles == [
        Role(name: "user", permissions: ["services:use", "mcp:read", "mcp:execute"]),
        Role(name: "admin", permissions: ["*"]),
      ])
    #expect(snapshot.policies == [] && snapshot.scripts == [])
  }

  /// A secret with a comma is one secret.
  @Test func theSecretOfTheEnvironmentIsTakenWhole() throws {
    let secret = "aaaa, bbbb, cccc, dddd, eeee, ffff, gggg"
    let snapshot = try load("routes: {r: {path: /, builtin: health}}\n", ["JWT_SECRET": secret])
    #expect(snapshot.auth.secrets == [SecretText(bytes: Array(secret.utf8))])
  }

  @Test func longSecretsAreRefused() throws {
    let long = String(repeating: "x", count: SecretText.bytesMax + 1)
    try folder.write("routes.yaml", PolicyConfigTests.head + "auth: {secret: \(long)}\nroutes: {}\n")
    #expect(folder.load().report.contains("the secret is longer than 1024 bytes"))
  }

  // MARK: - Settings

  @Test func scalarsHaveTheTypesOfTheCoreSchema() throws {
    let tree = try settings(
      """
      nothing: ~
      yes: yes
      truth: true
      count: 12
      hex: 0x10
      real: 1.5
      big: 1e3
      quoted: "12"
      tagged: !!str true
      empty: ""
      list: [1, [two], {three: 3}]
      12: key
      """)
    let three = SettingsTree.map([SettingsPair(key: "three", value: .integer(3))])
    let expected: [(String, SettingsTree)] = [
      ("nothing", .null), ("yes", .text("yes")), ("truth", .boolean(true)), ("count", .integer(12)),
      ("hex", .integer(16)), ("real", .number(1.5)), ("big", .number(1000)), ("quoted", .text("12")),
      ("tagged", .text("true")), ("empty", .text("")),
      ("list", .list([.integer(1), .list([.text("two")]), three])), ("12", .text("key")),
    ]
    #expect(tree == SettingsTree.map(expected.map { SettingsPair(key: $0.0, value: $0.1) }))
  }

  @Test func textsMayHaveSeveralLines() throws {
    #expect(try settings("|\n  one\n  two\t3") == .text("one\ntwo\t3\n"))
  }

  @Test func referencesAreTextAndMasked() throws {
    let yaml = "key: ${env:KEY}\nnumber: ${env:NUMBER}\nshown: ${env:UNSET:-7}\nmixed: [\"a-${env:KEY}\", plain]"
    let tree = try settings(yaml, ["KEY": "hush-hush", "NUMBER": "0123"])
    #expect(
      tree
        == .map([
          SettingsPair(key: "key", value: .text("hush-hush")), SettingsPair(key: "number", value: .text("0123")),
          SettingsPair(key: "shown", value: .text("7")),
          SettingsPair(key: "mixed", value: .list([.text("a-hush-hush"), .text("plain")])),
        ]))
    let resolved = try #require(folder.load(["KEY": "hush-hush", "NUMBER": "0123"]).resolved)
    let text = ResolvedPrinter.text(resolved)
    #expect(text.contains("settings: {key: \"***\", number: \"***\", shown: \"7\", mixed: [\"***\", plain]}"))
    #expect(text.contains("env KEY env NUMBER env UNSET"))
    #expect(!text.contains("hush") && !text.contains("0123"))
  }

  @Test(arguments: [(998, true), (999, false)]) func valuesAreCounted(_ count: Int, _ isGood: Bool) throws {
    let list = (0..<count).map { "\($0)" }.joined(separator: ", ")
    try folder.write(
      "routes.yaml",
      PolicyConfigTests.head
        + "policies: {p: {script: auth.lua, settings: {list: [\(list)]}}}\nroutes: {r: {path: /, handler: p}}\n")
    let outcome = folder.load()
    #expect((outcome.snapshot != nil) == isGood)
    #expect(outcome.report.contains("'policies.p.settings' has more than 1000 values") == !isGood)
  }

  @Test(arguments: [(16, true), (17, false)]) func levelsAreCounted(_ depth: Int, _ isGood: Bool) throws {
    let tree = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    try folder.write(
      "routes.yaml",
      PolicyConfigTests.head
        + "policies: {p: {script: auth.lua, settings: \(tree)}}\nroutes: {r: {path: /, handler: p}}\n")
    #expect((folder.load().snapshot != nil) == isGood)
  }

  // MARK: - Scripts

  @Test func scriptsLieInTheFolderThatIsNamed() throws {
    try folder.write("lua/x.lua", "return 1")
    let body = "policies: {p: {script: x.lua}}\nroutes: {r: {path: /, handler: p}}\n"
    let snapshot = try load("server: {policies: lua}\n" + body)
    #expect(snapshot.scripts.map(\.path) == [folder.path + "/lua/x.lua"])
    #expect(try load("server: {policies: \(folder.path)/lua/}\n" + body).scripts == snapshot.scripts)
  }

  @Test func aFileUnderTwoNamesIsReadOnce() throws {
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/policies/other.lua", withDestinationPath: "auth.lua")
    let snapshot = try load(
      "policies: {a: {script: auth.lua}, b: {script: other.lua}}\n"
        + "routes: {r: {path: /, builtin: health, policies: [a, b]}}\n")
    #expect(snapshot.scripts.count == 1)
    #expect(snapshot.policies.map(\.script) == [0, 0])
  }

  @Test func largeScriptsAreRefused() throws {
    let body = "policies: {p: {script: big.lua}}\nroutes: {r: {path: /, handler: p}}\n"
    try folder.write("policies/big.lua", [UInt8](repeating: 0x0A, count: ScriptReader.fileBytesMax))
    #expect(try load(body).scripts[0].bytes.count == 256 << 10)
    try folder.write("policies/big.lua", [UInt8](repeating: 0x0A, count: ScriptReader.fileBytesMax + 1))
    #expect(folder.load().report.contains("cannot be read: it is larger than 256KiB"))
  }

  @Test func unusedPoliciesAreWarnedAbout() throws {
    try folder.write("routes.yaml", PolicyConfigTests.head + "policies: {idle: {script: auth.lua}}\nroutes: {}\n")
    let outcome = folder.load()
    #expect(outcome.snapshot != nil)
    #expect(outcome.diagnoses.map(\.message).contains("no route uses the policy 'idle'"))
    #expect(outcome.diagnoses.allSatisfy { $0.severity == .warning })
  }

  @Test func placeholdersStandIn() throws {
    try folder.write(
      "routes.yaml",
      PolicyConfigTests.head
        + """
        auth: {secret: ["${env:JWT_SECRET}", "${file:/nonexistent/x}"], issuer: "${env:A}"}
        roles: {r: {permissions: "${env:B}"}}
        policies: {open: {script: "${env:C}"}, shut: {script: auth.lua, settings: {key: "${env:D}"}}}
        routes:
          a: {path: /a, builtin: health, policies: [shut, "${env:E}"]}
          b: {path: /b, handler: "${env:F}"}
          c: {path: /c, handler: open}
          d: {path: /d, builtin: health, policies: [shut, open]}
          e: {path: /e, handler: shut, policies: shut, permission: "${env:G}"}

        """)
    let outcome = folder.load(["JWT_SECRET": ""], placeholders: true)
    #expect(folder.rendered(outcome) == [])
    let snapshot = try #require(outcome.snapshot)
    #expect(snapshot.auth.secrets.count == 2)
    #expect(snapshot.policies.map(\.name) == ["shut"])
    #expect(snapshot.routes.map(\.name) == ["e"])
    #expect(folder.load(["JWT_SECRET": ""]).diagnoses.filter { $0.severity == .error }.count == 9)
  }

  @Test func contentHashFollowsScriptsAndSecrets() throws {
    let body = "policies: {p: {script: auth.lua}}\nroutes: {r: {path: /, handler: p}}\n"
    let first = try load(body).contentHash
    #expect(try load(body).contentHash == first)
    #expect(try load(body, ["JWT_SECRET": String(repeating: "yes!", count: 10)]).contentHash != first)
    try folder.write("policies/auth.lua", "return { }\n")
    #expect(try load(body).contentHash != first)
  }

  @Test func placesInScripts() throws {
    let script = ScriptFile(
      path: "policies/a.lua", bytes: Array("local x = 1\n  return foo.bar(x  \n\nend".utf8), contentHash: 0)
    func label(_ place: SourcePlace) -> String { "\(place.start.line):\(place.start.column)-\(place.end.column)" }
    #expect(label(script.place(line: 1)) == "1:1-12")
    #expect(label(script.place(line: 2)) == "2:3-19")
    #expect(label(script.place(line: 3)) == "3:1-1")
    #expect(label(script.place(line: 4)) == "4:1-4")
    #expect(label(script.place(line: 2, column: 10)) == "2:10-13")
    #expect(label(script.place(line: 2, column: 13)) == "2:13-14")
    #expect(label(script.place(line: 2, column: 99)) == "2:21-21")
    #expect(label(script.place(line: 0)) == "1:1-12")
    #expect(label(script.place(line: 99)) == "4:1-4")
    #expect(label(script.place(offset: 14)) == "2:3-9")
    #expect(label(script.place(offset: 999)) == "4:4-4")
    #expect(label(script.place(offset: -1)) == "1:1-6")
    let diagnosis = Diagnosis(.error, .place(script.place(line: 2, column: 10)), "no such thing")
    #expect(
      diagnosis.render() == "policies/a.lua:2:10: error: no such thing\n    return foo.bar(x  \n           ^~~")
  }
}

@Suite struct PolicyDiffTests {
  private let folder: Fixture.Folder
  private static let text = """
    version: 1
    listeners: {main: {bind: "127.0.0.1:3003"}}
    auth: {issuer: here}
    roles: {viewer: {permissions: [mcp:read]}}
    policies:
      a: {script: a.lua, settings: {key: "${env:KEY}"}}
      b: {script: b.lua}
      c: {script: a.lua}
    routes:
      a: {path: /a, builtin: health, policies: [a, b, c], permission: mcp:read}

    """

  init() throws {
    folder = try Fixture.Folder()
    try folder.write("policies/a.lua", "return {}")
    try folder.write("policies/b.lua", "return {} -- b")
  }

  private func load(
    _ edits: [(String, String)] = [], _ environment: [String: String] = [:]
  ) throws
    -> (SectionFields, Snapshot)
  {
    let text = edits.reduce(PolicyDiffTests.text) { $0.replacing($1.0, with: $1.1) }
    #expect(edits.isEmpty || text != PolicyDiffTests.text)
    try folder.write("routes.yaml", text)
    let outcome = folder.load(["KEY": "hush"].merging(environment) { $1 })
    #expect(folder.rendered(outcome) == [])
    return (try #require(outcome.resolved), try #require(outcome.snapshot))
  }

  private func changed(_ old: (SectionFields, Snapshot), _ new: (SectionFields, Snapshot)) -> [String] {
    var diff = ConfigDiff(from: old.0, to: new.0)
    diff.compareFiles(old.1, new.1)
    #expect(!"\(diff)".contains("hush"))
    #expect(diff.paths(.restart) == [])
    return diff.paths(.added).map { "+" + $0 } + diff.paths(.removed).map { "-" + $0 } + diff.paths(.changed)
  }

  @Test func aScriptThatChangedNamesEveryPolicyOfIt() throws {
    let old = try load()
    try folder.write("policies/a.lua", "return {} -- new")
    #expect(changed(old, try load()) == ["policies.a", "policies.c"])
  }

  @Test func aPathAndItsScriptAreOneChange() throws {
    #expect(changed(try load(), try load([("b: {script: b.lua}", "b: {script: a.lua}")])) == ["policies.b.script"])
  }

  @Test func keysAreNamedAndValuesAreNot() throws {
    let old = try load()
    #expect(changed(old, try load([], ["KEY": "hush-hush"])) == ["policies.a.settings"])
    #expect(changed(old, try load([("\"${env:KEY}\"", "hush")])) == [], "the same value, written in the file")
    #expect(changed(old, try load([], ["JWT_SECRET": String(repeating: "hush", count: 9)])) == ["auth.secret"])
    #expect(changed(old, try load([("issuer: here", "issuer: there")])) == ["auth.issuer"])
    #expect(changed(old, try load([("[mcp:read]", "[mcp:read, files:read]")])) == ["roles.viewer.permissions"])
    #expect(changed(old, try load([("[a, b, c]", "[b, a, c]")])) == ["routes.a.policies"])
    #expect(
      changed(old, try load([("permission: mcp:read", "methods: GET")])) == ["routes.a.methods", "routes.a.permission"])
    #expect(changed(old, try load([("builtin: health", "handler: a")])) == ["routes.a.builtin", "routes.a.handler"])
  }

  @Test func namesComeAndGo() throws {
    let edits = [("  c: {script: a.lua}", "  d: {script: a.lua}"), ("b, c]", "b, d]"), ("{viewer:", "{owner:")]
    #expect(
      changed(try load(), try load(edits)) == [
        "+roles.owner", "+policies.d", "-roles.viewer", "-policies.c", "routes.a.policies",
      ])
  }

  @Test func aStandardRoleWrittenOutIsNoChange() throws {
    #expect(changed(try load(), try load([("roles: {", "roles: {admin: {permissions: \"*\"}, ")])) == [])
    #expect(
      changed(try load(), try load([("roles: {", "roles: {admin: {permissions: [mcp:read]}, ")]))
        == ["roles.admin.permissions"])
  }
}
