// Nodes into fields, row by row.
//
// Owns: the match between a mapping and the rows of its section, and the wording of shape errors.
// Called by: the loader, once per file.
// Never: fills in defaults, looks across files or stops at the first error.

import YAML

/// Reads the sections of one file.
struct SectionReader {
  /// The file being read.
  let source: SourceFile
  /// Handed on from file to file.
  var references: ReferenceResolver
  /// Handed on likewise.
  var diagnoses: DiagnosisList

  /// A reader for one file.
  init(source: SourceFile, references: ReferenceResolver, diagnoses: DiagnosisList) {
    self.source = source
    self.references = references
    self.diagnoses = diagnoses
  }

  /// The written keys of a section; `node` may be null, which is a section without keys.
  mutating func read(_ section: SchemaSection, _ node: Node, path: String, place: SourcePlace) -> SectionFields? {
    var fields = SectionFields(path: path, section: section, place: place)
    if node.scalar?.isNull ?? false { return fields }
    guard let mapping = node.mapping else {
      let subject = path.isEmpty ? "the file" : "'\(path)'"
      diagnoses.error(source.place(of: node), "\(subject) must be a mapping, found \(SectionReader.noun(node))")
      return nil
    }
    for entry in mapping.entries {
      let keyPlace = source.place(of: entry.key)
      guard let row = section.row(entry.name) else {
        let near = Nearness.nearest(to: entry.name, among: section.rows.map(\.key))
        if let near { fields.suspects.insert(near) }
        let inside = path.isEmpty ? "" : " in '\(path)'"
        diagnoses.error(
          keyPlace, "unknown key '\(entry.name)'\(inside)",
          hint: near.map { "did you mean '\($0)'?" }
            ?? "known here: \(section.rows.map(\.key).joined(separator: ", "))")
        continue
      }
      fields.keyPlaces[row.key] = keyPlace
      fields.settings[row.key] = setting(row.type, entry.value, path: fields.path(of: row.key), key: keyPlace)
    }
    return fields
  }

  /// The value of one key.
  private mutating func setting(_ type: ValueType, _ node: Node, path: String, key: SourcePlace) -> Setting {
    let place = source.place(of: node)
    let origin = SettingOrigin.file(place, references: [])
    switch type {
    case .section(let section):
      return Setting(value: read(section, node, path: path, place: key).map { .section($0) }, origin: origin)
    case .named(let section, let entity, _):
      return Setting(value: named(section, entity, node, path: path), origin: origin)
    case .either(_, let section) where node.mapping != nil:
      return Setting(value: read(section, node, path: path, place: key).map { .section($0) }, origin: origin)
    case .list(let element, let count, let scalarAllowed):
      return list(element, count: count, scalarAllowed: scalarAllowed, node, path: path, key: key)
    case .tree:
      let reading = SettingsReader.read(node, path: path, by: &self)
      return Setting(value: reading.map { .tree($0) }, origin: .file(place, references: reading?.references ?? []))
    default:
      return scalar(type, node, path: path, key: key)
    }
  }

  private mutating func named(
    _ section: SchemaSection, _ entity: NamedKind, _ node: Node, path: String
  ) -> SettingValue? {
    if node.scalar?.isNull ?? false { return .named([]) }
    guard let mapping = node.mapping else {
      diagnoses.error(
        source.place(of: node),
        "'\(path)' must be a mapping from names to settings, found \(SectionReader.noun(node))")
      return nil
    }
    var entries: [NamedFields] = []
    for entry in mapping.entries {
      let place = source.place(of: entry.key)
      do { _ = try NameText.read(entry.name, of: entity) } catch {
        diagnoses.error(place, error.message, hint: error.hint)
      }
      if let fields = read(section, entry.value, path: "\(path).\(entry.name)", place: place) {
        entries.append(NamedFields(name: entry.name, fields: fields))
      } else {
        // Kept, so that references to the name are not reported on top.
        entries.append(
          NamedFields(
            name: entry.name,
            fields: SectionFields(
              path: "\(path).\(entry.name)", section: SchemaSection(section.name, "", []), place: place)))
      }
    }
    return .named(entries)
  }

