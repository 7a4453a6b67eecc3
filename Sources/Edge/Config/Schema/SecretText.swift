// A text that nobody may see: keys that sign and verify tokens, and keys of providers.
//
// Owns: the rule that a secret prints as *** wherever it is printed, and how long one must be.
// Called by: value reading, which makes it, and the snapshot, whose engines use its bytes.
// Never: says anything about its bytes in a message.

/// A secret. Neither interpolation nor `dump` shows it.
struct SecretText: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  /// The secret itself.
  let bytes: [UInt8]

  /// Shorter ones can be guessed; RFC 7518 section 3.2 asks for as many bytes as the hash has.
  static let bytesMin = 32
  /// Longer ones are a mistake.
  static let bytesMax = 1_024
  /// What stands for a secret in every text.
  static let mask = "***"

  /// `***`.
  var description: String { SecretText.mask }
  /// `***`.
  var debugDescription: String { SecretText.mask }
  /// Without children.
  var customMirror: Mirror { Mirror(self, children: []) }

  /// A message in which `***` stands for some texts, and for every long part of them.
  static func conceal(_ message: String, _ texts: [String]) -> String {
    let bytes = Array(message.utf8)
    var hidden = [Bool](repeating: false, count: bytes.count)
    for text in texts {
      let secret = Array(text.utf8)
      let least = min(secret.count, partMin)
      guard least >= 3 else { continue }
      let parts = Set((0...(secret.count - least)).map { ArraySlice(secret[$0..<($0 + least)]) })
      var start = 0
      while start + least <= bytes.count {
        if parts.contains(bytes[start..<(start + least)]) {
          for index in start..<(start + least) { hidden[index] = true }
        }
        start += 1
      }
    }
    if !hidden.contains(true) { return message }
    var shown: [UInt8] = []
    for (index, byte) in bytes.enumerated() {
      if !hidden[index] { shown.append(byte) } else if index == 0 || !hidden[index - 1] { shown += Array(mask.utf8) }
    }
    return String(decoding: shown, as: UTF8.self)
  }

  /// Shorter parts of a secret are no help to anybody, and may stand in a message by chance.
  private static let partMin = 6

  /// Reads a secret.
  static func read(_ text: String) throws(ValueComplaint) -> SecretText {
    let bytes = Array(text.utf8)
    try refuseStandIn(text, "secret")
    if !bytes.isEmpty, bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) {
      throw ValueComplaint("the secret is nothing but blanks", hint: "make one with: openssl rand -hex 32")
    }
    guard bytes.count >= bytesMin else {
      throw ValueComplaint(
        "the secret is \(bytes.count) bytes long, at least \(bytesMin) are needed",
        hint: "make one with: openssl rand -hex 32")
    }
    guard bytes.count <= bytesMax else {
      throw ValueComplaint("the secret is longer than \(bytesMax) bytes")
    }
    return SecretText(bytes: bytes)
  }

  /// Reads the key of a provider: it goes into a header field, is as short as the provider makes it, and is empty for
  /// none.
  static func readKey(_ text: String) throws(ValueComplaint) -> SecretText {
    let bytes = Array(text.utf8)
    try refuseStandIn(text, "key")
    guard bytes.count <= bytesMax else { throw ValueComplaint("the key is longer than \(bytesMax) bytes") }
    guard bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ValueComplaint("the key has a blank or a character beyond ASCII")
    }
    return SecretText(bytes: bytes)
  }
}

extension SecretText {
  /// What surely only stands for a secret: the asterisks that are printed in its place, or the name of a variable as
  /// other programs write it.
  fileprivate static func refuseStandIn(_ text: String, _ noun: String) throws(ValueComplaint) {
    if !text.isEmpty, text.utf8.allSatisfy({ $0 == 0x2A }) {
      throw ValueComplaint("asterisks stand for a \(noun) that is not shown", hint: "write the \(noun) itself")
    }
    let foreign = text.hasPrefix("os.environ/")
    guard foreign || text.hasPrefix("$"), text.utf8.count > 1 else { return }
    let name = foreign ? text.dropFirst(11) : text.dropFirst()
    let isName = name.utf8.allSatisfy { (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    if isName, !(0x30...0x39).contains(name.utf8.first ?? 0x30) {
      throw ValueComplaint("the \(noun) is the name of a variable", hint: "write ${env:NAME} for what it holds")
    }
  }

  /// What makes one look as if it came with something that is not meant; nil when nothing does.
  var oddity: String? {
    guard let first = bytes.first, let last = bytes.last else { return nil }
    if [0x22, 0x27].contains(first), first == last { return "is in quotes, which count as part of it" }
    if [0x20, 0x09].contains(first) || [0x20, 0x09].contains(last) { return "begins or ends with a blank" }
    return bytes.allSatisfy { $0 == first } ? "is one character over and over" : nil
  }
}

/// Names of keys.
enum SecretName {
  private static let words = [
    "secret", "password", "passwd", "passphrase", "token", "credential", "authorization", "bearer", "apikey",
    "api_key", "private_key", "access_key",
  ]

  /// Whether a key of this name probably holds a secret.
  static func isLikely(_ name: String) -> Bool {
    let folded = name.lowercased().replacing("-", with: "_")
    return words.contains { folded.contains($0) } || folded.hasSuffix("_key")
  }

  /// Whether a text is surely the name of a key, and no secret that stands where a key belongs: a word or two, perhaps
  /// with a short number at its end.
  static func isPlain(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...32).contains(bytes.count) else { return false }
    var (turns, digits) = (0, 0)
    for (index, byte) in bytes.enumerated() {
      switch byte {
      case 0x61...0x7A: if digits > 0 { return false }
      case 0x41...0x5A:
        if digits > 0 { return false }
        if index > 0, (0x61...0x7A).contains(bytes[index - 1]) { turns += 1 }
      case 0x30...0x39: digits += 1
      case 0x2D, 0x2E, 0x5F: digits = 0
      default: return false
      }
      if digits > 3 || turns > 3 { return false }
    }
    return true
  }

  /// Whether a text holds what looks like made by chance: long, letters and digits without a break.
  static func holdsChance(_ text: some StringProtocol) -> Bool {
    var (length, letters, digits) = (0, 0, 0)
    for byte in text.utf8 {
      switch byte {
      case 0x61...0x7A, 0x41...0x5A: letters += 1
      case 0x30...0x39: digits += 1
      default:
        (length, letters, digits) = (0, 0, 0)
        continue
      }
      length += 1
      if length >= 12, letters > 0, digits >= 2 { return true }
    }
    return false
  }
}
