// Reads the requests of OpenAI's chat completions: what Edge must know to choose a provider, to hold credits and to
// edit the body. What would change the price in a way that no price list says is refused; everything else passes.
//
// Called by: OpenAIChat's callers, and PlatformV1, whose messages are the same.
// Never: changes or copies the body.

import Glibc

extension OpenAIChat {
  static let choicesMax: Int64 = 128

  /// What Edge reads at the top of a request. None may stand there twice: a provider might read the other one.
  private enum Field: UInt8, RequestField {
    case model, stream, streamOptions, tokens, completionTokens, choices, messages, serviceTier, modalities, audio
    case tools, webSearch, functions, models, plugins, bestOf, prediction

    var name: StaticString {
      switch self {
      case .model: "model"
      case .stream: "stream"
      case .streamOptions: "stream_options"
      case .tokens: "max_tokens"
      case .completionTokens: "max_completion_tokens"
      case .choices: "n"
      case .messages: "messages"
      case .serviceTier: "service_tier"
      case .modalities: "modalities"
      case .audio: "audio"
      case .tools: "tools"
      case .webSearch: "web_search_options"
      case .functions: "functions"
      case .models: "models"
      case .plugins: "plugins"
      case .bestOf: "best_of"
      case .prediction: "prediction"
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
    var hasMessages = false
    try document.readFields { (field: Field, value) throws(DialectFault) in
      if field == .messages { hasMessages = true }
      try read(field, value, document, &request)
    }
    if request.model.isNone { throw DialectFault(param: "model", message: "Name a model.") }
    if !hasMessages { throw DialectFault(param: "messages", message: "Send a list of messages.") }
    return request
  }

  private static func read(
    _ field: Field, _ value: Int, _ document: JSONDocument, _ request: inout ModelRequest
  ) throws(DialectFault) {
    let kind = document.kind(value)
    switch field {
    case .model: try document.readModel(value, into: &request)
    case .messages: try readMessages(document, value, &request)
    case .stream:
      guard kind == .true || kind == .false || kind == .null else {
        throw DialectFault(param: field.name, message: "This must be true or false.")
      }
      request.streams = kind == .true
    case .streamOptions: try readStreamOptions(document, value, &request)
    case .tokens, .completionTokens:
      if kind == .null { return }
      guard let number = document.integer(value), number >= 0 else {
        throw DialectFault(param: field.name, message: "This must be a whole number, not below zero.")
      }
      request.outputTokensMax = max(request.outputTokensMax, number)
    case .choices:
      if kind == .null { return }
      guard let number = document.integer(value), number >= 1, number <= choicesMax else {
        throw DialectFault(param: field.name, message: "This must be a whole number from 1 to 128.")
      }
      request.choices = number
    case .serviceTier:
      if kind == .null || document.isString(value, "auto") || document.isString(value, "default") { return }
      throw DialectFault(
        param: field.name, message: "This service tier has no price here; leave it out or send auto or default.")
    case .modalities: try readModalities(document, value)
    case .audio, .webSearch, .models, .plugins, .bestOf, .prediction:
      if kind == .null { return }
      throw DialectFault(param: field.name, message: "This has no price here; leave it out.")
    case .tools: try readTools(document, value)
    case .functions: break
    }
  }

  private static func readStreamOptions(
    _ document: JSONDocument, _ value: Int, _ request: inout ModelRequest
  ) throws(DialectFault) {
    let node = document[value]
    guard node.kind == .map || node.kind == .null else {
      throw DialectFault(param: "stream_options", message: "This must be an object.")
    }
    request.streamOptions = BodyRange(start: Int32(node.start), count: Int32(node.count))
    switch document.value(of: "include_usage", in: value) {
    case .duplicate:
      throw DialectFault(
        param: "stream_options.include_usage", message: "This parameter stands in the body twice; send it once.")
    case .missing:
      if node.members > 0 { request.includeUsage = BodyRange(start: Int32(node.start) + 1, count: 0) }
    case .found(let usage):
      let kind = document.kind(usage)
      guard kind == .true || kind == .false || kind == .null else {
        throw DialectFault(param: "stream_options.include_usage", message: "This must be true or false.")
      }
      request.asksUsage = kind == .true
      request.includeUsage = BodyRange(
        start: Int32(document[usage].start), count: Int32(document[usage].count))
    }
  }

  private static func readModalities(_ document: JSONDocument, _ value: Int) throws(DialectFault) {
    if document.kind(value) == .null { return }
    guard document.kind(value) == .list else {
      throw DialectFault(param: "modalities", message: "This must be a list.")
    }
    for modality in document.elements(of: value) where !document.isString(modality, "text") {
      throw DialectFault(param: "modalities", message: "Only text has a price here; leave the others out.")
    }
  }

  private static func readTools(_ document: JSONDocument, _ value: Int) throws(DialectFault) {
    if document.kind(value) == .null { return }
    guard document.kind(value) == .list else {
      throw DialectFault(param: "tools", message: "This must be a list.")
    }
    for tool in document.elements(of: value) {
      if case .found(let type) = document.value(of: "type", in: tool),
        document.isString(type, "function") || document.isString(type, "custom")
      {
        continue
      }
      throw DialectFault(param: "tools", message: "Only tools of the types function and custom have a price here.")
    }
  }

  // MARK: messages

  /// Counts what in the messages of a request has a price of its own, and refuses what has none.
  static func readMessages(
    _ document: JSONDocument, _ value: Int, _ request: inout ModelRequest
  ) throws(DialectFault) {
    guard document.kind(value) == .list, document[value].members > 0 else {
      throw DialectFault(param: "messages", message: "Send a list with at least one message.")
    }
    for message in document.elements(of: value) {
      switch document.value(of: "audio", in: message) {
      case .missing: break
      case .found(let audio) where document.kind(audio) == .null: break
      default:
        // What the model has spoken before goes in again.
        throw DialectFault(param: "messages", message: "Audio has no price here; send text or pictures.")
      }
      switch document.value(of: "content", in: message) {
      case .missing: break
      case .duplicate: throw DialectFault(param: "messages", message: "A message has its content twice.")
      case .found(let content):
        for part in document.elements(of: content) { try readPart(document, part, &request) }
      }
    }
  }

  private static func readPart(
    _ document: JSONDocument, _ part: Int, _ request: inout ModelRequest
  ) throws(DialectFault) {
    switch document.value(of: "type", in: part) {
    case .missing: return
    case .duplicate: throw DialectFault(param: "messages", message: "A part of a message has its type twice.")
    case .found(let type):
      if document.isString(type, "input_audio") {
        throw DialectFault(param: "messages", message: "Audio has no price here; send text or pictures.")
      }
      if document.isString(type, "image_url") {
        request.images += 1
        request.pictureBytes += try pictureBytes(document, part)
      } else if document.isString(type, "file") {
        try readFile(document, part)
      } else if !document.isString(type, "text"), !document.isString(type, "refusal") {
        throw DialectFault(param: "messages", message: "A part of this type has no price here; send text or pictures.")
      }
    }
  }

  /// A file that stands in the body is as long as it is; what one elsewhere would cost, nobody here knows.
  private static func readFile(_ document: JSONDocument, _ part: Int) throws(DialectFault) {
    guard case .found(let file) = document.value(of: "file", in: part),
      case .found = document.value(of: "file_data", in: file), case .missing = document.value(of: "file_id", in: file)
    else {
      throw DialectFault(param: "messages", message: "A file has no price here unless its data stand in the body.")
    }
  }

  /// The length of a picture that stands in the body itself.
  private static func pictureBytes(_ document: JSONDocument, _ part: Int) throws(DialectFault) -> Int64 {
    guard var place = try given(document, "image_url", part, "messages") else { return 0 }
    if document.kind(place) == .map {
      guard let url = try given(document, "url", place, "messages") else { return 0 }
      place = url
    }
    guard document.kind(place) == .string else { return 0 }
    let mark = StaticBytes("data:image/")
    let url = document.content(place)
    guard let start = url.baseAddress, url.count > mark.count, equalBytes(start, mark.start, mark.count) else {
      return 0
    }
    return Int64(url.count)
  }
}
