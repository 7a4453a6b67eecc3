import Testing

@testable import Edge

@Suite struct JSONWriterTests {
  @Test func words() {
    #expect(text { $0.append(json: true) } == "true")
    #expect(text { $0.append(json: false) } == "false")
    #expect(text { $0.appendNull() } == "null")
  }

  @Test(arguments: [0, 1, -1, 42, .max, .min] as [Int64]) func wholeNumbers(_ number: Int64) {
    #expect(text { $0.append(json: number) } == String(number))
  }

  @Test(
    arguments: [
      (0, "0"), (-0.0, "-0"), (1, "1"), (-3, "-3"), (0.1, "0.1"), (0.5, "0.5"), (-1.25, "-1.25"), (100.001, "100.001"),
      (0.001, "0.001"), (3.14159, "3.14159"), (9_007_199_254_740_991, "9007199254740991"), (1e16, "1e+16"),
      (1e300, "1e+300"),
      (.leastNonzeroMagnitude, "5e-324"), (0.1 + 0.2, "0.30000000000000004"), (1e-7, "1e-07"),
      (1_700_000_000.123, "1700000000.123"),
    ] as [(Double, String)]) func doubles(_ number: Double, _ expected: String)
  {
    #expect(text { $0.append(json: number) } == expected)
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity]) func noNumbers(_ number: Double) {
    var isNumber = true
    #expect(text { isNumber = $0.append(json: number) } == "null")
    #expect(!isNumber)
  }

  /// What is written is JSON, reads back as the same number, and is as short as the standard library's text.
  @Test func doublesComeBack() throws {
    var generator = SeededGenerator(seed: 9)
    for round in 0..<20_000 {
      var number = Double(bitPattern: generator.next())
      if round % 2 == 0 {
        number = Double(generator.below(2_000_000) - 1_000_000) / [1, 10, 100, 1e3, 1e6][generator.below(5)]
      }
      guard number.isFinite else { continue }
      let literal = written(capacity: 40) { $0.append(json: number) }.text
      let sample = JSONSample(literal)
      #expect(sample.fault() == nil)
      #expect(sample.document.double(0)?.bitPattern == number.bitPattern, "\(literal)")
      #expect(literal.count <= number.description.count)
    }
  }

  @Test func strings() {
    let bytes = Array("plain \"q\" \\ \n\u{1} é 😀 /".utf8) + [0xff] + Array("x".utf8) + [0xe2, 0x82]
    let area = ByteArea(bytes)
    let expected = raw("\"plain \\\"q\\\" \\\\ \\n\\u0001 ") + Array("é 😀 /".utf8) + raw("\\ufffdx\\ufffd\\ufffd\"")
    #expect(text { $0.append(json: area.base, bytes.count) } == latin(expected))
    #expect(text { $0.append(json: "a\"b") } == "\"a\\\"b\"")
    #expect(text { $0.append(json: area.base, 0) } == "\"\"")
  }

  @Test func aMap() {
    let map = text {
      var isFirst = true
      $0.append(byte: 0x7b)
      $0.separate(&isFirst)
      $0.append(jsonKey: "a")
      $0.append(json: Int64(1))
      $0.separate(&isFirst)
      $0.append(jsonKey: "b")
      $0.append(json: 0.5)
      $0.append(byte: 0x7d)
    }
    #expect(map == "{\"a\":1,\"b\":0.5}")
  }

  @Test func overflow() {
    #expect(written(capacity: 4) { $0.append(json: 0.123) }.overflowed)
    #expect(written(capacity: 7) { $0.append(json: "abcdef") }.overflowed)
    #expect(!written(capacity: 8) { $0.append(json: "abcdef") }.overflowed)
  }
}
