// Questions about fields of a received head that have no row in the table of known ones.
// Called where requests and answers of models are handled.

extension ReceivedHead {
  /// The first value of a field by its name in lower case; nil: there is none.
  func value(named name: StaticString) -> UnsafeBufferPointer<UInt8>? {
    for index in 0..<table.count where isField(table.fields[index], name) {
      let value = table.fields[index].value
      return UnsafeBufferPointer(start: bytes + Int(value.start), count: Int(value.count))
    }
    return nil
  }

  private func isField(_ field: HeaderField, _ name: StaticString) -> Bool {
    Int(field.name.count) == name.utf8CodeUnitCount
      && equalLowered(bytes + Int(field.name.start), name.utf8Start, Int(field.name.count))
  }

  /// Whether the field says which version of a dialect its sender speaks.
  func isVersion(_ field: HeaderField) -> Bool {
    isField(field, "openai-beta") || isField(field, "anthropic-version") || isField(field, "anthropic-beta")
  }

  /// Whether the content is compressed or otherwise wrapped.
  var isEncoded: Bool {
    guard let value = value(named: "content-encoding"), let start = value.baseAddress, !value.isEmpty else {
      return false
    }
    return !(value.count == 8 && equalLowered(start, StaticBytes("identity").start, 8))
  }

  /// Whether the content is a stream of events.
  var isEventStream: Bool {
    let name: StaticString = "text/event-stream"
    guard let value = value(named: "content-type"), let start = value.baseAddress,
      value.count >= name.utf8CodeUnitCount
    else { return false }
    return equalLowered(start, name.utf8Start, name.utf8CodeUnitCount)
  }

  /// When to try again, in whole seconds, never too early and at most a day; 0: it does not say. `retry-after-ms` is
  /// the closer of the two.
  var retryAfterSeconds: UInt64 {
    let milliseconds =
      value(named: "retry-after-ms").flatMap { DecimalText.units($0, places: 0) }
      ?? value(named: "retry-after").flatMap { DecimalText.units($0, places: 3) } ?? 0
    return (UInt64(min(milliseconds, 86_400_000)) + 999) / 1_000
  }
}
