// Server-sent events (WHATWG HTML, section 9.2.6): finds whole events in bytes that arrive in any pieces.
//
// Owns: where events and lines end, which lines are data.
// Called by: the metered relay, for every piece of a streamed answer.
// Never: changes, keeps or copies the bytes of the stream, and never waits for bytes that an event does not need.

import Glibc

/// One event; its places are offsets into the bytes that the scanner was given.
struct StreamEvent: BitwiseCopyable, Equatable {
  /// From its first byte to behind the blank line that ends it.
  var start: Int
  var end: Int
  /// What its first line of data says.
  var dataStart = 0
  var dataCount = 0
  /// How many lines of data it has: none is a comment or a blank line, more than one is read after `join`.
  var dataLines = 0
  /// Nothing but the LF of a CRLF whose CR ended the event before, in an earlier piece.
  var isTail = false

  var count: Int { end - start }
}

/// Where in a stream the search stands. The bytes of an event that is not whole must be given again with what follows.
struct EventScanner: BitwiseCopyable, Equatable {
  /// All relative to the event's start: how far it was searched, where its current line begins, its first data.
  private var scanned = 0
  private var line = 0
  private var dataStart = 0
  private var dataCount = 0
  private var dataLines = 0
  /// No line of the stream has ended, so a byte order mark may stand there.
  private var isFirst = true
  /// The last event ended with a CR at the end of a piece.
  private var followsCR = false

  /// The event that begins at `from`; nil while it is not whole.
  mutating func next(_ bytes: UnsafePointer<UInt8>, from: Int, _ count: Int) -> StreamEvent? {
    if from >= count { return nil }
    if followsCR {
      followsCR = false
      if bytes[from] == 0x0a { return StreamEvent(start: from, end: from + 1, isTail: true) }
    }
    while true {
      let place = Self.lineEnd(bytes, from + scanned, count)
      if place == count {
        scanned = count - from
        return nil
      }
      let start = from + line + markCount(bytes + from, count - from)
      var behind = place + 1
      if bytes[place] == 0x0d {
        if behind < count {
          if bytes[behind] == 0x0a { behind += 1 }
        } else if place > start {
          // The event goes on in any case, so the next byte can be awaited.
          scanned = place - from
          return nil
        } else {
          followsCR = true
        }
      }
      isFirst = false
      if place <= start { return finished(from, behind) }
      read(bytes, start, place, from)
      line = behind - from
      scanned = line
    }
  }

  /// What is left at the end of a stream, as if a blank line followed; nil when there is nothing.
  mutating func last(_ bytes: UnsafePointer<UInt8>, from: Int, _ count: Int) -> StreamEvent? {
    if from >= count { return nil }
    let start = from + line + markCount(bytes + from, count - from)
    let end = bytes[count - 1] == 0x0d ? count - 1 : count
    if start < end { read(bytes, start, end, from) }
    return finished(from, count)
  }

  private mutating func finished(_ from: Int, _ end: Int) -> StreamEvent {
    let event = StreamEvent(
      start: from, end: end, dataStart: from + dataStart, dataCount: dataCount, dataLines: dataLines)
    (scanned, line, dataStart, dataCount, dataLines) = (0, 0, 0, 0, 0)
    return event
  }

  private func markCount(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    isFirst && line == 0 && count >= 3 && bytes[0] == 0xef && bytes[1] == 0xbb && bytes[2] == 0xbf ? 3 : 0
  }

  private mutating func read(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ from: Int) {
    guard let value = Self.data(bytes, start, end) else { return }
    if dataLines == 0 {
      dataStart = value - from
      dataCount = end - value
    }
    dataLines += 1
  }

  /// Where the value of a line begins that is a line of data.
  private static func data(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int? {
    guard end - start >= 4, equalBytes(bytes + start, StaticBytes("data").start, 4) else { return nil }
    if end - start == 4 { return end }
    guard bytes[start + 4] == 0x3a else { return nil }
    let value = start + 5
    return value < end && bytes[value] == 0x20 ? value + 1 : value
  }

  /// The first CR or LF from here on; `count` when there is none.
  private static func lineEnd(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let raw = UnsafeRawPointer(bytes)
    var index = from
    while index &+ 8 <= count {
      let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let feed = word ^ (ones &* 0x0a)
      let carriage = word ^ (ones &* 0x0d)
      // The lowest flag of each is exact; flags above it may come from a borrow.
      let flags = ((feed &- ones) & ~feed | (carriage &- ones) & ~carriage) & (ones &* 0x80)
      if flags != 0 { return index &+ flags.trailingZeroBitCount >> 3 }
      index &+= 8
    }
    while index < count, bytes[index] != 0x0a, bytes[index] != 0x0d { index &+= 1 }
    return index
  }

  /// Writes the data of an event that has several lines of it, a line feed between them.
  static func join(_ bytes: UnsafePointer<UInt8>, _ event: StreamEvent, to writer: inout ByteWriter) {
    writer.append(bytes + event.dataStart, event.dataCount)
    var line = event.dataStart + event.dataCount
    while line < event.end {
      // A CRLF gives an empty line here, which is no data.
      let end = lineEnd(bytes, line, event.end)
      if let value = data(bytes, line, end) {
        writer.append(byte: 0x0a)
        writer.append(bytes + value, end - value)
      }
      line = end + 1
    }
  }
}
