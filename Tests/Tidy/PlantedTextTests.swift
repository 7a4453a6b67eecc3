// The rules for plain text against planted lines. What they look for is spelled in halves here, so that these files
// hold none of it themselves.

import Testing

@Suite("Every rule for plain text can fail")
struct PlantedTextTests {
  typealias Plant = PlantedTests.Plant

  private static let slash = "/"

  @Test(
    "Marks, machine paths, registries, white space",
    arguments: [
      Plant(source: ""),
      Plant(source: "a\n"),
      Plant(source: "a", finds: ["1: no newline"]),
      Plant(source: "a\nb \n", finds: ["2: white space"]),
      Plant(source: "a\t\n", path: "Makefile", finds: ["1: white space"]),
      Plant(source: "a\r\n", path: "README.md", finds: ["1: white space"]),
      Plant(source: "\ta\n", finds: ["1: a tab"]),
      Plant(source: "\ta\n", path: "Makefile"),
      Plant(source: "// TO" + "DO: a\n", finds: ["1: finish it"]),
      Plant(source: "# FIX" + "ME\n", path: "scripts/a.py", finds: ["1: finish it"]),
      Plant(source: "-- XX" + "X\n", path: "policies/a.lua", finds: ["1: finish it"]),
      Plant(source: "mktemp XX" + "XXXX; TO" + "DOS; to" + "do\n", path: "scripts/a.sh"),
      Plant(source: "see Issue" + " #12\n", path: "CHANGELOG.md", finds: ["1: speaks of a tracker"]),
      Plant(source: "issues a # b; an issue\n", path: "CHANGELOG.md"),
      Plant(source: "cd \(slash)work/a\n", path: "scripts/a.sh", finds: ["1: a path of one machine"]),
      Plant(source: "\"\(slash)root\"\n", path: "scripts/a.py", finds: ["1: a path of one machine"]),
      Plant(source: "x=\(slash)home/me\n", path: "scripts/a.py", finds: ["1: a path of one machine"]),
      Plant(source: "a/work/b ../work https://a.example/home \(slash)workers \(slash)roots/a\n", path: "docs/a.md"),
      Plant(source: "https://deb.debian" + ".org/x\n", path: "scripts/a.sh", finds: ["1: names the registry"]),
      Plant(source: "PyPI" + ".org\n", path: "docs/a.md", finds: ["1: names the registry"]),
      Plant(source: "files.pythonhosted" + ".org\n", path: "docs/a.md", finds: ["1: names the registry"]),
      Plant(source: "https://git" + ".example.com/a\n", path: "docs/a.md", finds: ["1: names a git host"]),
      Plant(source: "a.git\n.gitignore digit.a.b git.\n", path: "docs/a.md"),
      Plant(source: "a\n", path: "scripts/test_utils.py", finds: ["1: utils in a file's name"]),
      Plant(source: "a\n", path: "Tests/Helpers/A.swift", finds: ["1: Helpers in a file's name"]),
      Plant(source: "// TO" + "DO", path: "Tests/Acceptance/seeds/a.json"),
    ])
  func text(plant: Plant) { plant.check(PlainText.findings(TextFile(path: plant.path, text: plant.source))) }

  @Test("An exception covers one finding, not its neighbours")
  func exceptions() {
    let row = House.Exception(rule: "banned", path: "a.swift", about: "let a = b!", reason: "why")
    let finding = Finding(rule: "banned", path: "a.swift", line: 1, message: "a forced unwrap: let a = b!")
    #expect(row.covers(finding))
    for (rule, path, message) in [
      ("size", "a.swift", finding.message), ("banned", "b.swift", finding.message), ("banned", "a.swift", "let c = d!"),
    ] {
      #expect(!row.covers(Finding(rule: rule, path: path, line: 1, message: message)))
    }
  }

  @Test("The tracked files are really read")
  func checkout() throws {
    let checkout = try Checkout.shared.get()
    #expect(checkout.swift.contains { $0.path == "Tests/Tidy/PlantedTextTests.swift" && !$0.tokens.isEmpty })
    #expect(checkout.texts.contains { $0.path == "Package.swift" })
  }
}
