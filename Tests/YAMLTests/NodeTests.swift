// Trees, places, limits and refusals.

import Testing

@testable import YAML

private func parse(_ text: String, _ limits: YAMLParser.Limits = .init()) throws(YAMLError) -> Node? {
  try YAMLParser.parse(Array(text.utf8), limits: limits)
}

private func failure(_ bytes: [UInt8], _ limits: YAMLParser.Limits = .init()) -> YAMLError? {
  do throws(YAMLError) {
    _ = try YAMLParser.parse(bytes, limits: limits)
    return nil
  } catch { return error }
}

private func failure(_ text: String, _ limits: YAMLParser.Limits = .init()) -> YAMLError? {
  failure(Array(text.utf8), limits)
}

@Suite struct NodeTests {
  @Test func treeKeepsOrderAndStyle() throws {
    let root = try #require(try parse("b: 1\na: ['x', \"y\", z]\nc: |\n  text\n"))
    let mapping = try #require(root.mapping)
    #expect(mapping.entries.map(\.name) == ["b", "a", "c"])
    let members = try #require(mapping["a"]?.sequence)
    #expect(members.map { $0.scalar?.style } == [.quoted, .quoted, .plain])
    #expect(mapping["c"]?.scalar == Scalar("text\n", style: .block))
    #expect(mapping["missing"] == nil)
  }

  @Test func placesCountScalarsAndBytes() throws {
    let root = try #require(try parse("\u{FEFF}# é\nkü: wört\nlist:\n  - a\n  - bb\n\nend: {x: 1}\n"))
    #expect(root.start == Position(line: 2, column: 1, offset: 8))
    let entries = try #require(root.mapping).entries
    #expect(entries[0].key.end == Position(line: 2, column: 3, offset: 11))
    #expect(entries[0].value.start == Position(line: 2, column: 5, offset: 13))
    #expect(entries[0].value.end == Position(line: 2, column: 9, offset: 18))
    // A block collection ends with its last member, not where the next token begins.
    #expect(entries[1].value.end == Position(line: 5, column: 7, offset: 37))
    #expect(entries[2].value.end.column == 12)
  }

  @Test func linesEndInAnyOfThreeWays() throws {
    let root = try #require(try parse("a: 1\r\nb: 2\rc: 3\nd: 4"))
    #expect(try #require(root.mapping).entries.map(\.value.start.line) == [1, 2, 3, 4])
    let map = SourceMap(Array("one\r\ntwo\rthree".utf8))
    #expect((1...4).map { map.text(ofLine: $0) } == ["one", "two", "three", ""])
    #expect(map.position(at: 100) == Position(line: 3, column: 6, offset: 14))
  }

  @Test func placesInLongTextsWithWideScalars() throws {
    let text = (0..<500).map { "k\($0): wört\($0)\n" }.joined()
    let source = SourceMap(Array(text.utf8))
    let entries = try #require(try YAMLParser.parse(source)?.mapping).entries
    for (index, entry) in entries.enumerated() {
      #expect(entry.key.start.line == index + 1 && entry.key.start.column == 1)
      #expect(entry.value.start == source.position(at: entry.value.start.offset))
      #expect(source.bytes[entry.value.start.offset] == UInt8(ascii: "w"))
    }
  }

  @Test(arguments: ["", "# only a comment\n", "\n\n", "\u{FEFF}"]) func noDocument(_ text: String) throws {
    #expect(try parse(text) == nil)
  }

  @Test func emptyDocumentIsNull() throws {
    #expect(try parse("---\n")?.scalar?.isNull == true)
  }

  @Test func duplicateKeysNameBothPlaces() throws {
    let error = try #require(failure("a: 1\nb: {x: 1, 'x': 2}\n"))
    #expect(error.kind == .duplicateKey)
    #expect(error.position == Position(line: 2, column: 11, offset: 15))
    #expect(error.related == Position(line: 2, column: 5, offset: 9))
    #expect(failure("- {a: 1}\n- {a: 1}\n") == nil)
  }

  @Test(arguments: [
    ("a: 1\n---\nb: 2\n", YAMLError.Kind.documents, 2, 1),
    ("a: &x 1\n", .anchor, 1, 4),
    ("a: *x\n", .anchor, 1, 4),
    ("a: &x [1]\n", .anchor, 1, 4),
    ("a: &x {b: 1}\n", .anchor, 1, 4),
    ("a: 1\n<<: {b: 1}\n", .anchor, 2, 1),
    ("a: !Ref b\n", .tag, 1, 4),
    ("a: !!binary b\n", .tag, 1, 4),
    ("a: !!int b\n", .tag, 1, 4),
    ("a: !!map [1]\n", .tag, 1, 4),
    ("[a, b]: 1\n", .key, 1, 1),
    ("? {a: 1}\n: 2\n", .key, 1, 3),
    ("a: b: c\n", .syntax, 1, 5),
    ("a:\n\tb: 1\n", .syntax, 2, 1),
    ("a: [1, 2\n", .syntax, 2, 1),
    ("a: \"\\x\"\n", .syntax, 1, 7),
    ("a: \u{7}\n", .encoding, 1, 4),
  ])
  func refusals(_ text: String, _ kind: YAMLError.Kind, _ line: Int, _ column: Int) throws {
    let error = try #require(failure(text))
    #expect(error.kind == kind, "\(error)")
    #expect([error.position.line, error.position.column] == [line, column], "\(error)")
    #expect(!error.message.isEmpty)
  }

  @Test func notUTF8() throws {
    let error = try #require(failure(Array("a: b\nc: d".utf8) + [0xFF]))
    #expect(error.kind == .encoding)
    #expect(error.position == Position(line: 2, column: 5, offset: 9))
    // UTF-16 is not guessed at.
    #expect(failure([0xFF, 0xFE, 0x61, 0x00])?.kind == .encoding)
    #expect(failure([0x61, 0x00, 0x3A, 0x00])?.kind == .encoding)
  }

  @Test func depth() throws {
    func nested(_ count: Int) -> String {
      String(repeating: "[", count: count) + String(repeating: "]", count: count)
    }
    #expect(failure(nested(64)) == nil)
    #expect(failure(nested(65))?.kind == .depth)
    #expect(failure(String(repeating: "[", count: 500_000))?.kind == .depth)
    #expect(failure(String(repeating: "- ", count: 200))?.kind == .depth)
    #expect(failure(String(repeating: "{a: ", count: 65))?.kind == .depth)
  }

  @Test func size() throws {
    let limits = YAMLParser.Limits(bytesMax: 8)
    #expect(failure("a: 12345", limits) == nil)
    #expect(failure("a: 123456", limits)?.kind == .size)
    #expect(failure(String(repeating: "#", count: (1 << 20) + 1))?.kind == .size)
    #expect(failure(String(repeating: "#", count: 1 << 20)) == nil)
  }

  /// A long single line costs time in its length, not its square: this ends at once or not at all.
  @Test func longLine() throws {
    let members = (0..<100_000).map { "ä\($0)" }.joined(separator: ",")
    let sequence = try #require(try parse("[" + members + "]")?.sequence)
    #expect(sequence.count == 100_000)
    #expect(sequence.last?.start.line == 1)
  }
}
