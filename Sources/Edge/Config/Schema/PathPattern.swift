// Path patterns of routes: what may be written and what it means.
//
// Owns: the reading of `/a/:id/*` into segments, in the canonical form that request paths are brought to.
// Called by: value reading; the route table compiles the result.
// Never: matches a request.

/// One segment of a path pattern.
enum PathSegment: Sendable, Hashable {
  /// Exactly this text, canonical: unreserved bytes plain, all else as uppercase `%XX`. Empty only as the last one,
  /// for a path that ends in `/`.
  case literal(String)
  /// Any one non-empty segment, under this name.
  case parameter(String)
}

/// The path of a route.
struct PathPattern: Sendable, Hashable {
  /// What may follow the segments.
  enum Tail: Sendable, Hashable {
    /// Nothing.
    case exact
    /// Nothing, or `/` and anything.
    case below
  }

  /// The text between the slashes; none for `/` and `/*`.
  let segments: [PathSegment]
  /// What may follow them.
  let tail: Tail

  /// The pattern as it is written, in canonical form.
  var text: String {
    var text = ""
    for segment in segments {
      switch segment {
      case .literal(let literal): text += "/" + literal
      case .parameter(let name): text += "/:" + name
      }
    }
    switch tail {
    case .exact: return text.isEmpty ? "/" : text
    case .below: return text + "/*"
    }
  }

  /// The pattern with parameter names taken out: two patterns of one shape match the same paths.
  var shape: PathPattern {
    let plain = segments.map { segment in
      if case .parameter = segment { PathSegment.parameter("") } else { segment }
    }
    return PathPattern(segments: plain, tail: tail)
  }

  /// Longest pattern, in bytes.
  static let lengthMax = 1024

  /// Reads a pattern.
  static func read(_ text: String) throws(ValueComplaint) -> PathPattern {
    guard text.hasPrefix("/") else {
      let isNear = !text.hasPrefix("http:") && !text.hasPrefix("https:") && (try? read("/" + text)) != nil
      throw ValueComplaint("a path begins with '/'", hint: isNear ? "did you mean '/\(text)'?" : nil)
    }
    // As OpenAPI and others write parameters.
    if let own = ownForm(text) {
      throw ValueComplaint("a parameter is written ':name'", hint: "did you mean '\(own)'?")
    }
    guard text.utf8.count <= lengthMax else { throw ValueComplaint("the path is longer than \(lengthMax) bytes") }
    if text == "/" { return PathPattern(segments: [], tail: .exact) }
    let parts = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    var segments: [PathSegment] = []
    var tail = Tail.exact
    var names: Set<String> = []
    for (index, part) in parts.enumerated() {
      let isLast = index == parts.count - 1
      if part == "*" {
        guard isLast else { throw ValueComplaint("'*' may only be the last segment of a path") }
        tail = .below
      } else if part.isEmpty {
        guard isLast else { throw ValueComplaint("'//' cannot stand in a path", hint: "remove one '/'") }
        segments.append(.literal(""))
      } else if part.hasPrefix(":") {
        let name = try parameter(part.dropFirst())
        guard names.insert(name).inserted else {
          throw ValueComplaint("the parameter ':\(name)' stands twice in one path")
        }
        segments.append(.parameter(name))
      } else {
        segments.append(.literal(try canonical(part)))
      }
    }
    return PathPattern(segments: segments, tail: tail)
  }

  /// A path with `{id}` or `<id>` for parameters, as it is written here; nil when it has none, or would still be wrong.
  private static func ownForm(_ text: String) -> String? {
    var found = false
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { part in
      guard part.hasPrefix("{") && part.hasSuffix("}") || part.hasPrefix("<") && part.hasSuffix(">") else {
        return String(part)
      }
      found = true
      return ":" + part.dropFirst().dropLast()
    }
    let own = parts.joined(separator: "/")
    return found && (try? read(own)) != nil ? own : nil
  }

  private static func parameter(_ name: Substring) throws(ValueComplaint) -> String {
    let letters = name.utf8
    let valid = letters.allSatisfy { isLetter($0) || isDigit($0) || $0 == 0x5F }
    guard valid, let first = letters.first, !isDigit(first), letters.count <= 32 else {
      throw ValueComplaint(
        "':\(name)' is no parameter name: a letter or '_', then letters, digits and '_', at most 32 in all")
    }
    return String(name)
  }

  /// A literal segment in the form request paths are compared in.
  private static func canonical(_ segment: Substring) throws(ValueComplaint) -> String {
    var text: [UInt8] = []
    let bytes = Array(segment.utf8)
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      switch byte {
      case 0x25:
        guard index + 2 < bytes.count, let high = hex(bytes[index + 1]), let low = hex(bytes[index + 2]) else {
          throw ValueComplaint("'%' needs two hexadecimal digits after it", hint: "write %25 for the sign itself")
        }
        let decoded = high << 4 | low
        guard decoded != 0x2F, decoded != 0x5C, decoded != 0 else {
          throw ValueComplaint("'%\(hexText(decoded))' cannot stand in a path: such requests are refused")
        }
        text += isUnreserved(decoded) ? [decoded] : [0x25] + Array(hexText(decoded).utf8)
        index += 2
      case 0x2A:
        throw ValueComplaint(
          "'*' may only be a whole segment, and the last one", hint: "'/a/*' is '/a' and all below it")
      case 0x3F, 0x23:
        throw ValueComplaint("a path has no query and no fragment", hint: "remove what follows the path")
      default:
        guard isUnreserved(byte) || isPlain(byte) else {
          throw ValueComplaint(
            "\(shown(byte, in: segment)) cannot stand in a path", hint: "write \(encoded(byte, in: segment)) instead")
        }
        text.append(byte)
      }
      index += 1
    }
    let result = String(decoding: text, as: UTF8.self)
    guard result != ".", result != ".." else {
      throw ValueComplaint("'\(result)' cannot be a segment: request paths are compared after it is resolved")
    }
    return result
  }

  private static func shown(_ byte: UInt8, in segment: Substring) -> String {
    if byte == 0x20 { return "a space" }
    if byte == 0x5C { return "a backslash" }
    if byte > 0x20, byte < 0x7F { return "'\(Character(Unicode.Scalar(byte)))'" }
    if byte >= 0x80, let scalar = segment.unicodeScalars.first(where: { !$0.isASCII }) { return "'\(scalar)'" }
    return "a control character"
  }

  /// The whole character that a byte begins, percent-encoded.
  private static func encoded(_ byte: UInt8, in segment: Substring) -> String {
    guard byte >= 0x80, let scalar = segment.unicodeScalars.first(where: { !$0.isASCII }) else {
      return "%" + hexText(byte)
    }
    return String(scalar).utf8.map { "%" + hexText($0) }.joined()
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

  /// RFC 3986 2.3.
  private static func isUnreserved(_ byte: UInt8) -> Bool {
    isLetter(byte) || isDigit(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E
  }

  /// The rest of RFC 3986 pchar: sub-delims (`*` is taken), `:` and `@`.
  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x21, 0x24, 0x26, 0x27, 0x28, 0x29, 0x2B, 0x2C, 0x3B, 0x3D, 0x3A, 0x40: true
    default: false
    }
  }

  private static func hex(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }

  private static func hexText(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return digits.utf8.count == 1 ? "0" + digits : digits
  }
}
