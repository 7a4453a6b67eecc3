// A worker: one thread with its own loop, slots, buffers and connections. This file is the turn of the loop and the
// life of slots; what happens to an exchange stands in Driver.swift. Nothing here is shared with other workers but
// what `WorkerShared` holds.

import CLinux
import Glibc
import LuaBridge
import Synchronization

/// What all workers of a process share.
final class WorkerShared: Sendable {
  let generations: GenerationBoard
  let listeners = ListenerBoard()
  let addresses: AddressBook
  let builtins: BuiltinTable
  let board: ControlBoard
  let counters: Counters
  let metrics: Metrics
  let log: Log
  let ledger: Ledger
  let bodies: BodyBudget
  /// Of the workers, then of the control worker.
  let inboxes: [Inbox]
  /// Makes the control thread look for generations that have ended.
  let control: Wake
  /// Slots per worker, from the limit of descriptors.
  let connectionsPerWorker: Int
  /// Workers that do not drain yet.
  private let accepting: Atomic<Int>

  init(
    generations: GenerationBoard, addresses: AddressBook, builtins: BuiltinTable, board: ControlBoard = ControlBoard(),
    counters: Counters, metrics: Metrics, log: Log, ledger: Ledger, bodies: BodyBudget, inboxes: [Inbox],
    control: Wake, connectionsPerWorker: Int
  ) {
    self.generations = generations
    self.addresses = addresses
    self.builtins = builtins
    self.board = board
    self.counters = counters
    self.metrics = metrics
    self.log = log
    self.ledger = ledger
    self.bodies = bodies
    self.inboxes = inboxes
    self.control = control
    self.connectionsPerWorker = connectionsPerWorker
    accepting = Atomic(inboxes.count - 1)
  }

  /// Workers that serve clients. The control worker is one more of the same kind, with the next index: its only clients
  /// are those who look after Edge, and it does what belongs to no other.
  var workers: Int { inboxes.count - 1 }

  var controlInbox: Inbox { inboxes[workers] }

  /// A worker accepts no more.
  func stopAccepting() {
    if accepting.subtract(1, ordering: .acquiringAndReleasing).newValue > 0 { return }
    // Those that have nothing left to do wait only for this.
    for inbox in inboxes { inbox.wake() }
  }

  /// While any worker accepts, it may hand a connection to any other.
  var isAnyAccepting: Bool { accepting.load(ordering: .acquiring) > 0 }
}

/// One worker. Made on the control thread, then used by its own thread alone.
final class Worker {
  let index: Int
  let shared: WorkerShared
  /// The generation that new exchanges use, and by place those that running ones may still use.
  private(set) var current: UnsafePointer<GenerationRows>
  private let held: UnsafeMutablePointer<UnsafePointer<GenerationRows>>
  let counters: Counters
  let metrics: Metrics
  let arena = Arena()
  let inbox: Inbox
  let poller: Poller
  private let logRing: Ring<LogCell>

  var clock = Clock()
  var random = Random()
  var connections: Slab<Connection>
  var exchanges: Slab<Exchange>
  var sessions: Slab<Session>
  var pairs: Slab<SocketPair>
  /// Where masks of WebSockets come from.
  var masks: RandomBytes
  /// Where the walk over sessions and pairs is that a new generation has begun; `.max`: there is none.
  var movedSessions = Int32.max
  var wheel: TimerWheel
  var buffers = BufferPool()
  var pipes: PipePool
  let endpoints: EndpointStates
  var parser: HTTP1Parser
  let targets: RequestTargetReader
  /// The head of a message has no fields.
  let noFields: HeaderTable
  /// Where a query stands without the token that was in it.
  let queryArea: BytePointer
  static let queryAreaBytes = 2 * Limits.headBytesMax
  /// Text that goes with each exchange's record.
  private let texts: BytePointer
  /// Money and models of exchanges, touched only where there are any.
  let works: UnsafeMutablePointer<MeteredWork>
  /// For JSON of clients and providers.
  let document = JSONDocument(capacity: 256)
  /// What is read in one dialect and written in another, and where streams are written; nil: none was yet.
  let modelParts = ModelParts()
  var translation: BytePointer?
  /// Where heads of models' answers are written for policies that read them; nil: none was yet.
  var judgedHead: BytePointer?
  /// The second in which the log was last told of providers that failed, and how often.
  var failureSecond: UInt64 = 0
  var failureLines = 0
  /// When failed handshakes of clients are logged again, and how many were not.
  var handshakeReportAgain: UInt64 = 0
  var untoldHandshakes = 0
  /// When a missing hold is logged again.
  var holdReportAgain: UInt64 = 0
  /// Where sockets are read into; `Limits.readHeadroom` stands free in front.
  let scratch: BytePointer
  /// Where heads, replies and first pieces are written.
  let outgoing: BytePointer
  /// How much of `outgoing` is the request that `dial` is about to send.
  var outgoingCount = 0
  /// The current second as a Date field has it, and which second that is.
  private let dateText: BytePointer
  private var dateSecond: UInt64 = 0
  private static let dateTextBytes = 32
  /// IMF-fixdate has one length (RFC 9110 section 5.6.7).
  private static let dateCount = 29
  /// Where a client's address is written out.
  let addressText: BytePointer
  /// What the next reply says beyond its code.
  var replyDetail = ReplyDetail()
  /// For policies that wait.
  var policyAnswers: [PolicyAnswer] = []
  /// A script has taken so much of this turn that others wait for the next.
  var turnIsSpent = false
  /// Counts what scripts take of the thread's time.
  private var scriptClock: LuaClock?

