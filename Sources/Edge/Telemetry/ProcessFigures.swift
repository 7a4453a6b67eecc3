// What the kernel knows of this process, read when somebody asks for metrics.
//
// Owns: how `/proc` is read. Called by: the exposition. Never: keeps anything but the moment of the start, and is not
// for the request path.

import CLinux
import Glibc

/// A number about the process.
enum ProcessFigure: Sendable {
  /// Wall seconds of the start.
  case start
  case cpuSeconds
  case residentBytes
  case openDescriptors
  case descriptorsMax
}

/// Reads them.
enum ProcessFigures {
  /// Wall nanoseconds of the start of this process; now, when the kernel does not say.
  static func startWall() -> UInt64 {
    let now = Clock.wallNow()
    // The command's name stands in parentheses and may have some itself; the moment is the 20th word behind it.
    guard let text = contents(of: "/proc/self/stat"), let end = text.lastIndex(of: ")") else { return now }
    let words = text[text.index(after: end)...].split(separator: " ")
    guard words.count > 19, let ticks = UInt64(words[19]) else { return now }
    let started = ticks &* (1_000_000_000 / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK)))))
    let running = nanoseconds(CLOCK_BOOTTIME)
    return running > started ? now &- min(now, running - started) : now
  }

  static var pid: UInt64 { UInt64(getpid()) }

  /// Nanoseconds of CPU time of all threads.
  static func cpuNanoseconds() -> UInt64 { nanoseconds(CLOCK_PROCESS_CPUTIME_ID) }

  static func residentBytes() -> UInt64? {
    guard let words = contents(of: "/proc/self/statm")?.split(separator: " "), words.count > 1,
      let pages = UInt64(words[1])
    else { return nil }
    return pages &* UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))
  }

  static func openDescriptors() -> UInt64? {
    // Since Linux 6.2 the folder's size is their number. Counting takes a moment for each of them.
    var status = stat()
    if stat("/proc/self/fd", &status) == 0, status.st_size > 0 { return UInt64(status.st_size) }
    guard let folder = opendir("/proc/self/fd") else { return nil }
    defer { closedir(folder) }
    var count: UInt64 = 0
    while readdir(folder) != nil { count += 1 }
    // Not the folder itself, the one above, and the descriptor by which it is read.
    return count > 3 ? count - 3 : 0
  }

  static func descriptorsMax() -> UInt64? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
    return UInt64(limit.rlim_cur)
  }

  private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    guard clock_gettime(clock, &time) == 0 else { return 0 }
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// The beginning of a file of the kernel's: more than any that is read here.
  private static func contents(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4_096) { area in
      let count = read(descriptor, area.baseAddress, area.count)
      return count > 0 ? String(decoding: area[0..<count], as: UTF8.self) : nil
    }
  }
}
