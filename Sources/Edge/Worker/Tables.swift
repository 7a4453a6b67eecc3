// Everything of a configuration that the request path reads, compiled to rows without references: looking something
// up never touches a reference count. Immutable; all workers share it, and the arena lives as long as any of them.

/// A route as the driver needs it.
struct RouteRow: BitwiseCopyable {
  var name: StaticBytes
  /// -1: a built-in endpoint.
  var service: Int32
  /// The row of `BuiltinTable`, when `service` is -1.
  var builtin: Int32
  var bodyBytesMax: UInt64
  var toleratesFin: Bool
}

/// One generation of configuration, compiled.
final class Tables: Sendable {
  private nonisolated(unsafe) let arena: Arena  // only keeps the rows' memory alive
  let rows: TableRows

  init(_ snapshot: Snapshot, generation: UInt32, addresses: [SocketAddress]) {
    let arena = Arena()
    self.arena = arena
    rows = TableRows(snapshot, generation: generation, addresses: addresses, arena: arena)
  }
}

/// The rows; trivial to copy, valid as long as their `Tables`.
struct TableRows: BitwiseCopyable, @unchecked Sendable {  // the memory behind it never changes
  let generation: UInt32
  let routes: RouteTable
  let routeRows: UnsafePointer<RouteRow>
  let services: ServiceTable
  let listenerNames: UnsafePointer<StaticBytes>
  let trusted: UnsafePointer<CIDR>
  let trustedCount: Int
  let headLimits: HeadLimits
  let headMilliseconds: UInt64
  let idleMilliseconds: UInt64
  let bodyMilliseconds: UInt64
  let sendMilliseconds: UInt64
  let drainMilliseconds: UInt64
  let logsAccess: Bool

  fileprivate init(_ snapshot: Snapshot, generation: UInt32, addresses: [SocketAddress], arena: Arena) {
    self.generation = generation
    routes = RouteCompiler.compile(snapshot.routes, arena: arena)
    services = ServiceTable.compile(snapshot.services, addresses: addresses, arena: arena)
    routeRows = UnsafePointer(arena.copy(snapshot.routes.map { TableRows.row($0, arena) }))
    listenerNames = UnsafePointer(arena.copy(snapshot.listeners.map { arena.text($0.name) }))
    let blocks = snapshot.server.trusted.compactMap(TableRows.block)
    trusted = UnsafePointer(arena.copy(blocks))
    trustedCount = blocks.count
    headLimits = HeadLimits(bytes: snapshot.limits.headBytesMax, fields: snapshot.limits.headFieldsMax)
    headMilliseconds = UInt64(snapshot.server.headTimeoutMilliseconds)
    idleMilliseconds = UInt64(snapshot.server.idleTimeoutMilliseconds)
    bodyMilliseconds = UInt64(snapshot.server.bodyTimeoutMilliseconds)
    sendMilliseconds = UInt64(snapshot.server.sendTimeoutMilliseconds)
    drainMilliseconds = UInt64(snapshot.server.drainMilliseconds)
    logsAccess = snapshot.log.access && snapshot.log.level >= .info
  }

  private static func row(_ route: Route, _ arena: Arena) -> RouteRow {
    var row = RouteRow(
      name: arena.text(route.name), service: -1, builtin: -1, bodyBytesMax: UInt64(route.bodyBytesMax),
      toleratesFin: route.clientFin == .finish)
    switch route.target {
    case .service(let index): row.service = Int32(index)
    case .builtin(let name): row.builtin = Int32(BuiltinName.allCases.firstIndex(of: name) ?? 0)
    }
    return row
  }

  private static func block(_ block: AddressBlock) -> CIDR? {
    var address = SocketAddress()
    address.isIPv6 = block.bytes.count == 16
    withUnsafeMutableBytes(of: &address.words) { target in
      for (index, byte) in block.bytes.enumerated() { target[index] = byte }
    }
    // An IPv4 client of an IPv6 socket is an IPv4 client here, so its block must be one too.
    let isMapped = address.isIPv6 && block.bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
    if isMapped, block.prefixBits >= 96 {
      address.words = (address.words.1 >> 32, 0)
      address.isIPv6 = false
      return CIDR(address: address, bits: block.prefixBits - 96)
    }
    return CIDR(address: address, bits: block.prefixBits)
  }

  /// Whether a peer may speak for others.
  @inline(__always)
  func trusts(_ address: SocketAddress) -> Bool {
    for index in 0..<trustedCount where trusted[index].contains(address) { return true }
    return false
  }
}
