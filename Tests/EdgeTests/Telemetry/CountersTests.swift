import Testing

@testable import Edge

struct CountersTests {
  @Test func rowsAreApart() {
    let counters = Counters(workers: 3)
    for (place, counter) in Counter.allCases.enumerated() {
      for worker in 0..<3 { counters.add(Int64(place * 100 + worker), to: counter, worker: worker) }
    }
    for (place, counter) in Counter.allCases.enumerated() {
      for worker in 0..<3 { #expect(counters.value(counter, worker: worker) == Int64(place * 100 + worker)) }
      #expect(counters.sum(counter) == Int64(place * 300 + 3))
    }
  }

  @Test func gaugesGoDown() {
    let counters = Counters(workers: 2)
    counters.add(2, to: .serverConnections, worker: 0)
    counters.add(-2, to: .serverConnections, worker: 0)
    counters.add(-1, to: .serverConnections, worker: 1)
    #expect(counters.sum(.serverConnections) == -1)
    #expect(counters.sum(.exchanges) == 0)
  }

  @Test func severalThreadsMayShareARow() {
    let counters = Counters(workers: 2)
    onThreads((0..<4).map { _ in { for _ in 0..<5_000 { counters.addShared(1, to: .serverConnections, worker: 1) } } })
    #expect(counters.value(.serverConnections, worker: 1) == 20_000)
    counters.addShared(-1, to: .serverConnections, worker: 1)
    #expect(counters.sum(.serverConnections) == 19_999)
  }

  @Test func everyCounterHasAWord() { #expect(Counter.allCases.count <= 16) }

  @Test func writersDoNotLoseWhatTheyCount() {
    let counters = Counters(workers: 4)
    onThreads((0..<4).map { worker in { for _ in 0..<20_000 { counters.add(1, to: .exchanges, worker: worker) } } })
    #expect(counters.sum(.exchanges) == 80_000)
  }
}
