// The answer of a service or provider as policies see it, before the client gets it. Nothing is copied until a script
// asks, and nothing of it outlives the run of the policy.

/// The answer that a policy judges.
struct AnswerView: BitwiseCopyable {
  let status: UInt16
  /// Of a service its head as it came; of a model the head that Edge would write, which on a WebSocket is none.
  let received: ReceivedHead
  /// Empty where a model answers.
  var service = StaticBytes.empty
  /// Empty where a service answers.
  var provider = StaticBytes.empty
  var model = StaticBytes.empty
  let id: StaticBytes
  let route: StaticBytes
}

/// The piece of an answer's content that a policy judges.
struct ChunkView: BitwiseCopyable {
  /// Of a stream of a model whole events as the client gets them, on a WebSocket one message; else content without
  /// framing.
  let data: StaticBytes
  /// 1 for the first.
  let number: Int
  /// Nothing follows it; false where that is not known yet.
  let isLast: Bool
  let status: UInt16
  /// A model's answer comes event by event.
  let isStreamed: Bool
}
