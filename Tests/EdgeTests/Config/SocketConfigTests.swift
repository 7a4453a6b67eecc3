// Routes whose dialect is spoken on WebSockets: their keys, defaults, and what may not stand there.

import Testing

@testable import Edge

@Suite struct SocketConfigTests {
  private static let head = """
    version: 1
    listeners: {main: {bind: "127.0.0.1:0"}}
    services: {s: {endpoints: "http://s"}}
    providers: {p: {dialect: openai-chat, endpoints: "http://h", key: none}}
    models: {small: {providers: [p], price: 1, max_output: 16}}
    policies: {credits: {script: credits.lua}}
    routes:

    """
  private let folder: Fixture.Folder

  init() throws {
    folder = try Fixture.Folder()
    try folder.write("policies/credits.lua", "return {on_request = function() end}\n")
  }

  /// Loads routes, one a line.
  private func load(
    _ routes: String, _ environment: [String: String] = [:], placeholders: Bool = false
  ) throws
    -> LoadOutcome
  {
    let lines = routes.split(separator: "\n").map { "  \($0)\n" }.joined()
    try folder.write("routes.yaml", SocketConfigTests.head + lines)
    return folder.load(environment, placeholders: placeholders)
  }

  private func route(_ keys: String, _ environment: [String: String] = [:]) throws -> Route {
    let outcome = try load("r: {path: /, dialect: platform-v1, policies: credits\(keys)}", environment)
    #expect(folder.rendered(outcome) == [])
    return try #require(outcome.snapshot?.routes.first)
  }

  /// The only error, without its place.
  private func error(_ route: String) throws -> String {
    let outcome = try load(route)
    #expect(outcome.snapshot == nil)
    #expect(outcome.diagnoses.count == 1, "\(folder.rendered(outcome))")
    let diagnosis = try #require(outcome.diagnoses.first)
    return diagnosis.message + (diagnosis.hint.map { " | \($0)" } ?? "")
  }

  private func complaint(_ key: String, _ value: String) throws -> String {
    let text = try error("r: {path: /, dialect: platform-v1, policies: credits, \(key): \(value)}")
    #expect(text.hasPrefix("routes.r.\(key)"), "\(text)")
    return text.split(separator: ": ", maxSplits: 1).last.map(String.init) ?? text
  }

