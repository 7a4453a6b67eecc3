// The spawner as a process, watched through /proc. The parent has threads here, which a serving Edge has not yet; the
// child touches nothing that they could hold.

import Foundation
import Testing

@testable import Edge

@Suite(.serialized, .timeLimit(.minutes(1))) struct SpawnerTests {
  private static func text(_ path: String) -> String {
    (try? Data(contentsOf: URL(fileURLWithPath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Fields of /proc/PID/stat behind the name, state first; nil when there is no such process.
  private static func stat(_ process: pid_t) -> (name: String, rest: [Substring])? {
    let line = text("/proc/\(process)/stat")
    guard let start = line.firstIndex(of: "("), let end = line.lastIndex(of: ")") else { return nil }
    return (String(line[line.index(after: start)..<end]), line[line.index(after: end)...].split(separator: " "))
  }

  /// Children of this process by that name.
  private static func spawners() -> [pid_t] {
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return entries.compactMap { pid_t($0) }.filter { process in
      guard let stat = stat(process) else { return false }
      return stat.name == Spawner.processName && stat.rest[1] == "\(getpid())" && stat.rest[0] != "Z"
    }
  }

  /// A spawner that has become what it wants to be.
  private func started() throws -> (Spawner, pid_t) {
    let spawner = try #require(Spawner.start())
    guard eventually({ SpawnerTests.spawners().count == 1 }), let process = SpawnerTests.spawners().first else {
      close(spawner.descriptor)
      throw POSIXError(.ESRCH)
    }
    return (spawner, process)
  }

  /// Descriptors beyond 3 are closed last of all.
  private func isReady(_ process: pid_t) -> Bool {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").sorted()) == ["0", "1", "2", "3"]
  }

  @Test func nothingOfThisProcessIsLeftInIt() throws {
    let (spawner, process) = try started()
    defer { spawner.reap() }
    defer { shutdown(spawner.descriptor, Int32(SHUT_RDWR)) }
    try #require(eventually { isReady(process) }, "it has four descriptors")
    let folder = "/proc/\(process)"
    for standard in 0..<3 {
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/fd/\(standard)") == "/dev/null")
    }
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/fd/3").hasPrefix("socket:"))
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/cwd") == "/")
    let own = SpawnerTests.text("/proc/self/environ")
    #expect(own.contains("PATH="), "there was something to clear")
    #expect(SpawnerTests.text("\(folder)/environ").allSatisfy { $0 == "\0" })
    // A session of its own: field 4 behind the state.
    #expect(SpawnerTests.stat(process)?.rest[3] == "\(process)")
    #expect(!isReadable(spawner.descriptor), "it runs")
    #expect(fcntl(spawner.descriptor, F_GETFD) & FD_CLOEXEC != 0)
  }

  @Test func itEndsWithItsOtherEnd() throws {
    let (spawner, process) = try started()
    // As the kernel does when this process ends, whatever ends it.
    close(spawner.descriptor)
    var status: Int32 = -1
    #expect(eventually { waitpid(process, &status, WNOHANG) == process })
    #expect(status == 0, "by itself")
  }

  @Test func itsEndIsSeen() throws {
    let (spawner, process) = try started()
    #expect(!isReadable(spawner.descriptor))
    kill(process, SIGKILL)
    #expect(isReadable(spawner.descriptor, milliseconds: 20_000))
    spawner.reap()
    #expect(SpawnerTests.stat(process) == nil, "no zombie is left")
  }

  @Test func theTerminalsSignalsAreNotForIt() throws {
    let (spawner, process) = try started()
    defer { spawner.reap() }
    defer { shutdown(spawner.descriptor, Int32(SHUT_RDWR)) }
    #expect(eventually { getpgid(process) == process }, "Ctrl-C is sent to the group of the terminal")
  }
}
