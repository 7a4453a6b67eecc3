// Each rule against planted source: what it must find, and what it must let pass.

import Testing

@Suite("Every rule can fail")
struct PlantedTests {
  /// One planted file: nothing in `finds` means that the rule must be silent.
  struct Plant: Sendable, CustomTestStringConvertible {
    var source: String
    var path = "Sources/Edge/Wire/Planted.swift"
    /// `line: part of the message`, in order.
    var finds: [String] = []

    var testDescription: String { "\(path) \(source.prefix(60).debugDescription)" }

    func check(_ findings: [Finding], _ location: SourceLocation = #_sourceLocation) {
      #expect(findings.count == finds.count, "\(findings)", sourceLocation: location)
      for (finding, expected) in zip(findings, finds) {
        let text = "\(finding.line): \(finding.message)"
        let parts = expected.split(separator: ": ", maxSplits: 1)
        #expect(text.hasPrefix(parts[0] + ": "), sourceLocation: location)
        #expect(finding.message.contains(parts[1]), sourceLocation: location)
        #expect(finding.path == path, sourceLocation: location)
      }
    }
  }

  // MARK: layering

  /// The files that the planted one lives among.
  private static let neighbours = [
    SwiftFile("Sources/Edge/Base/Bytes.swift", "struct Bytes<Element> { struct Cursor {} }\nfunc hash() {}"),
    SwiftFile("Sources/Edge/Wire/Head.swift", "struct Head { struct Kind {} }"),
    SwiftFile("Sources/Edge/Route/Match.swift", "struct Match { struct Kind {} }\nlet routeTable = 1"),
    SwiftFile("Sources/Edge/Worker/Driver.swift", "final class Driver {}\nfunc open(_ a: Int) {}\nlet driverLimit = 1"),
    SwiftFile("Sources/Edge/Worker/More.swift", "extension Head { struct Relay {} }\nprotocol Performer {}"),
    SwiftFile("Sources/Edge/Policy/API/Kv.swift", "struct KvPolicy {}\nstruct Cursor {}"),
    SwiftFile("Sources/Edge/Edge.swift", "public enum Edge { typealias Index = Int }"),
  ]

  @Test(
    "Layering",
    arguments: [
      Plant(source: "let a = Bytes<Int>.Cursor()"),
      Plant(source: "let a: Head.Kind"),
      Plant(source: "let a = Driver()", finds: ["1: Wire names Driver, declared in the higher floor Worker"]),
      Plant(source: "// Driver\nlet a = \"Driver\" /* Driver */"),
      Plant(source: "let a = \"\\(Driver())\"", finds: ["1: Driver"]),
      Plant(source: "import Glibc\n\nfunc f() {\n  Driver().run()\n  Driver().run()\n}", finds: ["4: Driver"]),
      Plant(source: "extension Driver {}", finds: ["1: Driver"]),
      Plant(source: "let a: Head.Relay", finds: ["1: Relay"]),
      Plant(source: "struct A: Performer {}", finds: ["1: Performer"]),
      Plant(source: "let a: KvPolicy", finds: ["1: Wire names KvPolicy, declared in the higher floor Policy"]),
      Plant(source: "let a: Edge", finds: ["1: the higher floor Command"]),
      Plant(source: "let a = b.driverLimit", finds: ["1: driverLimit"]),
      Plant(source: "let a = open(1)", finds: ["1: open"]),
      Plant(source: "let a = b.open(1)\nlet c = open"),
      Plant(source: "func open() {}\nlet a: Void = open()"),
      Plant(source: "struct Driver {}\nlet a: Driver"),
      Plant(source: "struct A<Relay> { var b: Relay }"),
      Plant(source: "func f(a: [Int].Index) {}"),
      Plant(
        source: "let a: Match", path: "Sources/Edge/Upstream/Pool.swift",
        finds: ["1: Upstream names Match, declared in its sibling Route"]),
      Plant(source: "let a: Match", path: "Sources/Edge/Route/Table.swift"),
      Plant(source: "let a: Match; let b: Head", path: "Sources/Edge/Policy/API/Route.swift"),
      Plant(source: "let a: Match; let b: Driver; let c: KvPolicy", path: "Sources/Edge/Other.swift"),
      Plant(source: "let a = 1", path: "Sources/Edge/Misc/A.swift", finds: ["1: the folder Misc has no floor"]),
      Plant(source: "let a: Driver", path: "Sources/YAML/Node.swift"),
    ])
  func layering(plant: Plant) {
    plant.check(Layering.findings(Self.neighbours + [SwiftFile(plant.path, plant.source)]))
  }

  @Test("Every folder stands on one floor only")
  func floors() {
    let folders = House.floors.flatMap { $0 }
    #expect(Set(folders).count == folders.count)
    #expect(Layering.floor(of: "Base") == 0)
    #expect(Layering.floor(of: "Route") == Layering.floor(of: "Identity"))
    #expect(Layering.folder(of: "Sources/Edge/Policy/API/Kv.swift") == "Policy")
    #expect(Layering.folder(of: "Sources/Edge/Edge.swift") == "Command")
    #expect(Layering.folder(of: "Sources/YAML/Node.swift") == nil)
  }

