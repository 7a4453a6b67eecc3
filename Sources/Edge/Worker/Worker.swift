// A worker: one thread with its own loop, slots, buffers and connections. This file is the turn of the loop and the
// life of slots; what happens to an exchange stands in Driver.swift. Nothing here is shared with other workers but
// what `WorkerShared` holds.

import CLinux
import Glibc
import Synchronization

/// What all workers of a process share.
final class WorkerShared: Sendable {
  let tables: Tables
  let listeners: [ListenerSocket]
  let builtins: BuiltinTable
  let counters: Counters
  let log: Log
  let inboxes: [Inbox]
  /// Slots per worker, from the limit of descriptors.
  let connectionsPerWorker: Int
  /// Workers that still accept.
  private let listening: Atomic<Int>

  init(
    tables: Tables, listeners: [ListenerSocket], builtins: BuiltinTable, counters: Counters, log: Log, inboxes: [Inbox],
    connectionsPerWorker: Int
  ) {
    self.tables = tables
    self.listeners = listeners
    self.builtins = builtins
    self.counters = counters
    self.log = log
    self.inboxes = inboxes
    self.connectionsPerWorker = connectionsPerWorker
    listening = Atomic(inboxes.count)
  }

  /// A worker has stopped accepting; with the last one the kernel stops too, and new clients are refused at once.
  func leaveListeners() {
    if listening.subtract(1, ordering: .acquiringAndReleasing).newValue > 0 { return }
    for listener in listeners { _ = shutdown(listener.fd, Int32(SHUT_RDWR)) }
    // Those that have nothing left to do wait only for this.
    for inbox in inboxes { inbox.wake() }
  }

  /// While any worker accepts, it may hand a connection to any other.
  var isAnyListening: Bool { listening.load(ordering: .acquiring) > 0 }
}

/// One worker. Made on the control thread, then used by its own thread alone.
final class Worker {
  let index: Int
  let shared: WorkerShared
  let rows: TableRows
  let counters: Counters
  let arena = Arena()
  private let inbox: Inbox
  private let poller: Poller
  private let logRing: Ring<LogCell>

  var clock = Clock()
  var random = Random()
  var connections: Slab<Connection>
  var exchanges: Slab<Exchange>
  var wheel: TimerWheel
  var buffers = BufferPool()
  var pool: ConnectionPool
  var parser: HTTP1Parser
  let targets: RequestTargetReader
  /// Text that goes with each exchange's record.
  private let texts: BytePointer
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
  static let addressTextBytes = 64
  /// What the next reply says beyond its code.
  var replyDetail = ReplyDetail()

  /// Slots that have more to do than their share of a turn.
  private var ready: UnsafeMutablePointer<UInt64>
  private var nextReady: UnsafeMutablePointer<UInt64>
  private var readyCount = 0

  private(set) var isDraining = false
  private var isStopped = false
  private var drainDeadline = TimerWheel.never
  private var acceptsAgainAt = TimerWheel.never

  private static let inboxTag = UInt64.max
  private static let listenerTagBase = UInt64.max - 1_024

  /// nil when the kernel refuses memory or descriptors.
  init?(index: Int, shared: WorkerShared) {
    guard let poller = Poller(), let connections = Slab<Connection>(capacity: shared.connectionsPerWorker),
      let exchanges = Slab<Exchange>(capacity: shared.connectionsPerWorker),
      let texts = Pages.map(bytes: shared.connectionsPerWorker * RecordText.bytes),
      let scratch = Pages.map(bytes: Limits.scratchBytes), let outgoing = Pages.map(bytes: Limits.scratchBytes),
      let ready = Pages.map(bytes: Worker.readyBytes(shared)),
      let nextReady = Pages.map(bytes: Worker.readyBytes(shared))
    else { return nil }
    self.index = index
    self.shared = shared
    self.poller = poller
    self.connections = connections
    self.exchanges = exchanges
    self.texts = texts.bindMemory(to: UInt8.self, capacity: 1)
    self.scratch = scratch.bindMemory(to: UInt8.self, capacity: Limits.scratchBytes) + Limits.readHeadroom
    self.outgoing = outgoing.bindMemory(to: UInt8.self, capacity: Limits.scratchBytes)
    self.ready = ready.bindMemory(to: UInt64.self, capacity: shared.connectionsPerWorker)
    self.nextReady = nextReady.bindMemory(to: UInt64.self, capacity: shared.connectionsPerWorker)
    dateText = arena.allocate(UInt8.self, count: Worker.dateTextBytes)
    addressText = arena.allocate(UInt8.self, count: Worker.addressTextBytes)
    rows = shared.tables.rows
    counters = shared.counters
    inbox = shared.inboxes[index]
    logRing = shared.log.ring(worker: index)
    parser = HTTP1Parser(arena: arena)
    targets = RequestTargetReader(arena: arena, classes: parser.classes)
    wheel = TimerWheel(arena: arena, slots: connections.slots, now: clock.milliseconds)
    pool = ConnectionPool(table: rows.services, slots: connections.slots, arena: arena)
    guard poller.addWake(inbox.wakeDescriptor, tag: Worker.inboxTag), startListening() else { return nil }
  }

