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

  /// Reads a secret.
  static func read(_ text: String) throws(ValueComplaint) -> SecretText {
    let bytes = Array(text.utf8)
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
    guard bytes.count <= bytesMax else { throw ValueComplaint("the key is longer than \(bytesMax) bytes") }
    guard bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ValueComplaint("the key has a blank or a character beyond ASCII")
    }
    return SecretText(bytes: bytes)
  }
}
