// Providers and models: what each of them needs, and what cannot be used as things are.
//
// Owns: these rules, but that names exist (CrossChecks.swift).
// Called by: CrossChecks.
// Never: shows a key or asks a provider.

/// Checks of providers and models.
enum ModelChecks {
  /// Adds what is wrong.
  static func run(_ root: SectionFields, dev: Bool, into diagnoses: inout DiagnosisList) {
    for entry in entries(root, RootSection.providers) where !entry.fields.section.rows.isEmpty {
      guard entry.fields[ProviderSection.endpoints] == nil, entry.fields[ProviderSection.dev]?.value == .boolean(false),
        entry.fields.suspects.isDisjoint(with: [ProviderSection.endpoints.key, ProviderSection.dev.key])
      else { continue }
      diagnoses.error(
        entry.fields.place, "'\(entry.fields.path)' has no '\(ProviderSection.endpoints.key)'",
        hint: "write where it is reached, or 'dev: true' for the demo provider")
    }
    equivalents(entries(root, RootSection.models), into: &diagnoses)
  }

  /// Equivalents that are the model itself, or too many to be considered.
  private static func equivalents(_ models: [NamedFields], into diagnoses: inout DiagnosisList) {
    let offers = Dictionary(
      models.map { ($0.name, ModelSection.providerNames($0.fields).count) }, uniquingKeysWith: { first, _ in first })
    for entry in models {
      guard let setting = entry.fields[ModelSection.equivalents], case .list(let members) = setting.value else {
        continue
      }
      for member in members where member.value == .text(entry.name) && !member.isPlaceholder {
        guard let place = member.place else { continue }
        diagnoses.error(place, "the model '\(entry.name)' is its own equivalent", hint: "remove it")
      }
      let names = [entry.name] + ModelSection.equivalentNames(entry.fields)
      let count = names.reduce(0) { $0 + (offers[$1] ?? 0) }
      guard count > candidatesMax, let place = entry.fields.keyPlaces[ModelSection.equivalents.key] else { continue }
      diagnoses.error(
        place,
        "the model '\(entry.name)' and its equivalents have \(count) providers, at most \(candidatesMax) are asked",
        hint: "leave out an equivalent")
    }
  }

  /// Most providers of a model and its equivalents, as the table of models has room for.
  static let candidatesMax = 16

  /// Adds what is right, but perhaps not meant.
  static func remark(_ root: SectionFields, dev: Bool, into diagnoses: inout DiagnosisList) {
    let states = RootSection.providerStates(of: root, dev: dev)
    let models = entries(root, RootSection.models)
    let named = Set(models.flatMap { ModelSection.providerNames($0.fields) })
    let hasOpenModels = models.contains { entry in
      if case .list(let members) = entry.fields[ModelSection.providers]?.value {
        members.contains(where: \.isPlaceholder)
      } else {
        false
      }
    }
    for entry in entries(root, RootSection.providers) {
      remark(entry, states[entry.name] ?? .usable, into: &diagnoses)
      if states[entry.name] != .leftOut, !named.contains(entry.name), !hasOpenModels {
        diagnoses.warning(entry.fields.place, "no model names the provider '\(entry.name)'")
      }
    }
    dead(models.filter { !ModelSection.isLeftOut($0, states) }, states, into: &diagnoses)
    let asked = entries(root, RootSection.routes).first { $0.fields.keyPlaces[RouteSection.dialect.key] != nil }
    if let asked, models.isEmpty, let place = asked.fields.keyPlaces[RouteSection.dialect.key] {
      diagnoses.warning(
        place, "there is no model: every request on the route '\(asked.name)' is answered with MODEL_NOT_FOUND",
        hint: "add 'models'")
    }
  }

  /// What becomes of a provider that is not asked itself.
  private static func remark(_ entry: NamedFields, _ state: ProviderState, into diagnoses: inout DiagnosisList) {
    let setting = entry.fields[ProviderSection.key]
    let place = setting?.place ?? entry.fields.place
    var variables: [String] = []
    if case .file(_, let references) = setting?.origin {
      variables = references.filter { $0.hasPrefix("env ") }.map { String($0.dropFirst(4)) }
    }
    let reason = variables.isEmpty ? "it has no key" : "\(variables.joined(separator: " and ")) is not set"
    switch state {
    case .usable: break
    case .leftOut:
      diagnoses.add(
        Diagnosis(
          .note, .place(entry.fields.place), "the provider '\(entry.name)' is left out: it is there under --dev only"))
    case .disabled:
      let cure =
        variables.isEmpty
        ? "give it a 'key', or write 'key: \(ProviderSection.none)' if it asks for none"
        : "set \(variables.joined(separator: " and "))"
      diagnoses.warning(
        place, "the provider '\(entry.name)' is disabled: \(reason)",
        hint: "\(cure); under --dev, the demo provider stands in")
    case .demo:
      // Without endpoints, that is what was asked for.
      guard entry.fields[ProviderSection.endpoints] != nil else { break }
      diagnoses.add(
        Diagnosis(.note, .place(place), "the demo provider stands in for '\(entry.name)': \(reason)"))
    }
  }

  /// Models for which nobody answers now, in one finding: they mostly share their provider.
  private static func dead(
    _ models: [NamedFields], _ states: [String: ProviderState], into diagnoses: inout DiagnosisList
  ) {
    let silent = models.filter { entry in
      let names = ModelSection.providerNames(entry.fields)
      return !names.isEmpty && names.allSatisfy { states[$0] == .disabled || states[$0] == .leftOut }
    }
    let silentNames = Set(silent.map(\.name))
    let answered = Set(models.map(\.name)).subtracting(silentNames)
    let dead = silent.filter { answered.isDisjoint(with: ModelSection.equivalentNames($0.fields)) }
    guard let first = dead.first else { return }
    var names = dead.prefix(namesMax).map { "'\($0.name)'" }
    if dead.count > namesMax { names.append("\(dead.count - namesMax) more") }
    let last = names.removeLast()
    let list = names.isEmpty ? last : names.joined(separator: ", ") + " and " + last
    diagnoses.warning(
      first.fields.place, "no provider of the model\(dead.count == 1 ? "" : "s") \(list) can be used")
  }

  /// Most models that one finding names.
  private static let namesMax = 8

  private static func entries(_ root: SectionFields, _ row: SchemaRow) -> [NamedFields] {
    if case .named(let entries) = root[row]?.value { entries } else { [] }
  }
}
