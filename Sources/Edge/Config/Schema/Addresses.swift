// Hosts, addresses and blocks as they are written in a configuration.
//
// Owns: the reading of listen addresses, endpoint URLs, CIDR blocks and host patterns into canonical values.
// Called by: value reading.
// Never: resolves a name.

import Glibc

/// A block of IPv4 or IPv6 addresses.
struct AddressBlock: Sendable, Hashable {
  /// The address in network order: 4 or 16 bytes, zero behind the prefix.
  let bytes: [UInt8]
  /// How many leading bits count.
  let prefixBits: Int

  /// `10.0.0.0/8`.
  var text: String { "\(IPText.text(bytes))/\(prefixBits)" }

  /// Reads a block, or a single address as a block of one.
  static func read(_ text: String) throws(ValueComplaint) -> AddressBlock {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let bytes = IPText.bytes(String(parts[0])) else {
      throw ValueComplaint(
        "'\(text)' is not an address block", hint: "write it like 10.0.0.0/8, fd00::/8 or 192.0.2.7")
    }
    let widest = bytes.count * 8
    guard parts.count == 2 else { return AddressBlock(bytes: bytes, prefixBits: widest) }
    guard let bits = ConfigText.plainInteger(parts[1]), bits <= widest else {
      throw ValueComplaint("'/\(parts[1])' is not a prefix length from 0 to \(widest)")
    }
    var masked = bytes
    for index in masked.indices {
      let kept = max(0, min(8, bits - index * 8))
      masked[index] &= UInt8(truncatingIfNeeded: 0xFF00 >> kept)
    }
    let block = AddressBlock(bytes: masked, prefixBits: bits)
    guard masked == bytes else {
      throw ValueComplaint("'\(text)' has bits set behind its prefix", hint: "did you mean '\(block.text)'?")
    }
    return block
  }
}

/// The host of a route.
enum HostPattern: Sendable, Hashable {
  /// Exactly this host: a lower-case DNS name, or an address in canonical text without brackets.
  case exact(String)
  /// Any host that ends in this suffix, which begins with a dot.
  case suffix(String)

  /// The pattern as it is written.
  var text: String {
    switch self {
    case .exact(let host): host.utf8.contains(0x3A) ? "[\(host)]" : host
    case .suffix(let suffix): "*" + suffix
    }
  }

  /// Reads a host pattern.
  static func read(_ text: String) throws(ValueComplaint) -> HostPattern {
    if text == "*" { throw ValueComplaint("'*' alone is no host", hint: "leave 'host' out to match any host") }
    if text.contains("://") {
      throw ValueComplaint("'\(text)' is a URL, not a host", hint: "write the host name only")
    }
    if text.hasPrefix("*.") {
      return .suffix("." + (try HostText.name(String(text.dropFirst(2)), in: text)))
    }
    if text.contains("*") {
      throw ValueComplaint("'*' may only stand as the whole first label, as in *.example.com")
    }
    if text.hasPrefix("["), text.hasSuffix("]") {
      return .exact(try HostText.bracketed(text))
    }
    if text.utf8.contains(0x3A) {
      let port = text.split(separator: ":").last.flatMap { ConfigText.plainInteger($0) }
      if port != nil, text.split(separator: ":", omittingEmptySubsequences: false).count == 2 {
        throw ValueComplaint("a host has no port here", hint: "hosts match on every port; listeners choose the port")
      }
      throw ValueComplaint("'\(text)' is not a host", hint: "write an IPv6 address in brackets")
    }
    return .exact(try HostText.host(text, in: text))
  }
}

extension HostPort {
  /// Reads an address to listen on.
  static func readBind(_ text: String) throws(ValueComplaint) -> HostPort {
    if let scheme = text.firstRange(of: "://") {
      let rest = text[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
      throw ValueComplaint("'\(text)' is a URL, not an address to listen on", hint: "write \(rest)")
    }
    if ConfigText.plainInteger(text) != nil {
      throw ValueComplaint("'\(text)' has no host", hint: "write \"*:\(text)\" for every address, or 127.0.0.1:\(text)")
    }
    let (host, port) = try split(text)
    guard let port else {
      let example =
        text.hasPrefix("[") || text == "*" ? "\"\(text):3003\"" : "\(text.isEmpty ? "127.0.0.1" : text):3003"
      throw ValueComplaint("'\(text)' has no port", hint: "write it like \(example)")
    }
    if host == "*" { return HostPort(host: "*", port: port) }
    if host.hasPrefix("[") { return HostPort(host: try HostText.bracketed(host), port: port) }
    if host.isEmpty { throw ValueComplaint("'\(text)' has no host", hint: "write \"*\(text)\" for every address") }
    guard let bytes = IPText.bytes(host), bytes.count == 4 else {
      throw ValueComplaint(
        "'\(host)' is not an address to listen on",
        hint: host == "localhost"
          ? "write 127.0.0.1:\(port) or \"[::1]:\(port)\"" : "write an IPv4 address, [IPv6] or *")
    }
    return HostPort(host: IPText.text(bytes), port: port)
  }

  /// `host[:port]` in two; the host keeps its brackets.
  static func split(_ text: String) throws(ValueComplaint) -> (host: String, port: UInt16?) {
    var host = text[...]
    var port: Substring?
    if text.hasPrefix("[") {
      guard let close = text.firstIndex(of: "]") else { throw ValueComplaint("'\(text)' lacks a ']'") }
      host = text[...close]
      let rest = text[text.index(after: close)...]
      if rest.hasPrefix(":") {
        port = rest.dropFirst()
      } else if !rest.isEmpty {
        throw ValueComplaint("'\(rest)' cannot follow an address", hint: "write a port as \"[::1]:3003\"")
      }
    } else if let colon = text.lastIndex(of: ":") {
      host = text[..<colon]
      port = text[text.index(after: colon)...]
      if host.contains(":") {
        throw ValueComplaint("'\(text)' is ambiguous", hint: "write an IPv6 address in brackets: \"[::1]:3003\"")
      }
    }
    guard let port else { return (String(host), nil) }
    guard let number = ConfigText.plainInteger(port), number <= 65_535 else {
      throw ValueComplaint("'\(port)' is not a port from 0 to 65535")
    }
    return (String(host), UInt16(number))
  }
}

extension Endpoint {
  /// What is wrong with an endpoint that has a path.
  static let pathProblem = "an endpoint has no path: requests keep theirs"

