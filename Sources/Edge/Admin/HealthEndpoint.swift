// `builtin: health`: says that the process serves. Open to everybody, so it tells counts and nothing about anyone.
// Called by a worker for each request that its route leads here; it reads counters and holds no state.

/// The endpoint.
enum HealthEndpoint {
  /// `{"status":"OK","timestamp":…,"version":…,"connections":{…}}`.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    body.append("{\"status\":\"OK\",\"timestamp\":\"")
    body.append(timestamp: facts.wall)
    body.append("\",\"version\":\"")
    body.append(Version.text)
    body.append("\",\"connections\":{\"totalConnections\":")
    body.append(decimal: UInt64(max(0, facts.counters.sum(.serverConnections))))
    body.append(",\"totalUsers\":0,\"totalPendingRequests\":")
    body.append(decimal: UInt64(max(0, facts.counters.sum(.runningExchanges))))
    body.append(",\"connectionsByRole\":{}}}")
    return BuiltinReply()
  }
}
