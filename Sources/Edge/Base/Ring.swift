// Bounded queues between threads. `Ring` has one writer and one reader (a worker and the log writer); `Mailbox` has
// many writers and one reader (anybody and a worker). Neither waits: a full queue says so and the caller decides.

import Synchronization

/// One writer, one reader, cells of a trivial type. The capacity is a power of two.
final class Ring<Cell: BitwiseCopyable>: Sendable {
  private let mask: UInt64
  // A cell belongs to one side at a time: head and tail say to which.
  private nonisolated(unsafe) let cells: UnsafeMutablePointer<Cell>
  private let head = Atomic<UInt64>(0)
  private let tail = Atomic<UInt64>(0)

  /// nil when the kernel has no address space for the cells.
  init?(capacity: Int) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a ring's capacity is a power of two")
    guard let memory = Pages.map(bytes: capacity * MemoryLayout<Cell>.stride) else { return nil }
    cells = memory.bindMemory(to: Cell.self, capacity: capacity)
    mask = UInt64(capacity - 1)
  }

  deinit { Pages.unmap(cells, bytes: Int(mask + 1) * MemoryLayout<Cell>.stride) }

  /// How many cells have been handed over, and how many the reader has freed; anybody may ask.
  var published: UInt64 { head.load(ordering: .acquiring) }
  var consumed: UInt64 { tail.load(ordering: .acquiring) }

  /// The cell to fill in place, or nil when the ring is full. `publish` hands it over. Writer only.
  func reserve() -> UnsafeMutablePointer<Cell>? {
    let next = head.load(ordering: .relaxed)
    if next &- tail.load(ordering: .acquiring) > mask { return nil }
    return cells + Int(next & mask)
  }

  func publish() { head.store(head.load(ordering: .relaxed) &+ 1, ordering: .releasing) }

  /// The oldest cell, or nil when the ring is empty. `consume` frees it. Reader only.
  func first() -> UnsafeMutablePointer<Cell>? {
    let next = tail.load(ordering: .relaxed)
    if next == head.load(ordering: .acquiring) { return nil }
    return cells + Int(next & mask)
  }

  func consume() { tail.store(tail.load(ordering: .relaxed) &+ 1, ordering: .releasing) }
}

/// Many writers, one reader (the bounded queue of D. Vyukov: each cell carries the turn in which it may be used).
final class Mailbox<Message: BitwiseCopyable>: Sendable {
  private let mask: UInt64
  private nonisolated(unsafe) let turns: UnsafeMutablePointer<Atomic<UInt64>>  // never reassigned; atomics inside
  private nonisolated(unsafe) let messages: UnsafeMutablePointer<Message>  // a message belongs to whom its turn says
  private let head = Atomic<UInt64>(0)
  private let tail = Atomic<UInt64>(0)

  init(capacity: Int) {
    // With one cell, the turn of a full one would be the turn of the next empty one.
    precondition(capacity > 1 && capacity & (capacity - 1) == 0, "a mailbox's capacity is a power of two above one")
    mask = UInt64(capacity - 1)
    turns = .allocate(capacity: capacity)
    messages = .allocate(capacity: capacity)
    for index in 0..<capacity { (turns + index).initialize(to: Atomic(UInt64(index))) }
  }

  deinit {
    turns.deinitialize(count: Int(mask + 1))
    turns.deallocate()
    messages.deallocate()
  }

  /// False when the mailbox is full.
  func post(_ message: Message) -> Bool {
    var place = head.load(ordering: .relaxed)
    while true {
      let turn = turns[Int(place & mask)].load(ordering: .acquiring)
      if turn == place {
        let (won, seen) = head.weakCompareExchange(expected: place, desired: place &+ 1, ordering: .relaxed)
        if won { break }
        place = seen
      } else if turn < place {
        return false
      } else {
        place = head.load(ordering: .relaxed)
      }
    }
    messages[Int(place & mask)] = message
    turns[Int(place & mask)].store(place &+ 1, ordering: .releasing)
    return true
  }

  /// The oldest message, or nil when there is none. Reader only.
  func take() -> Message? {
    let place = tail.load(ordering: .relaxed)
    let cell = Int(place & mask)
    guard turns[cell].load(ordering: .acquiring) == place &+ 1 else { return nil }
    let message = messages[cell]
    turns[cell].store(place &+ mask &+ 1, ordering: .releasing)
    tail.store(place &+ 1, ordering: .relaxed)
    return message
  }
}
