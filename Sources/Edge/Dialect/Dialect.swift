// The table of dialects: everything that the driver and the metered stream ask of one, switched by its name. A new
// dialect is one more case in each of these functions.
//
// Called by: the driver and the metered stream.
// Never: knows a wire format itself, allocates, or keeps anything between calls.

/// The wire formats of models.
enum Dialect {
  /// Where a provider takes requests, behind its base path.
  static func path(_ dialect: DialectName) -> StaticString {
    switch dialect {
    case .openAIChat: OpenAIChat.path
    case .anthropicMessages: AnthropicMessages.path
    case .platformV1: PlatformV1.path
    }
  }

  /// The header field that carries a provider's key: its name and what stands before the key.
  static func keyField(_ dialect: DialectName) -> (name: StaticString, prefix: StaticString) {
    switch dialect {
    case .openAIChat: OpenAIChat.keyField
    case .anthropicMessages: AnthropicMessages.keyField
    case .platformV1: PlatformV1.keyField
    }
  }

  /// The header field in which clients look for the request's id, beside `x-request-id`; nil: there.
  static func requestIDField(_ dialect: DialectName) -> StaticString? {
    switch dialect {
    case .openAIChat: nil
    case .anthropicMessages: AnthropicMessages.requestIDField
    case .platformV1: nil
    }
  }

  /// The field that a provider must be told its version with, where the client has not: a line with its end.
  static func versionLine(_ dialect: DialectName) -> (name: StaticString, line: StaticString)? {
    switch dialect {
    case .openAIChat: nil
    case .anthropicMessages: AnthropicMessages.versionLine
    case .platformV1: nil
    }
  }

  // MARK: The same dialect on both sides

  /// What a client's body asks for. The ranges of the answer lie in the body, the document is free again.
  static func read(
    _ dialect: DialectName, _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) throws(DialectFault) -> ModelRequest {
    switch dialect {
    case .openAIChat: try OpenAIChat.read(body, count, document)
    case .anthropicMessages: try AnthropicMessages.read(body, count, document)
    case .platformV1: try PlatformV1.read(body, count, document)
    }
  }

  /// The edits with which a body goes to a provider of the same dialect. `upstreamModel` is the model's name there, as
  /// it stands between the quotes; nil leaves the name as it is.
  static func splices(_ dialect: DialectName, _ request: ModelRequest, upstreamModel: StaticBytes?) -> BodySplices {
    switch dialect {
    case .openAIChat: OpenAIChat.splices(request, upstreamModel: upstreamModel)
    case .anthropicMessages: AnthropicMessages.splices(request, upstreamModel: upstreamModel)
    case .platformV1: BodySplices()
    }
  }

  /// What one event of a stream says. The document keeps the event, for `readParts`.
  static func readEvent(
    _ dialect: DialectName, _ data: UnsafeBufferPointer<UInt8>, _ document: JSONDocument
  ) -> ModelEvent {
    switch dialect {
    case .openAIChat: OpenAIChat.readEvent(data, document)
    case .anthropicMessages: AnthropicMessages.readEvent(data, document)
    case .platformV1: ModelEvent(kind: .error)
    }
  }

  /// What a whole answer says that was not streamed. The document is free again.
  static func readAnswer(
    _ dialect: DialectName, _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) -> ModelEvent {
    switch dialect {
    case .openAIChat: OpenAIChat.readAnswer(body, count, document)
    case .anthropicMessages: AnthropicMessages.readAnswer(body, count, document)
    case .platformV1: ModelEvent(kind: .error)
    }
  }

  // MARK: Another dialect on the other side

  /// Everything that a request says. The body was read before without a fault; what only its own dialect can say is
  /// one now, or left out where the answer does not depend on it. The document is free again.
  static func readRequest(
    _ dialect: DialectName, _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument, into parts: ModelParts
  ) throws(DialectFault) {
    switch dialect {
    case .openAIChat: try OpenAIChat.readRequest(body, count, document, into: parts)
    case .anthropicMessages: try AnthropicMessages.readRequest(body, count, document, into: parts)
    case .platformV1: try PlatformV1.readRequest(body, count, document, into: parts)
    }
  }

  /// Writes a request that says the same. Who gives too little room finds the writer overflowed and calls again. The
  /// document is for what is written.
  static func writeRequest(
    _ dialect: DialectName, _ parts: ModelParts, _ plan: RequestPlan, _ document: JSONDocument,
    to writer: inout ByteWriter
  ) throws(DialectFault) {
    switch dialect {
    case .openAIChat: try OpenAIChat.writeRequest(parts, plan, document, to: &writer)
    case .anthropicMessages: try AnthropicMessages.writeRequest(parts, plan, document, to: &writer)
    case .platformV1: throw DialectFault(code: .internalError, message: "No provider speaks this dialect.")
    }
  }

