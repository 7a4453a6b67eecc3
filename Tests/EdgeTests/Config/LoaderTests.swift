// Whole loads: decoding, defaults, merging, references, the environment and what outcomes carry.

import Glibc
import Testing

@testable import Edge

@Suite struct LoaderTests {
  static let head = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:3003\"}}\n"
  static let everything = """
    version: 1
    server:
      workers: 3
      drain: 0
      trusted: [10.0.0.0/8, "fd00::/8", 192.0.2.7]
      var: /var/lib/edge
      policies: scripts
      timeouts: {head: 1s, idle: 2m, body: 3s, send: 4h}
      dns: {refresh: 5s}
      memory: {bodies: 64MiB}
      stats: public
    limits: {head_size: 8KiB, head_fields: 64, body_size: 1GiB}
    listeners:
      main: {bind: "*:80"}
      six: {bind: "[::1]:0", only_named: false}
    services:
      chat:
        endpoints: ["http://127.0.0.1:3007", "http://Chat.Example", "http://[::1]:81"]
        timeouts: {connect: 100ms, head: 15s, idle: 5m}
        pool: {size: 0, idle: 1s}
        pass: [authorization, cookie]
      other: {endpoints: "http://10.0.0.1"}
    stores: {ledger: memory, durability: relaxed}
    credits: {initial: 12.5}
    providers:
      near: {dialect: openai-chat, endpoints: "http://10.0.0.2:81", path: "", key: none, timeouts: {answer: 1m}}
    models:
      small: {providers: near, price: 0.000000001, max_output: 16}
      Large:2:
        providers: [near]
        upstream_name: org/large
        price: {input: 0.01, output: 0.03, cached: 0, long: {above: 200000, input: 0.02, output: 0.045, reasoning: 1}}
        max_output: 4096
        image_tokens: 0
    auth: {issuer: me, audience: [a, b], leeway: 0, claims: {user: uid}}
    roles: {viewer: {permissions: [mcp:read, "files:*"]}}
    policies:
      auth:
        script: auth.lua
        settings: {a: [1, 2.5, -1e30, .inf, ~, true, "1", "x\ny", "a: b"], "b c": {d: {}}, e: []}
    routes:
      health:
        {path: /health, methods: [GET, HEAD], builtin: health, listeners: six, policies: auth, permission: mcp:read}
      hello: {path: /hello, handler: auth}
      chat:
        path: [/api/chat/*, "/c/:id/x"]
        host: ["Example.com", "*.example.com"]
        methods: POST
        listeners: [six, main]
        service: chat
        body_size: 20MiB
        client_fin: finish
      all: {path: /*, service: other}
      paid: {path: /paid, service: other, price: 0.5, policies: auth}
      llm: {path: /v1/chat/completions, methods: POST, dialect: openai-chat, policies: auth}
      talk:
        path: [/, /ws]
        dialect: platform-v1
        policies: auth
        query_token: true
        origins: ["https://App.example.com:443", "http://[::1]:3000"]
        message_size: 16MiB
        in_flight: 1
        ping: 1m
        nonstream_type: completion
        on_reload: drain 90s
      quiet: {path: /quiet, methods: GET, dialect: platform-v1, policies: auth}
    log: {level: debug, access: false}
    """

