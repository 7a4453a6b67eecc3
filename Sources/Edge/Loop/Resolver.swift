// Names to addresses, off the loops: a few threads look up the names that are kept, again and again, and tell what has
// changed. The control thread says which names; what is told is passed on to the workers by whoever made the resolver.
// A worker never calls it, and nothing here touches a socket of Edge.
//
// There are several threads because getaddrinfo blocks, for many seconds when a name server is silent: one dead name
// must not hold up the others. They are ordinary threads of the process, detached because a lookup cannot be cancelled,
// and there is none while no name is kept.

import CLinux
import Glibc

/// Keeps the addresses of names fresh.
final class Resolver: Sendable {
  typealias Lookup = @Sendable (_ name: String) -> Result<AddressSet, LookupError>

  private struct State {
    var schedule = NameSchedule()
    /// Threads that run, those in a lookup included.
    var threads = 0
    /// Threads in `wait` and `end`, which want to know of every answer.
    var watchers = 0
    var isEnding = false
  }

  private let state = Monitor(State())
  private let lookup: Lookup
  private let deliver: @Sendable (String, AddressSet) -> Void
  private let report: @Sendable (String, LookupError) -> Void

  /// `deliver` is called on a resolver thread, once for each name whose set has changed (from none, too), in order for
  /// each name. `report` is called there for a failure that follows a success or is the first since the name is kept.
  /// A call that has begun when the name is forgotten still ends. Neither may call the resolver's `wait` or `end`.
  init(
    lookup: @escaping Lookup = Resolver.system, deliver: @escaping @Sendable (String, AddressSet) -> Void,
    report: @escaping @Sendable (String, LookupError) -> Void
  ) {
    self.lookup = lookup
    self.deliver = deliver
    self.report = report
  }

  /// The names to keep fresh from now on and how often: new ones are looked up at once, others are forgotten.
  func keep(_ names: Set<String>, everyMilliseconds: Int) {
    let failure: Int32 = state.withLock { state in
      if state.isEnding { return 0 }
      state.schedule.keep(names, everyMilliseconds: everyMilliseconds, now: Resolver.now())
      while state.threads < min(names.count, Limits.lookupThreads) {
        let failed = start()
        if failed != 0 { return state.threads == 0 ? failed : 0 }
        state.threads += 1
      }
      return 0
    }
    state.wakeAll()
    if failure == 0 { return }
    let error = LookupError(text: "no thread to look it up: \(Syscall.describe(failure))")
    for name in names { report(name, error) }
  }

  /// Blocks until a lookup of each of the names has ended since it is kept, whatever it brought, but not longer than
  /// this. A name that is not kept is not awaited.
  func wait(for names: Set<String>, milliseconds: Int) {
    watch(milliseconds: milliseconds) { state in
      state.isEnding || state.threads == 0 || state.schedule.isAnswered(names)
    }
  }

  /// What is known of a name: nil when it was never found since it is kept.
  func addresses(of name: String) -> AddressSet? { state.withLock { $0.schedule.addresses(of: name) } }

  /// Ends the threads and forgets the names. A lookup that runs is awaited for a moment only; its answer is dropped.
  func end() {
    state.withLock { state in
      state.isEnding = true
      state.schedule.keep([], everyMilliseconds: 1, now: 0)
    }
    state.wakeAll()
    watch(milliseconds: Limits.lookupEndMilliseconds) { $0.threads == 0 }
  }

  /// Until `isReached` holds or the time is over.
  private func watch(milliseconds: Int, _ isReached: (State) -> Bool) {
    let deadline = Clock.monotonicNow() + UInt64(max(0, milliseconds)) * 1_000_000
    state.withLock { $0.watchers += 1 }
    state.awaiting { state -> Monitor<State>.Look<Void> in
      if !isReached(state), Clock.monotonicNow() < deadline { return .sleep(untilNanoseconds: deadline) }
      state.watchers -= 1
      return .found(())
    }
  }

  // MARK: The threads

  private static func now() -> UInt64 { Clock.monotonicNow() / 1_000_000 }

  /// Starts a thread that runs `run`; the error number when there is none.
  ///
  /// A thread begins with the signal mask of the one that makes it. The signals of the control thread are blocked in
  /// every thread of a running Edge; here all are, whoever the caller is, except those that a fault raises in the
  /// thread itself: blocked, they would end the process without the report of a crash.
  private func start() -> Int32 {
    var blocked = sigset_t()
    var before = sigset_t()
    sigfillset(&blocked)
    for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { sigdelset(&blocked, fault) }
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let retained = Unmanaged.passRetained(self)
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Resolver>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, retained.toOpaque())
    if failed != 0 { retained.release() }
    return failed
  }

  /// A thread: one lookup after the other, until no name is kept.
  private func run() {
    while let name = take() {
      let result = lookup(name)
      switch state.withLock({ $0.schedule.answer(name, result) }) {
      case .changed(let addresses): deliver(name, addresses)
      case .failed(let error): report(name, error)
      case nil: break
      }
      state.withLock { state in
        state.schedule.settle(name, now: Resolver.now())
        if state.watchers > 0 { self.state.wakeAll() }
      }
    }
  }

  /// Sleeps until a name is due; nil when no name is kept, and then the thread no longer counts.
  private func take() -> String? {
    state.awaiting { state in
      if state.schedule.keptCount == 0 {
        state.threads -= 1
        if state.watchers > 0 { self.state.wakeAll() }
        return .found(nil)
      }
      if let name = state.schedule.take(now: Resolver.now()) {
        // The others may sleep until this very name is due: they look for the next one.
        self.state.wakeAll()
        return .found(name)
      }
      return .sleep(untilNanoseconds: state.schedule.nextDue.map { $0 * 1_000_000 } ?? .max)
    }
  }

  // MARK: The system's resolver

  /// getaddrinfo: whatever the machine is set up to ask, hosts file and name servers included.
  static let system: Lookup = { name in
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = Int32(AI_ADDRCONFIG)
    var found: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(name, nil, &hints, &found)
    // Read before anything else can change it.
    let number = errno
    if status != 0 {
      if status == EAI_SYSTEM { return .failure(LookupError(text: Syscall.describe(number))) }
      return .failure(LookupError(text: gai_strerror(status).map { String(cString: $0) } ?? "error \(status)"))
    }
    defer { freeaddrinfo(found) }
    var addresses: [SocketAddress] = []
    var next = found
    while let entry = next?.pointee {
      next = entry.ai_next
      guard [AF_INET, AF_INET6].contains(entry.ai_family), let address = entry.ai_addr else { continue }
      var storage = sockaddr_storage()
      withUnsafeMutableBytes(of: &storage) { target in
        let size = min(target.count, Int(entry.ai_addrlen))
        target.copyMemory(from: UnsafeRawBufferPointer(start: address, count: size))
      }
      addresses.append(SocketAddress(storage))
    }
    if addresses.isEmpty { return .failure(LookupError(text: "no address")) }
    return .success(AddressSet(addresses))
  }
}