  /// After the thread's end: what is still open is closed, all memory goes back.
  deinit {
    forEachConnection { index, role in if role != .free { closeConnection(index) } }
    for index in 0..<Int(exchanges.everUsed) { buffers.giveBack(&exchanges.slots[index].held) }
    buffers.removeAll()
    poller.close()
    connections.unmap()
    exchanges.unmap()
    Pages.unmap(texts, bytes: shared.connectionsPerWorker * RecordText.bytes)
    Pages.unmap(scratch - Limits.readHeadroom, bytes: Limits.scratchBytes)
    Pages.unmap(outgoing, bytes: Limits.scratchBytes)
    Pages.unmap(ready, bytes: Worker.readyBytes(shared))
    Pages.unmap(nextReady, bytes: Worker.readyBytes(shared))
  }

  /// A slot may stand on a list twice in a turn: for the connection that closed and for the one that took its place.
  private static func readyBytes(_ shared: WorkerShared) -> Int { 2 * shared.connectionsPerWorker * 8 }

  // MARK: The turn

  /// The thread: turns until the worker is told to stop.
  func run() {
    while !isStopped {
      let events = poller.wait(waitMilliseconds())
      clock.update()
      for event in 0..<events { dispatch(poller[event]) }
      serveReady()
      expireTimers()
      if isDraining { checkDrain() }
    }
  }

  private func waitMilliseconds() -> Int32 {
    if readyCount > 0 { return 0 }
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
    if acceptsAgainAt <= now, !isDraining {
      acceptsAgainAt = TimerWheel.never
      if !startListening() {
        stopListening()
        acceptsAgainAt = now + UInt64(Limits.acceptPauseMilliseconds)
      }
    }
  }

  // MARK: Accepting

  private func startListening() -> Bool {
    for (place, listener) in shared.listeners.enumerated()
    where !poller.addListener(listener.fd, tag: Worker.listenerTagBase + UInt64(place)) { return false }
    return true
  }

  private func stopListening() { for listener in shared.listeners { poller.remove(listener.fd) } }

  private func accept(_ listener: Int) {
    if isDraining { return }
    for _ in 0..<Limits.acceptsPerWake {
      switch ListenerSocket.accept(shared.listeners[listener].fd) {
      case .none: return
      case .skipped: continue
      case .exhausted:
        stopListening()
        acceptsAgainAt = clock.milliseconds + UInt64(Limits.acceptPauseMilliseconds)
        shared.log.line(
          .warn, "accept_paused",
          [("reason", .text("out of file descriptors or memory")), ("worker", .number(index))])
        return
      case .connection(let fd, let address):
        Syscall.setNoDelay(fd)
        place(fd, UInt8(listener), address)
      }
    }
  }

  /// Keeps a new connection, or hands it to a worker with clearly fewer: one that stays behind by more than a
  /// sixteenth.
  private func place(_ fd: Int32, _ listener: UInt8, _ address: SocketAddress) {
    let mine = counters.value(.serverConnections, worker: index)
    var least = index
    var fewest = mine
    for other in 0..<counters.workers where other != index {
      let theirs = counters.value(.serverConnections, worker: other)
      if theirs < fewest { (least, fewest) = (other, theirs) }
    }
    if least != index, fewest + fewest / 16 < mine {
      // Counted at once: the next decision must not wait for the other worker's next turn.
      counters.addShared(1, to: .serverConnections, worker: least)
      if shared.inboxes[least].post(.adopt(fd: fd, listener: listener, address: address)) {
        counters.add(1, to: .handedOff, worker: index)
        return
      }
      counters.addShared(-1, to: .serverConnections, worker: least)
    }
    counters.addShared(1, to: .serverConnections, worker: index)
    adopt(fd, listener, address)
  }

  /// Takes a connection in that is already counted as this worker's.