  /// Adds what the event says that `readEvent` has just read into this document. `end` events have no document.
  static func readParts(
    _ dialect: DialectName, of event: ModelEvent, _ document: JSONDocument, into parts: ModelParts
  ) {
    switch dialect {
    case .openAIChat: OpenAIChat.readParts(of: event, document, into: parts)
    case .anthropicMessages: AnthropicMessages.readParts(of: event, document, into: parts)
    case .platformV1: break
    }
  }

  /// Adds what a whole answer says, which `readAnswer` has found to be one; nothing when it is too large. The document
  /// is free again.
  static func readParts(
    _ dialect: DialectName, answer body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument,
    into parts: ModelParts
  ) {
    switch dialect {
    case .openAIChat: OpenAIChat.readParts(answer: body, count, document, into: parts)
    case .anthropicMessages: AnthropicMessages.readParts(answer: body, count, document, into: parts)
    case .platformV1: break
    }
  }

  /// What the provider says about its own error, in the body of an answer with such a status; none when it says nothing
  /// that can be read. The document keeps the body.
  static func readError(
    _ dialect: DialectName, _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) -> ModelText {
    switch dialect {
    case .openAIChat: OpenAIChat.readError(body, count, document)
    case .anthropicMessages: AnthropicMessages.readError(body, count, document)
    case .platformV1: .none
    }
  }

  /// Whether such a message is about the operator's account, although the status blames the request.
  static func blamesOperator(_ dialect: DialectName, _ message: ModelText) -> Bool {
    switch dialect {
    case .openAIChat: false
    case .anthropicMessages: AnthropicMessages.blamesOperator(message)
    case .platformV1: false
    }
  }

  /// Writes whole events of a stream. `usage` is what is known so far. False: it cannot be said in this dialect.
  static func writeEvents(
    _ dialect: DialectName, _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage,
    _ writing: inout StreamWriting, to writer: inout ByteWriter
  ) -> Bool {
    switch dialect {
    case .openAIChat: OpenAIChat.writeEvents(parts, identity, usage, &writing, to: &writer)
    case .anthropicMessages: AnthropicMessages.writeEvents(parts, identity, usage, &writing, to: &writer)
    case .platformV1: PlatformV1.writeEvents(parts, identity, &writing, to: &writer)
    }
  }

  /// Writes a whole answer. Who gives too little room finds the writer overflowed and calls again. False: it cannot be
  /// said in this dialect. The document is for what is written.
  static func writeAnswer(
    _ dialect: DialectName, _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage, _ document: JSONDocument,
    to writer: inout ByteWriter
  ) -> Bool {
    switch dialect {
    case .openAIChat: OpenAIChat.writeAnswer(parts, identity, usage, document, to: &writer)
    case .anthropicMessages: AnthropicMessages.writeAnswer(parts, identity, usage, document, to: &writer)
    case .platformV1: PlatformV1.writeAnswer(parts, identity, to: &writer)
    }
  }

  // MARK: Errors

  /// The body of an error in the client's format. The message is plain text, an empty one that of the row; `details` is
  /// a JSON object; `param` is for formats with a place for it.
  static func appendError(
    _ dialect: DialectName, _ row: ErrorRow, param: StaticString? = nil, message: StaticBytes, details: StaticBytes?,
    requestID: StaticBytes, to writer: inout ByteWriter
  ) {
    switch dialect {
    case .openAIChat: OpenAIChat.appendError(row, param: param, message: message, details: details, to: &writer)
    case .anthropicMessages:
      AnthropicMessages.appendError(row, message: message, details: details, requestID: requestID, to: &writer)
    case .platformV1:
      PlatformV1.appendError(
        PlatformError(row: row, message: message, details: details, requestID: requestID), to: &writer)
    }
  }

  /// The body of the error with which a request is refused that could not be read.
  static func appendError(
    _ dialect: DialectName, _ fault: DialectFault, requestID: StaticBytes, to writer: inout ByteWriter
  ) {
    switch dialect {
    case .openAIChat: OpenAIChat.appendError(fault, to: &writer)
    case .anthropicMessages: AnthropicMessages.appendError(fault, requestID: requestID, to: &writer)
    case .platformV1:
      PlatformV1.withText(of: fault) { text in
        let error = PlatformError(row: fault.code.row, message: text, requestID: requestID)
        PlatformV1.appendError(error, to: &writer)
      }
    }
  }
}
