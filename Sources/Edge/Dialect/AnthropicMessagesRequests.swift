// Reads the requests of Anthropic's messages into parts, for a provider of another dialect. What only tunes is left
// out; what would change the answer and has no twin is a fault.
//
// Called by: the table of dialects, with a body that AnthropicMessages.read has taken.
// Never: changes or copies the body.

extension AnthropicMessages {
  private static let onlyHere: StaticString =
    "A block of this type can only be sent to a provider that speaks anthropic-messages; leave it out."

  /// Everything that a request says: instructions, tools, turns.
  static func readRequest(
    _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument, into parts: ModelParts
  ) throws(DialectFault) {
    defer { document.reset() }
    try document.readRequest(body, count)
    if let system = try value("system", 0, document, "system") {
      try addInstructions(system, document, "system", to: parts)
    }
    if let tools = try value("tools", 0, document, "tools") {
      for tool in document.elements(of: tools) { try addTool(tool, document, to: parts) }
    }
    if let messages = try value("messages", 0, document, "messages") {
      var calls: Int32 = 0
      for message in document.elements(of: messages) { try addMessage(message, document, &calls, to: parts) }
    }
    try readSettings(document, &parts.settings)
  }

  /// The value of a key that may stand there once; nil when it is missing or null.
  private static func value(
    _ key: StaticString, _ map: Int, _ document: JSONDocument, _ param: StaticString
  ) throws(DialectFault) -> Int? {
    switch document.value(of: key, in: map) {
    case .missing: return nil
    case .duplicate: throw DialectFault(param: param, message: "A key stands here twice; send it once.")
    case .found(let value): return document.kind(value) == .null ? nil : value
    }
  }

  /// The string of a key that must be there.
  private static func string(
    _ key: StaticString, _ map: Int, _ document: JSONDocument, _ fault: DialectFault
  ) throws(DialectFault) -> ModelText {
    guard case .found(let value) = document.value(of: key, in: map), document.kind(value) == .string else {
      throw fault
    }
    return document.modelText(value)
  }

  // MARK: settings

  private static func readSettings(_ document: JSONDocument, _ settings: inout ModelSettings) throws(DialectFault) {
    settings.temperature = try number("temperature", document)
    settings.topP = try number("top_p", document)
    if let stop = try value("stop_sequences", 0, document, "stop_sequences") {
      guard document.kind(stop) == .list, document.elements(of: stop).allSatisfy({ document.kind($0) == .string })
      else { throw DialectFault(param: "stop_sequences", message: "This must be a list of strings.") }
      if document[stop].members > 0 { settings.stop = document.modelText(stop) }
    }
    if let metadata = try value("metadata", 0, document, "metadata"),
      let user = try value("user_id", metadata, document, "metadata")
    {
      guard document.kind(user) == .string else {
        throw DialectFault(param: "metadata", message: "user_id must be a string.")
      }
      settings.user = document.modelText(user)
    }
    if let choice = try value("tool_choice", 0, document, "tool_choice") {
      try readToolChoice(choice, document, &settings)
    }
    if let output = try value("output_config", 0, document, "output_config") {
      if let effort = try value("effort", output, document, "output_config") {
        guard document.kind(effort) == .string else {
          throw DialectFault(param: "output_config", message: "effort must be a string.")
        }
        settings.effort = document.modelText(effort)
      }
      if let format = try value("format", output, document, "output_config") {
        try readFormat(format, document, "output_config", &settings)
      }
    }
    if let format = try value("output_format", 0, document, "output_format") {
      try readFormat(format, document, "output_format", &settings)
    }
  }

  private static func number(_ key: StaticString, _ document: JSONDocument) throws(DialectFault) -> ModelText {
    guard let number = try value(key, 0, document, key) else { return .none }
    guard document.kind(number) == .number else { throw DialectFault(param: key, message: "This must be a number.") }
    return document.modelText(number)
  }

  private static func readToolChoice(
    _ choice: Int, _ document: JSONDocument, _ settings: inout ModelSettings
  ) throws(DialectFault) {
    let fault = DialectFault(
      param: "tool_choice", message: "This must be an object of the type auto, any, tool or none.")
    guard let type = try value("type", choice, document, "tool_choice") else { throw fault }
    if document.isString(type, "auto") {
      settings.toolChoice = .auto
    } else if document.isString(type, "any") {
      settings.toolChoice = .required
    } else if document.isString(type, "none") {
      settings.toolChoice = .none
    } else if document.isString(type, "tool") {
      settings.toolChoice = .named
      settings.toolName = try string(
        "name", choice, document, DialectFault(param: "tool_choice", message: "Name the tool."))
    } else {
      throw fault
    }
    if let serial = try value("disable_parallel_tool_use", choice, document, "tool_choice") {
      guard document.kind(serial) == .true || document.kind(serial) == .false else {
        throw DialectFault(param: "tool_choice", message: "disable_parallel_tool_use must be true or false.")
      }
      settings.isSerial = document.kind(serial) == .true
    }
  }

