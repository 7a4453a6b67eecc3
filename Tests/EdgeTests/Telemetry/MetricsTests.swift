import Glibc
import Testing

@testable import Edge

struct MetricsTests {
  /// The literals that places are made of fit what they are for, and no two words are the same.
  @Test func everyWordHasItsPlace() throws {
    #expect(EndCause.allCases.enumerated().allSatisfy { $0 == Int($1.rawValue) })
    #expect(WholeWord.ends + EndCause.allCases.count <= WholeWord.fetches)
    #expect(WholeWord.fetches + 2 <= WholeWord.holds)
    #expect(WholeWord.holds + HoldResult.allCases.count <= WholeWord.shortfall)
    #expect(WholeWord.shortfall < WholeWord.sessionsOpened)
    #expect(WholeWord.sessionsOpened < WholeWord.sessionsEnded && WholeWord.sessionsEnded < WholeWord.sessionEnds)
    #expect(SessionEnd.allCases.enumerated().allSatisfy { $0 == Int($1.rawValue) })
    #expect(WholeWord.sessionEnds + SessionEnd.allCases.count <= WholeWord.messages)
    #expect(WholeWord.messages < WholeWord.count)
    #expect(RouteWord.statuses + StatusClass.names.count == RouteWord.requestBytes)
    #expect(RouteWord.responseBytes < RouteWord.duration)
    #expect(RouteWord.duration + DurationBuckets.words == RouteWord.count)
    #expect(ProviderWord.firstByte + DurationBuckets.words == ProviderWord.began)
    #expect(ProviderWord.began < ProviderWord.ended && ProviderWord.ended < ProviderWord.fallbacks)
    #expect(ProviderWord.fallbacks < ProviderWord.count)
    #expect(PairWord.outcomes + ModelOutcome.allCases.count <= PairWord.tokens)
    #expect(PairWord.tokens + TokenKind.names.count <= PairWord.charged && PairWord.charged < PairWord.count)
    #expect(DurationBuckets.bounds.count + 1 == DurationBuckets.count)
    #expect(DurationBuckets.count + 1 == DurationBuckets.words)
    var end = 0
    for scope in MetricScope.allCases {
      #expect(scope.start == end, "\(scope)")
      end = scope.start + scope.places * scope.words
    }
    #expect(end <= Metrics.blockWords && Metrics.blockWords * 8 % 4_096 == 0)
  }

  @Test func exchanges() throws {
    let metrics = try #require(Metrics(workers: 2))
    let chat = metrics.names.claim(.route, "chat")
    metrics.note(chat, bytes: 10, worker: 0)
    metrics.note(chat, status: 503, cause: .unavailable, bytes: 5, worker: 1)
    metrics.note(MetricNames.none, status: 404, cause: .refused)
    metrics.note(chat, status: 0, cause: .clientLeft)
    let told = try metrics.told()
    #expect(told["edge_exchanges_total", ["route": "chat", "status": "2xx"]] == 1)
    #expect(told["edge_exchanges_total", ["route": "chat", "status": "5xx"]] == 1)
    #expect(told["edge_exchanges_total", ["route": "chat", "status": "none"]] == 1)
    #expect(told["edge_exchanges_total", ["route": "-", "status": "4xx"]] == 1)
    #expect(told["edge_exchanges_total", ["route": "chat", "status": "4xx"]] == nil)
    #expect(told["edge_request_bytes_total", ["route": "chat"]] == 15)
    #expect(told["edge_response_bytes_total", ["route": "chat"]] == 30)
    #expect(told["edge_exchange_duration_seconds_count", ["route": "chat"]] == 3)
    let ends = EndCause.allCases.map { told["edge_exchange_ends_total", ["cause": "\($0.name)"]] }
    let expected: [EndCause] = [.completed, .unavailable, .refused, .clientLeft]
    #expect(ends == EndCause.allCases.map { expected.contains($0) ? 1 : 0 })
    #expect(told["edge_fetches_total", ["origin": "child"]] == 0)
  }

