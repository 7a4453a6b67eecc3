// Where a file holds secrets that are written out, so that messages about their lines do not show them.
//
// Owns: which scalars count as secrets before anything is known to be right.
// Called by: the loader, once per file, before its keys are read.
// Never: judges a secret.

import YAML

/// Finds written secrets.
enum SecretPlaces {
  /// Byte ranges of secrets below a node that should follow `section`.
  static func find(_ node: Node, _ section: SchemaSection) -> [Range<Int>] {
    var found: [Range<Int>] = []
    collect(node, section, into: &found)
    return found
  }

  /// Whether a line of a text that cannot be parsed may hold a secret: it speaks of one, or stands below `auth` or
  /// `providers`.
  static func isLikely(in map: SourceMap, line: Int) -> Bool {
    let words = ["secret", "\(ProviderSection.key.key):"]
    if words.contains(where: map.text(ofLine: line).lowercased().contains) { return true }
    var above = line
    while above >= 1 {
      let text = map.text(ofLine: above)
      if let first = text.unicodeScalars.first, first != " ", first != "\t", first != "#", first != "}" {
        return [RootSection.auth, RootSection.providers].contains { text.contains($0.key) }
      }
      above -= 1
    }
    return false
  }

  private static func collect(_ node: Node, _ section: SchemaSection, into found: inout [Range<Int>]) {
    let hasSecret = section.rows.contains { isSecret($0.type) }
    for entry in node.mapping?.entries ?? [] {
      switch section.row(entry.name)?.type {
      case .section(let inner): collect(entry.value, inner, into: &found)
      case .named(let inner, _, _):
        for named in entry.value.mapping?.entries ?? [] { collect(named.value, inner, into: &found) }
      // Beside a secret, an unknown key may be its name misspelt.
      case nil: if hasSecret { hide(entry.value, into: &found) }
      // The word that stands in the place of a key is none.
      case .key(let none)?: if entry.value.scalar?.text != none { hide(entry.value, into: &found) }
      case .some(let type): if isSecret(type) { hide(entry.value, into: &found) }
      }
    }
  }

  private static func isSecret(_ type: ValueType) -> Bool {
    switch type {
    case .secret, .key: true
    case .list(let element, _, _): isSecret(element)
    default: false
    }
  }

  private static func hide(_ node: Node, into found: inout [Range<Int>]) {
    switch node.content {
    case .scalar(let scalar) where isReference(scalar.text): break
    case .scalar, .mapping: found.append(node.start.offset..<max(node.start.offset, node.end.offset))
    case .sequence(let members): for member in members { hide(member, into: &found) }
    }
  }

  /// A reference alone, without a default or with an empty one, shows nothing.
  private static func isReference(_ text: String) -> Bool {
    guard text.hasSuffix("}") else { return false }
    if text.hasPrefix("${file:") { return text.firstIndex(of: "}") == text.indices.last }
    guard text.hasPrefix("${env:") else { return false }
    var name = text.dropFirst(6).dropLast()
    if name.hasSuffix(":-") { name = name.dropLast(2) }
    return name.utf8.allSatisfy { (0x61...0x7A).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x5F }
  }
}
