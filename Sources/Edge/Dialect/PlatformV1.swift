// The platform's own dialect, version 1: what clients on WebSockets send and get (product contract, section 6.1). No
// provider speaks it. What a request asks for is read in PlatformV1Request, answers are written in PlatformV1Answer and
// PlatformV1Stream.
//
// Owns: what every message has in common: what it is, and its id.
// Called by: the table of dialects, and the driver for what every message of a WebSocket goes through.
// Never: knows sessions, or which ids are in use.

/// What a message of a client is.
struct PlatformMessage: BitwiseCopyable, Equatable {
  enum Kind: UInt8 {
    /// It asks for work.
    case request
    /// It ends a request.
    case cancel
    /// It is no message of this protocol, or has no id that can be used: the fault beside it says why.
    case broken
  }

  var kind = Kind.broken
  /// The id, where it is one, without its quotes; none where it is missing or not of the allowed form.
  var id = BodyRange.none
  /// What stands in the place of the id and is none, as it stands there, for the error; none where nothing does.
  var wrongID = BodyRange.none
  /// The type, where it is a known one, without its quotes.
  var type = BodyRange.none
}

/// The dialect `platform-v1`.
enum PlatformV1 {
  static let path: StaticString = "/ws"
  static let keyField: (name: StaticString, prefix: StaticString) = ("authorization", "Bearer ")

  /// What a message is, so far as a session must know. The fault is there when the message is broken, and only then:
  /// INVALID_MESSAGE_ID when nothing is wrong with it but its id. The document is free again.
  static func readMessage(
    _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) -> (message: PlatformMessage, fault: DialectFault?) {
    defer { document.reset() }
    var message = PlatformMessage()
    do throws(DialectFault) {
      try document.readRequest(body, count)
      try readID(document, into: &message)
      try readType(document, into: &message)
    } catch {
      message.kind = .broken
      return (message, messageFault(error))
    }
    if message.id.isNone {
      message.kind = .broken
      let text: StaticString =
        "Send an id of 1 to 128 letters, digits, dots, underscores, colons and hyphens, without escapes."
      return (message, DialectFault(code: .invalidMessageID, message: text))
    }
    return (message, nil)
  }

  /// A body that cannot be read is here a message of the wrong form.
  private static func messageFault(_ fault: DialectFault) -> DialectFault {
    var fault = fault
    guard fault.code == .invalidRequest else { return fault }
    fault.code = .invalidMessageFormat
    fault.message = fault.offset < 0 ? "A message must be a JSON object." : "The message is not valid JSON"
    return fault
  }

  private static func readID(_ document: JSONDocument, into message: inout PlatformMessage) throws(DialectFault) {
    switch document.value(of: "id", in: 0) {
    case .missing: break
    case .duplicate:
      throw DialectFault(
        code: .invalidMessageFormat, param: "id", message: "The id stands in the message twice; send it once.")
    case .found(let value):
      let node = document[value]
      if document.kind(value) == .string, isID(document.content(value)) {
        message.id = BodyRange(start: Int32(node.start) + 1, count: Int32(node.count) - 2)
      } else {
        message.wrongID = BodyRange(start: Int32(node.start), count: Int32(node.count))
      }
    }
  }

  /// Whether these bytes, which stand between quotes, are an id: 1 to 128 of `[A-Za-z0-9._:-]`.
  static func isID(_ content: UnsafeBufferPointer<UInt8>) -> Bool {
    if content.isEmpty || content.count > Limits.messageIDBytes { return false }
    return content.allSatisfy { byte in
      byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == 0x2e || byte == 0x5f || byte == 0x3a || byte == 0x2d
    }
  }

  private static let types: [StaticString] = ["chat", "completion", "embedding"]

  private static func readType(_ document: JSONDocument, into message: inout PlatformMessage) throws(DialectFault) {
    switch document.value(of: "type", in: 0) {
    case .missing: break
    case .duplicate:
      throw DialectFault(
        code: .invalidMessageFormat, param: "type", message: "The type stands in the message twice; send it once.")
    case .found(let value):
      // Policies get the type as it stands there.
      if document[value].hasEscape { break }
      if document.isString(value, "cancel") {
        message.kind = .cancel
      } else if types.contains(where: { document.isString(value, $0) }) {
        message.kind = .request
      } else {
        break
      }
      message.type = BodyRange(start: Int32(document[value].start) + 1, count: Int32(document[value].count) - 2)
      return
    }
    throw DialectFault(
      code: .invalidMessageFormat, param: "type",
      message: "Say what the message is: chat, completion, embedding or cancel, without escapes.")
  }

  // MARK: what is said about faults

  /// What stands in an error about a request that could not be read: plain text, valid during the call. It names the
  /// parameter, for which the protocol has no other place.
  static func withText<Result>(of fault: DialectFault, _ body: (StaticBytes) -> Result) -> Result {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: faultBytesMax) { area in
      guard let base = area.baseAddress else { return body(.empty) }
      var writer = ByteWriter(base: base, capacity: area.count)
      if let param = fault.param {
        writer.append(param)
        writer.append(": ")
      }
      writer.append(fault)
      return body(StaticBytes(start: base, count: writer.count))
    }
  }

  private static let faultBytesMax = 512
  /// Of a wrong id so much is said again.
  private static let wrongIDBytesMax = 256

  /// The details of INVALID_MESSAGE_ID: `{"id":…}` with the value that stood there, as JSON; nil: nothing did. A long
  /// string is cut; of other long values nothing is said.
  static func appendIDDetails(_ value: StaticBytes?, to writer: inout ByteWriter) {
    writer.append("{\"id\":")
    if let value, value.count <= wrongIDBytesMax {
      writer.append(value)
    } else if let value, value.start[0] == 0x22 {
      writer.append(value.start, cut(value))
      writer.append(byte: 0x22)
    } else {
      writer.appendNull()
    }
    writer.append(byte: 0x7d)
  }

  /// How much of a long string, its first quote included, can be said without its last characters being torn.
  private static func cut(_ string: StaticBytes) -> Int {
    var place = 1
    while place < string.count {
      let byte = string.start[place]
      var width = 1
      if byte == 0x5c {
        width = JSONStringBytes.escape(string.start + place).width
      } else if byte >= 0x80 {
        width = max(1, utf8Width(string.start + place, string.count - place))
      }
      if place + width > wrongIDBytesMax { return place }
      place += width
    }
    return place
  }
}
