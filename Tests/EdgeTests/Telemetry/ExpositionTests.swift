import Testing

@testable import Edge

struct ExpositionTests {
  /// Metrics with something in every family.
  private func busy(workers: Int = 2) throws -> Metrics {
    let metrics = try #require(Metrics(workers: workers))
    let provider = metrics.names.claim(.provider, "p")
    let pair = metrics.names.claimPair(provider: provider, model: metrics.names.claim(.model, "m"))
    metrics.note(metrics.names.claim(.route, "r"), bytes: 1)
    var use = ModelUse(provider: provider, pair: pair)
    use.usage.inputTokens = 1
    use.charge = Amount(units: 1)
    use.firstByteNanoseconds = 1
    metrics.noteModelUse(use, worker: workers - 1)
    metrics.noteProviderBegan(provider, worker: 0)
    metrics.noteFallback(provider, worker: 0)
    metrics.notePolicyError(metrics.names.claim(.policy, "x"), worker: 0)
    return metrics
  }

  /// Every row is told, in the order of the table, as what the table says.
  @Test func everyRow() throws {
    let told = try busy().told()
    let rows = MetricTable.rows + MetricTable.closing
    #expect(told.families == rows.map { "\($0.name)" })
    for row in rows {
      #expect(told.kinds["\(row.name)"] == row.kind.rawValue && told.helps["\(row.name)"] == "\(row.help)")
      let series = told.order.filter { $0.name.hasPrefix("\(row.name)") }
      let labels = Set(row.labels.map { "\($0)" } + (row.kind == .histogram ? ["le"] : []))
      #expect(series.contains { Set($0.labels.keys) == labels }, "\(row.name)")
    }
    #expect(told["edge_info", ["version": "\(Version.text)"]] == 1)
    #expect(told.comments.isEmpty)
  }

  /// Closed sets are told from the start, names only when they have counted something.
  @Test func nothingYet() throws {
    let metrics = try #require(Metrics(workers: 1))
    _ = metrics.names.claim(.route, "r")
    let told = try metrics.told()
    for row in MetricTable.rows + MetricTable.closing {
      #expect(told.families.contains("\(row.name)") == (row.scope == .whole), "\(row.name)")
      if row.scope != .whole { continue }
      let count = told.order.count { $0.name == "\(row.name)" }
      #expect(count == max(1, row.values.count), "\(row.name)")
    }
  }

  @Test func figuresAndCounters() throws {
    let metrics = try busy()
    let counters = Counters(workers: 3)
    for (number, figure) in Figure.allCases.enumerated() { metrics.figures.set(figure, Int64(100 + number)) }
    metrics.figures.add(5, to: .ledgerCommits)
    for (number, counter) in Counter.allCases.enumerated() {
      counters.add(Int64(number), to: counter, worker: 0)
      counters.add(10, to: counter, worker: 2)
    }
    counters.add(-100, to: .serverConnections, worker: 1)
    let told = try metrics.told(counters)
    func figure(_ figure: Figure) -> Double { Double(metrics.figures[figure]) }
    #expect(told["edge_ledger_commits_total"] == 105)
    #expect(told["edge_ledger_transfers_total"] == figure(.ledgerTransfers))
    #expect(told["edge_ledger_failures_total"] == figure(.ledgerFailures))
    #expect(told["edge_ledger_queue"] == figure(.ledgerQueue))
    #expect(told["edge_ledger_failing"] == figure(.ledgerFailing))
    #expect(told["edge_generation"] == figure(.generation))
    #expect(told["edge_generations_live"] == figure(.generationsLive))
    #expect(told["edge_body_memory_bytes"] == figure(.bodyMemoryBytes))
    let results = ["done", "failed", "refused", "unchanged"].map { told["edge_reloads_total", ["result": $0]] }
    #expect(results == [.reloadsDone, .reloadsFailed, .reloadsRefused, .reloadsUnchanged].map(figure))
    #expect(told["edge_exchanges_running"] == Double(counters.sum(.runningExchanges)))
    #expect(told["edge_upstream_replays_total"] == Double(counters.sum(.replays)))
    #expect(told["edge_connections_refused_total"] == Double(counters.sum(.refusedConnections)))
    #expect(told["edge_log_lines_dropped_total"] == Double(counters.sum(.droppedLogLines)))
    #expect(told["edge_connections"] == 0, "a gauge that several threads write may be seen below zero")
  }

