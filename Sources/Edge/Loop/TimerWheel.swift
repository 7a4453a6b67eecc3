// Deadlines of connections. Most are moved, few are met: moving one later only stores the new time, and the slot is
// linked anew when its old tick comes. One wheel per worker, one deadline per connection.

/// Slots of a slab hung in lists by tick. A tick is 16 ms; what is due later than the wheel reaches hangs at its far
/// end and is looked at again there.
struct TimerWheel {
  static let never = UInt64.max
  static let unlinked = UInt64.max
  private static let tickShift: UInt64 = 4
  private static let ticks = 1_024

  private let heads: UnsafeMutablePointer<Int32>
  /// One bit per list that is not empty.
  private let occupied: UnsafeMutablePointer<UInt64>
  private let slots: UnsafeMutablePointer<Connection>
  /// Every tick before this one has been looked at.
  private var current: UInt64

  init(arena: Arena, slots: UnsafeMutablePointer<Connection>, now: UInt64) {
    heads = arena.allocate(Int32.self, count: TimerWheel.ticks)
    occupied = arena.allocate(UInt64.self, count: TimerWheel.ticks / 64)
    for index in 0..<TimerWheel.ticks { heads[index] = -1 }
    for index in 0..<(TimerWheel.ticks / 64) { occupied[index] = 0 }
    self.slots = slots
    current = now >> TimerWheel.tickShift
  }

  /// A slot that was just taken: no deadline, not linked.
  func reset(_ index: Int32) {
    slots[Int(index)].timer = TimerLink(
      deadline: TimerWheel.never, tick: TimerWheel.unlinked, next: -1, previous: -1)
  }

  /// Sets the deadline in monotonic milliseconds; `never` clears it.
  @inline(__always)
  mutating func arm(_ index: Int32, _ deadline: UInt64) {
    let timer = slots + Int(index)
    timer.pointee.timer.deadline = deadline
    if deadline == TimerWheel.never { return }
    // Rounded up: a deadline is never met early.
    let tick = (deadline >> TimerWheel.tickShift) &+ 1
    if timer.pointee.timer.tick <= tick { return }
    link(index, tick)
  }

  private mutating func link(_ index: Int32, _ wanted: UInt64) {
    remove(index)
    let tick = min(max(wanted, current), current &+ UInt64(TimerWheel.ticks - 1))
    let list = Int(tick) & (TimerWheel.ticks - 1)
    let head = heads[list]
    slots[Int(index)].timer.tick = tick
    slots[Int(index)].timer.next = head
    slots[Int(index)].timer.previous = -1
    if head >= 0 { slots[Int(head)].timer.previous = index }
    heads[list] = index
    occupied[list >> 6] |= 1 << UInt64(list & 63)
  }

  /// Takes a slot out, before it is freed.
  mutating func remove(_ index: Int32) {
    let timer = slots[Int(index)].timer
    if timer.tick == TimerWheel.unlinked { return }
    let list = Int(timer.tick) & (TimerWheel.ticks - 1)
    if timer.next >= 0 { slots[Int(timer.next)].timer.previous = timer.previous }
    if timer.previous >= 0 {
      slots[Int(timer.previous)].timer.next = timer.next
    } else {
      heads[list] = timer.next
      if timer.next < 0 { occupied[list >> 6] &= ~(1 << UInt64(list & 63)) }
    }
    slots[Int(index)].timer.tick = TimerWheel.unlinked
  }

  /// The next slot whose deadline has passed, taken out; -1 when there is none at this time. Call until it is.
  mutating func nextExpired(_ now: UInt64) -> Int32 {
    let until = now >> TimerWheel.tickShift
    while current <= until {
      let index = heads[Int(current) & (TimerWheel.ticks - 1)]
      if index < 0 {
        if current == until { return -1 }
        current = min(until, nextOccupied() ?? until)
        continue
      }
      remove(index)
      let deadline = slots[Int(index)].timer.deadline
      if deadline <= now {
        slots[Int(index)].timer.deadline = TimerWheel.never
        return index
      }
      // Moved later since it was linked. Its own tick may be this one: then it hangs one further on.
      if deadline != TimerWheel.never { link(index, max((deadline >> TimerWheel.tickShift) &+ 1, current &+ 1)) }
    }
    return -1
  }

  /// Milliseconds until something may be due; -1 when nothing is.
  func wait(_ now: UInt64) -> Int32 {
    guard let tick = nextOccupied() else { return -1 }
    let due = tick << TimerWheel.tickShift
    return due <= now ? 0 : Int32(min(due - now, 60_000))
  }

  /// The first tick from the current one on whose list is not empty.
  private func nextOccupied() -> UInt64? {
    let words = TimerWheel.ticks / 64
    let start = Int(current) & (TimerWheel.ticks - 1)
    var word = start >> 6
    var bits = occupied[word] & (~0 << UInt64(start & 63))
    for _ in 0...words {
      if bits != 0 {
        let list = word << 6 + bits.trailingZeroBitCount
        let distance = (list - start) & (TimerWheel.ticks - 1)
        return current &+ UInt64(distance)
      }
      word = (word + 1) % words
      bits = occupied[word]
    }
    return nil
  }
}
