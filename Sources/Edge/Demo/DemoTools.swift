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
enum DemoToolChoice: Equatable {
  case never
  case whenAsked
  case always
  case named([UInt8])
}

/// The tools of a request, with the calls that they would get.
struct DemoTools {
  var choice = DemoToolChoice.whenAsked
  var mayCallSeveral = true
  /// The first two, and the one that must be called: nobody calls others.
  fileprivate(set) var first: [DemoCall] = []
  fileprivate var named: DemoCall?
  fileprivate(set) var count = 0
}

extension DemoQuestionReader {
  /// Takes a tool in, the choice being known.
  func add(_ name: [UInt8], _ schema: Int?, to tools: inout DemoTools) throws(DemoProblem) {
    defer { tools.count += 1 }
    let isNamed = tools.choice == .named(name)
    guard isNamed || tools.count < 2 else { return }
    var arguments = DemoText()
    try writeArguments(schema, into: &arguments)
    let call = DemoCall(name: name, arguments: arguments.bytes)
    if isNamed { tools.named = call }
    if tools.count < 2 { tools.first.append(call) }
  }

  /// A tool that must be called has to be there.
  func checked(_ tools: DemoTools) throws(DemoProblem) -> DemoTools {
    if case .named = tools.choice, tools.named == nil {
      throw DemoProblem(
        message: "'tool_choice' names a function that is not in 'tools'.", parameter: "tool_choice",
        code: "invalid_value")
    }
    return tools
  }

  /// The calls that answer a question; none means text. A tool that has answered is quoted, not called again.
  func calls(_ tools: DemoTools, _ question: DemoQuestion) -> [DemoCall] {
    guard let first = tools.first.first, question.toolResult == nil, question.behaviour != .max else { return [] }
    let asksSeveral = DemoTokens.holds("tools", in: question.lastWords)
    switch tools.choice {
    case .never: return []
    case .whenAsked:
      let isAsked = asksSeveral || DemoTokens.holds("tool", in: question.lastWords)
      guard isAsked || question.behaviour == .tools else { return [] }
    case .always: break
    case .named: return tools.named.map { [$0] } ?? []
    }
    guard asksSeveral, tools.mayCallSeveral else { return [first] }
    return [first, tools.first.last ?? first]
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
