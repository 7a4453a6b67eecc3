// What a worker knows of endpoints beyond any generation: idle connections, addresses in use, the place in each
// service's round. Endpoints and services are named by stable handles (see StableNames), so a reload that leaves an
// endpoint alone leaves its connections alone. One instance per worker; nobody else touches it.

/// A failure that was logged, and until when it is not logged again.
private struct Report: BitwiseCopyable {
  var reason: UInt64 = 0
  var until: UInt64 = 0
}

/// One endpoint of one worker.
private struct EndpointState: BitwiseCopyable {
  /// Which owner of the place this is about; 0: none yet.
  var serial: UInt32
  /// The newest generation that has the endpoint.
  var generation: UInt32
  /// Head of the list of idle connections: the last one given back is the first one taken, so the rest grow old and
  /// are closed. Links live in the connections' slots.
  var firstIdle: Int32
  var idleCount: Int32
  var nextAddress: Int32
  var addresses: AddressSet
  /// Monotonic milliseconds until which an address is left out.
  var avoidedUntil: InlineArray<8, UInt64>
  /// What was logged last: a place for each address, because each may fail for a reason of its own.
  var reports = InlineArray<8, Report>(repeating: Report())
}

/// All endpoints of one worker.
struct EndpointStates {
  private let slots: UnsafeMutablePointer<Connection>
  private let states: UnsafeMutablePointer<EndpointState>
  private let rounds: UnsafeMutablePointer<UInt32>

  private static let stateBytes = Limits.endpointsMax * MemoryLayout<EndpointState>.stride
  private static let roundBytes = Limits.servicesMax * MemoryLayout<UInt32>.stride

  /// nil when the kernel has no address space. Only the pages of endpoints in use become resident.
  init?(slots: UnsafeMutablePointer<Connection>) {
    guard let states = Pages.map(bytes: EndpointStates.stateBytes),
      let rounds = Pages.map(bytes: EndpointStates.roundBytes)
    else { return nil }
    self.slots = slots
    self.states = states.bindMemory(to: EndpointState.self, capacity: Limits.endpointsMax)
    self.rounds = rounds.bindMemory(to: UInt32.self, capacity: Limits.servicesMax)
  }

  /// Gives the pages back.
  func unmap() {
    Pages.unmap(states, bytes: EndpointStates.stateBytes)
    Pages.unmap(rounds, bytes: EndpointStates.roundBytes)
  }

  /// The place in a service's list of endpoints where the next exchange begins: round-robin.
  @inline(__always)
  func nextRound(service: Int32, count: Int32) -> Int32 {
    if count == 1 { return 0 }
    let round = rounds[Int(service)]
    rounds[Int(service)] = round &+ 1
    return Int32(round % UInt32(count))
  }

  // MARK: Idle connections

  /// Takes the youngest idle connection to an endpoint's address out; -1 when there is none. Only a name with several
  /// addresses makes it look further than at the first.
  @inline(__always)
  func take(_ endpoint: Int32, _ address: SocketAddress) -> Int32 {
    var index = states[Int(endpoint)].firstIdle
    while index >= 0, slots[Int(index)].address != address { index = slots[Int(index)].idleNext }
    if index >= 0 { remove(index) }
    return index
  }

  /// Keeps a connection; false when the endpoint has `limit` idle ones already, or is not in this generation.
  @inline(__always)
  func put(_ index: Int32, limit: Int32, generation: UInt32) -> Bool {
    let slot = slots + Int(index)
    let state = states + Int(slot.pointee.endpoint)
    if state.pointee.idleCount >= limit || state.pointee.generation != generation { return false }
    let next = state.pointee.firstIdle
    slot.pointee.idleNext = next
    slot.pointee.idlePrevious = -1
    if next >= 0 { slots[Int(next)].idlePrevious = index }
    state.pointee.firstIdle = index
    state.pointee.idleCount += 1
    return true
  }

