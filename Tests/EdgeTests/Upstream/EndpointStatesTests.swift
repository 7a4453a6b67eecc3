import Testing

@testable import Edge

struct EndpointStatesTests {
  private let slab: Slab<Connection>
  private let pool: EndpointStates

  init() throws {
    slab = try #require(Slab<Connection>(capacity: 64))
    pool = try #require(EndpointStates(slots: slab.slots))
    for place in 0..<4 { pool.seed(Handle(index: Int32(place), serial: 1), generation: 1) }
    for index in 0..<64 { slab.slots[index].endpoint = Int32(index % 4) }
  }

  @Test func theLastGivenIsTheFirstTaken() {
    #expect(pool.take(1, SocketAddress()) == -1)
    for index in [1, 5, 9] as [Int32] { #expect(pool.put(index, limit: 8, generation: 1)) }
    #expect(pool.take(0, SocketAddress()) == -1)
    #expect((0..<4).map { _ in pool.take(1, SocketAddress()) } == [9, 5, 1, -1])
  }

  @Test func limits() {
    #expect(!pool.put(0, limit: 0, generation: 1))
    #expect(pool.put(0, limit: 2, generation: 1) && pool.put(4, limit: 2, generation: 1))
    #expect(!pool.put(8, limit: 2, generation: 1))
    #expect(pool.put(1, limit: 1, generation: 1), "each endpoint has its own count")
    #expect(pool.take(0, SocketAddress()) == 4)
    #expect(pool.put(8, limit: 2, generation: 1))
  }

  @Test func removedFromAnywhere() {
    for removed in 0..<3 {
      let indices: [Int32] = [2, 6, 10]
      for index in indices { #expect(pool.put(index, limit: 8, generation: 1)) }
      pool.remove(indices[removed])
      let rest = Array(indices.reversed().filter { $0 != indices[removed] })
      #expect(
        [pool.take(2, SocketAddress()), pool.take(2, SocketAddress()), pool.take(2, SocketAddress())] == rest + [-1])
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
        let isKept = pool.put(index, limit: 8, generation: 1)
        if isKept != (lists[endpoint].count < 8) { Issue.record("kept \(isKept) with \(lists[endpoint].count)") }
        if isKept { lists[endpoint].append(index) }
      case 1:
        let taken = pool.take(Int32(endpoint), SocketAddress())
        if taken != lists[endpoint].popLast() ?? -1 { Issue.record("took \(taken)") }
      default:
        if lists[endpoint].isEmpty { continue }
        pool.remove(lists[endpoint].remove(at: random.below(lists[endpoint].count)))
      }
    }
  }

  @Test func eachAddressHasItsOwnConnections() throws {
    let addresses = try ["10.0.0.1", "10.0.0.2"].map { try #require(SocketAddress(numeric: $0, port: 80)) }
    for (order, index) in ([0, 4, 8, 12] as [Int32]).enumerated() {
      slab.slots[Int(index)].address = addresses[order % 2]
      #expect(pool.put(index, limit: 4, generation: 1))
    }
    var otherPort = addresses[0]
    otherPort.port = 81
    #expect(pool.take(0, otherPort) == -1)
    #expect(pool.take(0, addresses[0]) == 8, "the youngest to that address, not the youngest of all")
    #expect(!pool.put(8, limit: 3, generation: 1) && pool.put(8, limit: 4, generation: 1), "only one was taken")
    #expect((0..<3).map { _ in pool.take(0, addresses[1]) } == [12, 4, -1])
    #expect((0..<3).map { _ in pool.take(0, addresses[0]) } == [8, 0, -1])
  }
}
