// The pure part of a streamed answer that is metered: reads whole events as they arrive, takes out what the client did
// not ask for or says it in the client's dialect, and holds back the beginning, until it is sure that an answer
// follows, and the end, until it is settled.
//
// Owns: what was seen so far; which events pass, wait or are taken out; how far a translation has come.
// Called by: the relay, for every piece of the answer's content, before it is written.
// Never: waits, or knows sockets, prices and ledgers.

import Glibc

/// What a piece of a stream becomes. Of the bytes for the client those that pass stand in front of those that are held:
/// at the start of the bytes that were given, or where the writer was.
struct MeteredPiece: BitwiseCopyable, Equatable {
  /// Whole events that the client may have now.
  var passCount = 0
  /// Whole events that wait: for the settlement, or for a sign that an answer follows.
  var heldCount = 0
  /// The last so many of the bytes that were given: to be given again, with what follows them.
  var restCount = 0
  /// What earlier pieces have held goes to the client as well, in front of what passes now.
  var opens = false
  /// The answer must be cut behind what passes: an event is longer than any may be, more was held than may be, or
  /// something cannot be said in the client's dialect.
  var isFault = false
  /// The provider has failed, and the client has nothing of its answer: what was held is worth nothing either. The rest
  /// begins with what the provider says about it.
  var isRefused = false
  /// The writer has no room for the next event: the rest is to be given again, with a fresh writer, even if there is
  /// none. When there is neither anything that passes nor anything held, one event needs more room than there was.
  var isFull = false
}

/// What is known of one streamed answer.
struct MeteredStream: BitwiseCopyable, Equatable {
  /// The longest event, and the most that may be held.
  static let eventBytesMax = 256 << 10
  /// Events whose data has several lines are read up to this length; longer ones pass unread.
  static let joinedBytesMax = 64 << 10
  /// How much and how long a stream may open: with the next event it passes, whatever that is.
  static let openingBytesMax = 16 << 10
  static let openingMilliseconds: UInt64 = 10_000

  /// The usage so far.
  private(set) var usage = Usage()
  /// Bytes of content in all events, and in those up to the one that told the usage.
  private(set) var contentBytes: Int64 = 0
  private var coveredBytes: Int64 = 0
  /// The provider said that the answer is complete.
  private(set) var sawEnd = false
  /// The provider said that it failed, and how.
  private(set) var sawError = false
  private(set) var errorCode = ErrorCode.providerError
  /// How many answers were asked for, and how many of them the provider has said the end of.
  private let choices: Int64
  private var choicesFinished: Int64 = 0
  /// The provider has said why it stops.
  private var sawFinish: Bool { choicesFinished >= choices }
  /// Nothing has come but what opens a stream; all of it is held.
  private(set) var isOpening = true
  /// An event has come, whatever it says.
  var hasStarted: Bool { opened != nil }
  /// The client has a part of the answer, or gets it now.
  private(set) var hasPassed = false
  /// From some event on, everything waits for the settlement.
  private(set) var isHolding = false
  /// What went in was told before anything came out, and of that only the beginning since.
  private var toldInput = false
  private var onlyInput = false
  /// What went in was told at all.
  private var knowsInput = false
  private var heldBytes = 0
  private var openingBytes = 0
  /// When the first event came; nil: none has.
  private var opened: UInt64?
  private var scanner = EventScanner()
  /// The last event was taken out.
  private var wasStripped = false
  private var writing = StreamWriting()
  /// Why the model has stopped, of a stream that is told in another dialect that keeps it for the end.
  var finishReason: FinishReason? { writing.reason }

  /// An answer to a request for so many at once.
  init(choices: Int64 = 1) { self.choices = choices }

  // MARK: In the dialect of the provider

  /// Takes what the last call left over with what arrived behind it. Events move together in place. `isLast`: the
  /// answer is over, so what is left over is an event although no blank line ended it. `now` is in milliseconds.
  mutating func take(
    _ bytes: BytePointer, _ count: Int, dialect: DialectName, stripsUsage: Bool, isLast: Bool = false, now: UInt64,
    _ document: JSONDocument
  ) -> MeteredPiece {
    var piece = MeteredPiece()
    var from = 0
    var to = 0
    while let event = nextEvent(bytes, from, count, isLast: isLast) {
      if event.count > Self.eventBytesMax {
        piece.isFault = true
        break
      }
      if !event.isTail {
        let said = read(event, bytes, dialect, document)
        if isRefusal(said) {
          (sawError, errorCode) = (true, said.errorCode)
          piece.isRefused = true
          break
        }
        let isDropped = sawEnd && !isLateUsage(said)
        if !isDropped { note(said, now) }
        wasStripped = isDropped || said.kind == .usageOnly && stripsUsage
      }
      if isOpening { openingBytes += event.count }
      from = event.end
      let count = wasStripped ? 0 : event.count
      if to != event.start { memmove(bytes + to, bytes + event.start, count) }
      to += count
      place(count, &piece)
    }
    finish(&piece, rest: count - from)
    return piece
  }

