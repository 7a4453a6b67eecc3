// `server`: rows and decoding.
//
// Owns: the keys of the process and its client side.
// Called by: the root section.
// Never: checks one key against another.

/// The keys of `server`.
enum ServerSection {
  static let workers = SchemaRow(
    "workers", .integerOr(word: "auto", 1...64), .literal("auto"), .restart,
    "Worker threads, each with its own event loop; auto starts one per core.")
  static let drain = SchemaRow(
    "drain", .duration(0...86_400_000), .literal("30s"), .live,
    "How long running exchanges may finish after SIGTERM; what is left is cut.")
  static let trusted = SchemaRow(
    "trusted", .list(.addressBlock, count: 0...256, scalarAllowed: true), .empty, .live,
    "Load balancers and proxies in front (CIDR blocks): they say who asks, and their X-Request-Id and forwarding "
      + "fields are kept; what others say there is replaced.")
  static let varFolder = SchemaRow(
    "var", .path, .literal("var/"), .restart, "Folder of state, against the folder of the main file.")
  static let policies = SchemaRow(
    "policies", .path, .literal("policies/"), .live, "Folder of scripts, against the folder of the main file.")
  static let timeouts = SchemaRow(
    "timeouts", .section(timeoutSchema), .empty, .live, "How long Edge waits for a client.")
  static let dns = SchemaRow("dns", .section(dnsSchema), .empty, .live, "How the host names of endpoints are followed.")

  static let memory = SchemaRow(
    "memory", .section(memorySchema), .empty, .live, "What requests may take of memory together.")
  static let stats = SchemaRow(
    "stats", .choice([guarded, "public"]), .literal(guarded), .live,
    "Whether a route to the built-in answer `stats` must have a permission (guarded) or may be open to all (public).")
  private static let guarded = "guarded"

  static let bodies = SchemaRow(
    "bodies", .size((1 << 20)...(1 << 40)), .literal("256MiB"), .live,
    "Bodies that must be read as a whole before they are sent on; beyond: 503.")

  static let handshake = SchemaRow(
    "handshake", .duration(1...600_000), .literal("10s"), .live,
    "From a connection at a listener with TLS to the end of the TLS handshake; then the connection closes.")
  static let head = SchemaRow(
    "head", .duration(1...3_600_000), .literal("15s"), .live,
    "From the first byte of a request head to its last; then 408.")
  static let idle = SchemaRow(
    "idle", .duration(1...86_400_000), .literal("75s"), .live,
    "Keep-alive without a request; then the connection closes.")
  static let body = SchemaRow(
    "body", .duration(1...86_400_000), .literal("30s"), .live, "Between two reads of a request body; then 408.")
  static let send = SchemaRow(
    "send", .duration(1...86_400_000), .literal("60s"), .live,
    "While a client takes none of the bytes that wait for it; then the connection is cut.")

  static let refresh = SchemaRow(
    "refresh", .duration(1_000...300_000), .literal("30s"), .live,
    "How often a host name is resolved again; its last addresses stay while that fails.")

  static let timeoutSchema = SchemaSection(
    "serverTimeouts", "How long Edge waits for a client.", [handshake, head, idle, body, send])
  static let memorySchema = SchemaSection(
    "serverMemory", "What requests may take of memory together.", [bodies])
  static let dnsSchema = SchemaSection("dns", "How the host names of endpoints are followed.", [refresh])
  static let schema = SchemaSection(
    "server", "The process and its client side.",
    [workers, drain, trusted, varFolder, policies, timeouts, dns, memory, stats])

  /// Typed settings; `folder` is the folder of the main file.
  static func decode(_ fields: SectionFields, folder: String) throws(SchemaDefect) -> ServerSettings {
    let timeouts = try fields.section(timeouts)
    let dns = try fields.section(dns)
    return ServerSettings(
      workers: try fields.integerOrWord(workers).map { .fixed($0) } ?? .auto,
      drainMilliseconds: try fields.integer(drain),
      trusted: try fields.list(trusted) { if case .block(let block) = $0 { block } else { nil } },
      varFolder: FilePath.join(folder, try fields.text(varFolder)),
      policiesFolder: FilePath.join(folder, try fields.text(policies)),
      headTimeoutMilliseconds: try timeouts.integer(head),
      idleTimeoutMilliseconds: try timeouts.integer(idle),
      bodyTimeoutMilliseconds: try timeouts.integer(body),
      sendTimeoutMilliseconds: try timeouts.integer(send),
      dnsRefreshMilliseconds: try dns.integer(refresh),
      bodyMemoryBytes: try fields.section(memory).integer(bodies),
      statsArePublic: try fields.text(stats) != guarded,
      handshakeTimeoutMilliseconds: try timeouts.integer(handshake))
  }

  /// Whether routes to the statistics must be guarded; nothing is concluded from a wrong value.
  static func guardsStats(_ fields: SectionFields) -> Bool { fields[stats]?.value == .text(guarded) }
}
