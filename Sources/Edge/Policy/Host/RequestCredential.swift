// The credential of a request, wherever it stands: `Authorization: Bearer` and `x-api-key` of any request, and the two
// places where browsers can put one when they open a WebSocket: `?token=` and `Sec-WebSocket-Protocol`.
//
// Called by: `edge.jwt` and `req`; whoever answers an upgrade asks for the form of the subprotocol. Never: says whether
// the credential is good, or gives it to a script.

import Glibc

/// Which credential a request carries.
enum RequestCredential: BitwiseCopyable {
  case none
  case one(UnsafeBufferPointer<UInt8>)
  /// An Authorization of another scheme: none that Edge knows.
  case foreign
  /// Two that differ: nobody can tell which one is meant.
  case conflict

  /// All places may carry the same credential.
  init(_ view: RequestView) {
    var found = CredentialFinding()
    for index in 0..<view.received.table.count {
      let field = view.received.table.fields[index]
      guard field.known == .authorization || field.known == .apiKey, field.value.count > 0 else { continue }
      let value = UnsafeBufferPointer(
        start: view.received.bytes + Int(field.value.start), count: Int(field.value.count))
      if field.known == .apiKey {
        found.take(value)
      } else if let token = RequestCredential.bearer(value) {
        found.take(token)
      } else {
        found.isForeign = true
      }
    }
    if view.isUpgrade {
      if let token = view.queryToken { found.take(UnsafeBufferPointer(start: token.start, count: token.count)) }
      found.isConflict = found.isConflict || view.hasTwoQueryTokens
      SubprotocolReader.read(view.received, into: &found)
    }
    if found.isConflict || found.isForeign && found.token != nil {
      // Nobody can tell which one is meant.
      self = .conflict
    } else if let token = found.token {
      self = .one(token)
    } else {
      self = found.isForeign ? .foreign : .none
    }
  }

  /// The token behind `Bearer` (RFC 6750 section 2.1), whatever the scheme's case; nil for another scheme.
  fileprivate static func bearer(_ value: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
    guard let start = value.baseAddress, value.count > 7, equalLowered(start, 7, "bearer ") else { return nil }
    var skipped = 7
    while skipped < value.count, start[skipped] == 0x20 { skipped += 1 }
    return UnsafeBufferPointer(start: start + skipped, count: value.count - skipped)
  }

  // MARK: Subprotocols

  /// In which form `Sec-WebSocket-Protocol` carries a credential; it need not be the only one of the request.
  static func subprotocol(_ received: ReceivedHead) -> SubprotocolForm {
    var found = CredentialFinding()
    return SubprotocolReader.read(received, into: &found)
  }

  /// Whether it is the name of the field that lists subprotocols.
  static func isSubprotocol(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = name.baseAddress else { return false }
    return equalLowered(start, name.count, "sec-websocket-protocol")
  }
}

/// How a credential stands in `Sec-WebSocket-Protocol`.
enum SubprotocolForm: BitwiseCopyable {
  case none
  /// `Bearer TOKEN`: no subprotocol, and none is answered.
  case value
  /// `Bearer, TOKEN`, which browsers can send and which they must be answered: with the name as they have written it.
  case list(name: StaticBytes)

  /// There is none.
  var isNone: Bool { if case .none = self { true } else { false } }
}

/// What was found so far.
private struct CredentialFinding {
  var token: UnsafeBufferPointer<UInt8>?
  var isForeign = false
  var isConflict = false

  /// Another one: it must be the same. An empty one is none.
  mutating func take(_ other: UnsafeBufferPointer<UInt8>) {
    if other.isEmpty { return }
    guard let token else {
      token = other
      return
    }
    if !CredentialFinding.areEqual(token, other) { isConflict = true }
  }

  private static func areEqual(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    guard let first = left.baseAddress, let second = right.baseAddress else { return true }
    return equalBytes(first, second, left.count)
  }
}

/// Reads the elements of `Sec-WebSocket-Protocol`, which may stand on several lines (RFC 6455 section 11.3.4).
private struct SubprotocolReader {
  private var form = SubprotocolForm.none
  /// `Bearer` was an element of its own: what follows is the token.
  private var name: StaticBytes?

  @discardableResult
  static func read(_ received: ReceivedHead, into found: inout CredentialFinding) -> SubprotocolForm {
    var reader = SubprotocolReader()
    for index in 0..<received.table.count {
      let field = received.table.fields[index]
      guard equalLowered(received.bytes + Int(field.name.start), Int(field.name.count), "sec-websocket-protocol")
      else { continue }
      let start = received.bytes + Int(field.value.start)
      var first = 0
      while first <= Int(field.value.count) {
        var end = first
        while end < Int(field.value.count), start[end] != 0x2c { end += 1 }
        reader.take(start + first, end - first, into: &found)
        first = end + 1
      }
    }
    // A scheme without a token.
    if reader.name != nil { found.isForeign = true }
    return reader.form
  }

  private mutating func take(_ start: UnsafePointer<UInt8>, _ count: Int, into found: inout CredentialFinding) {
    var (start, count) = (start, count)
    while count > 0, start[0] == 0x20 || start[0] == 0x09 { (start, count) = (start + 1, count - 1) }
    while count > 0, start[count - 1] == 0x20 || start[count - 1] == 0x09 { count -= 1 }
    if count == 0 { return }
    let element = UnsafeBufferPointer(start: start, count: count)
    if let name {
      found.take(element)
      form = .list(name: name)
      self.name = nil
    } else if equalLowered(start, count, "bearer") {
      name = StaticBytes(start: start, count: count)
    } else if let token = RequestCredential.bearer(element) {
      found.take(token)
      if case .none = form { form = .value }
    }
  }
}
