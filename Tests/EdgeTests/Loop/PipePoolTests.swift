// The pool of pipes: what is empty is lent again, what is not is gone, and there are only so many.

import CLinux
import Glibc
import Testing

@testable import Edge

struct PipePoolTests {
  private func borrow(_ pool: inout PipePool) throws -> Pipe {
    let pipe = pool.borrow()
    return try #require(pipe)
  }

  @Test func anEmptyPipeIsLentAgain() throws {
    var pool = PipePool(capacity: 2)
    defer { pool.removeAll() }
    var pipe = try borrow(&pool)
    let ends = (pipe.readEnd, pipe.writeEnd)
    #expect(edge_pipe_size(pipe.writeEnd) >= Int32(Limits.pipeBytesMin))
    pool.giveBack(&pipe)
    #expect(pipe.readEnd == -1 && pipe.writeEnd == -1)
    pipe = try borrow(&pool)
    #expect((pipe.readEnd, pipe.writeEnd) == ends)
    pool.giveBack(&pipe)
  }

  @Test func whatAPipeHoldsReachesNobodyElse() throws {
    var pool = PipePool(capacity: 1)
    defer { pool.removeAll() }
    var pipe = try borrow(&pool)
    var byte: UInt8 = 1
    try #require(write(pipe.writeEnd, &byte, 1) == 1)
    pipe.count = 1
    pool.giveBack(&pipe)
    pipe = try borrow(&pool)
    #expect(pipe.count == 0)
    #expect(read(pipe.readEnd, &byte, 1) == -1)
    pool.giveBack(&pipe)
  }

  @Test func thereAreOnlySoMany() throws {
    var pool = PipePool(capacity: 1)
    defer { pool.removeAll() }
    var pipe = try borrow(&pool)
    let more = pool.borrow()
    #expect(more == nil)
    pool.giveBack(&pipe)
    pool.giveBack(&pipe)
    pipe = try borrow(&pool)
    let again = pool.borrow()
    #expect(again == nil)
    pool.giveBack(&pipe)
  }

  @Test func onlySoManyAreKept() throws {
    var pool = PipePool(capacity: 100)
    defer { pool.removeAll() }
    var pipes: [Pipe] = []
    for _ in 0..<40 { pipes.append(try borrow(&pool)) }
    for place in pipes.indices { pool.giveBack(&pipes[place]) }
    #expect(pool.kept == 32)
  }
}
