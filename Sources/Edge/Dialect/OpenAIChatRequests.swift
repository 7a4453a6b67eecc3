// Requests of this dialect in the words of all: read into parts. The platform's own dialect has the same conversations
// and tools, with keys in camel case beside these; it is read here too.
//
// Owns: what of a chat can be asked in another dialect.
// Called by: the table of dialects, and PlatformV1.
// Never: changes the body that is read, nor refuses what only tunes an answer.

/// Whose chat is read.
enum ChatForm {
  case openAI
  /// The keys that have two words may be in camel case too, and no provider reads the request as it is.
  case platform

  func pick(_ openAI: StaticString, _ platform: StaticString) -> StaticString {
    self == .openAI ? openAI : platform
  }

  /// The second spelling of a key.
  func other(_ camelCase: StaticString) -> StaticString? { self == .platform ? camelCase : nil }
}

extension OpenAIChat {
  private static let ownWords: StaticString =
    "This can only be asked of a provider that speaks openai-chat; leave it out or name another model."
  private static let ownKeys: [StaticString] = ["top_logprobs", "function_call", "audio", "moderation"]
  /// Others tune the same thing in words of their own, and are left out.
  private static let efforts: [StaticString] = ["low", "medium", "high", "xhigh", "max"]

  /// Everything that a request says.
  static func readRequest(
    _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument, into parts: ModelParts
  ) throws(DialectFault) {
    defer { document.reset() }
    try document.readRequest(body, count)
    try refuseOwnWords(document)
    try readConversation(document, .openAI, into: parts)
    try readWishes(document, .openAI, into: parts)
  }

  /// The messages of a request.
  static func readConversation(
    _ document: JSONDocument, _ form: ChatForm, into parts: ModelParts
  ) throws(DialectFault) {
    guard let messages = try given(document, "messages", 0, "messages"), document.kind(messages) == .list else {
      throw DialectFault(param: "messages", message: "Send a list of messages.")
    }
    var isBehindTool = false
    for message in document.elements(of: messages) {
      isBehindTool = try readMessage(document, message, form, isBehindTool, into: parts)
    }
  }

  /// What it says beside them: its tools, and how the answer should be.
  static func readWishes(_ document: JSONDocument, _ form: ChatForm, into parts: ModelParts) throws(DialectFault) {
    try readToolList(document, form, into: parts)
    try readToolChoice(document, form, &parts.settings)
    try readFormat(document, form, &parts.settings)
    try readTuning(document, form, &parts.settings)
  }

  /// What would change the answer and has no twin in other dialects.
  private static func refuseOwnWords(_ document: JSONDocument) throws(DialectFault) {
    if let choices = try given(document, "n", 0, "n"), document.integer(choices) != 1 {
      throw DialectFault(param: "n", message: ownWords)
    }
    if let wanted = try given(document, "logprobs", 0, "logprobs"), document.kind(wanted) != .false {
      throw DialectFault(param: "logprobs", message: ownWords)
    }
    if let functions = try given(document, "functions", 0, "functions"),
      document.kind(functions) != .list || document[functions].members > 0
    {
      throw DialectFault(param: "functions", message: "Only tools can be asked of this model; send tools instead.")
    }
    for key in ownKeys {
      if try given(document, key, 0, key) != nil { throw DialectFault(param: key, message: ownWords) }
    }
  }

  /// The value of a key that is not null. Both spellings of a key are the same key.
  static func given(
    _ document: JSONDocument, _ key: StaticString, or other: StaticString? = nil, _ map: Int, _ param: StaticString
  ) throws(DialectFault) -> Int? {
    var found = document.value(of: key, in: map)
    if let other {
      let second = document.value(of: other, in: map)
      if found == .missing { found = second } else if second != .missing { found = .duplicate }
    }
    switch found {
    case .missing: return nil
    case .duplicate: throw DialectFault(param: param, message: "A key stands here twice; send it once.")
    case .found(let value): return document.kind(value) == .null ? nil : value
    }
  }

