// Where lines go: one background thread takes records from the workers' rings and lines of the control thread, and
// writes them to standard output. Nobody waits for it: a full ring drops access lines and counts them. It sleeps
// until there is something to write and then looks at most every 10 ms, so a busy worker wakes it rarely.

import CLinux
import Glibc
import Synchronization

/// A value in a log line.
enum LogValue {
  case text(String)
  case bytes(StaticBytes)
  case number(Int)
}

/// The process's log.
final class Log: Sendable {
  private let rings: [Ring<LogCell>]
  /// Place in `LogLevel.allCases`; a reload may change it.
  private let level: Atomic<Int>
  private let descriptor: Int32
  private let waker: Wake
  /// Lines of anybody but workers' exchanges: few, so a lock is no harm.
  private let pending = Locked<[UInt8]>([])
  private let isAsleep = Atomic<Bool>(false)
  private let isEnding = Atomic<Bool>(false)

  private static let pendingBytesMax = 1 << 20
  /// The longest line but those of exchanges, and the longest text in it; what is cut ends in an ellipsis.
  private static let lineBytesMax = 64 << 10
  fileprivate static let textBytesMax = 8 << 10
  /// The longest line of an exchange: each byte of its text may take six, and names of the configuration stand in it.
  static let recordBytesMax = 8 << 10
  private static let lookMilliseconds: Int32 = 10

  /// nil when the kernel refuses memory or a descriptor.
  init?(workers: Int, level: LogLevel, descriptor: Int32) {
    var rings: [Ring<LogCell>] = []
    for _ in 0..<workers {
      guard let ring = Ring<LogCell>(capacity: Limits.logRecords) else { return nil }
      rings.append(ring)
    }
    guard let waker = Wake() else { return nil }
    self.waker = waker
    self.rings = rings
    self.level = Atomic(level.rank)
    self.descriptor = descriptor
  }

  /// How much is logged from now on. Access lines have their own switch in each generation.
  func setLevel(_ level: LogLevel) { self.level.store(level.rank, ordering: .relaxed) }

  /// A worker's ring. After publishing, the worker calls `wake`.
  func ring(worker: Int) -> Ring<LogCell> { rings[worker] }

  /// How many records each worker has handed over so far.
  var published: [UInt64] { rings.map(\.published) }

  /// Whether the writer has read as many of each worker's records: it keeps nothing of them then.
  func hasWritten(_ published: [UInt64]) -> Bool { zip(rings, published).allSatisfy { $0.consumed >= $1 } }

  /// Tells the writer that there is something, if it sleeps.
  @inline(__always)
  func wake() {
    if isAsleep.load(ordering: .relaxed), isAsleep.exchange(false, ordering: .acquiringAndReleasing) {
      waker.signal()
    }
  }

