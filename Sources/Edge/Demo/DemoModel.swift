// The models of the demo provider. Most only talk; the name of some says how they fail.
//
// Called by: the request reader, the list of models. Never: knows prices, those stand in the configuration.

/// What a model does beyond answering.
enum DemoBehaviour: String, CaseIterable {
  /// Answers.
  case plain = "demo-chat"
  /// Says as many tokens as it may, with no rest between them.
  case max = "demo-max"
  /// Calls a tool whenever there is one.
  case tools = "demo-tools"
  /// One second before the first byte.
  case slow = "demo-slow"
  /// Takes the request and never answers.
  case hang = "demo-hang"
  /// Five chunks, or half of the answer, and the connection ends in the middle.
  case cut = "demo-cut"
  /// Two chunks, then an error inside the stream; a 500 without a stream.
  case error = "demo-error"
  case status429 = "demo-429"
  case status500 = "demo-500"
  case status529 = "demo-529"
}

/// The names.
enum DemoModel {
  /// Listed under `/v1/models`. Every other name is answered too, so that the demo provider can stand in for any.
  static let listed: [String] =
    [
      "gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "claude-3-haiku", "claude-3-sonnet", "claude-3-opus",
    ] + DemoBehaviour.allCases.map(\.rawValue)

  /// nil for names that begin with `unknown`: somebody must be able to ask for what is not there.
  static func behaviour(of name: String) -> DemoBehaviour? {
    if name.hasPrefix("unknown") { return nil }
    return DemoBehaviour(rawValue: name) ?? .plain
  }
}