  /// The same for a string.
  static func string(
    _ document: JSONDocument, _ key: StaticString, or other: StaticString? = nil, _ map: Int, _ param: StaticString
  ) throws(DialectFault) -> ModelText {
    guard let value = try given(document, key, or: other, map, param) else { return .none }
    guard document.kind(value) == .string else {
      throw DialectFault(param: param, message: "What must be a string here is none.")
    }
    return document.modelText(value)
  }

  // MARK: messages

  /// Whether it was one with what a tool has given: such messages that follow each other are one turn.
  private static func readMessage(
    _ document: JSONDocument, _ message: Int, _ form: ChatForm, _ isBehindTool: Bool, into parts: ModelParts
  ) throws(DialectFault) -> Bool {
    let role = try string(document, "role", message, "messages")
    let content = try given(document, "content", message, "messages")
    if role.says("system") || role.says("developer") {
      try readContent(document, content, form, as: .instruction, into: parts)
      return isBehindTool
    }
    if role.says("user") {
      guard content != nil else {
        throw DialectFault(param: "messages", message: "A message of the user has no content.")
      }
      parts.add(ModelPart(.user))
      try readContent(document, content, form, as: .text, into: parts)
      return false
    }
    if role.says("assistant") {
      parts.add(ModelPart(.assistant))
      try readContent(document, content, form, as: .text, into: parts)
      try readModelTurn(document, message, form, into: parts)
      return false
    }
    guard role.says("tool") else {
      throw DialectFault(
        param: "messages", message: "A message's role must be system, developer, user, assistant or tool.")
    }
    if !isBehindTool { parts.add(ModelPart(.user)) }
    var result = ModelPart(.toolResult)
    result.id = try string(document, "tool_call_id", or: form.other("toolCallId"), message, "messages")
    if result.id.isEmpty {
      throw DialectFault(
        param: "messages",
        message: form.pick("A message of a tool has no tool_call_id.", "A message of a tool has no toolCallId."))
    }
    parts.add(result)
    try readContent(document, content, form, as: .text, into: parts)
    parts.add(ModelPart(.toolResultEnd))
    return true
  }

  /// What the model has said beside its content.
  private static func readModelTurn(
    _ document: JSONDocument, _ message: Int, _ form: ChatForm, into parts: ModelParts
  ) throws(DialectFault) {
    let refusal = try string(document, "refusal", message, "messages")
    if !refusal.isEmpty { parts.add(ModelPart(.refusal, text: refusal)) }
    if try given(document, "function_call", message, "messages") != nil {
      throw DialectFault(
        param: "messages",
        message: form.pick(
          "Only tools can be asked of this model; send tool_calls instead.",
          "Only tools can be called; send toolCalls instead of function_call."))
    }
    if try given(document, "audio", message, "messages") != nil {
      throw DialectFault(
        param: "messages",
        message: form.pick(
          "Audio can only be sent to a provider that speaks openai-chat.", "Audio cannot be sent here; leave it out."))
    }
    guard let calls = try given(document, "tool_calls", or: form.other("toolCalls"), message, "messages") else {
      return
    }
    guard document.kind(calls) == .list else {
      throw DialectFault(
        param: "messages",
        message: form.pick(
          "The tool_calls of a message must be a list.", "The toolCalls of a message must be a list."))
    }
    var index: Int32 = 0
    for call in document.elements(of: calls) {
      let type = try string(document, "type", call, "messages")
      guard type.isNone || type.says("function"), let function = try given(document, "function", call, "messages")
      else {
        throw DialectFault(
          param: "messages",
          message: form.pick(
            "Calls of other tools than functions can only be sent to a provider that speaks openai-chat.",
            "A call of a tool must be of the type function."))
      }
      var part = ModelPart(.toolCall, text: try string(document, "arguments", function, "messages"))
      part.id = try string(document, "id", call, "messages")
      part.name = try string(document, "name", function, "messages")
      if part.id.isEmpty || part.name.isEmpty {
        throw DialectFault(param: "messages", message: "A call of a tool must have an id and the name of its function.")
      }
      part.index = index
      index += 1
      parts.add(part)
    }
  }

