import Testing

@testable import Edge

/// Edits in memory of their own.
private final class Bench {
  private let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: HeaderEdits.bytesMax)
  var edits: HeaderEdits

  init() { edits = HeaderEdits(base: memory) }
  deinit { memory.deallocate() }

  @discardableResult
  func set(_ name: String, _ value: String?) -> Bool {
    Array(name.utf8).withUnsafeBufferPointer { name in
      guard let value else { return edits.set(name, nil) }
      return Array(value.utf8).withUnsafeBufferPointer { edits.set(name, $0) }
    }
  }

  /// nil: nothing was set; "" with `removed`: the field goes.
  func find(_ name: String) -> (value: String, removed: Bool)? {
    Array(name.utf8).withUnsafeBufferPointer { name in
      edits.find(name).map { edit in
        let bytes = UnsafeBufferPointer(start: edit.value, count: edit.valueCount)
        return (String(decoding: bytes, as: UTF8.self), edit.value == nil)
      }
    }
  }

  var lines: String { text { $0.append(self.edits) } }
}

struct HeaderEditsTests {
  @Test func setsReplacesAndRemoves() {
    let bench = Bench()
    #expect(bench.edits.isEmpty && bench.find("x") == nil)
    bench.set("X-User-Id", "ann")
    bench.set("x-b", "")
    bench.set("x-c", nil)
    #expect(bench.lines == "x-user-id: ann\r\nx-b: \r\n")
    #expect(bench.find("x-USER-id")?.value == "ann" && bench.find("X-C")?.removed == true)
    bench.set("X-USER-ID", "bob")
    #expect(bench.lines == "x-b: \r\nx-user-id: bob\r\n")
    bench.set("x-user-id", nil)
    #expect(bench.lines == "x-b: \r\n" && bench.find("x-user-id")?.removed == true)
  }

  @Test func areKeptAndTakenOver() {
    let (first, second) = (Bench(), Bench())
    first.set("x-a", "1")
    first.set("x-b", nil)
    second.set("x-old", "2")
    second.edits.restore(first.edits.base, first.edits.count)
    #expect(second.lines == "x-a: 1\r\n" && second.find("x-b")?.removed == true && second.find("x-old") == nil)
  }

  @Test func haveALimit() {
    let bench = Bench()
    var set = 0
    while bench.set("x-\(set)", String(repeating: "v", count: 100)) { set += 1 }
    #expect(set > 60 && set < 90)
    // What is there can still be replaced by less.
    #expect(bench.set("x-0", "small") && bench.find("x-0")?.value == "small")
    #expect(!bench.set(String(repeating: "n", count: 256), "v"))
  }
}
