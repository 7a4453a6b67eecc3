// What differs between two loaded configurations. Both sides are text, read by the loader.

import Testing

@testable import Edge

@Suite struct ConfigDiffTests {
  private static let base = """
    version: 1
    server: {workers: 2}
    listeners:
      main: {bind: "127.0.0.1:3003"}
      admin: {bind: "127.0.0.1:3004"}
    services:
      app: {endpoints: ["http://10.0.0.1", "http://10.0.0.2:81"], timeouts: {connect: 2s}}
      files: {endpoints: "http://files.test"}
    routes:
      a: {path: /a, service: app, methods: [GET, POST]}
      b: {path: [/b, /c/*], service: files}

    """

  /// The base with texts in place of others, each of which must be there.
  private static func edited(_ edits: [(String, String)]) throws -> String {
    try edits.reduce(base) { text, edit in
      try #require(text.contains(edit.0), "\(edit.0)")
      return text.replacing(edit.0, with: edit.1)
    }
  }

  private static func resolved(_ text: String, _ environment: [String: String] = [:]) throws -> SectionFields {
    let (outcome, findings) = try Fixture.load(text, environment: environment)
    #expect(!outcome.hasErrors, "\(findings)")
    return try #require(outcome.resolved)
  }

  /// As the log would say it.
  private static func text(_ diff: ConfigDiff) -> String {
    let lists = ConfigChange.Kind.allCases.map { ($0.rawValue, diff.paths($0)) }
    return lists.filter { !$0.1.isEmpty }.map { "\($0.0) \($0.1.joined(separator: " "))" }.joined(separator: ", ")
  }

  private static func diff(_ old: String, _ new: String) throws -> String {
    text(ConfigDiff(from: try resolved(old), to: try resolved(new)))
  }

  /// Edits of the base, and what they change.
  @Test(
    arguments: [
      ([], ""),
      ([("timeouts: {connect: 2s}", "timeouts: {connect: 3s}")], "changed services.app.timeouts.connect"),
      ([("  a: {path: /a,", "  a: {path: /d,")], "changed routes.a.path"),
      ([("[/b, /c/*], service: files", "[/b, /c/*], service: app")], "changed routes.b.service"),
      ([("{bind: \"127.0.0.1:3004\"}", "{bind: \"127.0.0.1:3005\"}")], "changed listeners.admin.bind"),
      // What has a default differs from another value, not from the default itself.
      ([("version: 1", "version: 1\nlimits: {body_size: 1KiB}")], "changed limits.body_size"),
      ([("timeouts: {connect: 2s}", "timeouts: {}")], "changed services.app.timeouts.connect"),
      (
        [("version: 1", "version: 1\nserver: {drain: 31s}"), ("server: {workers: 2}\n", "")],
        "changed server.drain, restart server.workers"
      ),
      ([("workers: 2", "workers: 2, drain: 30s, timeouts: {head: 15s}")], ""),
      // Without a default, a key appears and goes.
      ([("service: files", "service: files, host: h.test")], "changed routes.b.host"),
      ([(", methods: [GET, POST]", "")], "changed routes.a.methods"),
      ([("workers: 2", "workers: 3")], "restart server.workers"),
      ([("workers: 2", "workers: auto")], "restart server.workers"),
      ([("workers: 2", "workers: 2, var: other/")], "restart server.var"),
      // Lists.
      ([("10.0.0.2:81\"]", "10.0.0.2:82\"]")], "changed services.app.endpoints"),
      ([("\"http://10.0.0.1\", ", "")], "changed services.app.endpoints"),
      ([("10.0.0.2:81\"]", "10.0.0.2:81\", \"http://10.0.0.3\"]")], "changed services.app.endpoints"),
      (
        [("[\"http://10.0.0.1\", \"http://10.0.0.2:81\"]", "[\"http://10.0.0.2:81\", \"http://10.0.0.1\"]")],
        "changed services.app.endpoints"
      ),
      ([("\"http://files.test\"", "[\"http://files.test\"]")], ""),
      ([("\"http://files.test\"", "\"http://FILES.test:80\"")], ""),
      // Names.
      ([("  files:", "  more: {endpoints: \"http://m.test\"}\n  files:")], "added services.more"),
      ([("  b: {", "  c: {path: /new, service: app}\n  b: {")], "added routes.c"),
      ([("  b: {path: [/b, /c/*], service: files}\n", "")], "removed routes.b"),
      ([("  admin:", "  other:")], "added listeners.other, removed listeners.admin"),
      (
        [("  files:", "  disk:"), ("service: files", "service: disk")],
        "added services.disk, removed services.files, changed routes.b.service"
      ),
      // Several at once, in the order of the schema and then of the file.
      (
        [
          ("  b: {", "  d: {path: /d, service: app}\n  c: {path: /e, service: app}\n  b: {"), ("  admin:", "  other:"),
          ("workers: 2", "drain: 1s, workers: 5, var: other/"), ("connect: 2s", "connect: 1s, idle: 1s"),
        ],
        "added listeners.other routes.d routes.c, removed listeners.admin, "
          + "changed server.drain services.app.timeouts.connect services.app.timeouts.idle, "
          + "restart server.workers server.var"
      ),
    ] as [([(String, String)], String)])
  func changes(_ edits: [(String, String)], _ expected: String) throws {
    let new = try ConfigDiffTests.edited(edits)
    #expect(try ConfigDiffTests.diff(ConfigDiffTests.base, new) == expected)
    // Backwards, names come that went and go that came; the rest is the same.
    let back = try ConfigDiffTests.diff(new, ConfigDiffTests.base)
    let words = back.split(separator: " ").map { ["added": "removed", "removed": "added"][$0] ?? $0 }
    let there = Set(expected.split { " ,".contains($0) })
    #expect(Set(words.joined(separator: " ").split { " ,".contains($0) }) == there)
  }