  private static func readFormat(
    _ format: Int, _ document: JSONDocument, _ param: StaticString, _ settings: inout ModelSettings
  ) throws(DialectFault) {
    guard let type = try value("type", format, document, param), document.isString(type, "json_schema"),
      let schema = try value("schema", format, document, param), document.kind(schema) == .map
    else { throw DialectFault(param: param, message: "The format must be of the type json_schema, with a schema.") }
    settings.schema = document.modelText(schema)
  }

  // MARK: instructions and tools

  private static func addInstructions(
    _ content: Int, _ document: JSONDocument, _ param: StaticString, to parts: ModelParts
  ) throws(DialectFault) {
    if document.kind(content) == .string {
      add(.instruction, document.modelText(content), to: parts)
      return
    }
    let fault = DialectFault(param: param, message: "Instructions must be a string or a list of blocks of text.")
    guard document.kind(content) == .list else { throw fault }
    for block in document.elements(of: content) {
      guard let type = try value("type", block, document, param), document.isString(type, "text") else { throw fault }
      add(.instruction, try string("text", block, document, fault), to: parts)
    }
  }

  /// A text that says nothing is no part.
  private static func add(_ kind: ModelPart.Kind, _ text: ModelText, to parts: ModelParts) {
    if !text.isEmpty { parts.add(ModelPart(kind, text: text)) }
  }

  private static func addTool(_ tool: Int, _ document: JSONDocument, to parts: ModelParts) throws(DialectFault) {
    if let type = try value("type", tool, document, "tools"), !document.isString(type, "custom") {
      throw DialectFault(
        param: "tools", message: "A tool of this type can only be used with a provider that speaks anthropic-messages.")
    }
    var part = ModelPart(.tool)
    part.name = try string("name", tool, document, DialectFault(param: "tools", message: "A tool needs a name."))
    if let description = try value("description", tool, document, "tools") {
      guard document.kind(description) == .string else {
        throw DialectFault(param: "tools", message: "A tool's description must be a string.")
      }
      part.text = document.modelText(description)
    }
    if let schema = try value("input_schema", tool, document, "tools") {
      guard document.kind(schema) == .map else {
        throw DialectFault(param: "tools", message: "A tool's input_schema must be an object.")
      }
      part.more = document.modelText(schema)
    }
    if let strict = try value("strict", tool, document, "tools") { part.flag = document.kind(strict) == .true }
    parts.add(part)
  }

  // MARK: turns

  private static func addMessage(
    _ message: Int, _ document: JSONDocument, _ calls: inout Int32, to parts: ModelParts
  ) throws(DialectFault) {
    guard let role = try value("role", message, document, "messages") else {
      throw DialectFault(param: "messages", message: "A message needs its role.")
    }
    guard let content = try value("content", message, document, "messages") else {
      throw DialectFault(param: "messages", message: "A message needs its content.")
    }
    if document.isString(role, "system") {
      try addInstructions(content, document, "messages", to: parts)
      return
    }
    let isUsers = document.isString(role, "user")
    guard isUsers || document.isString(role, "assistant") else {
      throw DialectFault(param: "messages", message: "The role of a message is user, assistant or system.")
    }
    parts.add(ModelPart(isUsers ? .user : .assistant))
    if document.kind(content) == .string {
      add(.text, document.modelText(content), to: parts)
      return
    }
    guard document.kind(content) == .list else {
      throw DialectFault(param: "messages", message: "A message's content must be a string or a list of blocks.")
    }
    for block in document.elements(of: content) {
      if isUsers {
        try addUserBlock(block, document, to: parts)
      } else {
        try addAssistantBlock(block, document, &calls, to: parts)
      }
    }
  }

