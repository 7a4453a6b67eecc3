// The token of a query (`?token=`), for routes that take one. It is a credential: it is taken out of the query before
// anybody else sees that, so no service, policy or log can pass it on.

import Glibc

/// Tokens of a query.
enum QueryToken {
  /// What a query holds.
  enum Finding: BitwiseCopyable {
    case none
    /// The token, decoded. Its bytes may be any, and there may be none.
    case one(StaticBytes)
    /// Two that differ: nobody can tell which one is meant.
    case several
  }

  /// Takes every `token` out of a target's query, however its name is escaped. What is left of the query, and the
  /// token, stand in `area`, which has room for twice the query; other parameters stay as they are, and a query of
  /// which nothing is left becomes nil. A query without a token is not touched.
  ///
  /// Escapes in the value are decoded, what is no escape is text, and a plus is a plus: there are no blanks in tokens.
  static func take(from target: inout RequestTarget, area: BytePointer, _ room: Int) -> Finding {
    guard let query = target.query else { return .none }
    let bytes = UnsafeBufferPointer(start: query, count: target.queryCount)
    // What is left and two tokens never take more than the query.
    if room < bytes.count {
      (target.query, target.queryCount) = (nil, 0)
      return .several
    }
    var writer = ByteWriter(base: area, capacity: room)
    var tokens = 0
    var others = 0
    forEachParameter(bytes) { parameter in
      if value(ofToken: parameter) != nil {
        tokens += 1
        return
      }
      if others > 0 { writer.append(byte: 0x26) }
      others += 1
      if let start = parameter.baseAddress { writer.append(start, parameter.count) }
    }
    if tokens == 0 { return .none }
    target.query = writer.count > 0 ? UnsafePointer(area) : nil
    target.queryCount = writer.count
    let start = writer.count
    var first: Int?
    var differ = false
    forEachParameter(bytes) { parameter in
      guard !differ, let value = value(ofToken: parameter) else { return }
      let place = writer.count
      PercentText.append(value, plusIsSpace: false, to: &writer)
      let length = writer.count - place
      guard let known = first else {
        first = length
        return
      }
      if length != known || !equalBytes(area + start, area + place, length) { differ = true }
      writer.rewind(to: place)
    }
    return differ ? .several : .one(StaticBytes(start: UnsafePointer(area + start), count: first ?? 0))
  }

  /// The value of a parameter that is a token, with its escapes; empty where it has none. nil: it is another.
  private static func value(ofToken parameter: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
    guard let start = parameter.baseAddress else { return nil }
    var end = 0
    while end < parameter.count, start[end] != 0x3d { end += 1 }
    let token = StaticBytes("token")
    let name = UnsafeBufferPointer(start: token.start, count: token.count)
    guard PercentText.equals(start, end, name) else { return nil }
    let from = min(end + 1, parameter.count)
    return UnsafeBufferPointer(start: start + from, count: parameter.count - from)
  }

  /// The parts of a query between the ampersands, empty ones too.
  private static func forEachParameter(
    _ query: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    guard let bytes = query.baseAddress else { return }
    var start = 0
    while start <= query.count {
      var end = start
      while end < query.count, bytes[end] != 0x26 { end += 1 }
      body(UnsafeBufferPointer(start: bytes + start, count: end - start))
      start = end + 1
    }
  }
}
