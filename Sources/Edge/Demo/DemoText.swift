// Bytes that grow: what the demo provider writes, answers and heads alike.
//
// Called by: everything in Demo. It is no part of the request path, so it may allocate.
// Never: writes a JSON string that is none; that is the JSON writer's care.

/// A text in the making.
struct DemoText {
  private(set) var bytes: [UInt8] = []

  var count: Int { bytes.count }

  mutating func append(_ text: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }

  mutating func append(_ more: ArraySlice<UInt8>) { bytes.append(contentsOf: more) }

  mutating func append(string text: String) { bytes.append(contentsOf: text.utf8) }

  mutating func append(decimal number: Int) {
    write(capacity: 20) { $0.append(json: Int64(number)) }
  }

  mutating func append(hex number: UInt64, width: Int) {
    for place in (0..<width).reversed() {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(4 * place)) & 15
      bytes.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
    }
  }

  mutating func append(date wall: UInt64) { write(capacity: 40) { $0.append(date: wall) } }

  mutating func append(timestamp wall: UInt64) { write(capacity: 40) { $0.append(timestamp: wall) } }

  /// A JSON string with its quotes.
  mutating func append(json content: [UInt8]) {
    content.withUnsafeBufferPointer { content in
      guard let start = content.baseAddress else { return append("\"\"") }
      // An escape takes six bytes at most.
      write(capacity: 6 * content.count + 2) { $0.append(json: start, content.count) }
    }
  }

  mutating func append(json text: String) { append(json: Array(text.utf8)) }

  private mutating func write(capacity: Int, _ body: (inout ByteWriter) -> Void) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { area in
      guard let base = area.baseAddress else { return }
      var writer = ByteWriter(base: base, capacity: capacity)
      body(&writer)
      bytes.append(contentsOf: UnsafeBufferPointer(start: base, count: writer.count))
    }
  }

  // MARK: sending

  /// Forgets what was sent. The memory is kept for the next answer unless it was a long one.
  mutating func removeFirst(_ sent: Int) {
    if sent < bytes.count { return bytes.removeFirst(sent) }
    bytes.removeAll(keepingCapacity: bytes.capacity <= DemoBounds.keptBytes)
  }
}
