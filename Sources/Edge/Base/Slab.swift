// Slots for what lives as long as a connection or an exchange: one block of pages per worker, allocated once. A slot
// is named by index and serial; the serial changes when the slot is freed, so a late event for its former owner is
// dropped by one comparison.

/// What a slab needs of its slots: plain bytes with a serial and a link to the next free one.
protocol SlabSlot: BitwiseCopyable {
  /// Counts the owners this slot has had.
  var serial: UInt32 { get set }
  /// The next free slot while this one is free.
  var nextFree: Int32 { get set }
}

/// The name of a slot that may meanwhile have another owner.
struct Handle: BitwiseCopyable, Equatable {
  let index: Int32
  let serial: UInt32

  init(index: Int32, serial: UInt32) {
    self.index = index
    self.serial = serial
  }

  init(bits: UInt64) {
    index = Int32(truncatingIfNeeded: bits)
    serial = UInt32(truncatingIfNeeded: bits >> 32)
  }

  var bits: UInt64 { UInt64(serial) << 32 | UInt64(UInt32(bitPattern: index)) }
}

/// A fixed number of slots; freed ones are used again first.
struct Slab<Slot: SlabSlot> {
  let slots: UnsafeMutablePointer<Slot>
  let capacity: Int32
  private(set) var used: Int32 = 0
  private var firstFree: Int32 = -1
  private var neverUsed: Int32 = 0

  /// Slots from this index on have never been taken.
  var everUsed: Int32 { neverUsed }

  /// nil when the kernel has no address space for the pages.
  init?(capacity: Int) {
    guard let memory = Pages.map(bytes: capacity * MemoryLayout<Slot>.stride) else { return nil }
    slots = memory.bindMemory(to: Slot.self, capacity: capacity)
    self.capacity = Int32(capacity)
  }

  /// Gives the pages back; no slot may be used any more.
  func unmap() { Pages.unmap(slots, bytes: Int(capacity) * MemoryLayout<Slot>.stride) }

  /// The index of a slot whose memory is as its last owner left it (zero at first), or -1 when all are in use.
  mutating func take() -> Int32 {
    if firstFree >= 0 {
      let index = firstFree
      firstFree = slots[Int(index)].nextFree
      used += 1
      return index
    }
    guard neverUsed < capacity else { return -1 }
    neverUsed += 1
    used += 1
    return neverUsed - 1
  }

  /// Frees a slot; every handle to it is stale from now on.
  mutating func give(_ index: Int32) {
    let slot = slots + Int(index)
    slot.pointee.serial &+= 1
    slot.pointee.nextFree = firstFree
    firstFree = index
    used -= 1
  }
}
