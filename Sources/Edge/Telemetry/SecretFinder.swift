// Finds credentials in texts that are about to be logged: paths that clients have made up, messages of policies that
// repeat what they were given. A token has its place in a header; one that somebody put elsewhere must not stay in a
// log. Called by the access log and where a policy's failure is told. Never: looks for anything on the request path.

/// Where credentials stand in a text.
struct SecretFinder {
  private let bytes: UnsafeBufferPointer<UInt8>

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  /// What stands in a text for a credential.
  static let mask: StaticString = "***"

  /// The next credential from `start` on: a JWT, or the value of a parameter that carries one.
  func next(from start: Int) -> Range<Int>? {
    for index in start..<max(start, bytes.count) {
      switch bytes[index] {
      case 0x65:
        if let end = endOfToken(index) { return index..<end }
      case 0x3d:
        if endsName(index) { return (index + 1)..<endOfValue(index + 1) }
      case 0x25:
        if isEscape(index, 0x33, 0x64), endsName(index) { return (index + 3)..<endOfValue(index + 3) }
      default: break
      }
    }
    return nil
  }

  /// A text without its credentials.
  static func conceal(_ text: String) -> String {
    var shown: [UInt8] = []
    var isConcealed = false
    let whole: [UInt8] = Array(text.utf8)
    whole.withUnsafeBufferPointer { bytes in
      let finder = SecretFinder(bytes)
      var index = 0
      while let secret = finder.next(from: index) {
        shown += bytes[index..<secret.lowerBound]
        shown += UnsafeBufferPointer(start: mask.utf8Start, count: mask.utf8CodeUnitCount)
        index = secret.upperBound
        isConcealed = true
      }
      shown += bytes[index...]
    }
    return isConcealed ? String(decoding: shown, as: UTF8.self) : text
  }

  /// Behind a run that begins as a JWT does: `{"` in base64, and a dot somewhere behind it. It may have been cut.
  private func endOfToken(_ start: Int) -> Int? {
    guard start + 4 < bytes.count, bytes[start + 1] == 0x79, bytes[start + 2] == 0x4a else { return nil }
    if start > 0, isTokenByte(bytes[start - 1]), !isBehindEscape(start) { return nil }
    var end = start
    var dots = 0
    while end < bytes.count, isTokenByte(bytes[end]) || bytes[end] == 0x2e {
      if bytes[end] == 0x2e { dots += 1 }
      end += 1
    }
    return dots > 0 ? end : nil
  }

  private static let names: [StaticString] = ["token", "api_key", "code"]

  /// Whether a name of a credential, or one that ends in it behind an underscore, stands in front of `end`.
  private func endsName(_ end: Int) -> Bool {
    SecretFinder.names.contains { name in
      let start = end - name.utf8CodeUnitCount
      guard start >= 0 else { return false }
      for index in 0..<name.utf8CodeUnitCount where bytes[start + index] | 0x20 != name.utf8Start[index] | 0x20 {
        return false
      }
      return start == 0 || !isLetter(bytes[start - 1]) || isBehindEscape(start)
    }
  }

  /// Behind a value: the next parameter, the end of a quotation, or a blank.
  private func endOfValue(_ start: Int) -> Int {
    var end = start
    while end < bytes.count {
      switch bytes[end] {
      case 0x00...0x20, 0x22, 0x26, 0x27, 0x3b: return end
      case 0x25 where isEscape(end, 0x32, 0x36) || isEscape(end, 0x33, 0x62): return end
      default: end += 1
      }
    }
    return end
  }

  /// Whether `%XY` stands there; `low` in small letters.
  private func isEscape(_ index: Int, _ high: UInt8, _ low: UInt8) -> Bool {
    index + 2 < bytes.count && bytes[index] == 0x25 && bytes[index + 1] == high && bytes[index + 2] | 0x20 == low | 0x20
  }

  private func isBehindEscape(_ index: Int) -> Bool { index >= 3 && bytes[index - 3] == 0x25 }

  private func isLetter(_ byte: UInt8) -> Bool {
    (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte)
  }

  private func isTokenByte(_ byte: UInt8) -> Bool { isLetter(byte) || byte == 0x2d || byte == 0x5f }
}

extension ByteWriter {
  /// A text in which `***` stands for credentials, as JSON has it.
  mutating func append(jsonConcealed start: UnsafePointer<UInt8>, _ count: Int) {
    let finder = SecretFinder(UnsafeBufferPointer(start: start, count: count))
    var index = 0
    while let secret = finder.next(from: index) {
      append(jsonEscaped: start + index, secret.lowerBound - index)
      append(SecretFinder.mask)
      index = secret.upperBound
    }
    append(jsonEscaped: start + index, count - index)
  }
}
