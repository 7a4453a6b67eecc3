// What scripts may know about the providers of a generation: made once, read by `edge.provider`.
// Never: changes, or holds anything of a provider that is secret.

import Glibc

/// One provider as scripts see it.
struct PolicyProvider {
  let name: StaticBytes
  let dialect: StaticBytes
  let priority: Int
  /// The models that it offers, as clients name them.
  let models: [StaticBytes]
  /// Its number in metrics; nil: nobody counts what it is doing.
  let metric: UInt16?
}

/// The providers of a generation, and who offers what.
struct PolicyProviders {
  /// The best priority first, then in the order written.
  let rows: [PolicyProvider]
  /// Of each model those that offer it or an equivalent, by their places in `rows`.
  private let offers: [(model: StaticBytes, places: [Int])]

  init(_ snapshot: Snapshot, _ metrics: Metrics?, _ arena: Arena) {
    let order = snapshot.providers.indices.sorted {
      (snapshot.providers[$0].priority, $0) < (snapshot.providers[$1].priority, $1)
    }
    let names = snapshot.models.map { arena.text($0.name) }
    rows = order.map { index in
      let provider = snapshot.providers[index]
      // One that found no place shares its number with others.
      let metric = metrics?.names.claim(.provider, provider.name)
      return PolicyProvider(
        name: arena.text(provider.name), dialect: arena.text(provider.dialect.rawValue), priority: provider.priority,
        models: snapshot.models.indices.filter { snapshot.models[$0].providers.contains(index) }.map { names[$0] },
        metric: metric == MetricNames.other ? nil : metric)
    }
    offers = snapshot.models.indices.map { index in
      let model = snapshot.models[index]
      let all = Set(model.providers + model.equivalents.flatMap { snapshot.models[$0].providers })
      return (names[index], order.indices.filter { all.contains(order[$0]) })
    }
  }

  /// Those that offer a model or an equivalent of it; none when there is no such model.
  func offering(_ model: UnsafeBufferPointer<UInt8>) -> [Int] {
    guard let start = model.baseAddress else { return [] }
    return offers.first { $0.model.count == model.count && equalBytes($0.model.start, start, model.count) }?.places
      ?? []
  }
}
