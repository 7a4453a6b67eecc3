import Testing

@testable import Edge

/// Bytes and whether they are text, after section 6 of Autobahn's test suite.
enum TextVectors {
  private static let greek = "cebae1bdb9cf83cebcceb5"

  static let good: [String] = [
    // 6.2, 6.5: plain and beyond.
    "", "48656c6c6f2dc2b540c39fc3b6c3a4c3bcc3a0c3a12d5554462d382121", greek,
    // 6.6: what of it is whole.
    "ceba", "cebae1bdb9", "cebae1bdb9cf83", "cebae1bdb9cf83cebc",
    // 6.7, 6.9: the first and the last of each length.
    "00", "c280", "e0a080", "f0908080", "7f", "dfbf", "efbfbf", "f48fbfbf",
    // 6.11: borders.
    "ed9fbf", "ee8080", "efbfbd",
    // 6.22, 6.23: what is no character but may be said.
    "efbfbe", "f09fbfbe", "f09fbfbf", "f0afbfbe", "f0afbfbf", "f0bfbfbe", "f0bfbfbf", "f18fbfbe", "f18fbfbf",
    "f19fbfbe", "f1afbfbf", "f1bfbfbe", "f28fbfbf", "f29fbfbe", "f2afbfbf", "f2bfbfbe", "f38fbfbf", "f39fbfbe",
    "f3afbfbf", "f3bfbfbe", "f48fbfbe", "efbfb9", "efbfba", "efbfbb", "efbfbc", "efbfbd",
  ]

  static let bad: [String] =
    [
      // 6.3, 6.4: text in front and behind.
      greek + "eda080656469746564", greek + "f4908080656469746564",
      // 6.6: what ends inside of a character.
      "ce", "cebae1", "cebae1bd", "cebae1bdb9cf", "cebae1bdb9cf83ce", "cebae1bdb9cf83cebcce",
      // 6.8, 6.10: lengths that are no more.
      "f888808080", "fc8480808080", "f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf",
      // 6.11: behind the last character.
      "f4908080", "f5808080",
      // 6.12: what continues nothing.
      "80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf",
      "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7"
        + "b8b9babbbcbdbebf",
      // 6.14: the last byte is missing.
      "c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf",
      "e0a0", "f09080", "f0a0", "e1", "f1",
      // 6.15: all of them.
      "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf",
      // 6.16: never.
      "fe", "ff", "fefeffff",
      // 6.17 to 6.19: longer than they need be.
      "c0af", "e080af", "f08080af", "f8808080af", "fc80808080af", "c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf",
      "fc83bfbfbfbf", "c080", "e08080", "f0808080", "f880808080", "fc8080808080",
      // 6.20, 6.21: halves of UTF-16.
      "eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf", "eda080edb080", "eda080edbfbf",
      "edadbfedb080", "edadbfedbfbf", "edae80edb080", "edae80edbfbf", "edafbfedb080", "edafbfedbfbf",
    ]
    // 6.13: first bytes alone, each with a blank behind it.
    + (0xc0...0xfd).map { String($0, radix: 16) + "20" }
}

struct WebSocketTextTests {
  /// Whether the pieces are a text, and how many bytes were taken until it was known that they are none.
  private static func check(_ pieces: [[UInt8]]) -> (isText: Bool, failedBehind: Int?) {
    var text = WebSocketText()
    var given = 0
    for piece in pieces {
      let area = ByteArea(piece)
      given += piece.count
      if !text.take(area.base, area.count) { return (false, given) }
    }
    return (text.isWhole, nil)
  }

  /// A text as a message: whole, cut anywhere, each byte in a frame of its own.
  private static func message(_ text: [UInt8], _ isText: Bool) {
    let expected: SocketEvent = isText ? .text(text) : .fault(1007)
    let frames =
      text.enumerated().map { SocketFrame(opcode: $0.offset == 0 ? 1 : 0, isFinal: false, payload: [$0.element]) }
      + [SocketFrame(opcode: text.isEmpty ? 1 : 0)]
    for bytes in [
      SocketFrame(payload: text).bytes(mask: [0x11, 0xc2, 0x83, 0xe4]),
      frames.flatMap { $0.bytes(mask: [0x0f, 0xf0, 0x55, 0xaa]) },
    ] {
      for feed in feeds(bytes) where WebSocketBench.read(feed, fromClient: true).outcome.events != [expected] {
        Issue.record("\(text) in \(feed.map(\.count))")
        return
      }
    }
  }

  @Test(arguments: TextVectors.good) func good(_ hex: String) throws {
    let text = try bytes(hex)
    // At every place of the words of eight bytes.
    for lead in 0..<36 {
      for tail in [0, 1, 7, 8, 33] {
        let padded = [UInt8](repeating: 0x61, count: lead) + text + [UInt8](repeating: 0x7a, count: tail)
        #expect(Self.check([padded]).isText, "\(lead) \(tail)")
      }
    }
    #expect(feeds(text).allSatisfy { Self.check($0).isText })
    Self.message(text, true)
  }

  @Test(arguments: TextVectors.bad) func bad(_ hex: String) throws {
    let text = try bytes(hex)
    for lead in 0..<36 {
      for tail in [0, 1, 7, 8, 33] {
        let padded = [UInt8](repeating: 0x61, count: lead) + text + [UInt8](repeating: 0x7a, count: tail)
        #expect(!Self.check([padded]).isText, "\(lead) \(tail)")
      }
    }
    #expect(feeds(text).allSatisfy { !Self.check($0).isText })
    Self.message(text, false)
    // The first byte behind which no text can go on is where it ends.
    let first = text.indices.first { !isTextBeginning(Array(text[...$0])) }
    #expect(Self.check(text.map { [$0] }).failedBehind == first.map { $0 + 1 })
  }

  /// All pairs of bytes, and all borders of longer ones: in one piece and byte by byte.
  @Test func allShortTexts() {
    let borders: [UInt8] = [
      0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xf0, 0xf4, 0xff,
    ]
    func compare(_ text: [UInt8]) {
      let isText = isText8(text)
      if Self.check([text]).isText != isText || Self.check(text.map { [$0] }).isText != isText {
        Issue.record("\(text)")
      }
    }
    for first in UInt8.min...UInt8.max {
      for second in UInt8.min...UInt8.max { compare([first, second]) }
    }
    for first: UInt8 in [0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5] {
      for second in borders {
        for third in borders {
          compare([first, second, third])
          for fourth in borders { compare([first, second, third, fourth]) }
        }
      }
    }
  }

  @Test func randomTexts() {
    var random = SeededGenerator(seed: 44)
    let parts = ["a", "plain text of some length, ", "\u{e9}", "\u{20ac}", "\u{1f600}", "\u{e01}\u{e02}", "\u{7ff}"]
    var texts = 0
    for _ in 0..<4_000 {
      var text = Array((0..<random.below(20)).map { _ in parts[random.below(parts.count)] }.joined().utf8)
      if !text.isEmpty, random.below(2) == 0 {
        text[random.below(text.count)] = UInt8(truncatingIfNeeded: random.next())
      }
      let isText = isText8(text)
      if isText { texts += 1 }
      for pieces in [[text], random.cut(text, longest: 5), random.cut(text, longest: 40)]
      where Self.check(pieces).isText != isText {
        Issue.record("\(text) in \(pieces.map(\.count))")
      }
    }
    #expect(texts > 1_000 && texts < 3_500)
  }
}
