// `edge.json`: values to text and back, everything that has no JSON, bounds.

import Foundation
import Testing

@testable import Edge

@Suite("edge: json") struct JSONAPITests {
  // MARK: Encoding

  static let encoded: [(String, String)] = [
    ("", "null"), ("nil", "null"), ("edge.json.null", "null"), ("true", "true"), ("false", "false"), ("0", "0"),
    ("-1", "-1"),
    ("math.maxinteger", "9223372036854775807"), ("math.mininteger", "-9223372036854775808"), ("0.5", "0.5"),
    ("-2.25", "-2.25"),
    ("3.0", "3"), ("0.1", "0.1"), ("1e15", "1000000000000000"), ("-0.0", "-0"), ("1/3", "0.3333333333333333"),
    ("1e300", "1e+300"), ("5e-324", "5e-324"), ("2^53", "9007199254740992.0"), ("1e-7", "1e-07"), ("'3'", "\"3\""),
    ("''", "\"\""),
    ("'\"\\\\/\\b\\f\\n\\r\\t'", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\""),
    ("'\\0\\1\\31\\127'", "\"\\u0000\\u0001\\u001f\u{7f}\""),
    ("'ü\u{20ac}\u{1F600}'", "\"ü\u{20ac}\u{1F600}\""),
    ("'\\u{2028}'", "\"\u{2028}\""), ("{}", "{}"), ("{{}}", "[{}]"),
    ("edge.json.array()", "[]"), ("edge.json.array({})", "[]"), ("edge.json.array({1, 2})", "[1,2]"),
    ("{a = edge.json.array{}}", "{\"a\":[]}"),
    ("{1, 'a', true, {2}, edge.json.null}", "[1,\"a\",true,[2],null]"), ("{a = {b = {1}}}", "{\"a\":{\"b\":[1]}}"),
    ("{['1'] = 2}", "{\"1\":2}"), ("{['\"\\n'] = 1}", "{\"\\\"\\n\":1}"), ("{nil}", "{}"), ("{a = nil}", "{}"),
    ("{[1] = 'a', [2] = 'b'}", "[\"a\",\"b\"]"), ("setmetatable({1}, {__index = {2, 3}})", "[1]"),
    ("setmetatable({}, {__len = function() return 5 end, __pairs = error})", "{}"),
  ]

  @Test(arguments: encoded) func valuesBecomeText(_ value: String, _ text: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.json.encode(\(value))") == "'\(text)'")
  }

  private static let valueFault =
    "error: the value has no JSON: it holds functions, has keys of other kinds, or is too large or deep"
  private static let numberFault = "error: a number is not finite, and JSON has no word for it"
  private static let textFault = "error: a string is not UTF-8, and JSON has no other text"

  static let unencoded: [(String, String)] = [
    ("0/0", numberFault), ("1/0", numberFault), ("-1/0", numberFault), ("{1, {a = 0/0}}", numberFault),
    ("'\\xff'", textFault),
    ("'\\xc3'", textFault), ("'\\xed\\xa0\\x80'", textFault), ("'\\xc0\\x80'", textFault),
    ("{['\\x80'] = 1}", textFault),
    ("{{a = {['\\x80'] = 1}}}", textFault), ("tostring", valueFault), ("{tostring}", valueFault),
    ("coroutine.create(tostring)", valueFault), ("req", valueFault), ("{a = req.headers}", valueFault),
    ("{1, a = 2}", valueFault), ("{[2] = 1}", valueFault), ("{1, nil, 3}", valueFault), ("{[0] = 1}", valueFault),
    ("{[1.5] = 1}", valueFault), ("{[true] = 1}", valueFault), ("{[-1] = 1}", valueFault),
    ("{{}, {[{}] = 1}}", valueFault),
    ("(function() local t = {} t[1] = t return t end)()", valueFault),
  ]

  @Test(arguments: unencoded) func valuesWithoutText(_ value: String, _ message: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.json.encode(\(value))") == message)
    #expect(try bench.run("return edge.json.encode(1)") == "'1'", "nothing is left of it")
  }

