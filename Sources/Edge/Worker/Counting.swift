// What the worker counts for metrics when an exchange has ended, and which figures of the process it brings up to date
// when somebody asks for them.

extension Worker {
  /// The exchange has ended.
  @inline(__always)
  func noteMetrics(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let route = slot.pointee.route
    let metric = route < 0 ? MetricNames.none : rows(of: exchange).routeRows[Int(route)].metric
    metrics.noteExchange(slot.pointee.record, route: metric, worker: index)
    if slot.pointee.hasWork { noteCost(exchange) }
  }

  private func noteCost(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    let record = slot.pointee.record
    guard work.pointee.isDispatched else { return }
    guard slot.pointee.isMetered else {
      metrics.noteCharge(record.charge, shortfall: record.shortfall, worker: index)
      return
    }
    let models = rows(of: exchange).models
    let candidate = candidate(exchange)
    var use = ModelUse()
    use.provider = models.providers[Int(candidate.provider)].metric
    use.pair = candidate.pair
    use.outcome = outcome(exchange)
    use.usage = record.usage
    use.charge = record.charge
    use.shortfall = record.shortfall
    if record.firstByte > record.sent { use.firstByteNanoseconds = record.firstByte - record.sent }
    metrics.noteModelUse(use, worker: index)
  }

  private func outcome(_ exchange: Int32) -> ModelOutcome {
    let slot = exchanges.slots + Int(exchange)
    let work = work(of: exchange)
    if hasFailed(exchange) { return .failed }
    if work.pointee.kind == .none { return slot.pointee.record.cause == .clientLeft ? .cut : .failed }
    if ProviderStatus(status: slot.pointee.upstreamStatus) == .refuses { return .refused }
    return slot.pointee.record.cause == .completed ? .completed : .cut
  }

  /// Numbers of engines that count for themselves go where metrics are told from.
  func refreshFigures() {
    let figures = metrics.figures
    let ledger = shared.ledger.figures
    figures.set(.ledgerCommits, Int64(ledger.commits))
    figures.set(.ledgerTransfers, Int64(ledger.transfers))
    figures.set(.ledgerFailures, Int64(ledger.failures))
    figures.set(.ledgerQueue, Int64(ledger.queueLength))
    figures.set(.ledgerFailing, ledger.isFailing ? 1 : 0)
    figures.set(.bodyMemoryBytes, Int64(shared.bodies.usedBytes))
    figures.set(.bodyMemoryBytesMax, Int64(shared.bodies.limitBytes))
    figures.set(.generation, Int64(rows.number))
  }
}