  /// Slots that have more to do than their share of a turn.
  private var ready: UnsafeMutablePointer<UInt64>
  private var nextReady: UnsafeMutablePointer<UInt64>
  private var readyCount = 0

  /// The listeners it accepts from, one bit for each place.
  var joined: UInt64 = 0
  var isDraining = false
  var isStopped = false
  var drainDeadline = TimerWheel.never
  var acceptsAgainAt = TimerWheel.never

  private static let inboxTag = UInt64.max
  static let listenerTagBase = UInt64.max - 1_024

  /// nil when the kernel refuses memory or descriptors.
  init?(index: Int, shared: WorkerShared) {
    guard let poller = Poller(), let connections = Slab<Connection>(capacity: shared.connectionsPerWorker),
      let exchanges = Slab<Exchange>(capacity: shared.connectionsPerWorker),
      let sessions = Slab<Session>(capacity: shared.connectionsPerWorker),
      let pairs = Slab<SocketPair>(capacity: shared.connectionsPerWorker),
      let texts = Pages.map(bytes: shared.connectionsPerWorker * RecordText.bytes),
      let works = Pages.map(bytes: shared.connectionsPerWorker * MemoryLayout<MeteredWork>.stride),
      let scratch = Pages.map(bytes: Limits.scratchBytes), let outgoing = Pages.map(bytes: Limits.scratchBytes),
      let ready = Pages.map(bytes: Worker.readyBytes(shared)),
      let nextReady = Pages.map(bytes: Worker.readyBytes(shared)),
      let endpoints = EndpointStates(slots: connections.slots)
    else { return nil }
    self.index = index
    self.shared = shared
    self.poller = poller
    self.connections = connections
    self.exchanges = exchanges
    self.sessions = sessions
    self.pairs = pairs
    pipes = PipePool(capacity: min(Limits.pipesMax, shared.connectionsPerWorker / (16 * shared.workers)))
    masks = RandomBytes(arena: arena)
    noFields = HeaderTable(arena: arena)
    queryArea = arena.allocate(UInt8.self, count: Worker.queryAreaBytes)
    self.texts = texts.bindMemory(to: UInt8.self, capacity: 1)
    self.works = works.bindMemory(to: MeteredWork.self, capacity: shared.connectionsPerWorker)
    self.scratch = scratch.bindMemory(to: UInt8.self, capacity: Limits.scratchBytes) + Limits.readHeadroom
    self.outgoing = outgoing.bindMemory(to: UInt8.self, capacity: Limits.scratchBytes)
    self.ready = ready.bindMemory(to: UInt64.self, capacity: shared.connectionsPerWorker)
    self.nextReady = nextReady.bindMemory(to: UInt64.self, capacity: shared.connectionsPerWorker)
    dateText = arena.allocate(UInt8.self, count: Worker.dateTextBytes)
    addressText = arena.allocate(UInt8.self, count: Limits.addressTextBytes)
    self.endpoints = endpoints
    current = shared.generations.newest
    held = arena.allocate(UnsafePointer<GenerationRows>.self, count: GenerationBoard.places)
    for place in 0..<GenerationBoard.places { held[place] = current }
    counters = shared.counters
    metrics = shared.metrics
    inbox = shared.inboxes[index]
    logRing = shared.log.ring(worker: index)
    parser = HTTP1Parser(arena: arena)
    targets = RequestTargetReader(arena: arena, classes: parser.classes)
    wheel = TimerWheel(arena: arena, slots: connections.slots, now: clock.milliseconds)
    guard poller.addWake(inbox.wakeDescriptor, tag: Worker.inboxTag) else { return nil }
    use(current)
    guard acceptsAgainAt == TimerWheel.never else { return nil }
  }

