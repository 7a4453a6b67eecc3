// `edge.json`: between JSON text and tables of Lua. Strict in both directions.
// Called by scripts; `edge.json.null` and `edge.json.array` belong to the machine itself.

import Glibc
import LuaBridge

/// The rows of `edge.json`.
enum JSONAPI {
  static let rows = [
    HostRow(
      "edge.json.encode", "edge.json.encode(value)",
      "The JSON text of a value. An empty table is an object unless edge.json.array made it a list.", encode),
    HostRow(
      "edge.json.decode", "edge.json.decode(text[, \"decimals\"])",
      "The value of a JSON text; an error when it is none or says a key twice. With `\"decimals\"`, numbers with a "
        + "fraction or an exponent are decimals for edge.credit.amount, exact as they stand there.", decode),
    HostRow(
      "edge.json.try_decode", "edge.json.try_decode(text[, \"decimals\"])",
      "The value of a JSON text, or nil and what is wrong.", tryDecode),
  ]

  private static let tooLong: StaticString = "the JSON is longer than 2 MiB"

  private static let encode: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let area = host.flat.baseAddress else { return call.nothing() }
    let count: Int
    do throws(FlatFault) { count = try call.flat(1, into: host.flat) } catch {
      if case .large = error { return call.raise(tooLong) }
      return call.raise("the value has no JSON: it holds functions, has keys of other kinds, or is too large or deep")
    }
    var fault: FlatJSON.Fault?
    let values = FlatValues(values: UnsafePointer(area), count: count)
    let text = host.text.write { fault = FlatJSON.write(values, at: 0, into: &$0) }
    if let fault { return call.raise(fault.text) }
    guard let text, let start = text.baseAddress else { return call.raise(tooLong) }
    return call.text(start, text.count)
  }

  private static let decode: HostFunction = {
    decode($0, $1, $2, "edge.json.decode takes a string of JSON") { $0.raise("the text is no JSON") }
  }

  private static let tryDecode: HostFunction = {
    decode($0, $1, $2, "edge.json.try_decode takes a string of JSON") { $0.values(.nothing, .string("malformed")) }
  }

  @inline(__always)
  private static func decode(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ takes: StaticString, malformed: (HostCall) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard let text = call.string(1), let start = text.baseAddress else { return call.raise(takes) }
    let way = call.string(2)
    guard call.kind(2) == .nothing || way?.elementsEqual("decimals".utf8) == true else {
      return call.raise("numbers of JSON are read as \"decimals\", or as numbers where nothing is said")
    }
    return host.values(ofJSON: start, text.count, call, decimals: way != nil) ?? malformed(call)
  }
}
