// What proxies in front of Edge say about who asks: `X-Forwarded-For` as everybody writes it, and `Forwarded` of
// RFC 7239. Both are read from the nearest proxy on, as far as the addresses in them are trusted.
// Called by the driver, for peers that may speak for others. Never: decides who that is.

import Glibc

extension ReceivedHead {
  /// The address of the client: of all that the chain of proxies names, the nearest that is not trusted. Where the
  /// chain is malformed or hides an address, it is the last one before that; `peer` when there is none at all.
  /// X-Forwarded-For goes before Forwarded: proxies that write only the one let the other pass as they got it, and
  /// nearly all of them write the first.
  func client(
    behind peer: SocketAddress, _ classes: ByteClasses, trusts: (SocketAddress) -> Bool
  ) -> SocketAddress {
    var walk = ProxyWalk()
    for index in 0..<table.count where table.fields[index].known == .forwardedFor {
      let value = table.fields[index].value
      forEachListElement(bytes + Int(value.start), Int(value.count)) { element, count in
        walk.pass(SocketAddress(node: element, count), trusts)
      }
    }
    if walk.hops > 0 { return walk.client ?? peer }
    for index in 0..<table.count where table.fields[index].known == .forwarded {
      let value = table.fields[index].value
      let isWhole = forEachForwarded(bytes + Int(value.start), Int(value.count), classes) { hop in
        walk.pass(hop.node.flatMap { SocketAddress(node: $0.start, $0.count) }, trusts)
      }
      if !isWhole { walk.pass(nil, trusts) }
    }
    return walk.client ?? peer
  }

  /// The first field from which on all Forwarded fields are well-formed. What stands before a malformed one cannot be
  /// told from what belongs to it.
  func firstForwarded(_ classes: ByteClasses) -> Int {
    var first = 0
    for index in 0..<table.count where table.fields[index].known == .forwarded {
      let value = table.fields[index].value
      if !forEachForwarded(bytes + Int(value.start), Int(value.count), classes, { _ in }) { first = index + 1 }
    }
    return first
  }

  /// Whether X-Forwarded-For names anybody. Then nothing of Forwarded counts, which may be the client's own.
  var namesForwardedFor: Bool {
    var isNamed = false
    for index in 0..<table.count where table.fields[index].known == .forwardedFor {
      let value = table.fields[index].value
      forEachListElement(bytes + Int(value.start), Int(value.count)) { _, _ in isNamed = true }
    }
    return isNamed
  }

  /// Whether the nearest proxy says that it was asked by https; nil: it does not say how.
  func claimsSecure(_ classes: ByteClasses) -> Bool? {
    if let isSecure = forwardedProtoIsSecure { return isSecure }
    if namesForwardedFor { return nil }
    var isSecure: Bool?
    for index in 0..<table.count where table.fields[index].known == .forwarded {
      let value = table.fields[index].value
      let isWhole = forEachForwarded(bytes + Int(value.start), Int(value.count), classes) { isSecure = $0.isSecure }
      if !isWhole { isSecure = false }
    }
    return isSecure
  }

  /// What the last of X-Forwarded-Proto says; nil when there is none, or it is no scheme.
  fileprivate var forwardedProtoIsSecure: Bool? {
    guard let value = lastValue(of: .forwardedProto) else { return nil }
    var isSecure: Bool?
    forEachListElement(value.start, value.count) { element, count in
      isSecure = equalLowered(element, count, "https") ? true : equalLowered(element, count, "http") ? false : nil
    }
    return isSecure
  }
}