  /// After the thread's end: what is still open is closed, all memory goes back.
  deinit {
    forEachConnection { index, role in if role != .free { closeConnection(index) } }
    for index in 0..<Int(exchanges.everUsed) {
      buffers.giveBack(&exchanges.slots[index].held)
      buffers.giveBack(&exchanges.slots[index].edits)
      exchanges.slots[index].content.giveBack(&buffers, shared.bodies)
      if exchanges.slots[index].hasWork { works[index].giveBack(&buffers, shared.bodies) }
    }
    for session in 0..<sessions.everUsed where sessions.slots[Int(session)].memory != nil { dropSession(session) }
    for pair in 0..<Int(pairs.everUsed) { free(pairs.slots[pair].memory) }
    buffers.removeAll()
    pipes.removeAll()
    poller.close()
    connections.unmap()
    exchanges.unmap()
    sessions.unmap()
    pairs.unmap()
    endpoints.unmap()
    Pages.unmap(texts, bytes: shared.connectionsPerWorker * RecordText.bytes)
    Pages.unmap(works, bytes: shared.connectionsPerWorker * MemoryLayout<MeteredWork>.stride)
    Pages.unmap(scratch - Limits.readHeadroom, bytes: Limits.scratchBytes)
    Pages.unmap(outgoing, bytes: Limits.scratchBytes)
    if let translation { Pages.unmap(translation, bytes: Limits.translatedBytesMax) }
    if let judgedHead { Pages.unmap(judgedHead, bytes: Worker.judgedHeadBytes) }
    Pages.unmap(ready, bytes: Worker.readyBytes(shared))
    Pages.unmap(nextReady, bytes: Worker.readyBytes(shared))
  }

  /// A slot may stand on a list twice in a turn: for the connection that closed and for the one that took its place.
  private static func readyBytes(_ shared: WorkerShared) -> Int { 2 * shared.connectionsPerWorker * 8 }

  // MARK: The turn

  /// The thread: turns until the worker is told to stop.
  func run() {
    startScriptClock()
    while !isStopped {
      let events = awaitEvents()
      clock.update()
      turnIsSpent = false
      adoptNewest()
      for event in 0..<events { dispatch(poller[event]) }
      serveReady()
      if movedSessions != .max { moveSessions() }
      giveAnswers()
      expireTimers()
      if isDraining { checkDrain() }
    }
    stopFetches()
    stopPolicies()
    scriptClock?.end()
  }

  /// The clock belongs to the thread, and so do the policies from now on.
  private func startScriptClock() {
    if index == shared.workers { return }
    guard let clock = LuaClock() else {
      // Without it nothing would stop a script.
      shared.log.line(.error, "worker_failed", [("reason", .text("the system gives no timer for scripts"))])
      isStopped = true
      return
    }
    scriptClock = clock
    rows.policyMachine(worker: index).use(clock)
  }

  /// Waits for what comes next. Garbage of scripts is collected when nothing has come yet.
  @inline(__always)
  private func awaitEvents() -> Int {
    let wait = waitMilliseconds()
    guard wait != 0, scriptClock != nil, rows.policyMachine(worker: index).isTired else { return poller.wait(wait) }
    let events = poller.wait(0)
    if events > 0 { return events }
    rows.policyMachine(worker: index).rest()
    return poller.wait(waitMilliseconds())
  }

  private func waitMilliseconds() -> Int32 {
    if readyCount > 0 || !policyAnswers.isEmpty || movedSessions != .max { return 0 }
    let now = Clock.monotonicNow() / 1_000_000
    var wait = wheel.wait(now)
    let deadline = min(drainDeadline, acceptsAgainAt)
    if deadline != TimerWheel.never {
      let left = deadline > now ? Int32(min(deadline - now, 60_000)) : 0
      wait = wait < 0 ? left : min(wait, left)
    }
    return wait
  }

