// What makes a route another one, and what does not.

import Testing

@testable import Edge

@Suite struct RouteHashesTests {
  private let folder: Fixture.Folder
  private static let base = """
    version: 1
    listeners:
      main: {bind: "127.0.0.1:3003"}
      other: {bind: "127.0.0.1:3004"}
    services: {s: {endpoints: "http://h"}}
    providers: {p: {dialect: openai-chat, endpoints: "http://h", key: none}}
    models: {small: {providers: [p], price: 1, max_output: 16}}
    policies:
      auth: {script: auth.lua}
      limit: {script: limit.lua, settings: {limit: 10 per 1m, words: [a, b]}}
      twice: {script: limit.lua, settings: {limit: 10 per 1m}}
      alone: {script: alone.lua}
    routes:
      talk: {path: [/, /ws], dialect: platform-v1, policies: [auth, limit], permission: services:use, ping: 20s}
      plain: {path: /plain, service: s, policies: auth}
      own: {path: /own, handler: alone}

    """

  init() throws {
    folder = try Fixture.Folder()
    for name in ["auth", "limit", "alone"] { try folder.write("policies/\(name).lua", "-- \(name)\nreturn {}\n") }
  }

  private func hashes(_ text: String, _ environment: [String: String] = [:]) throws -> [String: UInt64] {
    try folder.write("routes.yaml", text)
    let outcome = folder.load(environment)
    let snapshot = try #require(outcome.snapshot, "\(folder.rendered(outcome))")
    let hashes = RouteHashes.of(snapshot, try #require(outcome.resolved))
    #expect(hashes.count == snapshot.routes.count)
    return Dictionary(zip(snapshot.routes.map(\.name), hashes), uniquingKeysWith: { first, _ in first })
  }

  /// The base with texts in place of others, each of which must be there.
  private static func edited(_ edits: [(String, String)]) throws -> String {
    try edits.reduce(base) { text, edit in
      try #require(text.contains(edit.0), "\(edit.0)")
      return text.replacing(edit.0, with: edit.1)
    }
  }

  @Test func everyRouteHasItsOwn() throws {
    #expect(try Set(hashes(RouteHashesTests.base).values).count == 3)
    #expect(try hashes(RouteHashesTests.base) == hashes(RouteHashesTests.base))
  }

  /// Edits of the base, and the routes that they change.
  @Test(
    arguments: [
      // Of the route itself.
      ([("ping: 20s", "ping: 21s")], ["talk"]),
      ([(", ping: 20s", "")], ["talk"]),
      ([("ping: 20s", "ping: 20000ms, in_flight: 32, on_reload: keep")], []),
      ([("ping: 20s", "ping: 20s, in_flight: 33")], ["talk"]),
      ([("ping: 20s", "ping: 20s, on_reload: close")], ["talk"]),
      ([("ping: 20s", "ping: 20s, origins: \"https://a.test\"")], ["talk"]),
      ([("path: [/, /ws]", "path: [/ws, /]")], ["talk"]),
      ([("path: [/, /ws]", "path: [/, /wss]")], ["talk"]),
      ([("services:use", "services:used")], ["talk"]),
      ([("  talk:", "  talked:")], ["talk", "talked"]),
      ([("path: /plain", "path: /plain, listeners: main")], ["plain"]),
      // Of its policies: which, in which order, with which settings.
      ([("[auth, limit]", "[limit, auth]")], ["talk"]),
      ([("[auth, limit]", "[auth, twice]")], ["talk"]),
      ([("policies: auth}", "policies: [auth, twice]}")], ["plain"]),
      ([("10 per 1m, words", "11 per 1m, words")], ["talk"]),
      ([("words: [a, b]", "words: [ab]")], ["talk"]),
      ([("words: [a, b]", "words: [a, [b]]")], ["talk"]),
      ([("words: [a, b]", "words: {a: b}")], ["talk"]),
      ([("words: [a, b]", "words: [\"a\", b]")], []),
      ([("limit: 10 per 1m}", "limit: 12 per 1m}")], []),
      ([("alone: {script: alone.lua}", "alone: {script: alone.lua, settings: {a: 1}}")], ["own"]),
      ([("auth: {script: auth.lua}", "auth: {script: limit.lua}")], ["talk", "plain"]),
      // What stands beside it.
      ([("price: 1,", "price: 2,")], []),
      ([("small:", "tiny:")], []),
      ([("endpoints: \"http://h\", key", "endpoints: \"http://i\", key")], []),
      ([("s: {endpoints: \"http://h\"}", "s: {endpoints: \"http://i\"}")], []),
      ([("  plain: {path: /plain,", "  plain: {path: /other,")], ["plain"]),
      ([("  own: {", "  first: {path: /first, builtin: health}\n  own: {")], ["first"]),
      ([("version: 1", "version: 1\nserver: {drain: 1s}\nlimits: {body_size: 1KiB}")], []),
      ([("127.0.0.1:3003", "127.0.0.1:3005")], []),
    ] as [([(String, String)], [String])])
  func changes(_ edits: [(String, String)], _ expected: [String]) throws {
    let old = try hashes(RouteHashesTests.base)
    let new = try hashes(try RouteHashesTests.edited(edits))
    let changed = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }
    #expect(changed == Set(expected))
  }

  @Test func scriptsAreReadThroughTheirPaths() throws {
    let old = try hashes(RouteHashesTests.base)
    try folder.write("policies/limit.lua", "-- limit!\nreturn {}\n")
    let new = try hashes(RouteHashesTests.base)
    #expect(old.keys.filter { old[$0] != new[$0] } == ["talk"])
    try folder.write("policies/alone.lua", "return {nil}\n")
    let last = try hashes(RouteHashesTests.base)
    #expect(new.keys.filter { new[$0] != last[$0] } == ["own"], "the script of a handler")
    try folder.write("policies/limit.lua", "-- limit\nreturn {}\n")
    #expect(try hashes(RouteHashesTests.base)["talk"] == old["talk"], "back again")
  }

  /// What a value is counts, not where it comes from; values that are never shown count too.
  @Test func valuesOfTheEnvironment() throws {
    let text = try RouteHashesTests.edited([
      ("ping: 20s", "ping: \"${env:PING}\""), ("limit: 10 per 1m,", "limit: \"${env:LIMIT}\","),
    ])
    let old = try hashes(RouteHashesTests.base)
    #expect(try hashes(text, ["PING": "20s", "LIMIT": "10 per 1m"]) == old)
    #expect(try hashes(text, ["PING": "22s", "LIMIT": "10 per 1m"])["talk"] != old["talk"])
    #expect(try hashes(text, ["PING": "20s", "LIMIT": "9 per 1m"])["talk"] != old["talk"])
  }
}
