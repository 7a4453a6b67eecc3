import Foundation
import Testing

@testable import Edge

@Suite struct JSONReaderTests {
  private func read(_ text: String) throws -> JSONSample {
    let sample = JSONSample(text)
    try #require(sample.fault() == nil)
    #expect(sample.isConsistent)
    return sample
  }

  private func number(_ literal: String) throws -> JSONNumber? {
    let sample = try read("[\(literal)]")
    return sample.document.number(1)
  }

  // MARK: structure

  @Test func nodesStandInOrder() throws {
    let sample = try read(" {\"a\" : [1, {\"b\": null}, \"x\"], \"c\": {}, \"d\": [ ], \"e\": true} ")
    let kinds = (0..<sample.document.count).map { sample.document.kind($0) }
    #expect(
      kinds == [
        .map, .string, .list, .number, .map, .string, .null, .string, .string, .map, .string, .list, .string, .true,
      ]
    )
    #expect(
      String(decoding: sample.outline(), as: UTF8.self) == "{\"a\":[1,{\"b\":null},\"x\"],\"c\":{},\"d\":[],\"e\":true}"
    )
    #expect(sample.document[0].members == 4)
    #expect(sample.document[2].members == 3)
    #expect(String(decoding: sample.document.raw(2), as: UTF8.self) == "[1, {\"b\": null}, \"x\"]")
    #expect(Array(sample.document.elements(of: 0)) == [])
    #expect(sample.document.pairs(of: 2).map(\.key) == [])
  }

  @Test(
    arguments: [
      ("", .unfinished, 0), ("  ", .unfinished, 2), ("[", .unfinished, 1), ("[1", .unfinished, 2),
      ("[1,", .unfinished, 3),
      ("{\"a\"", .unfinished, 4), ("\"ab", .unfinished, 3), ("\"\\", .unfinished, 2), ("\"\\u12", .unfinished, 5),
      ("tru", .unfinished, 3), ("-", .unfinished, 1), ("1.", .unfinished, 2), ("1e+", .unfinished, 3),
      ("[1 2]", .unexpectedByte, 3), ("[1,]", .unexpectedByte, 3), ("{1:2}", .unexpectedByte, 1),
      ("{\"a\" 1}", .unexpectedByte, 5), ("{\"a\":1,}", .unexpectedByte, 7), ("[1}", .unexpectedByte, 2),
      ("trux", .unexpectedByte, 3), ("True", .unexpectedByte, 0), ("NaN", .unexpectedByte, 0),
      ("+1", .unexpectedByte, 0), ("01", .badNumber, 1), ("1.e1", .badNumber, 2), ("-a", .badNumber, 1),
      ("1 1", .trailingBytes, 2), ("1\u{0}", .trailingBytes, 1), ("{}]", .trailingBytes, 2),
      ("\"a\nb\"", .controlCharacter, 2), ("\"\\x\"", .badEscape, 1), ("\"\\u12g4\"", .badEscape, 1),
      ("\"\\ud800\"", .loneSurrogate, 1), ("\"\\udc00\\ud800\"", .loneSurrogate, 1),
      ("\"\\ud800\\u0041\"", .loneSurrogate, 1), ("\u{feff}1", .byteOrderMark, 0), ("[\u{e9}]", .unexpectedByte, 1),
    ] as [(String, JSONFault.Reason, Int)])
  func fault(_ text: String, _ reason: JSONFault.Reason, _ offset: Int) {
    #expect(JSONSample(text).fault() == JSONFault(reason: reason, offset: offset))
  }

  @Test func everyReasonHasItsText() {
    let texts = (0...10).compactMap { JSONFault.Reason(rawValue: $0) }.map {
      "\(JSONFault(reason: $0, offset: 0).text)"
    }
    #expect(Set(texts).count == 11)
  }

  @Test func depthIsBounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
      func nested(_ depth: Int) -> String {
        String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
      }
      #expect(JSONSample(nested(100)).fault() == nil)
      #expect(JSONSample(nested(101)).fault()?.reason == .tooDeep)
      #expect(JSONSample(nested(3)).fault(depthMax: 3) == nil)
      #expect(JSONSample(nested(4)).fault(depthMax: 3)?.reason == .tooDeep)
      #expect(JSONSample("1").fault(depthMax: 0) == nil)
    }
    // Depth is what is open at a time.
    #expect(
      JSONSample("[" + [String](repeating: "[]", count: 500).joined(separator: ",") + "]").fault(depthMax: 2) == nil)
  }

  @Test func nodesAreBounded() {
    let list = "[" + [String](repeating: "1", count: 99).joined(separator: ",") + "]"
    #expect(JSONSample(list).fault(nodesMax: 100) == nil)
    #expect(JSONSample(list).fault(nodesMax: 99)?.reason == .tooLarge)
  }

  @Test func aDocumentIsUsedAgain() throws {
    let document = JSONDocument(capacity: 2)
    let long = JSONSample("[" + [String](repeating: "{\"k\":1}", count: 300).joined(separator: ",") + "]")
    let short = JSONSample("[true]")
    for _ in 0..<3 {
      try document.read(long.area.base, long.area.count)
      #expect(document.count == 901)
      try document.read(short.area.base, short.area.count)
      #expect(document.count == 2)
      #expect(document.kind(1) == .true)
      document.reset()
      #expect(document.count == 0)
    }
    let broken = JSONSample("[1,")
    #expect(throws: JSONFault.self) { try document.read(broken.area.base, broken.area.count) }
    #expect(document.count == 0)
  }

  /// Every beginning of a text is no text, and reading it looks at no byte behind it (the sanitizer would see).
  @Test func everyBeginningIsRefused() {
    let text =
      "{\"a\\u00e9\\ud83d\\ude00\u{20ac}\":[-1.5e+3,true,false,null,\"\\n\u{1f600}\",{\"long key, plain\":{}}]}"
    let bytes = Array(text.utf8)
    #expect(JSONSample(bytes).fault() == nil)
    for count in 0..<bytes.count {
      let fault = JSONSample(Array(bytes[..<count])).fault()
      #expect(fault?.reason == .unfinished || fault?.reason == .notUTF8)
    }
  }

  /// Changed texts are refused or read consistently, and Foundation refuses no text that is accepted.
  @Test func changedTexts() throws {
    var generator = SeededGenerator(seed: 11)
    let text =
      "{\"sub\":\"u\\u0031\",\"roles\":[\"a\",\"b\"],\"exp\":17e8,\"n\":{\"x\":[1,-2.5,null,true]},\"é\":\"\\\"\"}"
    var accepted = 0
    for _ in 0..<20_000 {
      var bytes = Array(text.utf8)
      for _ in 0...generator.below(2) {
        let place = generator.below(bytes.count)
        switch generator.below(4) {
        case 0: bytes.remove(at: place)
        case 1:
          bytes.insert(Array("{}[],:\"\\019.eE-+tfn \u{e9}".utf8).randomElement(using: &generator) ?? 0, at: place)
        default: bytes[place] ^= 1 << UInt8(generator.below(8))
        }
      }
      let sample = JSONSample(bytes)
      guard sample.fault() == nil else { continue }
      accepted += 1
      #expect(sample.isConsistent)
      if accepted % 16 == 0 {
        let other = try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
        #expect(other != nil, "\(String(decoding: bytes, as: UTF8.self))")
      }
    }
    #expect(accepted > 1_000)
  }

  // MARK: keys

  @Test func lookUp() throws {
    let sample = try read("{\"a\":1,\"b\\u0063\":2,\"a\":3,\"\":4,\"\\u0064\":5,\"d\":6,\"n\":{\"x\":7},\"y\\\\z\":8}")
    let document = sample.document
    func lookUp(_ key: StaticString) -> String {
      switch document.value(of: key, in: 0) {
      case .missing: "missing"
      case .duplicate: "duplicate"
      case .found(let node): String(decoding: document.raw(node), as: UTF8.self)
      }
    }
    #expect(lookUp("a") == "duplicate")
    #expect(lookUp("bc") == "2")
    #expect(lookUp("b") == "missing")
    #expect(lookUp("bcd") == "missing")
    #expect(lookUp("b\\u0063") == "missing")
    #expect(lookUp("") == "4")
    #expect(lookUp("d") == "duplicate")
    #expect(lookUp("x") == "missing")
    #expect(lookUp("n") == "{\"x\":7}")
    #expect(lookUp("y\\z") == "8")
    #expect(document.value(of: StaticBytes("bc"), in: 0) == document.value(of: "bc", in: 0))
    let list = try read("[\"a\"]")
    #expect(list.document.value(of: "a", in: 0) == .missing)
  }

  @Test(arguments: [
    ("{}", false), ("{\"a\":1}", false), ("{\"a\":1,\"b\":{\"a\":1}}", false), ("{\"a\":1,\"b\":2,\"a\":3}", true),
    ("{\"a\":1,\"\\u0061\":2}", true), ("{\"\\u0061\":1,\"\\u0061\":2}", true), ("{\"\\u0061\":{},\"a\":2}", true),
    ("{\"a\":[1,2],\"aa\":[],\"a\\u0061\\u0061\":1}", false),
  ]) func duplicates(_ text: String, _ expected: Bool) throws {
    let sample = try read(text)
    #expect(sample.document.hasDuplicates(in: 0) == expected)
  }

  // MARK: strings

  @Test(arguments: [
    ("", ""), ("plain", "plain"), ("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\u{8}\u{c}\n\r\t"), ("\\u0000", "\0"),
    ("\\u00e9\\u20AC\\ud83d\\ude00", "\u{e9}\u{20ac}\u{1f600}"), ("a\\u0041b\\u0042c", "aAbBc"),
    ("\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}"),
    ("\\ud800\\udc00\\udbff\\udfff", "\u{10000}\u{10ffff}"), ("tail\\\\", "tail\\"),
  ]) func unescape(_ text: String, _ expected: String) throws {
    let sample = try read("[\"\(text)\"]")
    let bytes = Array(expected.utf8)
    #expect(sample.string(1) == bytes)
    #expect(Array(JSONStringBytes(content: sample.document.content(1))) == bytes)
    #expect(sample.document[1].hasEscape == text.contains("\\"))
    let area = ByteArea(bytes)
    #expect(sample.document.isString(1, area.base, bytes.count))
    let longer = ByteArea(bytes + [0x21])
    #expect(!sample.document.isString(1, longer.base, bytes.count + 1))
    if let last = bytes.indices.last {
      #expect(!sample.document.isString(1, area.base, last))
      var changed = bytes
      changed[last] ^= 1
      let other = ByteArea(changed)
      #expect(!sample.document.isString(1, other.base, bytes.count))
    }
  }

  @Test func aSmallAreaOverflows() throws {
    let sample = try read("\"ab\\u00e9cd\"")
    let area = ByteArea([0, 0, 0])
    var writer = ByteWriter(base: area.base, capacity: 3)
    writer.append(unescaped: 0, of: sample.document)
    #expect(writer.overflowed)
  }

  @Test func utf8() {
    var generator = SeededGenerator(seed: 5)
    let alphabet: [[UInt8]] = [
      [0x41], Array("plain text".utf8), Array("é".utf8), Array("€".utf8), Array("😀".utf8), [0x80], [0xc0, 0x80],
      [0xe2, 0x82],
      [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff],
    ]
    var valid = 0
    for _ in 0..<5_000 {
      let choices = generator.below(3) == 0 ? alphabet.count : 5
      let bytes = (0..<generator.below(12)).flatMap { _ in alphabet[generator.below(choices)] }
      let expected = String(validating: bytes, as: UTF8.self) != nil
      valid += expected ? 1 : 0
      let area = ByteArea(bytes)
      #expect(isUTF8(area.base, bytes.count) == expected)
      let quoted = JSONSample([0x22] + bytes + [0x22])
      #expect((quoted.fault() == nil) == expected)
    }
    #expect(valid > 1_000 && valid < 4_900)
  }

  // MARK: numbers

  @Test(
    arguments: [
      ("0", 0), ("-0", 0), ("1", 1), ("-1", -1), ("9223372036854775807", .max), ("-9223372036854775808", .min),
    ] as [(String, Int64)]) func whole(_ literal: String, _ expected: Int64) throws
  {
    #expect(try number(literal) == .integer(expected))
  }

  @Test(arguments: [
    "9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "0.5", "-0.0", "1e0", "1E+2",
    "1.5e-3", "0.1", "0.3", "1e22", "1e23", "9007199254740993", "9007199254740993.0", "1.7976931348623157e308",
    "5e-324",
    "2.2250738585072011e-308", "123456789.123456789", "1e-400", "0e99999", "0.000000000000000000000000000001",
    "100000000000000000000000000e-26",
  ]) func decimal(_ literal: String) throws {
    let expected = try #require(Double(literal))
    let sample = try read(literal)
    #expect(sample.document.double(0)?.bitPattern == expected.bitPattern)
    if literal != "9007199254740993" { #expect(sample.document.number(0) == .double(expected)) }
  }

  @Test(arguments: ["1e309", "-1e309", "1e99999999999999999999"]) func beyond(_ literal: String) throws {
    #expect(try number(literal) == nil)
  }

  @Test func noNumber() throws {
    let sample = try read("[\"1\",true,null,[],{}]")
    for node in sample.document.elements(of: 0) {
      #expect(sample.document.number(node) == nil)
      #expect(sample.document.integer(node) == nil)
    }
  }

  @Test func randomNumbersAsTheLibraryReadsThem() throws {
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<20_000 {
      var literal = generator.below(2) == 0 ? "-" : ""
      literal += String(generator.next() % (generator.below(2) == 0 ? 1_000 : .max))
      if generator.below(3) > 0 { literal += "." + String(generator.next() % (generator.below(2) == 0 ? 1_000 : .max)) }
      if generator.below(3) == 0 { literal += "e" + String(generator.below(640) - 320) }
      let sample = JSONSample(literal)
      #expect(sample.fault() == nil)
      let expected = try #require(Double(literal))
      #expect(sample.document.double(0) == (expected.isFinite ? expected : nil), "\(literal)")
      if let whole = Int64(literal) { #expect(sample.document.integer(0) == whole) }
    }
  }
}