  /// What one event says. One whose data has several lines is joined first: no provider is known to write such events,
  /// so they may cost an allocation.
  private func read(
    _ event: StreamEvent, _ bytes: UnsafePointer<UInt8>, _ dialect: DialectName, _ document: JSONDocument
  ) -> ModelEvent {
    if event.dataLines == 0 { return Self.comment }
    return Self.withData(of: event, bytes) { data in Dialect.readEvent(dialect, data, document) } ?? ModelEvent()
  }

  // MARK: In another dialect

  /// The same for a client of another dialect: what the events say is written for it. An event whose writing does not
  /// fit is left over. At the end of an answer that is complete but for its last event, that event is written too. What
  /// of the events that were said is needed at the end stands in `parts.kept`, and in nothing else.
  mutating func translate(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, from: DialectName, to: DialectName, identity: AnswerIdentity,
    isLast: Bool, now: UInt64, _ document: JSONDocument, _ parts: ModelParts, to writer: inout ByteWriter
  ) -> MeteredPiece {
    var piece = MeteredPiece()
    var place = 0
    parts.cutKept(to: 0)
    while true {
      let before = self
      guard let event = nextEvent(bytes, place, count, isLast: isLast) else { break }
      if event.count > Self.eventBytesMax {
        piece.isFault = true
        break
      }
      let outcome = event.isTail ? .said : say(event, bytes, from, to, identity, now, document, parts, &piece, &writer)
      guard outcome == .said else {
        giveUp(outcome, &piece, before)
        break
      }
      if isOpening { openingBytes += event.count }
      place = event.end
    }
    if isLast, place == count, !piece.isFault { sayEnd(to, identity, parts, &piece, &writer) }
    finish(&piece, rest: count - place)
    return piece
  }

  private enum Outcome: Equatable {
    case said, full, unsayable
    case refused(ErrorCode)
  }

  /// Says one event. Unless it is said, nothing of it is written.
  private mutating func say(
    _ event: StreamEvent, _ bytes: UnsafePointer<UInt8>, _ from: DialectName, _ to: DialectName,
    _ identity: AnswerIdentity, _ now: UInt64, _ document: JSONDocument, _ parts: ModelParts,
    _ piece: inout MeteredPiece, _ writer: inout ByteWriter
  ) -> Outcome {
    parts.reset()
    writing.now = now
    if event.dataLines == 0 {
      if sawEnd { return .said }
      note(Self.comment, now)
      // Comments keep connections alive.
      if bytes[event.start] == 0x3a { parts.add(ModelPart(.ping)) }
      return write(to, identity, parts, &piece, &writer)
    }
    let outcome = Self.withData(of: event, bytes) { data in
      let said = Dialect.readEvent(from, data, document)
      if isRefusal(said) { return Outcome.refused(said.errorCode) }
      if sawEnd, !isLateUsage(said) { return .said }
      note(said, now)
      if said.kind != .end { Dialect.readParts(from, of: said, document, into: parts) }
      // The end tells what was used. Where that is not known yet, it may still follow.
      if sawEnd, usageIsWhole { parts.add(ModelPart(.end)) }
      return write(to, identity, parts, &piece, &writer)
    }
    // What cannot be read cannot be said.
    return outcome ?? .unsayable
  }

  /// Some providers end their connection where the last event of others stands, or say nothing of a usage.
  private mutating func sayEnd(
    _ to: DialectName, _ identity: AnswerIdentity, _ parts: ModelParts, _ piece: inout MeteredPiece,
    _ writer: inout ByteWriter
  ) {
    guard isOver, !writing.toldEnd, !sawError else { return }
    let before = self
    sawEnd = true
    isHolding = true
    parts.reset()
    parts.add(ModelPart(.end))
    let outcome = write(to, identity, parts, &piece, &writer)
    if outcome != .said { giveUp(outcome, &piece, before) }
  }

  /// Forgets the event that was not said; it is left over.
  private mutating func giveUp(_ outcome: Outcome, _ piece: inout MeteredPiece, _ before: MeteredStream) {
    self = before
    piece.isFull = outcome == .full
    piece.isFault = outcome == .unsayable
    guard case .refused(let code) = outcome else { return }
    piece.isRefused = true
    (sawError, errorCode) = (true, code)
  }

  private mutating func write(
    _ to: DialectName, _ identity: AnswerIdentity, _ parts: ModelParts, _ piece: inout MeteredPiece,
    _ writer: inout ByteWriter
  ) -> Outcome {
    let start = writer.count
    let keptStart = parts.kept.count
    let used = sawEnd ? charged(identity) : usage
    let isSaid = parts.parts.isEmpty || Dialect.writeEvents(to, parts, identity, used, &writing, to: &writer)
    if writer.overflowed || !isSaid {
      let outcome = writer.overflowed ? Outcome.full : .unsayable
      writer.rewind(to: start)
      parts.cutKept(to: keptStart)
      return outcome
    }
    place(writer.count - start, &piece)
    return .said
  }

  // MARK: What is seen

  /// What an event without data says.
  private static var comment: ModelEvent { ModelEvent(isOpening: true) }

