// Parts of the host: text that grows, tables laid out flat, the rules for fields, the rows that scripts see.

import Glibc
import LuaBridge
import Testing

@testable import Edge

@Suite("Policy host: parts") struct HostPartsTests {
  // MARK: Text areas

  @Test(arguments: [1, 4_096, 4_097, 5_000, 16_384, 20_000, 70_000]) func textsGrow(_ bytesMax: Int) throws {
    let area = TextArea(bytesMax: bytesMax)
    for count in [0, 1, 4_095, 4_096, 4_097, 16_384, 16_385, 65_536, 65_537, 70_000, 3] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
      var tries = 0
      let text = area.write { writer in
        tries += 1
        bytes.withUnsafeBufferPointer { writer.append($0.baseAddress ?? StaticBytes.empty.start, count) }
      }
      // There is always room for a small one.
      if count <= bytesMax { #expect(text.map { Array($0) } == bytes) }
      if count > max(4_096, bytesMax) { #expect(text == nil) }
      #expect(tries <= 4)
    }
  }

  /// A large text does not make the next small one cost as much.
  @Test func roomIsGivenBack() throws {
    let area = TextArea(bytesMax: 1 << 20)
    _ = area.write { $0.advance(1 << 20) }
    var room = 0
    _ = area.write { room = $0.room }
    #expect(room == 64 << 10)
  }

  // MARK: Flat values

  @Test func endsOfFlatValues() {
    // {a = [1, {b = {}}], c = []}
    let list: [LuaValue] = [
      .map(2), .string("a"), .list(2), .integer(1), .map(1), .string("b"), .map(0), .string("c"), .list(0),
    ]
    list.withUnsafeBufferPointer { area in
      guard let start = area.baseAddress else { return }
      let values = FlatValues(values: start, count: list.count)
      #expect((0..<list.count).map { values.end(of: $0) } == [9, 2, 7, 4, 7, 6, 7, 8, 9])
      #expect(FlatValues(values: start, count: 5).end(of: 0) == 5, "never beyond what is there")
    }
  }

  @Test func numbersOfValues() {
    #expect(LuaValue.integer(3).anyNumber == 3 && LuaValue.number(0.5).anyNumber == 0.5)
    #expect(LuaValue.string("3").anyNumber == nil && LuaValue.nothing.anyNumber == nil)
    #expect(LuaValue.boolean(true).anyNumber == nil && LuaValue.null.anyNumber == nil)
  }

  /// Whatever fits is written as it is where there is more room; what does not is said, not cut.
  @Test func jsonInAnyRoom() {
    let list: [LuaValue] = [
      .map(2), .string("a\n"), .list(3), .integer(-1), .number(0.5), .null, .string(""), .map(0),
    ]
    let expected = "{\"a\\n\":[-1,0.5,null],\"\":{}}"
    list.withUnsafeBufferPointer { area in
      guard let start = area.baseAddress else { return }
      let values = FlatValues(values: start, count: list.count)
      for capacity in 0...expected.utf8.count + 4 {
        var fault: FlatJSON.Fault?
        let outcome = written(capacity: capacity) { fault = FlatJSON.write(values, at: 0, into: &$0) }
        #expect(fault == nil && outcome.overflowed == (capacity < expected.utf8.count))
        if !outcome.overflowed { #expect(outcome.text == expected) }
      }
    }
  }

  // MARK: Fields

  private let arena: Arena
  private let rules: FieldRules

  init() {
    arena = Arena()
    rules = FieldRules(arena: arena)
  }

  private func withBytes<Result>(_ bytes: [UInt8], _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    let area = ByteArea(bytes)
    return body(UnsafeBufferPointer(start: area.base, count: area.count))
  }

  /// RFC 9110 section 5.6.2.
  @Test func names() {
    let tokens = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
    for byte in UInt8.min...UInt8.max {
      #expect(withBytes([byte], rules.isName) == tokens.contains(byte), "\(byte)")
      #expect(withBytes([0x61, byte, 0x61], rules.isName) == tokens.contains(byte), "\(byte)")
    }
    #expect(!withBytes([], rules.isName))
    #expect(withBytes([UInt8](repeating: 0x61, count: 64), rules.isName))
    #expect(!withBytes([UInt8](repeating: 0x61, count: 65), rules.isName))
  }

  /// RFC 9110 section 5.5.
  @Test func values() {
    for byte in UInt8.min...UInt8.max {
      let isVisible = byte > 0x20 && byte != 0x7f
      #expect(withBytes([byte], rules.isValue) == isVisible, "\(byte)")
      #expect(withBytes([byte, 0x61], rules.isValue) == isVisible, "\(byte)")
      #expect(withBytes([0x61, byte], rules.isValue) == isVisible, "\(byte)")
      let isInner = isVisible || byte == 0x20 || byte == 0x09
      #expect(withBytes([0x61, byte, 0x61], rules.isValue) == isInner, "\(byte)")
    }
    #expect(withBytes([], rules.isValue))
    #expect(withBytes([UInt8](repeating: 0x61, count: 4_096), rules.isValue))
    #expect(!withBytes([UInt8](repeating: 0x61, count: 4_097), rules.isValue))
  }

  @Test func reservedFields() {
    let free: Set<String> = ["authorization", "x-api-key", "cookie"]
    for row in HeaderRow.table where row.header != .other {
      let name = "\(row.name)"
      for spelling in [name, name.uppercased()] {
        #expect(withBytes(Array(spelling.utf8), rules.isReserved) == !free.contains(name), "\(spelling)")
      }
      #expect(!withBytes(Array((name + "x").utf8), rules.isReserved))
      #expect(!withBytes(Array(name.dropLast().utf8), rules.isReserved) || name == "te")
    }
    for name in ["", "x-user-id", "content-type", "set-cookie", "cache-control", "location"] {
      #expect(!withBytes(Array(name.utf8), rules.isReserved))
    }
  }

  // MARK: Rows

  /// Functions stand in their namespaces, each once, and each is shown as it is called.
  @Test func rowsOfScripts() throws {
    let names = HostTable.functions.map(\.name)
    #expect(Set(names).count == names.count)
    for row in HostTable.functions {
      #expect(row.name.hasPrefix("edge.") && row.usage.hasPrefix(row.name) && row.doc.hasSuffix("."))
    }
    let bench = try PolicyBench.runner()
    for name in names { #expect(try bench.run("return type(\(name))") == "'function'") }
    #expect(HostTable.objects[HostObject.request].name == "req")
    #expect(HostTable.objects[HostObject.headers].name == "req.headers")
    #expect(HostTable.objects[HostObject.parameters].name == "req.params")
    #expect(HostTable.objects[HostObject.arguments].name == "req.args")
    #expect(HostTable.objects[HostObject.credential].name == "credential")
    #expect(HostTable.classes[HostClass.limit].name == "limit")
  }

  /// What could reach beyond the machine is not there.
  @Test(arguments: [
    "io", "os", "debug", "package", "require", "dofile", "loadfile", "print", "collectgarbage", "loadstring",
  ])
  func globalsThatAreNotThere(_ name: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return type(\(name))") == "'nil'")
    #expect(try bench.run("return string.dump") == "nil")
  }
}
