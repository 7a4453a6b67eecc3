// What `/status` and `/reload` of the admin socket answer, as plain values.
//
// Owns: the names of the members. Called by: `edge reload`, `edge status` and `edge top`.
// Never: prints, or trips over a member that it does not know: another version of Edge may say more.

import Glibc

/// A generation of the configuration.
struct GenerationReading: Equatable {
  let number: Int
  /// A timestamp.
  let since: String
  /// Exchanges that run on it.
  let running: Int
}

/// A listener.
struct ListenerReading: Equatable {
  let name: String
  let address: String
  /// What it is for, such as `routes`.
  let serves: String
  /// An Edge from before there was TLS does not say.
  var isSecure = false
}

/// How many reloads ended in one way.
struct ReloadCount: Equatable {
  let outcome: String
  let count: Int
}

/// The answer of `/status`.
struct StatusReading: Equatable {
  var version = ""
  var pid = 0
  var config = ""
  var isDevelopment = false
  var state = ""
  var started = ""
  /// Seconds.
  var uptime = 0
  var workers = 0
  var generation = 0
  /// The oldest first.
  var generations: [GenerationReading] = []
  var listeners: [ListenerReading] = []
  var connections = 0
  var webSockets = 0
  var users = 0
  var running = 0
  var total = 0
  var cpuSeconds = 0.0
  var residentBytes = 0
  var descriptorsOpen = 0
  var descriptorsMax = 0
  var bodyBytes = 0
  var bodyBytesMax = 0
  var isLedgerFailing = false
  var ledgerQueue = 0
  var creditsCharged = 0.0
  /// Reloads, by what came of them.
  var reloads: [ReloadCount] = []
  /// Keys that differ from what runs and act after a restart.
  var restart: [String] = []
  /// The last one.
  var reload: ReloadReading?

  var isDraining: Bool { state == "draining" }
  /// The generations that exchanges still run on although a newer one serves.
  var olderRunning: [GenerationReading] { generations.filter { $0.number != generation && $0.running > 0 } }
}

/// What a reload did to one name or key.
struct ChangeReading: Equatable {
  /// `added`, `removed`, `changed` or `restart`.
  let kind: String
  let path: String
  let before: String?
  let after: String?
}

/// The answer of `/reload`, which `/status` has of the last one, too.
struct ReloadReading: Equatable {
  /// What can come of it.
  enum Outcome: String {
    case reloaded, unchanged, failed, refused
  }

  var outcome: Outcome
  /// The generation that serves now.
  var generation = 0
  var time = ""
  var milliseconds = 0
  var reason: String?
  var errors: [String] = []
  var warnings: [String] = []
  var changes: [ChangeReading] = []
  /// Changes or errors that did not fit.
  var more = 0
}

extension StatusReading {
  /// An answer of `/status` as it came, if it is JSON.
  static func text(of answer: AdminAnswer) throws(AdminFault) -> String {
    _ = try AdminNode.root(of: answer, statuses: [200], what: "/status")
    return String(decoding: answer.body, as: UTF8.self)
  }

  /// From an answer of `/status`.
  static func read(_ answer: AdminAnswer) throws(AdminFault) -> StatusReading {
    let root = try AdminNode.root(of: answer, statuses: [200], what: "/status")
    var status = StatusReading()
    status.version = try root["version"].text()
    status.pid = try root["pid"].integer()
    status.config = try root["config"].text()
    status.isDevelopment = try root["development"].flag()
    status.state = try root["state"].text()
    status.started = try root["started"].text()
    status.uptime = try root["uptime"].integer()
    status.workers = try root["workers"].integer()
    status.generation = try root["generation"].integer()
    for node in try root["generations"].elements() {
      status.generations.append(
        GenerationReading(
          number: try node["number"].integer(), since: try node["since"].text(), running: try node["running"].integer())
      )
    }
    for node in try root["listeners"].elements() {
      status.listeners.append(
        ListenerReading(
          name: try node["name"].text(), address: try node["address"].text(), serves: try node["serves"].text(),
          isSecure: (try? node["tls"].flag()) ?? false))
    }
    status.connections = try root["connections"].integer()
    status.webSockets = try root["webSockets"].integer()
    status.users = try root["users"].integer()
    status.running = try root["exchanges"]["running"].integer()
    status.total = try root["exchanges"]["total"].integer()
    status.cpuSeconds = try root["cpuSeconds"].number()
    status.residentBytes = try root["residentBytes"].integer()
    status.descriptorsOpen = try root["descriptors"]["open"].integer()
    status.descriptorsMax = try root["descriptors"]["max"].integer()
    status.bodyBytes = try root["bodies"]["bytes"].integer()
    status.bodyBytesMax = try root["bodies"]["max"].integer()
    status.isLedgerFailing = try root["ledger"]["failing"].flag()
    status.ledgerQueue = try root["ledger"]["queue"].integer()
    status.creditsCharged = try root["creditsCharged"].number()
    for name in ["done", "unchanged", "failed", "refused"] {
      status.reloads.append(ReloadCount(outcome: name, count: try root["reloads"][name].integer()))
    }
    status.restart = try root["restart"].texts()
    let reload = try root["reload"]
    if !reload.isNull { status.reload = try ReloadReading.read(reload) }
    return status
  }
}

