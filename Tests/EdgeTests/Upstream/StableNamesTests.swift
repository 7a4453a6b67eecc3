import Testing

@testable import Edge

/// The names behind a reference, so that a call can stand within an expectation.
private final class Register {
  private var names: StableNames
  init(capacity: Int) { names = StableNames(capacity: capacity) }
  func claim(_ name: String) -> Handle? { names.claim(name) }
  @discardableResult func release(_ name: String) -> Bool { names.release(name) }
  subscript(name: String) -> Handle? { names[name] }
}

struct StableNamesTests {
  @Test func aNameKeepsItsHandleWhileItIsUsed() throws {
    let names = Register(capacity: 4)
    let first = try #require(names.claim("a"))
    let other = try #require(names.claim("b"))
    #expect(first.index != other.index)
    #expect(names.claim("a") == first, "one more user")
    #expect(names["a"] == first && names["b"] == other && names["c"] == nil)
    #expect(!names.release("a"), "one user is left")
    #expect(names["a"] == first)
    #expect(names.release("a"))
    #expect(names["a"] == nil && names["b"] == other)
  }

  @Test func aFreedPlaceHasANewSerial() throws {
    let names = Register(capacity: 1)
    let first = try #require(names.claim("a"))
    #expect(first.serial != 0, "workers take 0 for a place that nobody has owned")
    names.release("a")
    let second = try #require(names.claim("b"))
    names.release("b")
    let third = try #require(names.claim("a"))
    #expect([first.index, second.index, third.index] == [0, 0, 0])
    #expect(Set([first.serial, second.serial, third.serial]).count == 3)
  }

  @Test func placesRunOut() throws {
    let names = Register(capacity: 2)
    let first = try #require(names.claim("a"))
    #expect(names.claim("b") != nil)
    #expect(names.claim("c") == nil)
    #expect(names["c"] == nil)
    #expect(names.claim("a") == first, "a name in use needs no place")
    #expect(names.release("b"))
    #expect(names.claim("c")?.index == 1)
    #expect(names.claim("d") == nil)
    #expect(Register(capacity: 0).claim("a") == nil)
  }

  @Test func whatIsNotUsedCannotBeReleased() throws {
    let names = Register(capacity: 2)
    #expect(!names.release("a"))
    _ = names.claim("a")
    #expect(names.release("a"))
    #expect(!names.release("a"))
    // A second release that counted would have freed the place twice.
    let handles = [try #require(names.claim("a")), try #require(names.claim("b"))]
    #expect(Set(handles.map(\.index)) == [0, 1])
    #expect(names.claim("c") == nil)
  }

  /// Whatever comes and goes: names in use never share a place, and no handle comes twice.
  @Test func handlesAreNeverAmbiguous() {
    var random = SeededGenerator(seed: 7)
    let capacity = 8
    let names = Register(capacity: capacity)
    var uses: [String: Int] = [:]
    var owners: [UInt64: Int] = [:]
    var lives = 0
    for _ in 0..<20_000 {
      let name = "n\(random.below(12))"
      if random.below(2) == 0 {
        let isNew = uses[name] == nil
        guard let handle = names.claim(name) else {
          if !isNew || uses.count < capacity { Issue.record("no place for \(name) of \(uses)") }
          continue
        }
        if isNew {
          lives += 1
          if uses.count >= capacity { Issue.record("more names than places") }
          if let owner = owners.updateValue(lives, forKey: handle.bits) { Issue.record("handle of life \(owner)") }
        }
        uses[name, default: 0] += 1
      } else {
        let isLast = uses[name] == 1
        if names.release(name) != isLast { Issue.record("released \(name) with \(uses[name] ?? 0)") }
        if let count = uses[name] { uses[name] = count == 1 ? nil : count - 1 }
      }
      let indices = uses.keys.compactMap { names[$0]?.index }
      if Set(indices).count != uses.count { Issue.record("\(uses.count) names at \(indices)") }
      if !indices.allSatisfy({ (0..<Int32(capacity)).contains($0) }) { Issue.record("\(indices)") }
    }
  }
}
