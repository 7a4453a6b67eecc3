// What a client asks of the demo provider, whichever wire it came by: the fields that both have, checked as the
// providers themselves check them.
//
// Owns: a question, and the reading of single fields.
// Called by: the reply, when a body has come whole.
// Never: keeps a pointer into the body; a question is a value of its own.

/// A question that can be answered.
struct DemoQuestion {
  var wire = DemoWire.openAI
  var model = ""
  var behaviour = DemoBehaviour.plain
  var isStreamed = false
  /// The stream ends with a chunk of usage; Anthropic's tells it anyway.
  var wantsUsage = false
  var choices = 1
  var maxTokens: Int?
  /// The answer ends in front of the first of these.
  var stops: [[UInt8]] = []
  var promptTokens = 0
  /// The text of the last message of the user.
  var lastWords: [UInt8] = []
  /// What a tool has said, when nothing was said behind it.
  var toolResult: [UInt8]?
  /// The tools to call instead of talking.
  var calls: [DemoCall] = []

  /// Reads a body; `document` is only borrowed, for its memory.
  static func read(
    _ body: [UInt8], _ wire: DemoWire, with document: JSONDocument
  ) throws(DemoProblem) -> DemoQuestion {
    defer { document.reset() }
    return try body.withUnsafeBufferPointer { (text) throws(DemoProblem) -> DemoQuestion in
      do throws(JSONFault) {
        try document.read(text.baseAddress ?? StaticBytes.empty.start, text.count, nodesMax: DemoBounds.nodes)
      } catch {
        throw DemoProblem(message: "The body is no JSON: \(error.text) at byte \(error.offset).")
      }
      return try DemoQuestionReader(document: document, wire: wire).read()
    }
  }
}

/// Takes a question out of a document.
struct DemoQuestionReader {
  let document: JSONDocument
  let wire: DemoWire

  fileprivate func read() throws(DemoProblem) -> DemoQuestion {
    guard document.kind(0) == .map else { throw DemoProblem(message: "The body must be a JSON object.") }
    var question = DemoQuestion()
    question.wire = wire
    guard let model = try member("model", of: 0) else { throw missing("model", isNamed: wire == .anthropic) }
    question.model = String(decoding: try text(model, "model"), as: UTF8.self)
    guard let behaviour = DemoModel.behaviour(of: question.model) else { throw noModel(question.model) }
    question.behaviour = behaviour
    question.isStreamed = try truth("stream", of: 0, "stream")
    switch wire {
    case .openAI: try readOpenAI(into: &question)
    case .anthropic: try readAnthropic(into: &question)
    }
    if behaviour == .max, (question.maxTokens ?? 0) > DemoBounds.answerTokens / question.choices {
      throw DemoProblem(
        message: "This model says at most \(DemoBounds.answerTokens) tokens in all; ask for fewer.",
        parameter: "max_tokens", code: "invalid_value")
    }
    return question
  }

  // MARK: fields

  /// The value of a key; null is as good as nothing.
  func member(_ key: StaticString, of map: Int) throws(DemoProblem) -> Int? {
    switch document.value(of: key, in: map) {
    case .missing: return nil
    case .found(let value): return document.kind(value) == .null ? nil : value
    case .duplicate:
      throw DemoProblem(message: "The field '\(key)' is given twice.", parameter: key.description)
    }
  }

  func needed(_ key: StaticString, of map: Int, _ name: String) throws(DemoProblem) -> Int {
    guard let value = try member(key, of: map) else { throw missing(name) }
    return value
  }

  /// What a string says.
  func string(_ index: Int) -> [UInt8] {
    let content = document.content(index)
    return document[index].hasEscape ? Array(JSONStringBytes(content: content)) : Array(content)
  }

  func text(_ index: Int, _ name: String) throws(DemoProblem) -> [UInt8] {
    guard document.kind(index) == .string else { throw wrongType(name, "a string") }
    return string(index)
  }

  /// A switch; off when it is not there.
  func truth(_ key: StaticString, of map: Int, _ name: String) throws(DemoProblem) -> Bool {
    guard let value = try member(key, of: map) else { return false }
    switch document.kind(value) {
    case .true: return true
    case .false: return false
    default: throw wrongType(name, "true or false")
    }
  }

  func number(_ key: StaticString, _ range: ClosedRange<Int>) throws(DemoProblem) -> Int? {
    guard let value = try member(key, of: 0) else { return nil }
    guard document.kind(value) == .number, let number = document.integer(value) else {
      throw wrongType(key.description, "a whole number")
    }
    guard range.contains(Int(number)) else {
      throw DemoProblem(
        message: "'\(key)' must be from \(range.lowerBound) to \(range.upperBound).", parameter: key.description,
        code: number < range.lowerBound ? "integer_below_min_value" : "integer_above_max_value")
    }
    return Int(number)
  }

  /// A list with something in it.
  func list(_ index: Int, _ name: String) throws(DemoProblem) -> JSONElements {
    guard document.kind(index) == .list else { throw wrongType(name, "a list") }
    guard document[index].members > 0 else {
      throw DemoProblem(message: "'\(name)' must not be empty.", parameter: name, code: "empty_array")
    }
    return document.elements(of: index)
  }

  /// Where the answer is to end: a list of texts, for OpenAI a single one too.
  func stops(_ key: StaticString) throws(DemoProblem) -> [[UInt8]] {
    guard let value = try member(key, of: 0) else { return [] }
    let name = key.description
    var stops: [[UInt8]] = []
    if wire == .openAI, document.kind(value) == .string {
      stops = [string(value)]
    } else {
      guard document.kind(value) == .list else { throw wrongType(name, "a list of strings") }
      guard document[value].members <= (wire == .openAI ? DemoBounds.openAIStops : DemoBounds.stops) else {
        throw DemoProblem(message: "'\(name)' has too many members.", parameter: name, code: "array_above_max_length")
      }
      for stop in document.elements(of: value) { stops.append(try text(stop, name)) }
    }
    for stop in stops where stop.allSatisfy({ $0 == 0x20 || (0x09...0x0d).contains($0) }) {
      if wire == .anthropic || stop.isEmpty {
        throw DemoProblem(message: "'\(name)' must say something.", parameter: name, code: "invalid_value")
      }
    }
    return stops
  }

  // MARK: refusals

  func missing(_ name: String, isNamed: Bool = true) -> DemoProblem {
    DemoProblem(
      message: wire == .openAI ? "The field '\(name)' is missing." : "Field required",
      parameter: isNamed ? name : nil, code: isNamed ? "missing_required_parameter" : nil)
  }

  func wrongType(_ name: String, _ wanted: String) -> DemoProblem {
    DemoProblem(
      message: wire == .openAI ? "'\(name)' must be \(wanted)." : "Input should be \(wanted)", parameter: name,
      code: "invalid_type")
  }

  private func noModel(_ name: String) -> DemoProblem {
    DemoProblem(
      status: 404,
      message: wire == .openAI ? "There is no model '\(name)', or you may not use it." : "model: \(name)",
      code: "model_not_found")
  }
}
