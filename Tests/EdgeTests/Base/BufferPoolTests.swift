import Foundation
import Testing

@testable import Edge

/// A pool and one buffer that is filled from it.
private final class PoolBench {
  var pool = BufferPool()
  var buffer = Buffer.none

  deinit {
    for index in lent.indices { pool.giveBack(&lent[index]) }
    pool.giveBack(&buffer)
    pool.removeAll()
  }

  /// Buffers that a test does not give back itself.
  var lent: [Buffer] = []

  var borrowedBytes: Int { pool.borrowedBytes }

  func borrow(_ bytes: Int) -> Buffer? { pool.borrow(bytes: bytes) }
  func giveBack(_ other: inout Buffer) { pool.giveBack(&other) }
  func makeRoom(_ bytes: Int) -> Bool { pool.makeRoom(&buffer, bytes: bytes) }

  func append(_ bytes: [UInt8]) -> Bool {
    let area = ByteArea(bytes)
    return pool.append(&buffer, area.base, bytes.count)
  }
}

struct BufferPoolTests {
  private func content(_ buffer: Buffer) -> [UInt8] {
    guard let block = buffer.block else { return [] }
    return Array(UnsafeBufferPointer(start: block + Int(buffer.start), count: buffer.count))
  }

  @Test func sizesAreClasses() throws {
    let bench = PoolBench()
    let sizes = [
      (0, 4_096), (1, 4_096), (4_096, 4_096), (4_097, 8_192), (8_192, 8_192), (65_536, 65_536), (65_537, 131_072),
      (131_073, 262_144), (262_144, 262_144),
    ]
    for (wanted, capacity) in sizes {
      var buffer = try #require(bench.borrow(wanted))
      #expect(Int(buffer.capacity) == capacity)
      #expect(buffer.isEmpty)
      memset(try #require(buffer.block), 0xaa, capacity)
      #expect(bench.borrowedBytes == capacity)
      bench.giveBack(&buffer)
      #expect(buffer.block == nil)
      #expect(bench.borrowedBytes == 0)
    }
    #expect(BufferPool.largest == 1_048_576)
    #expect(bench.borrow(1_048_577) == nil)
    #expect(bench.borrowedBytes == 0)
  }

  @Test func blocksAreUsedAgainLastFirst() throws {
    let bench = PoolBench()
    var first = try #require(bench.borrow(10))
    var second = try #require(bench.borrow(10))
    let (firstBlock, secondBlock) = (first.block, second.block)
    #expect(firstBlock != secondBlock)
    bench.giveBack(&first)
    bench.giveBack(&second)
    bench.lent = [try #require(bench.borrow(1)), try #require(bench.borrow(4_096))]
    #expect(bench.lent.map(\.block) == [secondBlock, firstBlock])
  }

  @Test func givingBackNothingIsFine() {
    let bench = PoolBench()
    var none = Buffer.none
    bench.giveBack(&none)
    #expect(bench.borrowedBytes == 0)
    #expect(none.isEmpty)
  }

  @Test func roomIsMadeInPlaceThenByMovingThenByWidening() throws {
    let bench = PoolBench()
    #expect(bench.append([]))
    #expect(bench.buffer.block == nil, "nothing needs no block")
    #expect(bench.append([UInt8](repeating: 1, count: 4_000)))
    let block = bench.buffer.block
    #expect(bench.makeRoom(96))
    #expect(bench.buffer.block == block && bench.buffer.start == 0 && bench.buffer.end == 4_000)
    bench.buffer.start = 3_990
    #expect(bench.makeRoom(1_000))
    #expect(bench.buffer.block == block && bench.buffer.start == 0 && bench.buffer.end == 10)
    #expect(content(bench.buffer) == [UInt8](repeating: 1, count: 10))
    #expect(bench.makeRoom(4_087))
    #expect(bench.buffer.capacity == 8_192 && bench.buffer.count == 10)
    #expect(content(bench.buffer) == [UInt8](repeating: 1, count: 10))
    #expect(bench.borrowedBytes == 8_192)
  }

  @Test func whatDoesNotFitLeavesTheBufferAsItWas() throws {
    let bench = PoolBench()
    #expect(bench.append(raw("kept")))
    #expect(!bench.makeRoom(BufferPool.largest - 3))
    #expect(!bench.append([UInt8](repeating: 0, count: BufferPool.largest)))
    #expect(content(bench.buffer) == raw("kept"))
    #expect(bench.makeRoom(BufferPool.largest - 4))
    #expect(content(bench.buffer) == raw("kept"))
  }

  /// Random appends and takings against plain arrays.
  @Test func randomUseAgreesWithAnArray() {
    var random = SeededGenerator(seed: 2)
    var pool = BufferPool()
    var buffers = [Buffer](repeating: .none, count: 8)
    var models = [[UInt8]](repeating: [], count: 8)
    for _ in 0..<3_000 {
      let index = random.below(8)
      switch random.below(10) {
      case 0:
        pool.giveBack(&buffers[index])
        models[index] = []
      case 1...3:
        let taken = models[index].isEmpty ? 0 : random.below(models[index].count + 1)
        buffers[index].start += Int32(taken)
        models[index].removeFirst(taken)
      default:
        let area = ByteArea(random.bytes(random.below(random.below(20) == 0 ? 30_000 : 900)))
        let taken = pool.append(&buffers[index], area.base, area.count)
        let fits = models[index].count + area.count <= BufferPool.largest
        #expect(taken == fits)
        if fits { models[index] += area.bytes }
      }
      if content(buffers[index]) != models[index] { Issue.record("buffer \(index) differs") }
    }
    #expect(pool.borrowedBytes == buffers.reduce(0) { $0 + Int($1.capacity) })
    for index in 0..<8 { pool.giveBack(&buffers[index]) }
    #expect(pool.borrowedBytes == 0)
    pool.removeAll()
  }
}
