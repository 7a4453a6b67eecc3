import Foundation
import Testing

@testable import Edge

struct ArenaTests {
  @Test func copiesStayApart() {
    let arena = Arena()
    var texts: [StaticBytes] = []
    for index in 0..<5_000 { texts.append(arena.text(String(repeating: "x", count: index % 50) + String(index))) }
    for (index, copy) in texts.enumerated() {
      #expect(copy.text == String(repeating: "x", count: index % 50) + String(index))
    }
  }

  @Test func everythingIsAligned() {
    let arena = Arena()
    for count in [0, 1, 3, 17, 4_096, 70_000, 1] {
      _ = arena.allocate(UInt8.self, count: count)
      #expect(UInt(bitPattern: arena.allocate(UInt64.self, count: 1)) % 16 == 0)
    }
  }

  @Test func emptyThingsAreFine() {
    let arena = Arena()
    #expect(arena.text("").count == 0)
    _ = arena.copy([UInt64]())
    #expect(StaticBytes.empty.count == 0)
  }
}

struct PagesTests {
  @Test func pagesAreZero() throws {
    let memory = try #require(Pages.map(bytes: 1 << 20))
    defer { Pages.unmap(memory, bytes: 1 << 20) }
    #expect(UnsafeRawBufferPointer(start: memory, count: 1 << 20).allSatisfy { $0 == 0 })
  }
}

struct RandomTests {
  @Test func generatorsDifferAndMove() {
    var one = Random()
    var other = Random()
    let first = (0..<100).map { _ in one.next() }
    let second = (0..<100).map { _ in other.next() }
    #expect(Set(first + second).count == 200)
  }
}

struct CompareTests {
  @Test func onlyASCIILettersFold() {
    for byte in UInt8.min...UInt8.max {
      let expected = (0x41...0x5a).contains(byte) ? byte + 32 : byte
      #expect(foldCase(byte) == expected)
    }
  }

  @Test func equality() {
    let left = ByteArea(raw("Content-TYPE@[`{"))
    let right = ByteArea(raw("content-type@[`{"))
    #expect(equalLowered(left.base, right.base, right.count))
    #expect(!equalLowered(right.base, left.base, left.count), "the right side must be lower case")
    #expect(equalLowered(left.base, 12, "content-type"))
    #expect(!equalLowered(left.base, 11, "content-type"))
    let sign = ByteArea(raw("@"))
    #expect(!equalLowered(sign.base, 1, "`"), "@ and ` differ by the case bit and are no letters")
    #expect(equalBytes(left.base, left.base, left.count))
    #expect(!equalBytes(left.base, right.base, left.count))
  }

  @Test func equalityWhateverTheCase() {
    let one = ByteArea(raw("Content-TYPE"))
    let other = ByteArea(raw("cONTENT-type"))
    #expect(equalFolded(one.base, other.base, one.count))
    let (sign, mark) = (ByteArea(raw("@[")), ByteArea(raw("`{")))
    #expect(!equalFolded(sign.base, mark.base, 2), "no letters")
  }
}

struct LockedTests {
  @Test func oneThreadAtATime() {
    let locked = Locked((0, 0))
    onThreads(
      (0..<4).map { _ in
        {
          for _ in 0..<5_000 {
            locked.withLock { pair in
              pair.0 += 1
              pair.1 = pair.0
            }
          }
        }
      })
    let pair = locked.withLock { $0 }
    #expect(pair == (20_000, 20_000))
  }
}
