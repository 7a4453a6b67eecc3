// The request that `edge explain` is asked about, from the words of the command line to what the parsers of serving
// make of them.
//
// Owns: what METHOD, URL, -H, -d and --token may be, and the listener that the request comes by.
// Called by: the verb `explain`. Never: shows a credential, or repairs a request that Edge would refuse.

import Glibc

/// A request as the command line gives it.
struct ExplainedRequest {
  let method: String
  /// As it would stand in the request line.
  let target: String
  /// nil: the URL names none.
  let host: String?
  /// The port of that host.
  let port: UInt16?
  /// Whether the URL begins with https; nil: it is a path.
  let isSecure: Bool?
  var fields: [(name: String, value: [UInt8])] = []
  /// nil: none was given.
  var body: [UInt8]?

  private static let bodyBytesMax = 64 << 20

  /// Reads the operands and options; the error says what is wrong with the command line.
  init(_ arguments: CommandArguments) throws(UsageError) {
    let (method, url) = (arguments.operands[0], arguments.operands[1])
    guard !method.utf8.contains(where: { (0x61...0x7a).contains($0) }) else {
      throw UsageError(message: "methods are case-sensitive; did you mean '\(method.uppercased())'?")
    }
    self.method = method
    var given: String?
    for line in arguments.values("-H") {
      guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
        // What stands there may be a credential.
        throw UsageError(message: "-H takes a field such as 'content-type: application/json'")
      }
      let name = String(line[..<colon])
      let value = ExplainedRequest.trimmed(line[line.index(after: colon)...])
      if name.lowercased() == "host" { given = value } else { fields.append((name, Array(value.utf8))) }
    }
    let authority: String?
    // It is refused whatever it names.
    (authority, target) = method == "CONNECT" ? (nil, url) : try ExplainedRequest.split(url)
    host = given ?? authority
    let scheme = url.lowercased().hasPrefix("https:") ? Endpoint.Scheme.https : .http
    isSecure = url.contains("://") ? scheme == .https : nil
    port = authority.flatMap { text in
      text.contains(":") ? text.split(separator: ":").last.flatMap { UInt16($0) } : scheme.port
    }
    if let token = arguments.value("--token") {
      fields.append(("authorization", Array("Bearer \(token)".utf8)))
    }
    if let text = arguments.value("-d") { body = try ExplainedRequest.body(text) }
    let isFramed = fields.contains { ["content-length", "transfer-encoding"].contains($0.name.lowercased()) }
    if let body, !isFramed { fields.append(("content-length", Array("\(body.count)".utf8))) }
  }

  /// Host and target of a URL. Paths and absolute ones are told apart as a browser does.
  private static func split(_ url: String) throws(UsageError) -> (String?, String) {
    if url.hasPrefix("/") || url == "*" { return (nil, url) }
    guard let mark = url.firstRange(of: "://"), ["http", "https"].contains(url[..<mark.lowerBound].lowercased())
    else {
      // What stands before an @ may be a password.
      let near = url.contains("@") ? "" : "; did you mean '/\(withoutQuery(url))'?"
      let hint = url.contains("://") ? "; http:// and https:// are known" : near
      throw UsageError(message: "URL is a path, such as /v1/models, or begins with http://\(hint)")
    }
    let rest = url[mark.upperBound...]
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    let target = rest[end...].prefix { $0 != "#" }
    return (String(rest[..<end]), target.hasPrefix("/") ? String(target) : "/" + target)
  }

  /// A query may hold a token.
  private static func withoutQuery(_ url: String) -> Substring { url.prefix { $0 != "?" } }

  private static func body(_ text: String) throws(UsageError) -> [UInt8] {
    guard text.hasPrefix("@") else { return Array(text.utf8) }
    let path = String(text.dropFirst())
    do throws(FileFault) { return try ConfigFile.read(path, bytesMax: bodyBytesMax) } catch {
      throw UsageError(message: "'\(path)' cannot be read: \(error.reason)")
    }
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text.drop { $0 == " " || $0 == "\t" }
    while text.last == " " || text.last == "\t" { text.removeLast() }
    return String(text)
  }

  /// Adds what opens a WebSocket, unless it is there.
  mutating func addHandshake() {
    let all = [
      ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
      ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    for field in all where !fields.contains(where: { $0.name.lowercased() == field.0 }) {
      fields.append((field.0, Array(field.1.utf8)))
    }
    // The body is a message on it.
    fields.removeAll { $0.name.lowercased() == "content-length" }
  }

  /// It opens a WebSocket as it stands.
  var asksUpgrade: Bool { fields.contains { $0.name.lowercased() == "upgrade" } }

  /// The request as Edge reads it, at a listener.
  func wire(_ snapshot: Snapshot, at listener: Listener) throws(WireRefusal) -> WireRequest {
    let limits = HeadLimits(bytes: snapshot.limits.headBytesMax, fields: snapshot.limits.headFieldsMax)
    return try WireRequest(
      method: method, target: target, host: host ?? ExplainedRequest.host(of: listener), fields: fields, limits: limits)
  }

  /// The host that clients name who know nothing but the address.
  private static func host(of listener: Listener) -> String {
    let address = listener.address
    let host = address.host == "*" ? "localhost" : address.host
    return address.port == 0 || address.port == (listener.isSecure ? Endpoint.Scheme.https : .http).port
      ? (host.utf8.contains(0x3a) ? "[\(host)]" : host) : HostPort(host: host, port: address.port).text
  }

  /// The listener of a name; without one that of the URL's port, else the first that has routes and speaks as the URL
  /// says, if there is one.
  func listener(_ name: String?, _ snapshot: Snapshot) throws(UsageError) -> Int {
    guard let name else {
      let places = snapshot.listeners.indices.filter { !snapshot.listeners[$0].isAdmin }
      guard let first = places.first else {
        throw UsageError(message: "every listener has 'admin': no route is reached")
      }
      let alike = places.first { snapshot.listeners[$0].isSecure == isSecure }
      return port.flatMap { port in places.first { snapshot.listeners[$0].address.port == port } } ?? alike ?? first
    }
    if let index = snapshot.listeners.firstIndex(where: { $0.name == name }) {
      guard !snapshot.listeners[index].isAdmin else {
        throw UsageError(message: "the listener '\(name)' has 'admin': operators are served there, and no route")
      }
      return index
    }
    let names = snapshot.listeners.map(\.name)
    let hint = Nearness.hint(for: name, among: names) ?? "there are: \(names.joined(separator: ", "))"
    throw UsageError(message: "there is no listener '\(name)'; \(hint)")
  }
}

/// What is shown of a query.
enum ExplainedQuery {
  /// The query with `***` in the place of what may be a credential.
  static func shown(_ target: RequestTarget) -> String? {
    guard let query = target.query else { return nil }
    let text = String(decoding: UnsafeBufferPointer(start: query, count: target.queryCount), as: UTF8.self)
    let parts = text.split(separator: "&", omittingEmptySubsequences: false).map { part -> String in
      let name = part.prefix { $0 != "=" }
      // A name with escapes may be any.
      if name.contains("%") { return "***" }
      let isSecret = secrets.contains(name.lowercased()) || SecretName.isLikely(String(name))
      return isSecret ? "\(name)=***" : String(part)
    }
    return parts.joined(separator: "&")
  }

  private static let secrets = ["token", "code", "key", "sig", "signature"]
}
