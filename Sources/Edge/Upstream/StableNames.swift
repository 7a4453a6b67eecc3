// Numbers for what outlives generations: an endpoint that stands in two generations has one handle, and by it one
// pool, one set of addresses, later one health. Kept by the control thread alone; workers see handles only.

/// Names with their handles, and how many generations use each.
struct StableNames {
  private struct Entry {
    let handle: Handle
    var uses: Int
  }

  private let capacity: Int
  private var entries: [String: Entry] = [:]
  private var free: [Int32] = []
  /// The serial of each place's last owner.
  private var serials: [UInt32] = []

  init(capacity: Int) { self.capacity = capacity }

  /// The handle of a name, for one more user; nil when all places are taken. A place that was free gets a new serial,
  /// by which workers see that it has another owner.
  mutating func claim(_ name: String) -> Handle? {
    if var entry = entries[name] {
      entry.uses += 1
      entries[name] = entry
      return entry.handle
    }
    let index: Int32
    if let last = free.popLast() {
      index = last
    } else {
      guard serials.count < capacity else { return nil }
      index = Int32(serials.count)
      serials.append(0)
    }
    serials[Int(index)] &+= 1
    let handle = Handle(index: index, serial: serials[Int(index)])
    entries[name] = Entry(handle: handle, uses: 1)
    return handle
  }

  /// One user less; the last one frees the place. True when it was the last.
  @discardableResult
  mutating func release(_ name: String) -> Bool {
    guard var entry = entries[name] else { return false }
    entry.uses -= 1
    if entry.uses > 0 {
      entries[name] = entry
      return false
    }
    entries[name] = nil
    free.append(entry.handle.index)
    return true
  }

  /// The handle of a name in use.
  subscript(name: String) -> Handle? { entries[name]?.handle }
}
