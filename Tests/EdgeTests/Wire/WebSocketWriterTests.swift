import Testing

@testable import Edge

struct WebSocketWriterTests {
  private static let mask = WebSocketMask(key: 0x3d21_fa37)
  private static let maskBytes: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]

  /// What is written into an area of exactly this size; nil: it did not fit, and nothing stands there.
  private func writing(_ capacity: Int = 70_000, _ body: (inout ByteWriter) -> Void) -> [UInt8]? {
    let (text, overflowed) = written(capacity: capacity, body)
    #expect(!overflowed || text.isEmpty)
    return overflowed ? nil : raw(text)
  }

  /// The forms of a length: two bytes, four, ten.
  @Test(arguments: [
    (0, "8100"), (1, "8101"), (125, "817d"), (126, "817e007e"), (127, "817e007f"), (65_535, "817effff"),
    (65_536, "817f0000000000010000"), (1 << 32, "817f0000000100000000"), (Int.max, "817f7fffffffffffffff"),
  ])
  func heads(_ payload: Int, _ hex: String) throws {
    let head = try bytes(hex)
    #expect(writing { $0.appendFrameHead(.text, payload: payload) } == head)
    #expect(WebSocketFrame.headBytes(payload: payload, isMasked: false) == head.count)
    let masked = [head[0], head[1] | 0x80] + head.dropFirst(2) + Self.maskBytes
    #expect(writing { $0.appendFrameHead(.text, payload: payload, mask: Self.mask) } == masked)
    #expect(WebSocketFrame.headBytes(payload: payload, isMasked: true) == masked.count)
    #expect(masked.count <= WebSocketFrame.headBytesMax)
    // All or nothing.
    #expect(writing(head.count - 1) { $0.appendFrameHead(.text, payload: payload) } == nil)
    #expect(writing(head.count) { $0.appendFrameHead(.text, payload: payload) } == head)
  }

  @Test func kindsOfFrames() throws {
    let kinds: [(WebSocketOpcode, UInt8)] = [
      (.continuation, 0), (.text, 1), (.binary, 2), (.close, 8), (.ping, 9), (.pong, 10),
    ]
    for (opcode, number) in kinds {
      #expect(writing { $0.appendFrameHead(opcode, payload: 5) } == [0x80 | number, 5])
      #expect(writing { $0.appendFrameHead(opcode, isFinal: false, payload: 5) } == [number, 5])
      #expect(opcode.isControl == (number >= 8))
    }
  }

  @Test(arguments: [0, 1, 125, 126, 4_000, 65_535, 65_536]) func textFrames(_ count: Int) {
    let payload = (0..<count).map { UInt8(0x20 + $0 % 90) }
    for mask in [nil, Self.mask] {
      let frame = SocketFrame(payload: payload).bytes(mask: mask == nil ? nil : Self.maskBytes)
      let area = ByteArea([UInt8](repeating: 0xee, count: 6 + frame.count + 6))
      for room in [area.count, 6 + frame.count, 6 + frame.count - 1, 6 + count] {
        var writer = ByteWriter(base: area.base, capacity: room)
        writer.append("before")
        payload.withUnsafeBufferPointer { bytes in
          if let base = bytes.baseAddress { writer.append(base, count) }
        }
        let fits = writer.frameText(from: 6, mask: mask)
        #expect(fits == (room >= 6 + frame.count) && fits == !writer.overflowed)
        if room == area.count { writer.append("behind") }
        // Without room for the head what was written stays as it was.
        let expected = raw("before") + (fits ? frame : payload) + (room == area.count ? raw("behind") : [])
        #expect(area.slice(0..<writer.count) == expected)
      }
    }
  }

  @Test func framesOfAnyKind() {
    let area = ByteArea([UInt8](repeating: 0xee, count: 9))
    var writer = ByteWriter(base: area.base, capacity: 9)
    writer.append("Hel")
    let begins = writer.frame(.text, isFinal: false, from: 0)
    writer.append("lo")
    let ends = writer.frame(.continuation, from: 5)
    #expect(begins && ends && area.slice(0..<9) == [0x01, 3] + raw("Hel") + [0x80, 2] + raw("lo"))
    // A writer that has overflowed frames nothing.
    writer.rewind(to: 0)
    writer.append("more than nine")
    writer.append("less")
    let fits = writer.frameText(from: 0)
    #expect(!fits && writer.overflowed && writer.count == 0)
  }

  @Test func controlFrames() {
    for count in [0, 1, 124, 125] {
      let payload = [UInt8](repeating: 0xc3, count: count)
      for (opcode, number) in [(WebSocketOpcode.ping, UInt8(9)), (.pong, 10)] {
        for mask in [nil, Self.mask] {
          func write(_ writer: inout ByteWriter) {
            payload.withUnsafeBufferPointer { writer.appendControl(opcode, $0, mask: mask) }
          }
          let frame = SocketFrame(opcode: number, payload: payload).bytes(mask: mask == nil ? nil : Self.maskBytes)
          #expect(writing(frame.count, write) == frame)
          #expect(writing(frame.count - 1, write) == nil)
        }
      }
    }
    #expect(writing { $0.appendControl(.ping, UnsafeBufferPointer(start: nil, count: 0)) } == [0x89, 0])
  }

  @Test func closeFrames() throws {
    #expect(writing { $0.appendClose(nil) } == [0x88, 0])
    #expect(writing { $0.appendClose(.normal) } == [0x88, 2, 0x03, 0xe8])
    #expect(writing { $0.appendClose(.sessionExpired, reason: "gone") } == [0x88, 6, 0x11, 0x31] + raw("gone"))
    #expect(writing { $0.appendClose(nil, mask: Self.mask) } == [0x88, 0x80] + Self.maskBytes)
    #expect(
      writing { $0.appendClose(.goingAway, reason: "bye", mask: Self.mask) }
        == SocketFrame.close(1001, raw("bye")).bytes(mask: Self.maskBytes))
    for capacity in 0..<9 {
      #expect(written(capacity: capacity) { $0.appendClose(.goingAway, reason: "later") }.overflowed)
    }
    #expect(!written(capacity: 9) { $0.appendClose(.goingAway, reason: "later") }.overflowed)
  }

  /// What a close may say is what a reader takes.
  @Test func sendableCodes() {
    for code in UInt16.min...UInt16.max {
      let expected =
        (1000...1014).contains(code) && ![1004, 1005, 1006].contains(code) || (3000...4999).contains(code)
      if CloseCode(rawValue: code).isSendable != expected { Issue.record("\(code)") }
    }
    let known: [CloseCode] = [
      .normal, .goingAway, .protocolError, .unsupported, .badText, .policyViolation, .tooLarge, .internalError,
      .restart, .tryLater, .sessionExpired,
    ]
    #expect(known.allSatisfy { $0.isSendable })
  }

  // MARK: Masks

  /// Every length around the words, every beginning, every cut: as one byte after the other would be masked.
  @Test func masksInPlace() {
    var random = SeededGenerator(seed: 45)
    for count in 0..<40 {
      for offset in 0..<8 {
        let bytes = random.bytes(count)
        let key = random.bytes(4)
        let expected = bytes.enumerated().map { $0.element ^ key[$0.offset % 4] }
        for cut in 0...count {
          let area = ByteArea(bytes, headroom: offset, tail: 9)
          var mask = WebSocketMask(key: key.reversed().reduce(0) { $0 << 8 | UInt32($1) })
          mask.apply(area.base, cut)
          mask.apply(area.base + cut, count - cut)
          if area.slice(0..<count) != expected { Issue.record("\(count) at \(offset) cut at \(cut)") }
          if area.slice(count..<count + 9) != [UInt8](repeating: 0xee, count: 9) { Issue.record("behind \(count)") }
        }
      }
    }
  }

  // MARK: There and back

  /// What the writer writes the reader reads, in both roles, and so does the reference.
  @Test(arguments: [true, false]) func roundTrips(_ fromClient: Bool) {
    var random = SeededGenerator(seed: 46)
    for round in 0..<200 {
      var events: [SocketEvent] = []
      let area = ByteArea([UInt8](repeating: 0xee, count: round % 40 == 0 ? 500_000 : 20_000))
      var writer = ByteWriter(base: area.base, capacity: area.count)
      func mask() -> WebSocketMask? { fromClient ? WebSocketMask(key: UInt32(truncatingIfNeeded: random.next())) : nil }
      for _ in 0...random.below(6) {
        let payload = random.bytes(random.below(round % 40 == 0 ? 70_000 : [20, 140, 300][random.below(3)])).map {
          $0 & 0x7f
        }
        let isText = random.below(3) > 0
        let opcode: WebSocketOpcode = isText ? .text : .binary
        events.append(.message(payload, isText: isText))
        let pieces = random.below(2) == 0 ? [payload] : random.cut(payload, longest: 1 + payload.count / 3)
        for (number, piece) in (pieces.isEmpty ? [[]] : pieces).enumerated() {
          let start = writer.count
          piece.withUnsafeBufferPointer { if let base = $0.baseAddress { writer.append(base, $0.count) } }
          let isFinal = number >= pieces.count - 1
          let part: WebSocketOpcode = number == 0 ? opcode : .continuation
          let fits = writer.frame(part, isFinal: isFinal, from: start, mask: mask())
          #expect(fits)
          if random.below(4) > 0 { continue }
          let text = random.bytes(random.below(126))
          text.withUnsafeBufferPointer { writer.appendControl(.ping, $0, mask: mask()) }
          events.insert(.ping(text), at: isFinal ? events.count : events.count - 1)
        }
      }
      writer.appendClose(.tryLater, reason: "later", mask: mask())
      events.append(.close(1013, raw("later")))
      let bytes = area.slice(0..<writer.count)
      #expect(!writer.overflowed && ReferenceReader.read(bytes, fromClient: fromClient).events == events)
      for pieces in [[bytes], random.cut(bytes, longest: 3_000)] {
        let (outcome, complaints) = WebSocketBench.read(pieces, fromClient: fromClient)
        if outcome.events != events || !complaints.isEmpty { Issue.record("round \(round): \(complaints)") }
      }
      // Nobody takes what the other role says.
      #expect(ReferenceReader.read(bytes, fromClient: !fromClient).events == [.fault(1002)])
      #expect(WebSocketBench.read([bytes], fromClient: !fromClient).outcome.events == [.fault(1002)])
    }
  }
}
