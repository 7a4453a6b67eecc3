import Testing

@testable import Edge

struct ServiceTableTests {
  private func service(_ name: String, _ ports: [UInt16], pass: [Credential] = []) -> Service {
    Service(
      name: name, endpoints: ports.map { .plain("127.0.0.1", $0) }, connectTimeoutMilliseconds: 1,
      headTimeoutMilliseconds: 2, idleTimeoutMilliseconds: 3, poolSize: 4, poolIdleMilliseconds: 5, pass: pass,
      trust: nil, serverName: nil)
  }

  @Test func rowsFollowTheServices() throws {
    let arena = Arena()
    let addresses = try (1...3).map { try #require(SocketAddress(numeric: "127.0.0.1", port: UInt16($0))) }
    let table = ServiceTable.compile(
      [service("one", [1, 2]), service("two", [3], pass: [.cookie, .authorization])], addresses: addresses,
      arena: arena)
    #expect(table.serviceCount == 2 && table.endpointCount == 3)
    let (one, two) = (table.services[0], table.services[1])
    #expect(one.name.text == "one" && one.firstEndpoint == 0 && one.endpointCount == 2)
    #expect(two.name.text == "two" && two.firstEndpoint == 2 && two.endpointCount == 1)
    #expect(one.connectMilliseconds == 1 && one.headMilliseconds == 2 && one.idleMilliseconds == 3)
    #expect(one.poolSize == 4 && one.poolIdleMilliseconds == 5)
    #expect(one.passes == [] && two.passes == [.cookie, .authorization])
    #expect((0..<3).map { table.endpoints[$0].address } == addresses)
    #expect((0..<3).map { table.endpoints[$0].name.text } == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"])
  }

  @Test func everyCredentialPassesAlone() {
    let arena = Arena()
    let headers: [Credential: KnownHeader] = [.authorization: .authorization, .apiKey: .apiKey, .cookie: .cookie]
    for (credential, header) in headers {
      let table = ServiceTable.compile([service("s", [], pass: [credential])], addresses: [], arena: arena)
      let passed = KnownHeader.allCases.filter { table.services[0].passes.passes($0) }
      #expect(passed == [header])
    }
  }
}

struct ConnectionPoolTests {
  private let arena = Arena()
  private let slab: Slab<Connection>
  private let pool: ConnectionPool

  init() throws {
    slab = try #require(Slab<Connection>(capacity: 64))
    let service = Service(
      name: "s", endpoints: [.plain("127.0.0.1", 1), .plain("127.0.0.1", 2)],
      connectTimeoutMilliseconds: 1, headTimeoutMilliseconds: 1, idleTimeoutMilliseconds: 1, poolSize: 8,
      poolIdleMilliseconds: 1, pass: [], trust: nil, serverName: nil)
    let addresses = [SocketAddress](repeating: SocketAddress(), count: 4)
    let table = ServiceTable.compile([service, service], addresses: addresses, arena: arena)
    pool = ConnectionPool(table: table, slots: slab.slots, arena: arena)
    for index in 0..<64 { slab.slots[index].endpoint = Int32(index % 4) }
  }

  @Test func theLastGivenIsTheFirstTaken() {
    #expect(pool.take(endpoint: 1) == -1)
    for index in [1, 5, 9] as [Int32] { #expect(pool.put(index, limit: 8)) }
    #expect(pool.take(endpoint: 0) == -1)
    #expect((0..<4).map { _ in pool.take(endpoint: 1) } == [9, 5, 1, -1])
  }

  @Test func limits() {
    #expect(!pool.put(0, limit: 0))
    #expect(pool.put(0, limit: 2) && pool.put(4, limit: 2))
    #expect(!pool.put(8, limit: 2))
    #expect(pool.put(1, limit: 1), "each endpoint has its own count")
    #expect(pool.take(endpoint: 0) == 4)
    #expect(pool.put(8, limit: 2))
  }

  @Test func removedFromAnywhere() {
    for removed in 0..<3 {
      let indices: [Int32] = [2, 6, 10]
      for index in indices { #expect(pool.put(index, limit: 8)) }
      pool.remove(indices[removed])
      let rest = Array(indices.reversed().filter { $0 != indices[removed] })
      #expect([pool.take(endpoint: 2), pool.take(endpoint: 2), pool.take(endpoint: 2)] == rest + [-1])
    }
  }

  @Test func roundsAreEvenPerService() {
    #expect((0..<6).map { _ in pool.nextRound(service: 0, count: 3) } == [0, 1, 2, 0, 1, 2])
    #expect((0..<3).map { _ in pool.nextRound(service: 1, count: 2) } == [0, 1, 0])
    #expect(pool.nextRound(service: 1, count: 1) == 0)
  }

  @Test func randomUseAgreesWithLists() {
    var random = SeededGenerator(seed: 40)
    var lists = [[Int32]](repeating: [], count: 4)
    for _ in 0..<20_000 {
      let endpoint = random.below(4)
      switch random.below(3) {
      case 0:
        let index = Int32(random.below(16) * 4 + endpoint)
        if lists[endpoint].contains(index) { continue }
        let isKept = pool.put(index, limit: 8)
        if isKept != (lists[endpoint].count < 8) { Issue.record("kept \(isKept) with \(lists[endpoint].count)") }
        if isKept { lists[endpoint].append(index) }
      case 1:
        let taken = pool.take(endpoint: Int32(endpoint))
        if taken != lists[endpoint].popLast() ?? -1 { Issue.record("took \(taken)") }
      default:
        if lists[endpoint].isEmpty { continue }
        pool.remove(lists[endpoint].remove(at: random.below(lists[endpoint].count)))
      }
    }
  }
}
