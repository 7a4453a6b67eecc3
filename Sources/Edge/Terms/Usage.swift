// What a model was used for: the tokens of one attempt, in one vocabulary for all dialects.
// Written by dialects, priced by metering, kept by the ledger, told by the log.

/// Where the numbers of a usage come from.
enum UsageSource: UInt8, Sendable {
  /// There is nothing to count: no provider was asked, or it answered with an error.
  case none
  /// The provider said so.
  case reported
  /// The provider did not say; counted from what went in and came out.
  case estimated
}

/// Tokens of one attempt. Parts are within the whole: cached and written ones within the input, reasoning within the
/// output.
struct Usage: BitwiseCopyable, Equatable, Sendable {
  var source = UsageSource.none
  /// Everything that went in.
  var inputTokens: Int64 = 0
  /// Of the input: read from the provider's cache.
  var cachedTokens: Int64 = 0
  /// Of the input: written to the provider's cache.
  var cacheWriteTokens: Int64 = 0
  /// Everything that came out.
  var outputTokens: Int64 = 0
  /// Of the output: what the client does not see.
  var reasoningTokens: Int64 = 0
}
