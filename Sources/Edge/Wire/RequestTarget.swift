// The request target (RFC 9112 section 3.2), made canonical once. Routing, policies, the log and the service all see
// the canonical path, so none of them can be talked into another one: unreserved characters decoded, hexadecimal in
// upper case, dot segments resolved, empty segments merged. What would still mean two things is refused: an encoded
// slash, backslash or NUL, an encoded dot segment, a path that climbs above the root.

import Glibc

/// A canonical target inside a head or inside the worker's target area.
struct RequestTarget: BitwiseCopyable {
  /// Begins with a slash, or is `*`.
  var path: UnsafePointer<UInt8>
  var pathCount: Int
  /// Without the question mark; nil when there is none.
  var query: UnsafePointer<UInt8>?
  var queryCount = 0
  /// The authority of an absolute-form target; empty otherwise.
  var authority: UnsafePointer<UInt8>
  var authorityCount = 0
  /// An absolute-form target of https.
  var isSecure = false
}

/// Makes targets canonical. One per worker; a rewritten path stands in its area until the next target is read.
struct RequestTargetReader {
  let classes: ByteClasses
  private let area: BytePointer

  init(arena: Arena, classes: ByteClasses) {
    self.classes = classes
    area = arena.allocate(UInt8.self, count: 3 * Limits.headBytesMax)
  }

  /// nil means the target is malformed or ambiguous.
  func read(_ target: UnsafePointer<UInt8>, _ count: Int, method: Method) -> RequestTarget? {
    var start = target
    var rest = count
    var result = RequestTarget(path: target, pathCount: count, authority: target)
    if rest == 1, start[0] == 0x2a { return method == .options ? result : nil }
    if rest > 0, start[0] != 0x2f {
      guard let authorityStart = afterScheme(start, rest) else { return nil }
      var authorityEnd = authorityStart
      while authorityEnd < rest, start[authorityEnd] != 0x2f, start[authorityEnd] != 0x3f { authorityEnd += 1 }
      result.authority = start + authorityStart
      result.authorityCount = authorityEnd - authorityStart
      if result.authorityCount == 0 { return nil }
      result.isSecure = authorityStart == 8
      start += authorityEnd
      rest -= authorityEnd
    }
    if let mark = memchr(start, 0x3f, rest) {
      let queryStart = UnsafePointer(mark.assumingMemoryBound(to: UInt8.self)) + 1
      let queryCount = start + rest - queryStart
      if !isQuery(queryStart, queryCount) { return nil }
      result.query = queryStart
      result.queryCount = queryCount
      rest = queryStart - 1 - start
    }
    if rest == 0 {
      // An absolute form may leave the path out (RFC 9112 section 3.2.1).
      if result.authorityCount == 0 { return nil }
      // Then OPTIONS asks the server as a whole (RFC 9112 section 3.2.4).
      area[0] = method == .options && result.query == nil ? 0x2a : 0x2f
      result.path = UnsafePointer(area)
      result.pathCount = 1
      return result
    }
    return canonical(start, rest, &result) ? result : nil
  }

  /// The index behind `http://` or `https://`.
  private func afterScheme(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
    if count > 7, equalLowered(bytes, StaticBytes("http://").start, 7) { return 7 }
    if count > 8, equalLowered(bytes, StaticBytes("https://").start, 8) { return 8 }
    return nil
  }

  private func isQuery(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    for index in 0..<count where !classes.has(bytes[index], .query) { return false }
    return true
  }

  private func canonical(_ path: UnsafePointer<UInt8>, _ count: Int, _ result: inout RequestTarget) -> Bool {
    // Most paths are canonical as they come: nothing encoded, no empty segment, none that begins with a dot.
    var previous: UInt8 = 0
    var index = 0
    while index < count {
      let byte = path[index]
      if !classes.has(byte, .path) || previous == 0x2f && (byte == 0x2f || byte == 0x2e) { break }
      previous = byte
      index &+= 1
    }
    result.path = path
    result.pathCount = count
    if index == count { return true }
    guard let length = rewrite(path, count) else { return false }
    result.path = UnsafePointer(area)
    result.pathCount = length
    return true
  }

