// What the demo provider takes at most, and how long it waits. It stands beside a gateway on the same machine and must
// not be what runs out of memory there.
//
// Called by: the loop, the request reader, the answers. Never: holds anything that an operator should set.

/// Fixed bounds of the demo provider. Times in milliseconds.
enum DemoBounds {
  /// Connections at once; more wait in the listener's queue.
  static let connections = 8_192
  /// A request's body, and the bodies of all connections together while they are read.
  static let bodyBytes = 8 << 20
  static let bodiesBytes = 256 << 20
  /// Values and keys in one body.
  static let nodes = 1 << 20
  /// Unsent bytes at which nothing more is made until the client has taken them.
  static let unsentHigh = 64 << 10
  /// Unread requests of a client that does not wait for answers.
  static let inputHigh = 64 << 10
  /// Memory that an idle connection may keep.
  static let keptBytes = 16 << 10
  /// Reads in a row before other connections have their turn.
  static let readsPerTurn = 4
  /// Tokens of one answer, over all its choices.
  static let answerTokens = 1 << 17
  /// Answers to one question.
  static let choices = 128
  /// Texts at which an answer ends; OpenAI takes fewer.
  static let stops = 64
  static let openAIStops = 4
  /// What is quoted of a message or of a tool's result.
  static let quotedBytes = 4 << 10

  static let idle: UInt64 = 600_000
  /// A request that stands still, and a client that takes nothing.
  static let stalled: UInt64 = 60_000
  /// After a refusal: how long and how much is still read so that the answer is not lost to a reset.
  static let linger: UInt64 = 2_000
  static let lingerBytes = 256 << 10
  /// After the process ran out of descriptors.
  static let acceptPause: UInt64 = 100
  /// What `demo-slow` waits for.
  static let slow: UInt64 = 1_000
}
