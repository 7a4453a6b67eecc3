// From figures and a size to the lines of a screen.
//
// Owns: what stands where, and what is left out when there is little room: columns from the right, rows from the end of
// each table, which says how many. Called by: `edge top`. Never: writes, or lets a name of others drive the terminal.

import Glibc

/// The room for a screen.
struct TopSize: Equatable {
  let columns: Int
  let rows: Int

  /// For what is no terminal: all rows, in lines that are still read easily.
  static let plain = TopSize(columns: 160, rows: .max)
}

/// A line and how it is to look.
struct TopLine: Equatable {
  /// The looks of a line.
  enum Style {
    case plain, heading, warning
  }

  var text: String
  var style = Style.plain
}

/// Draws.
enum TopScreen {
  /// Terminals of so few rows have no empty lines and shorter heads.
  private static let lowRows = 16

  /// At most `size.rows` lines of at most `size.columns` columns. `clock`: wall nanoseconds.
  static func lines(
    _ figures: TopFigures, _ size: TopSize, clock: UInt64, interval: String, notes: [String] = []
  ) -> [TopLine] {
    let isLow = size.rows < lowRows
    var warnings = StatusText.warnings(figures.status) + notes
    if figures.leftOut > 0 {
      warnings.append("\(figures.leftOut) series had no room in Edge's metrics: some routes may be missing")
    }
    var head = [TopLine(text: title(figures, clock: clock, interval: interval))]
    head += warnings.prefix(isLow ? 2 : 6).map { TopLine(text: "! \($0)", style: .warning) }
    for items in [traffic(figures), process(figures)] { head += flow(items, size.columns).map { TopLine(text: $0) } }
    head = Array(head.prefix(max(2, size.rows == .max ? .max : size.rows * 2 / 5)))
    let gap = isLow ? 0 : 1
    var tables = [routes(figures), providers(figures)].filter { !$0.rows.isEmpty }
    let room = size.rows == .max ? Int.max : max(0, size.rows - head.count)
    share(room, gap, &tables)
    var lines = head
    for table in tables where table.allowance >= 2 + gap {
      if gap > 0 { lines.append(TopLine(text: "")) }
      lines += table.lines(columns: size.columns, rows: table.allowance - gap)
    }
    if tables.isEmpty, figures.hasRates { lines.append(TopLine(text: "no exchange has ended yet")) }
    return lines.prefix(max(0, size.rows)).map {
      TopLine(text: TerminalText.cut($0.text, size.columns), style: $0.style)
    }
  }

  /// How many lines each table may have, its gap and heading included. When both do not fit, the second has a third;
  /// when not even a row of each does, there is only the first.
  private static func share(_ room: Int, _ gap: Int, _ tables: inout [TopTable]) {
    let needs = tables.map { $0.rows.count + 1 + gap }
    // A heading, a row, and how many more there are.
    let least = needs.map { min($0, 3 + gap) }
    if needs.reduce(0, +) <= room {
      for index in tables.indices { tables[index].allowance = needs[index] }
    } else if tables.count == 2, least[0] + least[1] <= room {
      let third = min(needs[1], max(least[1], room / 3))
      tables[0].allowance = min(needs[0], room - third)
      tables[1].allowance = min(needs[1], room - tables[0].allowance)
    } else if !tables.isEmpty {
      tables[0].allowance = room
    }
  }

  // MARK: The head

  private static func title(_ figures: TopFigures, clock: UInt64, interval: String) -> String {
    let status = figures.status
    let time = CivilTime(wall: clock)
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "edge \(TerminalText.shown(status.version))  pid \(status.pid)  \(TerminalText.shown(status.state))  "
      + "up \(StatusText.words(seconds: status.uptime))  "
      + "\(two(time.hour)):\(two(time.minute)):\(two(time.second)) UTC, every \(interval)"
  }

  private static func traffic(_ figures: TopFigures) -> [String] {
    func rate(_ value: Double) -> String { figures.hasRates ? number(value) : "-" }
    return [
      "\(rate(figures.requests)) requests/s", "\(rate(figures.serverErrors)) 5xx/s",
      "\(rate(figures.clientErrors)) 4xx/s", "\(figures.status.running) running",
      "\(figures.hasRates ? StatusText.decimal(figures.credits, 4) : "-") credits/s",
    ]
  }

  private static func process(_ figures: TopFigures) -> [String] {
    let status = figures.status
    var generation = "generation \(status.generation)"
    let older = status.olderRunning
    if !older.isEmpty {
      let running = older.reduce(0) { $0 + $1.running }
      generation += " (\(running) on \(TerminalText.count(older.count, "older one")))"
    }
    return [
      "CPU \(figures.hasRates ? StatusText.decimal(figures.cpu * 100, 0) : "-")%",
      StatusText.bytes(status.residentBytes), TerminalText.count(status.connections, "connection"),
      TerminalText.count(status.webSockets, "WebSocket"), generation,
      status.isLedgerFailing ? "ledger FAILING" : "ledger ok, \(status.ledgerQueue) waiting",
    ]
  }

