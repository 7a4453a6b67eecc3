// One row per header field that Edge reads or treats specially. The parser finds the row of a name once; after that a
// field is a small number.

/// A field with a row; `other` has none and is passed on as it is.
enum KnownHeader: UInt8, CaseIterable {
  case other, host, contentLength, transferEncoding, connection, keepAlive, proxyConnection, te, trailer, upgrade
  case http2Settings, proxyAuthenticate, proxyAuthorization, expect, authorization, apiKey, cookie, forwarded
  case forwardedFor, forwardedProto, forwardedHost, forwardedPort, forwardedServer, realIP, clientIP, trueClientIP,
    cloudflareIP, requestID
  case via, proxy, date, maxForwards

  /// A claim that Edge writes anew in every request, whoever makes it.
  var isWrittenClaim: Bool {
    switch self {
    case .forwarded, .forwardedFor, .forwardedProto, .forwardedHost: true
    default: false
    }
  }

  var row: HeaderRow { HeaderRow.table[Int(rawValue)] }
}

/// What Edge does with a field. Several may hold.
struct HeaderTreatment: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  /// Concerns one connection only (RFC 9110 section 7.6.1): never passed on, in neither direction.
  static let hopByHop = HeaderTreatment(rawValue: 1)
  /// Read here and written anew: where a message ends, whom it is for, who sent it.
  static let rewritten = HeaderTreatment(rawValue: 2)
  /// A Connection field must not name it: dropping it would change who is asked or who asks.
  static let protected = HeaderTreatment(rawValue: 4)
  /// A credential of the client: passed to a service only when the service's `pass` names it.
  static let credential = HeaderTreatment(rawValue: 8)
  /// A claim about the client, dropped unless a trusted peer makes it. Those that Edge writes itself it continues then.
  static let claim = HeaderTreatment(rawValue: 16)
  /// Dropped from requests whoever sent it.
  static let dropped = HeaderTreatment(rawValue: 32)
}

/// A row of the table: the name in lower case and its treatment.
struct HeaderRow: Sendable {
  let header: KnownHeader
  let name: StaticString
  let treatment: HeaderTreatment

  init(_ header: KnownHeader, _ name: StaticString, _ treatment: HeaderTreatment) {
    self.header = header
    self.name = name
    self.treatment = treatment
  }

  /// In the order of `KnownHeader`.
  static let table: [HeaderRow] = [
    HeaderRow(.other, "", []),
    HeaderRow(.host, "host", [.rewritten, .protected]),
    HeaderRow(.contentLength, "content-length", [.rewritten, .protected]),
    HeaderRow(.transferEncoding, "transfer-encoding", [.hopByHop, .rewritten, .protected]),
    HeaderRow(.connection, "connection", [.hopByHop, .rewritten]),
    HeaderRow(.keepAlive, "keep-alive", [.hopByHop]),
    HeaderRow(.proxyConnection, "proxy-connection", [.hopByHop]),
    HeaderRow(.te, "te", [.hopByHop]),
    HeaderRow(.trailer, "trailer", [.hopByHop]),
    HeaderRow(.upgrade, "upgrade", [.hopByHop]),
    HeaderRow(.http2Settings, "http2-settings", [.hopByHop]),
    HeaderRow(.proxyAuthenticate, "proxy-authenticate", [.hopByHop]),
    HeaderRow(.proxyAuthorization, "proxy-authorization", [.hopByHop, .protected]),
    HeaderRow(.expect, "expect", [.rewritten, .protected]),
    HeaderRow(.authorization, "authorization", [.protected, .credential]),
    HeaderRow(.apiKey, "x-api-key", [.protected, .credential]),
    HeaderRow(.cookie, "cookie", [.protected, .credential]),
    HeaderRow(.forwarded, "forwarded", [.protected, .claim]),
    HeaderRow(.forwardedFor, "x-forwarded-for", [.protected, .claim]),
    HeaderRow(.forwardedProto, "x-forwarded-proto", [.protected, .claim]),
    HeaderRow(.forwardedHost, "x-forwarded-host", [.protected, .claim]),
    HeaderRow(.forwardedPort, "x-forwarded-port", [.protected, .claim]),
    HeaderRow(.forwardedServer, "x-forwarded-server", [.protected, .claim]),
    HeaderRow(.realIP, "x-real-ip", [.protected, .claim]),
    HeaderRow(.clientIP, "x-client-ip", [.protected, .claim]),
    HeaderRow(.trueClientIP, "true-client-ip", [.protected, .claim]),
    HeaderRow(.cloudflareIP, "cf-connecting-ip", [.protected, .claim]),
    HeaderRow(.requestID, "x-request-id", [.protected, .rewritten]),
    HeaderRow(.via, "via", [.protected]),
    HeaderRow(.proxy, "proxy", [.dropped]),
    HeaderRow(.date, "date", []),
    HeaderRow(.maxForwards, "max-forwards", [.protected]),
  ]
}

/// Finds rows by name: open addressing over the name's length and ends, every hit compared byte by byte. The rows are
/// fixed, so no sender can make a search long.
struct KnownHeaderIndex: BitwiseCopyable {
  private struct Entry: BitwiseCopyable {
    var count: UInt8
    var header: KnownHeader
    var treatment: HeaderTreatment
    var name: UnsafePointer<UInt8>
  }

  private static let size = 128
  private let entries: UnsafeMutablePointer<Entry>

  init(arena: Arena) {
    entries = arena.allocate(Entry.self, count: KnownHeaderIndex.size)
    let none = StaticBytes.empty.start
    for slot in 0..<KnownHeaderIndex.size {
      entries[slot] = Entry(count: 0, header: .other, treatment: [], name: none)
    }
    for row in HeaderRow.table where row.header != .other {
      let count = row.name.utf8CodeUnitCount
      var slot = KnownHeaderIndex.slot(row.name.utf8Start, count)
      while entries[slot].count != 0 { slot = (slot + 1) & (KnownHeaderIndex.size - 1) }
      entries[slot] = Entry(
        count: UInt8(count), header: row.header, treatment: row.treatment, name: row.name.utf8Start)
    }
  }

  @inline(__always)
  private static func slot(_ name: UnsafePointer<UInt8>, _ count: Int) -> Int {
    // Setting bit 5 folds the case of letters; what else it folds is told apart by the comparison.
    let ends = Int(name[0] | 0x20) &* 5 &+ Int(name[count &- 1] | 0x20) &* 19 &+ Int(name[count >> 1] | 0x20)
    return (ends &+ count &* 3) & (size - 1)
  }

  /// The row of a name that is not empty.
  @inline(__always)
  func find(_ name: UnsafePointer<UInt8>, _ count: Int) -> (header: KnownHeader, treatment: HeaderTreatment) {
    var slot = KnownHeaderIndex.slot(name, count)
    while entries[slot].count != 0 {
      let entry = entries + slot
      if Int(entry.pointee.count) == count, equalTokens(name, entry.pointee.name, count) {
        return (entry.pointee.header, entry.pointee.treatment)
      }
      slot = (slot &+ 1) & (KnownHeaderIndex.size - 1)
    }
    return (.other, [])
  }
}
