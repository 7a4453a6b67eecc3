// What is counted about exchanges: per worker, by the numbers of names, in memory of a fixed size that outlives
// generations. Counting is a load, an addition and a store on the worker's own cache lines.
//
// Owns: the words and where each stands. Called by: workers, when something ended; the exposition, which adds up what
// all workers have. Never: takes a lock, allocates or sees a String while counting.

import Synchronization

/// What came of asking a model of a provider once.
enum ModelOutcome: UInt8, CaseIterable, Sendable {
  /// The whole answer came.
  case completed
  /// The provider gave no answer, or one that is no success.
  case failed
  /// The provider said that the request is wrong.
  case refused
  /// The answer began and did not come to its end, whoever ended it.
  case cut

  /// As the label has it.
  var name: StaticString {
    switch self {
    case .completed: "completed"
    case .failed: "failed"
    case .refused: "refused"
    case .cut: "cut"
    }
  }
}

/// What came of holding credits.
enum HoldResult: UInt8, CaseIterable, Sendable {
  case granted, refused, unavailable

  /// As the label has it.
  var name: StaticString {
    switch self {
    case .granted: "granted"
    case .refused: "refused"
    case .unavailable: "unavailable"
    }
  }
}

/// What came of a client's connection at a listener with TLS.
enum HandshakeResult: UInt8, CaseIterable, Sendable {
  /// TLS was agreed on.
  case done
  /// It was not.
  case failed
  /// It took too long, or never began.
  case timeout
  /// HTTP without TLS came.
  case plain

  /// As the label has it.
  var name: StaticString {
    switch self {
    case .done: "done"
    case .failed: "failed"
    case .timeout: "timeout"
    case .plain: "plain"
    }
  }
}

/// One attempt at a model, when it is over.
struct ModelUse: BitwiseCopyable {
  /// Numbers of `MetricNames`.
  var provider = MetricNames.none
  var pair = MetricNames.none
  var outcome = ModelOutcome.completed
  var usage = Usage()
  var charge = Amount.zero
  var shortfall = Amount.zero
  /// From the request to the provider until the first byte of the answer's body went to the client; 0: there was none.
  var firstByteNanoseconds: UInt64 = 0
}

/// Whose words: those that stand once, and those that stand for each name of a kind. All numbers here are literals, so
/// that a place is known when counting is compiled.
enum MetricScope: CaseIterable, Sendable {
  case whole, route, provider, pair, policy

  /// How many names can have words.
  var places: Int {
    switch self {
    case .whole: 1
    case .route: 256
    case .provider, .policy: 64
    case .pair: 512
    }
  }

  /// Words of each name; what stands in which is said below.
  var words: Int {
    switch self {
    case .whole: WholeWord.count
    case .route: RouteWord.count
    case .provider: ProviderWord.count
    case .pair: PairWord.count
    case .policy: PolicyWord.count
    }
  }

  /// Words in front of its own in a worker's block.
  var start: Int {
    switch self {
    case .whole: 0
    case .route: 48
    case .provider: 48 + 256 * 24
    case .pair: 48 + 256 * 24 + 64 * 24
    case .policy: 48 + 256 * 24 + 64 * 24 + 512 * 16
    }
  }
}

/// Words that stand once.
enum WholeWord {
  /// By cause; there is room for more of them.
  static let ends = 0
  static let fetches = 16
  static let holds = 18
  static let shortfall = 21
  /// WebSockets that were opened and those that ended, and these by reason; there is room for more reasons.
  static let sessionsOpened = 22
  static let sessionsEnded = 23
  static let sessionEnds = 24
  static let messages = 36
  /// By result; there is room for more of them.
  static let handshakes = 40
  static let count = 48
}

/// Words of a route. A route's words are whole cache lines.
enum RouteWord {
  static let statuses = 0
  static let requestBytes = 6
  static let responseBytes = 7
  static let duration = 8
  static let count = 24
}

/// Words of a provider. A provider's words are whole cache lines.
enum ProviderWord {
  static let firstByte = 0
  /// Requests that began there and those that ended; what runs is the difference.
  static let began = 16
  static let ended = 17
  static let fallbacks = 18
  static let count = 24
}

/// Words of a provider with a model.
enum PairWord {
  static let outcomes = 0
  static let tokens = 4
  static let charged = 9
  static let count = 16
}

/// Words of a policy.
enum PolicyWord {
  static let errors = 0
  static let count = 1
}

