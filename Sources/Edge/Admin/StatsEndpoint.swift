// `builtin: stats`: what an operator wants to know at a glance, as JSON.
// Called by a worker for each request that its route leads here; it reads counters and holds no state. It tells sums
// over everybody and nothing about anyone.

/// The endpoint.
enum StatsEndpoint {
  /// `{"totalConnections",…,"timestamp"}`, and behind these `version`, `uptime` in seconds, `generation`, `exchanges`,
  /// `creditsCharged` and `ledger`.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    let metrics = facts.metrics
    body.append("{")
    body.append(connectionsOf: facts)
    body.append(",\"timestamp\":\"")
    body.append(timestamp: facts.wall)
    body.append("\",\"version\":\"")
    body.append(Version.text)
    body.append("\",\"uptime\":")
    body.append(decimal: facts.wall > metrics.startWall ? (facts.wall - metrics.startWall) / 1_000_000_000 : 0)
    body.append(",\"generation\":")
    body.append(decimal: UInt64(facts.generation))
    body.append(",\"exchanges\":")
    body.append(decimal: UInt64(max(0, facts.counters.sum(.exchanges))))
    body.append(",\"creditsCharged\":")
    body.append(metrics.charged)
    body.append(",\"ledger\":{\"failing\":")
    body.append(json: metrics.figures[.ledgerFailing] != 0)
    body.append(",\"queue\":")
    body.append(decimal: UInt64(max(0, metrics.figures[.ledgerQueue])))
    body.append("}}")
    return BuiltinReply()
  }
}
