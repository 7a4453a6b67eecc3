// Reload: a new generation is built beside the serving one and published with one pointer, or everything stays as it
// is. And the end of old generations.

import CLinux
import Glibc

extension ControlThread {
  /// SIGHUP.
  func reload() {
    let start = Clock.monotonicNow()
    if isStopping {
      refuse("Edge is stopping")
      return
    }
    let outcome = Loader.load(path: settings.path, options: settings.options)
    guard let snapshot = outcome.snapshot, let resolved = outcome.resolved else {
      reject(outcome)
      return
    }
    if snapshot.contentHash == newest.plan.snapshot.contentHash {
      shared.metrics.figures.add(1, to: .reloadsUnchanged)
      log.line(.info, "reload_unchanged", [("generation", .number(Int(newest.number)))])
      return
    }
    finishLastReload()
    let taken = Set(generations.map(\.place))
    guard let place = (0..<UInt8(GenerationBoard.places)).first(where: { !taken.contains($0) }) else {
      refuse(
        logMarks.isEmpty
          ? "\(generations.count) generations are alive; wait until exchanges of the oldest have ended"
          : "\(generations.count) generations are alive, some only because the log is not read")
      return
    }
    if snapshot.needsLedger, !keepsLedger, snapshot.stores.ledger == .sqlite {
      fail(reason: "a route costs credits now, and Edge was started without a ledger; restart it", errors: 1)
      return
    }
    for diagnosis in outcome.diagnoses where diagnosis.severity == .warning {
      log.line(.warn, "config_warning", [("message", .text(diagnosis.render()))])
    }
    do {
      let next = try builder.build(snapshot, resolved: resolved, number: newest.number + 1, place: place)
      var changes = ConfigDiff(from: newest.plan.resolved, to: resolved)
      changes.compareFiles(newest.plan.snapshot, snapshot)
      changes.compareRestart(started, resolved)
      publish(next, snapshot)
      report(changes, milliseconds: Int((Clock.monotonicNow() - start) / 1_000_000))
    } catch {
      for diagnosis in error.diagnoses { log.line(.error, "config_error", [("message", .text(diagnosis.render()))]) }
      fail(reason: error.message, errors: max(1, error.diagnoses.count))
      // What was built of it goes back to the system, as that of generations does.
      _ = malloc_trim(0)
    }
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
  }

  // MARK: What is said

  private func report(_ changes: ConfigDiff, milliseconds: Int) {
    var fields: [(StaticString, LogValue)] = [
      ("generation", .number(Int(newest.number))), ("live", .number(generations.count)),
      ("milliseconds", .number(milliseconds)),
    ]
    let lists: [(StaticString, [String])] = [
      ("added", changes.added), ("removed", changes.removed), ("changed", changes.changed),
      ("restart", changes.needsRestart),
    ]
    for (key, paths) in lists where !paths.isEmpty { fields.append((key, .text(paths.joined(separator: " ")))) }
    log.line(.info, "reloaded", fields)
    shared.metrics.figures.add(1, to: .reloadsDone)
  }

  private func reject(_ outcome: LoadOutcome) {
    let errors = outcome.diagnoses.filter { $0.severity == .error }
    for error in errors { log.line(.error, "config_error", [("message", .text(error.render()))]) }
    fail(reason: "\(settings.path) has errors", errors: errors.count)
  }

  private func fail(reason: String, errors: Int) {
    shared.metrics.figures.add(1, to: .reloadsFailed)
    log.line(
      .error, "reload_failed",
      [("generation", .number(Int(newest.number))), ("errors", .number(errors)), ("reason", .text(reason))])
  }

  private func refuse(_ reason: String) {
    shared.metrics.figures.add(1, to: .reloadsRefused)
    log.line(
      .warn, "reload_refused", [("generation", .number(Int(newest.number))), ("reason", .text(reason))])
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
    if generations.count < before { _ = malloc_trim(0) }
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
