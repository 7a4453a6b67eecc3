import Testing

@testable import Edge

struct GenerationTests {
  private let fixture: WorkerFixture

  init() throws { fixture = try WorkerFixture() }

  /// A listener that is not open; its descriptor is a number to be found again.
  private func listener(_ place: UInt8, _ name: String, since: UInt32, fd: Int32) -> OpenListener {
    OpenListener(
      place: place, name: name, since: since, bind: HostPort(host: "127.0.0.1", port: 1),
      socket: ListenerSocket(fd: fd, name: name, address: "127.0.0.1:1"))
  }

  private func generation(
    _ body: String, listeners: String = "{main: {bind: \"127.0.0.1:0\"}}", open: [OpenListener]? = nil,
    services: [StableName] = [], endpoints: [StableName] = [], workers: Int = 1, contexts: [[TLSClientContext]] = []
  ) throws -> Generation {
    let (snapshot, resolved) = try fixture.load(body, listeners: listeners)
    let plan = GenerationPlan(
      snapshot: snapshot, workers: workers, resolved: resolved,
      listeners: open ?? [listener(0, "main", since: 1, fd: 100)], services: services, endpoints: endpoints,
      tlsContexts: contexts, policies: [], names: MetricNames())
    return Generation(number: 7, place: 9, plan: plan)
  }

  @Test func numbersAndTimes() throws {
    let generation = try generation(
      """
      server: {drain: 1s, timeouts: {head: 2s, idle: 3s, body: 4s, send: 5s}}
      limits: {head_size: 9KiB, head_fields: 33}
      """)
    let rows = generation.rows.pointee
    #expect(generation.number == 7 && rows.number == 7 && generation.place == 9 && rows.place == 9)
    #expect(rows.drainMilliseconds == 1_000 && rows.headMilliseconds == 2_000 && rows.idleMilliseconds == 3_000)
    #expect(rows.bodyMilliseconds == 4_000 && rows.sendMilliseconds == 5_000)
    #expect(rows.headLimits.bytes == 9 << 10 && rows.headLimits.fields == 33)
  }

  @Test func routesFollowTheConfiguration() throws {
    let generation = try generation(
      """
      services: {a: {endpoints: "http://10.0.0.1"}, b: {endpoints: "http://10.0.0.2"}}
      routes:
        one: {path: /one, service: b, body_size: 5KiB, client_fin: finish}
        two: {path: /two, service: a, replay_on_stale: true}
        three: {path: /three, builtin: health}
      """,
      services: [0, 1].map { StableName(name: "s\($0)", handle: Handle(index: $0, serial: 1)) },
      endpoints: [0, 1].map { StableName(name: "e\($0)", handle: Handle(index: $0, serial: 1)) })
    let rows = (0..<3).map { generation.rows.pointee.routeRows[$0] }
    #expect(rows.map(\.name.text) == ["one", "two", "three"])
    #expect(rows.map(\.service) == [1, 0, -1])
    #expect(rows.prefix(2).allSatisfy { $0.builtin == -1 })
    #expect(BuiltinName.allCases[Int(rows[2].builtin)] == .health)
    #expect(rows[0].bodyBytesMax == 5 << 10)
    #expect(rows[1].bodyBytesMax == UInt64(generation.plan.snapshot.limits.bodyBytesMax))
    #expect(rows.map(\.toleratesFin) == [true, false, false])
    #expect(rows.map(\.replaysOnStale) == [false, true, false])
    #expect(Route.name(generation.rows.pointee, "/two", listener: 0) == "two")
  }

  @Test func servicesHaveTheHandlesOfThePlan() throws {
    let endpoints = (1...3).map {
      StableName(name: "e\($0)", handle: Handle(index: Int32(10 * $0), serial: UInt32($0)))
    }
    let generation = try generation(
      """
      services:
        a: {endpoints: ["http://10.0.0.1", "http://10.0.0.2"]}
        b: {endpoints: "http://10.0.0.3"}
      routes: {a: {path: /a, service: a}, b: {path: /b, service: b}}
      """, services: [4, 2].map { StableName(name: "s", handle: Handle(index: $0, serial: 1)) }, endpoints: endpoints)
    let table = generation.rows.pointee.services
    #expect((0..<2).map { table.services[$0].id } == [4, 2])
    #expect((0..<3).map { table.endpoints[$0].handle } == endpoints.map(\.handle))
  }

