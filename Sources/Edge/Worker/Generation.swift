// One generation: everything of a configuration that the request path reads, compiled to rows without references, so
// that looking something up never touches a reference count. Immutable; all workers read it, and its memory lives
// until none of them uses it and the log has been written.

/// A route as the driver needs it.
struct RouteRow: BitwiseCopyable {
  var name: StaticBytes
  /// -1: a built-in endpoint.
  var service: Int32
  /// What of `BuiltinTable`, when `service` is -1.
  var builtin: Int32
  /// Only operators ask for it, as often as they like: what went well is not logged.
  var isAdmin = false
  var bodyBytesMax: UInt64
  var toleratesFin: Bool
  /// A request that found its idle connection dead is sent again even if its method is not idempotent.
  var replaysOnStale: Bool
  /// Others may answer where the provider that the client has named does not.
  var fallsBackFromNamed: Bool
  /// The route's policies stand in a row of `GenerationRows.policies`.
  var firstPolicy: Int32 = 0
  var policyCount: Int32 = 0
  /// The policy that answers; -1: none.
  var handler: Int32 = -1
  /// One of the policies wants to know how exchanges end.
  var logs = false
  /// One of the policies judges heads of answers.
  var judgesHeads = false
  /// One of the policies judges pieces of their content.
  var judgesChunks = false
  /// How many are asked: the policies, then the handler.
  var askedCount: Int32 { policyCount + (handler >= 0 ? 1 : 0) }
  /// Its number in metrics.
  var metric = MetricNames.other
  /// Empty: none is asked for.
  var permission = StaticBytes.empty
  /// What clients speak where a model answers; nil: no model does.
  var dialect: DialectName?
  /// What each request costs beside what its model does; nil: nothing.
  var price: Amount?
  /// Nothing goes anywhere before its credits are held.
  var costs: Bool { dialect != nil || price != nil }
  var parameters: RouteParameters
  /// Where its paths name models.
  var modelPaths: ModelPaths
  /// It is spoken on WebSockets, and how.
  var isSocket = false
  var socket = SocketRow()
  /// What becomes of WebSockets to its service; `socket` has whose pages may open one and what a reload does.
  var serviceSocket = ServiceSocketRow()
  /// Its name as a number, for what outlives its generation.
  var nameHash: UInt64 = 0
  /// Changes with anything that the route says, and with the policies behind it.
  var contentHash: UInt64 = 0
}

/// A listener as workers need it.
struct ListenerRow: BitwiseCopyable {
  /// -1: no listener of this generation has the place.
  var fd: Int32 = -1
  /// The first generation in which the place belongs to this socket.
  var since: UInt32 = 0
  var name = StaticBytes.empty
  /// The control worker accepts from it, and no other.
  var isControl = false
  /// What its clients are shown, in the order of the snapshot; -1: they speak plain HTTP.
  var certificate: Int32 = -1
}

/// One generation of configuration, compiled. The control thread holds the one reference; workers hold what
/// `GenerationBoard` counts.
final class Generation {
  let number: UInt32
  /// Which of `GenerationBoard.places` it has while it lives.
  let place: UInt8
  /// Wall nanoseconds of its making.
  let since = Clock.wallNow()
  let plan: GenerationPlan
  private let arena = Arena()
  let rows: UnsafePointer<GenerationRows>

  init(number: UInt32, place: UInt8, plan: GenerationPlan) {
    self.number = number
    self.place = place
    self.plan = plan
    rows = UnsafePointer(arena.copy([GenerationRows(plan, number: number, place: place, arena: arena)]))
  }
}

/// What a configuration needs of the process before it can serve: sockets and handles that outlive generations.
struct GenerationPlan {
  let snapshot: Snapshot
  let workers: Int
  /// For the report of what the next one changes.
  let resolved: SectionFields
  /// By listener of the snapshot; the last one may be the socket of operators.
  let listeners: [OpenListener]
  /// What they are served.
  var builtins = BuiltinTable(rows: [])
  /// By upstream of the snapshot.
  let services: [StableName]
  /// By endpoint, in the order of services and their endpoints.
  let endpoints: [StableName]
  /// By trust file of the snapshot, one for each worker.
  let tlsContexts: [[TLSClientContext]]
  /// By certificate of the snapshot, one for each worker.
  var serverContexts: [[TLSServerContext]] = []
  /// One for each worker that has clients.
  let policies: [PolicyMachine]
  /// Where names get their numbers.
  let names: MetricNames
}

/// A name with its handle.
struct StableName {
  let name: String
  let handle: Handle
  /// Endpoints: the host name or address in it.
  var host = ""
}

