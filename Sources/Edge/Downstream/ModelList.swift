// The models that clients can ask for, as `GET /v1/models` says them to OpenAI's clients and to Anthropic's alike: one
// text for a whole generation. `GET /v1/models/{id}` says one of them, which is a piece of that text.
//
// Owns: how that text looks. Called by: whoever builds a generation; `builtin: models` sends it, or a piece,
// as it is.
// Never: knows whether a provider is up.

import Glibc

/// A model as clients see it.
struct ListedModel {
  let name: String
  /// The first of those that offer it.
  let provider: String
  /// Seconds since 1970. A configuration does not say when a model was made; clients want a number.
  let created: UInt64
}

/// One model of the list.
struct ListedEntry: BitwiseCopyable {
  var name: StaticBytes
  /// The object that the list has of it.
  var text: StaticBytes
}

/// The list as it was written, in memory of an arena.
struct ModelListing: BitwiseCopyable {
  var text: StaticBytes
  /// How many models had no room in it.
  var leftOut = 0
  /// Those that had, by name, in byte order.
  var entries: UnsafePointer<ListedEntry>
  var count = 0

  /// What the list says of the model of this name; nil: it is not in the list.
  func entry(_ name: UnsafePointer<UInt8>, _ nameCount: Int) -> StaticBytes? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      let known = entries[middle].name
      let order = memcmp(known.start, name, min(known.count, nameCount))
      if order == 0, known.count == nameCount { return entries[middle].text }
      if order < 0 || order == 0 && known.count < nameCount { low = middle + 1 } else { high = middle }
    }
    return nil
  }
}

/// Writes the list.
enum ModelList {
  /// The list of no models.
  static let none: StaticString =
    "{\"object\":\"list\",\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}"

  /// `{"object":"list","data":[…],"has_more":false,"first_id":…,"last_id":…}` in memory of the arena. It is one page:
  /// nobody is told to ask for the next, and models may have no room in it.
  static func write(_ models: [ListedModel], into arena: Arena) -> ModelListing {
    let capacity = Limits.replyBodyBytes
    let area = BytePointer.allocate(capacity: capacity)
    defer { area.deallocate() }
    var writer = ByteWriter(base: area, capacity: capacity)
    writer.append("{\"object\":\"list\",\"data\":[")
    var (first, last, leftOut): (ListedModel?, ListedModel?, Int) = (nil, nil, 0)
    var places: [(name: String, range: Range<Int>)] = []
    for model in models {
      let before = writer.count
      if first != nil { writer.append(",") }
      let start = writer.count
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
        places.append((model.name, start..<end))
      }
    }
    guard let first, let last else {
      return ModelListing(
        text: arena.text(none.description), leftOut: leftOut, entries: UnsafePointer(arena.copy([ListedEntry]())))
    }
    writer.append(endFrom: first, to: last)
    let text = arena.allocate(UInt8.self, count: writer.count)
    text.update(from: area, count: writer.count)
    places.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    let entries = places.map { place in
      ListedEntry(
        name: arena.text(place.name),
        text: StaticBytes(start: UnsafePointer(text + place.range.lowerBound), count: place.range.count))
    }
    return ModelListing(
      text: StaticBytes(start: UnsafePointer(text), count: writer.count), leftOut: leftOut,
      entries: UnsafePointer(arena.copy(entries)), count: entries.count)
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
