import Testing

@testable import Edge

/// Frames and what must come of them, whoever sends them.
struct SocketVector: Sendable, CustomTestStringConvertible {
  let name: String
  let frames: [SocketFrame]
  let events: [SocketEvent]
  var max = 1 << 20
  var isInMessage = false

  var testDescription: String { name }

  init(
    _ name: String, _ frames: [SocketFrame], _ events: [SocketEvent], max: Int = 1 << 20, isInMessage: Bool = false
  ) {
    self.name = name
    self.frames = frames
    self.events = events
    self.max = max
    self.isInMessage = isInMessage
  }

  /// What a client or a server sends. The masks of a client's frames differ.
  func bytes(fromClient: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    for (index, frame) in frames.enumerated() {
      let mask: [UInt8] = [0x37, 0xfa, UInt8(truncatingIfNeeded: 0x21 &+ index), 0x3d]
      bytes += frame.bytes(mask: fromClient ? mask : nil)
    }
    return bytes
  }
}

enum SocketVectors {
  static let all = messages + lengths + controls + closes + codes + broken + limits

  private static func repeated(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x2a, count: count) }

  private static let messages: [SocketVector] = [
    SocketVector("nothing", [], []),
    SocketVector("text", [.text("Hello")], [.text("Hello")]),
    SocketVector("empty text", [.text("")], [.text("")]),
    SocketVector("empty binary", [SocketFrame(opcode: 2)], [.binary([])]),
    SocketVector(
      "binary is any bytes", [SocketFrame(opcode: 2, payload: [0xff, 0, 0xc0])], [.binary([0xff, 0, 0xc0])]),
    SocketVector("two messages", [.text("a"), .text("b")], [.text("a"), .text("b")]),
    SocketVector("text and binary", [.text("a"), SocketFrame(opcode: 2, payload: [1])], [.text("a"), .binary([1])]),
    SocketVector("fragments", [.text("Hel", isFinal: false), .more("lo", isFinal: true)], [.text("Hello")]),
    SocketVector(
      "many fragments", [.text("a", isFinal: false), .more("b"), .more("c"), .more("d", isFinal: true)],
      [.text("abcd")]),
    SocketVector(
      "empty fragments", [.text("", isFinal: false), .more(""), .more("x"), .more(""), .more("", isFinal: true)],
      [.text("x")]),
    SocketVector("all fragments empty", [.text("", isFinal: false), .more("", isFinal: true)], [.text("")]),
    SocketVector(
      "binary in fragments",
      [SocketFrame(opcode: 2, isFinal: false, payload: [0xe2]), SocketFrame(opcode: 0, payload: [0xff])],
      [.binary([0xe2, 0xff])]),
    SocketVector("a message begun", [.text("Hel", isFinal: false)], [], isInMessage: true),
    SocketVector(
      "a control frame between fragments", [.text("Hel", isFinal: false), .ping("p"), .more("lo", isFinal: true)],
      [.ping([0x70]), .text("Hello")]),
    SocketVector(
      "many of them",
      [
        .text("a", isFinal: false), .ping("1"), .ping("2"), .more("b"), SocketFrame(opcode: 10), .ping(),
        .more("c", isFinal: true), .ping("3"),
      ],
      [.ping([0x31]), .ping([0x32]), .pong([]), .ping([]), .text("abc"), .ping([0x33])]),
    SocketVector(
      "a close between fragments", [.text("a", isFinal: false), .close(1000), .more("b", isFinal: true)],
      [.close(1000, [])]),
    SocketVector(
      "a character over fragments, a ping within",
      [
        SocketFrame(isFinal: false, payload: [0xe2]), .ping("\u{20ac}"),
        SocketFrame(opcode: 0, isFinal: false, payload: [0x82]), SocketFrame(opcode: 0, payload: [0xac]),
      ],
      [.ping([0xe2, 0x82, 0xac]), .text("\u{20ac}")]),
  ]

  /// The borders of the three forms of a length, and lengths that are not in their shortest form.
  private static let lengths: [SocketVector] =
    [124, 125, 126, 127, 128, 65_535, 65_536].map {
      SocketVector(
        "\($0) bytes", [SocketFrame(opcode: 2, payload: repeated($0)), .ping()], [.binary(repeated($0)), .ping([])])
    }
    + [0, 1, 125].flatMap { count in
      [
        SocketVector("\(count) as medium", [SocketFrame(payload: repeated(count), form: .medium)], [.fault(1002)]),
        SocketVector("\(count) as wide", [SocketFrame(payload: repeated(count), form: .wide)], [.fault(1002)]),
      ]
    }
    + [126, 65_535].map {
      SocketVector("\($0) as wide", [SocketFrame(payload: repeated($0), form: .wide)], [.fault(1002)])
    }
    + ([1 << 63, UInt64.max, (1 << 63) + 5] as [UInt64]).map {
      SocketVector("highest bit: \($0)", [SocketFrame(form: .wide, length: $0)], [.fault(1002)], max: .max)
    }

  private static let controls: [SocketVector] =
    [
      SocketVector(
        "ping and pong", [.ping(), SocketFrame(opcode: 10, payload: [1, 2])], [.ping([]), .pong([1, 2])]),
      SocketVector("a ping is any bytes", [SocketFrame(opcode: 9, payload: [0, 0xff])], [.ping([0, 0xff])]),
      SocketVector("a ping of 125", [SocketFrame(opcode: 9, payload: repeated(125))], [.ping(repeated(125))]),
      SocketVector(
        "a longer and a shorter one", [.ping("long"), .ping("s"), .ping()],
        [.ping(raw("long")), .ping([0x73]), .ping([])]
      ),
    ]
    + [UInt8(8), 9, 10].flatMap { opcode in
      [
        SocketVector("\(opcode) of 126", [SocketFrame(opcode: opcode, payload: repeated(126))], [.fault(1002)]),
        SocketVector(
          "\(opcode) of 65,536", [SocketFrame(opcode: opcode, payload: repeated(65_536))], [.fault(1002)]),
        SocketVector("\(opcode) as medium", [SocketFrame(opcode: opcode, form: .medium)], [.fault(1002)]),
        SocketVector("\(opcode) in fragments", [SocketFrame(opcode: opcode, isFinal: false)], [.fault(1002)]),
      ]
    }

  private static let closes: [SocketVector] = [
    SocketVector("a close without a code", [SocketFrame(opcode: 8)], [.close(nil, [])]),
    SocketVector("a close of one byte", [SocketFrame(opcode: 8, payload: [3])], [.fault(1002)]),
    SocketVector("a close with a code", [.close(1000)], [.close(1000, [])]),
    SocketVector("a close with a reason", [.close(1001, raw("bye"))], [.close(1001, raw("bye"))]),
    SocketVector("the longest reason", [.close(4000, repeated(123))], [.close(4000, repeated(123))]),
    SocketVector("a reason beyond ASCII", [.close(1000, [0xe2, 0x82, 0xac])], [.close(1000, [0xe2, 0x82, 0xac])]),
    SocketVector("a reason that is no text", [.close(1000, [0x61, 0xff])], [.fault(1007)]),
    SocketVector("a reason that ends in a character", [.close(1000, [0x61, 0xe2, 0x82])], [.fault(1007)]),
    SocketVector("a bad code goes before a bad reason", [.close(1005, [0xff])], [.fault(1002)]),
    SocketVector("frames behind a close", [.close(1000), .ping(), .text("x")], [.close(1000, [])]),
    SocketVector("nonsense behind a close", [SocketFrame(opcode: 8), SocketFrame(opcode: 15)], [.close(nil, [])]),
    SocketVector(
      "a close in a message", [.text("x", isFinal: false), SocketFrame(opcode: 8, payload: [1])], [.fault(1002)]),
  ]

  private static let goodCodes: [UInt16] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999,
  ]
  private static let badCodes: [UInt16] = [
    0, 1, 255, 256, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 5001, 32_768, 65_535,
  ]
  private static let codes: [SocketVector] =
    goodCodes.map { SocketVector("code \($0)", [.close($0)], [.close($0, [])]) }
    + badCodes.map { SocketVector("code \($0)", [.close($0)], [.fault(1002)]) }

  private static let broken: [SocketVector] =
    [UInt8](1...7).flatMap { bits in
      [UInt8(1), 2, 9, 8, 0].map {
        SocketVector("reserved bits \(bits) of \($0)", [SocketFrame(opcode: $0, reserved: bits)], [.fault(1002)])
      }
    }
    + [UInt8(3), 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap { opcode in
      [
        SocketVector("opcode \(opcode)", [SocketFrame(opcode: opcode)], [.fault(1002)]),
        SocketVector(
          "opcode \(opcode) in a message",
          [.text("a", isFinal: false), .ping(), SocketFrame(opcode: opcode, payload: [1])], [.ping([]), .fault(1002)]),
      ]
    }
    + [
      SocketVector("a continuation of nothing", [.more("x", isFinal: true)], [.fault(1002)]),
      SocketVector("a first fragment that continues", [.more("x")], [.fault(1002)]),
      SocketVector(
        "a continuation behind the end", [.text("a"), .more("b", isFinal: true)], [.text("a"), .fault(1002)]),
      SocketVector("a continued ping", [.ping(), .more("", isFinal: true)], [.ping([]), .fault(1002)]),
      SocketVector("a text in a text", [.text("a", isFinal: false), .text("b")], [.fault(1002)]),
      SocketVector(
        "a binary in a text", [.text("a", isFinal: false), .more("b"), SocketFrame(opcode: 2)], [.fault(1002)]),
      SocketVector(
        "a text in a binary", [SocketFrame(opcode: 2, isFinal: false), .ping(), .text("b", isFinal: false)],
        [.ping([]), .fault(1002)]),
      SocketVector(
        "what stands in front counts", [.text("a"), .ping("b"), SocketFrame(opcode: 3)],
        [
          .text("a"), .ping([0x62]), .fault(1002),
        ]),
      SocketVector("nothing behind a fault", [SocketFrame(opcode: 3), .text("a"), .close(1000)], [.fault(1002)]),
    ]

  private static let limits: [SocketVector] = [
    SocketVector("as long as may be", [.text("12345678")], [.text("12345678")], max: 8),
    SocketVector("one too long", [.text("123456789")], [.fault(1009)], max: 8),
    SocketVector("none of it has come", [SocketFrame(length: 9)], [.fault(1009)], max: 8),
    SocketVector("far too long", [SocketFrame(form: .wide, length: UInt64(Int.max))], [.fault(1009)], max: 8),
    SocketVector(
      "the widest limit", [SocketFrame(form: .wide, length: UInt64(Int.max))], [], max: .max, isInMessage: true),
    SocketVector(
      "beyond the widest limit",
      [.text("x", isFinal: false), SocketFrame(opcode: 0, form: .wide, length: UInt64(Int.max))],
      [.fault(1009)], max: .max),
    SocketVector(
      "fragments together", [.text("1234", isFinal: false), .more("5678"), .more("", isFinal: true)],
      [.text("12345678")], max: 8),
    SocketVector(
      "fragments together, one too long", [.text("1234", isFinal: false), .more("5678"), .more("9")], [.fault(1009)],
      max: 8),
    SocketVector(
      "only a beginning is announced", [.text("1234", isFinal: false), SocketFrame(opcode: 0, length: 5)],
      [.fault(1009)], max: 8),
    SocketVector(
      "each message by itself", [.text("12345"), .text("67890")], [.text("12345"), .text("67890")], max: 8),
    SocketVector(
      "control frames do not count", [.ping("0123456789"), .text("")], [.ping(raw("0123456789")), .text("")], max: 0),
    SocketVector("the mistake seen first", [SocketFrame(payload: repeated(20), form: .wide)], [.fault(1002)], max: 8),
    SocketVector("text that is none behind the limit", [SocketFrame(payload: [0xff, 0x61])], [.fault(1009)], max: 1),
  ]

  // MARK: Raw bytes

  /// Bytes as they were on a wire: the examples of RFC 6455 section 5.7, what clients send, and what breaks readers.
  /// `c` is said by a client, `s` by a server.
  static let corpus: [(said: Character, hex: String, events: [SocketEvent])] = [
    // RFC 6455 section 5.7.
    ("s", "810548656c6c6f", [.text("Hello")]),
    ("c", "818537fa213d7f9f4d5158", [.text("Hello")]),
    ("s", "010348656c 80026c6f", [.text("Hello")]),
    ("s", "890548656c6c6f", [.ping(raw("Hello"))]),
    ("c", "8a8537fa213d7f9f4d5158", [.pong(raw("Hello"))]),
    ("s", "827e0100" + String(repeating: "00", count: 256), [.binary([UInt8](repeating: 0, count: 256))]),
    // A key of zeros and one of ones.
    ("c", "818500000000 48656c6c6f", [.text("Hello")]),
    ("c", "8185ffffffff b79a939390", [.text("Hello")]),
    // What a browser sends at the end, and a library's empty close.
    ("c", "888212345678 11dc", [.close(1000, [])]),
    ("c", "888212345678 11dd", [.close(1001, [])]),
    ("c", "8880deadbeef", [.close(nil, [])]),
    ("s", "880203e8", [.close(1000, [])]),
    ("s", "881303e9 73657276657220676f65732061776179 21", [.close(1001, raw("server goes away!"))]),
    // The empty frames with their masks.
    ("c", "818012345678", [.text("")]),
    ("c", "898012345678 8a8000000000", [.ping([]), .pong([])]),
    // A client without a mask, a server with one.
    ("c", "810548656c6c6f", [.fault(1002)]),
    ("c", "8900", [.fault(1002)]),
    ("c", "8800", [.fault(1002)]),
    ("c", "81", []),
    ("c", "8100", [.fault(1002)]),
    ("c", "817e", [.fault(1002)]),
    ("s", "818537fa213d7f9f4d5158", [.fault(1002)]),
    ("s", "8980", [.fault(1002)]),
    ("s", "8880", [.fault(1002)]),
    // Each at the byte that shows it: nothing more has come.
    ("c", "c1", [.fault(1002)]), ("c", "a1", [.fault(1002)]), ("c", "91", [.fault(1002)]), ("c", "f1", [.fault(1002)]),
    ("c", "83", [.fault(1002)]), ("c", "8b", [.fault(1002)]), ("c", "8f", [.fault(1002)]), ("c", "00", [.fault(1002)]),
    ("c", "80", [.fault(1002)]), ("c", "08", [.fault(1002)]), ("c", "09", [.fault(1002)]), ("c", "0a", [.fault(1002)]),
    ("c", "89fe", [.fault(1002)]), ("c", "88ff", [.fault(1002)]), ("c", "81ff80", [.fault(1002)]),
    ("c", "81fe007d", [.fault(1002)]), ("c", "81fe0000", [.fault(1002)]),
    ("c", "81ff000000000000ffff", [.fault(1002)]), ("c", "81ff0000000000000000", [.fault(1002)]),
    ("c", "81ff0000000000100001", [.fault(1009)]), ("c", "81ff7fffffffffffffff", [.fault(1009)]),
    ("c", "81ff000000000010 0000", []), ("c", "81fe007e", []), ("c", "81fe", []),
    // Other protocols that are sent to the wrong place.
    ("c", "474554202f20485454502f312e31", [.fault(1002)]),
    ("c", "1603010200", [.fault(1002)]),
    ("c", "505249202a20485454502f322e30", [.fault(1002)]),
    ("c", "00000012040000000000", [.fault(1002)]),
    // A character whose first byte comes masked in one frame and whose rest in another with another mask.
    ("c", "018101010101 e3 808255aa55aa d706", [.text("\u{20ac}")]),
    // Text that is none: at its first byte, although more is announced.
    ("c", "818500000000 ff", [.fault(1007)]), ("c", "818500000000 6180", [.fault(1007)]),
    ("c", "818500000000 eda0", [.fault(1007)]), ("c", "818500000000 f490", [.fault(1007)]),
    ("c", "818500000000 c0", [.fault(1007)]), ("c", "818100000000 c2", [.fault(1007)]),
    ("c", "018100000000 c2 808000000000", [.fault(1007)]), ("c", "018100000000 c2 808100000000 41", [.fault(1007)]),
  ]
}
