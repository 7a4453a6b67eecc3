// Writes requests of Anthropic's messages from the parts of another dialect's. The order of keys is always the same, so
// that providers' caches of prompts work.
//
// Owns: how turns are joined: one message for each change of the speaker, results of tools first.
// Called by: the table of dialects.
// Never: allocates; texts are copied as they stand in the body that was read.

extension AnthropicMessages {
  /// Writes a request that says the same.
  static func writeRequest(
    _ parts: ModelParts, _ plan: RequestPlan, _ document: JSONDocument, to writer: inout ByteWriter
  ) throws(DialectFault) {
    if parts.settings.isObject {
      throw DialectFault(
        param: "response_format", message: "This model can be asked for text or json_schema only, not for json_object.")
    }
    writer.append("{\"model\":\"")
    writer.append(plan.model)
    writer.append("\",\"max_tokens\":")
    let wanted = plan.outputTokensMax
    writer.append(json: wanted < 0 ? plan.modelTokensMax : min(wanted, plan.modelTokensMax))
    appendInstructions(parts, to: &writer)
    try appendMessages(parts, document, to: &writer)
    let hasTools = try appendTools(parts, document, to: &writer)
    appendToolChoice(parts.settings, hasTools, to: &writer)
    appendSettings(parts.settings, document, to: &writer)
    if plan.streams { writer.append(",\"stream\":true") }
    writer.append(byte: 0x7d)
  }

  /// Operators' instructions stand before the conversation, wherever they stood in it.
  private static func appendInstructions(_ parts: ModelParts, to writer: inout ByteWriter) {
    var isFirst = true
    for part in parts.parts where part.kind == .instruction && !part.text.isBlank {
      if isFirst { writer.append(",\"system\":[") }
      writer.separate(&isFirst)
      appendText(part.text, to: &writer)
    }
    if !isFirst { writer.append(byte: 0x5d) }
  }

  static func appendText(_ text: ModelText, to writer: inout ByteWriter) {
    writer.append("{\"type\":\"text\",\"text\":")
    writer.append(string: text)
    writer.append(byte: 0x7d)
  }

  // MARK: turns

  /// A message: the parts of one speaker.
  private struct Turn {
    var isUsers: Bool
    var start: Int
    var end: Int
  }

  /// The next message from this part on; `isUsers` is whose turn it is there. Turns that say nothing vanish, and what
  /// stands around them joins.
  private static func nextTurn(_ parts: ModelParts, from: Int, _ isUsers: inout Bool) -> Turn? {
    var turn: Turn?
    for place in from..<parts.parts.count {
      let part = parts.parts[place]
      switch part.kind {
      case .user, .toolResult: isUsers = true
      case .assistant: isUsers = false
      default: break
      }
      guard says(part) else { continue }
      if let turn, turn.isUsers != isUsers { return Turn(isUsers: turn.isUsers, start: turn.start, end: place) }
      if turn == nil { turn = Turn(isUsers: isUsers, start: place, end: parts.parts.count) }
    }
    return turn
  }

  /// Whether a part of a turn is something that is written. Anthropic takes no text of white space alone.
  private static func says(_ part: ModelPart) -> Bool {
    switch part.kind {
    case .text, .refusal: !part.text.isBlank
    case .image, .file, .toolResult, .toolCall: true
    default: false
    }
  }

  private static func appendMessages(
    _ parts: ModelParts, _ document: JSONDocument, to writer: inout ByteWriter
  ) throws(DialectFault) {
    writer.append(",\"messages\":[")
    var isUsers = true
    var isFirst = true
    var place = 0
    while let turn = nextTurn(parts, from: place, &isUsers) {
      writer.separate(&isFirst)
      writer.append(turn.isUsers ? "{\"role\":\"user\",\"content\":[" : "{\"role\":\"assistant\",\"content\":[")
      if turn.isUsers {
        try appendUserBlocks(parts, turn, to: &writer)
      } else {
        try appendAssistantBlocks(parts, turn, document, to: &writer)
      }
      writer.append("]}")
      place = turn.end
    }
    if isFirst {
      throw DialectFault(param: "messages", message: "Send at least one message of the user that says something.")
    }
    writer.append(byte: 0x5d)
  }

