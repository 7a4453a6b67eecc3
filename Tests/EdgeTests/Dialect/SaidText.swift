import Foundation

@testable import Edge

/// What parts say, whatever the words of the dialect: texts with their escapes resolved, JSON in one form.
enum SaidText {
  /// An answer: its text, its calls, why it ended.
  struct Answer: Equatable {
    var text = ""
    var calls: [String] = []
    var reason: FinishReason?
    var hasFailed = false
    var hasEnded = false
  }

  static func plain(_ text: ModelText) -> String {
    if text.form == .value { return String(decoding: text.content, as: UTF8.self) }
    return String(decoding: Array(JSONStringBytes(content: text.content)), as: UTF8.self)
  }

  /// JSON in one form; what is none as it is.
  static func json(_ text: String) -> String {
    guard let value = try? JSONSerialization.jsonObject(with: Data((text.isEmpty ? "{}" : text).utf8)),
      let data = try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys])
    else { return text }
    return String(decoding: data, as: UTF8.self)
  }

  /// What an answer says. A refusal is a text that ends for another reason, and a pause is an end.
  static func answer(_ parts: [ModelPart]) -> Answer {
    var answer = Answer()
    var calls: [(index: Int32, head: String, arguments: String)] = []
    var refuses = false
    for part in parts {
      switch part.kind {
      case .text, .refusal:
        answer.text += plain(part.text)
        if part.kind == .refusal { refuses = true }
      case .toolCall: calls.append((part.index, "\(plain(part.id)) \(plain(part.name))", plain(part.text)))
      case .arguments:
        if let place = calls.lastIndex(where: { $0.index == part.index }) { calls[place].arguments += plain(part.text) }
      case .finish: answer.reason = part.reason == .pause ? .stop : part.reason
      case .error: answer.hasFailed = true
      case .end: answer.hasEnded = true
      default: break
      }
    }
    answer.calls = calls.map { "\($0.head) \(json($0.arguments))" }
    if refuses, answer.reason != nil { answer.reason = .contentFilter }
    return answer
  }

  /// A request, line by line: instructions, turns (those of one speaker joined, results of tools first, with their
  /// pictures behind them), tools, settings.
  static func request(_ parts: ModelParts) -> [String] {
    var lines = parts.parts.filter { $0.kind == .instruction }.map { "instruction \(plain($0.text))" }
    var role = ""
    var results: [String] = []
    var rest: [String] = []
    func endTurn() {
      if !results.isEmpty || !rest.isEmpty { lines += ["turn \(role)"] + results + rest }
      (results, rest) = ([], [])
    }
    var isResult = false
    for part in parts.parts {
      switch part.kind {
      case .user, .assistant:
        if "\(part.kind)" != role { endTurn() }
        role = "\(part.kind)"
      case .toolResult:
        results.append("result \(plain(part.id))")
        isResult = true
      case .toolResultEnd: isResult = false
      case .text, .refusal:
        if part.text.isEmpty { continue }
        if isResult { results.append("  \(plain(part.text))") } else { rest.append("text \(plain(part.text))") }
      case .image, .file:
        rest.append("\(part.kind) \(part.flag) \(plain(part.mediaType)) \(plain(part.name)) \(plain(part.text))")
      case .toolCall: rest.append("call \(plain(part.id)) \(plain(part.name)) \(json(plain(part.text)))")
      default: break
      }
    }
    endTurn()
    for part in parts.parts where part.kind == .tool {
      let schema = part.more.isNone ? "{\"properties\":{},\"type\":\"object\"}" : plain(part.more)
      lines.append("tool \(plain(part.name)) \(part.flag) \(plain(part.text)) \(json(schema))")
    }
    return lines
  }
}