  /// Takes an idle connection out, wherever it stands in its list.
  func remove(_ index: Int32) {
    let slot = slots + Int(index)
    let state = states + Int(slot.pointee.endpoint)
    let (next, previous) = (slot.pointee.idleNext, slot.pointee.idlePrevious)
    if next >= 0 { slots[Int(next)].idlePrevious = previous }
    if previous >= 0 { slots[Int(previous)].idleNext = next } else { state.pointee.firstIdle = next }
    state.pointee.idleCount -= 1
  }

  // MARK: Owners and addresses

  /// The endpoint is in this generation; false when the place belonged to another one until now and must be seeded.
  func renew(_ endpoint: Handle, generation: UInt32) -> Bool {
    states[Int(endpoint.index)].generation = generation
    return states[Int(endpoint.index)].serial == endpoint.serial
  }

  /// An idle connection of an endpoint that is not in this generation, or -1. All are closed when a generation is
  /// adopted: so a place that gets another owner never has one of its last.
  func leftover(_ endpoint: Handle, generation: UInt32) -> Int32 {
    states[Int(endpoint.index)].generation == generation ? -1 : states[Int(endpoint.index)].firstIdle
  }

  /// Gives the place to a new owner.
  func seed(_ endpoint: Handle, generation: UInt32) {
    states[Int(endpoint.index)] = EndpointState(
      serial: endpoint.serial, generation: generation, firstIdle: -1, idleCount: 0, nextAddress: 0,
      addresses: AddressSet([]),
      avoidedUntil: .init(repeating: 0))
  }

  /// Replaces the addresses; connections to others go on. One that failed lately and is still there stays left out.
  func update(_ endpoint: Handle, _ addresses: AddressSet) {
    let state = states + Int(endpoint.index)
    guard state.pointee.serial == endpoint.serial else { return }
    let (before, avoidedUntil) = (state.pointee.addresses, state.pointee.avoidedUntil)
    state.pointee.addresses = addresses
    state.pointee.avoidedUntil = .init(repeating: 0)
    for place in 0..<before.count where avoidedUntil[place] != 0 {
      avoid(endpoint.index, before[place], until: avoidedUntil[place])
    }
  }

  /// How many addresses an endpoint has.
  func addressCount(_ endpoint: Int32) -> Int { states[Int(endpoint)].addresses.count }

  /// The address for the next exchange, without a port: each in its turn, but for those that failed lately while
  /// another is left; nil when the name has no address.
  @inline(__always)
  func nextAddress(_ endpoint: Int32, now: UInt64) -> SocketAddress? {
    let state = states + Int(endpoint)
    if state.pointee.addresses.count == 1 { return state.pointee.addresses[0] }
    return nextOfSeveral(state, now)
  }

  private func nextOfSeveral(_ state: UnsafeMutablePointer<EndpointState>, _ now: UInt64) -> SocketAddress? {
    let count = state.pointee.addresses.count
    if count == 0 { return nil }
    let start = Int(state.pointee.nextAddress) % count
    var chosen = start
    for step in 0..<count {
      let place = (start + step) % count
      if state.pointee.avoidedUntil[place] <= now {
        chosen = place
        break
      }
    }
    state.pointee.nextAddress = Int32((chosen + 1) % count)
    return state.pointee.addresses[chosen]
  }

  /// Whether a failure is worth a line: a reason that was just told is not.
  func mayReport(_ endpoint: Int32, reason: UInt64, now: UInt64) -> Bool {
    let state = states + Int(endpoint)
    var oldest = 0
    for place in state.pointee.reports.indices {
      let report = state.pointee.reports[place]
      if report.reason == reason, now < report.until { return false }
      if report.until < state.pointee.reports[oldest].until { oldest = place }
    }
    state.pointee.reports[oldest] = Report(reason: reason, until: now + Limits.reportMilliseconds)
    return true
  }

  /// An address did not take a connection.
  func avoid(_ endpoint: Int32, _ address: SocketAddress, until: UInt64) {
    let state = states + Int(endpoint)
    var portless = address
    portless.port = 0
    for place in 0..<state.pointee.addresses.count where state.pointee.addresses[place] == portless {
      state.pointee.avoidedUntil[place] = until
    }
  }
}
