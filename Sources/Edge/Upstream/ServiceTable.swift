// Services and their endpoints as rows without references, compiled once per generation.
// Read by the driver and the connection pool; it never changes once it is compiled.

/// One service.
struct ServiceRow: BitwiseCopyable {
  /// The same in every generation that has the service.
  var id: Int32
  var name: StaticBytes
  var firstEndpoint: Int32
  var endpointCount: Int32
  var connectMilliseconds: UInt64
  /// From the last byte of the request to the response head.
  var headMilliseconds: UInt64
  /// Between two reads of the response.
  var idleMilliseconds: UInt64
  /// Idle connections kept per worker and endpoint.
  var poolSize: Int32
  var poolIdleMilliseconds: UInt64
  var passes: PassedCredentials
}

/// One endpoint.
struct EndpointRow: BitwiseCopyable {
  /// The same in every generation that has the endpoint.
  var handle: Handle
  var port: UInt16
  /// `host:port` as configured, for the log.
  var name: StaticBytes
  /// The host as a request names it: without the scheme's own port.
  var authority: StaticBytes
  /// The row of the certificates that it is verified against.
  var trust: Int32
  /// TLS is spoken to it.
  var isSecure: Bool
  /// What its certificate must be for.
  var peerName: StaticBytes
  var isPeerAddress: Bool
}

/// All services of a generation.
struct ServiceTable: BitwiseCopyable {
  let services: UnsafePointer<ServiceRow>
  let serviceCount: Int
  let endpoints: UnsafePointer<EndpointRow>
  let endpointCount: Int

  /// Compiles services; `handles` are those of the services, `endpointHandles` those of all endpoints, in the order of
  /// services and their endpoints.
  static func compile(
    _ services: [Service], handles: [Handle], endpoints endpointHandles: [Handle], arena: Arena
  ) -> ServiceTable {
    var rows: [ServiceRow] = []
    var endpoints: [EndpointRow] = []
    for (index, service) in services.enumerated() {
      rows.append(
        ServiceRow(
          id: handles[index].index, name: arena.text(service.name), firstEndpoint: Int32(endpoints.count),
          endpointCount: Int32(service.endpoints.count),
          connectMilliseconds: UInt64(service.connectTimeoutMilliseconds),
          headMilliseconds: UInt64(service.headTimeoutMilliseconds),
          idleMilliseconds: UInt64(service.idleTimeoutMilliseconds), poolSize: Int32(service.poolSize),
          poolIdleMilliseconds: UInt64(service.poolIdleMilliseconds), passes: passes(service.pass)))
      for endpoint in service.endpoints {
        let address = endpoint.address
        let isAddress = SocketAddress(numeric: address.host, port: address.port) != nil
        let isSecure = endpoint.scheme == .https
        // A certificate is for the name that was asked for.
        endpoints.append(
          EndpointRow(
            handle: endpointHandles[endpoints.count], port: address.port, name: arena.text(address.text),
            authority: arena.text(endpoint.authority), trust: isSecure ? Int32(service.trust ?? -1) : -1,
            isSecure: isSecure, peerName: arena.text(service.serverName ?? address.host),
            isPeerAddress: service.serverName == nil && isAddress))
      }
    }
    return ServiceTable(
      services: UnsafePointer(arena.copy(rows)), serviceCount: rows.count,
      endpoints: UnsafePointer(arena.copy(endpoints)), endpointCount: endpoints.count)
  }

  private static func passes(_ credentials: [Credential]) -> PassedCredentials {
    var passes: PassedCredentials = []
    for credential in credentials {
      switch credential {
      case .authorization: passes.insert(.authorization)
      case .apiKey: passes.insert(.apiKey)
      case .cookie: passes.insert(.cookie)
      }
    }
    return passes
  }
}
