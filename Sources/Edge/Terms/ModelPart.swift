// What is said in a conversation with a model, in the vocabulary that all dialects share: the turns of a request, the
// content of an answer, the events of a stream. One dialect reads its own words into parts, another one writes them.
//
// Owns: the vocabulary. Called by: dialects and the metered stream.
// Never: copies what was said; texts point into the body or the event that was read and are valid as long as it is.

/// A text as it stands in JSON, so that most of it can be copied as it is.
struct ModelText: BitwiseCopyable {
  /// How it stands there.
  enum Form: UInt8 {
    /// It is not there.
    case none
    /// What stands between the quotes of a string, escapes and all.
    case string
    /// A whole value: an object, a list, a number.
    case value
  }

  var form = Form.none
  var bytes = StaticBytes.empty

  static let none = ModelText()
  var isNone: Bool { form == .none }
}

/// Why a model stops.
enum FinishReason: UInt8, CaseIterable {
  case stop, length, toolCalls, contentFilter
  /// The provider wants to be asked to go on; only Anthropic's dialect has a word for it.
  case pause
}

/// One part. Which of the fields mean something is said at the kinds; the others are empty.
struct ModelPart: BitwiseCopyable {
  enum Kind: UInt8 {
    // MARK: of requests

    /// Instructions of the operator: `text`. They may stand anywhere; several are one behind the other.
    case instruction
    /// A turn of the user, or of the model, begins; it ends with the next one.
    case user, assistant
    /// A picture: `text` is its data in base64 with `mediaType`, or its address where `flag` is set. `more`: how
    /// closely it is to be looked at.
    case image
    /// A file in the body itself: `text` is its data in base64, with `mediaType`; `name` is that of the file, if any.
    case file
    /// What the call `id` of a tool has given; texts and images follow, up to `toolResultEnd`. `flag`: the tool failed.
    case toolResult
    case toolResultEnd
    /// A tool that the model may call: `name`, `text` describes it, `more` is the schema of its arguments (a value, or
    /// none). `flag`: the arguments must follow it strictly.
    case tool

    // MARK: of requests and answers

    /// Of an answer: a piece of the text. Of a request: a whole one.
    case text
    /// What the model says where it will not answer: `text`.
    case refusal
    /// What the model thinks aloud: `text`.
    case reasoning
    /// The model calls a tool: `id`, `name`, and in `text` the arguments, or of a stream their first piece, which may
    /// be none. `index` says which of the calls of this answer it is, in the words of who sent it.
    case toolCall

    // MARK: of answers

    /// The answer begins.
    case start
    /// More of the arguments of the call `index`: `text`.
    case arguments
    /// The model stops, for `reason`.
    case finish
    /// The usage is told; what it is, whoever reads the parts knows already.
    case usage
    /// The stream is over.
    case end
    /// The provider fails: `code`, and `text` says what it says about it.
    case error
    /// Nothing is said, but the provider lives.
    case ping
    /// Something is said that only its own dialect has words for; an answer cannot do without it.
    case unsayable
  }

  var kind: Kind
  var flag = false
  var reason = FinishReason.stop
  var code = ErrorCode.providerError
  var index: Int32 = 0
  var text = ModelText.none
  var more = ModelText.none
  var id = ModelText.none
  var name = ModelText.none
  var mediaType = ModelText.none

  init(_ kind: Kind, text: ModelText = .none) {
    self.kind = kind
    self.text = text
  }
}

/// Which tool the model must call.
enum ToolChoice: UInt8 {
  /// The request does not say.
  case unsaid
  case auto, none, required
  /// The one of `ModelSettings.toolName`.
  case named
}

/// What a request says beside its conversation, as far as more than one dialect has a word for it.
struct ModelSettings: BitwiseCopyable {
  var temperature = ModelText.none
  var topP = ModelText.none
  /// A list of strings, as a value; or one string.
  var stop = ModelText.none
  var toolChoice = ToolChoice.unsaid
  var toolName = ModelText.none
  /// At most one call of a tool at a time.
  var isSerial = false
  /// Who uses the platform, as a string.
  var user = ModelText.none
  /// The answer must be JSON that follows this schema (a value), which may have a name (a string).
  var schema = ModelText.none
  var schemaName = ModelText.none
  /// The answer must follow the schema to the letter.
  var isStrict = true
  /// The answer must be a JSON object, whatever is in it.
  var isObject = false
  /// How much the model should think: `low`, `medium`, `high`, `xhigh` or `max`, as a string.
  var effort = ModelText.none
}

/// Parts in order, and the settings of a request. One for each worker; its memory is used again.
final class ModelParts {
  var settings = ModelSettings()
  private(set) var parts: [ModelPart] = []
  /// What a dialect will need again when the stream ends whose events it writes: only it knows what that is. Whoever
  /// keeps the stream moves it on; `reset` leaves it there.
  private(set) var kept: [UInt8] = []
  /// Memory for so many is kept.
  private static let keptMax = 1 << 10
  private static let keptBytesMax = 64 << 10

  /// Gives what is kept, if there is any, and forgets it; true when there is none.
  func withKept(_ body: (UnsafePointer<UInt8>, Int) -> Bool) -> Bool {
    guard !kept.isEmpty else { return true }
    defer { cutKept(to: 0) }
    return kept.withUnsafeBufferPointer { bytes in bytes.baseAddress.map { body($0, bytes.count) } ?? true }
  }

  func add(_ part: ModelPart) { parts.append(part) }

  /// Adds to the part that was added last.
  func changeLast(_ change: (inout ModelPart) -> Void) {
    if let last = parts.indices.last { change(&parts[last]) }
  }

  /// Adds to what is kept.
  func keep(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    kept.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
  }

  /// Forgets of what is kept everything behind so many bytes.
  func cutKept(to count: Int) {
    if count == 0, kept.capacity > ModelParts.keptBytesMax {
      kept = []
    } else if count < kept.count {
      kept.removeSubrange(count...)
    }
  }

  /// Forgets all parts, and gives back what memory they took beyond the usual.
  func reset() {
    settings = ModelSettings()
    parts.removeAll(keepingCapacity: parts.capacity <= ModelParts.keptMax)
  }
}
