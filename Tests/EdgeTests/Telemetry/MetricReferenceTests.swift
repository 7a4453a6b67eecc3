// The reference page of metrics.

import Foundation
import Testing

@testable import Edge

@Suite struct MetricReferenceTests {
  /// The committed page is the one the rows give.
  @Test func hasNotDrifted() throws {
    let path = Fixture.repository + "/docs/metrics.md"
    let text = MetricReference.markdown()
    if ProcessInfo.processInfo.environment["EDGE_REWRITE_GOLDENS"] == "1" {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
    let committed = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text == committed, "\(LineDiff.text(committed, text))")
  }

  /// Rows are what Prometheus' own rules ask for, and each stands on the page.
  @Test func rows() {
    let rows = [MetricTable.scripts] + MetricTable.rows + MetricTable.closing
    #expect(Set(rows.map { "\($0.name)" }).count == rows.count)
    let text = MetricReference.markdown()
    for row in rows {
      let name = "\(row.name)"
      #expect(name.hasSuffix("_total") == (row.kind == .counter), "\(name)")
      if row.kind == .histogram { #expect(name.hasSuffix("_seconds"), "\(name)") }
      #expect((row.label == nil) == row.values.isEmpty, "\(name)")
      #expect("\(row.help)".hasSuffix(".") && !"\(row.help)".contains("|"), "\(name)")
      #expect(text.components(separatedBy: "| `\(name)` |").count == 2, "\(name)")
    }
  }

  /// Nothing is counted that no row tells. A setting is no count; `/status` has it.
  @Test func everyFigureIsTold() {
    var figures: Set<Figure> = []
    for row in MetricTable.rows {
      if case .figures(let some) = row.source {
        figures.formUnion(some)
        #expect(some.count == max(1, row.values.count), "\(row.name)")
      }
    }
    #expect(figures == Set(Figure.allCases).subtracting([.bodyMemoryBytesMax]))
  }
}
