// Several files into one tree, and defaults into what is not written.
//
// Owns: the rule that nothing may be said twice, and the one place where defaults are applied.
// Called by: the loader, after each included file and once at the end.
// Never: decides what a default is; rows do.

extension SectionFields {
  /// Adds what another file says; the same key or name in both is an error that shows both places.
  mutating func merge(_ other: SectionFields, into diagnoses: inout DiagnosisList) {
    suspects.formUnion(other.suspects)
    for row in section.rows {
      guard let incoming = other.settings[row.key] else { continue }
      let place = other.keyPlaces[row.key]
      guard var present = settings[row.key] else {
        settings[row.key] = incoming
        keyPlaces[row.key] = place
        continue
      }
      switch (present.value, incoming.value) {
      case (.section(var fields), .section(let more)):
        fields.merge(more, into: &diagnoses)
        present.value = .section(fields)
        settings[row.key] = present
      case (.named(let entries), .named(let more)):
        present.value = .named(SectionFields.merge(entries, more, row.type, into: &diagnoses))
        settings[row.key] = present
      case (.none, _) where row.type.isCollection:
        // Reported already; what the other file says still counts for references.
        settings[row.key] = incoming
      case (_, .none) where row.type.isCollection:
        break
      default:
        // Every file may say which version it is written for.
        if row.key == RootSection.version.key { continue }
        guard let place, let first = keyPlaces[row.key] else { continue }
        diagnoses.error(
          place, "'\(path(of: row.key))' is set twice",
          related: [Diagnosis.Related(place: first, message: "first set here")])
      }
    }
  }

  private static func merge(
    _ entries: [NamedFields], _ more: [NamedFields], _ type: ValueType, into diagnoses: inout DiagnosisList
  ) -> [NamedFields] {
    var places: [String: SourcePlace] = [:]
    for entry in entries { places[entry.name] = entry.fields.place }
    var result = entries
    var noun = "thing"
    if case .named(_, let entity, _) = type { noun = entity.rawValue }
    for entry in more {
      if let first = places[entry.name] {
        diagnoses.error(
          entry.fields.place, "the \(noun) '\(entry.name)' is defined twice",
          related: [Diagnosis.Related(place: first, message: "first defined here")])
      } else {
        result.append(entry)
      }
    }
    return result
  }

  /// Gives every key without a value its default, and reports missing ones and maps of a wrong size.
  mutating func fill(_ references: inout ReferenceResolver, into diagnoses: inout DiagnosisList) {
    for row in section.rows {
      switch settings[row.key]?.value {
      case .section(var fields):
        fields.fill(&references, into: &diagnoses)
        settings[row.key]?.value = .section(fields)
      case .named(var entries):
        for index in entries.indices { entries[index].fields.fill(&references, into: &diagnoses) }
        settings[row.key]?.value = .named(entries)
        if case .named(_, let entity, let count) = row.type, !count.contains(entries.count) {
          diagnoses.error(
            keyPlaces[row.key] ?? place,
            entries.isEmpty
              ? "there is no \(entity.rawValue)"
              : "there are \(entries.count) \(entity.collection), at most \(count.upperBound) are allowed")
        }
      case .some: break
      case .none:
        guard settings[row.key] == nil else { continue }
        settings[row.key] = fallback(row, &references, into: &diagnoses)
      }
    }
  }

  private func fallback(
    _ row: SchemaRow, _ references: inout ReferenceResolver, into diagnoses: inout DiagnosisList
  ) -> Setting? {
    switch row.fallback {
    case .absent: return nil
    case .required, .requiredSince:
      if suspects.contains(row.key) { return nil }
      var message = path.isEmpty ? "the key '\(row.key)' is missing" : "'\(path)' has no '\(row.key)'"
      if case .requiredSince(let reason) = row.fallback { message += ": \(reason)" }
      diagnoses.error(
        place, message,
        hint: "expected \(row.type.expectation)")
      return nil
    case .empty:
      guard case .section(let section) = row.type else {
        if case .named = row.type { return Setting(value: .named([]), origin: .fallback) }
        if case .tree = row.type { return Setting(value: .tree(.none), origin: .fallback) }
        return Setting(value: .list([]), origin: .fallback)
      }
      var fields = SectionFields(path: path(of: row.key), section: section, place: place)
      fields.fill(&references, into: &diagnoses)
      return Setting(value: .section(fields), origin: .fallback)
    case .literalWith(let conditions, _) where !conditions.contains(where: holds): return nil
    case .literal(let text), .literalWith(_, let text):
      return Setting(value: try? row.type.readDefault(text), origin: .fallback)
    case .environment(let name, let suffix, let otherwise):
      guard let value = references.variables.nonEmpty(name) else {
        return otherwise.map { Setting(value: try? row.type.readDefault($0), origin: .fallback) }
      }
      references.used(name, value)
      do {
        let origin = SettingOrigin.environment(name)
        guard case .list(let element, _, _) = row.type else {
          return Setting(value: try row.type.read(.literal(value + suffix)), origin: origin)
        }
        let member = Setting(value: try element.read(.literal(value + suffix)), origin: origin)
        return Setting(value: .list([member]), origin: origin)
      } catch {
        reportVariable(name, row, value, suffix, error, references.variables, into: &diagnoses)
        return Setting(value: nil, origin: .environment(name))
      }
    }
  }

  private func holds(_ condition: SchemaCondition) -> Bool {
    guard let value = settings[condition.key]?.value else { return false }
    return condition.value.map { value == .text($0) } ?? true
  }

  private func reportVariable(
    _ name: String, _ row: SchemaRow, _ value: String, _ suffix: String, _ complaint: ValueComplaint,
    _ variables: EnvironmentVariables, into diagnoses: inout DiagnosisList
  ) {
    let location = variables.location(name)
    // A suffix is added to plain numbers only; what else stands there is not worth repeating with it.
    let isPlain = suffix.isEmpty || ConfigText.plainInteger(value) != nil
    let message = isPlain ? complaint.message : "'\(value)' is not a plain number"
    let purpose = suffix.isEmpty ? "the default of '\(row.key)'" : "the default of '\(row.key)' in \(suffix)"
    let diagnosis = Diagnosis(
      .error, location, "\(message); it is \(purpose)", hint: isPlain ? complaint.hint : "write it like 30000")
    // Many sections may take the same default; one report is enough.
    diagnoses.addOnce(diagnosis)
  }
}

extension DiagnosisList {
  /// Adds a finding unless it is there already.
  mutating func addOnce(_ diagnosis: Diagnosis) {
    if !contains(diagnosis) { add(diagnosis) }
  }
}

extension ValueType {
  /// True for sections and maps, whose members are checked one by one.
  var isCollection: Bool {
    switch self {
    case .section, .named: true
    default: false
    }
  }
}
