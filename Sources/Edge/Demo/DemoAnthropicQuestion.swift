// What the body of POST /v1/messages says, checked as Anthropic checks it: unknown fields at the top are refused, and
// a tool's result must follow the turn that called it.
//
// Called by: the question reader. Never: reads a picture or a document; they say nothing here.

/// What the turns so far leave for the next one.
private struct DemoTurns {
  /// Calls of the last turn that have no result yet, by id.
  var open: [[UInt8]] = []
  /// Calls of this turn.
  var called: [[UInt8]] = []
}

extension DemoQuestionReader {
  private static let fields: [StaticString] = [
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "metadata", "thinking", "output_config", "cache_control", "service_tier", "speed", "inference_geo",
    "container", "context_management", "mcp_servers", "diagnostics", "compaction", "fallbacks", "output_format",
  ]

  func readAnthropic(into question: inout DemoQuestion) throws(DemoProblem) {
    for (key, _) in document.pairs(of: 0)
    where !DemoQuestionReader.fields.contains(where: { document.isString(key, $0) }) {
      throw DemoProblem(
        message: "Extra inputs are not permitted", parameter: String(decoding: string(key), as: UTF8.self))
    }
    guard let most = try number("max_tokens", 0...Int(Int32.max)) else { throw missing("max_tokens") }
    question.maxTokens = most
    for key in ["temperature", "top_p"] as [StaticString] { try checkShare(key) }
    question.stops = try stops("stop_sequences")
    if let system = try member("system", of: 0) {
      question.promptTokens += DemoTokens.count(try words(system, "system"))
    }
    try readTurns(into: &question)
    question.calls = calls(try readAnthropicTools(), question)
  }

  private func checkShare(_ key: StaticString) throws(DemoProblem) {
    guard let value = try member(key, of: 0) else { return }
    guard document.kind(value) == .number, let number = Double(String(decoding: document.raw(value), as: UTF8.self))
    else { throw wrongType(key.description, "a number") }
    guard (0...1).contains(number) else { throw wrongType(key.description, "from 0 to 1") }
  }

  // MARK: turns

  private func readTurns(into question: inout DemoQuestion) throws(DemoProblem) {
    var (turns, place) = (DemoTurns(), 0)
    for message in try list(try needed("messages", of: 0, "messages"), "messages") {
      let name = "messages.\(place)"
      guard document.kind(message) == .map else { throw wrongType(name, "an object") }
      let role = try needed("role", of: message, "\(name).role")
      let roles: [StaticString] = ["user", "assistant", "system"]
      guard document.kind(role) == .string, let said = roles.first(where: { document.isString(role, $0) }) else {
        throw wrongType("\(name).role", "'user', 'assistant' or 'system'")
      }
      try readTurn(message, name, role: said.description, &turns, into: &question)
      place += 1
    }
    if !turns.open.isEmpty {
      throw DemoProblem(message: "A call in the last turn has no result.", parameter: "messages")
    }
  }

  private func readTurn(
    _ message: Int, _ name: String, role: String, _ turns: inout DemoTurns, into question: inout DemoQuestion
  ) throws(DemoProblem) {
    let content = try needed("content", of: message, "\(name).content")
    var (words, result): ([UInt8], [UInt8]?) = ([], nil)
    if document.kind(content) == .string {
      words = string(content)
      if words.isEmpty { throw DemoProblem(message: "The content must not be empty", parameter: "\(name).content") }
    } else {
      var place = 0
      for block in try list(content, "\(name).content") {
        let blockName = "\(name).content.\(place)"
        let type = try blockType(block, blockName)
        switch type {
        case "text":
          if !words.isEmpty { words.append(0x0a) }
          words += try blockText(block, blockName)
        case "tool_use": turns.called.append(try call(block, blockName, role: role))
        case "tool_result":
          result = try toolResult(block, blockName, &turns, isFirst: words.isEmpty && role == "user")
          question.promptTokens += DemoTokens.count(result ?? [])
        default: break
        }
        place += 1
      }
    }
    if !turns.open.isEmpty {
      throw DemoProblem(message: "The calls of the turn before have no result here.", parameter: name)
    }
    (turns.open, turns.called) = (turns.called, [])
    question.promptTokens += DemoTokens.count(words)
    if role == "user", result == nil || !words.isEmpty { question.lastWords = words }
    question.toolResult = words.isEmpty ? result : nil
  }

