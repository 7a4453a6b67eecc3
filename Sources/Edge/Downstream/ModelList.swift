// The models that clients can ask for, as `GET /v1/models` says them to OpenAI's clients and to Anthropic's alike: one
// text for a whole generation.
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
  /// The list of no models.
  static let none: StaticString =
    "{\"object\":\"list\",\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}"

  /// `{"object":"list","data":[…],"has_more":false,"first_id":…,"last_id":…}` in memory of the arena, and how many
  /// models had no room in an answer. It is one page: nobody is told to ask for the next.
  static func write(_ models: [ListedModel], into arena: Arena) -> (text: StaticBytes, leftOut: Int) {
    let capacity = Limits.replyBodyBytes
    let area = BytePointer.allocate(capacity: capacity)
    defer { area.deallocate() }
    var writer = ByteWriter(base: area, capacity: capacity)
    writer.append("{\"object\":\"list\",\"data\":[")
    var (first, last, leftOut): (ListedModel?, ListedModel?, Int) = (nil, nil, 0)
    for model in models {
      let before = writer.count
      if first != nil { writer.append(",") }
      writer.append(model)
      let end = writer.count
      // It must leave room for the end, should no other come.
      writer.append(endFrom: first ?? model, to: model)
      if writer.overflowed {
        writer.rewind(to: before)
        leftOut += 1
      } else {
        writer.rewind(to: end)
        (first, last) = (first ?? model, model)
      }
    }
    guard let first, let last else { return (arena.text(none.description), leftOut) }
    writer.append(endFrom: first, to: last)
    let text = arena.allocate(UInt8.self, count: writer.count)
    text.update(from: area, count: writer.count)
    return (StaticBytes(start: UnsafePointer(text), count: writer.count), leftOut)
  }
}

extension ByteWriter {
  /// What OpenAI's clients read of a model, then what Anthropic's read.
  fileprivate mutating func append(_ model: ListedModel) {
    append("{\"id\":")
    append(jsonString: model.name)
    append(",\"object\":\"model\",\"created\":")
    append(decimal: model.created)
    append(",\"owned_by\":")
    append(jsonString: model.provider)
    append(",\"type\":\"model\",\"display_name\":")
    append(jsonString: model.name)
    append(",\"created_at\":\"")
    append(timestamp: model.created * 1_000_000_000)
    append("\"}")
  }

  fileprivate mutating func append(endFrom first: ListedModel, to last: ListedModel) {
    append("],\"has_more\":false,\"first_id\":")
    append(jsonString: first.name)
    append(",\"last_id\":")
    append(jsonString: last.name)
    append("}")
  }

  private mutating func append(jsonString text: String) {
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