  private func isRefusal(_ said: ModelEvent) -> Bool { said.kind == .error && !hasPassed && !isHolding }

  /// Behind the end only a usage counts that was not told before: it may be told and charged by then.
  private func isLateUsage(_ said: ModelEvent) -> Bool { said.kind == .usageOnly && !usageIsWhole }

  /// Takes down what an event says.
  private mutating func note(_ said: ModelEvent, _ now: UInt64) {
    let since = opened ?? now
    opened = since
    // What only opens a stream is no answer yet, but no client waits for one for ever.
    if !said.isOpening || openingBytes >= Self.openingBytesMax || now &- since >= Self.openingMilliseconds {
      isOpening = false
    }
    contentBytes += said.contentBytes
    choicesFinished += said.choicesFinished
    // Some providers say again and again what was used so far; only what comes with the end waits.
    if said.usage.source == .reported {
      merge(said.usage, said.usageReach)
      if sawFinish { isHolding = true }
    }
    switch said.kind {
    case .part, .usageOnly: break
    case .end:
      sawEnd = true
      isHolding = true
    case .error: sawError = true
    }
  }

  /// The provider has said why it stops, that it is over, or that it failed: a stream that ends before that was cut.
  var isOver: Bool { sawFinish || sawEnd || sawError }

  /// Whether more came out than the usage tells.
  var usageIsOpen: Bool { onlyInput || contentBytes > coveredBytes || !sawFinish && !sawEnd }

  /// What went in was told, and all that came out.
  var usageIsWhole: Bool { knowsInput && !onlyInput && contentBytes == coveredBytes }

  /// What the settlement must know of it.
  func tell(_ facts: inout AttemptFacts) {
    facts.usage = usage
    facts.usageIsOpen = usageIsOpen
    facts.inputIsOpen = !knowsInput
    facts.contentBytes = contentBytes
    facts.sawError = sawError
  }

  /// What is charged for an answer that ends as it should.
  private func charged(_ identity: AnswerIdentity) -> Usage {
    var facts = AttemptFacts(progress: .answered)
    facts.estimate.inputTokens = identity.inputTokens
    tell(&facts)
    return SettlementRule.usage(facts)
  }

  private mutating func merge(_ told: Usage, _ reach: UsageReach) {
    let before = usage
    switch reach {
    case .whole:
      usage = told
      // What is not said again still holds.
      if toldInput {
        usage.inputTokens = max(told.inputTokens, before.inputTokens)
        usage.cachedTokens = max(told.cachedTokens, before.cachedTokens)
        usage.cacheWriteTokens = max(told.cacheWriteTokens, before.cacheWriteTokens)
        let (parts, overflow) = usage.cachedTokens.addingReportingOverflow(usage.cacheWriteTokens)
        usage.inputTokens = max(usage.inputTokens, overflow ? .max : parts)
      }
    case .input:
      usage = told
      usage.outputTokens = max(told.outputTokens, before.outputTokens)
      usage.reasoningTokens = max(told.reasoningTokens, before.reasoningTokens)
      toldInput = true
    case .output:
      usage.source = .reported
      usage.outputTokens = told.outputTokens
      usage.reasoningTokens = told.reasoningTokens
    }
    onlyInput = reach == .input
    coveredBytes = contentBytes
    knowsInput = knowsInput || reach != .output
  }

  /// So many bytes for the client pass, or are held.
  private mutating func place(_ count: Int, _ piece: inout MeteredPiece) {
    if isOpening || isHolding {
      piece.heldCount += count
      heldBytes += count
      return
    }
    if !hasPassed, heldBytes + count > 0 {
      // What this piece has held so far is the opening.
      hasPassed = true
      piece.opens = true
      piece.passCount = piece.heldCount
      piece.heldCount = 0
      heldBytes = 0
    }
    piece.passCount += count
  }

  private func finish(_ piece: inout MeteredPiece, rest: Int) {
    piece.restCount = rest
    if isHolding, heldBytes > Self.eventBytesMax { piece.isFault = true }
    if rest > Self.eventBytesMax, !piece.isFull, !piece.isRefused { piece.isFault = true }
  }

  private mutating func nextEvent(
    _ bytes: UnsafePointer<UInt8>, _ from: Int, _ count: Int, isLast: Bool
  ) -> StreamEvent? {
    if let event = scanner.next(bytes, from: from, count) { return event }
    return isLast ? scanner.last(bytes, from: from, count) : nil
  }

  /// Gives the data of an event in one piece; nil when it has several lines and is too long.
  private static func withData<Result>(
    of event: StreamEvent, _ bytes: UnsafePointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Result
  ) -> Result? {
    if event.dataLines == 1 { return body(UnsafeBufferPointer(start: bytes + event.dataStart, count: event.dataCount)) }
    if event.count > joinedBytesMax { return nil }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: event.count) { area -> Result? in
      guard let base = area.baseAddress else { return nil }
      var writer = ByteWriter(base: base, capacity: event.count)
      EventScanner.join(bytes, event, to: &writer)
      return body(UnsafeBufferPointer(start: base, count: writer.count))
    }
  }
}
