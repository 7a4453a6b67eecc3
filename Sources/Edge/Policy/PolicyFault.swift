// Why the policies of a configuration cannot run, and where that is: in a script, or in the row that names it.
// Called by check, the start and reloads.

import LuaBridge

/// What is wrong with a policy.
enum PolicyFault {
  case memory
  /// The script cannot be read, or fails while it is loaded or started.
  case script(policy: Int, LuaError)
  /// A key of its table is no phase.
  case unknownPhase(policy: Int, String)
  /// What stands under a phase is no function.
  case noFunction(policy: Int, String)
  /// A route asks it for what it has not.
  case missingPhase(policy: Int, route: Int, isHandler: Bool)
  /// It has settings, and its script no `init` that would be given them.
  case uselessSettings(policy: Int)
  /// A handler's script has `on_request` too, which a route asks of its policies only.
  case unaskedPhase(policy: Int, route: Int)
}

/// Everything that is wrong, in the order it was found.
struct PolicyFaults: Error {
  let list: [PolicyFault]
  /// The policies whose `init` has refused its settings, or failed over them.
  var refusals: Set<Int> = []
}

/// Checks the policies of a snapshot by running everything that a start would run.
enum PolicyCheck {
  /// The findings; `resolved` says where the rows stand. Nothing of the check remains.
  static func run(_ snapshot: Snapshot, _ resolved: SectionFields, _ tools: PolicyTools) -> [Diagnosis] {
    guard let clock = LuaClock() else {
      return [Diagnosis(.error, .commandLine, "the system gives no timer for scripts")]
    }
    defer { clock.end() }
    do throws(PolicyFaults) {
      _ = try PolicyMachine(snapshot, tools, clock: clock)
      return []
    } catch { return diagnoses(error, snapshot, resolved) }
  }

  /// The findings as `check` and a reload show them. Rows that share a script share what is wrong with it.
  static func diagnoses(_ faults: PolicyFaults, _ snapshot: Snapshot, _ resolved: SectionFields) -> [Diagnosis] {
    var list: [Diagnosis] = []
    for fault in faults.list {
      let found = diagnosis(fault, faults.refusals, snapshot, resolved)
      if !list.contains(where: { $0.location == found.location && $0.message == found.message }) { list.append(found) }
    }
    return list
  }

  private static func diagnosis(
    _ fault: PolicyFault, _ refusals: Set<Int>, _ snapshot: Snapshot, _ resolved: SectionFields
  ) -> Diagnosis {
    switch fault {
    case .memory: return Diagnosis(.error, .commandLine, "there is no memory for the policies")
    case .script(let policy, let error):
      return diagnosis(error, of: policy, isRefusal: refusals.contains(policy), snapshot, resolved)
    case .uselessSettings(let policy):
      let path = snapshot.scripts[snapshot.policies[policy].script].path
      let message = "'policies.\(snapshot.policies[policy].name).settings' has no effect: '\(path)' has no 'init'"
      guard let place = settings(of: policy, snapshot, resolved) else { return Diagnosis(.error, .file(path), message) }
      return Diagnosis(.error, .place(place), message, hint: "remove the settings")
    case .unknownPhase(let policy, let name):
      let words = PolicyPhase.allCases.map(\.rawValue)
      let script = snapshot.scripts[snapshot.policies[policy].script]
      // A key may be any string.
      let shown = name.utf8.count > 64 ? String(decoding: name.utf8.prefix(64), as: UTF8.self) + "…" : name
      return Diagnosis(
        .error, place(of: name, in: script), "'\(shown)' is no phase of a policy",
        hint: Nearness.hint(for: shown, among: words) ?? "known: \(words.joined(separator: ", "))")
    case .noFunction(let policy, let name):
      let script = snapshot.scripts[snapshot.policies[policy].script]
      return Diagnosis(.error, place(of: name, in: script), "'\(name)' must be a function")
    case .missingPhase(let policy, let route, let isHandler):
      let name = snapshot.policies[policy].name
      let (row, hint) =
        isHandler
        ? (RouteSection.handler, "a handler's script returns a table with 'handle'")
        : (
          RouteSection.policies,
          "a policy's script returns a table with 'on_request', 'on_select', 'on_retry' or 'on_log', on a route of "
            + "WebSockets also 'on_message', on one to a service or models 'on_response' "
            + "and 'on_chunk'"
        )
      let message =
        isHandler ? "the policy '\(name)' cannot answer" : "the policy '\(name)' has nothing to say to a request"
      guard let place = place(of: snapshot.routes[route].name, row, resolved) else {
        return Diagnosis(.error, .commandLine, message, hint: hint)
      }
      return Diagnosis(.error, .place(place), message, hint: hint)
    case .unaskedPhase(let policy, let route):
      let name = snapshot.policies[policy].name
      let message = "'on_request' of '\(name)' would not be asked: a handler only answers"
      let hint = "name '\(name)' in the route's 'policies' too"
      guard let place = place(of: snapshot.routes[route].name, RouteSection.handler, resolved) else {
        return Diagnosis(.error, .commandLine, message, hint: hint)
      }
      return Diagnosis(.error, .place(place), message, hint: hint)
    }
  }