  @Test func defaults() throws {
    let route = try route("")
    #expect(route.target == .models(.platformV1) && route.costs)
    #expect(
      route.socket
        == SocketSettings(
          takesQueryToken: false, origins: [], messageBytesMax: 1 << 20, requestsMax: 32, pingMilliseconds: 30_000,
          wholeAnswerType: "done", onReload: .keep))
    #expect(route.socket == SocketSettings(), "the defaults of the rows are those of the type")
  }

  @Test func everyKeyIsDecoded() throws {
    let keys = """
      , query_token: true, origins: ["https://App.Example.com:443", "http://[::1]:3000"], message_size: 16MiB, \
      in_flight: 1, ping: "${env:PING}", nonstream_type: completion, on_reload: drain 90s
      """
    #expect(
      try route(keys, ["PING": "1m"]).socket
        == SocketSettings(
          takesQueryToken: true, origins: ["https://app.example.com", "http://[::1]:3000"],
          messageBytesMax: 16 << 20, requestsMax: 1, pingMilliseconds: 60_000, wholeAnswerType: "completion",
          onReload: .drain(milliseconds: 90_000)))
  }

  @Test func othersHaveNone() throws {
    let outcome = try load(
      "a: {path: /a, dialect: openai-chat, policies: credits}\nb: {path: /b, builtin: health}")
    #expect(folder.rendered(outcome) == [])
    #expect(outcome.snapshot?.routes.allSatisfy { $0.socket == nil } == true)
    #expect(!ResolvedPrinter.text(try #require(outcome.resolved)).contains("message_size"))
  }

  @Test func thoseOfServices() throws {
    func settings(_ keys: String) throws -> ServiceSocketSettings? {
      let outcome = try load("r: {path: /, service: s, policies: credits\(keys)}", ["LEFT": "tunnel"])
      #expect(folder.rendered(outcome) == [])
      let route = try #require(outcome.snapshot?.routes.first)
      #expect(route.socket == nil)
      return route.serviceSocket
    }
    #expect(
      try settings("")
        == ServiceSocketSettings(
          treatment: .proxy, messageBytesMax: nil, idleMilliseconds: 3_600_000, common: SocketSettings()))
    #expect(try settings("") == ServiceSocketSettings(), "the defaults of the rows are those of the type")
    let keys = ", websocket: proxy, websocket_idle: 5m, message_size: 2MiB, query_token: true, on_reload: close"
    #expect(
      try settings(keys + ", origins: \"https://a.test\"")
        == ServiceSocketSettings(
          treatment: .proxy, messageBytesMax: 2 << 20, idleMilliseconds: 300_000,
          common: SocketSettings(takesQueryToken: true, origins: ["https://a.test"], onReload: .close)))
    #expect(try settings(", websocket: \"${env:LEFT}\"")?.treatment == .tunnel)
    #expect(try settings(", websocket: refuse")?.treatment == .refuse)
    #expect(
      try error("r: {path: /, service: s, policies: credits, websocket: no}").hasPrefix(
        "routes.r.websocket: 'no' is not one of"))
  }

  @Test(arguments: [
    ("https://app.example.com", "https://app.example.com"), ("HTTPS://APP.Example.COM", "https://app.example.com"),
    ("https://app.example.com:443", "https://app.example.com"), ("http://a.test:80", "http://a.test"),
    ("http://a.test:443", "http://a.test:443"), ("https://a.test:80", "https://a.test:80"),
    ("http://localhost:5173", "http://localhost:5173"), ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ("http://[0:0::1]:3000", "http://[::1]:3000"), ("https://[::1]", "https://[::1]"),
    ("capacitor://localhost", "capacitor://localhost"), ("chrome-extension://abcdef", "chrome-extension://abcdef"),
  ])
  func origins(_ text: String, _ expected: String) throws {
    #expect(try route(", origins: \"\(text)\"").socket?.origins == [expected])
  }

  @Test(arguments: [
    ("\"*\"", "'*' is no origin | leave 'origins' out to let every page in"),
    ("\"null\"", "'null' is what pages say that have no origin: it is never let in | remove it"),
    ("\"https://*.example.com\"", "'https://*.example.com' has a '*': each origin is written out"),
    ("app.example.com", "'app.example.com' is not an origin | did you mean 'https://app.example.com'?"),
    ("\"https://a.test/\"", "an origin has no path | did you mean 'https://a.test'?"),
    ("\"https://a.test:8443/app?x\"", "an origin has no path | did you mean 'https://a.test:8443'?"),
    (
      "\"wss://a.test\"",
      "an origin is that of the page, not of the WebSocket | did you mean 'https://a.test'?"
    ),
    ("\"https://me@a.test\"", "an origin carries no user or password"),
    ("\"file://\"", "'file://' has no host"),
    ("\"1http://a.test\"", "'1http://a.test' is not an origin | write it like https://app.example.com"),
    ("\"https://a.test:0\"", "port 0 is no page's"),
    ("\"https://a.test:65536\"", "'65536' is not a port from 0 to 65535"),
    ("\"https://a_b..test\"", "'a_b..test' is not a host name"),
  ])
  func badOrigins(_ value: String, _ expected: String) throws {
    #expect(try complaint("origins", value) == expected)
  }

  @Test func originsAreWrittenOnce() throws {
    func origins(_ list: String) throws -> String {
      try error("r: {path: /, dialect: platform-v1, policies: credits, origins: \(list)}")
    }
    let twice = try origins("[\"https://a.test\", \"HTTPS://a.test:443\"]")
    #expect(twice == "the same value stands twice in 'routes.r.origins'")
    #expect(try origins("[]") == "'routes.r.origins' needs at least 1 value")
  }

  @Test(arguments: [
    ("keep", SessionReload.keep), ("close", .close), ("drain 5m", .drain(milliseconds: 300_000)),
    ("drain 1s", .drain(milliseconds: 1_000)), ("drain 24h", .drain(milliseconds: 86_400_000)),
    ("drain   1500ms", .drain(milliseconds: 1_500)),
  ])
  func reloads(_ text: String, _ expected: SessionReload) throws {
    #expect(try route(", on_reload: \(text)").socket?.onReload == expected)
  }

  @Test(arguments: [
    ("drain", "'drain' says no duration | write it like drain 5m"),
    ("5m", "'5m' is a duration alone | did you mean 'drain 5m'?"),
    ("drain 5", "'5' has no unit | write it like drain 5m"),
    ("drain 5min", "'5min' is not a duration | write it like drain 5m"),
    ("drain 999ms", "'999ms' is out of bounds: 1s to 24h | write it like drain 5m"),
    ("drain 0", "'0' is out of bounds: 1s to 24h | write it like drain 5m"),
    ("drain 25h", "'25h' is out of bounds: 1s to 24h | write it like drain 5m"),
    ("drain for 5m", "'drain for 5m' is more than 'drain' and a duration | write it like drain 5m"),
    ("kepe", "'kepe' is not \(SessionReloadText.expectation) | did you mean 'keep'?"),
    ("never", "'never' is not \(SessionReloadText.expectation)"),
  ])
  func badReloads(_ value: String, _ expected: String) throws {
    #expect(try complaint("on_reload", value) == expected)
  }

  @Test func onlyReadTextsHaveAMeaning() {
    for text in ["", "keep 5m", "close now", "drain", "drain 5", "drain 5m 5m", "Keep"] {
      #expect(SessionReloadText.meaning(text) == nil, "\(text)")
    }
  }

  @Test(arguments: [
    ("message_size: 1023B", "'1023B' is out of bounds: 1KiB to 16MiB"),
    ("message_size: 17MiB", "'17MiB' is out of bounds: 1KiB to 16MiB"),
    ("in_flight: 0", "found 0, it is out of bounds: 1 to 1024"),
    ("in_flight: 1025", "found 1025, it is out of bounds: 1 to 1024"),
    ("ping: 999ms", "'999ms' is out of bounds: 1s to 10m"), ("ping: 11m", "'11m' is out of bounds: 1s to 10m"),
    ("ping: 30", "'30' has no unit | write 30ms, 30s, 30m or 30h"),
    ("query_token: yes", "'yes' is not true or false | did you mean 'true'?"),
    ("nonstream_type: completions", "'completions' is not one of done, completion | did you mean 'completion'?"),
  ])
  func badValues(_ pair: String, _ expected: String) throws {
    let parts = pair.split(separator: ": ", maxSplits: 1).map(String.init)
    #expect(try complaint(parts[0], parts[1]) == expected)
  }

  /// Messages cost what their models do, so something must hold credits, as on other routes for models.
  @Test func creditsMustBeHeld() throws {
    let message = "the route 'r' costs credits, but has no 'policies': nothing would hold them"
    #expect(try error("r: {path: /, dialect: platform-v1}").hasPrefix(message))
    #expect(try error("r: {path: /, dialect: platform-v1, policies: []}").hasPrefix(message))
  }

  @Test func checksConcludeNothingFromPlaceholders() throws {
    let keys = "policies: credits, on_reload: \"${env:R}\", origins: \"${env:O}\""
    let outcome = try load("r: {path: /, dialect: \"${env:D}\", ping: 1m, \(keys)}", placeholders: true)
    #expect(outcome.diagnoses.filter { $0.severity == .error } == [])
    let open = try load("r: {path: /, dialect: platform-v1, \(keys)}", placeholders: true)
    #expect(open.diagnoses.filter { $0.severity == .error } == [])
    #expect(open.snapshot?.routes.first?.socket?.onReload == .keep)
  }

  /// `check --full` shows every default and where a value comes from; what it prints says the same again.
  @Test func resolvedTextReadsBack() throws {
    let first = try load(
      "r: {path: /, dialect: platform-v1, policies: credits, on_reload: drain 300s, origins: \"https://A.test\"}")
    let text = ResolvedPrinter.text(try #require(first.resolved)).replacing(folder.path + "/", with: "")
    let lines = text.split(separator: "\n").map { line in
      line.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
    }
    let row = "routes.yaml:8"
    for line in [
      "query_token: false # default", "origins: [\"https://a.test\"] # \(row)", "message_size: 1MiB # default",
      "in_flight: 32 # default", "ping: 30s # default", "nonstream_type: done # default",
      "on_reload: \"drain 5m\" # \(row)",
    ] {
      #expect(lines.contains(line), "\(line)")
    }
    let again = try Fixture.Folder()
    try again.write("policies/credits.lua", "return {on_request = function() end}\n")
    try again.write("routes.yaml", try Fixture.readable(text))
    let second = again.load()
    #expect(again.rendered(second) == [])
    #expect(second.snapshot?.routes == first.snapshot?.routes)
  }

  @Test func changesAreNamed() throws {
    func resolved(_ keys: String) throws -> SectionFields {
      let outcome = try load("r: {path: /, dialect: platform-v1, policies: credits\(keys)}")
      #expect(folder.rendered(outcome) == [])
      return try #require(outcome.resolved)
    }
    let old = try resolved("")
    let changes: [(String, [String])] = [
      ("", []), (", ping: 30s, on_reload: keep, in_flight: 32", []), (", ping: 31s", ["routes.r.ping"]),
      (", on_reload: close, origins: \"https://a.test\"", ["routes.r.origins", "routes.r.on_reload"]),
    ]
    for (keys, expected) in changes {
      let diff = ConfigDiff(from: old, to: try resolved(keys))
      #expect(diff.changes.map(\.path) == expected && diff.paths(.changed) == expected)
    }
  }
}
