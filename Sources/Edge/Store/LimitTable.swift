// The memory of one rate limit: what each key has taken, exact over all threads.
//
// Sets of 16 entries, each set behind one lock word: finding a key, making room for it and taking happen in one step
// under that word, for some tens of nanoseconds. (Changing single words by compare-and-swap would spare the lock word,
// but not the proof that find, claim, evict and update do not overtake one another; with the lock there is nothing to
// prove.) A thread that meets a locked set looks again a few times and then yields its core.
//
// Time never goes back within a set: whoever comes with an older reading of the clock than the set has seen counts as
// having come at that later moment, which had passed before it got the lock. So the stamps of a ring never fall, and
// an entry that was given away as spent stays spent. A key is known by its hash alone: with 65,536 keys alive, two of
// them share an entry with a chance of 2^-33.
//
// Called by RateLimits. Never allocates after it was made, never waits for anything but a lock word.

import Glibc
import Synchronization

/// What a take came to.
enum LimitVerdict: Sendable, Equatable {
  /// Let in; so many more would be let in at this moment.
  case granted(remaining: Int)
  /// Not let in; this long after the caller's reading of the clock the next one is, unless others come before.
  case refused(retryAfterNanoseconds: UInt64)
  /// There is no room to count this key: every entry where it may stand belongs to another one that still counts.
  case full
}

/// One limit's entries, in pages of their own that become resident as they are touched. Trivial: whoever made it frees
/// it.
struct LimitTable {
  /// A set is a lock word, the latest moment seen, the hashes (0: never used; used ones come first) and the bodies.
  static let ways = 16
  static let entriesMax = 65_536
  static let bytesMax = 64 << 20

  private let memory: UnsafeMutableRawPointer
  /// What the table may come to occupy.
  let mappedBytes: Int
  private let sets: UInt64
  private let setBytes: Int
  /// Words of a body. A window's: how many stamps there are and the index of the oldest, then the ring of stamps. A
  /// rate's: the two halves of its theoretical arrival time.
  private let bodyWords: Int
  private let isWindow: Bool
  private let count: Int
  private let nanoseconds: UInt64
  /// A rate counts time in steps of 1/count of a nanosecond, in which one take costs exactly `nanoseconds` steps.
  private let burstSteps: UInt128

  /// nil when the kernel has no address space.
  init?(rule: LimitRule, entriesMax: Int = LimitTable.entriesMax, bytesMax: Int = LimitTable.bytesMax) {
    switch rule {
    case .window(let count, let nanoseconds):
      (isWindow, self.count, self.nanoseconds, burstSteps, bodyWords) = (true, count, nanoseconds, 0, 1 + count)
    case .rate(let count, let nanoseconds, let burst):
      (isWindow, self.count, self.nanoseconds, bodyWords) = (false, count, nanoseconds, 2)
      burstSteps = UInt128(burst) * UInt128(nanoseconds)
    }
    // Whole cache lines, so that neighbours do not share one.
    setBytes = (8 * (2 + LimitTable.ways * (1 + bodyWords)) + 63) & ~63
    let wanted = max(1, min(entriesMax / LimitTable.ways, bytesMax / setBytes))
    mappedBytes = wanted * setBytes
    guard let memory = Pages.map(bytes: mappedBytes) else { return nil }
    self.memory = memory
    sets = UInt64(wanted)
  }

  /// Gives the pages back; nobody may use the table any more.
  func unmap() { Pages.unmap(memory, bytes: mappedBytes) }

  /// How many keys may be counted at the same time.
  var capacity: Int { Int(sets) * LimitTable.ways }

  /// One more for the key with this hash.
  func take(hash: UInt64, now: UInt64) -> LimitVerdict {
    let start = memory + Int(sets.multipliedFullWidth(by: hash).high) * setBytes
    // Zeroed pages are lock words that nobody holds.
    let lock = start.assumingMemoryBound(to: Atomic<UInt64>.self)
    LimitTable.acquire(lock)
    defer { lock.pointee.store(0, ordering: .releasing) }
    let words = (start + 8).assumingMemoryBound(to: UInt64.self)
    let time = max(now, words[0])
    words[0] = time
    let hashes = words + 1
    let place = find(hash == 0 ? 1 : hash, hashes, time)
    guard place >= 0 else { return .full }
    let body = hashes + (LimitTable.ways + place * bodyWords)
    return isWindow ? takeWindow(body, time, now) : takeRate(body, time, now)
  }

  // MARK: Lock

  @inline(__always)
  private static func acquire(_ lock: UnsafeMutablePointer<Atomic<UInt64>>) {
    if lock.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged { return }
    awaitLock(lock)
  }

