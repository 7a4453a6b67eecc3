// Writes requests of OpenAI's chat completions that another dialect has read. The order of the keys is always the same,
// so that what a provider has cached of a conversation fits the next turn.
//
// Called by: the table of dialects.
// Never: says less than the parts do, but for what no chat can say.

extension OpenAIChat {
  /// Writes a request that says the same.
  static func writeRequest(
    _ parts: ModelParts, _ plan: RequestPlan, _ document: JSONDocument, to writer: inout ByteWriter
  ) throws(DialectFault) {
    let said = RequestText(parts: parts.parts)
    writer.append("{\"model\":\"")
    writer.append(plan.model)
    writer.append("\",\"messages\":[")
    said.appendMessages(to: &writer)
    writer.append("]")
    if said.appendTools(to: &writer) { appendToolChoice(parts.settings, to: &writer) }
    if plan.outputTokensMax >= 0 {
      writer.append(",\"max_completion_tokens\":")
      writer.append(json: plan.outputTokensMax)
    }
    append(parts.settings, to: &writer)
    if plan.streams { writer.append(",\"stream\":true,\"stream_options\":{\"include_usage\":true}") }
    writer.append("}")
  }

  private static func appendToolChoice(_ settings: ModelSettings, to writer: inout ByteWriter) {
    switch settings.toolChoice {
    case .unsaid: break
    case .auto: writer.append(",\"tool_choice\":\"auto\"")
    case .none: writer.append(",\"tool_choice\":\"none\"")
    case .required: writer.append(",\"tool_choice\":\"required\"")
    case .named:
      writer.append(",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":")
      writer.append(string: settings.toolName)
      writer.append("}}")
    }
    if settings.isSerial { writer.append(",\"parallel_tool_calls\":false") }
  }

  private static func append(_ settings: ModelSettings, to writer: inout ByteWriter) {
    append("temperature", settings.temperature, to: &writer)
    append("top_p", settings.topP, to: &writer)
    if settings.stop.form == .string {
      writer.append(",\"stop\":[")
      writer.append(string: settings.stop)
      writer.append("]")
    } else {
      append("stop", settings.stop, to: &writer)
    }
    if settings.isObject { writer.append(",\"response_format\":{\"type\":\"json_object\"}") }
    if !settings.schema.isNone {
      writer.append(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":")
      // A format must have a name here.
      writer.append(string: settings.schemaName.isEmpty ? ModelText(literal: "answer") : settings.schemaName)
      if settings.isStrict { writer.append(",\"strict\":true") }
      writer.append(",\"schema\":")
      writer.append(value: settings.schema)
      writer.append("}}")
    }
    append("reasoning_effort", settings.effort, to: &writer)
    append("user", settings.user, to: &writer)
  }

  private static func append(_ key: StaticString, _ text: ModelText, to writer: inout ByteWriter) {
    if text.isNone { return }
    writer.append(byte: 0x2c)
    writer.append(jsonKey: key)
    writer.append(value: text)
  }
}

/// The conversation of a request, as messages.
private struct RequestText {
  let parts: [ModelPart]

  /// Which of the parts in a range become one content.
  private enum Share {
    case instructions
    /// What a turn says outside of what tools have given, and the pictures and files in there: those of tools must be
    /// texts.
    case turn
    /// The texts that a tool has given.
    case result

    func holds(_ part: ModelPart, isInResult: Bool) -> Bool {
      switch part.kind {
      case .instruction: self == .instructions
      case .text: self == .turn && !isInResult || self == .result
      case .image, .file: self == .turn
      case .refusal: self == .turn
      default: false
      }
    }
  }

  /// All messages: the instructions first, then the turns.
  func appendMessages(to writer: inout ByteWriter) {
    var isFirst = true
    if count(.instructions, in: parts.indices) > 0 {
      writer.separate(&isFirst)
      writer.append("{\"role\":\"system\",\"content\":")
      appendContent(.instructions, in: parts.indices, to: &writer)
      writer.append("}")
    }
    var place = 0
    while place < parts.count {
      let kind = parts[place].kind
      guard kind == .user || kind == .assistant else {
        place += 1
        continue
      }
      var end = place + 1
      while end < parts.count, parts[end].kind != .user, parts[end].kind != .assistant { end += 1 }
      if kind == .user {
        appendUser(place + 1..<end, &isFirst, to: &writer)
      } else {
        appendModel(place + 1..<end, &isFirst, to: &writer)
      }
      place = end
    }
  }

  /// What tools have given comes first: it must follow the calls.
  private func appendUser(_ range: Range<Int>, _ isFirst: inout Bool, to writer: inout ByteWriter) {
    for place in range where parts[place].kind == .toolResult {
      var end = place + 1
      while end < range.upperBound, parts[end].kind != .toolResultEnd { end += 1 }
      writer.separate(&isFirst)
      writer.append("{\"role\":\"tool\",\"tool_call_id\":")
      writer.append(string: parts[place].id)
      writer.append(",\"content\":")
      if parts[place].flag, count(.result, in: place + 1..<end) == 0 {
        writer.append("\"The tool has failed.\"")
      } else {
        appendContent(.result, in: place + 1..<end, to: &writer)
      }
      writer.append("}")
    }
    if count(.turn, in: range) == 0 { return }
    writer.separate(&isFirst)
    writer.append("{\"role\":\"user\",\"content\":")
    appendContent(.turn, in: range, to: &writer)
    writer.append("}")
  }

