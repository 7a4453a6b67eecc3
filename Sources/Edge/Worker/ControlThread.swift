// The control thread: starts the process's other threads, waits for signals and for what those threads have to say,
// builds and frees generations, and ends when the last worker has. It never touches a request.
//
//   signals ─▶ SIGHUP: reload   SIGTERM, SIGINT: drain, then stop
//   wake    ─▶ a name has other addresses · a worker has adopted or let go of a generation · a worker has ended ·
//              an operator asks for a reload

import CLinux
import Glibc
import Synchronization

/// What a process serves with, from the command line.
struct ControlSettings {
  /// The main configuration file.
  let path: String
  let options: LoadOptions
  let builtins: BuiltinTable
  /// What the configuration was warned about when it was read, for the log.
  var warnings: [String] = []
}

/// Why the process cannot serve.
struct StartError: Error {
  let message: String
  /// What is wrong with the configuration, if that is it.
  var diagnoses: [Diagnosis] = []
}

/// The process, seen from its control thread.
final class ControlThread {
  let settings: ControlSettings
  let log: Log
  let shared: WorkerShared
  let builder: GenerationBuilder
  /// What the process was started with, and what it still has of settings that need a restart.
  let started: SectionFields
  /// Those that live, oldest first; the last one is the newest.
  var generations: [Generation]
  var isStopping = false
  /// How operators reach the process; nil when the folder of state cannot be used.
  private let adminSocket: AdminSocket?
  private let adminFault: FileFault?
  private let spawner: Spawner
  private let resolver: Resolver
  private let resolvedHosts: ResolvedHosts
  private let running: RunningWorkers
  private let ledger: Ledger
  /// The ledger has a file.
  let keepsLedger: Bool
  /// For generations that nobody uses any more: how far the log must be written before they can go.
  var logMarks: [UInt32: [UInt64]] = [:]

  /// How long the log's last lines may take.
  private static let logSecondsAtEnd = 1
  /// How long a reload waits for the last one to be adopted everywhere.
  static let adoptionMilliseconds = 200
  /// How often the log is asked how far it is, while that is all a generation waits for.
  private static let logLookMilliseconds: Int32 = 20

  /// Binds the listeners and prepares everything; nothing runs yet.
  init(
    _ settings: ControlSettings, _ snapshot: Snapshot, resolved: SectionFields, spawner: Spawner
  ) throws(StartError) {
    self.settings = settings
    self.spawner = spawner
    started = resolved
    let workers = ControlThread.workerCount(snapshot)
    // The control worker is one more.
    let threads = workers + 1
    let descriptors = ControlThread.raiseDescriptorLimit()
    var inboxes: [Inbox] = []
    for _ in 0..<threads {
      guard let inbox = Inbox() else { throw StartError(message: "out of file descriptors") }
      inboxes.append(inbox)
    }
    guard let wake = Wake() else { throw StartError(message: "out of file descriptors") }
    guard let metrics = Metrics(workers: threads) else { throw StartError(message: "no memory for metrics") }
    guard let log = Log(workers: threads, level: snapshot.log.level, descriptor: 1) else {
      throw StartError(message: "no memory for the log")
    }
    self.log = log
    running = RunningWorkers(workers)
    let hosts = ResolvedHosts(log: log, wake: wake)
    resolvedHosts = hosts
    resolver = Resolver(deliver: hosts.changed, report: hosts.failed)
    let book = AddressBook(workers: threads)
    guard let keyValues = KeyValueStore() else { throw StartError(message: "no memory for edge.kv") }
    (adminSocket, adminFault) = try ControlThread.openAdminSocket(snapshot)
    let ledger = try ControlThread.openLedger(snapshot, log)
    self.ledger = ledger
    keepsLedger = snapshot.needsLedger
    builder = GenerationBuilder(
      workers: threads, addresses: book, resolver: resolver, keyValues: keyValues, ledger: ledger,
      metrics: metrics, log: log, builtins: settings.builtins, adminSocket: adminSocket?.listener)
    let first: Generation
    do { first = try builder.build(snapshot, resolved: resolved, number: 1, place: 0) } catch {
      resolver.end()
      adminSocket?.end()
      throw StartError(message: error.message, diagnoses: error.diagnoses)
    }
    _ = builder.published(first)
    metrics.users.know(roles: snapshot.roles.map(\.name))
    generations = [first]
    shared = WorkerShared(
      generations: GenerationBoard(workers: threads, first: first.rows), addresses: book, builtins: settings.builtins,
      counters: Counters(workers: threads), metrics: metrics, log: log, ledger: ledger,
      bodies: BodyBudget(bytes: snapshot.server.bodyMemoryBytes), inboxes: inboxes, control: wake,
      connectionsPerWorker: max(256, min(descriptors, 1 << 18)))
  }

