// `builtin: ready`: whether a load balancer should send requests here. Unlike health it says no before the end.
// Called by a worker for each request that its route leads here; it holds no state.

/// The endpoint.
enum ReadyEndpoint {
  /// 200 `{"status":"ready"}`, or 503 `{"status":"draining"}`.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    if facts.isDraining {
      body.append("{\"status\":\"draining\"}")
      return BuiltinReply(status: 503, reason: "Service Unavailable")
    }
    body.append("{\"status\":\"ready\"}")
    return BuiltinReply()
  }
}
