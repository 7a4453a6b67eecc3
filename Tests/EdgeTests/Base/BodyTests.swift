import Glibc
import Testing

@testable import Edge

/// A body with what it needs.
private struct Ground {
  var pool = BufferPool()
  let budget: BodyBudget
  var body = Body.none

  init(_ bytes: Int = 64 << 20) { budget = BodyBudget(bytes: bytes) }

  mutating func append(_ bytes: [UInt8]) -> BodyRoom { body.append(bytes, bytes.count, &pool, budget) }
  mutating func makeRoom(_ bytes: Int) -> BodyRoom { body.makeRoom(bytes, &pool, budget) }
  mutating func end() {
    body.giveBack(&pool, budget)
    pool.removeAll()
  }

  var text: [UInt8] { Array(UnsafeBufferPointer(start: body.base, count: body.count)) }
}

struct BodyTests {
  @Test func growsFromTheSmallestBlockToPagesOfItsOwn() {
    var ground = Ground()
    var wanted: [UInt8] = []
    var random = SeededGenerator(seed: 7)
    while wanted.count < 3 << 20 {
      let piece = (0..<(1 + random.below(60_000))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      #expect(ground.append(piece) == .granted)
      wanted += piece
      #expect(ground.budget.usedBytes == ground.body.capacity)
    }
    #expect(ground.text == wanted)
    ground.end()
    #expect(ground.budget.usedBytes == 0)
    #expect(ground.pool.borrowedBytes == 0)
  }

  @Test(arguments: [1, 4_096, 4_097, 65_536, 65_537, 200_000, 10 << 20])
  func roomIsMadeAtOnce(_ bytes: Int) {
    var ground = Ground()
    #expect(ground.makeRoom(bytes) == .granted)
    let (base, capacity) = (ground.body.base, ground.body.capacity)
    #expect(capacity >= bytes && capacity <= max(4_096, 2 * bytes))
    #expect(ground.append([UInt8](repeating: 1, count: bytes)) == .granted)
    #expect(ground.body.base == base && ground.body.capacity == capacity, "nothing moves")
    ground.end()
  }

  @Test func nothingPassesTheBudget() {
    var ground = Ground(100 << 10)
    #expect(ground.makeRoom(60 << 10) == .granted)
    #expect(ground.append([1, 2, 3]) == .granted)
    #expect(ground.makeRoom(200 << 10) == .refused)
    #expect(ground.text == [1, 2, 3], "what is there stays")
    #expect(ground.budget.usedBytes == ground.body.capacity)
    ground.budget.setLimit(1 << 20)
    #expect(ground.makeRoom(200 << 10) == .granted)
    #expect(ground.text == [1, 2, 3])
    ground.end()
    #expect(ground.budget.usedBytes == 0)
  }

  /// Doubling would pass the budget, what is needed does not.
  @Test func takesWhatIsNeededWhereTwiceAsMuchIsRefused() {
    var ground = Ground(300 << 10)
    #expect(ground.makeRoom(160 << 10) == .granted)
    #expect(ground.append([UInt8](repeating: 9, count: 160 << 10)) == .granted)
    #expect(ground.append([UInt8](repeating: 8, count: 10 << 10)) == .granted)
    #expect(ground.body.count == 170 << 10)
    #expect(ground.budget.usedBytes <= 300 << 10)
    ground.end()
  }

  @Test func aPieceIsTakenOut() {
    var ground = Ground()
    #expect(ground.append(Array("held pass rest tail".utf8)) == .granted)
    ground.body.remove(5, at: 5, keeping: 4)
    #expect(String(decoding: ground.text, as: UTF8.self) == "held rest")
    ground.body.remove(5, at: 0, keeping: 4)
    #expect(String(decoding: ground.text, as: UTF8.self) == "rest")
    ground.end()
  }

  @Test func whatIsGivenBackTwiceCountsOnce() {
    var ground = Ground()
    #expect(ground.append([1]) == .granted)
    ground.body.giveBack(&ground.pool, ground.budget)
    ground.body.giveBack(&ground.pool, ground.budget)
    #expect(ground.budget.usedBytes == 0)
    ground.pool.removeAll()
  }
}
