// What a client asks of the demo provider: the body of POST /v1/chat/completions, checked as OpenAI checks it.
//
// Owns: which fields count and what is said about those that are wrong.
// Called by: the loop, when a body has come whole.
// Never: keeps a pointer into the body; a question is a value of its own.

/// A refusal, as OpenAI's error object has it.
struct DemoProblem: Error, Equatable {
  var status: UInt16 = 400
  var message: String
  var type: StaticString = "invalid_request_error"
  var parameter: String?
  var code: StaticString?

  static func == (left: DemoProblem, right: DemoProblem) -> Bool { left.body.bytes == right.body.bytes }

  /// `{"error": {...}}`.
  var body: DemoText {
    var text = DemoText()
    text.append("{\"error\":{\"message\":")
    text.append(json: message)
    text.append(",\"type\":\"")
    text.append(type)
    text.append("\",\"param\":")
    if let parameter { text.append(json: parameter) } else { text.append("null") }
    text.append(",\"code\":")
    if let code { text.append(json: code.description) } else { text.append("null") }
    text.append("}}")
    return text
  }
}

/// A question that can be answered.
struct DemoQuestion {
  var model = ""
  var behaviour = DemoBehaviour.plain
  var isStreamed = false
  /// The stream ends with a chunk of usage.
  var wantsUsage = false
  var choices = 1
  var maxTokens: Int?
  var promptTokens = 0
  /// The text of the last message of the user.
  var lastWords: [UInt8] = []
  /// The text of the last message, when a tool said it.
  var toolResult: [UInt8]?
  /// The tools to call instead of talking.
  var calls: [DemoCall] = []

  /// Reads a body; `document` is only borrowed, for its memory.
  static func read(_ body: [UInt8], with document: JSONDocument) throws(DemoProblem) -> DemoQuestion {
    defer { document.reset() }
    return try body.withUnsafeBufferPointer { (text) throws(DemoProblem) -> DemoQuestion in
      do throws(JSONFault) {
        try document.read(text.baseAddress ?? StaticBytes.empty.start, text.count, nodesMax: DemoBounds.nodes)
      } catch {
        throw DemoProblem(message: "The body is no JSON: \(error.text) at byte \(error.offset).")
      }
      return try DemoQuestionReader(document: document).read()
    }
  }
}

/// Takes a question out of a document.
struct DemoQuestionReader {
  let document: JSONDocument

  fileprivate func read() throws(DemoProblem) -> DemoQuestion {
    guard document.kind(0) == .map else { throw DemoProblem(message: "The body must be a JSON object.") }
    var question = DemoQuestion()
    guard let model = try member("model", of: 0) else { throw DemoProblem(message: "The field 'model' is missing.") }
    question.model = String(decoding: try text(model, "model"), as: UTF8.self)
    guard let behaviour = DemoModel.behaviour(of: question.model) else {
      throw DemoProblem(
        status: 404, message: "There is no model '\(question.model)', or you may not use it.",
        code: "model_not_found")
    }
    question.behaviour = behaviour
    try readMessages(into: &question)
    try readStream(into: &question)
    question.choices = try number("n", 1...DemoBounds.choices) ?? 1
    let most = try number("max_tokens", 1...Int(Int32.max))
    question.maxTokens = try number("max_completion_tokens", 1...Int(Int32.max)) ?? most
    if behaviour == .max, (question.maxTokens ?? 0) > DemoBounds.answerTokens / question.choices {
      throw DemoProblem(
        message: "This model says at most \(DemoBounds.answerTokens) tokens in all; ask for fewer.",
        parameter: "max_tokens", code: "invalid_value")
    }
    question.calls = try readCalls(question)
    return question
  }

  private func readStream(into question: inout DemoQuestion) throws(DemoProblem) {
    question.isStreamed = try truth("stream", of: 0, "stream")
    guard let options = try member("stream_options", of: 0) else { return }
    guard question.isStreamed else {
      throw DemoProblem(message: "'stream_options' is for streams only; set 'stream'.", parameter: "stream_options")
    }
    guard document.kind(options) == .map else { throw wrongType("stream_options", "an object") }
    question.wantsUsage = try truth("include_usage", of: options, "stream_options.include_usage")
  }

  private func readMessages(into question: inout DemoQuestion) throws(DemoProblem) {
    guard let messages = try member("messages", of: 0) else {
      throw DemoProblem(
        message: "The field 'messages' is missing.", parameter: "messages", code: "missing_required_parameter")
    }
    guard document.kind(messages) == .list else { throw wrongType("messages", "a list") }
    guard document[messages].members > 0 else {
      throw DemoProblem(message: "'messages' must not be empty.", parameter: "messages", code: "empty_array")
    }
    var place = 0
    for message in document.elements(of: messages) {
      try readMessage(message, "messages[\(place)]", into: &question)
      place += 1
    }
  }

  private func readMessage(
    _ message: Int, _ name: String, into question: inout DemoQuestion
  ) throws(DemoProblem) {
    guard document.kind(message) == .map else { throw wrongType(name, "an object") }
    guard let role = try member("role", of: message) else {
      throw DemoProblem(
        message: "The field '\(name).role' is missing.", parameter: "\(name).role", code: "missing_required_parameter")
    }
    let roles: [StaticString] = ["system", "developer", "user", "assistant", "tool", "function"]
    guard document.kind(role) == .string, roles.contains(where: { document.isString(role, $0) }) else {
      throw DemoProblem(
        message: "'\(name).role' must be one of system, developer, user, assistant, tool and function.",
        parameter: "\(name).role", code: "invalid_value")
    }
    let words = try content(of: message, "\(name).content", isNeeded: !document.isString(role, "assistant"))
    question.promptTokens += DemoTokens.count(words)
    if document.isString(role, "user") { question.lastWords = words }
    question.toolResult = document.isString(role, "tool") ? words : nil
  }

  /// The text of a message: a string, or the text parts of a list. Pictures and sounds say nothing here.
  private func content(of message: Int, _ name: String, isNeeded: Bool) throws(DemoProblem) -> [UInt8] {
    guard let content = try member("content", of: message) else {
      if !isNeeded { return [] }
      throw DemoProblem(
        message: "The field '\(name)' is missing.", parameter: name, code: "missing_required_parameter")
    }
    if document.kind(content) == .string { return string(content) }
    guard document.kind(content) == .list else { throw wrongType(name, "a string or a list of parts") }
    var words: [UInt8] = []
    for part in document.elements(of: content) {
      guard document.kind(part) == .map else { throw wrongType(name, "a string or a list of parts") }
      guard let text = try member("text", of: part), document.kind(text) == .string else { continue }
      if !words.isEmpty { words.append(0x0a) }
      words += string(text)
    }
    return words
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
  private func truth(_ key: StaticString, of map: Int, _ name: String) throws(DemoProblem) -> Bool {
    guard let value = try member(key, of: map) else { return false }
    switch document.kind(value) {
    case .true: return true
    case .false: return false
    default: throw wrongType(name, "true or false")
    }
  }

  private func number(_ key: StaticString, _ range: ClosedRange<Int>) throws(DemoProblem) -> Int? {
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

  func wrongType(_ name: String, _ wanted: String) -> DemoProblem {
    DemoProblem(message: "'\(name)' must be \(wanted).", parameter: name, code: "invalid_type")
  }
}
