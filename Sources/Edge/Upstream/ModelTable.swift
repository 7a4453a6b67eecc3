// Providers and models as rows without references, compiled once per generation: which providers can answer for a
// model, and what that costs.
// Read by the driver; it never changes once it is compiled.

import Glibc

/// One provider.
struct ProviderRow: BitwiseCopyable {
  var name: StaticBytes
  /// Its row among services: endpoints, timeouts, pool.
  var service: Int32
  var dialect: DialectName
  /// What stands before the dialect's own path.
  var basePath: StaticBytes
  /// Empty: it asks for none.
  var key: StaticBytes
  /// For the whole of an answer that is not streamed.
  var answerMilliseconds: UInt64
  /// The demo provider stands in for it.
  var isDemo: Bool
  /// Its number in metrics.
  var metric: UInt16
}

/// One model.
struct ModelRow: BitwiseCopyable {
  var name: StaticBytes
  /// As providers name it; empty: the same.
  var upstreamName: StaticBytes
  var price: ModelPrice
  var outputTokensMax: Int64
  var imageTokens: Int64
  /// Its providers stand in a row of `ModelTable.candidates`, the best first.
  var firstCandidate: Int32
  var candidateCount: Int32
}

/// All providers and models of a generation.
struct ModelTable: BitwiseCopyable {
  /// The most providers that are considered for one request.
  static let candidatesMax = 8

  let providers: UnsafePointer<ProviderRow>
  let providerCount: Int
  /// By name, in byte order.
  let models: UnsafePointer<ModelRow>
  let modelCount: Int
  let candidates: UnsafePointer<Int32>
  /// Numbers in metrics of the models with these candidates.
  let pairs: UnsafePointer<UInt16>

  /// Compiles them; the rows of the providers' services begin at `firstService`.
  static func compile(_ snapshot: Snapshot, firstService: Int, names: MetricNames, arena: Arena) -> ModelTable {
    let providers = snapshot.providers.enumerated().map { index, provider in
      ProviderRow(
        name: arena.text(provider.name), service: Int32(firstService + index), dialect: provider.dialect,
        basePath: arena.text(provider.basePath),
        key: provider.key.map { arena.text(String(decoding: $0.bytes, as: UTF8.self)) } ?? StaticBytes.empty,
        answerMilliseconds: UInt64(provider.answerTimeoutMilliseconds), isDemo: provider.isDemo,
        metric: names.claim(.provider, provider.name))
    }
    var candidates: [Int32] = []
    var pairs: [UInt16] = []
    let sorted = snapshot.models.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    let models = sorted.map { model in
      let offered = model.providers.prefix(ModelTable.candidatesMax)
      let row = ModelRow(
        name: arena.text(model.name), upstreamName: arena.text(model.upstreamName ?? ""), price: model.price,
        outputTokensMax: Int64(model.outputTokensMax), imageTokens: Int64(model.imageTokens),
        firstCandidate: Int32(candidates.count), candidateCount: Int32(offered.count))
      candidates += offered.map(Int32.init)
      let metric = names.claim(.model, model.name)
      pairs += offered.map { names.claimPair(provider: providers[$0].metric, model: metric) }
      return row
    }
    return ModelTable(
      providers: UnsafePointer(arena.copy(providers)), providerCount: providers.count,
      models: UnsafePointer(arena.copy(models)), modelCount: models.count,
      candidates: UnsafePointer(arena.copy(candidates)), pairs: UnsafePointer(arena.copy(pairs)))
  }

  /// The model of this name; -1: there is none.
  func model(_ name: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var (low, high) = (0, modelCount)
    while low < high {
      let middle = (low + high) / 2
      let known = models[middle].name
      let order = memcmp(known.start, name, min(known.count, count))
      if order == 0, known.count == count { return Int32(middle) }
      if order < 0 || order == 0 && known.count < count { low = middle + 1 } else { high = middle }
    }
    return -1
  }

  /// The provider of this name; -1: there is none.
  func provider(_ name: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    for index in 0..<providerCount {
      let known = providers[index].name
      if known.count == count, equalBytes(known.start, name, count) { return Int32(index) }
    }
    return -1
  }
}