  private func appendModel(_ range: Range<Int>, _ isFirst: inout Bool, to writer: inout ByteWriter) {
    let hasContent = count(.turn, in: range) > 0
    let hasCalls = range.contains { parts[$0].kind == .toolCall }
    if !hasContent, !hasCalls { return }
    writer.separate(&isFirst)
    writer.append("{\"role\":\"assistant\",\"content\":")
    if hasContent { appendContent(.turn, in: range, to: &writer) } else { writer.appendNull() }
    if hasCalls {
      writer.append(",\"tool_calls\":[")
      var isFirstCall = true
      for place in range where parts[place].kind == .toolCall {
        writer.separate(&isFirstCall)
        writer.append("{\"id\":")
        writer.append(string: parts[place].id)
        writer.append(",\"type\":\"function\",\"function\":{\"name\":")
        writer.append(string: parts[place].name)
        writer.append(",\"arguments\":")
        writer.append(string: parts[place].text.isEmpty ? ModelText(literal: "{}") : parts[place].text)
        writer.append("}}")
      }
      writer.append("]")
    }
    writer.append("}")
  }

  // MARK: contents

  private func count(_ share: Share, in range: Range<Int>) -> Int {
    var count = 0
    forEach(share, in: range) { _ in count += 1 }
    return count
  }

  private func forEach(_ share: Share, in range: Range<Int>, _ body: (ModelPart) -> Void) {
    var isInResult = false
    for place in range {
      let part = parts[place]
      if part.kind == .toolResult { isInResult = true }
      if part.kind == .toolResultEnd { isInResult = false }
      if share.holds(part, isInResult: isInResult) { body(part) }
    }
  }

  /// Nothing and a single text are a string, which every server understands; the rest is a list.
  private func appendContent(_ share: Share, in range: Range<Int>, to writer: inout ByteWriter) {
    var count = 0
    var text = ModelText.none
    var areTexts = true
    forEach(share, in: range) { part in
      count += 1
      text = part.text
      if part.kind != .text, part.kind != .instruction { areTexts = false }
    }
    if count <= 1, areTexts {
      writer.append(string: text)
      return
    }
    writer.append("[")
    var isFirst = true
    var isInResult = false
    for place in range {
      let part = parts[place]
      if part.kind == .toolResult { isInResult = true }
      if part.kind == .toolResultEnd { isInResult = false }
      guard share.holds(part, isInResult: isInResult) else { continue }
      writer.separate(&isFirst)
      append(part, to: &writer)
    }
    writer.append("]")
  }

  private func append(_ part: ModelPart, to writer: inout ByteWriter) {
    switch part.kind {
    case .image:
      writer.append("{\"type\":\"image_url\",\"image_url\":{\"url\":")
      if part.flag {
        writer.append(string: part.text)
      } else {
        writer.append(dataURL: part.text, mediaType: part.mediaType)
      }
      if !part.more.isEmpty {
        writer.append(",\"detail\":")
        writer.append(string: part.more)
      }
      writer.append("}}")
    case .file:
      writer.append("{\"type\":\"file\",\"file\":{\"filename\":")
      // Files must have a name here, and those of other dialects that have none are of this kind.
      writer.append(string: part.name.isEmpty ? ModelText(literal: "document.pdf") : part.name)
      writer.append(",\"file_data\":")
      writer.append(dataURL: part.text, mediaType: part.mediaType)
      writer.append("}}")
    case .refusal:
      writer.append("{\"type\":\"refusal\",\"refusal\":")
      writer.append(string: part.text)
      writer.append("}")
    default:
      writer.append("{\"type\":\"text\",\"text\":")
      writer.append(string: part.text)
      writer.append("}")
    }
  }

  // MARK: tools

  /// Whether there are any.
  func appendTools(to writer: inout ByteWriter) -> Bool {
    var isFirst = true
    for part in parts where part.kind == .tool {
      if isFirst { writer.append(",\"tools\":[") }
      writer.separate(&isFirst)
      writer.append("{\"type\":\"function\",\"function\":{\"name\":")
      writer.append(string: part.name)
      if !part.text.isNone {
        writer.append(",\"description\":")
        writer.append(string: part.text)
      }
      writer.append(",\"parameters\":")
      if part.more.isNone {
        writer.append("{\"type\":\"object\",\"properties\":{}}")
      } else {
        writer.append(value: part.more)
      }
      if part.flag { writer.append(",\"strict\":true") }
      writer.append("}}")
    }
    if isFirst { return false }
    writer.append("]")
    return true
  }
}
