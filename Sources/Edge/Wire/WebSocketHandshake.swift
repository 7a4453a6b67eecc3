// The opening of a WebSocket (RFC 6455 section 4): what a client's request must say, and what it is answered.
//
// Called by: whoever opens a session, with a head that the parser has taken. Extensions that a client offers are never
// agreed on, so they are not read. Never: writes the answer as a whole, or looks at who is asking.

import COpenSSL
import Glibc

/// Whether a request opens a WebSocket.
enum UpgradeRequest: BitwiseCopyable {
  /// It does not ask for one.
  case none
  /// The key stands in the head.
  case valid(key: StaticBytes)
  /// It asks wrongly: 400, or 426 where only the version is another. The 426 must carry `sec-websocket-version: 13`
  /// (RFC 6455 section 4.4), beside `upgrade: websocket` and `connection: upgrade` (RFC 9110 section 15.5.22).
  case refused(ErrorCode, StaticString)
}

/// The opening handshake.
enum WebSocketHandshake {
  /// What a client appends to its key in its mind (RFC 6455 section 1.3).
  private static let guid: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
  /// A key is 16 bytes in base64.
  static let keyBytes = 16
  /// An accept is a SHA-1 in base64.
  static let acceptCount = 28

  /// Judges a request. That Connection names `upgrade` and Upgrade names `websocket`, that it is no HTTP/1.0 and
  /// announces no body was seen by the parser.
  static func read(_ head: RequestHead, _ received: ReceivedHead) -> UpgradeRequest {
    guard head.asksUpgrade else { return .none }
    if head.method != .get { return .refused(.invalidRequest, "A WebSocket is opened with GET.") }
    // The version first: who speaks another may mean something else by the key.
    guard let version = only(received, "sec-websocket-version"), let digits = version.baseAddress,
      version.count == 2, equalBytes(digits, StaticBytes("13").start, 2)
    else { return .refused(.upgradeRequired, "Send Sec-WebSocket-Version: 13, once.") }
    guard let key = only(received, "sec-websocket-key"), let start = key.baseAddress, isKey(start, key.count) else {
      return .refused(.invalidRequest, "Send one Sec-WebSocket-Key of 16 bytes in base64.")
    }
    return .valid(key: StaticBytes(start: start, count: key.count))
  }

  /// The value of a field that comes once. Its name is in lower case.
  private static func only(_ received: ReceivedHead, _ name: StaticString) -> UnsafeBufferPointer<UInt8>? {
    var found: UnsafeBufferPointer<UInt8>?
    for index in 0..<received.table.count {
      let field = received.table.fields[index]
      guard equalLowered(received.bytes + Int(field.name.start), Int(field.name.count), name) else { continue }
      if found != nil { return nil }
      found = UnsafeBufferPointer(start: received.bytes + Int(field.value.start), count: Int(field.value.count))
    }
    return found
  }

  private static func isKey(_ text: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard count == Base64.encodedCount(keyBytes) else { return false }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Base64.decodedCountMax(count)) { bytes in
      guard let start = bytes.baseAddress else { return false }
      return Base64.decode(text, count, into: start) == keyBytes
    }
  }

  /// `Sec-WebSocket-Accept` for a key, 28 characters.
  static func appendAccept(_ key: StaticBytes, to writer: inout ByteWriter) {
    let place = writer.end
    writer.advance(acceptCount)
    if writer.overflowed { return }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(SHA_DIGEST_LENGTH)) { hash in
      guard let start = hash.baseAddress else { return }
      var context = SHA_CTX()
      SHA1_Init(&context)
      SHA1_Update(&context, key.start, key.count)
      SHA1_Update(&context, guid.utf8Start, guid.utf8CodeUnitCount)
      SHA1_Final(start, &context)
      Base64.encode(start, hash.count, into: place)
    }
  }
}
