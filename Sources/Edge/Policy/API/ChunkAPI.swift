// `chunk`: a piece of an answer's content before the client gets it, read field by field when a script asks. There is
// one such object in a machine and it is always the piece that the running policy judges.

import LuaBridge

/// The fields of `chunk`.
enum ChunkAPI {
  static let fields = [
    HostRow(
      "data", "chunk.data",
      "The piece as a string: what was read of a service's answer, whole events of a model's stream as the client gets "
        + "them, or all of a model's whole answer."
    ) {
      read($0, $1, $2) { call, host, view in call.text(view.data) }
    },
    HostRow("number", "chunk.number", "1 for the first piece of an answer, 2 for the next.") {
      read($0, $1, $2) { call, host, view in call.value(.integer(view.number)) }
    },
    HostRow("last", "chunk.last", "Whether nothing follows it; false where that is not known yet.") {
      read($0, $1, $2) { call, host, view in call.value(.boolean(view.isLast)) }
    },
    HostRow("status", "chunk.status", "The status of the answer, such as 200.") {
      read($0, $1, $2) { call, host, view in call.value(.integer(Int(view.status))) }
    },
    HostRow("streamed", "chunk.streamed", "Whether it holds events of a model's stream.") {
      read($0, $1, $2) { call, host, view in call.value(.boolean(view.isStreamed)) }
    },
  ]

  @inline(__always)
  private static func read(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ body: (HostCall, PolicyHost, ChunkView) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let view = host.chunk else {
      return call.raise("the piece of an answer can be read in on_chunk only")
    }
    return body(call, host, view)
  }
}