  @Test("Two folders of one floor that name each other")
  func circles() {
    let outer = SwiftFile("Sources/Edge/Policy/Phase.swift", "struct Phase { var a: Library }")
    let inner = SwiftFile("Sources/Edge/Policy/API/Library.swift", "struct Library {\n  var a: Phase\n}")
    let found = Layering.findings([outer, inner])
    #expect(found.map(\.rule) == ["circle", "circle"])
    #expect(Set(found.map(\.description)).count == 2)
    #expect(Layering.findings([outer, SwiftFile(inner.path, "struct Library {}")]).isEmpty)
  }

  @Test(
    "Imports",
    arguments: [
      Plant(source: "import Glibc\nimport CLinux\nimport Synchronization"),
      Plant(source: "import Foundation", finds: ["1: Foundation may be imported nowhere under Sources"]),
      Plant(source: "import FoundationEssentials", finds: ["1: nowhere"]),
      Plant(source: "import Dispatch", finds: ["1: nowhere"]),
      Plant(source: "\n@testable import Edge", finds: ["2: Edge"]),
      Plant(source: "internal import struct Foundation.Data", finds: ["1: Foundation"]),
      Plant(source: "import CYAML", finds: ["1: only below Sources/YAML/"]),
      Plant(source: "import CYAML", path: "Sources/YAML/Parser.swift"),
      Plant(source: "import Edge", path: "Sources/YAML/Parser.swift", finds: ["1: Edge"]),
      Plant(source: "import Edge", path: "Sources/LuaBridge/VM.swift", finds: ["1: Edge"]),
      Plant(source: "import CLinux", path: "Sources/YAML/Parser.swift", finds: ["1: CLinux"]),
      Plant(source: "import Edge", path: "Sources/EdgeMain/main.swift"),
      Plant(source: "import YAML", path: "Sources/Edge/Config/Loader.swift"),
      Plant(source: "// import Foundation\nlet a = \"import Foundation\""),
      Plant(source: "import Foundation", path: "Tests/Tidy/A.swift"),
      Plant(source: "import XCTest", path: "Tests/Tidy/A.swift", finds: ["1: counts Swift Testing only"]),
    ])
  func imports(plant: Plant) { plant.check(Layering.imports(SwiftFile(plant.path, plant.source))) }

  // MARK: sizes

  private static func lines(_ count: Int, _ line: String = "a\n") -> String { String(repeating: line, count: count) }

  @Test(
    "Sizes of files and lines",
    arguments: [
      Plant(source: lines(600)),
      Plant(source: lines(601), finds: ["1: 601 lines"]),
      Plant(source: lines(601), path: "bench/run.py", finds: ["1: 601 lines"]),
      Plant(source: lines(601), path: "README.md"),
      Plant(source: lines(601), path: "Tests/Fuzz/Corpus/a.lua"),
      Plant(source: "a\n" + lines(120, "x")),
      Plant(source: "a\n" + lines(120, "é")),
      Plant(source: "a\n" + lines(121, "x"), finds: ["2: 121 columns"]),
      Plant(source: lines(121, "x"), path: "policies/auth.lua", finds: ["1: 121 columns"]),
      Plant(source: lines(121, "x"), path: "docs/decisions.md"),
    ])
  func textSizes(plant: Plant) { plant.check(Sizes.findings(TextFile(path: plant.path, text: plant.source))) }

  @Test(
    "Sizes of functions",
    arguments: [
      Plant(source: "func f() {\n" + lines(68) + "}"),
      Plant(source: "func f() {\n" + lines(69) + "}", finds: ["1: f has 71 lines"]),
      Plant(source: "struct S {\n  init() {\n" + lines(69) + "  }\n}", finds: ["2: init has 71 lines"]),
      Plant(source: "struct S {\n  var v: Int {\n" + lines(69) + "  }\n}", finds: ["2: v has 71 lines"]),
      Plant(source: "let table = [\n" + lines(99, "1,\n") + "]"),
      Plant(source: "struct S {\n" + lines(99, "  func f() {}\n") + "}"),
    ])
  func functionSizes(plant: Plant) { plant.check(Sizes.findings(SwiftFile(plant.path, plant.source))) }

  @Test(
    "Sizes of functions in scripts",
    arguments: [
      Plant(source: "def f(\n    a,\n):\n" + lines(67, "    a\n") + "b\n", path: "a.py"),
      Plant(source: "def f(\n    a,\n):\n" + lines(68, "    a\n") + "b\n", path: "a.py", finds: ["1: f has 71 lines"]),
      Plant(source: "class A:\n  async def g(self):\n" + lines(70, "    a\n\n"), path: "a.py", finds: ["2: g has"]),
      Plant(source: "local function f()\n" + lines(68, "  a()\n") + "end\n", path: "a.lua"),
      Plant(source: "local function f()\n" + lines(69, "  a()\n") + "end\n", path: "a.lua", finds: ["1: f has 71"]),
      Plant(source: "M.f = function()\n" + lines(69, "  a()\n") + "end\n", path: "a.lua", finds: ["1: M.f has 71"]),
      Plant(source: "f() {\n" + lines(68, "  a\n") + "}\n", path: "a.sh"),
      Plant(source: "f() {\n" + lines(69, "  a\n") + "}\n", path: "a.sh", finds: ["1: f has 71"]),
    ])
  func scriptSizes(plant: Plant) { plant.check(Sizes.findings(TextFile(path: plant.path, text: plant.source))) }

