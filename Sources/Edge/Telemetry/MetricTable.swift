// Every metric, one row each: what it is called, what it says, and where its numbers stand. The answer of
// `builtin: metrics` and docs/metrics.md are made from these rows, in this order.
//
// Owns: the rows. Called by: the exposition and the reference page. Never: counts anything.

/// What kind of number a metric is.
enum MetricKind: String, Sendable {
  case counter, gauge, histogram
}

/// What one step of a number is, and so how it is written.
enum MetricUnit: Sendable {
  case plain
  /// Kept in nanoseconds, written in seconds.
  case seconds
  /// Kept in billionths, written in credits.
  case credits
}

/// Where the numbers of a metric stand.
enum MetricSource: Sendable {
  /// Always 1: the label says it.
  case version
  case process(ProcessFigure)
  case counter(Counter)
  /// By value of the row's own label; one when it has none.
  case figures([Figure])
  /// Words of the row's scope from here on: one by value of the row's own label.
  case words(Int, MetricUnit)
  /// How much more has begun, in the first word, than has ended, in the second.
  case running(Int, ended: Int)
  /// The buckets and the sum of a histogram, from this word on.
  case buckets(Int)
  /// Claims of names that found no place.
  case refusedNames
  /// Series that this answer had no room for.
  case leftOut
  /// Counters that scripts have defined; the row stands for all of them.
  case scripts
}

/// One metric with all its series.
struct MetricRow: Sendable {
  let name: StaticString
  let kind: MetricKind
  /// What it says, in one line.
  let help: StaticString
  let scope: MetricScope
  /// The label that is no name of the configuration: it has these values and no others.
  let label: StaticString?
  let values: [StaticString]
  let source: MetricSource

  init(
    _ name: StaticString, _ kind: MetricKind, _ help: StaticString, by scope: MetricScope = .whole,
    _ label: StaticString? = nil, _ values: [StaticString] = [], from source: MetricSource
  ) {
    self.name = name
    self.kind = kind
    self.help = help
    self.scope = scope
    self.label = label
    self.values = values
    self.source = source
  }

  /// All labels, in the order in which they are written.
  var labels: [StaticString] { scope.labels.map(\.name) + (label.map { [$0] } ?? []) }
}

extension MetricScope {
  /// What its names belong to.
  var labels: [MetricLabel] {
    switch self {
    case .whole: []
    case .route: [.route]
    case .provider: [.provider]
    case .pair: [.provider, .model]
    case .policy: [.policy]
    }
  }
}

/// The rows. Those with few series stand first: where room ends, the many of the last are left out.
enum MetricTable {
  static let rows = process + traffic + credits + work + details

  /// Told in front of the rows: in the place of NAME stands what the script calls its counter, and of the help what it
  /// says itself.
  static let scripts = MetricRow(
    "edge_script_NAME_total", .counter, "What a policy counts with `edge.metric.counter`.", by: .policy, from: .scripts)

  /// What is told at the end, about the metrics themselves; there is always room for it.
  static let closing = [
    MetricRow(
      "edge_metric_names_refused_total", .counter,
      "Names that had no place in a table of labels when a generation was built; they count as 'other'.", "table",
      MetricLabel.allCases.map(\.name) + ["pair"], from: .refusedNames),
    MetricRow("edge_metric_series_left_out", .gauge, "Series that this answer had no room for.", from: .leftOut),
  ]

  private static let process = [
    MetricRow(
      "edge_info", .gauge, "Always 1; the label says which Edge this is.", "version", [Version.text], from: .version),
    MetricRow(
      "process_start_time_seconds", .gauge, "When the process started, in seconds since 1970.", from: .process(.start)),
    MetricRow("process_cpu_seconds_total", .counter, "CPU time of all threads.", from: .process(.cpuSeconds)),
    MetricRow("process_resident_memory_bytes", .gauge, "Memory that is resident.", from: .process(.residentBytes)),
    MetricRow("process_open_fds", .gauge, "Open file descriptors.", from: .process(.openDescriptors)),
    MetricRow(
      "process_max_fds", .gauge, "The most file descriptors that may be open.", from: .process(.descriptorsMax)),
  ]

