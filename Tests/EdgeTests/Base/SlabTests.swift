import Testing

@testable import Edge

private struct Slot: SlabSlot {
  var serial: UInt32
  var nextFree: Int32
  var value: Int
}

private final class SlabBench {
  var slab: Slab<Slot>

  init(capacity: Int) throws { slab = try #require(Slab<Slot>(capacity: capacity)) }

  deinit { slab.unmap() }

  var slots: UnsafeMutablePointer<Slot> { slab.slots }
  var used: Int32 { slab.used }
  var everUsed: Int32 { slab.everUsed }

  func take() -> Int32 { slab.take() }
  func give(_ index: Int32) { slab.give(index) }
}

struct SlabTests {
  @Test func slotsAreTakenInOrderThenLastFreedFirst() throws {
    let slab = try SlabBench(capacity: 4)
    #expect((0..<4).map { _ in slab.take() } == [0, 1, 2, 3])
    #expect(slab.take() == -1)
    #expect(slab.used == 4 && slab.everUsed == 4)
    slab.give(1)
    slab.give(3)
    #expect(slab.used == 2)
    #expect(slab.take() == 3)
    #expect(slab.take() == 1)
    #expect(slab.take() == -1)
    #expect(slab.used == 4 && slab.everUsed == 4)
  }

  @Test func serialsChangeWhenASlotIsFreed() throws {
    let slab = try SlabBench(capacity: 2)
    let index = slab.take()
    #expect(slab.slots[0].serial == 0 && slab.slots[0].value == 0)
    slab.slots[Int(index)].value = 7
    let stale = Handle(index: index, serial: slab.slots[Int(index)].serial)
    slab.give(index)
    #expect(slab.take() == index)
    #expect(slab.slots[Int(index)].serial != stale.serial)
    #expect(slab.slots[Int(index)].value == 7, "memory is as its last owner left it")
  }

  @Test func serialsWrap() throws {
    let slab = try SlabBench(capacity: 1)
    let index = slab.take()
    slab.slots[0].serial = UInt32.max
    slab.give(index)
    #expect(slab.slots[0].serial == 0)
  }

  @Test func handlesSurviveTheirBits() {
    for index in [0, 1, -1, Int32.max, Int32.min] {
      for serial in [0, 1, UInt32.max] {
        let handle = Handle(index: index, serial: serial)
        #expect(Handle(bits: handle.bits) == handle)
      }
    }
    #expect(Handle(index: 1, serial: 2) != Handle(index: 1, serial: 3))
  }

  /// No slot has two owners at a time.
  @Test func randomUse() throws {
    let slab = try SlabBench(capacity: 100)
    var random = SeededGenerator(seed: 3)
    var owned: [Int32] = []
    for _ in 0..<20_000 {
      if random.below(2) == 0 {
        let index = slab.take()
        #expect((index < 0) == (owned.count == 100))
        if index >= 0 {
          #expect(!owned.contains(index))
          owned.append(index)
        }
      } else if !owned.isEmpty {
        slab.give(owned.remove(at: random.below(owned.count)))
      }
      #expect(Int(slab.used) == owned.count)
    }
  }
}
