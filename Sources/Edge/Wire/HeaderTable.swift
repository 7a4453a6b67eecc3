// The fields of the head that is being handled: ranges into the bytes of that head, never copies. One table per
// worker, filled by the parser, read until the head has been written anew, then overwritten by the next.

/// A run of bytes inside a head.
struct HeadRange: BitwiseCopyable, Equatable {
  var start: UInt16 = 0
  var count: UInt16 = 0

  init() {}

  init(_ start: Int, _ count: Int) {
    self.start = UInt16(truncatingIfNeeded: start)
    self.count = UInt16(truncatingIfNeeded: count)
  }

  var end: Int { Int(start) + Int(count) }
}

/// One header field.
struct HeaderField: BitwiseCopyable {
  var name: HeadRange
  var value: HeadRange
  var known: KnownHeader
  var treatment: HeaderTreatment
  /// Named by a Connection field, or not fit to be passed on.
  var isDropped: Bool
}

/// The fields of one head, in order.
struct HeaderTable: BitwiseCopyable {
  let fields: UnsafeMutablePointer<HeaderField>
  private(set) var count = 0

  init(arena: Arena) {
    fields = arena.allocate(HeaderField.self, count: Limits.headFieldsMax)
  }

  mutating func removeAll() { count = 0 }

  @inline(__always)
  mutating func append(_ field: HeaderField) {
    fields[count] = field
    count += 1
  }
}
