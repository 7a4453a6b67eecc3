// `edge run`: loads the configuration, binds the listeners, starts the workers and waits for signals. This is the
// control thread; it never touches a request.

import CLinux
import Glibc
import Synchronization

/// The verb.
enum RunCommand {
  static let row = CommandRow(
    verb: "run", summary: "serve until SIGTERM", options: [.config, .dev]
  ) { arguments in
    let options = LoadOptions(environment: Environment.current(), dev: arguments.has("--dev"))
    let outcome = Loader.load(path: arguments.configPath, options: options)
    for diagnosis in outcome.diagnoses where outcome.hasErrors || diagnosis.severity != .note {
      Console.error(diagnosis.render())
    }
    guard let snapshot = outcome.snapshot else {
      Console.error("edge run: not started: \(arguments.configPath) has errors")
      return ExitCode.failed
    }
    do throws(StartError) {
      return try Server(snapshot).run(greets: arguments.has("--dev"))
    } catch {
      Console.error("edge run: not started: \(error.message)")
      return ExitCode.failed
    }
  }
}

/// Why the server did not start.
struct StartError: Error {
  let message: String
}

/// A running Edge, seen from the control thread.
private final class Server {
  private let snapshot: Snapshot
  private let log: Log
  private let shared: WorkerShared
  private let running: RunningWorkers
  private var threads: [pthread_t] = []

  /// What the last worker that stops sends to the control thread.
  private static let allStopped = SIGUSR1
  /// How long the log's last lines may take.
  private static let logSecondsAtEnd = 1

  init(_ snapshot: Snapshot) throws(StartError) {
    self.snapshot = snapshot
    let workers = Server.workerCount(snapshot)
    let descriptors = Server.raiseDescriptorLimit()
    let addresses = try Server.resolve(snapshot)
    var listeners: [ListenerSocket] = []
    for listener in snapshot.listeners {
      do { listeners.append(try ListenerSocket.open(listener)) } catch { throw StartError(message: error.message) }
    }
    var inboxes: [Inbox] = []
    for _ in 0..<workers {
      guard let inbox = Inbox() else { throw StartError(message: "out of file descriptors") }
      inboxes.append(inbox)
    }
    guard let log = Log(workers: workers, level: snapshot.log.level, descriptor: 1) else {
      throw StartError(message: "no memory for the log")
    }
    self.log = log
    running = RunningWorkers(workers)
    shared = WorkerShared(
      tables: Tables(snapshot, generation: 1, addresses: addresses), listeners: listeners,
      builtins: AdminTable.builtins, counters: Counters(workers: workers), log: log, inboxes: inboxes,
      connectionsPerWorker: max(256, min(descriptors, 1 << 18)))
  }

