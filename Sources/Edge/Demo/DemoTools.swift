// Whether the demo provider calls a tool, which one, and with what: it makes arguments up from the tool's JSON schema.
//
// Called by: the question reader. Never: follows a reference inside a schema.

/// A call of a tool.
struct DemoCall: Equatable {
  var name: [UInt8]
  /// JSON.
  var arguments: [UInt8]
}

/// What a request says about whether tools are called.
private enum DemoToolChoice: Equatable {
  case never
  case whenAsked
  case always
  case named([UInt8])
}

extension DemoQuestionReader {
  /// The calls that answer a question; none means text. A tool that has answered is quoted, not called again.
  func readCalls(_ question: DemoQuestion) throws(DemoProblem) -> [DemoCall] {
    let tools = try readTools()
    let choice = try readToolChoice()
    var chosen = tools.first
    if case .named(let name) = choice {
      chosen = tools.first { $0.name == name }
      if chosen == nil {
        throw DemoProblem(
          message: "'tool_choice' names a function that is not in 'tools'.", parameter: "tool_choice",
          code: "invalid_value")
      }
    }
    guard let first = chosen, question.toolResult == nil, question.behaviour != .max else { return [] }
    let asksSeveral = DemoTokens.holds("tools", in: question.lastWords)
    switch choice {
    case .never: return []
    case .whenAsked:
      let isAsked = asksSeveral || DemoTokens.holds("tool", in: question.lastWords)
      guard isAsked || question.behaviour == .tools else { return [] }
    case .always: break
    case .named: return [first]
    }
    guard asksSeveral, try !isFalse("parallel_tool_calls") else { return [first] }
    return [first, tools.count > 1 ? tools[1] : first]
  }

  private func isFalse(_ key: StaticString) throws(DemoProblem) -> Bool {
    guard let value = try member(key, of: 0) else { return false }
    return document.kind(value) == .false
  }

  private func readTools() throws(DemoProblem) -> [DemoCall] {
    guard let tools = try member("tools", of: 0) else { return [] }
    guard document.kind(tools) == .list else { throw wrongType("tools", "a list") }
    var calls: [DemoCall] = []
    var place = 0
    for tool in document.elements(of: tools) {
      let name = "tools[\(place)].function"
      guard document.kind(tool) == .map, let function = try member("function", of: tool),
        document.kind(function) == .map
      else { throw wrongType(name, "an object") }
      guard let called = try member("name", of: function) else {
        throw DemoProblem(
          message: "The field '\(name).name' is missing.", parameter: "\(name).name",
          code: "missing_required_parameter")
      }
      // Nobody calls a third one.
      if place < 2 || isNamedInChoice {
        var arguments = DemoText()
        try writeArguments(try member("parameters", of: function), into: &arguments)
        calls.append(DemoCall(name: try text(called, "\(name).name"), arguments: arguments.bytes))
      }
      place += 1
    }
    return calls
  }

  private var isNamedInChoice: Bool {
    if case .found(let choice) = document.value(of: "tool_choice", in: 0) { return document.kind(choice) == .map }
    return false
  }

  private func readToolChoice() throws(DemoProblem) -> DemoToolChoice {
    guard let choice = try member("tool_choice", of: 0) else { return .whenAsked }
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

  // MARK: arguments

  /// The outermost value is an object whatever the schema says: arguments are one.
  private func writeArguments(_ schema: Int?, into text: inout DemoText) throws(DemoProblem) {
    guard let schema, document.kind(schema) == .map, let properties = try member("properties", of: schema),
      document.kind(properties) == .map
    else { return text.append("{}") }
    var isFirst = true
    text.append("{")
    for (key, property) in document.pairs(of: properties) {
      text.append(isFirst ? "" : ",")
      isFirst = false
      text.append(Array(document.raw(key)))
      text.append(":")
      try writeValue(property, into: &text)
    }
    text.append("}")
  }

  /// As deep as the schema is, and the reader bounds that.
  private func writeValue(_ schema: Int, into text: inout DemoText) throws(DemoProblem) {
    guard document.kind(schema) == .map else { return text.append("\"demo\"") }
    if let value = try member("const", of: schema) { return text.append(Array(document.raw(value))) }
    if let values = try member("enum", of: schema), document.kind(values) == .list,
      let first = document.elements(of: values).first(where: { _ in true })
    {
      return text.append(Array(document.raw(first)))
    }
    var type = try member("type", of: schema)
    if let list = type, document.kind(list) == .list { type = document.elements(of: list).first { _ in true } }
    func isType(_ name: StaticString) -> Bool { type.map { document.isString($0, name) } ?? false }
    if isType("number") || isType("integer") { return text.append("1") }
    if isType("boolean") { return text.append("true") }
    if isType("null") { return text.append("null") }
    if isType("object") { return try writeArguments(schema, into: &text) }
    guard isType("array") else { return text.append("\"demo\"") }
    text.append("[")
    if let items = try member("items", of: schema) { try writeValue(items, into: &text) }
    text.append("]")
  }
}
