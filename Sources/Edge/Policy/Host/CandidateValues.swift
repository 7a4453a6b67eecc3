// Those who could answer, on their way into `on_select` and back: a list of tables, and the same or a shorter list in
// another order. And what `on_retry` is told: who has failed, and who is asked next.
//
// Called by: the machine. Never: takes anything but names back; what a candidate would cost is not for scripts to say.

import Glibc
import LuaBridge

extension PolicyHost {
  /// The candidates as flat values, and behind them one that is given plain.
  func layOutCandidates(then last: LuaValue) -> UnsafePointer<LuaValue>? {
    guard var area = FlatWriter(flat) else { return nil }
    area.put(.list(candidates.count))
    for candidate in candidates { area.put(candidate) }
    area.put(last)
    return area.start
  }

  /// The attempt that has failed, as one table, and behind it a value that is given plain.
  func layOutAttempt(then last: LuaValue) -> UnsafePointer<LuaValue>? {
    guard var area = FlatWriter(flat) else { return nil }
    if let attempt {
      let row = attempt.code.row
      area.put(.map(6))
      area.put("provider", .string(attempt.provider.start, attempt.provider.count))
      area.put("model", .string(attempt.model.start, attempt.model.count))
      area.put("code", .string(row.name))
      area.put("status", .integer(Int(attempt.status)))
      area.put("number", .integer(Int(attempt.number)))
      area.put(.string("next"))
      area.put(attempt.next)
    } else {
      area.put(.nothing)
    }
    area.put(last)
    return area.start
  }

  /// Orders the candidates as the call has returned them; what is wrong with that, if something is.
  func order(as lua: LuaMachine, _ call: LuaCall) -> StaticString? {
    let usage: StaticString = "on_select returned something else than nothing or a list of its candidates"
    guard let count = try? lua.returnedFlat(call, into: flat), let area = flat.baseAddress else { return usage }
    if area[0].count == 0, area[0].luaKind == .map || area[0].luaKind == .list {
      candidates = []
      return nil
    }
    guard area[0].luaKind == .list else { return usage }
    let values = FlatValues(values: UnsafePointer(area), count: count)
    var ordered: [PolicyCandidate] = []
    var place = 1
    for _ in 0..<area[0].count {
      guard let entries = FlatMap(values, at: place), let index = candidates.firstIndex(where: entries.names) else {
        return "on_select returned somebody who is none of its candidates"
      }
      let candidate = candidates[index]
      if ordered.contains(where: { $0.place == candidate.place }) { return "on_select returned a candidate twice" }
      ordered.append(candidate)
      place = values.end(of: place)
    }
    candidates = ordered
    return nil
  }
}

extension FlatMap {
  /// Whether it is the table that a script got for this candidate.
  fileprivate func names(_ candidate: PolicyCandidate) -> Bool {
    if candidate.isService { return says("service", candidate.name) }
    return says("provider", candidate.name) && says("model", candidate.model)
  }

  private func says(_ name: StaticString, _ expected: StaticBytes) -> Bool {
    guard let text = string(name), text.count == expected.count else { return false }
    return expected.count == 0 || memcmp(text.baseAddress ?? expected.start, expected.start, expected.count) == 0
  }
}

/// Writes flat values behind each other; what is written here is far less than there is room for.
private struct FlatWriter {
  let start: UnsafePointer<LuaValue>
  private let area: UnsafeMutablePointer<LuaValue>
  private var count = 0

  init?(_ room: UnsafeMutableBufferPointer<LuaValue>) {
    guard let base = room.baseAddress else { return nil }
    area = base
    start = UnsafePointer(base)
  }

  mutating func put(_ value: LuaValue) {
    area[count] = value
    count += 1
  }

  mutating func put(_ name: StaticString, _ value: LuaValue) {
    put(.constant(name))
    put(value)
  }

  mutating func put(_ candidate: PolicyCandidate) {
    if candidate.isService {
      put(.map(2))
      put("service", .string(candidate.name.start, candidate.name.count))
      put("estimate", .integer(Int(candidate.estimate.units)))
      return
    }
    put(.map(7))
    put("provider", .string(candidate.name.start, candidate.name.count))
    put("model", .string(candidate.model.start, candidate.model.count))
    put("estimate", .integer(Int(candidate.estimate.units)))
    put("priority", .integer(Int(candidate.priority)))
    put("load", .integer(candidate.load))
    put("equivalent", .boolean(candidate.isEquivalent))
    put("named", .boolean(candidate.isNamed))
  }
}
