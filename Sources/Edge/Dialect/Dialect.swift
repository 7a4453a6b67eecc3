// The table of dialects: everything that the driver and the relay ask of one, switched by its name. A new dialect is
// one more case in each of these functions.
//
// Called by: the driver and the metered relay.
// Never: knows a wire format itself, allocates, or keeps anything between calls.

/// The wire formats of models.
enum Dialect {
  /// Where a provider takes requests, behind its base path.
  static func path(_ dialect: DialectName) -> StaticString {
    switch dialect {
    case .openAIChat: OpenAIChat.path
    }
  }

  /// The header field that carries a provider's key: its name and what stands before the key.
  static func keyField(_ dialect: DialectName) -> (name: StaticString, prefix: StaticString) {
    switch dialect {
    case .openAIChat: OpenAIChat.keyField
    }
  }

  /// What a client's body asks for. The ranges of the answer lie in the body, the document is free again.
  static func read(
    _ dialect: DialectName, _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) throws(DialectFault) -> ModelRequest {
    switch dialect {
    case .openAIChat: try OpenAIChat.read(body, count, document)
    }
  }

  /// The edits with which a body goes to a provider of the same dialect. `upstreamModel` is the model's name there, as
  /// it stands between the quotes; nil leaves the name as it is.
  static func splices(_ dialect: DialectName, _ request: ModelRequest, upstreamModel: StaticBytes?) -> BodySplices {
    switch dialect {
    case .openAIChat: OpenAIChat.splices(request, upstreamModel: upstreamModel)
    }
  }

  /// What one event of a stream says.
  static func readEvent(
    _ dialect: DialectName, _ data: UnsafeBufferPointer<UInt8>, _ document: JSONDocument
  ) -> ModelEvent {
    switch dialect {
    case .openAIChat: OpenAIChat.readEvent(data, document)
    }
  }

  /// What a whole answer says that was not streamed.
  static func readAnswer(
    _ dialect: DialectName, _ body: UnsafePointer<UInt8>, _ count: Int, _ document: JSONDocument
  ) -> ModelEvent {
    switch dialect {
    case .openAIChat: OpenAIChat.readAnswer(body, count, document)
    }
  }

  /// The body of an error in the client's format. An empty message is that of the row; `details` is a JSON object.
  static func appendError(
    _ dialect: DialectName, _ row: ErrorRow, message: StaticBytes, details: StaticBytes?, to writer: inout ByteWriter
  ) {
    switch dialect {
    case .openAIChat: OpenAIChat.appendError(row, message: message, details: details, to: &writer)
    }
  }

  /// The body of the error with which a request is refused that could not be read.
  static func appendError(_ dialect: DialectName, _ fault: DialectFault, to writer: inout ByteWriter) {
    switch dialect {
    case .openAIChat: OpenAIChat.appendError(fault, to: &writer)
    }
  }
}