  /// Items in as many lines as they need.
  private static func flow(_ items: [String], _ columns: Int) -> [String] {
    var lines: [String] = []
    for item in items {
      if let last = lines.last, TerminalText.width(last) + 3 + TerminalText.width(item) <= columns {
        lines[lines.count - 1] = last + "   " + item
      } else {
        lines.append(item)
      }
    }
    return lines
  }

  // MARK: The tables

  private static func routes(_ figures: TopFigures) -> TopTable {
    TopTable(
      heading: ["ROUTE", "req/s", "p50", "p95", "p99", "5xx/s", "4xx/s", "out B/s", "in B/s"],
      rows: figures.routes.map { row in
        [TerminalText.shown(row.name), number(row.requests)] + row.duration.map { text($0) }
          + [number(row.serverErrors), number(row.clientErrors), amount(row.bytesOut), amount(row.bytesIn)]
      }, hasRates: figures.hasRates, gauges: [])
  }

  private static func providers(_ figures: TopFigures) -> TopTable {
    TopTable(
      heading: ["PROVIDER", "running", "req/s", "failed/s", "fallb/s", "first p50", "p95", "tokens/s"],
      rows: figures.providers.map { row in
        [
          TerminalText.shown(row.name), StatusText.decimal(row.running, 0), number(row.requests), number(row.failed),
          number(row.fallbacks),
        ] + row.firstByte.map { text($0) } + [number(row.tokens)]
      }, hasRates: figures.hasRates, gauges: [1])
  }

  // MARK: Numbers

  /// Three digits or so.
  static func number(_ value: Double) -> String {
    if value >= 1e6 { return StatusText.decimal(value / 1e6, 1) + "M" }
    if value >= 1e4 { return StatusText.decimal(value / 1e3, 1) + "k" }
    return StatusText.decimal(value, value >= 100 ? 0 : value >= 10 ? 1 : 2)
  }

  /// Bytes without the letter that all have.
  private static func amount(_ bytes: Double) -> String {
    var text = StatusText.bytes(bytes)
    while text.last?.isLetter == true && text.last != "K" && text.last != "M" && text.last != "G" && text.last != "T" {
      text.removeLast()
    }
    return text.filter { $0 != " " }
  }

  /// `12.5ms`, `<0.5ms`, `>60s`.
  static func text(_ quantile: MetricQuantile) -> String {
    switch quantile {
    case .none: "-"
    case .below(let bound): "<\(duration(bound))"
    case .at(let value): duration(value)
    case .above(let bound): ">\(duration(bound))"
    }
  }

  private static func duration(_ seconds: Double) -> String {
    let milliseconds = seconds * 1_000
    if milliseconds < 999.5 {
      return StatusText.decimal(milliseconds, milliseconds >= 100 ? 0 : milliseconds >= 10 ? 1 : 2) + "ms"
    }
    return StatusText.decimal(seconds, seconds >= 10 ? 1 : 2) + "s"
  }
}

/// A table: names on the left, numbers on the right.
struct TopTable {
  let heading: [String]
  let rows: [[String]]
  /// Otherwise there is nothing in the columns but those of `gauges`.
  let hasRates: Bool
  let gauges: Set<Int>
  /// How many lines it may take.
  var allowance = 0

  private static let nameColumns = 12

  init(heading: [String], rows: [[String]], hasRates: Bool, gauges: Set<Int>) {
    self.heading = heading
    self.gauges = gauges
    self.hasRates = hasRates
    self.rows =
      hasRates
      ? rows
      : rows.map { row in row.enumerated().map { $0.offset == 0 || gauges.contains($0.offset) ? $0.element : "-" } }
  }

  /// The heading and as many rows as fit; the last line says how many do not.
  func lines(columns: Int, rows room: Int) -> [TopLine] {
    let shown = rows.count + 1 <= room ? rows.count : max(0, room - 2)
    var widths = heading.indices.map { column in
      ([heading] + rows.prefix(shown)).map { TerminalText.width($0[column]) }.max() ?? 0
    }
    let least = min(widths[0], TopTable.nameColumns)
    while widths.count > 2, least + widths.dropFirst().reduce(0, { $0 + $1 + 2 }) > columns { widths.removeLast() }
    widths[0] = max(1, min(widths[0], columns - widths.dropFirst().reduce(0) { $0 + $1 + 2 }))
    func line(_ cells: [String]) -> String {
      widths.enumerated().map { TerminalText.padded(cells[$0], $1, atRight: $0 > 0) }.joined(separator: "  ")
    }
    var lines = [TopLine(text: line(heading), style: .heading)] + rows.prefix(shown).map { TopLine(text: line($0)) }
    if shown < rows.count { lines.append(TopLine(text: "… \(rows.count - shown) more")) }
    return lines
  }
}
