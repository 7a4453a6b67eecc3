// Services and their endpoints as rows without references, compiled once per generation.
// Read by the driver and the connection pool; it never changes once it is compiled.

/// One service.
struct ServiceRow: BitwiseCopyable {
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
  var address: SocketAddress
  /// `host:port` as configured, for the log.
  var name: StaticBytes
}

/// All services of a generation.
struct ServiceTable: BitwiseCopyable {
  let services: UnsafePointer<ServiceRow>
  let serviceCount: Int
  let endpoints: UnsafePointer<EndpointRow>
  let endpointCount: Int

  /// Compiles services; `addresses` holds the address of each endpoint, in the order of services and endpoints.
  static func compile(_ services: [Service], addresses: [SocketAddress], arena: Arena) -> ServiceTable {
    var rows: [ServiceRow] = []
    var endpoints: [EndpointRow] = []
    for service in services {
      rows.append(
        ServiceRow(
          name: arena.text(service.name), firstEndpoint: Int32(endpoints.count),
          endpointCount: Int32(service.endpoints.count),
          connectMilliseconds: UInt64(service.connectTimeoutMilliseconds),
          headMilliseconds: UInt64(service.headTimeoutMilliseconds),
          idleMilliseconds: UInt64(service.idleTimeoutMilliseconds), poolSize: Int32(service.poolSize),
          poolIdleMilliseconds: UInt64(service.poolIdleMilliseconds), passes: passes(service.pass)))
      for endpoint in service.endpoints {
        endpoints.append(EndpointRow(address: addresses[endpoints.count], name: arena.text(endpoint.address.text)))
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
