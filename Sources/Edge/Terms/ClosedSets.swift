// Closed sets of words that a configuration may use and engines switch over.
//
// Owns: their spelling in YAML (the raw values).
// Called by: schema rows, which list the words, the snapshot, which holds the cases, and the engines.
// Never: says what a word does; that stands where the switch is.

/// Answers that Edge gives itself (`builtin: NAME` on a route).
enum BuiltinName: String, Sendable, CaseIterable {
  /// `{"status":"OK",…}` while the process serves.
  case health
  /// Counts of connections and requests.
  case stats
  /// Whether a load balancer should send requests here.
  case ready
  /// Everything that is counted, for Prometheus.
  case metrics
  /// The models that can be asked for, in the form of OpenAI's `/v1/models`.
  case models
}

/// Credentials of clients that a service may ask to be handed on (`pass`).
enum Credential: String, Sendable, CaseIterable {
  case authorization
  case apiKey = "x-api-key"
  case cookie
}

/// How much is logged; each level includes those before it.
enum LogLevel: String, Sendable, CaseIterable, Comparable {
  case error, warn, info, debug

  static func < (left: LogLevel, right: LogLevel) -> Bool { left.rank < right.rank }

  /// 0 for errors, which are always logged.
  var rank: Int {
    switch self {
    case .error: 0
    case .warn: 1
    case .info: 2
    case .debug: 3
    }
  }
}

/// What a client means that closes its sending side before it has its answer (`client_fin`).
enum ClientFin: String, Sendable, CaseIterable {
  /// It has gone: the exchange ends.
  case abort
  /// It waits for the answer.
  case finish
}

/// Wire formats of models, spoken by clients and providers (`dialect`).
enum DialectName: String, Sendable, CaseIterable {
  /// OpenAI's `/v1/chat/completions`.
  case openAIChat = "openai-chat"
  /// Anthropic's `/v1/messages`.
  case anthropicMessages = "anthropic-messages"
  /// The platform's own, of clients on WebSockets; no provider speaks it.
  case platformV1 = "platform-v1"
}

/// What becomes of a WebSocket whose route a reload has changed (`on_reload`).
enum SessionReload: Sendable, Equatable {
  /// It goes on, by the new rules.
  case keep
  /// It takes no more requests and ends when those in flight have ended, after this many milliseconds at the latest.
  case drain(milliseconds: Int)
  /// It ends at once.
  case close
}

/// What becomes of WebSockets that clients open on a route to a service (`websocket`).
enum SocketTreatment: String, Sendable, CaseIterable {
  /// Every frame is read and checked, and written anew.
  case proxy
  /// Once it is open, bytes pass unread.
  case tunnel
  /// None is opened.
  case refuse
}

/// Where credits are kept (`stores.ledger`).
enum LedgerStore: String, Sendable, CaseIterable {
  /// A file in `server.var`.
  case sqlite
  /// Nowhere: everything is forgotten at the end of the process.
  case memory
}

/// What an answer waits for before its end (`stores.durability`).
enum Durability: String, Sendable, CaseIterable {
  /// The charge stands on the disk.
  case strict
  /// Nothing: what was charged in the last moments before a crash may be forgotten.
  case relaxed
}
