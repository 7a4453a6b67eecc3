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

  /// How many fields have this name, in lower case.
  func count(named name: StaticString) -> Int {
    (0..<table.count).reduce(0) { $0 + (isField(table.fields[$1], name) ? 1 : 0) }
  }

  private func isField(_ field: HeaderField, _ name: StaticString) -> Bool {
    Int(field.name.count) == name.utf8CodeUnitCount
      && equalLowered(bytes + Int(field.name.start), name.utf8Start, Int(field.name.count))
  }

  /// Whether the field says which version of a dialect its sender speaks.
  func isVersion(_ field: HeaderField) -> Bool {
    isField(field, "openai-beta") || isField(field, "anthropic-version") || isField(field, "anthropic-beta")
  }

  /// Whether a feature whose name begins so is asked for in an `anthropic-beta` field, a list with commas.
  func hasBeta(_ prefix: StaticString) -> Bool {
    for index in 0..<table.count where isField(table.fields[index], "anthropic-beta") {
      let value = table.fields[index].value
      let (start, count) = (bytes + Int(value.start), Int(value.count))
      var place = 0
      while place < count {
        while place < count, start[place] == 0x20 || start[place] == 0x09 || start[place] == 0x2c { place += 1 }
        if count - place >= prefix.utf8CodeUnitCount,
          equalLowered(start + place, prefix.utf8CodeUnitCount, prefix)
        {
          return true
        }
        while place < count, start[place] != 0x2c { place += 1 }
      }
    }
    return false
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