  @Test("Sizes in bytes")
  func bytes() {
    let found = PlainText.findings(sizes: ["a": 1 << 20, "b": (1 << 20) + 1])
    #expect(found.map(\.path) == ["b"])
  }

  // MARK: banned

  @Test(
    "Banned Swift",
    arguments: [
      Plant(source: "let a = try? f()\nlet b = c as? D\nlet e = g?.h ?? !i"),
      Plant(source: "let a = try! f()", finds: ["1: try!"]),
      Plant(source: "let a = b as! C", finds: ["1: as!"]),
      Plant(source: "\nlet a = b!", finds: ["2: a forced unwrap traps on what it did not expect: let a = b!"]),
      Plant(source: "let a = b!", path: "Tests/EdgeTests/A.swift", finds: ["1: a forced unwrap"]),
      Plant(source: "var a: B!", finds: ["1: a forced unwrap"]),
      Plant(source: "f { fatalError() }", finds: ["1: fatalError"]),
      Plant(source: "guard a else { preconditionFailure(\"b\") }", finds: ["1: preconditionFailure"]),
      Plant(source: "print(1)", finds: ["1: print"]),
      Plant(source: "print(1)", path: "Sources/Edge/Command/Version.swift"),
      Plant(source: "a.print(1)\nfunc print(_ a: Int) {}\n// print(1)"),
      Plant(source: "struct PoolManager {}", finds: ["1: PoolManager"]),
      Plant(source: "func parseHelper() {}", finds: ["1: Helper"]),
      Plant(source: "enum HTTPUtils {}", finds: ["1: Utils"]),
      Plant(source: "struct A { var help_util = 1 }", finds: ["1: util"]),
      Plant(source: "struct Utility {}\nlet managed = 1\nextension FileManager {}"),
      Plant(source: "struct A: @unchecked Sendable {}", finds: ["1: @unchecked"]),
      Plant(source: "// One.\nstruct A: @unchecked Sendable {}", finds: ["2: @unchecked"]),
      Plant(source: "// Only the worker's thread touches it.\nstruct A: @unchecked Sendable {}"),
      Plant(source: "struct A: @unchecked Sendable {}  // Written before threads start."),
      Plant(source: "nonisolated(unsafe) let a = b", finds: ["1: nonisolated(unsafe)"]),
      Plant(source: "/// Never written after start.\nnonisolated(unsafe) let a = b"),
      Plant(source: "nonisolated func f() {}"),
    ])
  func banned(plant: Plant) { plant.check(Banned.findings(SwiftFile(plant.path, plant.source))) }

  // MARK: documentation

  private static let header = "// Owns this.\n// Called by that.\n\n"

  @Test(
    "Headers and doc comments",
    arguments: [
      Plant(source: header + "import Glibc"),
      Plant(source: "import Glibc", finds: ["1: 0 header lines"]),
      Plant(source: "// One.\nimport Glibc", finds: ["1: 1 header lines"]),
      Plant(source: "/// One.\n/// Two.\nstruct A {}", finds: ["1: 0 header lines"]),
      Plant(source: "\n" + header, finds: ["1: 0 header lines"]),
      Plant(source: lines(21, "// A.\n"), finds: ["1: 21 header lines"]),
      Plant(source: "import Glibc", path: "Tests/EdgeTests/A.swift"),
      Plant(source: header + "struct A {}", finds: ["4: A has no doc comment"]),
      Plant(source: header + "// Plain.\nenum A {}", finds: ["5: A"]),
      Plant(source: header + "/// Doc.\nenum A {}"),
      Plant(source: header + "/** Doc. */\n@frozen\npublic enum A {}"),
      Plant(source: header + "/// Doc.\n// Plain.\nprotocol A {}"),
      Plant(source: header + "typealias A = Int", finds: ["4: A"]),
      Plant(source: header + "private struct A {}\nfileprivate struct B {}"),
      Plant(source: header + "func f() {}\nlet a = 1"),
      Plant(source: header + "public func f() {}", finds: ["4: f"]),
      Plant(source: header + "/// Doc.\nstruct A {\n  struct B {}\n  public init() {}\n}", finds: ["7: init"]),
      Plant(source: header + "extension A {\n  public var description: String { b }\n}"),
      Plant(source: header + "extension A {\n  public static func f() {}\n}", finds: ["5: f"]),
    ])
  func documentation(plant: Plant) { plant.check(Documentation.findings(SwiftFile(plant.path, plant.source))) }
}
