// Where the control thread says what it does, and is asked to do something: what runs, which generations live, what the
// last reload brought. Operators' endpoints read it on the control worker's thread.
//
// Owns: these facts, and who waits for a reload.
// Called by: the control thread, which writes; the control worker, which asks for reloads; endpoints, which read.
// Never: is on the request path of clients; there is a lock.

/// What came of a reload.
enum ReloadOutcome: String, Sendable, CaseIterable {
  /// The new generation serves.
  case reloaded
  /// No file and no value taken from elsewhere differs.
  case unchanged
  /// The configuration has errors, or cannot serve.
  case failed
  /// It was not looked at: 64 generations are alive, or Edge is stopping.
  case refused
}

/// What a reload did, for people.
struct ReloadReport: Sendable {
  let outcome: ReloadOutcome
  /// The one that serves now.
  let generation: UInt32
  /// Wall nanoseconds of its end.
  let wall: UInt64
  var milliseconds = 0
  /// Why it failed or was refused.
  var reason: String?
  /// Findings as `edge check` prints them.
  var errors: [String] = []
  var warnings: [String] = []
  /// In the order of `ConfigDiff`.
  var changes: [ConfigChange] = []
}

/// A generation that lives.
struct LiveGeneration: Sendable {
  let number: UInt32
  /// Where its exchanges are counted.
  let place: UInt8
  /// Wall nanoseconds of its beginning.
  let since: UInt64
  /// Exchanges that run on it, when somebody has last asked.
  var running = 0
}

/// A listener as operators see it.
struct ServedListener: Sendable {
  /// Who is served there.
  enum Audience: String, Sendable {
    /// Clients, by the routes.
    case routes
    /// Whoever asks for Edge's own answers; the control worker gives them.
    case builtins
    /// Operators.
    case admin
  }

  let name: String
  let address: String
  let serves: Audience
  /// Clients speak TLS there.
  var isSecure = false
}

/// What the control thread says about the process.
struct ProcessState: Sendable {
  /// The absolute path of the main file, if the kernel could tell it.
  var config = ""
  var isDevelopment = false
  var isDraining = false
  var workers = 0
  /// Oldest first.
  var generations: [LiveGeneration] = []
  var listeners: [ServedListener] = []
  /// Keys that differ from what runs, and act after a restart.
  var restart: [String] = []
  /// The last one; nil: there was none.
  var reload: ReloadReport?
}

/// One for the process.
final class ControlBoard: Sendable {
  private let state = Locked(ProcessState())
  /// Exchanges that wait for the next reload, as `Handle.bits`, and what came of it for those that have waited.
  private let asked = Locked<[UInt64]>([])
  private let reports = Locked<[UInt64: ReloadReport]>([:])

  /// What was said last.
  var current: ProcessState { state.withLock { $0 } }

  /// Says something new.
  func update(_ body: (inout ProcessState) -> Void) { state.withLock(body) }

  /// An exchange wants a reload and waits for what it brings.
  func ask(_ exchange: UInt64) { asked.withLock { $0.append(exchange) } }

  /// Whether somebody waits.
  var isAsked: Bool { asked.withLock { !$0.isEmpty } }

  /// What came of the reload that an exchange has asked for; another one may be over since.
  func report(_ report: ReloadReport, to exchange: UInt64) { reports.withLock { $0[exchange] = report } }

  /// Takes that.
  func takeReport(of exchange: UInt64) -> ReloadReport? { reports.withLock { $0.removeValue(forKey: exchange) } }

  /// Those who wait; the reload that begins now is for them.
  func takeAsked() -> [UInt64] {
    asked.withLock { asked in
      defer { asked = [] }
      return asked
    }
  }
}
