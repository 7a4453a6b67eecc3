// The models that clients can ask for, in the form of OpenAI's `GET /v1/models`: one text for a whole generation.
//
// Owns: how that text looks. Called by: whoever builds a generation; `builtin: models` sends it as it is.
// Never: knows whether a provider is up.

/// A model as clients see it.
struct ListedModel {
  let name: String
  /// The first of those that offer it.
  let provider: String
  /// Seconds since 1970. A configuration does not say when a model was made; clients want a number.
  let created: UInt64
}

/// Writes the list.
enum ModelList {
  /// `{"object":"list","data":[{"id","object":"model","created","owned_by"},…]}` in memory of the arena, and how many
  /// models had no room in an answer.
  static func write(_ models: [ListedModel], into arena: Arena) -> (text: StaticBytes, leftOut: Int) {
    let capacity = Limits.replyBodyBytes
    let area = BytePointer.allocate(capacity: capacity)
    defer { area.deallocate() }
    let end: StaticString = "]}"
    var writer = ByteWriter(base: area, capacity: capacity - end.utf8CodeUnitCount)
    writer.append("{\"object\":\"list\",\"data\":[")
    var leftOut = 0
    var isFirst = true
    for model in models {
      let before = writer.count
      let wasFirst = isFirst
      writer.separate(&isFirst)
      writer.append("{\"id\":")
      writer.append(jsonString: model.name)
      writer.append(",\"object\":\"model\",\"created\":")
      writer.append(decimal: model.created)
      writer.append(",\"owned_by\":")
      writer.append(jsonString: model.provider)
      writer.append("}")
      if writer.overflowed {
        writer.rewind(to: before)
        isFirst = wasFirst
        leftOut += 1
      }
    }
    var whole = ByteWriter(base: area, capacity: capacity)
    whole.advance(writer.count)
    whole.append(end)
    let text = arena.allocate(UInt8.self, count: whole.count)
    text.update(from: area, count: whole.count)
    return (StaticBytes(start: UnsafePointer(text), count: whole.count), leftOut)
  }
}

extension ByteWriter {
  fileprivate mutating func append(jsonString text: String) {
    var copy = text
    copy.withUTF8 { bytes in
      if let start = bytes.baseAddress {
        append(json: start, bytes.count)
      } else {
        append("\"\"")
      }
    }
  }
}
