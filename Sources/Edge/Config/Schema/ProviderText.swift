// What providers and models are called on the wire: the path of an API, and a model's name there.
//
// Owns: the reading of both.
// Called by: value reading.
// Never: sends anything.

/// The path that an API's own paths stand behind.
enum BasePathText {
  /// Reads one: empty, or it begins with a slash and ends without.
  static func read(_ text: String) throws(ValueComplaint) -> String {
    if text.isEmpty { return text }
    guard text.hasPrefix("/") else {
      let isURL = text.contains("://")
      throw ValueComplaint(
        "'\(text)' does not begin with a slash",
        hint: isURL ? "host and port stand in 'endpoints'" : "did you mean '/\(text)'?")
    }
    guard text.utf8.count <= 256 else { throw ValueComplaint("the path is longer than 256 bytes") }
    var shorter = Substring(text)
    while shorter.hasSuffix("/") { shorter.removeLast() }
    guard shorter.utf8.count == text.utf8.count else {
      let hint = shorter.isEmpty ? "write \"\" for none" : "did you mean '\(shorter)'?"
      throw ValueComplaint("'\(text)' ends with a slash", hint: hint)
    }
    for segment in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      guard !segment.isEmpty, segment != ".", segment != ".." else {
        throw ValueComplaint("'\(text)' has \(segment.isEmpty ? "an empty part" : "the part '\(segment)'")")
      }
      if let odd = segment.unicodeScalars.first(where: { !isPlain($0) }) {
        throw ValueComplaint(
          "'\(odd)' cannot stand in such a path", hint: "there are letters, digits and - . _ ~ : @ +")
      }
    }
    return text
  }

  private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "-", ".", "_", "~", ":", "@", "+": true
    default: false
    }
  }
}

/// A model's name as it goes to a provider.
enum ModelNameText {
  /// As much as a request may name.
  static let bytesMax = 256

  /// Reads one: it stands in JSON as it is, so nothing in it may need an escape.
  static func read(_ text: String) throws(ValueComplaint) -> String {
    guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }) else {
      throw ValueComplaint("'\(text)' is no name of a model: it has a blank, a quote, a backslash or no ASCII")
    }
    return text
  }
}
