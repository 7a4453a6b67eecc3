// Idle connections to endpoints, per worker: the last one given back is the first one taken, so the rest grow old and
// are closed. Links live in the connections' slots; the pool is a list head and a count per endpoint.

/// A worker's idle connections and its place in each service's round.
struct ConnectionPool {
  private struct EndpointState: BitwiseCopyable {
    var firstIdle: Int32
    var idleCount: Int32
  }

  private let slots: UnsafeMutablePointer<Connection>
  private let endpoints: UnsafeMutablePointer<EndpointState>
  private let rounds: UnsafeMutablePointer<UInt32>

  init(table: ServiceTable, slots: UnsafeMutablePointer<Connection>, arena: Arena) {
    self.slots = slots
    endpoints = arena.allocate(EndpointState.self, count: table.endpointCount)
    for index in 0..<table.endpointCount { endpoints[index] = EndpointState(firstIdle: -1, idleCount: 0) }
    rounds = arena.allocate(UInt32.self, count: table.serviceCount)
    for index in 0..<table.serviceCount { rounds[index] = 0 }
  }

  /// The place in a service's list of endpoints where the next exchange begins: round-robin.
  @inline(__always)
  func nextRound(service: Int32, count: Int32) -> Int32 {
    if count == 1 { return 0 }
    let round = rounds[Int(service)]
    rounds[Int(service)] = round &+ 1
    return Int32(round % UInt32(count))
  }

  /// Takes the youngest idle connection of an endpoint out; -1 when there is none.
  @inline(__always)
  func take(endpoint: Int32) -> Int32 {
    let index = endpoints[Int(endpoint)].firstIdle
    if index >= 0 { remove(index) }
    return index
  }

  /// Keeps a connection; false when the endpoint has `limit` idle ones already.
  @inline(__always)
  func put(_ index: Int32, limit: Int32) -> Bool {
    let slot = slots + Int(index)
    let state = endpoints + Int(slot.pointee.endpoint)
    if state.pointee.idleCount >= limit { return false }
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
    let state = endpoints + Int(slot.pointee.endpoint)
    let (next, previous) = (slot.pointee.idleNext, slot.pointee.idlePrevious)
    if next >= 0 { slots[Int(next)].idlePrevious = previous }
    if previous >= 0 { slots[Int(previous)].idleNext = next } else { state.pointee.firstIdle = next }
    state.pointee.idleCount -= 1
  }
}
