// Generations built after one another, with real sockets and a name service that answers what the test says.

import Foundation
import Testing

@testable import Edge

/// A name service.
private final class Names: Sendable {
  private struct State {
    var answers: [String: AddressSet] = [:]
    var asked: [String: Int] = [:]
    /// Lookups of these wait until they are no longer in here.
    var silent: Set<String> = []
  }
  private let state = Monitor(State())

  func know(_ name: String, _ addresses: AddressSet?) { state.withLock { $0.answers[name] = addresses } }
  func asked(_ name: String) -> Int { state.withLock { $0.asked[name] ?? 0 } }

  func silence(_ names: Set<String>) {
    state.withLock { $0.silent = names }
    state.wakeAll()
  }

  func lookup(_ name: String) -> Result<AddressSet, LookupError> {
    state.withLock { $0.asked[name, default: 0] += 1 }
    return state.awaiting { state in
      if state.silent.contains(name) { return .sleep(untilNanoseconds: .max) }
      return .found(state.answers[name].map { .success($0) } ?? .failure(LookupError(text: "unknown")))
    }
  }
}

@Suite(.timeLimit(.minutes(2))) final class GenerationBuilderTests {
  private let fixture: WorkerFixture
  private let names = Names()
  private let book = AddressBook(workers: 2)
  private let resolver: Resolver
  private let builder: GenerationBuilder
  private var number: UInt32 = 0
  private var newest: Generation?

  init() throws {
    fixture = try WorkerFixture()
    resolver = Resolver(lookup: names.lookup, deliver: { _, _ in }, report: { _, _ in })
    builder = GenerationBuilder(
      workers: 2, addresses: book, resolver: resolver, keyValues: try #require(KeyValueStore()),
      ledger: try memoryLedger(), metrics: try #require(Metrics(workers: 3)),
      log: try #require(Log(workers: 2, level: .error, descriptor: 2))
    )
  }

  deinit {
    names.silence([])
    resolver.end()
    // What serves is closed as a reload without listeners would.
    if let last = newest {
      for listener in last.plan.listeners { close(listener.socket.fd) }
    }
    _ = builder.closeListeners { _ in true }
  }

  // MARK: as the control thread does it

  private func build(_ snapshot: Snapshot, _ resolved: SectionFields) throws -> Generation {
    try builder.build(snapshot, resolved: resolved, number: number + 1, place: UInt8(number % 64))
  }

  @discardableResult
  private func publish(_ generation: Generation) -> [OpenListener] {
    number += 1
    newest = generation
    return builder.published(generation)
  }

  /// Builds and publishes.
  private func reload(_ body: String, listeners: String = "{main: {bind: \"127.0.0.1:0\"}}") throws -> Generation {
    let (snapshot, resolved) = try fixture.load(body, listeners: listeners)
    let generation = try build(snapshot, resolved)
    publish(generation)
    return generation
  }

  private func refused(_ body: String, listeners: String) throws -> String? {
    let (snapshot, resolved) = try fixture.load(body, listeners: listeners)
    return #expect(throws: GenerationError.self) { try build(snapshot, resolved) }?.message
  }

  private func end(_ generation: Generation) {
    builder.release(generation)
  }

  /// Services, each with its endpoints, and a route to each.
  private func services(_ rows: (String, String)...) -> String {
    let entries = rows.map { "  \($0.0): {endpoints: [\($0.1)]}\n" }.joined()
    let routes = rows.map { "  \($0.0): {path: /\($0.0), service: \($0.0)}\n" }.joined()
    return "services:\n\(entries)routes:\n\(routes)"
  }

  private func addresses(_ generation: Generation) -> [String] {
    generation.plan.endpoints.map { book.addresses(of: $0.handle).text }
  }

  // MARK: Handles

  @Test func whatStaysKeepsItsHandle() throws {
    let first = try reload(services(("a", "http://10.0.0.1, http://10.0.0.2"), ("b", "http://10.0.0.3")))
    let second = try reload(services(("b", "http://10.0.0.3, http://10.0.0.4"), ("a", "http://10.0.0.2")))
    let (old, new) = (first.plan, second.plan)
    #expect(new.services.map(\.name) == ["b", "a"])
    #expect(new.services.map(\.handle) == old.services.reversed().map(\.handle))
    #expect(new.endpoints[0].handle == old.endpoints[2].handle && new.endpoints[2].handle == old.endpoints[1].handle)
    #expect(!old.endpoints.map(\.handle.index).contains(new.endpoints[1].handle.index))
    #expect(addresses(second) == ["10.0.0.3", "10.0.0.4", "10.0.0.2"])
    #expect((0..<3).map { second.rows.pointee.services.endpoints[$0].handle } == new.endpoints.map(\.handle))
    end(first)
    #expect(addresses(first) == ["", "10.0.0.2", "10.0.0.3"], "only what nobody has any more is forgotten")
    let third = try reload(services(("b", "http://10.0.0.3"), ("c", "http://10.0.0.1")))
    #expect(third.plan.endpoints[0].handle == old.endpoints[2].handle)
    #expect(third.plan.endpoints[1].handle.index == old.endpoints[0].handle.index, "a freed place")
    #expect(third.plan.endpoints[1].handle != old.endpoints[0].handle, "with another serial")
  }

  @Test func servicesThatShareAnEndpointShareItsHandle() throws {
    let first = try reload(services(("a", "http://10.0.0.1"), ("b", "http://10.0.0.1:80, http://10.0.0.1:81")))
    let handles = first.plan.endpoints.map(\.handle)
    #expect(handles[0] == handles[1] && handles[0] != handles[2])
    #expect(Set(first.plan.services.map(\.handle.index)).count == 2)
    let second = try reload(services(("b", "http://10.0.0.1:80")))
    end(first)
    #expect(addresses(second) == ["10.0.0.1"])
    #expect(second.plan.endpoints[0].handle == handles[0])
  }

  @Test func connectionsThatAreVerifiedOtherwiseAreNotInterchangeable() throws {
    try fixture.folder.write("one.pem", try TestCertificate.authority("one").pem)
    try fixture.folder.write("two.pem", try TestCertificate.authority("two").pem)
    let tls = [
      "{ca_file: one.pem}", "{ca_file: two.pem}", "{ca_file: one.pem, server_name: n.test}", "{ca_file: one.pem}",
    ]
    let rows = tls.enumerated().map { "  s\($0.offset): {endpoints: \"https://10.0.0.1:80\", tls: \($0.element)}\n" }
    let text = "services:\n" + rows.joined() + "  plain: {endpoints: \"http://10.0.0.1:80\"}\n"
    let routes = (0..<4).map { "  r\($0): {path: /\($0), service: s\($0)}\n" }.joined()
    let generation = try reload(text + "routes:\n" + routes + "  p: {path: /p, service: plain}\n")
    let indices = generation.plan.endpoints.map(\.handle.index)
    #expect(indices[3] == indices[0] && Set(indices).count == 4)
  }

  // MARK: What fails

  @Test func aListenerInUseLeavesNothingBehind() throws {
    let taken = try ListenerSocket.open(Listener(name: "x", address: HostPort(host: "127.0.0.1", port: 0)))
    defer { close(taken.fd) }
    let first = try reload(services(("a", "http://10.0.0.1")))
    let body = services(("a", "http://10.0.0.1"), ("b", "http://10.0.0.2"), ("c", "http://h.test"))
    let listeners = "{main: {bind: \"127.0.0.1:0\"}, other: {bind: \"127.0.0.1:0\"}, bad: {bind: \"\(taken.address)\"}}"
    for _ in 0..<3 {
      let message = try refused(body, listeners: listeners)
      #expect(message == "listener bad: cannot listen on \(taken.address): Address already in use")
    }
    #expect(book.unseen(by: 0).map(\.endpoint) == first.plan.endpoints.map(\.handle), "the rest is forgotten")
    let second = try reload(body, listeners: "{main: {bind: \"127.0.0.1:0\"}, other: {bind: \"127.0.0.1:0\"}}")
    #expect(second.plan.services[0].handle == first.plan.services[0].handle)
    #expect(second.plan.endpoints[0].handle == first.plan.endpoints[0].handle)
    #expect(Set(second.plan.services.map(\.handle.index)) == [0, 1, 2], "places are used again")
    #expect(Set(second.plan.endpoints.map(\.handle.index)) == [0, 1, 2])
    #expect(second.plan.listeners.map(\.place) == [0, 1])
    #expect(second.plan.listeners[0].socket.fd == first.plan.listeners[0].socket.fd)
  }

  /// More services than there are places for, which no file may have.
  @Test func claimsAreGivenBackWhenPlacesRunOut() throws {
    let first = try reload(services(("a", "http://10.0.0.1")))
    let (base, resolved) = try fixture.load("")
    func snapshot(_ count: Int, _ prefix: String, listeners: [Listener]) -> Snapshot {
      let services = (0..<count).map { number in
        Service(
          name: number == 0 ? "a" : "\(prefix)\(number)",
          endpoints: [.plain("10.0.0.1", 80), .plain("10.1.1.\(number % 7)", 80)],
          connectTimeoutMilliseconds: 1, headTimeoutMilliseconds: 1, idleTimeoutMilliseconds: 1, poolSize: 1,
          poolIdleMilliseconds: 1, pass: [], trust: nil, serverName: nil)
      }
      return Snapshot(
        server: base.server, limits: base.limits, listeners: listeners, services: services, routes: [],
        log: base.log, auth: base.auth, roles: [], policies: [], scripts: [], trustFiles: [], contentHash: 0)
    }
    let probe = try ListenerSocket.open(Listener(name: "x", address: HostPort(host: "127.0.0.1", port: 0)))
    close(probe.fd)
    let port = try #require(probe.address.split(separator: ":").last.flatMap { UInt16($0) })
    let more = base.listeners + [Listener(name: "more", address: HostPort(host: "127.0.0.1", port: port))]
    for attempt in 0..<2 {
      let error = #expect(throws: GenerationError.self) {
        try build(snapshot(Limits.servicesMax + 1, "failed\(attempt)-", listeners: more), resolved)
      }
      #expect(error?.message == "more than 65536 endpoints or 8192 services in living generations")
    }
    #expect(addresses(first) == ["10.0.0.1"], "what the newest has, too, stays")
    // All places but the first generation's are free again, and so is the address of the listener.
    let second = try build(snapshot(Limits.servicesMax, "s", listeners: more), resolved)
    publish(second)
    #expect(second.plan.services[0].handle == first.plan.services[0].handle)
    #expect(Set(second.plan.services.map(\.handle.index)).count == Limits.servicesMax)
    #expect(second.plan.endpoints[0].handle == first.plan.endpoints[0].handle)
    #expect(second.plan.listeners[1].since == 2 && second.plan.listeners[0].since == 1)
  }

  // MARK: Names

  @Test func namesAreKnownWhenAGenerationIsBuilt() throws {
    names.know("h.test", addressSet("10.0.0.1", "10.0.0.2"))
    let first = try reload(services(("a", "http://h.test, http://10.0.0.9"), ("b", "http://h.test:81, http://no.test")))
    #expect(addresses(first) == ["10.0.0.1 10.0.0.2", "10.0.0.9", "10.0.0.1 10.0.0.2", ""])
    // An endpoint that is new and a name that is not: nothing is looked up again.
    let asked = names.asked("h.test")
    let second = try reload(services(("a", "http://h.test:82")))
    #expect(addresses(second) == ["10.0.0.1 10.0.0.2"])
    #expect(names.asked("h.test") == asked)
  }

  @Test func aNameServiceThatIsSilentHoldsUpNothingForLong() throws {
    names.know("h.test", addressSet("10.0.0.1"))
    names.silence(["dead.test"])
    let start = Clock.monotonicNow()
    let generation = try reload(services(("a", "http://dead.test, http://h.test")))
    #expect((Clock.monotonicNow() - start) / 1_000_000 < UInt64(Limits.resolveWaitMilliseconds) + 20_000)
    #expect(addresses(generation) == ["", "10.0.0.1"])
    names.know("dead.test", addressSet("10.0.0.2"))
    names.silence([])
    resolver.wait(for: ["dead.test"], milliseconds: 30_000)
    builder.resolved("dead.test")
    #expect(addresses(generation) == ["10.0.0.2", "10.0.0.1"])
    #expect(book.unseen(by: 0).contains { $0.endpoint == generation.plan.endpoints[0].handle })
  }

  @Test func newsAreAnnouncedOnceToAllEndpointsOfAName() throws {
    names.know("h.test", addressSet("10.0.0.1"))
    names.know("other.test", addressSet("10.0.0.5"))
    let body = services(("a", "http://h.test, http://other.test, http://h.test:81"))
    let generation = try reload("server: {dns: {refresh: 1s}}\n" + body)
    let handles = generation.plan.endpoints.map(\.handle)
    _ = book.unseen(by: 0)
    builder.resolved("h.test")
    builder.resolved("never.test")
    #expect(book.unseen(by: 0).isEmpty, "no news")
    names.know("h.test", addressSet("10.0.0.2", "10.0.0.3"))
    // It is looked up again after a second.
    #expect(eventually { resolver.addresses(of: "h.test")?.count == 2 })
    builder.resolved("h.test")
    #expect(addresses(generation) == ["10.0.0.2 10.0.0.3", "10.0.0.5", "10.0.0.2 10.0.0.3"])
    #expect(Set(book.unseen(by: 0).map(\.endpoint.bits)) == [handles[0].bits, handles[2].bits])
    builder.resolved("h.test")
    #expect(book.unseen(by: 0).isEmpty)
  }

  @Test func namesOfAllLivingGenerationsAreKept() throws {
    for (name, last) in [("old.test", 1), ("both.test", 2), ("new.test", 3)] {
      names.know(name, addressSet("10.0.0.\(last)"))
    }
    let first = try reload(services(("a", "http://old.test, http://both.test")))
    let second = try reload(services(("a", "http://both.test, http://new.test")))
    #expect(addresses(first) == ["10.0.0.1", "10.0.0.2"] && addresses(second) == ["10.0.0.2", "10.0.0.3"])
    #expect(resolver.addresses(of: "old.test") != nil, "exchanges may run on it")
    end(first)
    #expect(resolver.addresses(of: "old.test") == nil)
    #expect(resolver.addresses(of: "both.test") != nil && resolver.addresses(of: "new.test") != nil)
    #expect(addresses(first) == ["", "10.0.0.2"] && addresses(second) == ["10.0.0.2", "10.0.0.3"])
    let third = try reload(services(("b", "http://10.0.0.1")))
    end(second)
    #expect(resolver.addresses(of: "both.test") == nil && resolver.addresses(of: "new.test") == nil)
    #expect(addresses(third) == ["10.0.0.1"])
  }

  @Test func aNameIsKeptForAsLongAsAnyOfItsEndpoints() throws {
    names.know("h.test", addressSet("10.0.0.1"))
    let first = try reload(services(("a", "http://h.test:1, http://h.test:2")))
    let second = try reload(services(("a", "http://h.test:2")))
    end(first)
    #expect(resolver.addresses(of: "h.test") != nil)
    #expect(addresses(first) == ["", "10.0.0.1"])
    builder.resolved("h.test")
    #expect(addresses(second) == ["10.0.0.1"])
  }

  // MARK: TLS

  private func https(_ files: String...) -> String {
    let rows = files.enumerated().map { number, file in
      "  s\(number): {endpoints: \"https://10.0.0.\(number + 1)\", tls: {ca_file: \(file)}}\n"
    }
    let routes = files.indices.map { "  r\($0): {path: /\($0), service: s\($0)}\n" }
    return "services:\n" + rows.joined() + "routes:\n" + routes.joined()
  }

  private func contexts(_ generation: Generation) -> [[ObjectIdentifier]] {
    generation.plan.tlsContexts.map { $0.map { ObjectIdentifier($0) } }
  }

  @Test func contextsBelongToAContentNotToAPath() throws {
    let (one, two) = (try TestCertificate.authority("one").pem, try TestCertificate.authority("two").pem)
    for name in ["a.pem", "b.pem"] { try fixture.folder.write(name, one) }
    try fixture.folder.write("c.pem", two)
    let first = try reload(https("a.pem", "c.pem", "b.pem"))
    #expect(contexts(first).map(\.count) == [2, 2, 2], "one for each worker")
    #expect(contexts(first)[0] == contexts(first)[2])
    #expect(Set(contexts(first).flatMap { $0 }).count == 4)
    let second = try reload(https("c.pem", "b.pem"))
    #expect(contexts(second) == [contexts(first)[1], contexts(first)[0]])
    try fixture.folder.write("c.pem", one)
    let third = try reload(https("c.pem"))
    #expect(contexts(third) == [contexts(first)[0]], "another path to the same content")
    try fixture.folder.write("c.pem", two)
    let fourth = try reload(https("c.pem"))
    #expect(Set(contexts(fourth)[0]).isDisjoint(with: contexts(first).flatMap { $0 }), "not kept for later")
    withExtendedLifetime((first, second, third)) {}
  }

  @Test func aFailedBuildDoesNotForgetContexts() throws {
    let taken = try ListenerSocket.open(Listener(name: "x", address: HostPort(host: "127.0.0.1", port: 0)))
    defer { close(taken.fd) }
    try fixture.folder.write("a.pem", try TestCertificate.authority("one").pem)
    try fixture.folder.write("b.pem", try TestCertificate.authority("two").pem)
    let first = try reload(https("a.pem"))
    let listeners = "{main: {bind: \"127.0.0.1:0\"}, bad: {bind: \"\(taken.address)\"}}"
    #expect(try refused(https("b.pem"), listeners: listeners) != nil)
    let second = try reload(https("a.pem", "b.pem"))
    #expect(contexts(second)[0] == contexts(first)[0])
  }

  @Test func listenersHaveContextsOfTheirCertificate() throws {
    for name in ["a", "b"] {
      let leaf = try TestCertificate(TestCertificate.Traits())
      try fixture.folder.write("\(name).pem", leaf.pem + leaf.keyPEM())
    }
    func listeners(_ names: String...) -> String {
      let rows = names.enumerated().map { number, name in
        "l\(number): {bind: \"127.0.0.1:0\"\(name.isEmpty ? "" : ", tls: {certificate: \(name), key: \(name)}")}"
      }
      return "{\(rows.joined(separator: ", "))}"
    }
    func contexts(_ generation: Generation) -> [[ObjectIdentifier]] {
      generation.plan.serverContexts.map { $0.map { ObjectIdentifier($0) } }
    }
    func certificates(_ generation: Generation) -> [Int32] {
      generation.plan.listeners.map { generation.rows.pointee.listeners[Int($0.place)].certificate }
    }
    let first = try reload("", listeners: listeners("a.pem", "", "b.pem", "a.pem"))
    #expect(certificates(first) == [0, -1, 1, 0])
    #expect(first.plan.listeners.map(\.isSecure) == [true, false, true, true])
    #expect(contexts(first).map(\.count) == [2, 2], "one for each worker")
    for worker in 0..<2 {
      let found = first.rows.pointee.serverContext(1, worker: worker)
      #expect(found === first.plan.serverContexts[1][worker])
    }
    let second = try reload("", listeners: listeners("b.pem", "", "a.pem"))
    #expect(certificates(second) == [0, -1, 1])
    #expect(contexts(second) == [contexts(first)[1], contexts(first)[0]], "the same certificate")
    let renewed = try TestCertificate(TestCertificate.Traits())
    try fixture.folder.write("b.pem", renewed.pem + renewed.keyPEM())
    let third = try reload("", listeners: listeners("b.pem", "", "a.pem"))
    #expect(contexts(third)[1] == contexts(first)[0])
    #expect(Set(contexts(third)[0]).isDisjoint(with: contexts(first).flatMap { $0 }))
    withExtendedLifetime((first, second)) {}
  }

  @Test func plainServicesNeedNoContexts() throws {
    let generation = try reload(services(("a", "http://10.0.0.1")))
    #expect(generation.plan.tlsContexts.isEmpty)
  }

  // MARK: Listeners

  @Test func removedListenersCloseWhenTheirRemovalIsAdopted() throws {
    let first = try reload("", listeners: "{main: {bind: \"127.0.0.1:0\"}, old: {bind: \"127.0.0.1:0\"}}")
    let (snapshot, resolved) = try fixture.load("")
    let second = try build(snapshot, resolved)
    #expect(publish(second).map(\.name) == ["old"])
    #expect(second.plan.listeners[0].socket.fd == first.plan.listeners[0].socket.fd)
    #expect(builder.closeListeners { $0 <= 1 }.isEmpty)
    #expect(builder.closeListeners { $0 <= 2 }.map(\.socket.fd) == [first.plan.listeners[1].socket.fd])
    #expect(second.number == 2 && second.place == 1 && second.plan.workers == 2)
  }
}
