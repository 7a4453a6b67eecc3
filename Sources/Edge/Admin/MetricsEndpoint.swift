// `builtin: metrics`: everything that is counted, for Prometheus. Its numbers say what is used and what it costs, so
// its route belongs on a listener of its own.
// Called by a worker for each request that its route leads here; the rows stand in `MetricTable`.

/// The endpoint.
enum MetricsEndpoint {
  /// The text format of Prometheus.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    facts.metrics.write(&body, facts.counters)
    return BuiltinReply(contentType: "text/plain; version=0.0.4; charset=utf-8")
  }
}