  /// What a value says is counted as often as it says it.
  @Test func oneStringManyTimes() throws {
    let bench = try PolicyBench.runner()
    let many = "local s, t = ('v'):rep(100000), {} for i = 1, n do t[i] = s end return #edge.json.encode(t)"
    let tooLong = "error: the JSON is longer than 2 MiB"
    for count in [21, 1_000, 65_000] { #expect(try bench.run("local n = \(count) \(many)") == tooLong) }
    #expect(try bench.run("local n = 20 \(many)") == "2000061")
  }

  // MARK: Decoding

  static let decoded: [(String, String)] = [
    ("null", "null"), ("true", "true"), ("false", "false"), ("0", "0"), ("-0", "0"), ("12", "12"), ("-12", "-12"),
    ("1.5", "1.5"),
    ("1.0", "1.0"), ("1e2", "100.0"), ("1E+2", "100.0"), ("25e-1", "2.5"),
    ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"), ("9223372036854775808", "9.2233720368548e+18"), ("1e400", "inf"),
    ("-1e400", "-inf"), ("1e-400", "0.0"), (" \t\r\n1 ", "1"), ("\"\"", "''"), ("\"a\"", "'a'"),
    (#""\"\\\/\b\f\n\r\t""#, "'\"\\/\u{8}\u{c}\n\r\t'"), (#""\u0041\u00fc\u20AC""#, "'Aü\u{20ac}'"),
    (#""\ud83d\uDE00""#, "'\u{1F600}'"),
    (#""a\u0000b""#, "'a\0b'"), ("\"ü\u{1F600}\"", "'ü\u{1F600}'"), ("[]", "{}"), ("{}", "{}"),
    ("[1,[2,[3]],{}]", "[1, [2, [3]], {}]"),
    ("{\"a\":1,\"b\":[null,{\"c\":\"d\"}]}", "{a: 1, b: [null, {c: 'd'}]}"), ("{\"\":1}", "{: 1}"),
    ("{\"1\":2}", "{1: 2}"),
    (#"{"a\u0062":1}"#, "{ab: 1}"), ("{\"a\":{\"a\":1}}", "{a: {a: 1}}"), ("[{\"a\":1},{\"a\":2}]", "[{a: 1}, {a: 2}]"),
    ("[\"\\n\",\"b\",\"\\t\"]", "['\n', 'b', '\t']"), ("{\"a\":null}", "{a: null}"),
  ]

  @Test(arguments: decoded) func textsBecomeValues(_ text: String, _ value: String) throws {
    let bench = try PolicyBench.runner()
    let literal = luaText(Array(text.utf8))
    #expect(try bench.run("return edge.json.decode(\(literal))") == value)
    #expect(try bench.run("return edge.json.try_decode(\(literal))") == value)
  }

  /// Decimals are exact and for money; whole numbers stay numbers, and so does what is no amount.
  @Test func numbersAsDecimals() throws {
    let bench = try PolicyBench.runner()
    let text = "'[123456789.123456789,1,9223372036854775807,1e-10,-2.5]'"
    #expect(
      try bench.run("return edge.json.encode(edge.json.decode(\(text), 'decimals'))")
        == "'[123456789.123456789,1,9223372036854775807,1e-10,-2.5]'")
    #expect(
      try bench.run(
        "local d = edge.json.decode(\(text), 'decimals') return math.type(d[1]), math.type(d[2]), math.type(d[4])")
        == "nil, 'integer', 'float'")
    #expect(try bench.run("return math.type(edge.json.decode('1.5', nil))") == "'float'")
    for way in ["true", "{}", "{decimals = true}", "'decimal'", "''", "edge.json.null"] {
      for name in ["decode", "try_decode"] {
        #expect(
          try bench.run("return edge.json.\(name)('1', \(way))")
            == "error: numbers of JSON are read as \"decimals\", or as numbers where nothing is said")
      }
    }
  }

  /// An empty list goes on as a list, an empty map as a map; numbers keep their kind.
  @Test func emptyTablesKeepTheirKind() throws {
    let bench = try PolicyBench.runner()
    #expect(
      try bench.run("return edge.json.encode(edge.json.decode('[[],{},[[]],{\"a\":[]}]'))")
        == "'[[],{},[[]],{\"a\":[]}]'")
    #expect(try bench.run("local t = edge.json.decode('[]') t[1] = 5 return edge.json.encode(t), #t") == "'[5]', 1")
    #expect(
      try bench.run("return edge.json.decode('null') == edge.json.null, edge.json.decode('[null]')[1] == nil")
        == "true, false")
    #expect(
      try bench.run("return math.type(edge.json.decode('1')), math.type(edge.json.decode('1.0'))")
        == "'integer', 'float'")
  }

  static let undecoded: [[UInt8]] =
    [
      "", " ", "nul", "nulls", "True", "NaN", "Infinity", "undefined", "'a'", "1 2", "01", "+1", "1.", ".5", "-", "1e",
      "0x10", "[", "]",
      "[1", "[1,]", "[,1]", "[1 2]", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}",
      "{\"a\":1 \"b\":2}", "\"", "\"a", "\"\n\"",
      "\"\t\"", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "// a\n1",
      "/* a */ 1",
      "{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "[{\"x\":{\"b\":1,\"c\":2,\"b\":3}}]",
      "{\"\":1,\"\":2}",
      "{\"\\ud83d\\ude00\":1,\"\u{1F600}\":2}",
    ].map { Array($0.utf8) } + [
      [0x22, 0xff, 0x22], [0xef, 0xbb, 0xbf, 0x31], [0x31, 0x00], [0x22, 0xc0, 0x80, 0x22], [0x22, 0x00, 0x22],
    ]

  @Test(arguments: undecoded) func textsWithoutValue(_ bytes: [UInt8]) throws {
    let bench = try PolicyBench.runner()
    let literal = luaText(bytes)
    #expect(try bench.run("return edge.json.decode(\(literal))") == "error: the text is no JSON")
    #expect(try bench.run("return edge.json.try_decode(\(literal))") == "nil, 'malformed'")
    #expect(try bench.run("return edge.json.decode('1')") == "1", "nothing is left of it")
  }

  @Test(arguments: ["", "nil", "5", "true", "{}", "edge.json.null", "tostring", "req"])
  func whatIsNoText(_ value: String) throws {
    let bench = try PolicyBench.runner()
    for name in ["decode", "try_decode"] {
      #expect(try bench.run("return edge.json.\(name)(\(value))") == "error: edge.json.\(name) takes a string of JSON")
    }
  }

  @Test(arguments: ["5", "'a'", "true", "edge.json.null", "req"]) func whatIsNoList(_ value: String) throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return edge.json.array(\(value))").hasPrefix("error: "))
  }

  /// Maps of many keys are looked at in another way than those of few.
  @Test(arguments: [2, 16, 17, 18, 300]) func duplicateKeys(_ count: Int) throws {
    let bench = try PolicyBench.runner()
    let keys = (0..<count).map { "\"k\($0)\":\($0)" }
    func decode(_ keys: [String]) throws -> String {
      let text = luaText(Array("{\(keys.joined(separator: ","))}".utf8))
      return try bench.run("local n = 0 for _ in pairs(edge.json.decode(\(text))) do n = n + 1 end return n")
    }
    #expect(try decode(keys) == "\(count)")
    #expect(try decode(keys.dropLast() + ["\"k0\":1"]) == "error: the text is no JSON")
    #expect(try decode(["\"\\u006b\(count - 1)\":1"] + keys.dropFirst()) == "error: the text is no JSON")
    #expect(try decode(keys.dropLast() + ["\"\\u006b\(count - 1)\":1"]) == "\(count)")
  }

  // MARK: Round trips

  /// Values with one text each: what is decoded and encoded again is the same text.
  private func text(_ random: inout SeededGenerator, _ depth: Int) -> String {
    switch random.below(depth > 0 ? 8 : 5) {
    case 0: return ["null", "true", "false"][random.below(3)]
    case 1: return "\(Int64(bitPattern: random.next()) >> Int64(random.below(63)))"
    case 2: return "\(random.below(2_000) - 1_000).\(1 + random.below(9))"
    case 3, 4:
      let letters = ["a", "ü", "\u{1F600}", "\\n", "\\\"", "\\\\", "/", "\\u0000", "\\u001f", " "]
      return "\"" + (0..<random.below(6)).map { _ in letters[random.below(letters.count)] }.joined() + "\""
    case 5: return "{\"k\(random.below(9))\":\(text(&random, depth - 1))}"
    default: return "[" + (0..<random.below(4)).map { _ in text(&random, depth - 1) }.joined(separator: ",") + "]"
    }
  }

  @Test func roundTrips() throws {
    let bench = try PolicyBench.runner()
    var random = SeededGenerator(seed: 20)
    for _ in 0..<300 {
      let text = text(&random, 5).replacingOccurrences(of: "-0.", with: "0.")
      let shown = try bench.run("return edge.json.encode(edge.json.decode(\(luaText(Array(text.utf8)))))")
      #expect(shown == "'\(text)'")
    }
  }

  // MARK: Bounds

  @Test func depth() throws {
    let code = """
      local function nested(n) local t = {} for _ = 2, n do t = {t} end return t end
      local function fine(...) return (pcall(...)) end
      local text = ("["):rep(100) .. ("]"):rep(100)
      local maps = ('{"a":'):rep(99) .. "{}" .. ("}"):rep(99)
      return fine(edge.json.encode, nested(100)), fine(edge.json.encode, nested(101)),
        edge.json.encode(edge.json.decode(text)) == text, edge.json.try_decode("[" .. text .. "]") == nil,
        edge.json.encode(edge.json.decode(maps)) == maps, edge.json.try_decode("[" .. maps .. "]") == nil
      """
    #expect(try PolicyBench.runner().run(code) == "true, false, true, true, true, true")
  }

  /// A list of 65,535 is 65,536 values.
  @Test func manyValues() throws {
    let code = """
      local list = {}
      for i = 1, 65535 do list[i] = i end
      local text = edge.json.encode(list)
      local back = edge.json.decode(text)
      local same = #back == 65535 and back[1] == 1 and back[65535] == 65535
      list[65536] = 1
      return same, (pcall(edge.json.encode, list)), (edge.json.try_decode(text:sub(1, -2) .. ",1]"))
      """
    #expect(try PolicyBench.runner().run(code) == "true, false, nil")
  }

  @Test func longTexts() throws {
    let code = """
      local long = ("x"):rep(1000000)
      local text = edge.json.encode({long, 5})
      local back = edge.json.decode(text)
      local escaped = edge.json.decode('"' .. ("\\\\u0041"):rep(100000) .. '"')
      return #text, #back[1], back[2], #escaped, escaped:sub(-3), select(2, pcall(edge.json.encode, {long, long, long}))
      """
    let result = try PolicyBench.runner().run(code)
    #expect(result.hasPrefix("1000006, 1000000, 5, 100000, 'AAA', "))
    #expect(result.hasSuffix("the JSON is longer than 2 MiB'"))
  }

  /// What a text has brought beyond its bounds is an error of the script, which ends it.
  @Test func manyKeys() throws {
    let code = """
      local parts = {}
      for i = 1, 8000 do parts[i] = '"k' .. i .. '":' .. i end
      local map = edge.json.decode("{" .. table.concat(parts, ",") .. "}")
      return map.k1, map.k8000, map.k8001, #edge.json.encode(map)
      """
    #expect(try PolicyBench.runner().run(code).hasPrefix("1, 8000, nil, "))
  }
}
