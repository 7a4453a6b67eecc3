import Testing

@testable import Edge

/// What a message is, before anything is known of its request.
@Suite struct PlatformV1MessageTests {
  private struct Reading {
    let area: ByteArea
    let message: PlatformMessage
    let fault: DialectFault?

    init(_ bytes: [UInt8]) {
      area = ByteArea(bytes)
      let document = JSONDocument(capacity: 1)
      (message, fault) = PlatformV1.readMessage(area.base, area.count, document)
      #expect(document.count == 0)
      #expect((fault == nil) == (message.kind != .broken))
    }

    init(_ text: String) { self.init(Array(text.utf8)) }

    func text(_ range: BodyRange) -> String? {
      if range.isNone { return nil }
      return String(decoding: area.slice(Int(range.start)..<Int(range.start + range.count)), as: UTF8.self)
    }

    var id: String? { text(message.id) }
    var wrongID: String? { text(message.wrongID) }
    var type: String? { text(message.type) }
  }

  @Test(arguments: ["chat", "completion", "embedding"]) func requests(_ type: String) {
    let reading = Reading(" {\"model\":7,\"type\":\"\(type)\",\"id\":\"req-123\"}")
    #expect(reading.message.kind == .request && reading.fault == nil)
    #expect(reading.id == "req-123" && reading.type == type && reading.wrongID == nil)
  }

  @Test func cancels() {
    let reading = Reading("{\"\\u0069d\":\"a\",\"t\\u0079pe\":\"cancel\"}")
    #expect(reading.message.kind == .cancel && reading.id == "a" && reading.type == "cancel")
  }

  @Test func ids() {
    let longest = String(repeating: "x", count: 128)
    for id in ["0", "AZaz09._:-", "-", ".", longest] {
      let reading = Reading("{\"id\":\"\(id)\",\"type\":\"chat\"}")
      #expect(reading.message.kind == .request && reading.id == id, "\(id)")
    }
    for value in [
      "\"\"", "\"\(longest)x\"", "\"a b\"", "\"a/b\"", "\"a@\"", "\"a[\"", "\"`\"", "\"{\"", "\"é\"", "\"\\u0061\"",
      "\"a\\\\\"", "7", "null", "true", "[]", "[\"a\"]", "{\"id\":\"a\"}", "1.50e3",
    ] {
      for type in ["chat", "cancel"] {
        let reading = Reading("{\"id\":\(value),\"type\":\"\(type)\"}")
        #expect(reading.message.kind == .broken && reading.fault?.code == .invalidMessageID, "\(value)")
        #expect(reading.id == nil && reading.wrongID == value && reading.type == type, "\(value)")
      }
    }
    let missing = Reading("{\"type\":\"chat\"}")
    #expect(missing.fault?.code == .invalidMessageID && missing.id == nil && missing.wrongID == nil)
  }

  /// Every byte that may stand in an id, and none beside them.
  @Test func everyByte() {
    let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-".utf8)
    for byte in UInt8.min...UInt8.max {
      let area = ByteArea([0x61, byte])
      let isID = PlatformV1.isID(UnsafeBufferPointer(start: area.base, count: 2))
      #expect(isID == allowed.contains(byte), "\(byte)")
    }
  }

  static let broken: [(text: String, id: String?)] = [
    ("", nil), ("x", nil), ("{", nil), ("[]", nil), ("\"chat\"", nil), ("7", nil), ("null", nil),
    ("[{\"id\":\"a\",\"type\":\"chat\"}]", nil), ("{\"id\":\"a\",\"type\":\"chat\"}x", nil),
    ("{\"id\":\"a\",\"type\":\"chat\"", nil), ("{\"id\":\"a\",\"type\":\"chat\",\"x\":01}", nil),
    ("{\"id\":\"a\"}", "a"), ("{\"id\":\"a\",\"type\":null}", "a"), ("{\"id\":\"a\",\"type\":7}", "a"),
    ("{\"id\":\"a\",\"type\":\"Chat\"}", "a"), ("{\"id\":\"a\",\"type\":\"\"}", "a"),
    ("{\"id\":\"a\",\"type\":\"ch\\u0061t\"}", "a"), ("{\"id\":\"a\",\"type\":\"done\"}", "a"),
    ("{\"id\":\"a\",\"type\":\"chat\",\"type\":\"chat\"}", "a"),
    ("{\"id\":\"a\",\"type\":\"chat\",\"\\u0074ype\":\"cancel\"}", "a"),
    ("{\"id\":\"a\",\"type\":\"chat\",\"id\":\"a\"}", nil),
    ("{\"id\":\"a\",\"type\":\"chat\",\"i\\u0064\":\"b\"}", nil), ("{}", nil), ("{\"type\":\"x\"}", nil),
    ("{\"id\":7,\"type\":\"x\"}", nil), ("{\"id\":7}", nil),
  ]