/// Statuses by their first digit.
enum StatusClass {
  static let names: [StaticString] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"]

  /// 0: there was no answer.
  @inline(__always)
  static func of(_ status: UInt16) -> Int { status >= 100 && status < 600 ? Int(status / 100) : 0 }
}

/// Tokens by what they are, in the order of `Usage`.
enum TokenKind {
  static let names: [StaticString] = ["input", "cached", "cache_write", "output", "reasoning"]
}

/// The buckets of all durations.
enum DurationBuckets {
  /// The highest nanoseconds of each; above them is one more, without end.
  static let bounds: InlineArray<14, UInt64> = [
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000, 250_000_000,
    500_000_000, 1_000_000_000, 5_000_000_000, 20_000_000_000, 60_000_000_000,
  ]
  static let count = 15
  /// The buckets, then the sum.
  static let words = 16

  /// The bucket of a duration.
  @inline(__always)
  static func place(_ nanoseconds: UInt64) -> Int {
    var place = 0
    while place < bounds.count, nanoseconds > bounds[place] { place += 1 }
    return place
  }
}

/// The process's metrics.
final class Metrics: Sendable {
  let names = MetricNames()
  let figures = Figures()
  /// What scripts count.
  let scripts = ScriptCounters()
  /// Of WebSockets.
  let users = ConnectedUsers()
  /// Wall nanoseconds of the process's start.
  let startWall = ProcessFigures.startWall()
  private let workers: Int
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>  // never reassigned; atomics inside
  /// Whole pages, so that no two workers share one.
  static let blockWords = (48 + 256 * 24 + 64 * 24 + 512 * 16 + 64 + 511) & ~511

