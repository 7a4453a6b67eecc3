// `edge.log`: lines of scripts in Edge's log.
// Called by scripts; never writes more than a line at once, whatever is in the text.

import LuaBridge

/// The rows of `edge.log`.
enum LogAPI {
  static let rows = [
    HostRow("edge.log.error", "edge.log.error(text)", "A line of level error.") { write($0, $1, $2, .error) },
    HostRow("edge.log.warn", "edge.log.warn(text)", "A line of level warn.") { write($0, $1, $2, .warn) },
    HostRow("edge.log.info", "edge.log.info(text)", "A line of level info.") { write($0, $1, $2, .info) },
    HostRow("edge.log.debug", "edge.log.debug(text)", "A line of level debug.") { write($0, $1, $2, .debug) },
  ]

  private static func write(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?, _ level: LogLevel
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard let text = call.string(1), let start = text.baseAddress else {
      return call.raise("edge.log writes strings; use tostring or edge.json.encode")
    }
    guard host.mayLog() else { return call.raise("a policy may write 100 lines into the log") }
    host.tools.log?.line(
      level, "policy_log",
      [
        ("requestId", .bytes(host.requestID)), ("policy", .bytes(host.policy)),
        ("text", .bytes(StaticBytes(start: start, count: text.count))),
      ])
    return call.nothing()
  }
}