  /// A line that belongs to no exchange. Not for the request path.
  func line(_ severity: LogLevel, _ event: StaticString, _ fields: [(StaticString, LogValue)] = []) {
    if severity.rank > level.load(ordering: .relaxed) { return }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Log.lineBytesMax) { area in
      guard let base = area.baseAddress else { return }
      // The end of the line has its place, whatever the fields take.
      let end: StaticString = "}\n"
      var writer = ByteWriter(base: base, capacity: area.count - end.utf8CodeUnitCount)
      writer.append("{\"time\":\"")
      writer.append(timestamp: Clock.wallNow())
      writer.append("\",\"level\":\"")
      writer.append(string: severity.rawValue)
      writer.append("\",\"event\":\"")
      writer.append(event)
      writer.append("\"")
      for (key, value) in fields {
        let before = writer.count
        writer.append(logField: key, value)
        if writer.overflowed { writer.rewind(to: before) }
      }
      memcpy(base + writer.count, end.utf8Start, end.utf8CodeUnitCount)
      let line = UnsafeBufferPointer(start: UnsafePointer(base), count: writer.count + end.utf8CodeUnitCount)
      pending.withLock { bytes in
        if bytes.count + line.count <= Log.pendingBytesMax { bytes.append(contentsOf: line) }
      }
    }
    wake()
  }

  /// The writer's thread: returns after `end` was called and everything is written.
  func run() {
    let capacity = 128 << 10
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { memory.deallocate() }
    while true {
      let ending = isEnding.load(ordering: .acquiring)
      if writeAll(memory, capacity) {
        if !ending { _ = usleep(useconds_t(Log.lookMilliseconds) * 1_000) }
        continue
      }
      if ending { return }
      isAsleep.store(true, ordering: .sequentiallyConsistent)
      // A worker that published just now may have read `isAsleep` before the store reached it, for it pays for no
      // barrier: one last look, long after any such record has become visible.
      waitForWake(Log.lookMilliseconds)
      if hasWork() {
        isAsleep.store(false, ordering: .relaxed)
        continue
      }
      waitForWake(-1)
    }
  }

  /// Until somebody calls `wake` or the time is over; -1: no end.
  private func waitForWake(_ milliseconds: Int32) {
    var descriptor = pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0)
    if poll(&descriptor, 1, milliseconds) > 0 { waker.acknowledge() }
  }

  /// Makes `run` return once all is written.
  func end() {
    isEnding.store(true, ordering: .releasing)
    waker.signal()
  }

  private func hasWork() -> Bool {
    if isEnding.load(ordering: .acquiring) { return true }
    for ring in rings where ring.first() != nil { return true }
    return pending.withLock { !$0.isEmpty }
  }

  /// Writes what there is; false when there was nothing.
  private func writeAll(_ memory: BytePointer, _ capacity: Int) -> Bool {
    var wrote = false
    let lines = pending.withLock { bytes in
      let taken = bytes
      bytes.removeAll(keepingCapacity: true)
      return taken
    }
    if !lines.isEmpty {
      wrote = true
      lines.withUnsafeBufferPointer { if let start = $0.baseAddress { write(start, $0.count) } }
    }
    for ring in rings {
      var writer = ByteWriter(base: memory, capacity: capacity)
      while let cell = ring.first() {
        if writer.room < Log.recordBytesMax {
          write(writer.base, writer.count)
          writer = ByteWriter(base: memory, capacity: capacity)
        }
        let text = UnsafeRawPointer(cell) + LogCell.textOffset
        writer.append(accessLine: cell.pointee.record, text: text.assumingMemoryBound(to: UInt8.self))
        ring.consume()
      }
      if writer.count > 0 {
        wrote = true
        write(writer.base, writer.count)
      }
    }
    return wrote
  }

  /// Standard output may be a full pipe or a full disk: the writer waits for the one and gives up on the other.
  private func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    var sent = 0
    while sent < count {
      let result = Glibc.write(descriptor, bytes + sent, count - sent)
      if result > 0 {
        sent += result
      } else if errno != EINTR {
        if errno == EAGAIN {
          _ = usleep(useconds_t(Log.lookMilliseconds) * 1_000)
          continue
        }
        return
      }
    }
  }
}

extension ByteWriter {
  fileprivate mutating func append(logField key: StaticString, _ value: LogValue) {
    append(",\"")
    append(key)
    append("\":")
    switch value {
    case .number(let number):
      if number < 0 { append(byte: 0x2d) }
      append(decimal: UInt64(number.magnitude))
    case .bytes(let bytes):
      append(byte: 0x22)
      append(jsonEscaped: bytes.start, min(bytes.count, Log.textBytesMax))
      if bytes.count > Log.textBytesMax { append("…") }
      append(byte: 0x22)
    case .text(let text):
      append(byte: 0x22)
      var copy = text
      copy.withUTF8 { bytes in
        guard let start = bytes.baseAddress else { return }
        append(jsonEscaped: start, min(bytes.count, Log.textBytesMax))
        if bytes.count > Log.textBytesMax { append("…") }
      }
      append(byte: 0x22)
    }
  }
}
