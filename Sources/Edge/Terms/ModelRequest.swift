// A request for a model in the vocabulary that all dialects share. Ranges lie in the body that was read and are valid
// as long as that is.
// Written by a dialect, read by metering, policies and the driver.

/// Bytes of a body.
struct BodyRange: BitwiseCopyable, Equatable, Sendable {
  var start: Int32
  var count: Int32
  static let none = BodyRange(start: -1, count: 0)
  var isNone: Bool { start < 0 }
}

/// What a client asks of a model.
struct ModelRequest: BitwiseCopyable, Equatable {
  /// The model's name as it stands between the quotes; it has no escapes and at most 256 bytes.
  var model = BodyRange.none
  /// What stands before the first slash of the model's name, which may be a provider's; none when there is no slash.
  var provider = BodyRange.none
  /// The provider that the client names beside the model; none when it leaves the choice to Edge.
  var named = BodyRange.none
  var streams = false
  /// The client itself wants the usage at the end of a stream.
  var asksUsage = false
  /// The value of `stream_options`, and where a field can be inserted: just behind the body's opening brace.
  var streamOptions = BodyRange.none
  var insertion: Int32 = 0
  /// The value of `include_usage` in `stream_options`; empty: where that field can be inserted, before others; none:
  /// there are no others.
  var includeUsage = BodyRange.none
  /// The most tokens that the client wants, per choice; -1: it does not say.
  var outputTokensMax: Int64 = -1
  /// How many answers it wants.
  var choices: Int64 = 1
  /// Pictures in the input.
  var images: Int64 = 0
  /// Bytes of the body that are pictures, not text.
  var pictureBytes: Int64 = 0
  /// The whole body.
  var bodyBytes: Int64 = 0
}

/// What of a usage an event tells.
enum UsageReach: UInt8 {
  /// Everything that was used so far.
  case whole
  /// What went in; of what comes out only the beginning is counted.
  case input
  /// What came out, all of it so far; about what went in it says nothing new.
  case output
}

/// What one event of a stream says, or one whole answer.
struct ModelEvent: BitwiseCopyable, Equatable {
  /// What it is for.
  enum Kind: UInt8 {
    /// A part of the answer, or something that Edge passes on without knowing it.
    case part
    /// Nothing but the usage: a chunk that only clients that asked for it expect.
    case usageOnly
    /// The provider says that the stream is over.
    case end
    /// The provider says that it failed.
    case error
  }

  var kind = Kind.part
  /// Of an error: which.
  var errorCode = ErrorCode.providerError
  /// Bytes of text, tool arguments and the like in it, for estimates.
  var contentBytes: Int64 = 0
  /// How many choices of the answer end with it.
  var choicesFinished: Int64 = 0
  var finishes: Bool { choicesFinished > 0 }
  /// What it says about the usage; `source` is `.none` when it says nothing.
  var usage = Usage()
  /// How far that reaches.
  var usageReach = UsageReach.whole
  /// It only says that an answer begins, or that the provider lives: without what follows, the client has nothing.
  var isOpening = false
}
