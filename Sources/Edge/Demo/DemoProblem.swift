// The wires that the demo provider speaks, and how each of them says that a request is refused.
//
// Called by: everything that reads questions or writes answers. Never: knows why something is refused.

/// A wire format.
enum DemoWire {
  /// POST /v1/chat/completions.
  case openAI
  /// POST /v1/messages.
  case anthropic

  static let messagesPath = "/v1/messages"
}

/// A refusal.
struct DemoProblem: Error {
  var status: UInt16 = 400
  var message: String
  /// OpenAI's; Anthropic's follows from the status.
  var type: StaticString = "invalid_request_error"
  /// Anthropic says it in front of the message.
  var parameter: String?
  /// OpenAI's alone.
  var code: StaticString?

  /// The error object; Anthropic's repeats the request's id.
  func body(_ wire: DemoWire, _ identity: DemoIdentity) -> DemoText {
    var text = DemoText()
    switch wire {
    case .openAI:
      text.append("{\"error\":{\"message\":")
      text.append(json: message)
      text.append(",\"type\":\"")
      text.append(type)
      text.append("\",\"param\":")
      if let parameter { text.append(json: parameter) } else { text.append("null") }
      text.append(",\"code\":")
      if let code { text.append(json: code.description) } else { text.append("null") }
      text.append("}}")
    case .anthropic:
      text.append("{\"type\":\"error\",\"error\":{\"type\":\"")
      text.append(anthropicType)
      text.append("\",\"message\":")
      text.append(json: (parameter.map { $0 + ": " } ?? "") + message)
      text.append("},\"request_id\":\"")
      identity.appendRequest(to: &text)
      text.append("\"}")
    }
    return text
  }

  private var anthropicType: StaticString {
    switch status {
    case 404: "not_found_error"
    case 413: "request_too_large"
    case 429: "rate_limit_error"
    case 529: "overloaded_error"
    default: status < 500 ? "invalid_request_error" : "api_error"
    }
  }
}

/// What tells one answer from another that says the same.
struct DemoIdentity {
  /// Random.
  var high: UInt64 = 0
  var low: UInt64 = 0
  /// Wall nanoseconds.
  var wall: UInt64 = 0

  func appendRequest(to text: inout DemoText) {
    text.append("req_")
    text.append(hex: high, width: 16)
    text.append(hex: low, width: 16)
  }

  /// Calls have ids of their own, in every choice.
  func appendCall(_ prefix: StaticString, _ call: Int, choice: Int = 0, to text: inout DemoText) {
    text.append(prefix)
    text.append(hex: high, width: 16)
    text.append(hex: UInt64(choice), width: 4)
    text.append(hex: UInt64(call), width: 4)
  }
}
