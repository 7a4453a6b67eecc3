// What a dialect must know to write for another one: the request's model and limits, whose answer it is, and how far a
// stream has been written.
// Called by: dialects, the metered stream and the driver, which keeps it with the exchange.

/// What a request is written with, beside what was read of it.
struct RequestPlan: BitwiseCopyable {
  /// What the provider calls the model; it needs no escapes.
  var model: StaticBytes
  var streams: Bool
  /// The most tokens that the client wants; -1: it does not say.
  var outputTokensMax: Int64
  /// The most that the model gives out.
  var modelTokensMax: Int64
}

/// What stands in an answer that no provider has said in these words.
struct AnswerIdentity: BitwiseCopyable {
  /// Becomes the answer's id.
  var attempt = ULID(high: 0, low: 0)
  /// The model's name; it needs no escapes.
  var model = StaticBytes.empty
  /// Seconds since 1970.
  var created: UInt64 = 0
  /// What the client calls its request, where it does; it needs no escapes.
  var message = StaticBytes.empty
  /// The client wants to be told the usage of a stream.
  var asksUsage = false
  /// What is taken for the input where the provider does not say.
  var inputTokens: Int64 = 0
}

/// How far a stream has been written in a dialect that is not the provider's.
struct StreamWriting: BitwiseCopyable, Equatable {
  /// What is open at the moment, where a dialect opens and closes what it says.
  enum Block: UInt8 {
    case none, text, toolCall
  }

  var hasStarted = false
  var block = Block.none
  /// The number of the open block, and how many there were.
  var blocks: Int32 = 0
  /// How many calls of tools have begun, and the number of the last in the provider's words.
  var calls: Int32 = 0
  var call: Int32 = -1
  /// Hashes of that call's id, 0: it has none, and of its name.
  var callID: UInt64 = 0
  var callName: UInt64 = 0
  /// Some of its arguments were said.
  var hasArguments = false
  /// Why the model has stopped; where it is told with the usage, that is the end.
  var reason: FinishReason?
  var toldFinish = false
  var toldEnd = false
  /// When the event came that is being written, and when the last sign of a model that thinks was: milliseconds of one
  /// clock, whatever it is.
  var now: UInt64 = 0
  var signed: UInt64 = 0
  /// Arguments that came before their call had a name.
  var early: InlineArray<256, UInt8> = .init(repeating: 0)
  var earlyCount: Int32 = 0

  /// Keeps arguments until their call has a name; false when there is no more room for them.
  mutating func keep(early text: ModelText) -> Bool {
    guard text.form == .string, text.bytes.count <= early.count - Int(earlyCount) else { return false }
    for byte in text.content {
      early[Int(earlyCount)] = byte
      earlyCount &+= 1
    }
    return true
  }

  /// What a piece with a name is to the call that was begun last.
  enum CallPiece {
    case begins, continues
    /// The rest of a name whose beginning is with the client.
    case unsayable
  }

  /// There are providers that repeat a call's id and name with each piece, and some that give all calls the same
  /// number: then another id is another call, and without ids another name behind arguments.
  func piece(of part: ModelPart) -> CallPiece {
    if calls == 0 || part.index != call { return .begins }
    let id = Self.hash(part.id)
    if id != 0, callID != 0, id != callID { return .begins }
    if Self.hash(part.name) == callName { return .continues }
    return id == 0 && hasArguments ? .begins : .unsayable
  }

  /// A call begins, with what it holds of its arguments.
  mutating func begin(call part: ModelPart) {
    calls &+= 1
    call = part.index
    callID = Self.hash(part.id)
    callName = Self.hash(part.name)
    hasArguments = earlyCount > 0 || !part.text.isEmpty
  }

  private static func hash(_ text: ModelText) -> UInt64 {
    text.isEmpty ? 0 : KeyedHash64(key: 0, 0).value(text.bytes.start, text.bytes.count)
  }

  static func == (left: StreamWriting, right: StreamWriting) -> Bool {
    left.hasStarted == right.hasStarted && left.block == right.block && left.blocks == right.blocks
      && left.calls == right.calls && left.call == right.call && left.callID == right.callID
      && left.callName == right.callName && left.hasArguments == right.hasArguments
      && left.now == right.now && left.signed == right.signed
      && left.reason == right.reason
      && left.toldFinish == right.toldFinish && left.toldEnd == right.toldEnd
      && left.earlyCount == right.earlyCount
      && (0..<Int(left.earlyCount)).allSatisfy { left.early[$0] == right.early[$0] }
  }
}
