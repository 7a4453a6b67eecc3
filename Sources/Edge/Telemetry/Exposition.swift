// Metrics as text: version 0.0.4 of the text format of Prometheus
// (prometheus.io/docs/instrumenting/exposition_formats).
//
// Owns: how rows become lines, and what is left out when there are too many.
// Called by: `builtin: metrics`. Never: counts, or tells a name that no configuration had.
//
// A row whose labels are closed sets shows every series; one with names from the configuration shows those that have
// counted something.

extension Metrics {
  /// The longest answer, and what of it is kept for the lines at its end.
  static let answerBytesMax = Limits.replyBodyBytes
  private static let endBytes = 2 << 10

  /// All metrics. The answer does not depend on the writer's room: one with less than `answerBytesMax` may overflow,
  /// and must be asked again with more.
  func write(_ out: inout ByteWriter, _ counters: Counters, most: Int = answerBytesMax) {
    var exposition = Exposition(
      out: out, metrics: self, counters: counters, listing: names.listing, limit: most - Metrics.endBytes,
      hasRoom: out.capacity >= most)
    exposition.write(MetricTable.scripts)
    for row in MetricTable.rows { exposition.write(row) }
    exposition.limit = most
    for row in MetricTable.closing { exposition.write(row) }
    exposition.writeLeftOut()
    out = exposition.out
  }
}

/// One answer while it is written.
private struct Exposition {
  var out: ByteWriter
  let metrics: Metrics
  let counters: Counters
  let listing: MetricNames.Listing
  /// Series end here at the latest.
  var limit: Int
  /// The writer takes the longest answer: what does not fit is left out and no reason to ask again.
  let hasRoom: Bool
  private var leftOut: UInt64 = 0
  private var leftOutRows: [(name: StaticString, count: UInt64)] = []
  /// Of the row that is being written.
  private var hasHead = false
  private var isFull = false

  init(out: ByteWriter, metrics: Metrics, counters: Counters, listing: MetricNames.Listing, limit: Int, hasRoom: Bool) {
    self.out = out
    self.metrics = metrics
    self.counters = counters
    self.listing = listing
    self.limit = limit
    self.hasRoom = hasRoom
  }

  // MARK: Rows

  /// A row: its two comment lines and its series, if it has any.
  mutating func write(_ row: MetricRow) {
    hasHead = false
    isFull = false
    switch row.source {
    case .version: writePlain(row, 0, 1)
    case .process(let figure): write(row, figure)
    case .counter(let counter): writePlain(row, -1, UInt64(max(0, counters.sum(counter))))
    case .figures(let figures):
      for (value, figure) in figures.enumerated() {
        writePlain(row, row.label == nil ? -1 : value, UInt64(max(0, metrics.figures[figure])))
      }
    case .words(let first, let unit): writeWords(row, first, unit)
    case .running(let began, let ended): writeRunning(row, began, ended)
    case .buckets(let first): writeHistograms(row, first)
    case .refusedNames: for (table, count) in listing.refused.enumerated() { writePlain(row, table, count) }
    case .leftOut: writePlain(row, -1, leftOut)
    case .scripts: writeScripts(row)
    }
  }

  private mutating func write(_ row: MetricRow, _ figure: ProcessFigure) {
    switch figure {
    case .start: writeNumber(row, metrics.startWall, .seconds)
    case .cpuSeconds: writeNumber(row, ProcessFigures.cpuNanoseconds(), .seconds)
    case .residentBytes: writeNumber(row, ProcessFigures.residentBytes(), .plain)
    case .openDescriptors: writeNumber(row, ProcessFigures.openDescriptors(), .plain)
    case .descriptorsMax: writeNumber(row, ProcessFigures.descriptorsMax(), .plain)
    }
  }

  /// A row without labels; what the kernel does not say is not told.
  private mutating func writeNumber(_ row: MetricRow, _ number: UInt64?, _ unit: MetricUnit) {
    guard let number else { return }
    writeSeries(row) { $0.writeSample(row, 0, -1, number, unit) }
  }