  @inline(never)
  private static func awaitLock(_ lock: UnsafeMutablePointer<Atomic<UInt64>>) {
    while true {
      for _ in 0..<32 where lock.pointee.load(ordering: .relaxed) == 0 {
        if lock.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged { return }
      }
      sched_yield()
    }
  }

  // MARK: Entries

  /// The key's place in the set, new if it had none; -1 when all places are taken by keys that still count.
  @inline(__always)
  private func find(_ hash: UInt64, _ hashes: UnsafeMutablePointer<UInt64>, _ time: UInt64) -> Int {
    for place in 0..<LimitTable.ways {
      let other = hashes[place]
      if other == hash { return place }
      if other == 0 {
        hashes[place] = hash
        return place
      }
    }
    return evict(hash, hashes, time)
  }

  /// Gives the place that has been spent longest to another key; -1 when none is.
  @inline(never)
  private func evict(_ hash: UInt64, _ hashes: UnsafeMutablePointer<UInt64>, _ time: UInt64) -> Int {
    var oldest = -1
    var oldestEnd = UInt128.max
    let bodies = hashes + LimitTable.ways
    for place in 0..<LimitTable.ways {
      let body = bodies + place * bodyWords
      let end = isWindow ? UInt128(newest(body)) : arrival(body)
      let isSpent = isWindow ? time - newest(body) >= nanoseconds : end <= steps(time)
      if isSpent, end < oldestEnd {
        oldest = place
        oldestEnd = end
      }
    }
    guard oldest >= 0 else { return -1 }
    // What it holds is past, and answers as nothing would.
    hashes[oldest] = hash
    return oldest
  }

  // MARK: Windows

  /// The stamp of the last one let in. Every entry that stands in a set has one.
  private func newest(_ body: UnsafeMutablePointer<UInt64>) -> UInt64 {
    let (used, oldest) = parts(body[0])
    return (body + 1)[(oldest + used - 1) % count]
  }

  /// How many stamps there are, and where the oldest is.
  @inline(__always)
  private func parts(_ word: UInt64) -> (used: Int, oldest: Int) { (Int(word & 0xffff_ffff), Int(word >> 32)) }

  @inline(__always)
  private func takeWindow(_ body: UnsafeMutablePointer<UInt64>, _ time: UInt64, _ now: UInt64) -> LimitVerdict {
    let ring = body + 1
    var (used, oldest) = parts(body[0])
    if used < count {
      ring[used] = time
      used += 1
    } else {
      let age = time - ring[oldest]
      if age < nanoseconds {
        let (wait, overflow) = (nanoseconds - age).addingReportingOverflow(time - now)
        return .refused(retryAfterNanoseconds: overflow ? .max : wait)
      }
      ring[oldest] = time
      oldest = oldest + 1 == count ? 0 : oldest + 1
    }
    body[0] = UInt64(used) | UInt64(oldest) << 32
    return .granted(remaining: count - used + spent(ring, used, oldest, time))
  }

  /// How many stamps are a window old or more: they never fall, so halving finds the first younger one.
  @inline(__always)
  private func spent(_ ring: UnsafeMutablePointer<UInt64>, _ used: Int, _ oldest: Int, _ time: UInt64) -> Int {
    var low = 0
    var high = used
    while low < high {
      let middle = (low + high) / 2
      var index = oldest + middle
      if index >= count { index -= count }
      if time - ring[index] >= nanoseconds {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  // MARK: Rates

  @inline(__always)
  private func steps(_ time: UInt64) -> UInt128 { UInt128(time) * UInt128(UInt64(count)) }

  @inline(__always)
  private func arrival(_ body: UnsafeMutablePointer<UInt64>) -> UInt128 {
    UInt128(body[1]) << 64 | UInt128(body[0])
  }

  /// The generic cell rate algorithm: each take moves the arrival time on by its cost, and none may move it further
  /// than the burst beyond now.
  @inline(__always)
  private func takeRate(_ body: UnsafeMutablePointer<UInt64>, _ time: UInt64, _ now: UInt64) -> LimitVerdict {
    let present = steps(time)
    let cost = UInt128(nanoseconds)
    let ahead = max(arrival(body), present) - present + cost
    if ahead > burstSteps {
      let scale = UInt128(UInt64(count))
      let wait = (ahead - burstSteps + scale - 1) / scale + UInt128(time - now)
      return .refused(retryAfterNanoseconds: UInt64(clamping: wait))
    }
    let next = present + ahead
    body[0] = UInt64(truncatingIfNeeded: next)
    body[1] = UInt64(truncatingIfNeeded: next >> 64)
    return .granted(remaining: Int((burstSteps - ahead) / cost))
  }
}