  /// Writes the canonical form into the area; the form is at most three times as long as the path.
  private func rewrite(_ path: UnsafePointer<UInt8>, _ count: Int) -> Int? {
    var length = 0
    var index = 0
    var segmentIsDecoded = false
    func endSegment(last: Bool) -> Bool {
      var start = length
      while start > 0, area[start - 1] != 0x2f { start -= 1 }
      let size = length - start
      let isDot = size == 1 && area[start] == 0x2e
      let isDotDot = size == 2 && area[start] == 0x2e && area[start + 1] == 0x2e
      if isDot || isDotDot {
        if segmentIsDecoded { return false }
        length = start
        if isDotDot {
          if length <= 1 { return false }
          length -= 1
          while length > 0, area[length - 1] != 0x2f { length -= 1 }
        }
      } else if !last, size > 0 {
        area[length] = 0x2f
        length += 1
      }
      segmentIsDecoded = false
      return true
    }
    area[0] = 0x2f
    length = 1
    index = 1
    while index < count {
      let byte = path[index]
      if byte == 0x2f {
        if !endSegment(last: false) { return nil }
      } else if byte == 0x25 {
        guard index + 2 < count, let decoded = decode(path[index + 1], path[index + 2]) else { return nil }
        if classes.has(decoded, .unreserved) {
          area[length] = decoded
          length += 1
          if decoded == 0x2e { segmentIsDecoded = true }
        } else {
          length = escape(decoded, at: length)
        }
        index += 2
      } else if classes.has(byte, .escaped) {
        length = escape(byte, at: length)
      } else if classes.has(byte, .path) {
        area[length] = byte
        length += 1
      } else {
        return nil
      }
      index += 1
    }
    return endSegment(last: true) ? length : nil
  }

  /// The byte of an escape; nil when it is no escape or one that is refused.
  private func decode(_ high: UInt8, _ low: UInt8) -> UInt8? {
    let (first, second) = (hexValue(high), hexValue(low))
    if first == 255 || second == 255 { return nil }
    let byte = first << 4 | second
    switch byte {
    case 0x00, 0x2f, 0x5c: return nil
    default: return byte
    }
  }

  /// Writes a byte as `%XX`; returns where the next one goes.
  private func escape(_ byte: UInt8, at length: Int) -> Int {
    func digit(_ value: UInt8) -> UInt8 { value < 10 ? value + 0x30 : value + 0x37 }
    area[length] = 0x25
    area[length + 1] = digit(byte >> 4)
    area[length + 2] = digit(byte & 15)
    return length + 3
  }

  // MARK: Authorities

  /// The host part of `host[:port]`, without port and trailing dot; nil when it is malformed (RFC 3986 section 3.2).
  func hostName(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> HeadRange? {
    if count == 0 || count > Limits.hostBytesMax { return nil }
    var end = 0
    if bytes[0] == 0x5b {
      guard let close = memchr(bytes, 0x5d, count) else { return nil }
      end = UnsafePointer(close.assumingMemoryBound(to: UInt8.self)) - bytes + 1
      if !isIPv6(bytes + 1, end - 2) { return nil }
    } else {
      while end < count, classes.has(bytes[end], .host) { end += 1 }
      if end == 0 { return nil }
    }
    if end < count {
      if bytes[end] != 0x3a || count - end > 6 { return nil }
      var port = 0
      for index in (end + 1)..<count {
        if !classes.has(bytes[index], .digit) { return nil }
        port = port * 10 + Int(bytes[index] &- 0x30)
      }
      if port > 65_535 { return nil }
    }
    if end > 1, bytes[end - 1] == 0x2e { end -= 1 }
    return bytes[end - 1] == 0x2e ? nil : HeadRange(0, end)
  }

  private func isIPv6(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard count > 0, count < Int(INET6_ADDRSTRLEN) else { return false }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { text in
      guard let start = text.baseAddress else { return false }
      memcpy(start, bytes, count)
      start[count] = 0
      var address = in6_addr()
      return inet_pton(AF_INET6, start, &address) == 1
    }
  }
}
