// `GET /status`: what runs, on which configuration, and how it is, for `edge status` and `edge top`.
// Called by the control worker; it reads counters and the board and holds no state. Only operators reach it, for it
// tells paths and addresses.

/// The endpoint.
enum StatusEndpoint {
  /// One object; its members are in docs/operations.md.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    guard let state = facts.process?.current else {
      body.append("{}")
      return BuiltinReply(status: 500, reason: "Internal Server Error")
    }
    body.append("{\"version\":\"")
    body.append(Version.text)
    body.append("\",\"pid\":")
    body.append(decimal: ProcessFigures.pid)
    body.append(",\"config\":")
    body.append(json: state.config)
    body.append(",\"development\":")
    body.append(json: state.isDevelopment)
    body.append(state.isDraining ? ",\"state\":\"draining\"" : ",\"state\":\"serving\"" as StaticString)
    body.append(",\"started\":\"")
    body.append(timestamp: facts.metrics.startWall)
    body.append("\",\"uptime\":")
    let start = facts.metrics.startWall
    body.append(decimal: facts.wall > start ? (facts.wall - start) / 1_000_000_000 : 0)
    body.append(",\"workers\":")
    body.append(decimal: UInt64(state.workers))
    body.append(",\"generation\":")
    body.append(decimal: UInt64(facts.generation))
    body.append(placesOf: state)
    body.append(trafficOf: facts)
    body.append(processOf: facts)
    body.append(reloadsOf: state, facts)
    body.append("}")
    return BuiltinReply()
  }
}

extension ByteWriter {
  private mutating func append(key: StaticString, _ number: UInt64) {
    append(",\"")
    append(key)
    append("\":")
    append(decimal: number)
  }

  fileprivate mutating func append(placesOf state: ProcessState) {
    append(",\"generations\":[")
    for (index, generation) in state.generations.enumerated() {
      append(index == 0 ? "{\"number\":" : ",{\"number\":" as StaticString)
      append(decimal: UInt64(generation.number))
      append(",\"since\":\"")
      append(timestamp: generation.since)
      append("\"")
      append(key: "running", UInt64(max(0, generation.running)))
      append("}")
    }
    append("],\"listeners\":[")
    for (index, listener) in state.listeners.enumerated() {
      append(index == 0 ? "{\"name\":" : ",{\"name\":" as StaticString)
      append(json: listener.name)
      append(",\"address\":")
      append(json: listener.address)
      append(",\"serves\":\"")
      append(string: listener.serves.rawValue)
      append("\",\"tls\":")
      append(json: listener.isSecure)
      append("}")
    }
    append("]")
  }

  fileprivate mutating func append(trafficOf facts: BuiltinFacts) {
    append(key: "connections", UInt64(max(0, facts.counters.sum(.serverConnections))))
    append(key: "webSockets", facts.metrics.openSessions)
    append(key: "users", UInt64(facts.metrics.users.total))
    append(",\"exchanges\":{\"running\":")
    append(decimal: UInt64(max(0, facts.counters.sum(.runningExchanges))))
    append(key: "total", UInt64(max(0, facts.counters.sum(.exchanges))))
    append("}")
  }

  fileprivate mutating func append(processOf facts: BuiltinFacts) {
    let figures = facts.metrics.figures
    append(",\"cpuSeconds\":")
    append(Amount(units: Int64(clamping: ProcessFigures.cpuNanoseconds())))
    append(key: "residentBytes", ProcessFigures.residentBytes() ?? 0)
    append(",\"descriptors\":{\"open\":")
    append(decimal: ProcessFigures.openDescriptors() ?? 0)
    append(key: "max", ProcessFigures.descriptorsMax() ?? 0)
    append("},\"bodies\":{\"bytes\":")
    append(decimal: UInt64(max(0, figures[.bodyMemoryBytes])))
    append(key: "max", UInt64(max(0, figures[.bodyMemoryBytesMax])))
    append("},\"ledger\":{\"failing\":")
    append(json: figures[.ledgerFailing] != 0)
    append(key: "queue", UInt64(max(0, figures[.ledgerQueue])))
    append("},\"creditsCharged\":")
    append(facts.metrics.charged)
  }

  fileprivate mutating func append(reloadsOf state: ProcessState, _ facts: BuiltinFacts) {
    let figures = facts.metrics.figures
    append(",\"reloads\":{\"done\":")
    append(decimal: UInt64(max(0, figures[.reloadsDone])))
    append(key: "unchanged", UInt64(max(0, figures[.reloadsUnchanged])))
    append(key: "failed", UInt64(max(0, figures[.reloadsFailed])))
    append(key: "refused", UInt64(max(0, figures[.reloadsRefused])))
    append("},\"restart\":[")
    for (index, path) in state.restart.enumerated() {
      if index > 0 { append(byte: 0x2c) }
      append(json: path)
    }
    append("],\"reload\":")
    if let report = state.reload { append(report: report) } else { append("null") }
  }
}
