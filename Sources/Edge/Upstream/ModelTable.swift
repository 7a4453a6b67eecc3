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
  /// Lower is tried first.
  var priority: Int32
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
  /// Those that can answer for it stand in a row of `ModelTable.candidates`: its own providers, the best first, then
  /// those of its equivalents.
  var firstCandidate: Int32
  var candidateCount: Int32
}

/// A provider that can answer for a model.
struct CandidateRow: BitwiseCopyable {
  var provider: Int32
  /// The model that it is asked for: the one that was named, or an equivalent of it.
  var model: Int32
  /// The number in metrics of these two.
  var pair: UInt16
  var isEquivalent: Bool
}

/// All providers and models of a generation.
struct ModelTable: BitwiseCopyable {
  /// The most providers that are considered for one request.
  static let candidatesMax = 16

  let providers: UnsafePointer<ProviderRow>
  let providerCount: Int
  /// By name, in byte order.
  let models: UnsafePointer<ModelRow>
  let modelCount: Int
  let candidates: UnsafePointer<CandidateRow>

  /// Compiles them; the rows of the providers' services begin at `firstService`.
  static func compile(_ snapshot: Snapshot, firstService: Int, names: MetricNames, arena: Arena) -> ModelTable {
    let providers = snapshot.providers.enumerated().map { index, provider in
      ProviderRow(
        name: arena.text(provider.name), service: Int32(firstService + index), dialect: provider.dialect,
        priority: Int32(provider.priority), basePath: arena.text(provider.basePath),
        key: provider.key.map { arena.text(String(decoding: $0.bytes, as: UTF8.self)) } ?? StaticBytes.empty,
        answerMilliseconds: UInt64(provider.answerTimeoutMilliseconds), isDemo: provider.isDemo,
        metric: names.claim(.provider, provider.name))
    }
    // Rows stand in the order of their names; `places` leads from the configuration's order to it.
    let order = snapshot.models.indices.sorted {
      snapshot.models[$0].name.utf8.lexicographicallyPrecedes(snapshot.models[$1].name.utf8)
    }
    var places = [Int](repeating: 0, count: order.count)
    for (place, index) in order.enumerated() { places[index] = place }
    let metrics = snapshot.models.map { names.claim(.model, $0.name) }
    func offers(_ index: Int, isEquivalent: Bool) -> [CandidateRow] {
      snapshot.models[index].providers.map { provider in
        CandidateRow(
          provider: Int32(provider), model: Int32(places[index]),
          pair: names.claimPair(provider: providers[provider].metric, model: metrics[index]),
          isEquivalent: isEquivalent)
      }
    }
    var candidates: [CandidateRow] = []
    let models = order.map { index in
      let model = snapshot.models[index]
      let equivalents = model.equivalents.flatMap { offers($0, isEquivalent: true) }
      let all = (offers(index, isEquivalent: false) + equivalents).prefix(ModelTable.candidatesMax)
      let row = ModelRow(
        name: arena.text(model.name), upstreamName: arena.text(model.upstreamName ?? ""), price: model.price,
        outputTokensMax: Int64(model.outputTokensMax), imageTokens: Int64(model.imageTokens),
        firstCandidate: Int32(candidates.count), candidateCount: Int32(all.count))
      candidates += all
      return row
    }
    return ModelTable(
      providers: UnsafePointer(arena.copy(providers)), providerCount: providers.count,
      models: UnsafePointer(arena.copy(models)), modelCount: models.count,
      candidates: UnsafePointer(arena.copy(candidates)))
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
