// What a new configuration changes, by the schema's rows: names that came and went, keys whose values differ. Values
// themselves are not told, for some are secret.
//
// Owns: the comparison of two resolved trees.
// Called by: reload.
// Never: compares text or places; a file may be rewritten without a change.

/// Differences between two configurations, as dotted paths in the order of the schema.
struct ConfigDiff: Equatable {
  /// Named things that are new, such as `routes.chat`.
  private(set) var added: [String] = []
  /// Named things that are gone.
  private(set) var removed: [String] = []
  /// Keys with another value that acts now.
  private(set) var changed: [String] = []
  /// Keys with another value that acts after a restart.
  private(set) var needsRestart: [String] = []

  init(from old: SectionFields, to new: SectionFields) { compare(old, new, "") }

  /// Settings that need a restart differ from what runs, whatever the last reload said.
  mutating func compareRestart(_ running: SectionFields, _ new: SectionFields) {
    needsRestart = ConfigDiff(from: running, to: new).needsRestart
  }

  /// Certificates and scripts are read through their path: the file may have changed where the path has not.
  mutating func compareFiles(_ old: Snapshot, _ new: Snapshot) {
    compareTrust(old, new)
    compareScripts(old, new)
  }

  private mutating func compareScripts(_ old: Snapshot, _ new: Snapshot) {
    let before = Dictionary(old.policies.map { ($0.name, $0.script) }, uniquingKeysWith: { first, _ in first })
    for policy in new.policies {
      guard let left = before[policy.name], old.scripts[left].contentHash != new.scripts[policy.script].contentHash
      else { continue }
      let path = "policies.\(policy.name)"
      if !changed.contains("\(path).\(PolicySection.script.key)") { changed.append(path) }
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
      if !changed.contains(path) { changed.append(path) }
    }
  }

  private mutating func compare(_ old: SectionFields, _ new: SectionFields, _ path: String) {
    for row in new.section.rows {
      let (before, after) = (old[row]?.value, new[row]?.value)
      let own = path.isEmpty ? row.key : "\(path).\(row.key)"
      switch (before, after) {
      case (.section(let left), .section(let right)): compare(left, right, own)
      case (.named(let left), .named(let right)): compare(left, right, own)
      default:
        if ConfigDiff.isSame(before, after) { continue }
        switch row.reload {
        case .live: changed.append(own)
        case .restart: needsRestart.append(own)
        }
      }
    }
  }

  private mutating func compare(_ old: [NamedFields], _ new: [NamedFields], _ path: String) {
    let before = Dictionary(old.map { ($0.name, $0.fields) }, uniquingKeysWith: { first, _ in first })
    for entry in new {
      if let fields = before[entry.name] {
        compare(fields, entry.fields, "\(path).\(entry.name)")
      } else {
        added.append("\(path).\(entry.name)")
      }
    }
    let names = Set(new.map(\.name))
    removed += old.filter { !names.contains($0.name) }.map { "\(path).\($0.name)" }
  }

  /// Equal values, wherever they come from.
  private static func isSame(_ left: SettingValue?, _ right: SettingValue?) -> Bool {
    guard case .list(let some) = left, case .list(let others) = right else { return left == right }
    return some.count == others.count && zip(some, others).allSatisfy { isSame($0.value, $1.value) }
  }
}
