// Request methods. A method that is not in the set is still forwarded; it has the one name `other` for routing.
// Read by the parser, matched by routes, named by the log.

/// A request method (RFC 9110 section 9, RFC 5789).
enum Method: UInt8, CaseIterable {
  case other, get, head, post, put, delete, patch, options, connect, trace

  /// As it stands on the wire; empty for `other`.
  var name: StaticString {
    switch self {
    case .other: ""
    case .get: "GET"
    case .head: "HEAD"
    case .post: "POST"
    case .put: "PUT"
    case .delete: "DELETE"
    case .patch: "PATCH"
    case .options: "OPTIONS"
    case .connect: "CONNECT"
    case .trace: "TRACE"
    }
  }

  /// The method of a token; methods are case-sensitive.
  init(_ token: UnsafePointer<UInt8>, _ count: Int) {
    for method in Method.allCases where method.name.utf8CodeUnitCount == count {
      if count > 0, equalBytes(token, method.name.utf8Start, count) {
        self = method
        return
      }
    }
    self = .other
  }

  /// The methods that a route can name.
  static let served: [Method] = [.get, .head, .post, .put, .delete, .patch, .options]

  /// The same, as bits.
  static let servedBits: UInt16 = served.reduce(0) { $0 | $1.bit }

  /// The method of a name in a configuration.
  init?(name: String) {
    guard let method = Method.served.first(where: { $0.name.description == name }) else { return nil }
    self = method
  }

  /// One bit per method, for sets of them.
  var bit: UInt16 { 1 << UInt16(rawValue) }

  /// Whether sending it twice does what sending it once does (RFC 9110 section 9.2.2).
  var isIdempotent: Bool {
    switch self {
    case .get, .head, .put, .delete, .options, .trace: true
    case .other, .post, .patch, .connect: false
    }
  }
}