  /// What no client asked for is told apart, so that rates of routes are those of clients.
  @Test func fetches() throws {
    let metrics = try #require(Metrics(workers: 1))
    var record = ExchangeRecord()
    for origin in [ExchangeOrigin.child, .background, .child] {
      record.origin = origin
      metrics.noteExchange(record, route: MetricNames.none, worker: 0)
    }
    let told = try metrics.told()
    #expect(told["edge_fetches_total", ["origin": "child"]] == 2)
    #expect(told["edge_fetches_total", ["origin": "background"]] == 1)
    #expect(!told.families.contains("edge_exchanges_total"))
    #expect(told["edge_exchange_ends_total", ["cause": "completed"]] == 0)
  }

  /// A message on a WebSocket is a client's exchange as a request is.
  @Test func messages() throws {
    let metrics = try #require(Metrics(workers: 1))
    let chat = metrics.names.claim(.route, "chat")
    var record = ExchangeRecord()
    record.origin = .message
    record.status = 402
    record.cause = .refused
    metrics.noteExchange(record, route: chat, worker: 0)
    let told = try metrics.told()
    #expect(told["edge_exchanges_total", ["route": "chat", "status": "4xx"]] == 1)
    #expect(told["edge_exchange_ends_total", ["cause": "refused"]] == 1)
    #expect(told["edge_exchange_duration_seconds_count", ["route": "chat"]] == 1)
    #expect(told["edge_fetches_total", ["origin": "background"]] == 0)
  }

  @Test func sessions() throws {
    let metrics = try #require(Metrics(workers: 2))
    #expect(metrics.openSessions == 0)
    #expect(try metrics.told()["edge_websocket_sessions"] == 0)
    for worker in [0, 1, 1, 0] { metrics.noteSessionOpened(worker: worker) }
    for worker in [1, 0, 1] { metrics.noteMessage(worker: worker) }
    metrics.noteSessionClosed(.client, worker: 0)
    metrics.noteSessionClosed(.expired, worker: 1)
    metrics.noteSessionClosed(.internalError, worker: 1)
    #expect(metrics.openSessions == 1)
    let told = try metrics.told()
    #expect(told["edge_websocket_sessions"] == 1 && told.kinds["edge_websocket_sessions"] == "gauge")
    #expect(told["edge_websocket_messages_total"] == 3)
    let ends = SessionEnd.allCases.map { told["edge_websocket_closed_total", ["reason": "\($0.name)"]] }
    #expect(ends == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0])
    let names = SessionEnd.allCases.map { "\($0.name)" }
    let known = ["client", "protocol", "too_large", "idle", "expired", "drain", "reload", "slow", "limit", "error"]
    #expect(names == known + ["service"])
  }

