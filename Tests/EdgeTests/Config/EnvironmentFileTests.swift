// The grammar of `.env`.

import Testing

@testable import Edge

@Suite struct EnvironmentFileTests {
  private func read(_ text: String) -> (entries: [String: String], errors: [String]) {
    var diagnoses = DiagnosisList()
    let source = SourceFile(path: ".env", bytes: Array(text.utf8), isSecret: true)
    let entries = EnvironmentFile.read(source, into: &diagnoses)
    return (
      Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.value) }),
      diagnoses.sorted(mainPath: "").map { $0.render() }
    )
  }

  @Test func values() {
    let text = """
      \u{FEFF}# comment
        # indented comment

      A=1
      B=
      C='single # $x \\n'
      D="double \\"x\\" \\\\ \\n\\t\\$"   # comment
      E=bare#not-a-comment # comment
      F=a=b\r
      _g1=https://example.com/?a=b&c=d
      H=''
      """
    let (entries, errors) = read(text)
    #expect(errors == [])
    #expect(
      entries == [
        "A": "1", "B": "", "C": "single # $x \\n", "D": "double \"x\" \\ \n\t$", "E": "bare#not-a-comment",
        "F": "a=b",
        "_g1": "https://example.com/?a=b&c=d", "H": "",
      ])
  }

  @Test(arguments: [
    "A", "A =1", "A= 1", " A=1", "=1", "1A=1", "A-B=1", "export A=1", "A=x y", "A=x'y", "A=\"x", "A='x", "A='x'y",
    "A=\"\\x\"", "A=\"x\\", "A='x'#y",
  ])
  func refusals(_ line: String) {
    let (entries, errors) = read("\(line)\nZ=1\n")
    #expect(errors.count == 1)
    #expect(errors.first?.hasPrefix(".env:1:") == true)
    #expect(entries == ["Z": "1"])
  }

  @Test func messagesHideTheLine() {
    let (_, errors) = read("TOKEN=hush and more\n")
    #expect(errors.count == 1)
    #expect(!errors.joined().contains("hush"))
  }

  @Test func notUTF8() {
    var diagnoses = DiagnosisList()
    let source = SourceFile(path: ".env", bytes: [0x41, 0x3D, 0xFF], isSecret: true)
    #expect(EnvironmentFile.read(source, into: &diagnoses) == [])
    #expect(diagnoses.hasErrors)
  }
}
