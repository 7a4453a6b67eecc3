// `msg`: a message on a WebSocket that starts work, read field by field when a script asks. There is one such object in
// a machine and it is always the message of the policy that runs.

import LuaBridge

/// The fields of `msg`.
enum MessageAPI {
  static let fields = [
    HostRow("id", "msg.id", "The id of the request that the message is, as the answers to it and the log have it.") {
      read($0, $1, $2) { call, host, view in call.text(view.id) }
    },
    HostRow("message_id", "msg.message_id", "The id that the client has given it.") {
      read($0, $1, $2) { call, host, view in call.text(view.messageID) }
    },
    HostRow("type", "msg.type", "Its type, such as `chat`.") {
      read($0, $1, $2) { call, host, view in call.text(view.type) }
    },
    HostRow("body", "msg.body", "The whole message, a text that holds one JSON object.") {
      read($0, $1, $2) { call, host, view in call.text(view.body) }
    },
    HostRow("address", "msg.address", "The address of the client.") {
      read($0, $1, $2) { call, host, view in call.address(view.client, host) }
    },
    HostRow("network", "msg.network", "The address of the client; of an IPv6 address the /64 around it.") {
      read($0, $1, $2) { call, host, view in call.address(view.client.network, host) }
    },
    HostRow("route", "msg.route", "The name of the route.") {
      read($0, $1, $2) { call, host, view in call.text(view.route.name) }
    },
    HostRow("permission", "msg.permission", "The permission that the route asks for; nil when it asks for none.") {
      read($0, $1, $2) { call, host, view in
        view.route.permission.count == 0 ? call.nothing() : call.text(view.route.permission)
      }
    },
    HostRow("listener", "msg.listener", "The name of the listener.") {
      read($0, $1, $2) { call, host, view in call.text(view.listener) }
    },
  ]

  @inline(__always)
  private static func read(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ body: (HostCall, PolicyHost, MessageView) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let view = host.message else {
      return call.raise("the message can be read in on_message only")
    }
    return body(call, host, view)
  }
}