  /// Results of tools come first: Anthropic wants them right behind their calls.
  private static func appendUserBlocks(
    _ parts: ModelParts, _ turn: Turn, to writer: inout ByteWriter
  ) throws(DialectFault) {
    var isFirst = true
    for place in turn.start..<turn.end where parts.parts[place].kind == .toolResult {
      writer.separate(&isFirst)
      try appendResult(parts, place, turn.end, to: &writer)
    }
    var isResult = false
    for place in turn.start..<turn.end {
      let part = parts.parts[place]
      if part.kind == .toolResult { isResult = true }
      if part.kind == .toolResultEnd { isResult = false }
      if isResult || !says(part) { continue }
      writer.separate(&isFirst)
      try appendBlock(part, to: &writer)
    }
  }

  private static func appendResult(
    _ parts: ModelParts, _ start: Int, _ end: Int, to writer: inout ByteWriter
  ) throws(DialectFault) {
    let result = parts.parts[start]
    writer.append("{\"type\":\"tool_result\",\"tool_use_id\":")
    writer.append(string: result.id)
    var isFirst = true
    for place in (start + 1)..<end {
      let part = parts.parts[place]
      if part.kind == .toolResultEnd { break }
      if !says(part) { continue }
      if isFirst { writer.append(",\"content\":[") }
      writer.separate(&isFirst)
      try appendBlock(part, to: &writer)
    }
    if !isFirst { writer.append(byte: 0x5d) }
    if result.flag { writer.append(",\"is_error\":true") }
    writer.append(byte: 0x7d)
  }

