// `edge.kv`: what is kept, for whom and how long; every argument that is refused. The clock stands still until a test
// moves it.

import Testing

@testable import Edge

@Suite("edge: kv") struct KeyValueAPITests {
  private static let second: UInt64 = 1_000_000_000

  private func bench(_ stores: PolicyStores? = nil) throws -> PolicyBench {
    let bench = try PolicyBench.runner(stores: stores)
    bench.machine.host.stoppedNanoseconds = 1_000 * KeyValueAPITests.second
    return bench
  }

  private func pass(_ seconds: Double, _ bench: PolicyBench) {
    bench.machine.host.stoppedNanoseconds? += UInt64(seconds * 1e9)
  }

  static let values: [(String, String)] = [
    ("edge.kv.set('k', 'v') return edge.kv.get('k')", "'v'"), ("return (edge.kv.get('k'))", "nil"),
    ("edge.kv.set('k', '') return edge.kv.get('k')", "''"),
    ("edge.kv.set('k', 'a\\0b\\xff') return #edge.kv.get('k')", "4"),
    ("edge.kv.set('k\\0a', '1') edge.kv.set('k\\0b', '2') return edge.kv.get('k\\0a'), (edge.kv.get('k'))", "'1', nil"),
    ("edge.kv.set('k', 'v') edge.kv.set('k', 'w') return edge.kv.get('k')", "'w'"),
    ("edge.kv.set('k', 'long text') edge.kv.set('k', 's') return edge.kv.get('k')", "'s'"),
    ("edge.kv.set('k', 'v') edge.kv.delete('k') return (edge.kv.get('k'))", "nil"), ("return edge.kv.delete('k')", ""),
    ("return edge.kv.set('k', 'v')", ""), ("edge.kv.set('K', 'v') return (edge.kv.get('k'))", "nil"),
    ("edge.kv.set(('k'):rep(256), 'v') return edge.kv.get(('k'):rep(256))", "'v'"),
    ("edge.kv.set('k', ('v'):rep(65536)) return #edge.kv.get('k')", "65536"),
    ("return edge.kv.add('n', 1), edge.kv.add('n', 2), edge.kv.get('n')", "1, 3, '3'"),
    ("return edge.kv.add('n', -5), edge.kv.add('n', 0), edge.kv.get('n')", "-5, -5, '-5'"),
    ("edge.kv.set('n', '41') return edge.kv.add('n', 1)", "42"),
    ("edge.kv.set('n', '-1') return edge.kv.add('n', 1)", "0"),
    ("return edge.kv.add('n', 3.0)", "3"), ("return math.type(edge.kv.add('n', 3.0))", "'integer'"),
    ("return edge.kv.add('n', math.maxinteger), edge.kv.add('n', math.mininteger)", "9223372036854775807, -1"),
    ("edge.kv.add('n', 1) edge.kv.delete('n') return edge.kv.add('n', 1)", "1"),
    ("edge.kv.set('a', 'v', 5) edge.kv.set('b', 'v', 0.5) edge.kv.set('c', 'v', nil) return edge.kv.get('b')", "'v'"),
  ]

  @Test(arguments: values) func kept(_ code: String, _ expected: String) throws {
    #expect(try bench().run(code) == expected)
  }

  private static func keyFault(_ function: String) -> String {
    "error: edge.kv.\(function) takes a key: a string of 1 to 256 bytes"
  }
  private static let timeFault = "error: the time to keep a value must be above 0"
  private static let numberFault = "error: what is kept under the key is no whole number"

  static let refused: [(String, String)] = [
    ("edge.kv.set('k')", "error: edge.kv keeps strings; encode the value first"),
    ("edge.kv.set('k', nil)", "error: edge.kv keeps strings; encode the value first"),
    ("edge.kv.set('k', 5)", "error: edge.kv keeps strings; encode the value first"),
    ("edge.kv.set('k', {})", "error: edge.kv keeps strings; encode the value first"),
    ("edge.kv.set('k', true)", "error: edge.kv keeps strings; encode the value first"),
    ("edge.kv.set('k', ('v'):rep(65537))", "error: the value is longer than 64 KiB"),
    ("edge.kv.set('k', 'v', 0)", timeFault), ("edge.kv.set('k', 'v', -1)", timeFault),
    ("edge.kv.set('k', 'v', 0/0)", timeFault),
    ("edge.kv.set('k', 'v', 1/0)", timeFault), ("edge.kv.set('k', 'v', '5')", timeFault),
    ("edge.kv.set('k', 'v', true)", timeFault),
    ("edge.kv.set('k', 'v', {})", timeFault), ("edge.kv.add('k', 1, 0)", timeFault),
    ("edge.kv.add('k', 1, '5')", timeFault),
    ("edge.kv.add('k')", "error: edge.kv.add adds whole numbers"),
    ("edge.kv.add('k', '1')", "error: edge.kv.add adds whole numbers"),
    ("edge.kv.add('k', 1.5)", "error: edge.kv.add adds whole numbers"),
    ("edge.kv.add('k', 0/0)", "error: edge.kv.add adds whole numbers"),
    ("edge.kv.add('k', 1e300)", "error: edge.kv.add adds whole numbers"),
    ("edge.kv.add('k', true)", "error: edge.kv.add adds whole numbers"),
    ("edge.kv.set('k', 'v') edge.kv.add('k', 1)", numberFault),
    ("edge.kv.set('k', '') edge.kv.add('k', 1)", numberFault),
    ("edge.kv.set('k', '1.0') edge.kv.add('k', 1)", numberFault),
    ("edge.kv.set('k', ' 1') edge.kv.add('k', 1)", numberFault),
    ("edge.kv.set('k', '+1') edge.kv.add('k', 1)", numberFault),
    ("edge.kv.set('k', '9223372036854775808') edge.kv.add('k', 1)", numberFault),
    ("edge.kv.add('k', math.maxinteger) edge.kv.add('k', 1)", "error: the sum is too large"),
    ("edge.kv.add('k', math.mininteger) edge.kv.add('k', -1)", "error: the sum is too large"),
  ]