  @Test(arguments: broken) func otherForms(_ text: String, _ id: String?) {
    let reading = Reading(text)
    #expect(reading.message.kind == .broken && reading.fault?.code == .invalidMessageFormat)
    #expect(reading.id == id)
  }

  @Test func bytesThatAreNoText() {
    let reading = Reading(Array("{\"id\":\"a\",\"type\":\"chat\",\"x\":\"".utf8) + [0xff] + Array("\"}".utf8))
    #expect(reading.fault?.code == .invalidMessageFormat && reading.id == nil)
  }

  @Test func tooManyValues() {
    let values = Array(repeating: "1", count: ModelLimits.requestNodesMax).joined(separator: ",")
    let reading = Reading("{\"id\":\"a\",\"type\":\"chat\",\"x\":[\(values)]}")
    #expect(reading.fault?.code == .messageTooLarge && reading.id == nil)
  }

  @Test func whatIsSaidAboutFaults() throws {
    func text(_ message: String) -> String? {
      Reading(message).fault.map { fault in
        PlatformV1.withText(of: fault) { text in
          String(decoding: UnsafeBufferPointer(start: text.start, count: text.count), as: UTF8.self)
        }
      }
    }
    #expect(text("{\"id\":\"a\" 7}") == "The message is not valid JSON: unexpected character at byte 10.")
    #expect(text("[]") == "A message must be a JSON object.")
    let type = "type: Say what the message is: chat, completion, embedding or cancel, without escapes."
    #expect(text("{\"id\":\"a\"}") == type)
    for (message, _) in Self.broken { #expect(text(message)?.hasSuffix(".") == true, "\(message)") }
    #expect(text("{\"type\":\"chat\"}")?.hasPrefix("Send an id of 1 to 128 ") == true)
  }

  // MARK: the details of wrong ids

  private static func details(_ value: String?) -> String {
    guard let value else { return Platform.text { PlatformV1.appendIDDetails(nil, to: &$0) } }
    let area = ByteArea(Array(value.utf8))
    return Platform.text { writer in
      PlatformV1.appendIDDetails(StaticBytes(start: area.base, count: area.count), to: &writer)
    }
  }

  @Test func detailsOfWrongIDs() {
    #expect(Self.details(nil) == "{\"id\":null}")
    for value in ["7", "null", "\"a b\"", "[1,2]", "{\"a\":\"b\"}", "\"\\ud83d\\ude00\""] {
      #expect(Self.details(value) == "{\"id\":\(value)}")
    }
    let long = String(repeating: "1", count: 300)
    #expect(Self.details(long) == "{\"id\":null}" && Self.details("[\(long)]") == "{\"id\":null}")
  }

  /// A long string is cut between two characters, whatever they are and wherever the cut falls.
  @Test(arguments: ["x", "é", "€", "😀", "\\n", "\\u00e9", "\\ud83d\\ude00"])
  func longIDsAreCut(_ character: String) {
    for lead in 0..<13 {
      let text = String(repeating: "a", count: lead) + String(repeating: character, count: 300)
      let details = Self.details("\"\(text)\"")
      #expect(Speaking.isJSON(details) && details.utf8.count <= 264)
      // As much as there is room for.
      #expect(details.utf8.count > 264 - character.utf8.count)
      #expect(("{\"id\":\"" + text).hasPrefix(details.dropLast(2)))
    }
  }
}
