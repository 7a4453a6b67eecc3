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
      diagnoses.error(
        source.place(of: node), "\(subject) must be a mapping, found \(noun(node))",
        hint: path.contains(".") ? SectionReader.misplaced(path, section) : nil)
      return nil
    }
    for entry in mapping.entries {
      let keyPlace = source.place(of: entry.key)
      guard let row = section.row(entry.name) else {
        reportUnknown(entry, section, &fields, at: keyPlace)
        continue
      }
      fields.keyPlaces[row.key] = keyPlace
      fields.settings[row.key] = setting(row.type, entry.value, path: fields.path(of: row.key), key: keyPlace)
    }
    return fields
  }

  private mutating func reportUnknown(
    _ entry: Mapping.Entry, _ section: SchemaSection, _ fields: inout SectionFields, at place: SourcePlace
  ) {
    let known = section.rows.map(\.key)
    // `path:/x` without a blank is one word.
    let word = entry.name.firstIndex(of: ":").map { String(entry.name[..<$0]) }
    // What is only counted needs no hint.
    let near =
      word.flatMap { known.contains($0) ? $0 : nil }
      ?? (diagnoses.isFull ? nil : SectionReader.near(entry.name, known))
    if let near { fields.suspects.insert(near) }
    // A secret may stand where a key belongs.
    let name = SecretName.isPlain(entry.name) ? " '\(entry.name)'" : ""
    let hint =
      if entry.name.unicodeScalars.contains("\u{A0}") {
        "the name holds a no-break space (U+00A0), which only looks like a blank"
      } else if let near, near == word { "write '\(near): ' with a blank behind the colon" } else {
        near.map { "did you mean '\($0)'?" } ?? (diagnoses.isFull ? nil : SectionReader.owners(of: entry.name))
          ?? "known here: \(known.joined(separator: ", "))"
      }
    diagnoses.error(
      place, "unknown key\(name)\(fields.path.isEmpty ? "" : " in '\(fields.path)'")", hint: hint)
  }

  /// Keys of other programs, whose letters would lead elsewhere; empty: nothing here is like it.
  private static let foreign = ["max_tokens": "max_output", "policy": "policies", "read": "", "url": "endpoints"]

  private static func near(_ name: String, _ known: [String]) -> String? {
    if let own = foreign[name] { return known.contains(own) ? own : nil }
    return Nearness.nearest(to: name, among: known)
  }

  /// A key of a named thing may stand one level too high, among the names.
  private static func misplaced(_ path: String, _ section: SchemaSection) -> String? {
    guard let name = path.split(separator: ".").last.map(String.init), section.row(name) != nil else { return nil }
    return "'\(name)' is a key of a \(section.name): indent it below its name"
  }

  /// Where a key stands that does not stand here; nil where that is nowhere, or in too many places to help.
  private static func owners(of key: String) -> String? {
    var places: [String] = []
    func look(_ section: SchemaSection, _ path: String) {
      for row in section.rows {
        let own = path.isEmpty ? row.key : "\(path).\(row.key)"
        if row.key == key { places.append(path) }
        switch row.type {
        case .section(let inner), .either(_, let inner): look(inner, own)
        case .named(let inner, _, _): look(inner, own + ".NAME")
        default: break
        }
      }
    }
    look(RootSection.schema, "")
    guard (1...3).contains(places.count), SecretName.isPlain(key) else { return nil }
    let names = places.map { $0.isEmpty ? "the file itself" : $0 }
    return "'\(key)' stands in \(names.joined(separator: ", "))"
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
        "'\(path)' must be a mapping from names to settings, found \(noun(node))",
        hint: node.sequence == nil ? nil : "write 'NAME: {…}' in the place of '- name: NAME'")
      return nil
    }
    var entries: [NamedFields] = []
    for entry in mapping.entries {
      let place = source.place(of: entry.key)
      if source.isHidden(entry.key.start.offset..<entry.key.end.offset) {
        diagnoses.error(place, "what stands here in '\(path)' is hardly the name of a \(entity.rawValue)")
        continue
      }
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
        place, "'\(path)' must be a list, found \(noun(node))",
        hint: node.scalar.flatMap { scalar in
          isHidden(node) ? nil : "write [\(scalar.style == .plain ? scalar.text : "\"\(scalar.text)\"")]"
        })
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
      diagnoses.error(place, "'\(path)' must be \(type.expectation), found \(noun(node))")
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
      // What goes on in the next line was hardly meant to: it may be anything, and is not repeated.
      if scalar.style == .plain, node.end.line > node.start.line {
        diagnoses.error(
          place, "\(path): the value goes on in line \(node.start.line + 1), and is not \(type.expectation)",
          hint: "check the indentation")
        return failed
      }
      // What stands before the paths of a provider has a key of its own.
      let isBase = error.message == Endpoint.pathProblem && path.hasPrefix("\(RootSection.providers.key).")
      diagnoses.error(
        place, "\(path): \(isBase ? "an endpoint has no path" : error.message)",
        hint: isBase ? "what stands before the paths of its API is written as 'path', such as path: /v1" : error.hint)
      return failed
    }
  }

  private func isHidden(_ node: Node) -> Bool { source.isHidden(node.start.offset..<node.end.offset) }

  /// What a node is, for "found …".
  func noun(_ node: Node) -> String {
    switch node.content {
    case .sequence: "a list"
    case .mapping: "a mapping"
    case .scalar(let scalar):
      if scalar.isNull {
        "nothing"
      } else if scalar.text.utf8.count > 40 || isHidden(node) {
        "text"
      } else {
        "'\(scalar.text)'"
      }
    }
  }
}