extension ByteWriter {
  /// Who asks, in the form of RFC 7239 and in the one that came before it. The one that proxies have left out is made
  /// of the other, so that services read the same in both.
  mutating func appendClaims(_ received: ReceivedHead, _ sender: Sender) {
    let isFromOlder = sender.claimClasses != nil && received.namesForwardedFor
    append("x-forwarded-for: ")
    if let classes = sender.claimClasses {
      if isFromOlder { appendForwardedFor(received) } else { appendForwardedFor(of: received, classes) }
    }
    append(sender.address, sender.addressCount)
    let isSecure = sender.claimClasses.flatMap { received.claimsSecure($0) } ?? sender.isSecure
    append(isSecure ? "\r\nx-forwarded-proto: https" : "\r\nx-forwarded-proto: http" as StaticString)
    if sender.claimClasses != nil, let host = received.lastValue(of: .forwardedHost) {
      append("\r\nx-forwarded-host: ")
      append(host)
    } else if sender.hostCount > 0 {
      append("\r\nx-forwarded-host: ")
      append(sender.host, sender.hostCount)
    }
    append("\r\nforwarded: ")
    if let classes = sender.claimClasses {
      if isFromOlder { appendForwarded(of: received) } else { appendForwarded(received, classes) }
    }
    append(sender.isIPv6 ? "for=\"[" : "for=")
    append(sender.address, sender.addressCount)
    append(sender.isIPv6 ? "]\"" : "")
    if sender.hostCount > 0 {
      append(";host=\"")
      append(sender.host, sender.hostCount)
      append(byte: 0x22)
    }
    append(sender.isSecure ? ";proto=https\r\n" : ";proto=http\r\n" as StaticString)
  }

  /// All addresses in X-Forwarded-For, each followed by a comma.
  private mutating func appendForwardedFor(_ received: ReceivedHead) {
    for index in 0..<received.table.count where received.table.fields[index].known == .forwardedFor {
      let range = received.table.fields[index].value
      forEachListElement(received.bytes + Int(range.start), Int(range.count)) { element, count in
        append(element, count)
        append(", ")
      }
    }
  }

  /// The same of the hops that Forwarded names.
  private mutating func appendForwardedFor(of received: ReceivedHead, _ classes: ByteClasses) {
    let first = received.firstForwarded(classes)
    for index in first..<max(first, received.table.count) where received.table.fields[index].known == .forwarded {
      let range = received.table.fields[index].value
      _ = forEachForwarded(received.bytes + Int(range.start), Int(range.count), classes) { hop in
        if let address = hop.node.flatMap({ SocketAddress(node: $0.start, $0.count) }) {
          append(host: address)
          append(", ")
        } else {
          append("unknown, ")
        }
      }
    }
  }

  /// All values of Forwarded that are not empty and can be read, each followed by a comma.
  private mutating func appendForwarded(_ received: ReceivedHead, _ classes: ByteClasses) {
    let first = received.firstForwarded(classes)
    for index in first..<max(first, received.table.count) where received.table.fields[index].known == .forwarded {
      let range = received.table.fields[index].value
      if range.count == 0 { continue }
      append(received.bytes + Int(range.start), Int(range.count))
      append(", ")
    }
  }

  /// The same of the addresses in X-Forwarded-For. How the last of them has asked is what X-Forwarded-Proto says.
  private mutating func appendForwarded(of received: ReceivedHead) {
    var isFirst = true
    for index in 0..<received.table.count where received.table.fields[index].known == .forwardedFor {
      let range = received.table.fields[index].value
      forEachListElement(received.bytes + Int(range.start), Int(range.count)) { element, count in
        append(isFirst ? "for=" : ", for=" as StaticString)
        isFirst = false
        guard let address = SocketAddress(node: element, count) else { return append("unknown") }
        if address.isIPv6 { append("\"[") }
        append(host: address)
        if address.isIPv6 { append("]\"") }
      }
    }
    if let isSecure = received.forwardedProtoIsSecure {
      append(isSecure ? ";proto=https" : ";proto=http" as StaticString)
    }
    append(", ")
  }
}

/// The chain of proxies, told from the farthest to the nearest.
private struct ProxyWalk {
  private(set) var hops = 0
  /// Where somebody would be who had come from the near end; nil: nowhere yet.
  private(set) var client: SocketAddress?

  /// The next hop; nil: it has no address.
  mutating func pass(_ address: SocketAddress?, _ trusts: (SocketAddress) -> Bool) {
    hops += 1
    guard let address else {
      client = nil
      return
    }
    if client == nil || !trusts(address) { client = address }
  }
}

