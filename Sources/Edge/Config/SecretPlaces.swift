// What of a file messages must not show.
//
// The rule: a value is shown only where it stands in the place of a key that is known and holds no secret. A key that
// is nearly known counts as that one; below a key that is not, only small numbers are shown. A file that cannot be
// parsed shows lines only below known keys that hold no secret.
//
// Owns: which stretches count as secrets before anything is known to be right.
// Called by: the loader, once per file, before its keys are read.
// Never: judges a secret.

import YAML

/// Finds what must not be shown.
struct SecretPlaces {
  /// Byte ranges to be hidden, in the order of the text.
  private(set) var ranges: [Range<Int>] = []
  /// Values that surely are secrets: no message may repeat them, wherever it points.
  private(set) var secrets: [Node] = []

  private var nearLooks = 0
  private static let nearLooksMax = 500

  /// What is to be hidden below a node that should follow `section`.
  static func find(_ node: Node, _ section: SchemaSection) -> SecretPlaces {
    var places = SecretPlaces()
    places.section(node, section)
    return places
  }

  /// Whether a section holds a secret, at any depth.
  static func holdsSecret(_ section: SchemaSection) -> Bool { section.rows.contains { holdsSecret($0.type) } }

  // MARK: - Trees

  private mutating func section(_ node: Node, _ section: SchemaSection) {
    if isNothing(node) { return }
    guard let mapping = node.mapping else { return hide(node) }
    // Beside a secret, an unknown key may be its name misspelt.
    let isBeside = section.rows.contains { SecretPlaces.isSecret($0.type) }
    for entry in mapping.entries {
      if let row = section.row(entry.name) {
        value(entry.value, row.type)
      } else if !isBeside, entry.name != "key", !SecretName.isLikely(entry.name), SecretName.isPlain(entry.name),
        let row = near(entry.name, section)
      {
        value(entry.value, row.type)
      } else {
        if !SecretName.isPlain(entry.name) { ranges.append(SecretPlaces.range(entry.key)) }
        if isBeside || SecretName.isLikely(entry.name) {
          conceal(entry.value, isSure: !isBeside)
        } else {
          hide(entry.value)
        }
      }
    }
  }

  /// The row that an unknown key was probably meant to be; of very many such keys, none any more.
  private mutating func near(_ name: String, _ section: SchemaSection) -> SchemaRow? {
    nearLooks += 1
    if nearLooks > SecretPlaces.nearLooksMax { return nil }
    return Nearness.nearest(to: name, among: section.rows.map(\.key)).flatMap { section.row($0) }
  }

  private mutating func value(_ node: Node, _ type: ValueType) {
    switch type {
    case .section(let inner): section(node, inner)
    case .either(_, let inner) where node.mapping != nil: section(node, inner)
    case .either(let scalar, _): value(node, scalar)
    case .named(let inner, let kind, _):
      if isNothing(node) { return }
      guard let mapping = node.mapping else { return hide(node) }
      for entry in mapping.entries {
        let isOdd = SecretName.holdsChance(entry.name) && (try? NameText.read(entry.name, of: kind)) == nil
        let isLone = isNothing(entry.value) && !SecretName.isPlain(entry.name) && SecretPlaces.holdsSecret(inner)
        if isOdd || isLone {
          ranges.append(SecretPlaces.range(entry.key))
        }
        section(entry.value, inner)
      }
    case .list(let element, _, _):
      guard let members = node.sequence else { return value(node, element) }
      for member in members { value(member, element) }
    // The word that stands in the place of a key is none.
    case .key(let none): if node.scalar?.text != none { conceal(node) }
    case .secret: conceal(node)
    case .tree: tree(node)
    default: if node.scalar == nil { hide(node) }
    }
  }

  /// Settings of a policy: only their names can tell.
  private mutating func tree(_ node: Node) {
    for member in node.sequence ?? [] { tree(member) }
    for entry in node.mapping?.entries ?? [] {
      if !SecretName.isLikely(entry.name) { tree(entry.value) } else { conceal(entry.value) }
    }
  }

  private func isNothing(_ node: Node) -> Bool { node.scalar?.isNull ?? false }

  private static func isSecret(_ type: ValueType) -> Bool {
    switch type {
    case .secret, .key: true
    case .list(let element, _, _): isSecret(element)
    default: false
    }
  }

