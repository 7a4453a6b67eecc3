// `POST /reload`: what the reload has brought that was asked for. It is written when that is over; to perform it is the
// control thread's matter.
// Called by the control worker; it is given the report and holds no state.

/// The endpoint.
enum ReloadEndpoint {
  /// The report; 200 when the new configuration serves or nothing has changed, 422 when it has errors, 409 when it was
  /// not looked at.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    guard let report = facts.reload else {
      body.append("{}")
      return BuiltinReply(status: 500, reason: "Internal Server Error")
    }
    body.append(report: report)
    switch report.outcome {
    case .reloaded, .unchanged: return BuiltinReply()
    case .failed: return BuiltinReply(status: 422, reason: "Unprocessable Content")
    case .refused: return BuiltinReply(status: 409, reason: "Conflict")
    }
  }
}

extension ByteWriter {
  /// What findings and differences may take; the rest is counted in `more`. An answer has room for both and the facts
  /// around them (`Limits.replyBodyBytes`).
  private static let findingsBytesMax = 48 << 10
  private static let changesBytesMax = 64 << 10
  /// Of one finding and of one value, in scalars.
  private static let findingMax = 4_096
  private static let valueMax = 200

  /// A report as a JSON object. With less room than `Limits.replyBodyBytes` it may overflow.
  mutating func append(report: ReloadReport) {
    append("{\"outcome\":\"")
    append(string: report.outcome.rawValue)
    append("\",\"generation\":")
    append(decimal: UInt64(report.generation))
    append(",\"time\":\"")
    append(timestamp: report.wall)
    append("\",\"milliseconds\":")
    append(decimal: UInt64(max(0, report.milliseconds)))
    if let reason = report.reason {
      append(",\"reason\":")
      append(json: reason)
    }
    var more = 0
    append(",\"errors\":")
    append(list: report.errors, bytesMax: ByteWriter.findingsBytesMax, &more) { $0.append(finding: $1) }
    append(",\"warnings\":")
    append(list: report.warnings, bytesMax: ByteWriter.findingsBytesMax, &more) { $0.append(finding: $1) }
    append(",\"changes\":")
    append(list: report.changes, bytesMax: ByteWriter.changesBytesMax, &more) { $0.append(change: $1) }
    append(",\"more\":")
    append(decimal: UInt64(more))
    append("}")
  }

  /// Members as long as there is room for them.
  private mutating func append<Member>(
    list: [Member], bytesMax: Int, _ more: inout Int, _ write: (inout ByteWriter, Member) -> Void
  ) {
    append("[")
    let start = count
    for (index, member) in list.enumerated() {
      let before = count
      if index > 0 { append(byte: 0x2c) }
      write(&self, member)
      // With less room than the longest answer takes, everything is asked for again.
      let isFull = overflowed && capacity >= Limits.replyBodyBytes
      if isFull || count - start > bytesMax {
        rewind(to: before)
        more += list.count - index
        break
      }
    }
    append("]")
  }

  private mutating func append(change: ConfigChange) {
    append("{\"kind\":\"")
    append(string: change.kind.rawValue)
    append("\",\"path\":")
    append(json: change.path)
    if let value = change.before { append(key: "before", value) }
    if let value = change.after { append(key: "after", value) }
    append("}")
  }

  private mutating func append(key: StaticString, _ value: String) {
    append(",\"")
    append(key)
    append("\":")
    append(json: ByteWriter.cut(value, ByteWriter.valueMax))
  }

  private mutating func append(finding: String) { append(json: ByteWriter.cut(finding, ByteWriter.findingMax)) }

  /// A character may be made of any number of scalars.
  private static func cut(_ text: String, _ most: Int) -> String {
    guard let end = text.unicodeScalars.index(text.startIndex, offsetBy: most, limitedBy: text.endIndex),
      end < text.endIndex
    else { return text }
    return String(text.unicodeScalars[..<end]) + "…"
  }

  /// A text as a JSON string.
  mutating func append(json text: String) {
    append(byte: 0x22)
    var text = text
    text.withUTF8 { bytes in if let start = bytes.baseAddress { append(jsonEscaped: start, bytes.count) } }
    append(byte: 0x22)
  }
}