  private static func addUserBlock(_ block: Int, _ document: JSONDocument, to parts: ModelParts) throws(DialectFault) {
    guard let type = try value("type", block, document, "messages"), document.isString(type, "tool_result") else {
      try addContent(block, document, takesFiles: true, to: parts)
      return
    }
    var part = ModelPart(.toolResult)
    part.id = try string(
      "tool_use_id", block, document,
      DialectFault(param: "messages", message: "A tool_result needs the tool_use_id of its call."))
    if let failed = try value("is_error", block, document, "messages") { part.flag = document.kind(failed) == .true }
    parts.add(part)
    if let content = try value("content", block, document, "messages") {
      switch document.kind(content) {
      case .string: add(.text, document.modelText(content), to: parts)
      case .list:
        for inner in document.elements(of: content) { try addContent(inner, document, takesFiles: false, to: parts) }
      default:
        throw DialectFault(param: "messages", message: "What a tool has given must be a string or a list of blocks.")
      }
    }
    parts.add(ModelPart(.toolResultEnd))
  }

  /// What the user, or a tool of the user's, shows to the model.
  private static func addContent(
    _ block: Int, _ document: JSONDocument, takesFiles: Bool, to parts: ModelParts
  ) throws(DialectFault) {
    guard let type = try value("type", block, document, "messages") else {
      throw DialectFault(param: "messages", message: "Each block of a message is an object with a type.")
    }
    if document.isString(type, "text") {
      try addText(block, document, to: parts)
    } else if document.isString(type, "image") {
      try addImage(block, document, to: parts)
    } else if document.isString(type, "document") {
      try addDocument(block, document, takesFiles: takesFiles, to: parts)
    } else {
      throw DialectFault(param: "messages", message: onlyHere)
    }
  }

  private static func addText(_ block: Int, _ document: JSONDocument, to parts: ModelParts) throws(DialectFault) {
    let fault = DialectFault(param: "messages", message: "The text of a block must be a string.")
    add(.text, try string("text", block, document, fault), to: parts)
  }

  private static func addImage(_ block: Int, _ document: JSONDocument, to parts: ModelParts) throws(DialectFault) {
    let fault = DialectFault(param: "messages", message: "A picture needs its data, or its address, in the body.")
    guard let source = try value("source", block, document, "messages"),
      let type = try value("type", source, document, "messages")
    else { throw fault }
    var part = ModelPart(.image)
    if document.isString(type, "url") {
      part.flag = true
      part.text = try string("url", source, document, fault)
    } else if document.isString(type, "base64") {
      part.mediaType = try string("media_type", source, document, fault)
      part.text = try string("data", source, document, fault)
    } else {
      throw fault
    }
    parts.add(part)
  }

  private static func addDocument(
    _ block: Int, _ document: JSONDocument, takesFiles: Bool, to parts: ModelParts
  ) throws(DialectFault) {
    let fault = DialectFault(param: "messages", message: "A document needs its data in the body.")
    guard let source = try value("source", block, document, "messages"),
      let type = try value("type", source, document, "messages")
    else { throw fault }
    if document.isString(type, "text") {
      add(.text, try string("data", source, document, fault), to: parts)
    } else if document.isString(type, "content") {
      guard let content = try value("content", source, document, "messages") else { throw fault }
      if document.kind(content) == .string { add(.text, document.modelText(content), to: parts) }
      for inner in document.elements(of: content) { try addContent(inner, document, takesFiles: false, to: parts) }
    } else if document.isString(type, "base64") {
      guard takesFiles else { throw DialectFault(param: "messages", message: onlyHere) }
      var part = ModelPart(.file)
      part.mediaType = try string("media_type", source, document, fault)
      part.text = try string("data", source, document, fault)
      part.name = document.modelString(of: "title", in: block)
      parts.add(part)
    } else {
      throw fault
    }
  }

  /// What the model has said before. What it thought goes to its own provider only, which has signed it.
  private static func addAssistantBlock(
    _ block: Int, _ document: JSONDocument, _ calls: inout Int32, to parts: ModelParts
  ) throws(DialectFault) {
    guard let type = try value("type", block, document, "messages") else {
      throw DialectFault(param: "messages", message: "Each block of a message is an object with a type.")
    }
    if document.isString(type, "text") {
      try addText(block, document, to: parts)
      return
    }
    if document.isString(type, "thinking") || document.isString(type, "redacted_thinking") { return }
    guard document.isString(type, "tool_use") else { throw DialectFault(param: "messages", message: onlyHere) }
    let fault = DialectFault(param: "messages", message: "A tool_use needs its id and its name.")
    var part = ModelPart(.toolCall)
    part.id = try string("id", block, document, fault)
    part.name = try string("name", block, document, fault)
    part.index = calls
    calls &+= 1
    if let input = try value("input", block, document, "messages") {
      guard document.kind(input) == .map else {
        throw DialectFault(param: "messages", message: "The input of a tool_use must be an object.")
      }
      part.text = document.modelText(input)
    }
    parts.add(part)
  }
}
