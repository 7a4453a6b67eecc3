// Those who could answer, on their way into `on_select` and back: a list of tables, and the same or a shorter list in
// another order.
//
// Called by: the machine. Never: takes anything but names back; what a candidate would cost is not for scripts to say.

import Glibc
import LuaBridge

extension PolicyHost {
  /// The candidates as flat values, and behind them one that is given plain.
  func layOutCandidates(then last: LuaValue) -> UnsafePointer<LuaValue>? {
    guard let area = flat.baseAddress else { return nil }
    var count = 0
    func put(_ value: LuaValue) {
      area[count] = value
      count += 1
    }
    put(.list(candidates.count))
    for candidate in candidates {
      put(.map(candidate.isService ? 2 : 3))
      put(.string(candidate.isService ? "service" : "provider"))
      put(.string(candidate.name.start, candidate.name.count))
      if !candidate.isService {
        put(.string("model"))
        put(.string(candidate.model.start, candidate.model.count))
      }
      put(.string("estimate"))
      put(.integer(Int(candidate.estimate.units)))
    }
    put(last)
    return UnsafePointer(area)
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
