// Closed sets of words that a configuration may use and engines switch over.
//
// Owns: their spelling in YAML (the raw values).
// Called by: schema rows, which list the words, the snapshot, which holds the cases, and the engines.
// Never: says what a word does; that stands where the switch is.

/// Answers that Edge gives itself (`builtin: NAME` on a route).
enum BuiltinName: String, Sendable, CaseIterable {
  /// `{"status":"OK",…}` while the process serves.
  case health
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
