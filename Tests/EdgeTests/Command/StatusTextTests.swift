import Testing

@testable import Edge

struct StatusTextTests {
  @Test func aPage() throws {
    let text = StatusText.lines(try AdminSample.reading()).joined(separator: "\n")
    #expect(
      text == """
        edge           0.1.0, pid 4711, 2 workers, serving
        since          2026-01-31T12:00:00.000Z (2 hours 3 minutes)
        configuration  /a/routes.yaml
        listeners      main  127.0.0.1:3003  routes
        generation     5  since S, 3 running
                       4  since S, 12 running (old)
        connections    10, 1 WebSocket of 1 user
        exchanges      4 running, 1000 in all
        CPU            1.2 s
        memory         11.8 MiB, bodies 0 B of 256 MiB
        descriptors    20 of 1048576
        ledger         0 entries wait
        credits        1.25 charged
        reloads        1 done, 0 unchanged, 2 failed, 0 refused
        """)
  }

  @Test func whatMustCatchTheEye() throws {
    let lines = StatusText.lines(
      try AdminSample.reading {
        $0.isLedgerFailing = true
        $0.ledgerQueue = 1
        $0.state = "draining"
        $0.restart = ["server.workers", "stores.ledger"]
        $0.reload = ReloadReading(
          outcome: .failed, generation: 5, reason: "no\u{1b}", errors: ["f:1:1: error: x\n  1 | y"])
      })
    #expect(
      lines.prefix(4) == [
        "! the ledger cannot be written, so nothing that costs is granted; 1 entry waits",
        "! draining: Edge is stopping and takes no new connections",
        "! the last reload failed; generation 5 still serves: no\\x1b",
        "edge           0.1.0, pid 4711, 2 workers, draining",
      ])
    #expect(
      lines.suffix(4) == [
        "               f:1:1: error: x", "                 1 | y",
        "restart        server.workers differs, after a restart",
        "               stores.ledger differs, after a restart",
      ])
  }

  @Test func hostileNames() throws {
    let lines = StatusText.lines(
      try AdminSample.reading {
        $0.config = "/\u{1b}]0;x\u{7}"
        $0.listeners = [ListenerReading(name: "\n! x", address: "\u{9b}2J", serves: "\r")]
        $0.version = "\u{202e}"
        $0.restart = ["\u{8}"]
      })
    for line in lines { #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7f }, "\(line)") }
    #expect(lines.contains("listeners      \\n! x  \\x9b2J  \\x0d"))
  }

  @Test func numbers() {
    let times = [0: "0 seconds", 1: "1 second", 60: "1 minute", 61: "1 minute 1 second", 3_600: "1 hour"]
    for (seconds, words) in times { #expect(StatusText.words(seconds: seconds) == words) }
    #expect(StatusText.words(seconds: 200_000) == "2 days 7 hours")
    #expect(StatusText.words(seconds: -5) == "0 seconds")
    #expect(
      [0, 1_023, 1_024, 1_536, 1 << 40].map { StatusText.bytes($0) } == ["0 B", "1023 B", "1 KiB", "1.5 KiB", "1 TiB"])
    #expect([0.25, 1.999, -0.04, 12].map { StatusText.decimal($0, 1) } == ["0.3", "2", "0", "12"])
    #expect(StatusText.decimal(1.05, 2) == "1.05")
    #expect(StatusText.decimal(.nan, 1) == "-")
    #expect(StatusText.decimal(.infinity, 1) == "inf")
    #expect(StatusText.decimal(1e300, 6) == "1e+300")
  }

  @Test func columns() {
    #expect(TerminalText.width("a漢b") == 4)
    #expect(TerminalText.cut("abcdef", 4) == "abc…")
    #expect(TerminalText.cut("漢漢漢", 4) == "漢…")
    #expect(TerminalText.cut("ab", 0) == "")
    #expect(TerminalText.padded("ab", 4, atRight: true) == "  ab")
    #expect(TerminalText.padded("漢漢漢", 4) == "漢… ")
    #expect(TerminalText.shown("plain") == "plain")
  }
}
