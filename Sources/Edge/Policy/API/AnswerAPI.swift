// `res`: the answer of a service or provider before the client gets it, read field by field when a script asks. There
// is one such object in a machine and it is always the answer that the running policy judges.

import LuaBridge

/// The fields of `res`.
enum AnswerAPI {
  static let fields = [
    HostRow("status", "res.status", "The status of the answer, such as 200.") {
      read($0, $1, $2) { call, host, view in call.value(.integer(Int(view.status))) }
    },
    HostRow(
      "headers", "res.headers[\"name\"]",
      "A header field of the answer, whatever the case of its name; several of one name stand behind each other with "
        + "commas. Assigning sets what the client gets; nil removes it."
    ) {
      read($0, $1, $2) { call, host, view in call.value(.object(HostObject.answerHeaders)) }
    },
    HostRow("service", "res.service", "The service that has answered; nil where a model has.") {
      read($0, $1, $2) { call, host, view in view.service.count == 0 ? call.nothing() : call.text(view.service) }
    },
    HostRow("provider", "res.provider", "The provider that has answered; nil where a service has.") {
      read($0, $1, $2) { call, host, view in view.provider.count == 0 ? call.nothing() : call.text(view.provider) }
    },
    HostRow("model", "res.model", "The model that has answered; nil where a service has.") {
      read($0, $1, $2) { call, host, view in view.model.count == 0 ? call.nothing() : call.text(view.model) }
    },
    HostRow("id", "res.id", "The id of the request, as the answer and the log have it.") {
      read($0, $1, $2) { call, host, view in call.text(view.id) }
    },
    HostRow("route", "res.route", "The name of the route.") {
      read($0, $1, $2) { call, host, view in call.text(view.route) }
    },
  ]

  /// `res.headers[name]`.
  static let header: HostFunction = {
    read($0, $1, $2) { call, host, view in
      guard let name = call.string(2), let start = name.baseAddress else { return call.nothing() }
      if let edit = host.edits.find(name) {
        return edit.value.map { call.text($0, edit.valueCount) } ?? call.nothing()
      }
      return host.values(of: name, start, view.received, call)
    }
  }

  /// `res.headers[name] = value`.
  static let setHeader: HostFunction = {
    read($0, $1, $2) { call, host, view in
      // By these clients know who has answered.
      if let name = call.string(2), let start = name.baseAddress, name.count > 5, equalLowered(start, 5, "edge-") {
        return call.raise("'\(String(decoding: name, as: UTF8.self))' is written by Edge itself")
      }
      return host.setField(call)
    }
  }

  @inline(__always)
  private static func read(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ body: (HostCall, PolicyHost, AnswerView) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let view = host.answer else {
      return call.raise("the answer can be read in on_response only")
    }
    return body(call, host, view)
  }
}
