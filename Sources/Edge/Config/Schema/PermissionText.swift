// Names of permissions.
//
// Owns: their grammar: parts of `a-z0-9_.-` with ':' between them, such as mcp:read.
// Called by: value reading, for roles and routes.
// Never: decides who has a permission.

/// Reads names of permissions.
enum PermissionText {
  private static let bytesMax = 128

  /// A permission's name. With `wildcards`, `*` alone stands for all permissions and a last part `*` for all below.
  static func read(_ text: String, wildcards: Bool) throws(ValueComplaint) -> String {
    var parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let hasWildcard = parts.last == "*"
    if hasWildcard { parts.removeLast() }
    guard text.utf8.count <= bytesMax, wildcards || !hasWildcard, hasWildcard || !parts.isEmpty,
      parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isLetter) })
    else { throw complaint(text, wildcards: wildcards) }
    return text
  }

  private static func complaint(_ text: String, wildcards: Bool) -> ValueComplaint {
    let form = "lower-case letters, digits, '_', '.' and '-', with ':' between parts, at most \(bytesMax) bytes"
    guard text.contains("*") else {
      let lower = text.lowercased()
      let isNear = lower != text && (try? read(lower, wildcards: wildcards)) != nil
      return ValueComplaint("'\(text)' is no permission: \(form)", hint: isNear ? "did you mean '\(lower)'?" : nil)
    }
    return wildcards
      ? ValueComplaint("'\(text)' is no permission: '*' stands alone or as the last part, as in mcp:*")
      : ValueComplaint("'\(text)' is no single permission: '*' may stand in roles only", hint: "name one permission")
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2E || byte == 0x2D
  }
}
