// Reads the requests of the platform's own dialect: what Edge must know to choose a provider and to hold credits, and
// what is asked, in the words of all. Messages and tools are those of OpenAI's chat completions and are read there;
// keys of two words may be spelled as the platform or as OpenAI does.
//
// Owns: the keys of a request. What would change the price in a way that no price list says is refused; what is not
// known here has no meaning and goes nowhere.
// Called by: the table of dialects.
// Never: changes or copies the message.

extension PlatformV1 {
  /// What Edge reads of a request. None may stand there twice, whatever its spelling.
  private enum Field: UInt8, CaseIterable {
    case id, type, model, provider, messages, prompt, stream, tokens, temperature, topP, stop, user, effort
    case tools, toolChoice, parallel, format
    case choices, serviceTier, modalities, audio, webSearch, models, plugins, bestOf, prediction

    /// As the platform spells it.
    var name: StaticString {
      switch self {
      case .id: "id"
      case .type: "type"
      case .model: "model"
      case .provider: "provider"
      case .messages: "messages"
      case .prompt: "prompt"
      case .stream: "stream"
      case .tokens: "maxTokens"
      case .temperature: "temperature"
      case .topP: "topP"
      case .stop: "stop"
      case .user: "user"
      case .effort: "reasoningEffort"
      case .tools: "tools"
      case .toolChoice: "toolChoice"
      case .parallel: "parallelToolCalls"
      case .format: "responseFormat"
      case .choices: "n"
      case .serviceTier: "serviceTier"
      case .modalities: "modalities"
      case .audio: "audio"
      case .webSearch: "webSearchOptions"
      case .models: "models"
      case .plugins: "plugins"
      case .bestOf: "bestOf"
      case .prediction: "prediction"
      }
    }

    /// Its other spellings, counted from 0.
    private func spelling(_ number: Int) -> StaticString? {
      switch (self, number) {
      case (.tokens, 0): "max_tokens"
      case (.tokens, 1): "max_completion_tokens"
      case (.tokens, 2): "maxCompletionTokens"
      case (.topP, 0): "top_p"
      case (.effort, 0): "reasoning_effort"
      case (.toolChoice, 0): "tool_choice"
      case (.parallel, 0): "parallel_tool_calls"
      case (.format, 0): "response_format"
      case (.serviceTier, 0): "service_tier"
      case (.webSearch, 0): "web_search_options"
      case (.bestOf, 0): "best_of"
      default: nil
      }
    }

    /// The field of a key, and how it is spelled there.
    static func of(_ key: Int, _ document: JSONDocument) -> (field: Field, name: StaticString)? {
      for field in Field.allCases {
        var number = 0
        var name: StaticString? = field.name
        while let spelling = name {
          if document.isString(key, spelling) { return (field, spelling) }
          name = field.spelling(number)
          number += 1
        }
      }
      return nil
    }
  }

  // MARK: what Edge must know

  /// Reads a message that asks for work; it may be anything. `named` is the provider, none for auto.
  static func read(
    _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) throws(DialectFault) -> ModelRequest {
    defer { document.reset() }
    try document.readRequest(body, count)
    try checkType(document)
    var request = ModelRequest()
    request.bodyBytes = Int64(count)
    request.insertion = Int32(document[0].start) + 1
    request.asksUsage = true
    var seen: UInt32 = 0
    var hasMessages = false
    var hasPrompt = false
    for (key, value) in document.pairs(of: 0) {
      guard let (field, name) = Field.of(key, document) else { continue }
      let bit = UInt32(1) << UInt32(field.rawValue)
      if seen & bit != 0 {
        throw DialectFault(param: name, message: "This parameter stands in the message twice; send it once.")
      }
      seen |= bit
      // What is null is not there.
      if document.kind(value) == .null { continue }
      if field == .messages { hasMessages = true }
      if field == .prompt { hasPrompt = true }
      try read(field, name, value, document, &request)
    }
    if request.model.isNone { throw DialectFault(param: "model", message: "Name a model.") }
    if hasMessages == hasPrompt {
      throw hasPrompt
        ? DialectFault(param: "prompt", message: "Send messages or a prompt, not both.")
        : DialectFault(param: "messages", message: "Send a list of messages, or a prompt.")
    }
    return request
  }

