// From two readings of a running Edge to what happened between them: rates, shares of time, and quantiles.
//
// Owns: the arithmetic, and which metrics it is made of. Called by: `edge top`. Never: asks, waits or draws.

import Glibc

/// What Edge said at one moment.
struct TopReading {
  let status: StatusReading
  let metrics: MetricText
  /// Monotonic nanoseconds.
  let time: UInt64
}

/// A route between two readings. Rates are per second.
struct RouteFigures: Equatable {
  let name: String
  var requests = 0.0
  var clientErrors = 0.0
  var serverErrors = 0.0
  var bytesIn = 0.0
  var bytesOut = 0.0
  var duration: [MetricQuantile] = [.none, .none, .none]
  /// Since Edge started, so that routes keep their order while nothing happens.
  var total = 0.0
}

/// A provider between two readings. Rates are per second.
struct ProviderFigures: Equatable {
  let name: String
  var running = 0.0
  var requests = 0.0
  var failed = 0.0
  var fallbacks = 0.0
  var firstByte: [MetricQuantile] = [.none, .none]
  var tokens = 0.0
  var total = 0.0
}

/// What a screen tells.
struct TopFigures {
  let status: StatusReading
  /// Seconds between the readings; 0: there was none before, so there are no rates.
  let seconds: Double
  let requests: Double
  let clientErrors: Double
  let serverErrors: Double
  let credits: Double
  /// The share of one core.
  let cpu: Double
  /// The busiest first.
  let routes: [RouteFigures]
  let providers: [ProviderFigures]
  /// Series that Edge's answer had no room for.
  let leftOut: Int
  /// Edge was started again since the reading before.
  let restart: String?

  var hasRates: Bool { seconds > 0 }

  init(from before: TopReading?, to after: TopReading) {
    status = after.status
    let isSame = before.map { $0.status.pid == after.status.pid && $0.status.started == after.status.started } ?? true
    restart =
      isSame ? nil : "Edge was started again, pid \(before?.status.pid ?? 0) -> \(after.status.pid): counts begin anew"
    let elapsed = before.map { after.time > $0.time ? Double(after.time - $0.time) / 1e9 : 0 } ?? 0
    seconds = elapsed
    let earlier = isSame ? before : nil
    // All that a new Edge has counted, it counted since the reading of the old one.
    let grown = elapsed > 0 ? after.metrics.difference(from: earlier?.metrics ?? MetricText()) : MetricText()
    func rate(_ sum: Double) -> Double { elapsed > 0 ? sum / elapsed : 0 }
    requests = rate(grown.sum("edge_exchange_ends_total"))
    clientErrors = rate(grown.sum("edge_exchanges_total", "status", ["4xx"]))
    serverErrors = rate(grown.sum("edge_exchanges_total", "status", ["5xx"]))
    credits = rate(grown.sum("edge_credits_charged_total"))
    cpu = rate(max(0, after.status.cpuSeconds - (earlier?.status.cpuSeconds ?? 0)))
    routes = TopFigures.routes(grown, after.metrics, rate)
    providers = TopFigures.providers(grown, after.metrics, rate)
    leftOut = Int(max(0, min(1e9, after.metrics.sum("edge_metric_series_left_out"))))
  }

  private static func routes(
    _ grown: MetricText, _ now: MetricText, _ rate: (Double) -> Double
  ) -> [RouteFigures] {
    let totals = now.sums("edge_exchanges_total", by: "route")
    let requests = grown.sums("edge_exchanges_total", by: "route")
    let clientErrors = grown.sums("edge_exchanges_total", by: "route", "status", ["4xx"])
    let serverErrors = grown.sums("edge_exchanges_total", by: "route", "status", ["5xx"])
    let bytesIn = grown.sums("edge_request_bytes_total", by: "route")
    let bytesOut = grown.sums("edge_response_bytes_total", by: "route")
    let durations = grown.histograms("edge_exchange_duration_seconds", by: "route")
    let rows = totals.map { name, total in
      var row = RouteFigures(name: name)
      row.requests = rate(requests[name] ?? 0)
      row.clientErrors = rate(clientErrors[name] ?? 0)
      row.serverErrors = rate(serverErrors[name] ?? 0)
      row.bytesIn = rate(bytesIn[name] ?? 0)
      row.bytesOut = rate(bytesOut[name] ?? 0)
      if let histogram = durations[name] { row.duration = [0.5, 0.95, 0.99].map { histogram.quantile($0) } }
      row.total = total
      return row
    }
    return rows.sorted { ($1.requests, $1.total, $0.name) < ($0.requests, $0.total, $1.name) }
  }

  private static func providers(
    _ grown: MetricText, _ now: MetricText, _ rate: (Double) -> Double
  ) -> [ProviderFigures] {
    let totals = now.sums("edge_model_requests_total", by: "provider")
    let running = now.sums("edge_provider_requests_running", by: "provider")
    let requests = grown.sums("edge_model_requests_total", by: "provider")
    let failed = grown.sums("edge_model_requests_total", by: "provider", "outcome", ["failed", "cut"])
    let fallbacks = grown.sums("edge_provider_fallbacks_total", by: "provider")
    // The other kinds are parts of these.
    let tokens = grown.sums("edge_model_tokens_total", by: "provider", "kind", ["input", "output"])
    let firstBytes = grown.histograms("edge_model_first_byte_seconds", by: "provider")
    let rows = Set(totals.keys).union(running.keys).map { name in
      var row = ProviderFigures(name: name)
      row.running = running[name] ?? 0
      row.requests = rate(requests[name] ?? 0)
      row.failed = rate(failed[name] ?? 0)
      row.fallbacks = rate(fallbacks[name] ?? 0)
      if let histogram = firstBytes[name] { row.firstByte = [0.5, 0.95].map { histogram.quantile($0) } }
      row.tokens = rate(tokens[name] ?? 0)
      row.total = totals[name] ?? 0
      return row
    }
    return rows.sorted {
      ($1.requests, $1.running, $1.total, $0.name) < ($0.requests, $0.running, $0.total, $1.name)
    }
  }
}