  @Test(arguments: [
    (UInt16(0), "none"), (99, "none"), (100, "1xx"), (101, "1xx"), (200, "2xx"), (299, "2xx"), (304, "3xx"),
    (499, "4xx"), (599, "5xx"), (600, "none"), (.max, "none"),
  ])
  func statuses(_ status: UInt16, _ name: String) { #expect("\(StatusClass.names[StatusClass.of(status)])" == name) }

  @Test func buckets() throws {
    for place in 0..<DurationBuckets.bounds.count {
      let bound = DurationBuckets.bounds[place]
      #expect(DurationBuckets.place(bound) == place, "a bound belongs to its bucket")
      #expect(DurationBuckets.place(bound + 1) == place + 1)
      if place > 0 { #expect(bound > DurationBuckets.bounds[place - 1]) }
    }
    #expect(DurationBuckets.place(0) == 0 && DurationBuckets.place(.max) == DurationBuckets.count - 1)
    let metrics = try #require(Metrics(workers: 3))
    let route = metrics.names.claim(.route, "r")
    for (worker, milliseconds) in [(0, 1), (1, 3), (2, 3), (0, 70_000)] as [(Int, UInt64)] {
      metrics.note(route, nanoseconds: milliseconds * 1_000_000, worker: worker)
    }
    let told = try metrics.told()
    func bucket(_ bound: String) -> Double? {
      told["edge_exchange_duration_seconds_bucket", ["route": "r", "le": bound]]
    }
    #expect(["0.0005", "0.001", "0.002", "0.005", "60", "+Inf"].map(bucket) == [0, 1, 1, 3, 3, 4])
    #expect(told["edge_exchange_duration_seconds_sum", ["route": "r"]] == 70.007)
    #expect(told["edge_exchange_duration_seconds_count", ["route": "r"]] == 4)
  }

  @Test func modelUses() throws {
    let metrics = try #require(Metrics(workers: 2))
    let provider = metrics.names.claim(.provider, "openai")
    let pair = metrics.names.claimPair(provider: provider, model: metrics.names.claim(.model, "gpt-4"))
    var use = ModelUse(provider: provider, pair: pair)
    use.usage = Usage(
      source: .reported, inputTokens: 100, cachedTokens: 20, cacheWriteTokens: 30, outputTokens: 7, reasoningTokens: 4)
    use.charge = Amount(units: 1_500_000_001)
    use.firstByteNanoseconds = 250_000_000
    metrics.noteModelUse(use, worker: 0)
    use.shortfall = Amount(units: 10)
    metrics.noteModelUse(use, worker: 1)
    metrics.noteModelUse(ModelUse(provider: provider, pair: pair, outcome: .failed), worker: 1)
    metrics.noteCharge(Amount(units: 500_000_000), shortfall: .zero, worker: 1)
    let told = try metrics.told()
    let labels = ["provider": "openai", "model": "gpt-4"]
    func requests(_ outcome: String) -> Double? {
      told["edge_model_requests_total", labels.merging(["outcome": outcome]) { $1 }]
    }
    #expect(["completed", "failed", "refused", "cut"].map(requests) == [2, 1, nil, nil])
    let kinds = ["input", "cached", "cache_write", "output", "reasoning"]
    let tokens = kinds.map { told["edge_model_tokens_total", labels.merging(["kind": $0]) { $1 }] }
    #expect(tokens == [200, 40, 60, 14, 8])
    #expect(told["edge_model_first_byte_seconds_count", ["provider": "openai"]] == 2)
    #expect(told["edge_model_first_byte_seconds_sum", ["provider": "openai"]] == 0.5)
    let text = try metrics.answer()
    #expect(text.contains("\nedge_credits_charged_total{provider=\"openai\",model=\"gpt-4\"} 3.000000002\n"))
    #expect(text.contains("\nedge_credits_charged_total{provider=\"-\",model=\"-\"} 0.5\n"))
    #expect(text.contains("\nedge_credits_shortfall_total 0.00000001\n"))
    #expect(metrics.charged == Amount(units: 3_500_000_002))
  }

  /// What runs is what began and has not ended, over all workers; it stays in the answer when it is 0 again.
  @Test func runningRequestsAndFallbacks() throws {
    let metrics = try #require(Metrics(workers: 3))
    let (one, two) = (metrics.names.claim(.provider, "one"), metrics.names.claim(.provider, "two"))
    func running(_ name: String) throws -> Double? {
      try metrics.told()["edge_provider_requests_running", ["provider": name]]
    }
    #expect(metrics.providerLoad(one) == 0)
    #expect(try running("one") == nil)
    for worker in [0, 1, 2, 2] { metrics.noteProviderBegan(one, worker: worker) }
    metrics.noteProviderBegan(two, worker: 1)
    #expect(metrics.providerLoad(one) == 4 && metrics.providerLoad(two) == 1)
    for worker in [2, 0] { metrics.noteProviderEnded(one, worker: worker) }
    metrics.noteProviderEnded(two, worker: 0)
    #expect(metrics.providerLoad(one) == 2 && metrics.providerLoad(two) == 0)
    #expect(try running("one") == 2)
    #expect(try running("two") == 0, "a gauge that was there says 0")
    metrics.noteFallback(one, worker: 0)
    metrics.noteFallback(one, worker: 2)
    let told = try metrics.told()
    #expect(told["edge_provider_fallbacks_total", ["provider": "one"]] == 2)
    #expect(told["edge_provider_fallbacks_total", ["provider": "two"]] == nil)
    #expect(told.kinds["edge_provider_requests_running"] == "gauge")
    // More ends than beginnings are a mistake of whoever counts, and nobody is told that less than nothing runs.
    for _ in 0..<3 { metrics.noteProviderEnded(two, worker: 1) }
    #expect(metrics.providerLoad(two) == 0)
    #expect(try running("two") == 0)
    // A provider without a number of its own counts with the others.
    metrics.noteProviderBegan(.max, worker: 0)
    #expect(metrics.providerLoad(.max) == 1 && metrics.providerLoad(MetricNames.other) == 1)
    #expect(metrics.providerLoad(one) == 2)
  }

  @Test func holdsAndPolicies() throws {
    let metrics = try #require(Metrics(workers: 1))
    let policy = metrics.names.claim(.policy, "auth")
    metrics.noteHold(.refused, worker: 0)
    metrics.noteHold(.granted, worker: 0)
    metrics.noteHold(.granted, worker: 0)
    metrics.notePolicyError(policy, worker: 0)
    let told = try metrics.told()
    #expect(["granted", "refused", "unavailable"].map { told["edge_holds_total", ["result": $0]] } == [2, 1, 0])
    #expect(told["edge_policy_errors_total", ["policy": "auth"]] == 1)
  }

  /// Numbers that nothing sensible would bring cannot make a total go down, nor reach other words.
  @Test func nonsense() throws {
    let metrics = try #require(Metrics(workers: 1))
    var use = ModelUse(provider: .max, pair: .max)
    use.usage.inputTokens = -5
    use.usage.outputTokens = 3
    use.charge = Amount(units: -1)
    use.shortfall = Amount(units: .min)
    use.firstByteNanoseconds = .max
    metrics.noteModelUse(use, worker: 0)
    metrics.notePolicyError(.max, worker: 0)
    var record = ExchangeRecord()
    record.start = 2
    record.end = 1
    metrics.noteExchange(record, route: .max, worker: 0)
    let told = try metrics.told()
    #expect(told["edge_model_tokens_total", ["provider": "other", "model": "other", "kind": "output"]] == 3)
    #expect(told["edge_model_tokens_total", ["provider": "other", "model": "other", "kind": "input"]] == nil)
    #expect(told["edge_credits_shortfall_total"] == 0)
    #expect(told["edge_policy_errors_total", ["policy": "other"]] == 1)
    #expect(told["edge_exchange_duration_seconds_sum", ["route": "other"]] == 0)
    #expect(metrics.charged == .zero)
  }

  /// Eight workers count, one thread asks: no answer is ill-formed, no total goes down, nothing is lost.
  @Test func manyCountAndOneAsks() throws {
    let workers = 8
    let rounds = 4_000
    let metrics = try #require(Metrics(workers: workers))
    let counters = Counters(workers: workers)
    let routes = (0..<4).map { metrics.names.claim(.route, "route-\($0)") }
    let provider = metrics.names.claim(.provider, "p")
    let pair = metrics.names.claimPair(provider: provider, model: metrics.names.claim(.model, "m"))
    let answers = Locked<[String]>([])
    var threads: [@Sendable () -> Void] = (0..<workers).map { worker in
      {
        for round in 0..<rounds {
          metrics.note(routes[round % 4], nanoseconds: UInt64(round) * 100_000, bytes: 1, worker: worker)
          var use = ModelUse(provider: provider, pair: pair)
          use.charge = Amount(units: 1)
          use.firstByteNanoseconds = 1
          metrics.noteModelUse(use, worker: worker)
        }
      }
    }
    threads.append {
      for round in 0..<40 {
        _ = metrics.names.claim(.route, "late-\(round)")
        let answer = written(capacity: Metrics.answerBytesMax) { metrics.write(&$0, counters) }
        answers.withLock { $0.append(answer.text) }
      }
    }
    onThreads(threads)
    var before: [Exposition004.Series: Double] = [:]
    for answer in answers.withLock({ $0 }) + [try metrics.answer(counters)] {
      let told = try Exposition004(answer)
      for (series, value) in told.values where !series.name.hasPrefix("process_") {
        #expect(value >= before[series, default: 0], "\(series)")
      }
      before = told.values
    }
    let total = Double(workers * rounds)
    let counts = (0..<4).map { before[.init(name: "edge_request_bytes_total", labels: ["route": "route-\($0)"])] }
    #expect(counts == [Double?](repeating: total / 4, count: 4))
    let sums = (0..<4).map {
      before[.init(name: "edge_exchange_duration_seconds_count", labels: ["route": "route-\($0)"])]
    }
    #expect(sums == counts)
    #expect(metrics.charged == Amount(units: Int64(total)))
  }
}
