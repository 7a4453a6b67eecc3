import Foundation
import Testing

@testable import Edge

/// Runs each body on a thread of its own and returns when all have ended.
func onThreads(_ bodies: [@Sendable () -> Void]) {
  let group = DispatchGroup()
  for body in bodies {
    group.enter()
    let thread = Thread {
      body()
      group.leave()
    }
    thread.start()
  }
  group.wait()
}

struct RingTests {
  @Test func fullAndEmpty() throws {
    let ring = try #require(Ring<Int>(capacity: 4))
    #expect(ring.first() == nil)
    for round in 0..<3 {
      for value in 0..<4 {
        let cell = try #require(ring.reserve())
        cell.pointee = round * 10 + value
        ring.publish()
      }
      #expect(ring.reserve() == nil)
      for value in 0..<4 {
        #expect(try #require(ring.first()).pointee == round * 10 + value)
        ring.consume()
      }
      #expect(ring.first() == nil)
    }
  }

  @Test func nothingIsSeenBeforeItIsPublished() throws {
    let ring = try #require(Ring<Int>(capacity: 2))
    try #require(ring.reserve()).pointee = 1
    #expect(ring.first() == nil)
    ring.publish()
    #expect(ring.first()?.pointee == 1)
  }

  @Test func oneWriterOneReader() throws {
    let ring = try #require(Ring<(Int, Int)>(capacity: 64))
    let count = 50_000
    onThreads([
      {
        for value in 0..<count {
          while true {
            if let cell = ring.reserve() {
              cell.pointee = (value, value &* 31)
              ring.publish()
              break
            }
            sched_yield()
          }
        }
      },
      {
        var expected = 0
        while expected < count {
          guard let cell = ring.first() else {
            sched_yield()
            continue
          }
          if cell.pointee.0 != expected || cell.pointee.1 != expected &* 31 {
            Issue.record("expected \(expected), found \(cell.pointee)")
          }
          expected += 1
          ring.consume()
        }
      },
    ])
    #expect(ring.first() == nil)
  }
}

struct MailboxTests {
  @Test func fullAndEmpty() {
    let mailbox = Mailbox<Int>(capacity: 4)
    for round in 0..<3 {
      #expect(mailbox.take() == nil)
      for value in 0..<4 { #expect(mailbox.post(round * 10 + value)) }
      #expect(!mailbox.post(99))
      #expect(mailbox.take() == round * 10)
      #expect(mailbox.post(round * 10 + 4))
      #expect(!mailbox.post(99))
      for value in 1..<5 { #expect(mailbox.take() == round * 10 + value) }
    }
    #expect(mailbox.take() == nil)
  }

  /// All messages arrive once; those of one writer in their order.
  @Test(arguments: [2, 64, 4_096]) func manyWriters(_ capacity: Int) {
    let mailbox = Mailbox<(writer: Int, number: Int)>(capacity: capacity)
    let (writers, count) = (4, 10_000)
    var bodies: [@Sendable () -> Void] = (0..<writers).map { writer in
      {
        for number in 0..<count {
          while !mailbox.post((writer, number)) { sched_yield() }
        }
      }
    }
    bodies.append {
      var next = [Int](repeating: 0, count: writers)
      var taken = 0
      while taken < writers * count {
        guard let message = mailbox.take() else {
          sched_yield()
          continue
        }
        if message.number != next[message.writer] { Issue.record("writer \(message.writer): \(message.number)") }
        next[message.writer] = message.number + 1
        taken += 1
      }
      #expect(next == [Int](repeating: count, count: writers))
    }
    onThreads(bodies)
    #expect(mailbox.take() == nil)
  }
}
