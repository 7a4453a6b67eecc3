// The part of a snapshot about models: who offers them and what they cost.
//
// Owns: the typed shape of `providers`, `models`, `credits` and `stores`.
// Called by: the loader, which makes it, and engines, which compile it to their own tables per generation.
// Never: refers to text, files or the environment; references between named things are indices.

/// One row of `providers` that can be used.
struct Provider: Sendable, Equatable {
  /// Unique among providers.
  let name: String
  /// What it speaks.
  let dialect: DialectName
  /// How it is reached: endpoints, timeouts, pool and certificates, as those of a service. Its name is the provider's.
  let service: Service
  /// What stands before the dialect's own path, such as /v1: empty, or it begins with a slash and ends without.
  let basePath: String
  /// Sent as the dialect says; nil when the provider asks for none.
  let key: SecretText?
  /// Lower is tried first.
  let priority: Int
  /// For the whole of an answer that is not streamed.
  let answerTimeoutMilliseconds: Int
  /// The demo provider stands in for it (`--dev`): answers are marked `edge-demo: true`.
  let isDemo: Bool
}

/// One row of `models`.
struct Model: Sendable, Equatable {
  /// As clients name it. Unique among models.
  let name: String
  /// Indices into `Snapshot.providers` of those that offer it and can be used, by priority, then in the order written.
  /// May be empty.
  let providers: [Int]
  /// As its providers name it; nil: the same.
  let upstreamName: String?
  let price: ModelPrice
  /// The most tokens that it gives out for one choice.
  let outputTokensMax: Int
  /// What a picture in the input is taken for before the provider has said.
  let imageTokens: Int
  /// Indices into `Snapshot.models` of those that may answer in its place when none of its own providers does, in the
  /// order written.
  var equivalents: [Int] = []
}

/// Prices of a model in 1e-12 credit per token: the 1e-9 credit per 1,000 tokens that a file can say are whole then.
struct ModelPrice: BitwiseCopyable, Sendable, Equatable {
  var input: Int64
  var output: Int64
  /// Of tokens read from the provider's cache, and of those written to it.
  var cached: Int64
  var cacheWrite: Int64
  var reasoning: Int64
  /// When more than `longInputTokens` go in, the whole request costs these instead; 0 tokens: there is no such tier.
  var longInputTokens: Int64 = 0
  var longInput: Int64 = 0
  var longOutput: Int64 = 0
  var longCached: Int64 = 0
  var longCacheWrite: Int64 = 0
  var longReasoning: Int64 = 0
}

/// `credits`.
struct CreditSettings: Sendable, Equatable {
  /// What a new account begins with.
  let initial: Amount
}

/// `stores`.
struct StoreSettings: Sendable, Equatable {
  let ledger: LedgerStore
  let durability: Durability
}

extension Snapshot {
  /// Whether anything costs credits, or a script asks for some.
  var needsLedger: Bool {
    routes.contains(where: \.costs) || scripts.contains { $0.bytes.firstRange(of: ".credit".utf8) != nil }
  }

  /// Everything that requests are sent to: the services, then what providers are reached as.
  var upstreams: [Service] { services + providers.map(\.service) }

  /// What the upstream at a place is called among all of them: a provider may have the name of a service.
  func upstreamName(_ index: Int) -> String {
    index < services.count ? services[index].name : "provider \(providers[index - services.count].name)"
  }
}
