// A request as policies see it: the head where it lies, read lazily. Nothing is copied until a script asks, and nothing
// of it outlives the run of the policy.

import Glibc
import LuaBridge

/// The request that a policy runs for.
struct RequestView: BitwiseCopyable {
  let received: ReceivedHead
  let method: StaticBytes
  let target: RequestTarget
  /// As the client named it, port included; empty when HTTP/1.0 named none.
  let host: StaticBytes
  let client: SocketAddress
  let id: StaticBytes
  let listener: StaticBytes
  let route: PolicyRoute
  /// It opens a WebSocket.
  var isUpgrade = false
  /// Policies are asked about each message of that WebSocket.
  var asksMessages = false
  /// The token of its query, taken out of `target`; nil: there was none.
  var queryToken: StaticBytes?
  /// The query had two of them.
  var hasTwoQueryTokens = false
}

/// A message on a WebSocket, as policies see it.
struct MessageView: BitwiseCopyable {
  /// The whole message.
  let body: StaticBytes
  /// The id that the client has given it.
  let messageID: StaticBytes
  /// Its `type`, such as `chat`.
  let type: StaticBytes
  let client: SocketAddress
  /// The id of the request, as the log has it.
  let id: StaticBytes
  let listener: StaticBytes
  let route: PolicyRoute
}

/// What policies may know of a route.
struct PolicyRoute: BitwiseCopyable {
  let name: StaticBytes
  /// Empty: the route asks for none.
  let permission: StaticBytes
  let parameters: RouteParameters
  /// Name and permission stand in the rows of a generation, as long as its machines live.
  var isLasting = false

  /// A text of the route for scripts.
  @inline(__always)
  func value(_ text: StaticBytes) -> LuaValue {
    isLasting ? .constant(text.start, text.count) : .string(text.start, text.count)
  }
}

/// What is known when an exchange has ended.
struct ExchangeSummary: BitwiseCopyable {
  let status: UInt16
  let cause: EndCause
  let durationNanoseconds: UInt64
  let requestBytes: UInt64
  let responseBytes: UInt64
}