  private mutating func writePlain(_ row: MetricRow, _ value: Int, _ number: UInt64) {
    writeSeries(row) { $0.writeSample(row, 0, value, number, .plain) }
  }

  private mutating func writeWords(_ row: MetricRow, _ first: Int, _ unit: MetricUnit) {
    for place in places(of: row.scope) {
      for value in 0..<max(1, row.values.count) {
        let number = metrics.sum(row.scope, place, first + value)
        if number == 0, row.scope != .whole { continue }
        writeSeries(row) { $0.writeSample(row, place, row.label == nil ? -1 : value, number, unit) }
      }
    }
  }

  /// Told from the first that began, and then always: a gauge that goes away does not say 0.
  private mutating func writeRunning(_ row: MetricRow, _ began: Int, _ ended: Int) {
    for place in places(of: row.scope) where row.scope == .whole || metrics.sum(row.scope, place, began) > 0 {
      let number = metrics.difference(row.scope, place, began, less: ended)
      writeSeries(row) { $0.writeSample(row, place, -1, number, .plain) }
    }
  }

  private mutating func writeHistograms(_ row: MetricRow, _ first: Int) {
    for place in places(of: row.scope) {
      // Read once, so that the buckets of one answer fit together.
      let buckets = (0..<DurationBuckets.count).map { metrics.sum(row.scope, place, first + $0) }
      let total = buckets.reduce(0, &+)
      if total == 0, row.scope != .whole { continue }
      let sum = metrics.sum(row.scope, place, first + DurationBuckets.count)
      writeSeries(row) { $0.writeHistogram(row, place, buckets, total, sum) }
    }
  }

  /// Each name is a family of its own, with a series for each policy that has it.
  private mutating func writeScripts(_ row: MetricRow) {
    // Each family has a head of its own.
    hasHead = true
    var family = ""
    for counter in metrics.scripts.rows {
      let name = "edge_script_\(counter.name)_total"
      writeSeries(row) { exposition in
        if name != family { exposition.writeHead(name, counter.help, row.kind) }
        exposition.out.append(string: name)
        exposition.out.append("{policy=\"")
        exposition.out.append(string: String(decoding: MetricNames.escaped(counter.policy), as: UTF8.self))
        exposition.out.append("\"}")
        exposition.writeValue(counter.number, .plain)
      }
      family = name
    }
  }

  /// The names of a scope that have a number.
  private func places(of scope: MetricScope) -> Range<Int> {
    switch scope {
    case .whole: 0..<1
    case .pair: 0..<listing.pairs.count
    default: 0..<scope.labels.reduce(0) { $0 + listing.names[$1.rawValue].count }
    }
  }

  /// Writes a series, with the row's head in front of the first, or leaves it out whole. A row that is full stays full,
  /// so that what is left out is always its end.
  private mutating func writeSeries(_ row: MetricRow, _ body: (inout Exposition) -> Void) {
    let before = out.count
    let hadHead = hasHead
    if !isFull {
      if !hasHead { writeHead(row) }
      body(&self)
      if out.overflowed ? !hasRoom : out.count <= limit { return }
    }
    out.rewind(to: before)
    hasHead = hadHead
    leftOut += 1
    if isFull {
      leftOutRows[leftOutRows.count - 1].count += 1
    } else {
      leftOutRows.append((row.name, 1))
    }
    isFull = true
  }

  // MARK: Lines

  private mutating func writeHead(_ row: MetricRow) {
    hasHead = true
    out.append("# HELP ")
    out.append(row.name)
    out.append(byte: 0x20)
    out.append(row.help)
    out.append("\n# TYPE ")
    out.append(row.name)
    out.append(byte: 0x20)
    out.append(string: row.kind.rawValue)
    out.append("\n")
  }