  /// The generation that new exchanges use.
  var newest: Generation { generations[generations.count - 1] }

  /// Serves until it is told to stop and all workers have. `ready` is called once clients are accepted.
  func run(signals: SignalSource, ready: () -> Void) throws(StartError) {
    let writer: RunningThread
    let bookkeeper: RunningThread?
    let threads: [RunningThread]
    let control: RunningThread
    do {
      writer = try RunningThread.start { [log] in log.run() }
      bookkeeper = try ledger.file.map { file throws(ThreadError) in try RunningThread.start { file.run() } }
      control = try startWorker(shared.workers)
      threads = try (0..<shared.workers).map { index throws(ThreadError) in try startWorker(index) }
    } catch { throw StartError(message: error.message) }
    logListening(newest.plan.listeners)
    if let adminFault { log.line(.warn, "admin_unavailable", [("reason", .text(adminFault.reason))]) }
    shared.metrics.figures.set(.generationsLive, 1)
    for warning in settings.warnings { log.line(.warn, "config_warning", [("message", .text(warning))]) }
    describeStart()
    log.line(
      .info, "ready",
      [
        ("workers", .number(shared.workers)), ("generation", .number(1)), ("pid", .number(Int(getpid()))),
        ("version", .text(Version.text.description)), ("admin", .text(adminSocket?.listener.address ?? "")),
      ])
    ready()
    serve(signals)
    for thread in threads { thread.join() }
    // Until now their work may have needed it.
    post(.stop, to: shared.controlInbox)
    control.join()
    resolver.end()
    // What the workers have charged must be on the disk.
    ledger.file?.end()
    bookkeeper?.join()
    // Its last answers were for workers that had ended.
    for inbox in shared.inboxes { while let message = inbox.take() { message.giveUp() } }
    adminSocket?.end()
    log.line(.info, "stopped", shared.counters.summary)
    log.end()
    // Whoever reads the log may have stopped reading; that must not keep the process.
    writer.join(seconds: ControlThread.logSecondsAtEnd)
  }

  private func startWorker(_ index: Int) throws(ThreadError) -> RunningThread {
    guard let worker = Worker(index: index, shared: shared) else {
      throw ThreadError(message: "no memory or descriptors for worker \(index)")
    }
    // The worker leaves this thread for good.
    nonisolated(unsafe) let owned = worker
    return try RunningThread.start { [running, shared] in
      owned.run()
      if index < shared.workers { running.leave() }
      shared.control.signal()
    }
  }

  func post(_ message: InboxMessage, to inbox: Inbox) {
    // A full inbox is being read.
    while !inbox.post(message) { _ = usleep(1_000) }
  }

  // MARK: The loop

