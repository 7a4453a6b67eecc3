// `edge.metric`: counters of scripts, which /metrics tells beside Edge's own. A script defines them while the
// configuration is loaded and counts while it is asked.

import Glibc
import LuaBridge

/// The rows of `edge.metric`.
enum MetricAPI {
  static let rows = [
    HostRow(
      "edge.metric.counter", "edge.metric.counter(name, help)",
      "In init: a counter that /metrics tells as `edge_script_NAME_total{policy=\"…\"}`, over all workers. What has "
        + "been counted survives a reload that changes neither the policy's name nor the counter's.", counter)
  ]

  static let methods = [
    HostRow("add", "counter:add([n=1])", "Counts n more, a whole number from 0 on.", add)
  ]

  private static let helpBytesMax = 256

  private static let counter: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard host.phase == .start else { return call.raise("counters are defined in init, so that mistakes show at once") }
    guard let name = call.string(1), isName(name) else {
      return call.raise("edge.metric.counter takes a name of a to z, 0 to 9 and _, a letter first, at most 64 bytes")
    }
    guard let help = call.string(2), isHelp(help) else {
      return call.raise(
        "edge.metric.counter takes a help that says what is counted: a line of 1 to 256 bytes, no backslashes")
    }
    let policy = UnsafeBufferPointer(start: host.policy.start, count: host.policy.count)
    do throws(ScriptCountersFull) {
      let place = try host.define(
        counter: String(decoding: name, as: UTF8.self), of: String(decoding: policy, as: UTF8.self),
        help: String(decoding: help, as: UTF8.self))
      return call.value(.handle(class: HostClass.counter, payload: Int64(place)))
    } catch { return call.raise("64 counters exist already, the most there may be") }
  }

  private static let add: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let place = call.handle(1, class: HostClass.counter) else {
      return call.raise("add is a method: write counter:add()")
    }
    var amount = 1
    if call.kind(2) != .nothing {
      guard let given = call.integer(2), given >= 0 else {
        return call.raise("counter:add takes a whole number from 0 on")
      }
      amount = given
    }
    host.tools.counters.add(UInt64(amount), to: Int(place))
    return call.nothing()
  }

  /// What needs no escapes in the text of metrics.
  private static func isHelp(_ help: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = help.baseAddress, (1...helpBytesMax).contains(help.count), isUTF8(start, help.count)
    else { return false }
    return help.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != 0x5c }
  }

  private static func isName(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let first = name.first, name.count <= 64, (0x61...0x7a).contains(first) else { return false }
    return name.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f }
  }
}
