// Where the control thread and the workers meet over generations: the pointer to the newest one, and what each worker
// still uses. Nobody waits here. The control thread publishes with one store; a worker adopts at its next turn; what
// a worker pins, it counts in words that only it writes; when all have moved on and nothing is pinned, the control
// thread frees a generation.

import Synchronization

/// One for the process.
final class GenerationBoard: Sendable {
  /// Generations that may be alive at the same time.
  static let places = 64
  /// A worker's words: its pins by place, then the number of the generation it has adopted.
  private static let rowWords = places + 16

  private let workers: Int
  /// By place: connections on their way from one worker to another that came by one of its listeners.
  private nonisolated(unsafe) let handOffs: UnsafeMutablePointer<Atomic<Int>>  // never reassigned; atomics inside
  // An atomic of a pointer to what never changes.
  private nonisolated(unsafe) let newestRows: Atomic<UnsafePointer<GenerationRows>>
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt32>>  // never reassigned; atomics inside

  init(workers: Int, first: UnsafePointer<GenerationRows>) {
    self.workers = workers
    newestRows = Atomic(first)
    let count = workers * GenerationBoard.rowWords
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 128)
    words = memory.bindMemory(to: Atomic<UInt32>.self, capacity: count)
    for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
    handOffs = .allocate(capacity: GenerationBoard.places)
    for place in 0..<GenerationBoard.places { (handOffs + place).initialize(to: Atomic(0)) }
  }

  deinit {
    UnsafeMutableRawPointer(words).deallocate()
    handOffs.deallocate()
  }

  /// The generation that new exchanges use. Stays valid for a worker until it adopts a newer one and pins nothing.
  @inline(__always)
  var newest: UnsafePointer<GenerationRows> { newestRows.load(ordering: .acquiring) }

  /// From now on new exchanges use it. Control thread only.
  func publish(_ rows: UnsafePointer<GenerationRows>) { newestRows.store(rows, ordering: .releasing) }

  // MARK: Said by a worker

  /// One exchange more runs on the generation at this place.
  @inline(__always)
  func pin(_ place: UInt8, worker: Int) {
    let word = words + (worker * GenerationBoard.rowWords + Int(place))
    word.pointee.store(word.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  /// One exchange less; true when it was the worker's last.
  @inline(__always)
  func unpin(_ place: UInt8, worker: Int) -> Bool {
    let word = words + (worker * GenerationBoard.rowWords + Int(place))
    let left = word.pointee.load(ordering: .relaxed) &- 1
    // What the exchange read of the generation comes before this.
    word.pointee.store(left, ordering: .releasing)
    return left == 0
  }

  /// The worker uses this generation, and no older one but for what it has pinned.
  func adopted(_ number: UInt32, worker: Int) {
    words[worker * GenerationBoard.rowWords + GenerationBoard.places].store(number, ordering: .releasing)
  }

  /// A connection that came by this generation's listener goes to another worker, which may have adopted a newer one:
  /// until it has arrived the generation stays. Said before it is sent, by a worker that serves this generation.
  func beginHandOff(_ place: UInt8) { handOffs[Int(place)].wrappingAdd(1, ordering: .relaxed) }

  /// It has arrived, and what it needs of the generation is pinned.
  func endHandOff(_ place: UInt8) { handOffs[Int(place)].wrappingSubtract(1, ordering: .releasing) }

  // MARK: Asked by the control thread

  /// Whether every worker has adopted this generation or a newer one.
  func allAdopted(_ number: UInt32) -> Bool {
    (0..<workers).allSatisfy { worker in
      words[worker * GenerationBoard.rowWords + GenerationBoard.places].load(ordering: .acquiring) >= number
    }
  }

  /// How many exchanges run on the generation at this place, and connections are on their way.
  func pins(_ place: UInt8) -> Int {
    // First what is on its way: it is counted among the pins before it has arrived.
    handOffs[Int(place)].load(ordering: .acquiring)
      + (0..<workers).reduce(0) { sum, worker in
        sum + Int(words[worker * GenerationBoard.rowWords + Int(place)].load(ordering: .acquiring))
      }
  }
}
