// The reference page of what scripts may call.

import Foundation
import LuaBridge
import Testing

@testable import Edge

@Suite struct PolicyReferenceTests {
  /// The committed page is the one the rows give.
  @Test func hasNotDrifted() throws {
    let path = Fixture.repository + "/docs/policies-reference.md"
    let text = PolicyReference.markdown()
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
    let committed = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text == committed, "\(LineDiff.text(committed, text))")
  }

  /// Every row is shown under its own name, and every code once.
  @Test func namesEverything() {
    let text = PolicyReference.markdown()
    for row in HostTable.functions {
      #expect(row.usage.hasPrefix(row.name) && text.contains("| `\(row.name)"), "\(row.name)")
    }
    for object in HostTable.objects {
      for field in object.fields { #expect(text.contains("| `\(object.name).\(field.name)"), "\(field.name)") }
    }
    for method in HostTable.classes.flatMap(\.methods) { #expect(text.contains(":\(method.name)("), "\(method.name)") }
    for row in TestAPI.functions { #expect(text.contains("| `t.\(row.name)("), "\(row.name)") }
    for row in TestAPI.methods { #expect(text.contains("| `policy:\(row.name){"), "\(row.name)") }
    for row in ErrorRow.table {
      #expect(text.components(separatedBy: "| `\(row.name)` |").count == 2, "\(row.name)")
    }
  }

  /// What the page says beside the rows is there for scripts: loading asks for each of it.
  @Test func ownRowsAreThere() throws {
    #expect(TestAPI.prelude.contains("function t.fails(what, part)"))
    let lua = try #require(LuaMachine(limits: LuaLimits(sliceTicks: 50, exchangeTicks: 50), context: nil))
    defer { lua.close() }
    let clock = try #require(LuaClock())
    defer { clock.end() }
    lua.use(clock)
    let script = "assert(edge.json.null ~= nil and type(edge.json.array()) == 'table')\nreturn {}\n"
    _ = try lua.load(name: "own.lua", source: Array(script.utf8))
  }
}
