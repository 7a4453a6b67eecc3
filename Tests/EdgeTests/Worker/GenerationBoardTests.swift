import Glibc
import Synchronization
import Testing

@testable import Edge

/// A generation with one service, whose rows lie in memory of its own: the address sanitizer sees any use after it.
private func makeGeneration(_ number: UInt32, place: UInt8, _ loaded: (Snapshot, SectionFields)) -> Generation {
  let listener = OpenListener(
    place: 0, name: "main", since: 1, bind: HostPort(host: "127.0.0.1", port: 0),
    socket: ListenerSocket(fd: -1, name: "main", address: ""))
  let plan = GenerationPlan(
    snapshot: loaded.0, workers: 1, resolved: loaded.1, listeners: [listener],
    services: [StableName(name: "app", handle: Handle(index: 0, serial: number))],
    endpoints: [StableName(name: "e", handle: Handle(index: 0, serial: number))], tlsContexts: [],
    policies: [], names: MetricNames())
  return Generation(number: number, place: place, plan: plan)
}

private let body = "services: {app: {endpoints: \"http://10.0.0.1\"}}\nroutes: {r: {path: /, service: app}}\n"

struct GenerationBoardTests {
  private let loaded: (Snapshot, SectionFields)
  private let first: Generation

  init() throws {
    loaded = try WorkerFixture().load(body)
    first = makeGeneration(1, place: 0, loaded)
  }

  @Test func theLastPublishedIsTheNewest() {
    let board = GenerationBoard(workers: 1, first: first.rows)
    #expect(board.newest == first.rows)
    let second = makeGeneration(2, place: 1, loaded)
    board.publish(second.rows)
    #expect(board.newest == second.rows)
    withExtendedLifetime((first, second)) {}
  }

  @Test func aConnectionOnItsWayKeepsItsGeneration() {
    let board = GenerationBoard(workers: 2, first: first.rows)
    board.beginHandOff(3)
    board.beginHandOff(3)
    #expect(board.pins(3) == 2 && board.pins(2) == 0)
    // It arrives, and an exchange begins on it.
    board.pin(3, worker: 1)
    board.endHandOff(3)
    #expect(board.pins(3) == 2)
    board.endHandOff(3)
    #expect(board.unpin(3, worker: 1))
    #expect(board.pins(3) == 0)
  }

  @Test func allHaveAdoptedWhenTheLastHas() {
    let board = GenerationBoard(workers: 3, first: first.rows)
    #expect(board.allAdopted(0) && !board.allAdopted(1))
    for worker in 0..<3 {
      #expect(!board.allAdopted(1))
      board.adopted(1, worker: worker)
    }
    #expect(board.allAdopted(1) && !board.allAdopted(2))
    for worker in [2, 0] { board.adopted(5, worker: worker) }
    #expect(board.allAdopted(1) && !board.allAdopted(2))
    board.adopted(3, worker: 1)
    #expect(board.allAdopted(3) && !board.allAdopted(4), "a newer one counts for all older ones")
  }

  @Test func pinsAreCountedByPlaceAndWorker() {
    let last = UInt8(GenerationBoard.places - 1)
    let board = GenerationBoard(workers: 2, first: first.rows)
    board.pin(0, worker: 0)
    board.pin(0, worker: 0)
    board.pin(0, worker: 1)
    board.pin(last, worker: 0)
    #expect(board.pins(0) == 3 && board.pins(last) == 1)
    #expect((1..<last).allSatisfy { board.pins($0) == 0 })
    #expect(board.unpin(0, worker: 1), "the last of this worker, not of all")
    #expect(!board.unpin(0, worker: 0))
    #expect(board.pins(0) == 1)
    #expect(board.unpin(0, worker: 0))
    #expect(board.unpin(last, worker: 0))
    #expect(board.pins(0) == 0 && board.pins(last) == 0)
    #expect(!board.allAdopted(1), "pins are not adoptions")
  }

  /// Words of all workers and places are apart: none is another's, none lies outside.
  @Test func everyWordIsItsOwn() {
    let workers = 64
    let board = GenerationBoard(workers: workers, first: first.rows)
    for worker in 0..<workers {
      for place in 0..<UInt8(GenerationBoard.places) { board.pin(place, worker: worker) }
    }
    #expect(!board.allAdopted(1))
    for worker in 0..<workers { board.adopted(1, worker: worker) }
    #expect(board.allAdopted(1) && !board.allAdopted(2))
    #expect((0..<UInt8(GenerationBoard.places)).allSatisfy { board.pins($0) == workers })
    for worker in 0..<workers {
      for place in 0..<UInt8(GenerationBoard.places) where !board.unpin(place, worker: worker) {
        Issue.record("worker \(worker), place \(place)")
      }
    }
    #expect(board.allAdopted(1) && !board.allAdopted(2))
  }
}