/// One hop of a Forwarded field.
struct ForwardedHop: BitwiseCopyable {
  /// What its `for` says, without quotes.
  var node: StaticBytes?
  /// Whether its `proto` is https; nil: it has none.
  var isSecure: Bool?
}

/// The hops that a Forwarded field names, from the farthest on; false when it is malformed, after those before that.
/// White space around semicolons is let pass, as it is around commas.
func forEachForwarded(
  _ value: UnsafePointer<UInt8>, _ count: Int, _ classes: ByteClasses, _ body: (ForwardedHop) -> Void
) -> Bool {
  var hop = ForwardedHop()
  var isEmpty = true
  var index = 0
  func skipSpace() { while index < count, value[index] == 0x20 || value[index] == 0x09 { index += 1 } }
  func skipToken() -> Range<Int> {
    let start = index
    while index < count, classes.has(value[index], .token) { index += 1 }
    return start..<index
  }
  /// Behind the opening quote; nil when there is no closing one.
  func skipQuoted() -> Range<Int>? {
    let start = index
    while index < count, value[index] != 0x22 { index += value[index] == 0x5c ? 2 : 1 }
    guard index < count else { return nil }
    index += 1
    return start..<(index - 1)
  }
  while true {
    skipSpace()
    if index == count || value[index] == 0x2c {
      if !isEmpty { body(hop) }
      if index == count { return true }
      (hop, isEmpty) = (ForwardedHop(), true)
      index += 1
      continue
    }
    if value[index] == 0x3b {
      index += 1
      continue
    }
    let name = skipToken()
    guard !name.isEmpty, index < count, value[index] == 0x3d else { return false }
    index += 1
    let isQuoted = index < count && value[index] == 0x22
    if isQuoted { index += 1 }
    guard let text = isQuoted ? skipQuoted() : skipToken(), isQuoted || !text.isEmpty else { return false }
    skipSpace()
    guard index == count || value[index] == 0x2c || value[index] == 0x3b else { return false }
    isEmpty = false
    if equalLowered(value + name.lowerBound, name.count, "for") {
      if hop.node != nil { return false }
      hop.node = StaticBytes(start: value + text.lowerBound, count: text.count)
    } else if equalLowered(value + name.lowerBound, name.count, "proto") {
      hop.isSecure = equalLowered(value + text.lowerBound, text.count, "https")
    }
  }
}

extension SocketAddress {
  /// An address as proxies write it: with or without a port, which is no part of the result, IPv6 also without its
  /// brackets; nil for everything else, such as names that hide an address.
  init?(node bytes: UnsafePointer<UInt8>, _ count: Int) {
    var (start, length) = (bytes, count)
    let isBracketed = count > 0 && bytes[0] == 0x5b
    if isBracketed {
      guard let close = memchr(bytes, 0x5d, count) else { return nil }
      start += 1
      length = UnsafePointer(close.assumingMemoryBound(to: UInt8.self)) - start
    } else if let colon = memchr(bytes, 0x3a, count) {
      let before = UnsafePointer(colon.assumingMemoryBound(to: UInt8.self)) - bytes
      if memchr(bytes + before + 1, 0x3a, count - before - 1) == nil { length = before }
    }
    let rest = start + length + (isBracketed ? 1 : 0)
    guard length < Int(INET6_ADDRSTRLEN), SocketAddress.isPort(rest, bytes + count - rest) else { return nil }
    self.init()
    let isRead = withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 1) { text in
      guard let base = text.baseAddress else { return false }
      memcpy(base, start, length)
      base[length] = 0
      if !isBracketed, inet_pton(AF_INET, base, &words) == 1 { return true }
      isIPv6 = true
      return inet_pton(AF_INET6, base, &words) == 1
    }
    if !isRead { return nil }
    unmap()
  }

  /// Nothing, or a colon with a number or a name that hides one (RFC 7239 section 6).
  private static func isPort(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    if count == 0 { return true }
    if bytes[0] != 0x3a || count == 1 { return false }
    if bytes[1] == 0x5f { return true }
    return count <= 6 && (1..<count).allSatisfy { bytes[$0] &- 0x30 < 10 }
  }
}
