// What a worker knows of endpoints besides idle connections: whose a place is, which generation has it, its addresses
// and what was told of its failures.

import Testing

@testable import Edge

struct EndpointOwnersTests {
  private let slab: Slab<Connection>
  private let states: EndpointStates
  private let first = Handle(index: 1, serial: 1)

  init() throws {
    slab = try #require(Slab<Connection>(capacity: 16))
    states = try #require(EndpointStates(slots: slab.slots))
    for index in 0..<16 { slab.slots[index].endpoint = first.index }
    states.seed(first, generation: 1)
  }

  /// As text; "-" is none.
  private func next(_ count: Int = 1, now: UInt64 = 0) -> [String] {
    (0..<count).map { _ in
      guard let address = states.nextAddress(first.index, now: now) else { return "-" }
      #expect(address.port == 0)
      return AddressSet([address]).text
    }
  }

  private func avoid(_ address: String, until: UInt64) throws {
    states.avoid(first.index, try #require(SocketAddress(numeric: address, port: 8_080)), until: until)
  }

  // MARK: Addresses

  @Test func addressesTakeTurns() {
    #expect(next(2) == ["-", "-"] && states.addressCount(first.index) == 0)
    states.update(first, addressSet("10.0.0.1"))
    #expect(next(2) == ["10.0.0.1", "10.0.0.1"] && states.addressCount(first.index) == 1)
    states.update(first, addressSet("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    #expect(next(5) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"])
    #expect(states.addressCount(first.index) == 3)
  }

  @Test func endpointsHaveTurnsOfTheirOwn() {
    let other = Handle(index: 2, serial: 9)
    states.seed(other, generation: 1)
    for endpoint in [first, other] { states.update(endpoint, addressSet("10.0.0.1", "10.0.0.2")) }
    #expect(next() == ["10.0.0.1"])
    #expect(states.nextAddress(other.index, now: 0) == addressSet("10.0.0.1")[0])
    #expect(next() == ["10.0.0.2"])
  }

  @Test func addressesThatFailedAreLeftOutForAWhile() throws {
    states.update(first, addressSet("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    try avoid("10.0.0.2", until: 1_000)
    #expect(next(4, now: 0) == ["10.0.0.1", "10.0.0.3", "10.0.0.1", "10.0.0.3"])
    try avoid("10.0.0.1", until: 2_000)
    #expect(next(3, now: 999) == ["10.0.0.3", "10.0.0.3", "10.0.0.3"])
    #expect(Set(next(4, now: 1_000)) == ["10.0.0.2", "10.0.0.3"], "the while is over")
    #expect(Set(next(6, now: 2_000)) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
  }

  @Test func whenAllHaveFailedAllAreTried() throws {
    states.update(first, addressSet("10.0.0.1", "10.0.0.2"))
    for address in ["10.0.0.1", "10.0.0.2"] { try avoid(address, until: 1_000) }
    #expect(next(3, now: 0) == ["10.0.0.1", "10.0.0.2", "10.0.0.1"])
    states.update(first, addressSet("10.0.0.1"))
    try avoid("10.0.0.1", until: 1_000)
    #expect(next(now: 0) == ["10.0.0.1"], "the only one is not left out")
  }

  @Test func theFailureOfAnotherAddressIsNothing() throws {
    states.update(first, addressSet("10.0.0.1", "10.0.0.2"))
    try avoid("10.0.0.3", until: 1_000)
    try avoid("::1", until: 1_000)
    #expect(next(4, now: 0) == ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"])
  }

  @Test func everyPlaceOfASetCanBeLeftOut() throws {
    let texts = (1...8).map { "10.0.0.\($0)" }
    let set = AddressSet(texts.compactMap { SocketAddress(numeric: $0, port: 0) })
    for kept in texts {
      states.seed(first, generation: 1)
      states.update(first, set)
      for address in texts where address != kept { try avoid(address, until: 1_000) }
      #expect(next(2, now: 0) == [kept, kept])
    }
  }

  @Test func aSmallerSetIsNotOverrun() {
    states.update(first, addressSet("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"))
    _ = next(3)
    states.update(first, addressSet("10.0.0.8", "10.0.0.9"))
    #expect(Set(next(4)) == ["10.0.0.8", "10.0.0.9"])
    states.update(first, addressSet())
    #expect(next() == ["-"])
  }

  @Test func anAddressThatFailedIsLeftOutOfTheNextSetToo() throws {
    states.update(first, addressSet("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    try avoid("10.0.0.3", until: 1_000)
    try avoid("10.0.0.1", until: 2_000)
    states.update(first, addressSet("10.0.0.3", "10.0.0.4"))
    #expect(next(2, now: 999) == ["10.0.0.4", "10.0.0.4"])
    #expect(Set(next(2, now: 1_000)) == ["10.0.0.3", "10.0.0.4"])
    states.update(first, addressSet("10.0.0.1", "10.0.0.4"))
    #expect(Set(next(2, now: 1_000)) == ["10.0.0.1", "10.0.0.4"], "it was gone in between")
  }

  @Test func addressesForAnotherOwnerAreDropped() {
    states.update(first, addressSet("10.0.0.1"))
    states.update(Handle(index: 1, serial: 2), addressSet("10.0.0.2"))
    states.update(Handle(index: 3, serial: 1), addressSet("10.0.0.2"))
    #expect(next() == ["10.0.0.1"])
    #expect(states.addressCount(3) == 0, "nobody owns the place yet")
  }

  // MARK: Generations

  @Test func anEndpointThatStaysKeepsItsConnections() {
    states.update(first, addressSet("10.0.0.1"))
    #expect(states.put(5, limit: 8, generation: 1))
    #expect(states.renew(first, generation: 2), "the owner is the same")
    #expect(states.leftover(first, generation: 2) == -1)
    #expect(next() == ["10.0.0.1"])
    #expect(!states.put(6, limit: 8, generation: 1), "the worker has gone on")
    #expect(states.put(6, limit: 8, generation: 2))
    #expect((0..<3).map { _ in states.take(first.index, SocketAddress()) } == [6, 5, -1])
  }

  @Test func anEndpointThatIsGoneKeepsNone() {
    for index in [3, 4, 5] as [Int32] { #expect(states.put(index, limit: 8, generation: 1)) }
    var closed: [Int32] = []
    while case let idle = states.leftover(first, generation: 2), idle >= 0, closed.count < 16 {
      closed.append(idle)
      states.remove(idle)
    }
    #expect(closed.sorted() == [3, 4, 5])
    #expect(!states.put(3, limit: 8, generation: 2), "nothing is kept for it")
    #expect(states.renew(first, generation: 3), "it may come back")
    #expect(states.put(3, limit: 8, generation: 3))
  }

  @Test func aPlaceThatWasNeverOwnedIsSeeded() {
    let new = Handle(index: 7, serial: 1)
    #expect(!states.renew(new, generation: 1))
    states.seed(new, generation: 1)
    #expect(states.leftover(new, generation: 2) == -1)
    #expect(states.take(new.index, SocketAddress()) == -1)
    #expect(states.renew(new, generation: 2))
  }

  @Test func anotherOwnerBeginsAfresh() throws {
    states.update(first, addressSet("10.0.0.1", "10.0.0.2"))
    try avoid("10.0.0.1", until: 1_000)
    _ = next()
    #expect(states.mayReport(first.index, reason: 5, now: 0))
    let second = Handle(index: 1, serial: 2)
    #expect(!states.renew(second, generation: 2))
    states.seed(second, generation: 2)
    #expect(states.renew(second, generation: 3) && !states.renew(first, generation: 3))
    #expect(next() == ["-"])
    states.update(second, addressSet("10.0.0.1", "10.0.0.2"))
    #expect(next() == ["10.0.0.1"], "the last owner's failures are not its own")
    #expect(states.mayReport(second.index, reason: 5, now: 0))
  }

  // MARK: Reports

  @Test func aReasonIsToldOnceInAWhile() {
    let pause = Limits.reportMilliseconds
    #expect(states.mayReport(1, reason: 5, now: 100))
    #expect(!states.mayReport(1, reason: 5, now: 100))
    #expect(!states.mayReport(1, reason: 5, now: 99 + pause))
    #expect(states.mayReport(1, reason: 5, now: 100 + pause))
    #expect(!states.mayReport(1, reason: 5, now: 99 + 2 * pause), "counted from the line that was written")
    #expect(states.mayReport(2, reason: 5, now: 100), "of another endpoint")
    #expect(states.mayReport(1, reason: 6, now: 100 + pause), "another reason is news")
  }

  /// The addresses of a name may fail in different ways, each in its turn.
  @Test func reasonsThatAlternateAreToldOnceEach() {
    let told = (0..<1_000).filter { states.mayReport(1, reason: UInt64(1 + $0 % 3), now: UInt64($0)) }
    #expect(told == [0, 1, 2])
    #expect(states.mayReport(1, reason: 1, now: Limits.reportMilliseconds))
  }
}