  /// nil when the kernel refuses memory.
  init?(workers: Int) {
    self.workers = workers
    let count = workers * Metrics.blockWords
    guard let memory = Pages.map(bytes: count * 8) else { return nil }
    // Zeroed pages are atomics of zero: those of names that nobody has stay untouched and take no memory.
    words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: count)
  }

  deinit { Pages.unmap(UnsafeMutableRawPointer(words), bytes: workers * Metrics.blockWords * 8) }

  // MARK: Counting, each worker for itself

  /// An exchange ended. `route` is a number of `MetricNames`; `none` when no route was found.
  func noteExchange(_ record: borrowing ExchangeRecord, route: UInt16, worker: Int) {
    switch record.origin {
    case .child: return add(1, .whole, 0, WholeWord.fetches, worker)
    case .background: return add(1, .whole, 0, WholeWord.fetches + 1, worker)
    case .client, .message: break
    }
    let route = Int(route)
    add(1, .whole, 0, WholeWord.ends + Int(record.cause.rawValue), worker)
    add(1, .route, route, RouteWord.statuses + StatusClass.of(record.status), worker)
    add(record.requestBytes, .route, route, RouteWord.requestBytes, worker)
    add(record.responseBytes, .route, route, RouteWord.responseBytes, worker)
    observe(record.end > record.start ? record.end - record.start : 0, .route, route, RouteWord.duration, worker)
  }

  /// An attempt at a model is over and settled.
  func noteModelUse(_ use: borrowing ModelUse, worker: Int) {
    let pair = Int(use.pair)
    add(1, .pair, pair, PairWord.outcomes + Int(use.outcome.rawValue), worker)
    addPositive(use.usage.inputTokens, .pair, pair, PairWord.tokens, worker)
    addPositive(use.usage.cachedTokens, .pair, pair, PairWord.tokens + 1, worker)
    addPositive(use.usage.cacheWriteTokens, .pair, pair, PairWord.tokens + 2, worker)
    addPositive(use.usage.outputTokens, .pair, pair, PairWord.tokens + 3, worker)
    addPositive(use.usage.reasoningTokens, .pair, pair, PairWord.tokens + 4, worker)
    noteCharge(use.charge, shortfall: use.shortfall, pair: use.pair, worker: worker)
    if use.firstByteNanoseconds > 0 {
      observe(use.firstByteNanoseconds, .provider, Int(use.provider), ProviderWord.firstByte, worker)
    }
  }

  /// A request goes to a provider. `place` is a number of `MetricNames`.
  func noteProviderBegan(_ place: UInt16, worker: Int) { add(1, .provider, Int(place), ProviderWord.began, worker) }

  /// A request that went to a provider is over there, however it ended: once for each that began, on any worker.
  func noteProviderEnded(_ place: UInt16, worker: Int) { add(1, .provider, Int(place), ProviderWord.ended, worker) }

  /// A provider was given up, and another one is asked.
  func noteFallback(_ place: UInt16, worker: Int) { add(1, .provider, Int(place), ProviderWord.fallbacks, worker) }

  /// Credits were taken for something that is no model's: a route with a price of its own has pair `none`.
  func noteCharge(_ charge: Amount, shortfall: Amount, pair: UInt16 = MetricNames.none, worker: Int) {
    addPositive(charge.units, .pair, Int(pair), PairWord.charged, worker)
    addPositive(shortfall.units, .whole, 0, WholeWord.shortfall, worker)
  }

  /// A policy asked to set credits aside.
  func noteHold(_ result: HoldResult, worker: Int) { add(1, .whole, 0, WholeWord.holds + Int(result.rawValue), worker) }

  /// A policy failed. `policy` is a number of `MetricNames`.
  func notePolicyError(_ policy: UInt16, worker: Int) { add(1, .policy, Int(policy), PolicyWord.errors, worker) }

  /// A client's connection at a listener with TLS has agreed on it, or ends.
  func noteHandshake(_ result: HandshakeResult, worker: Int) {
    add(1, .whole, 0, WholeWord.handshakes + Int(result.rawValue), worker)
  }

  /// A client's WebSocket was opened.
  func noteSessionOpened(worker: Int) { add(1, .whole, 0, WholeWord.sessionsOpened, worker) }

  /// It has ended: once for each that was opened, on the same worker.
  func noteSessionClosed(_ reason: SessionEnd, worker: Int) {
    add(1, .whole, 0, WholeWord.sessionEnds + Int(reason.rawValue), worker)
    add(1, .whole, 0, WholeWord.sessionsEnded, worker)
  }

  /// A client's message on a WebSocket was taken.
  func noteMessage(worker: Int) { add(1, .whole, 0, WholeWord.messages, worker) }

  // MARK: Reading, for anybody

  /// The sum over all workers.
  func sum(_ scope: MetricScope, _ place: Int, _ word: Int) -> UInt64 {
    var sum: UInt64 = 0
    let offset = Metrics.offset(scope, place, word)
    for worker in 0..<workers { sum &+= words[worker * Metrics.blockWords + offset].load(ordering: .relaxed) }
    return sum
  }

  /// How much more stands in the first word than in the second; never below 0.
  func difference(_ scope: MetricScope, _ place: Int, _ word: Int, less other: Int) -> UInt64 {
    // The lesser is read first: what ends in between is not missed in the greater.
    let less = sum(scope, place, other)
    let more = sum(scope, place, word)
    return more > less ? more - less : 0
  }

  /// How many requests a provider is answering now, over the whole process.
  func providerLoad(_ place: UInt16) -> Int {
    Int(clamping: difference(.provider, Int(place), ProviderWord.began, less: ProviderWord.ended))
  }

  /// WebSockets of clients that are open.
  var openSessions: UInt64 { difference(.whole, 0, WholeWord.sessionsOpened, less: WholeWord.sessionsEnded) }

  /// What has been charged since the start.
  var charged: Amount {
    var units: UInt64 = 0
    for pair in names.listing.pairs.indices { units &+= sum(.pair, pair, PairWord.charged) }
    return Amount(units: Int64(clamping: units))
  }

  // MARK: Words

  @inline(__always)
  private static func offset(_ scope: MetricScope, _ place: Int, _ word: Int) -> Int {
    // A number that is none of these counts as `other`.
    scope.start + (place < scope.places ? place : 0) * scope.words + word
  }

  @inline(__always)
  private func add(_ amount: UInt64, _ scope: MetricScope, _ place: Int, _ word: Int, _ worker: Int) {
    let target = words + (worker * Metrics.blockWords + Metrics.offset(scope, place, word))
    target.pointee.store(target.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }

  /// What would make a total go down is not counted.
  @inline(__always)
  private func addPositive(_ amount: Int64, _ scope: MetricScope, _ place: Int, _ word: Int, _ worker: Int) {
    if amount > 0 { add(UInt64(amount), scope, place, word, worker) }
  }

  @inline(__always)
  private func observe(_ nanoseconds: UInt64, _ scope: MetricScope, _ place: Int, _ first: Int, _ worker: Int) {
    add(1, scope, place, first + DurationBuckets.place(nanoseconds), worker)
    add(nanoseconds, scope, place, first + DurationBuckets.count, worker)
  }
}