  private static func holdsSecret(_ type: ValueType) -> Bool {
    switch type {
    case .section(let inner), .either(_, let inner), .named(let inner, _, _): holdsSecret(inner)
    default: isSecret(type)
    }
  }

  // MARK: - Hiding

  /// Hides a value that belongs nowhere; keys that are plain words stay.
  private mutating func hide(_ node: Node) {
    switch node.content {
    case .scalar(let scalar):
      if SecretPlaces.isReference(scalar.text) || SecretPlaces.isSmall(scalar.text) { return }
      ranges.append(SecretPlaces.range(node))
    case .sequence(let members): for member in members { hide(member) }
    case .mapping(let mapping):
      for entry in mapping.entries {
        if !SecretName.isPlain(entry.name) { ranges.append(SecretPlaces.range(entry.key)) }
        if SecretName.isLikely(entry.name) || entry.name == "key" { conceal(entry.value) } else { hide(entry.value) }
      }
    }
  }

  /// Hides what is probably a secret, keys and all.
  private mutating func conceal(_ node: Node, isSure: Bool = true) {
    switch node.content {
    case .scalar(let scalar):
      if SecretPlaces.isReference(scalar.text) { return }
      ranges.append(SecretPlaces.range(node))
      if isSure, scalar.text.utf8.count >= SecretPlaces.secretMin { secrets.append(node) }
    case .sequence(let members): for member in members { conceal(member, isSure: isSure) }
    case .mapping: ranges.append(SecretPlaces.range(node))
    }
  }

  /// A shorter text stands in messages by chance.
  private static let secretMin = 8

  private static func range(_ node: Node) -> Range<Int> {
    node.start.offset..<max(node.start.offset, node.end.offset)
  }

  /// A truth value, or a short number, perhaps with a unit: no secret, and often what helps most.
  private static func isSmall(_ text: String) -> Bool {
    if text == "true" || text == "false" { return true }
    let unit = text.utf8.drop { (0x30...0x39).contains($0) || $0 == 0x2E }
    return text.utf8.count <= 5 && unit.count < text.utf8.count && ["", "ms", "s", "m", "h"].contains(String(unit))
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

/// Texts that cannot be parsed: what their lines are can only be guessed.
extension SecretPlaces {
  /// Whether a line surely holds no secret: neither it nor a line that it stands below speaks of one, nothing in it
  /// looks like made by chance, and it stands below a known key at the top that holds none.
  static func mayShow(line: Int, of map: SourceMap) -> Bool {
    let own = map.text(ofLine: line)
    if speaksOfSecret(own) || SecretName.holdsChance(own) { return false }
    var margin = isBlank(own) ? Int.max : indent(own)
    if margin == 0 { return isHarmlessTop(own) }
    var above = line - 1
    while above >= 1 {
      let text = map.text(ofLine: above)
      above -= 1
      if isBlank(text) || indent(text) >= margin { continue }
      if indent(text) == 0, text.hasPrefix("}") || text.hasPrefix("]") { continue }
      margin = indent(text)
      if speaksOfSecret(text) { return false }
      if margin == 0 { return isHarmlessTop(text) }
    }
    return isBlank(own)
  }

  private static func speaksOfSecret(_ line: String) -> Bool {
    let words = line.split { !($0.isASCII && ($0.isLetter || $0.isNumber) || $0 == "_" || $0 == "-") }
    return words.contains { $0.lowercased() == ProviderSection.key.key || SecretName.isLikely(String($0)) }
  }

  private static func isBlank(_ line: String) -> Bool {
    let text = ConfigText.trimmed(line)
    return text.isEmpty || text.hasPrefix("#")
  }

  private static func indent(_ line: String) -> Int {
    line.utf8.prefix { $0 == 0x20 || $0 == 0x09 }.count
  }

  private static func isHarmlessTop(_ line: String) -> Bool {
    if line.hasPrefix("---") || line.hasPrefix("...") { return ConfigText.trimmed(line).utf8.count == 3 }
    let word = String(line.prefix { $0.isASCII && $0.isLetter || $0 == "_" || $0 == "-" })
    let rows = RootSection.schema.rows
    let near = RootSection.schema.row(word) == nil ? Nearness.nearest(to: word, among: rows.map(\.key)) : word
    guard let near, let row = RootSection.schema.row(near) else { return false }
    return !holdsSecret(row.type)
  }
}
