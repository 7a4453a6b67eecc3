// Reads the requests of Anthropic's messages: what Edge must know to choose a provider, to hold credits and to edit the
// body. What would change the price in a way that no price list says is refused; everything else passes.
//
// Called by: AnthropicMessages' callers.
// Never: changes or copies the body.

import Glibc

extension AnthropicMessages {
  /// What Edge reads at the top of a request. None may stand there twice: a provider might read the other one.
  private enum Field: UInt8, RequestField {
    case model, messages, tokens, stream, system, tools, cacheControl, serviceTier, speed, inferenceGeo
    case contextManagement, container, mcpServers, fallbacks, fallbackCreditToken, billingPolicy, thread, compaction
    case models, plugins

    var name: StaticString {
      switch self {
      case .model: "model"
      case .messages: "messages"
      case .tokens: "max_tokens"
      case .stream: "stream"
      case .system: "system"
      case .tools: "tools"
      case .cacheControl: "cache_control"
      case .serviceTier: "service_tier"
      case .speed: "speed"
      case .inferenceGeo: "inference_geo"
      case .contextManagement: "context_management"
      case .container: "container"
      case .mcpServers: "mcp_servers"
      case .fallbacks: "fallbacks"
      case .fallbackCreditToken: "fallback_credit_token"
      case .billingPolicy: "billing_policy"
      case .thread: "thread"
      case .compaction: "compaction"
      case .models: "models"
      case .plugins: "plugins"
      }
    }
  }

  /// Reads a body that may be anything.
  static func read(
    _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) throws(DialectFault) -> ModelRequest {
    defer { document.reset() }
    try document.readRequest(body, count)
    var request = ModelRequest()
    request.bodyBytes = Int64(count)
    request.insertion = Int32(document[0].start) + 1
    request.asksUsage = true
    var hasMessages = false
    try document.readFields { (field: Field, value) throws(DialectFault) in
      if field == .messages { hasMessages = true }
      try read(field, value, document, &request)
    }
    if request.model.isNone { throw DialectFault(param: "model", message: "Name a model.") }
    if !hasMessages { throw DialectFault(param: "messages", message: "Send a list of messages.") }
    if request.outputTokensMax < 0 {
      throw DialectFault(param: "max_tokens", message: "Say how many tokens the answer may have.")
    }
    return request
  }

  private static func read(
    _ field: Field, _ value: Int, _ document: JSONDocument, _ request: inout ModelRequest
  ) throws(DialectFault) {
    let kind = document.kind(value)
    switch field {
    case .model: try document.readModel(value, into: &request)
    case .messages: try readMessages(document, value, &request)
    case .tokens:
      guard let number = document.integer(value), number >= 0 else {
        throw DialectFault(param: field.name, message: "This must be a whole number, not below zero.")
      }
      request.outputTokensMax = number
    case .stream:
      guard kind == .true || kind == .false || kind == .null else {
        throw DialectFault(param: field.name, message: "This must be true or false.")
      }
      request.streams = kind == .true
    case .system: try readSystem(document, value)
    case .tools: try readTools(document, value)
    case .cacheControl: try readCache(document, value, field.name)
    case .serviceTier:
      if kind == .null || document.isString(value, "auto") || document.isString(value, "standard_only") { return }
      throw DialectFault(
        param: field.name, message: "This service tier has no price here; leave it out or send auto or standard_only.")
    case .speed:
      if kind == .null || document.isString(value, "standard") { return }
      throw DialectFault(
        param: field.name, message: "This speed has no price here; leave it out or send standard.")
    case .inferenceGeo:
      if kind == .null || document.isString(value, "global") { return }
      throw DialectFault(
        param: field.name, message: "This region has no price here; leave it out or send global.")
    case .contextManagement: try readContextManagement(document, value)
    case .container, .mcpServers, .fallbacks, .fallbackCreditToken, .billingPolicy, .thread, .compaction, .models,
      .plugins:
      if kind == .null || kind == .list && document[value].members == 0 { return }
      throw DialectFault(param: field.name, message: "This has no price here; leave it out.")
    }
  }

  // MARK: caches and context

