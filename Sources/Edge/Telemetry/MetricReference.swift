// The metrics as a reference page.
//
// Owns: the Markdown that lists them. Called by: the test that keeps `docs/metrics.md` true. Never: knows a metric;
// they come from the rows of `MetricTable`.

/// Writes the reference page.
enum MetricReference {
  /// The page as Markdown with a line end.
  static func markdown() -> String {
    var text = """
      # Metrics

      Made from the rows in the code; do not edit.

      A route with `builtin: metrics` answers with these, in the text format of Prometheus (version 0.0.4). Give it a
      listener of its own on loopback: the numbers say what is used and what it costs.

      - Numbers outlive reloads: a name that a reload takes away keeps its series, and totals only go up until the
        process ends.
      - Labels with names (\(MetricLabel.allCases.map { "`\($0.name)`" }.joined(separator: ", "))) have those of the \
      configuration, never those of a request;
        `-` means that there is no such thing. There is room for \(places());
        what comes later counts as `other`, and `edge_metric_names_refused_total` says so. Names keep their room until
        the process ends.
      - Metrics with such a label show the series that have counted something, all others every series from the start.
      - An answer has at most \(Metrics.answerBytesMax >> 10) KiB. What has no room is left out, the histograms of \
      routes first; `edge_metric_series_left_out`
        says how many series, and the last line of which metrics.
      - Histograms have the buckets \(buckets()) seconds.

      | Metric | Kind | Labels | What it says |
      |---|---|---|---|

      """
    for row in [MetricTable.scripts] + MetricTable.rows + MetricTable.closing {
      text += "| `\(row.name)` | \(row.kind.rawValue) | \(labels(of: row)) | \(row.help) |\n"
    }
    return text
  }

  private static func labels(of row: MetricRow) -> String {
    var labels = row.scope.labels.map { "`\($0.name)`" }
    if let label = row.label {
      // The page does not change with each version.
      if case .version = row.source { return "`\(label)`" }
      labels.append("`\(label)`: " + row.values.map { "`\($0)`" }.joined(separator: " "))
    }
    return labels.joined(separator: "; ")
  }

  private static func places() -> String {
    // Two of each table are `other` and `-`.
    MetricLabel.allCases.map { "\($0.places - 2) names of a \($0.name), " }.joined()
      + "and \(MetricNames.pairPlaces - 2) pairs of provider and model"
  }

  private static func buckets() -> String {
    (0..<DurationBuckets.bounds.count).map { place in
      Amount(units: Int64(clamping: DurationBuckets.bounds[place])).text
    }.joined(separator: ", ")
  }
}
