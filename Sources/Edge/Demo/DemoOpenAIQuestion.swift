// What the body of POST /v1/chat/completions says, checked as OpenAI checks it.
//
// Called by: the question reader. Never: refuses a field that it does not know.

extension DemoQuestionReader {
  func readOpenAI(into question: inout DemoQuestion) throws(DemoProblem) {
    let messages = try needed("messages", of: 0, "messages")
    var place = 0
    for message in try list(messages, "messages") {
      try readMessage(message, "messages[\(place)]", into: &question)
      place += 1
    }
    if let options = try member("stream_options", of: 0) {
      guard question.isStreamed else {
        throw DemoProblem(message: "'stream_options' is for streams only; set 'stream'.", parameter: "stream_options")
      }
      guard document.kind(options) == .map else { throw wrongType("stream_options", "an object") }
      question.wantsUsage = try truth("include_usage", of: options, "stream_options.include_usage")
    }
    question.choices = try number("n", 1...DemoBounds.choices) ?? 1
    let most = try number("max_tokens", 1...Int(Int32.max))
    question.maxTokens = try number("max_completion_tokens", 1...Int(Int32.max)) ?? most
    question.stops = try stops("stop")
    question.calls = calls(try readTools(), question)
  }

  private func readMessage(
    _ message: Int, _ name: String, into question: inout DemoQuestion
  ) throws(DemoProblem) {
    guard document.kind(message) == .map else { throw wrongType(name, "an object") }
    let role = try needed("role", of: message, "\(name).role")
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
      throw missing(name)
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

  // MARK: tools

  private func readTools() throws(DemoProblem) -> DemoTools {
    var read = DemoTools()
    if let choice = try member("tool_choice", of: 0) { read.choice = try toolChoice(choice) }
    if let several = try member("parallel_tool_calls", of: 0) { read.mayCallSeveral = document.kind(several) != .false }
    guard let tools = try member("tools", of: 0) else { return try checked(read) }
    guard document.kind(tools) == .list else { throw wrongType("tools", "a list") }
    for tool in document.elements(of: tools) {
      let name = "tools[\(read.count)].function"
      guard document.kind(tool) == .map, let function = try member("function", of: tool),
        document.kind(function) == .map
      else { throw wrongType(name, "an object") }
      let called = try text(try needed("name", of: function, "\(name).name"), "\(name).name")
      try add(called, try member("parameters", of: function), to: &read)
    }
    return try checked(read)
  }

  private func toolChoice(_ choice: Int) throws(DemoProblem) -> DemoToolChoice {
    switch document.kind(choice) {
    case .string where document.isString(choice, "none"): return .never
    case .string where document.isString(choice, "auto"): return .whenAsked
    case .string where document.isString(choice, "required"): return .always
    case .map:
      if let function = try member("function", of: choice), document.kind(function) == .map,
        let name = try member("name", of: function)
      {
        return .named(try text(name, "tool_choice.function.name"))
      }
      fallthrough
    default:
      throw DemoProblem(
        message: "'tool_choice' must be none, auto, required or name a function.", parameter: "tool_choice",
        code: "invalid_value")
    }
  }
}