  /// What a mark of the cache costs is known for the shortest time only.
  private static func readCache(_ document: JSONDocument, _ control: Int, _ param: StaticString) throws(DialectFault) {
    if document.kind(control) == .null { return }
    guard document.kind(control) == .map else {
      throw DialectFault(param: param, message: "cache_control must be an object.")
    }
    switch document.value(of: "ttl", in: control) {
    case .missing: return
    case .duplicate: throw DialectFault(param: param, message: "cache_control has its ttl twice.")
    case .found(let ttl):
      if document.kind(ttl) == .null || document.isString(ttl, "5m") { return }
      throw DialectFault(
        param: param, message: "Only caches of five minutes have a price here; leave ttl out or send 5m.")
    }
  }

  private static func readCache(of map: Int, _ document: JSONDocument, _ param: StaticString) throws(DialectFault) {
    switch document.value(of: "cache_control", in: map) {
    case .missing: return
    case .duplicate: throw DialectFault(param: param, message: "cache_control stands there twice; send it once.")
    case .found(let control): try readCache(document, control, param)
    }
  }

  /// Edits that clear something cost nothing; those that have the model sum up cost what no usage at the top says.
  private static func readContextManagement(_ document: JSONDocument, _ value: Int) throws(DialectFault) {
    if document.kind(value) == .null { return }
    switch document.value(of: "edits", in: value) {
    case .missing: if document.kind(value) == .map { return }
    case .duplicate: break
    case .found(let edits):
      if document.kind(edits) == .null { return }
      guard document.kind(edits) == .list else { break }
      for edit in document.elements(of: edits) {
        guard case .found(let type) = document.value(of: "type", in: edit), starts(document, type, "clear_") else {
          throw DialectFault(param: "context_management", message: "Only edits that clear have a price here.")
        }
      }
      return
    }
    throw DialectFault(param: "context_management", message: "This must be an object with one list of edits.")
  }

  // MARK: instructions and tools

  private static func readSystem(_ document: JSONDocument, _ value: Int) throws(DialectFault) {
    switch document.kind(value) {
    case .string, .null: return
    case .list:
      for block in document.elements(of: value) {
        guard case .found(let type) = document.value(of: "type", in: block), document.isString(type, "text") else {
          throw DialectFault(param: "system", message: "Only blocks of the type text can stand here.")
        }
        try readCache(of: block, document, "system")
      }
    default: throw DialectFault(param: "system", message: "This must be a string or a list of blocks.")
    }
  }

  /// Tools that run at the client cost what their text costs; of those that run at the provider nobody here knows.
  private static func readTools(_ document: JSONDocument, _ value: Int) throws(DialectFault) {
    if document.kind(value) == .null { return }
    guard document.kind(value) == .list else {
      throw DialectFault(param: "tools", message: "This must be a list.")
    }
    for tool in document.elements(of: value) {
      guard document.kind(tool) == .map else {
        throw DialectFault(param: "tools", message: "A tool must be an object.")
      }
      try readCache(of: tool, document, "tools")
      switch document.value(of: "type", in: tool) {
      case .missing: continue
      case .found(let type) where isClientTool(document, type): continue
      case .found, .duplicate:
        throw DialectFault(
          param: "tools", message: "Only tools that run at the client have a price here; leave the others out.")
      }
    }
  }

  private static func isClientTool(_ document: JSONDocument, _ type: Int) -> Bool {
    if document.kind(type) == .null || document.isString(type, "custom") { return true }
    return startsDated(document, type, "bash_") || startsDated(document, type, "text_editor_")
      || startsDated(document, type, "memory_") || startsDated(document, type, "computer_")
      || startsDated(document, type, "computer_toolset_") || startsDated(document, type, "browser_toolset_")
  }

  /// Whether a string begins with this, as it stands there.
  private static func starts(_ document: JSONDocument, _ string: Int, _ prefix: StaticString) -> Bool {
    guard document.kind(string) == .string else { return false }
    let mark = StaticBytes(prefix)
    let content = document.content(string)
    guard let start = content.baseAddress, content.count > mark.count else { return false }
    return equalBytes(start, mark.start, mark.count)
  }

  /// The same with a digit behind it, as the date of a version begins.
  private static func startsDated(_ document: JSONDocument, _ string: Int, _ prefix: StaticString) -> Bool {
    guard starts(document, string, prefix) else { return false }
    return document.content(string)[prefix.utf8CodeUnitCount] &- 0x30 < 10
  }

  private static func ends(_ document: JSONDocument, _ string: Int, _ suffix: StaticString) -> Bool {
    guard document.kind(string) == .string else { return false }
    let mark = StaticBytes(suffix)
    let content = document.content(string)
    guard let start = content.baseAddress, content.count > mark.count else { return false }
    return equalBytes(start + content.count - mark.count, mark.start, mark.count)
  }

