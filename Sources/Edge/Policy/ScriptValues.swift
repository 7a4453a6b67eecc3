// Values that go into scripts and are made of Swift's: settings of a policy, the answer to a fetch, what the ledger
// says. Laid out flat with their bytes in one piece of memory for as long as the call takes.

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

  mutating func add(_ name: String, _ value: LuaValue) {
    add(text: name)
    add(value)
  }

  mutating func add(_ name: String, _ text: String) {
    add(text: name)
    add(text: text)
  }

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

/// What the ledger says, as the functions of `edge.credit` return it.
enum LedgerValues {
  /// Calls `body` with the values and how many they are at the top level.
  static func with<Result>(
    _ answer: LedgerAnswer, _ body: (UnsafeBufferPointer<LuaValue>, Int) -> Result
  ) -> Result {
    var builder = FlatBuilder()
    var count = 2
    switch answer {
    case .balance(let account):
      count = 3
      for amount in [account.balance, account.held, account.available] { builder.add(.integer(Int(amount.units))) }
    case .history(let entries, let next):
      builder.add(.list(entries.count))
      for entry in entries { add(entry, &builder) }
      builder.add(next > 0 ? .integer(Int(next)) : .nothing)
    case .granted(let transaction, let balance):
      count = 1
      builder.add(.map(2))
      builder.add("transaction", transaction)
      builder.add("balance", .integer(Int(balance.units)))
    case .conflict:
      builder.add(.nothing)
      builder.add(text: "conflict")
    case .overflow:
      builder.add(.nothing)
      builder.add(text: "overflow")
    case .hold, .unavailable:
      // Never a value: whoever resumes a script decides about these before.
      count = 0
    }
    return builder.with { body($0, count) }
  }

  private static func add(_ entry: LedgerEntry, _ builder: inout FlatBuilder) {
    let isSettlement = entry.kind == .settlement
    var pairs: [(String, LuaValue)] = [
      ("amount", .integer(Int(entry.amount.units))), ("balance", .integer(Int(entry.balance.units))),
      ("time", .number(Double(entry.wall) / 1e9)),
    ]
    if isSettlement { pairs.append(("shortfall", .integer(Int(entry.shortfall.units)))) }
    let texts = [
      ("transaction", entry.transaction), ("kind", entry.kind.rawValue), ("request", entry.requestID),
      ("provider", entry.provider), ("model", entry.model), ("reason", entry.reason),
    ].filter { !$0.1.isEmpty }
    let hasUsage = isSettlement && entry.usage.source != .none
    builder.add(.map(pairs.count + texts.count + (hasUsage ? 1 : 0)))
    for text in texts { builder.add(text.0, text.1) }
    for pair in pairs { builder.add(pair.0, pair.1) }
    if hasUsage { add(entry.usage, &builder) }
  }

  /// As the log has it.
  private static func add(_ usage: Usage, _ builder: inout FlatBuilder) {
    let parts = [
      ("inputTokens", usage.inputTokens), ("cachedTokens", usage.cachedTokens),
      ("cacheWriteTokens", usage.cacheWriteTokens), ("outputTokens", usage.outputTokens),
      ("reasoningTokens", usage.reasoningTokens),
    ]
    builder.add(text: "usage")
    builder.add(.map(parts.count + 1))
    builder.add("source", "\(usage.source)")
    for part in parts { builder.add(part.0, .integer(Int(part.1))) }
  }
}