  private static func checkType(_ document: JSONDocument) throws(DialectFault) {
    if case .found(let type) = document.value(of: "type", in: 0) {
      if document.isString(type, "chat") || document.isString(type, "completion") { return }
      if document.isString(type, "embedding") {
        throw DialectFault(
          code: .notImplemented, param: "type", message: "Embeddings are not made here yet; send chat or completion.")
      }
    }
    throw DialectFault(
      code: .invalidMessageFormat, param: "type", message: "A request is of the type chat or completion.")
  }

  private static func read(
    _ field: Field, _ name: StaticString, _ value: Int, _ document: JSONDocument, _ request: inout ModelRequest
  ) throws(DialectFault) {
    let kind = document.kind(value)
    switch field {
    case .model: try document.readModel(value, into: &request)
    case .provider: try readProvider(document, value, into: &request)
    case .messages: try OpenAIChat.readMessages(document, value, &request)
    case .prompt:
      guard kind == .string, document.content(value).count > 0 else {
        throw DialectFault(param: name, message: "This must be a string that says something.")
      }
    case .stream:
      guard kind == .true || kind == .false else {
        throw DialectFault(param: name, message: "This must be true or false.")
      }
      request.streams = kind == .true
    case .tokens:
      guard let number = document.integer(value), number >= 0 else {
        throw DialectFault(param: name, message: "This must be a whole number, not below zero.")
      }
      request.outputTokensMax = number
    case .tools: try readTools(document, value)
    case .choices:
      if document.integer(value) == 1 { return }
      throw DialectFault(param: name, message: "A request has one answer here; leave it out.")
    case .serviceTier:
      if document.isString(value, "auto") || document.isString(value, "default") { return }
      throw DialectFault(
        param: name, message: "This service tier has no price here; leave it out or send auto or default.")
    case .modalities:
      guard kind == .list, document.elements(of: value).allSatisfy({ document.isString($0, "text") }) else {
        throw DialectFault(param: name, message: "Only a list with text has a price here; leave it out.")
      }
    case .audio, .webSearch, .models, .plugins, .bestOf, .prediction:
      throw DialectFault(param: name, message: "This has no price here; leave it out.")
    case .id, .type, .temperature, .topP, .stop, .user, .effort, .toolChoice, .parallel, .format: break
    }
  }

  private static func readProvider(
    _ document: JSONDocument, _ value: Int, into request: inout ModelRequest
  ) throws(DialectFault) {
    if document.isString(value, "auto") { return }
    let node = document[value]
    let bytes = Int(node.count) - 2
    guard node.kind == .string, !node.hasEscape, bytes > 0, bytes <= ModelLimits.modelBytesMax else {
      throw DialectFault(param: "provider", message: "Send auto or the name of a provider, without escapes.")
    }
    request.named = BodyRange(start: Int32(node.start) + 1, count: Int32(bytes))
  }

  private static func readTools(_ document: JSONDocument, _ value: Int) throws(DialectFault) {
    guard document.kind(value) == .list else { throw DialectFault(param: "tools", message: "This must be a list.") }
    for tool in document.elements(of: value) {
      if case .found(let type) = document.value(of: "type", in: tool), document.isString(type, "function") { continue }
      throw DialectFault(param: "tools", message: "Only tools of the type function have a price here.")
    }
  }

  // MARK: what is asked

  /// Everything that a request says.
  static func readRequest(
    _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument, into parts: ModelParts
  ) throws(DialectFault) {
    defer { document.reset() }
    try document.readRequest(body, count)
    let prompt = try OpenAIChat.string(document, "prompt", 0, "prompt")
    if prompt.isNone {
      try OpenAIChat.readConversation(document, .platform, into: parts)
    } else {
      parts.add(ModelPart(.user))
      parts.add(ModelPart(.text, text: prompt))
    }
    try OpenAIChat.readWishes(document, .platform, into: parts)
  }
}
