// The texts of parts: taken out of a document, compared, and written again as a string or as a value of JSON.
//
// Owns: the ways from a ModelText to bytes and back, and data URLs.
// Called by: every dialect that reads or writes parts.
// Never: copies a text before it is written.

import Glibc

extension JSONDocument {
  /// The text of a node: a string without its quotes, any other value as it stands there.
  func modelText(_ index: Int) -> ModelText {
    let bytes = kind(index) == .string ? content(index) : raw(index)
    guard let start = bytes.baseAddress else { return .none }
    return ModelText(
      form: kind(index) == .string ? .string : .value, bytes: StaticBytes(start: start, count: bytes.count))
  }

  /// What the string of a key says, none when it is missing or null; nil: it says something else than a string.
  func saidString(of key: StaticString, in map: Int) -> ModelText? {
    switch value(of: key, in: map) {
    case .missing: return ModelText.none
    case .duplicate: return nil
    case .found(let value):
      if kind(value) == .null { return ModelText.none }
      return kind(value) == .string ? modelText(value) : nil
    }
  }

  /// The string of a key; none when the key is missing, twice there, or no string.
  func modelString(of key: StaticString, in map: Int) -> ModelText {
    guard case .found(let value) = value(of: key, in: map), kind(value) == .string else { return .none }
    return modelText(value)
  }
}

extension ModelText {
  /// A text that is a literal; it needs no escapes.
  init(literal: StaticString) {
    form = .string
    bytes = StaticBytes(literal)
  }

  /// It is not there, or a string that says nothing.
  var isEmpty: Bool { bytes.count == 0 }

  /// It is not there, or a string of nothing but white space.
  var isBlank: Bool { isEmpty || form == .string && JSONStringBytes(content: content).allSatisfy { $0 <= 0x20 } }

  /// What stands there, escapes and all.
  var content: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: bytes.start, count: bytes.count) }

  /// Whether it is a string that says this.
  func says(_ literal: StaticString) -> Bool {
    guard form == .string else { return false }
    var matched = 0
    for byte in JSONStringBytes(content: content) {
      if matched == literal.utf8CodeUnitCount || literal.utf8Start[matched] != byte { return false }
      matched += 1
    }
    return matched == literal.utf8CodeUnitCount
  }

  /// Whether it is a string that begins with this, whatever the case of its letters; `literal` is in lower case.
  func begins(folded literal: StaticString) -> Bool {
    guard form == .string else { return false }
    var matched = 0
    for byte in JSONStringBytes(content: content) {
      if matched == literal.utf8CodeUnitCount { return true }
      if literal.utf8Start[matched] != foldCase(byte) { return false }
      matched += 1
    }
    return matched == literal.utf8CodeUnitCount
  }

  /// The number that it is; nil for everything else, and for numbers beyond all doubles.
  func number(_ document: JSONDocument) -> Double? {
    guard form == .value, (try? document.read(bytes.start, bytes.count, nodesMax: 1)) != nil else { return nil }
    return document.double(0)
  }

  /// The media type and the base64 data of `data:TYPE;base64,DATA` (RFC 2397), parameters of the type left out; nil
  /// when it is anything else.
  var dataURL: (mediaType: ModelText, data: ModelText)? {
    guard begins(folded: "data:"), let colon = memchr(bytes.start, 0x3a, bytes.count),
      let comma = memchr(bytes.start, 0x2c, bytes.count)
    else { return nil }
    let start = UnsafePointer(colon.assumingMemoryBound(to: UInt8.self)) + 1
    let end = UnsafePointer(comma.assumingMemoryBound(to: UInt8.self))
    let mark = StaticBytes(";base64")
    guard end - start > mark.count, let semicolon = memchr(start, 0x3b, end - start) else { return nil }
    for place in 0..<mark.count where foldCase((end - mark.count)[place]) != mark.start[place] { return nil }
    let typeCount = UnsafeRawPointer(semicolon) - UnsafeRawPointer(start)
    if typeCount == 0 { return nil }
    return (
      ModelText(form: .string, bytes: StaticBytes(start: start, count: typeCount)),
      ModelText(form: .string, bytes: StaticBytes(start: end + 1, count: bytes.start + bytes.count - end - 1))
    )
  }
}

extension ByteWriter {
  /// Values in the JSON that a string holds; beyond that it counts as none.
  private static let heldNodesMax = 1 << 18

  /// A text inside a string of JSON that is being written: a value is escaped into it. No text, no bytes.
  mutating func append(inside text: ModelText) {
    switch text.form {
    case .none: break
    case .string: append(text.bytes)
    case .value: append(jsonEscaped: text.bytes.start, text.bytes.count)
    }
  }

  /// A text as a string of JSON, with its quotes; no text is an empty one.
  mutating func append(string text: ModelText) {
    append(byte: 0x22)
    append(inside: text)
    append(byte: 0x22)
  }

  /// A text as a value: a string becomes one with its quotes, a value stays as it is, no text is null.
  mutating func append(value text: ModelText) {
    switch text.form {
    case .none: appendNull()
    case .string: append(string: text)
    case .value: append(text.bytes)
    }
  }

  /// A text that is an object of JSON, or a string that holds one, as that object; an empty or missing one is `{}`.
  /// False when it is none: then nothing is written. The document is for the check and free again. Where the room
  /// ends, nobody looks: the writer has overflowed.
  mutating func append(object text: ModelText, _ document: JSONDocument) -> Bool {
    if text.isEmpty {
      append("{}")
      return true
    }
    let before = count
    if text.form == .string { append(unescaped: text.content) } else { append(text.bytes) }
    if overflowed { return true }
    defer { document.reset() }
    let start = UnsafePointer(end - (count - before))
    if (try? document.read(start, count - before, nodesMax: ByteWriter.heldNodesMax)) != nil, document.kind(0) == .map {
      return true
    }
    rewind(to: before)
    return false
  }

  /// `data:TYPE;base64,DATA` as a string of JSON, with its quotes.
  mutating func append(dataURL data: ModelText, mediaType: ModelText) {
    append("\"data:")
    append(inside: mediaType)
    append(";base64,")
    append(inside: data)
    append(byte: 0x22)
  }
}
