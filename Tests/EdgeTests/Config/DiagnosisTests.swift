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
}