  /// A string, or a list of text blocks.
  private func words(_ content: Int, _ name: String) throws(DemoProblem) -> [UInt8] {
    if document.kind(content) == .string { return string(content) }
    guard document.kind(content) == .list else { throw wrongType(name, "a string or a list of blocks") }
    var words: [UInt8] = []
    for block in document.elements(of: content) where try blockType(block, name) == "text" {
      if !words.isEmpty { words.append(0x0a) }
      words += try blockText(block, name)
    }
    return words
  }

  private func blockType(_ block: Int, _ name: String) throws(DemoProblem) -> String {
    guard document.kind(block) == .map else { throw wrongType(name, "an object") }
    return String(decoding: try text(try needed("type", of: block, "\(name).type"), "\(name).type"), as: UTF8.self)
  }

  private func blockText(_ block: Int, _ name: String) throws(DemoProblem) -> [UInt8] {
    let said = try text(try needed("text", of: block, "\(name).text"), "\(name).text")
    if said.isEmpty { throw DemoProblem(message: "A text block must not be empty", parameter: name) }
    return said
  }

  /// The id of a call in the history.
  private func call(_ block: Int, _ name: String, role: String) throws(DemoProblem) -> [UInt8] {
    guard role == "assistant" else { throw DemoProblem(message: "Only the assistant calls tools", parameter: name) }
    let id = try text(try needed("id", of: block, "\(name).id"), "\(name).id")
    guard !id.isEmpty, id.allSatisfy(DemoTokens.isNamePart) else {
      throw wrongType("\(name).id", "letters, digits, _ and -")
    }
    _ = try text(try needed("name", of: block, "\(name).name"), "\(name).name")
    guard document.kind(try needed("input", of: block, "\(name).input")) == .map else {
      throw wrongType("\(name).input", "an object")
    }
    return id
  }

  private func toolResult(
    _ block: Int, _ name: String, _ turns: inout DemoTurns, isFirst: Bool
  ) throws(DemoProblem) -> [UInt8] {
    let id = try text(try needed("tool_use_id", of: block, "\(name).tool_use_id"), "\(name).tool_use_id")
    guard isFirst, let place = turns.open.firstIndex(of: id) else {
      throw DemoProblem(message: "A result must stand first in the turn behind its call", parameter: name)
    }
    turns.open.remove(at: place)
    _ = try truth("is_error", of: block, "\(name).is_error")
    guard let content = try member("content", of: block) else { return [] }
    return try words(content, "\(name).content")
  }

  // MARK: tools

  private func readAnthropicTools() throws(DemoProblem) -> DemoTools {
    var read = DemoTools()
    if let choice = try member("tool_choice", of: 0) {
      read.choice = try toolChoice(choice)
      read.mayCallSeveral =
        try !truth("disable_parallel_tool_use", of: choice, "tool_choice.disable_parallel_tool_use")
    }
    guard let tools = try member("tools", of: 0) else {
      guard try member("tool_choice", of: 0) == nil else {
        throw DemoProblem(message: "There are no tools to choose from", parameter: "tool_choice")
      }
      return read
    }
    guard document.kind(tools) == .list else { throw wrongType("tools", "a list") }
    for tool in document.elements(of: tools) {
      let name = "tools.\(read.count)"
      guard document.kind(tool) == .map else { throw wrongType(name, "an object") }
      let called = try text(try needed("name", of: tool, "\(name).name"), "\(name).name")
      guard (1...128).contains(called.count), called.allSatisfy(DemoTokens.isNamePart) else {
        throw wrongType("\(name).name", "1 to 128 letters, digits, _ and -")
      }
      try add(called, try toolSchema(tool, name), to: &read)
    }
    return try checked(read)
  }

  /// Tools of Anthropic's own making have none.
  private func toolSchema(_ tool: Int, _ name: String) throws(DemoProblem) -> Int? {
    if let type = try member("type", of: tool), !document.isString(type, "custom") { return nil }
    let schema = try needed("input_schema", of: tool, "\(name).input_schema")
    guard document.kind(schema) == .map else { throw wrongType("\(name).input_schema", "an object") }
    guard document.isString(try needed("type", of: schema, "\(name).input_schema.type"), "object") else {
      throw wrongType("\(name).input_schema.type", "'object'")
    }
    return schema
  }

  private func toolChoice(_ choice: Int) throws(DemoProblem) -> DemoToolChoice {
    switch try blockType(choice, "tool_choice") {
    case "none": return .never
    case "auto": return .whenAsked
    case "any": return .always
    case "tool":
      return .named(try text(try needed("name", of: choice, "tool_choice.name"), "tool_choice.name"))
    default: throw wrongType("tool_choice.type", "'auto', 'any', 'tool' or 'none'")
    }
  }
}