  @Test func theFirstServiceIsAdded() throws {
    let head = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:3003\"}}\n"
    let more = "services: {app: {endpoints: \"http://h\"}}\nroutes: {r: {path: /, service: app}}\n"
    #expect(try ConfigDiffTests.diff(head, head + more) == "added services.app routes.r")
    #expect(try ConfigDiffTests.diff(head + more, head) == "removed services.app routes.r")
  }

  @Test func anotherWayToWriteTheSameIsNoChange() throws {
    let moved = """
      # A comment.
      version: 1

      routes:
        # Another one.
        b:
          service: files
          path:
            - /b
            - "/c/*"
        a: {methods: [GET, POST], path: [/a], service: app}
      services:
        files: {endpoints: ["http://files.test:80"]}
        app:
          timeouts: {connect: 2000ms}
          endpoints:
            # And one within a list.
            - http://10.0.0.1:80

            - http://10.0.0.2:81
      listeners:
        admin: {bind: "127.0.0.1:3004"}
        main: {bind: "127.0.0.1:3003"}
      server:
        workers: 2

      """
    #expect(try ConfigDiffTests.diff(ConfigDiffTests.base, moved) == "")
  }

  @Test func aFileInPiecesIsNoChange() throws {
    let folder = try Fixture.Folder()
    let pieces = ConfigDiffTests.base.components(separatedBy: "routes:")
    try folder.write("routes.yaml", pieces[0] + "include: more/*.yaml\n")
    try folder.write("more/a.yaml", "routes:" + pieces[1])
    let inPieces = try #require(folder.load().resolved)
    #expect(
      ConfigDiffTests.text(ConfigDiff(from: try ConfigDiffTests.resolved(ConfigDiffTests.base), to: inPieces))
        == "changed include")
  }

  @Test func valuesOfTheEnvironmentAreComparedAndNotShown() throws {
    let text = try ConfigDiffTests.edited([
      ("http://files.test", "http://${env:HOST}"), ("connect: 2s", "connect: \"${env:WAIT}\""),
    ])
    let old = try ConfigDiffTests.resolved(text, ["HOST": "files.test", "WAIT": "2s"])
    let same = ConfigDiff(from: old, to: try ConfigDiffTests.resolved(ConfigDiffTests.base))
    #expect(ConfigDiffTests.text(same) == "", "the same values, written in the file")
    let new = try ConfigDiffTests.resolved(text, ["HOST": "hush-hush.test", "WAIT": "2718ms"])
    let diff = ConfigDiff(from: old, to: new)
    #expect(ConfigDiffTests.text(diff) == "changed services.app.timeouts.connect services.files.endpoints")
    #expect(!"\(diff)".contains("hush") && !"\(diff)".contains("2718"))
  }

  private static let shown: [(old: String, new: String, before: String?, after: String?)] = [
    ("connect: 2s", "connect: 2500ms", "2s", "2500ms"), ("workers: 2", "workers: auto", "2", "auto"),
    ("methods: [GET, POST]", "methods: GET", "[GET, POST]", "[GET]"),
    (", methods: [GET, POST]", "", "[GET, POST]", nil),
    ("service: files", "service: files, host: h.test", nil, "[h.test]"),
  ]

  /// What a report shows beside a path.
  @Test(arguments: shown.indices) func valuesAreShown(_ index: Int) throws {
    let row = ConfigDiffTests.shown[index]
    let new = try ConfigDiffTests.edited([(row.old, row.new)])
    let diff = ConfigDiff(
      from: try ConfigDiffTests.resolved(ConfigDiffTests.base), to: try ConfigDiffTests.resolved(new))
    #expect(diff.changes.map(\.before) == [row.before] && diff.changes.map(\.after) == [row.after])
  }

  /// What acts after a restart stands behind what acts now.
  @Test func order() throws {
    let new = try ConfigDiffTests.edited([
      ("workers: 2", "workers: 3, drain: 31s"), ("  a: {path: /a, service: app, methods: [GET, POST]}\n", ""),
      ("version: 1", "version: 1\nlimits: {body_size: 1KiB}"),
    ])
    let diff = ConfigDiff(
      from: try ConfigDiffTests.resolved(ConfigDiffTests.base), to: try ConfigDiffTests.resolved(new))
    #expect(diff.changes.map(\.kind) == [.changed, .changed, .removed, .restart])
    #expect(diff.changes.map(\.path) == ["server.drain", "limits.body_size", "routes.a", "server.workers"])
  }

  @Test func defaultsOfTheEnvironmentAreCompared() throws {
    let old = try ConfigDiffTests.resolved(ConfigDiffTests.base)
    let new = try ConfigDiffTests.resolved(ConfigDiffTests.base, ["GATEWAY_TIMEOUT_MS": "17"])
    #expect(
      ConfigDiffTests.text(ConfigDiff(from: old, to: new))
        == "changed services.app.timeouts.head services.files.timeouts.head")
  }
}

