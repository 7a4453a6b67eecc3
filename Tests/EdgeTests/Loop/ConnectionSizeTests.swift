import Testing

@testable import Edge

/// Slots are what connections cost, those of exchanges while one runs: their sizes are promises of the documentation.
struct SlotSizeTests {
  @Test func slotsAreSmall() {
    #expect(MemoryLayout<Connection>.stride <= 192)
    #expect(MemoryLayout<Exchange>.stride <= 768)
    #expect(MemoryLayout<SocketPair>.stride <= 320)
  }
}
