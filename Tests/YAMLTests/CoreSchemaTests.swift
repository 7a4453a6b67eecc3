// Readings of scalars under the core schema of YAML 1.2.

import Testing

@testable import YAML

@Suite struct CoreSchemaTests {
  @Test(arguments: [
    ("", CoreValue.null), ("~", .null), ("null", .null), ("Null", .null), ("NULL", .null), ("nULL", .text("nULL")),
    ("true", .boolean(true)), ("True", .boolean(true)), ("TRUE", .boolean(true)), ("false", .boolean(false)),
    ("False", .boolean(false)), ("FALSE", .boolean(false)), ("tRUE", .text("tRUE")),
    ("yes", .text("yes")), ("no", .text("no")), ("on", .text("on")), ("off", .text("off")), ("y", .text("y")),
    ("0", .integer(0)), ("-0", .integer(0)), ("+7", .integer(7)), ("-12", .integer(-12)), ("0777", .integer(777)),
    ("0o17", .integer(15)), ("0x1F", .integer(31)), ("0x", .text("0x")), ("0o8", .text("0o8")), ("0b1", .text("0b1")),
    ("1_000", .text("1_000")), ("9223372036854775807", .integer(Int.max)),
    ("-9223372036854775808", .integer(Int.min)),
    ("9223372036854775808", .float(9_223_372_036_854_775_808)), ("+", .text("+")), ("-", .text("-")),
    ("1.5", .float(1.5)), ("-1.", .float(-1)), (".5", .float(0.5)), ("+.5e2", .float(50)), ("1e3", .float(1000)),
    ("1e", .text("1e")), (".", .text(".")), ("1.2.3", .text("1.2.3")), ("1:30", .text("1:30")),
    (".inf", .float(.infinity)), ("-.INF", .float(-.infinity)), ("inf", .text("inf")), ("nan", .text("nan")),
    ("0x1p3", .text("0x1p3")), ("infinity", .text("infinity")), (" 1", .text(" 1")), ("１", .text("１")),
  ])
  func plain(_ text: String, _ value: CoreValue) {
    #expect(Scalar(text, style: .plain).core == value)
    #expect(Scalar(text, style: .quoted).core == .text(text))
    #expect(Scalar(text, style: .block).core == .text(text))
    #expect(Scalar(text, style: .plain, tag: .str).core == .text(text))
  }

  @Test func notANumber() throws {
    guard case .float(let value) = Scalar(".nan", style: .plain).core else {
      Issue.record("not a float")
      return
    }
    #expect(value.isNaN)
  }

  @Test(arguments: [
    ("12", IntegerReading.value(12)), ("007", .leadingZero), ("-01", .leadingZero), ("00", .leadingZero),
    ("0", .value(0)), ("99999999999999999999", .outOfRange), ("0xFFFFFFFFFFFFFFFFF", .outOfRange), ("1.0", .none),
    ("", .none), ("0o", .none), ("-0x1", .none),
  ])
  func integers(_ text: String, _ reading: IntegerReading) {
    #expect(Scalar(text, style: .plain).integer == reading)
    #expect(Scalar(text, style: .quoted).integer == .none)
    #expect(Scalar(text, style: .quoted, tag: .int).integer == reading)
  }

  @Test func tagsDecide() throws {
    let mapping = try #require(
      try YAMLParser.parse(
        Array("{a: !!str 1, b: !!int \"1\", c: ! true, d: !!float 1, e: !!null '', f: !!bool 'true'}".utf8))?
        .mapping)
    #expect(
      mapping.entries.map { $0.value.scalar?.core } == [
        .text("1"), .integer(1), .text("true"), .float(1), .null, .boolean(true),
      ])
  }
}
