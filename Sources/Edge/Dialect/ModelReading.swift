// What reading is the same in all dialects: a body that may be anything, the keys of a request that must not stand
// there twice, the model's name, counts of tokens, how much a text says.
//
// Owns: the bounds of what is read, and how strict that is.
// Called by: the dialects, which say what their keys are and mean.
// Never: changes or copies what is read.

import Glibc

/// How much is read of what strangers send.
enum ModelLimits {
  /// Values in one request: at 20 bytes each, what a body may take beside itself.
  static let requestNodesMax = 1 << 19
  /// Values in one event, and in one whole answer: log probabilities are the many. Beyond that nothing is read.
  static let eventNodesMax = 1 << 15
  static let answerNodesMax = 1 << 18
  static let modelBytesMax = 256
}

/// What a dialect reads at the top of a request; at most 32 keys.
protocol RequestField: CaseIterable, RawRepresentable where RawValue == UInt8 {
  var name: StaticString { get }
}

/// A number of tokens as a provider tells it.
enum TokenCount {
  case absent
  case number(Int64)
  /// Negative, with a fraction, or no number at all.
  case nonsense

  /// What it adds to a whole; nil when that is unknown.
  var added: Int64? {
    switch self {
    case .absent: 0
    case .number(let number): number
    case .nonsense: nil
    }
  }
}

extension JSONDocument {
  // MARK: requests

  /// Reads the body of a request, which must be an object.
  func readRequest(_ body: UnsafePointer<UInt8>, _ count: Int) throws(DialectFault) {
    if count > Int(Int32.max) { throw DialectFault(code: .messageTooLarge, message: "The body is too large.") }
    do throws(JSONFault) {
      try read(body, count, nodesMax: ModelLimits.requestNodesMax)
    } catch {
      if error.reason == .tooLarge {
        throw DialectFault(code: .messageTooLarge, message: "The body holds too many values; send fewer.")
      }
      throw DialectFault(message: "The body is not valid JSON", reason: error.text, offset: error.offset)
    }
    guard self.count > 0, kind(0) == .map else { throw DialectFault(message: "The body must be a JSON object.") }
  }

  /// Calls `body` with each key of the request that the dialect knows, and its value. None may stand there twice: a
  /// provider might read the other one.
  func readFields<Field: RequestField>(
    _ body: (Field, Int) throws(DialectFault) -> Void
  ) throws(DialectFault) {
    var seen: UInt32 = 0
    for (key, value) in pairs(of: 0) {
      guard let field: Field = try field(key) else { continue }
      let bit = UInt32(1) << UInt32(field.rawValue)
      if seen & bit != 0 {
        throw DialectFault(param: field.name, message: "This parameter stands in the body twice; send it once.")
      }
      seen |= bit
      try body(field, value)
    }
  }

  private func field<Field: RequestField>(_ key: Int) throws(DialectFault) -> Field? {
    for field in Field.allCases {
      if isString(key, field.name) { return field }
      // There are providers that read keys whatever their case.
      if isString(key, folded: field.name) {
        throw DialectFault(param: field.name, message: "This parameter is written in lower case.")
      }
    }
    return nil
  }

  /// Reads the model's name, which may begin with that of a provider.
  func readModel(_ value: Int, into request: inout ModelRequest) throws(DialectFault) {
    guard kind(value) == .string else {
      throw DialectFault(param: "model", message: "The model's name must be a string.")
    }
    if self[value].hasEscape {
      throw DialectFault(param: "model", message: "The model's name must be written without escapes.")
    }
    let name = content(value)
    guard let start = name.baseAddress, name.count > 0, name.count <= ModelLimits.modelBytesMax else {
      throw DialectFault(param: "model", message: "The model's name must have 1 to 256 bytes.")
    }
    request.model = BodyRange(start: Int32(self[value].start) + 1, count: Int32(name.count))
    if let slash = memchr(start, 0x2f, name.count) {
      request.provider = BodyRange(
        start: request.model.start, count: Int32(UnsafeRawPointer(slash) - UnsafeRawPointer(start)))
    }
  }

  // MARK: answers

  /// Reads a whole answer. When that cannot be done, the result says what it is taken for: one that is no JSON is an
  /// error, one that is too large to be read is a part with as much content as it has bytes.
  func readAnswer(_ body: UnsafePointer<UInt8>, _ count: Int) -> ModelEvent? {
    do throws(JSONFault) {
      try read(body, count, nodesMax: ModelLimits.answerNodesMax)
      return nil
    } catch {
      var event = ModelEvent()
      if error.reason == .tooLarge || error.reason == .tooDeep {
        event.contentBytes = Int64(count)
      } else {
        event.kind = .error
      }
      return event
    }
  }

  /// The bytes that a string says. Escapes count as what they stand for: some providers escape everything that is not
  /// ASCII.
  func textBytes(_ string: Int) -> Int64 {
    let content = content(string)
    if !self[string].hasEscape { return Int64(content.count) }
    var bytes: Int64 = 0
    for _ in JSONStringBytes(content: content) { bytes += 1 }
    return bytes
  }

  /// A number of tokens in a `usage` map; null is none.
  func tokens(_ key: StaticString, in map: Int) -> TokenCount {
    switch value(of: key, in: map) {
    case .missing: return .absent
    case .duplicate: return .nonsense
    case .found(let value):
      if kind(value) == .null { return .absent }
      guard let number = integer(value), number >= 0 else { return .nonsense }
      return .number(number)
    }
  }
}