  /// Reads the URL of an endpoint.
  static func read(_ text: String) throws(ValueComplaint) -> Endpoint {
    let parts = text.split { $0 == " " || $0 == "," }.map(String.init)
    if parts.count > 1, parts.allSatisfy({ (try? read($0)) != nil }) {
      let list = parts.map { "\"\($0)\"" }.joined(separator: ", ")
      throw ValueComplaint("these are \(parts.count) URLs in one text", hint: "write [\(list)]")
    }
    guard let colon = text.firstRange(of: "://") else {
      let scheme: Scheme = text.hasSuffix(":443") ? .https : .http
      throw ValueComplaint("'\(text)' is not a URL", hint: "did you mean '\(scheme)://\(text)'?")
    }
    let word = text[..<colon.lowerBound].lowercased()
    guard let scheme = Scheme(rawValue: word) else {
      throw ValueComplaint(
        "an endpoint speaks http or https, not '\(word)'", hint: "write it like http://127.0.0.1:3007")
    }
    let rest = text[colon.upperBound...]
    if let stop = rest.firstIndex(where: { $0 == "/" || $0 == "?" || $0 == "#" }) {
      throw ValueComplaint(
        pathProblem, hint: "did you mean '\(scheme)://\(rest[..<stop])'?")
    }
    guard !rest.contains("@") else { throw ValueComplaint("an endpoint carries no user or password") }
    let (host, port) = try HostPort.split(String(rest))
    guard port != 0 else { throw ValueComplaint("port 0 cannot be connected to") }
    guard !host.isEmpty else { throw ValueComplaint("'\(text)' has no host") }
    let name = host.hasPrefix("[") ? try HostText.bracketed(host) : try HostText.host(host, in: host)
    return Endpoint(scheme: scheme, address: HostPort(host: name, port: port ?? scheme.port))
  }
}

/// Host names in text.
enum HostText {
  /// A DNS name that stands alone.
  static func nameOnly(_ text: String) throws(ValueComplaint) -> String {
    if text.contains("://") { throw ValueComplaint("'\(text)' is a URL, not a name", hint: "write the name only") }
    if IPText.bytes(text) != nil || text.hasPrefix("[") {
      throw ValueComplaint("'\(text)' is an address, not a name")
    }
    return try name(text, in: text)
  }

  /// An address or a DNS name.
  static func host(_ text: String, in whole: String) throws(ValueComplaint) -> String {
    if let bytes = IPText.bytes(text), bytes.count == 4 { return IPText.text(bytes) }
    return try name(text, in: whole)
  }

  /// A DNS name in lower case, without a dot at the end.
  fileprivate static func name(_ text: String, in whole: String) throws(ValueComplaint) -> String {
    let labels = text.lowercased().split(separator: ".", omittingEmptySubsequences: false)
    let valid = labels.allSatisfy { label in
      !label.isEmpty && label.utf8.count <= 63 && !label.hasPrefix("-") && !label.hasSuffix("-")
        && label.utf8.allSatisfy {
          (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F
        }
    }
    guard valid, text.utf8.count <= 253 else {
      throw ValueComplaint(
        "'\(whole)' is not a host name",
        hint: text.utf8.allSatisfy { $0 < 0x80 }
          ? nil : "write international names in their xn-- form")
    }
    guard !(labels.last?.utf8.allSatisfy { (0x30...0x39).contains($0) } ?? true) else {
      throw ValueComplaint("'\(whole)' is neither an IPv4 address nor a host name")
    }
    return labels.joined(separator: ".")
  }

  /// `[IPv6]` as its canonical text without brackets.
  static func bracketed(_ text: String) throws(ValueComplaint) -> String {
    guard let bytes = IPText.bytes(String(text.dropFirst().dropLast())), bytes.count == 16 else {
      throw ValueComplaint("'\(text)' is not an IPv6 address in brackets")
    }
    return IPText.text(bytes)
  }
}

/// Numeric addresses in text, by the C library's reading.
enum IPText {
  /// 4 or 16 bytes in network order, or nil.
  static func bytes(_ text: String) -> [UInt8]? {
    guard !text.utf8.contains(0) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes[..<4]) }
    if inet_pton(AF_INET6, text, &bytes) == 1 { return bytes }
    return nil
  }

  /// The canonical text of 4 or 16 bytes.
  static func text(_ bytes: [UInt8]) -> String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let family = bytes.count == 4 ? AF_INET : AF_INET6
    guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return "" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