  private func serve(_ signals: SignalSource) {
    var waits = [
      pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: shared.control.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: spawner.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    while !running.isEmpty {
      _ = poll(&waits, nfds_t(waits.count), logMarks.isEmpty ? -1 : ControlThread.logLookMilliseconds)
      shared.control.acknowledge()
      if waits[2].revents != 0 {
        waits[2] = pollfd(fd: -1, events: 0, revents: 0)
        spawner.reap()
        if !isStopping {
          log.line(.error, "spawner_ended", [("reason", .text("no program can be started until Edge is restarted"))])
        }
      }
      noteResolved()
      endGenerations()
      while let signal = signals.take() {
        switch signal {
        case SIGHUP: reload()
        default: stop()
        }
      }
      if shared.board.isAsked { reload() }
    }
  }

  /// What the resolver has found out goes to the workers.
  private func noteResolved() {
    let hosts = resolvedHosts.take()
    if hosts.isEmpty { return }
    for host in hosts { builder.resolved(host) }
    for inbox in shared.inboxes { inbox.wake() }
  }

  /// The first time running exchanges may finish, the second time nothing may.
  private func stop() {
    log.line(.info, isStopping ? "stopping_now" : "draining", [])
    for inbox in shared.inboxes.dropLast() { post(isStopping ? .stop : .drain, to: inbox) }
    isStopping = true
    shared.board.update { $0.isDraining = true }
  }

  func logListening(_ listeners: [OpenListener]) {
    // The line `ready` has the socket of operators.
    for listener in listeners where listener.place != ListenerBoard.adminPlace {
      let scheme: (StaticString, LogValue) = ("scheme", .text(listener.isSecure ? "https" : "http"))
      log.line(
        .info, "listening", [("listener", .text(listener.name)), ("address", .text(listener.socket.address)), scheme])
    }
  }

  // MARK: What operators see

  private func describeStart() {
    let path = realpath(settings.path, nil)
    let config = path.map { String(cString: $0) } ?? settings.path
    free(path)
    shared.board.update { [settings, shared] state in
      state.config = config
      state.isDevelopment = settings.options.dev
      state.workers = shared.workers
    }
    describeGenerations()
  }

  /// Which generations live, and where the newest one listens.
  func describeGenerations() {
    let listeners = newest.plan.listeners.map {
      ServedListener(name: $0.name, address: $0.socket.address, serves: $0.serves, isSecure: $0.isSecure)
    }
    let live = generations.map { LiveGeneration(number: $0.number, place: $0.place, since: $0.since) }
    shared.board.update { state in
      state.listeners = listeners
      state.generations = live
    }
  }

  // MARK: Preparations

  /// The socket by which operators reach the process. A folder that cannot be used costs no more than the socket; one
  /// that another Edge uses is a mistake.
  private static func openAdminSocket(_ snapshot: Snapshot) throws(StartError) -> (AdminSocket?, FileFault?) {
    let folder = snapshot.server.varFolder
    do throws(AdminSocketError) { return (try AdminSocket.open(in: folder), nil) } catch {
      switch error {
      case .inUse:
        throw StartError(
          message: "the folder '\(folder)' of server.var is in use by another Edge; stop that one, or name another "
            + "folder")
      case .fault(let fault):
        let path = FilePath.join(folder, AdminSocket.name)
        let effect = "so edge reload, status and top find no Edge"
        return (nil, FileFault("\(path) cannot be made, \(effect): \(fault.reason)"))
      }
    }
  }

  /// The ledger is a file only where something costs credits: who forwards to services needs no folder of state.
  private static func openLedger(_ snapshot: Snapshot, _ log: Log) throws(StartError) -> Ledger {
    let settings = snapshot.stores
    let isFile = settings.ledger == .sqlite && snapshot.needsLedger
    if isFile {
      do throws(FileFault) { try StateFolder.make(snapshot.server.varFolder) } catch {
        throw StartError(
          message: "the folder '\(snapshot.server.varFolder)' of server.var cannot be made: \(error.reason)")
      }
    }
    do throws(LedgerError) {
      return try Ledger(
        path: isFile ? FilePath.join(snapshot.server.varFolder, "ledger.db") : nil,
        durability: settings.durability, initial: snapshot.credits.initial, log: log)
    } catch { throw StartError(message: error.text) }
  }

  private static func workerCount(_ snapshot: Snapshot) -> Int {
    switch snapshot.server.workers {
    case .fixed(let count): return count
    case .auto: return max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    }
  }

  /// Every connection needs a descriptor: takes as many as the system allows; returns how many that are.
  private static func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
  }
}

/// How many workers still run.
private final class RunningWorkers: Sendable {
  private let count: Atomic<Int>
  init(_ count: Int) { self.count = Atomic(count) }

  var isEmpty: Bool { count.load(ordering: .acquiring) == 0 }

  func leave() { count.subtract(1, ordering: .acquiringAndReleasing) }
}

/// What the resolver's threads have found out and the control thread has not seen yet.
private final class ResolvedHosts: Sendable {
  private let hosts = Locked<Set<String>>([])
  private let log: Log
  private let wake: Wake

  init(log: Log, wake: Wake) {
    self.log = log
    self.wake = wake
  }

  @Sendable func changed(_ host: String, _ addresses: AddressSet) {
    log.line(.info, "name_resolved", [("name", .text(host)), ("addresses", .text(addresses.text))])
    hosts.withLock { _ = $0.insert(host) }
    wake.signal()
  }

  @Sendable func failed(_ host: String, _ error: LookupError) {
    log.line(.warn, "name_unresolved", [("name", .text(host)), ("reason", .text(error.text))])
  }

  func take() -> Set<String> {
    hosts.withLock { hosts in
      defer { hosts = [] }
      return hosts
    }
  }
}