/// What a worker does with generations, without sockets: it adopts the newest at every turn, pins what its exchanges
/// run on, and reads of it until they end.
private struct Turns {
  struct Exchange {
    let rows: UnsafePointer<GenerationRows>
    let number: UInt32
  }

  let board: GenerationBoard
  let worker: Int
  var random: SeededGenerator
  var current: UnsafePointer<GenerationRows>
  var exchanges: [Exchange] = []
  var pinned: [UInt8: Int] = [:]
  var read = 0

  init(_ board: GenerationBoard, worker: Int) {
    self.board = board
    self.worker = worker
    random = SeededGenerator(seed: UInt64(worker))
    current = board.newest
    board.adopted(current.pointee.number, worker: worker)
  }

  mutating func turn(begins: Bool) {
    let newest = board.newest
    if newest != current {
      if newest.pointee.number <= current.pointee.number { Issue.record("an older one is the newest") }
      current = newest
      board.adopted(current.pointee.number, worker: worker)
    }
    if begins {
      let place = current.pointee.place
      board.pin(place, worker: worker)
      pinned[place, default: 0] += 1
      exchanges.append(Exchange(rows: current, number: current.pointee.number))
    }
    for exchange in exchanges + [Exchange(rows: current, number: current.pointee.number)] { look(exchange) }
    while exchanges.count > 12 || !begins && !exchanges.isEmpty {
      let exchange = exchanges.remove(at: random.below(exchanges.count))
      let place = exchange.rows.pointee.place
      let left = (pinned[place] ?? 0) - 1
      pinned[place] = left
      if board.unpin(place, worker: worker) != (left == 0) { Issue.record("\(left) left at \(place)") }
    }
  }

  /// What an exchange reads is what its generation has, and is still there.
  private mutating func look(_ exchange: Exchange) {
    let rows = exchange.rows.pointee
    let name = rows.services.services[0].name
    let serial = rows.services.endpoints[0].handle.serial
    if rows.number != exchange.number || serial != exchange.number || name.count != 3 || name.start[0] != 0x61 {
      Issue.record("generation \(exchange.number) reads as \(rows.number), \(serial), \(name.text)")
    }
    read += 1
  }
}

@Suite(.timeLimit(.minutes(3))) struct GenerationBoardStressTests {
  /// Generations come as fast as they can and go as soon as nobody uses them. A worker that read one afterwards would
  /// read freed memory, which the address sanitizer reports.
  @Test func whatIsUsedIsNeverFreed() throws {
    let loaded = try WorkerFixture().load(body)
    let (workers, total): (Int, UInt32) = (3, 1_500)
    // The control thread's, until all threads have ended.
    nonisolated(unsafe) var living = [makeGeneration(1, place: 0, loaded)]
    let board = GenerationBoard(workers: workers, first: living[0].rows)
    let isOver = Atomic<Bool>(false)
    let running = Atomic<Int>(workers)
    // The control thread's likewise.
    nonisolated(unsafe) var (mostAlive, freedWhileRunning) = (0, 0)
    let control: @Sendable () -> Void = {
      func free() {
        let old = living.count
        let newest = living[living.count - 1]
        living.removeAll { $0 !== newest && board.allAdopted($0.number + 1) && board.pins($0.place) == 0 }
        freedWhileRunning += old - living.count
        mostAlive = max(mostAlive, old)
      }
      var number: UInt32 = 1
      while number < total {
        free()
        let taken = Set(living.map(\.place))
        guard let place = (0..<UInt8(GenerationBoard.places)).first(where: { !taken.contains($0) }) else {
          sched_yield()
          continue
        }
        number += 1
        living.append(makeGeneration(number, place: place, loaded))
        board.publish(living[living.count - 1].rows)
      }
      isOver.store(true, ordering: .releasing)
      while running.load(ordering: .acquiring) > 0 { sched_yield() }
      free()
    }
    let reads = Locked(0)
    let bodies: [@Sendable () -> Void] = (0..<workers).map { worker in
      {
        var turns = Turns(board, worker: worker)
        while !isOver.load(ordering: .acquiring) { turns.turn(begins: true) }
        turns.turn(begins: false)
        let count = turns.read
        reads.withLock { $0 += count }
        running.subtract(1, ordering: .releasing)
      }
    }
    onThreads(bodies + [control])
    #expect(living.map(\.number) == [total], "all others have ended")
    #expect((0..<UInt8(GenerationBoard.places)).allSatisfy { board.pins($0) == 0 })
    #expect(freedWhileRunning == Int(total) - 1)
    #expect(mostAlive > 2, "generations have lived beside each other")
    #expect(reads.withLock { $0 } > 1_000)
  }
}
