import Foundation
import Testing

@testable import Edge

struct TopTests {
  private static let bounds = ["0.0005", "0.001", "0.01", "60", "+Inf"]

  /// The lines of a route: exchanges by status, and how many lie in each bucket.
  private func route(
    _ name: String, ok: Int, bad: Int = 0, broken: Int = 0, _ buckets: [Int] = [0, 0, 0, 0, 0]
  ) -> String {
    var lines = [("2xx", ok), ("4xx", bad), ("5xx", broken)].map {
      "edge_exchanges_total{route=\"\(name)\",status=\"\($0.0)\"} \($0.1)"
    }
    var sum = 0
    for (bound, count) in zip(Self.bounds, buckets) {
      sum += count
      lines.append("edge_exchange_duration_seconds_bucket{route=\"\(name)\",le=\"\(bound)\"} \(sum)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func metrics(_ text: String) throws -> MetricText { try MetricText(Array(text.utf8)) }

  private func reading(
    _ text: String, seconds: Double, _ change: (inout StatusReading) -> Void = { _ in }
  ) throws -> TopReading {
    TopReading(status: try AdminSample.reading(change), metrics: try metrics(text), time: UInt64(seconds * 1e9))
  }

  // MARK: The text format

  @Test func whatEdgeItselfWrites() throws {
    let metrics = try #require(Metrics(workers: 1))
    let written = written(capacity: Metrics.answerBytesMax) { metrics.write(&$0, Counters(workers: 1)) }
    let read = try MetricText(raw(written.text))
    let other = try Exposition004(written.text)
    #expect(read.samples.values.reduce(0) { $0 + $1.count } == other.values.count)
    for (name, samples) in read.samples {
      for sample in samples { #expect(other[name, sample.labels] == sample.value) }
    }
  }

  @Test func lines() throws {
    let read = try metrics(
      "# TYPE a counter\n\n a\n".replacing(" a\n", with: "") + "a 1\na:b{x=\"\\\\\\\"\\n}\",y=\"\"} 2.5e3 17\r\n")
    #expect(read.samples["a"] == [MetricSample(labels: [:], value: 1)])
    #expect(read.samples["a:b"] == [MetricSample(labels: ["x": "\\\"\n}", "y": ""], value: 2_500)])
    for bad in [
      "a", "a{} ", "1a 1", "a{x} 1", "a{x=1} 1", "a{x=\"1} 1", "a{x=\"1\"y=\"2\"} 1", "a b", "a 1 2 3",
      "a{x=\"\\t\"} 1", "a{x=\"1\",x=\"2\"} 1", "a NaN", "<html>",
    ] {
      #expect(throws: AdminFault.self, "\(bad)") { try metrics("ok 1\n\(bad)\n") }
    }
  }

  @Test func sums() throws {
    let read = try metrics(route("a", ok: 3, bad: 2) + route("b", ok: 5, broken: 1))
    #expect(read.sum("edge_exchanges_total") == 11)
    #expect(read.sum("edge_exchanges_total", "status", ["2xx", "5xx"]) == 9)
    #expect(read.sums("edge_exchanges_total", by: "route") == ["a": 5, "b": 6])
    #expect(read.sum("none") == 0)
  }

  // MARK: Quantiles

  @Test func quantiles() {
    func histogram(_ counts: [Double]) -> MetricHistogram {
      MetricHistogram(zip([0.5, 1, 2, .infinity], counts).map { ($0, $1) })
    }
    #expect(histogram([0, 0, 0, 0]).quantile(0.5) == .none)
    #expect(MetricHistogram([]).quantile(0.5) == .none)
    #expect(MetricHistogram([(.infinity, 5)]).quantile(0.5) == .none)
    #expect(histogram([10, 10, 10, 10]).quantile(0.99) == .below(0.5))
    #expect(histogram([0, 10, 10, 10]).quantile(0.5) == .at(0.75))
    #expect(histogram([0, 0, 10, 10]).quantile(0.95) == .at(1.95))
    #expect(histogram([5, 5, 10, 10]).quantile(0.5) == .below(0.5))
    #expect(histogram([5, 5, 10, 10]).quantile(0.6) == .at(1.2))
    #expect(histogram([0, 0, 0, 10]).quantile(0.5) == .above(2))
    // Read while it was counted.
    #expect(histogram([0, 6, 4, 4]).quantile(0.5) == .at(0.75))
  }

  // MARK: Differences

  @Test func rates() throws {
    let before = "edge_exchange_ends_total{cause=\"completed\"} 10\n" + route("a", ok: 10, [10, 0, 0, 0, 0])
    let after =
      "edge_exchange_ends_total{cause=\"completed\"} 34\n" + route("a", ok: 20, bad: 4, broken: 2, [10, 0, 10, 0, 0])
      + route("b", ok: 8, [0, 0, 0, 0, 8]) + "edge_request_bytes_total{route=\"a\"} 2048\n"
      + "edge_credits_charged_total{provider=\"p\",model=\"m\"} 0.5\n"
    let figures = TopFigures(
      from: try reading(before, seconds: 1), to: try reading(after, seconds: 3) { $0.cpuSeconds += 0.5 })
    #expect(figures.requests == 12 && figures.clientErrors == 2 && figures.serverErrors == 1)
    #expect(figures.credits == 0.25 && figures.cpu == 0.25 && figures.restart == nil)
    #expect(figures.routes.map(\.name) == ["a", "b"])
    let a = try #require(figures.routes.first)
    #expect(a.requests == 8 && a.bytesIn == 1_024)
    #expect(TopScreen.text(a.duration[0]) == "5.5ms")
    #expect(figures.routes.last?.duration == [.above(60), .above(60), .above(60)])
  }

  @Test func providers() throws {
    func text(_ count: Int) -> String {
      ["completed": 4 * count, "failed": 2 * count, "cut": count, "refused": count].map {
        "edge_model_requests_total{provider=\"p\",model=\"m\",outcome=\"\($0)\"} \($1)\n"
      }.joined()
        + ["input": 100 * count, "cached": 50 * count, "output": 20 * count].map {
          "edge_model_tokens_total{provider=\"p\",model=\"m\",kind=\"\($0)\"} \($1)\n"
        }.joined()
        + "edge_provider_requests_running{provider=\"p\"} 3\nedge_provider_requests_running{provider=\"q\"} 1\n"
        + "edge_provider_fallbacks_total{provider=\"p\"} \(count)\n"
    }
    let figures = TopFigures(from: try reading(text(1), seconds: 0), to: try reading(text(2), seconds: 2))
    let p = try #require(figures.providers.first)
    #expect(figures.providers.map(\.name) == ["p", "q"])
    #expect(p.requests == 4 && p.failed == 1.5 && p.fallbacks == 0.5 && p.tokens == 60 && p.running == 3)
  }

  @Test func aFirstReadingHasNoRates() throws {
    let figures = TopFigures(from: nil, to: try reading(route("a", ok: 10), seconds: 5))
    #expect(!figures.hasRates && figures.requests == 0 && figures.routes.map(\.name) == ["a"])
    let text = TopScreen.lines(figures, .plain, clock: 0, interval: "1s").map(\.text).joined(separator: "\n")
    #expect(text.contains("- requests/s") && text.contains("CPU -%"))
  }

  @Test func anEdgeThatWasStartedAgain() throws {
    let before = try reading(route("a", ok: 100, [100, 0, 0, 0, 0]), seconds: 1)
    let after = try reading(route("a", ok: 120, [0, 0, 0, 0, 6]), seconds: 2) {
      $0.pid = 4712
      $0.cpuSeconds = 0.1
    }
    let figures = TopFigures(from: before, to: after)
    #expect(figures.restart == "Edge was started again, pid 4711 -> 4712: counts begin anew")
    #expect(figures.routes.first?.requests == 120 && figures.routes.first?.duration[0] == .above(60))
    #expect(figures.cpu > 0.09)
    // The same process never counts back; if one number does, that one begins anew.
    let again = TopFigures(from: before, to: try reading(route("a", ok: 7), seconds: 2))
    #expect(again.restart == nil && again.routes.first?.requests == 7)
  }

  // MARK: Drawing

  private func busy(_ routes: Int, _ providers: Int = 3) throws -> TopFigures {
    let text = { (count: Int) in
      (0..<routes).map { self.route("route-with-a-name-\($0)", ok: (routes - $0) * count, [0, 0, count, 0, 0]) }
        .joined()
        + (0..<providers).map {
          "edge_model_requests_total{provider=\"provider-\($0)\",model=\"m\",outcome=\"completed\"} \(count)\n"
        }.joined()
    }
    return TopFigures(from: try reading(text(1), seconds: 0), to: try reading(text(2), seconds: 1))
  }

  private func draw(_ figures: TopFigures, _ columns: Int, _ rows: Int) -> [String] {
    TopScreen.lines(figures, TopSize(columns: columns, rows: rows), clock: 43_205_000_000_000, interval: "1s").map(
      \.text)
  }

  @Test func aCommonTerminal() throws {
    let lines = draw(try busy(30), 80, 24)
    #expect(lines.count == 24)
    #expect(lines[0] == "edge 0.1.0  pid 4711  serving  up 2 hours 3 minutes  12:00:05 UTC, every 1s")
    #expect(lines.contains { $0.hasPrefix("ROUTE") && $0.contains("p99") && $0.hasSuffix("in B/s") }, "\(lines)")
    #expect(lines.contains { $0.hasPrefix("route-with-a-name-0 ") && $0.contains("5.5ms") }, "\(lines)")
    #expect(lines.contains { $0.hasPrefix("PROVIDER") })
    #expect(lines.contains { $0.hasPrefix("provider-2") })
    let narrow = draw(try busy(30), 60, 24)
    #expect(narrow.contains { $0.hasPrefix("ROUTE") && $0.hasSuffix("5xx/s  4xx/s") }, "\(narrow)")
    let more = try #require(lines.first { $0.hasSuffix(" more") })
    #expect(more == "… \(30 - lines.count { $0.hasPrefix("route-") }) more")
  }

  @Test func aSmallTerminal() throws {
    let lines = draw(try busy(30), 40, 10)
    #expect(lines.count == 10)
    #expect(lines.allSatisfy { TerminalText.width($0) <= 40 })
    #expect(lines.contains { $0.hasPrefix("ROUTE") && $0.contains("req/s") }, "\(lines)")
    #expect(lines.contains { $0.hasPrefix("PROVIDER") })
    #expect(lines.contains { $0.hasPrefix("route-with") } && lines.contains { $0.hasPrefix("provider-0") }, "\(lines)")
    #expect(lines.count { $0.hasSuffix(" more") } == 2)
    // Where not even a row of each fits, there are routes only.
    let tiny = draw(try busy(30), 40, 6)
    #expect(tiny.count == 6 && tiny.contains { $0.hasPrefix("route-with") }, "\(tiny)")
    #expect(!tiny.contains { $0.hasPrefix("PROVIDER") })
  }

  @Test func everySizeFits() throws {
    for figures in [try busy(0, 0), try busy(1, 0), try busy(0, 5), try busy(40, 40)] {
      for columns in [1, 2, 5, 13, 40, 79, 80, 200] {
        for rows in 1...30 {
          let lines = draw(figures, columns, rows)
          #expect(lines.count <= rows && lines.allSatisfy { TerminalText.width($0) <= columns }, "\(columns)x\(rows)")
        }
      }
    }
  }

  @Test func allRowsWithoutATerminal() throws {
    let lines = TopScreen.lines(try busy(60, 40), .plain, clock: 0, interval: "1s").map(\.text)
    #expect(lines.count { $0.hasPrefix("route-") } == 60)
    #expect(lines.count { $0.hasPrefix("provider-") } == 40)
    #expect(!lines.contains { $0.hasSuffix(" more") })
  }

  @Test func warningsStandAtTheTop() throws {
    let before = try reading("", seconds: 0)
    let after = try reading("edge_metric_series_left_out 7\n", seconds: 1) { $0.isLedgerFailing = true }
    let lines = TopScreen.lines(
      TopFigures(from: before, to: after), TopSize(columns: 100, rows: 24), clock: 0, interval: "1s", notes: ["note"])
    #expect(lines[1].text.hasPrefix("! the ledger cannot be written"))
    #expect(lines[2].text == "! note" && lines[3].text.hasPrefix("! 7 series"))
    #expect(lines[1...3].allSatisfy { $0.style == .warning })
    #expect(lines.contains { $0.text.contains("ledger FAILING") })
  }

  @Test func hostileNames() throws {
    let text = { (count: Int) in self.route("a\u{1b}[2J\u{202e}\u{9b}", ok: count) }
    let figures = TopFigures(
      from: try reading(text(1), seconds: 0),
      to: try reading(text(2), seconds: 1) {
        $0.version = "\u{1b}"
        $0.state = "\r"
      })
    for line in draw(figures, 120, 24) {
      #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f..<0xa0).contains($0.value) }, "\(line)")
    }
  }

  @Test func shortNumbers() {
    #expect(
      [0, 0.123, 12.34, 123.4, 12_345, 2_500_000].map { TopScreen.number($0) } == [
        "0", "0.12", "12.3", "123", "12.3k", "2.5M",
      ])
    #expect(
      [.none, .below(0.0005), .at(0.0123), .at(1.25), .at(0.9996), .above(60)].map { TopScreen.text($0) }
        == ["-", "<0.5ms", "12.3ms", "1.25s", "1s", ">60s"])
  }
}
