// Nodes into the settings of a policy.
//
// Owns: the types of scalars in them (the core schema of YAML 1.2) and the bounds of a tree.
// Called by: the section reader, for rows that take any YAML.
// Never: knows what a setting means.

import YAML

/// Reads one tree of settings.
struct SettingsReader {
  private let source: SourceFile
  private let path: String
  private var references: ReferenceResolver
  private var diagnoses: DiagnosisList
  private var labels: [String] = []
  private var concealed: [String] = []
  private var nodes = 0
  private var isWrong = false
  private var isOpen = false

  /// The tree of a node; nil when something is wrong, which has been reported.
  static func read(_ node: Node, path: String, by section: inout SectionReader) -> SettingsReading? {
    if node.scalar?.isNull ?? false { return SettingsReading.none }
    var reader = SettingsReader(
      source: section.source, path: path, references: section.references, diagnoses: section.diagnoses)
    let (tree, shown) = reader.value(node, depth: 0)
    section.references = reader.references
    section.diagnoses = reader.diagnoses
    if reader.isWrong { return nil }
    return SettingsReading(
      tree: tree, shown: shown, references: reader.labels, concealed: reader.concealed,
      isOpen: reader.isOpen)
  }

  private init(source: SourceFile, path: String, references: ReferenceResolver, diagnoses: DiagnosisList) {
    self.source = source
    self.path = path
    self.references = references
    self.diagnoses = diagnoses
  }

  private mutating func value(_ node: Node, depth: Int) -> (tree: SettingsTree, shown: SettingsTree) {
    nodes += 1
    guard nodes <= SettingsTree.nodesMax else {
      if nodes == SettingsTree.nodesMax + 1 {
        fail(node, "'\(path)' has more than \(SettingsTree.nodesMax) values")
      }
      return (.null, .null)
    }
    if let scalar = node.scalar { return self.scalar(scalar, node) }
    guard depth < SettingsTree.depthMax else {
      fail(node, "'\(path)' is nested deeper than \(SettingsTree.depthMax) levels")
      return (.null, .null)
    }
    if let members = node.sequence {
      let values = members.map { value($0, depth: depth + 1) }
      return (.list(values.map(\.tree)), .list(values.map(\.shown)))
    }
    var pairs: [SettingsPair] = []
    var shown: [SettingsPair] = []
    for entry in node.mapping?.entries ?? [] {
      let value = value(entry.value, depth: depth + 1)
      pairs.append(SettingsPair(key: entry.name, value: value.tree))
      shown.append(SettingsPair(key: entry.name, value: masked(entry.name, value.shown)))
    }
    return (.map(pairs), .map(shown))
  }

  private mutating func scalar(_ scalar: Scalar, _ node: Node) -> (tree: SettingsTree, shown: SettingsTree) {
    switch references.expand(scalar, at: source.place(of: node), into: &diagnoses) {
    case .plain:
      if let problem = SettingsReader.problem(scalar) {
        fail(node, "a value of '\(path)' \(problem)", hint: "put it into quotes if text is meant")
        return (.null, .null)
      }
      let tree = SettingsReader.tree(scalar)
      return (tree, tree)
    case .text(let text, let references, let isHidden):
      for label in references where !labels.contains(label) { labels.append(label) }
      if isHidden { concealed.append(text) }
      return (.text(text), .text(isHidden ? SecretText.mask : text))
    case .undefined:
      isOpen = true
      return (.text("placeholder"), .text("placeholder"))
    case .failed:
      isWrong = true
      return (.null, .null)
    }
  }

  /// A text under a name that speaks of a secret is one.
  private mutating func masked(_ name: String, _ shown: SettingsTree) -> SettingsTree {
    guard case .text(let text) = shown, !text.isEmpty, SecretName.isLikely(name) else { return shown }
    if text != SecretText.mask { concealed.append(text) }
    return .text(SecretText.mask)
  }

  private static func tree(_ scalar: Scalar) -> SettingsTree {
    switch scalar.core {
    case .null: .null
    case .boolean(let value): .boolean(value)
    case .integer(let value): .integer(value)
    case .float(let value): .number(value)
    case .text(let text): .text(text)
    }
  }

  /// What makes a number another one than it looks like.
  private static func problem(_ scalar: Scalar) -> String? {
    guard scalar.resolves else { return nil }
    switch scalar.integer {
    case .leadingZero: return "begins with a zero, which some readers take for octal"
    case .outOfRange: return "is too large for a whole number"
    case .value, .none: break
    }
    if case .float(let value) = scalar.core, value.isInfinite, scalar.text.contains(where: \.isNumber) {
      return "is too large for a number"
    }
    return nil
  }

  private mutating func fail(_ node: Node, _ message: String, hint: String? = nil) {
    isWrong = true
    diagnoses.error(source.place(of: node), message, hint: hint)
  }
}
