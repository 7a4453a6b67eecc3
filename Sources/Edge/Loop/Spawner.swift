// The spawner: a small process that is forked first of all, while this one has no threads, no configuration and no
// secrets. It alone will start child processes (MCP servers), so that whatever they inherit is nothing of Edge: no
// environment, no descriptors, no memory. It ends when Edge ends, however that happens, because then its end of the
// socket pair is closed. It does not start programs yet: one byte, that it is ready, is all that is sent on the pair.

import CLinux
import Glibc

/// Edge's end of the spawner.
struct Spawner {
  /// Readable only when the spawner has ended.
  let descriptor: Int32
  private let process: pid_t

  /// As `ps` shows it.
  static let processName = "edge-spawner"

  /// Forks the spawner; nil when the system has no process or descriptors left. Returns when
  /// the spawner has left everything of this process behind. To be called before any thread exists.
  static func start() -> Spawner? {
    var pair: [Int32] = [-1, -1]
    let type = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, type, 0, &pair) == 0 else { return nil }
    let process = edge_fork()
    if process == 0 {
      _ = close(pair[0])
      leaveEverything(keeping: pair[1])
      // Now Edge may read what must not be inherited.
      _ = send(3, "!", 1, Int32(MSG_NOSIGNAL))
      waitForEnd(of: 3)
      _exit(0)
    }
    _ = close(pair[1])
    var byte: UInt8 = 0
    guard process > 0, recv(pair[0], &byte, 1, 0) == 1 else {
      _ = close(pair[0])
      return nil
    }
    return Spawner(descriptor: pair[0], process: process)
  }

  /// The spawner has ended; takes its exit status from the kernel.
  func reap() {
    var status: Int32 = 0
    _ = waitpid(process, &status, 0)
    _ = close(descriptor)
  }

  // MARK: In the spawner

  /// Keeps one descriptor, as number 3, and nothing else of the parent.
  private static func leaveEverything(keeping descriptor: Int32) {
    // Ctrl-C and a supervisor that signals every process are for Edge to answer: it may need programs until its end.
    _ = setsid()
    for request in [SIGTERM, SIGINT, SIGHUP] { _ = signal(request, SIG_IGN) }
    _ = processName.withCString { edge_prctl(PR_SET_NAME, UInt(bitPattern: $0)) }
    _ = edge_prctl(PR_SET_CHILD_SUBREAPER, 1)
    // Variables stay readable in /proc until they are overwritten.
    var entry = environ
    while let variable = entry.pointee {
      memset(variable, 0, strlen(variable))
      entry += 1
    }
    clearenv()
    _ = chdir("/")
    // First, for its number is below 3 where Edge was started without standard input, output or errors.
    if descriptor != 3 { _ = dup2(descriptor, 3) }
    let null = open("/dev/null", O_RDWR)
    for standard in 0..<Int32(3) { _ = dup2(null, standard) }
    _ = edge_close_from(4)
  }

  /// Until the other end of the pair is closed.
  private static func waitForEnd(of descriptor: Int32) {
    var byte: UInt8 = 0
    while true {
      let count = read(descriptor, &byte, 1)
      if count == 0 || count < 0 && errno != EINTR { return }
    }
  }
}