/// The rows; trivial to copy, valid as long as their `Generation`.
struct GenerationRows: BitwiseCopyable {
  let number: UInt32
  let place: UInt8
  let routes: RouteTable
  let routeRows: UnsafePointer<RouteRow>
  let routeCount: Int
  /// Those of the configuration, then those of its providers.
  let services: ServiceTable
  /// How many of them scripts may ask by name.
  let namedServices: Int
  let models: ModelTable
  /// By place of `ListenerBoard`.
  let listeners: UnsafePointer<ListenerRow>
  /// By trust file and worker; the plan holds the references.
  let tlsContexts: UnsafePointer<Unmanaged<TLSClientContext>>
  /// By certificate and worker, likewise.
  private let serverContexts: UnsafePointer<Unmanaged<TLSServerContext>>
  let workers: Int
  /// By worker; the plan holds the references. Policies of routes, as indices, and the names of all.
  private let policyMachines: UnsafePointer<Unmanaged<PolicyMachine>>
  let policies: UnsafePointer<Int32>
  let policyNames: UnsafePointer<StaticBytes>
  /// Numbers of the policies in metrics.
  let policyMetrics: UnsafePointer<UInt16>
  /// What clients are told that ask for the models.
  let modelList: ModelListing
  let trusted: UnsafePointer<CIDR>
  let trustedCount: Int
  let headLimits: HeadLimits
  let handshakeMilliseconds: UInt64
  let headMilliseconds: UInt64
  let idleMilliseconds: UInt64
  let bodyMilliseconds: UInt64
  let sendMilliseconds: UInt64
  let drainMilliseconds: UInt64
  let logsAccess: Bool

  fileprivate init(_ plan: GenerationPlan, number: UInt32, place: UInt8, arena: Arena) {
    let snapshot = plan.snapshot
    self.number = number
    self.place = place
    let adminRoutes = GenerationRows.adminRoutes(plan)
    routes = RouteCompiler.compile(
      snapshot.routes + adminRoutes, listenerPlaces: plan.listeners.map(\.place), arena: arena)
    namedServices = snapshot.services.count
    models = ModelTable.compile(snapshot, firstService: namedServices, names: plan.names, arena: arena)
    services = ServiceTable.compile(
      snapshot.upstreams, handles: plan.services.map(\.handle), endpoints: plan.endpoints.map(\.handle), arena: arena)
    var routePolicies: [Int32] = []
    var routeRows: [RouteRow] = []
    let hashes = RouteHashes.of(snapshot, plan.resolved)
    for (index, route) in snapshot.routes.enumerated() {
      var row = GenerationRows.row(route, arena)
      row.contentHash = hashes[index]
      row.metric = plan.names.claim(.route, route.name)
      row.firstPolicy = Int32(routePolicies.count)
      row.policyCount = Int32(route.policies.count)
      let asked = route.policies + (row.handler >= 0 ? [Int(row.handler)] : [])
      row.logs = asked.contains { plan.policies.first?.has(.onLog, policy: $0) ?? false }
      row.judgesHeads = route.policies.contains { plan.policies.first?.has(.onResponse, policy: $0) ?? false }
      row.judgesChunks = route.policies.contains { plan.policies.first?.has(.onChunk, policy: $0) ?? false }
      routePolicies += route.policies.map(Int32.init)
      routeRows.append(row)
    }
    for (index, route) in adminRoutes.enumerated() {
      var row = GenerationRows.row(route, arena)
      row.builtin = Int32(plan.builtins.rows.count + index)
      row.isAdmin = true
      row.metric = plan.names.claim(.route, route.name)
      routeRows.append(row)
    }
    self.routeRows = UnsafePointer(arena.copy(routeRows))
    routeCount = routeRows.count
    policies = UnsafePointer(arena.copy(routePolicies))
    policyNames = UnsafePointer(arena.copy(snapshot.policies.map { arena.text($0.name) }))
    policyMetrics = UnsafePointer(arena.copy(snapshot.policies.map { plan.names.claim(.policy, $0.name) }))
    modelList = ModelList.write(GenerationRows.listed(snapshot), into: arena)
    policyMachines = UnsafePointer(arena.copy(plan.policies.map(Unmanaged.passUnretained)))
    var rows = [ListenerRow](repeating: ListenerRow(), count: ListenerBoard.places)
    for (index, listener) in plan.listeners.enumerated() {
      let own = index < snapshot.listeners.count ? snapshot.listeners[index].certificate : nil
      rows[Int(listener.place)] = ListenerRow(
        fd: listener.socket.fd, since: listener.since, name: arena.text(listener.name),
        isControl: listener.serves != .routes, certificate: Int32(own ?? -1))
    }
    listeners = UnsafePointer(arena.copy(rows))
    workers = plan.workers
    tlsContexts = UnsafePointer(arena.copy(plan.tlsContexts.flatMap { $0 }.map(Unmanaged.passUnretained)))
    serverContexts = UnsafePointer(arena.copy(plan.serverContexts.flatMap { $0 }.map(Unmanaged.passUnretained)))
    let blocks = snapshot.server.trusted.compactMap(GenerationRows.block)
    trusted = UnsafePointer(arena.copy(blocks))
    trustedCount = blocks.count
    headLimits = HeadLimits(bytes: snapshot.limits.headBytesMax, fields: snapshot.limits.headFieldsMax)
    handshakeMilliseconds = UInt64(snapshot.server.handshakeTimeoutMilliseconds)
    headMilliseconds = UInt64(snapshot.server.headTimeoutMilliseconds)
    idleMilliseconds = UInt64(snapshot.server.idleTimeoutMilliseconds)
    bodyMilliseconds = UInt64(snapshot.server.bodyTimeoutMilliseconds)
    sendMilliseconds = UInt64(snapshot.server.sendTimeoutMilliseconds)
    drainMilliseconds = UInt64(snapshot.server.drainMilliseconds)
    logsAccess = snapshot.log.access && snapshot.log.level >= .info
  }