  /// What went wrong in a script: where it says so, but where `init` was given settings, at these, for they are what
  /// is to be changed.
  private static func diagnosis(
    _ error: LuaError, of policy: Int, isRefusal: Bool, _ snapshot: Snapshot, _ resolved: SectionFields
  ) -> Diagnosis {
    let script = snapshot.scripts[snapshot.policies[policy].script]
    let message = SecretText.conceal(text(of: error, in: script), snapshot.policies[policy].concealed)
    let line = error.offset.map { script.place(offset: $0) } ?? error.line.map { script.place(line: $0) }
    if isRefusal, let settings = settings(of: policy, snapshot, resolved) {
      let related = line.map { [Diagnosis.Related(place: $0, message: "this line of the script says so")] }
      return Diagnosis(.error, .place(settings), message, related: related ?? [])
    }
    let related = place(of: policy, snapshot, resolved).map {
      [Diagnosis.Related(place: $0, message: "the policy '\(snapshot.policies[policy].name)' is defined here")]
    }
    guard let line else { return Diagnosis(.error, .file(script.path), message, related: related ?? []) }
    return Diagnosis(.error, .place(line), message, related: related ?? [])
  }

  /// Where a key of the script's table is probably written: its name stands there first.
  private static func place(of name: String, in script: ScriptFile) -> Diagnosis.Location {
    let (bytes, wanted) = (script.bytes, Array(name.utf8))
    guard !wanted.isEmpty, bytes.count >= wanted.count else { return .file(script.path) }
    func isWord(_ index: Int) -> Bool {
      guard bytes.indices.contains(index) else { return false }
      return (0x61...0x7A).contains(bytes[index] | 0x20) || (0x30...0x39).contains(bytes[index]) || bytes[index] == 0x5F
    }
    for start in 0...(bytes.count - wanted.count) where bytes[start] == wanted[0] {
      guard bytes[start..<(start + wanted.count)].elementsEqual(wanted), !isWord(start - 1),
        !isWord(start + wanted.count)
      else { continue }
      return .place(script.place(offset: start))
    }
    return .file(script.path)
  }

  /// The message without the file and line that the place says again.
  private static func text(of error: LuaError, in script: ScriptFile) -> String {
    let prefix = error.line.map { "\(script.path):\($0): " } ?? "\(script.path): "
    return error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
  }

  private static func place(of policy: Int, _ snapshot: Snapshot, _ resolved: SectionFields) -> SourcePlace? {
    entry(policy, snapshot, resolved)?.fields.place
  }

  /// Where the settings of a policy are written, if they are.
  private static func settings(of policy: Int, _ snapshot: Snapshot, _ resolved: SectionFields) -> SourcePlace? {
    entry(policy, snapshot, resolved)?.fields[PolicySection.settings]?.place
  }

  private static func entry(_ policy: Int, _ snapshot: Snapshot, _ resolved: SectionFields) -> NamedFields? {
    guard case .named(let entries) = resolved[RootSection.policies]?.value else { return nil }
    return entries.first { $0.name == snapshot.policies[policy].name }
  }

  private static func place(of route: String, _ row: SchemaRow, _ resolved: SectionFields) -> SourcePlace? {
    guard case .named(let entries) = resolved[RootSection.routes]?.value else { return nil }
    return entries.first { $0.name == route }?.fields.keyPlaces[row.key]
  }
}
