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
      "edge.json.decode", "edge.json.decode(text)",
      "The value of a JSON text; an error when it is none or says a key twice.", decode),
    HostRow(
      "edge.json.try_decode", "edge.json.try_decode(text)", "The value of a JSON text, or nil and what is wrong.",
      tryDecode),
  ]

  private static let encode: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let area = host.flat.baseAddress else { return call.nothing() }
    let count: Int
    do { count = try call.flat(1, into: host.flat) } catch {
      return call.raise("the value has no JSON: it holds functions, has keys of other kinds, or is too large or deep")
    }
    var fault: FlatJSON.Fault?
    let values = FlatValues(values: UnsafePointer(area), count: count)
    let text = host.text.write { fault = FlatJSON.write(values, at: 0, into: &$0) }
    if let fault { return call.raise(fault.text) }
    guard let text, let start = text.baseAddress else { return call.raise("the JSON is longer than 2 MiB") }
    return call.text(start, text.count)
  }

  private static let decode: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard let text = call.string(1), let start = text.baseAddress else { return call.raise("JSON is a string") }
    return host.values(ofJSON: start, text.count, call) ?? call.raise("the text is no JSON")
  }

  private static let tryDecode: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard let text = call.string(1), let start = text.baseAddress else { return call.raise("JSON is a string") }
    return host.values(ofJSON: start, text.count, call) ?? call.values(.nothing, .string("malformed"))
  }
}
