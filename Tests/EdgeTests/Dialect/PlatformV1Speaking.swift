import Foundation
import Testing

@testable import Edge

/// What the tests of the platform's dialect share: messages as JSON, and the texts of frames.
enum Platform {
  static let folder = "platform-v1"

  static let identity = AnswerIdentity(
    attempt: ULID(high: 0x0192_3456_789a_bcde, low: 0xf012_3456_789a_bcde), model: StaticBytes("the-model"),
    created: 1_730_000_000, message: StaticBytes("req-123"))

  static func outcome(_ usage: Usage, reason: FinishReason?) -> PlatformOutcome {
    PlatformOutcome(
      id: StaticBytes("req-123"), usage: usage, credits: Amount(units: 12_300_000), model: StaticBytes("the-model"),
      provider: StaticBytes("openai"), latencyMilliseconds: 421, requestID: StaticBytes("01K0REQUEST"),
      reason: reason, wall: 1_759_507_200_042_999_999)
  }

  /// The texts of frames of a server; nil when the bytes are anything else than whole frames with texts.
  static func texts(_ bytes: [UInt8]) -> [String]? {
    var texts: [String] = []
    var place = 0
    while place < bytes.count {
      guard bytes.count - place >= 2, bytes[place] == 0x81, bytes[place + 1] < 128 else { return nil }
      var length = Int(bytes[place + 1])
      let width = length < 126 ? 0 : length == 126 ? 2 : 8
      guard bytes.count - place >= 2 + width else { return nil }
      if width > 0 {
        length = bytes[(place + 2)..<(place + 2 + width)].reduce(0) { $0 << 8 | Int($1) }
        // Lengths are in their shortest form.
        if length < (width == 2 ? 126 : 0x1_0000) { return nil }
      }
      place += 2 + width
      guard bytes.count - place >= length, let text = String(validating: bytes[place..<place + length], as: UTF8.self)
      else { return nil }
      texts.append(text)
      place += length
    }
    return texts
  }

  static func object(_ text: String) -> [String: Any]? {
    try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
  }

  /// What a writing leaves in a page.
  static func text(_ write: (inout ByteWriter) -> Void) -> String {
    let page = Page()
    var writer = page.writer
    write(&writer)
    return page.text(writer) ?? "no room"
  }

  /// The message that ends a stream.
  static func done(
    _ outcome: PlatformOutcome, kept: [UInt8] = [], content: String = "", type: StaticString = "done"
  )
    -> String
  {
    let area = ByteArea(kept)
    return text { writer in
      PlatformV1.appendDoneStart(outcome, type: StaticBytes(type), to: &writer)
      if !content.isEmpty { writer.append(string: "," + content.dropFirst().dropLast()) }
      PlatformV1.appendToolCalls(kept: StaticBytes(start: area.base, count: area.count), to: &writer)
      PlatformV1.appendDoneEnd(outcome, to: &writer)
    }
  }

  /// A stream that is written from groups of parts.
  struct Written {
    var frames: [String] = []
    var kept: [UInt8] = []
    var writing = StreamWriting()
    var isSaid = true
  }

  static func write(_ groups: [[ModelPart]]) -> Written {
    var written = Written()
    for group in groups where written.isSaid {
      let parts = ModelParts()
      for part in group { parts.add(part) }
      let page = ByteArea([], tail: 1 << 17)
      var writer = ByteWriter(base: page.base, capacity: 1 << 17)
      written.isSaid = Dialect.writeEvents(
        .platformV1, parts, identity, Usage(), &written.writing, to: &writer)
      guard written.isSaid else { break }
      written.frames += texts(page.slice(0..<writer.count)) ?? ["no frames"]
      written.kept += parts.kept
    }
    return written
  }

  // MARK: parts

  static func said(_ kind: ModelPart.Kind, _ text: StaticString = "") -> ModelPart {
    ModelPart(kind, text: ModelText(literal: text))
  }

  static func call(
    _ index: Int32, _ id: StaticString, _ name: StaticString, _ arguments: StaticString = ""
  )
    -> ModelPart
  {
    var part = said(.toolCall, arguments)
    (part.index, part.id, part.name) = (index, ModelText(literal: id), ModelText(literal: name))
    return part
  }

  static func arguments(_ index: Int32, _ text: StaticString) -> ModelPart {
    var part = said(.arguments, text)
    part.index = index
    return part
  }

  static func finish(_ reason: FinishReason) -> ModelPart {
    var part = ModelPart(.finish)
    part.reason = reason
    return part
  }
}
