import Testing

@testable import Edge

@Suite struct EventStreamTests {
  /// What the events of a stream say, scanned piece by piece; nil stands for an event without data.
  struct Reading: Equatable {
    var data: [String?] = []
    /// The bytes of all events.
    var bytes: [UInt8] = []
    var rest: [UInt8] = []
  }

  /// Gives the scanner the bytes up to each of these lengths in turn, leaving out whole events like a caller would.
  static func read(_ bytes: [UInt8], upTo lengths: [Int], last: Bool = false) -> Reading {
    var reading = Reading()
    var scanner = EventScanner()
    var done = 0
    for (step, length) in lengths.enumerated() {
      // A fresh area of exactly the size, so that a sanitizer sees a look behind its end.
      let area = ByteArea(Array(bytes[done..<length]))
      var from = 0
      while true {
        var next = scanner.next(area.base, from: from, area.count)
        if next == nil, last, step == lengths.count - 1 { next = scanner.last(area.base, from: from, area.count) }
        guard let event = next else { break }
        #expect(event.start == from && event.end > from && event.end <= area.count)
        reading.bytes += area.slice(event.start..<event.end)
        from = event.end
        if event.isTail { continue }
        reading.data.append(event.dataLines == 0 ? nil : data(area, event))
      }
      done += from
      reading.rest = area.slice(from..<area.count)
    }
    return reading
  }

  private static func data(_ area: ByteArea, _ event: StreamEvent) -> String {
    if event.dataLines == 1 {
      return String(decoding: area.slice(event.dataStart..<event.dataStart + event.dataCount), as: UTF8.self)
    }
    let copy = ByteArea([UInt8](repeating: 0, count: event.count))
    var writer = ByteWriter(base: copy.base, capacity: event.count)
    EventScanner.join(area.base, event, to: &writer)
    #expect(!writer.overflowed)
    return String(decoding: copy.slice(0..<writer.count), as: UTF8.self)
  }

  /// The streams of the specification's section and of openai-python's tests/test_streaming.py among them.
  static let streams: [(String, [String?], String)] = [
    ("data: a\n\n", ["a"], ""), ("data:a\n\n", ["a"], ""), ("data:  a\n\n", [" a"], ""), ("data: a\n", [], "data: a\n"),
    ("data: a\r\n\r\n", ["a"], ""), ("data: a\r\r", ["a"], ""), ("data: a\r\n\n", ["a"], ""),
    ("data: a\n\r\n", ["a"], ""), ("data: a\r\r\ndata: b\n\n", ["a", "b"], ""),
    ("data: a\n\ndata: b\n\n", ["a", "b"], ""), ("data: a\n\n\ndata: b\n\n", ["a", nil, "b"], ""),
    ("\n", [nil], ""), ("\r\n", [nil], ""), ("", [], ""), (": ping\n\n", [nil], ""), (":\n\ndata\n\n", [nil, ""], ""),
    ("data:\n\n", [""], ""), ("data\ndata\n\n", ["\n"], ""), ("data: \n\n", [""], ""),
    ("event: x\nid: 7\nretry: 10\ndata: a\nnonsense\n\n", ["a"], ""), ("datax: a\n\n", [nil], ""),
    ("dat\n\n", [nil], ""), ("Data: a\n\n", [nil], ""), (" data: a\n\n", [nil], ""),
    ("data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"], ""),
    (
      ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n", [nil, "first event", "second event"], ""
    ),
    (
      "event: ping\r\ndata: {\r\ndata: \"foo\":\r\ndata: \r\ndata:\r\ndata: true}\r\n\r\n", ["{\n\"foo\":\n\n\ntrue}"],
      ""
    ),
    ("data: \u{2028}\u{85}\u{b}x\n\n", ["\u{2028}\u{85}\u{b}x"], ""),
    ("\u{feff}data: a\n\n\u{feff}data: b\n\n", ["a", nil], ""), ("\u{feff}\ndata: b\n\n", [nil, "b"], ""),
    ("\u{feff}", [], "\u{feff}"), ("data: a\n\ndata: b", ["a"], "data: b"),
  ]

  @Test(arguments: streams) func wholeEvents(_ text: String, _ data: [String?], _ rest: String) {
    let bytes = Array(text.utf8)
    let whole = Self.read(bytes, upTo: [bytes.count])
    #expect(whole.data == data)
    #expect(whole.rest == Array(rest.utf8))
    #expect(whole.bytes + whole.rest == bytes)
  }

  @Test(arguments: streams) func anySplit(_ text: String, _ data: [String?], _ rest: String) {
    let bytes = Array(text.utf8)
    for first in 0...bytes.count {
      for second in first...bytes.count {
        let split = Self.read(bytes, upTo: [first, second, bytes.count])
        #expect(split.data == data, "\(first) \(second)")
        #expect(split.bytes + split.rest == bytes)
      }
    }
    #expect(Self.read(bytes, upTo: Array(0...bytes.count)).data == data)
  }

  @Test func theEndEndsAnEvent() {
    for (text, data) in [
      ("data: a", ["a"]), ("data: a\n", ["a"]), ("data: a\r", ["a"]), ("data: a\n\ndata: b\r\n", ["a", "b"]),
    ] {
      let bytes = Array(text.utf8)
      for split in 0...bytes.count {
        let reading = Self.read(bytes, upTo: [split, bytes.count], last: true)
        #expect(reading.data == data && reading.bytes == bytes && reading.rest.isEmpty, "\(text) \(split)")
      }
    }
    #expect(Self.read([], upTo: [0], last: true).data == [])
  }

  /// The blank line's CR ends the event; the LF that follows it later belongs to it.
  @Test func noEventWaitsForALineFeed() {
    let area = ByteArea(Array("data: a\r\n\r\ndata: b".utf8))
    var scanner = EventScanner()
    let event = scanner.next(area.base, from: 0, 10)
    #expect(event?.end == 10)
    #expect(scanner.next(area.base, from: 10, 10) == nil)
    #expect(scanner.next(area.base, from: 10, area.count) == StreamEvent(start: 10, end: 11, isTail: true))
  }

  @Test func longLinesAtEveryAlignment() {
    for length in 0..<40 {
      let text = "data: " + String(repeating: "x", count: length) + "\r\n\r\n"
      #expect(Self.read(Array(text.utf8), upTo: [text.utf8.count]).data == [String(repeating: "x", count: length)])
    }
  }
}
