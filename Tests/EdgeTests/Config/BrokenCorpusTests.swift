// The corpus of broken configurations: each case and the exact messages it gets.
//
// A case is `Tests/Config/broken/NN-name.yaml`, or a folder `NN-name` with `routes.yaml` (a file `dotenv` in it stands
// for `.env`). Lines `#! env NAME=value` and `#! --dev` in the main file set options. The messages stand in
// `NN-name.txt`. With EDGE_REWRITE_GOLDENS=1 the test writes them anew; the diff is then read by a person.

import Foundation
import Testing

@testable import Edge

@Suite struct BrokenCorpusTests {
  static let folder = Fixture.repository + "/Tests/Config/broken"
  static let cases: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { !$0.hasSuffix(".txt") }.sorted()
  }()

  @Test func thereAreEnoughCases() {
    #expect(BrokenCorpusTests.cases.count >= 30)
  }

  @Test func noGoldenWithoutCase() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: BrokenCorpusTests.folder)
    let stems = Set(BrokenCorpusTests.cases.map { $0.hasSuffix(".yaml") ? String($0.dropLast(5)) : $0 })
    #expect(names.filter { $0.hasSuffix(".txt") && !stems.contains(String($0.dropLast(4))) } == [])
  }

  @Test(arguments: cases) func messages(of name: String) throws {
    let source = "\(BrokenCorpusTests.folder)/\(name)"
    let folder = try Fixture.Folder()
    var stem = source
    if name.hasSuffix(".yaml") {
      stem = String(source.dropLast(5))
      try folder.copy(from: source, to: "routes.yaml")
    } else {
      try FileManager.default.removeItem(atPath: folder.path)
      try FileManager.default.copyItem(atPath: source, toPath: folder.path)
      if FileManager.default.fileExists(atPath: folder.path + "/dotenv") {
        try FileManager.default.moveItem(atPath: folder.path + "/dotenv", toPath: folder.path + "/.env")
      }
    }
    var options = LoadOptions(environment: Fixture.environment)
    let main = String(
      decoding: try Data(contentsOf: URL(fileURLWithPath: folder.path + "/routes.yaml")), as: UTF8.self)
    for line in main.split(separator: "\n") where line.hasPrefix("#! ") {
      if line == "#! --dev" { options.dev = true }
      guard line.hasPrefix("#! env ") else { continue }
      let parts = line.dropFirst(7).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      options.environment[String(parts[0])] = String(parts[1])
    }
    let outcome = Loader.load(path: folder.path + "/routes.yaml", options: options)
    let text = folder.rendered(outcome).map { $0 + "\n" }.joined()

    #expect(outcome.snapshot == nil)
    #expect(outcome.diagnoses.contains { $0.severity == .error })
    for (name, value) in options.environment where value.count > 4 && !name.contains("LEVEL") && name != "NODE_ENV" {
      #expect(!text.contains("'\(value)'"), "a message repeats the value of \(name)")
    }
    let golden = stem + ".txt"
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try text.write(toFile: golden, atomically: true, encoding: .utf8)
      return
    }
    let expected = try String(contentsOfFile: golden, encoding: .utf8)
    #expect(text == expected, "\(name)\n\(LineDiff.text(expected, text))")
  }
}
