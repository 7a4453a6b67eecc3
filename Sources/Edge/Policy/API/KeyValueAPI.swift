// `edge.kv`: small strings that scripts of all workers share. They are lost at a restart.
// Called by scripts; the store is exact over all workers and never waits for one of them.

import Glibc
import LuaBridge

/// The rows of `edge.kv`.
enum KeyValueAPI {
  static let rows = [
    HostRow("edge.kv.get", "edge.kv.get(key)", "The string kept under a key, or nil.") {
      keyed($0, $1, $2, "edge.kv.get takes a key: a string of 1 to 256 bytes") { call, host, key, now in
        var length: Int?
        let room = KeyValueStore.valueBytesMax
        let area = host.text.write { writer in
          guard room <= writer.room else {
            writer.advance(room)
            return
          }
          let target = UnsafeMutableRawBufferPointer(start: writer.end, count: room)
          length = host.tools.keyValues.read(key.start, key.count, into: target, now: now)
        }
        guard let length, let start = area?.baseAddress else { return call.value(.nothing) }
        return call.text(start, length)
      }
    },
    HostRow(
      "edge.kv.set", "edge.kv.set(key, value[, seconds])", "Keeps a string under a key, for so long when given."
    ) {
      keyed($0, $1, $2, "edge.kv.set takes a key: a string of 1 to 256 bytes") { call, host, key, now in
        guard let value = call.string(2) else { return call.raise("edge.kv keeps strings; encode the value first") }
        guard let time = KeptTime(call, 3) else { return call.raise("the time to keep a value must be above 0") }
        do throws(KeyValueError) {
          try host.tools.keyValues.set(
            key.start, key.count, to: value.baseAddress ?? key.start, value.count, ttlNanoseconds: time.nanoseconds,
            now: now)
          return call.nothing()
        } catch { return call.raise(error.text) }
      }
    },
    HostRow(
      "edge.kv.add", "edge.kv.add(key, number[, seconds])",
      "Adds to the whole number kept under a key, 0 when there is none, and returns the sum. The time counts from when "
        + "the key is new."
    ) {
      keyed($0, $1, $2, "edge.kv.add takes a key: a string of 1 to 256 bytes") { call, host, key, now in
        guard let number = call.integer(2) else { return call.raise("edge.kv.add adds whole numbers") }
        guard let time = KeptTime(call, 3) else { return call.raise("the time to keep a value must be above 0") }
        do throws(KeyValueError) {
          let sum = try host.tools.keyValues.add(
            key.start, key.count, Int64(number), ttlNanoseconds: time.nanoseconds, now: now)
          return call.value(.integer(Int(sum)))
        } catch { return call.raise(error.text) }
      }
    },
    HostRow("edge.kv.delete", "edge.kv.delete(key)", "Forgets what is kept under a key.") {
      keyed($0, $1, $2, "edge.kv.delete takes a key: a string of 1 to 256 bytes") { call, host, key, now in
        host.tools.keyValues.delete(key.start, key.count, now: now)
        return call.nothing()
      }
    },
  ]

  /// Calls `body` with the first argument, which must be a key, and with the time.
  @inline(__always)
  private static func keyed(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?, _ fault: StaticString,
    _ body: (HostCall, PolicyHost, StaticBytes, UInt64) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard let key = call.string(1), let start = key.baseAddress, (1...KeyValueStore.keyBytesMax).contains(key.count)
    else { return call.raise(fault) }
    return body(call, host, StaticBytes(start: start, count: key.count), host.monotonicNanoseconds)
  }
}

/// How long something is kept.
private struct KeptTime {
  /// nil: until the end.
  let nanoseconds: UInt64?

  /// The seconds of an argument; nil when they make no sense.
  init?(_ call: HostCall, _ index: Int) {
    if call.kind(index) == .nothing {
      nanoseconds = nil
      return
    }
    guard let seconds = call.number(index), seconds > 0, seconds < 1e9 else { return nil }
    nanoseconds = UInt64(seconds * 1e9)
  }
}

extension KeyValueError {
  fileprivate var text: StaticString {
    switch self {
    case .keyTooLong: "the key is longer than 256 bytes"
    case .valueTooLong: "the value is longer than 64 KiB"
    case .full: "edge.kv has no room left"
    case .notANumber: "what is kept under the key is no whole number"
    case .overflow: "the sum is too large"
    }
  }
}
