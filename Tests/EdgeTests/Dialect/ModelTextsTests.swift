import Testing

@testable import Edge

@Suite struct ModelTextsTests {
  /// The text of a JSON value; the area holds it.
  private struct Sample {
    let area: ByteArea
    let text: ModelText

    init(_ json: String) {
      area = ByteArea(Array(json.utf8))
      let document = JSONDocument(capacity: 1)
      try? document.read(area.base, area.count)
      text = document.count > 0 ? document.modelText(0) : .none
    }
  }

  private static func said(_ text: ModelText) -> String { String(decoding: text.content, as: UTF8.self) }

  @Test func forms() {
    let string = Sample("\"a\\nb\"")
    #expect(string.text.form == .string && Self.said(string.text) == "a\\nb")
    #expect(written { $0.append(string: string.text) }.text == "\"a\\nb\"")
    #expect(written { $0.append(value: string.text) }.text == "\"a\\nb\"")
    let value = Sample("{\"a\":\n[1]}")
    #expect(value.text.form == .value && Self.said(value.text) == "{\"a\":\n[1]}")
    #expect(written { $0.append(string: value.text) }.text == "\"{\\\"a\\\":\\n[1]}\"")
    #expect(written { $0.append(value: value.text) }.text == "{\"a\":\n[1]}")
    #expect(written { $0.append(string: .none) }.text == "\"\"")
    #expect(written { $0.append(value: .none) }.text == "null")
  }

  @Test func strings() {
    let area = ByteArea(Array("{\"a\":\"x\",\"b\":7,\"c\":\"y\",\"c\":\"z\"}".utf8))
    let document = JSONDocument(capacity: 1)
    try? document.read(area.base, area.count)
    #expect(Self.said(document.modelString(of: "a", in: 0)) == "x")
    for key in ["b", "c", "d"] as [StaticString] { #expect(document.modelString(of: key, in: 0).isNone) }
  }

  /// What is true of the text of a JSON value.
  private static func isTrue(_ json: String, _ test: (ModelText) -> Bool) -> Bool {
    let sample = Sample(json)
    return withExtendedLifetime(sample) { test(sample.text) }
  }

  @Test func says() {
    for same in ["\"st\\u006fp\"", "\"stop\""] { #expect(Self.isTrue(same) { $0.says("stop") }) }
    for other in ["\"sto\"", "\"stopp\"", "\"STOP\"", "7", "\"\""] {
      #expect(!Self.isTrue(other) { $0.says("stop") })
    }
    #expect(Self.isTrue("\"\"") { $0.says("") } && !ModelText.none.says(""))
    #expect(Self.isTrue("\"HTTP\\u0073:x\"") { $0.begins(folded: "https:") })
    for other in ["\"http\"", "\"\"", "7", "\"httpx\""] {
      #expect(!Self.isTrue(other) { $0.begins(folded: "https:") })
    }
  }

  @Test func numbers() {
    let document = JSONDocument(capacity: 1)
    #expect(Self.isTrue("1.5") { $0.number(document) == 1.5 })
    for other in ["\"1.5\"", "[1]", "1e999", "null"] {
      #expect(Self.isTrue(other) { $0.number(document) == nil })
    }
  }

  static let objects: [(String, String?)] = [
    ("\"{\\\"a\\\":\\\"\\\\u00e4\\\"}\"", "{\"a\":\"\\u00e4\"}"), ("\" {}\\n\"", " {}\n"), ("{\"a\":1}", "{\"a\":1}"),
    ("\"\"", "{}"), ("\"{\"", nil), ("\"[]\"", nil), ("\"7\"", nil), ("[]", nil), ("7", nil), ("\"{}x\"", nil),
    ("\"{\\\"a\\\":\\\"\\n\\\"}\"", nil),
  ]

  /// Nothing stands behind what was there before when it is no object.
  @Test(arguments: objects) func isAnObject(_ json: String, _ object: String?) {
    let sample = Sample(json)
    var isObject = false
    let text = written { writer in
      writer.append("x")
      isObject = writer.append(object: sample.text, JSONDocument(capacity: 1))
    }
    #expect(isObject == (object != nil) && text.text == "x" + (object ?? "") && !text.overflowed)
  }

  @Test func anObjectWithoutRoom() {
    let sample = Sample("\"{\\\"a\\\":1}\"")
    for room in 0..<7 {
      #expect(written(capacity: room) { _ = $0.append(object: sample.text, JSONDocument(capacity: 1)) }.overflowed)
    }
  }

  static let urls: [(String, String, String)] = [
    ("data:image/png;base64,AA==", "image/png", "AA=="), ("DATA:image\\/png;BASE64,A\\/B=", "image\\/png", "A\\/B="),
    ("data:text/plain;charset=utf-8;base64,QQ==", "text/plain", "QQ=="), ("data:a/b;base64,", "a/b", ""),
  ]

  @Test(arguments: urls) func dataURLs(_ url: String, _ type: String, _ data: String) {
    let sample = Sample("\"\(url)\"")
    let split = sample.text.dataURL
    #expect(split.map { Self.said($0.mediaType) } == type && split.map { Self.said($0.data) } == data)
    guard let split else { return }
    defer { withExtendedLifetime(sample) {} }
    let text = written { $0.append(dataURL: split.data, mediaType: split.mediaType) }.text
    #expect(text == "\"data:\(type);base64,\(data)\"")
  }

  @Test(arguments: [
    "", "data:", "data:,", "data:;base64,AA", "data:image/png,AA", "data:image/png;base64", "https://a;base64,b",
    "data:image/pngbase64,AA", "x,data:a/b;base64,", "data\\u003aa/b;base64,AA", "data:base64,AA",
  ])
  func noDataURLs(_ url: String) { #expect(Self.isTrue("\"\(url)\"") { $0.dataURL == nil }) }
}