  private static let traffic = [
    MetricRow("edge_generation", .gauge, "The number of the newest generation.", from: .figures([.generation])),
    MetricRow(
      "edge_generations_live", .gauge, "Generations that are kept: the newest, and those with running exchanges.",
      from: .figures([.generationsLive])),
    MetricRow(
      "edge_reloads_total", .counter, "Reloads, by what came of them.", "result",
      ["done", "failed", "refused", "unchanged"],
      from: .figures([.reloadsDone, .reloadsFailed, .reloadsRefused, .reloadsUnchanged])),
    MetricRow("edge_connections", .gauge, "Open connections of clients.", from: .counter(.serverConnections)),
    MetricRow(
      "edge_connections_refused_total", .counter, "Connections closed at once because all places were in use.",
      from: .counter(.refusedConnections)),
    MetricRow(
      "edge_tls_handshakes_total", .counter,
      "Connections at listeners with TLS: done, failed, timeout (the handshake took too long) or plain (HTTP came).",
      "result", HandshakeResult.allCases.map(\.name), from: .words(WholeWord.handshakes, .plain)),
    MetricRow(
      "edge_websocket_sessions", .gauge, "Open WebSockets of clients.",
      from: .running(WholeWord.sessionsOpened, ended: WholeWord.sessionsEnded)),
    MetricRow(
      "edge_websocket_closed_total", .counter,
      "WebSockets that ended: idle ones left a ping unanswered, slow ones took nothing, limit is a flood of pings.",
      "reason", SessionEnd.allCases.map(\.name), from: .words(WholeWord.sessionEnds, .plain)),
    MetricRow(
      "edge_websocket_messages_total", .counter, "Messages of clients on WebSockets, wrong ones and cancels included.",
      from: .words(WholeWord.messages, .plain)),
    MetricRow(
      "edge_exchanges_running", .gauge, "Exchanges between their head and their line in the log.",
      from: .counter(.runningExchanges)),
    MetricRow(
      "edge_exchange_ends_total", .counter, "Exchanges of clients that ended, by the cause that the log gives.",
      "cause", EndCause.allCases.map(\.name), from: .words(WholeWord.ends, .plain)),
    MetricRow(
      "edge_fetches_total", .counter,
      "Requests that no client made: those of scripts for an exchange (child) and those of Edge itself (background).",
      "origin", [ExchangeOrigin.child.name, ExchangeOrigin.background.name], from: .words(WholeWord.fetches, .plain)),
    MetricRow(
      "edge_upstream_replays_total", .counter, "Requests sent again because their idle connection was dead.",
      from: .counter(.replays)),
    MetricRow(
      "edge_log_lines_dropped_total", .counter, "Access lines that were lost because the log did not keep up.",
      from: .counter(.droppedLogLines)),
    MetricRow(
      "edge_body_memory_bytes", .gauge, "What bodies that are kept whole take of server.memory.bodies.",
      from: .figures([.bodyMemoryBytes])),
    MetricRow(
      "edge_policy_errors_total", .counter, "Policies that failed, so that a request was refused.", by: .policy,
      from: .words(PolicyWord.errors, .plain)),
  ]

  private static let credits = [
    MetricRow(
      "edge_holds_total", .counter, "Credits set aside before work began, by what came of it.", "result",
      HoldResult.allCases.map(\.name), from: .words(WholeWord.holds, .plain)),
    MetricRow(
      "edge_credits_shortfall_total", .counter, "Credits that were used and that no balance covered.",
      from: .words(WholeWord.shortfall, .credits)),
    MetricRow(
      "edge_ledger_commits_total", .counter, "Writes of the ledger that stand.", from: .figures([.ledgerCommits])),
    MetricRow("edge_ledger_transfers_total", .counter, "Entries that they wrote.", from: .figures([.ledgerTransfers])),
    MetricRow(
      "edge_ledger_failures_total", .counter, "Writes of the ledger that failed.", from: .figures([.ledgerFailures])),
    MetricRow("edge_ledger_queue", .gauge, "Entries that wait to be written.", from: .figures([.ledgerQueue])),
    MetricRow(
      "edge_ledger_failing", .gauge, "1 while the ledger cannot be written and nothing is granted, otherwise 0.",
      from: .figures([.ledgerFailing])),
  ]

  private static let work = [
    MetricRow(
      "edge_exchanges_total", .counter,
      "Exchanges of clients that ended, by route ('-': none was found) and first digit of the status.", by: .route,
      "status", StatusClass.names, from: .words(RouteWord.statuses, .plain)),
    MetricRow(
      "edge_model_requests_total", .counter,
      "Attempts at a model of a provider: completed, failed, refused (the provider said the request is wrong) or cut.",
      by: .pair, "outcome", ModelOutcome.allCases.map(\.name), from: .words(PairWord.outcomes, .plain)),
    MetricRow(
      "edge_provider_requests_running", .gauge, "Requests that a provider is answering now.", by: .provider,
      from: .running(ProviderWord.began, ended: ProviderWord.ended)),
    MetricRow(
      "edge_provider_fallbacks_total", .counter, "Attempts given up at a provider, after which another one was asked.",
      by: .provider, from: .words(ProviderWord.fallbacks, .plain)),
    MetricRow(
      "edge_credits_charged_total", .counter,
      "Credits that accounts paid; provider and model are '-' for routes with a price of their own.", by: .pair,
      from: .words(PairWord.charged, .credits)),
    MetricRow(
      "edge_model_tokens_total", .counter,
      "Tokens: cached and cache_write are parts of input, reasoning is a part of output.", by: .pair, "kind",
      TokenKind.names, from: .words(PairWord.tokens, .plain)),
  ]

  private static let details = [
    MetricRow(
      "edge_request_bytes_total", .counter, "Bytes of bodies that came from clients.", by: .route,
      from: .words(RouteWord.requestBytes, .plain)),
    MetricRow(
      "edge_response_bytes_total", .counter, "Bytes of bodies that went to clients.", by: .route,
      from: .words(RouteWord.responseBytes, .plain)),
    MetricRow(
      "edge_model_first_byte_seconds", .histogram,
      "From a request to a provider until the first byte of the answer's body went to the client.", by: .provider,
      from: .buckets(ProviderWord.firstByte)),
    MetricRow(
      "edge_exchange_duration_seconds", .histogram, "From the first byte of a request until its exchange ended.",
      by: .route, from: .buckets(RouteWord.duration)),
  ]
}
