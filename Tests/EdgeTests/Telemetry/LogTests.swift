import Foundation
import Testing

@testable import Edge

struct LogTests {
  /// What a log writes to a file until it is ended.
  private func output(level: LogLevel = .info, workers: Int = 2, _ body: (Log) -> Void) throws -> [String] {
    let place = FileManager.default.temporaryDirectory.appendingPathComponent("edge-log-" + UUID().uuidString)
    try #require(FileManager.default.createFile(atPath: place.path, contents: nil))
    defer { try? FileManager.default.removeItem(at: place) }
    let file = try FileHandle(forWritingTo: place)
    let log = try #require(Log(workers: workers, level: level, descriptor: file.fileDescriptor))
    let ended = DispatchSemaphore(value: 0)
    let thread = Thread {
      log.run()
      ended.signal()
    }
    thread.start()
    body(log)
    log.end()
    ended.wait()
    try file.close()
    let data = try Data(contentsOf: place)
    #expect(data.isEmpty || data.last == 0x0a, "every line has an end")
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private func parsed(_ line: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  @Test func linesOfTheControlThread() throws {
    let lines = try output { log in
      log.line(.info, "listening", [("listener", .text("main")), ("port", .number(-3))])
      log.line(.debug, "hidden")
      log.line(.error, "broken", [("why", .text("a \"b\"\n\u{1}"))])
    }
    #expect(lines.count == 2)
    let first = try parsed(lines[0])
    #expect(first["level"] as? String == "info" && first["event"] as? String == "listening")
    #expect(first["listener"] as? String == "main" && first["port"] as? Int == -3)
    #expect(try parsed(lines[1])["why"] as? String == "a \"b\"\n\u{1}")
  }

  /// Whatever is told, a line is one JSON object with its end: readers of the log must not lose their place.
  @Test(arguments: [
    ("\u{1}", 1_024, 1), ("a", 3_000, 1), ("b", 1_024, 6), ("é", 512, 1), ("xé", 400, 2), ("\\", 1_000, 3),
  ])
  func longTexts(_ unit: String, _ count: Int, _ fields: Int) throws {
    let keys: [StaticString] = ["a", "b", "c", "d", "e", "f"]
    let lines = try output { log in
      log.line(.warn, "long", keys.prefix(fields).map { ($0, .text(String(repeating: unit, count: count))) })
      log.line(.info, "next")
    }
    #expect(lines.count == 2)
    for line in lines { #expect(throws: Never.self) { try parsed(line) } }
  }

  @Test func recordsOfAllWorkersAreWrittenInOrder() throws {
    let count = 300
    let lines = try output(workers: 3) { log in
      for number in 0..<count {
        for worker in 0..<3 {
          let ring = log.ring(worker: worker)
          guard let cell = ring.reserve() else { continue }
          cell.pointee = LogCell()
          cell.pointee.record.worker = UInt8(worker)
          cell.pointee.record.requestBytes = UInt64(number)
          ring.publish()
          log.wake()
        }
      }
    }
    var next = [0, 0, 0]
    for line in lines {
      let object = try parsed(line)
      let worker = try #require(object["worker"] as? Int)
      #expect(object["requestBytes"] as? Int == next[worker])
      next[worker] += 1
    }
    #expect(next == [count, count, count])
  }

  @Test func theLevelMayChange() throws {
    let lines = try output(level: .warn) { log in
      log.line(.info, "hidden")
      log.line(.warn, "one")
      log.setLevel(.debug)
      log.line(.debug, "two")
      log.setLevel(.error)
      log.line(.warn, "hidden")
      log.line(.error, "three")
    }
    #expect(try lines.map { try parsed($0)["event"] as? String } == ["one", "two", "three"])
  }

  @Test func everyLevelShowsItselfAndWhatIsWorse() throws {
    for level in LogLevel.allCases {
      let lines = try output(level: level) { log in
        for severity in LogLevel.allCases { log.line(severity, "event") }
      }
      let shown = try lines.map { try #require(try parsed($0)["level"] as? String) }
      #expect(shown == LogLevel.allCases.filter { $0 <= level }.map(\.rawValue))
    }
  }

  private func publish(_ log: Log, worker: Int, _ count: Int) {
    for _ in 0..<count {
      guard let cell = log.ring(worker: worker).reserve() else {
        Issue.record("no room")
        return
      }
      cell.pointee = LogCell()
      log.ring(worker: worker).publish()
    }
  }

  @Test func whatIsPublishedIsWrittenSoonerOrLater() throws {
    let lines = try output { log in
      #expect(log.published == [0, 0] && log.hasWritten([0, 0]))
      publish(log, worker: 1, 3)
      let marks = log.published
      #expect(marks == [0, 3])
      log.wake()
      #expect(eventually { log.hasWritten(marks) })
      #expect(!log.hasWritten([0, 4]) && !log.hasWritten([1, 3]), "nothing of what has not been handed over")
      publish(log, worker: 0, 1)
      log.wake()
      #expect(eventually { log.hasWritten([1, 3]) })
    }
    #expect(lines.count == 4)
  }

  /// The writer does not run: nothing is ever written.
  @Test func whatIsNotReadIsNotWritten() throws {
    let log = try #require(Log(workers: 2, level: .info, descriptor: -1))
    publish(log, worker: 0, 2)
    #expect(log.published == [2, 0])
    #expect(log.hasWritten([0, 0]) && !log.hasWritten([1, 0]) && !log.hasWritten(log.published))
    log.ring(worker: 0).consume()
    #expect(log.hasWritten([1, 0]) && !log.hasWritten(log.published))
    publish(log, worker: 1, 1)
    log.ring(worker: 0).consume()
    #expect(log.hasWritten([2, 0]) && !log.hasWritten([2, 1]), "every worker's records count")
    log.ring(worker: 1).consume()
    #expect(log.hasWritten(log.published))
  }
}