  /// Serves until it is told to stop and all workers have.
  func run(greets: Bool) throws(StartError) -> Int32 {
    // Before any thread exists, so that all inherit it: signals are for the control thread alone.
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGHUP, Server.allStopped] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    _ = signal(SIGPIPE, SIG_IGN)
    let writer = try Server.start { [log] in log.run() }
    try startWorkers()
    for listener in shared.listeners {
      log.line(.info, "listening", [("listener", .text(listener.name)), ("address", .text(listener.address))])
    }
    log.line(
      .info, "ready",
      [
        ("workers", .number(shared.inboxes.count)), ("generation", .number(1)), ("pid", .number(Int(getpid()))),
        ("version", .text(Version.text.description)),
      ])
    if greets { Console.error(greeting) }
    wait(for: signals)
    for thread in threads { pthread_join(thread, nil) }
    let counters = shared.counters
    log.line(
      .info, "stopped",
      [
        ("exchanges", .number(Int(counters.sum(.exchanges)))),
        ("handedOff", .number(Int(counters.sum(.handedOff)))),
        ("refusedConnections", .number(Int(counters.sum(.refusedConnections)))),
        ("droppedLogLines", .number(Int(counters.sum(.droppedLogLines)))),
      ])
    log.end()
    // Whoever reads the log may have stopped reading; that must not keep the process.
    var deadline = timespec()
    _ = clock_gettime(CLOCK_REALTIME, &deadline)
    deadline.tv_sec += Server.logSecondsAtEnd
    _ = pthread_timedjoin_np(writer, nil, &deadline)
    return ExitCode.success
  }

  /// What a newcomer reads; on standard error, so that standard output is log lines only.
  private var greeting: String {
    let addresses = shared.listeners.map { "http://\($0.address)" }
    var lines = ["", "Edge \(Version.text) serves \(addresses.joined(separator: ", ")) (development)", ""]
    if let address = addresses.first { lines.append("  try    curl \(address)/health") }
    lines.append("  routes \(snapshot.routes.map(\.name).joined(separator: ", "))")
    lines.append("  stop   Ctrl-C")
    return lines.joined(separator: "\n") + "\n"
  }

  private func startWorkers() throws(StartError) {
    for index in shared.inboxes.indices {
      guard let worker = Worker(index: index, shared: shared) else {
        throw StartError(message: "no memory or descriptors for worker \(index)")
      }
      // The worker leaves this thread for good.
      nonisolated(unsafe) let owned = worker
      threads.append(
        try Server.start { [running] in
          owned.run()
          if running.leave() { _ = kill(getpid(), Server.allStopped) }
        })
    }
  }

  /// Signals until the last worker has stopped.
  private func wait(for signals: sigset_t) {
    var set = signals
    var isStopping = false
    while true {
      var signal: Int32 = 0
      if sigwait(&set, &signal) != 0 { continue }
      switch signal {
      case SIGTERM, SIGINT:
        log.line(.info, isStopping ? "stopping_now" : "draining", [])
        for inbox in shared.inboxes {
          // A full inbox is being read.
          while !inbox.post(isStopping ? .stop : .drain) { _ = usleep(1_000) }
        }
        if isStopping { return }
        isStopping = true
      case SIGHUP:
        log.line(.warn, "reload_unsupported", [("reason", .text("restart to apply a changed configuration"))])
      default:
        if running.isEmpty { return }
      }
    }
  }

  // MARK: Preparations

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

  /// The addresses of all endpoints, in the order of services and endpoints.
  private static func resolve(_ snapshot: Snapshot) throws(StartError) -> [SocketAddress] {
    var addresses: [SocketAddress] = []
    for service in snapshot.services {
      for endpoint in service.endpoints {
        guard endpoint.scheme == .http else {
          throw StartError(message: "service \(service.name): this version cannot connect to \(endpoint.text) yet")
        }
        guard let address = resolve(endpoint.address) else {
          throw StartError(message: "service \(service.name): no address for the endpoint \(endpoint.text)")
        }
        addresses.append(address)
      }
    }
    return addresses
  }

  private static func resolve(_ endpoint: HostPort) -> SocketAddress? {
    if let address = SocketAddress(numeric: endpoint.host, port: endpoint.port) { return address }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = Int32(AI_ADDRCONFIG)
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(endpoint.host, nil, &hints, &found) == 0, let first = found else { return nil }
    defer { freeaddrinfo(first) }
    // One address stands for the name: the first of IPv4, which a service on a loopback name has, else the first.
    var chosen = first
    while chosen.pointee.ai_family != AF_INET, let next = chosen.pointee.ai_next { chosen = next }
    if chosen.pointee.ai_family != AF_INET { chosen = first }
    var storage = sockaddr_storage()
    withUnsafeMutableBytes(of: &storage) { target in
      target.copyMemory(
        from: UnsafeRawBufferPointer(start: chosen.pointee.ai_addr, count: Int(chosen.pointee.ai_addrlen)))
    }
    var address = SocketAddress(storage)
    address.port = endpoint.port
    return address
  }

  /// Runs `body` on a thread of its own.
  private static func start(_ body: @escaping @Sendable () -> Void) throws(StartError) -> pthread_t {
    let box = Unmanaged.passRetained(ThreadBody(body))
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    if failed != 0 {
      box.release()
      throw StartError(message: "no thread: \(Syscall.describe(failed))")
    }
    return thread
  }
}

/// How many workers still run.
private final class RunningWorkers: Sendable {
  private let count: Atomic<Int>
  init(_ count: Int) { self.count = Atomic(count) }

  var isEmpty: Bool { count.load(ordering: .acquiring) == 0 }

  /// One has stopped; true for the last one.
  func leave() -> Bool { count.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}

/// What a thread runs, carried through pthread_create's one pointer.
private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
