// A provider of large language models that needs no model, no key and no network: it speaks OpenAI's wire and
// Anthropic's on loopback and answers by rule. `edge run --dev` has one inside, `edge demo-provider` is one, and load
// tests run against it.
//
// Owns: the listening socket and the thread.
// Called by: the commands. Never: reads the configuration, and never listens beyond loopback.

import CLinux
import Glibc
import Synchronization

/// The demo provider could not be started.
struct DemoError: Error {
  let message: String
}

/// The demo provider. It listens as soon as it is made, and answers once it is started.
final class DemoProvider: Sendable {
  /// The rest between two tokens of a stream.
  static let usualGapMilliseconds = 20
  /// Where `edge demo-provider` listens.
  static let usualPort: UInt16 = 3_013

  /// Where it listens; the port is the real one.
  let address: HostPort
  private let listener: ListenerSocket
  private let gapMilliseconds: Int
  private let wake: Wake
  private let isEnding = Atomic(false)
  private let thread = Locked<RunningThread?>(nil)

  /// Binds 127.0.0.1; port 0 is any free one.
  init(port: UInt16, gapMilliseconds: Int = DemoProvider.usualGapMilliseconds) throws(DemoError) {
    guard let wake = Wake() else { throw DemoError(message: "out of file descriptors") }
    self.wake = wake
    self.gapMilliseconds = gapMilliseconds
    do throws(ListenerError) {
      listener = try ListenerSocket.open(
        Listener(name: "demo", address: HostPort(host: "127.0.0.1", port: port)))
    } catch {
      throw DemoError(message: error.message)
    }
    let digits = listener.address.split(separator: ":").last ?? ""
    address = HostPort(host: "127.0.0.1", port: UInt16(digits) ?? port)
  }

  // Not before `end`: the thread holds the provider.
  deinit { _ = close(listener.fd) }

  /// Answers on a thread of its own, which has every signal blocked, until `end`.
  func start() throws(DemoError) {
    if thread.withLock({ $0 != nil }) { throw DemoError(message: "it is started already") }
    guard let made = DemoLoop(listener: listener.fd, wake: wake, gapMilliseconds: gapMilliseconds) else {
      throw DemoError(message: "out of file descriptors")
    }
    nonisolated(unsafe) let loop = made  // nobody but the thread uses it from here on
    do throws(ThreadError) {
      let running = try RunningThread.start { [self] in
        var signals = sigset_t()
        sigfillset(&signals)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        loop.run { isEnding.load(ordering: .acquiring) }
      }
      thread.withLock { $0 = running }
    } catch {
      throw DemoError(message: error.message)
    }
  }

  /// Cuts what is being answered, and returns when the thread is gone. May be called more than once.
  func end() {
    isEnding.store(true, ordering: .releasing)
    wake.signal()
    let running = thread.withLock { running in
      defer { running = nil }
      return running
    }
    running?.join()
    // Who connects now is refused and does not wait in a queue that nobody serves.
    shutdown(listener.fd, Int32(SHUT_RDWR))
  }
}
