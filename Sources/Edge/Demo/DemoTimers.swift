// Deadlines of the demo provider's connections, to the millisecond: a heap that knows where each connection stands.
//
// Called by: the loop. Never: holds more than one entry for a connection, so it never outgrows them.

/// One deadline for each slot.
struct DemoTimers {
  /// Slots, the earliest deadline first; each one's children stand at twice its place and one or two further.
  private var heap: [Int] = []
  /// By slot: its place in the heap, -1 when it has none.
  private var places: [Int] = []
  private var deadlines: [UInt64] = []

  /// Sets a slot's deadline in monotonic milliseconds; nil takes it away.
  mutating func arm(_ slot: Int, _ deadline: UInt64?) {
    while places.count <= slot {
      places.append(-1)
      deadlines.append(0)
    }
    guard let deadline else { return remove(slot) }
    deadlines[slot] = deadline
    if places[slot] < 0 {
      places[slot] = heap.count
      heap.append(slot)
    }
    settle(places[slot])
  }

  private mutating func remove(_ slot: Int) {
    let place = places[slot]
    guard place >= 0, let last = heap.popLast() else { return }
    places[slot] = -1
    if last == slot { return }
    heap[place] = last
    places[last] = place
    settle(place)
  }

  /// Takes out the slot whose deadline has passed longest ago.
  mutating func nextExpired(_ now: UInt64) -> Int? {
    guard let first = heap.first, deadlines[first] <= now else { return nil }
    remove(first)
    return first
  }

  /// Milliseconds until something is due; -1 when nothing will be.
  func wait(_ now: UInt64) -> Int32 {
    guard let first = heap.first else { return -1 }
    return deadlines[first] <= now ? 0 : Int32(min(deadlines[first] - now, 60_000))
  }

  /// Moves what stands at a place up or down until the order holds.
  private mutating func settle(_ start: Int) {
    var place = start
    while place > 0, isEarlier(place, (place - 1) / 2) {
      swap(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
    while true {
      var least = place
      for child in (2 * place + 1)...(2 * place + 2) where child < heap.count && isEarlier(child, least) {
        least = child
      }
      if least == place { return }
      swap(place, least)
      place = least
    }
  }

  private func isEarlier(_ left: Int, _ right: Int) -> Bool { deadlines[heap[left]] < deadlines[heap[right]] }

  private mutating func swap(_ left: Int, _ right: Int) {
    heap.swapAt(left, right)
    places[heap[left]] = left
    places[heap[right]] = right
  }
}
