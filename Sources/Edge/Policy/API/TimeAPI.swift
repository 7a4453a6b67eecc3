// `edge.time`: what time it is.
// Called by scripts; tests of policies let both clocks pass.

import LuaBridge

/// The rows of `edge.time`.
enum TimeAPI {
  static let rows = [
    HostRow("edge.time.now", "edge.time.now()", "Seconds since 1970, with a fraction.") {
      let call = HostCall($0, $2)
      guard let host = PolicyHost.of($1) else { return call.nothing() }
      return call.value(.number(Double(host.wallNanoseconds) / 1e9))
    },
    HostRow("edge.time.monotonic", "edge.time.monotonic()", "Seconds on a clock that is never set, for differences.") {
      let call = HostCall($0, $2)
      guard let host = PolicyHost.of($1) else { return call.nothing() }
      return call.value(.number(Double(host.monotonicNanoseconds) / 1e9))
    },
  ]
}