  // MARK: messages

  private static func readMessages(
    _ document: JSONDocument, _ value: Int, _ request: inout ModelRequest
  ) throws(DialectFault) {
    guard document.kind(value) == .list, document[value].members > 0 else {
      throw DialectFault(param: "messages", message: "Send a list with at least one message.")
    }
    for message in document.elements(of: value) {
      switch document.value(of: "content", in: message) {
      case .missing: break
      case .duplicate: throw DialectFault(param: "messages", message: "A message has its content twice.")
      case .found(let content):
        switch document.kind(content) {
        case .string, .null: break
        case .list: for block in document.elements(of: content) { try readBlock(document, block, false, &request) }
        default:
          throw DialectFault(param: "messages", message: "A message's content must be a string or a list of blocks.")
        }
      }
    }
  }

  /// A block, and those in it. What a provider's own tool has given is text, whatever its types are.
  private static func readBlock(
    _ document: JSONDocument, _ block: Int, _ isProviders: Bool, _ request: inout ModelRequest
  ) throws(DialectFault) {
    try readCache(of: block, document, "messages")
    var isResult = isProviders
    switch document.value(of: "type", in: block) {
    case .missing where isProviders: break
    case .missing, .duplicate:
      throw DialectFault(param: "messages", message: "Each block of a message is an object with one type.")
    case .found(let type):
      if document.isString(type, "image") {
        try readPicture(document, block, &request)
      } else if document.isString(type, "document") {
        try readDocument(document, block, isProviders, &request)
      } else if document.isString(type, "container_upload") || !isProviders && !isText(document, type: type) {
        throw DialectFault(param: "messages", message: "A block of this type has no price here; send text or pictures.")
      } else if !document.isString(type, "tool_result"), ends(document, type, "_tool_result") {
        isResult = true
      }
    }
    switch document.value(of: "content", in: block) {
    case .missing: break
    case .duplicate: throw DialectFault(param: "messages", message: "A block has its content twice.")
    case .found(let content):
      if document.kind(content) == .map { try readBlock(document, content, true, &request) }
      for inner in document.elements(of: content) { try readBlock(document, inner, isResult, &request) }
    }
  }

  /// What costs what its text costs.
  private static func isText(_ document: JSONDocument, type: Int) -> Bool {
    document.isString(type, "text") || document.isString(type, "tool_use") || document.isString(type, "thinking")
      || document.isString(type, "redacted_thinking") || document.isString(type, "tool_result")
      || document.isString(type, "search_result") || document.isString(type, "server_tool_use")
      || document.isString(type, "mcp_tool_use") || document.isString(type, "tool_reference")
      || document.isString(type, "browser_state") || ends(document, type, "_tool_result")
  }

  private static func readPicture(
    _ document: JSONDocument, _ block: Int, _ request: inout ModelRequest
  ) throws(DialectFault) {
    guard case .found(let source) = document.value(of: "source", in: block),
      case .found(let type) = document.value(of: "type", in: source)
    else { throw DialectFault(param: "messages", message: "A picture needs one source with one type.") }
    request.images += 1
    if document.isString(type, "url") { return }
    guard document.isString(type, "base64"), case .found(let data) = document.value(of: "data", in: source),
      document.kind(data) == .string
    else {
      throw DialectFault(
        param: "messages", message: "A picture has no price here unless its data or its address stand in the body.")
    }
    request.pictureBytes += Int64(document.content(data).count)
  }

  /// A document that stands in the body is as long as it is; what one elsewhere would cost, nobody here knows.
  private static func readDocument(
    _ document: JSONDocument, _ block: Int, _ isProviders: Bool, _ request: inout ModelRequest
  ) throws(DialectFault) {
    guard case .found(let source) = document.value(of: "source", in: block),
      case .found(let type) = document.value(of: "type", in: source)
    else { throw DialectFault(param: "messages", message: "A document needs one source with one type.") }
    if document.isString(type, "base64") || document.isString(type, "text") { return }
    guard document.isString(type, "content"), case .found(let content) = document.value(of: "content", in: source)
    else {
      throw DialectFault(
        param: "messages", message: "A document has no price here unless its data stand in the body.")
    }
    for inner in document.elements(of: content) { try readBlock(document, inner, isProviders, &request) }
  }
}