  /// How operators' endpoints are reached: by routes of no configuration, on the listeners that are for them.
  private static func adminRoutes(_ plan: GenerationPlan) -> [Route] {
    let listeners = plan.listeners.indices.filter { plan.listeners[$0].serves == .admin }
    return plan.builtins.admin.compactMap { endpoint in
      guard !listeners.isEmpty, let path = try? PathPattern.read(endpoint.path) else { return nil }
      return Route(
        name: "admin", hosts: [], paths: [path], methods: [endpoint.method], listeners: listeners,
        target: .builtin(.health), bodyBytesMax: 0, clientFin: .finish, replaysOnStale: false, policies: [],
        permission: nil)
    }
  }

  /// A configuration does not say when a model was made, and clients want a number that stays: 2025-01-01.
  private static let modelTime: UInt64 = 1_735_689_600

  /// The models that somebody offers.
  private static func listed(_ snapshot: Snapshot) -> [ListedModel] {
    snapshot.models.compactMap { model in
      model.providers.first.map {
        ListedModel(name: model.name, provider: snapshot.providers[$0].name, created: GenerationRows.modelTime)
      }
    }
  }

  private static func row(_ route: Route, _ arena: Arena) -> RouteRow {
    var row = RouteRow(
      name: arena.text(route.name), service: -1, builtin: -1, bodyBytesMax: UInt64(route.bodyBytesMax),
      toleratesFin: route.clientFin == .finish, replaysOnStale: route.replaysOnStale,
      fallsBackFromNamed: route.fallsBackFromNamed,
      permission: arena.text(route.permission ?? ""), price: route.price,
      parameters: RouteParameters(route.paths, arena: arena), modelPaths: ModelPaths(route, arena: arena))
    switch route.target {
    case .service(let index): row.service = Int32(index)
    case .builtin(let name): row.builtin = Int32(BuiltinName.allCases.firstIndex(of: name) ?? 0)
    case .handler(let index): row.handler = Int32(index)
    case .models(let dialect): row.dialect = dialect
    }
    if let socket = route.socket {
      row.isSocket = true
      row.socket = SocketRow(socket, arena: arena)
    }
    if let socket = route.serviceSocket {
      row.serviceSocket = ServiceSocketRow(socket)
      row.socket = SocketRow(socket.common, arena: arena)
    }
    row.nameHash = ContentHash.of(Array(route.name.utf8))
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

  /// How a worker opens TLS connections under the certificates of a trust file.
  func tlsContext(trust: Int32, worker: Int) -> TLSClientContext {
    tlsContexts[Int(trust) * workers + worker].takeUnretainedValue()
  }

  /// How a worker takes connections at listeners that have a certificate.
  func serverContext(_ certificate: Int32, worker: Int) -> TLSServerContext {
    serverContexts[Int(certificate) * workers + worker].takeUnretainedValue()
  }

  /// The policies of a worker that has clients.
  @inline(__always)
  func policyMachine(worker: Int) -> PolicyMachine { policyMachines[worker].takeUnretainedValue() }

  /// Calls `body` with them, without the retain and the release that having them costs.
  @inline(__always)
  func withPolicyMachine<Result>(worker: Int, _ body: (PolicyMachine) -> Result) -> Result {
    policyMachines[worker]._withUnsafeGuaranteedRef(body)
  }

  /// Whether a peer may speak for others.
  @inline(__always)
  func trusts(_ address: SocketAddress) -> Bool {
    for index in 0..<trustedCount where trusted[index].contains(address) { return true }
    return false
  }
}
