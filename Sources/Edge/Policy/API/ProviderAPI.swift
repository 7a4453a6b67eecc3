// `edge.provider`: the providers of the configuration, and how busy they are.
// Called by scripts. Never: asks a provider, or says where it is and what it is asked with.

import Glibc
import LuaBridge

/// The row of `edge.provider`.
enum ProviderAPI {
  static let rows = [
    HostRow(
      "edge.provider.list", "edge.provider.list([model])",
      "The providers that are enabled, with a model those that offer it or an equivalent, the best priority first: "
        + "`{name=, dialect=, priority=, load=, healthy=, models={…}}`. `load` is how many requests it is answering "
        + "now; `healthy` is true as long as Edge does not check that.", list)
  ]

  private static let list: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    let providers = host.tools.providers
    guard call.kind(1) != .nothing else { return host.answer(call, Array(providers.rows.indices)) }
    guard let model = call.string(1) else {
      return call.raise("edge.provider.list takes the name of a model, or nothing")
    }
    return host.answer(call, providers.offering(model))
  }
}

extension PolicyHost {
  /// Answers with these providers.
  fileprivate func answer(_ call: HostCall, _ places: [Int]) -> Int32 {
    guard let area = flat.baseAddress else { return call.nothing() }
    var count = 0
    func put(_ value: LuaValue) {
      if count < flat.count { area[count] = value }
      count += 1
    }
    func put(_ name: StaticString, _ value: LuaValue) {
      put(.string(name))
      put(value)
    }
    put(.list(places.count))
    for place in places {
      let row = tools.providers.rows[place]
      put(.map(row.metric == nil ? 5 : 6))
      put("name", .string(row.name.start, row.name.count))
      put("dialect", .string(row.dialect.start, row.dialect.count))
      put("priority", .integer(row.priority))
      if let metric = row.metric, let metrics = tools.metrics { put("load", .integer(metrics.providerLoad(metric))) }
      put("healthy", .boolean(true))
      put("models", .list(row.models.count))
      for model in row.models { put(.string(model.start, model.count)) }
    }
    guard count <= flat.count else { return call.raise("the providers have more than 65,536 models together") }
    return call.values(at: UnsafePointer(area), count: 1)
  }
}