  /// A text, a picture or a file.
  private static func appendBlock(_ part: ModelPart, to writer: inout ByteWriter) throws(DialectFault) {
    switch part.kind {
    case .image where part.flag:
      writer.append("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":")
      writer.append(string: part.text)
      writer.append("}}")
    case .image:
      writer.append("{\"type\":\"image\",")
      appendSource(part, to: &writer)
      writer.append(byte: 0x7d)
    case .file:
      guard part.mediaType.says("application/pdf") else {
        throw DialectFault(
          param: "messages", message: "Only files of the type application/pdf can be sent to this model's provider.")
      }
      writer.append("{\"type\":\"document\",")
      appendSource(part, to: &writer)
      if !part.name.isEmpty {
        writer.append(",\"title\":")
        writer.append(string: part.name)
      }
      writer.append(byte: 0x7d)
    default: appendText(part.text, to: &writer)
    }
  }

  private static func appendSource(_ part: ModelPart, to writer: inout ByteWriter) {
    writer.append("\"source\":{\"type\":\"base64\",\"media_type\":")
    writer.append(string: part.mediaType)
    writer.append(",\"data\":")
    writer.append(string: part.text)
    writer.append(byte: 0x7d)
  }

  private static func appendAssistantBlocks(
    _ parts: ModelParts, _ turn: Turn, _ document: JSONDocument, to writer: inout ByteWriter
  ) throws(DialectFault) {
    var isFirst = true
    for place in turn.start..<turn.end {
      let part = parts.parts[place]
      if !says(part) { continue }
      writer.separate(&isFirst)
      guard part.kind == .toolCall else {
        try appendBlock(part, to: &writer)
        continue
      }
      if part.id.isEmpty || part.name.isEmpty {
        throw DialectFault(param: "messages", message: "A call of a tool needs its id and its name.")
      }
      writer.append("{\"type\":\"tool_use\",\"id\":")
      writer.append(string: part.id)
      writer.append(",\"name\":")
      writer.append(string: part.name)
      writer.append(",\"input\":")
      guard writer.append(object: part.text, document) else {
        throw DialectFault(param: "messages", message: "The arguments of a call must be a JSON object.")
      }
      writer.append(byte: 0x7d)
    }
  }

  // MARK: tools

  /// True when there are any.
  private static func appendTools(
    _ parts: ModelParts, _ document: JSONDocument, to writer: inout ByteWriter
  ) throws(DialectFault) -> Bool {
    var isFirst = true
    for part in parts.parts where part.kind == .tool {
      if isFirst { writer.append(",\"tools\":[") }
      writer.separate(&isFirst)
      writer.append("{\"name\":")
      writer.append(string: part.name)
      if !part.text.isEmpty {
        writer.append(",\"description\":")
        writer.append(string: part.text)
      }
      writer.append(",\"input_schema\":")
      if saysNothing(part.more) {
        writer.append("{\"type\":\"object\",\"properties\":{}}")
      } else if !writer.append(object: part.more, document) {
        throw DialectFault(param: "tools", message: "The parameters of a function must be an object.")
      }
      writer.append(part.flag ? ",\"strict\":true}" : "}")
    }
    if !isFirst { writer.append(byte: 0x5d) }
    return !isFirst
  }

  /// Whether a schema is missing, or an object without anything in it, which Anthropic does not take.
  private static func saysNothing(_ schema: ModelText) -> Bool {
    schema.content.allSatisfy { $0 == 0x7b || $0 == 0x7d || $0 <= 0x20 }
  }

  /// A choice without tools is an error at Anthropic; where it chooses nothing it is left out.
  private static func appendToolChoice(_ settings: ModelSettings, _ hasTools: Bool, to writer: inout ByteWriter) {
    switch settings.toolChoice {
    case .unsaid:
      guard hasTools, settings.isSerial else { return }
      writer.append(",\"tool_choice\":{\"type\":\"auto\"")
    case .auto:
      guard hasTools else { return }
      writer.append(",\"tool_choice\":{\"type\":\"auto\"")
    case .none:
      if hasTools { writer.append(",\"tool_choice\":{\"type\":\"none\"}") }
      return
    case .required: writer.append(",\"tool_choice\":{\"type\":\"any\"")
    case .named:
      writer.append(",\"tool_choice\":{\"type\":\"tool\",\"name\":")
      writer.append(string: settings.toolName)
    }
    writer.append(settings.isSerial ? ",\"disable_parallel_tool_use\":true}" : "}")
  }

  // MARK: settings

  private static func appendSettings(
    _ settings: ModelSettings, _ document: JSONDocument, to writer: inout ByteWriter
  ) {
    if !settings.stop.isNone {
      writer.append(",\"stop_sequences\":")
      if settings.stop.form == .string { writer.append(byte: 0x5b) }
      writer.append(value: settings.stop)
      if settings.stop.form == .string { writer.append(byte: 0x5d) }
    }
    if !settings.temperature.isNone {
      writer.append(",\"temperature\":")
      // Others go up to 2, Anthropic to 1.
      if let number = settings.temperature.number(document), number > 1 {
        writer.append("1")
      } else {
        writer.append(value: settings.temperature)
      }
      document.reset()
    }
    if !settings.topP.isNone {
      writer.append(",\"top_p\":")
      writer.append(value: settings.topP)
    }
    if !settings.user.isEmpty {
      writer.append(",\"metadata\":{\"user_id\":")
      writer.append(string: settings.user)
      writer.append(byte: 0x7d)
    }
    if settings.effort.isEmpty && settings.schema.isNone { return }
    writer.append(",\"output_config\":{")
    var isFirst = true
    if !settings.effort.isEmpty {
      writer.separate(&isFirst)
      writer.append("\"effort\":")
      writer.append(string: settings.effort)
    }
    if !settings.schema.isNone {
      writer.separate(&isFirst)
      writer.append("\"format\":{\"type\":\"json_schema\",\"schema\":")
      writer.append(value: settings.schema)
      writer.append(byte: 0x7d)
    }
    writer.append(byte: 0x7d)
  }
}
