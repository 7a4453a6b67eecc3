// Values that go into scripts and are made of Swift's: settings of a policy, the answer to a fetch, JSON. Laid out flat
// with their bytes in one piece of memory for as long as the call takes.

import LuaBridge

/// Collects values whose texts are known by their offsets until all of them are there.
private struct FlatBuilder {
  private var values: [LuaValue] = []
  private var texts: [(place: Int, offset: Int)] = []
  private var bytes: [UInt8] = []

  mutating func add(_ value: LuaValue) { values.append(value) }

  mutating func add(text: some Collection<UInt8>) {
    texts.append((values.count, bytes.count))
    values.append(.string(nil, text.count))
    bytes.append(contentsOf: text)
  }

  mutating func add(text: String) { add(text: text.utf8) }

  /// Calls `body` with the values while their texts stand still.
  mutating func with<Result>(_ body: (UnsafeBufferPointer<LuaValue>) -> Result) -> Result {
    // A base even for texts that are all empty.
    bytes.append(0)
    return bytes.withUnsafeBufferPointer { text in
      if let start = text.baseAddress {
        for entry in texts { values[entry.place] = .string(start + entry.offset, Int(values[entry.place].length)) }
      }
      return values.withUnsafeBufferPointer(body)
    }
  }
}

/// The settings of a policy, as `init` gets them.
enum SettingsValues {
  static func with<Result>(_ settings: SettingsTree, _ body: (UnsafeBufferPointer<LuaValue>) -> Result) -> Result {
    var builder = FlatBuilder()
    add(settings, &builder)
    return builder.with(body)
  }

  private static func add(_ tree: SettingsTree, _ builder: inout FlatBuilder) {
    switch tree {
    case .null: builder.add(.nothing)
    case .boolean(let value): builder.add(.boolean(value))
    case .integer(let value): builder.add(.integer(value))
    case .number(let value): builder.add(.number(value))
    case .text(let text): builder.add(text: text)
    case .list(let members):
      builder.add(.list(members.count))
      for member in members { add(member, &builder) }
    case .map(let pairs):
      builder.add(.map(pairs.count))
      for pair in pairs {
        builder.add(text: pair.key)
        add(pair.value, &builder)
      }
    }
  }
}

/// The answer to a fetch: `{status=, headers=, body=}`.
enum AnswerValues {
  static func with<Result>(_ answer: FetchAnswer, _ body: (UnsafeBufferPointer<LuaValue>) -> Result) -> Result {
    var headers: [(name: String, value: String)] = []
    var places: [String: Int] = [:]
    for header in answer.headers {
      if let place = places[header.name] {
        headers[place].value += ", " + header.value
      } else {
        places[header.name] = headers.count
        headers.append((header.name, header.value))
      }
    }
    var builder = FlatBuilder()
    builder.add(.map(3))
    builder.add(text: "status")
    builder.add(.integer(Int(answer.status)))
    builder.add(text: "headers")
    builder.add(.map(headers.count))
    for header in headers {
      builder.add(text: header.name)
      builder.add(text: header.value)
    }
    builder.add(text: "body")
    builder.add(text: answer.body)
    return builder.with(body)
  }
}
