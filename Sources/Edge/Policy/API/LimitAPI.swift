// `edge.limit`: limits that hold over all workers of the process. A script defines them while the configuration is
// loaded, so that a rule that makes no sense is found then, and takes from them for each request.

import Glibc
import LuaBridge

/// The rows of `edge.limit`.
enum LimitAPI {
  static let rows = [
    HostRow(
      "edge.limit.define", "edge.limit.define(name, {limit=\"100 per 1m\"} | {rate=\"10 per 1s\", burst=20})",
      "In init: a limit of at most so many in any such time, or a steady rate with a burst (one second's worth when "
        + "left out). What has been counted survives a reload that changes neither the policy's name nor the rule.",
      define)
  ]

  static let methods = [
    HostRow(
      "take", "limit:take(key, …)",
      "Counts one for the key: true and how many are left, or false and how many seconds to wait. Several strings are "
        + "one key together, which costs less than to join them.", take)
  ]

  private static let define: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard host.phase == .start else { return call.raise("limits are defined in init, so that mistakes show at once") }
    guard let name = call.string(1), !name.isEmpty, name.count <= 128 else {
      return call.raise("a limit needs a name of at most 128 bytes")
    }
    guard isUTF8(name.baseAddress ?? StaticBytes.empty.start, name.count) else {
      return call.raise("the name of a limit is UTF-8")
    }
    guard call.kind(2) == .map else { return call.raise("a limit needs a table such as {limit=\"100 per 1m\"}") }
    do throws(LimitError) {
      let rule = try host.limitRule(call)
      // Policies of one script have limits of their own.
      let policy = UnsafeBufferPointer(start: host.policy.start, count: host.policy.count)
      let owner = String(decoding: policy, as: UTF8.self)
      let handle = try host.define(limit: "\(owner) \(String(decoding: name, as: UTF8.self))", rule)
      return call.value(.handle(class: HostClass.limit, payload: Int64(handle.index)))
    } catch { return call.raise(error.message) }
  }

  private static let take: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    return PolicyHost.with(context) { take(call, $0) } ?? call.nothing()
  }

  private static func take(_ call: HostCall, _ host: PolicyHost) -> Int32 {
    guard let payload = call.handle(1, class: HostClass.limit) else {
      return call.raise("take is a method: write limit:take(key)")
    }
    guard let key = host.key(call) else {
      return call.raise("a limit counts for a key, which must be a string")
    }
    // Read here and not once a turn: requests of one turn are admitted at different times, and so are those of others.
    switch host.tools.limits.take(
      LimitHandle(index: Int32(truncatingIfNeeded: payload)), key, now: host.monotonicNanoseconds)
    {
    case .granted(let remaining): return call.values(.boolean(true), .integer(remaining))
    case .refused(let nanoseconds): return call.values(.boolean(false), .number(Double(nanoseconds) / 1e9))
    case .full:
      // Nobody can say whether it would be granted, so it is not; there is room again when somebody's time is over.
      host.noteFullLimit()
      return call.values(.boolean(false), .number(1))
    }
  }
}

extension PolicyHost {
  /// What a limit counts for: the arguments behind the handle; nil when they are no strings.
  fileprivate func key(_ call: HostCall) -> KeyedTexts? {
    let count = call.count
    var texts = tools.limits.texts()
    var index = 2
    repeat {
      guard let part = call.string(index), let start = part.baseAddress else { return nil }
      texts.add(start, part.count)
      index += 1
    } while index <= count
    return texts
  }

  fileprivate func limitRule(_ call: HostCall) throws(LimitError) -> LimitRule {
    let entries: FlatMap
    do { entries = try FlatMap(call, 2, flat, of: "edge.limit.define") } catch { throw LimitError(error.message) }
    func text(_ name: StaticString) -> String? { entries.string(name).map { String(decoding: $0, as: UTF8.self) } }
    if let stranger = entries.stranger(among: ["limit", "rate", "burst"]) {
      throw LimitError("a limit does not know '\(stranger)'; it takes limit, or rate and burst")
    }
    for name: StaticString in ["limit", "rate"] where entries.place(name) != nil && entries.string(name) == nil {
      throw LimitError("'\(name)' of a limit is a text such as \"100 per 1m\"")
    }
    switch (text("limit"), text("rate")) {
    case (.some, .some): throw LimitError("a limit has 'limit' or 'rate', not both")
    case (let limit?, nil):
      if entries.place("burst") != nil { throw LimitError("'burst' goes with 'rate', not with 'limit'") }
      return try LimitRule(limit: limit)
    case (nil, let rate?):
      if entries.place("burst") == nil { return try LimitRule(rate: rate, burst: nil) }
      guard let burst = entries.number("burst").flatMap({ Int(exactly: $0) }) else {
        throw LimitError("'burst' must be a whole number")
      }
      return try LimitRule(rate: rate, burst: burst)
    case (nil, nil): throw LimitError("a limit needs 'limit' (100 per 1m) or 'rate' (10 per 1s)")
    }
  }
}