  /// A content that is one text, or a list of texts, pictures and files. Instructions are texts only.
  private static func readContent(
    _ document: JSONDocument, _ content: Int?, _ form: ChatForm, as kind: ModelPart.Kind, into parts: ModelParts
  ) throws(DialectFault) {
    guard let content else { return }
    switch document.kind(content) {
    case .string:
      if document.content(content).count > 0 { parts.add(ModelPart(kind, text: document.modelText(content))) }
    case .list:
      for element in document.elements(of: content) {
        let type = try string(document, "type", element, "messages")
        if type.says("text") {
          let text = try string(document, "text", element, "messages")
          if !text.isEmpty { parts.add(ModelPart(kind, text: text)) }
        } else if kind == .instruction {
          throw DialectFault(param: "messages", message: "Instructions can only be texts.")
        } else if type.says("refusal") {
          parts.add(ModelPart(.refusal, text: try string(document, "refusal", element, "messages")))
        } else if type.says("image_url") {
          parts.add(try image(document, element))
        } else if type.says("file") {
          parts.add(try file(document, element))
        } else {
          throw DialectFault(
            param: "messages",
            message: form.pick(
              "A part of this type can only be sent to a provider that speaks openai-chat.",
              "A part of a content must be of the type text, image_url, file or refusal."))
        }
      }
    default:
      throw DialectFault(param: "messages", message: "A message's content must be a string or a list of parts.")
    }
  }

  private static func image(_ document: JSONDocument, _ element: Int) throws(DialectFault) -> ModelPart {
    var part = ModelPart(.image)
    if let place = try given(document, "image_url", element, "messages") {
      part.text =
        document.kind(place) == .string
        ? document.modelText(place) : try string(document, "url", place, "messages")
      if document.kind(place) == .map { part.more = try string(document, "detail", place, "messages") }
    }
    if let split = part.text.dataURL {
      (part.mediaType, part.text) = split
    } else if part.text.begins(folded: "https:") || part.text.begins(folded: "http:") {
      part.flag = true
    } else {
      throw DialectFault(
        param: "messages", message: "A picture must be a web address, or a data: URL with its type and base64 data.")
    }
    return part
  }

  private static func file(_ document: JSONDocument, _ element: Int) throws(DialectFault) -> ModelPart {
    guard let file = try given(document, "file", element, "messages"),
      let split = try string(document, "file_data", file, "messages").dataURL
    else {
      throw DialectFault(
        param: "messages", message: "A file's file_data must be a data: URL with its type and base64 data.")
    }
    var part = ModelPart(.file, text: split.data)
    part.mediaType = split.mediaType
    part.name = try string(document, "filename", file, "messages")
    return part
  }

  // MARK: tools and settings

  private static func readToolList(
    _ document: JSONDocument, _ form: ChatForm, into parts: ModelParts
  ) throws(DialectFault) {
    guard let tools = try given(document, "tools", 0, "tools") else { return }
    for tool in document.elements(of: tools) {
      guard try string(document, "type", tool, "tools").says("function"),
        let function = try given(document, "function", tool, "tools")
      else {
        throw DialectFault(
          param: "tools",
          message: form.pick(
            "Other tools than functions can only be sent to a provider that speaks openai-chat.",
            "A tool must be of the type function."))
      }
      var part = ModelPart(.tool, text: try string(document, "description", function, "tools"))
      part.name = try string(document, "name", function, "tools")
      if part.name.isEmpty { throw DialectFault(param: "tools", message: "A tool's function must have a name.") }
      if let schema = try given(document, "parameters", function, "tools") {
        guard document.kind(schema) == .map else {
          throw DialectFault(param: "tools", message: "The parameters of a function must be an object.")
        }
        part.more = document.modelText(schema)
      }
      if let strict = try given(document, "strict", function, "tools") { part.flag = document.kind(strict) == .true }
      parts.add(part)
    }
  }

