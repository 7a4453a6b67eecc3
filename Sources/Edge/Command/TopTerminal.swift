// The terminal of `edge top`: another screen without a cursor, keys without a line end, and everything as it was
// before at the end, whichever way it comes.
//
// Owns: the modes of the terminal, the signals that matter to a screen, and the escapes.
// Called by: `edge top`, when standard output is a terminal. Never: decides what is drawn.

import CLinux
import Glibc

/// A terminal that is being drawn on.
final class TopTerminal {
  /// Readable when a signal has come.
  let signals: Int32
  /// Somebody pressed q, or a signal said so.
  private(set) var mustEnd = false
  /// The size may be another one.
  private var isResized = false
  private var before = termios()
  private var hasModes = false
  private var readsKeys = true
  private var isEntered = false

  /// Takes over the terminal; nil when standard output is none, or one that knows no escapes.
  init?() {
    let kind = Environment.current()["TERM"] ?? ""
    guard isatty(1) == 1, !kind.isEmpty, kind != "dumb" else { return nil }
    var watched = sigset_t()
    sigemptyset(&watched)
    // Blocked, so that none of them ends the process between two escapes.
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH] { sigaddset(&watched, signal) }
    pthread_sigmask(SIG_BLOCK, &watched, nil)
    _ = signal(SIGPIPE, SIG_IGN)
    signals = signalfd(-1, &watched, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
    if signals < 0 { return nil }
    enter()
  }

  deinit {
    leave()
    close(signals)
  }

  /// Columns and rows; 80 by 24 when the terminal does not say.
  var size: TopSize {
    var size = winsize()
    guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
      return TopSize(columns: 80, rows: 24)
    }
    return TopSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
  }

  /// Everything as it was before; may be called twice.
  func leave() {
    if !isEntered { return }
    isEntered = false
    Console.write("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
    if hasModes { tcsetattr(0, TCSANOW, &before) }
  }

  private func enter() {
    isEntered = true
    hasModes = tcgetattr(0, &before) == 0
    if hasModes {
      var keys = before
      // Signals stay: Ctrl-C is one.
      keys.c_lflag &= ~tcflag_t(ICANON | ECHO)
      tcsetattr(0, TCSANOW, &keys)
    }
    Console.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J")
  }

  /// Draws lines that fit.
  func draw(_ lines: [TopLine], rows: Int) {
    var text = "\u{1b}[H"
    for (index, line) in lines.enumerated() {
      let looks =
        switch line.style {
        case .plain: ""
        case .heading: "\u{1b}[7m"
        case .warning: "\u{1b}[1;31m"
        }
      // Emptied first: behind a line that fills its row, the cursor still stands on the last column.
      text += (index == 0 ? "" : "\r\n") + "\u{1b}[K" + looks + line.text + (looks.isEmpty ? "" : "\u{1b}[0m")
    }
    Console.write(lines.count < rows ? text + "\r\n\u{1b}[J" : text)
  }

  // MARK: Waiting

  /// Takes the signals that have come; whether one of them is the end.
  func takeSignals() -> Bool {
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    while read(signals, &info, size) == size {
      switch Int32(info.ssi_signo) {
      case SIGWINCH: isResized = true
      case SIGTSTP:
        leave()
        kill(getpid(), SIGSTOP)
        enter()
        isResized = true
      default: mustEnd = true
      }
    }
    return mustEnd
  }

  /// Waits until a moment of the monotonic clock; true at once when the screen is to be drawn again before it.
  func wait(until moment: UInt64) -> Bool {
    while !mustEnd {
      let now = Clock.monotonicNow()
      if now >= moment { return false }
      var waiting = [pollfd(fd: signals, events: Int16(POLLIN), revents: 0)]
      if readsKeys { waiting.append(pollfd(fd: 0, events: Int16(POLLIN), revents: 0)) }
      _ = poll(&waiting, nfds_t(waiting.count), Int32(clamping: (moment - now + 999_999) / 1_000_000))
      if readsKeys, waiting[1].revents != 0 { readKeys() }
      if waiting[0].revents != 0 { _ = takeSignals() }
      if isResized, !mustEnd {
        isResized = false
        return true
      }
    }
    return false
  }

  private func readKeys() {
    var keys = [UInt8](repeating: 0, count: 64)
    let count = read(0, &keys, keys.count)
    if count <= 0 {
      readsKeys = false
      return
    }
    // q, Q, and Ctrl-C and Ctrl-D where they are no signals.
    if keys[..<count].contains(where: { [0x71, 0x51, 0x03, 0x04].contains($0) }) { mustEnd = true }
  }
}
