// Reload: a new generation is built beside the serving one and published with one pointer, or everything stays as it
// is. And the end of old generations.

import CLinux
import Glibc

extension ControlThread {
  /// SIGHUP, or an operator asks. Whoever asks while it runs waits for the next one.
  func reload() {
    let asked = shared.board.takeAsked()
    let start = Clock.monotonicNow()
    var report = perform()
    report.milliseconds = Int((Clock.monotonicNow() - start) / 1_000_000)
    tell(report)
    shared.board.update { state in
      if report.outcome == .reloaded {
        state.restart = report.changes.filter { $0.kind == .restart }.map(\.path)
      }
      state.reload = report
    }
    for exchange in asked {
      shared.board.report(report, to: exchange)
      post(.reloaded(exchange: exchange), to: shared.controlInbox)
    }
  }

  private func perform() -> ReloadReport {
    if isStopping { return report(.refused, "Edge is stopping") }
    let outcome = Loader.load(path: settings.path, options: settings.options)
    let warnings = outcome.diagnoses.filter { $0.severity == .warning }
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved else {
      let errors = outcome.diagnoses.filter { $0.severity == .error }
      return report(.failed, "\(settings.path) has errors", errors: errors)
    }
    var changes = ConfigDiff(from: newest.plan.resolved, to: resolved)
    changes.compareRestart(started, resolved)
    if snapshot.contentHash == newest.plan.snapshot.contentHash {
      var report = report(.unchanged)
      report.changes = changes.changes
      return report
    }
    finishLastReload()
    let taken = Set(generations.map(\.place))
    guard let place = (0..<UInt8(GenerationBoard.places)).first(where: { !taken.contains($0) }) else {
      return report(
        .refused,
        logMarks.isEmpty
          ? "\(generations.count) generations are alive; wait until exchanges of the oldest have ended"
          : "\(generations.count) generations are alive, some only because the log is not read")
    }
    if snapshot.needsLedger, !keepsLedger, snapshot.stores.ledger == .sqlite {
      return report(.failed, "a route costs credits now, and Edge was started without a ledger; restart it")
    }
    do {
      let next = try builder.build(snapshot, resolved: resolved, number: newest.number + 1, place: place)
      changes.compareFiles(newest.plan.snapshot, snapshot)
      publish(next, snapshot)
      var report = report(.reloaded, warnings: warnings)
      report.changes = changes.changes
      return report
    } catch {
      // What was built of it goes back to the system, as that of generations does.
      _ = malloc_trim(0)
      return report(.failed, error.message, errors: error.diagnoses)
    }
  }

  private func report(
    _ outcome: ReloadOutcome, _ reason: String? = nil, errors: [Diagnosis] = [], warnings: [Diagnosis] = []
  ) -> ReloadReport {
    ReloadReport(
      outcome: outcome, generation: newest.number, wall: Clock.wallNow(), reason: reason,
      errors: errors.map { $0.render() }, warnings: warnings.map { $0.render() })
  }

  /// Every worker adopts a generation within a turn. A listener that the last reload removed may be wanted again now,
  /// and until all have left it its address is in use.
  private func finishLastReload() {
    endGenerations()
    let deadline = Clock.monotonicNow() + UInt64(ControlThread.adoptionMilliseconds) * 1_000_000
    while builder.isClosingListeners, Clock.monotonicNow() < deadline {
      var wait = pollfd(fd: shared.control.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&wait, 1, Int32(ControlThread.adoptionMilliseconds))
      shared.control.acknowledge()
      endGenerations()
    }
    // The wake-up may have been for something else, too.
    shared.control.signal()
  }

  private func publish(_ next: Generation, _ snapshot: Snapshot) {
    let known = Set(newest.plan.listeners.map(\.place))
    generations.append(next)
    shared.metrics.figures.set(.generationsLive, Int64(generations.count))
    shared.generations.publish(next.rows)
    shared.metrics.users.know(roles: snapshot.roles.map(\.name))
    for inbox in shared.inboxes { inbox.wake() }
    log.setLevel(snapshot.log.level)
    shared.ledger.setInitial(snapshot.credits.initial)
    shared.bodies.setLimit(snapshot.server.bodyMemoryBytes)
    _ = builder.published(next)
    logListening(next.plan.listeners.filter { !known.contains($0.place) })
    describeGenerations()
  }

  // MARK: What is said

  /// One line says what came of it; findings stand in front of it, each in its own.
  private func tell(_ report: ReloadReport) {
    for warning in report.warnings { log.line(.warn, "config_warning", [("message", .text(warning))]) }
    for error in report.errors { log.line(.error, "config_error", [("message", .text(error))]) }
    let generation: (StaticString, LogValue) = ("generation", .number(Int(report.generation)))
    let reason: (StaticString, LogValue) = ("reason", .text(report.reason ?? ""))
    let figures = shared.metrics.figures
    switch report.outcome {
    case .reloaded:
      let live: (StaticString, LogValue) = ("live", .number(generations.count))
      let time: (StaticString, LogValue) = ("milliseconds", .number(report.milliseconds))
      log.line(.info, "reloaded", [generation, live, time] + differences(report))
      figures.add(1, to: .reloadsDone)
    case .unchanged:
      log.line(.info, "reload_unchanged", [generation] + differences(report))
      figures.add(1, to: .reloadsUnchanged)
    case .failed:
      log.line(.error, "reload_failed", [generation, ("errors", .number(max(1, report.errors.count))), reason])
      figures.add(1, to: .reloadsFailed)
    case .refused:
      log.line(.warn, "reload_refused", [generation, reason])
      figures.add(1, to: .reloadsRefused)
    }
  }

  private func differences(_ report: ReloadReport) -> [(StaticString, LogValue)] {
    var fields: [(StaticString, LogValue)] = []
    let keys: [(StaticString, ConfigChange.Kind)] = [
      ("added", .added), ("removed", .removed), ("changed", .changed), ("restart", .restart),
    ]
    for (key, kind) in keys {
      let paths = report.changes.filter { $0.kind == kind }.map(\.path)
      if !paths.isEmpty { fields.append((key, .text(paths.joined(separator: " ")))) }
    }
    return fields
  }

  // MARK: The end of generations

  /// Frees what no worker uses any more: every worker has adopted a newer generation, no exchange runs on it, and the
  /// log has written the last record that points into it.
  func endGenerations() {
    for listener in builder.closeListeners(shared.generations.allAdopted) {
      log.line(
        .info, "listener_closed",
        [("listener", .text(listener.name)), ("address", .text(listener.socket.address))])
    }
    let before = generations.count
    for generation in generations.dropLast() where isUnused(generation) {
      generations.removeAll { $0.number == generation.number }
      logMarks[generation.number] = nil
      builder.release(generation)
      log.line(
        .info, "generation_ended",
        [("generation", .number(Int(generation.number))), ("live", .number(generations.count))])
    }
    shared.metrics.figures.set(.generationsLive, Int64(generations.count))
    // The allocator keeps what was freed in the middle of its arenas; a generation's worth goes back to the system.
    if generations.count < before {
      describeGenerations()
      _ = malloc_trim(0)
    }
  }

  private func isUnused(_ generation: Generation) -> Bool {
    guard shared.generations.allAdopted(generation.number + 1), shared.generations.pins(generation.place) == 0 else {
      return false
    }
    let marks = logMarks[generation.number] ?? log.published
    logMarks[generation.number] = marks
    return log.hasWritten(marks)
  }
}