  private static func readToolChoice(
    _ document: JSONDocument, _ form: ChatForm, _ settings: inout ModelSettings
  ) throws(DialectFault) {
    let serial = form.pick("parallel_tool_calls", "parallelToolCalls")
    if let parallel = try given(document, "parallel_tool_calls", or: form.other("parallelToolCalls"), 0, serial) {
      settings.isSerial = document.kind(parallel) == .false
    }
    let param = form.pick("tool_choice", "toolChoice")
    guard let choice = try given(document, "tool_choice", or: form.other("toolChoice"), 0, param) else { return }
    if document.isString(choice, "auto") {
      settings.toolChoice = .auto
    } else if document.isString(choice, "none") {
      settings.toolChoice = .none
    } else if document.isString(choice, "required") {
      settings.toolChoice = .required
    } else if try string(document, "type", choice, param).says("function"),
      let function = try given(document, "function", choice, param)
    {
      settings.toolChoice = .named
      settings.toolName = try string(document, "name", function, param)
    }
    if settings.toolChoice == .unsaid || settings.toolChoice == .named && settings.toolName.isEmpty {
      throw DialectFault(
        param: param,
        message: form.pick(
          "This must be auto, none, required or a function; others know openai-chat only.",
          "This must be auto, none, required or a function."))
    }
  }

  private static func readFormat(
    _ document: JSONDocument, _ form: ChatForm, _ settings: inout ModelSettings
  ) throws(DialectFault) {
    let param = form.pick("response_format", "responseFormat")
    guard let format = try given(document, "response_format", or: form.other("responseFormat"), 0, param) else {
      return
    }
    let type = try string(document, "type", format, param)
    if type.says("text") { return }
    if type.says("json_object") {
      settings.isObject = true
      return
    }
    guard type.says("json_schema") else {
      throw DialectFault(param: param, message: "This must be of the type text, json_object or json_schema.")
    }
    guard let whole = try given(document, "json_schema", or: form.other("jsonSchema"), format, param),
      let schema = try given(document, "schema", whole, param), document.kind(schema) == .map
    else {
      throw DialectFault(param: param, message: "The json_schema must hold a schema, which is an object.")
    }
    settings.schema = document.modelText(schema)
    settings.schemaName = try string(document, "name", whole, param)
    settings.isStrict = try given(document, "strict", whole, param).map { document.kind($0) == .true } ?? false
  }

  private static func readTuning(
    _ document: JSONDocument, _ form: ChatForm, _ settings: inout ModelSettings
  ) throws(DialectFault) {
    settings.temperature = try number(document, "temperature", "temperature")
    settings.topP = try number(document, "top_p", or: form.other("topP"), form.pick("top_p", "topP"))
    settings.user = try string(document, "user", 0, "user")
    let effort = try string(
      document, "reasoning_effort", or: form.other("reasoningEffort"), 0,
      form.pick("reasoning_effort", "reasoningEffort"))
    if efforts.contains(where: { effort.says($0) }) { settings.effort = effort }
    guard let stop = try given(document, "stop", 0, "stop") else { return }
    if document.kind(stop) != .string {
      guard document.kind(stop) == .list, document.elements(of: stop).allSatisfy({ document.kind($0) == .string })
      else {
        throw DialectFault(param: "stop", message: "This must be a string or a list of strings.")
      }
      if document[stop].members == 0 { return }
    }
    settings.stop = document.modelText(stop)
  }

  private static func number(
    _ document: JSONDocument, _ key: StaticString, or other: StaticString? = nil, _ param: StaticString
  ) throws(DialectFault) -> ModelText {
    guard let value = try given(document, key, or: other, 0, param) else { return .none }
    guard document.kind(value) == .number else { throw DialectFault(param: param, message: "This must be a number.") }
    return document.modelText(value)
  }
}
