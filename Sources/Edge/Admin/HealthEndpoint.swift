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
    body.append("\",\"connections\":{")
    body.append(connectionsOf: facts)
    body.append("}}")
    return BuiltinReply()
  }
}

extension ByteWriter {
  /// The four members of connections that `/health` and `/stats` have. Connections are WebSockets, users and roles
  /// those of their callers, and what is pending is everything that runs, whatever asked for it, but the one that is
  /// told this.
  mutating func append(connectionsOf facts: BuiltinFacts) {
    append("\"totalConnections\":")
    append(decimal: facts.metrics.openSessions)
    append(",\"totalUsers\":")
    append(decimal: UInt64(facts.metrics.users.total))
    append(",\"totalPendingRequests\":")
    append(decimal: UInt64(max(0, facts.counters.sum(.runningExchanges) - 1)))
    append(",\"connectionsByRole\":{")
    for (index, entry) in facts.metrics.users.byRole.enumerated() {
      // Names of roles need no escapes.
      append(index == 0 ? "\"" : ",\"" as StaticString)
      append(string: entry.role)
      append("\":")
      append(decimal: UInt64(entry.count))
    }
    append("}")
  }
}
