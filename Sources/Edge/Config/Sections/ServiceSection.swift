// `services.NAME`: rows and decoding.
//
// Owns: the keys of one service.
// Called by: the root section.
// Never: resolves a host name.

/// The keys of a service.
enum ServiceSection {
  static let endpoints = SchemaRow(
    "endpoints", .list(.endpoint, count: 1...64, scalarAllowed: true), .required, .live,
    "Where the service is reached: http://host[:port] or https://host[:port], no path.")
  static let tls = SchemaRow(
    "tls", .section(tlsSchema), .empty, .live, "How https endpoints are verified; they always are.")
  static let timeouts = SchemaRow(
    "timeouts", .section(timeoutSchema), .empty, .live, "How long Edge waits for the service.")
  static let pool = SchemaRow(
    "pool", .section(poolSchema), .empty, .live, "Idle connections kept for reuse.")
  static let pass = SchemaRow(
    "pass",
    .list(.choice(Credential.allCases.map(\.rawValue)), count: 0...Credential.allCases.count, scalarAllowed: true),
    .empty, .live, "Credentials of clients that the service receives; all others are removed.")

  static let connect = SchemaRow(
    "connect", .duration(1...600_000), .literal("3s"), .live,
    "To connect to one endpoint, the TLS handshake included; then the next is tried.")
  static let head = SchemaRow(
    "head", .duration(1...86_400_000), .environment("GATEWAY_TIMEOUT_MS", suffix: "ms", otherwise: "30s"), .live,
    "From the end of the request to the response head; then 504.")
  static let idle = SchemaRow(
    "idle", .duration(1...86_400_000), .literal("120s"), .live,
    "Between two reads of the response body; then the response is cut.")

  static let caFile = SchemaRow(
    "ca_file", .path, .environment("SSL_CERT_FILE", suffix: "", otherwise: "/etc/ssl/certs/ca-certificates.crt"),
    .live, "Certificates in PEM form that the endpoints' certificates must lead to; all in the file are trusted.")
  static let serverName = SchemaRow(
    "server_name", .hostName, .absent, .live,
    "The name that is sent (SNI) and that the certificate must be for; each endpoint's own host when left out.")

  static let size = SchemaRow(
    "size", .integer(0...4_096), .literal("256"), .live, "Most idle connections per worker; 0 keeps none.")
  static let poolIdle = SchemaRow(
    "idle", .duration(1...3_600_000), .literal("10s"), .live,
    "How long an idle connection is kept; shorter than the service itself keeps it.")

  static let timeoutSchema = SchemaSection(
    "serviceTimeouts", "How long Edge waits for a service.", [connect, head, idle])
  static let tlsSchema = SchemaSection("serviceTLS", "How https endpoints are verified.", [caFile, serverName])
  static let poolSchema = SchemaSection("pool", "Idle connections kept for reuse.", [size, poolIdle])
  static let schema = SchemaSection(
    "service", "Interchangeable endpoints of one platform service.", [endpoints, tls, timeouts, pool, pass])

  /// A typed service; `trust` is the index of its certificates.
  static func decode(_ entry: NamedFields, trust: Int?) throws(SchemaDefect) -> Service {
    let fields = entry.fields
    let tls = fields[tls] == nil ? nil : try fields.section(tls)
    let timeouts = try fields.section(timeouts)
    let pool = try fields.section(pool)
    return Service(
      name: entry.name,
      endpoints: try fields.endpoints(endpoints),
      connectTimeoutMilliseconds: try timeouts.integer(connect),
      headTimeoutMilliseconds: try timeouts.integer(head),
      idleTimeoutMilliseconds: try timeouts.integer(idle),
      poolSize: try pool.integer(size),
      poolIdleMilliseconds: try pool.integer(poolIdle),
      pass: try fields.list(pass) { if case .text(let word) = $0 { Credential(rawValue: word) } else { nil } },
      trust: trust, serverName: try tls?.optionalText(serverName))
  }
}
