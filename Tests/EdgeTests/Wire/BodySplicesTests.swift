import Testing

@testable import Edge

@Suite struct BodySplicesTests {
  private func edited(_ body: String, _ edits: [(Int, Int, StaticString)]) -> String? {
    var splices = BodySplices()
    for (start, count, text) in edits where !splices.add(start: start, count: count, StaticBytes(text)) { return nil }
    let source = ByteArea(Array(body.utf8))
    let count = splices.editedCount(source.count)
    let copy = ByteArea([UInt8](repeating: 0, count: count))
    var writer = ByteWriter(base: copy.base, capacity: count)
    splices.copy(source.base, source.count, to: &writer)
    #expect(!writer.overflowed && writer.count == count)
    return String(decoding: copy.bytes, as: UTF8.self)
  }

  @Test func edits() {
    #expect(edited("abcdef", []) == "abcdef")
    #expect(edited("abcdef", [(2, 2, "XYZ")]) == "abXYZef")
    #expect(edited("abcdef", [(0, 0, "<"), (6, 0, ">")]) == "<abcdef>")
    #expect(edited("abcdef", [(4, 2, ""), (0, 1, "A"), (2, 1, "CC")]) == "AbCCd")
    #expect(edited("abcdef", [(0, 6, "")]) == "")
    #expect(edited("", [(0, 0, "x")]) == "x")
  }

  @Test func editsThatTouch() {
    #expect(edited("abcd", [(0, 2, "1"), (2, 2, "2")]) == "12")
    #expect(edited("abcd", [(2, 2, "2"), (0, 2, "1")]) == "12")
  }

  @Test func refused() {
    #expect(edited("abcd", [(0, 2, "1"), (1, 2, "2")]) == nil)
    #expect(edited("abcd", [(1, 2, "1"), (0, 2, "2")]) == nil)
    #expect(edited("abcd", [(0, 1, ""), (1, 1, ""), (2, 1, ""), (3, 1, ""), (4, 0, "")]) == nil)
    #expect(edited("abcd", [(-1, 1, "")]) == nil)
  }

  @Test func isPlain() {
    #expect(_isPOD(BodySplices.self))
    #expect(BodySplices().isEmpty)
  }
}