  /// Requests name a listener by its place, whatever its position in the configuration.
  @Test func listenersStandAtTheirPlaces() throws {
    let generation = try generation(
      """
      routes:
        all: {path: /all, builtin: health}
        first: {path: /first, builtin: health, listeners: a}
        second: {path: /second, builtin: health, listeners: [b]}
      """, listeners: "{a: {bind: \"127.0.0.1:1\"}, b: {bind: \"127.0.0.1:2\"}}",
      open: [listener(63, "a", since: 3, fd: 100), listener(5, "b", since: 7, fd: 101)])
    let rows = generation.rows.pointee
    for place in 0..<ListenerBoard.places {
      let row = rows.listeners[place]
      switch place {
      case 63: #expect(row.fd == 100 && row.since == 3 && row.name.text == "a")
      case 5: #expect(row.fd == 101 && row.since == 7 && row.name.text == "b")
      default: #expect(row.fd == -1 && row.since == 0 && row.name.count == 0)
      }
    }
    #expect(Route.name(rows, "/all", listener: 63) == "all" && Route.name(rows, "/all", listener: 5) == "all")
    #expect(Route.name(rows, "/all", listener: 0) == nil && Route.name(rows, "/all", listener: 1) == nil)
    #expect(Route.name(rows, "/first", listener: 63) == "first" && Route.name(rows, "/first", listener: 5) == nil)
    #expect(Route.name(rows, "/second", listener: 5) == "second" && Route.name(rows, "/second", listener: 63) == nil)
  }

  @Test func contextsAreFoundByTrustAndWorker() throws {
    let trust = try TrustStore(pem: try TestCertificate.authority().pem)
    let contexts = try (0..<2).map { _ in try (0..<3).map { _ in try #require(TLSClientContext(trust)) } }
    let generation = try generation("", workers: 3, contexts: contexts)
    for trust in 0..<2 {
      for worker in 0..<3 {
        let found = generation.rows.pointee.tlsContext(trust: Int32(trust), worker: worker)
        #expect(found === contexts[trust][worker], "trust \(trust), worker \(worker)")
      }
    }
  }

  /// The log level decides too: an access line is `info`.
  @Test(arguments: [("info", true, true), ("debug", true, true), ("warn", true, false), ("info", false, false)])
  func accessLines(_ level: String, _ access: Bool, _ expected: Bool) throws {
    let generation = try generation("log: {level: \(level), access: \(access)}\n")
    #expect(generation.rows.pointee.logsAccess == expected)
  }

  @Test func trustedPeers() throws {
    let rows = try generation(
      "server: {trusted: [10.1.0.0/16, \"2001:db8::/33\", 192.0.2.7, \"::ffff:172.16.0.0/108\", \"fe80::/10\"]}\n")
    func trusts(_ text: String) throws -> Bool {
      rows.rows.pointee.trusts(try #require(SocketAddress(numeric: text, port: 5)))
    }
    for text in [
      "10.1.0.0", "10.1.255.255", "2001:db8:7fff::1", "192.0.2.7", "172.16.0.1", "172.31.255.255", "fe80::1",
    ] {
      #expect(try trusts(text), "\(text)")
    }
    for text in [
      "10.2.0.0", "10.0.255.255", "2001:db8:8000::1", "192.0.2.6", "172.32.0.0", "172.15.0.1", "::1", "fec0::1",
    ] {
      #expect(try !trusts(text), "\(text)")
    }
    let none = try generation("")
    #expect(!none.rows.pointee.trusts(SocketAddress()) && none.rows.pointee.trustedCount == 0)
  }

  @Test func everyAddressOfAFamily() throws {
    let generation = try generation("server: {trusted: [0.0.0.0/0]}\n")
    #expect(generation.rows.pointee.trusts(try #require(SocketAddress(numeric: "203.0.113.9", port: 1))))
    #expect(!generation.rows.pointee.trusts(try #require(SocketAddress(numeric: "::1", port: 1))))
    let mapped = try self.generation("server: {trusted: [\"::ffff:0:0/96\"]}\n")
    #expect(mapped.rows.pointee.trusts(try #require(SocketAddress(numeric: "203.0.113.9", port: 1))))
  }
}
