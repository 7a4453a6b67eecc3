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
    HostRow(
      "edge.time.text", "edge.time.text(seconds)", "Seconds since 1970 as RFC 3339 has them, with milliseconds, in UTC."
    ) {
      let call = HostCall($0, $2)
      guard let host = PolicyHost.of($1) else { return call.nothing() }
      guard let seconds = call.number(1), seconds >= 0, seconds < 1e10 else {
        return call.raise("edge.time.text takes seconds since 1970, up to the year 2286")
      }
      // Rounded: seconds with a fraction lie beside the millisecond that they mean.
      let text = host.text.write { $0.append(timestamp: UInt64((seconds * 1_000).rounded()) * 1_000_000) }
      return text.map { call.value(.string($0)) } ?? call.nothing()
    },
    HostRow("edge.time.monotonic", "edge.time.monotonic()", "Seconds on a clock that is never set, for differences.") {
      let call = HostCall($0, $2)
      guard let host = PolicyHost.of($1) else { return call.nothing() }
      return call.value(.number(Double(host.monotonicNanoseconds) / 1e9))
    },
  ]
}
