import Testing

@testable import Edge

/// How the bounds relate: each line is a promise that another file relies on.
struct LimitsTests {
  @Test func aChunkLineFitsInFrontOfARead() {
    #expect(Limits.readHeadroom >= ChunkWriter.headBytes)
    #expect(Limits.readHeadroom >= ChunkWriter.tailBytes + ChunkWriter.last.utf8CodeUnitCount)
  }

  @Test func headOffsetsFitInSixteenBits() {
    #expect(Limits.headBytesMax <= Int(UInt16.max))
  }

  @Test func aHeadFitsInABuffer() {
    #expect(Limits.headBytesMax <= BufferPool.largest)
    #expect(Limits.headBytesMax + Limits.headAddedBytes + Limits.readBytes <= Limits.scratchBytes)
    #expect(Limits.scratchBytes <= BufferPool.largest)
  }

  @Test func theTextOfARecordFitsInItsCell() {
    let areas = [
      Limits.recordPathBytes, Limits.recordHostBytes, Limits.requestIDBytes, Limits.methodBytesMax,
      Limits.recordPrincipalBytes, Limits.messageIDBytes, Limits.addressTextBytes,
    ]
    #expect(RecordText.bytes == areas.reduce(0, +))
    #expect(LogCell().text.count == RecordText.bytes)
    #expect(LogCell.textOffset == MemoryLayout<LogCell>.offset(of: \LogCell.text))
    #expect(Limits.requestIDBytes >= ULID.textCount)
  }

  @Test func queuesArePowersOfTwo() {
    for capacity in [Limits.inboxMessages, Limits.logRecords] { #expect(capacity.nonzeroBitCount == 1) }
    #expect(Limits.unsentLow < Limits.unsentHigh)
    #expect(Limits.pipeBytesMin <= Limits.pipeBytes && Limits.pipeBytesMin <= Limits.splicedBytesMin)
  }
}