  @inline(__always)
  private func dispatch(_ event: PollEvent) {
    if event.tag >= Worker.listenerTagBase {
      if event.tag == Worker.inboxTag { readInbox() } else { accept(Int(event.tag - Worker.listenerTagBase)) }
      return
    }
    let handle = Handle(bits: event.tag)
    let slot = connections.slots + Int(handle.index)
    if slot.pointee.serial != handle.serial || slot.pointee.role == .free { return }
    if event.isReadable { slot.pointee.isReadable = true }
    if event.isWritable { slot.pointee.isWritable = true }
    if event.peerEnded { slot.pointee.peerEnded = true }
    if event.isBroken { slot.pointee.isBroken = true }
    serve(handle.index)
  }

  /// Puts a connection on the list of those that are served again in the next turn.
  @inline(__always)
  func markReady(_ index: Int32) {
    let slot = connections.slots + Int(index)
    // A full list, should it ever be: the connection's next event or deadline serves it.
    if slot.pointee.isReady || readyCount == 2 * shared.connectionsPerWorker { return }
    slot.pointee.isReady = true
    ready[readyCount] = Handle(index: index, serial: slot.pointee.serial).bits
    readyCount += 1
  }

  private func serveReady() {
    if readyCount == 0 { return }
    let count = readyCount
    swap(&ready, &nextReady)
    readyCount = 0
    for place in 0..<count {
      let handle = Handle(bits: nextReady[place])
      let slot = connections.slots + Int(handle.index)
      if slot.pointee.serial != handle.serial || slot.pointee.role == .free { continue }
      slot.pointee.isReady = false
      serve(handle.index)
    }
  }

  private func expireTimers() {
    let now = clock.milliseconds
    while true {
      let index = wheel.nextExpired(now)
      if index < 0 { break }
      timerExpired(index)
    }
    if acceptsAgainAt <= now, !isDraining { acceptAgain() }
  }

  // MARK: Slots

  /// A slot for a socket, registered with the poller; -1 when there is no slot. The caller still owns the socket
  /// then.
  func open(_ fd: Int32, role: ConnectionRole) -> Int32 {
    let taken = takeSlot(fd, role: role)
    if taken < 0 { return -1 }
    let slot = connections.slots + Int(taken)
    guard poller.addConnection(fd, tag: Handle(index: taken, serial: slot.pointee.serial).bits) else {
      slot.pointee.role = .free
      connections.give(taken)
      return -1
    }
    return taken
  }

  /// A fresh slot that the poller does not know; -1 when there is none.
  func takeSlot(_ fd: Int32, role: ConnectionRole) -> Int32 {
    let taken = connections.take()
    if taken < 0 { return -1 }
    let slot = connections.slots + Int(taken)
    slot.pointee.fd = fd
    slot.pointee.role = role
    slot.pointee.isReadable = false
    slot.pointee.isWritable = false
    slot.pointee.peerEnded = false
    slot.pointee.isBroken = false
    slot.pointee.isReady = false
    slot.pointee.isPaused = false
    slot.pointee.wasUsed = false
    slot.pointee.exchange = -1
    slot.pointee.session = -1
    slot.pointee.endpoint = -1
    slot.pointee.input = .none
    slot.pointee.output = .none
    slot.pointee.pipe = .none
    slot.pointee.scanned = 0
    slot.pointee.lingered = 0
    slot.pointee.tls = nil
    wheel.reset(taken)
    return taken
  }

  /// Closes the socket and frees the slot.
  func closeConnection(_ index: Int32) {
    let slot = connections.slots + Int(index)
    switch slot.pointee.role {
    case .serverHandshaking, .serverIdle, .serverHead, .serverExchange, .serverSession, .serverPair, .serverLingering:
      counters.addShared(-1, to: .serverConnections, worker: self.index)
    case .clientIdle: endpoints.remove(index)
    case .clientConnecting, .clientHandshaking, .clientExchange, .clientPair, .clientLingering, .fetchDeadline,
      .messageDeadline, .free:
      break
    }
    if let tls = slot.pointee.tls { tls.close() }
    if slot.pointee.fd >= 0 { _ = close(slot.pointee.fd) }
    buffers.giveBack(&slot.pointee.input)
    buffers.giveBack(&slot.pointee.output)
    pipes.giveBack(&slot.pointee.pipe)
    wheel.remove(index)
    slot.pointee.role = .free
    connections.give(index)
  }

