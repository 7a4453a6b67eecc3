// What the demo provider says to a question: the same every time, in pieces of one token each.
//
// Owns: the words, where they end, and what they cost in tokens.
// Called by: the writers of whole answers and of streams. Never: writes HTTP.

/// What a token of an answer belongs to.
enum DemoPiece {
  case text(ArraySlice<UInt8>)
  /// A call begins: which one of the answer's calls, and the function's name.
  case call(Int, name: [UInt8])
  case arguments(Int, ArraySlice<UInt8>)
}

/// An answer; all choices of one question say the same.
struct DemoAnswer {
  let question: DemoQuestion
  let identity: DemoIdentity
  /// Empty for an answer that only counts its tokens.
  private let written: [DemoPiece]
  /// How many pieces a choice has.
  let count: Int
  let finish: StaticString
  /// Of all choices.
  let completionTokens: Int

  var callsTools: Bool { !question.calls.isEmpty }

  init(_ question: DemoQuestion, _ identity: DemoIdentity) {
    self.question = question
    self.identity = identity
    if question.behaviour == .max {
      written = []
      count = question.maxTokens ?? min(256, DemoBounds.answerTokens / question.choices)
      finish = "length"
      completionTokens = count * question.choices
      return
    }
    var (pieces, tokens, isCut) = ([DemoPiece](), 0, false)
    for (piece, cost) in DemoAnswer.pieces(of: question) {
      if let most = question.maxTokens, tokens + cost > most {
        isCut = true
        break
      }
      pieces.append(piece)
      tokens += cost
    }
    written = pieces
    count = pieces.count
    finish = isCut ? "length" : question.calls.isEmpty ? "stop" : "tool_calls"
    completionTokens = tokens * question.choices
  }

  subscript(place: Int) -> DemoPiece {
    written.isEmpty ? .text(DemoAnswer.filling[place % DemoAnswer.filling.count][...]) : written[place]
  }

  private static let filling = ["All", " work", " and", " no", " play", " makes", " tokens", "."].map { Array($0.utf8) }

  private static func pieces(of question: DemoQuestion) -> [(DemoPiece, cost: Int)] {
    if question.calls.isEmpty { return DemoTokens.split(words(for: question)).map { (.text($0), 1) } }
    var pieces: [(DemoPiece, cost: Int)] = []
    for (place, call) in question.calls.enumerated() {
      pieces.append((.call(place, name: call.name), max(1, DemoTokens.count(call.name))))
      for token in DemoTokens.split(call.arguments) { pieces.append((.arguments(place, token), 1)) }
    }
    return pieces
  }

  private static func words(for question: DemoQuestion) -> [UInt8] {
    if let result = question.toolResult {
      return Array("The tool answered: ".utf8) + quoted(result)
        + Array("\nThat is what I know now. I am the demo provider and believe every tool that answers me.".utf8)
    }
    return Array("You said: ".utf8) + quoted(question.lastWords)
      + Array(
        """
        \nI am the demo provider: no model has thought about this. Whoever asks the same gets the same, \
        word for word, and can count the tokens.
        """.utf8)
  }

  /// A text, or as much of it as is quoted, cut between characters.
  private static func quoted(_ text: [UInt8]) -> [UInt8] {
    guard text.count > DemoBounds.quotedBytes else { return text }
    var end = DemoBounds.quotedBytes
    while end > 0, text[end] & 0xc0 == 0x80 { end -= 1 }
    return text[..<end] + Array("…".utf8)
  }
}

/// What tells one answer from another that says the same.
struct DemoIdentity {
  /// Random.
  var high: UInt64 = 0
  var low: UInt64 = 0
  /// Wall nanoseconds.
  var wall: UInt64 = 0

  /// Calls have ids of their own, in every choice.
  func appendCall(_ call: Int, choice: Int, to text: inout DemoText) {
    text.append("call_")
    text.append(hex: high, width: 16)
    text.append(hex: UInt64(choice), width: 4)
    text.append(hex: UInt64(call), width: 4)
  }
}

extension DemoText {
  /// The members that a whole answer and every chunk of a stream have, up to the list of choices.
  mutating func append(preambleOf answer: DemoAnswer, object: StaticString) {
    append("{\"id\":\"chatcmpl-")
    append(hex: answer.identity.high, width: 16)
    append(hex: answer.identity.low, width: 13)
    append("\",\"object\":\"")
    append(object)
    append("\",\"created\":")
    append(decimal: Int(answer.identity.wall / 1_000_000_000))
    append(",\"model\":")
    append(json: answer.question.model)
    append(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_de300de300\",\"choices\":[")
  }

  /// The value of `usage`.
  mutating func append(usageOf answer: DemoAnswer) {
    append("{\"prompt_tokens\":")
    append(decimal: answer.question.promptTokens)
    append(",\"completion_tokens\":")
    append(decimal: answer.completionTokens)
    append(",\"total_tokens\":")
    append(decimal: answer.question.promptTokens + answer.completionTokens)
    append(",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}")
    append(",\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,")
    append("\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}")
  }

  /// A whole answer.
  mutating func append(whole answer: DemoAnswer) {
    append(preambleOf: answer, object: "chat.completion")
    for choice in 0..<answer.question.choices {
      append(choice > 0 ? "," : "")
      append("{\"index\":")
      append(decimal: choice)
      append(",\"message\":{\"role\":\"assistant\",\"content\":")
      if answer.callsTools { append(callsOf: answer, choice: choice) } else { append(wordsOf: answer) }
      append(",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"")
      append(answer.finish)
      append("\"}")
    }
    append("],\"usage\":")
    append(usageOf: answer)
    append("}")
  }

  private mutating func append(wordsOf answer: DemoAnswer) {
    var words: [UInt8] = []
    for place in 0..<answer.count { if case .text(let token) = answer[place] { words += token } }
    append(json: words)
  }

  private mutating func append(callsOf answer: DemoAnswer, choice: Int) {
    append("null,\"tool_calls\":[")
    var arguments: [UInt8]?
    for place in 0..<answer.count {
      switch answer[place] {
      case .text: break
      case .call(let call, let name):
        if let arguments { append(callEnd: arguments, ",") }
        append("{\"id\":\"")
        answer.identity.appendCall(call, choice: choice, to: &self)
        append("\",\"type\":\"function\",\"function\":{\"name\":")
        append(json: name)
        append(",\"arguments\":")
        arguments = []
      case .arguments(_, let token): arguments?.append(contentsOf: token)
      }
    }
    if let arguments { append(callEnd: arguments, "") }
    append("]")
  }

  private mutating func append(callEnd arguments: [UInt8], _ separator: StaticString) {
    append(json: arguments)
    append("}}")
    append(separator)
  }
}