  private mutating func writeHead(_ name: String, _ help: String, _ kind: MetricKind) {
    out.append("# HELP ")
    out.append(string: name)
    out.append(byte: 0x20)
    out.append(string: help)
    out.append("\n# TYPE ")
    out.append(string: name)
    out.append(byte: 0x20)
    out.append(string: kind.rawValue)
    out.append("\n")
  }

  /// One line. `value`: which of the row's own label; -1: it has none.
  private mutating func writeSample(_ row: MetricRow, _ place: Int, _ value: Int, _ number: UInt64, _ unit: MetricUnit)
  {
    out.append(row.name)
    var isFirst = true
    writeNames(row.scope, place, &isFirst)
    if value >= 0, let label = row.label {
      writeLabel(label, StaticBytes(row.values[value]), &isFirst)
    }
    if !isFirst { out.append("}") }
    writeValue(number, unit)
  }

  private mutating func writeHistogram(
    _ row: MetricRow, _ place: Int, _ buckets: [UInt64], _ total: UInt64, _ sum: UInt64
  ) {
    var count: UInt64 = 0
    for (index, bucket) in buckets.enumerated() {
      count &+= bucket
      out.append(row.name)
      out.append("_bucket")
      var isFirst = true
      writeNames(row.scope, place, &isFirst)
      out.append(isFirst ? "{le=\"" : ",le=\"" as StaticString)
      if index < DurationBuckets.bounds.count {
        writeDecimal(DurationBuckets.bounds[index])
      } else {
        out.append("+Inf")
      }
      out.append("\"}")
      writeValue(count, .plain)
    }
    writePart(row, "_sum", place, sum, .seconds)
    writePart(row, "_count", place, total, .plain)
  }

  private mutating func writePart(
    _ row: MetricRow, _ part: StaticString, _ place: Int, _ number: UInt64, _ unit: MetricUnit
  ) {
    out.append(row.name)
    out.append(part)
    var isFirst = true
    writeNames(row.scope, place, &isFirst)
    if !isFirst { out.append("}") }
    writeValue(number, unit)
  }

  private mutating func writeNames(_ scope: MetricScope, _ place: Int, _ isFirst: inout Bool) {
    if scope == .pair {
      let pair = listing.pairs[place]
      writeName(.provider, Int(pair.provider), &isFirst)
      writeName(.model, Int(pair.model), &isFirst)
    } else {
      for label in scope.labels { writeName(label, place, &isFirst) }
    }
  }

  private mutating func writeName(_ label: MetricLabel, _ number: Int, _ isFirst: inout Bool) {
    listing.names[label.rawValue][number].withUnsafeBufferPointer { name in
      guard let start = name.baseAddress else { return }
      writeLabel(label.name, StaticBytes(start: start, count: name.count), &isFirst)
    }
  }

  private mutating func writeLabel(_ label: StaticString, _ value: StaticBytes, _ isFirst: inout Bool) {
    out.append(byte: isFirst ? 0x7b : 0x2c)
    isFirst = false
    out.append(label)
    out.append("=\"")
    out.append(value)
    out.append("\"")
  }

  private mutating func writeValue(_ number: UInt64, _ unit: MetricUnit) {
    out.append(byte: 0x20)
    switch unit {
    case .plain: out.append(decimal: number)
    case .seconds, .credits: writeDecimal(number)
    }
    out.append("\n")
  }

  /// Billionths as a decimal number: nanoseconds in seconds and what amounts are kept in are written alike.
  private mutating func writeDecimal(_ billionths: UInt64) { out.append(Amount(units: Int64(clamping: billionths))) }

  /// What the answer does not tell, as a comment.
  mutating func writeLeftOut() {
    if leftOut == 0 { return }
    out.append("# Left out:")
    for (index, row) in leftOutRows.enumerated() {
      out.append(index == 0 ? " " : ", " as StaticString)
      out.append(decimal: row.count)
      out.append(" of ")
      out.append(row.name)
    }
    out.append("\n")
  }
}
