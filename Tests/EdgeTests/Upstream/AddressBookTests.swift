import Testing

@testable import Edge

struct AddressBookTests {
  private let book = AddressBook(workers: 2)
  private let nothing = AddressSet([])

  @Test func whatWasWrittenLastIsKnown() {
    let (one, two) = (Handle(index: 3, serial: 1), Handle(index: 4, serial: 1))
    #expect(book.addresses(of: one) == nothing)
    book.write(one, addressSet("10.0.0.1"))
    #expect(book.addresses(of: one) == addressSet("10.0.0.1"))
    #expect(book.addresses(of: two) == nothing)
    book.write(one, addressSet("10.0.0.2", "10.0.0.3"))
    #expect(book.addresses(of: one) == addressSet("10.0.0.2", "10.0.0.3"))
  }

  @Test func aPlaceBelongsToItsLastOwner() {
    let (old, new) = (Handle(index: 3, serial: 1), Handle(index: 3, serial: 2))
    book.write(old, addressSet("10.0.0.1"))
    #expect(book.addresses(of: new) == nothing, "written of another owner")
    book.write(new, addressSet("10.0.0.2"))
    #expect(book.addresses(of: old) == nothing)
    book.remove(old)
    #expect(book.addresses(of: new) == addressSet("10.0.0.2"), "whose place it is now stays")
    book.remove(new)
    #expect(book.addresses(of: new) == nothing)
    book.remove(new)
  }

  @Test func everyWorkerSeesAChangeOnce() {
    let (one, two) = (Handle(index: 3, serial: 1), Handle(index: 4, serial: 1))
    #expect(book.unseen(by: 0).isEmpty)
    #expect(book.write(one, addressSet("10.0.0.1")))
    #expect(!book.write(one, addressSet("10.0.0.1")), "the same is no news")
    #expect(book.write(two, addressSet("10.0.0.2")))
    #expect(book.write(one, addressSet("10.0.0.3")))
    let seen = book.unseen(by: 0).sorted { $0.endpoint.index < $1.endpoint.index }
    #expect(seen.map(\.endpoint) == [one, two])
    #expect(seen.map(\.addresses) == [addressSet("10.0.0.3"), addressSet("10.0.0.2")])
    #expect(book.unseen(by: 0).isEmpty)
    book.remove(two)
    #expect(book.unseen(by: 1).map(\.endpoint) == [one], "the other worker has not asked yet; what is gone is no news")
  }

  /// A reader sees a set as it was written, whoever writes meanwhile.
  @Test func setsAreWhole() {
    let endpoint = Handle(index: 0, serial: 1)
    let sets = (0..<8).map { first in
      AddressSet((0...first).compactMap { SocketAddress(numeric: "10.0.\(first).\($0)", port: 0) })
    }
    book.write(endpoint, sets[0])
    let writer: @Sendable () -> Void = {
      for round in 0..<5_000 { book.write(endpoint, sets[round % sets.count]) }
    }
    let reader: @Sendable () -> Void = {
      for _ in 0..<5_000 {
        let seen = book.addresses(of: endpoint)
        if !sets.contains(seen) { Issue.record("\(seen.text)") }
      }
    }
    onThreads([writer, reader, reader])
  }
}