  private func adopt(_ fd: Int32, _ listener: UInt8, _ address: SocketAddress) {
    let taken = open(fd, role: .serverIdle)
    guard taken >= 0 else {
      counters.addShared(-1, to: .serverConnections, worker: index)
      counters.add(1, to: .refusedConnections, worker: index)
      _ = close(fd)
      return
    }
    let slot = connections.slots + Int(taken)
    slot.pointee.listener = listener
    slot.pointee.address = address
    slot.pointee.isWritable = true
    wheel.arm(taken, clock.milliseconds + rows.headMilliseconds)
    if isDraining { closeUnlessAsking(taken) }
  }

  // MARK: Slots

  /// A slot for a socket, registered with the poller; -1 when there is no slot. The caller still owns the socket
  /// then.
  func open(_ fd: Int32, role: ConnectionRole) -> Int32 {
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
    slot.pointee.endpoint = -1
    slot.pointee.input = .none
    slot.pointee.output = .none
    slot.pointee.scanned = 0
    slot.pointee.lingered = 0
    wheel.reset(taken)
    guard poller.addConnection(fd, tag: Handle(index: taken, serial: slot.pointee.serial).bits) else {
      slot.pointee.role = .free
      connections.give(taken)
      return -1
    }
    return taken
  }

  /// Closes the socket and frees the slot.
  func closeConnection(_ index: Int32) {
    let slot = connections.slots + Int(index)
    switch slot.pointee.role {
    case .serverIdle, .serverHead, .serverExchange, .serverLingering:
      counters.addShared(-1, to: .serverConnections, worker: self.index)
    case .clientIdle: pool.remove(index)
    case .clientConnecting, .clientExchange, .free: break
    }
    _ = close(slot.pointee.fd)
    buffers.giveBack(&slot.pointee.input)
    buffers.giveBack(&slot.pointee.output)
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

  /// The text area of an exchange's record.
  @inline(__always)
  func text(of exchange: Int32) -> BytePointer { texts + Int(exchange) * RecordText.bytes }

  /// Hands the record of an ended exchange to the log writer.
  func pushRecord(_ exchange: Int32) {
    guard rows.logsAccess else { return }
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
    logRing.publish()
    shared.log.wake()
  }

  // MARK: Messages and the end

  private func readInbox() {
    inbox.acknowledge()
    while let message = inbox.take() {
      switch message {
      case .adopt(let fd, let listener, let address): adopt(fd, listener, address)
      case .drain: startDrain()
      case .stop: isStopped = true
      }
    }
  }

  /// No new connections; idle ones close, running exchanges finish until the deadline.
  private func startDrain() {
    if isDraining { return }
    // Clients in the queue were promised a connection by the kernel.
    if acceptsAgainAt == TimerWheel.never { acceptAll() }
    isDraining = true
    drainDeadline = clock.milliseconds + rows.drainMilliseconds
    acceptsAgainAt = TimerWheel.never
    stopListening()
    shared.leaveListeners()
    forEachConnection { index, role in
      switch role {
      case .serverIdle: closeUnlessAsking(index)
      case .clientIdle: closeConnection(index)
      case .free, .serverHead, .serverExchange, .serverLingering, .clientConnecting, .clientExchange: break
      }
    }
  }

  private func acceptAll() {
    for place in shared.listeners.indices {
      // As many as any queue holds; an error that stays is no reason to stay.
      accepting: for _ in 0..<Limits.acceptsAtDrain {
        switch ListenerSocket.accept(shared.listeners[place].fd) {
        case .connection(let fd, let address):
          Syscall.setNoDelay(fd)
          counters.addShared(1, to: .serverConnections, worker: index)
          adopt(fd, UInt8(place), address)
        case .skipped: continue
        case .none, .exhausted: break accepting
        }
      }
    }
  }

  /// An idle connection closes, but a request that has arrived on it meanwhile is still answered.
  private func closeUnlessAsking(_ index: Int32) {
    connections.slots[Int(index)].isReadable = true
    let serial = connections.slots[Int(index)].serial
    serve(index)
    let slot = connections.slots + Int(index)
    if slot.pointee.serial == serial, slot.pointee.role == .serverIdle { closeConnection(index) }
  }

  private func checkDrain() {
    if !shared.isAnyListening, counters.value(.serverConnections, worker: index) == 0, exchanges.used == 0 {
      isStopped = true
      return
    }
    if clock.milliseconds < drainDeadline { return }
    forEachConnection { index, role in
      switch role {
      case .serverExchange: drainEnded(index)
      case .serverIdle, .serverHead, .serverLingering: closeConnection(index)
      case .free, .clientConnecting, .clientExchange, .clientIdle: break
      }
    }
    isStopped = true
  }

  private func forEachConnection(_ body: (Int32, ConnectionRole) -> Void) {
    for index in 0..<connections.everUsed { body(index, connections.slots[Int(index)].role) }
  }
}
