// What a new configuration changes, by the schema's rows: names that came and went, keys whose values differ. Values
// themselves are not told, for some are secret.
//
// Owns: the comparison of two resolved trees.
// Called by: reload.
// Never: compares text or places; a file may be rewritten without a change. Never tells a secret, or a value that came
// from a `${file:…}`.

/// One difference.
struct ConfigChange: Equatable, Sendable {
  /// What has become of it.
  enum Kind: String, Sendable, CaseIterable {
    /// A named thing is new.
    case added
    /// A named thing is gone.
    case removed
    /// A key has another value, which acts now.
    case changed
    /// A key has another value, which acts after a restart.
    case restart
  }

  let kind: Kind
  /// Dotted, such as `routes.chat` or `models.gpt-4.price`.
  let path: String
  /// Of single keys, as YAML without secrets; nil where there was no value, or is none, or it is no single key.
  var before: String?
  var after: String?
}

/// Differences between two configurations, in the order of the schema.
struct ConfigDiff: Equatable {
  /// Those that act now; then, in the order of the schema again, those that act after a restart.
  private(set) var changes: [ConfigChange] = []

  init(from old: SectionFields, to new: SectionFields) {
    compare(old, new, "")
    changes = changes.filter { $0.kind != .restart } + changes.filter { $0.kind == .restart }
  }

  /// The paths of one kind.
  func paths(_ kind: ConfigChange.Kind) -> [String] { changes.filter { $0.kind == kind }.map(\.path) }

  /// Settings that need a restart differ from what runs, whatever the last reload said.
  mutating func compareRestart(_ running: SectionFields, _ new: SectionFields) {
    changes.removeAll { $0.kind == .restart }
    changes += ConfigDiff(from: running, to: new).changes.filter { $0.kind == .restart }
  }

  /// Certificates and scripts are read through their path: the file may have changed where the path has not.
  mutating func compareFiles(_ old: Snapshot, _ new: Snapshot) {
    compareCertificates(old, new)
    compareTrust(old, new)
    compareScripts(old, new)
  }

  private mutating func compareCertificates(_ old: Snapshot, _ new: Snapshot) {
    let before = Dictionary(old.listeners.map { ($0.name, $0.certificate) }, uniquingKeysWith: { first, _ in first })
    for listener in new.listeners {
      guard let left = before[listener.name] ?? nil, let right = listener.certificate,
        old.certificates[left].contentHash != new.certificates[right].contentHash
      else { continue }
      let path = "\(RootSection.listeners.key).\(listener.name).\(ListenerSection.tls.key)"
      let own = "\(path).\(ListenerSection.certificate.key)"
      if !paths(.changed).contains(own) { add(.changed, own) }
    }
  }

  private mutating func compareScripts(_ old: Snapshot, _ new: Snapshot) {
    let before = Dictionary(old.policies.map { ($0.name, $0.script) }, uniquingKeysWith: { first, _ in first })
    for policy in new.policies {
      guard let left = before[policy.name], old.scripts[left].contentHash != new.scripts[policy.script].contentHash
      else { continue }
      let path = "policies.\(policy.name)"
      if !paths(.changed).contains("\(path).\(PolicySection.script.key)") { add(.changed, path) }
    }
  }

  private mutating func compareTrust(_ old: Snapshot, _ new: Snapshot) {
    compareTrust(RootSection.services, old.services, new.services, old.trustFiles, new.trustFiles)
    let (before, after) = (old.providers.map(\.service), new.providers.map(\.service))
    compareTrust(RootSection.providers, before, after, old.trustFiles, new.trustFiles)
  }

  private mutating func compareTrust(
    _ row: SchemaRow, _ old: [Service], _ new: [Service], _ oldFiles: [TrustFile], _ newFiles: [TrustFile]
  ) {
    let before = Dictionary(old.map { ($0.name, $0.trust) }, uniquingKeysWith: { first, _ in first })
    for service in new {
      guard let left = before[service.name] ?? nil, let right = service.trust,
        oldFiles[left].contentHash != newFiles[right].contentHash
      else { continue }
      let path = "\(row.key).\(service.name).\(ServiceSection.tls.key).\(ServiceSection.caFile.key)"
      if !paths(.changed).contains(path) { add(.changed, path) }
    }
  }

  /// In front of what needs a restart.
  private mutating func add(_ kind: ConfigChange.Kind, _ path: String) {
    let end = changes.firstIndex { $0.kind == .restart } ?? changes.count
    changes.insert(ConfigChange(kind: kind, path: path), at: end)
  }

  private mutating func compare(_ old: SectionFields, _ new: SectionFields, _ path: String) {
    for row in new.section.rows {
      let (before, after) = (old[row]?.value, new[row]?.value)
      let own = path.isEmpty ? row.key : "\(path).\(row.key)"
      switch (before, after) {
      case (.section(let left), .section(let right)): compare(left, right, own)
      case (.named(let left), .named(let right)): compare(left, right, own)
      default:
        if ConfigDiff.isSame(before, after) || ConfigDiff.isImplied(before) && ConfigDiff.isImplied(after) { continue }
        if ConfigDiff.comesWithOthers(old[row], new[row]) { continue }
        changes.append(
          ConfigChange(
            kind: row.reload == .live ? .changed : .restart, path: own, before: old[row].flatMap { row.shown($0) },
            after: new[row].flatMap { row.shown($0) }))
      }
    }
  }

  private mutating func compare(_ old: [NamedFields], _ new: [NamedFields], _ path: String) {
    let before = Dictionary(old.map { ($0.name, $0.fields) }, uniquingKeysWith: { first, _ in first })
    for entry in new {
      if let fields = before[entry.name] {
        compare(fields, entry.fields, "\(path).\(entry.name)")
      } else {
        changes.append(ConfigChange(kind: .added, path: "\(path).\(entry.name)"))
      }
    }
    let names = Set(new.map(\.name))
    for entry in old where !names.contains(entry.name) {
      changes.append(ConfigChange(kind: .removed, path: "\(path).\(entry.name)"))
    }
  }

  /// A default that is there or not with other keys, which are told.
  private static func comesWithOthers(_ old: Setting?, _ new: Setting?) -> Bool {
    guard old == nil || new == nil else { return false }
    return [old, new].allSatisfy { $0.map { $0.origin == .fallback } ?? true }
  }

  /// Nothing, or a section of which nothing is written: it comes and goes with other keys, which are told.
  private static func isImplied(_ value: SettingValue?) -> Bool {
    guard let value else { return true }
    guard case .section(let fields) = value else { return false }
    return fields.settings.values.allSatisfy { $0.origin == .fallback }
  }

  /// Equal values, wherever they come from.
  private static func isSame(_ left: SettingValue?, _ right: SettingValue?) -> Bool {
    guard case .list(let some) = left, case .list(let others) = right else { return left == right }
    return some.count == others.count && zip(some, others).allSatisfy { isSame($0.value, $1.value) }
  }
}