@Suite struct ConfigDiffTrustTests {
  private let folder: Fixture.Folder
  private static let text = """
    version: 1
    listeners: {main: {bind: "127.0.0.1:3003"}}
    services:
      one: {endpoints: "https://a.test", tls: {ca_file: one.pem}}
      two: {endpoints: "https://b.test", tls: {ca_file: two.pem}}
      plain: {endpoints: "http://c.test"}
    routes:
      a: {path: /a, service: one}
      b: {path: /b, service: two}
      c: {path: /c, service: plain}

    """

  init() throws {
    folder = try Fixture.Folder()
    try folder.write("one.pem", try TestCertificate.authority("one").pem)
    try folder.write("two.pem", try TestCertificate.authority("two").pem)
  }

  private func load(_ text: String = ConfigDiffTrustTests.text) throws -> (SectionFields, Snapshot) {
    try folder.write("routes.yaml", text)
    let outcome = folder.load()
    #expect(folder.rendered(outcome) == [])
    return (try #require(outcome.resolved), try #require(outcome.snapshot))
  }

  private func changed(_ old: (SectionFields, Snapshot), _ new: (SectionFields, Snapshot)) -> [String] {
    var diff = ConfigDiff(from: old.0, to: new.0)
    diff.compareFiles(old.1, new.1)
    #expect(diff.paths(.added) == [] && diff.paths(.removed) == [] && diff.paths(.restart) == [])
    return diff.paths(.changed)
  }

  @Test func theFileBehindAPathHasChanged() throws {
    let old = try load()
    #expect(changed(old, try load()) == [])
    try folder.write("two.pem", try TestCertificate.authority("three").pem)
    #expect(changed(old, try load()) == ["services.two.tls.ca_file"])
  }

  @Test func aPathAndItsFileAreOneChange() throws {
    let old = try load()
    let new = try load(ConfigDiffTrustTests.text.replacing("ca_file: one.pem", with: "ca_file: two.pem"))
    #expect(changed(old, new) == ["services.one.tls.ca_file"])
  }

  @Test func filesAreComparedByServiceNotByTheirPlace() throws {
    let old = try load()
    // The files are read in the order of the services.
    let lines = ConfigDiffTrustTests.text.split(separator: "\n", omittingEmptySubsequences: false)
    var moved = lines
    moved.swapAt(3, 4)
    let new = try load(moved.joined(separator: "\n"))
    #expect(old.1.trustFiles.map(\.path) == new.1.trustFiles.reversed().map(\.path))
    #expect(changed(old, new) == [])
  }

  @Test func fromPlainToTLSIsAChangeOfItsOwn() throws {
    let old = try load()
    let text = ConfigDiffTrustTests.text.replacing(
      "\"http://c.test\"", with: "\"https://c.test\", tls: {ca_file: one.pem}")
    #expect(changed(old, try load(text)) == ["services.plain.endpoints", "services.plain.tls"])
    #expect(changed(try load(text), old) == ["services.plain.endpoints", "services.plain.tls"])
  }
}