  /// What the kernel says of a process that runs.
  @Test func process() throws {
    let told = try busy().told()
    let now = Double(Clock.wallNow()) / 1e9
    let start = try #require(told["process_start_time_seconds"])
    #expect(start <= now && start > 1_600_000_000)
    let resident = try #require(told["process_resident_memory_bytes"])
    #expect(resident > 1_048_576)
    let open = try #require(told["process_open_fds"])
    let most = try #require(told["process_max_fds"])
    #expect(open >= 3 && open <= most)
    let cpu = try #require(told["process_cpu_seconds_total"])
    #expect(cpu > 0)
  }

  /// Escapes as the format demands them, and back.
  @Test(arguments: ["a\"b", "a\\b", "a\nb", "\\n", "\\\\\"", "}", "a,b=\"c\"", "ü\u{2028}", ""])
  func labelValues(_ name: String) throws {
    let metrics = try #require(Metrics(workers: 1))
    metrics.note(metrics.names.claim(.route, name), bytes: 3)
    let text = try metrics.answer()
    let told = try Exposition004(String(decoding: raw(text), as: UTF8.self))
    #expect(told["edge_request_bytes_total", ["route": name]] == 3)
  }

  /// All tables full of the longest names: the answer keeps its size, tells the small families whole, and says what is
  /// missing.
  @Test func tooManySeries() throws {
    let metrics = try #require(Metrics(workers: 1))
    func name(_ number: Int) -> String { String(repeating: "\"", count: MetricNames.nameBytesMax - 4) + "\(number)" }
    for number in 0..<MetricLabel.route.places {
      metrics.note(metrics.names.claim(.route, name(number)), nanoseconds: .max - 1_000, bytes: .max / 4)
    }
    let provider = metrics.names.claim(.provider, name(0))
    for number in 0..<MetricLabel.model.places {
      var use = ModelUse(provider: provider)
      use.pair = metrics.names.claimPair(provider: provider, model: metrics.names.claim(.model, name(number)))
      use.charge = Amount(units: 1)
      metrics.noteModelUse(use, worker: 0)
    }
    for most in [12 << 10, 16 << 10, 50_000, Metrics.answerBytesMax] {
      let text = try metrics.answer(most: most)
      #expect(text.utf8.count <= most && text.utf8.count > most - (10 << 10))
      let told = try Exposition004(text)
      let leftOut = try #require(told["edge_metric_series_left_out"])
      #expect(leftOut > 0)
      let comment = try #require(told.comments.first)
      #expect(told.comments.count == 1 && comment.hasPrefix("Left out: ") && text.hasSuffix("# \(comment)\n"))
      let counts = comment.dropFirst(10).split(separator: ", ").map { $0.split(separator: " of ") }
      #expect(counts.reduce(0) { $0 + (Double($1[0]) ?? .nan) } == leftOut)
      #expect(comment.contains("edge_exchange_duration_seconds"))
      for row in MetricTable.rows where row.scope == .whole { #expect(told.families.contains("\(row.name)")) }
    }
  }

  /// A writer with less room overflows, whatever of it is missing: it is never taken for an answer with less in it.
  @Test func lessRoom() throws {
    let metrics = try busy()
    let counters = Counters(workers: 1)
    let size = try metrics.answer(counters).utf8.count
    for capacity in [0, 1, 100, size / 2, size - 200] {
      #expect(written(capacity: capacity) { metrics.write(&$0, counters) }.overflowed, "\(capacity)")
    }
    #expect(!written(capacity: size + 200) { metrics.write(&$0, counters) }.overflowed)
  }
}
