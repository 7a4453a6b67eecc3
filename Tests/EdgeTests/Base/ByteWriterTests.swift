import Foundation
import Testing

@testable import Edge

struct ByteWriterTests {
  @Test func decimals() {
    var values: [UInt64] = [0, UInt64.max, UInt64.max - 1, UInt64(Int64.max)]
    var power: UInt64 = 1
    for _ in 0..<19 {
      power *= 10
      values += [power - 1, power, power + 1]
    }
    for value in values { #expect(text { $0.append(decimal: value) } == String(value)) }
  }

  @Test func smallDecimals() {
    for value in 0...UInt64(10_100) where text({ $0.append(decimal: value) }) != String(value) {
      Issue.record("\(value)")
    }
  }

  /// However many bytes, they are copied as they are, and nothing beside them is touched.
  @Test func copies() {
    for count in 0...70 {
      let source = ByteArea((0..<70).map { UInt8($0 + 1) })
      let target = ByteArea([UInt8](repeating: 0xee, count: 72))
      copyBytes(target.base + 1, source.base, count)
      let expected = [0xee] + (0..<count).map { UInt8($0 + 1) } + [UInt8](repeating: 0xee, count: 71 - count)
      #expect(Array(UnsafeBufferPointer(start: target.base, count: 72)) == expected, "\(count)")
    }
  }

  @Test func decimalsOfAWidth() {
    #expect(text { $0.append(decimal: 7, width: 3) } == "007")
    #expect(text { $0.append(decimal: 999, width: 3) } == "999")
    #expect(text { $0.append(decimal: 0, width: 1) } == "0")
    #expect(text { $0.append(decimal: 2_026, width: 4) } == "2026")
  }

  @Test func hexadecimals() {
    var values: [UInt64] = [0, UInt64.max]
    for shift in stride(from: UInt64(0), to: 64, by: 4) { values += [1 << shift, 1 << shift - 1, 1 << shift + 1] }
    for value in values { #expect(text { $0.append(hex: value) } == String(value, radix: 16)) }
  }

  /// What fits is written to the last byte; what does not leaves no byte behind and is remembered.
  @Test(arguments: [
    "append(byte)", "append(text)", "append(string)", "lineEnd", "decimal", "decimalWidth", "hex", "advance",
  ])
  func fitsExactly(_ name: String) {
    func write(_ writer: inout ByteWriter) {
      switch name {
      case "append(byte)": writer.append(byte: 0x41)
      case "append(text)": writer.append("abc" as StaticString)
      case "append(string)": writer.append(string: "abcd")
      case "lineEnd": writer.appendLineEnd()
      case "decimal": writer.append(decimal: 12_345)
      case "decimalWidth": writer.append(decimal: 42, width: 5)
      case "hex": writer.append(hex: 0xbeef)
      default: writer.advance(3)
      }
    }
    let whole = written { write(&$0) }
    #expect(!whole.overflowed)
    let size = whole.text.unicodeScalars.count
    let exact = written(capacity: size) { write(&$0) }
    #expect(!exact.overflowed, "\(name) fits in \(size) bytes")
    #expect(exact.text.unicodeScalars.count == size)
    let short = written(capacity: size - 1) { write(&$0) }
    #expect(short.overflowed)
    #expect(short.text.isEmpty)
  }

  @Test func theOverflowStays() {
    let outcome = written(capacity: 4) { writer in
      writer.append("abcdef" as StaticString)
      writer.append("xy" as StaticString)
    }
    #expect(outcome.overflowed)
  }

  @Test func mixedTexts() {
    let bytes = StaticBytes("static")
    let outcome = text { writer in
      writer.append(bytes)
      writer.append(byte: 0x20)
      writer.append(string: "häß")
      writer.appendLineEnd()
    }
    #expect(outcome == latin(Array("static häß\r\n".utf8)))
  }

  // MARK: JSON

  private func escaped(_ bytes: [UInt8]) -> String {
    let area = ByteArea(bytes)
    return text { $0.append(jsonEscaped: area.base, area.count) }
  }

  private func parsed(_ bytes: [UInt8]) throws -> String? {
    let json = Data(raw("[\"" + escaped(bytes) + "\"]"))
    return (try JSONSerialization.jsonObject(with: json) as? [String])?.first
  }

  @Test func escapesOfEveryASCIIByte() throws {
    for byte in UInt8(0)..<0x80 {
      #expect(try parsed([byte]) == String(Unicode.Scalar(byte)), "byte \(byte)")
    }
    #expect(escaped(raw("a\"b\\c\n\r\t\u{1}\u{7f}/")) == #"a\"b\\c\n\r\t\u0001\u007f/"#)
  }

  /// Unicode 15, table 3-7: the first and last well-formed sequences of each row pass, their neighbours do not.
  @Test func wellFormedSequencesPass() throws {
    let scalars: [UInt32] = [
      0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd000, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x3ffff, 0x40000, 0xfffff,
      0x100000, 0x10ffff,
    ]
    for value in scalars {
      let scalar = try #require(Unicode.Scalar(value))
      let bytes = Array(String(scalar).utf8)
      #expect(escaped(bytes) == latin(bytes), "U+\(String(value, radix: 16))")
      #expect(try parsed(bytes) == String(scalar))
    }
  }

  @Test(
    arguments: [
      [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf],
      [0xe1, 0x80], [0xe1, 0x80, 0x41], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xf0, 0x80, 0x80, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf], [0xf0, 0x90, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xfe],
    ] as [[UInt8]])
  func illFormedSequencesAreReplaced(_ bytes: [UInt8]) throws {
    let result = try #require(try parsed(bytes))
    #expect(result.unicodeScalars.first == "\u{fffd}")
    #expect(result.unicodeScalars.allSatisfy { $0 == "\u{fffd}" || $0 == "A" })
  }

  @Test func randomBytesGiveValidJSON() throws {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<300 {
      let bytes = random.bytes(random.below(60))
      // How many marks stand for a broken run is the writer's choice; everything else must be there.
      let expected = String(decoding: bytes, as: UTF8.self).replacing("\u{fffd}", with: "")
      #expect(try #require(try parsed(bytes)).replacing("\u{fffd}", with: "") == expected)
    }
  }
}