  private mutating func list(
    _ element: ValueType, count: ClosedRange<Int>, scalarAllowed: Bool, _ node: Node, path: String, key: SourcePlace
  ) -> Setting {
    let place = source.place(of: node)
    let origin = SettingOrigin.file(place, references: [])
    var members: [Setting] = []
    if let nodes = node.sequence {
      for (index, member) in nodes.enumerated() {
        members.append(setting(element, member, path: "\(path)[\(index)]", key: source.place(of: member)))
      }
    } else if node.scalar?.isNull ?? false {
      members = []
    } else if scalarAllowed, node.scalar != nil {
      members = [setting(element, node, path: path, key: key)]
    } else {
      diagnoses.error(
        place, "'\(path)' must be a list, found \(SectionReader.noun(node))",
        hint: node.scalar.map { "write [\($0.style == .plain ? $0.text : "\"\($0.text)\"")]" })
      return Setting(value: nil, origin: origin)
    }
    guard count.contains(members.count) else {
      diagnoses.error(
        members.isEmpty ? key : place,
        members.isEmpty
          ? "'\(path)' needs at least \(count.lowerBound) value"
          : "'\(path)' has \(members.count) values, at most \(count.upperBound) are allowed")
      return Setting(value: nil, origin: origin)
    }
    reportRepeats(members, path: path)
    return Setting(value: .list(members), origin: origin)
  }

  private mutating func reportRepeats(_ members: [Setting], path: String) {
    for (index, member) in members.enumerated() {
      guard let value = member.value, let place = member.place, !member.isPlaceholder else { continue }
      guard let first = members[..<index].first(where: { $0.value == value && !$0.isPlaceholder }) else { continue }
      let related = first.place.map { [Diagnosis.Related(place: $0, message: "first here")] } ?? []
      diagnoses.error(place, "the same value stands twice in '\(path)'", related: related)
    }
  }

  private mutating func scalar(_ type: ValueType, _ node: Node, path: String, key: SourcePlace) -> Setting {
    let place = source.place(of: node)
    let failed = Setting(value: nil, origin: .file(place, references: []))
    guard let scalar = node.scalar else {
      diagnoses.error(place, "'\(path)' must be \(type.expectation), found \(SectionReader.noun(node))")
      return failed
    }
    if scalar.isNull {
      diagnoses.error(key, "'\(path)' has no value", hint: "expected \(type.expectation)")
      return failed
    }
    let isToken = if case .secret = type { true } else { false }
    let isKey = if case .key = type { true } else { false }
    if isToken, scalar.text == "${env:\(AuthSection.variable)}",
      references.variables.nonEmpty(AuthSection.variable) == nil
    {
      return Setting(value: nil, origin: .development(place))
    }
    var input = ScalarInput(text: scalar.text, resolves: scalar.resolves, isFree: false, hidden: [])
    var names: [String] = []
    switch references.expand(scalar, at: place, isSecret: isToken || isKey, into: &diagnoses) {
    case .plain: break
    case .text(let text, let references, let isHidden):
      input = ScalarInput(text: text, resolves: false, isFree: true, hidden: isHidden ? references : [])
      names = references
    case .undefined: return Setting(value: type.placeholder, origin: .placeholder(place))
    case .failed: return failed
    }
    do {
      let value = try type.read(input)
      return Setting(value: value, origin: .file(place, references: names))
    } catch {
      diagnoses.error(place, "\(path): \(error.message)", hint: error.hint)
      return failed
    }
  }

  /// What a node is, for "found …".
  static func noun(_ node: Node) -> String {
    switch node.content {
    case .sequence: "a list"
    case .mapping: "a mapping"
    case .scalar(let scalar):
      if scalar.isNull { "nothing" } else if scalar.text.utf8.count > 40 { "text" } else { "'\(scalar.text)'" }
    }
  }
}
