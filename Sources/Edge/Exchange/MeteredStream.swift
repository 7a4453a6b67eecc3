// The pure part of a streamed answer that is metered: reads whole events as they arrive, takes out what the client did
// not ask for, and holds the end back until it is settled.
//
// Owns: what was seen so far; which events pass, wait or are taken out.
// Called by: the relay, for every piece of the answer's content, before it is written.
// Never: changes an event, waits, or knows sockets, prices and ledgers.

import Glibc

/// What a piece of a stream becomes. The three regions stand one behind the other at the start of the bytes that were
/// given.
struct MeteredPiece: BitwiseCopyable, Equatable {
  /// Whole events that the client may have now.
  var passCount = 0
  /// Whole events that wait for the settlement.
  var heldCount = 0
  /// The beginning of an event; to be given again, with what follows it.
  var restCount = 0
  /// An event is longer than any may be, or more was held than may be: the answer must be cut behind what passes.
  var isFault = false
}

/// What is known of one streamed answer.
struct MeteredStream: BitwiseCopyable, Equatable {
  /// The longest event, and the most that may be held.
  static let eventBytesMax = 256 << 10
  /// Events whose data has several lines are read up to this length; longer ones pass unread.
  static let joinedBytesMax = 64 << 10

  /// The last usage that was reported.
  private(set) var usage = Usage()
  /// Bytes of content in all events.
  private(set) var contentBytes: Int64 = 0
  /// The provider said that the answer is complete.
  private(set) var sawEnd = false
  /// The provider said that it failed.
  private(set) var sawError = false
  /// The provider has said why it stops.
  private var sawFinish = false
  /// From some event on, everything waits for the settlement.
  private(set) var isHolding = false
  private var heldBytes = 0
  private var scanner = EventScanner()
  /// The last event was taken out.
  private var wasStripped = false

  /// Takes what the last call left over with what arrived behind it. Events move together in place.
  mutating func take(
    _ bytes: BytePointer, _ count: Int, dialect: DialectName, stripsUsage: Bool, _ document: JSONDocument
  ) -> MeteredPiece {
    take(bytes, count, dialect: dialect, stripsUsage: stripsUsage, isLast: false, document)
  }

  /// The same at the end of the answer: what is left over is an event although no blank line ended it.
  mutating func takeLast(
    _ bytes: BytePointer, _ count: Int, dialect: DialectName, stripsUsage: Bool, _ document: JSONDocument
  ) -> MeteredPiece {
    take(bytes, count, dialect: dialect, stripsUsage: stripsUsage, isLast: true, document)
  }

  private mutating func take(
    _ bytes: BytePointer, _ count: Int, dialect: DialectName, stripsUsage: Bool, isLast: Bool, _ document: JSONDocument
  ) -> MeteredPiece {
    var piece = MeteredPiece()
    var from = 0
    var to = 0
    while true {
      var next = scanner.next(bytes, from: from, count)
      if next == nil, isLast { next = scanner.last(bytes, from: from, count) }
      guard let event = next else { break }
      if event.count > Self.eventBytesMax {
        piece.isFault = true
        break
      }
      if !event.isTail { wasStripped = note(event, bytes, dialect, document) && stripsUsage }
      from = event.end
      if wasStripped { continue }
      if to != event.start { memmove(bytes + to, bytes + event.start, event.count) }
      to += event.count
      if isHolding { piece.heldCount += event.count } else { piece.passCount += event.count }
    }
    piece.restCount = count - from
    if to != from { memmove(bytes + to, bytes + from, piece.restCount) }
    heldBytes += piece.heldCount
    if piece.restCount > Self.eventBytesMax || heldBytes > Self.eventBytesMax { piece.isFault = true }
    return piece
  }

  /// Takes down what an event says. True when it says nothing but the usage.
  private mutating func note(
    _ event: StreamEvent, _ bytes: UnsafePointer<UInt8>, _ dialect: DialectName, _ document: JSONDocument
  ) -> Bool {
    if event.dataLines == 0 { return false }
    let said =
      event.dataLines == 1
      ? Dialect.readEvent(
        dialect, UnsafeBufferPointer(start: bytes + event.dataStart, count: event.dataCount), document)
      : readJoined(event, bytes, dialect, document)
    contentBytes += said.contentBytes
    if said.finishes { sawFinish = true }
    // Some providers say again and again what was used so far; only what comes with the end waits.
    if said.usage.source == .reported {
      usage = said.usage
      if sawFinish { isHolding = true }
    }
    switch said.kind {
    case .part, .usageOnly: break
    case .end:
      sawEnd = true
      isHolding = true
    case .error: sawError = true
    }
    return said.kind == .usageOnly
  }

  /// No provider is known to write such events, so they may cost an allocation.
  private func readJoined(
    _ event: StreamEvent, _ bytes: UnsafePointer<UInt8>, _ dialect: DialectName, _ document: JSONDocument
  ) -> ModelEvent {
    if event.count > Self.joinedBytesMax { return ModelEvent() }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: event.count) { area in
      guard let base = area.baseAddress else { return ModelEvent() }
      var writer = ByteWriter(base: base, capacity: event.count)
      EventScanner.join(bytes, event, to: &writer)
      return Dialect.readEvent(dialect, UnsafeBufferPointer(start: base, count: writer.count), document)
    }
  }
}
