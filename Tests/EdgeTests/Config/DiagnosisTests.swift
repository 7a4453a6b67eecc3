// The form and order of findings.

import Testing

@testable import Edge

@Suite struct DiagnosisTests {
  @Test func formOfAnError() {
    let source = SourceFile(path: "a.yaml", bytes: Array("one: 1\n\ttwo: zwö\n".utf8))
    let place = source.place(from: 8, to: 11)
    let diagnosis = Diagnosis(
      .error, .place(place), "no such key", hint: "did you mean 'three'?",
      related: [Diagnosis.Related(place: source.place(from: 0, to: 3), message: "first here")])
    #expect(
      diagnosis.render() == """
        a.yaml:2:2: error: no such key
           two: zwö
           ^~~
          did you mean 'three'?
        a.yaml:1:1: note: first here
          one: 1
          ^~~
        """)
  }

  @Test func otherLocations() {
    #expect(Diagnosis(.note, .file("b.yml"), "skipped").render() == "b.yml: note: skipped")
    #expect(Diagnosis(.error, .environment("X"), "bad").render() == "environment X: error: bad")
    #expect(Diagnosis(.warning, .commandLine, "odd").render() == "command line: warning: odd")
  }

  /// What a file says must not reach the terminal as a command, nor flood it.
  @Test func hostileTextIsTamed() throws {
    let key = "\\e[31mred\\u202E" + String(repeating: "x", count: 100_000)
    // An explicit key may be longer than the 1024 characters of a simple one.
    let (outcome, text) = try Fixture.load("version: 1\nlisteners: {main: {bind: \"*:1\"}}\n? \"\(key)\"\n: 1\n")
    #expect(outcome.snapshot == nil)
    let rendered = try #require(text.first)
    #expect(rendered.contains("unknown key"))
    #expect(rendered.utf8.count < 1_000)
    #expect(!rendered.unicodeScalars.contains { $0.value == 0x1B || $0.value == 0x202E })
  }

  @Test func orderAndBound() {
    var list = DiagnosisList()
    let first = SourceFile(path: "main.yaml", bytes: Array("a\nb\n".utf8))
    let second = SourceFile(path: "a.yaml", bytes: Array("a\n".utf8))
    list.opened(first.path)
    list.opened(second.path)
    list.error(second.place(from: 0, to: 1), "third")
    list.error(first.place(from: 2, to: 3), "second")
    list.warning(first.place(from: 0, to: 1), "first")
    list.add(Diagnosis(.error, .environment("X"), "zeroth"))
    #expect(list.sorted(mainPath: "main.yaml").map(\.message) == ["zeroth", "first", "second", "third"])
    for index in 0..<300 { list.error(first.place(from: 0, to: 1), "\(index)") }
    let bounded = list.sorted(mainPath: "main.yaml")
    #expect(bounded.filter { $0.severity == .error }.count == DiagnosisList.shownMax)
    #expect(bounded.last?.message == "203 more errors and 0 more warnings and notes are not shown")
  }

  /// Carets stand under what they mean, however wide the characters before it are.
  @Test(arguments: [
    ("\u{65E5}\u{672C}: x", 8, "      ^"), ("e\u{301}: x", 5, "   ^"), ("\u{1F600}: x", 6, "    ^"),
    ("ab: x", 4, "    ^"),
  ])
  func caretsUnderWideText(_ line: String, _ offset: Int, _ caret: String) {
    let source = SourceFile(path: "a", bytes: Array(line.utf8))
    let text = Diagnosis(.error, .place(source.place(from: offset, to: offset + 1)), "m").render()
    #expect(text == "a:1:\(source.place(from: offset, to: offset).start.column): error: m\n  \(line)\n  \(caret)")
  }

  @Test func namesOfFilesAreTamed() {
    let source = SourceFile(path: "a\u{1B}[31m\n.yaml", bytes: Array("x\u{61C}\u{200B}\u{AD}\u{E0041}y\n".utf8))
    let place = source.place(from: 0, to: 1)
    let texts = [
      Diagnosis(.error, .place(place), "\u{61C}\u{E0041}", related: [Diagnosis.Related(place: place, message: "m")]),
      Diagnosis(.note, .file(source.path), "skipped"),
    ].map { $0.render() }
    #expect(
      texts == [
        "a?[31m?.yaml:1:1: error: ??\n  x    y\n  ^\na?[31m?.yaml:1:1: note: m\n  x    y\n  ^",
        "a?[31m?.yaml: note: skipped",
      ])
  }

  /// What stands far away in a long line costs nothing, and what is hidden stays so.
  @Test func longLines() {
    let bytes = Array(
      (String(repeating: "\u{E9}", count: 400_000) + "SECRET end" + String(repeating: "x", count: 400_000)).utf8)
    let source = SourceFile(path: "a", bytes: bytes).hiding([800_000..<800_006, 800_001..<800_003])
    for _ in 0..<100 {
      let text = Diagnosis(.error, .place(source.place(from: 800_007, to: 800_010)), "m").render()
      #expect(text.contains("\u{E9}****** endx"))
    }
    #expect(source.isHidden(800_000..<800_001) && source.isHidden(800_005..<800_009))
    #expect(!source.isHidden(800_006..<800_009) && !source.isHidden(0..<800_000))
  }

  @Test func manyHiddenPlaces() {
    let bytes = [UInt8](repeating: 0x61, count: 300_000)
    let source = SourceFile(path: "a", bytes: bytes).hiding(stride(from: 0, to: 300_000, by: 3).map { $0..<($0 + 1) })
    for start in stride(from: 0, to: 300_000, by: 3_000) {
      #expect(Diagnosis(.error, .place(source.place(from: start, to: start)), "m").render().contains("*aa*aa*aa"))
    }
  }
}
