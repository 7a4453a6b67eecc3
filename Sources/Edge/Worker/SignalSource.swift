// Signals as something to wait for: blocked in every thread, read from a descriptor by the control thread. So no
// handler ever runs in the middle of anything.

import CLinux
import Glibc

/// The signals of a serving process.
struct SignalSource {
  /// Readable when a signal has come.
  let descriptor: Int32

  /// Blocks them in this thread and so in all that it starts: to be called before there are others. nil when the
  /// process is out of descriptors.
  init?() {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    _ = signal(SIGPIPE, SIG_IGN)
    descriptor = signalfd(-1, &signals, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
    if descriptor < 0 { return nil }
  }

  /// A signal that has come and was not taken yet. Several of one kind that come before it is taken are one.
  func take() -> Int32? {
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    return read(descriptor, &info, size) == size ? Int32(info.ssi_signo) : nil
  }
}