extension ReloadReading {
  /// From an answer of `/reload`.
  static func read(_ answer: AdminAnswer) throws(AdminFault) -> ReloadReading {
    try read(AdminNode.root(of: answer, statuses: [200, 409, 422], what: "/reload"))
  }

  fileprivate static func read(_ node: AdminNode) throws(AdminFault) -> ReloadReading {
    guard let outcome = Outcome(rawValue: try node["outcome"].text()) else { throw AdminNode.fault("outcome") }
    var report = ReloadReading(outcome: outcome)
    report.generation = try node["generation"].integer()
    report.time = try node["time"].text()
    report.milliseconds = try node["milliseconds"].integer()
    report.reason = try node.optionalText("reason")
    report.errors = try node["errors"].texts()
    report.warnings = try node["warnings"].texts()
    for change in try node["changes"].elements() {
      report.changes.append(
        ChangeReading(
          kind: try change["kind"].text(), path: try change["path"].text(), before: try change.optionalText("before"),
          after: try change.optionalText("after")))
    }
    report.more = try node["more"].integer()
    return report
  }
}

// MARK: JSON

/// A JSON text that lives as long as its nodes.
private final class AdminText {
  let document = JSONDocument()
  private let bytes: BytePointer

  init(_ body: [UInt8]) throws(JSONFault) {
    bytes = .allocate(capacity: max(1, body.count))
    for (index, byte) in body.enumerated() { bytes[index] = byte }
    try document.read(bytes, body.count)
  }

  deinit { bytes.deallocate() }
}

/// A value with the name by which it is missed.
private struct AdminNode {
  let source: AdminText
  let index: Int
  let path: String

  private var document: JSONDocument { source.document }

  /// The value of an answer with one of these statuses; what Edge says instead is thrown.
  static func root(of answer: AdminAnswer, statuses: [Int], what: String) throws(AdminFault) -> AdminNode {
    let source: AdminText
    do throws(JSONFault) { source = try AdminText(answer.body) } catch {
      throw AdminFault(.otherVersion, "it answers \(what) with \(answer.status) and no JSON; is it an Edge?")
    }
    let root = AdminNode(source: source, index: 0, path: "")
    if statuses.contains(answer.status) { return root }
    guard let error = try? root["error"], let code = try? error["code"].text(),
      let message = try? error["message"].text()
    else { throw AdminFault(.otherVersion, "it answers \(what) with \(answer.status); is it an Edge?") }
    if answer.status == 404 {
      throw AdminFault(
        .otherVersion, "it has no \(what): this Edge is of another version, or that is no admin listener")
    }
    throw AdminFault(.refused, "\(TerminalText.shown(message)) (\(TerminalText.shown(code)))")
  }

  static func fault(_ path: String) -> AdminFault {
    AdminFault(.otherVersion, "this Edge is of another version: its answer has no '\(path)' that is understood here")
  }

  subscript(key: String) -> AdminNode {
    get throws(AdminFault) {
      let inner = path.isEmpty ? key : "\(path).\(key)"
      guard let found = lookUp(key) else { throw AdminNode.fault(inner) }
      return AdminNode(source: source, index: found, path: inner)
    }
  }

  /// nil: missing, given twice, or this is no map.
  private func lookUp(_ key: String) -> Int? {
    var key = key
    let found = key.withUTF8 { bytes -> JSONLookup in
      guard let base = bytes.baseAddress else { return .missing }
      return document.value(of: StaticBytes(start: base, count: bytes.count), in: index)
    }
    if case .found(let value) = found { return value }
    return nil
  }

  var isNull: Bool { document.kind(index) == .null }

  private func said() -> String? {
    guard document.kind(index) == .string else { return nil }
    return String(decoding: JSONStringBytes(content: document.content(index)).map { $0 }, as: UTF8.self)
  }

  func text() throws(AdminFault) -> String {
    guard let said = said() else { throw AdminNode.fault(path) }
    return said
  }

  /// A member that need not be there.
  func optionalText(_ key: String) throws(AdminFault) -> String? {
    guard lookUp(key) != nil else { return nil }
    let node = try self[key]
    return node.isNull ? nil : try node.text()
  }

  func integer() throws(AdminFault) -> Int {
    guard let integer = document.integer(index) else { throw AdminNode.fault(path) }
    return Int(integer)
  }

  func number() throws(AdminFault) -> Double {
    guard let number = document.double(index) else { throw AdminNode.fault(path) }
    return number
  }

  func flag() throws(AdminFault) -> Bool {
    switch document.kind(index) {
    case .true: return true
    case .false: return false
    default: throw AdminNode.fault(path)
    }
  }

  func elements() throws(AdminFault) -> [AdminNode] {
    guard document.kind(index) == .list else { throw AdminNode.fault(path) }
    return document.elements(of: index).map { AdminNode(source: source, index: $0, path: "\(path)[]") }
  }

  func texts() throws(AdminFault) -> [String] {
    var texts: [String] = []
    for element in try elements() { texts.append(try element.text()) }
    return texts
  }
}
