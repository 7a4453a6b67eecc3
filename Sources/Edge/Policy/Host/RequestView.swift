// A request as policies see it: the head where it lies, read lazily. Nothing is copied until a script asks, and nothing
// of it outlives the run of the policy.

import Glibc

/// The request that a policy runs for.
struct RequestView: BitwiseCopyable {
  let received: ReceivedHead
  let method: StaticBytes
  let target: RequestTarget
  /// As the client named it, port included; empty when HTTP/1.0 named none.
  let host: StaticBytes
  let client: SocketAddress
  let id: StaticBytes
  let listener: StaticBytes
  let route: PolicyRoute
}

/// What policies may know of a route.
struct PolicyRoute: BitwiseCopyable {
  let name: StaticBytes
  /// Empty: the route asks for none.
  let permission: StaticBytes
  let parameters: RouteParameters
}

/// What is known when an exchange has ended.
struct ExchangeSummary: BitwiseCopyable {
  let status: UInt16
  let cause: EndCause
  let durationNanoseconds: UInt64
  let requestBytes: UInt64
  let responseBytes: UInt64
}

/// Which credential a request carries.
enum RequestCredential: BitwiseCopyable {
  case none
  case one(UnsafeBufferPointer<UInt8>)
  /// An Authorization of another scheme: none that Edge knows.
  case foreign
  /// Two that differ: nobody can tell which one is meant.
  case conflict

  /// `Authorization: Bearer` and `x-api-key` may carry the same credential.
  init(_ received: ReceivedHead) {
    var found: UnsafeBufferPointer<UInt8>?
    var isForeign = false
    for index in 0..<received.table.count {
      let field = received.table.fields[index]
      let value = UnsafeBufferPointer(
        start: received.bytes + Int(field.value.start), count: Int(field.value.count))
      let token: UnsafeBufferPointer<UInt8>?
      switch field.known {
      case .authorization: token = RequestCredential.bearer(value)
      case .apiKey: token = value
      default: continue
      }
      guard let token else {
        isForeign = true
        continue
      }
      if let first = found, !RequestCredential.areEqual(first, token) {
        self = .conflict
        return
      }
      found = token
    }
    if let found {
      // Nobody can tell which one is meant.
      self = isForeign ? .conflict : .one(found)
    } else {
      self = isForeign ? .foreign : .none
    }
  }

  private static func areEqual(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    guard let first = left.baseAddress, let second = right.baseAddress else { return true }
    return equalBytes(first, second, left.count)
  }

  /// The token behind `Bearer` (RFC 6750 section 2.1), whatever the scheme's case; nil for another scheme.
  private static func bearer(_ value: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
    guard let start = value.baseAddress, value.count > 7, equalLowered(start, 7, "bearer ") else { return nil }
    var skipped = 7
    while skipped < value.count, start[skipped] == 0x20 { skipped += 1 }
    return UnsafeBufferPointer(start: start + skipped, count: value.count - skipped)
  }
}
