// What a route says, as a number: whether WebSockets of a route go on as if nothing had happened is decided by it.
//
// Owns: what counts as a part of a route.
// Called by: whoever builds a generation.
// Never: looks at models, prices, other routes, or at keys beside the route that act on it.

/// Hashes of routes.
enum RouteHashes {
  /// One for each route of a snapshot, in its order. Equal ones mean that two configurations say the same about a
  /// route: its own keys with their defaults, and of each of its policies, in order, the script's bytes and the
  /// settings.
  static func of(_ snapshot: Snapshot, _ resolved: SectionFields) -> [UInt64] {
    var entries: [String: SectionFields] = [:]
    if case .named(let routes) = resolved[RootSection.routes]?.value {
      for route in routes { entries[route.name] = route.fields }
    }
    return snapshot.routes.map { route in
      var hash = ContentHash()
      hash.add(route.name)
      if let fields = entries[route.name] { hash.add(fields) }
      var policies = route.policies
      if case .handler(let index) = route.target { policies.append(index) }
      for index in policies {
        let policy = snapshot.policies[index]
        hash.add(policy.name)
        withUnsafeBytes(of: snapshot.scripts[policy.script].contentHash) { hash.add($0) }
        hash.add(policy.settings)
      }
      return hash.value
    }
  }
}

extension ContentHash {
  /// Values by key; where they are written does not matter. Both ends of everything that has members are marked, so
  /// that no two trees give the same bytes.
  fileprivate mutating func add(_ fields: SectionFields) {
    add("{")
    for row in fields.section.rows {
      guard let value = fields[row]?.value else { continue }
      add(row.key)
      add(value)
    }
    add("}")
  }

  private mutating func add(_ value: SettingValue) {
    switch value {
    case .text(let text), .word(let text): add("text", text)
    case .boolean(let value): add("boolean", String(value))
    case .integer(let value): add("integer", String(value))
    case .address(let address): add("address", address.text)
    case .endpoint(let endpoint): add("endpoint", endpoint.text)
    case .block(let block): add("block", block.text)
    case .host(let host): add("host", host.text)
    case .pattern(let pattern): add("pattern", pattern.text)
    case .secret(let secret):
      add("secret", String(secret.bytes.count))
      add(secret.bytes)
    case .tree(let reading): add(reading.tree)
    case .list(let members):
      add("[")
      for member in members { if let value = member.value { add(value) } }
      add("]")
    case .section(let fields): add(fields)
    case .named(let entries):
      add("{")
      for entry in entries {
        add(entry.name)
        add(entry.fields)
      }
      add("}")
    }
  }

  fileprivate mutating func add(_ tree: SettingsTree) {
    switch tree {
    case .null: add("null")
    case .boolean(let value): add("boolean", String(value))
    case .integer(let value): add("integer", String(value))
    case .number(let value): add("number", String(value))
    case .text(let text): add("text", text)
    case .list(let members):
      add("[")
      for member in members { add(member) }
      add("]")
    case .map(let pairs):
      add("{")
      for pair in pairs {
        add(pair.key)
        add(pair.value)
      }
      add("}")
    }
  }

  private mutating func add(_ kind: String, _ text: String) {
    add(kind)
    add(text)
  }
}