  /// This second as a Date field has it; written out once a second.
  func date() -> StaticBytes {
    var writer = ByteWriter(base: dateText, capacity: Worker.dateTextBytes)
    let second = clock.wall / 1_000_000_000
    if second != dateSecond {
      writer.append(date: clock.wall)
      dateSecond = second
    }
    return StaticBytes(start: UnsafePointer(dateText), count: Worker.dateCount)
  }

  // MARK: Generations

  /// The generation for what belongs to no exchange yet.
  @inline(__always)
  var rows: GenerationRows { current.pointee }

  /// The generation an exchange began on.
  @inline(__always)
  func rows(of exchange: Int32) -> GenerationRows { held[Int(exchanges.slots[Int(exchange)].generation)].pointee }

  /// The row of an exchange's route, which it has. Where it lies: a copy of all of it would be made for each question.
  @inline(__always)
  func route(of exchange: Int32) -> UnsafePointer<RouteRow> {
    let slot = exchanges.slots + Int(exchange)
    return held[Int(slot.pointee.generation)].pointee.routeRows + Int(slot.pointee.route)
  }

  /// The generation an exchange began on.
  func generation(of exchange: Int32) -> UnsafePointer<GenerationRows> {
    held[Int(exchanges.slots[Int(exchange)].generation)]
  }

  /// Calls `body` as if this were still the current generation, which somebody keeps alive meanwhile.
  func withGeneration<Result>(_ generation: UnsafePointer<GenerationRows>, _ body: () -> Result) -> Result {
    let newer = current
    // This worker may never have adopted it.
    if let scriptClock { generation.pointee.policyMachine(worker: index).use(scriptClock) }
    held[Int(generation.pointee.place)] = generation
    current = generation
    defer { current = newer }
    return body()
  }

  /// Uses a generation from now on.
  func use(_ next: UnsafePointer<GenerationRows>) {
    let (old, new) = (current.pointee.services, next.pointee.services)
    held[Int(next.pointee.place)] = next
    current = next
    for place in 0..<new.endpointCount {
      let endpoint = new.endpoints[place].handle
      if endpoints.renew(endpoint, generation: next.pointee.number) { continue }
      endpoints.seed(endpoint, generation: next.pointee.number)
      endpoints.update(endpoint, shared.addresses.addresses(of: endpoint))
    }
    for place in 0..<old.endpointCount {
      while case let idle = endpoints.leftover(old.endpoints[place].handle, generation: next.pointee.number),
        idle >= 0
      {
        closeConnection(idle)
      }
    }
    if let scriptClock { next.pointee.policyMachine(worker: index).use(scriptClock) }
    if !isDraining { joinListeners() }
    shared.generations.adopted(next.pointee.number, worker: index)
  }

  /// The text area of an exchange's record.
  @inline(__always)
  func text(of exchange: Int32) -> BytePointer { texts + Int(exchange) * RecordText.bytes }

  /// An operator has looked at something: `edge top` does so every second.
  private func isRoutine(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.service < 0, slot.pointee.route >= 0, slot.pointee.record.method == .get,
      slot.pointee.record.cause == .completed
    else { return false }
    return rows(of: exchange).routeRows[Int(slot.pointee.route)].isAdmin
  }

  /// Hands the record of an ended exchange to the log writer.
  func pushRecord(_ exchange: Int32) {
    guard rows(of: exchange).logsAccess, !isRoutine(exchange) else { return }
    guard let cell = logRing.reserve() else {
      counters.add(1, to: .droppedLogLines, worker: index)
      return
    }
    let source = exchanges.slots + Int(exchange)
    cell.pointee.record = source.pointee.record
    let target = (UnsafeMutableRawPointer(cell) + LogCell.textOffset).assumingMemoryBound(to: UInt8.self)
    let from = text(of: exchange)
    let record = source.pointee.record
    memcpy(target, from, Int(record.pathCount))
    memcpy(target + RecordText.hostOffset, from + RecordText.hostOffset, Int(record.hostCount))
    memcpy(target + RecordText.requestIDOffset, from + RecordText.requestIDOffset, Int(record.requestIDCount))
    memcpy(target + RecordText.methodOffset, from + RecordText.methodOffset, Int(record.methodCount))
    memcpy(target + RecordText.principalOffset, from + RecordText.principalOffset, Int(record.principalCount))
    memcpy(target + RecordText.messageOffset, from + RecordText.messageOffset, Int(record.messageCount))
    memcpy(target + RecordText.peerOffset, from + RecordText.peerOffset, Int(record.peerCount))
    logRing.publish()
    shared.log.wake()
  }
}
