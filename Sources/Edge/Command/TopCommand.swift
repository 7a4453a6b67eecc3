// `edge top`: what a running Edge does now, again and again: a screen on a terminal, plain frames elsewhere.
//
// Owns: the loop of reading, drawing and waiting. Called by the command table.
// Never: computes or draws; see TopFigures and TopScreen.

import Glibc

/// The verb.
enum TopCommand {
  static let row = CommandRow(
    verb: "top", summary: "watch a running Edge: routes, providers and what they take",
    options: [
      AdminTarget.config, AdminTarget.option,
      CommandOption("--interval", value: "TIME", "from one reading to the next (default 1s, 200ms to 60s)"),
      CommandOption("--count", value: "N", "end after so many frames"),
    ]
  ) { arguments in
    guard let interval = CommandDuration.read(arguments, "--interval", 200...60_000, usual: 1_000, "top") else {
      return ExitCode.usage
    }
    var frames = Int.max
    if let text = arguments.value("--count") {
      guard let number = ConfigText.plainInteger(text), number > 0 else {
        Console.error("edge top: --count is a whole number above 0, not '\(TerminalText.shown(text))'")
        return ExitCode.usage
      }
      frames = number
    }
    do throws(UsageError) {
      let target = try AdminTarget.find(arguments)
      var loop = TopLoop(target, interval: interval, frames: frames)
      return loop.run()
    } catch {
      Console.error("edge top: \(error.message)")
      return ExitCode.usage
    }
  }
}

/// One run.
private struct TopLoop {
  private let target: AdminTarget
  private let client: AdminClient
  /// Milliseconds.
  private let interval: Int
  private let frames: Int
  private var shown = 0
  private var note: (text: String, until: UInt64)?

  /// How long Edge may take for one answer.
  private static let answerMilliseconds = 5_000
  private static let noteNanoseconds: UInt64 = 10_000_000_000

  init(_ target: AdminTarget, interval: Int, frames: Int) {
    self.target = target
    self.interval = interval
    self.frames = frames
    client = AdminClient(target.place)
  }

  mutating func run() -> Int32 {
    // Asked before the screen is taken: whoever is not there is told of in a plain line.
    var last: TopReading
    do throws(AdminFault) { last = try read() } catch { return fail(error) }
    let terminal = TopTerminal()
    client.interruption = terminal.map { terminal in
      AdminInterruption(descriptor: terminal.signals, ends: { terminal.takeSignals() })
    }
    defer {
      client.interruption = nil
      terminal?.leave()
    }
    var figures = TopFigures(from: nil, to: last)
    if let terminal { draw(figures, terminal) }
    while true {
      let next = last.time + UInt64(interval) * 1_000_000
      wait(until: next, figures, terminal)
      if let terminal, terminal.mustEnd { return ExitCode.success }
      do throws(AdminFault) {
        let reading = try read()
        figures = TopFigures(from: last, to: reading)
        last = reading
      } catch {
        terminal?.leave()
        return error.kind == .interrupted ? ExitCode.success : fail(error)
      }
      if let restart = figures.restart { note = (restart, last.time + TopLoop.noteNanoseconds) }
      if let terminal {
        draw(figures, terminal)
      } else {
        let lines = lines(figures, .plain).map(\.text)
        Console.print((shown == 0 ? "" : "\n") + lines.joined(separator: "\n"))
      }
      shown += 1
      if shown >= frames { return ExitCode.success }
    }
  }

  private func read() throws(AdminFault) -> TopReading {
    let status = try StatusReading.read(
      client.ask("GET", "/status", milliseconds: TopLoop.answerMilliseconds))
    let time = Clock.monotonicNow()
    let answer = try client.ask("GET", "/metrics", milliseconds: TopLoop.answerMilliseconds)
    guard answer.status == 200 else {
      throw AdminFault(.otherVersion, "it answers /metrics with \(answer.status); this Edge is of another version")
    }
    return TopReading(status: status, metrics: try MetricText(answer.body), time: time)
  }

  private func fail(_ fault: AdminFault) -> Int32 {
    Console.error("edge top: \(target.message(fault))")
    return ExitCode.failed
  }

  private func lines(_ figures: TopFigures, _ size: TopSize) -> [TopLine] {
    let notes = note.map { $0.until > Clock.monotonicNow() ? [$0.text] : [] } ?? []
    return TopScreen.lines(
      figures, size, clock: Clock.wallNow(), interval: QuantityUnit.duration.text(interval), notes: notes)
  }

  private func draw(_ figures: TopFigures, _ terminal: TopTerminal) {
    let size = terminal.size
    terminal.draw(lines(figures, size), rows: size.rows)
  }

  private func wait(until moment: UInt64, _ figures: TopFigures, _ terminal: TopTerminal?) {
    if let terminal {
      while terminal.wait(until: moment) { draw(figures, terminal) }
      return
    }
    while true {
      let now = Clock.monotonicNow()
      if now >= moment { return }
      _ = poll(nil, 0, Int32(clamping: (moment - now + 999_999) / 1_000_000))
    }
  }
}
