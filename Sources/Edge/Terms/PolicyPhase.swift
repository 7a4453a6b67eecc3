// When a policy is asked. The words are the keys of the table that a script returns.
// Called by checks of configuration and by whoever runs policies.

/// The functions that a script may have.
enum PolicyPhase: String, Sendable, CaseIterable {
  /// Once, when the configuration is loaded: checks the settings and prepares.
  case start = "init"
  /// Before a request goes anywhere.
  case onRequest = "on_request"
  /// For each message on a WebSocket that starts work, before it goes anywhere.
  case onMessage = "on_message"
  /// Before a request that costs something goes to one of those that could answer it.
  case onSelect = "on_select"
  /// When a provider has failed, before the next one is asked.
  case onRetry = "on_retry"
  /// When the head of the answer of a service or provider is there and the client has nothing of it.
  case onResponse = "on_response"
  /// For each piece of the content of such an answer, before the client gets it.
  case onChunk = "on_chunk"
  /// Answers a route, after its policies.
  case handle
  /// After everything, exactly once.
  case onLog = "on_log"

  /// What is asked about answers of services and providers on HTTP.
  static let answers: [PolicyPhase] = [.onResponse, .onChunk]
}
