// What routes of WebSockets say in words of their own, and which dialects only clients speak.
//
// Owns: how origins, what a reload does to WebSockets, and dialects of providers are written.
// Called by: value reading, and the section of routes.
// Never: compares an Origin with what was written; the handshake does.

/// Origins of browsers' pages (RFC 6454).
enum OriginText {
  /// Reads an origin as a browser writes it: in lower case, without the port that its scheme has anyway.
  static func read(_ text: String) throws(ValueComplaint) -> String {
    if text == "*" { throw ValueComplaint("'*' is no origin", hint: "leave 'origins' out to let every page in") }
    if text.lowercased() == "null" {
      throw ValueComplaint("'null' is what pages say that have no origin: it is never let in", hint: "remove it")
    }
    if text.contains("*") { throw ValueComplaint("'\(text)' has a '*': each origin is written out") }
    guard let colon = text.firstRange(of: "://") else {
      throw ValueComplaint("'\(text)' is not an origin", hint: "did you mean 'https://\(text)'?")
    }
    let scheme = text[..<colon.lowerBound].lowercased()
    let rest = text[colon.upperBound...]
    guard let first = scheme.utf8.first, (0x61...0x7A).contains(first), scheme.utf8.allSatisfy(isOfScheme) else {
      throw ValueComplaint("'\(text)' is not an origin", hint: "write it like https://app.example.com")
    }
    if let page = pageSchemes[scheme] {
      throw ValueComplaint(
        "an origin is that of the page, not of the WebSocket", hint: "did you mean '\(page)://\(rest)'?")
    }
    if let stop = rest.firstIndex(where: { $0 == "/" || $0 == "?" || $0 == "#" }) {
      throw ValueComplaint("an origin has no path", hint: "did you mean '\(scheme)://\(rest[..<stop])'?")
    }
    guard !rest.contains("@") else { throw ValueComplaint("an origin carries no user or password") }
    let (host, port) = try HostPort.split(String(rest))
    guard !host.isEmpty else { throw ValueComplaint("'\(text)' has no host") }
    guard port != 0 else { throw ValueComplaint("port 0 is no page's") }
    let name = host.hasPrefix("[") ? "[\(try HostText.bracketed(host))]" : try HostText.host(host, in: host)
    guard let port, port != Endpoint.Scheme(rawValue: scheme)?.port else { return "\(scheme)://\(name)" }
    return "\(scheme)://\(name):\(port)"
  }

  private static let pageSchemes = ["ws": "http", "wss": "https"]

  private static func isOfScheme(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2B || byte == 0x2D || byte == 0x2E
  }
}

/// What becomes of WebSockets when a reload has changed their route.
enum SessionReloadText {
  /// What is written alone; the first is the default.
  static let words = ["keep", "close"]
  /// What is written with a duration.
  static let drain = "drain"
  private static let bounds = 1_000...86_400_000
  private static let example = "write it like \(drain) 5m"

  /// For messages and reference pages.
  static var expectation: String {
    "keep, close, or drain with a duration such as drain 5m, \(QuantityUnit.duration.text(bounds))"
  }

  /// Reads it, the duration in its largest unit.
  static func read(_ text: String) throws(ValueComplaint) -> String {
    if words.contains(text) { return text }
    let parts = text.split(separator: " ")
    guard parts.first.map(String.init) == drain else {
      if (try? QuantityUnit.duration.read(text, within: bounds)) != nil {
        throw ValueComplaint("'\(text)' is a duration alone", hint: "did you mean '\(drain) \(text)'?")
      }
      throw ValueComplaint(
        "'\(text)' is not \(expectation)", hint: Nearness.hint(for: text, among: words + [drain]))
    }
    guard parts.count == 2 else {
      throw ValueComplaint(
        parts.count == 1 ? "'\(drain)' says no duration" : "'\(text)' is more than '\(drain)' and a duration",
        hint: example)
    }
    do {
      return "\(drain) \(QuantityUnit.duration.text(try QuantityUnit.duration.read(String(parts[1]), within: bounds)))"
    } catch {
      throw ValueComplaint(error.message, hint: example)
    }
  }

  /// What a text means that was read; nil for any other.
  static func meaning(_ text: String) -> SessionReload? {
    let parts = text.split(separator: " ")
    switch parts.first {
    case "keep" where parts.count == 1: return .keep
    case "close" where parts.count == 1: return .close
    case "drain" where parts.count == 2:
      let duration = try? QuantityUnit.duration.read(String(parts[1]), within: bounds)
      return duration.map { .drain(milliseconds: $0) }
    default: return nil
    }
  }
}

/// Dialects by who speaks them.
enum DialectText {
  /// What providers speak.
  static let ofProviders = DialectName.allCases.filter { $0 != .platformV1 }.map(\.rawValue)

  /// Reads the dialect of a provider.
  static func readOfProvider(_ text: String) throws(ValueComplaint) -> String {
    if ofProviders.contains(text) { return text }
    if DialectName(rawValue: text) != nil {
      throw ValueComplaint(
        "no provider speaks '\(text)': it is what clients of Edge speak on WebSockets",
        hint: "write what the provider speaks: \(ConfigText.choices(ofProviders))")
    }
    throw ValueComplaint(
      "'\(text)' is not \(ValueType.providerDialect.expectation)", hint: Nearness.hint(for: text, among: ofProviders))
  }
}