  @Test func everyKeyIsDecoded() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", LoaderTests.everything)
    try folder.write("scripts/auth.lua", "return {}\n")
    let outcome = folder.load()
    #expect(folder.rendered(outcome) == [])
    let snapshot = try #require(outcome.snapshot)
    #expect(
      snapshot.server
        == ServerSettings(
          workers: .fixed(3), drainMilliseconds: 0,
          trusted: [
            AddressBlock(bytes: [10, 0, 0, 0], prefixBits: 8),
            AddressBlock(bytes: [0xFD] + [UInt8](repeating: 0, count: 15), prefixBits: 8),
            AddressBlock(bytes: [192, 0, 2, 7], prefixBits: 32),
          ], varFolder: "/var/lib/edge", policiesFolder: folder.path + "/scripts", headTimeoutMilliseconds: 1000,
          idleTimeoutMilliseconds: 120_000, bodyTimeoutMilliseconds: 3000, sendTimeoutMilliseconds: 14_400_000,
          dnsRefreshMilliseconds: 5000, bodyMemoryBytes: 64 << 20, statsArePublic: true))
    #expect(snapshot.limits == LimitSettings(headBytesMax: 8192, headFieldsMax: 64, bodyBytesMax: 1 << 30))
    #expect(
      snapshot.listeners == [
        Listener(name: "main", address: HostPort(host: "*", port: 80)),
        Listener(name: "six", address: HostPort(host: "::1", port: 0)),
      ])
    #expect(
      snapshot.services[0]
        == Service(
          name: "chat",
          endpoints: [
            .plain("127.0.0.1", 3007), .plain("chat.example", 80), .plain("::1", 81),
          ], connectTimeoutMilliseconds: 100, headTimeoutMilliseconds: 15_000, idleTimeoutMilliseconds: 300_000,
          poolSize: 0, poolIdleMilliseconds: 1000, pass: [.authorization, .cookie], trust: nil,
          serverName: nil))
    #expect(snapshot.services[1].endpoints == [.plain("10.0.0.1", 80)])
    #expect(snapshot.routes[0].policies == [0] && snapshot.routes[0].permission == "mcp:read")
    #expect(snapshot.routes[1].target == .handler(0))
    #expect(
      snapshot.routes[2]
        == Route(
          name: "chat", hosts: [.exact("example.com"), .suffix(".example.com")],
          paths: [
            PathPattern(segments: [.literal("api"), .literal("chat")], tail: .below),
            PathPattern(segments: [.literal("c"), .parameter("id"), .literal("x")], tail: .exact),
          ], methods: [.post], listeners: [0, 1], target: .service(0), bodyBytesMax: 20 << 20, clientFin: .finish,
          replaysOnStale: false, policies: [], permission: nil, serviceSocket: ServiceSocketSettings()))
    #expect(snapshot.routes[0].listeners == [1])
    #expect(snapshot.routes[3].listeners == [0, 1])
    #expect(snapshot.routes[3].target == .service(1))
    #expect(snapshot.routes[3].bodyBytesMax == 1 << 30)
    #expect(snapshot.log == LogSettings(level: .debug, access: false))
  }

  @Test func everyDefaultHolds() throws {
    let text = LoaderTests.head + "services: {s: {endpoints: [\"http://h\"]}}\nroutes: {r: {path: /, service: s}}\n"
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", text)
    let snapshot = try #require(folder.load().snapshot)
    #expect(
      snapshot.server
        == ServerSettings(
          workers: .auto, drainMilliseconds: 30_000, trusted: [], varFolder: folder.path + "/var/",
          policiesFolder: folder.path + "/policies/", headTimeoutMilliseconds: 15_000,
          idleTimeoutMilliseconds: 75_000,
          bodyTimeoutMilliseconds: 30_000, sendTimeoutMilliseconds: 60_000, dnsRefreshMilliseconds: 30_000,
          bodyMemoryBytes: 256 << 20, statsArePublic: false))
    #expect(snapshot.limits == LimitSettings(headBytesMax: 16_384, headFieldsMax: 100, bodyBytesMax: 10 << 20))
    #expect(
      snapshot.services[0]
        == Service(
          name: "s", endpoints: [.plain("h", 80)], connectTimeoutMilliseconds: 3000,
          headTimeoutMilliseconds: 30_000, idleTimeoutMilliseconds: 120_000, poolSize: 256,
          poolIdleMilliseconds: 10_000, pass: [], trust: nil, serverName: nil))
    #expect(
      snapshot.routes[0]
        == Route(
          name: "r", hosts: [], paths: [PathPattern(segments: [], tail: .exact)], methods: [], listeners: [0],
          target: .service(0), bodyBytesMax: 10 << 20, clientFin: .abort, replaysOnStale: false,
          policies: [], permission: nil, serviceSocket: ServiceSocketSettings()))
    #expect(snapshot.log == LogSettings(level: .info, access: true))
  }

  @Test func everyLiteralDefaultIsReadable() {
    var rows: [SchemaRow] = []
    func collect(_ section: SchemaSection) {
      rows += section.rows
      for row in section.rows {
        switch row.type {
        case .section(let inner), .named(let inner, _, _), .either(_, let inner): collect(inner)
        default: break
        }
      }
    }
    collect(RootSection.schema)
    for row in rows {
      #expect(row.doc.hasSuffix("."), "\(row.key)")
      switch row.fallback {
      case .literal(let text), .literalWith(_, let text), .environment(_, _, .some(let text)):
        #expect((try? row.type.readDefault(text)) != nil, "\(row.key): \(text)")
      case .environment(_, _, .none), .required, .requiredSince, .absent, .empty: break
      }
    }
    #expect(rows.count > 30)
  }

  @Test func variablesAreDefaultsOfKeys() throws {
    let text =
      LoaderTests.head
      + "services: {s: {endpoints: [\"http://h\"]}, t: {endpoints: [\"http://h\"], timeouts: {head: 9s}}}\n"
      + "routes: {r: {path: /r, service: s}, t: {path: /t, service: t}}\n"
    let environment = ["GATEWAY_TIMEOUT_MS": "2500", "LOG_LEVEL": "warn"]
    let outcome = try Fixture.load(text, environment: environment).outcome
    #expect(outcome.snapshot?.services.map(\.headTimeoutMilliseconds) == [2500, 9000])
    #expect(outcome.snapshot?.log.level == .warn)
    // Set but empty is unset.
    let empty = try Fixture.load(text, environment: ["GATEWAY_TIMEOUT_MS": "", "LOG_LEVEL": ""]).outcome
    #expect(empty.snapshot?.services[0].headTimeoutMilliseconds == 30_000)
    #expect(try Fixture.load(text, environment: ["LOG_LEVEL": "warn"]).outcome.snapshot?.log.level == .warn)
    #expect(try Fixture.load(text, environment: ["GATEWAY_TIMEOUT_MS": "0"]).outcome.snapshot == nil)
  }

  @Test func filesAreMerged() throws {
    let folder = try Fixture.Folder()
    try folder.write(
      "routes.yaml",
      "version: 1\ninclude: [b/*.yaml, a.yaml]\nserver: {timeouts: {head: 1s}}\nlisteners: {main: {bind: \"*:1\"}}\n")
    try folder.write("b/2.yaml", "version: 1\nservices: {two: {endpoints: [\"http://two\"]}}\n")
    try folder.write("b/10.yaml", "server: {timeouts: {idle: 2s}, drain: 3s}\nlisteners: {more: {bind: \"*:2\"}}\n")
    try folder.write("b/empty.yaml", "# nothing\n")
    try folder.write(
      "a.yaml",
      "services: {one: {endpoints: [\"http://one\"]}}\nroutes: {r: {path: /, service: one}, "
        + "s: {path: /s, service: two, listeners: more}}\n")
    let outcome = folder.load()
    #expect(folder.rendered(outcome) == [])
    let snapshot = try #require(outcome.snapshot)
    // Byte order: "10" before "2".
    #expect(
      outcome.files.map { $0.path.dropFirst(folder.path.count + 1) } == [
        "routes.yaml", "b/10.yaml", "b/2.yaml", "b/empty.yaml", "a.yaml",
      ])
    #expect(snapshot.services.map(\.name) == ["two", "one"])
    #expect(snapshot.listeners.map(\.name) == ["main", "more"])
    #expect(snapshot.routes[1].listeners == [1])
    #expect(snapshot.server.headTimeoutMilliseconds == 1000)
    #expect(snapshot.server.idleTimeoutMilliseconds == 2000)
    #expect(snapshot.server.drainMilliseconds == 3000)
  }

  @Test func aFileIncludedTwiceIsReadOnce() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", LoaderTests.head + "include: [x.yaml, ./x.yaml, \"*.yaml\"]\n")
    try folder.write("x.yaml", "routes: {r: {path: /, builtin: health}}\n")
    let outcome = folder.load()
    #expect(outcome.snapshot?.routes.count == 1)
    #expect(outcome.files.count == 2)
  }

  @Test func tooManyFilesAreRefused() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", LoaderTests.head + "include: c/*.yaml\n")
    for index in 0...Loader.filesMax { try folder.write("c/\(index).yaml", "# \(index)\n") }
    let outcome = folder.load()
    #expect(outcome.snapshot == nil)
    #expect(outcome.diagnoses.filter { $0.message == "more than \(Loader.filesMax) files are included" }.count == 1)
  }

  @Test func unreadableMainFiles() throws {
    let folder = try Fixture.Folder()
    #expect(
      folder.rendered(folder.load()).first?.hasPrefix("routes.yaml: error: the file cannot be read: No such") == true)
    try folder.write("routes.yaml/x", "")
    #expect(folder.rendered(folder.load()) == ["routes.yaml: error: the file cannot be read: it is a folder"])
    let large = try Fixture.Folder()
    try large.write("routes.yaml", [UInt8](repeating: 0x23, count: Loader.fileBytesMax + 1))
    #expect(large.rendered(large.load()) == ["routes.yaml: error: the file cannot be read: it is larger than 1MiB"])
  }

  /// Opening a pipe would wait for a writer that never comes.
  @Test func pipesAreRefused() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", LoaderTests.head + "include: [pipe]\nlog: {level: \"${file:pipe}\"}\n")
    #expect(mkfifo(folder.path + "/pipe", 0o600) == 0)
    let text = folder.load().report
    #expect(text.contains("cannot be read: it is not a regular file"))
    #expect(text.contains("the file 'pipe' cannot be read: it is not a regular file"))
  }

  // MARK: - References

  @Test func referencesAreReplacedByType() throws {
    let folder = try Fixture.Folder()
    try folder.write("secrets/level", "debug\n\r\n")
    try folder.write(
      "routes.yaml",
      """
      version: ${env:VERSION}
      server: {workers: "${env:WORKERS}", drain: "${env:DRAIN}s", trusted: ["${env:BLOCK:-10.0.0.0/8}"]}
      listeners: {main: {bind: "${env:HOST:-127.0.0.1}:${env:PORT:-3003}"}}
      services: {s: {endpoints: ["http://${env:EMPTY}h${env:UNSET:-}"]}}
      routes: {r: {path: "/$${env:X}/$x$", service: "${env:SERVICE}"}}
      log: {level: "${file:secrets/level}", access: "${env:ACCESS}"}
      """)
    let environment = [
      "VERSION": "1", "WORKERS": "2", "DRAIN": "7", "PORT": "81", "SERVICE": "s", "ACCESS": "false", "EMPTY": "",
    ]
    // `{` cannot stand in a path; the escape itself is what is tested.
    let outcome = folder.load(environment)
    #expect(folder.rendered(outcome).count == 1)
    #expect(outcome.diagnoses.first?.message.contains("'{' cannot stand in a path") == true)
    try folder.write(
      "routes.yaml",
      """
      version: ${env:VERSION}
      server: {workers: "${env:WORKERS}", drain: "${env:DRAIN}s", trusted: ["${env:BLOCK:-10.0.0.0/8}"]}
      listeners: {main: {bind: "${env:HOST:-127.0.0.1}:${env:PORT:-3003}"}}
      services: {s: {endpoints: ["http://${env:EMPTY}h${env:UNSET:-}"]}}
      routes: {r: {path: "/$x$", service: "${env:SERVICE}"}}
      log: {level: "${file:secrets/level}", access: "${env:ACCESS}"}
      """)
    let snapshot = try #require(folder.load(environment).snapshot)
    #expect(snapshot.server.workers == .fixed(2))
    #expect(snapshot.server.drainMilliseconds == 7000)
    #expect(snapshot.listeners[0].address == HostPort(host: "127.0.0.1", port: 81))
    #expect(snapshot.services[0].endpoints == [.plain("h", 80)])
    #expect(snapshot.routes[0].paths[0].segments == [.literal("$x$")])
    #expect(snapshot.log == LogSettings(level: .debug, access: false))
  }

  @Test func placeholdersStandIn() throws {
    let text = """
      version: 1
      server: {workers: "${env:A}", drain: "${env:B}", trusted: ["${env:C}"], var: "${file:/nonexistent/x}"}
      limits: {head_size: "${env:D}"}
      listeners: {main: {bind: "127.0.0.1:${env:E}"}, other: {bind: "127.0.0.1:${env:E}"}}
      services: {s: {endpoints: ["http://${env:F}", "http://${env:G}"]}}
      routes:
        r: {path: "${env:H}", host: "${env:I}", methods: ["${env:J}"], service: "${env:K}"}
        q: {path: "${env:H}", host: "${env:I}", methods: ["${env:J}"], service: s, listeners: ["${env:L}"]}
      log: {level: "${env:M}", access: "${env:N}"}
      """
    let strict = try Fixture.load(text)
    #expect(strict.outcome.diagnoses.filter { $0.severity == .error }.count == 19)
    let loose = try Fixture.load(text, placeholders: true)
    #expect(loose.outcome.diagnoses.filter { $0.severity == .error } == [])
    // Routes that lead to an unknown name are left out.
    #expect(loose.outcome.snapshot?.routes == [])
    #expect(loose.outcome.snapshot?.services.count == 1)
  }

  @Test func contentHashFollowsContent() throws {
    let folder = try Fixture.Folder()
    let text = LoaderTests.head + "routes: {}\nlog: {level: \"${env:A:-info}\"}\n"
    try folder.write("routes.yaml", text)
    let first = try #require(folder.load().snapshot?.contentHash)
    #expect(folder.load(["UNRELATED": "1"]).snapshot?.contentHash == first)
    #expect(folder.load(["A": "debug"]).snapshot?.contentHash != first)
    try folder.write("routes.yaml", text + "#\n")
    #expect(folder.load().snapshot?.contentHash != first)
  }

  // MARK: - Environment

  @Test func dotenvActsUnderDevOnly() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", LoaderTests.head + "routes: {}\n")
    try folder.write(".env", "LOG_LEVEL=debug\n")
    #expect(folder.load().snapshot?.log.level == .info)
    #expect(folder.load(dev: true).snapshot?.log.level == .debug)
    // What is set already wins, also when it is set to nothing.
    #expect(folder.load(["LOG_LEVEL": "warn"], dev: true).snapshot?.log.level == .warn)
    #expect(folder.load(["LOG_LEVEL": ""], dev: true).snapshot?.log.level == .info)
    try folder.write(".env", "NODE_ENV=production\n")
    #expect(folder.load().snapshot != nil)
    #expect(folder.load(dev: true).snapshot == nil)
  }

  @Test(arguments: EnvironmentTable.refused.map(\.name)) func refusedVariables(_ name: String) throws {
    let text = LoaderTests.head + "routes: {}\n"
    #expect(try Fixture.load(text, environment: [name: "x"]).outcome.snapshot == nil)
    #expect(try Fixture.load(text, environment: [name: "x"], placeholders: true).outcome.snapshot == nil)
    #expect(try Fixture.load(text, environment: [name: ""]).outcome.snapshot != nil)
  }

  @Test(arguments: EnvironmentTable.idle.map(\.name)) func idleVariables(_ name: String) throws {
    let text = LoaderTests.head + "routes: {}\n"
    for (value, count) in [("x", 1), ("", 0)] {
      let outcome = try Fixture.load(text, environment: [name: value]).outcome
      #expect(outcome.snapshot != nil)
      let warnings = outcome.diagnoses.filter { $0.severity == .warning && $0.message.hasPrefix("\(name) is set") }
      #expect(warnings.count == count)
    }
  }

  @Test func modeThatIsNoModeIsWarnedAbout() throws {
    let (outcome, text) = try Fixture.load(LoaderTests.head + "routes: {}\n", environment: ["NODE_ENV": "prod"])
    #expect(outcome.snapshot != nil)
    #expect(text.first?.hasSuffix("did you mean 'production'?") == true)
  }

  // MARK: - Warnings and notes

  @Test func warningsDoNotStopTheStart() throws {
    let (outcome, text) = try Fixture.load(
      LoaderTests.head
        + "services: {s: {endpoints: [\"http://127.0.0.1:3003\"]}}\n"
        + "routes: {r: {path: /, builtin: health}}\n")
    #expect(outcome.snapshot != nil)
    #expect(outcome.diagnoses.allSatisfy { $0.severity == .warning })
    #expect(text.count == 2)
  }

  /// Any cut of a file ends in findings or a snapshot, never in a crash, and every error has a place in the text.
  @Test func everyPrefixEndsWell() throws {
    let folder = try Fixture.Folder()
    let bytes = Array(LoaderTests.everything.utf8)
    for count in stride(from: 0, through: bytes.count, by: 3) {
      try folder.write("routes.yaml", Array(bytes[..<count]))
      let outcome = folder.load()
      #expect((outcome.snapshot == nil) == outcome.diagnoses.contains { $0.severity == .error })
    }
  }

  /// Single bytes changed at random places; the seed is fixed.
  @Test func damagedFilesEndWell() throws {
    let folder = try Fixture.Folder()
    let bytes = Array(LoaderTests.everything.utf8)
    let alphabet = Array("{}[]:,#&*!|>'\"%@`-?\n\t $~\u{E9}0aZ/.".utf8)
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    for _ in 0..<400 {
      var damaged = bytes
      for _ in 0...next(3) { damaged[next(damaged.count)] = alphabet[next(alphabet.count)] }
      try folder.write("routes.yaml", damaged)
      let outcome = folder.load()
      #expect((outcome.snapshot == nil) == outcome.diagnoses.contains { $0.severity == .error })
      for diagnosis in outcome.diagnoses { #expect(!diagnosis.render().isEmpty) }
    }
  }
}