  @Test(arguments: refused) func argumentsThatAreRefused(_ code: String, _ message: String) throws {
    #expect(try bench().run(code) == message)
  }

  @Test(arguments: ["", "nil", "''", "5", "{}", "true", "('k'):rep(257)", "edge.json.null", "req"])
  func keysThatAreRefused(_ key: String) throws {
    let bench = try bench()
    #expect(try bench.run("return edge.kv.get(\(key))") == KeyValueAPITests.keyFault("get"))
    #expect(try bench.run("return edge.kv.delete(\(key))") == KeyValueAPITests.keyFault("delete"))
    if key.isEmpty { return }
    #expect(try bench.run("edge.kv.set(\(key), 'v')") == KeyValueAPITests.keyFault("set"))
    #expect(try bench.run("return edge.kv.add(\(key), 1)") == KeyValueAPITests.keyFault("add"))
  }

  @Test func whatFailedChangesNothing() throws {
    let bench = try bench()
    #expect(
      try bench.run(
        "edge.kv.set('k', 'v') pcall(edge.kv.set, 'k', 5) pcall(edge.kv.set, 'k', 'w', -1) pcall(edge.kv.add, 'k', 1) "
          + "return edge.kv.get('k')") == "'v'")
    #expect(
      try bench.run(
        "edge.kv.add('n', math.maxinteger) pcall(edge.kv.add, 'n', 1) return edge.kv.get('n')")
        == "'9223372036854775807'")
  }

  // MARK: Time

  @Test func valuesEnd() throws {
    let bench = try bench()
    _ = try bench.run("edge.kv.set('short', 'v', 0.25) edge.kv.set('long', 'v', 10) edge.kv.set('ever', 'v')")
    let all = "return edge.kv.get('short'), edge.kv.get('long'), edge.kv.get('ever')"
    pass(0.2499, bench)
    #expect(try bench.run(all) == "'v', 'v', 'v'")
    pass(0.0001, bench)
    #expect(try bench.run(all) == "nil, 'v', 'v'")
    pass(9.7499, bench)
    #expect(try bench.run(all) == "nil, 'v', 'v'")
    pass(0.0001, bench)
    #expect(try bench.run(all) == "nil, nil, 'v'")
    pass(1e9, bench)
    #expect(try bench.run(all) == "nil, nil, 'v'")
  }

  @Test func settingBeginsAnew() throws {
    let bench = try bench()
    _ = try bench.run("edge.kv.set('k', 'v', 10)")
    pass(6, bench)
    _ = try bench.run("edge.kv.set('k', 'w', 10)")
    pass(6, bench)
    #expect(try bench.run("return edge.kv.get('k')") == "'w'")
    _ = try bench.run("edge.kv.set('k', 'x')")
    pass(60, bench)
    #expect(try bench.run("return edge.kv.get('k')") == "'x'", "without a time it stays")
  }

  /// A counter's time begins with its first number, so that counting does not keep it for ever.
  @Test func countersEnd() throws {
    let bench = try bench()
    let add = "return edge.kv.add('n', 1, 10)"
    #expect(try bench.run(add) == "1")
    pass(6, bench)
    #expect(try bench.run(add) == "2")
    pass(4, bench)
    #expect(try bench.run(add) == "1")
    #expect(try bench.run("return edge.kv.add('n', 1)") == "2")
    pass(10, bench)
    #expect(try bench.run("return (edge.kv.get('n'))") == "nil")
  }

  // MARK: Who shares it

  @Test func machinesShareTheStore() throws {
    let stores = try PolicyStores()
    let (one, two) = (try bench(stores), try bench(stores))
    _ = try one.run("edge.kv.set('k', 'v') edge.kv.add('n', 5)")
    #expect(try two.run("return edge.kv.get('k'), edge.kv.add('n', 1)") == "'v', 6")
    #expect(try bench().run("return (edge.kv.get('k'))") == "nil")
  }

  @Test func fullStores() throws {
    let code = """
      local long, count = ("v"):rep(65536), 0
      local fine, problem
      repeat
        fine, problem = pcall(edge.kv.set, "k" .. count, long)
        count = count + 1
      until not fine or count > 1000
      return count > 200 and count <= 257, problem
      """
    let result = try bench().run(code)
    #expect(result.hasPrefix("true, '") && result.hasSuffix("edge.kv has no room left'"))
  }

  @Test func initMayUseIt() throws {
    let bench = try PolicyBench.runner(start: "edge.kv.set('k', 'from init')")
    #expect(try bench.run("return edge.kv.get('k')") == "'from init'")
  }
}
